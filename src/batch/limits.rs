//! Limits that keep their order.
//!
//! DataFusion's physical optimiser drops a sort that no operator above asks for, and a limit does not ask: it relies
//! on the logical rule that puts the number of rows into the sort, which the shared plan does without. So it is put
//! there last of all. Without this `SELECT sum(x) FROM (SELECT x FROM t ORDER BY x LIMIT 3)` sums any three rows.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::{FetchType, Limit, LogicalPlan, SkipType, Sort};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;

/// Stands for "all rows" where OFFSET has no LIMIT: a sort with a number of rows is never dropped.
const ALL_ROWS: usize = 1 << 40;

/// The plan with every sort below a limit told how many rows are wanted.
pub(crate) fn keep_sorts(plan: LogicalPlan) -> Result<LogicalPlan> {
    let kept = plan.transform_down_with_subqueries(|node| match node {
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

fn tell(plan: LogicalPlan, rows: usize) -> datafusion::common::Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
            Ok(Transformed::yes(LogicalPlan::Sort(Sort { fetch: Some(rows), ..sort })))
        }
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => plan.map_children(|input| tell(input, rows)),
        other => Ok(Transformed::no(other)),
    }
}
