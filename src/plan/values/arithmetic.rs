//! Arithmetic of decimals, and of decimals with integers, in the types that [`crate::base::decimal`] gives.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array};
use arrow::compute::kernels::{arity, numeric};
use arrow::compute::{cast as arrow_cast, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, DecimalType as _, Field, FieldRef, i256};
use arrow::error::ArrowError;
use datafusion::common::{Result as DataFusionResult, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::base::decimal::{DIGITS_MAX, DecimalType, divide_shifted, multiply_dropping, rescale};
use crate::base::error::Error;
use crate::base::types::sql_type_name;
use crate::operator::error::to_datafusion;

/// `+`, `-`, `*`, `/` or `%` of two decimals; an integer is a decimal without digits behind the point.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct DecimalArithmetic {
    operator: Operator,
    left: DecimalType,
    right: DecimalType,
    result: DecimalType,
    signature: Signature,
}

impl DecimalArithmetic {
    /// The operation on values of these types, if it is arithmetic.
    pub(crate) fn new(operator: Operator, left: DecimalType, right: DecimalType) -> Option<Self> {
        let result = match operator {
            Operator::Plus | Operator::Minus => left.sum(right),
            Operator::Multiply => left.product(right),
            Operator::Divide => left.quotient(right),
            Operator::Modulo => left.remainder(right),
            _ => return None,
        };
        Some(DecimalArithmetic { operator, left, right, result, signature: Signature::any(2, Volatility::Immutable) })
    }

    /// What is computed.
    pub(crate) fn operator(&self) -> Operator {
        self.operator
    }

    /// The type of the result.
    pub(crate) fn result(&self) -> DataType {
        self.result.arrow()
    }

    fn evaluate(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        let natural = self.natural_scale();
        let widest = self.result.precision == DIGITS_MAX;
        let computed = match self.operator {
            Operator::Divide | Operator::Modulo => return self.each(left, right),
            // Arrow's kernels are exact, but have no other scale than the natural one.
            _ if natural != i32::from(self.result.scale) => return self.each(left, right),
            Operator::Plus => numeric::add(left, right),
            Operator::Minus => numeric::sub(left, right),
            _ => numeric::mul(left, right),
        }?;
        let computed = computed.as_primitive::<Decimal128Type>();
        // Where the precision is not the widest, it has room for every result.
        if widest {
            let valid = computed.validate_decimal_precision(DIGITS_MAX);
            valid.map_err(|error| ArrowError::ArithmeticOverflow(error.to_string()))?;
        }
        Ok(Arc::new(computed.clone().with_data_type(self.result())))
    }

    /// The digits behind the point that an exact result has.
    fn natural_scale(&self) -> i32 {
        let (left, right) = (i32::from(self.left.scale), i32::from(self.right.scale));
        if self.operator == Operator::Multiply { left + right } else { left.max(right) }
    }

    /// Value by value.
    fn each(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        let ((left, one_left), (right, one_right)) = (left.get(), right.get());
        let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
        let one = |array: &Decimal128Array| (!array.is_null(0)).then(|| array.value(0));
        let null = |rows: usize| Decimal128Array::new_null(rows);
        let result: Decimal128Array = match (one_left, one_right) {
            (_, true) => match one(right) {
                Some(right) => arity::try_unary(left, |left| self.compute(left, right))?,
                None => null(left.len()),
            },
            (true, false) => match one(left) {
                Some(left) => arity::try_unary(right, |right| self.compute(left, right))?,
                None => null(right.len()),
            },
            (false, false) => arity::try_binary(left, right, |left, right| self.compute(left, right))?,
        };
        Ok(Arc::new(result.with_data_type(self.result())))
    }

    #[inline]
    fn compute(&self, left: i128, right: i128) -> Result<i128, ArrowError> {
        let (from, to) = (self.natural_scale(), self.result.scale);
        let value = match self.operator {
            Operator::Divide | Operator::Modulo if right == 0 => return Err(ArrowError::DivideByZero),
            Operator::Divide => {
                let shift = i32::from(to) - i32::from(self.left.scale) + i32::from(self.right.scale);
                divide_shifted(left, right, shift)
            }
            Operator::Modulo => self.remainder(left, right),
            Operator::Multiply => multiply_dropping(left, right, (from - i32::from(to)).unsigned_abs()),
            _ => {
                // Sums lose digits only where their operands have more than the result: these are rounded first.
                let (left, right) = (rescale(left, self.left.scale, to), rescale(right, self.right.scale, to));
                left.zip(right).and_then(|(left, right)| match self.operator {
                    Operator::Plus => left.checked_add(right),
                    _ => left.checked_sub(right),
                })
            }
        };
        let fitting = value.and_then(|value| self.result.checked(value));
        fitting.ok_or_else(|| ArrowError::ArithmeticOverflow(String::new()))
    }

    fn remainder(&self, left: i128, right: i128) -> Option<i128> {
        let scale = self.left.scale.max(self.right.scale);
        let widen = |value: i128, from: i8| {
            let factor = i256::from_i128(10).checked_pow(u32::from(scale.abs_diff(from)))?;
            i256::from_i128(value).checked_mul(factor)
        };
        match (rescale(left, self.left.scale, scale), rescale(right, self.right.scale, scale)) {
            (Some(left), Some(right)) => left.checked_rem(right),
            _ => widen(left, self.left.scale)?.checked_rem(widen(right, self.right.scale)?)?.to_i128(),
        }
    }

    fn symbol(&self) -> &'static str {
        match self.operator {
            Operator::Plus => "+",
            Operator::Minus => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            _ => "%",
        }
    }
}

/// An operand as an array of `to`, with one value where it is constant.
fn operand(value: &ColumnarValue, to: DecimalType) -> DataFusionResult<(ArrayRef, bool)> {
    let (array, constant) = match value {
        ColumnarValue::Array(array) => (array.clone(), false),
        ColumnarValue::Scalar(value) => (value.to_array()?, true),
    };
    let to = to.arrow();
    Ok((if *array.data_type() == to { array } else { exact(&array, &to)? }, constant))
}

fn exact(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Null => arrow_cast(array, to),
        _ => cast_with_options(array, to, &arrow::compute::CastOptions { safe: false, ..Default::default() }),
    }
}

impl ScalarUDFImpl for DecimalArithmetic {
    fn name(&self) -> &str {
        match self.operator {
            Operator::Plus => "decimal_add",
            Operator::Minus => "decimal_subtract",
            Operator::Multiply => "decimal_multiply",
            Operator::Divide => "decimal_divide",
            _ => "decimal_remainder",
        }
    }

    fn display_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        Ok(format!("({})", args.join(&format!(" {} ", self.symbol()))))
    }

    fn schema_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        let mut name = String::new();
        match args {
            [left, right] => write!(name, "{} {} {}", left.schema_name(), self.symbol(), right.schema_name())?,
            _ => return plan_err!("{} takes two arguments", self.symbol()),
        }
        Ok(name)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.result())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.result(), nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return plan_err!("{} takes two arguments", self.symbol());
        };
        let ((left, one_left), (right, one_right)) = (operand(left, self.left)?, operand(right, self.right)?);
        let scalar = arrow::array::Scalar::new;
        let result = match (one_left, one_right) {
            (false, false) => self.evaluate(&left, &right),
            (false, true) => self.evaluate(&left, &scalar(right)),
            (true, false) => self.evaluate(&scalar(left), &right),
            (true, true) => self.evaluate(&left, &right),
        };
        let result = result.map_err(|error| match error {
            ArrowError::ArithmeticOverflow(_) => to_datafusion(
                Error::data(format!("{} out of range", sql_type_name(&self.result()).to_lowercase()))
                    .with_sqlstate("22003")
                    .with_hint("cast an operand to DOUBLE"),
            ),
            other => other.into(),
        })?;
        match one_left && one_right {
            true => ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}

// The widest decimal of Arrow is the widest of ours.
const _: () = assert!(Decimal128Type::MAX_PRECISION == DIGITS_MAX);
