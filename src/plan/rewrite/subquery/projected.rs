//! Subqueries in aggregates, windows and sorts.
//!
//! DataFusion decorrelates in filters and projections, so they are computed in a projection below. This comes before
//! other passes give the parts of a subquery names of their own: windows over one subquery are windows over one column.

use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::rewrite::subquery::compute_below::compute_below;
use crate::plan::walk::{WalkDeep, subquery_of};

/// Moves subqueries to where they can become joins.
pub(crate) fn move_down(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| match node {
        LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_) => move_below(node),
        other => Ok(Transformed::no(other)),
    })
    .data()
    .map_err(from_datafusion)
}

fn move_below(node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    compute_below(node, &mut |expr, below| match subquery_of(&expr) {
        // What is inside its operand goes along.
        Some(_) => Ok(Transformed::new(below.column(expr), true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(expr)),
    })
}
