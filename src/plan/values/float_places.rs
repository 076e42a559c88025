//! `round(x, n)` and `trunc(x, n)` of floats, whatever n is.
//!
//! DataFusion multiplies by the power of ten and divides by it, which is NaN where the power is infinite or zero. Here
//! a float that has no more digits than are kept is itself, and one of which no digit is kept is zero.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::compute::kernels::arity;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use datafusion::common::Result as DataFusionResult;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// No float has a digit so far from its point.
const PLACES_MAX: i64 = 400;

/// A float with so many digits behind the point; less than none are zeros before it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct FloatPlaces {
    /// Whether digits are cut off; else they are rounded, halves away from zero.
    cuts: bool,
    signature: Signature,
}

impl FloatPlaces {
    /// The function called `name` of arguments of these types, if it is `round` or `trunc` of a float.
    pub(crate) fn of(name: &str, types: &[Option<DataType>]) -> Option<Self> {
        let [Some(value), Some(places)] = types else { return None };
        let cuts = match name {
            "round" if value.is_floating() => false,
            // An integer that is cut is a DOUBLE, one that is rounded an integer.
            "trunc" if value.is_floating() || value.is_integer() => true,
            _ => return None,
        };
        places.is_integer().then(|| FloatPlaces { cuts, signature: Signature::any(2, Volatility::Immutable) })
    }
}

macro_rules! with_places {
    ($name:ident, $float:ty) => {
        fn $name(value: $float, places: i64, cuts: bool) -> $float {
            let whole = |value: $float| if cuts { value.trunc() } else { value.round() };
            let power = 10_f64.powi(places.clamp(-PLACES_MAX, PLACES_MAX).unsigned_abs() as i32) as $float;
            if places < 0 {
                // A division, because no float is a tenth.
                let rounded = whole(value / power) * power;
                return match rounded.is_nan() {
                    true if value.is_finite() => 0.0,
                    true => value,
                    false => rounded,
                };
            }
            let scaled = value * power;
            // From here on floats are whole numbers, infinity included: nothing is left to round.
            let is_whole = scaled.is_nan() || scaled.abs() >= <$float>::EPSILON.recip();
            if is_whole { value } else { whole(scaled) / power }
        }
    };
}

with_places!(single, f32);
with_places!(double, f64);

impl ScalarUDFImpl for FloatPlaces {
    fn name(&self) -> &str {
        if self.cuts { "trunc" } else { "round" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(match types.first() {
            Some(DataType::Float32) => DataType::Float32,
            _ => DataType::Float64,
        })
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [values, places] = take_function_args(self.name(), args.args)?;
        let (values, places) = (values.to_array(args.number_rows)?, places.to_array(args.number_rows)?);
        let places = cast(&places, &DataType::Int64)?;
        let places: &Int64Array = places.as_primitive::<Int64Type>();
        let computed: ArrayRef = match values.data_type() {
            DataType::Float32 => {
                let values = values.as_primitive::<Float32Type>();
                let computed: Float32Array =
                    arity::binary(values, places, |value, places| single(value, places, self.cuts))?;
                Arc::new(computed)
            }
            _ => {
                let values = cast(&values, &DataType::Float64)?;
                let values = values.as_primitive::<Float64Type>();
                let computed: Float64Array =
                    arity::binary(values, places, |value, places| double(value, places, self.cuts))?;
                Arc::new(computed)
            }
        };
        Ok(ColumnarValue::Array(computed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_places_gives_a_number() {
        let (round, trunc) =
            (|value, places| double(value, places, false), |value, places| double(value, places, true));
        for places in [300, 308, 309, 323, 1000, i64::MAX] {
            for value in [1.25, -7e300, f64::MAX, 0.0] {
                assert_eq!((round(value, places), trunc(value, places)), (value, value), "{places}");
            }
        }
        for places in [-309, -1000, i64::MIN] {
            assert_eq!((round(1.5e308, places), trunc(f64::MAX, places)), (0.0, 0.0), "{places}");
        }
        assert_eq!((round(1250.0, -2), trunc(-1299.0, -2)), (1300.0, -1200.0));
        assert_eq!(round(f64::INFINITY, -1000), f64::INFINITY);
        assert_eq!(trunc(f64::NEG_INFINITY, 2), f64::NEG_INFINITY);
        assert!(round(f64::NAN, -1000).is_nan());
        assert_eq!((single(1.5, 40, false), single(1e38, -1000, true)), (1.5, 0.0));
    }
}
