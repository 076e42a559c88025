//! What is known of rows, forgotten where it no longer holds above them.
//!
//! DataFusion says of a column that it has one value (`WHERE k = 1`, `SELECT 1 AS k`), or that two columns are equal, and
//! goes on saying so above an outer join, which puts NULL there, and above ROLLUP, which does too: sorts are dropped and
//! groups taken for sorted. Above a union it says so of each part, but the parts of a top-k share their least value. So
//! between such an operator and the input whose columns it makes NULL stands a node that
//! hands the rows on and knows nothing of them. It stays in the plan, since operators ask when they are made anew.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{JoinType, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

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
                if forgets { Arc::new(Unassumed::over(child.clone())) } else { child.clone() }
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

/// The rows of its input, of which nothing is known.
#[derive(Debug)]
struct Unassumed {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl Unassumed {
    fn over(input: Arc<dyn ExecutionPlan>) -> Self {
        let nothing = EquivalenceProperties::new(input.schema());
        let properties = input.properties().as_ref().clone().with_eq_properties(nothing);
        Unassumed { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for Unassumed {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unassumed")
    }
}

impl ExecutionPlan for Unassumed {
    fn name(&self) -> &str {
        "Unassumed"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(match children.pop() {
            Some(input) => Arc::new(Unassumed::over(input)),
            None => self,
        })
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }
}
