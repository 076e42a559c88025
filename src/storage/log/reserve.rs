//! Room on the disk that is kept for when it is full: to open, to delete and to make a checkpoint.
//!
//! A file with blocks of its own and nothing in them. Who may use its room removes it and writes in its place; others
//! are refused until it is there again. Half of it and more is for what a new log file must take over when the database
//! is opened behind a kill, which is not more than was written and not known to be safe; the rest is for the record of a
//! deletion and the checkpoint behind it. A checkpoint of what the log has must do without: so the log may have no more
//! than the disk has room for ([`check`]).

use std::path::Path;
use std::sync::Arc;

use crate::base::access::io_error;
use crate::base::error::Result;
use crate::base::vfs::Vfs;

/// The file.
pub const PATH: &str = "RESERVE";
/// Its least length, in steps of which it grows, and the most that it grows to.
const LEAST: u64 = 512 << 10;
const MOST: u64 = 64 << 20;
/// Room that a checkpoint needs beside its rows, about.
const SPARE: u64 = 128 << 10;

/// The room that is kept.
#[derive(Debug)]
pub struct Reserve {
    vfs: Arc<dyn Vfs>,
    /// Bytes that are kept, as far as somebody has looked.
    kept: Option<u64>,
    /// Whether the file is not there.
    is_missing: bool,
}

impl Reserve {
    /// What is kept below `vfs`.
    pub fn new(vfs: Arc<dyn Vfs>) -> Self {
        let is_missing = !vfs.exists(Path::new(PATH)).unwrap_or(true);
        Reserve { vfs, kept: None, is_missing }
    }

    /// Keeps room for a take-over of `bytes`, if there is that much.
    ///
    /// # Errors
    /// The disk is full or failed: what was kept before is kept still.
    pub fn keep(&mut self, bytes: u64) -> Result<()> {
        let wanted = bytes.saturating_mul(2).min(MOST).next_multiple_of(LEAST).max(LEAST);
        if self.kept.is_some_and(|kept| kept >= wanted) { Ok(()) } else { self.extend(wanted) }
    }

    /// Keeps what room there is, where there is little.
    pub fn keep_some(&mut self) {
        // Where none can be kept, who needs some is told.
        let _ = [1, 2, 4, 8].into_iter().map(|part| self.extend(LEAST / part)).find(Result::is_ok);
    }

    fn extend(&mut self, bytes: u64) -> Result<()> {
        let path = Path::new(PATH);
        let there = self.vfs.exists(path)?;
        let file = if there { self.vfs.open(path)? } else { self.vfs.create(path)? };
        let length = file.len()?;
        // A copy of a directory may have the length and no blocks.
        let made = file.allocate(bytes.max(length)).and_then(|()| if length < bytes { file.sync() } else { Ok(()) });
        if let Err(error) = made {
            let _ = if there { file.set_len(length) } else { self.vfs.remove(path) };
            return Err(error);
        }
        (self.kept, self.is_missing) = (Some(bytes.max(length)), false);
        Ok(())
    }

    /// Lets the room go; whether there was any.
    pub fn release(&mut self) -> bool {
        if self.vfs.remove(Path::new(PATH)).is_err() {
            return false;
        }
        (self.kept, self.is_missing) = (None, true);
        true
    }

    /// Whether it was let go and is not kept again.
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }
}

/// An error (53100) if there will be no room to save `unsaved` bytes of the log, by which it is shortened.
pub fn check(vfs: &dyn Vfs, unsaved: u64) -> Result<()> {
    match vfs.free_space() {
        Some(free) if free < unsaved.saturating_add(SPARE) => {
            Err(io_error("extend", Path::new("wal"), std::io::ErrorKind::StorageFull.into()))
        }
        _ => Ok(()),
    }
}
