//! The threads of connectors: who runs, who is held, and how it goes with each.
//!
//! A source or sink has one thread from when it is created or its database is opened until it is paused, dropped, or the database
//! is closed. What runs follows from the catalog: after each change of definitions, and when a database is opened,
//! [`Pumps::follow`] starts and stops what has to be. A thread holds the sequencer but nobody holds the database through
//! it: who drops the last handle waits for the threads, and the directory is free afterwards.
//!
//! - [`source`]: from a source to commits; [`sink`]: from a follower to where its changes go.
//! - [`connect`]: from a definition to a connector.
//! - [`stdin`]: the standard input, read by a thread of its own because reading it waits.

pub mod connect;
mod sink;
mod source;
mod stdin;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::error::Result;
use crate::catalog::relation::{Relation, RelationId};
use crate::db::connectors::State;
use crate::db::pump::sink::Drainer;
use crate::db::pump::source::Feeder;
pub use crate::db::pump::source::count as bad_records;
use crate::db::sequencer::SequencerHandle;
use crate::db::shared::Shared;

/// The threads of a database's connectors.
#[derive(Default)]
pub struct Pumps {
    running: Mutex<BTreeMap<RelationId, Running>>,
    /// What waits for a word of its user, whatever its definition says.
    held: Mutex<BTreeSet<RelationId>>,
}

struct Running {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

impl Running {
    fn end(self) {
        self.stop.ask();
        let _ = self.thread.join();
    }
}

impl Pumps {
    /// Lets nothing begin that is there now, until it is resumed.
    pub fn hold(&self, shared: &Shared, which: impl Fn(&Relation) -> bool) {
        let catalog = shared.version().catalog.clone();
        let held = catalog.relations().filter(|relation| relation.is_pumped() && which(relation));
        for relation in held {
            self.held.lock().insert(relation.id);
            shared.connectors.of(relation.id).lock().state = State::Held;
        }
    }

    /// Lets a connector begin that was held.
    pub fn release(&self, id: RelationId) {
        self.held.lock().remove(&id);
    }

    /// Starts and stops threads so that those run that the catalog wants to run.
    ///
    /// # Errors
    /// The system starts no more threads.
    pub fn follow(&self, shared: &Arc<Shared>, sequencer: &SequencerHandle) -> Result<()> {
        let catalog = shared.version().catalog.clone();
        let held = self.held.lock().clone();
        let is_wanted = |id: &RelationId| {
            catalog.by_id(*id).is_some_and(|relation| relation.is_pumped() && !relation.is_paused())
                && !held.contains(id)
        };
        let mut running = self.running.lock();
        let over: Vec<RelationId> =
            running.iter().filter(|(id, one)| !is_wanted(id) || one.thread.is_finished()).map(|(id, _)| *id).collect();
        over.into_iter().filter_map(|id| running.remove(&id)).for_each(Running::end);
        shared.connectors.keep(|id| catalog.by_id(*id).is_some());
        let wanted = catalog.relations().filter(|relation| is_wanted(&relation.id));
        let new: Vec<_> = wanted.filter(|relation| !running.contains_key(&relation.id)).collect();
        for relation in new {
            let stop = Arc::new(Stop::default());
            let (id, shared, sequencer, asked) = (relation.id, shared.clone(), sequencer.clone(), stop.clone());
            let feeds = relation.is_source();
            let thread =
                std::thread::Builder::new().name(format!("eddy-{}", relation.name)).spawn(move || match feeds {
                    true => Feeder::new(id, shared, sequencer, asked).run(),
                    false => Drainer::new(id, shared, sequencer, asked).run(),
                })?;
            running.insert(relation.id, Running { stop, thread });
        }
        Ok(())
    }
}

impl Drop for Pumps {
    fn drop(&mut self) {
        let running = std::mem::take(&mut *self.running.lock());
        running.values().for_each(|one| one.stop.ask());
        running.into_values().for_each(Running::end);
    }
}

/// Asks a thread to end, and wakes it where it waits.
#[derive(Default)]
pub struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        *self.asked.lock() = true;
        self.changed.notify_all();
    }

    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        *self.asked.lock()
    }

    /// Waits; true if it was asked meanwhile.
    pub fn wait(&self, time: Duration) -> bool {
        let mut asked = self.asked.lock();
        if !*asked {
            self.changed.wait_for(&mut asked, time);
        }
        *asked
    }
}
