//! Closing and opening again.

use std::sync::Arc;

use arrow::compute::kernels::numeric::add;
use arrow::datatypes::DataType;
use eddydb::{Database, Durability, ManualClock, Result, SimulatedVfs, UserFunction};

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
