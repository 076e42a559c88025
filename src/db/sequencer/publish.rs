//! Behind the door: the step, the version that shows it, and house-keeping.
//!
//! The step runs while the log makes the group safe; publication waits for both. After publication a commit has
//! succeeded: what goes wrong in house-keeping is tried again later and told to nobody.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationId};
use crate::continuous::network::{Changes, Failures, Moment, Rebuild, Upkeep, ViewFailure, ViewState, recompute};
use crate::continuous::spec::CircuitSpec;
use crate::continuous::step::StepContext;
use crate::db::commit::NewView;
use crate::db::sequencer::{Group, Sequencer, poisoned};
use crate::db::subscription::SubscriptionEvent;
use crate::db::table::TableState;
use crate::db::version::{Contents, Entry, Version};
use crate::state::row_arena::RowArena;
use crate::state::snapshot::Snapshot;

/// Versions kept for `AS OF`, whatever their age.
const HISTORY_VERSIONS: usize = 4096;
/// Bytes of room on the disk that a checkpoint needs beside its rows, about.
const SPARE: u64 = 256 << 10;
/// Rows and epochs between two looks at memory and dead rows.
const HOUSEKEEPING_ROWS: u64 = 1 << 16;

/// What a step came to, beside the changes.
#[derive(Default)]
pub(super) struct Step {
    failures: Failures,
    events: Vec<Option<SubscriptionEvent>>,
}

impl Sequencer {
    /// Runs the circuits over the epoch's changes.
    pub(super) fn step(&mut self, group: &mut Group) -> Step {
        let (epoch, time_us) = (group.epoch, group.time_us);
        let tables = &self.tables;
        let snapshots = || snapshots_of(tables, epoch);
        let moment = Moment { engine: &self.shared.engine, epoch, time_us, tables: &snapshots };
        self.network.step(&mut group.changes, &moment);
        let failures = self.network.failures();
        self.subscribers.retain(|subscriber| subscriber.is_open());
        let network = &self.network;
        let never = Interrupt::default();
        let run = |plan: &_| recompute(&self.shared.engine, network.contents(&moment), time_us, plan, &never);
        let cx = StepContext { now_us: time_us, interrupt: &never, recompute: &run };
        let events = self.subscribers.iter_mut();
        let events =
            events.map(|subscriber| subscriber.event(&group.changes, network, &failures, &cx, epoch)).collect();
        Step { failures, events }
    }

    /// The rows of all tables and streams, in the middle of making `epoch`.
    pub fn table_snapshots(&self, epoch: u64) -> HashMap<RelationId, Snapshot> {
        snapshots_of(&self.tables, epoch)
    }

    /// Makes the epoch what everybody reads from now on.
    pub(super) fn publish(&mut self, group: &Group, step: &Step) {
        let (changes, failures, epoch) = (&group.changes, &step.failures, group.epoch);
        let before = self.shared.version();
        // A replay brings the time of its first epoch along.
        let in_time = group.time_us >= before.time_us || before.epoch == 0;
        assert!(epoch >= before.epoch && in_time, "epochs are published in order");
        let mut entries = before.entries.clone();
        if group.catalog.is_some() {
            entries.retain(|id, _| self.tables.contains_key(id) || self.network.contains(*id));
        }
        let republish = std::mem::take(&mut self.republish);
        let stale = |entries: &HashMap<_, _>, id| {
            changes.contains_key(id) || republish.contains(id) || !entries.contains_key(id)
        };
        for (id, table) in &self.tables {
            if stale(&entries, id) {
                let contents = Contents::Kept(table.arena.snapshot(epoch));
                entries.insert(*id, Arc::new(Entry { contents, changed: epoch, failure: None }));
            }
        }
        let moved = self.moved(changes.keys().chain(&republish));
        for view in self.network.views_mut() {
            let id = &view.relation.id;
            let failure = failures.get(id).cloned();
            let failed_before = entries.get(id).is_some_and(|entry| entry.failure.is_some());
            if !moved.contains(id) && !stale(&entries, id) && !failed_before && failure.is_none() {
                continue;
            }
            let contents = match &mut view.upkeep {
                Upkeep::Maintained(maintained) => {
                    let snapshot = maintained.contents.arena().snapshot(epoch);
                    maintained.published = Some(snapshot.clone());
                    Contents::Kept(snapshot)
                }
                Upkeep::Lazy => Contents::Lazy(Mutex::new(None)),
                Upkeep::Rebuilding(rebuild) => {
                    Contents::Awaited { computed: Mutex::new(None), rebuild: Some(rebuild.clone()) }
                }
                Upkeep::Detached { .. } => Contents::Awaited { computed: Mutex::new(None), rebuild: None },
            };
            entries.insert(*id, Arc::new(Entry { contents, changed: epoch, failure }));
        }
        let positions = match group.positions.is_empty() && group.catalog.is_none() {
            true => before.positions.clone(),
            false => Arc::new(before.positions.moved(&group.positions, group.catalog.as_deref())),
        };
        let catalog = group.catalog.clone().unwrap_or_else(|| before.catalog.clone());
        let version = Arc::new(Version { epoch, time_us: group.time_us, catalog, entries, positions });
        self.remember(version.clone());
        *self.shared.current.write() = version;
        if !republish.is_empty() || group.catalog.is_some() {
            self.shared.awaited.look_again();
        }
        self.acknowledge(&group.positions);
    }

    /// The relations that changed, the views over them, and the views that time alone changes.
    fn moved<'a>(&self, changed: impl Iterator<Item = &'a RelationId>) -> BTreeSet<RelationId> {
        let mut moved: BTreeSet<RelationId> = changed.copied().collect();
        for view in self.network.in_order() {
            if view.relation.uses_now || view.relation.dependencies.iter().any(|id| moved.contains(id)) {
                moved.insert(view.relation.id);
            }
        }
        moved
    }

    /// Tells the subscribers of the epoch.
    pub(super) fn deliver(&self, step: Step, epoch: u64, time_us: i64) {
        for (subscriber, event) in self.subscribers.iter().zip(step.events) {
            subscriber.deliver(event, epoch, time_us);
        }
    }

    /// Whether an event of the step is kept until it is acknowledged: then the epoch must not be lost once it is told.
    pub(super) fn is_followed(&self, step: &Step) -> bool {
        let followed = self.subscribers.iter().zip(&step.events);
        followed.into_iter().any(|(subscriber, event)| subscriber.follower.is_some() && event.is_some())
    }

    /// Counts the bytes held and lets dead rows go, now and then: the cost must not be paid by every small epoch.
    /// A failure leaves things as they are until the next time.
    pub(super) fn keep_house(&mut self, changes: &Changes) {
        let rows: usize = changes.values().flatten().map(ChangeBatch::num_rows).sum();
        self.unkept += 1 + rows as u64;
        if self.unkept >= HOUSEKEEPING_ROWS {
            self.unkept = 0;
            let _ = self.compact();
        }
    }

    pub(super) fn compact(&mut self) -> Result<()> {
        let wasteful = |arena: &RowArena| arena.dead_rows() > HOUSEKEEPING_ROWS + arena.live_rows() / 10;
        let tables = self.tables.values().any(|table| wasteful(&table.arena));
        let views = self.network.in_order().filter_map(|view| view.contents()).any(|rows| wasteful(rows.arena()));
        if tables || views {
            self.forget_history();
        }
        let oldest = self.shared.history.lock().front().map_or(0, |version| version.epoch);
        let (mut bytes, before) = (0, self.log.free_space().map_or(u64::MAX, |free| free.saturating_sub(SPARE)));
        // What is left of chunks in files comes into memory until a checkpoint has written it.
        let spare = self.shared.budget.limit().map_or(u64::MAX, |limit| limit as u64 / 8);
        let mut room = before.min(spare);
        let before = room;
        // One that cannot be read stays as it is, and holds no other up.
        let mut result = Ok(());
        for table in self.tables.values_mut() {
            result = result.and(table.arena.compact(oldest, &mut room));
            bytes += table.arena.size();
        }
        self.shared.log_space.must_save(before - room);
        for view in self.network.views_mut() {
            if let Upkeep::Maintained(maintained) = &mut view.upkeep {
                result = result.and(maintained.contents.arena_mut().compact(oldest, &mut { u64::MAX }));
                bytes += maintained.contents.size() + maintained.circuit.size();
            }
        }
        self.shared.budget.set_used(bytes);
        result
    }

    /// Puts a view back that the log knows: the version at hand shows it from now on.
    pub fn restore(&mut self, view: NewView) {
        let upkeep = match view.built {
            Some(built) => Upkeep::Maintained(Box::new(built.maintained)),
            None => Upkeep::Lazy,
        };
        self.show(ViewState { relation: view.relation, spec: view.spec, upkeep });
    }

    /// As [`Sequencer::restore`], of a view that cannot be planned or filled.
    pub fn restore_failed(&mut self, relation: Arc<Relation>, error: &Error) {
        let failure = ViewFailure {
            view: relation.name.clone(),
            message: error.message().to_string(),
            sqlstate: error.sqlstate(),
            row: None,
            detached: true,
        };
        let spec = no_circuit(&relation);
        self.show(ViewState { relation, spec, upkeep: Upkeep::Detached { failure: Arc::new(failure), last: None } });
    }

    /// Lets views be awaited whose rows are kept: their queries are run until they are filled.
    pub fn await_views(&mut self, views: Vec<Arc<Relation>>) {
        let version = self.shared.version();
        for relation in views {
            self.republish.insert(relation.id);
            let upkeep = Upkeep::Rebuilding(Arc::default());
            self.network.put(ViewState { spec: no_circuit(&relation), relation, upkeep });
        }
        self.network.sort(&version.catalog);
        self.publish_again();
    }

    /// Attaches a view that was filled from a version with the catalog `base`; false if that must be done again,
    /// because something that it reads was made anew. Nothing happens where nobody waits for that rebuild any more.
    pub fn attach_view(&mut self, rebuild: &Arc<Rebuild>, base: &Catalog, mut view: NewView) -> Result<bool> {
        if let Some(reason) = &self.poisoned {
            return Err(poisoned(reason));
        }
        let Some(relation) = self.waits_for(view.relation.id, rebuild) else { return Ok(true) };
        let version = self.shared.version();
        let inputs = view.spec.inputs();
        let is_kept = |id: &RelationId| self.tables.contains_key(id) || self.network.keeps(*id);
        if !inputs.iter().all(|id| version.catalog.has_same(*id, base) && is_kept(id)) {
            return Ok(false);
        }
        if let Some(built) = &mut view.built {
            let epoch = version.epoch;
            let (time_us, tables) = (version.time_us, || self.table_snapshots(epoch));
            let moment = Moment { engine: &self.shared.engine, epoch, time_us, tables: &tables };
            self.network.catch_up(&view.spec, built, &|id| self.layout(id), &moment, &rebuild.interrupt)?;
        }
        self.restore(NewView { relation, ..view });
        self.rows_at_hand = None;
        let _ = self.compact();
        Ok(true)
    }

    /// As [`Sequencer::attach_view`], of a view that cannot be filled.
    pub fn fail_view(&mut self, id: RelationId, rebuild: &Arc<Rebuild>, error: &Error) -> Result<()> {
        if let Some(reason) = &self.poisoned {
            return Err(poisoned(reason));
        }
        if let Some(relation) = self.waits_for(id, rebuild) {
            self.restore_failed(relation, error);
        }
        Ok(())
    }

    /// The definition of the view that waits for a rebuild, if it waits for it still.
    fn waits_for(&self, id: RelationId, rebuild: &Arc<Rebuild>) -> Option<Arc<Relation>> {
        let view = self.network.get(id)?;
        match &view.upkeep {
            Upkeep::Rebuilding(awaited) if Arc::ptr_eq(awaited, rebuild) => Some(view.relation.clone()),
            _ => None,
        }
    }

    fn show(&mut self, view: ViewState) {
        let version = self.shared.version();
        self.republish.insert(view.relation.id);
        self.network.put(view);
        self.network.sort(&version.catalog);
        self.publish_again();
    }

    /// Shows the same epoch with other entries.
    pub(super) fn publish_again(&mut self) {
        let version = self.shared.version();
        let step = Step { failures: self.network.failures(), events: Vec::new() };
        self.publish(&Group::new(version.epoch, version.time_us), &step);
    }

    /// Lets all past versions go but the current one.
    pub fn forget_history(&self) {
        let mut history = self.shared.history.lock();
        let keep = history.len().saturating_sub(1);
        history.drain(..keep);
    }

    /// Keeps the version for `AS OF` and lets old ones go.
    fn remember(&self, version: Arc<Version>) {
        let mut history = self.shared.history.lock();
        let oldest = version.time_us.saturating_sub(self.shared.history_us);
        history.pop_back_if(|last| last.epoch == version.epoch);
        history.push_back(version);
        while history.len() > HISTORY_VERSIONS
            || history.front().is_some_and(|v| v.time_us < oldest && history.len() > 1)
        {
            history.pop_front();
        }
    }
}

/// The circuit of a view that has none.
fn no_circuit(relation: &Relation) -> Arc<CircuitSpec> {
    Arc::new(CircuitSpec { nodes: Vec::new(), root: 0, schema: relation.schema.clone() })
}

fn snapshots_of(tables: &HashMap<RelationId, TableState>, epoch: u64) -> HashMap<RelationId, Snapshot> {
    tables.iter().map(|(id, table)| (*id, table.arena.snapshot(epoch))).collect()
}
