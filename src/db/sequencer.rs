//! The sequencer: lets commits through the door, in order, and publishes epochs.
//!
//! The life of an epoch: commits wait in a bounded queue; as many as are there (up to a million rows) pass the door
//! one by one, each against the state its forerunners left; what passed goes to the log; the circuits with input run
//! once over all of it, views before the views that read them; then one immutable version is published, committers
//! wake, and subscribers get their changes. Nothing can refuse a commit after the door.
//!
//! Only who holds the sequencer touches tables, indexes and circuits; it does not parse or plan. Mostly that is its
//! own thread. A committer who finds nobody before it makes its epoch itself: to wake two threads costs more than a
//! small epoch, and what the step wrote is still in this core's caches when the caller reads it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::base::access::FileAccess;
use crate::base::change::ChangeBatch;
use crate::base::clock::Clock;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MemoryBudget;
use crate::base::types::is_nested_deeper;
use crate::batch::engine::Engine;
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::RelationId;
use crate::continuous::circuit::{Circuit, StepContext};
use crate::continuous::spec::{CircuitSpec, LIGHT_NESTING};
use crate::db::read::{Snapshots, recompute};
use crate::db::subscription::{EventKind, Queue, SubscriptionEvent, concat_changes};
use crate::db::table::{TableState, Write};
use crate::db::version::{Contents, Entry, Version, ViewFailure};
use crate::db::view::{Changes, Upkeep, ViewState, circuit_failure, guarded, inputs_of};
use crate::plan::functions::FunctionRegistry;
use crate::state::consolidate::consolidate;
use crate::state::row_arena::RowArena;
use crate::storage::log::{Log, LogRecord, RelationWrite};

/// Rows that one epoch takes from the queue before it closes.
const EPOCH_ROWS: usize = 1 << 20;
/// Requests that may wait; committers block beyond it.
const QUEUE_LENGTH: usize = 1024;
/// Versions kept for `AS OF`, whatever their age.
const HISTORY_VERSIONS: usize = 4096;
/// Rows and epochs between two looks at memory and dead rows.
const HOUSEKEEPING_ROWS: u64 = 1 << 16;

/// Stack a committer must have left to make its epoch itself.
const STACK_MIN: usize = 1 << 20;

/// The views that cannot be read, and why.
pub type Failures = HashMap<RelationId, Arc<ViewFailure>>;

/// What the threads of a database share.
pub struct Shared {
    pub current: RwLock<Arc<Version>>,
    pub engine: Engine,
    pub functions: RwLock<Arc<FunctionRegistry>>,
    pub clock: Arc<dyn Clock>,
    /// Which files SQL may touch.
    pub access: FileAccess,
    pub budget: MemoryBudget,
    /// Past versions, oldest first, the current one last.
    pub history: Mutex<VecDeque<Arc<Version>>>,
    /// How long a past version is kept, in microseconds.
    pub history_us: i64,
}

impl Shared {
    /// The version as of now.
    pub fn version(&self) -> Arc<Version> {
        self.current.read().clone()
    }
}

/// Makes a commit's writes anew, from the version at the door.
pub type Again = Box<dyn FnOnce(&Arc<Version>) -> Result<Vec<Write>> + Send>;

/// What a statement or transaction asks for.
pub struct Commit {
    /// The epoch its reads saw.
    pub read_epoch: u64,
    /// The relations it read; empty for blind inserts.
    pub reads: BTreeSet<RelationId>,
    /// What it wants written.
    pub writes: Vec<Write>,
    /// How to make the writes again if what was read has changed; without it that is a conflict.
    pub again: Option<Again>,
}

/// A commit that was published.
#[derive(Debug, Clone, Copy)]
pub struct Committed {
    /// The epoch that shows it.
    pub epoch: u64,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows deleted.
    pub deleted: u64,
}

/// What the sequencer is asked.
pub enum Request {
    /// Let a commit through the door.
    Commit(Commit, Sender<Result<Committed>>),
    /// Run something between two epochs: DDL, ticks, subscriptions.
    Task(Box<dyn FnOnce(&mut Sequencer) + Send>),
}

/// What committers hold.
#[derive(Clone)]
pub struct SequencerHandle {
    // Before the queue's end: so the thread, which outlives the last of those, drops the sequencer, on its large stack.
    sequencer: Arc<Mutex<Sequencer>>,
    requests: Sender<Request>,
}

impl SequencerHandle {
    /// Starts the sequencer's thread; it ends when the last handle is gone.
    pub fn start(shared: Arc<Shared>, log: Box<dyn Log>) -> Result<Self> {
        let (sender, receiver) = bounded(QUEUE_LENGTH);
        let sequencer = Arc::new(Mutex::new(Sequencer::new(shared, log)));
        let handle = SequencerHandle { sequencer: sequencer.clone(), requests: sender };
        std::thread::Builder::new()
            .name("eddy-sequencer".into())
            .stack_size(64 << 20)
            .spawn(move || run(&sequencer, &receiver))
            .map_err(Error::from)?;
        Ok(handle)
    }

    /// Commits; returns when the commit is published.
    pub fn commit(&self, commit: Commit) -> Result<Committed> {
        let (reply, answer) = bounded(1);
        match self.at_hand(&commit) {
            Some(mut sequencer) => drop(sequencer.epoch(commit, reply, &|| None)),
            None => self.requests.send(Request::Commit(commit, reply)).map_err(|_| gone())?,
        }
        answer.recv().map_err(|_| gone())?
    }

    /// The sequencer, if this thread may make the commit's epoch: nobody is before it, and it is light work.
    fn at_hand(&self, commit: &Commit) -> Option<MutexGuard<'_, Sequencer>> {
        let has_room = || stacker::remaining_stack().is_some_and(|bytes| bytes >= STACK_MIN);
        if commit.again.is_some() || !self.requests.is_empty() || !has_room() {
            return None;
        }
        let mut sequencer = self.sequencer.try_lock()?;
        sequencer.is_light().then_some(sequencer)
    }

    /// Runs `task` on the sequencer's thread between two epochs.
    pub fn task<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Sequencer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = bounded(1);
        let request = Request::Task(Box::new(move |sequencer| {
            let _ = reply.send(guarded(|| task(sequencer)));
        }));
        self.requests.send(request).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

fn gone() -> Error {
    Error::internal("the database's sequencer has stopped")
}

/// Serves requests until the last handle is gone.
fn run(sequencer: &Mutex<Sequencer>, requests: &Receiver<Request>) {
    let mut left = None;
    while let Some(request) = left.take().or_else(|| requests.recv().ok()) {
        let mut sequencer = sequencer.lock();
        match request {
            Request::Task(task) => {
                sequencer.light = None;
                task(&mut sequencer);
            }
            Request::Commit(commit, reply) => left = sequencer.epoch(commit, reply, &|| requests.try_recv().ok()),
        }
    }
    for subscriber in &sequencer.lock().subscribers {
        subscriber.queue.end("the database was closed");
    }
}

/// Who gets the changes of what.
pub struct Subscriber {
    pub queue: Arc<Queue>,
    pub target: Target,
    schema: SchemaRef,
    progress: bool,
    /// Changes held back while the target fails.
    held: Vec<ChangeBatch>,
    /// Whether nothing in what is held cancels.
    held_is_net: bool,
    failed: bool,
    /// Why nothing more will come: a step broke off, so what is held is not all there was.
    broken: Option<String>,
}

/// What a subscriber follows.
pub enum Target {
    /// A relation's own changes.
    Relation(RelationId),
    /// A query of its own.
    Query { circuit: Box<Circuit>, spec: Arc<CircuitSpec> },
}

/// All that only who holds it touches.
pub struct Sequencer {
    pub shared: Arc<Shared>,
    log: Box<dyn Log>,
    pub tables: HashMap<RelationId, TableState>,
    pub views: HashMap<RelationId, ViewState>,
    /// The materialized views, each behind those it reads.
    pub order: Vec<RelationId>,
    pub subscribers: Vec<Subscriber>,
    /// Relations whose entry in the next version is new although their rows did not change.
    pub republish: BTreeSet<RelationId>,
    next_relation: u64,
    /// What the log says about the statement being replayed.
    replayed: Option<(i64, Vec<RelationWrite>)>,
    /// Epochs since bytes were last counted and dead rows looked at.
    unkept: u64,
    /// [`Sequencer::is_light`], until views or subscribers change.
    light: Option<bool>,
}

impl Sequencer {
    fn new(shared: Arc<Shared>, log: Box<dyn Log>) -> Self {
        Sequencer {
            shared,
            log,
            tables: HashMap::new(),
            views: HashMap::new(),
            order: Vec::new(),
            subscribers: Vec::new(),
            republish: BTreeSet::new(),
            next_relation: 1,
            replayed: None,
            unkept: 0,
            light: None,
        }
    }

    /// Whether every epoch is light work, see [`CircuitSpec::is_light`].
    fn is_light(&mut self) -> bool {
        if let Some(light) = self.light {
            return light;
        }
        let subscribers = self.subscribers.iter().all(|subscriber| match &subscriber.target {
            Target::Relation(_) => true,
            Target::Query { spec, .. } => spec.is_light(),
        });
        let views = self.views.values().all(|view| view.spec.is_light());
        let light = subscribers && views && self.tables.values().all(is_flat);
        self.light = Some(light);
        light
    }

    /// Takes the first commit and all that wait behind it through the door and publishes them as one epoch.
    /// Returns a request that must wait for the epoch to end.
    fn epoch(
        &mut self,
        first: Commit,
        reply: Sender<Result<Committed>>,
        waiting: &dyn Fn() -> Option<Request>,
    ) -> Option<Request> {
        let time_us = match guarded(|| Ok(self.time_us())) {
            Ok(time_us) => time_us,
            Err(error) => {
                drop(reply.send(Err(error)));
                return None;
            }
        };
        let mut group = Group::new(self.shared.version().epoch + 1, time_us);
        let mut next = Some(Request::Commit(first, reply));
        let mut rows = 0;
        let left = loop {
            match next.take().or_else(waiting) {
                Some(Request::Commit(commit, reply)) => {
                    if commit.again.is_some() && !group.replies.is_empty() {
                        // Its reads may have to be made again, from a version that shows its forerunners.
                        break Some(Request::Commit(commit, reply));
                    }
                    rows += commit.writes.iter().map(Write::rows).sum::<usize>();
                    match guarded(|| self.pass(commit, &mut group)) {
                        Ok(committed) => group.replies.push((reply, committed)),
                        Err(error) => drop(reply.send(Err(error))),
                    }
                    if rows >= EPOCH_ROWS {
                        break None;
                    }
                }
                other => break other,
            }
        };
        if group.touched {
            let result = guarded(|| self.finish(&mut group.changes, group.epoch, group.time_us, None));
            for (reply, committed) in group.replies {
                let _ = reply.send(result.as_ref().map(|_| committed).map_err(copy));
            }
        } else {
            let epoch = group.epoch - 1;
            for (reply, committed) in group.replies {
                let _ = reply.send(Ok(Committed { epoch, ..committed }));
            }
        }
        left
    }

    /// The door: one commit, whole or not at all.
    fn pass(&mut self, commit: Commit, group: &mut Group) -> Result<Committed> {
        let version = self.shared.version();
        let changed = |id: &RelationId| version.changed(*id) > commit.read_epoch || group.changes.contains_key(id);
        let stale = commit.reads.iter().find(|id| changed(id)).copied();
        let writes = match (stale, commit.again) {
            (None, _) => commit.writes,
            (Some(_), Some(again)) => again(&version)?,
            (Some(id), None) => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("\"{}\" was changed by another commit since this transaction read it", version.name(id)),
                )
                .with_hint("run the transaction again"));
            }
        };
        let admitted = self.admit(writes)?;
        self.account(&admitted)?;
        let mut committed = Committed { epoch: group.epoch, inserted: 0, deleted: 0 };
        for write in &admitted {
            committed.deleted += write.deletes.len() as u64;
            committed.inserted += write.inserts.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        }
        if committed.deleted + committed.inserted > 0 {
            let (epoch, time_us) = (group.epoch, group.time_us);
            self.log.append(&LogRecord::Commit { epoch, time_us, writes: admitted.clone() })?;
            self.apply(&admitted, group.epoch, &mut group.changes)?;
            group.touched = true;
        }
        Ok(committed)
    }

    /// Asks every table whether it lets its writes pass. Changes nothing.
    pub fn admit(&self, writes: Vec<Write>) -> Result<Vec<RelationWrite>> {
        let mut admitted: BTreeMap<u64, RelationWrite> = BTreeMap::new();
        for write in writes {
            let table = self.tables.get(&write.relation).ok_or_else(|| {
                let name = self.shared.version().name(write.relation);
                Error::new(ErrorKind::NotFound, format!("relation \"{name}\" was dropped")).with_sqlstate("42P01")
            })?;
            let write = table.admit(write)?;
            if admitted.insert(write.relation, write).is_some() {
                return Err(Error::internal("a commit writes one relation twice"));
            }
        }
        Ok(admitted.into_values().collect())
    }

    /// Refuses a commit that memory has no room for.
    fn account(&self, writes: &[RelationWrite]) -> Result<()> {
        let bytes: usize = writes.iter().flat_map(|w| &w.inserts).map(|batch| batch.get_array_memory_size()).sum();
        let used = self.shared.budget.used();
        self.shared.budget.resize("the commit", used, used + bytes)?;
        self.shared.budget.resize("the commit", used + bytes, used)
    }

    /// Carries out admitted writes and adds their changes.
    pub fn apply(&mut self, writes: &[RelationWrite], epoch: u64, changes: &mut Changes) -> Result<()> {
        for write in writes {
            let id = RelationId(write.relation);
            let table = self.tables.get_mut(&id).ok_or_else(|| Error::internal("an admitted relation is gone"))?;
            changes.entry(id).or_default().extend(table.apply(write, epoch)?);
        }
        Ok(())
    }

    /// The time of the epoch being made: the clock's, but never less than the last epoch's.
    pub fn time_us(&self) -> i64 {
        match &self.replayed {
            Some((time_us, _)) => *time_us,
            None => self.shared.clock.now_us().max(self.shared.version().time_us),
        }
    }

    /// Says what the log holds for the DDL statement that is run next.
    pub fn expect_rows(&mut self, time_us: i64, writes: Vec<RelationWrite>) -> Result<()> {
        self.replayed = Some((time_us, writes));
        Ok(())
    }

    /// The logged rows of the DDL statement being replayed.
    pub fn replayed_rows(&mut self) -> Option<Vec<RelationWrite>> {
        self.replayed.as_mut().map(|(_, writes)| std::mem::take(writes))
    }

    /// From here on time and rows are new again.
    pub fn end_replay(&mut self) -> Result<()> {
        self.replayed = None;
        Ok(())
    }

    /// Appends a record to the log.
    pub fn record(&mut self, record: &LogRecord) -> Result<()> {
        self.log.append(record)
    }

    /// A number no relation had before.
    pub fn next_relation(&mut self) -> RelationId {
        self.next_relation += 1;
        RelationId(self.next_relation - 1)
    }

    /// Runs the circuits over `changes` and publishes the epoch, with a new catalog if there is one.
    pub fn finish(&mut self, changes: &mut Changes, epoch: u64, time_us: i64, catalog: Option<Catalog>) -> Result<()> {
        self.step_views(changes, epoch, time_us);
        let failures = self.failures();
        let events = self.step_subscribers(changes, &failures, epoch, time_us);
        self.publish(changes, &failures, epoch, time_us, catalog);
        self.deliver(events, epoch);
        self.keep_house(changes)
    }

    /// Publishes an epoch in which only time moves.
    pub fn tick(&mut self) -> Result<Arc<Version>> {
        let version = self.shared.version();
        let (epoch, time_us) = (version.epoch + 1, self.time_us());
        self.record(&LogRecord::Tick { epoch, time_us })?;
        self.finish(&mut Changes::new(), epoch, time_us, None)?;
        Ok(self.shared.version())
    }

    fn step_views(&mut self, changes: &mut Changes, epoch: u64, time_us: i64) {
        for id in self.order.clone() {
            let reads_change = |view: &ViewState| view.spec.inputs().iter().any(|id| changes.contains_key(id));
            if !self.views.get(&id).is_some_and(reads_change) {
                continue;
            }
            let Some(mut view) = self.views.remove(&id) else { continue };
            let run = |plan: &_| recompute(&self.shared, self.snapshots(epoch), time_us, plan);
            let own = view.step(changes, &StepContext { now_us: time_us, recompute: &run }, epoch);
            self.views.insert(id, view);
            if !own.is_empty() {
                changes.insert(id, own);
            }
        }
    }

    /// The contents of everything kept, in the middle of making `epoch`.
    pub fn snapshots(&self, epoch: u64) -> Snapshots {
        let tables = self.tables.iter().map(|(id, table)| (*id, table.arena.snapshot(epoch)));
        let views = self.views.iter().filter_map(|(id, view)| match &view.upkeep {
            Upkeep::Maintained(maintained) => Some((*id, maintained.contents.arena().snapshot(epoch))),
            _ => None,
        });
        Snapshots { kept: tables.chain(views).collect() }
    }

    /// What each subscriber is to be told.
    fn step_subscribers(
        &mut self,
        changes: &Changes,
        failures: &Failures,
        epoch: u64,
        time_us: i64,
    ) -> Vec<Option<SubscriptionEvent>> {
        let mut subscribers = std::mem::take(&mut self.subscribers);
        subscribers.retain(|subscriber| !subscriber.queue.is_closed() && subscriber.broken.is_none());
        let run = |plan: &_| recompute(&self.shared, self.snapshots(epoch), time_us, plan);
        let cx = StepContext { now_us: time_us, recompute: &run };
        let events = subscribers
            .iter_mut()
            .map(|subscriber| subscriber.event(changes, &self.views, failures, &cx, epoch))
            .collect();
        self.subscribers = subscribers;
        events
    }

    fn deliver(&mut self, events: Vec<Option<SubscriptionEvent>>, epoch: u64) {
        for (subscriber, event) in self.subscribers.iter().zip(events) {
            subscriber.queue.advance(epoch);
            if let Some(event) = event {
                subscriber.queue.push(event);
            }
            if let Some(reason) = &subscriber.broken {
                subscriber.queue.end(reason);
            }
        }
    }

    /// The views that cannot be read, and why: their own failure, or that of a view below.
    pub fn failures(&self) -> Failures {
        let mut failures = Failures::new();
        for id in &self.order {
            let Some(view) = self.views.get(id) else { continue };
            let below = || view.relation.dependencies.iter().find_map(|id| failures.get(id).cloned());
            if let Some(failure) = view.own_failure().or_else(below) {
                failures.insert(*id, failure);
            }
        }
        failures
    }

    fn publish(&mut self, changes: &Changes, failures: &Failures, epoch: u64, time_us: i64, catalog: Option<Catalog>) {
        let before = self.shared.version();
        let mut entries = before.entries.clone();
        if catalog.is_some() {
            entries.retain(|id, _| self.tables.contains_key(id) || self.views.contains_key(id));
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
        let mut moved: BTreeSet<RelationId> = changes.keys().copied().collect();
        for id in &self.order {
            let Some(view) = self.views.get(id) else { continue };
            if view.relation.dependencies.iter().any(|id| moved.contains(id)) {
                moved.insert(*id);
            }
            let failure = failures.get(id).cloned();
            let failed_before = entries.get(id).is_some_and(|entry| entry.failure.is_some());
            if !moved.contains(id) && !stale(&entries, id) && !failed_before && failure.is_none() {
                continue;
            }
            let contents = match &view.upkeep {
                Upkeep::Maintained(maintained) => Contents::Kept(maintained.contents.arena().snapshot(epoch)),
                Upkeep::Lazy | Upkeep::Detached(_) => Contents::Lazy(Mutex::new(None)),
            };
            entries.insert(*id, Arc::new(Entry { contents, changed: epoch, failure }));
        }
        let catalog = catalog.map_or_else(|| before.catalog.clone(), Arc::new);
        let version = Arc::new(Version { epoch, time_us, catalog, entries });
        self.remember(version.clone());
        *self.shared.current.write() = version;
    }

    /// Counts the bytes held and lets dead rows go, now and then: the cost must not be paid by every small epoch.
    fn keep_house(&mut self, changes: &Changes) -> Result<()> {
        let rows: usize = changes.values().flatten().map(ChangeBatch::num_rows).sum();
        self.unkept += 1 + rows as u64;
        if self.unkept < HOUSEKEEPING_ROWS {
            return Ok(());
        }
        self.unkept = 0;
        let wasteful = |arena: &RowArena| arena.dead_rows() > HOUSEKEEPING_ROWS + arena.live_rows() / 10;
        let arenas = |this: &Self| {
            let tables = this.tables.values().map(|table| wasteful(&table.arena));
            let views = this.views.values().filter_map(|view| view.contents().map(|rows| wasteful(rows.arena())));
            tables.chain(views).any(|wasteful| wasteful)
        };
        if arenas(self) {
            self.forget_history();
        }
        let oldest = self.shared.history.lock().front().map_or(0, |version| version.epoch);
        let mut bytes = 0;
        for table in self.tables.values_mut() {
            table.arena.compact(oldest)?;
            bytes += table.arena.size();
        }
        for view in self.views.values_mut() {
            if let Upkeep::Maintained(maintained) = &mut view.upkeep {
                maintained.contents.arena_mut().compact(oldest)?;
                bytes += maintained.contents.size() + maintained.circuit.size();
            }
        }
        self.shared.budget.set_used(bytes);
        Ok(())
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
        history.push_back(version);
        while history.len() > HISTORY_VERSIONS
            || history.front().is_some_and(|v| v.time_us < oldest && history.len() > 1)
        {
            history.pop_front();
        }
    }
}

/// The commits of one epoch.
struct Group {
    epoch: u64,
    time_us: i64,
    changes: Changes,
    touched: bool,
    replies: Vec<(Sender<Result<Committed>>, Committed)>,
}

impl Group {
    fn new(epoch: u64, time_us: i64) -> Self {
        Group { epoch, time_us, changes: Changes::new(), touched: false, replies: Vec::new() }
    }
}

impl Subscriber {
    /// Somebody who reads `queue`, from the next epoch on.
    pub fn new(queue: Arc<Queue>, target: Target, schema: SchemaRef, progress: bool) -> Self {
        Subscriber { queue, target, schema, progress, held: Vec::new(), held_is_net: true, failed: false, broken: None }
    }

    /// What this subscriber is told about an epoch, if anything.
    fn event(
        &mut self,
        changes: &Changes,
        views: &HashMap<RelationId, ViewState>,
        failures: &Failures,
        cx: &StepContext<'_>,
        epoch: u64,
    ) -> Option<SubscriptionEvent> {
        let event = |kind, changes| Some(SubscriptionEvent { epoch, kind, changes });
        let failure = match self.advance(changes, views, failures, cx) {
            Ok(failure) => failure,
            Err(error) => return self.breaks(&error, epoch),
        };
        if let Some(reason) = failure {
            let told = std::mem::replace(&mut self.failed, true);
            return (!told).then(|| event(EventKind::Failed(reason), ChangeBatch::empty(self.schema.clone())))?;
        }
        self.failed = false;
        match self.settled().and_then(|batches| concat_changes(&self.schema, &batches)) {
            Ok(changes) if !changes.is_empty() => event(EventKind::Change, changes),
            Ok(changes) if self.progress => event(EventKind::Progress, changes),
            Ok(_) => None,
            Err(error) => self.breaks(&error, epoch),
        }
    }

    /// The last event: after a step that broke off, no difference can be told any more.
    fn breaks(&mut self, error: &Error, epoch: u64) -> Option<SubscriptionEvent> {
        self.broken = Some(error.message().to_string());
        let kind = EventKind::Failed(error.message().to_string());
        Some(SubscriptionEvent { epoch, kind, changes: ChangeBatch::empty(self.schema.clone()) })
    }

    /// What is held, with nothing in it that cancels; nothing is held afterwards.
    fn settled(&mut self) -> Result<Vec<ChangeBatch>> {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.held_is_net, true) || held.iter().all(ChangeBatch::is_ones) {
            true => Ok(held),
            false => consolidate(&held),
        }
    }

    /// Adds the epoch's change of the target to what is held; says why the target has no answer, if it has none.
    fn advance(
        &mut self,
        changes: &Changes,
        views: &HashMap<RelationId, ViewState>,
        failures: &Failures,
        cx: &StepContext<'_>,
    ) -> Result<Option<String>> {
        let message = |failure: &Arc<ViewFailure>| failure.message.clone();
        match &mut self.target {
            Target::Relation(id) => {
                let change = changes.get(id).cloned().unwrap_or_default();
                // A view's change is net; a table's may hold a row that went and came back.
                self.held_is_net &= change.is_empty() || (self.held.is_empty() && views.contains_key(id));
                self.held.extend(change);
                Ok(failures.get(id).map(message))
            }
            Target::Query { circuit, spec } => {
                let inputs = inputs_of(spec, changes);
                if !inputs.is_empty() {
                    let output = guarded(|| circuit.step(&inputs, cx))?;
                    self.held_is_net &= output.consolidated && self.held.is_empty();
                    self.held.extend(output.changes);
                }
                let below = spec.inputs().iter().find_map(|id| failures.get(id)).map(message);
                Ok(circuit_failure(circuit, "subscription").map(|failure| failure.message).or(below))
            }
        }
    }
}

/// Whether no column is of a type nested so deep that its values need a large stack.
fn is_flat(table: &TableState) -> bool {
    let fields = table.relation.schema.fields();
    !fields.iter().any(|field| is_nested_deeper(field.data_type(), LIGHT_NESTING))
}

/// The same error again: one failure may have to be told to several committers.
fn copy(error: &Error) -> Error {
    Error::new(error.kind(), error.message()).with_sqlstate(error.sqlstate())
}
