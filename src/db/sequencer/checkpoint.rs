//! When checkpoints are made, and what they take over.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::thread::{JoinHandle, current};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::{Mutex, MutexGuard};
use roaring::RoaringTreemap;

use super::door::read_only;
use super::subscriber::Subscriber;
use super::{Group, Sequencer, poisoned};
use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::base::vfs::is_full;
use crate::catalog::definitions::Catalog;
use crate::catalog::layout::Layout;
use crate::catalog::relation::RelationId;
use crate::continuous::network::{Network, guarded};
use crate::db::checkpoint::{Checkpoint, Kept, manifest_at};
use crate::db::sequencer::publish::Step;
use crate::db::shared::Shared;
use crate::db::table::TableState;
use crate::state::chunk::Chunk;
use crate::storage::manifest::Manifest;
use crate::storage::store::{Named, Store, StoredRows};

/// A log that grew by so much less is replayed rather than saved when the database is closed.
const WORTH_SAVING: u64 = 1 << 20;
/// A log that grew by so much is saved early where the disk has not much more room.
const CROWDING: u64 = 256 << 10;
/// Where the disk has less room, past versions are given up before a checkpoint: they keep files open that are gone.
const SCARCE: u64 = 16 << 20;
/// How long after a checkpoint that failed the next is tried.
const AGAIN: Duration = Duration::from_secs(10);
/// How long who waits for another checkpoint goes without a look at its interrupt.
const LOOK: Duration = Duration::from_millis(20);

/// What a sequencer needs to know of checkpoints.
pub struct Checkpoints {
    store: Arc<Store>,
    /// A checkpoint is made when the log has grown by so many bytes.
    every: u64,
    /// How long the log was, in bytes since it was opened, when the last one began.
    written: u64,
    /// Bytes that were in the log when it was opened.
    replayed: u64,
    wake: Sender<()>,
}

impl Checkpoints {
    /// Checkpoints into `store`; `wake` calls the thread that makes them.
    pub fn new(store: Arc<Store>, every: u64, replayed: u64, wake: Sender<()>) -> Self {
        Checkpoints { store, every, written: 0, replayed, wake }
    }

    /// How much of a log of so many bytes a replay would have to read.
    fn grown(&self, bytes: u64) -> u64 {
        (bytes + self.replayed).saturating_sub(self.written)
    }

    /// What a checkpoint would save or spare: the log, and the files it names.
    fn worth(&self, bytes: u64) -> u64 {
        self.grown(bytes) + self.store.files().brought_bytes()
    }

    /// Where the rows are saved.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

impl Sequencer {
    /// Calls for a checkpoint if the log has grown enough: as much as was asked for, or as it may, or so much that there
    /// will be no room to save it.
    pub(super) fn call_for_checkpoint(&self) {
        let Some(checkpoints) = &self.checkpoints else { return };
        let place = self.log.place();
        let (grown, space) = (checkpoints.grown(place.bytes), &self.shared.log_space);
        space.wrote(place.bytes + checkpoints.replayed);
        let enough = space.limit().map_or(checkpoints.every, |limit| checkpoints.every.min(limit / 2));
        let crowds = place.room.is_some_and(|room| grown >= CROWDING && grown >= room / 2);
        if checkpoints.worth(place.bytes) >= enough || crowds || place.is_short {
            let _ = checkpoints.wake.try_send(());
        }
    }

    /// An error where what is there cannot be said whole: another process knows more.
    pub fn refuse_to_copy(&self) -> Result<()> {
        match self.is_read_only {
            true => Err(read_only().with_hint("run it where the database is open for writing")),
            false => Ok(()),
        }
    }

    /// What waits for followers, as of the last epoch.
    pub fn kept_for_followers(&self) -> BTreeMap<RelationId, Kept> {
        let epoch = self.shared.version().epoch;
        let kept = |subscriber: &Subscriber| {
            let follower = subscriber.follower.as_ref()?;
            let rows = |seen: &Layout| Some(self.rows_of(follower.relation, epoch).ok()?.seen_as(seen.clone()));
            Some((follower.id, Kept::new(follower, subscriber.held_back(&rows))))
        };
        self.subscribers.iter().filter_map(kept).collect()
    }

    /// Lets go, where the disk has little room, what keeps files alive that nobody needs.
    fn relieve(&mut self) -> Arc<Shared> {
        if self.poisoned.is_none() && self.log.free_space().is_some_and(|free| free < SCARCE) {
            self.forget_history();
            // What cannot be read now is looked at again later.
            let _ = self.compact();
            self.republish.extend(self.tables.keys());
            self.publish_again();
        }
        self.shared.clone()
    }

    /// Takes over what there is at the last epoch.
    fn begin_checkpoint(&mut self) -> Result<Checkpoint> {
        if let Some(reason) = &self.poisoned {
            return Err(poisoned(reason));
        }
        self.refuse_to_copy()?;
        // What is in the files before is not needed behind this.
        self.log.turn(self.next_epoch())?;
        let (version, place) = (self.shared.version(), self.log.place());
        let manifest = manifest_at(&version, place.file, self.shared.next_relation());
        let held = self.kept_for_followers();
        let mut checkpoint = Checkpoint { manifest, tables: BTreeMap::new(), held, written_before: 0 };
        for (id, table) in &mut self.tables {
            match table.arena.begin_saving() {
                Ok(saving) => drop(checkpoint.tables.insert(*id, saving)),
                Err(error) => {
                    self.take_back(&checkpoint);
                    return Err(error);
                }
            }
        }
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoint.written_before = checkpoints.written;
            checkpoints.written = place.bytes + checkpoints.replayed;
        }
        Ok(checkpoint)
    }

    /// A checkpoint failed: the next one must write what it could not.
    fn take_back(&mut self, checkpoint: &Checkpoint) {
        for (id, saving) in &checkpoint.tables {
            if let Some(table) = self.tables.get_mut(id) {
                table.arena.take_back(saving);
            }
        }
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.written = checkpoint.written_before;
        }
    }

    /// Those of the ids that are of living rows of a table or stream.
    pub fn living(&self, relation: RelationId, ids: &RoaringTreemap) -> RoaringTreemap {
        let table = self.tables.get(&relation);
        ids.iter().filter(|&id| table.is_some_and(|table| table.arena.weight(id).is_some())).collect()
    }

    /// Makes what a manifest names the contents of this database, in place of what it had.
    pub fn load(&mut self, manifest: &Manifest, rows: Vec<StoredRows>) -> Result<()> {
        self.tables.clear();
        self.network = Network::default();
        for subscriber in self.subscribers.drain(..) {
            subscriber.queue.end("the database was read anew");
        }
        let mut catalog = Catalog::default();
        for relation in &manifest.relations {
            catalog.define(relation.clone());
            self.shared.take_relation_id(relation.id);
        }
        self.shared.take_relation_id(RelationId(manifest.next_relation.saturating_sub(1)));
        // What waits for followers goes to them.
        let is_stored = |id| catalog.by_id(id).is_none_or(|relation| relation.kind.is_stored());
        for rows in rows.into_iter().filter(|rows| is_stored(rows.relation)) {
            let table = catalog.by_id(rows.relation).cloned();
            let table = table.ok_or_else(|| Error::internal("rows of no relation"))?;
            self.republish.insert(rows.relation);
            let spooling = self.shared.spooling.get().cloned();
            self.tables.insert(rows.relation, TableState::stored(table, chunks(&rows)?, rows.high, spooling));
        }
        let mut group = Group::new(manifest.epoch, manifest.time_us);
        group.catalog = Some(Arc::new(catalog));
        group.positions = manifest.positions.clone();
        self.publish(&group, &Step::default());
        Ok(())
    }
}

/// The chunks of stored rows, with what was dead of them.
fn chunks(rows: &StoredRows) -> Result<Vec<Chunk>> {
    let mut dead = RoaringTreemap::new();
    for deaths in &rows.deaths {
        dead |= deaths.read()?;
    }
    rows.blocks.iter().map(|block| Chunk::stored(block.clone(), &dead)).collect()
}

/// Makes a checkpoint, if the database is one of a directory; one that somebody asks for may use what is kept for a full
/// disk.
///
/// # Errors
/// The disk failed or is full, a commit failed behind the door before, or `interrupt` called it off.
pub fn checkpoint(sequencer: &Mutex<Sequencer>, interrupt: &Interrupt, is_asked: bool) -> Result<()> {
    let store = sequencer.lock().checkpoints.as_ref().map(|checkpoints| checkpoints.store.clone());
    let Some(store) = store else { return Ok(()) };
    let mut named = wait_for(&store, interrupt)?;
    let shared = sequencer.lock().relieve();
    let number = shared.log_space.begin();
    let mut saved = save(sequencer, &store, &mut named, interrupt);
    if saved.as_ref().is_err_and(is_full) && is_asked && sequencer.lock().log.release() {
        saved = save(sequencer, &store, &mut named, interrupt);
    }
    if sequencer.lock().log.place().is_short {
        sequencer.lock().log.keep();
    }
    shared.log_space.end(number, saved.as_ref().copied().map_err(|error| error.message().to_string()));
    saved.map(drop)
}

/// Makes a checkpoint; up to where it has the log.
fn save(sequencer: &Mutex<Sequencer>, store: &Store, named: &mut Named, interrupt: &Interrupt) -> Result<u64> {
    store.check_place()?;
    let (checkpoint, position) = {
        let mut sequencer = sequencer.lock();
        let checkpoint = sequencer.begin_checkpoint()?;
        (checkpoint, sequencer.checkpoints.as_ref().map_or(0, |checkpoints| checkpoints.written))
    };
    let written = guarded(|| checkpoint.write(store, named, interrupt));
    written.inspect_err(|_| sequencer.lock().take_back(&checkpoint))?;
    Ok(position)
}

/// Makes a last checkpoint, if the log has grown so much that replaying it would take a while.
pub fn last_checkpoint(sequencer: &Mutex<Sequencer>) {
    let grown = |sequencer: &Sequencer| {
        let bytes = sequencer.log.place().bytes;
        sequencer.checkpoints.as_ref().is_some_and(|checkpoints| checkpoints.worth(bytes) >= WORTH_SAVING)
    };
    let is_worth_it = grown(&sequencer.lock());
    if is_worth_it {
        // The log has everything: that it stays long is no loss.
        let _ = checkpoint(sequencer, &Interrupt::default(), true);
    }
}

fn wait_for<'a>(store: &'a Store, interrupt: &Interrupt) -> Result<MutexGuard<'a, Named>> {
    loop {
        if let Some(named) = store.begin(LOOK) {
            return Ok(named);
        }
        interrupt.check()?;
    }
}

/// The thread that makes checkpoints when it is called.
pub struct Checkpointer {
    wake: Sender<()>,
    interrupt: Interrupt,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts it for a sequencer that may be gone before.
    pub fn start(sequencer: Weak<Mutex<Sequencer>>) -> Result<Self> {
        let (wake, called) = bounded(1);
        let interrupt = Interrupt::default();
        let stop = interrupt.clone();
        let run = move || run(&sequencer, &called, &stop);
        let thread = std::thread::Builder::new().name("eddy-checkpoint".into()).stack_size(16 << 20).spawn(run)?;
        Ok(Checkpointer { wake, interrupt, thread: Some(thread) })
    }

    /// What calls it.
    pub fn wake(&self) -> Sender<()> {
        self.wake.clone()
    }

    /// Calls off what it does; waits until it has ended, if who asks may.
    pub fn stop(&mut self, waits: bool) {
        self.interrupt.cancel();
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take().filter(|thread| waits && thread.thread().id() != current().id()) {
            let _ = thread.join();
        }
    }
}

fn run(sequencer: &Weak<Mutex<Sequencer>>, called: &Receiver<()>, stop: &Interrupt) {
    let mut failed = false;
    loop {
        let next = if failed { called.recv_timeout(AGAIN) } else { called.recv().map_err(RecvTimeoutError::from) };
        if next == Err(RecvTimeoutError::Disconnected) || stop.is_cancelled() {
            return;
        }
        let Some(sequencer) = sequencer.upgrade() else { return };
        failed = checkpoint(&sequencer, stop, false).is_err();
    }
}
