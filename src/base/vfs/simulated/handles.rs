//! The simulated disk as a program sees it: a file system, open files, locks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::disk::{Change, Disk, NameChange, broken, full};
use super::{Fault, SimulatedVfs};
use crate::base::error::Result;
use crate::base::vfs::memory::{has_parent, names};
use crate::base::vfs::{Vfs, VfsFile, VfsLock, missing, range, read_from, read_only, taken};

impl SimulatedVfs {
    fn handle(&self, disk: &Disk, path: &Path, file: usize, is_writable: bool) -> Box<dyn VfsFile> {
        Box::new(SimulatedFile {
            disk: self.0.clone(),
            path: path.to_path_buf(),
            file,
            life: disk.life,
            is_writable,
            told: AtomicU64::new(disk.files[file].failures),
        })
    }

    fn open_as(&self, path: &Path, is_writable: bool) -> Result<Box<dyn VfsFile>> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "open", path)?;
        let file = *disk.names.get(path).ok_or_else(|| missing("open", path))?;
        Ok(self.handle(&disk, path, file, is_writable))
    }

    fn lock_as(&self, path: &Path, shared: bool) -> Result<Box<dyn VfsLock>> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "lock", path)?;
        let is_there = disk.names.contains_key(path);
        if shared && !is_there {
            return Err(missing("lock", path));
        }
        disk.locks.take(path, shared)?;
        if !is_there {
            disk.make(path);
        }
        Ok(Box::new(SimulatedLock { disk: self.0.clone(), path: path.to_path_buf(), life }))
    }
}

impl Vfs for SimulatedVfs {
    fn open(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        self.open_as(path, true)
    }

    fn open_to_read(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        self.open_as(path, false)
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
        let file = disk.make(path);
        Ok(self.handle(&disk, path, file, true))
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
        let file = *disk.names.get(from).ok_or_else(|| missing("rename", from))?;
        if !has_parent(&disk.directories, to) {
            return Err(missing("rename", to));
        }
        if disk.names.get(to) != Some(&file) {
            disk.rename(NameChange::Rename(from.to_path_buf(), to.to_path_buf(), file));
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let mut disk = self.0.lock();
        let life = disk.life;
        disk.whole(life, "link", from)?;
        let file = *disk.names.get(from).ok_or_else(|| missing("link", from))?;
        if !has_parent(&disk.directories, to) {
            return Err(missing("link", to));
        }
        if disk.names.contains_key(to) || disk.directories.contains(to) {
            return Err(taken(to));
        }
        disk.rename(NameChange::Link(to.to_path_buf(), file));
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
        disk.sync_names(directory);
        Ok(())
    }

    fn free_space(&self) -> Option<u64> {
        let disk = self.0.lock();
        disk.space.map(|space| space.saturating_sub(disk.used()) as u64)
    }

    fn random(&self) -> u64 {
        self.0.lock().draw(u64::MAX)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn VfsLock>> {
        self.lock_as(path, false)
    }

    fn lock_shared(&self, path: &Path) -> Result<Box<dyn VfsLock>> {
        self.lock_as(path, true)
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
    file: usize,
    life: u64,
    is_writable: bool,
    /// The failures that this handle was told of, or that were before it.
    told: AtomicU64,
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
            disk.locks.release(&self.path);
        }
    }
}

impl SimulatedFile {
    fn check_writable(&self) -> Result<()> {
        if self.is_writable { Ok(()) } else { Err(read_only(&self.path)) }
    }
}

impl VfsFile for SimulatedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut disk = self.disk.lock();
        disk.whole(self.life, "read", &self.path)?;
        disk.forget_pages(self.file);
        Ok(read_from(&disk.files[self.file].current, offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_writable()?;
        let mut disk = self.disk.lock();
        let range = range(&self.path, offset, bytes.len())?;
        let fault = disk.operation(self.life, "write", &self.path)?;
        let room = disk.room(self.file, range.end).saturating_sub(range.start).min(bytes.len());
        let done = match fault {
            Some(Fault::Error) => return Err(broken("write", &self.path)),
            Some(Fault::Full) => room.min(disk.draw(bytes.len() as u64 + 1) as usize),
            Some(Fault::Late | Fault::Crash) | None => room,
        };
        disk.change(self.file, Change::Write(range.start, bytes[..done].to_vec()));
        if fault == Some(Fault::Late) {
            disk.fail_to_write(self.file);
        }
        if done < bytes.len() || fault == Some(Fault::Full) { Err(full("write", &self.path)) } else { Ok(()) }
    }

    fn append(&self, bytes: &[u8]) -> Result<u64> {
        // The length is asked for outside the count: an append is one operation.
        let end = self.disk.lock().files[self.file].current.len() as u64;
        self.write_at(end, bytes)?;
        Ok(end)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.check_writable()?;
        let mut disk = self.disk.lock();
        let range = range(&self.path, len, 0)?;
        disk.whole(self.life, "resize", &self.path)?;
        disk.change(self.file, Change::Length(range.end));
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.check_writable()?;
        let mut disk = self.disk.lock();
        let range = range(&self.path, len, 0)?;
        disk.whole(self.life, "extend", &self.path)?;
        if disk.room(self.file, range.end) < range.end {
            return Err(full("extend", &self.path));
        }
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
        match disk.operation(self.life, "sync", &self.path)? {
            Some(Fault::Error | Fault::Full) => disk.fail_to_write(self.file),
            Some(Fault::Late | Fault::Crash) | None => disk.sync(self.file),
        }
        // What Linux does: each handle is told once, and nobody tries again.
        let failures = disk.files[self.file].failures;
        match self.told.swap(failures, Ordering::Relaxed) < failures {
            true => Err(broken("sync", &self.path)),
            false => Ok(()),
        }
    }
}
