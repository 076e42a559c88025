//! The only place that asks the operating system for the time.
//!
//! A [`Clock`] gives microseconds since 1970 (UTC). The database never lets its own time run backwards, whatever the
//! clock does. Durations that are measured, not stored, use [`std::time::Instant`] through [`Clock::instant`].

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where `now()` comes from.
pub trait Clock: Debug + Send + Sync {
    /// Microseconds since 1970-01-01 00:00:00 UTC.
    fn now_us(&self) -> i64;

    /// A monotonic reading, for measuring durations.
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// The machine's own clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        }
    }
}

/// A clock that moves only when told: for tests and replays.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock standing at `now_us` microseconds since 1970.
    pub fn new(now_us: i64) -> Self {
        ManualClock(AtomicI64::new(now_us))
    }

    /// Sets the time, in microseconds since 1970.
    pub fn set(&self, now_us: i64) {
        self.0.store(now_us, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
