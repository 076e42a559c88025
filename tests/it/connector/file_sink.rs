//! The file sink: what is in its files is what happened, once.

use std::fs;
use std::path::Path;

use eddydb::{Connection, Database, Result};

use super::{expect, lines, open};

fn files(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits until a sink has acknowledged everything.
fn drained(connection: &Connection) -> Result<()> {
    expect(connection, "SELECT coalesce(sum(waiting_rows), 0)::BIGINT FROM eddy.sinks", 0)
}

#[test]
fn rows_of_a_stream_are_written_plainly_and_once() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let (database, connection) = open(&directory.path().join("db"))?;
    connection.execute_batch("CREATE STREAM s (n BIGINT, t TEXT); INSERT INTO s VALUES (1, 'a'), (1, 'a')")?;
    connection.execute_batch(&format!(
        "CREATE SINK f FROM s WITH (connector = 'file', path = '{}', format = 'parquet', interval = '5 ms')",
        out.display()
    ))?;
    drained(&connection)?;
    assert_eq!(files(&out), ["000000000003-000000000003.parquet"], "the rows that were there");
    connection.execute_batch("INSERT INTO s VALUES (2, 'b')")?;
    drained(&connection)?;
    drop((connection, database));
    let (_database, connection) = open(&directory.path().join("db"))?;
    connection.execute_batch("INSERT INTO s VALUES (3, 'c')")?;
    drained(&connection)?;
    let all = format!("SELECT n, t FROM '{}' ORDER BY n", out.join("*.parquet").display());
    assert_eq!(lines(&connection, &all)?, "1|a\n1|a\n2|b\n3|c\n");
    assert_eq!(files(&out).len(), 3);
    Ok(())
}

#[test]
fn a_view_that_takes_rows_back_is_written_with_epochs_and_weights() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let (database, connection) = open(&directory.path().join("db"))?;
    connection.execute_batch(&format!(
        "CREATE TABLE t (k BIGINT, v BIGINT);
         CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v)::BIGINT AS total FROM t GROUP BY k;
         CREATE SINK f FROM sums WITH (connector = 'file', path = '{}', format = 'ndjson', rows = 1);
         INSERT INTO t VALUES (1, 10), (2, 5)",
        out.display()
    ))?;
    drained(&connection)?;
    connection.execute_batch("ALTER SINK f PAUSE; INSERT INTO t VALUES (1, 1); DELETE FROM t WHERE k = 2")?;
    drop((connection, database));
    let (_database, connection) = open(&directory.path().join("db"))?;
    expect(&connection, "SELECT state FROM eddy.sinks", "paused".to_string())?;
    connection.execute_batch("ALTER SINK f RESUME")?;
    drained(&connection)?;
    let all = out.join("*.ndjson");
    let now = format!(
        "SELECT k, total FROM (SELECT k, total, sum(_weight) AS w FROM '{}' GROUP BY ALL) WHERE w <> 0",
        all.display()
    );
    assert_eq!(lines(&connection, &now)?, "1|11\n");
    let changes = format!("SELECT k, total, _weight FROM '{}' ORDER BY _epoch, k, _weight", all.display());
    assert_eq!(lines(&connection, &changes)?, "1|10|1\n2|5|1\n1|10|-1\n1|11|1\n2|5|-1\n");
    Ok(())
}

#[test]
fn a_sink_feeds_a_stream_with_what_grows() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let (database, connection) = open(&directory.path().join("db"))?;
    connection.execute_batch(
        "CREATE STREAM s (n BIGINT); CREATE STREAM big (n BIGINT, double BIGINT);
         INSERT INTO s VALUES (1), (20);
         CREATE MATERIALIZED VIEW v AS SELECT n, n * 2 AS double FROM s WHERE n > 10;
         CREATE SINK f INTO big FROM v; INSERT INTO s VALUES (30), (2)",
    )?;
    expect(&connection, "SELECT count(*) FROM big", 2)?;
    drop((connection, database));
    let (_database, connection) = open(&directory.path().join("db"))?;
    connection.execute_batch("INSERT INTO s VALUES (40)")?;
    expect(&connection, "SELECT count(*) FROM big", 3)?;
    assert_eq!(lines(&connection, "SELECT n, double FROM big ORDER BY n")?, "20|40\n30|60\n40|80\n");
    for refused in ["DROP STREAM big", "DROP MATERIALIZED VIEW v", "SELECT * FROM f", "INSERT INTO f VALUES (1)"] {
        assert!(connection.execute_batch(refused).is_err(), "{refused}");
    }
    connection.execute_batch("DROP SINK f; INSERT INTO s VALUES (50)")?;
    std::thread::sleep(std::time::Duration::from_millis(20));
    expect(&connection, "SELECT count(*) FROM big", 3)
}

#[test]
fn a_sink_waits_for_a_directory_that_is_away() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let (out, away) = (directory.path().join("out"), directory.path().join("away"));
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch(&format!(
        "CREATE STREAM s (n BIGINT);
         CREATE SINK f FROM s WITH (connector = 'file', path = '{}', format = 'csv', rows = 1)",
        out.display()
    ))?;
    drained(&connection)?;
    fs::rename(&out, &away).unwrap();
    fs::write(&out, "no directory").unwrap();
    connection.execute_batch("INSERT INTO s VALUES (1)")?;
    expect(&connection, "SELECT state FROM eddy.sinks", "retrying".to_string())?;
    fs::remove_file(&out).unwrap();
    fs::rename(&away, &out).unwrap();
    drained(&connection)?;
    expect(&connection, "SELECT state FROM eddy.sinks", "running".to_string())?;
    let all = format!("SELECT count(*) FROM '{}'", out.join("*.csv").display());
    expect(&connection, &all, 1)
}
