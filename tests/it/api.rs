//! The library as a program uses it: transactions, subscriptions, limits, functions, replay.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use eddydb::arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use eddydb::arrow::datatypes::{DataType, Int64Type};
use eddydb::{
    ChangeBatch, Connection, Database, ErrorKind, EventKind, ManualClock, MemoryLog, Result, UserFunction, Value,
    params,
};

fn connection() -> Result<Connection> {
    Database::in_memory()?.connect()
}

fn integers(connection: &Connection, sql: &str) -> Result<Vec<i64>> {
    connection.query(sql, ())?.map(|row| row?.get(0)).collect()
}

/// Rows with weights, in an order that does not depend on the engine.
fn rows_of(changes: &ChangeBatch) -> Vec<(Vec<i64>, i64)> {
    let mut rows: Vec<_> = (0..changes.num_rows())
        .map(|row| {
            let columns = changes.rows().columns().iter();
            let values = columns.map(|column| column.as_primitive::<Int64Type>().value(row)).collect();
            (values, changes.weights().get(row))
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn a_row_can_be_read_by_position_and_name_with_its_type() -> Result<()> {
    let connection = connection()?;
    connection.execute_batch("CREATE TABLE t (id BIGINT, name TEXT, price DECIMAL(10,2), at TIMESTAMP)")?;
    let insert = connection.prepare("INSERT INTO t VALUES ($1, $2, $3, $4)")?;
    assert_eq!(insert.execute(params![1, "one", Value::Decimal { unscaled: 150, scale: 2 }, Value::Timestamp(0)])?, 1);
    assert_eq!(insert.execute(params![2, None::<String>, 2.5, Value::Null])?, 1);
    let names: Vec<Option<String>> = connection
        .query("SELECT name FROM t ORDER BY id", ())?
        .map(|row| row?.get_by_name("name"))
        .collect::<Result<_>>()?;
    assert_eq!(names, [Some("one".to_string()), None]);
    let price: f64 = connection.query_row("SELECT price FROM t WHERE id = ?", params![2], |row| row.get(0))?;
    assert_eq!(price, 2.5);
    let wrong = connection.query_row("SELECT name FROM t WHERE id = 1", (), |row| row.get::<i64>(0));
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::Type);
    Ok(())
}

#[test]
fn a_transaction_reads_its_own_writes_also_through_views_and_shows_them_at_commit() -> Result<()> {
    let database = Database::in_memory()?;
    let (writer, reader) = (database.connect()?, database.connect()?);
    writer.execute_batch(
        "CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT);
         CREATE MATERIALIZED VIEW total AS SELECT sum(v) AS s FROM t;
         INSERT INTO t VALUES (1, 10)",
    )?;
    let transaction = writer.begin()?;
    transaction.execute("INSERT INTO t VALUES (2, 5)", ())?;
    transaction.execute("UPDATE t SET v = v + 1", ())?;
    transaction.execute("DELETE FROM t WHERE k = 1", ())?;
    transaction.execute("INSERT INTO t VALUES (2, 100) ON CONFLICT (k) DO UPDATE SET v = t.v + excluded.v", ())?;
    assert_eq!(integers(&transaction, "SELECT s FROM total")?, [106]);
    assert_eq!(integers(&reader, "SELECT s FROM total")?, [10]);
    transaction.commit()?;
    assert_eq!(integers(&reader, "SELECT s FROM total")?, [106]);
    assert_eq!(integers(&reader, "SELECT v FROM t")?, [106]);
    Ok(())
}

#[test]
fn a_transaction_whose_reads_changed_fails_with_40001_and_leaves_nothing() -> Result<()> {
    let database = Database::in_memory()?;
    let (one, other) = (database.connect()?, database.connect()?);
    one.execute_batch("CREATE TABLE t (v BIGINT); INSERT INTO t VALUES (1)")?;
    let transaction = one.begin()?;
    assert_eq!(integers(&transaction, "SELECT v FROM t")?, [1]);
    transaction.execute("INSERT INTO t SELECT v + 1 FROM t", ())?;
    other.execute("INSERT INTO t VALUES (7)", ())?;
    let error = transaction.commit().unwrap_err();
    assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Conflict, "40001"));
    assert_eq!(integers(&one, "SELECT v FROM t ORDER BY v")?, [1, 7]);
    Ok(())
}

#[test]
fn blind_inserts_of_many_threads_never_conflict_and_autocommit_updates_are_run_again() -> Result<()> {
    let database = Database::in_memory()?;
    let connection = database.connect()?;
    connection.execute_batch(
        "CREATE TABLE log (thread BIGINT, n BIGINT); CREATE TABLE counter (n BIGINT); INSERT INTO counter VALUES (0);
         CREATE MATERIALIZED VIEW per_thread AS SELECT thread, count(*) AS c FROM log GROUP BY thread",
    )?;
    std::thread::scope(|scope| {
        for thread in 0..4i64 {
            let database = database.clone();
            scope.spawn(move || -> Result<()> {
                let connection = database.connect()?;
                for n in 0..25i64 {
                    connection.execute("INSERT INTO log VALUES (?, ?)", params![thread, n])?;
                    connection.execute("UPDATE counter SET n = n + 1", ())?;
                }
                Ok(())
            });
        }
    });
    assert_eq!(integers(&connection, "SELECT n FROM counter")?, [100]);
    assert_eq!(integers(&connection, "SELECT c FROM per_thread ORDER BY thread")?, [25, 25, 25, 25]);
    Ok(())
}

#[test]
fn appends_of_many_threads_and_ddl_between_them_reach_every_view_once() -> Result<()> {
    let connection = connection()?;
    connection.execute_batch("CREATE STREAM s (v BIGINT)")?;
    let subscription = connection.subscribe("SELECT v FROM s WHERE v % 2 = 0")?;
    std::thread::scope(|scope| {
        for part in 0..4i64 {
            let connection = connection.database().connect().unwrap();
            scope.spawn(move || {
                let mut appender = connection.appender("s").unwrap();
                for v in 0..500 {
                    appender.append_row(params![part * 500 + v]).unwrap();
                    appender.flush().unwrap();
                }
            });
        }
        for view in 0..20 {
            let sql = format!("CREATE MATERIALIZED VIEW sum_{view} AS SELECT sum(v) AS total FROM s");
            connection.execute_batch(&sql).unwrap();
        }
    });
    for view in 0..20 {
        assert_eq!(integers(&connection, &format!("SELECT total FROM sum_{view}"))?, [1999 * 1000]);
    }
    let mut seen: Vec<i64> = Vec::new();
    while let Some(event) = subscription.try_recv()? {
        seen.extend(rows_of(&event.changes).into_iter().map(|(row, _)| row[0]));
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq((0..1000).map(|v| 2 * v)));
    Ok(())
}

#[test]
fn ddl_is_refused_inside_a_transaction() -> Result<()> {
    let connection = connection()?;
    let transaction = connection.begin()?;
    let error = transaction.run("CREATE TABLE t (x INT)").map(drop).unwrap_err();
    assert_eq!(error.sqlstate(), "25001");
    Ok(())
}

#[test]
fn a_subscription_gets_the_snapshot_and_then_one_consolidated_difference_per_epoch() -> Result<()> {
    let connection = connection()?;
    connection.execute_batch(
        "CREATE TABLE t (k BIGINT, v BIGINT); INSERT INTO t VALUES (1, 10);
         CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS s FROM t GROUP BY k",
    )?;
    let changes = connection.subscribe("sums")?;
    let first = changes.recv()?;
    assert_eq!((first.kind.clone(), rows_of(&first.changes)), (EventKind::Snapshot, vec![(vec![1, 10], 1)]));
    connection.execute("INSERT INTO t VALUES (1, 5), (2, 1)", ())?;
    let second = changes.recv()?;
    let expected = vec![(vec![1, 10], -1), (vec![1, 15], 1), (vec![2, 1], 1)];
    assert_eq!(rows_of(&second.changes), expected);
    connection.execute("UPDATE t SET v = v", ())?;
    assert!(changes.try_recv()?.is_none(), "nothing changed on balance");
    assert_eq!(changes.progress(), changes.progress().max(second.epoch + 1));

    // Reconnecting with the last epoch seen: no gap, no repeat.
    connection.execute("DELETE FROM t WHERE k = 2", ())?;
    let again = connection.subscribe(&format!("SUBSCRIBE sums AS OF {}", second.epoch))?;
    assert_eq!(rows_of(&again.recv()?.changes), vec![(vec![2, 1], -1)]);
    let error = connection.subscribe("SUBSCRIBE sums AS OF 1000000").map(drop).unwrap_err();
    assert!(error.message().contains("has not happened yet"), "{error}");
    Ok(())
}

#[test]
fn a_subscription_to_a_query_follows_it_by_change_and_ends_when_its_relation_is_dropped() -> Result<()> {
    let connection = connection()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT, v BIGINT)")?;
    let changes = connection.subscribe("SELECT k, count(*) AS n FROM t WHERE v > 0 GROUP BY k")?;
    assert!(changes.recv()?.changes.is_empty());
    connection.execute("INSERT INTO t VALUES (1, 1), (1, 2), (2, -1)", ())?;
    assert_eq!(rows_of(&changes.recv()?.changes), vec![(vec![1, 2], 1)]);
    connection.execute("DROP TABLE t", ())?;
    assert_eq!(changes.recv().unwrap_err().kind(), ErrorKind::NotFound);
    let cancelled = connection.subscribe("SELECT 1 AS x")?;
    cancelled.cancel_handle().cancel();
    assert!(cancelled.into_iter().all(|event| event.is_ok()), "a cancelled subscription ends as an iterator");
    Ok(())
}

#[test]
fn a_failing_row_fails_the_view_and_its_subscriber_until_it_is_gone() -> Result<()> {
    let connection = connection()?;
    connection.execute_batch(
        "CREATE TABLE t (a BIGINT, b BIGINT);
         CREATE MATERIALIZED VIEW q AS SELECT a / b AS r FROM t;
         CREATE MATERIALIZED VIEW above AS SELECT sum(r) AS s FROM q;
         CREATE MATERIALIZED VIEW other AS SELECT count(*) AS n FROM t;
         INSERT INTO t VALUES (6, 3)",
    )?;
    let changes = connection.subscribe("q")?;
    changes.recv()?;
    connection.execute("INSERT INTO t VALUES (1, 0), (8, 2)", ())?;
    assert!(matches!(changes.recv()?.kind, EventKind::Failed(_)));
    for view in ["q", "above"] {
        let error = integers(&connection, &format!("SELECT * FROM {view}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ViewFailed, "{error}");
        assert!(error.message().contains("division by zero"), "{error}");
    }
    assert_eq!(integers(&connection, "SELECT n FROM other")?, [3]);
    connection.execute("DELETE FROM t WHERE b = 0", ())?;
    assert_eq!(rows_of(&changes.recv()?.changes), vec![(vec![4], 1)]);
    assert_eq!(integers(&connection, "SELECT s FROM above")?, [6]);
    Ok(())
}

#[test]
fn a_subscription_ends_with_the_step_that_broke_off() -> Result<()> {
    let connection = connection()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT, g BIGINT)")?;
    let subscription = connection
        .subscribe("SELECT a.k FROM t a JOIN t b ON a.k = b.k JOIN t c ON a.k = c.k JOIN t d ON a.k = d.k")?;
    // 65,536 equal keys joined four times are 2^64 rows.
    connection.execute("INSERT INTO t SELECT 1, value FROM range(65536) AS r(value)", ())?;
    connection.execute("DELETE FROM t WHERE g < 16", ())?;
    let mut events = Vec::new();
    let end = loop {
        match subscription.recv() {
            Ok(event) => events.push(event.kind),
            Err(error) => break error,
        }
    };
    assert!(matches!(events.last(), Some(EventKind::Failed(reason)) if reason.contains("weight overflow")));
    assert!(!events.contains(&EventKind::Change), "{events:?}");
    assert!(end.message().contains("weight overflow"), "{end}");
    Ok(())
}

#[test]
fn a_statement_ends_at_its_timeout_and_at_an_interrupt() -> Result<()> {
    let connection = connection()?;
    connection.execute_batch("SET statement_timeout = '200 ms'")?;
    // Nothing yields in a nested loop join; the caller returns all the same.
    let slow = "SELECT count(*) FROM range(200000) a, range(200000) b WHERE a.value + b.value = -1";
    let start = Instant::now();
    assert_eq!(integers(&connection, slow).unwrap_err().kind(), ErrorKind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    connection.execute_batch("SET statement_timeout = 0")?;
    let handle = connection.interrupt_handle();
    let interrupter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        handle.interrupt();
    });
    assert_eq!(integers(&connection, slow).unwrap_err().kind(), ErrorKind::Cancelled);
    interrupter.join().expect("the interrupter ran");
    assert_eq!(integers(&connection, "SELECT 1")?, [1], "the connection goes on");
    Ok(())
}

#[test]
fn a_function_that_waits_for_its_own_connection_ends_at_the_timeout() -> Result<()> {
    let database = Database::in_memory()?;
    let own: Arc<OnceLock<Connection>> = Arc::default();
    let asked = own.clone();
    database.register_scalar_function(UserFunction {
        name: "ask".into(),
        arguments: vec![DataType::Int64],
        result: DataType::Int64,
        deterministic: true,
        function: Arc::new(move |columns| {
            // One statement at a time uses a connection, so this waits for the statement that waits for it.
            asked.get().map_or(Ok(()), |connection| connection.execute_batch("SELECT 1"))?;
            Ok(columns[0].clone())
        }),
    })?;
    let connection = own.get_or_init(|| database.connect().expect("a database in memory can be connected to"));
    connection.execute_batch("CREATE TABLE t (v BIGINT); SET statement_timeout = '300 ms'")?;
    let start = Instant::now();
    let error = connection.execute("INSERT INTO t SELECT ask(value) FROM range(3)", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(integers(connection, "SELECT count(*) FROM t")?, [0], "the connection goes on");
    Ok(())
}

#[test]
fn a_memory_limit_refuses_a_commit_and_the_database_goes_on() -> Result<()> {
    let database = Database::builder().memory_limit(4 << 20).build()?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (v BIGINT); INSERT INTO t VALUES (1)")?;
    let error = connection.execute("INSERT INTO t SELECT value FROM range(4000000)", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resource, "{error}");
    assert_eq!(integers(&connection, "SELECT count(*) FROM t")?, [1]);
    Ok(())
}

#[test]
fn a_user_function_gives_the_same_in_batch_and_in_a_view() -> Result<()> {
    let database = Database::in_memory()?;
    database.register_scalar_function(UserFunction {
        name: "twice".into(),
        arguments: vec![DataType::Int64],
        result: DataType::Int64,
        deterministic: true,
        function: Arc::new(|columns| {
            let doubled: Int64Array = columns[0].as_primitive::<Int64Type>().iter().map(|v| v.map(|v| v * 2)).collect();
            Ok(Arc::new(doubled))
        }),
    })?;
    let connection = database.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (v BIGINT); CREATE MATERIALIZED VIEW w AS SELECT twice(v) AS d FROM t;
         INSERT INTO t VALUES (1), (NULL), (21)",
    )?;
    assert_eq!(integers(&connection, "SELECT d FROM w WHERE d IS NOT NULL ORDER BY d")?, [2, 42]);
    connection.execute_batch("VERIFY MATERIALIZED VIEW w")
}

#[test]
fn the_library_works_inside_somebody_elses_runtime() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let connection = connection()?;
        connection.execute_batch("CREATE TABLE t (v BIGINT); INSERT INTO t VALUES (3)")?;
        assert_eq!(integers(&connection, "SELECT v FROM t")?, [3]);
        Ok(())
    })
}

#[test]
fn an_appender_takes_rows_and_batches_and_refuses_what_does_not_fit() -> Result<()> {
    let connection = connection()?;
    connection.execute_batch("CREATE TABLE t (id BIGINT NOT NULL, name TEXT)")?;
    let mut appender = connection.appender("t")?;
    appender.append_row(params![1, "a"])?;
    assert_eq!(appender.append_row(params!["x", "a"]).unwrap_err().sqlstate(), "22P02");
    assert!(appender.append_row(params![1]).is_err());
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![2, 3])) as Arc<dyn Array>),
        ("name", Arc::new(eddydb::arrow::array::StringArray::from(vec![None, Some("c")]))),
    ])?;
    appender.append_record_batch(&batch)?;
    assert!(appender.flush()?.is_some());
    assert_eq!(integers(&connection, "SELECT id FROM t ORDER BY id")?, [1, 2, 3]);
    appender.append_row(params![None::<i64>, "null"])?;
    assert_eq!(appender.flush().unwrap_err().sqlstate(), "23502");
    assert_eq!(integers(&connection, "SELECT count(*) FROM t")?, [3]);
    Ok(())
}

#[test]
fn an_appender_holds_texts_to_the_rules_of_their_columns() -> Result<()> {
    let connection = connection()?;
    connection.execute_batch("CREATE TABLE t (v VARCHAR(2), u UUID, x DECIMAL(6,2))")?;
    let mut appender = connection.appender("t")?;
    appender.append_row(params!["ab", "A0EEBC999C0B4EF8BB6D6BB9BD380A11", 1.005])?;
    assert_eq!(appender.append_row(params!["abc", None::<&str>, 1]).unwrap_err().sqlstate(), "22001");
    assert_eq!(appender.append_row(params!["a", "no uuid", 1]).unwrap_err().sqlstate(), "22P02");
    assert_eq!(appender.append_row(params!["a", None::<&str>, 9999.995]).unwrap_err().sqlstate(), "22003");
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("v", Arc::new(eddydb::arrow::array::StringArray::from(vec!["abc"])) as Arc<dyn Array>, true),
        ("u", Arc::new(eddydb::arrow::array::StringArray::from(vec![None::<&str>])), true),
        ("x", Arc::new(Int64Array::from(vec![1])), true),
    ])?;
    assert_eq!(appender.append_record_batch(&batch).unwrap_err().sqlstate(), "22001");
    appender.flush()?;
    let text: String = connection.query_row("SELECT v || ' ' || u || ' ' || x FROM t", (), |row| row.get(0))?;
    assert_eq!(text, "ab a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 1.01");
    Ok(())
}

#[test]
fn replaying_the_log_gives_equal_contents_and_equal_changes() -> Result<()> {
    let script = [
        "CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT)",
        "CREATE STREAM s (k BIGINT, x BIGINT)",
        "INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)",
        "CREATE TABLE copy AS SELECT k, v * 2 AS w FROM t",
        "CREATE MATERIALIZED VIEW j AS SELECT t.k AS k, sum(s.x) AS x FROM t JOIN s ON s.k = t.k GROUP BY t.k",
        "CREATE MATERIALIZED VIEW jj AS SELECT count(*) AS n FROM j",
        "INSERT INTO s VALUES (1, 1), (2, 2), (9, 9)",
        "UPDATE t SET v = v + 1 WHERE k < 3",
        "DELETE FROM copy WHERE w = 40",
        "INSERT INTO t VALUES (2, 0), (4, 4) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
        "SELECT now()",
        "DELETE FROM t WHERE k = 1",
        "DROP TABLE copy",
    ];
    let log = MemoryLog::default();
    let clock = Arc::new(ManualClock::new(1_000));
    let original = Database::builder().record(log.clone()).clock(clock.clone()).build()?;
    let connection = original.connect()?;
    for (step, sql) in script.iter().enumerate() {
        clock.set(1_000 * (step as i64 + 1));
        connection.run(sql).map(drop)?;
    }
    let second = MemoryLog::default();
    let replayed = Database::builder().record(second.clone()).clock(Arc::new(ManualClock::new(0))).build()?;
    replayed.replay(&log.records())?;
    assert_eq!(replayed.epoch(), original.epoch());
    for sql in
        ["SELECT * FROM t ORDER BY k", "SELECT * FROM s ORDER BY k", "SELECT * FROM j ORDER BY k", "SELECT * FROM jj"]
    {
        let read = |database: &Database| database.connect()?.query_arrow(sql, ())?.collect_all();
        assert_eq!(read(&original)?, read(&replayed)?, "{sql}");
    }
    assert_eq!(format!("{:?}", log.records()), format!("{:?}", second.records()), "the log of the replay is the log");
    Ok(())
}

#[test]
fn no_statement_overflows_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(|| -> Result<()> {
        let connection = connection()?;
        connection.execute_batch("CREATE TABLE t (v BIGINT); INSERT INTO t VALUES (1)")?;
        let refused = [
            format!("SELECT 1{}", "+1".repeat(2_000)),
            format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_000)),
            format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(5_000), " END".repeat(5_000)),
            "SELECT * FROM (".repeat(5_000),
        ];
        for sql in refused {
            let start = Instant::now();
            let error = connection.run(&sql).map(drop).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Resource | ErrorKind::Syntax), "{error}");
            let limit = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 1 });
            assert!(start.elapsed() < limit, "{:?}", start.elapsed());
        }
        // What is within the limits is answered, in a query and in a view.
        let chain = format!("v{}", "+1".repeat(900));
        assert_eq!(integers(&connection, &format!("SELECT {chain} FROM t"))?, [901]);
        connection.execute_batch(&format!("CREATE MATERIALIZED VIEW deep AS SELECT {chain} AS d FROM t"))?;
        connection.execute("INSERT INTO t VALUES (10)", ())?;
        assert_eq!(integers(&connection, "SELECT d FROM deep ORDER BY d")?, [901, 910]);
        let lists = "[]".repeat(700);
        connection.execute_batch(&format!("CREATE TABLE lists (id BIGINT, x DOUBLE{lists})"))?;
        connection.execute_batch("CREATE MATERIALIZED VIEW kept AS SELECT id, x FROM lists")?;
        connection.execute("INSERT INTO lists VALUES (1, NULL)", ())?;
        assert_eq!(integers(&connection, "SELECT id FROM kept")?, [1]);
        let nested = format!("{}SELECT v FROM t{}", "SELECT * FROM (".repeat(60), ") AS q".repeat(60));
        assert_eq!(integers(&connection, &format!("{nested} ORDER BY v"))?, [1, 10]);
        let branches = format!("SELECT v FROM t{}", " UNION ALL SELECT v FROM t".repeat(100));
        assert_eq!(integers(&connection, &branches)?.len(), 202);
        Ok(())
    });
    thread.expect("a thread").join().expect("no overflow, no panic").expect("every statement is answered");
}
