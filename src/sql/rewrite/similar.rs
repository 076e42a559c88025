//! SIMILAR TO as a match of a regular expression, which a function writes out of the pattern; LIKE with another escape
//! as one with `\`, which a function writes too.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Query, Value, ValueWithSpan, VisitorMut};

use super::build::call;
use super::result;
use crate::base::error::{Error, Result};
use crate::sql::walk::walk_mut;

/// The function that writes a pattern as a regular expression for the whole text.
pub(crate) const SIMILAR_TO_ESCAPE: &str = "similar_to_escape";

/// The function that writes a pattern of LIKE with the escape `\`.
pub(crate) const LIKE_ESCAPE: &str = "like_escape";

/// `a SIMILAR TO p ESCAPE e` as `a ~ similar_to_escape(p, e)`, `a LIKE p ESCAPE e` as `a LIKE like_escape(p, e)`.
pub(super) fn rewrite(query: &mut Query) -> Result<()> {
    result(walk_mut(query, &mut Rewrite))
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let null = || Box::new(Expr::Value(Value::Null.into()));
        if let Expr::SimilarTo { negated, expr: text, pattern, escape_char } = expr {
            let escape = escape_char.take().map(Expr::Value);
            let pattern = std::mem::replace(pattern, null());
            let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
            let left = Box::new(Expr::Nested(std::mem::replace(text, null())));
            let right = Box::new(call(SIMILAR_TO_ESCAPE, std::iter::once(*pattern).chain(escape).collect()));
            *expr = Expr::Nested(Box::new(Expr::BinaryOp { left, op, right }));
        }
        if let Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } = expr
            && let Some(escape) = escape_char.take().filter(|escape| !is_backslash(escape))
        {
            let plain = std::mem::replace(pattern, null());
            **pattern = call(LIKE_ESCAPE, vec![*plain, Expr::Value(escape)]);
        }
        ControlFlow::Continue(())
    }
}

/// Whether the escape is what it is anyway.
fn is_backslash(escape: &ValueWithSpan) -> bool {
    matches!(&escape.value, Value::SingleQuotedString(text) if text == "\\")
}
