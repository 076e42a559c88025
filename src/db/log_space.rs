//! Room for the log: commits wait where it has grown too long or the disk is full, until a checkpoint has shortened it.
//!
//! ```text
//! 0 ... saved ................... written        what is before `saved` is in a checkpoint
//!       └── at most max_wal_size ──┘
//! ```
//!
//! Who waits calls for a checkpoint and goes on when one has made room. Where one that began since then has failed
//! there is nothing to wait for: the commit is refused, and says why the checkpoint failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};

use crate::base::access::DISK_FULL;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;

/// How long the log may be unless a setting says otherwise.
pub const MAX_WAL_SIZE: u64 = 1 << 30;
/// The least that may be set: a log must hold a commit or two.
const MAX_WAL_SIZE_LEAST: u64 = 1 << 20;
/// How long a commit waits for checkpoints that end well and make no room, while others use it up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long who waits goes without a look at its interrupt.
const LOOK: Duration = Duration::from_millis(20);

/// How long the log is, and how long it may be.
#[derive(Debug)]
pub struct LogSpace {
    limit: AtomicU64,
    /// Where the log ends, in bytes from where it began when the database was opened.
    written: AtomicU64,
    /// Up to where a checkpoint has it.
    saved: AtomicU64,
    /// Bytes of rows that must be saved again although the log has nothing of them.
    again: AtomicU64,
    attempts: Mutex<Attempts>,
    ended: Condvar,
}

/// The checkpoints so far.
#[derive(Debug, Default)]
struct Attempts {
    /// What calls for one; none where there is no log.
    wake: Option<Sender<()>>,
    begun: u64,
    /// What that one saves again.
    saving: u64,
    ended: u64,
    /// The last that ended well, and the last that failed, with its reason.
    good: u64,
    failed: Option<(u64, String)>,
}

impl Default for LogSpace {
    fn default() -> Self {
        LogSpace {
            limit: AtomicU64::new(MAX_WAL_SIZE),
            written: AtomicU64::new(0),
            saved: AtomicU64::new(0),
            again: AtomicU64::new(0),
            attempts: Mutex::default(),
            ended: Condvar::new(),
        }
    }
}

impl LogSpace {
    /// Changes how long the log may be; `None` is no limit.
    ///
    /// # Errors
    /// It is too little for a log to work with (22023).
    pub fn set_limit(&self, bytes: Option<u64>) -> Result<()> {
        let limit = bytes.unwrap_or(u64::MAX);
        if limit < MAX_WAL_SIZE_LEAST {
            let message = format!("{limit} bytes are too few for max_wal_size");
            let hint = format!("it must be at least {MAX_WAL_SIZE_LEAST} bytes, or 'none'");
            return Err(Error::invalid(message).with_sqlstate("22023").with_hint(hint));
        }
        self.limit.store(limit, Ordering::SeqCst);
        self.ended.notify_all();
        Ok(())
    }

    /// How long the log may be in bytes, if there is a limit.
    pub fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Ordering::SeqCst)).filter(|&limit| limit != u64::MAX)
    }

    /// Who waits calls for checkpoints with `wake`.
    pub fn call_with(&self, wake: Sender<()>) {
        self.attempts.lock().wake = Some(wake);
    }

    /// The log ends at `position` now.
    pub fn wrote(&self, position: u64) {
        self.written.store(position, Ordering::Relaxed);
    }

    /// The next checkpoint must save so many bytes again.
    pub fn must_save(&self, bytes: u64) {
        self.again.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A checkpoint begins; its number.
    pub fn begin(&self) -> u64 {
        let mut attempts = self.attempts.lock();
        attempts.saving = self.again.load(Ordering::Relaxed);
        attempts.begun += 1;
        attempts.begun
    }

    /// The checkpoint of that number ended: it has the log up to a position, or gives its reason.
    pub fn end(&self, number: u64, result: Result<u64, String>) {
        let mut attempts = self.attempts.lock();
        attempts.ended = number;
        match result {
            Ok(position) => {
                attempts.good = number;
                self.again.fetch_sub(attempts.saving, Ordering::Relaxed);
                self.saved.fetch_max(position, Ordering::SeqCst);
            }
            Err(reason) => attempts.failed = Some((number, reason)),
        }
        self.ended.notify_all();
    }

    /// How many bytes the next checkpoint will write, about.
    pub fn unsaved(&self) -> u64 {
        self.held() + self.again.load(Ordering::Relaxed)
    }

    fn held(&self) -> u64 {
        self.written.load(Ordering::Relaxed).saturating_sub(self.saved.load(Ordering::Relaxed))
    }

    fn is_short(&self) -> bool {
        self.held() < self.limit.load(Ordering::Relaxed)
    }

    /// Returns when the log is no longer than it may be.
    ///
    /// # Errors
    /// No checkpoint shortens it (53100), or `interrupt` called it off.
    pub fn wait(&self, interrupt: &Interrupt) -> Result<()> {
        if self.is_short() {
            return Ok(());
        }
        self.wait_until(interrupt, &|_, _| self.is_short())?.map_err(|reason| {
            let (bytes, limit) = (self.held(), self.limit.load(Ordering::Relaxed));
            let message =
                format!("the log has grown to {bytes} bytes, max_wal_size is {limit}, and no checkpoint shortens it");
            Error::new(ErrorKind::Resource, format!("{message}: {reason}")).with_sqlstate(DISK_FULL).with_hint(
                "deletions and DROP go on; correct what holds up CHECKPOINT, or raise the limit with \
                 SET max_wal_size = '...'",
            )
        })
    }

    /// Returns when a checkpoint that begins from now on has ended; true if it ended well.
    ///
    /// # Errors
    /// `interrupt` called it off.
    pub fn wait_for_checkpoint(&self, interrupt: &Interrupt) -> Result<bool> {
        Ok(self.wait_until(interrupt, &|attempts, before| attempts.good > before)?.is_ok())
    }

    /// Calls for checkpoints until something is so, which is told of them and how many had begun before; or else the
    /// reason for which it cannot be.
    fn wait_until(&self, interrupt: &Interrupt, is_so: &dyn Fn(&Attempts, u64) -> bool) -> Result<Result<(), String>> {
        let patience = Interrupt::default();
        patience.start(Some(PATIENCE));
        let mut attempts = self.attempts.lock();
        let (before, mut called) = (attempts.begun, None);
        while !is_so(&attempts, before) {
            interrupt.check()?;
            if let Some((_, reason)) = attempts.failed.as_ref().filter(|(number, _)| *number > before) {
                return Ok(Err(reason.clone()));
            }
            if patience.check().is_err() {
                return Ok(Err("others use up the room that checkpoints make".to_string()));
            }
            if called != Some(attempts.ended) {
                let Some(wake) = &attempts.wake else { return Ok(Err("there is none".to_string())) };
                let _ = wake.try_send(());
                called = Some(attempts.ended);
            }
            self.ended.wait_for(&mut attempts, LOOK);
        }
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Each call for a checkpoint gets the next of these answers.
    fn serve(answers: Vec<Result<u64, String>>) -> Arc<LogSpace> {
        let space = Arc::new(LogSpace::default());
        let (wake, called) = crossbeam_channel::bounded(1);
        space.call_with(wake);
        let server = Arc::downgrade(&space);
        std::thread::spawn(move || {
            for answer in answers {
                let Ok(()) = called.recv() else { return };
                let Some(space) = server.upgrade() else { return };
                space.end(space.begin(), answer);
            }
        });
        space
    }

    #[test]
    fn a_commit_waits_until_a_checkpoint_has_shortened_the_log() {
        let space = serve(vec![Ok(10), Ok(1 << 20)]);
        space.set_limit(Some(1 << 20)).unwrap();
        space.wait(&Interrupt::default()).unwrap();
        space.wrote((1 << 20) + 20);
        // The first checkpoint is too small.
        space.wait(&Interrupt::default()).unwrap();
        assert!(space.is_short());
    }

    #[test]
    fn a_commit_is_refused_where_no_checkpoint_can_be_made() {
        let space = serve(vec![Err("no room".into()), Ok(1 << 20)]);
        space.set_limit(Some(1 << 20)).unwrap();
        space.wrote((1 << 20) + 20);
        let refused = space.wait(&Interrupt::default()).unwrap_err();
        assert_eq!(refused.sqlstate(), "53100");
        assert!(refused.message().ends_with("no room"), "{refused}");
        space.wait(&Interrupt::default()).unwrap();
        assert_eq!(space.set_limit(Some(10)).unwrap_err().sqlstate(), "22023");
    }

    #[test]
    fn who_waits_can_be_interrupted() {
        let space = serve(vec![]);
        space.set_limit(Some(1 << 20)).unwrap();
        space.wrote(2 << 20);
        let interrupt = Interrupt::default();
        interrupt.start(Some(Duration::from_millis(50)));
        assert_eq!(space.wait(&interrupt).unwrap_err().sqlstate(), "57014");
        space.set_limit(None).unwrap();
        space.wait(&interrupt).unwrap();
    }
}
