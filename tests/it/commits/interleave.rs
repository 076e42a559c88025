//! Four connections at once: definitions, rows, transactions, readers and subscribers in whatever order threads run.
//!
//! What each connection does follows from the seed; how the four are interleaved does not. Statements may be refused (a
//! name is taken, a commit conflicts), but at the end every view equals its query, every subscriber's sum is what its
//! relation holds, and the recorded log makes an equal database.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread;

use eddydb::{Connection, Database, ErrorKind, MemoryLog, Result, Subscription};

use super::{lines, weighted};
use crate::random::Random;

/// Statements of one connection.
const STATEMENTS: usize = 14;

#[test]
fn whatever_the_order_views_subscribers_and_log_agree() -> Result<()> {
    let first = std::env::var("EDDY_INTERLEAVINGS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let count = std::env::var("EDDY_INTERLEAVINGS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    for seed in first..first + count {
        interleaving(seed)
            .unwrap_or_else(|error| panic!("EDDY_INTERLEAVINGS_SEED={seed} EDDY_INTERLEAVINGS=1: {error}"));
    }
    Ok(())
}

fn interleaving(seed: u64) -> Result<()> {
    let log = MemoryLog::default();
    let db = Database::builder().record(log.clone()).target_partitions(1).build()?;
    let connection = db.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, g BIGINT, v BIGINT, spare TEXT); CREATE TABLE u (k BIGINT, w BIGINT);
         CREATE STREAM s (k BIGINT);
         CREATE VIEW p AS SELECT g, v FROM t WHERE v > 10;
         CREATE MATERIALIZED VIEW sums AS SELECT g, count(*) AS n, sum(v) AS total FROM t GROUP BY g;
         CREATE MATERIALIZED VIEW joined AS SELECT t.id, t.v, u.w FROM t JOIN u ON t.g = u.k;
         CREATE MATERIALIZED VIEW over_p AS SELECT max(v) AS m FROM p;
         CREATE MATERIALIZED VIEW top AS SELECT sum(n) AS n, sum(total) AS total FROM sums;",
    )?;
    let followed = ["t", "sums", "joined", "top", "SELECT g, v + 1 AS v FROM p", "SELECT k FROM s"];
    let mut followers: Vec<_> =
        followed.iter().map(|sql| Ok((*sql, connection.subscribe(sql)?, BTreeMap::new()))).collect::<Result<_>>()?;
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4u64)
        .map(|number| {
            let (db, barrier) = (db.clone(), barrier.clone());
            thread::spawn(move || -> Result<()> {
                let connection = db.connect()?;
                barrier.wait();
                work(&connection, &mut Random::new(seed, &format!("connection {number}")), number)
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic")?;
    }
    let views = lines(&connection, "SELECT name FROM eddy.views WHERE kind = 'materialized view'")?;
    for view in &views {
        // A view that has failed has nothing to compare.
        match connection.execute_batch(&format!("VERIFY MATERIALIZED VIEW {view}")) {
            Err(error) if error.kind() != ErrorKind::ViewFailed => return Err(error),
            _ => {}
        }
    }
    for (sql, subscription, sums) in &mut followers {
        check_follower(&connection, sql, subscription, sums)?;
    }
    check_replay(&connection, &log, &views)
}

/// What is refused for a reason that another connection may have given.
fn is_expected(error: &eddydb::Error) -> bool {
    use ErrorKind as K;
    matches!(error.kind(), K::Conflict | K::NotFound | K::AlreadyExists | K::Dependency | K::Constraint | K::Invalid)
        || matches!(error.kind(), K::ViewFailed | K::Data | K::Type | K::Transaction)
}

fn work(connection: &Connection, random: &mut Random, number: u64) -> Result<()> {
    let mut open = false;
    for step in 0..STATEMENTS {
        let id = number * 1000 + step as u64;
        let statement = match (random.below(22), number) {
            (0, _) if !open => "BEGIN".to_string(),
            (0..=1, _) if open => "COMMIT".to_string(),
            (kind, 0..=1) if kind > 13 && !open => definition(random, id),
            (kind, _) => rows(kind, random, id),
        };
        match connection.execute_batch(&statement) {
            Ok(()) => open = (open || statement == "BEGIN") && statement != "COMMIT",
            Err(error) if is_expected(&error) => {
                if open {
                    open = false;
                    connection.execute_batch("ROLLBACK")?;
                }
            }
            Err(error) => panic!("{statement}: {error}"),
        }
    }
    if open && let Err(error) = connection.execute_batch("COMMIT") {
        assert!(is_expected(&error), "{error}");
    }
    Ok(())
}

fn rows(kind: usize, random: &mut Random, id: u64) -> String {
    let (g, v) = (random.below(4), random.below(30));
    match kind {
        2..=6 => format!("INSERT INTO t (id, g, v) VALUES ({id}, {g}, {v}), ({}, {g}, {v})", id + 100_000),
        7 => format!("INSERT INTO t (id, g, v) SELECT w + {id} * 1000, k, w FROM u"),
        8 | 9 => format!("UPDATE t SET v = v + 1 WHERE g = {g}"),
        10 => format!("DELETE FROM t WHERE v % 5 = {}", v % 5),
        11 | 12 => format!("INSERT INTO u (k, w) VALUES ({g}, {v})"),
        13 => format!("INSERT INTO s VALUES ({v})"),
        14 => format!("INSERT INTO t (id, g, v) VALUES ({g}, 1, {v}) ON CONFLICT (id) DO UPDATE SET v = excluded.v"),
        15 => "SELECT * FROM top".into(),
        16 => "SELECT count(*) FROM joined JOIN sums ON true".into(),
        17 => format!("DELETE FROM u WHERE w = {v}"),
        _ => format!("INSERT INTO t (id, g, v) SELECT n + {id} * 100, g, n FROM sums"),
    }
}

fn definition(random: &mut Random, id: u64) -> String {
    let name = random.below(3);
    match random.below(22) {
        0 => format!("ALTER TABLE t ADD COLUMN c{name} BIGINT DEFAULT {id}"),
        1 => format!("ALTER TABLE t DROP COLUMN c{name}"),
        2 => format!("ALTER TABLE t RENAME COLUMN c{name} TO c{}", (name + 1) % 3),
        3 => format!("ALTER TABLE t ALTER COLUMN c{name} TYPE TEXT"),
        4 => format!("CREATE MATERIALIZED VIEW m{name} AS SELECT g, sum(v) AS s FROM t GROUP BY g"),
        5 => format!("CREATE MATERIALIZED VIEW m{name} AS SELECT * FROM t"),
        6 => format!("DROP MATERIALIZED VIEW m{name}"),
        7 => "REFRESH MATERIALIZED VIEW sums".into(),
        8 => "CREATE OR REPLACE MATERIALIZED VIEW sums AS SELECT g, count(*) AS n, sum(v) AS total FROM t GROUP BY g"
            .into(),
        9 => "CREATE OR REPLACE MATERIALIZED VIEW sums AS SELECT g, count(*) AS n, max(v) AS total FROM t GROUP BY g"
            .into(),
        10 => format!("CREATE OR REPLACE VIEW p AS SELECT g, v FROM t WHERE v > {}", random.below(20)),
        11 => format!("CREATE UNIQUE INDEX ix{name} ON t (id, v)"),
        12 => format!("DROP INDEX ix{name}"),
        13 => "ALTER TABLE u ADD COLUMN x BIGINT, ALTER COLUMN w SET DEFAULT 3".into(),
        14 => "ALTER TABLE u DROP COLUMN x".into(),
        15 => "TRUNCATE u".into(),
        16 => format!("CREATE TABLE copy{name} AS SELECT * FROM t"),
        17 => format!("DROP TABLE copy{name}"),
        18 => format!("CREATE OR REPLACE TABLE copy{name} AS SELECT k, w FROM u"),
        19 => "ALTER TABLE t DROP COLUMN spare".into(),
        20 => "ALTER TABLE u ALTER COLUMN k SET NOT NULL".into(),
        _ => "ALTER TABLE u ALTER COLUMN k DROP NOT NULL".into(),
    }
}

/// The sum of all that a subscriber was told is what its query gives; unless it was ended, or has failed.
fn check_follower(
    connection: &Connection,
    sql: &str,
    subscription: &Subscription,
    sums: &mut BTreeMap<String, i64>,
) -> Result<()> {
    let mut last = 0;
    loop {
        match subscription.try_recv() {
            Ok(Some(event)) => {
                assert!(event.epoch >= last, "{sql}: epochs go back");
                last = event.epoch;
                for (row, weight) in weighted(&event.changes) {
                    let sum = sums.entry(row).or_insert(0);
                    *sum += weight;
                    assert!(*sum >= 0, "{sql}: a row was taken back that was not there");
                }
            }
            Ok(None) => break,
            Err(_) => return Ok(()),
        }
    }
    let columns =
        subscription.schema().fields().iter().map(|f| format!("\"{}\"", f.name())).collect::<Vec<_>>().join(", ");
    let from = if sql.contains(' ') { format!("({sql}) q") } else { sql.to_string() };
    let held = match lines(connection, &format!("SELECT {columns} FROM {from}")) {
        // Its columns may be gone by name although the subscriber still has them.
        Err(error) if matches!(error.kind(), ErrorKind::ViewFailed | ErrorKind::NotFound) => return Ok(()),
        held => held?,
    };
    let told: Vec<String> = sums.iter().flat_map(|(row, &sum)| vec![row.clone(); sum as usize]).collect();
    assert_eq!(told, held, "{sql}: what was told is not what is there");
    Ok(())
}

fn check_replay(connection: &Connection, log: &MemoryLog, views: &[String]) -> Result<()> {
    let second = MemoryLog::default();
    let copy = Database::builder().record(second.clone()).target_partitions(1).build()?;
    copy.replay(&log.records())?;
    let other = copy.connect()?;
    assert_eq!(connection.database().epoch(), copy.epoch());
    let tables = lines(connection, "SELECT name FROM eddy.tables WHERE kind IN ('table', 'stream')")?;
    for relation in tables.iter().chain(views) {
        let query = format!("SELECT * FROM \"{relation}\"");
        match lines(connection, &query) {
            Err(error) if error.kind() == ErrorKind::ViewFailed => continue,
            rows => assert_eq!(rows?, lines(&other, &query)?, "{relation}"),
        }
    }
    assert_eq!(format!("{:?}", log.records()), format!("{:?}", second.records()), "the log of the replay is the log");
    Ok(())
}
