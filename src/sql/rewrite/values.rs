//! VALUES with queries in them: the rows that hold one are SELECTs, united with the others.
//!
//! `VALUES (1, 'a'), (2, (SELECT b FROM t))` is `SELECT * FROM (VALUES (1, 'a')) UNION ALL SELECT 2, (SELECT b FROM t)`.
//! To the binder below us VALUES are constants.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, Parens, Query, SelectItem, SetExpr, SetOperator, SetQuantifier, TableFactor, Values, VisitorMut,
};

use super::build::{query_of, select_star_from, template};
use super::result;
use crate::base::error::{Error, Result};
use crate::sql::walk::{expressions, walk_mut};

/// Rewrites the VALUES of the query and of all queries in it.
pub(super) fn part(query: &mut Query) -> Result<()> {
    struct Part;
    impl VisitorMut for Part {
        type Break = Error;

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
            super::flow(part_body(&mut query.body).and_then(|()| select_values(query)))
        }
    }
    result(walk_mut(query, &mut Part))
}

fn part_body(body: &mut SetExpr) -> Result<()> {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            part_body(left)?;
            part_body(right)
        }
        SetExpr::Values(values) if values.rows.iter().any(holds_query) && has_one_width(values) => {
            let (computed, plain): (Vec<_>, Vec<_>) =
                std::mem::take(&mut values.rows).into_iter().partition(holds_query);
            let plain = (!plain.is_empty()).then(|| SetExpr::Values(Values { rows: plain, ..values.clone() }));
            let computed = computed.into_iter().map(selected);
            let parts: Vec<SetExpr> = plain.map(Ok).into_iter().chain(computed).collect::<Result<_>>()?;
            if let Some(united) = unite(parts) {
                *body = united;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Makes `WITH .. VALUES ..` one of a SELECT: as an operand, what is below WITH must have a list.
fn select_values(query: &mut Query) -> Result<()> {
    if query.with.is_none() || !matches!(*query.body, SetExpr::Values(_)) {
        return Ok(());
    }
    let values = std::mem::replace(&mut query.body, template()?.body);
    let subquery = query_of(values)?;
    query.body = select_star_from(TableFactor::Derived { lateral: false, subquery, alias: None, sample: None })?.body;
    Ok(())
}

fn has_one_width(values: &Values) -> bool {
    values.rows.windows(2).all(|pair| pair[0].len() == pair[1].len())
}

fn holds_query(row: &Parens<Vec<Expr>>) -> bool {
    row.iter().any(|cell| {
        let is_query = |expr: &Expr| match expr {
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        expressions(cell, is_query).is_break()
    })
}

/// `SELECT a AS column1, b AS column2`.
fn selected(row: Parens<Vec<Expr>>) -> Result<SetExpr> {
    let mut query = template()?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        let name = |number: usize| Ident::with_quote('"', format!("column{}", number + 1));
        let item = |(number, expr)| SelectItem::ExprWithAlias { expr, alias: name(number) };
        select.projection = row.content.into_iter().enumerate().map(item).collect();
        select.from = Vec::new();
    }
    Ok(*query.body)
}

/// All parts, as a tree that is as shallow as can be.
fn unite(mut parts: Vec<SetExpr>) -> Option<SetExpr> {
    if parts.len() < 2 {
        return parts.pop();
    }
    let right = parts.split_off(parts.len() / 2);
    let (left, right) = unite(parts).zip(unite(right))?;
    Some(SetExpr::SetOperation {
        op: SetOperator::Union,
        set_quantifier: SetQuantifier::All,
        left: Box::new(left),
        right: Box::new(right),
    })
}
