//! Rewrites of the shared plan that DataFusion does not do, or does differently.
//!
//! Each file states one meaning of the contract as a plan: checked integer arithmetic, subqueries, set operations with
//! multiplicities, as-of joins, ties. They keep names and types of every node's output. The order in which they run is
//! [`crate::plan::passes`].

pub mod asof;
pub mod bind;
pub mod canonical_values;
pub mod checked_arithmetic;
pub mod root;
pub mod set_operations;
pub mod settled_types;
pub mod sorts;
pub mod subquery;
pub mod ties;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Rewrites the expressions of every node bottom-up, subqueries included; outputs keep their names.
pub(crate) fn rewrite_expressions(
    plan: LogicalPlan,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| rewrite_node(node, rewrite)).data()
}

/// Rewrites the expressions of one node bottom-up; outputs keep their names.
pub(crate) fn rewrite_node(
    node: LogicalPlan,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&node);
    let node = node.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(&mut *rewrite)?.update_data(|expr| name.restore(expr)))
    })?;
    match node.transformed {
        true => node.map_data(LogicalPlan::recompute_schema),
        false => Ok(node),
    }
}
