//! Making written bytes safe: one sync at a time, and whoever waits first does it for all.
//!
//! ```text
//! writer        wrote(10)      wrote(20)                wrote(30)
//! one waits     wait(10): syncs up to 20 ──▶ safe(20)
//! others        wait(20): finds a sync at work, waits for it    wait(30): syncs up to 30
//! ```
//!
//! A sync covers what was written when it began, so those who come while it runs share the next one. Linux tells of a
//! failed sync once and forgets the pages: a sync that succeeds after one that failed proves nothing. So there is one
//! place that syncs, it remembers a failure for ever, and nothing is ever safe behind it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::vfs::VfsFile;

/// How far the log was written and how far it is safe, in bytes since the log was opened.
#[derive(Debug, Default)]
pub struct Syncer {
    state: Mutex<State>,
    /// A sync has ended.
    changed: Condvar,
    /// There may be something to do for [`Syncer::serve`].
    called: Condvar,
    closed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<dyn VfsFile>>,
    written: u64,
    safe: u64,
    /// Up to where somebody wants it safe without waiting.
    wanted: u64,
    is_syncing: bool,
    is_closed: bool,
    failure: Option<String>,
}

impl Syncer {
    /// From here on bytes are written to `file`; those up to `safe` are safe.
    pub fn begin(&self, file: Arc<dyn VfsFile>, safe: u64) {
        let mut state = self.state.lock();
        state.file = Some(file);
        (state.written, state.safe) = (safe, safe);
    }

    /// The bytes up to `written` were handed to the file.
    pub fn wrote(&self, written: u64) {
        self.state.lock().written = written;
        self.called.notify_one();
    }

    /// Up to where all is safe.
    pub fn safe(&self) -> u64 {
        self.state.lock().safe
    }

    /// A write failed: nothing behind it is ever safe.
    pub fn fail(&self, error: &Error) {
        self.state.lock().failure.get_or_insert_with(|| error.message().to_string());
    }

    /// An error if a write or a sync has failed.
    pub fn check(&self) -> Result<()> {
        self.state.lock().check()
    }

    /// Lets the thread in [`Syncer::serve`] make everything safe up to `position`.
    pub fn want(&self, position: u64) {
        let mut state = self.state.lock();
        state.wanted = state.wanted.max(position);
        self.called.notify_one();
    }

    /// Returns when the bytes up to `position`, which were written, are safe.
    pub fn wait(&self, position: u64) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if state.safe >= position {
                return Ok(());
            }
            state.check()?;
            if state.is_syncing {
                self.changed.wait(&mut state);
                continue;
            }
            let Some(file) = state.file.clone() else {
                return Err(Error::internal("the log waits for bytes that no file has"));
            };
            state.is_syncing = true;
            let written = state.written;
            drop(state);
            let synced = file.sync();
            state = self.state.lock();
            state.is_syncing = false;
            match synced {
                // A sync of the file before may end after that one is done with.
                Ok(()) => state.safe = state.safe.max(written),
                Err(error) => state.failure = Some(error.message().to_string()),
            }
            self.changed.notify_all();
        }
    }

    /// Makes safe what is wanted, and with an `interval` everything, so long after it was written; until the log is
    /// closed.
    pub fn serve(&self, interval: Option<Duration>) {
        let mut state = self.state.lock();
        while !state.is_closed {
            let wanted = if interval.is_some() { state.written } else { state.wanted };
            if wanted <= state.safe || state.failure.is_some() {
                self.called.wait(&mut state);
                continue;
            }
            if let Some(interval) = interval {
                // What is written meanwhile shares the sync.
                self.closed.wait_for(&mut state, interval);
            }
            drop(state);
            // A failure is remembered, and told to whoever writes next.
            let _ = self.wait(wanted);
            state = self.state.lock();
        }
    }

    /// Ends [`Syncer::serve`].
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.called.notify_one();
        self.closed.notify_one();
    }
}

impl State {
    fn check(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(reason) => Err(Error::new(ErrorKind::Io, reason.clone())),
        }
    }
}

/// Stands for a group that was written, until it is waited for.
#[derive(Debug, Clone, Default)]
pub struct Ticket(Option<Arc<Group>>);

#[derive(Debug)]
struct Group {
    syncer: Arc<Syncer>,
    end: u64,
    /// Whether a commit waits until it is safe, or is content with less.
    is_awaited: bool,
}

impl Ticket {
    /// The ticket of a group that ends at `end`; `is_awaited` says whether to wait for it means to wait for the disk.
    pub(super) fn new(syncer: Arc<Syncer>, end: u64, is_awaited: bool) -> Self {
        Ticket(Some(Arc::new(Group { syncer, end, is_awaited })))
    }

    /// Whether there is a medium, which may yet lose the group.
    pub fn is_of_a_medium(&self) -> bool {
        self.0.is_some()
    }

    /// Lets the medium work on the group while the caller does something else.
    pub fn begin(&self) {
        if let Some(group) = self.0.as_ref().filter(|group| group.is_awaited) {
            group.syncer.want(group.end);
        }
    }

    /// Returns when the group, and all before it, are as safe as their log makes them.
    ///
    /// # Errors
    /// The medium failed: what it holds of the group is unknown.
    pub fn wait(&self) -> Result<()> {
        match &self.0 {
            None => Ok(()),
            Some(group) if group.is_awaited => group.syncer.wait(group.end),
            Some(group) => group.syncer.check(),
        }
    }
}
