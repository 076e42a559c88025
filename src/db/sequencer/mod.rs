//! The sequencer: lets commits through the door, in order, and publishes epochs.
//!
//! ```text
//! requests ─▶ door ─────────────▶ log.write ─▶ step ─▶ ticket.wait ─▶ publish ─▶ committers wake, subscribers are told
//!             checked, staged,                 views                one Version
//!             then applied
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
//! must be made again at the door. Mostly that is its own thread. A committer who finds nobody before it makes its
//! epoch itself: to wake two threads costs more than a small epoch, and what the step wrote is still in this core's
//! caches when the caller reads it.
//!
//! A failure between the door and the publication (a log that cannot be written, a defect in applying what was
//! admitted) leaves tables that no version shows. The database takes no commit from then on; reads go on.

pub mod checkpoint;
pub mod door;
pub mod followers;
mod publish;
mod room;
pub mod subscriber;
#[cfg(test)]
mod tests;
mod wait;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::{Mutex, MutexGuard};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::base::types::is_nested_deeper;
use crate::base::vfs::is_full;
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::RelationId;
use crate::continuous::network::{Changes, Network, guarded};
use crate::continuous::spec::LIGHT_NESTING;
use crate::db::commit::{Commit, Committed};
use crate::db::sequencer::checkpoint::{Checkpointer, Checkpoints, last_checkpoint};
use crate::db::sequencer::subscriber::{Subscriber, Target};
use crate::db::sequencer::wait::Fate;
use crate::db::shared::Shared;
use crate::db::table::TableState;
use crate::db::version::Version;
use crate::storage::log::{Log, LogRecord, Position};
use crate::storage::store::Store;

/// Rows that one epoch takes from the queue before it closes.
const EPOCH_ROWS: usize = 1 << 20;
/// Requests that may wait; committers block beyond it.
const QUEUE_LENGTH: usize = 1024;

/// Rows of an epoch that a committer makes itself, and where views join.
const ROWS_AT_HAND: usize = 1 << 17;
const JOINED_ROWS_AT_HAND: usize = 64;

/// How long the log must rest before it is confirmed, at least; twice that at most.
const REST: Duration = Duration::from_millis(100);

/// Stack a committer must have left to make its epoch itself.
const STACK_MIN: usize = 1 << 20;

/// What the sequencer is asked.
pub enum Request {
    /// Let a commit through the door.
    Commit(Asked),
    /// Run something between two epochs: ticks, subscriptions, replay.
    Task(Box<dyn FnOnce(&mut Sequencer) + Send>),
}

/// A commit and who waits for it.
pub struct Asked {
    commit: Commit,
    reply: Sender<Result<Committed>>,
    fate: Arc<Fate>,
    /// Whether the disk was full before, and all was done that can be done about it.
    is_last: bool,
}

/// What committers hold: the thread, its queue, and the sequencer for those who find it free.
///
/// When the last clone is gone the thread ends, and with it the log: whoever drops it can open the directory again.
#[derive(Clone)]
pub struct SequencerHandle(Arc<Running>);

/// A handle to a sequencer that may have ended.
pub struct WeakSequencer(Weak<Running>);

impl WeakSequencer {
    /// A handle that keeps it running, if it runs still.
    pub fn upgrade(&self) -> Option<SequencerHandle> {
        self.0.upgrade().map(SequencerHandle)
    }
}

struct Running {
    shared: Arc<Shared>,
    sequencer: Option<Arc<Mutex<Sequencer>>>,
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    checkpointer: Mutex<Option<Checkpointer>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let here = std::thread::current().id();
        let elsewhere = |thread: &JoinHandle<()>| thread.thread().id() != here;
        let is_elsewhere = self.thread.as_ref().is_none_or(elsewhere);
        if let Some(mut checkpointer) = self.checkpointer.lock().take() {
            // The sequencer's own thread holds what the checkpointer may wait for.
            checkpointer.stop(is_elsewhere);
        }
        // The thread must be the one that drops the sequencer: circuits are deep, and its stack is large.
        self.sequencer = None;
        self.requests = None;
        if let Some(thread) = self.thread.take().filter(elsewhere) {
            let _ = thread.join();
        }
    }
}

impl SequencerHandle {
    /// A handle that does not keep the sequencer running.
    pub fn downgrade(&self) -> WeakSequencer {
        WeakSequencer(Arc::downgrade(&self.0))
    }

    /// Starts the sequencer's thread; it ends when the last handle is gone.
    pub fn start(shared: Arc<Shared>, log: Box<dyn Log>) -> Result<Self> {
        let (sender, receiver) = bounded(QUEUE_LENGTH);
        let sequencer = Arc::new(Mutex::new(Sequencer::new(shared.clone(), log)));
        let run = {
            let sequencer = sequencer.clone();
            move || run(sequencer, &receiver)
        };
        let thread = std::thread::Builder::new().name("eddy-sequencer".into()).stack_size(64 << 20).spawn(run)?;
        let running = Running {
            shared,
            sequencer: Some(sequencer),
            requests: Some(sender),
            thread: Some(thread),
            checkpointer: Mutex::new(None),
        };
        Ok(SequencerHandle(Arc::new(running)))
    }

    /// Makes checkpoints into `store` from here on: whenever the log has grown by `every` bytes, of which it has
    /// `replayed` already, and when asked.
    pub fn save_into(&self, store: Arc<Store>, every: u64, replayed: u64) -> Result<()> {
        let sequencer = self.0.sequencer.as_ref().ok_or_else(gone)?;
        let checkpointer = Checkpointer::start(Arc::downgrade(sequencer))?;
        self.0.shared.log_space.wrote(replayed);
        self.0.shared.log_space.call_with(checkpointer.wake());
        sequencer.lock().checkpoints = Some(Checkpoints::new(store, every, replayed, checkpointer.wake()));
        *self.0.checkpointer.lock() = Some(checkpointer);
        Ok(())
    }

    /// The files that hold rows, if the database is one of a directory.
    pub fn store(&self) -> Option<Arc<Store>> {
        let sequencer = self.0.sequencer.as_ref()?.lock();
        sequencer.checkpoints.as_ref().map(|checkpoints| checkpoints.store().clone())
    }

    /// Makes a checkpoint, if the database is one of a directory.
    ///
    /// # Errors
    /// The disk failed or is full, or `interrupt` called it off: the checkpoint before counts, and the log.
    pub fn checkpoint(&self, interrupt: &Interrupt) -> Result<()> {
        checkpoint::checkpoint(self.0.sequencer.as_ref().ok_or_else(gone)?, interrupt, true)
    }

    /// Commits; returns when the commit is published, or when its interrupt has called the wait off.
    pub fn commit(&self, commit: Commit) -> Result<Committed> {
        // What acknowledges lets others go on.
        let payload = &commit.payload;
        if !payload.writes.is_empty() && !self.0.shared.followers.are_acknowledged_by(&payload.positions) {
            self.0.shared.followers.wait(&commit.interrupt)?;
        }
        if room::adds(payload) {
            self.0.shared.log_space.wait(&commit.interrupt)?;
        }
        let interrupt = commit.interrupt.clone();
        match self.try_commit(commit, false)? {
            Ok(committed) => Ok(committed),
            Err((commit, full)) => {
                let full = full.with_hint("make room on the disk; DELETE, DROP and CHECKPOINT have room kept for them");
                if !self.0.shared.log_space.wait_for_checkpoint(&interrupt)? {
                    return Err(full);
                }
                self.try_commit(commit, true)?.map_err(|_| full)
            }
        }
    }

    /// As [`SequencerHandle::commit`]. A commit for which there is no room in the log is given back.
    fn try_commit(&self, commit: Commit, is_last: bool) -> Result<Result<Committed, (Commit, Error)>> {
        let (reply, answer) = bounded(1);
        let (fate, interrupt) = (Arc::new(Fate::default()), commit.interrupt.clone());
        let at_hand = self.at_hand(&commit);
        let asked = Asked { commit, reply, fate: fate.clone(), is_last };
        match at_hand {
            Some(mut sequencer) => {
                let rested = !sequencer.is_unconfirmed;
                drop(sequencer.epoch(asked, &|| None));
                if rested && sequencer.is_unconfirmed {
                    // The thread sleeps, and must see to it that the log is confirmed when it rests again.
                    // The commit stands whether it hears of it or not.
                    drop(sequencer);
                    let _ = self.send(Request::Task(Box::new(|_| ())));
                }
            }
            None => self.send(Request::Commit(asked))?,
        }
        match wait::for_commit(&answer, &fate, &interrupt) {
            Ok(committed) => Ok(Ok(committed)),
            Err(error) => match fate.given_back() {
                Some(commit) => Ok(Err((commit, error))),
                None => Err(error),
            },
        }
    }

    /// The sequencer, if this thread may make the commit's epoch: nobody is before it, and it is light work.
    fn at_hand(&self, commit: &Commit) -> Option<MutexGuard<'_, Sequencer>> {
        let has_room = || stacker::remaining_stack().is_some_and(|bytes| bytes >= STACK_MIN);
        let is_first = self.0.requests.as_ref().is_some_and(Sender::is_empty);
        if commit.again.is_some() || commit.payload.ddl.is_some() || !is_first || !has_room() {
            return None;
        }
        let mut sequencer = self.0.sequencer.as_ref()?.try_lock()?;
        (commit.payload.rows() <= sequencer.rows_at_hand()).then_some(sequencer)
    }

    /// Runs `task` on the sequencer's thread between two epochs, unless it is interrupted before it begins.
    pub fn task<T: Send + 'static>(
        &self,
        interrupt: &Interrupt,
        task: impl FnOnce(&mut Sequencer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = bounded(1);
        let fate = Arc::new(Fate::default());
        let known = fate.clone();
        let request = Request::Task(Box::new(move |sequencer| {
            if known.take() {
                let _ = reply.send(guarded(|| task(sequencer)));
            }
        }));
        self.send(request)?;
        wait::for_task(&answer, &fate, interrupt)
    }

    fn send(&self, request: Request) -> Result<()> {
        let requests = self.0.requests.as_ref().ok_or_else(gone)?;
        requests.send(request).map_err(|_| gone())
    }
}

fn gone() -> Error {
    Error::internal("the database's sequencer has stopped")
}

/// Serves requests until the last handle is gone.
fn run(sequencer: Arc<Mutex<Sequencer>>, requests: &Receiver<Request>) {
    let mut left = None;
    while let Some(request) = left.take().or_else(|| next_request(&sequencer, requests)) {
        let mut sequencer = sequencer.lock();
        match request {
            Request::Task(task) => {
                sequencer.rows_at_hand = None;
                task(&mut sequencer);
            }
            Request::Commit(asked) => left = sequencer.epoch(asked, &|| requests.try_recv().ok()),
        }
    }
    for subscriber in &sequencer.lock().subscribers {
        subscriber.queue.end("the database was closed");
    }
    last_checkpoint(&sequencer);
}

/// The next request. Where none comes for a while, the log is confirmed: what was committed last is then known to have
/// been safe, however the disk ages.
fn next_request(sequencer: &Mutex<Sequencer>, requests: &Receiver<Request>) -> Option<Request> {
    let mut seen = None;
    while sequencer.lock().is_unconfirmed {
        match requests.recv_timeout(REST) {
            Ok(request) => return Some(request),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let mut sequencer = sequencer.lock();
        let epoch = sequencer.shared.version().epoch;
        if seen == Some(epoch) {
            sequencer.confirm();
        }
        sequencer.look_at_retention();
        seen = Some(epoch);
    }
    loop {
        let patience = sequencer.lock().patience();
        let Some(patience) = patience else { return requests.recv().ok() };
        match requests.recv_timeout(patience) {
            Ok(request) => return Some(request),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => sequencer.lock().look_at_retention(),
        }
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
    /// [`Sequencer::rows_at_hand`], until views or subscribers change.
    rows_at_hand: Option<usize>,
    /// The least number of the next epoch: those below were perhaps used and lost.
    next_epoch: u64,
    /// Whether the log has groups that are not confirmed.
    is_unconfirmed: bool,
    /// Whether the log is being read: views and followers are put back by who reads it.
    pub recovers: bool,
    /// Whether the epoch being made is one of a log, which has all that was decided in it.
    replays: bool,
    /// What saves the rows of a directory; none in memory.
    checkpoints: Option<Checkpoints>,
    /// Whether another process writes.
    is_read_only: bool,
}

/// The commits of one epoch.
struct Group {
    epoch: u64,
    time_us: i64,
    changes: Changes,
    /// How many records the log was given.
    records: usize,
    /// How far sources, sinks and subscribers have come with it.
    positions: Vec<Position>,
    /// The catalog as it is from this epoch on, if it changes: then the commit is alone in its epoch.
    catalog: Option<Arc<Catalog>>,
    /// Who waits for it, and what they will be told.
    passed: Vec<(Sender<Result<Committed>>, Committed)>,
    fates: Vec<Arc<Fate>>,
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
            rows_at_hand: None,
            next_epoch: 1,
            is_unconfirmed: false,
            recovers: false,
            replays: false,
            checkpoints: None,
            is_read_only: false,
        }
    }

    /// Writes to `log` from here on, with epochs from `next_epoch` on.
    pub fn go_on(&mut self, log: Box<dyn Log>, next_epoch: u64) {
        self.log = log;
        self.next_epoch = next_epoch;
        // What was taken over from a log that was not closed is safe, and the log does not say so yet.
        self.is_unconfirmed = true;
        self.recovers = false;
    }

    /// Lets the log say that everything in it is safe.
    pub fn confirm(&mut self) {
        self.is_unconfirmed = false;
        if self.poisoned.is_none()
            && let Err(error) = guarded(|| self.log.confirm())
        {
            self.poison(error.message());
        }
    }

    /// Confirms the log; an error if it, or anything before, went wrong.
    pub fn rest(&mut self) -> Result<()> {
        self.confirm();
        match &self.poisoned {
            None => Ok(()),
            Some(reason) => Err(poisoned(reason)),
        }
    }

    /// The number of the epoch that is made next.
    fn next_epoch(&self) -> u64 {
        self.next_epoch.max(self.shared.version().epoch + 1)
    }

    /// The time of the epoch being made: the clock's, but never less than the last epoch's.
    pub fn time_us(&self) -> i64 {
        self.shared.now_us()
    }

    /// Lets no commit through from here on: the directory is another process's to write.
    pub fn refuse_commits(&mut self) {
        self.is_read_only = true;
    }

    /// The version for a query that asks what time it is: an epoch in which only time moves. Where none can be made,
    /// time moves for whoever asks alone.
    pub fn moment(&mut self) -> Result<Arc<Version>> {
        let time_us = self.time_us();
        if self.is_read_only || self.poisoned.is_some() || self.tick(time_us).is_err() {
            return Ok(Arc::new(self.shared.version().at(time_us)));
        }
        Ok(self.shared.version())
    }

    /// Publishes an epoch in which only time moves.
    fn tick(&mut self, time_us: i64) -> Result<()> {
        let epoch = self.next_epoch();
        let mut group = Group::new(epoch, time_us);
        self.stage(&LogRecord::Tick { epoch, time_us }, &mut group)?;
        self.close(&mut group)
    }

    /// How many rows an epoch may have that is made on a committer's thread, where it cannot be waited for with an eye
    /// on an interrupt: none where it may be heavy work ([`crate::continuous::spec::CircuitSpec::is_light`]), few where
    /// a row may meet many others.
    fn rows_at_hand(&mut self) -> usize {
        if let Some(rows) = self.rows_at_hand {
            return rows;
        }
        let subscribers = self.subscribers.iter().filter_map(|subscriber| match &subscriber.target {
            Target::Relation { .. } => None,
            Target::Query { spec, .. } => Some(spec),
        });
        let mut specs = self.network.in_order().map(|view| &view.spec).chain(subscribers);
        let mut joins = false;
        let light = specs.all(|spec| {
            joins |= spec.joins();
            spec.is_light()
        });
        let rows = match light && self.tables.values().all(is_flat) {
            true if joins => JOINED_ROWS_AT_HAND,
            true => ROWS_AT_HAND,
            false => 0,
        };
        self.rows_at_hand = Some(rows);
        rows
    }

    /// Takes the first commit and all that wait behind it through the door and publishes them as one epoch.
    /// Returns a request that must wait for the epoch to end.
    fn epoch(&mut self, first: Asked, waiting: &dyn Fn() -> Option<Request>) -> Option<Request> {
        let time_us = match guarded(|| Ok(self.time_us())) {
            Ok(time_us) => time_us,
            Err(error) => {
                drop(first.reply.send(Err(error)));
                return None;
            }
        };
        let mut group = Group::new(self.next_epoch(), time_us);
        let left = self.gather(first, waiting, &mut group);
        let result = match group.records {
            // Nobody changed anything: what is published already shows it.
            0 => Ok(self.shared.version().epoch),
            _ => self.close(&mut group).map(|()| group.epoch),
        };
        for (asked, committed) in group.passed {
            let answer = result.as_ref().map(|&epoch| Committed { epoch, ..committed }).map_err(copy);
            let _ = asked.send(answer);
        }
        left
    }

    /// Lets commits through the door until the epoch is full or nobody waits.
    fn gather(&mut self, first: Asked, waiting: &dyn Fn() -> Option<Request>, group: &mut Group) -> Option<Request> {
        let mut next = Some(Request::Commit(first));
        let mut rows = 0;
        loop {
            match next.take().or_else(waiting) {
                Some(Request::Commit(asked)) => {
                    let alone = asked.commit.again.is_some() || asked.commit.payload.ddl.is_some();
                    if alone && !group.passed.is_empty() {
                        // It may have to be made again, from a version that shows its forerunners.
                        return Some(Request::Commit(asked));
                    }
                    let Asked { commit, reply, fate, is_last } = asked;
                    if !fate.take() {
                        continue;
                    }
                    if let Err(error) = self.make_room(&commit.payload, group, is_last) {
                        if is_full(&error) {
                            fate.give_back(commit);
                        }
                        drop(reply.send(Err(error)));
                        continue;
                    }
                    rows += commit.payload.rows();
                    match self.pass(commit, group) {
                        Ok(committed) => {
                            group.fates.push(fate);
                            group.passed.push((reply, committed));
                        }
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
            self.check_order(group)?;
            let ticket = self.log.write()?;
            self.is_unconfirmed |= ticket.is_of_a_medium();
            for (fate, (_, committed)) in group.fates.iter().zip(&group.passed) {
                fate.pass(*committed, ticket.clone());
            }
            if !self.network.is_empty() || !self.subscribers.is_empty() {
                ticket.begin();
            }
            let step = self.step(group);
            // A tick that is lost is lost with all that was shown at it, and its epoch is not used again.
            if !group.is_tick() || self.is_followed(&step) {
                ticket.wait()?;
            }
            self.publish(group, &step);
            Ok(step)
        });
        match published {
            Ok(step) => {
                self.deliver(step, group.epoch, group.time_us);
                self.look_after_followers();
                self.keep_house(&group.changes);
                self.call_for_checkpoint();
                Ok(())
            }
            Err(error) => {
                self.poison(error.message());
                Err(wait::unknown(&error))
            }
        }
    }

    /// The contract of the log: epochs in order.
    fn check_order(&self, group: &Group) -> Result<()> {
        let next = self.next_epoch();
        match group.epoch >= next {
            true => Ok(()),
            false => Err(Error::internal(format!("the records of epoch {} were made for epoch {next}", group.epoch))),
        }
    }

    /// Hands a record to the log. An error refuses it and leaves no trace.
    fn stage(&mut self, record: &LogRecord, group: &mut Group) -> Result<()> {
        guarded(|| self.log.stage(record))?;
        group.records += 1;
        Ok(())
    }

    /// Lets no commit through from here on.
    fn poison(&mut self, reason: &str) {
        self.poisoned.get_or_insert_with(|| reason.to_string());
    }
}

impl Group {
    fn new(epoch: u64, time_us: i64) -> Self {
        Group {
            epoch,
            time_us,
            changes: Changes::new(),
            records: 0,
            positions: Vec::new(),
            catalog: None,
            passed: Vec::new(),
            fates: Vec::new(),
        }
    }

    /// Whether only time moves in it.
    fn is_tick(&self) -> bool {
        self.changes.is_empty() && self.catalog.is_none() && self.positions.is_empty()
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
