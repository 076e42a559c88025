//! Arithmetic that never wraps.
//!
//! DataFusion computes `9223372036854775807 + 1` as the smallest BIGINT, and lets a DECIMAL(38,0) have 39 digits. After
//! types are settled, every `+`, `-`, `*` and negation of integers and of the widest decimals becomes a call of
//! [`CheckedArithmetic`], which raises 22003 instead and displays as the operator did, so that no name in the plan
//! changes. Folding of constants leaves a failing call in the plan, to fail when, and only if, it is evaluated.
//! Division is left to DataFusion, which checks it.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::kernels::numeric;
use arrow::datatypes::{
    ArrowNativeTypeOp, DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type,
    Field, FieldRef, Int32Type, Int64Type,
};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result as DataFusionResult, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::base::error::{Error, Result};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::walk::{WalkDeep, rewrite_node};

/// Replaces the arithmetic that may not fit in every expression of a typed plan.
pub(crate) fn check_arithmetic(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| {
        let schema = merge_schema(&node.inputs());
        rewrite_node(node, &mut |expr| check(expr, &schema))
    })
    .data()
    .map_err(from_datafusion)
}

fn check(expr: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    let (operation, arguments, data_type) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let operation = match op {
                Operator::Plus => Operation::Add,
                Operator::Minus => Operation::Subtract,
                Operator::Multiply => Operation::Multiply,
                _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            };
            match checked_type(type_of(&left, schema), op, type_of(&right, schema)) {
                Some(data_type) => (operation, vec![*left, *right], data_type),
                None => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            }
        }
        Expr::Negative(inner) => match type_of(&inner, schema).filter(DataType::is_integer) {
            Some(data_type) => (Operation::Negate, vec![*inner], data_type),
            None => return Ok(Transformed::no(Expr::Negative(inner))),
        },
        other => return Ok(Transformed::no(other)),
    };
    let function = Arc::new(ScalarUDF::from(CheckedArithmetic::new(operation, data_type)));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments))))
}

/// The type of the result, if it is one to be checked.
fn checked_type(left: Option<DataType>, op: Operator, right: Option<DataType>) -> Option<DataType> {
    let (left, right) = (left?, right?);
    if left.is_integer() {
        return (left == right).then_some(left);
    }
    if !left.is_decimal() || !right.is_decimal() {
        return None;
    }
    // Where the precision is not the widest, it has room for every result.
    let result = BinaryTypeCoercer::new(&left, &op, &right).get_result_type().ok();
    result.filter(|data_type| match data_type {
        DataType::Decimal128(precision, _) => *precision == DECIMAL128_MAX_PRECISION,
        DataType::Decimal256(precision, _) => *precision == DECIMAL256_MAX_PRECISION,
        _ => false,
    })
}

/// The expression's type; none where it is not known yet (lambda variables).
fn type_of(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    if let Expr::ScalarFunction(call) = expr
        && let Some(checked) = call.func.inner().downcast_ref::<CheckedArithmetic>()
    {
        // Known without looking further down: chains of a thousand terms stay linear.
        return Some(checked.data_type.clone());
    }
    expr.get_type(schema).ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

/// `+`, `-`, `*` and negation, with an error where the result does not fit.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CheckedArithmetic {
    operation: Operation,
    data_type: DataType,
    signature: Signature,
}

impl CheckedArithmetic {
    fn new(operation: Operation, data_type: DataType) -> Self {
        let arguments = if operation == Operation::Negate { 1 } else { 2 };
        let signature = match data_type.is_integer() {
            true => Signature::exact(vec![data_type.clone(); arguments], Volatility::Immutable),
            // The kernel takes decimals of different scales.
            false => Signature::any(arguments, Volatility::Immutable),
        };
        CheckedArithmetic { operation, data_type, signature }
    }

    fn symbol(&self) -> &'static str {
        match self.operation {
            Operation::Add => "+",
            Operation::Subtract | Operation::Negate => "-",
            Operation::Multiply => "*",
        }
    }

    fn evaluate(&self, args: &ScalarFunctionArgs) -> std::result::Result<ColumnarValue, ArrowError> {
        match (self.operation, args.args.as_slice()) {
            (Operation::Negate, [ColumnarValue::Array(array)]) => Ok(ColumnarValue::Array(numeric::neg(array)?)),
            (Operation::Negate, [ColumnarValue::Scalar(value)]) => {
                let array = value.to_array().map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
                scalar(&numeric::neg(&array)?)
            }
            (_, [ColumnarValue::Array(left), ColumnarValue::Array(right)]) => {
                Ok(ColumnarValue::Array(self.arrays(left, right)?))
            }
            (_, [ColumnarValue::Array(left), ColumnarValue::Scalar(right)]) => {
                Ok(ColumnarValue::Array(self.kernel(left, &one(right)?)?))
            }
            (_, [ColumnarValue::Scalar(left), ColumnarValue::Array(right)]) => {
                Ok(ColumnarValue::Array(self.kernel(&one(left)?, right)?))
            }
            (_, [ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)]) => {
                scalar(&self.kernel(&one(left)?, &one(right)?)?)
            }
            _ => Err(ArrowError::InvalidArgumentError(format!("{} takes one or two arguments", self.symbol()))),
        }
    }

    fn kernel(&self, left: &dyn Datum, right: &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> {
        let result = match self.operation {
            Operation::Add => numeric::add(left, right),
            Operation::Subtract | Operation::Negate => numeric::sub(left, right),
            Operation::Multiply => numeric::mul(left, right),
        }?;
        let checked = match &self.data_type {
            DataType::Decimal128(precision, _) => {
                result.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)
            }
            DataType::Decimal256(precision, _) => {
                result.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision)
            }
            _ => Ok(()),
        };
        checked.map_err(|error| ArrowError::ArithmeticOverflow(error.to_string()))?;
        Ok(result)
    }

    /// Two columns: computed without a branch per row where the type allows, and again with one if a row overflowed.
    fn arrays(&self, left: &ArrayRef, right: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
        let fast = match self.data_type {
            DataType::Int64 => wrapping::<Int64Type>(self.operation, left, right),
            DataType::Int32 => wrapping::<Int32Type>(self.operation, left, right),
            _ => None,
        };
        match fast {
            Some(result) => Ok(result),
            None => self.kernel(left, right),
        }
    }
}

/// Sum or difference of two columns without nulls, or `None` where any row overflows or the kernel must decide.
fn wrapping<T: ArrowPrimitiveType>(operation: Operation, left: &ArrayRef, right: &ArrayRef) -> Option<ArrayRef>
where
    T::Native: ArrowNativeTypeOp + std::ops::BitXor<Output = T::Native> + std::ops::BitAnd<Output = T::Native>,
    T::Native: std::ops::BitOr<Output = T::Native> + PartialOrd,
{
    if left.null_count() > 0 || right.null_count() > 0 || left.len() != right.len() {
        return None;
    }
    let (l, r) = (left.as_primitive_opt::<T>()?.values(), right.as_primitive_opt::<T>()?.values());
    // Two loops, each of which the compiler makes vector instructions of; one that does both, it does not.
    let values: ScalarBuffer<T::Native> = match operation {
        Operation::Add => l.iter().zip(r).map(|(&a, &b)| a.add_wrapping(b)).collect(),
        Operation::Subtract => l.iter().zip(r).map(|(&a, &b)| a.sub_wrapping(b)).collect(),
        _ => return None,
    };
    // The sign bit is set once any row overflowed.
    let rows = l.iter().zip(r).zip(&values);
    let signs = match operation {
        Operation::Add => rows.fold(T::Native::ZERO, |signs, ((&a, &b), &sum)| signs | ((a ^ sum) & (b ^ sum))),
        _ => rows.fold(T::Native::ZERO, |signs, ((&a, &b), &difference)| signs | ((a ^ b) & (a ^ difference))),
    };
    (signs >= T::Native::ZERO).then(|| Arc::new(PrimitiveArray::<T>::new(values, None)) as ArrayRef)
}

fn one(value: &ScalarValue) -> std::result::Result<arrow::array::Scalar<ArrayRef>, ArrowError> {
    value.to_scalar().map_err(|error| ArrowError::ExternalError(Box::new(error)))
}

fn scalar(array: &ArrayRef) -> std::result::Result<ColumnarValue, ArrowError> {
    let value = ScalarValue::try_from_array(array, 0);
    value.map(ColumnarValue::Scalar).map_err(|error| ArrowError::ExternalError(Box::new(error)))
}

impl ScalarUDFImpl for CheckedArithmetic {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
            Operation::Negate => "checked_negate",
        }
    }

    fn schema_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        let mut name = String::new();
        match args {
            [argument] => write!(name, "(- {})", argument.schema_name())?,
            [left, right] => write!(name, "{} {} {}", left.schema_name(), self.symbol(), right.schema_name())?,
            _ => return plan_err!("{} takes one or two arguments", self.symbol()),
        }
        Ok(name)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.data_type.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.data_type.clone(), nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        self.evaluate(&args).map_err(|error| match error {
            ArrowError::ArithmeticOverflow(_) => to_datafusion(
                Error::data(format!(
                    "{} out of range",
                    crate::base::types::sql_type_name(&self.data_type).to_lowercase()
                ))
                .with_sqlstate("22003")
                .with_hint(match self.data_type.is_integer() {
                    true => "cast an operand to a wider type, for example DECIMAL(38,0)",
                    false => "cast an operand to DOUBLE",
                }),
            ),
            other => other.into(),
        })
    }
}
