//! A join with a side of exactly one row needs no outer form.
//!
//! Decorrelating an uncorrelated scalar subquery gives `Left Join ON true` with an aggregate without GROUP BY. That
//! side always has one row, so the join keeps every row of the other side and null-extends none: it is a cross join,
//! which filters may pass through and which both drivers do best.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Join, JoinType, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::prelude::Expr;
use datafusion::scalar::ScalarValue;

use crate::plan::properties::is_one_row;

/// Left joins with one certain row become inner joins.
#[derive(Debug)]
pub(crate) struct SingleRowJoin;

impl OptimizerRule for SingleRowJoin {
    fn name(&self) -> &str {
        "single_row_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(join) = plan else { return Ok(Transformed::no(plan)) };
        let unconditional = join.on.is_empty()
            && matches!(&join.filter, None | Some(Expr::Literal(ScalarValue::Boolean(Some(true)), _)));
        let certain = match join.join_type {
            JoinType::Left => is_one_row(&join.right),
            JoinType::Right => is_one_row(&join.left),
            JoinType::Full => is_one_row(&join.left) && is_one_row(&join.right),
            _ => false,
        };
        if !unconditional || !certain {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        let inner = Join::try_new(
            join.left,
            join.right,
            vec![],
            None,
            JoinType::Inner,
            join.join_constraint,
            join.null_equality,
            false,
        )?;
        Ok(Transformed::yes(LogicalPlan::Join(inner)))
    }
}
