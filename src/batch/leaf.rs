//! Leaves of ours in DataFusion's physical plans.
//!
//! A [`Leaf`] says what its rows are called, how many there are and where they come from; [`LeafExec`] is the face that
//! DataFusion wants of a plan without children, the same for all.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::stream::BoxStream;

/// Where rows come from.
pub(super) trait Leaf: fmt::Debug + Send + Sync + 'static {
    /// The name of the node.
    const NAME: &'static str;

    /// The leaf in the text of a plan, after its name.
    fn describe(&self, schema: &SchemaRef, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// The batches of one partition, with the columns of `schema`.
    fn batches(
        &self,
        schema: &SchemaRef,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>>;

    /// How many rows a partition has, or all of them have.
    fn row_count(&self, _partition: Option<usize>) -> Precision<usize> {
        Precision::Absent
    }
}

/// A leaf as a node of a physical plan.
#[derive(Debug)]
pub(super) struct LeafExec<L> {
    leaf: L,
    properties: Arc<PlanProperties>,
}

impl<L: Leaf> LeafExec<L> {
    /// A node whose rows have the columns of `schema`, come in `partitions` and in no order.
    pub(super) fn new(leaf: L, schema: SchemaRef, partitions: usize, emission: EmissionType) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            emission,
            Boundedness::Bounded,
        );
        LeafExec { leaf, properties: Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative)) }
    }

    /// What the node reads.
    pub(super) fn leaf(&self) -> &L {
        &self.leaf
    }

    /// The same node over a leaf that gives the same columns and partitions.
    pub(super) fn with_leaf(&self, leaf: L) -> Self {
        LeafExec { leaf, properties: self.properties.clone() }
    }

    fn columns(&self) -> &SchemaRef {
        self.properties.eq_properties.schema()
    }
}

impl<L: Leaf> DisplayAs for LeafExec<L> {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", L::NAME)?;
        self.leaf.describe(self.columns(), f)
    }
}

impl<L: Leaf> ExecutionPlan for LeafExec<L> {
    fn name(&self) -> &str {
        L::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = self.leaf.batches(self.columns(), partition, &context)?;
        Ok(Box::pin(cooperative(RecordBatchStreamAdapter::new(self.columns().clone(), batches))))
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows = self.leaf.row_count(args.partition());
        Ok(Arc::new(Statistics::new_unknown(self.columns()).with_num_rows(rows)))
    }
}
