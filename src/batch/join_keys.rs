//! Names for join keys that are computed.
//!
//! DataFusion computes such a key beside the columns of its side, under the name that it has by itself. A cast is named
//! like what is cast, which DataFusion knows of its own casts, but not of ours.

use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::walk::WalkDeep;

/// The plan with a name of its own for every key that is a function's value.
pub(crate) fn name_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_deep(name_keys_of).data().map_err(from_datafusion)
}

fn name_keys_of(node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(mut join) = node else { return Ok(Transformed::no(node)) };
    let is_computed = |key: &Expr| matches!(key, Expr::ScalarFunction(_));
    let mut changed = false;
    for (number, (left, right)) in join.on.iter_mut().enumerate() {
        for (key, side) in [(left, "left"), (right, "right")] {
            if is_computed(key) {
                *key = std::mem::take(key).alias(format!("__{side}_key_{number}"));
                changed = true;
            }
        }
    }
    Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
}
