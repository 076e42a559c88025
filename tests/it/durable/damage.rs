//! Bits flip and files are cut: noticed, or harmless, and never a panic.

use std::path::Path;

use eddydb::{Database, MemoryVfs, Result, Vfs};
use std::sync::Arc;

use super::contents;

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

/// Opens a database of these files; its contents, if it opens.
fn contents_of(files: &Files) -> Result<String> {
    let vfs = MemoryVfs::default();
    for (name, bytes) in files {
        vfs.create_directory(Path::new(name).parent().unwrap_or(Path::new("")))?;
        vfs.create(Path::new(name))?.append(bytes)?;
    }
    contents(&open(&vfs)?)
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

fn check_flips(files: &Files, states: &[String]) -> Result<()> {
    // One bit of a byte, or all.
    let every_bit = std::env::var_os("EDDY_EVERY_BIT").is_some();
    let (mut noticed, step) = (0, step(files));
    for file in 0..files.len() {
        let bits = (0..files[file].1.len() * 8).filter(|bit| bit / 8 % step == 0);
        for bit in bits.filter(|bit| every_bit || bit % 8 == bit / 8 / step % 8) {
            let mut damaged = files.clone();
            damaged[file].1[bit / 8] ^= 1 << (bit % 8);
            match contents_of(&damaged) {
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
    for file in 0..files.len() {
        for length in (0..files[file].1.len()).step_by(step(files)) {
            let mut damaged = files.clone();
            damaged[file].1.truncate(length);
            match contents_of(&damaged) {
                Err(error) => assert!(["XX001", "0A000"].contains(&error.sqlstate()), "{length}: {error:?}"),
                Ok(found) => assert!(states.contains(&found), "{} cut at {length}: {found}", files[file].0),
            }
        }
    }
    Ok(())
}

#[test]
fn a_missing_file_is_noticed() -> Result<()> {
    for (files, _) in closed()? {
        for file in 0..files.len() {
            let mut damaged = files.clone();
            damaged.remove(file);
            let error = contents_of(&damaged).expect_err(&files[file].0);
            assert!(["XX001", "58P01"].contains(&error.sqlstate()), "{}: {error}", files[file].0);
        }
    }
    Ok(())
}
