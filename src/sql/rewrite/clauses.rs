//! Clauses of a query in the words that the binder knows: FETCH, ORDER BY ALL, GROUP BY ALL, ORDER BY of DISTINCT.
//!
//! ORDER BY ALL and GROUP BY ALL stay where a `*` beside them hides the columns; the binder expands those. Clauses
//! that it would pass over are refused.

use sqlparser::ast::{
    self, GroupByExpr, LimitClause, Offset, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
};

use super::build::number;
use super::contents::{Contents, contents};
use super::marker::Marker;
use super::names::column_name;
use crate::base::error::Result;
use crate::sql::error::{place, syntax, unsupported};

/// Rewrites the clauses of a query.
pub(super) fn query(query: &mut Query) -> Result<()> {
    if !query.locks.is_empty() || query.for_clause.is_some() {
        return Err(unsupported("FOR UPDATE and the like are not supported", place(query))
            .with_hint("every transaction is serializable: no row needs a lock"));
    }
    if let SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) = query.body.as_ref() {
        return Err(unsupported("a query cannot change data", place(query))
            .with_hint("write INSERT INTO ... WITH ... SELECT, and every change as its own statement"));
    }
    fetch_as_limit(query)?;
    order_by_all(query);
    order_by_numbers(query);
    order_by_distinct(query);
    Ok(())
}

/// Rewrites the clauses of a SELECT.
pub(super) fn select(select: &mut Select) -> Result<()> {
    if let Some(into) = &select.into {
        return Err(
            unsupported("SELECT INTO is not supported", place(&into.name)).with_hint("use CREATE TABLE ... AS SELECT")
        );
    }
    if select.value_table_mode.is_some() {
        return Err(unsupported("SELECT AS VALUE and AS STRUCT are not supported", place(&*select)));
    }
    group_by_all(select);
    Ok(())
}

/// `FETCH FIRST n ROWS ONLY` is LIMIT; WITH TIES marks the number of rows, from which the planner makes ranks.
fn fetch_as_limit(query: &mut Query) -> Result<()> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.percent {
        return Err(unsupported("FETCH FIRST .. PERCENT is not supported", place(query))
            .with_hint("compare percent_rank() OVER (ORDER BY ..) with the share in a query around this one"));
    }
    let rows = fetch.quantity.unwrap_or_else(|| number(1));
    let rows = match fetch.with_ties {
        true if query.order_by.is_none() => {
            return Err(syntax("WITH TIES needs ORDER BY", place(query)));
        }
        true => Marker::WithTies.call(vec![rows]),
        false => rows,
    };
    let offset: Option<Offset> = match query.limit_clause.take() {
        None => None,
        Some(LimitClause::LimitOffset { limit: None, offset, .. }) => offset,
        Some(_) => return Err(syntax("LIMIT and FETCH cannot be given together", place(query))),
    };
    query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(rows), offset, limit_by: Vec::new() });
    Ok(())
}

/// ORDER BY ALL: by every output column, from the left.
fn order_by_all(query: &mut Query) {
    let Some(order_by) = &mut query.order_by else { return };
    let OrderByKind::All(options) = &order_by.kind else { return };
    let Some(columns) = output_columns(&query.body) else { return };
    let options = *options;
    let by = (1..=columns).map(|column| OrderByExpr { expr: number(column), options, with_fill: None }).collect();
    order_by.kind = OrderByKind::Expressions(by);
}

/// `ORDER BY (2)` is `ORDER BY 2`.
fn order_by_numbers(query: &mut Query) {
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order_by| &mut order_by.kind) else {
        return;
    };
    for key in keys.iter_mut().filter(|key| is_literal(&key.expr)) {
        while let ast::Expr::Nested(inner) = &key.expr {
            key.expr = inner.as_ref().clone();
        }
    }
}

/// `SELECT DISTINCT a + 1 .. ORDER BY a + 1`: by the position, because the planner no longer finds `a` there. A number
/// is a position already, also beside a column that is this number.
fn order_by_distinct(query: &mut Query) {
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order_by| &mut order_by.kind) else {
        return;
    };
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    if select.distinct != Some(ast::Distinct::Distinct) || has_wildcard(select) {
        return;
    }
    let is_computed = |key: &&mut OrderByExpr| column_name(&key.expr).is_none() && !is_literal(&key.expr);
    for key in keys.iter_mut().filter(is_computed) {
        let place = select.projection.iter().position(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => *expr == key.expr,
            _ => false,
        });
        if let Some(place) = place {
            key.expr = number(place + 1);
        }
    }
}

fn is_literal(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(_) => true,
        ast::Expr::Nested(inner) => is_literal(inner),
        _ => false,
    }
}

/// How many columns a query has, if a `*` does not hide it.
pub(super) fn output_columns(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) if has_wildcard(select) => None,
        SetExpr::Select(select) => Some(select.projection.len()),
        SetExpr::Query(query) => output_columns(&query.body),
        SetExpr::SetOperation { left, .. } => output_columns(left),
        SetExpr::Values(values) => values.rows.first().map(|row| row.len()),
        _ => None,
    }
}

fn has_wildcard(select: &Select) -> bool {
    select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)))
}

/// GROUP BY ALL: by the position of every output column that has a column in it, but no aggregate or window call.
fn group_by_all(select: &mut Select) {
    let GroupByExpr::All(modifiers) = &select.group_by else { return };
    if has_wildcard(select) {
        return;
    }
    let keys = select
        .projection
        .iter()
        .enumerate()
        .filter(|(_, item)| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                matches!(contents(expr), Contents { column: true, aggregate: false, window: false, .. })
            }
            _ => false,
        })
        .map(|(at, _)| number(at + 1))
        .collect();
    select.group_by = GroupByExpr::Expressions(keys, modifiers.clone());
}
