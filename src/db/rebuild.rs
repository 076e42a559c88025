//! Views filled again after a database was opened, in the background.
//!
//! A view whose rows are kept is awaited when its database is opened: reads run its query, writes do not wait for it.
//! Threads of their own fill it from a version at batch speed, as CREATE MATERIALIZED VIEW does over old data, and
//! between two epochs the sequencer carries it over to now and steps it from then on. Views go behind those they read,
//! and those that somebody reads go first. What cannot be filled fails with its reason.
//!
//! ```text
//! version ──▶ fill ──▶ carry on to the version of then ──▶ between two epochs: carry over, attach
//!                      until little is left                (again, if what it reads was made anew meanwhile)
//! ```

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::relation::RelationId;
use crate::continuous::network::{Rebuild, guarded};
use crate::db::awaited::Next;
use crate::db::sequencer::SequencerHandle;
use crate::db::shared::Shared;
use crate::db::statement::ddl::{carry_on, rebuild_view};

/// Views that are filled at a time, at most.
const AT_A_TIME: usize = 4;
/// How often a view is carried on before the sequencer does the rest.
const ROUNDS: usize = 4;
/// Stack of a thread: plans are deep.
const STACK: usize = 64 << 20;

/// The threads that fill views. Dropped before the sequencer, which they hold.
#[derive(Default)]
pub struct Rebuilder {
    running: Mutex<Vec<Running>>,
    shared: Option<Arc<Shared>>,
}

struct Running {
    /// Calls off what the thread fills just now.
    interrupt: Arc<Mutex<Interrupt>>,
    thread: JoinHandle<()>,
}

impl Rebuilder {
    /// Begins to fill what is awaited.
    ///
    /// # Errors
    /// The system starts no more threads.
    pub fn start(shared: &Arc<Shared>, sequencer: &SequencerHandle) -> Result<Self> {
        let version = shared.version();
        let awaited = version.entries.values().filter(|entry| entry.contents.rebuild().is_some()).count();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let rebuilder = Rebuilder { shared: Some(shared.clone()), running: Mutex::default() };
        for _ in 0..awaited.min((cores / 2).clamp(1, AT_A_TIME)) {
            let (shared, sequencer) = (shared.clone(), sequencer.clone());
            let interrupt = Arc::new(Mutex::new(Interrupt::default()));
            let current = interrupt.clone();
            let run = move || run(&shared, &sequencer, &current);
            let thread = std::thread::Builder::new().name("eddy-rebuild".into()).stack_size(STACK).spawn(run)?;
            rebuilder.running.lock().push(Running { interrupt, thread });
        }
        Ok(rebuilder)
    }
}

impl Drop for Rebuilder {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.awaited.stop("the database was closed");
        }
        let running = std::mem::take(&mut *self.running.lock());
        running.iter().for_each(|one| one.interrupt.lock().cancel());
        for Running { thread, .. } in running {
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

/// Fills one view after the other until none is awaited.
fn run(shared: &Arc<Shared>, sequencer: &SequencerHandle, current: &Mutex<Interrupt>) {
    let version = || shared.version();
    while let Next::Build(id, rebuild) = shared.awaited.next(&version) {
        *current.lock() = rebuild.interrupt.clone();
        // Who stops the threads sees the interrupt from here on, or we see that they are stopped.
        if shared.awaited.is_stopped() {
            break;
        }
        match guarded(|| fill(shared, sequencer, id, &rebuild)) {
            Ok(()) => {}
            Err(error) if rebuild.interrupt.is_cancelled() || error.kind() == ErrorKind::Cancelled => {}
            Err(error) => fail(shared, sequencer, id, &rebuild, error),
        }
        shared.awaited.give_back(id);
    }
}

/// Fills a view and attaches it, unless it was dropped or made again meanwhile.
fn fill(shared: &Arc<Shared>, sequencer: &SequencerHandle, id: RelationId, rebuild: &Arc<Rebuild>) -> Result<()> {
    loop {
        let mut version = shared.version();
        let Some(view) = version.catalog.by_id(id).cloned() else { return Ok(()) };
        if !version.awaited(view.dependencies.iter().copied()).is_empty() {
            // What it reads has failed or is awaited again: it is its turn later.
            return Ok(());
        }
        let base = version.catalog.clone();
        let mut filled = rebuild_view(shared, &version, &view, rebuild)?;
        for _ in 0..ROUNDS {
            let now = shared.version();
            let is_same = filled.spec.inputs().into_iter().all(|input| now.catalog.has_same(input, &base));
            if now.epoch == version.epoch || !is_same || !now.awaited(filled.spec.inputs()).is_empty() {
                break;
            }
            carry_on(shared, &rebuild.interrupt, &now, &mut filled)?;
            version = now;
        }
        let token = rebuild.clone();
        if sequencer.task(&rebuild.interrupt, move |sequencer| sequencer.attach_view(&token, &base, filled))? {
            return Ok(());
        }
    }
}

/// A view cannot be filled: it fails, and nothing else does. Where the database takes no commits any more, reads go on
/// running its query.
fn fail(shared: &Shared, sequencer: &SequencerHandle, id: RelationId, rebuild: &Arc<Rebuild>, error: Error) {
    let rebuild = rebuild.clone();
    let interrupt = rebuild.interrupt.clone();
    let told = sequencer.task(&interrupt, move |sequencer| sequencer.fail_view(id, &rebuild, &error));
    if let Err(error) = told
        && !interrupt.is_cancelled()
    {
        shared.awaited.stop(error.message());
    }
}
