//! The directory of a database: who may open it, and what it is.
//!
//! ```text
//! FORMAT   what the directory is: text, the checksum of the lines above in the last one
//! LOCK     held by the process that writes; its number is in it
//! RESERVE  room for when the disk is full
//! wal/     the log
//! manifest/, seg/   what checkpoints saved
//! ```
//!
//! FORMAT is written last: a directory that has it is whole. One that has neither it nor anything but the beginnings of
//! a database is made into one, so that a creation that was cut short is begun again.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::vfs::{Vfs, VfsLock};
use crate::storage::RESTORE;
use crate::storage::log::{self, DIRECTORY, RESERVE};
use crate::storage::{manifest, segment};

const FORMAT: &str = "FORMAT";
const UNFINISHED: &str = "FORMAT.tmp";
const LOCK: &str = "LOCK";
const FIRST_LINE: &str = "eddy database";

/// The format that this version writes, and the only one it reads.
const VERSION: u32 = 1;

/// A database directory that this process may write.
#[derive(Debug)]
pub struct Directory {
    /// Its files.
    pub vfs: Arc<dyn Vfs>,
    /// Its identity: files of other databases are not taken for its own.
    pub database: [u8; 16],
    /// Held as long as it may be written.
    pub lock: Box<dyn VfsLock>,
}

impl Directory {
    /// Opens the directory, and makes a database of it if it is empty.
    ///
    /// # Errors
    /// Another process has it (55006), it holds something else, or FORMAT is damaged (XX001) or not known (0A000).
    pub fn open(vfs: Arc<dyn Vfs>) -> Result<Self> {
        let root = Path::new("");
        let is_made = || vfs.exists(Path::new(FORMAT));
        if vfs.exists(root)? && !is_made()? {
            match check_empty(vfs.as_ref()) {
                // Another process has made it meanwhile.
                Err(_) if is_made()? => {}
                checked => checked?,
            }
        }
        if !is_made()? {
            vfs.create_directory(root)?;
        }
        let lock = vfs.lock(Path::new(LOCK))?;
        let database = match is_made()? {
            true => {
                let database = read(vfs.as_ref())?;
                // Who made it may have been killed before its name was safe, and what is committed now must outlast that.
                vfs.sync_directory(root)?;
                database
            }
            false => create(&vfs)?,
        };
        Ok(Directory { vfs, database, lock })
    }
}

/// The identity of the database in a directory, for who only reads it.
///
/// # Errors
/// There is none (58P01), or FORMAT is damaged (XX001) or not known (0A000).
pub fn identity_of(vfs: &dyn Vfs) -> Result<[u8; 16]> {
    let root = Path::new("");
    let is_there = vfs.exists(root)?;
    if is_there && vfs.exists(Path::new(FORMAT))? {
        return read(vfs);
    }
    if is_there {
        check_empty(vfs)?;
    }
    Err(Error::invalid("there is no database in the directory")
        .with_sqlstate("58P01")
        .with_hint("open it for writing to make one"))
}

/// Whether the directory is that of a database; no where it cannot be looked at.
pub fn is_database(vfs: &dyn Vfs) -> bool {
    [FORMAT, DIRECTORY].into_iter().all(|name| vfs.exists(Path::new(name)).unwrap_or(false))
}

/// An error if the directory is no longer where it was opened, or another one is there. Files that are open go with a
/// directory that is moved, but those made from then on would come to stand at the old place.
///
/// # Errors
/// It was moved or removed (58P01).
pub fn check_place(vfs: &dyn Vfs, database: [u8; 16]) -> Result<()> {
    let is_there = vfs.exists(Path::new(FORMAT))?;
    match is_there && read(vfs).map_or(true, |found| found == database) {
        true => Ok(()),
        false => Err(log::moved()),
    }
}

/// Makes a database of an empty directory, whose files `fill` writes under the identity that it is given. It is one when
/// that has succeeded; else the directory is as empty as it was.
///
/// # Errors
/// The directory has something in it (58P01), or `fill` gives one.
pub fn create_with(vfs: &Arc<dyn Vfs>, fill: &dyn Fn([u8; 16]) -> Result<()>) -> Result<()> {
    let root = Path::new("");
    let parts = [DIRECTORY, manifest::DIRECTORY, segment::DIRECTORY];
    let is_left = |name: &String| {
        // What a copy that was called off leaves.
        name == LOCK || parts.contains(&name.as_str()) && vfs.list(Path::new(name)).is_ok_and(|names| names.is_empty())
    };
    if vfs.exists(root)?
        && let Some(name) = vfs.list(root)?.iter().find(|name| !is_left(name))
    {
        return Err(Error::invalid(format!("the directory is not empty: it has \"{name}\""))
            .with_sqlstate("58P01")
            .with_hint("give a directory that is empty or does not exist"));
    }
    vfs.create_directory(root)?;
    let lock = vfs.lock(Path::new(LOCK))?;
    let database = identity_of_new(vfs.as_ref());
    let made = fill(database).and_then(|()| write_format(vfs.as_ref(), database));
    drop(lock);
    made.inspect_err(|_| drop(discard(vfs.as_ref())))
}

/// Removes the files of a database that did not come to be.
fn discard(vfs: &dyn Vfs) -> Result<()> {
    for directory in ["", DIRECTORY, manifest::DIRECTORY, segment::DIRECTORY].map(Path::new) {
        if vfs.exists(directory)? {
            // Directories among the names stay: they are empty in the end.
            vfs.list(directory)?.iter().for_each(|name| drop(vfs.remove(&directory.join(name))));
        }
    }
    Ok(())
}

/// An error if the directory has anything but what an unfinished creation leaves.
fn check_empty(vfs: &dyn Vfs) -> Result<()> {
    let ours = [LOCK, UNFINISHED, RESERVE, DIRECTORY];
    let names = vfs.list(Path::new(""))?;
    let is_empty = |directory: &str| vfs.list(Path::new(directory)).is_ok_and(|names| names.is_empty());
    let names: Vec<String> = names
        .into_iter()
        .filter(|name| ![manifest::DIRECTORY, segment::DIRECTORY].contains(&name.as_str()) || !is_empty(name))
        .collect();
    let has = |directory: &str| names.iter().any(|name| name == directory);
    if has(manifest::DIRECTORY) || has(DIRECTORY) && !log::is_unused(vfs)? {
        return Err(Error::new(ErrorKind::Io, format!("the database has lost its file {FORMAT}"))
            .with_sqlstate("XX001")
            .with_hint(RESTORE));
    }
    if has(segment::DIRECTORY) && has(LOCK) {
        return Err(Error::invalid("the directory is no database: a backup into it was begun and did not finish")
            .with_sqlstate("58P01")
            .with_hint("remove the directory, and make the backup again"));
    }
    match names.into_iter().find(|name| !ours.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!("the directory is no database: it has \"{name}\" and no {FORMAT}"))
            .with_sqlstate("58P01")
            .with_hint("a new database needs a directory of its own, which may be empty or not exist")),
    }
}

fn create(vfs: &Arc<dyn Vfs>) -> Result<[u8; 16]> {
    let database = identity_of_new(vfs.as_ref());
    log::create(vfs.clone(), database, 1)?;
    write_format(vfs.as_ref(), database)?;
    Ok(database)
}

fn identity_of_new(vfs: &dyn Vfs) -> [u8; 16] {
    let mut database = [0; 16];
    database[..8].copy_from_slice(&vfs.random().to_le_bytes());
    database[8..].copy_from_slice(&vfs.random().to_le_bytes());
    database
}

fn write_format(vfs: &dyn Vfs, database: [u8; 16]) -> Result<()> {
    let unfinished = Path::new(UNFINISHED);
    if vfs.exists(unfinished)? {
        vfs.remove(unfinished)?;
    }
    let file = vfs.create(unfinished)?;
    file.write_at(0, text(database).as_bytes())?;
    file.sync()?;
    vfs.rename(unfinished, Path::new(FORMAT))?;
    vfs.sync_directory(Path::new(""))
}

fn text(database: [u8; 16]) -> String {
    let mut text = format!("{FIRST_LINE}\nformat {VERSION}\nidentity ");
    for byte in database {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    let checksum = crc32c::crc32c(text.as_bytes());
    let _ = writeln!(text, "checksum {checksum:08x}");
    text
}

fn read(vfs: &dyn Vfs) -> Result<[u8; 16]> {
    let file = vfs.open_to_read(Path::new(FORMAT))?;
    let mut bytes = vec![0; 4096];
    let length = file.read_at(0, &mut bytes)?;
    let text = std::str::from_utf8(&bytes[..length]).map_err(|_| damaged())?;
    let (body, checksum) = text.rsplit_once("checksum ").ok_or_else(damaged)?;
    if !body.starts_with(FIRST_LINE) || checksum != format!("{:08x}\n", crc32c::crc32c(body.as_bytes())) {
        return Err(damaged());
    }
    let mut database = None;
    for line in body.lines().skip(1) {
        match line.split_once(' ') {
            Some(("format", version)) if version == VERSION.to_string() => {}
            Some(("format", version)) => {
                return Err(Error::unsupported(format!(
                    "the database has format {version}; this version of eddy reads format {VERSION}"
                ))
                .with_hint("open it with the version that made it, or a later one"));
            }
            Some(("identity", digits)) => database = identity(digits),
            _ => {
                return Err(Error::unsupported(format!("the database needs \"{line}\", which is not known here"))
                    .with_hint("open it with the version that made it, or a later one"));
            }
        }
    }
    database.ok_or_else(damaged)
}

fn identity(digits: &str) -> Option<[u8; 16]> {
    let number = u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some(number.to_be_bytes())
}

fn damaged() -> Error {
    Error::new(ErrorKind::Io, format!("the file {FORMAT} of the database is damaged"))
        .with_sqlstate("XX001")
        .with_hint(RESTORE)
}
