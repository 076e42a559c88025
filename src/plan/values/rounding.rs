//! `round`, `ceil`, `floor`, `trunc` and `sign` of decimals: exact, in a type fixed when they are bound; and `round` of
//! floats.
//!
//! The digits kept are part of the function, not an argument, because the type of the result depends on them: a type
//! that is found again whenever constants are folded would change under the columns made of it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::compute::cast;
use arrow::compute::kernels::arity;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int64Type};
use arrow::error::ArrowError;
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result as DataFusionResult, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::base::decimal::{DIGITS_MAX, DecimalType, divide_rounded, power_of_ten, rescale};
use crate::base::error::Error;
use crate::base::types::sql_type_name;
use crate::operator::error::to_datafusion;

/// Where digits go that are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rounding {
    /// To the nearest, halves away from zero.
    Nearest,
    /// Towards zero.
    Zero,
    /// Upwards.
    Up,
    /// Downwards.
    Down,
    /// All of them: -1, 0 or 1.
    Sign,
}

/// How many digits are kept behind the point; less than none are zeros before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Places {
    /// So many.
    Fixed(i64),
    /// As the second argument says, value by value.
    Given,
}

/// A decimal with fewer digits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct DecimalRounding {
    name: String,
    rounding: Rounding,
    places: Places,
    from: DecimalType,
    result: DecimalType,
    signature: Signature,
}

impl DecimalRounding {
    /// The function called `name` on values of `from`.
    pub(crate) fn new(name: &str, rounding: Rounding, places: Places, from: DecimalType) -> Self {
        let (result, arguments) = match (rounding, places) {
            (Rounding::Sign, _) => (DecimalType { precision: 1, scale: 0 }, 1),
            (_, Places::Fixed(places)) => (from.rounded(places), 1),
            (_, Places::Given) => {
                let precision = from.precision.saturating_add(1).min(DIGITS_MAX);
                (DecimalType { precision, scale: from.scale }, 2)
            }
        };
        let signature = Signature::any(arguments, Volatility::Immutable);
        DecimalRounding { name: name.to_string(), rounding, places, from, result, signature }
    }

    fn compute(&self, value: i128, places: i64) -> Result<i128, ArrowError> {
        if self.rounding == Rounding::Sign {
            return Ok(value.signum());
        }
        let drop = i64::from(self.from.scale) - places;
        let kept = match u32::try_from(drop) {
            Err(_) | Ok(0) => Some(value),
            Ok(drop) => self.keep(value, drop.min(u32::from(DIGITS_MAX))),
        };
        let rounded = kept.and_then(|value| rescale(value, self.from.scale, self.result.scale));
        let fitting = rounded.and_then(|value| self.result.checked(value));
        fitting.ok_or_else(|| ArrowError::ArithmeticOverflow(String::new()))
    }

    /// The value with its last `drop` digits rounded to zeros.
    fn keep(&self, value: i128, drop: u32) -> Option<i128> {
        let unit = i128::try_from(power_of_ten(drop)).ok()?;
        let quotient = match self.rounding {
            Rounding::Nearest => divide_rounded(value, unit.unsigned_abs()),
            Rounding::Up => value.div_euclid(unit) + i128::from(value.rem_euclid(unit) > 0),
            Rounding::Down => value.div_euclid(unit),
            Rounding::Zero | Rounding::Sign => value / unit,
        };
        quotient.checked_mul(unit)
    }
}

impl ScalarUDFImpl for DecimalRounding {
    fn name(&self) -> &str {
        &self.name
    }

    fn display_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        let mut args: Vec<String> = args.iter().map(ToString::to_string).collect();
        if let Places::Fixed(places) = self.places {
            args.push(places.to_string());
        }
        Ok(format!("{}({})", self.name, args.join(", ")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.result.arrow())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.result.arrow(), nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let arrays = args.args.iter().map(|argument| argument.to_array(args.number_rows));
        let arrays = arrays.collect::<DataFusionResult<Vec<_>>>()?;
        let decimals = |array| cast(array, &self.from.arrow());
        let rounded = match (self.places, arrays.as_slice()) {
            (Places::Fixed(places), [values]) => {
                arity::try_unary(decimals(values)?.as_primitive::<Decimal128Type>(), |value| {
                    self.compute(value, places)
                })
            }
            (Places::Given, [values, places]) => {
                let places = cast(places, &DataType::Int64)?;
                let places: &Int64Array = places.as_primitive::<Int64Type>();
                let values = decimals(values)?;
                arity::try_binary(values.as_primitive::<Decimal128Type>(), places, |value, places| {
                    self.compute(value, places)
                })
            }
            _ => return plan_err!("{} was given {} arguments", self.name, arrays.len()),
        };
        let rounded: Decimal128Array = rounded.map_err(|error| match error {
            ArrowError::ArithmeticOverflow(_) => {
                let name = sql_type_name(&self.result.arrow()).to_lowercase();
                to_datafusion(Error::data(format!("{name} out of range")).with_sqlstate("22003"))
            }
            other => other.into(),
        })?;
        debug_assert_eq!(rounded.len(), args.number_rows);
        Ok(ColumnarValue::Array(Arc::new(rounded.with_data_type(self.result.arrow()))))
    }
}

/// `round(x)` of a float, halves to the even number, as PostgreSQL and IEEE 754 round it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct FloatRounding {
    signature: Signature,
}

impl FloatRounding {
    pub(crate) fn new() -> Self {
        FloatRounding { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FloatRounding {
    fn name(&self) -> &str {
        "round"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Float64))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [argument] = take_function_args(self.name(), args.args)?;
        let values = argument.to_array(args.number_rows)?;
        let rounded: ArrayRef = match values.data_type() {
            DataType::Float32 => {
                Arc::new(arity::unary::<_, _, Float32Type>(values.as_primitive::<Float32Type>(), f32::round_ties_even))
            }
            DataType::Float64 => {
                Arc::new(arity::unary::<_, _, Float64Type>(values.as_primitive::<Float64Type>(), f64::round_ties_even))
            }
            other => return plan_err!("round() of {other} is not one of floats"),
        };
        Ok(ColumnarValue::Array(rounded))
    }
}
