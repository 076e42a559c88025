//! The recorded log decides nothing again: definitions, defaults and rows come back as they were.

use std::sync::Arc;

use eddydb::{Database, ManualClock, MemoryLog, Result};

use super::{advance, lines};

/// Runs a script, replays its log and compares what every query gives, and the log of the replay with the log.
fn replayed(script: &[&str], queries: &[&str]) -> Result<()> {
    let log = MemoryLog::default();
    let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
    let original = Database::builder().record(log.clone()).clock(clock.clone()).build()?;
    let connection = original.connect()?;
    for statement in script {
        connection.execute_batch(statement)?;
        advance(&clock, 1_000_000);
    }
    let second = MemoryLog::default();
    let copy = Database::builder().record(second.clone()).clock(Arc::new(ManualClock::new(0))).build()?;
    copy.replay(&log.records())?;
    assert_eq!(original.epoch(), copy.epoch());
    for query in queries {
        assert_eq!(lines(&connection, query)?, lines(&copy.connect()?, query)?, "{query}");
    }
    assert_eq!(format!("{:?}", log.records()), format!("{:?}", second.records()), "the log of the replay is the log");
    Ok(())
}

#[test]
fn prepared_ddl_and_computed_defaults_come_back_as_they_were() -> Result<()> {
    replayed(
        &[
            "PREPARE p AS CREATE TABLE x (a BIGINT); EXECUTE p",
            "INSERT INTO x VALUES (1), (2)",
            "ALTER TABLE x ADD COLUMN r BIGINT DEFAULT CAST(random() * 1000000000 AS BIGINT)",
            "CREATE TABLE y AS SELECT a, random() AS r, now() AS n FROM x",
        ],
        &["SELECT a, r FROM x", "SELECT a, r, n FROM y"],
    )
}

#[test]
fn every_kind_of_definition_comes_back() -> Result<()> {
    replayed(
        &[
            "CREATE TABLE t (id BIGINT PRIMARY KEY, g BIGINT, note TEXT)",
            "CREATE MATERIALIZED VIEW sums AS SELECT g, count(*) AS n, sum(id) AS s FROM t GROUP BY g",
            "CREATE VIEW p AS SELECT id FROM t WHERE g = 1; CREATE MATERIALIZED VIEW m AS SELECT sum(id) AS s FROM p",
            "INSERT INTO t SELECT value, value % 3, 'n' || value FROM generate_series(1, 50)",
            "ALTER TABLE t ADD COLUMN x BIGINT DEFAULT 5, DROP COLUMN note",
            "UPDATE t SET x = id WHERE g = 2; DELETE FROM t WHERE id % 7 = 0",
            "CREATE UNIQUE INDEX ux ON t (id, g); ALTER TABLE t ALTER x TYPE TEXT",
            "CREATE OR REPLACE VIEW p AS SELECT id FROM t WHERE g = 2",
            "CREATE OR REPLACE MATERIALIZED VIEW sums AS SELECT g, count(*) AS n, max(id) AS s FROM t GROUP BY g",
            "REFRESH MATERIALIZED VIEW sums; DROP INDEX ux",
            "BEGIN; INSERT INTO t VALUES (100, 1, 'a'), (101, 2, 'b'); DELETE FROM t WHERE id = 1; COMMIT",
            "CREATE STREAM e (k BIGINT); INSERT INTO e VALUES (1); TRUNCATE t; ALTER STREAM e RENAME TO f",
            "INSERT INTO t VALUES (7, 1, NULL)",
        ],
        &["SELECT * FROM t", "SELECT * FROM sums", "SELECT * FROM m", "SELECT * FROM f"],
    )
}
