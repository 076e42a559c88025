//! Projections pushed down, except those that can fail.
//!
//! DataFusion's rule puts a narrow projection below the filter, sort or limit that it stands on: fewer columns are
//! carried, but `a / b` is computed for rows that `WHERE b <> 0` or LIMIT leaves out. It also computes parts of a
//! join's condition before the join. Where an expression can fail ([`crate::plan::fallible`]), it stays where it is.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::projection::{ProjectionExec, remove_unnecessary_projections};

use crate::plan::fallible::physical_can_fail;
use crate::plan::walk::Walk;

/// In place of DataFusion's rule of the same name.
#[derive(Debug, Default)]
pub(crate) struct PushProjections(ProjectionPushdown);

impl PhysicalOptimizerRule for PushProjections {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut fails = false;
        plan.apply(|node| {
            fails |= computes_what_fails(node)?;
            Ok(if fails { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !fails {
            return self.0.optimize(plan, config);
        }
        plan.transform_down(|node| {
            let Some(projection) = node.downcast_ref::<ProjectionExec>() else { return Ok(Transformed::no(node)) };
            // Two projections become one, which is then pushed as a whole.
            match computes_what_fails(&node)? || computes_what_fails(projection.input())? {
                true => Ok(Transformed::no(node)),
                false => remove_unnecessary_projections(node),
            }
        })
        .data()
    }

    fn name(&self) -> &str {
        "ProjectionPushdown"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn computes_what_fails(node: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        let schema = projection.input().schema();
        for column in projection.expr() {
            if physical_can_fail(&column.expr, &schema)? {
                return Ok(true);
            }
        }
    }
    match node.downcast_ref::<NestedLoopJoinExec>().and_then(NestedLoopJoinExec::filter) {
        Some(filter) => physical_can_fail(filter.expression(), filter.schema()),
        None => Ok(false),
    }
}
