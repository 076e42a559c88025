//! Commits of more rows than are held in memory: they go to files that the log names.

use std::path::Path;
use std::sync::Arc;

use eddydb::{Connection, Database, MemoryVfs, Result, Vfs};

use super::lines;

/// Rows go to files from the fifth on, eight in a block.
fn open(vfs: &MemoryVfs) -> Result<Database> {
    let builder = Database::builder().target_partitions(1).spool_sizes(100, 8, 3000).checkpoint_every(u64::MAX);
    builder.open_in(Arc::new(vfs.clone()))
}

fn files(vfs: &MemoryVfs) -> Result<usize> {
    let directory = Path::new("seg");
    Ok(if vfs.exists(directory)? { vfs.list(directory)?.len() } else { 0 })
}

fn same(found: &Connection, expected: &Connection, what: &str) -> Result<()> {
    for query in ["SELECT * FROM t ORDER BY ALL", "SELECT * FROM v ORDER BY ALL"] {
        assert_eq!(lines(found, query)?, lines(expected, query)?, "{what}: {query}");
    }
    Ok(())
}

/// Statements that insert, change and delete many rows of a table with a key and a view over it.
const STATEMENTS: [&str; 12] = [
    "CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT, s TEXT)",
    "INSERT INTO t SELECT value, value % 7, 'row ' || value FROM generate_series(1, 200)",
    "CREATE MATERIALIZED VIEW v AS SELECT v, count(*) AS n, sum(k) AS k FROM t GROUP BY v",
    "INSERT INTO t VALUES (1000, 1, 'small')",
    "UPDATE t SET v = v + 1",
    "DELETE FROM t WHERE k % 3 = 0",
    "BEGIN; INSERT INTO t SELECT value, 9, 'a' FROM generate_series(301, 400); UPDATE t SET s = 'b' WHERE k > 350; \
     DELETE FROM t WHERE k BETWEEN 310 AND 320; INSERT INTO t VALUES (2000, 2, 'small'); COMMIT",
    "ALTER TABLE t ADD COLUMN w BIGINT DEFAULT 5",
    "INSERT INTO t SELECT value, 3, 'after', value FROM generate_series(501, 600)",
    "UPDATE t SET w = k, k = k + 5000 WHERE k < 300",
    "INSERT INTO t SELECT k, 1, 'up', 1 FROM t ON CONFLICT (k) DO UPDATE SET w = excluded.w + 1",
    "DELETE FROM t WHERE v < 4",
];

#[test]
fn rows_in_files_of_commits_are_rows_like_others() -> Result<()> {
    for checkpoints in [false, true] {
        let vfs = MemoryVfs::default();
        let memory = Database::builder().target_partitions(1).build()?.connect()?;
        let mut database = open(&vfs)?;
        for statement in STATEMENTS {
            memory.execute_batch(statement)?;
            database.connect()?.execute_batch(statement)?;
            if checkpoints {
                database.checkpoint()?;
            }
            drop(database);
            database = open(&vfs)?;
            database.wait_for_views()?;
            if statement.starts_with("CREATE TABLE") || memory.query("SELECT 1 FROM v", ()).is_err() {
                continue;
            }
            same(&database.connect()?, &memory, statement)?;
        }
        let check = lines(&database.connect()?, "PRAGMA integrity_check")?;
        assert!(check.contains("ok"), "{check}");
        database.checkpoint()?;
        let error = database.connect()?.execute_batch("INSERT INTO t SELECT k, 1, 'again', 1 FROM t");
        assert_eq!(error.expect_err("every key is there").sqlstate(), "23505");
        drop(database);
        same(&open(&vfs)?.connect()?, &memory, "at the end")?;
    }
    Ok(())
}

#[test]
fn a_large_commit_that_is_refused_leaves_no_file() -> Result<()> {
    let vfs = MemoryVfs::default();
    let database = open(&vfs)?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT PRIMARY KEY, s TEXT NOT NULL)")?;
    connection.execute_batch("INSERT INTO t SELECT value, 'x' FROM generate_series(1, 100)")?;
    let before = files(&vfs)?;
    assert!(before > 0, "the rows went to a file");
    for (statement, sqlstate) in [
        ("INSERT INTO t SELECT value, 'x' FROM generate_series(100, 400)", "23505"),
        ("INSERT INTO t SELECT value % 300 + 200, 'x' FROM generate_series(1, 400)", "23505"),
        ("UPDATE t SET k = 5", "23505"),
        ("INSERT INTO t SELECT value, nullif('x' || value, 'x300') FROM generate_series(200, 400)", "23502"),
        ("INSERT INTO t SELECT value, (1 / (300 - value))::TEXT FROM generate_series(200, 400)", "22012"),
        ("CREATE TABLE u (k BIGINT PRIMARY KEY); INSERT INTO u SELECT 1 FROM generate_series(1, 300)", "23505"),
    ] {
        let error = connection.execute_batch(statement).expect_err(statement);
        assert_eq!(error.sqlstate(), sqlstate, "{statement}: {error}");
        assert_eq!(files(&vfs)?, before, "{statement}");
    }
    connection.execute_batch("BEGIN; INSERT INTO t SELECT value, 'x' FROM generate_series(200, 400); ROLLBACK")?;
    assert_eq!(files(&vfs)?, before, "rolled back");
    connection.execute_batch("DELETE FROM t WHERE k > 0")?;
    database.checkpoint()?;
    drop((connection, database));
    let connection = open(&vfs)?.connect()?;
    assert_eq!(lines(&connection, "SELECT count(*) FROM t")?, "Integer(0)|\n");
    connection.execute_batch("INSERT INTO t SELECT value, 'x' FROM generate_series(1, 100)")
}

#[test]
fn a_reader_and_a_salvage_find_the_files_of_commits() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("database");
    let builder = || Database::builder().target_partitions(1).spool_sizes(100, 8, 3000);
    let database = builder().open(&path)?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT); INSERT INTO t VALUES (0, 0)")?;
    let reader = builder().read_only(true).open(&path)?;
    connection.execute_batch("INSERT INTO t SELECT value, 1 FROM generate_series(1, 100)")?;
    connection.execute_batch("UPDATE t SET v = 2 WHERE k > 50")?;
    let sums = "SELECT count(*), sum(k), sum(v) FROM t";
    let expected = lines(&connection, sums)?;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while lines(&reader.connect()?, sums)? != expected {
        assert!(std::time::Instant::now() < deadline, "the reader has {}", lines(&reader.connect()?, sums)?);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop((connection, database, reader));
    let to = directory.path().join("salvaged");
    assert_eq!(Database::salvage(&path, &to)?, Vec::<String>::new());
    assert_eq!(lines(&Database::open(&to)?.connect()?, sums)?, expected);
    // A file of a commit that is damaged is noticed, and what the log has before it is salvaged.
    let mut names: Vec<_> = std::fs::read_dir(path.join("seg"))?.collect::<std::io::Result<Vec<_>>>()?;
    names.sort_by_key(|name| name.path());
    let file = names.last().expect("a file").path();
    let mut bytes = std::fs::read(&file)?;
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes)?;
    assert_eq!(Database::open(&path).expect_err("damaged").sqlstate(), "XX001");
    let lost = Database::salvage(&path, directory.path().join("rest"))?;
    assert!(!lost.is_empty());
    Ok(())
}
