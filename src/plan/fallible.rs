//! Which expressions can fail on some row.
//!
//! What is not known to give a value for every row is taken to fail: a function that is not listed, a cast that is not
//! lossless. What fails only because a number leaves its type's range ([`Failure::Range`]) is told apart, since almost
//! all arithmetic is of that kind and rarely meant to be guarded.

use std::sync::Arc;

use arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ExprSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::physical_expr::expressions as physical;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::plan::rewrite::checked_arithmetic::CheckedArithmetic;
use crate::plan::walk::Walk;

/// How an expression can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The result may be too large for its type.
    Range,
    /// There may be no result for the value.
    Value,
}

/// Functions that give a value, or NULL, for all values of their arguments' types.
const TOTAL: [&str; 70] = [
    "abs",
    "array_contains",
    "array_has",
    "array_length",
    "array_position",
    "array_slice",
    "array_to_string",
    "arrow_typeof",
    "ascii",
    "atan",
    "atan2",
    "bit_length",
    "btrim",
    "cardinality",
    "cbrt",
    "ceil",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "cos",
    "date_part",
    "date_trunc",
    "degrees",
    "empty",
    "ends_with",
    "flatten",
    "floor",
    "get_field",
    "greatest",
    "initcap",
    "isnan",
    "iszero",
    "least",
    "left",
    "levenshtein",
    "list_contains",
    "lower",
    "ltrim",
    "make_array",
    "map_extract",
    "map_keys",
    "map_values",
    "md5",
    "named_struct",
    "nanvl",
    "nullif",
    "nvl2",
    "octet_length",
    "pi",
    "position",
    "radians",
    "random",
    "replace",
    "reverse",
    "right",
    "rtrim",
    "sha256",
    "signum",
    "sin",
    "starts_with",
    "strpos",
    "struct",
    "tan",
    "tanh",
    "to_hex",
    "translate",
    "upper",
    "uuid",
];

/// Functions that are total where all arguments but the first are constants, which the planner has looked at.
const TOTAL_WITH_CONSTANTS: [&str; 15] = [
    "date_bin",
    "lpad",
    "overlay",
    "regexp_count",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "round",
    "rpad",
    "split_part",
    "substr",
    "substr_index",
    "substring",
    "to_char",
    "trunc",
];

/// How the expression's own operation can fail, its operands aside.
pub(crate) fn own_failure(expr: &Expr, schema: &dyn ExprSchema) -> Option<Failure> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op, right, .. }) => match op {
            Operator::Divide | Operator::Modulo | Operator::IntegerDivide if !is_safe_divisor(right) => {
                Some(Failure::Value)
            }
            Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch
                if !matches!(right.as_ref(), Expr::Literal(..)) =>
            {
                Some(Failure::Value)
            }
            _ => None,
        },
        Expr::Cast(cast) => match cast.expr.get_type(schema) {
            Ok(from) => cast_failure(&from, cast.field.data_type()),
            Err(_) => Some(Failure::Value),
        },
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            if func.inner().downcast_ref::<CheckedArithmetic>().is_some() {
                return Some(Failure::Range);
            }
            let constant = args.iter().skip(1).all(|argument| matches!(argument, Expr::Literal(..)));
            function_failure(func.name(), constant)
        }
        _ => None,
    }
}

/// Whether any part of the expression can fail; operands that are constants were computed before.
pub(crate) fn can_fail(expr: &Expr, schema: &dyn ExprSchema) -> bool {
    expr.exists(|part| Ok(own_failure(part, schema).is_some())).unwrap_or(true)
}

/// As [`can_fail`], for a compiled expression over columns of known types.
pub(crate) fn physical_can_fail(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
    let mut fails = false;
    expr.apply(|part| {
        fails |= own_physical_failure(part, schema)?;
        Ok(if fails { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(fails)
}

fn own_physical_failure(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
    if let Some(binary) = expr.downcast_ref::<physical::BinaryExpr>() {
        let constant = binary.right().downcast_ref::<physical::Literal>();
        return Ok(match binary.op() {
            Operator::Divide | Operator::Modulo | Operator::IntegerDivide => {
                !constant.is_some_and(|literal| divides(literal.value()))
            }
            Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch => {
                constant.is_none()
            }
            _ => false,
        });
    }
    if let Some(cast) = expr.downcast_ref::<physical::CastExpr>() {
        return Ok(cast_failure(&cast.expr().data_type(schema)?, cast.cast_type()).is_some());
    }
    if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        let literal = |argument: &Arc<dyn PhysicalExpr>| argument.downcast_ref::<physical::Literal>().is_some();
        let checked = call.fun().inner().downcast_ref::<CheckedArithmetic>().is_some();
        return Ok(checked || function_failure(call.fun().name(), call.args().iter().skip(1).all(literal)).is_some());
    }
    let total = expr.downcast_ref::<physical::Column>().is_some()
        || expr.downcast_ref::<physical::Literal>().is_some()
        || expr.downcast_ref::<physical::CaseExpr>().is_some()
        || expr.downcast_ref::<physical::NotExpr>().is_some()
        || expr.downcast_ref::<physical::IsNullExpr>().is_some()
        || expr.downcast_ref::<physical::IsNotNullExpr>().is_some()
        || expr.downcast_ref::<physical::InListExpr>().is_some()
        || expr.downcast_ref::<physical::LikeExpr>().is_some()
        || expr.downcast_ref::<physical::NegativeExpr>().is_some()
        || expr.downcast_ref::<physical::TryCastExpr>().is_some();
    Ok(!total)
}

fn function_failure(name: &str, constant_arguments: bool) -> Option<Failure> {
    // Those that rewrites put in were made for all values of their types.
    if matches!(name, "decimal_add" | "decimal_subtract" | "decimal_multiply") {
        return Some(Failure::Range);
    }
    let total = name.starts_with("eddy_")
        || TOTAL.contains(&name)
        || (constant_arguments && TOTAL_WITH_CONSTANTS.contains(&name));
    (!total).then_some(Failure::Value)
}

fn is_safe_divisor(divisor: &Expr) -> bool {
    matches!(divisor, Expr::Literal(value, _) if divides(value))
}

/// Whether every number can be divided by the value: not by zero, and the smallest not by -1.
fn divides(value: &ScalarValue) -> bool {
    let equals = |number: i64| {
        ScalarValue::new_primitive::<Int64Type>(Some(number), &DataType::Int64)
            .and_then(|number| number.cast_to(&value.data_type()))
            .is_ok_and(|number| number == *value)
    };
    value.is_null() || (value.data_type().is_numeric() && !equals(0) && !equals(-1))
}

fn cast_failure(from: &DataType, to: &DataType) -> Option<Failure> {
    let lossless = from == to
        || from.is_null()
        || (to.is_string() && !from.is_nested() && !from.is_binary())
        || is_wider_number(from, to)
        || matches!((from, to), (DataType::Date32, DataType::Timestamp(..) | DataType::Date64))
        || matches!(
            (from, to),
            (DataType::Timestamp(..), DataType::Timestamp(..) | DataType::Date32 | DataType::Time64(_))
        )
        || matches!((from, to), (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, other) if other.is_binary());
    (!lossless).then_some(Failure::Value)
}

fn is_wider_number(from: &DataType, to: &DataType) -> bool {
    if *from == DataType::Boolean {
        return to.is_integer();
    }
    if !from.is_numeric() {
        return false;
    }
    if to.is_floating() {
        return true;
    }
    match (integer_digits(from), to) {
        (Some(digits), DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) => {
            i16::from(*precision) - i16::from(*scale) >= digits
        }
        (Some(_), to) if from.is_integer() && to.is_integer() => {
            let (narrow, wide) = (from.primitive_width(), to.primitive_width());
            match (from.is_signed_integer(), to.is_signed_integer()) {
                (true, false) => false,
                (false, true) => narrow < wide,
                _ => narrow <= wide,
            }
        }
        _ => false,
    }
}

/// The most digits before the point that values of the type have.
fn integer_digits(data_type: &DataType) -> Option<i16> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        DataType::UInt64 => 20,
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            i16::from(*precision) - i16::from(*scale)
        }
        _ => return None,
    })
}
