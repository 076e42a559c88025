//! Bits flip and files are cut: noticed, or harmless, and never a panic.

use std::path::Path;

use eddydb::{Database, MemoryVfs, Result, Vfs};
use std::sync::Arc;

use super::{contents, lines};

/// Files by name, with their bytes.
type Files = Vec<(String, Vec<u8>)>;

/// Databases that were closed, as the bytes of their files, and the contents after each commit: one that has a log, one
/// that had two checkpoints.
fn closed() -> Result<[(Files, Vec<String>); 2]> {
    Ok([closed_after(&SCRIPT)?, closed_after(&SAVED)?])
}

const SCRIPT: [&str; 4] = [
    "CREATE TABLE t (k BIGINT PRIMARY KEY, v TEXT)",
    "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
    "CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t",
    "DELETE FROM t WHERE k = 1",
];

const SAVED: [&str; 9] = [
    "CREATE TABLE t (k BIGINT PRIMARY KEY, v TEXT)",
    "INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, NULL)",
    "CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t",
    "DELETE FROM t WHERE k = 2",
    "CHECKPOINT",
    "DELETE FROM t WHERE k = 1",
    "CREATE STREAM s (x DOUBLE)",
    "CHECKPOINT",
    "INSERT INTO s VALUES (0.5)",
];

fn closed_after(script: &[&str]) -> Result<(Files, Vec<String>)> {
    let vfs = MemoryVfs::default();
    let database = open(&vfs)?;
    let connection = database.connect()?;
    let mut states = vec![contents(&database)?];
    for statement in script {
        connection.execute_batch(statement)?;
        states.push(contents(&database)?);
    }
    drop(connection);
    database.close()?;
    let mut files = vec![("FORMAT".to_string(), bytes(&vfs, "FORMAT")?)];
    for directory in ["wal", "manifest", "seg"] {
        if vfs.exists(Path::new(directory))? {
            for name in vfs.list(Path::new(directory))? {
                let name = format!("{directory}/{name}");
                files.push((name.clone(), bytes(&vfs, &name)?));
            }
        }
    }
    Ok((files, states))
}

fn bytes(vfs: &MemoryVfs, name: &str) -> Result<Vec<u8>> {
    let file = vfs.open(Path::new(name))?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn open(vfs: &MemoryVfs) -> Result<Database> {
    Database::builder().target_partitions(1).open_in(Arc::new(vfs.clone()))
}

fn disk_of(files: &Files) -> Result<MemoryVfs> {
    let vfs = MemoryVfs::default();
    for (name, bytes) in files {
        vfs.create_directory(Path::new(name).parent().unwrap_or(Path::new("")))?;
        vfs.create(Path::new(name))?.append(bytes)?;
    }
    Ok(vfs)
}

/// Opens a database of these files; its contents, if it opens.
fn contents_of(files: &Files) -> Result<String> {
    open(&disk_of(files)?).and_then(|database| contents(&database))
}

/// As `contents_of`; who only reads it sees the same, or what it had before if `may_lag`, or is told the same reason.
fn contents_read_too(files: &Files, states: &[String], may_lag: bool) -> Result<String> {
    let read = reader(&disk_of(files)?).and_then(|reader| contents(&reader));
    let opened = contents_of(files);
    match (&opened, &read) {
        (Ok(opened), Ok(read)) => {
            let place = |state: &String| states.iter().position(|other| other == state);
            assert!(opened == read || may_lag && place(read) < place(opened), "{opened}\n{read}");
        }
        (Err(opened), Err(read)) => {
            assert_eq!(opened.sqlstate(), read.sqlstate(), "{opened} {read}");
            assert!(read.hint().is_some(), "{read}");
        }
        (Ok(_), Err(error)) => panic!("only who writes can open it: {error}"),
        (Err(error), Ok(read)) => panic!("a reader does not see that {error}, and shows\n{read}"),
    }
    opened.inspect_err(|error| assert!(error.hint().is_some(), "{error}"))
}

fn reader(vfs: &MemoryVfs) -> Result<Database> {
    Database::builder().target_partitions(1).read_only(true).open_in(Arc::new(vfs.clone()))
}

#[test]
fn an_open_database_and_its_readers_find_damage_when_they_look_for_it() -> Result<()> {
    for (files, _) in closed()? {
        for (file, bytes) in &files {
            let vfs = disk_of(&files)?;
            let databases = [open(&vfs)?, reader(&vfs)?];
            // A byte of the middle that was written, and not the first: the place of a frame is looked for.
            let at = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) / 2;
            let damaged = vfs.open(Path::new(file))?;
            damaged.write_at(at as u64, &[bytes[at] ^ 0x10])?;
            // FORMAT is read once.
            let is_asked = file != "FORMAT";
            for database in databases {
                let found = lines(&database.connect()?, "PRAGMA integrity_check")?;
                assert_eq!(found.contains("ok"), !is_asked, "{file} at {at}: {found}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless() -> Result<()> {
    closed()?.into_iter().try_for_each(|(files, states)| check_flips(&files, &states))
}

/// Every so many bytes of a file are looked at, so that all together are not too many; with `EDDY_EVERY_BIT` each is.
fn step(files: &Files) -> usize {
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    if std::env::var_os("EDDY_EVERY_BIT").is_some() { 1 } else { bytes.div_ceil(PLACES) }
}

/// How many places of a database are damaged, about.
const PLACES: usize = 3000;
/// At one in so many of them a reader looks, too.
const READERS: usize = 8;

fn check_flips(files: &Files, states: &[String]) -> Result<()> {
    // One bit of a byte, or all.
    let every_bit = std::env::var_os("EDDY_EVERY_BIT").is_some();
    let (mut noticed, step) = (0, step(files));
    for file in 0..files.len() {
        let bits = (0..files[file].1.len() * 8).filter(|bit| bit / 8 % step == 0);
        for bit in bits.filter(|bit| every_bit || bit % 8 == bit / 8 / step % 8) {
            let mut damaged = files.clone();
            damaged[file].1[bit / 8] ^= 1 << (bit % 8);
            let found = match bit / 8 / step % READERS {
                0 => contents_read_too(&damaged, states, false),
                _ => contents_of(&damaged),
            };
            match found {
                Err(error) => {
                    assert!(["XX001", "0A000"].contains(&error.sqlstate()), "{} bit {bit}: {error:?}", files[file].0);
                    noticed += 1;
                }
                Ok(found) => assert_eq!(Some(&found), states.last(), "{} bit {bit}", files[file].0),
            }
        }
    }
    assert!(noticed > 1000, "{noticed}");
    Ok(())
}

/// A log that was cut short looks as if power had been lost: there is what was committed up to then.
#[test]
fn a_file_cut_at_any_byte_is_noticed_or_leaves_a_prefix() -> Result<()> {
    closed()?.into_iter().try_for_each(|(files, states)| check_cuts(&files, &states))
}

fn check_cuts(files: &Files, states: &[String]) -> Result<()> {
    let step = step(files);
    for file in 0..files.len() {
        for length in (0..files[file].1.len()).step_by(step) {
            let mut damaged = files.clone();
            damaged[file].1.truncate(length);
            let found = match length / step % READERS {
                0 => contents_read_too(&damaged, states, true),
                _ => contents_of(&damaged),
            };
            match found {
                Err(error) => assert!(["XX001", "0A000"].contains(&error.sqlstate()), "{length}: {error:?}"),
                Ok(found) => assert!(states.contains(&found), "{} cut at {length}: {found}", files[file].0),
            }
        }
    }
    Ok(())
}

#[test]
fn a_missing_file_is_noticed() -> Result<()> {
    for (files, states) in closed()? {
        for file in 0..files.len() {
            let mut damaged = files.clone();
            damaged.remove(file);
            let error = contents_read_too(&damaged, &states, false).expect_err(&files[file].0);
            assert!(["XX001", "58P01"].contains(&error.sqlstate()), "{}: {error}", files[file].0);
        }
    }
    Ok(())
}
