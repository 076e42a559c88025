//! Aggregates that depend on the order of their rows, in an order of their own: over frames, and beside aggregates in
//! another order.
//!
//! `array_agg(x) OVER (ORDER BY k)` takes rows that agree on k in the order in which they arrived, and the order cannot
//! be completed in OVER: rows that agree on k enter a RANGE or GROUPS frame together, and further keys would part them.
//! So the frame is left as the query wrote it, and [`InOrder`] gets the keys of the complete order as arguments, by
//! which it sorts what is in the frame. It can take rows out again, in any order, so it serves every frame.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef, UInt64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::foreign_state;
use crate::operator::error::to_datafusion;

/// What is computed of the rows in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ordered {
    /// `array_agg(x)`.
    List,
    /// `string_agg(x, delimiter)`.
    Text,
    /// `first_value(x)`.
    First,
    /// `last_value(x)`.
    Last,
    /// `nth_value(x, n)`: from the end where n is negative.
    Nth(i64),
}

/// An aggregate that sorts its rows by its last arguments.
#[derive(Debug, Clone)]
pub struct InOrder {
    name: String,
    ordered: Ordered,
    ignore_nulls: bool,
    distinct: bool,
    /// How many of the arguments are the function's own; the others are sort keys.
    own: usize,
    options: Vec<SortOptions>,
    data_type: DataType,
    signature: Signature,
}

impl InOrder {
    /// The aggregate `ordered`, called `name`, with `own` arguments of its own and a key for each of `options`.
    pub fn new(name: &str, ordered: Ordered, own: usize, options: Vec<SortOptions>, data_type: DataType) -> Self {
        InOrder {
            name: name.to_string(),
            ordered,
            ignore_nulls: false,
            distinct: false,
            own,
            options,
            data_type,
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }

    /// Rows whose argument is NULL do not count.
    pub fn ignoring_nulls(self, ignore_nulls: bool) -> Self {
        InOrder { ignore_nulls, ..self }
    }

    /// Of rows with equal arguments the first counts.
    pub fn distinct(self, distinct: bool) -> Self {
        InOrder { distinct, ..self }
    }

    fn is_counted(&self, value: &ScalarValue) -> bool {
        !(value.is_null() && (self.ignore_nulls || self.ordered == Ordered::Text))
    }
}

impl PartialEq for InOrder {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.ordered, self.ignore_nulls, self.distinct, self.own, &self.options, &self.data_type)
            == (
                &other.name,
                other.ordered,
                other.ignore_nulls,
                other.distinct,
                other.own,
                &other.options,
                &other.data_type,
            )
    }
}

impl Eq for InOrder {}

impl Hash for InOrder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.ordered, self.ignore_nulls, self.distinct, self.own).hash(state);
    }
}

impl AggregateUDFImpl for InOrder {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let types = args.exprs.iter().map(|expr| expr.data_type(args.schema)).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(OrderedRows::try_new(self.clone(), types)?))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.accumulator(args)
    }

    /// A list of each argument, and one that says how often each row is there.
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types = args.input_fields.iter().map(|field| field.data_type().clone()).chain([DataType::UInt64]);
        let list = |(index, data_type): (usize, DataType)| {
            let items = DataType::List(Arc::new(Field::new_list_field(data_type, true)));
            Arc::new(Field::new(format_state_name(args.name, &format!("argument {index}")), items, true))
        };
        Ok(types.enumerate().map(list).collect())
    }
}

/// Equal rows of a frame.
#[derive(Debug)]
struct Entry {
    count: usize,
    arguments: Vec<ScalarValue>,
}

/// The rows of a frame, by their encoded keys.
#[derive(Debug)]
struct OrderedRows {
    function: InOrder,
    converter: RowConverter,
    types: Vec<DataType>,
    rows: BTreeMap<Box<[u8]>, Entry>,
    bytes: usize,
}

impl OrderedRows {
    fn try_new(function: InOrder, types: Vec<DataType>) -> Result<Self> {
        let Some((own, keys)) = types.split_at_checked(function.own) else {
            return internal_err!("{} has fewer arguments than it needs", function.name);
        };
        let keys = keys.iter().zip(&function.options);
        let keys = keys.map(|(data_type, options)| SortField::new_with_options(data_type.clone(), *options));
        // The arguments come last: what the keys do not tell apart is told apart by what can be seen.
        let fields = keys.chain(own.iter().map(|data_type| SortField::new(data_type.clone())));
        let converter = RowConverter::new(fields.collect())?;
        Ok(OrderedRows { converter, types, function, rows: BTreeMap::new(), bytes: 0 })
    }

    /// Encodes the rows and gives each to `change`.
    fn each(&mut self, values: &[ArrayRef], change: impl Fn(&mut Self, &[u8], usize) -> Result<()>) -> Result<()> {
        let Some((own, keys)) = values.split_at_checked(self.function.own) else {
            return internal_err!("{} has fewer arguments than it needs", self.function.name);
        };
        let columns: Vec<ArrayRef> = keys.iter().chain(own).cloned().collect();
        let encoded = self.converter.convert_columns(&columns)?;
        for (row, key) in encoded.iter().enumerate() {
            change(self, key.as_ref(), row)?;
        }
        Ok(())
    }

    /// The first arguments in order, each as often as it counts.
    fn counted(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.rows.values().filter(|entry| entry.arguments.first().is_some_and(|value| self.function.is_counted(value)))
    }

    fn nth<'a>(mut entries: impl Iterator<Item = &'a Entry>, n: u64) -> Option<&'a ScalarValue> {
        let mut before = n.checked_sub(1)?;
        let found = entries.find(|entry| match before.checked_sub(entry.count as u64) {
            Some(rest) => {
                before = rest;
                false
            }
            None => true,
        });
        found?.arguments.first()
    }

    /// Every counted row, or every counted value where the call is DISTINCT.
    fn values(&self) -> Vec<&Entry> {
        let mut values: Vec<&Entry> = vec![];
        for entry in self.counted() {
            if !self.function.distinct {
                values.extend(std::iter::repeat_n(entry, entry.count));
            } else if values.last().is_none_or(|last| last.arguments.first() != entry.arguments.first()) {
                // The order of a DISTINCT call begins with its argument.
                values.push(entry);
            }
        }
        values
    }

    fn list(&self) -> Result<ScalarValue> {
        let values: Vec<ScalarValue> =
            self.values().into_iter().filter_map(|entry| entry.arguments.first().cloned()).collect();
        match &self.function.data_type {
            _ if values.is_empty() => ScalarValue::try_new_null(&self.function.data_type),
            DataType::List(field) => {
                Ok(ScalarValue::List(ScalarValue::new_list(&values, field.data_type(), field.is_nullable())))
            }
            other => internal_err!("{} gives no {other}", self.function.name),
        }
    }

    fn text(&self) -> Result<ScalarValue> {
        let mut text: Option<String> = None;
        for entry in self.values() {
            let part = |argument: usize| entry.arguments.get(argument).and_then(|value| value.try_as_str().flatten());
            let value = part(0).unwrap_or_default();
            match &mut text {
                Some(text) => {
                    text.push_str(part(1).unwrap_or_default());
                    text.push_str(value);
                }
                None => text = Some(value.to_string()),
            }
        }
        ScalarValue::Utf8(text).cast_to(&self.function.data_type)
    }

    /// Takes in every row so many times.
    fn add(&mut self, values: &[ArrayRef], count: impl Fn(usize) -> usize) -> Result<()> {
        self.each(values, |rows, key, row| {
            if let Some(entry) = rows.rows.get_mut(key) {
                entry.count += count(row);
                return Ok(());
            }
            let arguments = values.iter().map(|column| ScalarValue::try_from_array(column, row));
            let entry = Entry { count: count(row), arguments: arguments.collect::<Result<_>>()? };
            rows.bytes += key.len() + size_of::<Entry>() + entry.arguments.iter().map(ScalarValue::size).sum::<usize>();
            rows.rows.insert(key.into(), entry);
            Ok(())
        })
    }
}

impl Accumulator for OrderedRows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, |_| 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.each(values, |rows, key, _| {
            let Some(entry) = rows.rows.get_mut(key) else {
                return internal_err!("{} was asked to give up a row it does not have", rows.function.name);
            };
            entry.count -= 1;
            if entry.count == 0 {
                let arguments: usize = entry.arguments.iter().map(ScalarValue::size).sum();
                rows.bytes = rows.bytes.saturating_sub(key.len() + size_of::<Entry>() + arguments);
                rows.rows.remove(key);
            }
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = match self.function.ordered {
            Ordered::List => return self.list(),
            Ordered::Text => return self.text(),
            Ordered::First => Self::nth(self.counted(), 1),
            Ordered::Last => Self::nth(self.counted().rev(), 1),
            Ordered::Nth(n) if n < 0 => Self::nth(self.counted().rev(), n.unsigned_abs()),
            Ordered::Nth(n) => Self::nth(self.counted(), n.unsigned_abs()),
        };
        match value {
            Some(value) => Ok(value.clone()),
            None => ScalarValue::try_new_null(&self.function.data_type),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.bytes
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |values: Vec<ScalarValue>, data_type: &DataType| {
            ScalarValue::List(ScalarValue::new_list_nullable(&values, data_type))
        };
        let of_arguments = self.types.iter().enumerate().map(|(argument, data_type)| {
            let values = self.rows.values().filter_map(|entry| entry.arguments.get(argument).cloned());
            list(values.collect(), data_type)
        });
        let counts = self.rows.values().map(|entry| ScalarValue::UInt64(Some(entry.count as u64)));
        let counts = list(counts.collect(), &DataType::UInt64);
        Ok(of_arguments.chain([counts]).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(parts) = states.first().map(|state| state.len()) else { return Ok(()) };
        for part in 0..parts {
            let lists = states.iter().map(|state| Ok(state.as_list_opt::<i32>().ok_or_else(foreign)?.value(part)));
            let mut lists = lists.collect::<Result<Vec<ArrayRef>>>()?;
            let counts = lists.pop().ok_or_else(foreign)?;
            let counts = counts.as_primitive_opt::<UInt64Type>().ok_or_else(foreign)?.values();
            self.add(&lists, |row| counts.get(row).map_or(0, |count| *count as usize))?;
        }
        Ok(())
    }
}

fn foreign() -> DataFusionError {
    to_datafusion(foreign_state())
}
