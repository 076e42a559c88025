//! The time of a statement: what `now()` is in INSERT, transactions, views and reads.

use std::sync::Arc;

use eddydb::{Connection, Database, ManualClock, Result};

use super::{advance, integers, lines};

const SECOND: i64 = 1_000_000;

fn clocked() -> Result<(Arc<ManualClock>, Connection)> {
    let clock = Arc::new(ManualClock::new(1_700_000_000 * SECOND));
    let connection = Database::builder().clock(clock.clone()).build()?.connect()?;
    Ok((clock, connection))
}

#[test]
fn rows_are_stamped_with_the_time_of_their_statement() -> Result<()> {
    let (clock, connection) = clocked()?;
    connection.execute_batch("CREATE TABLE t (ts TIMESTAMPTZ, a INT); INSERT INTO t VALUES (now(), 1)")?;
    advance(&clock, 3 * SECOND);
    connection.execute_batch("INSERT INTO t SELECT now(), 2; UPDATE t SET a = 3 WHERE ts = now()")?;
    let late = "SELECT CAST(extract(epoch FROM ts) AS BIGINT) FROM t ORDER BY a";
    assert_eq!(integers(&connection, late)?, [1_700_000_000, 1_700_000_003]);
    assert_eq!(lines(&connection, "SELECT a FROM t")?, ["1", "3"]);
    Ok(())
}

#[test]
fn a_transaction_keeps_the_time_of_its_begin() -> Result<()> {
    let (clock, connection) = clocked()?;
    connection.execute_batch(
        "CREATE TABLE t (ts TIMESTAMPTZ, a INT); INSERT INTO t VALUES (now(), 1);
         CREATE MATERIALIZED VIEW recent AS SELECT a FROM t WHERE ts > now() - INTERVAL '2 seconds'",
    )?;
    advance(&clock, 3 * SECOND);
    connection.run("BEGIN")?;
    let now = "SELECT CAST(extract(epoch FROM now()) AS BIGINT)";
    assert_eq!(integers(&connection, now)?, [1_700_000_003]);
    advance(&clock, 5 * SECOND);
    assert_eq!(integers(&connection, now)?, [1_700_000_003]);
    assert_eq!(lines(&connection, "SELECT a FROM recent")?, Vec::<String>::new());
    connection.execute_batch("INSERT INTO t VALUES (now(), 2)")?;
    assert_eq!(lines(&connection, "SELECT a FROM recent")?, ["2"]);
    connection.run("COMMIT")?;
    assert_eq!(lines(&connection, "SELECT a FROM recent")?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_view_over_now_is_its_query_at_every_read() -> Result<()> {
    let (clock, connection) = clocked()?;
    let query = "SELECT a FROM t WHERE ts > now() - INTERVAL '2 seconds'";
    connection.execute_batch(&format!(
        "CREATE TABLE t (ts TIMESTAMPTZ, a INT);
         CREATE MATERIALIZED VIEW v AS {query}; CREATE VIEW p AS SELECT a FROM v;
         CREATE MATERIALIZED VIEW above AS SELECT count(*) AS n FROM v;
         INSERT INTO t VALUES (now(), 1)"
    ))?;
    for step in 0..4 {
        let expected = lines(&connection, query)?;
        assert_eq!(lines(&connection, "SELECT a FROM v")?, expected, "step {step}");
        assert_eq!(lines(&connection, "SELECT a FROM p")?, expected, "step {step}");
        assert_eq!(lines(&connection, "SELECT n FROM above")?, [expected.len().to_string()], "step {step}");
        connection.execute_batch("VERIFY v; VERIFY above")?;
        advance(&clock, SECOND);
    }
    assert!(lines(&connection, "SELECT a FROM v")?.is_empty());
    Ok(())
}
