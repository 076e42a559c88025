//! A disk that fails on command: power loss, torn and dropped writes, read and write errors, no space, flipped bits.
//!
//! Everything is decided by the seed and the plan, so a failure found once is found again. Operations are counted; a
//! plan says at which of them what happens ([`SimulatedVfs::fail_at`]). After a crash every call fails until
//! [`SimulatedVfs::restart`], which brings back the disk as power loss leaves it, or [`SimulatedVfs::kill`], after
//! which the system still has what the dead process wrote. Handles and locks from before stay dead.
//!
//! - [`disk`]: what is on the disk, what only the system has, and what becomes of it.
//! - [`handles`]: the file system that a program sees.

mod disk;
mod handles;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::missing;
use crate::base::error::Result;
use disk::Disk;

/// What goes wrong at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The device fails: nothing is done. A failed sync loses some of the unsynced writes for good.
    Error,
    /// The operation is done, and the device fails afterwards, when nobody is there to be told: some of the file's
    /// unsynced writes are lost for good. Each handle is told once, by its next sync.
    Late,
    /// No space is left: of a write, a part is done.
    Full,
    /// Power is lost, or the process dies, before the operation.
    Crash,
}

/// A simulated disk; clones share it.
#[derive(Debug, Clone)]
pub struct SimulatedVfs(Arc<Mutex<Disk>>);

impl SimulatedVfs {
    /// An empty disk whose luck is decided by `seed`.
    pub fn new(seed: u64) -> Self {
        SimulatedVfs(Arc::new(Mutex::new(Disk::new(seed))))
    }

    /// Plans a fault for the operation of that number, counted from 0 as [`SimulatedVfs::operations`] does.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.0.lock().plan.insert(operation, fault);
    }

    /// Lets `fault` strike about one in `one_in` operations from now on; 0 ends it.
    pub fn fail_randomly(&self, one_in: u64, fault: Fault) {
        self.0.lock().rate = (one_in > 0).then_some((one_in, fault));
    }

    /// How many bytes all files together may have from now on; `None` is no limit.
    pub fn limit_space(&self, bytes: Option<usize>) {
        self.0.lock().space = bytes;
    }

    /// How many bytes all files have together.
    pub fn space_used(&self) -> usize {
        self.0.lock().used()
    }

    /// Flips one bit of a file, as an old disk does: at once, and for good.
    pub fn flip(&self, path: &Path, bit: usize) -> Result<()> {
        self.0.lock().flip(path, bit).ok_or_else(|| missing("flip a bit of", path))
    }

    /// The number of operations so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Whether power is lost, or the process dead.
    pub fn is_down(&self) -> bool {
        self.0.lock().is_down
    }

    /// Loses power now and comes back with what survived; planned faults are forgotten.
    pub fn restart(&self) {
        let mut disk = self.0.lock();
        disk.lose_power();
        disk.begin_life();
    }

    /// The process dies now, and the system goes on: it has all that was written, and may yet lose it with its power.
    /// Planned faults are forgotten.
    pub fn kill(&self) {
        self.0.lock().begin_life();
    }
}

#[cfg(test)]
mod tests;
