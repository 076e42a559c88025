//! Rewrites of the shared plan that DataFusion does not do, or does differently.
//!
//! Each file states one meaning of the contract as a plan: checked integer arithmetic, subqueries, set operations with
//! multiplicities, as-of joins, ties. They keep names and types of every node's output. The order in which they run is
//! [`crate::plan::passes`].

pub mod asof;
pub mod bind;
pub mod canonical_values;
pub mod checked_arithmetic;
pub mod guards;
pub mod root;
pub mod set_operations;
pub mod settled_types;
pub mod sorts;
pub mod subquery;
pub mod ties;

use crate::plan::walk::{Walk, WalkDeep};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan};

/// Rewrites the expressions of every node bottom-up, subqueries included; outputs keep their names.
pub(crate) fn rewrite_expressions(
    plan: LogicalPlan,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| rewrite_node(node, rewrite)).data()
}

/// Rewrites the expressions of one node bottom-up; outputs keep their names.
pub(crate) fn rewrite_node(
    node: LogicalPlan,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&node);
    let mut named = |expr: Expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(&mut *rewrite)?.update_data(|expr| name.restore(expr)))
    };
    let node = node.map_expressions(|expr| match expr {
        // A grouping set has no name; the keys in it have.
        Expr::GroupingSet(set) => keys_of(set, &mut named),
        expr => named(expr),
    })?;
    match node.transformed {
        true => node.map_data(LogicalPlan::recompute_schema),
        false => Ok(node),
    }
}

/// Rewrites the keys of a grouping set one by one.
fn keys_of(set: GroupingSet, rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>) -> Result<Transformed<Expr>> {
    let mut changed = false;
    let mut all = |keys: Vec<Expr>| -> Result<Vec<Expr>> {
        let keys = keys.into_iter().map(|key| {
            let key = rewrite(key)?;
            changed |= key.transformed;
            Ok(key.data)
        });
        keys.collect()
    };
    let set = match set {
        GroupingSet::Rollup(keys) => GroupingSet::Rollup(all(keys)?),
        GroupingSet::Cube(keys) => GroupingSet::Cube(all(keys)?),
        GroupingSet::GroupingSets(sets) => {
            GroupingSet::GroupingSets(sets.into_iter().map(all).collect::<Result<Vec<_>>>()?)
        }
    };
    Ok(Transformed::new_transformed(Expr::GroupingSet(set), changed))
}
