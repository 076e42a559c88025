//! Numbers that nobody gave: at the end of what a number can be, or far beyond what a file has. They are damage, never a
//! panic, never the first of the numbers again.

use std::path::Path;
use std::sync::Arc;

use eddydb::{Database, MemoryVfs, Result, Vfs};

use super::lines;

fn open(vfs: &MemoryVfs) -> Result<Database> {
    Database::builder().target_partitions(1).open_in(Arc::new(vfs.clone()))
}

/// A database with a checkpoint and something behind it.
fn saved() -> Result<MemoryVfs> {
    let vfs = MemoryVfs::default();
    let connection = open(&vfs)?.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (k BIGINT); INSERT INTO t SELECT value FROM generate_series(1, 100); CHECKPOINT;
         DELETE FROM t WHERE k = 7; CHECKPOINT; INSERT INTO t VALUES (101)",
    )?;
    Ok(vfs)
}

fn bytes(vfs: &MemoryVfs, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = vec![0; vfs.len(path)? as usize];
    vfs.open(path)?.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// The database with a piece of its manifest replaced, under a checksum that fits.
fn with_manifest(replace: &dyn Fn(&str) -> String) -> Result<MemoryVfs> {
    let vfs = saved()?;
    let name = vfs.list(Path::new("manifest"))?.pop().expect("a manifest");
    let path = Path::new("manifest").join(name);
    let mut bytes = bytes(&vfs, &path)?;
    let text = replace(std::str::from_utf8(&bytes[48..]).expect("text"));
    bytes.truncate(48);
    bytes[40..48].copy_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend(text.into_bytes());
    let check = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&check.to_le_bytes());
    vfs.remove(&path)?;
    vfs.create(&path)?.append(&bytes)?;
    Ok(vfs)
}

/// The text with the number behind a name replaced.
fn with_number(text: &str, name: &str, number: u64) -> String {
    let start = text.find(&format!("\"{name}\":")).expect(name) + name.len() + 3;
    let end = start + text[start..].find(|c: char| !c.is_ascii_digit()).expect("more");
    format!("{}{number}{}", &text[..start], &text[end..])
}

#[test]
fn numbers_of_a_manifest_that_nobody_gave_are_damage() -> Result<()> {
    let same = with_manifest(&str::to_string)?;
    assert_eq!(lines(&open(&same)?.connect()?, "SELECT count(*) FROM t")?, "Integer(100)|\n");
    for number in [1 << 62, u64::MAX - 1, u64::MAX] {
        for name in ["epoch", "log", "next_relation", "next_file", "high", "id", "relation"] {
            let vfs = with_manifest(&|text| with_number(text, name, number))?;
            let error = open(&vfs).err().unwrap_or_else(|| panic!("{name} {number} is taken"));
            assert_eq!(error.sqlstate(), "XX001", "{name} {number}: {error}");
        }
    }
    // More blocks than a file could have.
    for count in [1_000, 1 << 40, u64::MAX] {
        let runs = |text: &str| {
            let start = text.find("\"blocks\":[[").expect("blocks") + 10;
            let end = start + text[start..].find("]]").expect("an end") + 2;
            format!("{}[[1,0,{count}]]{}", &text[..start], &text[end..])
        };
        let error = open(&with_manifest(&runs)?).expect_err("too many");
        assert_eq!(error.sqlstate(), "XX001", "{count}: {error}");
    }
    Ok(())
}

#[test]
fn files_whose_numbers_nobody_gave_are_no_files_of_ours() -> Result<()> {
    for name in
        ["seg/18446744073709551615.seg", "seg/9223372036854775807.seg", "manifest/18446744073709551615.manifest"]
    {
        let vfs = saved()?;
        vfs.create(Path::new(name))?;
        let database = open(&vfs).unwrap_or_else(|error| panic!("{name}: {error}"));
        let connection = database.connect()?;
        connection.execute_batch("INSERT INTO t VALUES (102); CHECKPOINT; INSERT INTO t VALUES (103); CHECKPOINT")?;
        drop((connection, database));
        assert_eq!(lines(&open(&vfs)?.connect()?, "SELECT count(*) FROM t")?, "Integer(102)|\n", "{name}");
    }
    let vfs = saved()?;
    vfs.create(Path::new("wal/18446744073709551615.wal"))?;
    assert_eq!(open(&vfs).expect_err("a gap").sqlstate(), "XX001");
    Ok(())
}

/// Many tables whose rows die here and there: the files that say so do not become ever more.
#[test]
fn files_that_hold_deaths_alone_do_not_become_ever_more() -> Result<()> {
    let vfs = MemoryVfs::default();
    let database = open(&vfs)?;
    let connection = database.connect()?;
    for table in 0..12 {
        connection.execute_batch(&format!(
            "CREATE TABLE t{table} (k BIGINT); INSERT INTO t{table} SELECT value FROM generate_series(1, 2000)"
        ))?;
    }
    connection.execute_batch("CHECKPOINT")?;
    for round in 0..130 {
        connection.execute_batch(&format!("DELETE FROM t{} WHERE k = {}; CHECKPOINT", round % 12, round / 12 + 1))?;
        let files = vfs.list(Path::new("seg"))?.len();
        assert!(files <= 64 + 2, "round {round}: {files} files");
    }
    drop((connection, database));
    let connection = open(&vfs)?.connect()?;
    for table in 0..12 {
        let gone = (130 - table + 11) / 12;
        let count = lines(&connection, &format!("SELECT count(*) FROM t{table}"))?;
        assert_eq!(count, format!("Integer({})|\n", 2000 - gone), "t{table}");
    }
    Ok(())
}
