//! Sorts of rows without columns, left out.
//!
//! `row_number() OVER (ORDER BY random())` needs no column of its input. DataFusion then sorts rows of none, which it
//! cannot put together again; all such rows are the same, so that any order is the one wanted.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::plan::walk::Walk;

/// Takes such sorts out; it comes after the rule that asks for them.
#[derive(Debug)]
pub(crate) struct DropEmptySorts;

impl PhysicalOptimizerRule for DropEmptySorts {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if !node.schema().fields().is_empty() {
                return Ok(Transformed::no(node));
            }
            if let Some(sort) = node.downcast_ref::<SortExec>() {
                let is_one = !sort.preserve_partitioning();
                return Ok(Transformed::yes(some_of(sort.input().clone(), is_one, sort.fetch())));
            }
            if let Some(merge) = node.downcast_ref::<SortPreservingMergeExec>() {
                return Ok(Transformed::yes(some_of(merge.input().clone(), true, merge.fetch())));
            }
            Ok(Transformed::no(node))
        })
        .data()
    }

    fn name(&self) -> &str {
        "drop_empty_sorts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// So many rows of the input, in one partition where it `is_one`.
fn some_of(input: Arc<dyn ExecutionPlan>, is_one: bool, fetch: Option<usize>) -> Arc<dyn ExecutionPlan> {
    let input: Arc<dyn ExecutionPlan> = match is_one && input.output_partitioning().partition_count() > 1 {
        true => Arc::new(CoalescePartitionsExec::new(input)),
        false => input,
    };
    match fetch {
        Some(rows) if is_one => Arc::new(GlobalLimitExec::new(input, 0, Some(rows))),
        Some(rows) => Arc::new(LocalLimitExec::new(input, rows)),
        None => input,
    }
}
