//! Directories that this version wrote, kept in `tests/golden`: a later version must read them, and show the same.
//!
//! A change of the format that cannot read them needs another number in FORMAT; one that can writes others beside these.
//! `EDDY_GOLDEN=write` writes those that are not there. None is ever written anew: what was written by a version that
//! somebody may have used stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddydb::{Database, DatabaseBuilder, ManualClock, MemoryVfs, Result, Vfs};

use super::{contents, lines};

/// The directories, and the statements that made each; one that ends with `!` was killed.
const DIRECTORIES: [(&str, &str); 7] = [
    (
        "log",
        "CREATE TABLE t (k BIGINT PRIMARY KEY, v TEXT NOT NULL DEFAULT 'none', UNIQUE (v));
         INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three');
         CREATE STREAM s (at TIMESTAMP, x DOUBLE, WATERMARK FOR at AS at - INTERVAL '5 seconds');
         INSERT INTO s VALUES ('2024-01-01 00:00:01', 1.5), ('2024-01-01 00:00:02', NULL);
         CREATE VIEW doubled AS SELECT k, v || v AS v FROM t;
         CREATE MATERIALIZED VIEW counts AS SELECT length(v) AS n, count(*) AS c FROM doubled GROUP BY length(v);
         CREATE INDEX i ON t (v);
         DELETE FROM t WHERE k = 2; UPDATE t SET v = 'eins' WHERE k = 1;
         BEGIN; INSERT INTO t VALUES (4, 'four'); INSERT INTO s VALUES ('2024-01-01 00:00:09', 2); COMMIT;
         SELECT now()",
    ),
    (
        "killed",
        "CREATE TABLE t (k BIGINT, v TEXT); INSERT INTO t VALUES (1, 'one'); INSERT INTO t VALUES (2, NULL);
         CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t; INSERT INTO t VALUES (3, 'the last')!",
    ),
    (
        "checkpoints",
        "CREATE TABLE t (k BIGINT PRIMARY KEY, v TEXT);
         INSERT INTO t SELECT value, 'row ' || value FROM generate_series(1, 100); CHECKPOINT;
         DELETE FROM t WHERE k % 3 = 0; CREATE MATERIALIZED VIEW n AS SELECT k % 7 AS g, count(*) AS n FROM t GROUP BY 1;
         CHECKPOINT; UPDATE t SET v = 'changed' WHERE k % 10 = 1; INSERT INTO t VALUES (1000, NULL); CHECKPOINT;
         DELETE FROM t WHERE k = 1000; INSERT INTO t VALUES (1001, 'behind')",
    ),
    (
        "columns",
        "CREATE TABLE t (a INT, b TEXT, c DOUBLE); INSERT INTO t VALUES (1, '10', 1.5), (2, '20', NULL); CHECKPOINT;
         ALTER TABLE t ADD COLUMN d TEXT DEFAULT 'before'; INSERT INTO t VALUES (3, '30', 2.5, 'after');
         ALTER TABLE t ALTER COLUMN b TYPE BIGINT; CHECKPOINT; ALTER TABLE t DROP COLUMN c;
         ALTER TABLE t ADD COLUMN c INT; INSERT INTO t VALUES (4, 40, 'x', 5); ALTER TABLE t RENAME COLUMN a TO e;
         ALTER TABLE t RENAME TO u; ALTER TABLE u ALTER COLUMN d DROP DEFAULT; INSERT INTO u (e) VALUES (6)",
    ),
    (
        "types",
        "CREATE TABLE t (b BOOLEAN, i1 TINYINT, i2 SMALLINT, i4 INT, i8 BIGINT, h HUGEINT, f4 REAL, f8 DOUBLE,
           d DECIMAL(20, 4), v TEXT, w VARCHAR(5), y BYTEA, dt DATE, tm TIME, ts TIMESTAMP, tz TIMESTAMPTZ, iv INTERVAL,
           u UUID, j JSON, l INT[], m TEXT[][], s STRUCT(a INT, b STRUCT(c TEXT)));
         INSERT INTO t VALUES (true, -1, -300, 70000, 5000000000, 99999999999999999999999999999999999999, 1.5, 'NaN',
           1234567.8901, 'a text that is longer than twelve bytes', 'abcde', '\\xff00', '2024-02-29', '12:34:56.789',
           '2024-02-29 12:34:56.789012', '2024-01-01 00:00:00+02', INTERVAL '1 month 2 days 3 seconds',
           'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": [1, 2]}', [1, NULL, 3], [['x'], NULL, []],
           {'a': 1, 'b': {'c': 'deep'}}), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
         CHECKPOINT; INSERT INTO t SELECT * FROM t; UPDATE t SET f8 = -0.0 WHERE b",
    ),
    (
        "large",
        "CREATE TABLE t (k BIGINT, v TEXT); INSERT INTO t SELECT value, 'row ' || value FROM generate_series(1, 40);
         CREATE TABLE u AS SELECT k, v FROM t WHERE k > 3; CHECKPOINT; UPDATE t SET v = v || '!';
         DELETE FROM u WHERE k < 20; INSERT INTO u SELECT value, NULL FROM generate_series(1, 30)",
    ),
    (
        "followers",
        "CREATE SOURCE lines (n BIGINT, v TEXT) WITH (connector = 'file', path = '/tmp/eddy-golden/lines.ndjson',
           format = 'ndjson');
         CREATE MATERIALIZED VIEW n AS SELECT v, count(*) AS n FROM lines GROUP BY v;
         CREATE TABLE t (k BIGINT); CREATE MATERIALIZED VIEW m AS SELECT k % 2 AS p, count(*) AS n FROM t GROUP BY k % 2;
         CREATE SUBSCRIPTION s ON m; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2), (3); CHECKPOINT;
         INSERT INTO t VALUES (5); DELETE FROM t WHERE k = 2",
    ),
];

fn builder() -> DatabaseBuilder {
    // 2026-01-01; what is copied must not read what the original did.
    let clock = Arc::new(ManualClock::new(1_767_225_600_000_000));
    Database::builder().target_partitions(1).clock(clock).hold_connectors().spool_sizes(600, 8, 3000)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// What is seen of a database: contents, positions, and the events that wait.
fn seen(database: &Database) -> Result<String> {
    database.wait_for_views()?;
    let mut text = contents(database)?;
    let connection = database.connect()?;
    for table in ["sources", "subscriptions"] {
        text.push_str(&format!("-- {table}\n{}", lines(&connection, &format!("SELECT * FROM eddy.{table}"))?));
    }
    if text.contains("Text(\"s\")|Text(\"m\")") {
        let subscription = connection.subscribe("SUBSCRIPTION s")?;
        while let Some(event) = subscription.try_recv()? {
            text.push_str(&format!("epoch {}: {} changes\n", event.epoch, event.changes.num_rows()));
        }
    }
    Ok(text)
}

/// Writes a directory and what is seen of it.
fn write(name: &str, script: &str) -> Result<()> {
    let vfs = MemoryVfs::default();
    let database = if name == "followers" {
        // Its source must read, a file whose path is no secret.
        fs::create_dir_all("/tmp/eddy-golden")?;
        fs::write(
            "/tmp/eddy-golden/lines.ndjson",
            "{\"n\": 1, \"v\": \"a\"}\n{\"n\": 2, \"v\": \"b\"}\n{\"n\": 3, \"v\": \"a\"}\n",
        )?;
        Database::builder().target_partitions(1).open_in(Arc::new(vfs.clone()))?
    } else {
        builder().open_in(Arc::new(vfs.clone()))?
    };
    let connection = database.connect()?;
    connection.execute_batch(script.trim_end_matches('!'))?;
    let until = Instant::now() + Duration::from_secs(20);
    while name == "followers" && lines(&connection, "SELECT count(*) FROM lines")? != "Integer(3)|\n" {
        assert!(Instant::now() < until, "the source reads nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(connection);
    if script.ends_with('!') {
        std::mem::forget(database);
    } else {
        database.close()?;
    }
    for directory in
        ["", "wal", "manifest", "seg"].map(Path::new).into_iter().filter(|path| vfs.exists(path).is_ok_and(|is| is))
    {
        for file in vfs.list(directory)? {
            let path = directory.join(&file);
            if ["LOCK", "RESERVE", "wal", "manifest", "seg"].contains(&file.as_str()) {
                continue;
            }
            let file = vfs.open(&path)?;
            let mut bytes = vec![0; file.len()? as usize];
            file.read_at(0, &mut bytes)?;
            // Blocks that are allocated and not written.
            let written = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(written.next_multiple_of(8).min(bytes.len()));
            let target = golden().join(name).join(&path);
            fs::create_dir_all(target.parent().expect("a directory"))?;
            fs::write(target, bytes)?;
        }
    }
    fs::write(golden().join(name).join("expected.txt"), seen(&builder().open_in(Arc::new(copy(name)?))?)?)?;
    Ok(())
}

/// A copy of a directory.
fn copy(name: &str) -> Result<MemoryVfs> {
    let vfs = MemoryVfs::default();
    for directory in ["", "wal", "manifest", "seg"] {
        let from = golden().join(name).join(directory);
        vfs.create_directory(Path::new(directory))?;
        for entry in fs::read_dir(from).into_iter().flatten() {
            let entry = entry?;
            if entry.file_type()?.is_file() && entry.file_name() != "expected.txt" {
                vfs.create(&Path::new(directory).join(entry.file_name()))?.append(&fs::read(entry.path())?)?;
            }
        }
    }
    Ok(vfs)
}

#[test]
fn what_earlier_versions_wrote_is_read_and_shows_the_same() -> Result<()> {
    for (name, script) in DIRECTORIES {
        if std::env::var("EDDY_GOLDEN").is_ok_and(|text| text == "write") && !golden().join(name).exists() {
            write(name, script)?;
        }
        let expected = fs::read_to_string(golden().join(name).join("expected.txt"))?;
        assert!(expected.lines().count() > 4, "{name}: {expected}");
        let vfs = copy(name)?;
        let open = || builder().open_in(Arc::new(vfs.clone()));
        let database = open().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(seen(&database)?, expected, "{name}");
        // It is a database like any other: it is written to, saved, and opened again.
        assert_eq!(
            lines(&database.connect()?, "PRAGMA integrity_check")?,
            "Text(\"database\")|Text(\"ok\")|\n",
            "{name}"
        );
        database.connect()?.execute_batch("CREATE TABLE new (x BIGINT); INSERT INTO new VALUES (1); CHECKPOINT")?;
        let after = contents(&database)?;
        drop(database);
        assert_eq!(contents(&open()?)?, after, "{name}: saved and opened again");
    }
    Ok(())
}

/// FORMAT with other lines under the checksum of the last.
fn of_format(lines: &str) -> Result<MemoryVfs> {
    let vfs = copy("log")?;
    let path = Path::new("FORMAT");
    let mut bytes = vec![0; vfs.len(path)? as usize];
    vfs.open(path)?.read_at(0, &mut bytes)?;
    let text = String::from_utf8(bytes).expect("text");
    let identity = text.lines().find(|line| line.starts_with("identity ")).expect("an identity");
    let body = format!("eddy database\n{lines}\n{identity}\n");
    let text = format!("{body}checksum {:08x}\n", crc32c::crc32c(body.as_bytes()));
    vfs.remove(path)?;
    vfs.create(path)?.append(text.as_bytes())?;
    Ok(vfs)
}

#[test]
fn a_format_of_a_later_version_is_refused_with_a_word() -> Result<()> {
    builder().open_in(Arc::new(of_format("format 1")?))?;
    for (lines, word) in [("format 2", "format 2"), ("format 1\nneeds compression", "needs compression")] {
        for read_only in [false, true] {
            let vfs = of_format(lines)?;
            let refused = builder().read_only(read_only).open_in(Arc::new(vfs)).expect_err("a later version's");
            assert_eq!(refused.sqlstate(), "0A000", "{refused}");
            assert!(refused.message().contains(word), "{refused}");
            assert!(refused.hint().is_some_and(|hint| hint.contains("later")), "{refused}");
        }
    }
    Ok(())
}
