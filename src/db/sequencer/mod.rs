//! The sequencer: lets commits through the door, in order, and publishes epochs.
//!
//! ```text
//! requests ─▶ door ──────────────▶ log.write ─▶ step ─▶ log.wait ─▶ publish ─▶ committers wake, subscribers are told
//!             checked, then applied             views             one Version
//!             (a refusal leaves no trace)
//! ```
//!
//! The life of an epoch: commits wait in a bounded queue; as many as are there (up to a million rows) pass the door one
//! by one, each against the state its forerunners left ([`door`]); what passed goes to the log as one group; the
//! circuits with input run once over all of it, views before the views that read them; when the log has the group
//! safe, one immutable version is published ([`publish`]), committers wake, and subscribers get their changes
//! ([`subscriber`]). A commit that changes the catalog goes the same way, in an epoch of its own. Nothing can refuse a
//! commit after the door, and nothing that goes wrong after the publication is told to a committer.
//!
//! Only who holds the sequencer touches tables, indexes and circuits; it does not parse or plan, but for a commit that
//! must be made again at the door. Mostly that is its own thread. A committer who finds nobody before it makes its epoch
//! itself: to wake two threads costs more than a small epoch, and what the step wrote is still in this core's caches
//! when the caller reads it.
//!
//! A failure between the door and the publication (a log that cannot be written, a defect in applying what was
//! admitted) leaves tables that no version shows. The database takes no commit from then on; reads go on.

mod door;
mod publish;
pub mod subscriber;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Mutex, MutexGuard};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::is_nested_deeper;
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::RelationId;
use crate::continuous::network::{Changes, Network, guarded};
use crate::continuous::spec::LIGHT_NESTING;
use crate::db::commit::{Commit, Committed, Write};
use crate::db::sequencer::subscriber::{Subscriber, Target};
use crate::db::shared::Shared;
use crate::db::table::TableState;
use crate::db::version::Version;
use crate::storage::log::{Log, LogRecord};

/// Rows that one epoch takes from the queue before it closes.
const EPOCH_ROWS: usize = 1 << 20;
/// Requests that may wait; committers block beyond it.
const QUEUE_LENGTH: usize = 1024;

/// Stack a committer must have left to make its epoch itself.
const STACK_MIN: usize = 1 << 20;

/// What the sequencer is asked.
pub enum Request {
    /// Let a commit through the door.
    Commit(Commit, Sender<Result<Committed>>),
    /// Run something between two epochs: ticks, subscriptions, replay.
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
        if commit.again.is_some() || commit.payload.ddl.is_some() || !self.requests.is_empty() || !has_room() {
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

/// All that only who holds it touches.
pub struct Sequencer {
    pub shared: Arc<Shared>,
    log: Box<dyn Log>,
    tables: HashMap<RelationId, TableState>,
    pub network: Network,
    pub subscribers: Vec<Subscriber>,
    /// Relations whose entry in the next version is new although their rows did not change.
    republish: BTreeSet<RelationId>,
    /// Why no commit is let through any more.
    poisoned: Option<String>,
    /// Epochs and rows since bytes were last counted and dead rows looked at.
    unkept: u64,
    /// [`Sequencer::is_light`], until views or subscribers change.
    light: Option<bool>,
}

/// The commits of one epoch.
struct Group {
    epoch: u64,
    time_us: i64,
    changes: Changes,
    records: Vec<LogRecord>,
    /// The catalog as it is from this epoch on, if it changes: then the commit is alone in its epoch.
    catalog: Option<Arc<Catalog>>,
    replies: Vec<(Sender<Result<Committed>>, Committed)>,
}

impl Sequencer {
    fn new(shared: Arc<Shared>, log: Box<dyn Log>) -> Self {
        Sequencer {
            shared,
            log,
            tables: HashMap::new(),
            network: Network::default(),
            subscribers: Vec::new(),
            republish: BTreeSet::new(),
            poisoned: None,
            unkept: 0,
            light: None,
        }
    }

    /// The time of the epoch being made: the clock's, but never less than the last epoch's.
    pub fn time_us(&self) -> i64 {
        self.shared.now_us()
    }

    /// Publishes an epoch in which only time moves.
    pub fn tick(&mut self) -> Result<Arc<Version>> {
        let (epoch, time_us) = (self.shared.version().epoch + 1, self.time_us());
        let mut group = Group::new(epoch, time_us);
        group.records.push(LogRecord::Tick { epoch, time_us });
        self.close(&mut group)?;
        Ok(self.shared.version())
    }

    /// Whether every epoch is light work, see [`crate::continuous::spec::CircuitSpec::is_light`].
    fn is_light(&mut self) -> bool {
        if let Some(light) = self.light {
            return light;
        }
        let subscribers = self.subscribers.iter().all(|subscriber| match &subscriber.target {
            Target::Relation { .. } => true,
            Target::Query { spec, .. } => spec.is_light(),
        });
        let views = self.network.in_order().all(|view| view.spec.is_light());
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
        let left = self.gather(first, reply, waiting, &mut group);
        let replies = std::mem::take(&mut group.replies);
        if group.records.is_empty() {
            let epoch = group.epoch - 1;
            for (reply, committed) in replies {
                let _ = reply.send(Ok(Committed { epoch, ..committed }));
            }
            return left;
        }
        let result = self.close(&mut group);
        for (reply, committed) in replies {
            let _ = reply.send(result.as_ref().map(|()| committed).map_err(copy));
        }
        left
    }

    /// Lets commits through the door until the epoch is full or nobody waits.
    fn gather(
        &mut self,
        first: Commit,
        reply: Sender<Result<Committed>>,
        waiting: &dyn Fn() -> Option<Request>,
        group: &mut Group,
    ) -> Option<Request> {
        let mut next = Some(Request::Commit(first, reply));
        let mut rows = 0;
        loop {
            match next.take().or_else(waiting) {
                Some(Request::Commit(commit, reply)) => {
                    let alone = commit.again.is_some() || commit.payload.ddl.is_some();
                    if alone && !group.replies.is_empty() {
                        // It may have to be made again, from a version that shows its forerunners.
                        return Some(Request::Commit(commit, reply));
                    }
                    rows += commit.payload.writes.iter().map(Write::rows).sum::<usize>();
                    match self.pass(commit, group) {
                        Ok(committed) => group.replies.push((reply, committed)),
                        Err(error) => drop(reply.send(Err(error))),
                    }
                    if rows >= EPOCH_ROWS || group.catalog.is_some() {
                        return None;
                    }
                }
                other => return other,
            }
        }
    }

    /// From the log to the publication. After an error no commit is let through any more.
    fn close(&mut self, group: &mut Group) -> Result<()> {
        if let Some(reason) = &self.poisoned {
            return Err(poisoned(reason));
        }
        let published = guarded(|| {
            let ticket = self.log.write(&group.records)?;
            let step = self.step(group);
            self.log.wait(ticket)?;
            self.publish(group, &step);
            Ok(step)
        });
        match published {
            Ok(step) => {
                self.deliver(step, group.epoch);
                self.keep_house(&group.changes);
                Ok(())
            }
            Err(error) => {
                self.poison(error.message());
                Err(Error::new(error.kind(), format!("whether the commit lasts is unknown: {}", error.message()))
                    .with_sqlstate("08007"))
            }
        }
    }

    /// Lets no commit through from here on.
    fn poison(&mut self, reason: &str) {
        self.poisoned.get_or_insert_with(|| reason.to_string());
    }
}

impl Group {
    fn new(epoch: u64, time_us: i64) -> Self {
        Group { epoch, time_us, changes: Changes::new(), records: Vec::new(), catalog: None, replies: Vec::new() }
    }
}

/// The refusal of every commit after a failure behind the door.
fn poisoned(reason: &str) -> Error {
    Error::new(ErrorKind::Io, format!("the database takes no commits any more, after a failure: {reason}"))
        .with_hint("reads go on; open it again to write")
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
