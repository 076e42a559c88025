//! What a simulated disk holds, and what becomes of that which was not synced.
//!
//! The system holds the contents and names that programs see; the disk holds those that survive power loss. What is
//! between the two is a list of changes. When power is lost each of them has a fate of its own, so that they seem to
//! have reached the disk in any order:
//!
//! - A write is there whole, in part (the first bytes, or any of its sectors, one of them perhaps as garbage), or not
//!   at all. A change of length is there or not.
//! - Of the changes of names the first few are there, as on a file system with a journal, or any of them, as on others:
//!   a file whose own name is lost may have the name it got later, and a renamed file may have both.
//!
//! When a sync fails, the same becomes of the writes it should have made safe, but nobody sees it: the system shows
//! what was written until it needs the memory, at some later read, and then what the disk has. The next sync has
//! nothing left to do and succeeds.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::base::access::io_error;
use crate::base::error::{Error, Result};
use crate::base::vfs::memory::Locks;
use crate::base::vfs::write_into;

use super::Fault;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug)]
pub struct Disk {
    pub files: Vec<Inode>,
    pub names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that are not durable yet, in order.
    renames: Vec<NameChange>,
    pub directories: BTreeSet<PathBuf>,
    pub locks: Locks,
    pub plan: BTreeMap<u64, Fault>,
    /// A fault that strikes one in so many operations.
    pub rate: Option<(u64, Fault)>,
    /// How many bytes there is room for.
    pub space: Option<usize>,
    pub operations: u64,
    /// Counts processes; handles of an earlier one are dead.
    pub life: u64,
    pub is_down: bool,
    random: u64,
}

#[derive(Debug, Default)]
pub struct Inode {
    /// What programs see.
    pub current: Vec<u8>,
    durable: Vec<u8>,
    /// What was written since the last sync, in order.
    pending: Vec<Change>,
    /// How often writes were lost: each handle is told once of each.
    pub failures: u64,
    /// Whether the system shows writes that are lost, for as long as it has memory for them.
    is_stale: bool,
}

/// A change of a file's contents.
#[derive(Debug)]
pub enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// A change of names.
#[derive(Debug)]
pub enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

impl Disk {
    pub fn new(seed: u64) -> Self {
        Disk {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renames: Vec::new(),
            directories: BTreeSet::new(),
            locks: Locks::default(),
            plan: BTreeMap::new(),
            rate: None,
            space: None,
            operations: 0,
            life: 0,
            is_down: false,
            random: seed,
        }
    }

    /// Counts an operation; the fault planned for it.
    pub fn operation(&mut self, life: u64, verb: &str, path: &Path) -> Result<Option<Fault>> {
        if self.is_down || life != self.life {
            return Err(io_error(verb, path, io::Error::other("simulated power loss")));
        }
        let number = self.operations;
        self.operations += 1;
        let unlucky = self.rate.and_then(|(one_in, fault)| (self.draw(one_in) == 0).then_some(fault));
        let fault = self.plan.remove(&number).or(unlucky);
        if fault == Some(Fault::Crash) {
            self.is_down = true;
            return Err(io_error(verb, path, io::Error::other("simulated power loss")));
        }
        Ok(fault)
    }

    /// As [`Disk::operation`], for those that fail as a whole.
    pub fn whole(&mut self, life: u64, verb: &str, path: &Path) -> Result<()> {
        match self.operation(life, verb, path)? {
            Some(Fault::Full) => Err(full(verb, path)),
            Some(Fault::Error) => Err(broken(verb, path)),
            Some(Fault::Late | Fault::Crash) | None => Ok(()),
        }
    }

    /// A number below `below`, which is not 0 (SplitMix64, Steele et al. 2014).
    pub fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }

    /// The bytes of all files that have a name.
    pub fn used(&self) -> usize {
        let named: BTreeSet<usize> = self.names.values().copied().collect();
        named.into_iter().map(|file| self.files[file].current.len()).sum()
    }

    /// How long a file may become that should have `len` bytes.
    pub fn room(&self, file: usize, len: usize) -> usize {
        let now = self.files[file].current.len();
        match self.space {
            Some(space) if len > now => len.min(now + space.saturating_sub(self.used())),
            _ => len,
        }
    }

    pub fn flip(&mut self, path: &Path, bit: usize) -> Option<()> {
        let inode = &mut self.files[*self.names.get(path)?];
        *inode.current.get_mut(bit / 8)? ^= 1 << (bit % 8);
        if let Some(byte) = inode.durable.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        Some(())
    }

    /// Nobody who held anything is there any more.
    pub fn begin_life(&mut self) {
        self.plan.clear();
        self.rate = None;
        self.locks = Locks::default();
        self.life += 1;
        self.is_down = false;
    }

    pub fn lose_power(&mut self) {
        for file in 0..self.files.len() {
            self.lose_or_keep(file);
            let inode = &mut self.files[file];
            inode.current = inode.durable.clone();
            inode.is_stale = false;
        }
        let changes = std::mem::take(&mut self.renames);
        let in_order = self.draw(2) == 0;
        let first = self.draw(changes.len() as u64 + 1) as usize;
        for (place, change) in changes.into_iter().enumerate() {
            match in_order {
                true if place < first => change.apply(&mut self.durable_names),
                false => match (self.draw(4), change) {
                    (0 | 1, _) => {}
                    // The new name reached the disk, the end of the old one did not.
                    (2, NameChange::Rename(_, to, file)) => drop(self.durable_names.insert(to, file)),
                    (_, change) => change.apply(&mut self.durable_names),
                },
                true => {}
            }
        }
        self.names = self.durable_names.clone();
    }

    /// Decides the fate of a file's unsynced changes.
    fn lose_or_keep(&mut self, file: usize) {
        for change in std::mem::take(&mut self.files[file].pending) {
            match (self.draw(8), change) {
                (0 | 1, _) => {}
                (2, Change::Write(offset, mut bytes)) => {
                    bytes.truncate(self.draw(bytes.len() as u64 + 1) as usize);
                    Change::Write(offset, bytes).apply(&mut self.files[file].durable);
                }
                (3 | 4, Change::Write(offset, bytes)) => self.keep_sectors(file, offset, &bytes),
                (_, change) => change.apply(&mut self.files[file].durable),
            }
        }
    }

    /// Of a write, some sectors reach the disk, others do not, and few become something else.
    fn keep_sectors(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let length = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
            let mut sector = bytes[at..at + length].to_vec();
            let fate = self.draw(16);
            if fate == 0 {
                sector.iter_mut().for_each(|byte| *byte = self.draw(256) as u8);
            }
            if fate < 8 {
                Change::Write(offset + at, sector).apply(&mut self.files[file].durable);
            }
            at += length;
        }
    }

    /// Makes a file's contents durable.
    pub fn sync(&mut self, file: usize) {
        let inode = &mut self.files[file];
        for change in std::mem::take(&mut inode.pending) {
            change.apply(&mut inode.durable);
        }
    }

    /// The device fails to write a file's unsynced changes: the system takes them for done with.
    pub fn fail_to_write(&mut self, file: usize) {
        self.lose_or_keep(file);
        self.files[file].failures += 1;
        self.files[file].is_stale = true;
    }

    /// The system needs memory, now and then, and shows what the disk has.
    pub fn forget_pages(&mut self, file: usize) {
        if self.files[file].is_stale && self.draw(4) == 0 {
            let inode = &mut self.files[file];
            let mut seen = inode.durable.clone();
            inode.pending.iter().for_each(|change| change.apply(&mut seen));
            // The length is not a page.
            seen.resize(inode.current.len(), 0);
            inode.current = seen;
            inode.is_stale = false;
        }
    }

    pub fn change(&mut self, file: usize, change: Change) {
        change.apply(&mut self.files[file].current);
        self.files[file].pending.push(change);
    }

    pub fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renames.push(change);
    }

    /// A new file of that name.
    pub fn make(&mut self, path: &Path) -> usize {
        let file = self.files.len();
        self.files.push(Inode::default());
        self.rename(NameChange::Link(path.to_path_buf(), file));
        file
    }

    /// Makes the names in a directory durable, and no others.
    pub fn sync_names(&mut self, directory: &Path) {
        for change in std::mem::take(&mut self.renames) {
            match change.is_in(directory) {
                true => change.apply(&mut self.durable_names),
                false => self.renames.push(change),
            }
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write(offset, bytes) => write_into(content, *offset..*offset + bytes.len(), bytes),
            Change::Length(length) => content.resize(*length, 0),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameChange::Link(path, file) => drop(names.insert(path.clone(), *file)),
            NameChange::Unlink(path) => drop(names.remove(path)),
            NameChange::Rename(from, to, file) => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
        }
    }

    fn is_in(&self, directory: &Path) -> bool {
        let inside = |path: &PathBuf| path.parent() == Some(directory);
        match self {
            NameChange::Link(path, _) | NameChange::Unlink(path) => inside(path),
            NameChange::Rename(from, to, _) => inside(from) || inside(to),
        }
    }
}

pub fn broken(verb: &str, path: &Path) -> Error {
    io_error(verb, path, io::Error::other("simulated input/output error"))
}

pub fn full(verb: &str, path: &Path) -> Error {
    io_error(verb, path, io::ErrorKind::StorageFull.into())
}
