//! `width_bucket(x, low, high, count)`: in which of so many equal parts of a range a number lies, counted from 1.
//!
//! What lies below the range is in part 0, what lies at its end or above in the one after the last; a range may go down,
//! as in PostgreSQL. It is computed in DOUBLE.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::base::error::{Error, Result};
use crate::operator::error::to_datafusion;

/// `width_bucket(x, low, high, count)`.
pub(super) fn function() -> ScalarUDF {
    let types = vec![DataType::Float64, DataType::Float64, DataType::Float64, DataType::Int64];
    ScalarUDF::from(WidthBucket { signature: Signature::exact(types, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WidthBucket {
    signature: Signature,
}

impl ScalarUDFImpl for WidthBucket {
    fn name(&self) -> &str {
        "width_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Int32)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let arrays = args.args.iter().map(|argument| argument.to_array(args.number_rows));
        let arrays: Vec<ArrayRef> = arrays.collect::<DataFusionResult<_>>()?;
        let [numbers @ .., counts] = arrays.as_slice() else {
            return datafusion::common::plan_err!("width_bucket() takes four arguments");
        };
        let numbers = numbers.iter().map(|array| cast(array, &DataType::Float64));
        let numbers = numbers.collect::<std::result::Result<Vec<_>, _>>()?;
        let counts = cast(counts, &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>();
        let part = |row: usize| {
            let is_null = counts.is_null(row) || numbers.iter().any(|array| array.is_null(row));
            let number = |place: usize| numbers[place].as_primitive::<Float64Type>().value(row);
            match is_null {
                true => Ok(None),
                false => bucket(number(0), number(1), number(2), counts.value(row)).map(Some),
            }
        };
        let parts: Int32Array = (0..args.number_rows).map(part).collect::<Result<_>>().map_err(to_datafusion)?;
        Ok(ColumnarValue::Array(Arc::new(parts)))
    }
}

fn bucket(value: f64, low: f64, high: f64, count: i64) -> Result<i32> {
    let invalid = |message: &str| Err(Error::data(message).with_sqlstate("2201G"));
    if count <= 0 {
        return invalid("the count of width_bucket() must be greater than zero");
    }
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return invalid("the operand and the bounds of width_bucket() cannot be NaN");
    }
    if low.is_infinite() || high.is_infinite() {
        return invalid("the bounds of width_bucket() must be finite");
    }
    if low == high {
        return invalid("the lower bound of width_bucket() cannot equal the upper bound");
    }
    // A range that goes down is one that goes up, seen in a mirror.
    let (value, low, high) = if low < high { (value, low, high) } else { (-value, -low, -high) };
    let part = if value < low {
        0
    } else if value >= high {
        count.saturating_add(1)
    } else {
        // Halves of all, because the width of a range may be more than a DOUBLE holds.
        let share = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
        ((share * count as f64) as i64).min(count - 1) + 1
    };
    i32::try_from(part).map_err(|_| Error::data("integer out of range").with_sqlstate("22003"))
}
