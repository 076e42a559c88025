//! Subscriptions over REFRESH, OR REPLACE and ALTER: the exact difference, or an end with a reason.

use std::time::Duration;

use eddydb::{Connection, Database, EventKind, Result, Subscription};

use super::{lines, weighted};

/// Rows as text with their weights.
type Changes = Vec<(String, i64)>;

/// Everything that is in the queue: the sum of the changes, and why it ended if it did.
fn drained(subscription: &Subscription) -> Result<(Changes, Option<String>)> {
    let mut rows = Changes::new();
    loop {
        match subscription.recv_timeout(Duration::from_millis(20)) {
            Ok(Some(event)) => rows.extend(weighted(&event.changes)),
            Ok(None) => return Ok((net(rows), None)),
            Err(error) => return Ok((net(rows), Some(error.message().to_string()))),
        }
    }
}

fn net(rows: Changes) -> Changes {
    let mut sums = std::collections::BTreeMap::new();
    rows.into_iter().for_each(|(row, weight)| *sums.entry(row).or_insert(0) += weight);
    sums.into_iter().filter(|(_, weight)| *weight != 0).collect()
}

fn once(rows: &[&str]) -> Changes {
    rows.iter().map(|row| (row.to_string(), 1)).collect()
}

fn prepared(sql: &str) -> Result<Connection> {
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch(sql)?;
    Ok(connection)
}

#[test]
fn a_view_replaced_by_one_that_is_recomputed_goes_on_under_its_readers_and_ends_the_others() -> Result<()> {
    let connection = prepared(
        "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1), (2);
         CREATE MATERIALIZED VIEW v AS SELECT a FROM t;",
    )?;
    let (view, query) = (connection.subscribe("v")?, connection.subscribe("SELECT a + 100 AS b FROM v")?);
    assert_eq!(drained(&view)?.0, once(&["1", "2"]));
    assert_eq!(drained(&query)?.0, once(&["101", "102"]));
    connection.run(
        "CREATE OR REPLACE MATERIALIZED VIEW v AS
         WITH RECURSIVE r AS (SELECT a FROM t UNION ALL SELECT a + 10 FROM r WHERE a < 10) SELECT a FROM r",
    )?;
    for subscription in [&view, &query] {
        let (rows, end) = drained(subscription)?;
        match end {
            Some(reason) => assert!(reason.contains("\"v\" was replaced"), "{reason}"),
            None => assert!(!rows.is_empty(), "neither a difference nor an end"),
        }
    }
    Ok(())
}

#[test]
fn a_replaced_view_gives_its_difference_to_readers_and_subscribers() -> Result<()> {
    let connection = prepared(
        "CREATE TABLE t (a BIGINT, b BIGINT); INSERT INTO t VALUES (1, 10), (2, 20), (3, 30);
         CREATE MATERIALIZED VIEW v AS SELECT a, b FROM t WHERE a < 3;
         CREATE MATERIALIZED VIEW w AS SELECT sum(b) AS s FROM v;",
    )?;
    let (view, above) = (connection.subscribe("v")?, connection.subscribe("SELECT s FROM w")?);
    drop((drained(&view)?, drained(&above)?));
    connection.run("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT a, b FROM t WHERE a > 1")?;
    assert_eq!(drained(&view)?.0, [("1,10".to_string(), -1), ("3,30".to_string(), 1)]);
    assert_eq!(drained(&above)?.0, [("30".to_string(), -1), ("50".to_string(), 1)]);
    connection.execute_batch("INSERT INTO t VALUES (4, 40); VERIFY v; VERIFY w")?;
    assert_eq!(drained(&view)?, (once(&["4,40"]), None));
    Ok(())
}

#[test]
fn a_detached_view_tells_its_failure_and_after_refresh_the_difference_since() -> Result<()> {
    let connection = prepared(
        "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1), (1);
         CREATE MATERIALIZED VIEW v AS
           SELECT count(*) AS c FROM t t1, t t2, t t3, t t4, t t5, t t6, t t7;",
    )?;
    let (view, query) = (connection.subscribe("v")?, connection.subscribe("SELECT c + 1 AS d FROM v")?);
    assert_eq!(drained(&view)?.0, once(&["128"]));
    assert_eq!(drained(&query)?.0, once(&["129"]));
    connection.run("INSERT INTO t SELECT 1 FROM generate_series(1, 999)")?;
    for subscription in [&view, &query] {
        let failed = subscription.recv_timeout(Duration::from_secs(5))?.expect("it is told");
        assert!(matches!(failed.kind, EventKind::Failed(_)), "{failed:?}");
    }
    connection.execute_batch("DELETE FROM t; INSERT INTO t VALUES (1); REFRESH MATERIALIZED VIEW v")?;
    assert_eq!(drained(&view)?.0, [("1".to_string(), 1), ("128".to_string(), -1)]);
    assert_eq!(drained(&query)?.0, [("129".to_string(), -1), ("2".to_string(), 1)]);
    connection.run("INSERT INTO t VALUES (1)")?;
    assert_eq!(drained(&view)?.0, [("1".to_string(), -1), ("128".to_string(), 1)]);
    Ok(())
}

#[test]
fn a_subscription_keeps_its_columns_while_its_relation_gains_some() -> Result<()> {
    let connection = prepared("CREATE TABLE t (a BIGINT, b BIGINT); INSERT INTO t VALUES (1, 10)")?;
    let table = connection.subscribe("t")?;
    let query = connection.subscribe("SELECT * FROM t UNION ALL SELECT * FROM t")?;
    let narrow = connection.subscribe("SELECT a FROM t")?;
    assert_eq!(drained(&table)?.0, once(&["1,10"]));
    drop((drained(&query)?, drained(&narrow)?));
    connection.execute_batch(
        "ALTER TABLE t ADD COLUMN c BIGINT DEFAULT 7; INSERT INTO t VALUES (2, 20, 3); UPDATE t SET a = a + 10",
    )?;
    assert_eq!(table.schema().fields().len(), 2);
    let expected = [("1,10", -1), ("11,10", 1), ("12,20", 1)].map(|(row, weight)| (row.to_string(), weight));
    assert_eq!(drained(&table)?, (expected.to_vec(), None));
    assert_eq!(drained(&query)?.0, expected.map(|(row, weight)| (row, weight * 2)));
    connection.execute_batch("ALTER TABLE t DROP COLUMN b")?;
    let (_, end) = drained(&table)?;
    assert!(end.is_some_and(|reason| reason.contains("\"t\" has other columns now")));
    assert!(drained(&query)?.1.is_some());
    assert_eq!(lines(&connection, "SELECT * FROM t")?, ["11,7", "12,3"]);
    Ok(())
}

#[test]
fn as_of_reaches_back_over_a_new_column() -> Result<()> {
    let connection = prepared("CREATE TABLE t (a BIGINT, b BIGINT); INSERT INTO t VALUES (1, 10), (2, 20)")?;
    let epoch = connection.database().epoch();
    connection.execute_batch(
        "DELETE FROM t WHERE a = 1; ALTER TABLE t ADD COLUMN c BIGINT DEFAULT 7; INSERT INTO t VALUES (3, 30, 1)",
    )?;
    let since = connection.subscribe(&format!("SUBSCRIBE (SELECT a, b FROM t) AS OF {epoch}"))?;
    assert_eq!(drained(&since)?.0, [("1,10".to_string(), -1), ("3,30".to_string(), 1)]);
    let error = connection.subscribe(&format!("SUBSCRIBE t AS OF {epoch}")).expect_err("it had other columns then");
    assert!(error.message().contains("columns"), "{error}");
    Ok(())
}
