//! Values in a form that Arrow's kernels compare and sort as SQL does.
//!
//! Arrow orders lists and structs with the NULLs inside them where the NULLs outside go, and compares them with these
//! first; PostgreSQL takes a NULL inside for greater than every value, and for equal to another, whatever ORDER BY says
//! of NULLS. So a list or struct is compared by a key: bytes that are ordered as their values are. An interval is
//! compared by its length, a month being 30 days and a day 24 hours; floats have one zero and one NaN.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Decimal128Array, ListArray, StructArray};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalMonthDayNanoType, IntervalUnit};
use arrow::row::{RowConverter, SortField};

use crate::base::error::{Error, Result};
use crate::base::types::{canonical_floats, inner_fields};

/// The type of lengths of intervals.
pub(crate) const INTERVAL_LENGTH: DataType = DataType::Decimal128(38, 0);

/// The type of keys of lists and structs.
pub(crate) const KEY: DataType = DataType::BinaryView;

/// The values in a form that is equal where they are and ordered as they are; NULLs stay.
pub(crate) fn comparable(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        data_type if is_interval(data_type) => interval_lengths(array),
        data_type if has_key(data_type) => keys(array),
        _ => Ok(canonical_floats(array.clone())),
    }
}

/// Whether values of the type are compared by a key.
pub(crate) fn has_key(data_type: &DataType) -> bool {
    data_type.is_nested() && RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

/// Whether the type is that of intervals.
pub(crate) fn is_interval(data_type: &DataType) -> bool {
    *data_type == DataType::Interval(IntervalUnit::MonthDayNano)
}

/// Whether there are intervals in values of the type.
pub(crate) fn has_interval(data_type: &DataType) -> bool {
    is_interval(data_type) || inner_fields(data_type).any(|field| has_interval(field.data_type()))
}

/// Lengths in nanoseconds.
pub(crate) fn interval_lengths(array: &ArrayRef) -> Result<ArrayRef> {
    const DAY: i128 = 86_400_000_000_000;
    let intervals = array
        .as_primitive_opt::<IntervalMonthDayNanoType>()
        .ok_or_else(|| Error::internal("an interval was expected"))?;
    let lengths: Decimal128Array = intervals
        .iter()
        .map(|interval| {
            interval.map(|interval| {
                (i128::from(interval.months) * 30 + i128::from(interval.days)) * DAY + i128::from(interval.nanoseconds)
            })
        })
        .collect();
    debug_assert_eq!(lengths.len(), array.len());
    Ok(Arc::new(lengths.with_precision_and_scale(38, 0)?))
}

/// The key of each list or struct.
pub(crate) fn keys(array: &ArrayRef) -> Result<ArrayRef> {
    let values = with_lengths(&canonical_floats(array.clone()))?;
    let order = SortOptions { descending: false, nulls_first: false };
    let converter = RowConverter::new(vec![SortField::new_with_options(values.data_type().clone(), order)])?;
    let rows = converter.convert_columns(&[values])?;
    let (offsets, bytes, _) = rows.try_into_binary()?.into_parts();
    let keys = BinaryArray::try_new(offsets, bytes, array.nulls().cloned())?;
    Ok(cast(&keys, &KEY)?)
}

/// The values with the intervals in them as lengths.
fn with_lengths(array: &ArrayRef) -> Result<ArrayRef> {
    let field_of = |field: &FieldRef, values: &ArrayRef| {
        Arc::new(Field::new(field.name(), values.data_type().clone(), field.is_nullable()))
    };
    match array.data_type() {
        data_type if !has_interval(data_type) => Ok(array.clone()),
        DataType::Interval(_) => interval_lengths(array),
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let values = with_lengths(list.values())?;
            let field = field_of(field, &values);
            Ok(Arc::new(ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned())?))
        }
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let columns = array.columns().iter().map(with_lengths).collect::<Result<Vec<_>>>()?;
            let fields = fields.iter().zip(&columns).map(|(field, values)| field_of(field, values)).collect();
            Ok(Arc::new(StructArray::try_new(fields, columns, array.nulls().cloned())?))
        }
        _ => Ok(array.clone()),
    }
}
