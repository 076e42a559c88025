//! What is made of a damaged directory.

use std::path::Path;

use eddydb::{Database, MemoryVfs, Result, Vfs};
use std::sync::Arc;

use super::{contents, lines};

/// A database with rows in two segment files and in the log.
fn original() -> Result<(MemoryVfs, String)> {
    let vfs = MemoryVfs::default();
    let database = Database::builder().target_partitions(1).open_in(Arc::new(vfs.clone()))?;
    let connection = database.connect()?;
    for statement in [
        "CREATE TABLE a (k BIGINT PRIMARY KEY, v TEXT)",
        "INSERT INTO a SELECT value, 'row ' || value FROM generate_series(1, 1000)",
        "CREATE TABLE b (x DOUBLE)",
        "INSERT INTO b VALUES (1.5)",
        "CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM a",
        "CHECKPOINT",
        "DELETE FROM a WHERE k <= 10",
        "INSERT INTO b VALUES (2.5)",
        "CHECKPOINT",
        "INSERT INTO a VALUES (1, 'again')",
        "INSERT INTO b VALUES (3.5)",
        "DELETE FROM a WHERE k = 500",
    ] {
        connection.execute_batch(statement)?;
    }
    let all = contents(&database)?;
    Ok((vfs, all))
}

fn salvaged(vfs: &MemoryVfs) -> Result<(Vec<String>, Database, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    let to = directory.path().join("new.eddy").display().to_string();
    let lost = Database::salvage_in(Arc::new(vfs.clone()), &to)?;
    Ok((lost, Database::open(&to)?, directory))
}

fn damage(vfs: &MemoryVfs, name: &str, at: u64) -> Result<()> {
    let file = vfs.open(Path::new(name))?;
    let at = if at == 0 { file.len()? / 2 } else { at };
    let mut byte = [0];
    file.read_at(at, &mut byte)?;
    file.write_at(at, &[byte[0] ^ 0x10])
}

#[test]
fn what_is_whole_is_salvaged_whole() -> Result<()> {
    let (vfs, all) = original()?;
    let (lost, database, _directory) = salvaged(&vfs)?;
    assert_eq!((lost, contents(&database)?), (vec![], all));
    database.connect()?.execute_batch("INSERT INTO a VALUES (2, 'goes on')")
}

#[test]
fn what_is_damaged_is_left_out_and_said() -> Result<()> {
    let (vfs, all) = original()?;
    damage(&vfs, "FORMAT", 0)?;
    let (lost, database, _directory) = salvaged(&vfs)?;
    assert!(lost.len() == 1 && lost[0].contains("FORMAT"), "{lost:?}");
    assert_eq!(contents(&database)?, all);

    // A column of the first rows of a: they are lost, and what was done to them later changes nothing.
    let (vfs, _) = original()?;
    damage(&vfs, "seg/0000000000000001.seg", 200)?;
    let (lost, database, _directory) = salvaged(&vfs)?;
    assert!(lost[0].starts_with("rows of \"a\""), "{lost:?}");
    assert!(lost.iter().any(|lost| lost.starts_with("1 rows of \"a\" that epoch")), "{lost:?}");
    let connection = database.connect()?;
    assert_eq!(lines(&connection, "SELECT * FROM a")?, "Integer(1)|Text(\"again\")|\n");
    assert_eq!(lines(&connection, "SELECT * FROM n")?, "Integer(1)|\n");
    assert_eq!(lines(&connection, "SELECT * FROM b ORDER BY x")?, "Double(1.5)|\nDouble(2.5)|\nDouble(3.5)|\n");

    // The end of the log.
    let (vfs, _) = original()?;
    let logs = vfs.list(Path::new("wal"))?;
    let last = format!("wal/{}", logs.last().expect("a log"));
    let connection_lost = {
        damage(&vfs, &last, 300)?;
        salvaged(&vfs)?
    };
    assert!(
        connection_lost.0.iter().any(|lost| lost.starts_with("what was committed after epoch")),
        "{:?}",
        connection_lost.0
    );
    let count = lines(&connection_lost.1.connect()?, "SELECT count(*) FROM a")?;
    assert_eq!(count, "Integer(990)|\n");
    Ok(())
}

#[test]
fn where_nothing_is_whole_there_is_an_error() -> Result<()> {
    let vfs = MemoryVfs::default();
    assert_eq!(Database::salvage_in(Arc::new(vfs), "nowhere").expect_err("nothing").sqlstate(), "58P01");
    let (vfs, _) = original()?;
    for name in vfs.list(Path::new("manifest"))? {
        damage(&vfs, &format!("manifest/{name}"), 0)?;
    }
    let result = salvaged(&vfs);
    // The log still begins at the first file or it does not: either way nothing is made up.
    if let Ok((lost, ..)) = &result {
        assert!(!lost.is_empty());
    }
    Ok(())
}
