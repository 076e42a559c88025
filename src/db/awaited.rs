//! Views whose rows are awaited after a database was opened: who asked for which, and waiting for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::relation::{RelationId, RelationKind};
use crate::continuous::network::Rebuild;
use crate::db::version::{Contents, Version};

/// How long who waits for a view goes without a look at its interrupt.
const LOOK: Duration = Duration::from_millis(20);

/// What readers and rebuilders tell each other.
#[derive(Debug, Default)]
pub struct Awaited {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The views that were read, in the order of their first reading.
    asked: Vec<RelationId>,
    /// Those that somebody fills.
    taken: BTreeSet<RelationId>,
    /// Nothing is begun until somebody waits: for tests.
    held: bool,
    /// Nothing is begun any more, and why.
    stopped: Option<String>,
}

/// What a rebuilder does next.
pub enum Next {
    /// Fill this view.
    Build(RelationId, Arc<Rebuild>),
    /// Nothing: no view is awaited, or nothing is begun any more.
    End,
}

impl Awaited {
    /// Somebody reads a view that is awaited: it goes first.
    pub fn ask(&self, id: RelationId) {
        let mut state = self.state.lock();
        if !state.asked.contains(&id) {
            state.asked.push(id);
        }
    }

    /// Begins nothing until somebody waits.
    pub fn hold(&self) {
        self.state.lock().held = true;
    }

    /// A version was published in which other views may be awaited.
    pub fn look_again(&self) {
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Begins nothing any more.
    pub fn stop(&self, reason: &str) {
        self.state.lock().stopped.get_or_insert_with(|| reason.to_string());
        self.changed.notify_all();
    }

    /// Whether nothing is begun any more.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stopped.is_some()
    }

    /// Who took a view has done with it, one way or the other.
    pub fn give_back(&self, id: RelationId) {
        self.state.lock().taken.remove(&id);
        self.changed.notify_all();
    }

    /// The next view to be filled: those that were read first, each behind those it reads. Waits until there is one.
    pub fn next(&self, current: &dyn Fn() -> Arc<Version>) -> Next {
        let mut state = self.state.lock();
        loop {
            let version = current();
            let is_open = |version: &Version| version.entries.values().any(|entry| entry.contents.rebuild().is_some());
            if state.stopped.is_some() || !is_open(&version) {
                return Next::End;
            }
            if !state.held
                && let Some(id) = state.ready(&version)
                && let Some(rebuild) = version.entries.get(&id).and_then(|entry| entry.contents.rebuild().cloned())
            {
                state.taken.insert(id);
                return Next::Build(id, rebuild);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Waits until the rows of `ids` are there.
    ///
    /// # Errors
    /// One of them has failed, or nothing is filled any more; the wait was called off.
    pub fn wait(&self, ids: &[RelationId], current: &dyn Fn() -> Arc<Version>, interrupt: &Interrupt) -> Result<()> {
        let mut state = self.state.lock();
        state.held = false;
        let first: Vec<RelationId> = ids.iter().copied().filter(|id| !state.asked.contains(id)).collect();
        state.asked.extend(first);
        self.changed.notify_all();
        loop {
            let version = current();
            let mut open = false;
            for id in ids {
                let Some(entry) = version.entries.get(id) else { continue };
                if let Some(failure) = &entry.failure {
                    return Err(failure.to_error(&version.name(*id)));
                }
                open |= matches!(entry.contents, Contents::Awaited { .. });
            }
            if !open {
                return Ok(());
            }
            if let Some(reason) = &state.stopped {
                return Err(Error::new(ErrorKind::Io, format!("no view is filled again any more: {reason}")));
            }
            interrupt.check()?;
            self.changed.wait_for(&mut state, LOOK);
        }
    }
}

impl State {
    /// A view that can be filled now.
    fn ready(&self, version: &Version) -> Option<RelationId> {
        let order = version.catalog.in_order();
        let is_ready = |id: &RelationId| {
            let view = version.catalog.by_id(*id).filter(|relation| relation.kind == RelationKind::MaterializedView);
            let rebuilt = version.entries.get(id).is_some_and(|entry| entry.contents.rebuild().is_some());
            rebuilt
                && !self.taken.contains(id)
                && view.is_some_and(|view| version.awaited(view.dependencies.iter().copied()).is_empty())
        };
        let wanted = self.asked.iter().find_map(|asked| {
            let below = version.catalog.below([*asked]);
            order.iter().find(|id| below.contains(id) && is_ready(id))
        });
        wanted.or_else(|| order.iter().find(|id| is_ready(id))).copied()
    }
}
