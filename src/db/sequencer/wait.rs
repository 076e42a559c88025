//! Waiting for the sequencer, and calling a request off while that is possible.
//!
//! ```text
//! waiting ──taken──▶ at the door ──logged──▶ passed       what the sequencer does
//!    │
//!    │          └──▶ given back, for want of room: the committer waits and comes again
//!    └─withdrawn──▶ never looked at                       what an interrupt does
//! ```
//!
//! Whoever is interrupted gets an answer at once. A request that still waits is withdrawn: nothing has happened. At the
//! door the decision is waited for; what takes long there asks the same interrupt. A commit that has passed cannot be
//! called off, because what is in the log is committed, whoever has lost patience; then the wait alone ends, as soon as
//! the log is safe, and the answer says that the epoch is not published yet.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::Mutex;

use super::gone;
use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::db::commit::{Commit, Committed};
use crate::storage::log::Ticket;

/// How long an interrupt may go unnoticed.
const LOOK: Duration = Duration::from_millis(20);

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// How far a request has come, known to who asks and to the sequencer.
#[derive(Default)]
pub struct Fate {
    state: AtomicU8,
    passed: OnceLock<(Committed, Ticket)>,
    /// The commit, where it was not looked at for want of room.
    given_back: Mutex<Option<Commit>>,
}

impl Fate {
    /// The sequencer looks at the request now; false if it was withdrawn.
    pub fn take(&self) -> bool {
        self.state.compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The commit was given to the log.
    pub fn pass(&self, committed: Committed, ticket: Ticket) {
        let _ = self.passed.set((Committed { published: false, ..committed }, ticket));
    }

    /// There is no room for the commit: whoever made it may come again with it.
    pub fn give_back(&self, commit: Commit) {
        *self.given_back.lock() = Some(commit);
    }

    /// The commit, if it was given back.
    pub fn given_back(&self) -> Option<Commit> {
        self.given_back.lock().take()
    }

    fn withdraw(&self) -> bool {
        self.state.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The answer to a commit.
pub fn for_commit(answer: &Receiver<Result<Committed>>, fate: &Fate, interrupt: &Interrupt) -> Result<Committed> {
    loop {
        match answer.recv_timeout(LOOK) {
            Ok(committed) => return committed,
            Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let Err(interrupted) = interrupt.check() else { continue };
        if fate.withdraw() {
            return Err(interrupted);
        }
        if let Some((committed, ticket)) = fate.passed.get() {
            // The step may take long, the medium does not: only what is safe is told to be committed.
            return ticket.wait().map(|()| *committed).map_err(|error| unknown(&error));
        }
    }
}

/// The error of a commit of which nobody knows whether the medium has it.
pub fn unknown(error: &Error) -> Error {
    Error::new(error.kind(), format!("whether the commit lasts is unknown: {}", error.message())).with_sqlstate("08007")
}

/// The answer to a task.
pub fn for_task<T>(answer: &Receiver<Result<T>>, fate: &Arc<Fate>, interrupt: &Interrupt) -> Result<T> {
    loop {
        match answer.recv_timeout(LOOK) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(interrupted) = interrupt.check()
            && fate.withdraw()
        {
            return Err(interrupted);
        }
    }
}
