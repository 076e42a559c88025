//! Which files of the user SQL may touch, and the only way to open them.
//!
//! A [`FileAccess`] is set by whoever opens the database and can be locked; every `COPY`, `read_csv` and `'file.csv'`
//! goes through it. A path is made absolute and freed of `..` before the disk is asked anything, then symbolic links
//! are resolved and the result is checked again; the checked path is the one that is opened. What it does not do:
//! guard against somebody who swaps directories for links while a statement runs, which needs the operating system.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::RwLock;

use super::error::{Error, ErrorKind, Result};

/// An open file of the user.
pub type UserFile = File;

/// What SQL may do with files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPolicy {
    /// Whether files may be read.
    pub read: bool,
    /// Whether files may be created and replaced.
    pub write: bool,
    /// The directories (or single files) access is confined to; `None` means the whole file system.
    pub roots: Option<Vec<PathBuf>>,
}

/// The access policy of one database, shared by all its connections.
#[derive(Clone)]
pub struct FileAccess(Arc<RwLock<State>>);

struct State {
    policy: AccessPolicy,
    /// The roots as given (made absolute) and with symbolic links resolved; both spellings are accepted.
    roots: Option<Vec<PathBuf>>,
    locked: bool,
}

impl FileAccess {
    /// Access under `policy`; an error if a root does not exist.
    pub fn new(policy: AccessPolicy) -> Result<Self> {
        let roots = resolve_roots(&policy)?;
        Ok(FileAccess(Arc::new(RwLock::new(State { policy, roots, locked: false }))))
    }

    /// Reads and writes anywhere: the database of a person on their own machine.
    pub fn unrestricted() -> Self {
        Self::without_roots(true, true)
    }

    #[cfg(test)]
    /// Reads anywhere, writes nowhere.
    pub fn read_only() -> Self {
        Self::without_roots(true, false)
    }

    /// No files at all: what a server offers.
    pub fn off() -> Self {
        Self::without_roots(false, false)
    }

    fn without_roots(read: bool, write: bool) -> Self {
        let policy = AccessPolicy { read, write, roots: None };
        FileAccess(Arc::new(RwLock::new(State { policy, roots: None, locked: false })))
    }

    #[cfg(test)]
    /// Replaces the policy; refused once locked.
    pub fn set(&self, policy: AccessPolicy) -> Result<()> {
        let roots = resolve_roots(&policy)?;
        let mut state = self.0.write();
        if state.locked {
            return Err(denied("the file access policy is locked and cannot be changed"));
        }
        (state.policy, state.roots) = (policy, roots);
        Ok(())
    }

    #[cfg(test)]
    /// Makes the policy immutable.
    pub fn lock(&self) {
        self.0.write().locked = true;
    }

    #[cfg(test)]
    /// Whether the policy is immutable.
    pub fn is_locked(&self) -> bool {
        self.0.read().locked
    }

    /// The path that may be read for `path`; an error if it does not exist or the policy forbids it.
    pub fn readable(&self, path: &Path) -> Result<PathBuf> {
        let state = self.0.read();
        if !state.policy.read {
            return Err(denied(format!("reading files is not allowed: '{}'", path.display())));
        }
        let absolute = absolute(path)?;
        let Some(roots) = &state.roots else { return Ok(absolute) };
        inside(roots, &absolute, path)?;
        let resolved = fs::canonicalize(&absolute).map_err(|error| io_error("open", path, error))?;
        inside(roots, &resolved, path)?;
        Ok(resolved)
    }

    /// The path that may be written for `path`; its directory has to exist.
    pub fn writable(&self, path: &Path) -> Result<PathBuf> {
        let state = self.0.read();
        if !state.policy.write {
            return Err(denied(format!("writing files is not allowed: '{}'", path.display())));
        }
        let absolute = absolute(path)?;
        let Some(name) = absolute.file_name() else {
            return Err(Error::new(ErrorKind::Io, format!("'{}' is not the name of a file", path.display())));
        };
        let Some(roots) = &state.roots else { return Ok(absolute) };
        inside(roots, &absolute, path)?;
        let resolved = match fs::symlink_metadata(&absolute) {
            Ok(_) => fs::canonicalize(&absolute),
            Err(_) => fs::canonicalize(absolute.parent().unwrap_or(Path::new("/"))).map(|parent| parent.join(name)),
        };
        let resolved = resolved.map_err(|error| io_error("write", path, error))?;
        inside(roots, &resolved, path)?;
        Ok(resolved)
    }

    /// The number by which the file system knows the file at `path`, whatever it is called, and its length; `None` if
    /// there is none.
    pub fn identity(&self, path: &Path) -> Result<Option<(u64, u64)>> {
        let resolved = match self.readable(path) {
            Ok(resolved) => resolved,
            Err(error) if error.sqlstate() == NOT_FOUND => return Ok(None),
            Err(error) => return Err(error),
        };
        match fs::metadata(&resolved) {
            Ok(metadata) if metadata.is_file() => Ok(Some((identity(&metadata, path), metadata.len()))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("open", path, error)),
        }
    }

    /// Opens `path` for reading.
    pub fn open(&self, path: &Path) -> Result<UserFile> {
        let resolved = self.readable(path)?;
        let file = File::open(&resolved).map_err(|error| io_error("open", path, error))?;
        let metadata = file.metadata().map_err(|error| io_error("open", path, error))?;
        if metadata.is_dir() {
            return Err(Error::new(ErrorKind::Io, format!("cannot open '{}': it is a directory", path.display())));
        }
        Ok(file)
    }

    /// What lies at `path`: nothing, a directory, a file, or something that can be read only once.
    pub fn kind(&self, path: &Path) -> Result<PathKind> {
        let resolved = match self.readable(path) {
            Ok(resolved) => resolved,
            Err(error) if error.sqlstate() == NOT_FOUND => return Ok(PathKind::Missing),
            Err(error) => return Err(error),
        };
        Ok(match fs::metadata(&resolved) {
            Ok(metadata) if metadata.is_dir() => PathKind::Directory,
            Ok(metadata) if metadata.is_file() => PathKind::File,
            Ok(_) => PathKind::Stream,
            Err(error) if error.kind() == io::ErrorKind::NotFound => PathKind::Missing,
            Err(error) => return Err(io_error("open", path, error)),
        })
    }

    /// The names in a directory, sorted, each with whether it is itself a directory.
    pub fn list(&self, directory: &Path) -> Result<Vec<(String, bool)>> {
        let resolved = self.readable(directory)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&resolved).map_err(|error| io_error("list", directory, error))? {
            let entry = entry.map_err(|error| io_error("list", directory, error))?;
            // Names that are not UTF-8 cannot be written in SQL; they are passed over.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_directory = fs::metadata(entry.path()).map(|metadata| metadata.is_dir()).unwrap_or(false);
            names.push((name, is_directory));
        }
        names.sort();
        Ok(names)
    }

    /// What lies at `path`, for who may write there.
    pub fn kind_to_write(&self, path: &Path) -> Result<PathKind> {
        let target = self.writable(path)?;
        Ok(match fs::metadata(&target) {
            Ok(metadata) if metadata.is_dir() => PathKind::Directory,
            Ok(metadata) if metadata.is_file() => PathKind::File,
            Ok(_) => PathKind::Stream,
            Err(error) if error.kind() == io::ErrorKind::NotFound => PathKind::Missing,
            Err(error) => return Err(io_error("write", path, error)),
        })
    }

    /// Makes a directory in one that is there.
    pub fn make_directory(&self, path: &Path) -> Result<()> {
        let target = self.writable(path)?;
        fs::create_dir(&target).map_err(|error| io_error("make", path, error))
    }

    /// Removes a file.
    pub fn remove(&self, path: &Path) -> Result<()> {
        let target = self.writable(path)?;
        fs::remove_file(&target).map_err(|error| io_error("remove", path, error))
    }

    /// Gives a file another name; a file of that name is replaced.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (source, target) = (self.writable(from)?, self.writable(to)?);
        fs::rename(&source, &target).map_err(|error| io_error("rename", from, error))
    }

    /// Makes the names in a directory safe.
    pub fn sync_directory(&self, path: &Path) -> Result<()> {
        let target = self.writable(path)?;
        let synced = File::open(&target).and_then(|directory| directory.sync_all());
        synced.map_err(|error| io_error("sync", path, error))
    }

    /// Starts writing `path`; nothing is visible under that name before [`OutputFile::finish`].
    pub fn create(&self, path: &Path) -> Result<OutputFile> {
        let target = self.writable(path)?;
        // A replaced link keeps pointing where it did; a pipe or device is written directly.
        let target = fs::canonicalize(&target).unwrap_or(target);
        let shown = path.to_path_buf();
        let temporary = match fs::metadata(&target) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(Error::new(ErrorKind::Io, format!("cannot write '{}': it is a directory", path.display())));
            }
            Ok(metadata) if !metadata.is_file() => None,
            _ => Some(temporary_name(&target)),
        };
        let file = match &temporary {
            Some(temporary) => OpenOptions::new().write(true).create_new(true).open(temporary),
            None => OpenOptions::new().write(true).open(&target),
        };
        let file = file.map_err(|error| io_error("write", path, error))?;
        Ok(OutputFile { writer: BufWriter::with_capacity(1 << 18, file), temporary, target, shown })
    }
}

impl fmt::Debug for FileAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.read();
        f.debug_struct("FileAccess").field("policy", &state.policy).field("locked", &state.locked).finish()
    }
}

/// The length of an open file and the number by which the file system knows it.
pub fn state(file: &UserFile, path: &Path) -> Result<(u64, u64)> {
    let metadata = file.metadata().map_err(|error| io_error("read", path, error))?;
    Ok((metadata.len(), identity(&metadata, path)))
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata, _path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

/// Where files have no number, a name is taken for the file: one that is renamed is another one then.
#[cfg(not(unix))]
fn identity(_metadata: &fs::Metadata, path: &Path) -> u64 {
    u64::from(crc32c::crc32c(path.as_os_str().as_encoded_bytes()))
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// Nothing.
    Missing,
    /// A directory.
    Directory,
    /// A regular file: it can be read several times.
    File,
    /// A pipe or device: it can be read once.
    Stream,
}

/// The state of a file when it was first looked at; reading it again later checks that it is the same still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// The length in bytes.
    pub len: u64,
    modified: Option<SystemTime>,
}

impl Fingerprint {
    /// The state of `file` now.
    pub fn of(file: &UserFile, path: &Path) -> Result<Self> {
        let metadata = file.metadata().map_err(|error| io_error("read", path, error))?;
        Ok(Fingerprint { len: metadata.len(), modified: metadata.modified().ok() })
    }
}

/// A file being written; dropped unfinished it leaves nothing behind.
#[derive(Debug)]
pub struct OutputFile {
    writer: BufWriter<File>,
    /// `None` for pipes and devices, which are written in place, and after the rename.
    temporary: Option<PathBuf>,
    target: PathBuf,
    shown: PathBuf,
}

impl OutputFile {
    /// Makes the file durable and visible under its name.
    pub fn finish(mut self) -> Result<()> {
        self.writer.flush().map_err(|error| io_error("write", &self.shown, error))?;
        let Some(temporary) = self.temporary.as_ref() else { return Ok(()) };
        let done = self.writer.get_ref().sync_all().and_then(|()| fs::rename(temporary, &self.target));
        done.map_err(|error| io_error("write", &self.shown, error))?;
        self.temporary = None;
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // There is nobody left to tell; a leftover is recognisable by its name.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// SQLSTATE "disk full".
pub const DISK_FULL: &str = "53100";
/// SQLSTATE "undefined file".
pub const NOT_FOUND: &str = "58P01";

/// The error of an operation on a file, naming the path; full disk and missing file have their own SQLSTATEs.
pub fn io_error(verb: &str, path: &Path, error: io::Error) -> Error {
    let (reason, sqlstate) = match error.kind() {
        io::ErrorKind::NotFound => ("no such file or directory".to_string(), NOT_FOUND),
        io::ErrorKind::NotADirectory => ("not a directory".to_string(), "58030"),
        io::ErrorKind::PermissionDenied => ("permission denied by the operating system".to_string(), "58030"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ("no space left on the device".to_string(), DISK_FULL)
        }
        _ => (error.to_string(), "58030"),
    };
    Error::new(ErrorKind::Io, format!("cannot {verb} '{}': {reason}", path.display()))
        .with_sqlstate(sqlstate)
        .with_source(error)
}

fn denied(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Io, message)
        .with_sqlstate("42501")
        .with_hint("whoever opens the database decides which files SQL may touch")
}

fn inside(roots: &[PathBuf], candidate: &Path, shown: &Path) -> Result<()> {
    if roots.iter().any(|root| candidate.starts_with(root)) {
        return Ok(());
    }
    Err(denied(format!("access to '{}' is not allowed: it lies outside the permitted directories", shown.display())))
}

fn resolve_roots(policy: &AccessPolicy) -> Result<Option<Vec<PathBuf>>> {
    let Some(given) = &policy.roots else { return Ok(None) };
    let mut roots = Vec::with_capacity(given.len() * 2);
    for root in given {
        roots.push(fs::canonicalize(root).map_err(|error| io_error("use as a root", root, error))?);
        roots.push(absolute(root)?);
    }
    Ok(Some(roots))
}

/// `path` from the root of the file system, without `.` and `..`; the disk is not asked.
fn absolute(path: &Path) -> Result<PathBuf> {
    let text = path.as_os_str().as_encoded_bytes();
    if text.is_empty() || text.contains(&0) {
        return Err(Error::new(
            ErrorKind::Io,
            format!("'{}' is not a file name", path.display().to_string().escape_debug()),
        ));
    }
    let joined = std::path::absolute(path).map_err(|error| io_error("open", path, error))?;
    let mut clean = PathBuf::new();
    for component in joined.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    Ok(clean)
}

fn temporary_name(target: &Path) -> PathBuf {
    static RUNNING: AtomicU64 = AtomicU64::new(0);
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let number = RUNNING.fetch_add(1, Ordering::Relaxed);
    target.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confined(root: &Path) -> FileAccess {
        FileAccess::new(AccessPolicy { read: true, write: true, roots: Some(vec![root.to_path_buf()]) }).unwrap()
    }

    #[test]
    fn dots_and_links_do_not_lead_out() {
        let outside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        fs::write(root.path().join("a.csv"), "x").unwrap();
        let access = confined(root.path());
        access.open(&root.path().join("a.csv")).unwrap();
        access.open(&root.path().join("./sub/../a.csv")).unwrap();
        let up = root.path().join("..").join(outside.path().file_name().unwrap()).join("secret");
        for path in [outside.path().join("secret"), up] {
            let error = access.open(&path).unwrap_err();
            assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Io, "42501"), "{error}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
            assert_eq!(access.open(&root.path().join("link/secret")).unwrap_err().sqlstate(), "42501");
            assert_eq!(access.create(&root.path().join("link/new")).unwrap_err().sqlstate(), "42501");
            std::os::unix::fs::symlink(outside.path().join("secret"), root.path().join("leaf")).unwrap();
            assert_eq!(access.create(&root.path().join("leaf")).unwrap_err().sqlstate(), "42501");
        }
        // What does not exist outside is not told apart from what does.
        assert_eq!(access.open(&outside.path().join("nothing")).unwrap_err().sqlstate(), "42501");
        assert_eq!(access.open(&root.path().join("nothing")).unwrap_err().sqlstate(), NOT_FOUND);
    }

    #[test]
    fn a_locked_policy_stays() {
        let access = FileAccess::unrestricted();
        access.set(AccessPolicy { read: true, write: false, roots: None }).unwrap();
        access.clone().lock();
        assert!(access.is_locked());
        let error = access.set(AccessPolicy { read: true, write: true, roots: None }).unwrap_err();
        assert_eq!(error.sqlstate(), "42501");
        assert_eq!(access.create(Path::new("x")).unwrap_err().sqlstate(), "42501");
        assert_eq!(FileAccess::off().open(Path::new("/etc/passwd")).unwrap_err().sqlstate(), "42501");
    }

    #[test]
    fn unfinished_output_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let access = confined(root.path());
        let path = root.path().join("out.csv");
        let mut output = access.create(&path).unwrap();
        output.write_all(b"half").unwrap();
        drop(output);
        assert_eq!(access.list(root.path()).unwrap(), []);
        let mut output = access.create(&path).unwrap();
        output.write_all(b"whole").unwrap();
        output.finish().unwrap();
        assert_eq!(access.list(root.path()).unwrap(), [("out.csv".to_string(), false)]);
        assert_eq!(access.kind(&path).unwrap(), PathKind::File);
        assert_eq!(access.kind(&root.path().join("none")).unwrap(), PathKind::Missing);
    }
}
