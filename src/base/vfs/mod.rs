//! The seam between the database directory and the operating system.
//!
//! All bytes of a database pass through a [`Vfs`]: the [`RealVfs`], the [`MemoryVfs`] of tests and of databases that
//! keep nothing, or the [`SimulatedVfs`], which loses power, tears writes and fills up on command. Paths are relative
//! to the directory of the database. Files of the user are another matter: see `base::access`.
//!
//! # Contract
//!
//! - What was written is visible to every reader at once, and durable only after [`VfsFile::sync`]. Checked by the
//!   simulation, which forgets the rest.
//! - A created, renamed or removed name is durable only after [`Vfs::sync_directory`]. Checked by the simulation.
//! - A rename replaces its target as a whole or not at all.
//! - After a failed sync nothing is known of the unsynced bytes, and a later sync that succeeds proves nothing about
//!   them: whoever sees one must stop writing that file. Not checkable here, because it is a duty of the caller.

mod memory;
mod real;
mod simulated;

use std::fmt::Debug;
use std::path::Path;

use super::error::{Error, ErrorKind, Result};

pub use memory::MemoryVfs;
pub use real::RealVfs;
pub use simulated::{Fault, SimulatedVfs};

/// A directory tree of files.
pub trait Vfs: Debug + Send + Sync {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> Result<Box<dyn VfsFile>>;
    /// Opens an existing file for reading only, which needs no permission to write.
    fn open_to_read(&self, path: &Path) -> Result<Box<dyn VfsFile>>;
    /// Creates a file; an error if the name is taken.
    fn create(&self, path: &Path) -> Result<Box<dyn VfsFile>>;
    /// Creates a directory and those above it; fine if it exists.
    fn create_directory(&self, path: &Path) -> Result<()>;
    /// Gives a file a new name, replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Gives a file a second name, in the same directory tree; an error if that name is taken. The file is gone when its
    /// last name is removed and its last handle dropped.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<()>;
    /// The names in a directory, sorted; directories among them.
    fn list(&self, directory: &Path) -> Result<Vec<String>>;
    /// Whether a file or directory of that name exists.
    fn exists(&self, path: &Path) -> Result<bool>;
    /// The length of a file in bytes.
    fn len(&self, path: &Path) -> Result<u64> {
        self.open(path)?.len()
    }
    /// Makes the names in a directory durable.
    fn sync_directory(&self, directory: &Path) -> Result<()>;
    /// How many bytes could still be written, about; `None` where nobody knows.
    fn free_space(&self) -> Option<u64> {
        None
    }
    /// A number that is new each time: identities and salts of files are made of such.
    fn random(&self) -> u64;
    /// Takes an advisory lock on a file, creating it; an error at once if another holds it, alone or together with
    /// others. Dropping releases it.
    fn lock(&self, path: &Path) -> Result<Box<dyn VfsLock>>;
    /// Takes an advisory lock on an existing file together with others who do so; an error at once if somebody has it
    /// alone. Needs no permission to write. Dropping releases it.
    fn lock_shared(&self, path: &Path) -> Result<Box<dyn VfsLock>>;
}

/// An open file. Handles may be shared between threads; each call is atomic.
pub trait VfsFile: Debug + Send + Sync {
    /// Fills `buffer` from `offset`; the bytes read, fewer than asked for only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize>;
    /// Writes all of `bytes` at `offset`; a gap before it reads as zeros.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Writes all of `bytes` at the end; where they begin.
    fn append(&self, bytes: &[u8]) -> Result<u64>;
    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> Result<()>;
    /// Makes the file at least `len` long, its blocks its own: writing there does not fail for want of space.
    fn allocate(&self, len: u64) -> Result<()>;
    /// The length in bytes.
    fn len(&self) -> Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Makes the contents and length durable.
    fn sync(&self) -> Result<()>;
}

/// The first `length` bytes of a file; fewer where it is shorter. A length that is damaged asks for no memory, and one
/// for which there is none is an error.
pub fn read_whole(file: &dyn VfsFile, path: &Path, length: u64) -> Result<Vec<u8>> {
    let length = length.min(file.len()?);
    let mut bytes = Vec::new();
    let room = usize::try_from(length).ok().filter(|&length| bytes.try_reserve_exact(length).is_ok());
    let room = room.ok_or_else(|| {
        let message = format!("there is no memory for the {length} bytes of '{}'", path.display());
        Error::new(ErrorKind::Resource, message).with_sqlstate("53200")
    })?;
    bytes.resize(room, 0);
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Whether an error says that the disk is full.
pub fn is_full(error: &Error) -> bool {
    error.sqlstate() == super::access::DISK_FULL
}

/// A lock held on a file until it is dropped.
pub trait VfsLock: Debug + Send + Sync {}

/// The error of a lock that another holds; `holder` is its process, where it is known.
fn locked(path: &Path, holder: Option<u32>) -> Error {
    let by = holder.map(|holder| format!(" by process {holder}")).unwrap_or_default();
    Error::new(ErrorKind::Io, format!("'{}' is locked{by}: the database is open already", path.display()))
        .with_sqlstate("55006")
        .with_hint("one process at a time writes; others may read beside it: eddy --readonly DIR, read_only(true)")
}

fn missing(verb: &str, path: &Path) -> Error {
    super::access::io_error(verb, path, std::io::ErrorKind::NotFound.into())
}

fn taken(path: &Path) -> Error {
    super::access::io_error("create", path, std::io::ErrorKind::AlreadyExists.into())
}

/// The error of a write to a file that was opened for reading only.
fn read_only(path: &Path) -> Error {
    super::access::io_error("write", path, std::io::ErrorKind::PermissionDenied.into())
}

/// Where a range of bytes lies in memory; an error where no file could be that long.
fn range(path: &Path, offset: u64, length: usize) -> Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).ok();
    let end = start.and_then(|start| start.checked_add(length)).filter(|&end| end <= isize::MAX as usize);
    match (start, end) {
        (Some(start), Some(end)) => Ok(start..end),
        _ => Err(Error::new(ErrorKind::Io, format!("'{}' cannot be that long", path.display()))),
    }
}

/// Writes into bytes as a file does: beyond the end, zeros fill the gap.
fn write_into(content: &mut Vec<u8>, range: std::ops::Range<usize>, bytes: &[u8]) {
    if content.len() < range.end {
        content.resize(range.end, 0);
    }
    content[range].copy_from_slice(bytes);
}

/// Reads from bytes as from a file: less at the end, nothing beyond it.
fn read_from(content: &[u8], offset: u64, buffer: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|start| content.get(start..)).unwrap_or_default();
    let length = rest.len().min(buffer.len());
    buffer[..length].copy_from_slice(&rest[..length]);
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every file system promises.
    fn check(vfs: &dyn Vfs) {
        let (a, b) = (Path::new("wal/a"), Path::new("wal/b"));
        assert!(!vfs.exists(Path::new("wal")).unwrap());
        vfs.create_directory(Path::new("wal")).unwrap();
        vfs.create_directory(Path::new("wal")).unwrap();
        assert_eq!(vfs.open(a).unwrap_err().sqlstate(), crate::base::access::NOT_FOUND);
        let file = vfs.create(a).unwrap();
        assert!(vfs.create(a).is_err());
        assert!(file.is_empty().unwrap());
        assert_eq!((file.append(b"hello").unwrap(), file.append(b"!").unwrap()), (0, 5));
        file.write_at(8, b"gap").unwrap();
        let mut buffer = [9; 16];
        assert_eq!(file.read_at(0, &mut buffer).unwrap(), 11);
        assert_eq!(&buffer[..11], b"hello!\0\0gap");
        assert_eq!(file.read_at(11, &mut buffer).unwrap(), 0);
        assert_eq!(file.read_at(1 << 40, &mut buffer).unwrap(), 0);
        file.set_len(2).unwrap();
        file.set_len(3).unwrap();
        file.allocate(2).unwrap();
        file.sync().unwrap();
        let other = vfs.create(b).unwrap();
        other.append(b"other").unwrap();
        assert_eq!(vfs.list(Path::new("wal")).unwrap(), ["a", "b"]);
        assert_eq!(vfs.list(Path::new("")).unwrap(), ["wal"]);
        vfs.rename(a, b).unwrap();
        vfs.sync_directory(Path::new("wal")).unwrap();
        assert!(!vfs.exists(a).unwrap() && vfs.exists(b).unwrap());
        assert_eq!(vfs.len(b).unwrap(), 3);
        let read = vfs.open(b).unwrap().read_at(0, &mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"he\0");
        // The replaced file lives on for those who have it open.
        assert_eq!(other.len().unwrap(), 5);
        vfs.remove(b).unwrap();
        assert!(vfs.remove(b).is_err() && vfs.rename(a, b).is_err());
        assert_eq!(vfs.list(Path::new("wal")).unwrap(), [""; 0]);
        let held = vfs.lock(Path::new("LOCK")).unwrap();
        assert_eq!(vfs.lock(Path::new("LOCK")).unwrap_err().sqlstate(), "55006");
        drop(held);
        vfs.lock(Path::new("LOCK")).unwrap();
        assert!(vfs.list(Path::new("nowhere")).is_err());
        let file = vfs.create(a).unwrap();
        file.append(b"x").unwrap();
        file.allocate(5000).unwrap();
        assert_eq!((file.len().unwrap(), file.read_at(0, &mut buffer[..2]).unwrap()), (5000, 2));
        assert_eq!(&buffer[..2], b"x\0");
        check_links(vfs);
        check_shared_locks(vfs);
    }

    fn check_links(vfs: &dyn Vfs) {
        let (a, b, c) = (Path::new("wal/a"), Path::new("wal/b"), Path::new("wal/c"));
        vfs.link(a, b).unwrap();
        assert!(vfs.link(a, b).is_err(), "the name is taken");
        assert!(vfs.link(c, Path::new("wal/d")).is_err() && vfs.link(a, Path::new("nowhere/a")).is_err());
        vfs.open(a).unwrap().write_at(0, b"yz").unwrap();
        vfs.remove(a).unwrap();
        assert!(vfs.open_to_read(a).is_err() && vfs.lock_shared(a).is_err());
        let file = vfs.open_to_read(b).unwrap();
        let mut buffer = [0; 3];
        assert_eq!((file.read_at(0, &mut buffer).unwrap(), &buffer), (3, b"yz\0"));
        assert!(file.write_at(0, b"w").is_err() && file.append(b"w").is_err() && file.set_len(0).is_err());
        assert!(file.allocate(6000).is_err());
        assert_eq!((file.len().unwrap(), file.read_at(0, &mut buffer).unwrap(), &buffer), (5000, 3, b"yz\0"));
        // Two names of one file: the rename of one to the other does nothing.
        vfs.link(b, c).unwrap();
        vfs.rename(b, c).unwrap();
        assert_eq!(vfs.list(Path::new("wal")).unwrap(), ["b", "c"]);
    }

    fn check_shared_locks(vfs: &dyn Vfs) {
        let path = Path::new("LOCK");
        let (one, two) = (vfs.lock_shared(path).unwrap(), vfs.lock_shared(path).unwrap());
        drop(one);
        assert_eq!(vfs.lock(path).unwrap_err().sqlstate(), "55006");
        drop(two);
        let alone = vfs.lock(path).unwrap();
        assert_eq!(vfs.lock_shared(path).unwrap_err().sqlstate(), "55006");
        drop(alone);
        vfs.lock_shared(path).unwrap();
    }

    #[test]
    fn all_keep_the_promises() {
        let root = tempfile::tempdir().unwrap();
        check(&RealVfs::new(root.path()));
        check(&MemoryVfs::default());
        check(&SimulatedVfs::new(1));
    }
}
