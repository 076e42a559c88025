//! Operands that an operator does not take, refused before DataFusion casts one to the type of the other.
//!
//! It would read a number as a date to compare the two, and cut a decimal to an integer to shift its bits; PostgreSQL
//! has no such operators (42883). What DataFusion refuses itself is not looked at here.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{Between, InList, InSubquery, ScalarFunction, SetComparison};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator, Subquery};

use super::one_type::type_of;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;

/// Refuses the expression if its operands are none of its operator.
pub(super) fn check(expr: &Expr, schema: &DFSchema) -> Result<()> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            check_comparison(left, &op.to_string(), right, schema)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_bitwise(*op) => check_bits(left, *op, right, schema),
        Expr::Between(Between { expr, low, high, .. }) => {
            check_comparison(expr, ">=", low, schema)?;
            check_comparison(expr, "<=", high, schema)
        }
        Expr::InList(InList { expr, list, .. }) => {
            list.iter().try_for_each(|item| check_comparison(expr, "=", item, schema))
        }
        Expr::Case(Case { expr: Some(expr), when_then_expr, .. }) => {
            when_then_expr.iter().try_for_each(|(when, _)| check_comparison(expr, "=", when, schema))
        }
        Expr::InSubquery(InSubquery { expr, subquery, .. }) => check_subquery(expr, "=", subquery, schema),
        Expr::SetComparison(SetComparison { expr, subquery, op, .. }) => {
            check_subquery(expr, &op.to_string(), subquery, schema)
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "nullif" => match args.as_slice() {
            [left, right] => check_comparison(left, "=", right, schema),
            _ => Ok(()),
        },
        Expr::ScalarFunction(ScalarFunction { func, args }) if matches!(func.name(), "greatest" | "least") => {
            let types: Vec<DataType> = args.iter().filter_map(|argument| type_of(argument, schema)).collect();
            match types.iter().find(|other| check_types(&types[0], "<", other).is_err()) {
                Some(other) => {
                    let names = (sql_type_name(&types[0]), sql_type_name(other));
                    let message = format!(
                        "the arguments of {}() have no type in common: {} and {}",
                        func.name(),
                        names.0,
                        names.1
                    );
                    Err(Error::new(ErrorKind::Type, message).with_sqlstate("42804"))
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Refuses a comparison of a number with a date, time or interval.
pub(super) fn check_comparison(left: &Expr, operator: &str, right: &Expr, schema: &DFSchema) -> Result<()> {
    match (type_of(left, schema), type_of(right, schema)) {
        (Some(left), Some(right)) => check_types(&left, operator, &right),
        _ => Ok(()),
    }
}

fn check_subquery(left: &Expr, operator: &str, right: &Subquery, schema: &DFSchema) -> Result<()> {
    match (type_of(left, schema), right.subquery.schema().fields().as_ref()) {
        (Some(left), [right]) => check_types(&left, operator, right.data_type()),
        _ => Ok(()),
    }
}

fn check_types(left: &DataType, operator: &str, right: &DataType) -> Result<()> {
    match (left.is_numeric() && is_of_time(right)) || (is_of_time(left) && right.is_numeric()) {
        true => Err(no_operator(left, operator, right)),
        false => Ok(()),
    }
}

/// Refuses an operation on the bits of what is no integer.
fn check_bits(left: &Expr, operator: Operator, right: &Expr, schema: &DFSchema) -> Result<()> {
    let (Some(left), Some(right)) = (type_of(left, schema), type_of(right, schema)) else { return Ok(()) };
    let has_none = |data_type: &DataType| data_type.is_decimal() || data_type.is_floating();
    match has_none(&left) || has_none(&right) {
        true if operator == Operator::BitwiseXor => Err(no_operator(&left, "#", &right)),
        true => Err(no_operator(&left, &operator.to_string(), &right)),
        false => Ok(()),
    }
}

/// Whether the operator compares.
pub(super) fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_bitwise(operator: Operator) -> bool {
    use Operator::{BitwiseAnd, BitwiseOr, BitwiseShiftLeft, BitwiseShiftRight, BitwiseXor};
    matches!(operator, BitwiseAnd | BitwiseOr | BitwiseXor | BitwiseShiftLeft | BitwiseShiftRight)
}

fn is_of_time(data_type: &DataType) -> bool {
    data_type.is_temporal() || matches!(data_type, DataType::Interval(_))
}

fn no_operator(left: &DataType, operator: &str, right: &DataType) -> Error {
    let operator = if operator == "!=" { "<>" } else { operator };
    let message = format!("operator does not exist: {} {operator} {}", sql_type_name(left), sql_type_name(right));
    Error::new(ErrorKind::Type, message).with_sqlstate("42883").with_hint("cast an operand")
}
