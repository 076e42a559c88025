//! One column in two types has two names.
//!
//! DataFusion calls `CAST(x AS T)` by the name of `x`, so that a SELECT cannot use `x` in two types. Where one does, its
//! casts of `x` get names of their own ([`Marker::NamedCast`]), in the keys it is ordered by too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, Query, Select, SetExpr, VisitorMut};

use super::build::take;
use super::marker::Marker;
use crate::base::error::Result;
use crate::sql::walk::walk_mut;

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
    let mut uses = CastUses { of: BTreeMap::new(), depth: 0, name: None };
    visit_lists(select, order_by, &mut uses);
    let ambiguous: BTreeSet<String> =
        uses.of.into_iter().filter(|(_, types)| types.len() > 1).map(|(of, _)| of).collect();
    if !ambiguous.is_empty() {
        let mut uses = CastUses { of: BTreeMap::new(), depth: 0, name: Some(ambiguous) };
        visit_lists(select, order_by, &mut uses);
    }
}

/// Visits the expressions that name columns of a SELECT's result or groups.
fn visit_lists(select: &mut Select, order_by: &mut [ast::OrderByExpr], visitor: &mut CastUses) {
    if let Some(ast::Distinct::On(keys)) = &mut select.distinct {
        let _ = walk_mut(keys, visitor);
    }
    for key in order_by {
        let _ = walk_mut(key, visitor);
    }
    let _ = walk_mut(&mut select.projection, visitor);
    let _ = walk_mut(&mut select.group_by, visitor);
    let _ = walk_mut(&mut select.having, visitor);
    let _ = walk_mut(&mut select.qualify, visitor);
}

/// Collects in which types expressions are used, or wraps the casts of those in `name`.
struct CastUses {
    /// By expression, the types it is cast to; empty for its own, which the operand of a cast counts as too: the same
    /// column may stand elsewhere under another spelling.
    of: BTreeMap<String, BTreeSet<String>>,
    depth: usize,
    name: Option<BTreeSet<String>>,
}

impl VisitorMut for CastUses {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let (of, data_type) = match expr {
            Expr::Cast { expr, data_type, .. } => (expr.to_string(), data_type.to_string()),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => (expr.to_string(), String::new()),
            _ => return ControlFlow::Continue(()),
        };
        match &self.name {
            None => {
                self.of.entry(of).or_default().insert(data_type);
            }
            Some(ambiguous) if !data_type.is_empty() && ambiguous.contains(&of) => {
                *expr = Marker::NamedCast.call(vec![take(expr)]);
            }
            Some(_) => {}
        }
        ControlFlow::Continue(())
    }
}
