//! `percentile_cont` and `median`: the value at a fraction of the sorted ones, between two of them by line, as DOUBLE.
//!
//! DataFusion's keep the type of their argument and a fraction of six digits. Here the fraction keeps its own, and
//! numbers of every kind give a DOUBLE, as in PostgreSQL. There is no running state: all values are kept until the
//! answer is read, so a view computes a group again when a step has touched it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, ListArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, Volatility};

use crate::base::cast::{OnFailure, cast_values, decimal_to_double};
use crate::base::decimal::{self, Parsed, power_of_ten};
use crate::base::error::{Error, ErrorKind};
use crate::base::types::sql_type_name;
use crate::operator::error::to_datafusion;

/// The functions of this file.
pub fn percentile_functions() -> Vec<Arc<AggregateUDF>> {
    let of = |name, aliases: &[&str]| Percentile {
        name,
        aliases: aliases.iter().map(|alias| alias.to_string()).collect(),
        signature: Signature::user_defined(Volatility::Immutable),
    };
    let functions = [of(PERCENTILE, &["quantile_cont"]), of(MEDIAN, &[])];
    functions.into_iter().map(|function| Arc::new(AggregateUDF::from(function))).collect()
}

const PERCENTILE: &str = "percentile_cont";
const MEDIAN: &str = "median";

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let wanted = if self.name == MEDIAN { 1 } else { 2 };
        let fits = |data_type: &DataType| data_type.is_numeric() || data_type.is_null();
        match types.iter().find(|data_type| !fits(data_type)) {
            None if types.len() == wanted => Ok(vec![DataType::Float64; wanted]),
            _ => {
                let types: Vec<String> = types.iter().map(sql_type_name).collect();
                let message = format!("function {}({}) does not exist", self.name, types.join(", "));
                let error = Error::new(ErrorKind::Type, message).with_sqlstate("42883");
                Err(to_datafusion(error.with_hint("it takes numbers")))
            }
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "values"), list, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let fraction = if self.name == MEDIAN { Some(0.5) } else { fraction(&args)? };
        let descending = args.order_bys.first().is_some_and(|key| key.options.descending);
        let fraction = fraction.map(|fraction| if descending { 1.0 - fraction } else { fraction });
        Ok(Box::new(Values { values: vec![], fraction, distinct: args.is_distinct }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.accumulator(args)
    }

    fn supports_within_group_clause(&self) -> bool {
        self.name == PERCENTILE
    }
}

/// The constant fraction of a call, between 0 and 1.
fn fraction(args: &AccumulatorArgs) -> Result<Option<f64>> {
    let invalid = |message: String| to_datafusion(Error::invalid(message).with_sqlstate("22003"));
    let Some(expr) = args.exprs.get(1) else {
        return Err(to_datafusion(Error::internal("percentile_cont without a fraction")));
    };
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row)?;
    let value = match expr.evaluate(&batch) {
        Ok(ColumnarValue::Scalar(value)) => value,
        Ok(ColumnarValue::Array(array)) => ScalarValue::try_from_array(&array, 0)?,
        Err(_) => return Err(invalid("the fraction of percentile_cont must be a constant".into())),
    };
    match value {
        ScalarValue::Float64(Some(fraction)) if (0.0..=1.0).contains(&fraction) => Ok(Some(fraction)),
        ScalarValue::Float64(None) | ScalarValue::Null => Ok(None),
        other => Err(invalid(format!("percentile value {other} is not between 0 and 1"))),
    }
}

/// All values of a group.
#[derive(Debug)]
struct Values {
    values: Vec<f64>,
    fraction: Option<f64>,
    distinct: bool,
}

impl Values {
    fn add(&mut self, array: &ArrayRef) -> Result<()> {
        let doubles = cast_values(array, &DataType::Float64, OnFailure::Error).map_err(to_datafusion)?;
        self.values.extend(doubles.as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.first().map_or(Ok(()), |values| self.add(values))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states.first().map(|state| state.as_list::<i32>());
        lists.into_iter().flat_map(|lists| lists.iter().flatten()).try_for_each(|values| self.add(&values))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(array) = values.first() else { return Ok(()) };
        let mut gone: HashMap<u64, usize> = HashMap::new();
        for value in array.as_primitive::<Float64Type>().iter().flatten() {
            *gone.entry(value.to_bits()).or_default() += 1;
        }
        self.values.retain(|value| match gone.get_mut(&value.to_bits()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.values.sort_unstable_by(f64::total_cmp);
        if self.distinct {
            // The values are canonical, so equal ones have equal bits.
            let mut once = self.values.clone();
            once.dedup_by_key(|value| value.to_bits());
            return Ok(ScalarValue::Float64(self.fraction.and_then(|fraction| percentile(&once, fraction))));
        }
        Ok(ScalarValue::Float64(self.fraction.and_then(|fraction| percentile(&self.values, fraction))))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Float64Array::from(std::mem::take(&mut self.values));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        let field = Arc::new(Field::new_list_field(DataType::Float64, true));
        let list = ListArray::try_new(field, offsets, Arc::new(values), None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }
}

/// The value at `fraction` of sorted values.
fn percentile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let (below, weight) = place(fraction, last)?;
    let (low, high) = (*sorted.get(below)?, *sorted.get((below + 1).min(last))?);
    // Two infinities have no line between them.
    Some(if weight == 0.0 || low == high { low } else { low + (high - low) * weight })
}

/// `fraction * last` as whole places and the rest, computed on the digits of the fraction: 0.95 of 9 is 8 and 0.55, where
/// a product of doubles would be a little less.
fn place(fraction: f64, last: usize) -> Option<(usize, f64)> {
    let exact = decimal::parse(&fraction.to_string()).and_then(Parsed::exact);
    let product = exact.and_then(|(digits, decimal)| Some((digits.checked_mul(last as i128)?, decimal.scale)));
    match product {
        Some((product, scale)) => {
            let unit = i128::try_from(power_of_ten(u32::from(scale.unsigned_abs()))).ok()?;
            Some((usize::try_from(product / unit).ok()?, decimal_to_double(product % unit, scale)))
        }
        None => {
            let place = fraction * last as f64;
            Some((place as usize, place.fract()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_keeps_its_digits() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(percentile(&ten, 0.95), Some(9.55));
        assert_eq!(percentile(&ten, 0.0), Some(1.0));
        assert_eq!(percentile(&ten, 1.0), Some(10.0));
        assert_eq!(percentile(&[0.0, 1e9], 0.123456789), Some(123456789.0));
        assert_eq!(percentile(&[f64::INFINITY, f64::INFINITY], 0.5), Some(f64::INFINITY));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
