//! Bits flip and files are cut: noticed, or harmless, and never a panic.

use std::path::Path;

use eddydb::{Database, MemoryVfs, Result, Vfs};
use std::sync::Arc;

use super::contents;

const FILES: [&str; 3] = ["FORMAT", "wal/0000000000000001.wal", "wal/0000000000000002.wal"];

/// Files by name, with their bytes.
type Files = Vec<(String, Vec<u8>)>;

/// A database that was closed, as the bytes of its files, and its contents after each commit.
fn closed() -> Result<(Files, Vec<String>)> {
    let vfs = MemoryVfs::default();
    let database = open(&vfs)?;
    let connection = database.connect()?;
    let mut states = vec![contents(&database)?];
    for statement in [
        "CREATE TABLE t (k BIGINT PRIMARY KEY, v TEXT)",
        "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
        "CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t",
        "DELETE FROM t WHERE k = 1",
    ] {
        connection.execute_batch(statement)?;
        states.push(contents(&database)?);
    }
    drop(connection);
    database.close()?;
    let read = |name: &str| -> Result<(String, Vec<u8>)> {
        let file = vfs.open(Path::new(name))?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_at(0, &mut bytes)?;
        Ok((name.to_string(), bytes))
    };
    Ok((FILES.into_iter().map(read).collect::<Result<_>>()?, states))
}

fn open(vfs: &MemoryVfs) -> Result<Database> {
    Database::builder().target_partitions(1).open_in(Arc::new(vfs.clone()))
}

/// Opens a database of these files; its contents, if it opens.
fn contents_of(files: &Files) -> Result<String> {
    let vfs = MemoryVfs::default();
    vfs.create_directory(Path::new("wal"))?;
    for (name, bytes) in files {
        vfs.create(Path::new(name))?.append(bytes)?;
    }
    contents(&open(&vfs)?)
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless() -> Result<()> {
    let (files, states) = closed()?;
    // One bit of each byte, or all.
    let every_bit = std::env::var_os("EDDY_EVERY_BIT").is_some();
    let mut noticed = 0;
    for file in 0..files.len() {
        for bit in (0..files[file].1.len() * 8).filter(|bit| every_bit || bit % 8 == bit / 8 % 8) {
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
    let (files, states) = closed()?;
    for file in 0..files.len() {
        for length in 0..files[file].1.len() {
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
    let (files, _) = closed()?;
    for file in 0..files.len() {
        let mut damaged = files.clone();
        damaged.remove(file);
        let error = contents_of(&damaged).expect_err(&files[file].0);
        assert_eq!(error.sqlstate(), "XX001", "{}: {error}", files[file].0);
    }
    Ok(())
}
