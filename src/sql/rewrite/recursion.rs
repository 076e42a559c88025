//! A recursive query has the types of its first branch. A decimal literal there is a start, not a measure of what
//! comes: it gets as many digits as results of arithmetic keep.
//!
//! The binder casts what a step computes to those types without a word. So the items of a step are marked
//! ([`Marker::Step`]): a cast around a mark is one that nobody wrote.

use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, Ident, Query, SelectItem, SetExpr, TableFactor, Value, Visitor, VisitorMut};

use super::build::{cast, take};
use super::marker::Marker;
use super::numbers::is_double;
use crate::base::error::Result;
use crate::sql::name::normal;
use crate::sql::walk::{walk, walk_mut};

/// Widens the literals in first branches, and marks the items of steps.
pub(super) fn widen(query: &mut Query) -> Result<()> {
    struct Widen;
    impl VisitorMut for Widen {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            if let Some(with) = query.with.as_mut().filter(|with| with.recursive) {
                for table in &mut with.cte_tables {
                    widen_anchor(&mut table.query.body);
                    mark_step(&table.alias.name, &mut table.query.body);
                }
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(query, &mut Widen);
    Ok(())
}

fn widen_anchor(body: &mut SetExpr) {
    let SetExpr::SetOperation { op: ast::SetOperator::Union, left, .. } = body else { return };
    let SetExpr::Select(select) = left.as_mut() else { return widen_anchor(left) };
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let literal = match &*expr {
            Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => expr.as_ref(),
            other => other,
        };
        if let Expr::Value(value) = literal
            && let Value::Number(digits, _) = &value.value
            && digits.contains('.')
            && !is_double(digits)
        {
            let widest = ast::ExactNumberInfo::PrecisionAndScale(38, 18);
            *expr = cast(take(expr), ast::DataType::Decimal(widest));
        }
    }
}

/// Marks the items of the step, if it reads the query itself.
fn mark_step(name: &Ident, body: &mut SetExpr) {
    struct Reads(String);
    impl Visitor for Reads {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            match factor {
                TableFactor::Table { name, args: None, .. }
                    if name.0.last().and_then(|part| part.as_ident()).is_some_and(|part| normal(part) == self.0) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let SetExpr::SetOperation { op: ast::SetOperator::Union, right, .. } = body else { return };
    if walk(right.as_ref(), &mut Reads(normal(name))).is_break() {
        mark_items(right);
    }
}

fn mark_items(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    *expr = Marker::Step.call(vec![take(expr)]);
                }
            }
        }
        SetExpr::SetOperation { op: ast::SetOperator::Union, left, right, .. } => {
            mark_items(left);
            mark_items(right);
        }
        SetExpr::Query(query) => mark_items(&mut query.body),
        _ => {}
    }
}
