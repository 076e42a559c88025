//! Limits that keep their order.
//!
//! [`FenceLimits`] and [`UnfenceLimits`] stand around DataFusion's physical rules: they push a sort from above a limit
//! to below it when the limit's own order is by columns that a projection has dropped, so that `LIMIT 2` takes the
//! first two of another order. Between the two rules no sort is pushed through a limit.
//!
//! DataFusion's physical optimiser drops a sort that no operator above asks for, and a limit does not ask: it relies
//! on the logical rule that puts the number of rows into the sort, which the shared plan does without. So it is put
//! there last of all. Without this `SELECT sum(x) FROM (SELECT x FROM t ORDER BY x LIMIT 3)` sums any three rows.

use std::sync::Arc;

use datafusion::common::Result as DataFusionResult;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::{FetchType, Limit, LogicalPlan, SkipType, Sort};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::pass_through::PassThrough;
use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::walk::{Walk, WalkDeep};

/// Stands for "all rows" where OFFSET has no LIMIT: a sort with a number of rows is never dropped.
const ALL_ROWS: usize = 1 << 40;

/// The plan with every sort below a limit told how many rows are wanted.
pub(crate) fn keep_sorts(plan: LogicalPlan) -> Result<LogicalPlan> {
    let kept = plan.transform_down_deep(|node| match node {
        LogicalPlan::Limit(limit) => {
            let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
                (limit.get_skip_type()?, limit.get_fetch_type()?)
            else {
                return Ok(Transformed::no(LogicalPlan::Limit(limit)));
            };
            let rows = fetch.map_or(ALL_ROWS, |fetch| skip.saturating_add(fetch));
            if rows == 0 {
                return Ok(Transformed::no(LogicalPlan::Limit(limit)));
            }
            let input = Arc::unwrap_or_clone(limit.input);
            let told = tell(input, rows)?;
            Ok(told.update_data(|input| LogicalPlan::Limit(Limit { input: Arc::new(input), ..limit })))
        }
        other => Ok(Transformed::no(other)),
    });
    kept.data().map_err(from_datafusion)
}

fn tell(plan: LogicalPlan, rows: usize) -> DataFusionResult<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
            Ok(Transformed::yes(LogicalPlan::Sort(Sort { fetch: Some(rows), ..sort })))
        }
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => plan.map_children(|input| tell(input, rows)),
        other => Ok(Transformed::no(other)),
    }
}

/// Puts a fence above every limit but those that give the result its order.
#[derive(Debug)]
pub(crate) struct FenceLimits;

impl PhysicalOptimizerRule for FenceLimits {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _options: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        fenced(plan, true)
    }

    fn name(&self) -> &str {
        "fence_limits"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn fenced(plan: Arc<dyn ExecutionPlan>, gives_order: bool) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let is_limit = plan.is::<GlobalLimitExec>();
    let inputs_give_order = gives_order && (is_limit || plan.is::<ProjectionExec>());
    let plan = plan.map_children(|input| fenced(input, inputs_give_order).map(Transformed::yes)).data()?;
    Ok(if is_limit && !gives_order { Arc::new(PassThrough::fence(plan)) } else { plan })
}

/// Takes the fences away.
#[derive(Debug)]
pub(crate) struct UnfenceLimits;

impl PhysicalOptimizerRule for UnfenceLimits {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _options: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match plan.downcast_ref::<PassThrough>().and_then(PassThrough::fenced) {
            Some(input) => Ok(Transformed::yes(input.clone())),
            None => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "unfence_limits"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
