//! The files of a directory that hold rows: the manifest that counts and the segment files it names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::base::vfs::Vfs;
use crate::catalog::relation::RelationId;
use crate::storage::directory;
use crate::storage::log;
use crate::storage::manifest::{self, BlockPart, Manifest, Part};
use crate::storage::segment::{self, Block, Cache, Deaths, FileName, SegmentFile, SegmentFiles};

/// The files that hold rows.
#[derive(Debug)]
pub struct Store {
    vfs: Arc<dyn Vfs>,
    database: [u8; 16],
    files: Arc<SegmentFiles>,
    /// Held while a checkpoint is made: there is one at a time.
    named: Mutex<Named>,
}

/// What the manifest names, and the numbers that come next.
#[derive(Debug, Default)]
pub struct Named {
    files: BTreeMap<u64, FileName>,
    /// The sets of dead rows of each relation.
    pub deaths: HashMap<RelationId, Vec<Arc<Deaths>>>,
    /// The first log file that is needed.
    first_log: u64,
    next_manifest: u64,
}

/// The rows of a relation as the manifest names them.
pub struct StoredRows {
    /// The relation.
    pub relation: RelationId,
    /// Every row id is below.
    pub high: u64,
    /// The blocks, in the order of row ids.
    pub blocks: Vec<Arc<Block>>,
    /// Sets of dead rows.
    pub deaths: Vec<Arc<Deaths>>,
}

/// What a manifest says, and the rows that it names.
pub type Found = (Manifest, Vec<StoredRows>);

impl Named {
    /// The length of a file that the manifest names.
    pub fn length(&self, file: u64) -> Option<u64> {
        self.files.get(&file).map(|name| name.length)
    }
}

impl Store {
    /// Opens what the manifest names; with it, the rows of every table and stream. Changes nothing.
    ///
    /// # Errors
    /// The manifest or a file that it names is missing, damaged or of another database.
    pub fn open(vfs: Arc<dyn Vfs>, database: [u8; 16], cache_bytes: u64) -> Result<(Self, Option<Found>)> {
        let cache = Arc::new(Cache::new(cache_bytes));
        let read = manifest::read(vfs.as_ref(), database)?;
        let (mut named, mut next_file) = (Named { first_log: 1, next_manifest: 1, ..Named::default() }, 1);
        let found = match read {
            None => None,
            Some(manifest) => {
                let rows = open_rows(vfs.as_ref(), database, &manifest, &cache)?;
                named.files = manifest.files.iter().map(|file| (file.number, *file)).collect();
                named.deaths = rows.iter().map(|rows| (rows.relation, rows.deaths.clone())).collect();
                named.first_log = manifest.first_log;
                (named.next_manifest, next_file) = (manifest.number + 1, manifest.next_file);
                Some((manifest, rows))
            }
        };
        let files = Arc::new(SegmentFiles::new(vfs.clone(), database, cache, next_file)?);
        Ok((Store { vfs, database, files, named: Mutex::new(named) }, found))
    }

    /// An error if the directory is no longer where it was.
    pub fn check_place(&self) -> Result<()> {
        directory::check_place(self.vfs.as_ref(), self.database)
    }

    /// Begins a checkpoint, unless another one goes on for longer than `patience`.
    pub fn begin(&self, patience: Duration) -> Option<MutexGuard<'_, Named>> {
        self.named.try_lock_for(patience)
    }

    /// Reads the log and every file that it or the manifest names, from the disk; what is found of each.
    pub fn check(&self, interrupt: &Interrupt) -> Vec<(String, Result<()>)> {
        let nothing_kept = Arc::new(Cache::new(0));
        let open = |name: &FileName| SegmentFile::open(self.vfs.as_ref(), self.database, *name, &nothing_kept);
        // While this is held no checkpoint removes a file; who has one open reads on.
        let named = self.named.lock();
        let manifest = manifest::read(self.vfs.as_ref(), self.database);
        let start = manifest.as_ref().map(|manifest| start_of(manifest.as_ref()));
        let log = start.map_or(Ok(()), |start| log::check(self.vfs.as_ref(), self.database, start));
        let brought = self.files.brought_until(u64::MAX);
        let files: Vec<_> =
            named.files.values().chain(&brought).map(|name| (segment::path(name.number), open(name))).collect();
        drop(named);
        let files = files.into_iter().take_while(|_| !interrupt.is_cancelled());
        let files = files.map(|(path, file)| (path.display().to_string(), file.and_then(|file| file.check())));
        let first = [("manifest".to_string(), manifest.map(drop)), ("log".to_string(), log)];
        first.into_iter().chain(files).collect()
    }

    /// Removes what a checkpoint left that was cut short: it takes room and means nothing.
    ///
    /// # Errors
    /// The disk failed: what is left is removed by a later checkpoint.
    pub fn remove_leftovers(&self) -> Result<()> {
        let named = self.named.lock();
        if named.next_manifest > 1 {
            // What is older may go when the one that counts is sure to be found again.
            self.vfs.sync_directory(Path::new(manifest::DIRECTORY))?;
        }
        self.remove_unused(named.next_manifest - 1, named.first_log, &named.files.keys().copied().collect())
    }

    /// The segment files.
    pub fn files(&self) -> &Arc<SegmentFiles> {
        &self.files
    }

    /// Makes `manifest` the one that counts, with `new` files beside those it has from before; numbers and files are
    /// filled in.
    pub fn commit(&self, named: &mut Named, mut manifest: Manifest, new: &[SegmentFile]) -> Result<()> {
        let discard = |_: &Error| self.files.discard(new.iter().map(|file| file.name.number));
        let brought = self.files.brought_until(manifest.epoch);
        if !new.is_empty() {
            self.files.sync_names().inspect_err(discard)?;
        }
        let known = named.files.values().chain(new.iter().map(|file| &file.name)).chain(&brought);
        let files: BTreeMap<u64, FileName> = known.map(|name| (name.number, *name)).collect();
        let parts = |rows: &manifest::Rows| -> Vec<u64> {
            rows.blocks.iter().map(|(part, _)| part).chain(&rows.deaths).map(|(file, _)| *file).collect()
        };
        let used: BTreeSet<u64> = manifest.rows.iter().flat_map(parts).collect();
        manifest.files = used
            .iter()
            .map(|number| files.get(number).copied())
            .collect::<Option<_>>()
            .ok_or_else(|| Error::internal("a checkpoint names a segment file that is not known"))?;
        manifest.next_file = self.files.next();
        manifest.number = named.next_manifest;
        named.next_manifest += 1;
        manifest::write(self.vfs.as_ref(), self.database, &manifest).inspect_err(discard)?;
        manifest::publish(self.vfs.as_ref(), manifest.number)?;
        named.files = manifest.files.iter().map(|name| (name.number, *name)).collect();
        let deaths: BTreeMap<Part, Arc<Deaths>> = named
            .deaths
            .values()
            .flatten()
            .chain(new.iter().flat_map(|file| &file.deaths))
            .map(|deaths| ((deaths.file(), deaths.number), deaths.clone()))
            .collect();
        let of = |rows: &manifest::Rows| rows.deaths.iter().filter_map(|part| deaths.get(part).cloned()).collect();
        named.deaths = manifest.rows.iter().map(|rows| (rows.relation, of(rows))).collect();
        self.files.forget_brought(&brought);
        // What is left over takes room and nothing else: the next checkpoint tries again.
        named.first_log = manifest.first_log;
        let _ = self.remove_unused(manifest.number, manifest.first_log, &used);
        Ok(())
    }

    fn remove_unused(&self, manifest: u64, first_log: u64, used: &BTreeSet<u64>) -> Result<()> {
        manifest::remove_older(self.vfs.as_ref(), manifest)?;
        log::remove_before(self.vfs.as_ref(), first_log)?;
        self.files.remove_unused(used)
    }
}

/// Where the log begins to matter.
pub fn start_of(manifest: Option<&Manifest>) -> log::Start {
    let start = manifest.map(|manifest| log::Start { file: manifest.first_log, epoch: manifest.epoch });
    start.unwrap_or(log::Start { file: 1, epoch: 0 })
}

/// Reads everything in a directory that another process may write, as [`Store::check`] does. What is not there may have
/// been removed by a checkpoint while this was reading: then there is a later manifest, and it is read again.
///
/// # Errors
/// The manifest is damaged, or a file that it names.
pub fn check(vfs: &Arc<dyn Vfs>, database: [u8; 16], interrupt: &Interrupt) -> Result<Vec<(String, Result<()>)>> {
    let newest = || -> Result<Option<u64>> { Ok(manifest::numbers(vfs.as_ref())?.last().copied()) };
    loop {
        let before = newest()?;
        let found = Store::open(vfs.clone(), database, 0).map(|(store, _)| store.check(interrupt));
        let is_whole = found.as_ref().is_ok_and(|found| found.iter().all(|(_, result)| result.is_ok()));
        if is_whole || before == newest()? {
            return found;
        }
    }
}

fn open_rows(vfs: &dyn Vfs, database: [u8; 16], manifest: &Manifest, cache: &Arc<Cache>) -> Result<Vec<StoredRows>> {
    let open = |name: &FileName| Ok((name.number, SegmentFile::open(vfs, database, *name, cache)?));
    let files: HashMap<u64, SegmentFile> = manifest.files.iter().map(open).collect::<Result<_>>()?;
    let rows = manifest.rows.iter().map(|rows| {
        let block = |((file, number), shift): &BlockPart| {
            let block = files.get(file)?.blocks.get(*number)?;
            if block.relation != rows.relation {
                return None;
            }
            if *shift == 0 { Some(block.clone()) } else { block.shifted(*shift).ok().map(Arc::new) }
        };
        let deaths = |(file, number): &Part| {
            let deaths = files.get(file)?.deaths.get(*number)?;
            (deaths.relation == rows.relation).then(|| deaths.clone())
        };
        Some(StoredRows {
            relation: rows.relation,
            high: rows.high,
            blocks: rows.blocks.iter().map(block).collect::<Option<_>>()?,
            deaths: rows.deaths.iter().map(deaths).collect::<Option<_>>()?,
        })
    });
    rows.collect::<Option<_>>().ok_or_else(|| {
        Error::new(ErrorKind::Io, "the manifest names rows that its segment files do not have").with_sqlstate("XX001")
    })
}
