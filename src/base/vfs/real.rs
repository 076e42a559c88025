//! The file system of the machine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::{Vfs, VfsFile, VfsLock, locked};
use crate::base::access::io_error;
use crate::base::error::Result;

/// The files below one directory of the machine.
#[derive(Debug)]
pub struct RealVfs {
    root: PathBuf,
}

impl RealVfs {
    /// The files below `root`, which is created when it is first needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        RealVfs { root: root.into() }
    }

    fn file(&self, path: &Path, verb: &str, options: &OpenOptions) -> Result<Box<dyn VfsFile>> {
        let path = self.root.join(path);
        let file = options.open(&path).map_err(|error| io_error(verb, &path, error))?;
        Ok(Box::new(RealFile { file, path, appending: Mutex::new(()) }))
    }
}

impl Vfs for RealVfs {
    fn open(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        self.file(path, "open", OpenOptions::new().read(true).write(true))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        self.file(path, "create", OpenOptions::new().read(true).write(true).create_new(true))
    }

    fn create_directory(&self, path: &Path) -> Result<()> {
        let path = self.root.join(path);
        fs::create_dir_all(&path).map_err(|error| io_error("create", &path, error))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (self.root.join(from), self.root.join(to));
        fs::rename(&from, &to).map_err(|error| io_error("rename", &from, error))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let path = self.root.join(path);
        fs::remove_file(&path).map_err(|error| io_error("remove", &path, error))
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>> {
        let path = self.root.join(directory);
        let entries = fs::read_dir(&path).map_err(|error| io_error("list", &path, error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| io_error("list", &path, error))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        let path = self.root.join(path);
        path.try_exists().map_err(|error| io_error("look at", &path, error))
    }

    fn sync_directory(&self, directory: &Path) -> Result<()> {
        // Windows opens no directories and keeps names durable by itself.
        if cfg!(unix) {
            let path = self.root.join(directory);
            let synced = File::open(&path).and_then(|directory| directory.sync_all());
            synced.map_err(|error| io_error("sync", &path, error))?;
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn VfsLock>> {
        let path = self.root.join(path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| io_error("lock", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(locked(&path)),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &path, error)),
        }
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
    /// Two appends must not choose the same end.
    appending: Mutex<()>,
}

/// The lock ends with the handle.
#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl VfsLock for RealLock {}

impl VfsFile for RealFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match read_some(&self.file, offset.saturating_add(done as u64), &mut buffer[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error("read", &self.path, error)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match write_some(&self.file, offset.saturating_add(done as u64), &bytes[done..]) {
                Ok(0) => return Err(io_error("write", &self.path, io::ErrorKind::WriteZero.into())),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error("write", &self.path, error)),
            }
        }
        Ok(())
    }

    fn append(&self, bytes: &[u8]) -> Result<u64> {
        let _appending = self.appending.lock();
        let end = self.len()?;
        self.write_at(end, bytes)?;
        Ok(end)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|error| io_error("resize", &self.path, error))
    }

    fn len(&self) -> Result<u64> {
        let metadata = self.file.metadata().map_err(|error| io_error("look at", &self.path, error))?;
        Ok(metadata.len())
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| io_error("sync", &self.path, error))
    }
}

#[cfg(unix)]
fn read_some(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(unix)]
fn write_some(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_some(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(windows)]
fn write_some(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}
