//! The segment files of a directory: their numbers, and who needs them before a manifest names them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Cache, DIRECTORY, FileName, SegmentFile, SegmentWriter, number_of, path};
use crate::base::error::Result;
use crate::base::vfs::Vfs;

/// The segment files of a directory.
#[derive(Debug)]
pub struct SegmentFiles {
    vfs: Arc<dyn Vfs>,
    database: [u8; 16],
    cache: Arc<Cache>,
    /// The number of the next one.
    next: AtomicU64,
    /// Those that commits bring, until a manifest has what they brought.
    brought: Mutex<BTreeMap<u64, Brought>>,
}

/// A file that a commit brings.
#[derive(Debug, Clone, Copy)]
enum Brought {
    /// It is being written, or waits for the door.
    Begun,
    /// The log names it, in a group of this epoch.
    Logged(FileName, u64),
}

impl SegmentFiles {
    /// Those of a directory; every number from `next` on is free as far as its manifest knows.
    pub fn new(vfs: Arc<dyn Vfs>, database: [u8; 16], cache: Arc<Cache>, next: u64) -> Result<Self> {
        // The log may name files that no manifest names, and no number is given again.
        let known = numbers(vfs.as_ref())?.into_iter().max().unwrap_or(0) + 1;
        let next = AtomicU64::new(next.max(known));
        Ok(SegmentFiles { vfs, database, cache, next, brought: Mutex::default() })
    }

    /// The number of the next file.
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Begins the next file of a checkpoint.
    pub fn create(&self) -> Result<SegmentWriter> {
        self.create_numbered(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn create_numbered(&self, number: u64) -> Result<SegmentWriter> {
        SegmentWriter::create(self.vfs.as_ref(), self.database, number, &self.cache)
    }

    /// Begins a file that a commit brings. It stays until it is discarded; one that was logged, until a manifest of its
    /// epoch does not need it.
    pub fn create_brought(&self) -> Result<SegmentWriter> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.brought.lock().insert(number, Brought::Begun);
        self.create_numbered(number).inspect_err(|_| self.discard_brought(number))
    }

    /// Ends a file that a commit brings, and makes it safe with its name.
    pub fn finish_brought(&self, writer: SegmentWriter) -> Result<SegmentFile> {
        let file = writer.finish()?;
        self.vfs.sync_directory(Path::new(DIRECTORY))?;
        Ok(file)
    }

    /// The commit that brings a file is in the log.
    pub fn log_brought(&self, name: FileName, epoch: u64) {
        self.brought.lock().insert(name.number, Brought::Logged(name, epoch));
    }

    /// Removes a file that a commit was to bring, unless it is in the log.
    pub fn discard_brought(&self, number: u64) {
        let mut brought = self.brought.lock();
        if let Some(Brought::Begun) = brought.get(&number) {
            brought.remove(&number);
            self.discard([number]);
        }
    }

    /// The files that the log names up to `epoch`: what they brought is in the manifest of that epoch.
    pub fn brought_until(&self, epoch: u64) -> Vec<FileName> {
        let brought = self.brought.lock();
        let logged = brought.values().filter_map(|brought| match brought {
            Brought::Logged(name, at) if *at <= epoch => Some(*name),
            _ => None,
        });
        logged.collect()
    }

    /// The bytes of files that the log names and no manifest has: a checkpoint names what is needed of them.
    pub fn brought_bytes(&self) -> u64 {
        let brought = self.brought.lock();
        let bytes = brought.values().map(|brought| match brought {
            Brought::Logged(name, _) => name.length,
            Brought::Begun => 0,
        });
        bytes.sum()
    }

    /// A manifest has what these files brought.
    pub fn forget_brought(&self, names: &[FileName]) {
        let mut brought = self.brought.lock();
        brought.retain(|number, _| !names.iter().any(|name| name.number == *number));
    }

    /// Opens a file.
    ///
    /// # Errors
    /// It is missing, damaged (XX001) or of another database.
    pub fn open(&self, name: FileName) -> Result<SegmentFile> {
        SegmentFile::open(self.vfs.as_ref(), self.database, name, &self.cache)
    }

    /// Keeps columns of so many bytes in memory from here on.
    pub fn resize_cache(&self, bytes: u64) {
        self.cache.resize(bytes);
    }

    /// Makes the names of files safe.
    pub fn sync_names(&self) -> Result<()> {
        self.vfs.sync_directory(Path::new(DIRECTORY))
    }

    /// Removes files that were begun and are named by nobody.
    pub fn discard(&self, numbers: impl IntoIterator<Item = u64>) {
        // What cannot be removed now is by a later checkpoint.
        numbers.into_iter().for_each(|number| drop(self.vfs.remove(&path(number))));
    }

    /// Removes the files that neither the manifest nor the log behind it needs.
    pub fn remove_unused(&self, used: &BTreeSet<u64>) -> Result<()> {
        // Files that are begun from here on are not among them.
        let numbers = numbers(self.vfs.as_ref())?;
        let brought = self.brought.lock();
        let unused = numbers.into_iter().filter(|number| !used.contains(number) && !brought.contains_key(number));
        unused.map(path).try_for_each(|path| self.vfs.remove(&path))
    }
}

/// The numbers of the segment files that are there.
fn numbers(vfs: &dyn Vfs) -> Result<Vec<u64>> {
    let directory = Path::new(DIRECTORY);
    if !vfs.exists(directory)? {
        return Ok(Vec::new());
    }
    Ok(vfs.list(directory)?.iter().filter_map(|name| number_of(name)).collect())
}
