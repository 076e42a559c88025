//! Closing and opening again.

use std::sync::Arc;
use std::time::Duration;

use arrow::compute::kernels::numeric::add;
use arrow::datatypes::DataType;
use eddydb::{Database, Durability, Fault, ManualClock, Result, SimulatedVfs, UserFunction, Value};

use super::{contents, lines, open, workloads};

#[test]
fn everything_is_there_again_after_every_statement() -> Result<()> {
    for workload in workloads::all()? {
        let disk = SimulatedVfs::new(1);
        for (n, statement) in workload.statements.iter().enumerate() {
            open(&disk)?.connect()?.execute_batch(statement)?;
            assert_eq!(contents(&open(&disk)?)?, workload.states[n + 1], "{}: {statement}", workload.name);
        }
    }
    Ok(())
}

#[test]
fn epochs_are_never_used_twice() -> Result<()> {
    for durability in [Durability::Full, Durability::Off] {
        let disk = SimulatedVfs::new(5);
        let open = || Database::builder().durability(durability).open_in(Arc::new(disk.clone()));
        let mut last = 0;
        for n in 0..5 {
            let database = open()?;
            database.connect()?.execute_batch(&format!("CREATE TABLE t{n} (a INT)"))?;
            assert!(database.epoch() > last);
            last = database.epoch();
            // The disk loses power, and the database does not know it yet.
            disk.restart();
            drop(database);
        }
    }
    Ok(())
}

#[test]
fn a_directory_has_one_writer_at_a_time() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/shop.eddy");
    let first = Database::open(&path)?;
    let refused = Database::open(&path).unwrap_err();
    assert_eq!(refused.sqlstate(), "55006");
    assert!(refused.message().contains(&format!("process {}", std::process::id())), "{refused}");
    let connection = first.connect()?;
    drop(first);
    assert!(Database::open(&path).is_err(), "a connection keeps it open");
    drop(connection);
    Database::open(&path)?.close()?;
    Database::open(&path)?;
    Ok(())
}

/// Open files go along with a directory that is moved. What is made later would come to stand in the old place, where
/// there may be another database by now.
#[test]
fn a_directory_that_is_moved_while_it_is_open_is_whole_and_no_other_is_touched() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("shop.eddy"), directory.path().join("old.eddy"));
    let database = Database::open(&path)?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (k INT); INSERT INTO t VALUES (1)")?;
    std::fs::rename(&path, &moved).unwrap();
    assert_eq!(database.checkpoint().unwrap_err().sqlstate(), "58P01");
    assert!(!path.exists(), "nothing is made where it was");
    let other = Database::open(&path)?;
    other.connect()?.execute_batch("CREATE TABLE other (k INT)")?;
    let error = database.checkpoint().unwrap_err();
    assert!(error.message().contains("moved or removed") && error.hint().is_some(), "{error}");
    connection.execute_batch("INSERT INTO t VALUES (2)")?;
    drop((connection, database));
    other.close()?;
    let count = |path: &std::path::Path, sql: &str| {
        Database::open(path)?.connect()?.query_row(sql, (), |row| row.get::<i64>(0))
    };
    assert_eq!(count(&path, "SELECT count(*) FROM other")?, 0);
    assert_eq!(count(&moved, "SELECT count(*) FROM t")?, 2);
    // The next log file is not made where another database has its own.
    let database = Database::open(&moved)?;
    let away = directory.path().join("away.eddy");
    std::fs::rename(&moved, &away).unwrap();
    std::fs::rename(&path, &moved).unwrap();
    let refused = database.connect()?.execute_batch("INSERT INTO t VALUES (3)").unwrap_err();
    assert_eq!(refused.sqlstate(), "58P01", "{refused}");
    drop(database);
    assert_eq!(count(&moved, "SELECT count(*) FROM other")?, 0);
    assert_eq!(count(&away, "SELECT count(*) FROM t")?, 2);
    Ok(())
}

#[test]
fn copies_are_not_put_into_the_directory_of_a_database() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.eddy");
    let database = Database::open(&path)?;
    let memory = Database::in_memory()?;
    for (database, statement) in
        [(&database, "BACKUP DATABASE TO"), (&database, "EXPORT DATABASE"), (&memory, "BACKUP DATABASE TO")]
    {
        for inner in ["x", "wal/x", "a/b"] {
            let error = database
                .connect()?
                .execute_batch(&format!("{statement} '{}'", path.join(inner).display()))
                .expect_err(inner);
            assert_eq!(error.sqlstate(), "58P01", "{error}");
            assert!(error.message().contains("lies in the directory of a database"), "{error}");
        }
    }
    assert!(!path.join("x").exists() && !path.join("wal/x").exists());
    Ok(())
}

#[test]
fn a_backup_that_was_killed_is_told_from_a_database() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy.eddy");
    let database = Database::in_memory()?;
    database
        .connect()?
        .execute_batch(&format!("CREATE TABLE t AS SELECT 1 AS k; BACKUP DATABASE TO '{}'", path.display()))?;
    std::fs::remove_file(path.join("FORMAT")).unwrap();
    std::fs::remove_dir_all(path.join("manifest")).unwrap();
    for error in [Database::open(&path).unwrap_err(), Database::builder().read_only(true).open(&path).unwrap_err()] {
        assert!(error.message().contains("a backup into it was begun and did not finish"), "{error}");
        assert_eq!(error.sqlstate(), "58P01");
    }
    Ok(())
}

#[test]
fn other_directories_are_left_alone() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("thesis.txt"), "years of work").unwrap();
    let error = Database::open(directory.path()).unwrap_err();
    assert_eq!(error.sqlstate(), "58P01", "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was made there");
    Ok(())
}

#[test]
fn a_view_that_cannot_be_filled_fails_alone() -> Result<()> {
    let disk = SimulatedVfs::new(1);
    let twice = || UserFunction {
        name: "twice".into(),
        arguments: vec![DataType::Int64],
        result: DataType::Int64,
        deterministic: true,
        function: Arc::new(|columns| Ok(add(&columns[0], &columns[0])?)),
    };
    let database = Database::builder().scalar_function(twice())?.open_in(Arc::new(disk.clone()))?;
    database.connect()?.execute_batch(
        "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1), (2);
         CREATE MATERIALIZED VIEW f AS SELECT twice(a) AS b FROM t;
         CREATE MATERIALIZED VIEW g AS SELECT sum(a) AS s FROM t",
    )?;
    drop(database);
    let database = open(&disk)?;
    let connection = database.connect()?;
    let error = connection.query("SELECT * FROM f", ()).unwrap_err();
    assert!(error.message().contains("twice"), "{error}");
    connection.execute_batch("INSERT INTO t VALUES (3)")?;
    assert_eq!(lines(&connection, "SELECT s FROM g")?, "Integer(6)|\n");
    database.register_scalar_function(twice())?;
    connection.execute_batch("REFRESH MATERIALIZED VIEW f; INSERT INTO t VALUES (4)")?;
    assert_eq!(lines(&connection, "SELECT sum(b) FROM f")?.len(), "Integer(20)|\n".len());
    Ok(())
}

#[test]
fn a_clock_that_runs_behind_is_told() -> Result<()> {
    let disk = SimulatedVfs::new(1);
    let open = |now| {
        let clock = Arc::new(ManualClock::new(now));
        Database::builder().clock(clock).open_in(Arc::new(disk.clone()))
    };
    open(1_700_000_000_000_000)?.connect()?.execute_batch("CREATE TABLE t (a INT)")?;
    let database = open(1_600_000_000_000_000)?;
    assert!(database.notices()[0].contains("behind"), "{:?}", database.notices());
    database.connect()?.execute_batch("INSERT INTO t VALUES (1)")?;
    drop(database);
    assert!(open(1_800_000_000_000_000)?.notices().is_empty());
    Ok(())
}

/// Neither those of commits that did not wait for the disk, nor those at which somebody has only seen the time.
#[test]
fn epochs_that_were_lost_behind_a_rest_are_not_used_again() -> Result<()> {
    for durability in [Durability::Off, Durability::Full] {
        for seed in 0..6 {
            let disk = SimulatedVfs::new(seed);
            let open = || Database::builder().durability(durability).open_in(Arc::new(disk.clone()));
            let database = open()?;
            let connection = database.connect()?;
            connection.execute_batch("CREATE TABLE t (a INT)")?;
            // The log rests, and says that all in it is safe.
            std::thread::sleep(Duration::from_millis(350));
            if durability == Durability::Off {
                connection.execute_batch("INSERT INTO t VALUES (1)")?;
            }
            connection.query_row("SELECT now()", (), |row| row.get::<Value>(0))?;
            let seen = database.epoch();
            disk.restart();
            drop((connection, database));
            let database = open()?;
            database.connect()?.execute_batch("INSERT INTO t VALUES (2)")?;
            assert!(database.epoch() > seen, "seed {seed}: {} after {seen}", database.epoch());
        }
    }
    Ok(())
}

/// Whoever makes a database may be killed before its name is safe. The next one must not build on that.
#[test]
fn what_is_committed_to_a_database_whose_maker_was_killed_survives_a_power_cut() -> Result<()> {
    let operations = {
        let disk = SimulatedVfs::new(0);
        open(&disk)?;
        disk.operations()
    };
    for seed in 0..4 {
        for operation in 0..operations {
            let disk = SimulatedVfs::new(seed << 32 | operation);
            disk.fail_at(operation, Fault::Crash);
            drop(open(&disk));
            disk.kill();
            open(&disk)?.connect()?.execute_batch("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)")?;
            disk.restart();
            let database = open(&disk).unwrap_or_else(|error| panic!("seed {seed} operation {operation}: {error}"));
            assert_eq!(lines(&database.connect()?, "SELECT * FROM t")?, "Integer(1)|\n");
        }
    }
    Ok(())
}

#[test]
fn files_of_others_in_the_directory_of_the_log_are_left_alone() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("shop.eddy");
    Database::open(&path)?.connect()?.execute_batch("CREATE TABLE t (a INT)")?;
    for name in [".nfs000000000001", ".DS_Store", "0000000000000001.wal~"] {
        std::fs::write(path.join("wal").join(name), "not a log")?;
    }
    assert_eq!(lines(&Database::open(&path)?.connect()?, "SELECT count(*) FROM t")?, "Integer(0)|\n");
    std::fs::write(path.join("wal/1.wal"), "a name that no file of a log has")?;
    assert_eq!(Database::open(&path).unwrap_err().sqlstate(), "XX001");
    Ok(())
}

#[test]
fn a_log_of_a_newer_version_is_told_from_damage() -> Result<()> {
    let directory = tempfile::tempdir()?;
    Database::open(directory.path())?.connect()?.execute_batch("CREATE TABLE t (a INT)")?;
    let log = std::fs::read_dir(directory.path().join("wal"))?.next().expect("a file")?.path();
    let mut bytes = std::fs::read(&log)?;
    bytes[8] = 9;
    std::fs::write(&log, bytes)?;
    let error = Database::open(directory.path()).unwrap_err();
    assert_eq!(error.sqlstate(), "0A000", "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("later")), "{error:?}");
    Ok(())
}

/// What is written into LOCK must not reach a file that a stranger's directory points at.
#[cfg(target_os = "linux")]
#[test]
fn a_lock_that_is_a_link_is_refused() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (path, precious) = (directory.path().join("shop.eddy"), directory.path().join("thesis.txt"));
    Database::open(&path)?.close()?;
    std::fs::write(&precious, "years of work")?;
    std::fs::remove_file(path.join("LOCK"))?;
    std::os::unix::fs::symlink(&precious, path.join("LOCK"))?;
    assert_eq!(Database::open(&path).unwrap_err().sqlstate(), "58030");
    assert_eq!(std::fs::read_to_string(&precious)?, "years of work");
    Ok(())
}

/// Deep types, wide and empty rows, values at the edges: what can be stored can be opened again.
#[test]
fn every_shape_of_rows_and_types_comes_back() -> Result<()> {
    let deep = |depth: usize| format!("CREATE TABLE deep{depth} (a INT{})", "[]".repeat(depth));
    let wide: Vec<String> = (0..200).map(|n| format!("c{n} INT")).collect();
    let statements = [
        deep(20),
        deep(70),
        deep(120),
        format!("CREATE TABLE nested (a {}INT{})", "STRUCT(f ".repeat(60), ")".repeat(60)),
        format!("CREATE TABLE wide ({})", wide.join(", ")),
        "INSERT INTO wide (c7) VALUES (1)".into(),
        "CREATE TABLE numbers AS SELECT * FROM (VALUES ('NaN'::DOUBLE), (-0.0), (0.0), ('-Infinity'), (5e-324), (NULL)) v (x)".into(),
        "CREATE TABLE nothing AS SELECT NULL AS a, NULL AS b FROM generate_series(1, 3)".into(),
        "CREATE TABLE empty AS SELECT 1 AS a WHERE false".into(),
        "CREATE TABLE lists AS SELECT [1, NULL] AS a, [[], NULL, ['x']] AS b, {'k': [1.5]} AS c UNION ALL SELECT NULL, [], NULL".into(),
        "CREATE TABLE texts AS SELECT repeat('\u{1F600}', 100000) AS a, '' AS b, NULL::TEXT AS c, 'a\u{0301}\n\t\"' AS d".into(),
        "CREATE TABLE gone (a INT, b INT)".into(),
        "INSERT INTO gone VALUES (1, 2), (3, 4)".into(),
        "ALTER TABLE gone DROP COLUMN a".into(),
        "CREATE TABLE \"odd name; -- \u{1F600}\" (\"a \"\"b\"\" 'c'\" INT DEFAULT 7, \"\" TEXT)".into(),
        "INSERT INTO \"odd name; -- \u{1F600}\" DEFAULT VALUES".into(),
    ];
    let disk = SimulatedVfs::new(1);
    let mut made = 0;
    for statement in statements {
        // What is not taken at all need not come back.
        made += usize::from(open(&disk)?.connect()?.execute_batch(&statement).is_ok());
        let before = contents(&open(&disk)?)?;
        disk.restart();
        assert_eq!(contents(&open(&disk)?)?, before);
        open(&disk)?.checkpoint()?;
        assert_eq!(contents(&open(&disk)?)?, before, "after a checkpoint");
    }
    assert!(made > 12, "{made}");
    Ok(())
}

#[test]
fn reads_that_ask_for_the_time_go_on_when_the_log_takes_nothing() -> Result<()> {
    for fault in [Fault::Error, Fault::Full] {
        let disk = SimulatedVfs::new(1);
        let clock = Arc::new(ManualClock::new(1_000_000));
        let database = Database::builder().clock(clock.clone()).open_in(Arc::new(disk.clone()))?;
        let connection = database.connect()?;
        connection.execute_batch(
            "CREATE TABLE t (at TIMESTAMPTZ); INSERT INTO t VALUES ('1970-01-01 00:00:10Z'), ('1970-01-01 00:01:00Z');
             CREATE MATERIALIZED VIEW due AS SELECT count(*) AS n FROM t WHERE at <= now();
             CREATE VIEW seconds AS SELECT n, extract(epoch FROM now())::BIGINT AS s FROM due",
        )?;
        let operations = disk.operations();
        (operations..operations + 1000).for_each(|operation| disk.fail_at(operation, fault));
        assert!(connection.execute_batch("INSERT INTO t VALUES ('1970-01-01 00:00:00Z')").is_err());
        for (now, expected) in [(20, 1), (70, 2)] {
            clock.set(now * 1_000_000);
            let rows = lines(&connection, "SELECT * FROM seconds")?;
            assert_eq!(rows, format!("Integer({expected})|Integer({now})|\n"), "{fault:?}");
            assert_eq!(lines(&connection, "SELECT * FROM due")?, format!("Integer({expected})|\n"));
        }
    }
    Ok(())
}
