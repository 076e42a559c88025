//! Subscriptions that last: what was not acknowledged comes again, the same epochs with the same rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use eddydb::{
    Connection, Database, EventKind, Fault, ManualClock, Result, SimulatedVfs, Subscription, SubscriptionEvent,
};

use super::{lines, open};
use crate::random::Random;

/// Rows with their weights, as text.
pub type Rows = BTreeMap<String, i64>;

/// Somebody outside who applies what it is told, once, and remembers all of it.
#[derive(Default)]
pub struct Consumer {
    pub told: BTreeMap<u64, Rows>,
    pub acknowledged: u64,
}

impl Consumer {
    /// Reads what there is; an epoch that was told before must be told the same.
    pub fn read(&mut self, subscription: &Subscription, what: &str) -> Result<()> {
        let mut last = 0;
        while let Some(event) = subscription.try_recv()? {
            assert!(event.epoch > self.acknowledged, "{what}: epoch {} was acknowledged", event.epoch);
            assert!(event.epoch > last, "{what}: epochs are in order");
            last = event.epoch;
            let rows = rows_of(&event)?;
            if let Some(before) = self.told.get(&event.epoch) {
                assert_eq!(*before, rows, "{what}: epoch {} came again with other rows", event.epoch);
                continue;
            }
            let newest = self.told.keys().next_back().copied().unwrap_or(0);
            assert!(event.epoch > newest, "{what}: epoch {} came late, behind {newest}", event.epoch);
            self.told.insert(event.epoch, rows);
        }
        // Whatever is not acknowledged came again.
        let wanted = self.told.range(self.acknowledged + 1..).next_back().map_or(0, |(epoch, _)| *epoch);
        assert!(last >= wanted, "{what}: told up to {last}, but epoch {wanted} was told before: {:?}", self.told);
        Ok(())
    }

    /// What all that was told comes to.
    pub fn contents(&self) -> Rows {
        let mut contents = Rows::new();
        for (row, weight) in self.told.values().flatten() {
            *contents.entry(row.clone()).or_default() += weight;
        }
        contents.retain(|_, weight| *weight != 0);
        contents
    }
}

fn rows_of(event: &SubscriptionEvent) -> Result<Rows> {
    let batch = event.as_record_batch()?;
    let weights = batch.column(1).as_primitive::<arrow::datatypes::Int64Type>().clone();
    let options = FormatOptions::default().with_null("NULL");
    let columns = batch.columns()[2..].iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    let mut rows = Rows::new();
    for row in 0..batch.num_rows() {
        let text: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
        *rows.entry(text.join("|")).or_default() += weights.value(row);
    }
    Ok(rows)
}

/// The rows of a relation, as a consumer of it has them.
pub fn rows_in(connection: &Connection, relation: &str) -> Result<Rows> {
    let mut rows = Rows::new();
    for batch in connection.query_arrow(&format!("SELECT * FROM {relation}"), ())? {
        let batch = batch?;
        let options = FormatOptions::default().with_null("NULL");
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let text: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            *rows.entry(text.join("|")).or_default() += 1;
        }
    }
    Ok(rows)
}

const SCRIPT: [&str; 14] = [
    "CREATE TABLE t (k BIGINT, v BIGINT)",
    "INSERT INTO t VALUES (1, 10), (2, 20), (1, 5)",
    "CREATE MATERIALIZED VIEW s AS SELECT k, count(*) AS n, sum(v) AS v FROM t GROUP BY k",
    "CREATE MATERIALIZED VIEW top AS SELECT max(n) AS n FROM s",
    "CREATE SUBSCRIPTION f ON s",
    "CREATE SUBSCRIPTION g ON top WITH (snapshot = false, on_full = 'block')",
    "INSERT INTO t VALUES (3, 1), (1, 1)",
    "CHECKPOINT",
    "DELETE FROM t WHERE k = 2",
    "UPDATE t SET v = v + 1 WHERE k = 1",
    "CREATE OR REPLACE MATERIALIZED VIEW s AS SELECT k, count(*) AS n, min(v) AS v FROM t GROUP BY k",
    "REFRESH MATERIALIZED VIEW s",
    "ALTER TABLE t ADD COLUMN x TEXT DEFAULT 'new'",
    "INSERT INTO t VALUES (9, 9, 'x')",
];

#[test]
fn unacknowledged_changes_come_again_after_a_restart() -> Result<()> {
    let disk = SimulatedVfs::new(1);
    let mut consumer = Consumer::default();
    for (n, statement) in SCRIPT.iter().enumerate() {
        let database = open(&disk)?;
        let connection = database.connect()?;
        connection.execute_batch(statement).unwrap_or_else(|error| panic!("{statement}: {}", error.render("")));
        if n < 4 {
            continue;
        }
        consumer.read(&connection.subscribe("SUBSCRIBE SUBSCRIPTION f")?, statement)?;
        assert_eq!(consumer.contents(), rows_in(&connection, "s")?, "{statement}");
        if n % 3 == 0 {
            let epoch = *consumer.told.keys().next_back().expect("the rows it began with");
            connection.execute_batch(&format!("ACKNOWLEDGE SUBSCRIPTION f UP TO {epoch}"))?;
            consumer.acknowledged = epoch;
        }
    }
    assert!(consumer.told.len() > 5, "{:?}", consumer.told);
    Ok(())
}

/// Power is lost at every operation of the script, and once more while the database is opened again.
#[test]
fn a_power_cut_repeats_and_loses_no_change() -> Result<()> {
    let seeds = std::env::var("EDDY_CRASH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in 0..seeds {
        let operations = {
            let disk = SimulatedVfs::new(seed);
            run(&disk, &mut [Consumer::default(), Consumer::default()], "whole")?;
            disk.operations()
        };
        for operation in 0..operations {
            let disk = SimulatedVfs::new(seed << 32 | operation);
            let what = format!("seed {seed} operation {operation}");
            let mut consumers = [Consumer::default(), Consumer::default()];
            disk.fail_at(operation, Fault::Crash);
            run(&disk, &mut consumers, &what)?;
            disk.restart();
            disk.fail_at(disk.operations() + operation % 19, Fault::Crash);
            drop(open(&disk));
            disk.restart();
            let database = open(&disk).unwrap_or_else(|error| panic!("{what}: {}", error.render("")));
            let connection = database.connect()?;
            for (name, view, consumer) in [("f", "s", 0), ("g", "top", 1)] {
                let consumer = &mut consumers[consumer];
                let Ok(subscription) = connection.subscribe(&format!("SUBSCRIBE SUBSCRIPTION {name}")) else {
                    assert!(consumer.told.is_empty(), "{what}: the subscription is gone");
                    continue;
                };
                // An acknowledgement that was not answered may count.
                let acknowledged = acknowledged(&connection, name)?;
                assert!(acknowledged >= consumer.acknowledged, "{what}: {acknowledged}");
                consumer.acknowledged = acknowledged.max(consumer.acknowledged);
                consumer.read(&subscription, &what)?;
                if view == "s" {
                    assert_eq!(consumer.contents(), rows_in(&connection, view)?, "{what}");
                }
                connection.execute_batch("INSERT INTO t (k, v) VALUES (77, 7)")?;
                drop(subscription);
                consumer.read(&connection.subscribe(&format!("SUBSCRIBE SUBSCRIPTION {name}"))?, &what)?;
                if view == "s" {
                    assert_eq!(consumer.contents(), rows_in(&connection, view)?, "{what}: and it goes on");
                }
            }
        }
        println!("seed {seed}: {operations} power cuts");
    }
    Ok(())
}

pub fn acknowledged(connection: &Connection, name: &str) -> Result<u64> {
    let sql = format!("SELECT acknowledged_epoch FROM eddy.subscriptions WHERE name = '{name}'");
    connection.query_row(&sql, (), |row| row.get::<i64>(0)).map(|epoch| epoch as u64)
}

/// Runs the script until the disk fails, reading and acknowledging on the way.
fn run(disk: &SimulatedVfs, consumers: &mut [Consumer; 2], what: &str) -> Result<()> {
    let Ok(database) = open(disk) else { return Ok(()) };
    let connection = database.connect()?;
    for (n, statement) in SCRIPT.iter().enumerate() {
        if connection.execute_batch(statement).is_err() {
            return Ok(());
        }
        for (name, consumer) in [("f", 0), ("g", 1)] {
            let Ok(subscription) = connection.subscribe(&format!("SUBSCRIBE SUBSCRIPTION {name}")) else { continue };
            consumers[consumer].read(&subscription, what)?;
            if let Some((&epoch, _)) = consumers[consumer].told.last_key_value()
                && (n + consumer) % 3 == 0
                && connection.execute_batch(&format!("ACKNOWLEDGE SUBSCRIPTION {name} UP TO {epoch}")).is_ok()
            {
                consumers[consumer].acknowledged = epoch;
            }
        }
    }
    Ok(())
}

#[test]
fn random_histories_tell_every_change_once() -> Result<()> {
    let seed: u64 = std::env::var("EDDY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for history in 0..6 {
        let mut random = Random::new(seed, &format!("subscriptions {history}"));
        let disk = SimulatedVfs::new(random.next());
        let every = [1 << 12, 1 << 30][random.below(2)];
        let builder = || Database::builder().target_partitions(1).checkpoint_every(every);
        let mut database = builder().open_in(Arc::new(disk.clone()))?;
        database.connect()?.execute_batch(
            "CREATE TABLE t (k BIGINT, v DOUBLE, w TEXT); CREATE TABLE u (k BIGINT PRIMARY KEY, name TEXT);
             CREATE MATERIALIZED VIEW j AS SELECT u.name, t.w, sum(t.v) AS s, count(*) AS n
                 FROM t LEFT JOIN u ON t.k = u.k GROUP BY u.name, t.w;
             CREATE SUBSCRIPTION f ON j; CREATE SUBSCRIPTION raw ON t",
        )?;
        let (mut joined, mut raw) = (Consumer::default(), Consumer::default());
        for step in 0..60 {
            let what = format!("seed {seed} history {history} step {step}");
            let connection = database.connect()?;
            let k = random.below(6);
            match random.below(12) {
                0..=3 => connection.execute_batch(&format!(
                    "INSERT INTO t VALUES ({k}, {}.5, 'w{}'), ({k}, 1, NULL)",
                    random.below(9),
                    random.below(3)
                ))?,
                4 => connection.execute_batch(&format!("DELETE FROM t WHERE k = {k}"))?,
                5 => connection.execute_batch(&format!("UPDATE t SET v = v * 2, k = {k} WHERE w = 'w1'"))?,
                6 => connection.execute_batch(&format!(
                    "INSERT INTO u VALUES ({k}, 'n{step}') ON CONFLICT (k) DO UPDATE SET name = excluded.name"
                ))?,
                7 => connection.execute_batch("CHECKPOINT")?,
                8 => connection.execute_batch("REFRESH MATERIALIZED VIEW j")?,
                9 | 10 => {
                    if random.one_in(2) {
                        disk.restart();
                    }
                    drop(connection);
                    drop(database);
                    database = builder().open_in(Arc::new(disk.clone()))?;
                }
                _ => {
                    for (name, view, consumer) in [("f", "j", &mut joined), ("raw", "t", &mut raw)] {
                        consumer.read(&connection.subscribe(&format!("SUBSCRIBE SUBSCRIPTION {name}"))?, &what)?;
                        assert_eq!(consumer.contents(), rows_in(&connection, view)?, "{what}: {name}");
                        let told: Vec<u64> =
                            consumer.told.range(consumer.acknowledged + 1..).map(|(e, _)| *e).collect();
                        if !told.is_empty() {
                            let epoch = told[random.below(told.len())];
                            connection.execute_batch(&format!("ACKNOWLEDGE SUBSCRIPTION {name} UP TO {epoch}"))?;
                            consumer.acknowledged = epoch;
                        }
                    }
                }
            }
        }
        let connection = database.connect()?;
        joined.read(&connection.subscribe("SUBSCRIBE SUBSCRIPTION f")?, "the end")?;
        assert_eq!(joined.contents(), rows_in(&connection, "j")?, "seed {seed} history {history}");
        connection.execute_batch("VERIFY MATERIALIZED VIEW j")?;
    }
    Ok(())
}

#[test]
fn a_subscription_expires_with_its_retention_and_says_so_for_good() -> Result<()> {
    let disk = SimulatedVfs::new(3);
    let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
    let open = || Database::builder().clock(clock.clone()).open_in(Arc::new(disk.clone()));
    let database = open()?;
    let connection = database.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (a BIGINT);
         CREATE SUBSCRIPTION f ON t WITH (retention = '1 day', snapshot = false); INSERT INTO t VALUES (1)",
    )?;
    let reader = connection.subscribe("SUBSCRIBE SUBSCRIPTION f")?;
    assert_eq!(reader.recv()?.changes.num_rows(), 1);
    clock.set(1_700_000_000_000_000 + 90_000 * 1_000_000);
    connection.execute_batch("INSERT INTO t VALUES (2)")?;
    let error = reader.recv().unwrap_err();
    assert_eq!(error.sqlstate(), "72000", "{error}");
    assert!(error.message().contains("retention"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("CREATE OR REPLACE")), "{error:?}");
    drop((reader, connection, database));
    let database = open()?;
    let connection = database.connect()?;
    assert_eq!(connection.subscribe("SUBSCRIBE SUBSCRIPTION f").unwrap_err().sqlstate(), "72000");
    assert_eq!(connection.execute_batch("ACKNOWLEDGE SUBSCRIPTION f UP TO 3").unwrap_err().sqlstate(), "72000");
    assert_eq!(lines(&connection, "SELECT state FROM eddy.subscriptions")?, "Text(\"expired\")|\n");
    connection.execute_batch("CREATE OR REPLACE SUBSCRIPTION f ON t")?;
    let again = connection.subscribe("SUBSCRIBE SUBSCRIPTION f")?.recv()?;
    assert_eq!((again.kind, again.changes.num_rows()), (EventKind::Snapshot, 2));
    Ok(())
}

#[test]
fn a_subscription_that_is_full_holds_writers_up_or_expires() -> Result<()> {
    let database = Database::in_memory()?;
    let connection = database.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (a BIGINT); INSERT INTO t SELECT * FROM generate_series(1, 5000000);
         CREATE SUBSCRIPTION e ON t; CREATE SUBSCRIPTION b ON t WITH (snapshot = false, on_full = 'block');
         INSERT INTO t VALUES (-1)",
    )?;
    // The rows of the beginning do not count.
    assert_eq!(lines(&connection, "SELECT DISTINCT state FROM eddy.subscriptions")?, "Text(\"active\")|\n");
    connection.execute_batch("INSERT INTO t SELECT * FROM generate_series(1, 5000000)")?;
    assert_eq!(connection.subscribe("SUBSCRIBE SUBSCRIPTION e").unwrap_err().sqlstate(), "72000");
    connection.execute_batch("SET statement_timeout = '200 ms'")?;
    let error = connection.execute_batch("INSERT INTO t VALUES (1)").unwrap_err();
    assert!(error.message().contains("subscription \"b\" was full"), "{error}");
    let writer = {
        let connection = database.connect()?;
        std::thread::spawn(move || connection.execute_batch("INSERT INTO t VALUES (0)"))
    };
    std::thread::sleep(Duration::from_millis(50));
    let subscription = connection.subscribe("SUBSCRIBE SUBSCRIPTION b")?;
    assert_eq!(subscription.recv()?.changes.num_rows(), 1);
    let first = subscription.recv()?;
    assert_eq!(first.changes.num_rows(), 5_000_000);
    assert!(!writer.is_finished());
    connection.execute_batch(&format!("ACKNOWLEDGE SUBSCRIPTION b UP TO {}", first.epoch))?;
    writer.join().expect("the writer goes on")?;
    assert_eq!(subscription.recv()?.changes.num_rows(), 1);
    Ok(())
}

#[test]
fn a_database_that_is_only_read_has_subscriptions_but_does_not_follow() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let writer = Database::open(directory.path())?;
    let connection = writer.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (a BIGINT); CREATE MATERIALIZED VIEW v AS SELECT sum(a) AS s FROM t;
         CREATE SUBSCRIPTION f ON v; INSERT INTO t VALUES (1); CHECKPOINT; INSERT INTO t VALUES (2)",
    )?;
    drop(connection);
    writer.close()?;
    let reader = Database::builder().read_only(true).open(directory.path())?.connect()?;
    assert_eq!(lines(&reader, "SELECT name, relation FROM eddy.subscriptions")?, "Text(\"f\")|Text(\"v\")|\n");
    assert_eq!(lines(&reader, "SELECT s FROM v")?, "Integer(3)|\n");
    assert_eq!(reader.subscribe("SUBSCRIBE SUBSCRIPTION f").unwrap_err().sqlstate(), "25006");
    assert_eq!(reader.execute_batch("ACKNOWLEDGE SUBSCRIPTION f UP TO 4").unwrap_err().sqlstate(), "25006");
    Ok(())
}

#[test]
fn as_of_an_epoch_before_the_restart_names_what_outlives_it() -> Result<()> {
    let disk = SimulatedVfs::new(1);
    let database = open(&disk)?;
    database
        .connect()?
        .execute_batch("CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")?;
    let epoch = database.epoch();
    drop(database);
    let connection = open(&disk)?.connect()?;
    connection.execute_batch("INSERT INTO t VALUES (3)")?;
    assert_eq!(connection.subscribe(&format!("SUBSCRIBE t AS OF {epoch}"))?.recv()?.changes.num_rows(), 1);
    let error = connection.subscribe(&format!("SUBSCRIBE t AS OF {}", epoch - 1)).unwrap_err();
    assert_eq!(error.sqlstate(), "72000", "{error}");
    assert!(error.message().contains(&format!("the oldest is {epoch}")), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("CREATE SUBSCRIPTION")), "{error:?}");
    Ok(())
}

/// What waits for too long is given up by the clock, whether anything is committed or not.
#[test]
fn retention_passes_while_nothing_happens() -> Result<()> {
    let clock = Arc::new(ManualClock::new(0));
    let database = Database::builder().target_partitions(1).clock(clock.clone()).build()?;
    let connection = database.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (k BIGINT);
         CREATE SUBSCRIPTION s ON t WITH (retention = '1 second', snapshot = false);
         INSERT INTO t VALUES (1);",
    )?;
    let subscription = connection.subscribe("SUBSCRIPTION s")?;
    subscription.recv()?;
    let epoch = database.epoch();
    clock.set(60_000_000);
    let error = loop {
        if let Err(error) = subscription.recv_timeout(Duration::from_secs(20)) {
            break error;
        }
    };
    assert_eq!(error.sqlstate(), "72000", "{}", error.message());
    while database.epoch() == epoch {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
