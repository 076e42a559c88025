//! The network: all materialized views, their order, their steps and how they fail.
//!
//! A view's contents at an epoch are its query over the relations at that epoch, because every step hands its circuit
//! exactly that epoch's changes, views before the views that read them. A view whose whole plan is recomputed keeps
//! nothing and is computed when read. A failing row fails the view until the row is gone; a failing step detaches it
//! until REFRESH.
//!
//! A new definition of a view is filled from a version beside the old one ([`Built`]); [`Network::catch_up`] carries it
//! over to now and says how its contents differ from what was shown last, so that whoever follows the view, be it a
//! view above or a subscriber, gets exactly that difference as the change of an epoch.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::batch::engine::{Binding, Engine};
use crate::batch::scan::Snapshots;
use crate::catalog::definitions::Catalog;
use crate::catalog::layout::Layout;
use crate::catalog::relation::{Relation, RelationId};
use crate::continuous::circuit::{Circuit, Progress};
use crate::continuous::spec::CircuitSpec;
use crate::continuous::step::StepContext;
use crate::plan::context::Parameters;
use crate::plan::query::{Query, SharedPlan};
use crate::state::consolidate::consolidate;
use crate::state::row_set::RowSet;
use crate::state::snapshot::Snapshot;

/// Changes of one step, by relation.
pub type Changes = HashMap<RelationId, Vec<ChangeBatch>>;

/// The views that cannot be read, and why.
pub type Failures = HashMap<RelationId, Arc<ViewFailure>>;

/// Why a view has no answer.
#[derive(Debug, Clone)]
pub struct ViewFailure {
    /// The name of the view where the failure arose.
    pub view: String,
    /// The error.
    pub message: String,
    /// Its SQLSTATE.
    pub sqlstate: &'static str,
    /// The first offending row as text, where a row is at fault.
    pub row: Option<String>,
    /// Whether the view was detached: its state is gone until REFRESH.
    pub detached: bool,
}

impl ViewFailure {
    /// The error a reader of `relation` gets.
    pub fn to_error(&self, relation: &str) -> Error {
        let row = self.row.as_ref().map(|row| format!(", for the row {row}")).unwrap_or_default();
        let on = if self.view == relation { String::new() } else { format!(" (in view \"{}\" below it)", self.view) };
        let error =
            Error::new(ErrorKind::ViewFailed, format!("view \"{relation}\" has failed{on}: {}{row}", self.message))
                .with_sqlstate(self.sqlstate);
        match self.detached {
            true => error.with_hint(format!("REFRESH MATERIALIZED VIEW {} rebuilds it", self.view)),
            false => error.with_hint("correct or delete the row and the view recovers by itself"),
        }
    }
}

/// How a view is kept.
pub enum Upkeep {
    /// Change by change.
    Maintained(Box<Maintained>),
    /// Not at all: computed when first read in a version.
    Lazy,
    /// Not yet: it is being filled again, and computed when it is read until then.
    Rebuilding(Arc<Rebuild>),
    /// Not any more: a step failed.
    Detached {
        /// Why.
        failure: Arc<ViewFailure>,
        /// What was shown last: who reads the view by change stands there still.
        last: Option<Snapshot>,
    },
}

/// A view that is being filled again: how far it has come, and what calls it off.
#[derive(Debug, Default)]
pub struct Rebuild {
    done: AtomicU64,
    total: AtomicU64,
    /// Calls it off.
    pub interrupt: Interrupt,
}

impl Rebuild {
    /// Begins to read so many rows.
    pub fn begin(&self, rows: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(rows, Ordering::Relaxed);
    }

    /// Rows were read.
    pub fn advance(&self, rows: u64) {
        self.done.fetch_add(rows, Ordering::Relaxed);
    }

    /// The share of the rows that were read, in percent.
    pub fn percent(&self) -> u64 {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        done.saturating_mul(100).checked_div(total).unwrap_or(0).min(100)
    }
}

/// A running circuit and its result.
pub struct Maintained {
    pub circuit: Circuit,
    pub contents: RowSet,
    /// The contents as last published.
    pub published: Option<Snapshot>,
}

/// A materialized view.
pub struct ViewState {
    pub relation: Arc<Relation>,
    pub spec: Arc<CircuitSpec>,
    pub upkeep: Upkeep,
}

/// A circuit filled from a version.
pub struct Built {
    /// The circuit and its result.
    pub maintained: Maintained,
    /// What it was filled from.
    pub from: Vec<(RelationId, Snapshot)>,
}

/// The moment of a step: its epoch and time, and the contents of tables and streams as they are in it.
pub struct Moment<'a> {
    pub engine: &'a Engine,
    pub epoch: u64,
    pub time_us: i64,
    pub tables: &'a dyn Fn() -> HashMap<RelationId, Snapshot>,
}

/// All materialized views.
#[derive(Default)]
pub struct Network {
    views: HashMap<RelationId, ViewState>,
    /// The views, each behind those it reads.
    order: Vec<RelationId>,
}

impl Network {
    /// The view of that identity.
    pub fn get(&self, id: RelationId) -> Option<&ViewState> {
        self.views.get(&id)
    }

    /// Whether there is no view.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// Whether there is a view of that identity.
    pub fn contains(&self, id: RelationId) -> bool {
        self.views.contains_key(&id)
    }

    /// Whether the rows of a view are there.
    pub fn keeps(&self, id: RelationId) -> bool {
        self.views.get(&id).is_some_and(|view| view.contents().is_some())
    }

    /// The views, each behind those it reads.
    pub fn in_order(&self) -> impl Iterator<Item = &ViewState> {
        self.order.iter().filter_map(|id| self.views.get(id))
    }

    /// The views, to keep house.
    pub fn views_mut(&mut self) -> impl Iterator<Item = &mut ViewState> {
        self.views.values_mut()
    }

    /// Carries one epoch's changes through all views that read them, and adds the views' own.
    pub fn step(&mut self, changes: &mut Changes, moment: &Moment<'_>) {
        for id in self.order.clone() {
            let wanted = |view: &ViewState| {
                view.relation.uses_now || view.spec.inputs().iter().any(|id| changes.contains_key(id))
            };
            if !self.views.get(&id).is_some_and(wanted) {
                continue;
            }
            let Some(mut view) = self.views.remove(&id) else { continue };
            let never = Interrupt::default();
            let run = |plan: &_| recompute(moment.engine, self.contents(moment), moment.time_us, plan, &never);
            let cx = StepContext { now_us: moment.time_us, interrupt: &never, recompute: &run };
            let own = view.step(changes, &cx, moment.epoch);
            self.views.insert(id, view);
            add_change(changes, id, own);
        }
    }

    /// The contents of everything kept, in the middle of a step.
    pub fn contents(&self, moment: &Moment<'_>) -> Snapshots {
        let mut kept = (moment.tables)();
        kept.extend(
            self.views.iter().filter_map(|(id, view)| Some((*id, view.contents()?.arena().snapshot(moment.epoch)))),
        );
        Snapshots { kept }
    }

    /// The views that cannot be read, and why: their own failure, or that of a view below.
    pub fn failures(&self) -> Failures {
        let mut failures = Failures::new();
        for view in self.in_order() {
            let below = || view.relation.dependencies.iter().find_map(|id| failures.get(id).cloned());
            if let Some(failure) = view.own_failure().or_else(below) {
                failures.insert(view.relation.id, failure);
            }
        }
        failures
    }

    /// Hands a circuit that was built from a version what has been committed since, and lets it follow the relations
    /// as they are laid out now; one that asks what time it is is told the time of now. Changes nothing of the network.
    pub fn catch_up(
        &self,
        spec: &CircuitSpec,
        built: &mut Built,
        layout: &dyn Fn(RelationId) -> Option<Layout>,
        moment: &Moment<'_>,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let now = self.contents(moment);
        let mut inputs = Vec::new();
        for (id, before) in &built.from {
            let after = now.kept.get(id).ok_or_else(|| Error::new(ErrorKind::Conflict, "a relation was dropped"))?;
            if let Some(layout) = layout(*id) {
                built.maintained.circuit.relayout(*id, &layout.ids);
            }
            let changes = after.changes_since(before)?;
            if !changes.is_empty() {
                inputs.push((*id, changes));
            }
        }
        if inputs.is_empty() && !spec.uses_now() {
            return Ok(());
        }
        let run = |plan: &_| recompute(moment.engine, self.contents(moment), moment.time_us, plan, interrupt);
        let cx = StepContext { now_us: moment.time_us, interrupt, recompute: &run };
        guarded(|| built.maintained.step(&inputs, &cx, moment.epoch)).map(drop)
    }

    /// How the contents of a new state of a view differ from what was shown of it last; `None` where there is nothing
    /// to compare with, because it is new, was not kept or is not kept any more, or has other columns.
    pub fn difference(&self, id: RelationId, new: &Maintained, epoch: u64) -> Result<Option<Vec<ChangeBatch>>> {
        let Some(old) = self.views.get(&id) else { return Ok(None) };
        let last = match &old.upkeep {
            Upkeep::Maintained(maintained) => Some(maintained.contents.arena().snapshot(epoch)),
            Upkeep::Detached { last, .. } => last.clone(),
            Upkeep::Lazy | Upkeep::Rebuilding(_) => None,
        };
        match last {
            Some(last) if same_columns(&last.schema(), &new.contents.arena().snapshot(epoch).schema()) => {
                difference(&last, &new.contents.arena().snapshot(epoch)).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Puts a view in the place of what it was before.
    pub fn put(&mut self, view: ViewState) {
        if let Some(ViewState { upkeep: Upkeep::Rebuilding(rebuild), .. }) = self.views.insert(view.relation.id, view) {
            rebuild.interrupt.cancel();
        }
    }

    /// Gives a view another definition of the same query: another name.
    pub fn redefine(&mut self, relation: Arc<Relation>) {
        if let Some(view) = self.views.get_mut(&relation.id) {
            view.relation = relation;
        }
    }

    /// Takes a view out.
    pub fn remove(&mut self, id: RelationId) {
        if let Some(ViewState { upkeep: Upkeep::Rebuilding(rebuild), .. }) = self.views.remove(&id) {
            rebuild.interrupt.cancel();
        }
    }

    /// Lets the circuits follow a relation whose columns have changed.
    pub fn relayout(&mut self, id: RelationId, layout: &Layout) {
        for view in self.views.values_mut() {
            if let Upkeep::Maintained(maintained) = &mut view.upkeep {
                maintained.circuit.relayout(id, &layout.ids);
            }
        }
    }

    /// Puts each view behind those it reads.
    pub fn sort(&mut self, catalog: &Catalog) {
        self.order = catalog.in_order();
        self.order.retain(|id| self.views.contains_key(id));
    }
}

impl ViewState {
    /// The view's failure of its own, not of a view below it.
    pub fn own_failure(&self) -> Option<Arc<ViewFailure>> {
        match &self.upkeep {
            Upkeep::Maintained(maintained) => circuit_failure(&maintained.circuit, &self.relation.name).map(Arc::new),
            Upkeep::Lazy | Upkeep::Rebuilding(_) => None,
            Upkeep::Detached { failure, .. } => Some(failure.clone()),
        }
    }

    /// The rows the view keeps, if it keeps any.
    pub fn contents(&self) -> Option<&RowSet> {
        match &self.upkeep {
            Upkeep::Maintained(maintained) => Some(&maintained.contents),
            _ => None,
        }
    }

    /// Carries one epoch's changes through the view; returns the view's own, consolidated.
    /// A failing step detaches the view and returns no change.
    fn step(&mut self, changes: &Changes, cx: &StepContext<'_>, epoch: u64) -> Vec<ChangeBatch> {
        let Upkeep::Maintained(maintained) = &mut self.upkeep else { return Vec::new() };
        let inputs = inputs_of(&self.spec, changes);
        if inputs.is_empty() && !self.relation.uses_now {
            return Vec::new();
        }
        match guarded(|| maintained.step(&inputs, cx, epoch)) {
            Ok(changes) => changes,
            Err(error) => {
                let failure = Arc::new(ViewFailure {
                    view: self.relation.name.clone(),
                    message: error.message().to_string(),
                    sqlstate: error.sqlstate(),
                    row: None,
                    detached: true,
                });
                self.upkeep = Upkeep::Detached { failure, last: maintained.published.take() };
                Vec::new()
            }
        }
    }
}

impl Maintained {
    /// A view over what `snapshots` hold; its rows carry `epoch`. `progress` is told of rows read and bytes held.
    pub fn build(
        spec: &CircuitSpec,
        relation: &Relation,
        snapshots: &[(RelationId, Snapshot)],
        cx: &StepContext<'_>,
        epoch: u64,
        progress: &Progress<'_>,
    ) -> Result<Self> {
        let mut circuit = Circuit::new(spec)?;
        let contents = RowSet::new(relation.schema.clone(), spec.unique_key().map(<[usize]>::to_vec))?;
        let output = guarded(|| circuit.build(snapshots, cx, progress))?;
        let mut maintained = Maintained { circuit, contents, published: None };
        maintained.keep(output.changes, output.consolidated, epoch)?;
        progress(0, maintained.size())?;
        Ok(maintained)
    }

    /// Bytes of state, as far as they are counted.
    pub fn size(&self) -> usize {
        self.contents.size() + self.circuit.size()
    }

    /// One step; returns the consolidated change.
    pub fn step(
        &mut self,
        inputs: &[(RelationId, Vec<ChangeBatch>)],
        cx: &StepContext<'_>,
        epoch: u64,
    ) -> Result<Vec<ChangeBatch>> {
        let output = self.circuit.step(inputs, cx)?;
        self.keep(output.changes, output.consolidated, epoch)
    }

    fn keep(&mut self, changes: Vec<ChangeBatch>, consolidated: bool, epoch: u64) -> Result<Vec<ChangeBatch>> {
        let net = consolidated || changes.iter().all(ChangeBatch::is_ones);
        let changes = if net { changes } else { consolidate(&changes)? };
        self.contents.apply_all(&changes, epoch)?;
        Ok(changes)
    }
}

/// Adds a view's change to those of the step; a view that got a new state in the same epoch has one already, and what
/// is told of a view is net.
fn add_change(changes: &mut Changes, id: RelationId, own: Vec<ChangeBatch>) {
    if own.is_empty() {
        return;
    }
    let change = changes.entry(id).or_default();
    let several = !change.is_empty();
    change.extend(own);
    if several && let Ok(net) = consolidate(change) {
        *change = net;
    }
}

/// Runs the plan of a Recompute node over the contents of a step.
pub fn recompute(
    engine: &Engine,
    contents: Snapshots,
    now_us: i64,
    plan: &SharedPlan,
    interrupt: &Interrupt,
) -> Result<Vec<RecordBatch>> {
    let binding = Binding { now_us, parameters: Parameters::default() };
    engine.collect(&Query::of_plan(plan.clone()), Arc::new(contents), &binding, interrupt)
}

/// The changes of the relations a circuit reads, in its order; none if nothing it reads has changed.
pub fn inputs_of(spec: &CircuitSpec, changes: &Changes) -> Vec<(RelationId, Vec<ChangeBatch>)> {
    spec.inputs().into_iter().filter_map(|id| changes.get(&id).map(|batches| (id, batches.clone()))).collect()
}

/// What fails a circuit now, if anything does.
pub fn circuit_failure(circuit: &Circuit, view: &str) -> Option<ViewFailure> {
    circuit.first_error().map(|(error, row)| ViewFailure {
        view: view.to_string(),
        message: error.message().to_string(),
        sqlstate: error.sqlstate(),
        row: Some(row.to_string()),
        detached: false,
    })
}

/// Runs some work; a panic in it becomes an error, for one view's defect must not take the database down.
pub fn guarded<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown".into());
        Err(Error::new(ErrorKind::Internal, format!("the work panicked: {text}"))
            .with_hint("this is a defect in eddydb: please report it"))
    })
}

/// Whether rows of one schema stand for rows of the other: the same names and types in the same order.
pub fn same_columns(one: &Schema, other: &Schema) -> bool {
    one.fields().len() == other.fields().len()
        && (one.fields().iter().zip(other.fields()))
            .all(|(one, other)| one.name() == other.name() && one.data_type() == other.data_type())
}

/// What turns the rows of one snapshot into those of another.
fn difference(old: &Snapshot, new: &Snapshot) -> Result<Vec<ChangeBatch>> {
    let mut batches = Vec::new();
    for (snapshot, inserts) in [(old, false), (new, true)] {
        for chunk in 0..snapshot.chunks() {
            if let Some(rows) = snapshot.read_chunk(chunk, None, false)? {
                let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
                let rows = RecordBatch::try_new_with_options(new.schema(), rows.columns().to_vec(), &options)?;
                batches.push(if inserts { ChangeBatch::inserts(rows) } else { ChangeBatch::deletes(rows) });
            }
        }
    }
    consolidate(&batches)
}
