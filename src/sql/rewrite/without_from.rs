//! Subqueries without FROM that compute from the row around them: `(SELECT t.a + 1)` is `t.a + 1`.
//!
//! They read nothing, so there is nothing to join. With WHERE they have a row only where it is true, and are a CASE.
//! `(VALUES (t.a))` is one of them. As a key of ORDER BY or DISTINCT ON `(SELECT a)` is no name of an item, which `a`
//! would be.

use std::ops::ControlFlow;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, Distinct, Expr, GroupByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, Value,
    VisitorMut,
};

use super::build::when_true;
use super::contents::{Contents, contents};
use super::row_queries::values_of;
use super::row_values::nested;
use crate::base::error::Result;
use crate::sql::walk::walk_mut;

/// Puts expressions in the place of such subqueries.
pub(super) fn inline(query: &mut Query) -> Result<()> {
    let _ = walk_mut(query, &mut Inline);
    Ok(())
}

struct Inline;

impl VisitorMut for Inline {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
            keys.iter_mut().for_each(|key| inline_key(&mut key.expr));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if let Some(Distinct::On(keys)) = &mut select.distinct {
            keys.iter_mut().for_each(inline_key);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        // What is put in may be such a subquery again.
        while let Some(inlined) = inlined(expr) {
            *expr = inlined;
        }
        ControlFlow::Continue(())
    }
}

/// Puts a computation in the place of a key that is such a subquery, but no name and no number.
fn inline_key(key: &mut Expr) {
    let mut is_inlined = false;
    let mut value = key.clone();
    while let Some(inner) = match &mut value {
        Expr::Nested(inner) => Some(inner.as_ref().clone()),
        other => inlined(other).inspect(|_| is_inlined = true),
    } {
        value = inner;
    }
    if is_inlined {
        *key = match value {
            Expr::Identifier(_) | Expr::Value(_) => when_true(value),
            value => value,
        };
    }
}

fn inlined(expr: &mut Expr) -> Option<Expr> {
    match expr {
        Expr::Subquery(query) => {
            let Row { value, condition } = row_of(query)?;
            Some(when(condition, value, Expr::Value(Value::Null.into())))
        }
        Expr::InSubquery { expr, subquery, negated } => {
            let Row { value, condition } = row_of(subquery)?;
            let is_in = Expr::InList { expr: expr.clone(), list: vec![value], negated: *negated };
            Some(when(condition, is_in, truth(*negated)))
        }
        Expr::AnyOp { left, compare_op, right, .. } => compared(left, compare_op, right, false),
        Expr::AllOp { left, compare_op, right } => compared(left, compare_op, right, true),
        Expr::Exists { subquery, negated } => {
            let condition = row_of(subquery)?.condition?;
            let condition = Box::new(nested(condition));
            Some(Expr::Nested(Box::new(match negated {
                true => Expr::IsNotTrue(condition),
                false => Expr::IsTrue(condition),
            })))
        }
        _ => None,
    }
}

/// `left op ANY (SELECT value WHERE condition)`, or ALL.
fn compared(left: &Expr, op: &BinaryOperator, right: &mut Expr, is_all: bool) -> Option<Expr> {
    let Expr::Subquery(query) = right else { return None };
    let Row { value, condition } = row_of(query)?;
    let (left, right) = (Box::new(nested(left.clone())), Box::new(nested(value)));
    Some(when(condition, Expr::BinaryOp { left, op: op.clone(), right }, truth(is_all)))
}

/// The row of a query that reads nothing.
struct Row {
    value: Expr,
    /// What must be true for there to be one.
    condition: Option<Expr>,
}

/// The row of a query of one value without FROM, if a column of the row around may be in it.
fn row_of(query: &mut Query) -> Option<Row> {
    if let Some(values) = values_of(query) {
        return match values.rows.as_slice() {
            [row] => match row.content.as_slice() {
                [value] => row_where(value, None),
                _ => None,
            },
            _ => None,
        };
    }
    let is_whole =
        query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let is_grouped = select.having.is_some()
        || select.qualify.is_some()
        || !matches!(&select.group_by, GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty());
    if !is_whole || is_grouped || !select.from.is_empty() {
        return None;
    }
    match select.projection.as_slice() {
        [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] => {
            row_where(value, select.selection.as_ref())
        }
        _ => None,
    }
}

fn row_where(value: &Expr, condition: Option<&Expr>) -> Option<Row> {
    let is_plain = |held: Contents| !held.aggregate && !held.window && !held.unnest;
    let held = [Some(contents(value)), condition.map(contents)];
    let held = held.into_iter().flatten();
    let computes = held.clone().any(|held| held.column || held.subquery);
    (computes && held.clone().all(is_plain)).then(|| Row { value: value.clone(), condition: condition.cloned() })
}

/// `CASE WHEN condition THEN value ELSE otherwise END`, or the value where there is no condition.
fn when(condition: Option<Expr>, value: Expr, otherwise: Expr) -> Expr {
    match condition {
        None => Expr::Nested(Box::new(value)),
        Some(condition) => Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition, result: value }],
            else_result: Some(Box::new(otherwise)),
        },
    }
}

fn truth(truth: bool) -> Expr {
    Expr::Value(Value::Boolean(truth).into())
}
