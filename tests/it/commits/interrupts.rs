//! Everything long can be called off, and what is called off has either not happened or is whole.

use std::time::{Duration, Instant};

use eddydb::{Connection, Database, ErrorKind, Result};

use super::integers;

/// How many rows keep a join busy for seconds, optimised or not.
const ROWS: i64 = if cfg!(debug_assertions) { 2500 } else { 20_000 };

/// A relation whose join with itself takes seconds.
fn slow() -> Result<Connection> {
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch(&format!("CREATE TABLE n AS SELECT value AS v FROM generate_series(1, {ROWS})"))?;
    Ok(connection)
}

const SLOW_VIEW: &str = "CREATE MATERIALIZED VIEW slow AS SELECT count(*) AS c FROM n a JOIN n b ON a.v * b.v % 7 = 3";

/// Runs a statement under a timeout; fails if the answer does not come soon after it.
fn timed(connection: &Connection, sql: &str) -> Result<()> {
    connection.run("SET statement_timeout = '100 ms'")?;
    let begun = Instant::now();
    let result = connection.execute_batch(sql);
    let taken = begun.elapsed();
    connection.run("SET statement_timeout = 0")?;
    // Much more than the tenth of a second that is promised: the machine of a test is busy, its code not optimised.
    assert!(taken < Duration::from_millis(1500), "{sql} took {taken:?}");
    result
}

#[test]
fn filling_a_view_is_called_off_and_leaves_nothing() -> Result<()> {
    let connection = slow()?;
    let epoch = connection.database().epoch();
    let error = timed(&connection, SLOW_VIEW).expect_err("it takes longer");
    assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Timeout, "57014"));
    assert_eq!(connection.database().epoch(), epoch);
    assert_eq!(connection.run("SELECT * FROM slow").map(drop).expect_err("it was not made").sqlstate(), "42P01");
    Ok(())
}

#[test]
fn refreshing_a_view_is_called_off_and_it_stays_as_it_was() -> Result<()> {
    let connection = slow()?;
    connection.execute_batch(SLOW_VIEW)?;
    let before = integers(&connection, "SELECT c FROM slow")?;
    let error = timed(&connection, "REFRESH MATERIALIZED VIEW slow").expect_err("it takes longer");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(integers(&connection, "SELECT c FROM slow")?, before);
    Ok(())
}

#[test]
fn a_commit_past_the_door_is_whole_although_its_wait_was_called_off() -> Result<()> {
    let connection = slow()?;
    connection.execute_batch(SLOW_VIEW)?;
    let epoch = connection.database().epoch();
    connection.take_notices();
    timed(&connection, "UPDATE n SET v = v + 1")?;
    let notices = connection.take_notices();
    assert!(notices.iter().any(|notice| notice.contains("committed as epoch")), "{notices:?}");
    // Another commit waits behind it, and can be called off without a trace.
    let other = connection.database().connect()?;
    let error = timed(&other, "INSERT INTO n VALUES (100000)").expect_err("the views are still at work");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    while connection.database().epoch() == epoch {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(integers(&connection, "SELECT min(v) FROM n")?, [2]);
    assert_eq!(integers(&connection, "SELECT max(v) FROM n")?, [ROWS + 1]);
    connection.execute_batch("VERIFY slow")
}

#[test]
fn another_thread_can_call_off_what_waits() -> Result<()> {
    let connection = slow()?;
    let handle = connection.interrupt_handle();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        handle.interrupt();
        Instant::now()
    });
    let error = connection.execute_batch(SLOW_VIEW).expect_err("it was cancelled");
    let ended = Instant::now();
    let cancelled = canceller.join().expect("no panic");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(ended.duration_since(cancelled) < Duration::from_millis(1500));
    Ok(())
}
