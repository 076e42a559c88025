//! Sorts that order nothing.
//!
//! A query in FROM or an expression has no order unless a LIMIT or OFFSET of its own takes from it. DataFusion's binder
//! would drop such sorts itself, but takes one for useless that has a LIMIT with an OFFSET above it, or an OFFSET
//! alone.

use std::sync::Arc;

use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::LogicalPlan;

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::walk::Walk;

/// Leaves sorts only where the result's order or a limit depends on them.
pub(crate) fn drop_useless(plan: LogicalPlan) -> Result<LogicalPlan> {
    drop_below(plan, true).data().map_err(from_datafusion)
}

fn drop_below(plan: LogicalPlan, ordered: bool) -> DataFusionResult<Transformed<LogicalPlan>> {
    let passes_on = match plan {
        LogicalPlan::Sort(sort) if !ordered && sort.fetch.is_none() => {
            let input = drop_below(Arc::unwrap_or_clone(sort.input), false)?;
            return Ok(Transformed::yes(input.data));
        }
        LogicalPlan::Limit(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Unnest(_) => ordered,
        _ => false,
    };
    plan.map_children(|input| drop_below(input, passes_on))?
        .transform_data(|plan| plan.map_subqueries(|subquery| drop_below(subquery, false)))
}
