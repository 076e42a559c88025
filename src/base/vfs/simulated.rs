//! A disk that fails on command: power loss, torn and dropped writes, read and write errors, no space.
//!
//! Everything is decided by the seed and the plan, so a failure found once is found again. Operations are counted; a
//! plan says at which of them what happens ([`SimulatedVfs::fail_at`]). After a crash every call fails until
//! [`SimulatedVfs::restart`], which brings back the disk as power loss leaves it: what was synced, and of the rest some
//! writes whole, some in part (any of their sectors), some not at all, in no order; of unsynced names, the first few.
//! Handles and locks from before a crash stay dead.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::memory::{has_parent, names};
use super::{Vfs, VfsFile, VfsLock, locked, missing, range, read_from, taken, write_into};
use crate::base::access::io_error;
use crate::base::error::Result;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What goes wrong at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The device fails: nothing is done. A failed sync loses some of the unsynced writes for good.
    Error,
    /// No space is left: of a write, a part is done.
    Full,
    /// Power is lost before the operation.
    Crash,
}

/// A simulated disk; clones share it.
#[derive(Debug, Clone)]
pub struct SimulatedVfs(Arc<Mutex<Disk>>);

#[derive(Debug)]
struct Disk {
    files: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that are not durable yet, in order.
    renames: Vec<NameChange>,
    directories: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    plan: BTreeMap<u64, Fault>,
    /// A fault that strikes one in so many operations.
    rate: Option<(u64, Fault)>,
    operations: u64,
    /// Counts restarts; handles of an earlier life are dead.
    life: u64,
    is_down: bool,
    random: u64,
}

#[derive(Debug, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug)]
enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl SimulatedVfs {
    /// An empty disk whose luck is decided by `seed`.
    pub fn new(seed: u64) -> Self {
        SimulatedVfs(Arc::new(Mutex::new(Disk {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renames: Vec::new(),
            directories: BTreeSet::new(),
            locks: BTreeSet::new(),
            plan: BTreeMap::new(),
            rate: None,
            operations: 0,
            life: 0,
            is_down: false,
            random: seed,
        })))
    }

    /// Plans a fault for the operation of that number, counted from 0 as [`SimulatedVfs::operations`] does.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.0.lock().plan.insert(operation, fault);
    }

    /// Lets `fault` strike about one in `one_in` operations from now on; 0 ends it.
    pub fn fail_randomly(&self, one_in: u64, fault: Fault) {
        self.0.lock().rate = (one_in > 0).then_some((one_in, fault));
    }

    /// The number of operations so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Whether power is lost.
    pub fn is_down(&self) -> bool {
        self.0.lock().is_down
    }

    /// Loses power now and comes back with what survived; planned faults are forgotten.
    pub fn restart(&self) {
        let mut disk = self.0.lock();
        disk.plan.clear();
        disk.rate = None;
        disk.lose_power();
    }
}

impl Disk {
    /// Counts an operation; the fault planned for it.
    fn operation(&mut self, life: u64, verb: &str, path: &Path) -> Result<Option<Fault>> {
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
    fn whole(&mut self, life: u64, verb: &str, path: &Path) -> Result<()> {
        match self.operation(life, verb, path)? {
            Some(Fault::Full) => Err(full(verb, path)),
            Some(_) => Err(broken(verb, path)),
            None => Ok(()),
        }
    }

    /// A number below `below`, which is not 0 (SplitMix64, Steele et al. 2014).
    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }

    fn lose_power(&mut self) {
        for file in 0..self.files.len() {
            self.lose_or_keep(file);
            let inode = &mut self.files[file];
            inode.current = inode.durable.clone();
        }
        // A journal keeps the order of names: the first so many survive.
        let kept = self.draw(self.renames.len() as u64 + 1) as usize;
        for change in std::mem::take(&mut self.renames).into_iter().take(kept) {
            change.apply(&mut self.durable_names);
        }
        self.names = self.durable_names.clone();
        self.locks.clear();
        self.life += 1;
        self.is_down = false;
    }

    /// Decides the fate of a file's unsynced changes.
    fn lose_or_keep(&mut self, file: usize) {
        for change in std::mem::take(&mut self.files[file].pending) {
            match (self.draw(4), change) {
                (0, _) => {}
                (1, Change::Write(offset, mut bytes)) => {
                    bytes.truncate(self.draw(bytes.len() as u64 + 1) as usize);
                    Change::Write(offset, bytes).apply(&mut self.files[file].durable);
                }
                (2, Change::Write(offset, bytes)) => self.keep_sectors(file, offset, &bytes),
                (_, change) => change.apply(&mut self.files[file].durable),
            }
        }
    }

    /// Of a write, some sectors reach the disk and others do not.
    fn keep_sectors(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let length = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
            if self.draw(2) == 0 {
                let sector = bytes[at..at + length].to_vec();
                Change::Write(offset + at, sector).apply(&mut self.files[file].durable);
            }
            at += length;
        }
    }

    fn change(&mut self, file: usize, change: Change) {
        change.apply(&mut self.files[file].current);
        self.files[file].pending.push(change);
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renames.push(change);
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
            NameChange::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }

    fn is_in(&self, directory: &Path) -> bool {
        let inside = |path: &PathBuf| path.parent() == Some(directory);
        match self {
            NameChange::Link(path, _) | NameChange::Unlink(path) => inside(path),
            NameChange::Rename(from, to) => inside(from) || inside(to),
        }
    }
}

impl Vfs for SimulatedVfs {
    fn open(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "open", path)?;
        let file = *disk.names.get(path).ok_or_else(|| missing("open", path))?;
        Ok(Box::new(SimulatedFile { disk: self.0.clone(), path: path.to_path_buf(), file, life }))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "create", path)?;
        if !has_parent(&disk.directories, path) {
            return Err(missing("create", path));
        }
        if disk.names.contains_key(path) || disk.directories.contains(path) {
            return Err(taken(path));
        }
        let file = disk.files.len();
        disk.files.push(Inode::default());
        disk.rename(NameChange::Link(path.to_path_buf(), file));
        Ok(Box::new(SimulatedFile { disk: self.0.clone(), path: path.to_path_buf(), file, life }))
    }

    /// Directories are durable at once: losing one would only hide what losing its files shows.
    fn create_directory(&self, path: &Path) -> Result<()> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "create", path)?;
        disk.directories.extend(path.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "rename", from)?;
        if !disk.names.contains_key(from) || !has_parent(&disk.directories, to) {
            return Err(missing("rename", from));
        }
        disk.rename(NameChange::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "remove", path)?;
        if !disk.names.contains_key(path) {
            return Err(missing("remove", path));
        }
        disk.rename(NameChange::Unlink(path.to_path_buf()));
        Ok(())
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "list", directory)?;
        names(directory, &disk.directories, disk.names.keys())
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "look at", path)?;
        Ok(path.as_os_str().is_empty() || disk.names.contains_key(path) || disk.directories.contains(path))
    }

    fn sync_directory(&self, directory: &Path) -> Result<()> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "sync", directory)?;
        // A journal that commits the last change of this directory commits all before it.
        let count = disk.renames.iter().rposition(|change| change.is_in(directory)).map_or(0, |last| last + 1);
        let synced: Vec<NameChange> = disk.renames.drain(..count).collect();
        synced.iter().for_each(|change| change.apply(&mut disk.durable_names));
        Ok(())
    }

    fn random(&self) -> u64 {
        self.0.lock().draw(u64::MAX)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn VfsLock>> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "lock", path)?;
        if !disk.locks.insert(path.to_path_buf()) {
            return Err(locked(path, None));
        }
        if !disk.names.contains_key(path) {
            let file = disk.files.len();
            disk.files.push(Inode::default());
            disk.rename(NameChange::Link(path.to_path_buf(), file));
        }
        Ok(Box::new(SimulatedLock { disk: self.0.clone(), path: path.to_path_buf(), life }))
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
    file: usize,
    life: u64,
}

#[derive(Debug)]
struct SimulatedLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
    life: u64,
}

impl VfsLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut disk = self.disk.lock();
        if disk.life == self.life {
            disk.locks.remove(&self.path);
        }
    }
}

impl VfsFile for SimulatedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut disk = self.disk.lock();
        disk.whole(self.life, "read", &self.path)?;
        Ok(read_from(&disk.files[self.file].current, offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut disk = self.disk.lock();
        let range = range(&self.path, offset, bytes.len())?;
        match disk.operation(self.life, "write", &self.path)? {
            None => disk.change(self.file, Change::Write(range.start, bytes.to_vec())),
            Some(Fault::Full) => {
                let part = disk.draw(bytes.len() as u64 + 1) as usize;
                disk.change(self.file, Change::Write(range.start, bytes[..part].to_vec()));
                return Err(full("write", &self.path));
            }
            Some(_) => return Err(broken("write", &self.path)),
        }
        Ok(())
    }

    fn append(&self, bytes: &[u8]) -> Result<u64> {
        // The length is asked for outside the count: an append is one operation.
        let end = self.disk.lock().files[self.file].current.len() as u64;
        self.write_at(end, bytes)?;
        Ok(end)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut disk = self.disk.lock();
        let range = range(&self.path, len, 0)?;
        disk.whole(self.life, "resize", &self.path)?;
        disk.change(self.file, Change::Length(range.end));
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let mut disk = self.disk.lock();
        let range = range(&self.path, len, 0)?;
        disk.whole(self.life, "extend", &self.path)?;
        if disk.files[self.file].current.len() < range.end {
            disk.change(self.file, Change::Length(range.end));
        }
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        let mut disk = self.disk.lock();
        disk.whole(self.life, "look at", &self.path)?;
        Ok(disk.files[self.file].current.len() as u64)
    }

    fn sync(&self) -> Result<()> {
        let mut disk = self.disk.lock();
        if disk.operation(self.life, "sync", &self.path)?.is_some() {
            // What Linux does: the pages are dropped from the list of dirty ones, and the next sync will not try again.
            disk.lose_or_keep(self.file);
            return Err(broken("sync", &self.path));
        }
        let inode = &mut disk.files[self.file];
        for change in std::mem::take(&mut inode.pending) {
            change.apply(&mut inode.durable);
        }
        Ok(())
    }
}

fn broken(verb: &str, path: &Path) -> crate::base::error::Error {
    io_error(verb, path, io::Error::other("simulated input/output error"))
}

fn full(verb: &str, path: &Path) -> crate::base::error::Error {
    io_error(verb, path, io::ErrorKind::StorageFull.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(vfs: &SimulatedVfs, path: &str) -> Option<Vec<u8>> {
        let file = vfs.open(Path::new(path)).ok()?;
        let mut bytes = vec![0; 1000];
        let length = file.read_at(0, &mut bytes).unwrap();
        bytes.truncate(length);
        Some(bytes)
    }

    #[test]
    fn synced_bytes_survive_and_others_in_every_way() {
        let mut fates = BTreeSet::new();
        for seed in 0..200 {
            let vfs = SimulatedVfs::new(seed);
            let file = vfs.create(Path::new("a")).unwrap();
            file.append(b"safe").unwrap();
            file.sync().unwrap();
            vfs.sync_directory(Path::new("")).unwrap();
            file.append(b"12").unwrap();
            file.append(b"34").unwrap();
            vfs.create(Path::new("b")).unwrap();
            vfs.rename(Path::new("b"), Path::new("c")).unwrap();
            vfs.restart();
            assert!(file.append(b"x").is_err(), "handles of an earlier life are dead");
            let bytes = content(&vfs, "a").unwrap();
            assert!(bytes.starts_with(b"safe"));
            let names = vfs.list(Path::new("")).unwrap().join("");
            fates.insert((String::from_utf8_lossy(&bytes[4..]).replace('\0', "_"), names));
        }
        let tails: BTreeSet<&str> = fates.iter().map(|(tail, _)| tail.as_str()).collect();
        assert_eq!(
            tails,
            ["", "1", "12", "123", "1234", "1_", "1_3", "1_34", "__", "__3", "__34"].into_iter().collect()
        );
        let names: BTreeSet<&str> = fates.iter().map(|(_, names)| names.as_str()).collect();
        assert_eq!(names, ["a", "ab", "ac"].into_iter().collect());
    }

    #[test]
    fn faults_strike_as_planned() {
        let vfs = SimulatedVfs::new(7);
        let file = vfs.create(Path::new("a")).unwrap();
        vfs.fail_at(vfs.operations(), Fault::Full);
        assert_eq!(file.append(b"0123456789").unwrap_err().sqlstate(), "53100");
        assert!(file.len().unwrap() <= 10);
        vfs.fail_at(vfs.operations(), Fault::Error);
        assert!(file.sync().is_err());
        vfs.fail_at(vfs.operations() + 1, Fault::Crash);
        file.sync().unwrap();
        assert!(file.sync().is_err() && vfs.is_down() && vfs.list(Path::new("")).is_err());
        vfs.restart();
        assert!(!vfs.is_down());
        vfs.list(Path::new("")).unwrap();
        vfs.fail_randomly(4, Fault::Error);
        let failed = (0..1000).filter(|_| vfs.list(Path::new("")).is_err()).count();
        assert!((150..350).contains(&failed), "{failed}");
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next() {
        let lost = (0..100).filter(|&seed| {
            let vfs = SimulatedVfs::new(seed);
            let file = vfs.create(Path::new("a")).unwrap();
            vfs.sync_directory(Path::new("")).unwrap();
            file.append(b"x").unwrap();
            vfs.fail_at(vfs.operations(), Fault::Error);
            assert!(file.sync().is_err());
            file.sync().unwrap();
            assert_eq!(file.len().unwrap(), 1);
            vfs.restart();
            content(&vfs, "a").unwrap() != b"x"
        });
        assert!(lost.count() > 20);
    }
}
