//! Nodes of ours that hand the rows of their input on, and say less of them than is known.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// A node that gives the rows of its input as they are, of whose order it is not said that it is kept.
#[derive(Debug)]
pub(super) struct PassThrough {
    input: Arc<dyn ExecutionPlan>,
    kind: Kind,
    properties: Arc<PlanProperties>,
}

/// What a node is silent about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// That its input may be sorted by what stands above.
    Fence,
    /// All that is known of the rows.
    Unassumed,
}

impl PassThrough {
    /// A node below which no sort is pushed.
    pub(super) fn fence(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = input.properties().clone();
        PassThrough { input, kind: Kind::Fence, properties }
    }

    /// A node of whose rows nothing is known.
    pub(super) fn unassumed(input: Arc<dyn ExecutionPlan>) -> Self {
        let nothing = EquivalenceProperties::new(input.schema());
        let properties = input.properties().as_ref().clone().with_eq_properties(nothing);
        PassThrough { input, kind: Kind::Unassumed, properties: Arc::new(properties) }
    }

    /// The input of a fence.
    pub(super) fn fenced(&self) -> Option<&Arc<dyn ExecutionPlan>> {
        (self.kind == Kind::Fence).then_some(&self.input)
    }
}

impl DisplayAs for PassThrough {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for PassThrough {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Fence => "Fence",
            Kind::Unassumed => "Unassumed",
        }
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
        Ok(match (children.pop(), self.kind) {
            (Some(input), Kind::Fence) => Arc::new(PassThrough::fence(input)),
            (Some(input), Kind::Unassumed) => Arc::new(PassThrough::unassumed(input)),
            (None, _) => self,
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
