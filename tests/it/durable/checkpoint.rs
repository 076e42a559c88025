//! What checkpoints save, and that they cost what has changed.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::DataType;
use eddydb::{Database, MemoryVfs, Result, UserFunction, Vfs};

use super::lines;
use super::subscriptions::{Consumer, rows_in};

/// A database in a directory and one in memory that are told the same.
struct Twins {
    vfs: MemoryVfs,
    every: u64,
    stored: Option<Database>,
    memory: Database,
}

impl Twins {
    fn new(every: u64) -> Result<Self> {
        let vfs = MemoryVfs::default();
        let memory = Database::builder().target_partitions(1).build()?;
        let mut twins = Twins { vfs, every, stored: None, memory };
        twins.reopen()?;
        Ok(twins)
    }

    fn reopen(&mut self) -> Result<()> {
        self.stored = None;
        let builder = Database::builder().target_partitions(1).checkpoint_every(self.every);
        self.stored = Some(builder.open_in(Arc::new(self.vfs.clone()))?);
        Ok(())
    }

    fn stored(&self) -> &Database {
        self.stored.as_ref().expect("open")
    }

    fn tell(&self, sql: &str) -> Result<()> {
        self.memory.connect()?.execute_batch(sql)?;
        self.stored().connect()?.execute_batch(sql)
    }

    fn compare(&self, sql: &str, what: &str) -> Result<()> {
        let (expected, found) = (lines(&self.memory.connect()?, sql)?, lines(&self.stored().connect()?, sql)?);
        assert_eq!(expected, found, "{what}: {sql}");
        Ok(())
    }

    fn bytes(&self, directory: &str) -> Result<u64> {
        let names = self.vfs.list(Path::new(directory))?;
        names.iter().map(|name| self.vfs.len(&Path::new(directory).join(name))).sum()
    }
}

const ROWS: &str = "SELECT k, v, s FROM t ORDER BY ALL";
const SUMS: &str = "SELECT count(*), sum(k), sum(v), min(s), max(s), count(s) FROM t";

#[test]
fn random_changes_between_checkpoints_and_restarts_are_all_there() -> Result<()> {
    let seed: u64 = std::env::var("EDDY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut twins = Twins::new(512 << 10)?;
    twins.tell("CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT, s TEXT)")?;
    twins.tell("CREATE MATERIALIZED VIEW n AS SELECT v % 7 AS g, count(*) AS n, sum(k) AS k FROM t GROUP BY v % 7")?;
    let mut next = 1;
    for step in 0..60 {
        let what = format!("seed {seed} step {step}");
        match draw(10) {
            0..=3 => {
                let count = [1, 10, 3_000, 40_000][draw(4) as usize];
                twins.tell(&format!(
                    "INSERT INTO t SELECT value, value % 1000, CASE WHEN value % 5 = 0 THEN NULL ELSE 'row ' || value END
                     FROM generate_series({next}, {})",
                    next + count - 1
                ))?;
                next += count;
            }
            4 => twins.tell(&format!("DELETE FROM t WHERE k % {} = 0", 2 + draw(50)))?,
            5 => twins.tell(&format!("UPDATE t SET v = v + 1 WHERE k % {} = 0", 3 + draw(500)))?,
            6 => twins.tell(&format!("DELETE FROM t WHERE k < {}", draw(next)))?,
            7 => twins.tell(&format!(
                "INSERT INTO t VALUES ({}, 1, 'again') ON CONFLICT (k) DO UPDATE SET v = t.v + excluded.v",
                draw(next)
            ))?,
            8 => twins.stored().checkpoint()?,
            _ => twins.reopen()?,
        }
        twins.compare(SUMS, &what)?;
        twins.compare("SELECT * FROM n ORDER BY ALL", &what)?;
        let (low, high) = (draw(next), draw(next));
        for filter in [
            format!("k BETWEEN {low} AND {}", low + 5000),
            format!("k >= {low} AND v < 10"),
            format!("k < {low} OR k > {high}"),
            format!("k IN ({low}, {high}, -1)"),
            format!("s = 'row {low}'"),
            format!("s > 'row {high}' AND s <= 'row 9'"),
            format!("{low} = k"),
            format!("k > {low} AND k < 1000000 AND s IS NULL"),
        ] {
            twins.compare(&format!("{SUMS} WHERE {filter}"), &what)?;
        }
    }
    twins.tell("DROP MATERIALIZED VIEW n")?;
    twins.tell("ALTER TABLE t ADD COLUMN w TEXT DEFAULT 'new'")?;
    twins.tell("ALTER TABLE t ALTER COLUMN v TYPE DOUBLE")?;
    twins.tell("UPDATE t SET w = 'old' WHERE k % 3 = 0")?;
    twins.stored().checkpoint()?;
    twins.tell("ALTER TABLE t DROP COLUMN s")?;
    twins.tell("ALTER TABLE t ADD COLUMN s BIGINT")?;
    twins.reopen()?;
    twins.compare(ROWS, "at the end")?;
    twins.tell("INSERT INTO t (k, v) VALUES (-1, 0.5)")?;
    twins.compare("SELECT * FROM t ORDER BY ALL", "at the end")
}

#[test]
fn a_checkpoint_writes_what_has_changed_and_shortens_the_log() -> Result<()> {
    let mut twins = Twins::new(u64::MAX)?;
    twins.tell("CREATE TABLE t (k BIGINT, v BIGINT, s TEXT)")?;
    twins.tell("INSERT INTO t SELECT value, value, 'row' FROM generate_series(1, 400000)")?;
    twins.stored().checkpoint()?;
    let (saved, first) = (twins.bytes("seg")?, twins.bytes("wal")?);
    assert!(saved > 400_000 * 16, "{saved}");
    // Spread over all rows, and new ones.
    twins.tell("DELETE FROM t WHERE k % 1000 = 0")?;
    twins.tell("INSERT INTO t SELECT value, value, 'new' FROM generate_series(400001, 400400)")?;
    twins.stored().checkpoint()?;
    let changed = 400 * 40;
    let written = twins.bytes("seg")? - saved;
    assert!(written <= 3 * changed, "{written} bytes for {changed} that changed");
    twins.compare(SUMS, "after the checkpoint")?;
    for round in 0..20 {
        twins.tell("INSERT INTO t SELECT value, value, repeat('x', 1000) FROM generate_series(1, 5000)")?;
        twins.stored().checkpoint()?;
        twins.tell("DELETE FROM t WHERE length(s) > 3")?;
        assert!(twins.bytes("wal")? < first + (80 << 20), "round {round}: {} bytes of log", twins.bytes("wal")?);
    }
    twins.stored().checkpoint()?;
    twins.reopen()?;
    twins.compare(SUMS, "opened again")
}

#[test]
fn a_backup_is_a_database_of_its_own() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("copy.eddy");
    for is_stored in [false, true] {
        let original = match is_stored {
            true => Database::open(directory.path().join("shop.eddy"))?,
            false => Database::in_memory()?,
        };
        let connection = original.connect()?;
        connection.execute_batch(
            "CREATE TABLE t (k BIGINT PRIMARY KEY, v TEXT);
             INSERT INTO t SELECT value, 'row ' || value FROM generate_series(1, 100000);
             CREATE MATERIALIZED VIEW m AS SELECT k % 3 AS g, count(*) AS n FROM t GROUP BY k % 3;
             CREATE MATERIALIZED VIEW l AS SELECT * FROM t ORDER BY k LIMIT 3;
             DELETE FROM t WHERE k % 10 = 0;
             CHECKPOINT;
             DELETE FROM t WHERE k % 10 = 1;",
        )?;
        let before = super::contents(&original)?;
        connection.execute_batch(&format!("BACKUP DATABASE TO '{}'", path.display()))?;
        assert_eq!(super::contents(&original)?, before);
        connection.execute_batch("DELETE FROM t WHERE k < 50000")?;
        let copy = Database::open(&path)?;
        assert_eq!(super::contents(&copy)?, before);
        assert_eq!(lines(&copy.connect()?, "PRAGMA integrity_check")?.matches("ok").count(), 1);
        assert!(copy.epoch() + 1 == original.epoch(), "{} {}", copy.epoch(), original.epoch());
        copy.connect()?.execute_batch("INSERT INTO t VALUES (10, 'again'), (200000, 'new')")?;
        let after = super::contents(&copy)?;
        drop(copy);
        assert_eq!(super::contents(&Database::open(&path)?)?, after);
        std::fs::remove_dir_all(&path)?;
    }
    Ok(())
}

#[test]
fn many_checkpoints_leave_few_files_and_little_that_nobody_needs() -> Result<()> {
    let mut twins = Twins::new(u64::MAX)?;
    twins.tell("CREATE TABLE t (k BIGINT, v BIGINT, s TEXT)")?;
    for round in 0..150 {
        twins.tell(&format!(
            "INSERT INTO t SELECT value, {round}, 'row' FROM generate_series({round}0000, {round}0000 + 8999)"
        ))?;
        twins.stored().checkpoint()?;
        if round % 10 == 9 {
            twins.tell(&format!("DELETE FROM t WHERE v % 3 <> 0 AND v < {round}"))?;
        }
        let files = twins.vfs.list(Path::new("seg"))?.len();
        assert!(files <= 64 + 20, "round {round}: {files} files");
    }
    twins.compare(SUMS, "after many checkpoints")?;
    twins.tell("DELETE FROM t WHERE v < 140")?;
    twins.stored().checkpoint()?;
    twins.reopen()?;
    twins.compare(SUMS, "opened again")?;
    twins.stored().checkpoint()?;
    twins.tell("INSERT INTO t VALUES (1, 1, 'last')")?;
    twins.stored().checkpoint()?;
    let rows: i64 = twins.memory.connect()?.query_row("SELECT count(*) FROM t", (), |row| row.get(0))?;
    assert!(twins.bytes("seg")? < rows as u64 * 48 * 3, "{} bytes for {rows} rows", twins.bytes("seg")?);
    twins.compare(SUMS, "at the end")?;
    twins.reopen()?;
    twins.compare(SUMS, "at the end, opened again")
}

#[test]
fn a_checkpoint_that_fails_leaves_no_file_behind() -> Result<()> {
    let disk = eddydb::SimulatedVfs::new(1);
    let database = super::open(&disk)?;
    let connection = database.connect()?;
    connection
        .execute_batch("CREATE TABLE t (k BIGINT); INSERT INTO t SELECT value FROM generate_series(1, 100000)")?;
    let vfs: &dyn Vfs = &disk;
    for after in 0..6 {
        disk.fail_at(disk.operations() + after, eddydb::Fault::Full);
        if database.checkpoint().is_err() {
            let left = if vfs.exists(Path::new("seg"))? { vfs.list(Path::new("seg"))?.len() } else { 0 };
            assert!(left <= 1, "{after}: {left} files");
        }
    }
    database.checkpoint()?;
    assert_eq!(lines(&connection, "SELECT count(*) FROM t")?, "Integer(100000)|\n");
    Ok(())
}

#[test]
fn short_sessions_shorten_the_log_too() -> Result<()> {
    let mut twins = Twins::new(u64::MAX)?;
    twins.tell("CREATE TABLE t (k BIGINT, v BIGINT, s TEXT)")?;
    for round in 0..12 {
        twins.tell(&format!("INSERT INTO t SELECT value, {round}, repeat('x', 100) FROM generate_series(1, 2000)"))?;
        twins.reopen()?;
        assert!(twins.bytes("wal")? < 3 << 20, "round {round}: {} bytes of log", twins.bytes("wal")?);
    }
    twins.compare(SUMS, "after many sessions")
}

/// What a follower was not told yet because its view has failed is saved with the rest.
#[test]
fn what_is_held_back_while_a_view_fails_is_saved() -> Result<()> {
    for view in [
        "SELECT a, 10 / a AS q FROM t",
        "SELECT 10 / a AS q, count(*) AS n FROM t GROUP BY 10 / a",
        "SELECT a, sum(10 / a) OVER (ORDER BY a) AS q FROM t",
    ] {
        for closes in 0..4 {
            let vfs = MemoryVfs::default();
            let mut database = Database::builder().target_partitions(1).open_in(Arc::new(vfs.clone()))?;
            let mut connection = database.connect()?;
            connection.execute_batch(&format!(
                "CREATE TABLE t (a INT);
                 INSERT INTO t VALUES (5), (7);
                 CREATE MATERIALIZED VIEW v AS {view};
                 CREATE SUBSCRIPTION s ON v;"
            ))?;
            let mut consumer = Consumer::default();
            let script = [
                "INSERT INTO t VALUES (1)",
                "INSERT INTO t VALUES (0)",
                "INSERT INTO t VALUES (2); DELETE FROM t WHERE a = 5",
                "CHECKPOINT",
                "INSERT INTO t VALUES (3)",
                "CHECKPOINT; INSERT INTO t VALUES (4)",
                "DELETE FROM t WHERE a = 0",
                "CHECKPOINT; INSERT INTO t VALUES (6)",
            ];
            for (n, statement) in script.iter().enumerate() {
                let what = format!("{view}, {closes}: {statement}");
                connection.execute_batch(statement).unwrap_or_else(|error| panic!("{what}: {}", error.render("")));
                if n % 4 == closes || closes == 3 {
                    drop((connection, database));
                    database = Database::builder().target_partitions(1).open_in(Arc::new(vfs.clone()))?;
                    database.wait_for_views().ok();
                    connection = database.connect()?;
                }
                consumer.read(&connection.subscribe("SUBSCRIPTION s")?, &what)?;
            }
            assert_eq!(consumer.contents(), rows_in(&connection, "v")?, "{view}, {closes}");
        }
    }
    Ok(())
}

/// A view that cannot be filled any more ends who follows it, and nothing else.
#[test]
fn a_database_opens_where_a_followed_view_cannot_be_filled() -> Result<()> {
    let vfs = MemoryVfs::default();
    let function = || UserFunction {
        name: "same".into(),
        arguments: vec![DataType::Int64],
        result: DataType::Int64,
        deterministic: true,
        function: Arc::new(|columns| Ok(columns[0].clone())),
    };
    for checkpoint in ["", "CHECKPOINT"] {
        let open = || Database::builder().target_partitions(1);
        let database = open().scalar_function(function())?.open_in(Arc::new(vfs.clone()))?;
        let connection = database.connect()?;
        connection.execute_batch("CREATE TABLE IF NOT EXISTS t (a BIGINT); INSERT INTO t VALUES (1)")?;
        connection.execute_batch(
            "CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT same(a) AS a FROM t;
             CREATE OR REPLACE SUBSCRIPTION s ON v;",
        )?;
        connection.execute_batch(checkpoint)?;
        drop((connection, database));
        let database = open().open_in(Arc::new(vfs.clone()))?;
        let connection = database.connect()?;
        assert_eq!(lines(&connection, "SELECT min(a) FROM t")?, "Integer(1)|\n");
        match connection.subscribe("SUBSCRIPTION s") {
            // What was saved for it waits for it still.
            Ok(subscription) if !checkpoint.is_empty() => assert_eq!(subscription.recv()?.changes.num_rows(), 1),
            Ok(_) => panic!("the rows it begins with are not there"),
            Err(expired) => {
                assert_eq!((expired.sqlstate(), checkpoint), ("72000", ""));
                assert!(expired.message().contains("same"), "{}", expired.message());
            }
        }
    }
    Ok(())
}
