//! What is known of rows, forgotten where it no longer holds above them.
//!
//! DataFusion says of a column that it has one value (`WHERE k = 1`, `SELECT 1 AS k`), or that two columns are equal,
//! and goes on saying so above an outer join, which puts NULL there, and above ROLLUP, which does too: sorts are
//! dropped and groups taken for sorted. Above a union it says so of each part, but the parts of a top-k share their
//! least value. So between such an operator and the input whose columns it makes NULL stands a node that hands the rows
//! on and knows nothing of them. It stays in the plan, since operators ask when they are made anew.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{JoinType, Result};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::union::UnionExec;

use super::pass_through::PassThrough;
use crate::plan::walk::Walk;

/// Puts the nodes in; before all rules that ask what is known.
#[derive(Debug)]
pub(crate) struct Unassume;

impl PhysicalOptimizerRule for Unassume {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let (first, others) = says_too_much(&node);
            let mut changed = false;
            let children = node.children().into_iter().enumerate().map(|(position, child)| {
                let is_asked = if position == 0 { first } else { others };
                let forgets = is_asked && knows(child);
                changed |= forgets;
                if forgets { Arc::new(PassThrough::unassumed(child.clone())) } else { child.clone() }
            });
            let children: Vec<Arc<dyn ExecutionPlan>> = children.collect();
            match changed {
                true => replace_children(node, children).map(Transformed::yes),
                false => Ok(Transformed::no(node)),
            }
        })
        .data()
    }

    fn name(&self) -> &str {
        "unassume"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn replace_children(
    node: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    node.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Whether an operator goes on saying of its rows what holds of its first input only, and of its others: because it
/// gives NULL for their columns, or because a column that has one value in each input need not have one in all.
fn says_too_much(node: &Arc<dyn ExecutionPlan>) -> (bool, bool) {
    if node.is::<UnionExec>() {
        return (true, true);
    }
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        return (!aggregate.group_expr().is_single(), false);
    }
    let hash = || node.downcast_ref::<HashJoinExec>().map(|join| *join.join_type());
    let loops = || node.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type());
    let merge = || node.downcast_ref::<SortMergeJoinExec>().map(|join| join.join_type());
    match hash().or_else(loops).or_else(merge) {
        Some(JoinType::Left) => (false, true),
        Some(JoinType::Right) => (true, false),
        Some(JoinType::Full) => (true, true),
        _ => (false, false),
    }
}

fn knows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let known = &plan.properties().eq_properties;
    !known.eq_group().is_empty() || !known.oeq_class().is_empty()
}
