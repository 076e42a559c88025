//! ALTER against everything that was made for the columns before it.

use eddydb::{Database, ErrorKind, MemoryLog, Result, params};

use super::{integers, lines};

#[test]
fn a_transaction_over_an_altered_relation_is_refused_as_a_whole() -> Result<()> {
    let log = MemoryLog::default();
    let db = Database::builder().record(log.clone()).build()?;
    let (one, two) = (db.connect()?, db.connect()?);
    one.execute_batch(
        "CREATE TABLE u (a BIGINT); CREATE TABLE t (a BIGINT);
         CREATE MATERIALIZED VIEW nu AS SELECT count(*) AS n FROM u;
         CREATE MATERIALIZED VIEW nt AS SELECT count(*) AS n FROM t;
         BEGIN; INSERT INTO u VALUES (1); INSERT INTO t VALUES (1);",
    )?;
    two.run("ALTER TABLE t ADD COLUMN b BIGINT")?;
    let error = one.run("COMMIT").map(drop).expect_err("the rows are of the columns before");
    assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Conflict, "40001"));
    for query in ["SELECT count(*) FROM u", "SELECT n FROM nu", "SELECT count(*) FROM t", "SELECT n FROM nt"] {
        assert_eq!(integers(&one, query)?, [0], "{query}");
    }
    two.run("INSERT INTO u VALUES (2)")?;
    assert_eq!(integers(&one, "SELECT n FROM nu")?, [1]);
    one.execute_batch("VERIFY nu; VERIFY nt")?;
    let again = Database::in_memory()?;
    again.replay(&log.records())?;
    assert_eq!(integers(&again.connect()?, "SELECT n FROM nu")?, [1]);
    Ok(())
}

#[test]
fn an_appender_follows_its_columns_through_an_alter() -> Result<()> {
    let db = Database::in_memory()?;
    let connection = db.connect()?;
    connection.run("CREATE TABLE t (a BIGINT)")?;
    let mut appender = connection.appender("t")?;
    appender.append_row(params![1])?;
    connection.run("ALTER TABLE t ADD COLUMN b BIGINT DEFAULT 5")?;
    appender.flush()?;
    assert_eq!(lines(&connection, "SELECT a, b FROM t")?, ["1,5"]);
    appender.append_row(params![2, 6])?;
    connection.run("ALTER TABLE t DROP COLUMN b")?;
    let error = appender.flush().expect_err("a value for a column that is gone");
    assert_eq!(error.sqlstate(), "40001");
    Ok(())
}

#[test]
fn a_column_of_an_old_name_brings_no_old_values_back() -> Result<()> {
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (a BIGINT, b BIGINT); INSERT INTO t VALUES (1, 10), (2, 20);
         CREATE MATERIALIZED VIEW v AS SELECT a FROM t;
         ALTER TABLE t DROP COLUMN b; INSERT INTO t VALUES (3);
         ALTER TABLE t ADD COLUMN b BIGINT; INSERT INTO t VALUES (4, 40);",
    )?;
    assert_eq!(lines(&connection, "SELECT a, b FROM t")?, ["1,", "2,", "3,", "4,40"]);
    connection.execute_batch("UPDATE t SET b = a WHERE a < 3; DELETE FROM t WHERE a = 3; VERIFY v")?;
    assert_eq!(lines(&connection, "SELECT a, b FROM t")?, ["1,1", "2,2", "4,40"]);
    assert_eq!(lines(&connection, "SELECT a FROM v")?, ["1", "2", "4"]);
    Ok(())
}

#[test]
fn views_go_on_by_change_whatever_columns_their_relation_gains_and_loses() -> Result<()> {
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (x TEXT, k BIGINT, y TEXT, v BIGINT);
         INSERT INTO t SELECT 'x', value % 3, 'y', value FROM generate_series(1, 10);
         CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS s FROM t GROUP BY k;
         CREATE MATERIALIZED VIEW pairs AS SELECT p.v AS a, q.v AS b FROM t p JOIN t q ON p.k = q.k AND p.v < q.v;
         CREATE MATERIALIZED VIEW ranked AS SELECT v, row_number() OVER (PARTITION BY k ORDER BY v) AS r FROM t;
         ALTER TABLE t DROP COLUMN x, ADD COLUMN z BIGINT DEFAULT 7, DROP COLUMN y;
         INSERT INTO t VALUES (1, 100, 1), (2, 200, 2); UPDATE t SET v = v + 1 WHERE k = 0; DELETE FROM t WHERE v = 4;",
    )?;
    for view in ["sums", "pairs", "ranked"] {
        connection.execute_batch(&format!("VERIFY {view}"))?;
        assert!(!lines(&connection, &format!("SELECT * FROM {view}"))?.is_empty());
    }
    for refused in ["DROP COLUMN v", "RENAME COLUMN k TO kk", "ALTER COLUMN v TYPE TEXT", "RENAME TO u"] {
        let error = connection.run(&format!("ALTER TABLE t {refused}")).expect_err(refused);
        assert_eq!(error.kind(), ErrorKind::Dependency, "{refused}: {error}");
    }
    connection.execute_batch("ALTER TABLE t RENAME COLUMN z TO w; ALTER TABLE t ALTER w TYPE TEXT; VERIFY pairs")?;
    assert_eq!(lines(&connection, "SELECT w FROM t WHERE k = 0")?, ["7", "7"]);
    Ok(())
}

#[test]
fn a_changed_type_keeps_every_value_or_is_refused() -> Result<()> {
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (a BIGINT, b TEXT); INSERT INTO t VALUES (1, '10'), (70000, '20'), (3, 'no number');
         DELETE FROM t WHERE a = 3;",
    )?;
    let error = connection.run("ALTER TABLE t ALTER COLUMN a TYPE SMALLINT").expect_err("70000 does not fit");
    assert!(error.message().contains("\"a\""), "{error}");
    assert_eq!(lines(&connection, "SELECT a, b FROM t")?, ["1,10", "70000,20"]);
    // The deleted row is no value any more.
    connection.execute_batch("ALTER TABLE t ALTER COLUMN b TYPE INT, ALTER COLUMN a TYPE INT")?;
    assert_eq!(integers(&connection, "SELECT a + b FROM t ORDER BY 1")?, [11, 70020]);
    connection.execute_batch("INSERT INTO t VALUES (5, 50); DELETE FROM t WHERE a = 1")?;
    assert_eq!(integers(&connection, "SELECT a + b FROM t ORDER BY 1")?, [55, 70020]);
    Ok(())
}

#[test]
fn not_null_is_checked_against_the_rows_there_are() -> Result<()> {
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch("CREATE TABLE t (a BIGINT, b BIGINT); INSERT INTO t VALUES (1, NULL)")?;
    let refused = connection.run("ALTER TABLE t ALTER b SET NOT NULL").expect_err("a NULL is there");
    assert_eq!(refused.sqlstate(), "23502");
    let refused = connection.run("ALTER TABLE t ADD COLUMN c BIGINT NOT NULL").expect_err("no value for it");
    assert_eq!(refused.sqlstate(), "23502");
    connection.execute_batch("UPDATE t SET b = 2; ALTER TABLE t ALTER b SET NOT NULL, ALTER b SET DEFAULT 9")?;
    assert_eq!(connection.run("INSERT INTO t VALUES (1, NULL)").expect_err("NOT NULL").sqlstate(), "23502");
    connection
        .execute_batch("INSERT INTO t (a) VALUES (3); ALTER TABLE t ALTER b DROP NOT NULL, ALTER b DROP DEFAULT")?;
    connection.execute_batch("INSERT INTO t (a) VALUES (4)")?;
    assert_eq!(lines(&connection, "SELECT a, b FROM t")?, ["1,2", "3,9", "4,"]);
    Ok(())
}

#[test]
fn keys_follow_their_columns() -> Result<()> {
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (x TEXT, id BIGINT PRIMARY KEY, u BIGINT UNIQUE); INSERT INTO t VALUES ('x', 1, 10);
         ALTER TABLE t DROP COLUMN x; ALTER TABLE t RENAME COLUMN id TO number; ALTER TABLE t RENAME TO s;",
    )?;
    assert_eq!(connection.run("INSERT INTO s VALUES (1, 11)").expect_err("a key twice").sqlstate(), "23505");
    assert_eq!(connection.run("INSERT INTO s VALUES (2, 10)").expect_err("a key twice").sqlstate(), "23505");
    let error = connection.run("ALTER TABLE s DROP COLUMN u").expect_err("a key is made of it");
    assert_eq!(error.kind(), ErrorKind::Dependency);
    connection.execute_batch("INSERT INTO s VALUES (1, 12) ON CONFLICT (number) DO UPDATE SET u = excluded.u")?;
    assert_eq!(lines(&connection, "SELECT * FROM s")?, ["1,12"]);
    Ok(())
}

#[test]
fn a_statement_that_fails_at_its_second_part_changes_nothing() -> Result<()> {
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch(
        "CREATE TABLE a (x BIGINT); CREATE STREAM s (x BIGINT); INSERT INTO a VALUES (1), (2);
         CREATE UNIQUE INDEX ix ON a (x);",
    )?;
    connection.run("TRUNCATE a, s").map(drop).expect_err("a stream keeps its rows");
    assert_eq!(integers(&connection, "SELECT count(*) FROM a")?, [2]);
    connection.run("DROP INDEX ix, nosuch").map(drop).expect_err("there is no such index");
    assert_eq!(connection.run("INSERT INTO a VALUES (1)").expect_err("the key stands").sqlstate(), "23505");
    connection.run("DROP TABLE a, nosuch").map(drop).expect_err("there is no such table");
    connection.run("ALTER TABLE a ADD COLUMN y BIGINT, DROP COLUMN nosuch").map(drop).expect_err("no such column");
    assert_eq!(lines(&connection, "SELECT * FROM a")?, ["1", "2"]);
    let (epoch, db) = (connection.database().epoch(), connection.database());
    connection.execute_batch("TRUNCATE a, a")?;
    assert_eq!(db.epoch(), epoch + 1, "one statement is one commit");
    Ok(())
}

#[test]
fn a_refresh_that_fails_changes_nothing() -> Result<()> {
    let db = Database::builder().memory_limit(64 << 20).build()?;
    let connection = db.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1), (2);
         CREATE MATERIALIZED VIEW v AS SELECT a, 10 / (a - 3) AS q FROM t; INSERT INTO t VALUES (4);",
    )?;
    connection.execute_batch("REFRESH MATERIALIZED VIEW v; VERIFY v")?;
    assert_eq!(integers(&connection, "SELECT count(*) FROM v")?, [3]);
    connection.execute_batch("DELETE FROM t; REFRESH MATERIALIZED VIEW v")?;
    assert_eq!(integers(&connection, "SELECT count(*) FROM v")?, [0]);
    Ok(())
}

#[test]
fn refreshing_a_detached_view_brings_its_readers_up_to_date() -> Result<()> {
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (1);
         CREATE MATERIALIZED VIEW v AS
           SELECT count(*) AS c FROM t t1, t t2, t t3, t t4, t t5, t t6, t t7;
         CREATE MATERIALIZED VIEW w AS SELECT c + 1 AS d FROM v;
         INSERT INTO t SELECT 1 FROM generate_series(1, 999);",
    )?;
    assert_eq!(
        connection
            .query("SELECT * FROM v", ())
            .and_then(|rows| rows.collect::<Result<Vec<_>>>())
            .expect_err("detached")
            .kind(),
        ErrorKind::ViewFailed
    );
    connection
        .execute_batch("DELETE FROM t; INSERT INTO t VALUES (1); REFRESH MATERIALIZED VIEW v; VERIFY v; VERIFY w")?;
    assert_eq!(integers(&connection, "SELECT d FROM w")?, [2]);
    Ok(())
}

#[test]
fn a_plain_view_is_replaced_under_the_views_that_run_its_query() -> Result<()> {
    let connection = Database::in_memory()?.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1), (2), (3);
         CREATE VIEW p AS SELECT a FROM t WHERE a > 1;
         CREATE MATERIALIZED VIEW m AS SELECT sum(a) AS s FROM p;
         CREATE MATERIALIZED VIEW n AS SELECT s + 1 AS s FROM m;",
    )?;
    let changes = connection.subscribe("n")?;
    assert_eq!(changes.recv()?.changes.num_rows(), 1);
    connection.execute_batch("CREATE OR REPLACE VIEW p AS SELECT a FROM t WHERE a < 3; VERIFY m; VERIFY n")?;
    assert_eq!(integers(&connection, "SELECT s FROM n")?, [4]);
    assert_eq!(super::weighted(&changes.recv()?.changes), [("4".to_string(), 1), ("6".to_string(), -1)]);
    connection.execute_batch("INSERT INTO t VALUES (2); VERIFY n")?;
    assert_eq!(super::weighted(&changes.recv()?.changes), [("4".to_string(), -1), ("6".to_string(), 1)]);
    Ok(())
}
