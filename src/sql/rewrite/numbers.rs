//! Numbers with an exponent are doubles; all others are exact, or an error where a DECIMAL has not so many digits.

use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, Query, Value, ValueWithSpan, VisitorMut};

use super::build::cast;
use super::result;
use crate::base::decimal::{self, Parsed};
use crate::base::error::{Error, Result};
use crate::sql::error::{located, position};
use crate::sql::walk::walk_mut;

/// Writes doubles as casts of their text.
pub(super) fn rewrite(query: &mut Query) -> Result<()> {
    result(walk_mut(query, &mut Numbers))
}

struct Numbers;

impl VisitorMut for Numbers {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            // What becomes a DOUBLE needs not be exact before.
            Expr::Cast { expr: inner, data_type, .. } if is_float(data_type) => {
                if let Some(number) = signed_number(inner) {
                    as_double(number);
                }
                ControlFlow::Continue(())
            }
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) if is_double(digits) => {
                    as_double(expr);
                    ControlFlow::Continue(())
                }
                Value::Number(digits, _) => match exact(digits) {
                    Exact::AsWritten => ControlFlow::Continue(()),
                    Exact::Shorter(shorter) => {
                        value.value = Value::Number(shorter, false);
                        ControlFlow::Continue(())
                    }
                    Exact::No => ControlFlow::Break(too_long(value)),
                },
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Whether a number is a DOUBLE: it has an exponent.
pub(super) fn is_double(digits: &str) -> bool {
    digits.contains(['e', 'E'])
}

/// Whether a DECIMAL holds the digits of a number.
enum Exact {
    AsWritten,
    /// Without the zeros at its end.
    Shorter(String),
    No,
}

fn exact(digits: &str) -> Exact {
    /// No number of so few characters has too many digits.
    const SHORT: usize = 38;
    let fits = |digits: &str| decimal::parse(&digits.replace('_', "")).and_then(Parsed::exact).is_some();
    if digits.len() <= SHORT || fits(digits) {
        return Exact::AsWritten;
    }
    let shorter = digits.trim_end_matches(['0', '_']);
    match digits.contains('.') && fits(shorter) {
        true => Exact::Shorter(shorter.to_string()),
        false => Exact::No,
    }
}

fn too_long(value: &ValueWithSpan) -> Error {
    let error = Error::data("the number has more digits than a DECIMAL, which has 38").with_sqlstate("22003");
    located(error.with_hint("write it with an exponent, as in 1e40, for a DOUBLE"), position(value.span.start))
}

fn as_double(number: &mut Expr) {
    if let Expr::Value(value) = number
        && let Value::Number(digits, _) = &value.value
    {
        let text = Value::SingleQuotedString(digits.replace('_', "")).with_span(value.span);
        *number = cast(Expr::Value(text), ast::DataType::DoublePrecision);
    }
}

/// The number that an expression is but for signs and parentheses.
fn signed_number(expr: &mut Expr) -> Option<&mut Expr> {
    match expr {
        Expr::Nested(inner)
        | Expr::UnaryOp { op: ast::UnaryOperator::Minus | ast::UnaryOperator::Plus, expr: inner } => {
            signed_number(inner)
        }
        Expr::Value(value) if matches!(value.value, Value::Number(..)) => Some(expr),
        _ => None,
    }
}

fn is_float(data_type: &ast::DataType) -> bool {
    use ast::DataType as T;
    matches!(
        data_type,
        T::Double(_) | T::DoublePrecision | T::Float(_) | T::Float4 | T::Float8 | T::Float64 | T::Float32 | T::Real
    )
}
