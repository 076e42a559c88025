//! Limits: how much memory may be held and how long a statement may run.
//!
//! [`MemoryBudget`] counts the bytes the database holds in state and refuses growth beyond its limit; it does not
//! see short-lived buffers. [`Interrupt`] is the one flag by which a statement is cancelled or times out; whoever
//! loops asks it once a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::{Error, ErrorKind, Result};

/// Numbers that are given out one after the other, to epochs, rows, relations and files, stay below. One that is read and
/// is not, was never given: so nobody who counts on from what was read comes to the end of the numbers there are.
pub const CEILING: u64 = 1 << 62;

/// Bytes held against a limit, shared by all that hold state.
#[derive(Debug, Default)]
pub struct MemoryBudget {
    limit: AtomicUsize,
    used: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of `limit` bytes; `None` means no limit.
    pub fn new(limit: Option<usize>) -> Self {
        MemoryBudget { limit: AtomicUsize::new(limit.unwrap_or(usize::MAX)), used: AtomicUsize::new(0) }
    }

    /// Changes the limit, in bytes.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Ordering::SeqCst);
    }

    /// The limit in bytes, if there is one.
    pub fn limit(&self) -> Option<usize> {
        Some(self.limit.load(Ordering::SeqCst)).filter(|&limit| limit != usize::MAX)
    }

    /// The bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// Says how many bytes are held, counted anew.
    pub fn set_used(&self, bytes: usize) {
        self.used.store(bytes, Ordering::SeqCst);
    }

    /// Replaces `before` bytes by `after` for `owner`; an error that names it if the limit would be passed.
    pub fn resize(&self, owner: &str, before: usize, after: usize) -> Result<()> {
        if after <= before {
            self.used.fetch_sub(before - after, Ordering::SeqCst);
            return Ok(());
        }
        let grown = after - before;
        let used = self.used.fetch_add(grown, Ordering::SeqCst) + grown;
        let limit = self.limit.load(Ordering::SeqCst);
        if used > limit {
            self.used.fetch_sub(grown, Ordering::SeqCst);
            return Err(Error::new(
                ErrorKind::Resource,
                format!("memory limit of {limit} bytes reached: {owner} asked for {grown} more bytes"),
            )
            .with_hint("raise it with SET memory_limit = '...'"));
        }
        Ok(())
    }
}

/// Cancels a running statement from another thread, or ends it at a deadline.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<InterruptState>);

/// The moment `timeout` from now; none where it is too far away to be told.
pub fn deadline_after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

#[derive(Debug, Default)]
struct InterruptState {
    cancelled: AtomicBool,
    /// Counts cancellations, so that a waiter can tell a new one from an old one.
    generation: AtomicU64,
    deadline: Mutex<Option<(Instant, Duration)>>,
}

impl Interrupt {
    /// Asks the running statement to end as soon as it can.
    pub fn cancel(&self) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
        self.0.cancelled.store(true, Ordering::SeqCst);
    }

    /// Clears an earlier cancellation and sets the time the next statement may take.
    pub fn start(&self, timeout: Option<Duration>) {
        self.0.cancelled.store(false, Ordering::SeqCst);
        *self.0.deadline.lock() = timeout.and_then(|timeout| Some((deadline_after(timeout)?, timeout)));
    }

    /// Whether the statement was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// The moment the statement must have ended, if there is one.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline.lock().map(|(at, _)| at)
    }

    /// The time left until the deadline; `None` if there is none.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// An error if the statement was cancelled or ran past its deadline.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "statement cancelled"));
        }
        match *self.0.deadline.lock() {
            Some((at, timeout)) if Instant::now() >= at => Err(Error::new(
                ErrorKind::Timeout,
                format!("statement ran past its timeout of {} ms", timeout.as_millis()),
            )
            .with_hint("raise it with SET statement_timeout = '...'")),
            _ => Ok(()),
        }
    }
}
