//! The batch engine: one runtime, one memory pool, any number of queries.
//!
//! Queries run on threads of the engine's own, started with the first query, with stacks large enough for deep plans;
//! so an engine may be used from any thread, a foreign tokio's too. Memory is limited by a pool shared by all queries;
//! sorts and aggregates spill to files, hash joins fail when it is full. A query that was interrupted and does not
//! yield keeps its old runtime, and later queries start a new one.

use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use futures::channel::{mpsc, oneshot};
use futures::{SinkExt, StreamExt};
use parking_lot::RwLock;

use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::batch::empty_sorts::DropEmptySorts;
use crate::batch::fenced_limits::{FenceLimits, UnfenceLimits, keep_sorts};
use crate::batch::join_keys::name_keys;
use crate::batch::orders::part_orders;
use crate::batch::projections::PushProjections;
use crate::batch::runtime::RuntimeSlot;
use crate::batch::scan::{Contents, Prefilter, Relations};
use crate::batch::shared::SharedPlans;
use crate::batch::stream::{BatchStream, Message, wait_for};
use crate::batch::unassumed::Unassume;
use crate::operator::error::from_datafusion;
use crate::plan::context::Parameters;
use crate::plan::functions;
use crate::plan::functions::clock::with_now;
use crate::plan::query::Query;
use crate::plan::rewrite::parameters::bind;
use crate::plan::shared::{self, SharedRows};

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Bytes that all queries together may hold; `None` means no limit.
    pub memory_limit: Option<usize>,
    /// How many parts of a query run at once; also the number of threads.
    pub target_partitions: usize,
    /// Where sorts and aggregates spill; `None` means the system's directory for temporary files.
    pub spill_directory: Option<PathBuf>,
    /// The most rows in a batch between operators.
    pub batch_size: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let target_partitions = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        EngineOptions { memory_limit: None, target_partitions, spill_directory: None, batch_size: 8192 }
    }
}

/// What a plan leaves open until it runs.
#[derive(Debug, Clone, Default)]
pub struct Binding {
    /// The epoch's time, in microseconds since 1970.
    pub now_us: i64,
    /// The statement's parameters.
    pub parameters: Parameters,
}

/// Runs shared plans.
pub struct Engine {
    options: EngineOptions,
    state: RwLock<Arc<SessionState>>,
    runtime: Arc<RuntimeSlot>,
}

impl Engine {
    /// An engine; its threads start with the first query.
    pub fn new(options: EngineOptions) -> Result<Self> {
        let runtime = RuntimeSlot::new(options.target_partitions.max(1));
        Ok(Engine { state: RwLock::new(Arc::new(session_state(&options)?)), runtime: Arc::new(runtime), options })
    }

    /// Starts the query over the given contents; its batches are computed while they are asked for.
    pub fn run(
        &self,
        query: &Query,
        relations: Arc<dyn Relations>,
        binding: &Binding,
        interrupt: &Interrupt,
    ) -> Result<BatchStream> {
        interrupt.check()?;
        let runtime = self.runtime.get()?;
        let (mut sender, receiver) = mpsc::channel::<Message>(2);
        let (state, query_owned, binding) = (self.state.read().clone(), query.clone(), binding.clone());
        let task = runtime.get()?.spawn(async move {
            let result = async {
                let plan = physical_plan(&state, &query_owned, relations, &binding).await?;
                let mut batches = execute_stream(plan, state.task_ctx()).map_err(from_datafusion)?;
                while let Some(batch) = batches.next().await {
                    let batch = batch.map_err(from_datafusion)?;
                    if batch.num_rows() > 0 && sender.send(Ok(Some(batch))).await.is_err() {
                        break;
                    }
                }
                Ok(None)
            };
            let message = result.await;
            // Whoever dropped the receiver wants nothing more.
            let _ = sender.send(message).await;
        });
        Ok(BatchStream {
            schema: query.schema.clone(),
            receiver,
            task: task.abort_handle(),
            interrupt: interrupt.clone(),
            slot: self.runtime.clone(),
            _runtime: runtime,
            done: false,
        })
    }

    /// Runs the query to its end.
    pub fn collect(
        &self,
        query: &Query,
        relations: Arc<dyn Relations>,
        binding: &Binding,
        interrupt: &Interrupt,
    ) -> Result<Vec<arrow::array::RecordBatch>> {
        self.run(query, relations, binding, interrupt)?.collect()
    }

    /// The plan as text, shared and physical; with `analyze` the query is run and every operator tells what it did.
    pub fn explain(
        &self,
        query: &Query,
        relations: Arc<dyn Relations>,
        binding: &Binding,
        analyze: bool,
        interrupt: &Interrupt,
    ) -> Result<String> {
        interrupt.check()?;
        let runtime = self.runtime.get()?;
        let (sender, receiver) = oneshot::channel::<Result<String>>();
        let (state, query, binding) = (self.state.read().clone(), query.clone(), binding.clone());
        let task = runtime.get()?.spawn(async move {
            let result = async {
                let logical = logical_text(&query.plan)?;
                let plan = physical_plan(&state, &query, relations, &binding).await?;
                if analyze {
                    let mut batches = execute_stream(plan.clone(), state.task_ctx()).map_err(from_datafusion)?;
                    while let Some(batch) = batches.next().await {
                        batch.map_err(from_datafusion)?;
                    }
                }
                let physical = match analyze {
                    true => DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(true).to_string(),
                    false => DisplayableExecutionPlan::new(plan.as_ref()).indent(true).to_string(),
                };
                Ok(format!("plan:\n{}batch:\n{}", indented(&logical), indented(&physical)))
            };
            let result = result.await;
            let _ = sender.send(result);
        });
        let result = wait_for(interrupt, receiver);
        task.abort();
        match result {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => Err(Error::internal("the task of a query ended without a result")),
            Err(interrupted) => {
                self.runtime.retire();
                Err(interrupted)
            }
        }
    }

    /// Changes the limit for queries started from now on, in bytes.
    pub fn set_memory_limit(&self, limit: Option<usize>) -> Result<()> {
        let options = EngineOptions { memory_limit: limit, ..self.options.clone() };
        *self.state.write() = Arc::new(session_state(&options)?);
        Ok(())
    }
}

/// DataFusion's physical rules that are left out, by the start of their names.
///
/// - FilterPushdown (both): moves a filter on one side of an outer join to a column of the same name on the other side;
///   [`Prefilter`] does for scans what they need.
/// - LimitPushdown: takes an OFFSET along past a sort. Every limit has a sort below it that knows its number of rows
///   ([`keep_sorts`]), so there is nothing to push.
/// - LimitPushPastWindows, LimitedDistinctAggregation: the same for windows and for any rows of an aggregate.
/// - aggregate_statistics: answers from estimates that some operators pass on as exact.
/// - SanityCheckPlan: refuses right plans, since it does not see that what is sorted by `abs(a + 1)` is.
const LEFT_OUT: [&str; 6] = [
    "FilterPushdown",
    "LimitPushdown",
    "LimitPushPastWindows",
    "LimitedDistinctAggregation",
    "aggregate_statistics",
    "SanityCheckPlan",
];

fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    rules.retain(|rule| !LEFT_OUT.iter().any(|name| rule.name().starts_with(name)));
    for rule in rules.iter_mut().filter(|rule| rule.name() == "ProjectionPushdown") {
        *rule = Arc::new(PushProjections::default());
    }
    rules.insert(0, Arc::new(Prefilter));
    rules.insert(0, Arc::new(FenceLimits));
    rules.insert(0, Arc::new(Unassume));
    rules.push(Arc::new(UnfenceLimits));
    rules.push(Arc::new(DropEmptySorts));
    rules
}

fn session_state(options: &EngineOptions) -> Result<SessionState> {
    let config = SessionConfig::from(functions::options().as_ref().clone())
        .with_target_partitions(options.target_partitions.max(1))
        .with_batch_size(options.batch_size.max(1));
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(environment(options)?)
        .with_physical_optimizer_rules(physical_rules());
    Ok(state.build())
}

impl Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// The plan, and before it the plans of the rows that it reads in several places.
fn logical_text(plan: &LogicalPlan) -> Result<String> {
    let mut text = String::new();
    for rows in shared::in_order(plan).map_err(from_datafusion)? {
        text += &format!("{}:\n{}\n", rows.id(), indented(&rows.plan().display_indent().to_string()).trim_end());
    }
    Ok(with_now(&(text + &plan.display_indent().to_string())))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn environment(options: &EngineOptions) -> Result<Arc<RuntimeEnv>> {
    const CONSUMERS_NAMED: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(2);
    let pool: Arc<dyn MemoryPool> = match options.memory_limit {
        Some(limit) => Arc::new(TrackConsumersPool::new(FairSpillPool::new(limit), CONSUMERS_NAMED)),
        None => Arc::new(UnboundedMemoryPool::default()),
    };
    let builder = RuntimeEnvBuilder::new().with_memory_pool(pool);
    let builder = match &options.spill_directory {
        Some(directory) => builder.with_temp_file_path(directory),
        None => builder,
    };
    builder.build_arc().map_err(from_datafusion)
}

async fn physical_plan(
    state: &SessionState,
    query: &Query,
    relations: Arc<dyn Relations>,
    binding: &Binding,
) -> Result<Arc<dyn ExecutionPlan>> {
    // Not SessionState::create_physical_plan, which would run DataFusion's whole logical optimiser again.
    let (shared, plan) = ready(query, relations.as_ref(), binding)?;
    let mut plans = SharedPlans::default();
    for (rows, plan) in shared {
        let plan = plans.plan(&plan, state).await.map_err(from_datafusion)?;
        plans.add(&rows, plan);
    }
    plans.plan(&plan, state).await.map_err(from_datafusion)
}

/// The logical plans of the query's shared rows, in the order in which they need each other, and of the query itself,
/// bound and over actual contents.
fn ready(
    query: &Query,
    relations: &dyn Relations,
    binding: &Binding,
) -> Result<(Vec<(SharedRows, LogicalPlan)>, LogicalPlan)> {
    let mut contents = Contents::of(relations);
    let mut ready = |plan: &LogicalPlan| {
        let plan = match query.uses_now || !query.parameters.is_empty() {
            true => bind(plan, binding.now_us, &binding.parameters)?,
            false => plan.clone(),
        };
        keep_sorts(name_keys(part_orders(contents.attach(plan)?)?)?)
    };
    let shared = shared::in_order(&query.plan).map_err(from_datafusion)?.into_iter();
    let shared = shared.map(|rows| ready(rows.plan()).map(|plan| (rows, plan))).collect::<Result<Vec<_>>>()?;
    Ok((shared, ready(&query.plan)?))
}
