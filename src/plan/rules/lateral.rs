//! LATERAL as a join, where DataFusion looks at all aggregates of the query alike.
//!
//! Where a query of LATERAL aggregates without GROUP BY what depends on the outer row, every outer row has a row, and
//! DataFusion makes the join an outer one. It does so for any aggregate that it comes by, also for one that stands beside
//! and depends on nothing. So what depends on nothing and holds an aggregate is hidden from it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Result, Spans};
use datafusion::logical_expr::{LogicalPlan, Subquery};
use datafusion::optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::plan::rewrite::subquery::references::{free_references, lateral_query};
use crate::plan::walk::Walk;

/// DataFusion's rule for LATERAL, which sees only aggregates that depend on the outer row.
pub(crate) fn join_lateral(
    rule: &DecorrelateLateralJoin,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Join(mut join) if lateral_query(&join.right).is_some() => {
            join.right = Arc::new(Arc::unwrap_or_clone(join.right).transform_down(hide)?.data);
            let decorrelated = rule.rewrite(LogicalPlan::Join(join), config)?;
            decorrelated.transform_data(|plan| plan.transform_up(show))
        }
        plan => Ok(Transformed::no(plan)),
    }
}

/// Puts a plan that depends on nothing into a subquery, which DataFusion does not look into.
fn hide(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let aggregates =
        |node: &LogicalPlan| Ok(matches!(node, LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty()));
    if !free_references(&node).is_empty() || !node.exists(aggregates)? {
        return Ok(Transformed::no(node));
    }
    let hidden = Subquery { subquery: Arc::new(node), outer_ref_columns: vec![], spans: Spans::new() };
    Ok(Transformed::new(LogicalPlan::Subquery(hidden), true, TreeNodeRecursion::Jump))
}

fn show(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Subquery(subquery) if free_references(&subquery.subquery).is_empty() => {
            Ok(Transformed::yes(Arc::unwrap_or_clone(subquery.subquery)))
        }
        other => Ok(Transformed::no(other)),
    }
}
