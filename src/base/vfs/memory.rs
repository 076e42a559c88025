//! Files in memory: nothing outlives the process, nothing can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{Vfs, VfsFile, VfsLock, locked, missing, range, read_from, read_only, taken, write_into};
use crate::base::error::Result;

/// Files in memory; clones share them.
#[derive(Debug, Default, Clone)]
pub struct MemoryVfs(Arc<Mutex<Tree>>);

#[derive(Debug, Default)]
struct Tree {
    files: BTreeMap<PathBuf, Content>,
    directories: BTreeSet<PathBuf>,
    locks: Locks,
    random: u64,
}

type Content = Arc<RwLock<Vec<u8>>>;

impl Vfs for MemoryVfs {
    fn open(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        let content = self.0.lock().files.get(path).cloned().ok_or_else(|| missing("open", path))?;
        Ok(Box::new(MemoryFile { path: path.to_path_buf(), content, is_writable: true }))
    }

    fn open_to_read(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        let content = self.0.lock().files.get(path).cloned().ok_or_else(|| missing("open", path))?;
        Ok(Box::new(MemoryFile { path: path.to_path_buf(), content, is_writable: false }))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn VfsFile>> {
        let mut tree = self.0.lock();
        if !has_parent(&tree.directories, path) {
            return Err(missing("create", path));
        }
        if tree.files.contains_key(path) || tree.directories.contains(path) {
            return Err(taken(path));
        }
        let content = Content::default();
        tree.files.insert(path.to_path_buf(), content.clone());
        Ok(Box::new(MemoryFile { path: path.to_path_buf(), content, is_writable: true }))
    }

    fn create_directory(&self, path: &Path) -> Result<()> {
        self.0.lock().directories.extend(path.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut tree = self.0.lock();
        if !has_parent(&tree.directories, to) {
            return Err(missing("rename", to));
        }
        let content = tree.files.get(from).cloned().ok_or_else(|| missing("rename", from))?;
        if !tree.files.get(to).is_some_and(|target| Arc::ptr_eq(target, &content)) {
            tree.files.remove(from);
            tree.files.insert(to.to_path_buf(), content);
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let mut tree = self.0.lock();
        if !has_parent(&tree.directories, to) {
            return Err(missing("link", to));
        }
        if tree.files.contains_key(to) || tree.directories.contains(to) {
            return Err(taken(to));
        }
        let content = tree.files.get(from).cloned().ok_or_else(|| missing("link", from))?;
        tree.files.insert(to.to_path_buf(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.0.lock().files.remove(path).map(drop).ok_or_else(|| missing("remove", path))
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>> {
        let tree = self.0.lock();
        names(directory, &tree.directories, tree.files.keys())
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        let tree = self.0.lock();
        Ok(path.as_os_str().is_empty() || tree.files.contains_key(path) || tree.directories.contains(path))
    }

    fn sync_directory(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn random(&self) -> u64 {
        let mut tree = self.0.lock();
        tree.random += 1;
        tree.random
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn VfsLock>> {
        let mut tree = self.0.lock();
        tree.locks.take(path, false)?;
        tree.files.entry(path.to_path_buf()).or_default();
        Ok(Box::new(MemoryLock { tree: self.0.clone(), path: path.to_path_buf() }))
    }

    fn lock_shared(&self, path: &Path) -> Result<Box<dyn VfsLock>> {
        let mut tree = self.0.lock();
        if !tree.files.contains_key(path) {
            return Err(missing("lock", path));
        }
        tree.locks.take(path, true)?;
        Ok(Box::new(MemoryLock { tree: self.0.clone(), path: path.to_path_buf() }))
    }
}

/// Which files are locked: by how many together, or by one alone.
#[derive(Debug, Default)]
pub(super) struct Locks(BTreeMap<PathBuf, Option<usize>>);

impl Locks {
    pub(super) fn take(&mut self, path: &Path, shared: bool) -> Result<()> {
        match self.0.get_mut(path) {
            None => drop(self.0.insert(path.to_path_buf(), shared.then_some(1))),
            Some(Some(holders)) if shared => *holders += 1,
            Some(_) => return Err(locked(path, None)),
        }
        Ok(())
    }

    pub(super) fn release(&mut self, path: &Path) {
        match self.0.get_mut(path) {
            Some(Some(holders)) if *holders > 1 => *holders -= 1,
            _ => drop(self.0.remove(path)),
        }
    }
}

/// Whether the directory `path` would lie in exists.
pub(super) fn has_parent(directories: &BTreeSet<PathBuf>, path: &Path) -> bool {
    path.parent().is_none_or(|parent| parent.as_os_str().is_empty() || directories.contains(parent))
}

/// The names directly below `directory`, sorted.
pub(super) fn names<'a>(
    directory: &Path,
    directories: &'a BTreeSet<PathBuf>,
    files: impl Iterator<Item = &'a PathBuf>,
) -> Result<Vec<String>> {
    if !directory.as_os_str().is_empty() && !directories.contains(directory) {
        return Err(missing("list", directory));
    }
    let below = files.chain(directories).filter(|path| path.parent() == Some(directory));
    let mut names: Vec<String> =
        below.filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

#[derive(Debug)]
struct MemoryFile {
    path: PathBuf,
    content: Content,
    is_writable: bool,
}

impl MemoryFile {
    fn check_writable(&self) -> Result<()> {
        if self.is_writable { Ok(()) } else { Err(read_only(&self.path)) }
    }
}

#[derive(Debug)]
struct MemoryLock {
    tree: Arc<Mutex<Tree>>,
    path: PathBuf,
}

impl VfsLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.tree.lock().locks.release(&self.path);
    }
}

impl VfsFile for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        Ok(read_from(&self.content.read(), offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_writable()?;
        let range = range(&self.path, offset, bytes.len())?;
        write_into(&mut self.content.write(), range, bytes);
        Ok(())
    }

    fn append(&self, bytes: &[u8]) -> Result<u64> {
        self.check_writable()?;
        let mut content = self.content.write();
        let end = content.len() as u64;
        content.extend_from_slice(bytes);
        Ok(end)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.check_writable()?;
        let range = range(&self.path, len, 0)?;
        self.content.write().resize(range.end, 0);
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<()> {
        if self.len()? < len { self.set_len(len) } else { Ok(()) }
    }

    fn len(&self) -> Result<u64> {
        Ok(self.content.read().len() as u64)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
