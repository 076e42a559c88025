//! Numbers with an exponent, or more digits than a decimal has, are doubles; all others are exact.

use sqlparser::ast::{self, Expr, Query, Value};

use super::build::cast;
use crate::base::decimal::{self, Parsed};
use crate::base::error::Result;
use crate::sql::walk::expressions_mut;

/// Writes doubles as casts of their text.
pub(super) fn rewrite(query: &mut Query) -> Result<()> {
    expressions_mut(query, |expr| {
        if let Expr::Value(value) = expr
            && let Value::Number(digits, _) = &value.value
            && is_double(digits)
        {
            let text = Value::SingleQuotedString(digits.replace('_', "")).with_span(value.span);
            *expr = cast(Expr::Value(text), ast::DataType::DoublePrecision);
        }
    });
    Ok(())
}

/// Whether a number is a DOUBLE: it has an exponent, or more digits than a DECIMAL. Others are exact.
pub(super) fn is_double(digits: &str) -> bool {
    /// No number of so few characters has too many digits.
    const SHORT: usize = 38;
    digits.contains(['e', 'E'])
        || digits.len() > SHORT && decimal::parse(&digits.replace('_', "")).and_then(Parsed::exact).is_none()
}
