//! How it goes with every connector: told by its thread, shown by `eddy.sources`.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::relation::RelationId;

/// How it goes with every connector: what `eddy.sources` shows.
#[derive(Default)]
pub struct Connectors(Mutex<BTreeMap<RelationId, Arc<Mutex<Status>>>>);

impl Connectors {
    /// How it goes with one.
    pub fn of(&self, id: RelationId) -> Arc<Mutex<Status>> {
        self.0.lock().entry(id).or_default().clone()
    }

    /// Forgets those that are gone.
    pub fn keep(&self, is_there: impl Fn(&RelationId) -> bool) {
        self.0.lock().retain(|id, _| is_there(id));
    }
}

/// How it goes with a connector.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// What went wrong last, until it goes on.
    pub error: Option<String>,
}

/// What a connector does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// It reads, or waits for more.
    #[default]
    Running,
    /// Something went wrong; it is tried again.
    Retrying,
    /// There is nothing to come any more.
    Finished,
    /// It gave up, because it was told to where so much goes wrong.
    Failed,
    /// It was there when the database was opened, and waits to be resumed.
    Held,
}

impl State {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Retrying => "retrying",
            State::Finished => "finished",
            State::Failed => "failed",
            State::Held => "held",
        }
    }
}
