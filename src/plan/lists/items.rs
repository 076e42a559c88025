//! A column of lists, item by item.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::values::comparable::comparable;

/// A column of lists.
pub(super) struct Lists {
    values: ArrayRef,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
}

impl Lists {
    /// The lists of an argument.
    pub(super) fn of(argument: &ColumnarValue, rows: usize) -> Result<Self> {
        let array = argument.to_array(rows).map_err(from_datafusion)?;
        let item = match array.data_type() {
            DataType::List(_) => None,
            other => Some(item_type(other).cloned().ok_or_else(|| Error::internal("a list was expected"))?),
        };
        let array = match item {
            None => array,
            Some(item) => cast(&array, &list_of(&item))?,
        };
        let (_, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
        Ok(Lists { values, offsets, nulls })
    }

    /// How many lists there are.
    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The items of all lists.
    pub(super) fn values(&self) -> &ArrayRef {
        &self.values
    }

    /// Where the items of a list are among all; none for NULL.
    pub(super) fn range(&self, row: usize) -> Option<Range<usize>> {
        let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        (!is_null).then(|| self.offsets[row] as usize..self.offsets[row + 1] as usize)
    }

    /// The places of the items of all lists that are not NULL, and the list that each is in.
    pub(super) fn places(&self) -> (UInt32Array, Vec<u32>) {
        let (mut places, mut owners) = (Vec::new(), Vec::new());
        for row in 0..self.len() {
            let range = self.range(row).unwrap_or_default();
            owners.extend(std::iter::repeat_n(row as u32, range.len()));
            places.extend(range.map(|place| place as u32));
        }
        (UInt32Array::from(places), owners)
    }

    /// Lists of items at these places among [`Self::values`]; none for NULL.
    pub(super) fn taking(&self, lists: impl Iterator<Item = Option<Vec<usize>>>) -> Result<ArrayRef> {
        let (mut places, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
        for list in lists {
            valid.push(list.is_some());
            let list = list.unwrap_or_default();
            lengths.push(list.len());
            places.extend(list.into_iter().map(|place| place as u32));
        }
        let values = take(&self.values, &UInt32Array::from(places), None)?;
        build(values, lengths, valid)
    }
}

/// Lists of so many items each, some of them NULL.
pub(super) fn build(values: ArrayRef, lengths: Vec<usize>, valid: Vec<bool>) -> Result<ArrayRef> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, nulls)?))
}

/// Values that are compared with each other, in an order in which NULL is the last and equals itself.
pub(super) struct Keys {
    converter: Option<RowConverter>,
}

impl Keys {
    pub(super) fn new() -> Self {
        Keys { converter: None }
    }

    /// The keys of some values; all that are asked for must have one type.
    pub(super) fn of(&mut self, values: &ArrayRef) -> Result<ValueKeys> {
        let values = comparable(values)?;
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => {
                let order = arrow::compute::SortOptions { descending: false, nulls_first: false };
                let field = SortField::new_with_options(values.data_type().clone(), order);
                none.insert(RowConverter::new(vec![field])?)
            }
        };
        let rows = converter.convert_columns(std::slice::from_ref(&values))?;
        Ok(ValueKeys { rows, nulls: values.logical_nulls() })
    }
}

/// The keys of some values.
pub(super) struct ValueKeys {
    rows: Rows,
    nulls: Option<NullBuffer>,
}

impl ValueKeys {
    /// The key of a value, also of NULL.
    pub(super) fn key(&self, place: usize) -> Row<'_> {
        self.rows.row(place)
    }

    /// The key of a value; none for NULL.
    pub(super) fn known(&self, place: usize) -> Option<Row<'_>> {
        (!self.is_null(place)).then(|| self.key(place))
    }

    pub(super) fn is_null(&self, place: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(place))
    }
}

// ---- types ----

/// The type of a list's items; NULL may be a list of anything.
pub(super) fn item_type(list: &DataType) -> Option<&DataType> {
    match list {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Some(item.data_type()),
        DataType::Null => Some(list),
        _ => None,
    }
}

/// The type of lists of such items.
pub(super) fn list_of(item: &DataType) -> DataType {
    DataType::List(field_of(item))
}

fn field_of(item: &DataType) -> FieldRef {
    Arc::new(Field::new_list_field(item.clone(), true))
}

/// The error for arguments that a function does not take.
pub(super) fn not_taken(name: &str, types: &[DataType]) -> DataFusionError {
    let types: Vec<String> = types.iter().map(sql_type_name).collect();
    let error = Error::new(ErrorKind::Type, format!("function {name}({}) does not exist", types.join(", ")));
    let hint = "there is one of that name with other arguments: cast them, or give as many as it takes";
    to_datafusion(error.with_sqlstate("42883").with_hint(hint))
}
