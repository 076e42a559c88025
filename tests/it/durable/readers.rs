//! A directory that one process writes and others read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddydb::{Database, Durability, MemoryVfs, Result, SimulatedVfs, Vfs};

use super::{contents, lines, workloads};

fn writer(vfs: &Arc<dyn Vfs>) -> Result<Database> {
    Database::builder().target_partitions(1).open_in(vfs.clone())
}

fn reader(vfs: &Arc<dyn Vfs>) -> Result<Database> {
    Database::builder().target_partitions(1).read_only(true).open_in(vfs.clone())
}

/// Waits until what `reader` shows is `expected`.
fn wait_for(reader: &Database, expected: &str, what: &str) -> Result<()> {
    let start = Instant::now();
    loop {
        // A relation may have gone between two queries.
        let found = contents(reader).unwrap_or_else(|error| error.render(""));
        if found == expected {
            return Ok(());
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: expected\n{expected}\nfound\n{found}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_reader_shows_what_another_process_commits() -> Result<()> {
    for workload in workloads::all()? {
        let vfs: Arc<dyn Vfs> = Arc::new(MemoryVfs::default());
        let database = writer(&vfs)?;
        let early = reader(&vfs)?;
        let connection = database.connect()?;
        for (n, statement) in workload.statements.iter().enumerate() {
            connection.execute_batch(statement)?;
            if n % 9 == 0 {
                wait_for(&early, &workload.states[n + 1], &format!("{}: {statement}", workload.name))?;
            }
        }
        let last = workload.states.last().expect("a state");
        wait_for(&early, last, workload.name)?;
        assert!(early.epoch() <= database.epoch());
        wait_for(&reader(&vfs)?, last, workload.name)?;
        drop((connection, database));
        // Nobody writes: what is closed is read as well.
        assert_eq!(contents(&reader(&vfs)?)?, *last, "{}", workload.name);
    }
    Ok(())
}

#[test]
fn a_reader_only_reads() -> Result<()> {
    let vfs: Arc<dyn Vfs> = Arc::new(MemoryVfs::default());
    assert_eq!(reader(&vfs).expect_err("nothing there").sqlstate(), "58P01");
    let database = writer(&vfs)?;
    database.connect()?.execute_batch("CREATE TABLE t (k BIGINT); INSERT INTO t VALUES (1)")?;
    database.checkpoint()?;
    let reader = reader(&vfs)?;
    let connection = reader.connect()?;
    for refused in [
        "INSERT INTO t VALUES (2)",
        "DELETE FROM t",
        "CREATE TABLE u (k BIGINT)",
        "DROP TABLE t",
        "BEGIN; INSERT INTO t VALUES (2); COMMIT",
    ] {
        assert_eq!(connection.execute_batch(refused).expect_err(refused).sqlstate(), "25006", "{refused}");
        let _ = connection.execute_batch("ROLLBACK");
    }
    let epoch = reader.epoch();
    let now: String =
        connection.query_row("SELECT CAST(now() > TIMESTAMP '2020-01-01' AS TEXT)", (), |row| row.get(0))?;
    assert_eq!((now.as_str(), reader.epoch()), ("true", epoch));
    connection.execute_batch("CHECKPOINT")?;
    assert_eq!(lines(&connection, "PRAGMA integrity_check")?.matches("ok").count(), 1);
    Ok(())
}

/// The writer is killed, power is lost, it goes on: the reader never shows what did not last.
#[test]
fn a_reader_never_shows_what_is_lost() -> Result<()> {
    for seed in 0..6 {
        let disk = SimulatedVfs::new(seed);
        let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
        let durability = [Durability::Full, Durability::Off][seed as usize % 2];
        let open = || Database::builder().target_partitions(1).durability(durability).open_in(vfs.clone());
        open()?.connect()?.execute_batch("CREATE TABLE t (k BIGINT PRIMARY KEY)")?;
        let mut next = 0;
        for round in 0..4 {
            let database = open()?;
            let connection = database.connect()?;
            let kept: i64 = connection.query_row("SELECT count(*) FROM t", (), |row| row.get(0))?;
            assert!(kept <= next);
            next = kept;
            for _ in 0..10 {
                connection.execute_batch(&format!("INSERT INTO t VALUES ({next})"))?;
                next += 1;
            }
            if round == 2 {
                database.checkpoint()?;
            }
            let shown: i64 = reader(&vfs)?.connect()?.query_row("SELECT count(*) FROM t", (), |row| row.get(0))?;
            disk.restart();
            drop((connection, database));
            let kept: i64 = reader(&vfs)?.connect()?.query_row("SELECT count(*) FROM t", (), |row| row.get(0))?;
            assert!(shown <= kept, "seed {seed} round {round}: {shown} shown and {kept} kept");
            let lasts: i64 = open()?.connect()?.query_row("SELECT count(*) FROM t", (), |row| row.get(0))?;
            assert!(kept <= lasts, "seed {seed} round {round}: {kept} shown and {lasts} there");
        }
    }
    Ok(())
}

#[test]
fn a_reader_keeps_up_with_checkpoints_that_remove_files() -> Result<()> {
    let vfs: Arc<dyn Vfs> = Arc::new(MemoryVfs::default());
    let database = Database::builder().target_partitions(1).checkpoint_every(64 << 10).open_in(vfs.clone())?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT, v TEXT)")?;
    let reading = reader(&vfs)?;
    wait_for(&reading, &contents(&database)?, "at the beginning")?;
    let shown = reading.connect()?;
    let mut last = 0;
    for round in 0..300 {
        connection.execute_batch(&format!(
            "INSERT INTO t SELECT value, repeat('x', 100) FROM generate_series({round}00, {round}99)"
        ))?;
        if round % 50 == 49 {
            connection.execute_batch(&format!("DELETE FROM t WHERE k < {round}00 - 2000"))?;
        }
        let now: i64 = shown.query_row("SELECT coalesce(max(k), 0) FROM t", (), |row| row.get(0))?;
        assert!(now >= last, "{now} after {last}");
        last = now;
    }
    wait_for(&reading, &contents(&database)?, "at the end")
}
