//! One column in two types has two names.
//!
//! DataFusion calls `CAST(x AS T)` by the name of `x`, so that a SELECT cannot use `x` in two types. Where one does,
//! its casts of `x` get names of their own ([`Marker::NamedCast`]), in the keys it is ordered by too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, Query, Select, SetExpr, VisitorMut};

use super::build::take;
use super::marker::Marker;
use crate::base::error::Result;
use crate::sql::walk::{own_expressions_mut, walk_mut};

/// Names the casts of all SELECTs that need it.
pub(super) fn name(query: &mut Query) -> Result<()> {
    struct Name;
    impl VisitorMut for Name {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            let keys = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
                Some(ast::OrderByKind::Expressions(keys)) => keys.as_mut_slice(),
                _ => &mut [],
            };
            name_in(&mut query.body, keys);
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(query, &mut Name);
    Ok(())
}

/// Names the casts of a body; a SELECT alone shares them with the keys that its query is ordered by.
fn name_in(body: &mut SetExpr, order_by: &mut [ast::OrderByExpr]) {
    match body {
        SetExpr::Select(select) => name_casts(select, order_by),
        SetExpr::SetOperation { left, right, .. } => {
            name_in(left, &mut []);
            name_in(right, &mut []);
        }
        _ => {}
    }
}

fn name_casts(select: &mut Select, order_by: &mut [ast::OrderByExpr]) {
    // By expression, the types it is cast to; empty for its own, which the operand of a cast counts as too: the same
    // column may stand elsewhere under another spelling.
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for_lists(select, order_by, &mut |expr| {
        if let Some((of, data_type)) = cast_use(expr) {
            uses.entry(of).or_default().insert(data_type);
        }
    });
    for operand in used_beside_cast(select, order_by) {
        uses.entry(operand.to_string()).or_default().insert(String::new());
    }
    uses.retain(|_, types| types.len() > 1);
    if !uses.is_empty() {
        for_lists(select, order_by, &mut |expr| {
            let Expr::Cast { expr: operand, .. } = expr else { return };
            // A cast of a cast that is named already would have that name.
            if is_named(operand) || cast_use(expr).is_some_and(|(of, _)| uses.contains_key(&of)) {
                *expr = Marker::NamedCast.call(vec![take(expr)]);
            }
        });
    }
}

/// The operands of casts, other than columns, that stand elsewhere too: one of them may be a cast itself.
fn used_beside_cast(select: &mut Select, order_by: &mut [ast::OrderByExpr]) -> Vec<Expr> {
    let mut operands: Vec<(Expr, isize)> = Vec::new();
    for_lists(select, order_by, &mut |expr| {
        if let Expr::Cast { expr: operand, .. } = expr
            && !matches!(operand.as_ref(), Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_))
        {
            match operands.iter_mut().find(|(known, _)| known == operand.as_ref()) {
                Some((_, count)) => *count -= 1,
                None => operands.push((operand.as_ref().clone(), -1)),
            }
        }
    });
    if !operands.is_empty() {
        for_lists(select, order_by, &mut |expr| {
            if let Some((_, count)) = operands.iter_mut().find(|(known, _)| known == expr) {
                *count += 1;
            }
        });
    }
    operands.into_iter().filter(|(_, count)| *count > 0).map(|(operand, _)| operand).collect()
}

/// Hands `change` the expressions that name columns of a SELECT's result or groups.
fn for_lists(select: &mut Select, order_by: &mut [ast::OrderByExpr], change: &mut dyn FnMut(&mut Expr)) {
    if let Some(ast::Distinct::On(keys)) = &mut select.distinct {
        own_expressions_mut(keys, &mut *change);
    }
    for key in order_by {
        own_expressions_mut(key, &mut *change);
    }
    own_expressions_mut(&mut select.projection, &mut *change);
    own_expressions_mut(&mut select.group_by, &mut *change);
    own_expressions_mut(&mut select.having, &mut *change);
    own_expressions_mut(&mut select.qualify, &mut *change);
}

fn is_named(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_named(inner),
        Expr::Function(call) => Marker::of_name(&call.name) == Some(Marker::NamedCast),
        _ => false,
    }
}

/// The expression that is used, and the type it is cast to, empty for its own.
fn cast_use(expr: &Expr) -> Option<(String, String)> {
    match expr {
        Expr::Cast { expr, data_type, .. } => Some((expr.to_string(), data_type.to_string())),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Some((expr.to_string(), String::new())),
        _ => None,
    }
}
