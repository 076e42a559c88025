//! SIMILAR TO as a match of a regular expression, which a function writes out of the pattern.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Query, Value, VisitorMut};

use super::build::call;
use super::result;
use crate::base::error::{Error, Result};
use crate::sql::walk::walk_mut;

/// The function that writes a pattern as a regular expression for the whole text.
pub(crate) const SIMILAR_TO_ESCAPE: &str = "similar_to_escape";

/// `a SIMILAR TO p ESCAPE e` as `a ~ similar_to_escape(p, e)`.
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
        ControlFlow::Continue(())
    }
}
