//! `width_bucket(x, low, high, count)`: in which of so many equal parts of a range a number lies, counted from 1.
//!
//! What lies below the range is in part 0, what lies at its end or above in the one after the last; a range may go down,
//! as in PostgreSQL. It is exact for decimals and computed in DOUBLE for other numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, i256};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::base::error::{Error, Result};
use crate::operator::error::to_datafusion;

/// What an integer is as a decimal.
const INTEGER: DataType = DataType::Decimal128(20, 0);

/// `width_bucket(x, low, high, count)`.
pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(WidthBucket { signature: Signature::user_defined(Volatility::Immutable) })
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

    /// Decimals, and integers beside them, stay exact; other numbers are DOUBLE.
    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        let is_number = |given: &DataType| given.is_numeric() || given.is_null();
        if types.len() != 4 || !types.iter().all(is_number) {
            return datafusion::common::plan_err!("width_bucket() takes four numbers");
        }
        let numbers = &types[..3];
        let exact = numbers.iter().map(|number| match number {
            DataType::Decimal128(..) => Some(number.clone()),
            number if number.is_integer() || number.is_null() => Some(INTEGER),
            _ => None,
        });
        match exact.collect::<Option<Vec<_>>>() {
            Some(exact) if numbers.iter().any(DataType::is_decimal) => {
                Ok(exact.into_iter().chain([DataType::Int64]).collect())
            }
            _ => Ok(vec![DataType::Float64, DataType::Float64, DataType::Float64, DataType::Int64]),
        }
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
        let counts = cast(counts, &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>();
        let parts = match numbers.iter().all(|number| number.data_type().is_decimal()) {
            true => parts(&decimals(numbers), counts, bucket_of_decimals),
            false => parts(&doubles(numbers)?, counts, bucket),
        };
        Ok(ColumnarValue::Array(Arc::new(parts.map_err(to_datafusion)?)))
    }
}

/// The part of every row, given its number and bounds.
fn parts<T: Copy>(
    numbers: &[Vec<Option<T>>],
    counts: &Int64Array,
    bucket: fn(T, T, T, i64) -> Result<i32>,
) -> Result<Int32Array> {
    let [values, lows, highs] = numbers else { return Err(Error::internal("width_bucket() without bounds")) };
    let rows = values.iter().zip(lows).zip(highs).zip(counts);
    rows.map(|(((value, low), high), count)| match (value, low, high, count) {
        (Some(value), Some(low), Some(high), Some(count)) => bucket(*value, *low, *high, count).map(Some),
        _ => Ok(None),
    })
    .collect()
}

fn doubles(arrays: &[ArrayRef]) -> DataFusionResult<Vec<Vec<Option<f64>>>> {
    let column = |array: &ArrayRef| -> DataFusionResult<_> {
        Ok(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().iter().collect())
    };
    arrays.iter().map(column).collect()
}

/// Decimals as whole numbers of the last place that any of them has: 76 digits, which 256 bits hold.
fn decimals(arrays: &[ArrayRef]) -> Vec<Vec<Option<i256>>> {
    let scale = |array: &ArrayRef| match array.data_type() {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    };
    let most = arrays.iter().map(scale).max().unwrap_or(0);
    let column = |array: &ArrayRef| {
        let factor = i256::from_i128(10).wrapping_pow(u32::from(most.abs_diff(scale(array))));
        let values = array.as_primitive::<Decimal128Type>().iter();
        values.map(|value| value.map(|value| i256::from_i128(value).wrapping_mul(factor))).collect()
    };
    arrays.iter().map(column).collect()
}

fn invalid(message: &str) -> Result<i32> {
    Err(Error::data(message).with_sqlstate("2201G"))
}

fn bucket_of_decimals(value: i256, low: i256, high: i256, count: i64) -> Result<i32> {
    // A range that goes down is one that goes up, seen in a mirror.
    let (value, low, high) = if low < high { (value, low, high) } else { (-value, -low, -high) };
    numbered(value, low, high, count, || {
        let (above, width, parts) = (value - low, high - low, i256::from_i128(i128::from(count)));
        // Where the product has no room, the width of a part has digits enough.
        let share = above.checked_mul(parts).map_or_else(|| above / (width / parts), |scaled| scaled / width);
        share.to_i128().and_then(|share| i64::try_from(share).ok()).unwrap_or(count)
    })
}

fn bucket(value: f64, low: f64, high: f64, count: i64) -> Result<i32> {
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return invalid("the operand and the bounds of width_bucket() cannot be NaN");
    }
    if low.is_infinite() || high.is_infinite() {
        return invalid("the bounds of width_bucket() must be finite");
    }
    let (value, low, high) = if low < high { (value, low, high) } else { (-value, -low, -high) };
    // Halves of all, because the width of a range may be more than a DOUBLE holds.
    let share = || (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
    numbered(value, low, high, count, || (share() * count as f64) as i64)
}

/// The number of the part of a range that goes up; `before` counts the parts that end before the value inside it.
fn numbered<T: PartialOrd>(value: T, low: T, high: T, count: i64, before: impl FnOnce() -> i64) -> Result<i32> {
    if count <= 0 {
        return invalid("the count of width_bucket() must be greater than zero");
    }
    if low == high {
        return invalid("the lower bound of width_bucket() cannot equal the upper bound");
    }
    let part = if value < low {
        0
    } else if value >= high {
        count.saturating_add(1)
    } else {
        before().min(count - 1) + 1
    };
    i32::try_from(part).map_err(|_| Error::data("integer out of range").with_sqlstate("22003"))
}
