//! The file system of the machine.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use parking_lot::Mutex;

use super::{Vfs, VfsFile, VfsLock, locked};
use crate::base::access::io_error;
use crate::base::error::{Error, Result};

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

    fn open_to_read(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        self.file(path, "open", OpenOptions::new().read(true))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        self.file(path, "create", OpenOptions::new().read(true).write(true).create_new(true))
    }

    fn create_directory(&self, path: &Path) -> Result<()> {
        let path = self.root.join(path);
        let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
        if missing.is_empty() {
            // Who made it may have been killed before its name was safe. One that others made is their business.
            let _ = path.parent().map(sync_names);
        }
        for directory in missing.into_iter().rev() {
            let made = match private().create(directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made.and_then(|()| directory.parent().map_or(Ok(()), sync_names)),
            };
            made.map_err(|error| io_error("create", directory, error))?;
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (self.root.join(from), self.root.join(to));
        fs::rename(&from, &to).map_err(|error| io_error("rename", &from, error))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (self.root.join(from), self.root.join(to));
        fs::hard_link(&from, &to).map_err(|error| io_error("link", &from, error))
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
        let path = self.root.join(directory);
        sync_names(&path).map_err(|error| io_error("sync", &path, error))
    }

    #[cfg(target_os = "linux")]
    fn free_space(&self) -> Option<u64> {
        let status = rustix::fs::statvfs(&self.root).ok()?;
        Some(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn random(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn VfsLock>> {
        let path = self.root.join(path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        // What is in it is overwritten: it must not be a link to something else in a directory of strangers.
        #[cfg(target_os = "linux")]
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            rustix::fs::OFlags::NOFOLLOW.bits().cast_signed(),
        );
        let file = options.open(&path).map_err(|error| io_error("lock", &path, error))?;
        match file.try_lock() {
            Ok(()) => {
                // Who is refused reads it. It need not be safe, and that it cannot be written is no reason to stop.
                let _ = file.set_len(0).and_then(|()| write_some(&file, 0, process::id().to_string().as_bytes()));
                Ok(Box::new(RealLock { _file: file }))
            }
            Err(error) => Err(refused(&path, &file, error)),
        }
    }

    fn lock_shared(&self, path: &Path) -> Result<Box<dyn VfsLock>> {
        let path = self.root.join(path);
        let file = File::open(&path).map_err(|error| io_error("lock", &path, error))?;
        file.try_lock_shared().map_err(|error| refused(&path, &file, error))?;
        Ok(Box::new(RealLock { _file: file }))
    }
}

/// Makes directories that only their user can look into.
fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Makes the names in a directory durable. Windows opens no directories and keeps names durable by itself.
fn sync_names(directory: &Path) -> io::Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

fn refused(path: &Path, file: &File, error: TryLockError) -> Error {
    match error {
        TryLockError::WouldBlock => locked(path, holder(file)),
        TryLockError::Error(error) => io_error("lock", path, error),
    }
}

/// The process whose number is in a lock file.
fn holder(file: &File) -> Option<u32> {
    let mut digits = [0; 16];
    let length = read_some(file, 0, &mut digits).ok()?;
    std::str::from_utf8(&digits[..length]).ok()?.parse().ok()
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

    fn allocate(&self, len: u64) -> Result<()> {
        match allocate(&self.file, len) {
            Ok(()) => Ok(()),
            // A file system that cannot promise blocks.
            Err(error) if error.kind() == io::ErrorKind::Unsupported && self.len()? < len => self.set_len(len),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            Err(error) => Err(io_error("extend", &self.path, error)),
        }
    }

    fn len(&self) -> Result<u64> {
        let metadata = self.file.metadata().map_err(|error| io_error("look at", &self.path, error))?;
        Ok(metadata.len())
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| io_error("sync", &self.path, error))
    }
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, len: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len)?)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
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
