//! Views come back in the background: the database opens at once, and whatever is done meanwhile is right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddydb::{Database, EventKind, Result, SimulatedVfs};

use super::lines;
use crate::random::Random;

/// A database whose views are not filled until somebody waits for one.
fn held(disk: &SimulatedVfs) -> Result<Database> {
    Database::builder().target_partitions(1).hold_views().open_in(Arc::new(disk.clone()))
}

fn made(script: &str) -> Result<SimulatedVfs> {
    let disk = SimulatedVfs::new(1);
    held(&disk)?.connect()?.execute_batch(script)?;
    Ok(disk)
}

const CHAIN: &str = "CREATE TABLE t (k BIGINT, v BIGINT); INSERT INTO t VALUES (1, 10), (2, 20), (1, 5);
    CREATE MATERIALIZED VIEW s AS SELECT k, sum(v) AS v FROM t GROUP BY k;
    CREATE MATERIALIZED VIEW m AS SELECT max(v) AS v FROM s;
    CREATE MATERIALIZED VIEW lazy AS SELECT m.v, now() > '2000-01-01' AS late FROM m";

const STATES: &str = "SELECT name, state FROM eddy.views ORDER BY name";

#[test]
fn reads_and_writes_go_on_while_views_are_awaited() -> Result<()> {
    let disk = made(CHAIN)?;
    let database = held(&disk)?;
    let connection = database.connect()?;
    let awaited =
        "Text(\"lazy\")|Text(\"lazy\")|\nText(\"m\")|Text(\"rebuilding\")|\nText(\"s\")|Text(\"rebuilding\")|\n";
    assert_eq!(lines(&connection, STATES)?, awaited);
    assert_eq!(lines(&connection, "SELECT v FROM m")?, "Integer(20)|\n");
    connection.execute_batch("INSERT INTO t VALUES (1, 100)")?;
    assert_eq!(lines(&connection, "SELECT v FROM m")?, "Integer(115)|\n");
    assert_eq!(lines(&connection, "SELECT v FROM lazy")?, "Integer(115)|\n");
    connection.execute_batch("VERIFY MATERIALIZED VIEW m; BEGIN; INSERT INTO t VALUES (1, 1)")?;
    assert_eq!(lines(&connection, "SELECT v FROM m")?, "Integer(116)|\n");
    connection.execute_batch("ROLLBACK")?;
    let plan = lines(&connection, "EXPLAIN MATERIALIZED VIEW m")?;
    assert!(plan.contains("being filled again"), "{plan}");
    assert_eq!(lines(&connection, STATES)?, awaited, "nobody has waited");
    database.wait_for_views()?;
    assert_eq!(lines(&connection, STATES)?, awaited.replace("rebuilding", "maintained"));
    connection
        .execute_batch("INSERT INTO t VALUES (1, 100); VERIFY MATERIALIZED VIEW m; VERIFY MATERIALIZED VIEW s")?;
    assert_eq!(lines(&connection, "SELECT v FROM m")?, "Integer(215)|\n");
    Ok(())
}

#[test]
fn who_follows_a_view_waits_for_it() -> Result<()> {
    let disk = made(CHAIN)?;
    for following in ["SUBSCRIBE m", "SUBSCRIBE (SELECT v + 0 AS v FROM m)", "SUBSCRIBE (SELECT v FROM lazy)"] {
        let database = held(&disk)?;
        let connection = database.connect()?;
        let subscription = connection.subscribe(following)?;
        let first = subscription.recv()?;
        assert_eq!((first.kind, first.changes.num_rows()), (EventKind::Snapshot, 1), "{following}");
        connection.execute_batch("INSERT INTO t VALUES (3, 1000)")?;
        let change = subscription.recv()?;
        assert_eq!((change.kind, change.changes.num_rows()), (EventKind::Change, 2), "{following}");
        connection.execute_batch("DELETE FROM t WHERE k = 3")?;
        assert_eq!(subscription.recv()?.changes.num_rows(), 2, "{following}");
    }
    let connection = held(&disk)?.connect()?;
    connection.execute_batch(
        "CREATE MATERIALIZED VIEW above AS SELECT v * 2 AS v FROM m; CREATE SUBSCRIPTION f ON s;
         INSERT INTO t VALUES (2, 100)",
    )?;
    assert_eq!(lines(&connection, "SELECT v FROM above")?, "Integer(240)|\n");
    connection.execute_batch("VERIFY MATERIALIZED VIEW above")
}

#[test]
fn definitions_change_while_views_are_awaited() -> Result<()> {
    for (change, states) in [
        ("DROP MATERIALIZED VIEW lazy; DROP MATERIALIZED VIEW m", "s maintained"),
        ("ALTER TABLE t ADD COLUMN x TEXT; INSERT INTO t VALUES (1, 7, 'x')", "lazy lazy, m maintained, s maintained"),
        ("DROP MATERIALIZED VIEW lazy; ALTER MATERIALIZED VIEW m RENAME TO mm", "mm maintained, s maintained"),
        (
            "CREATE OR REPLACE MATERIALIZED VIEW s AS SELECT k, min(v) AS v FROM t GROUP BY k",
            "lazy lazy, m maintained, s maintained",
        ),
        ("CREATE OR REPLACE MATERIALIZED VIEW m AS SELECT min(v) AS v FROM t", "lazy lazy, m maintained, s maintained"),
        ("REFRESH MATERIALIZED VIEW m; REFRESH MATERIALIZED VIEW s", "lazy lazy, m maintained, s maintained"),
        ("REFRESH MATERIALIZED VIEW s; INSERT INTO t VALUES (8, 8)", "lazy lazy, m maintained, s maintained"),
        ("CHECKPOINT; INSERT INTO t VALUES (9, 9)", "lazy lazy, m maintained, s maintained"),
    ] {
        let disk = made(CHAIN)?;
        for _ in 0..2 {
            let database = held(&disk)?;
            let connection = database.connect()?;
            if lines(&connection, "SELECT * FROM eddy.views WHERE state = 'rebuilding'")?.is_empty() {
                continue;
            }
            let result = connection.execute_batch(change);
            let again = result.as_ref().is_err_and(|error| ["42P01", "42701"].contains(&error.sqlstate()));
            assert!(result.is_ok() || again, "{change}: {result:?}");
            database.wait_for_views()?;
            let found =
                lines(&connection, "SELECT string_agg(name || ' ' || state, ', ' ORDER BY name) FROM eddy.views")?;
            assert_eq!(found, format!("Text(\"{states}\")|\n"), "{change}");
            connection.execute_batch("INSERT INTO t (k, v) VALUES (1, 77), (5, 5); DELETE FROM t WHERE k = 2")?;
            for view in states.split(", ").filter_map(|state| state.split(' ').next()) {
                connection.execute_batch(&format!("VERIFY MATERIALIZED VIEW {view}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_view_that_has_no_room_fails_alone() -> Result<()> {
    let disk = made(
        "CREATE TABLE t (k BIGINT); INSERT INTO t SELECT * FROM generate_series(1, 600000);
         CREATE MATERIALIZED VIEW large AS SELECT k, count(*) AS n, sum(k) AS s FROM t GROUP BY k;
         CREATE MATERIALIZED VIEW above AS SELECT max(n) AS n FROM large;
         CREATE MATERIALIZED VIEW small AS SELECT count(*) AS n FROM t; CHECKPOINT",
    )?;
    let database = Database::builder().memory_limit(24 << 20).open_in(Arc::new(disk.clone()))?;
    let error = database.wait_for_views().unwrap_err();
    assert!(error.message().contains("memory limit"), "{error}");
    let connection = database.connect()?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while lines(&connection, STATES)?.contains("rebuilding") && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let states =
        "Text(\"above\")|Text(\"failed\")|\nText(\"large\")|Text(\"failed\")|\nText(\"small\")|Text(\"maintained\")|\n";
    assert_eq!(lines(&connection, STATES)?, states);
    assert_eq!(lines(&connection, "SELECT n FROM small")?, "Integer(600000)|\n");
    connection.execute_batch("SET memory_limit = 'none'; REFRESH MATERIALIZED VIEW large; INSERT INTO t VALUES (1)")?;
    database.wait_for_views()?;
    assert_eq!(lines(&connection, "SELECT n FROM above")?, "Integer(2)|\n", "what lies above comes back by itself");
    assert_eq!(lines(&connection, STATES)?, states.replace("failed", "maintained"));
    Ok(())
}

/// Closing waits for no view, however long it takes to fill.
#[test]
fn closing_calls_rebuilds_off() -> Result<()> {
    let disk = made(
        "CREATE TABLE t (k BIGINT); INSERT INTO t SELECT * FROM generate_series(1, 3000);
         CREATE TABLE u AS SELECT * FROM t LIMIT 1; CREATE MATERIALIZED VIEW pairs AS
         SELECT a.k % 1000 AS k, count(*) AS n FROM u AS a JOIN t AS b ON a.k < b.k GROUP BY a.k % 1000;
         INSERT INTO u SELECT * FROM t",
    )?;
    for pause in [0, 1, 5, 20, 80] {
        let database = Database::builder().open_in(Arc::new(disk.clone()))?;
        std::thread::sleep(Duration::from_millis(pause));
        let start = Instant::now();
        drop(database);
        assert!(start.elapsed() < Duration::from_secs(3), "{pause} ms: {:?}", start.elapsed());
    }
    Ok(())
}

/// Commits, definitions and reads race with the rebuilds of a chain of views; at the end all are what they should be.
#[test]
fn rebuilds_race_with_everything() -> Result<()> {
    let seed: u64 = std::env::var("EDDY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let disk = made(&format!(
        "{CHAIN}; CREATE TABLE u (k BIGINT, name TEXT); CREATE VIEW plain AS SELECT k, v FROM s WHERE v > 0;
         CREATE MATERIALIZED VIEW j AS SELECT u.name, sum(plain.v) AS v FROM plain LEFT JOIN u ON u.k = plain.k GROUP BY u.name;
         CREATE MATERIALIZED VIEW r AS SELECT name, v, row_number() OVER (ORDER BY v, name) AS n FROM j;
         INSERT INTO t SELECT value % 50, value FROM generate_series(1, 5000)"
    ))?;
    for round in 0..12 {
        let mut random = Random::new(seed, &format!("awaited {round}"));
        let database = Database::builder().target_partitions(1).open_in(Arc::new(disk.clone()))?;
        let connection = database.connect()?;
        let subscription = random.one_in(2).then(|| connection.subscribe("SUBSCRIBE r")).transpose()?;
        for _ in 0..random.below(12) {
            let k = random.below(50);
            connection.execute_batch(&match random.below(9) {
                0 | 1 => format!("INSERT INTO t (k, v) VALUES ({k}, {})", random.below(1000)),
                2 => format!("DELETE FROM t WHERE k = {k}"),
                3 => format!("INSERT INTO u (k, name) VALUES ({k}, 'n{}')", k % 7),
                4 => format!("UPDATE u SET name = 'm{}' WHERE k = {k}", k % 5),
                5 => "REFRESH MATERIALIZED VIEW s".to_string(),
                6 => "CREATE OR REPLACE VIEW plain AS SELECT k, v FROM s WHERE v <> 0".to_string(),
                7 => "SELECT count(*) FROM r".to_string(),
                _ => "CREATE OR REPLACE MATERIALIZED VIEW j AS SELECT u.name, sum(plain.v) AS v
                      FROM plain JOIN u ON u.k = plain.k GROUP BY u.name"
                    .to_string(),
            })?;
        }
        if random.one_in(3) {
            continue;
        }
        database.wait_for_views()?;
        for view in ["s", "m", "j", "r"] {
            let verified = connection.execute_batch(&format!("VERIFY MATERIALIZED VIEW {view}"));
            assert!(verified.is_ok(), "seed {seed} round {round} {view}: {verified:?}");
        }
        drop(subscription);
    }
    Ok(())
}

/// A view of time that is attached shows the time of now, not that at which it was filled.
#[test]
fn a_view_of_time_is_attached_at_the_time_of_now() -> Result<()> {
    let disk = SimulatedVfs::new(1);
    let clock = Arc::new(eddydb::ManualClock::new(1_000_000));
    let open = || Database::builder().hold_views().clock(clock.clone()).open_in(Arc::new(disk.clone()));
    open()?.connect()?.execute_batch(
        "CREATE TABLE t (at TIMESTAMP); INSERT INTO t VALUES ('1970-01-01 00:00:05'), ('1970-01-01 00:00:50');
         CREATE MATERIALIZED VIEW past AS SELECT at FROM t WHERE at <= now()::TIMESTAMP;
         CREATE SUBSCRIPTION f ON past; DROP SUBSCRIPTION f; CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM past",
    )?;
    let database = open()?;
    clock.set(10_000_000);
    let connection = database.connect()?;
    assert_eq!(lines(&connection, "SELECT count(*) FROM past WHERE now() > '1970-01-01'")?, "Integer(1)|\n");
    database.wait_for_views()?;
    assert_eq!(lines(&connection, "SELECT n FROM n")?, "Integer(1)|\n");
    clock.set(60_000_000);
    assert_eq!(lines(&connection, "SELECT n FROM n WHERE now() > '1970-01-01'")?, "Integer(2)|\n");
    connection.execute_batch("VERIFY MATERIALIZED VIEW n; VERIFY MATERIALIZED VIEW past")
}
