//! Shared rows, computed once a query and read by all who ask.
//!
//! [`Shared`] is a leaf over a physical plan that was optimised by itself, so that no rule can change it for one
//! reader. Whoever reads first starts it; every partition of it runs as a task, and readers wait for all of them. So no
//! reader waits for another, whatever the join between them does, and a reader that stops early stops nobody. The rows
//! are kept in memory until the query ends, counted by the memory pool; they do not spill.
//!
//! A recursion runs its step plan again and again over the same shared rows: they cannot depend on it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::runtime::JoinSet;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::execution_plan::{EmissionType, execute_stream_partitioned};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::future::{self, BoxFuture, FutureExt};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use crate::batch::leaf::{Leaf, LeafExec};
use crate::plan::shared::SharedRows;

/// The physical plans of a query's shared rows, by their name.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedPlans(HashMap<String, Arc<dyn ExecutionPlan>>);

impl SharedPlans {
    /// Makes the physical plan of shared rows, or of the whole query; the rows it reads must have been added.
    pub(crate) async fn plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(self.clone())]);
        planner.create_physical_plan(plan, session).await
    }

    /// Adds the physical plan of `rows`.
    pub(crate) fn add(&mut self, rows: &SharedRows, plan: Arc<dyn ExecutionPlan>) {
        let (schema, partitions) = (plan.schema(), plan.output_partitioning().partition_count());
        let shared = Shared { name: rows.id().to_string(), plan, computed: Mutex::new(None) };
        let leaf = LeafExec::new(shared, schema, partitions, EmissionType::Final);
        self.0.insert(rows.id().to_string(), Arc::new(leaf));
    }
}

#[async_trait]
impl ExtensionPlanner for SharedPlans {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        _physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(rows) = node.as_any().downcast_ref::<SharedRows>() else { return Ok(None) };
        match self.0.get(rows.id()) {
            Some(plan) => Ok(Some(plan.clone())),
            None => internal_err!("the shared rows {} were not planned", rows.id()),
        }
    }
}

/// All rows of a plan by partition, and the memory they take.
#[derive(Debug)]
struct Rows {
    partitions: Vec<Vec<RecordBatch>>,
    _memory: Vec<MemoryReservation>,
}

type Computed = future::Shared<BoxFuture<'static, std::result::Result<Arc<Rows>, Arc<DataFusionError>>>>;

/// Gives the rows of a plan to any number of readers.
struct Shared {
    name: String,
    plan: Arc<dyn ExecutionPlan>,
    computed: Mutex<Option<Computed>>,
}

impl Shared {
    fn rows(&self, context: &Arc<TaskContext>) -> Computed {
        let mut computed = self.computed.lock();
        let start = || {
            let rows = compute(self.name.clone(), self.plan.clone(), context.clone());
            rows.map(|rows| rows.map(Arc::new).map_err(Arc::new)).boxed().shared()
        };
        computed.get_or_insert_with(start).clone()
    }
}

async fn compute(name: String, plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Rows> {
    let mut tasks = JoinSet::new();
    for (partition, mut stream) in execute_stream_partitioned(plan, context.clone())?.into_iter().enumerate() {
        let consumer = MemoryConsumer::new(format!("the rows of {name}[{partition}]"));
        let memory = consumer.register(context.memory_pool());
        tasks.spawn(async move {
            let mut batches = vec![];
            while let Some(batch) = stream.try_next().await? {
                memory.try_grow(batch.get_array_memory_size())?;
                batches.push(batch);
            }
            Ok::<_, DataFusionError>((partition, batches, memory))
        });
    }
    let mut rows = vec![];
    while let Some(joined) = tasks.join_next().await {
        let computed = joined.map_err(|error| DataFusionError::External(Box::new(error)))?;
        rows.push(computed?);
    }
    rows.sort_by_key(|(partition, ..)| *partition);
    let (partitions, memory) = rows.into_iter().map(|(_, batches, memory)| (batches, memory)).unzip();
    Ok(Rows { partitions, _memory: memory })
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Leaf for Shared {
    const NAME: &'static str = "Shared";

    fn describe(&self, _schema: &SchemaRef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }

    fn batches(
        &self,
        _schema: &SchemaRef,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let batches = futures::stream::once(self.rows(context)).flat_map(move |rows| {
            let batches = match rows {
                Ok(rows) => rows.partitions.get(partition).cloned().unwrap_or_default().into_iter().map(Ok).collect(),
                Err(error) => vec![Err(DataFusionError::Shared(error))],
            };
            futures::stream::iter(batches)
        });
        Ok(batches.boxed())
    }
}
