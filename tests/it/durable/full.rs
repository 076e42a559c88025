//! The disk is full, or the log as long as it may be: commits wait, are refused with a reason, and go on; reads always do.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use eddydb::{Connection, Database, DatabaseBuilder, Error, Result, SimulatedVfs, Vfs};

use super::lines;

/// Where the writer finds its database.
const DIRECTORY: &str = "EDDY_FULL_DIRECTORY";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS t (n BIGINT, k BIGINT, v TEXT)";
/// Each time the numbers `n` are one more than the time before.
const INSERT: &str = "INSERT INTO t SELECT (SELECT coalesce(max(n), 0) + 1 FROM t), value, repeat('x', 100) || value
                      FROM generate_series(1, 500)";

fn builder() -> DatabaseBuilder {
    Database::builder().target_partitions(1)
}

fn open(disk: &SimulatedVfs) -> Result<Database> {
    builder().open_in(Arc::new(disk.clone()))
}

fn count(connection: &Connection) -> Result<i64> {
    connection.query_row("SELECT count(*) FROM t", (), |row| row.get::<i64>(0))
}

/// Inserts until that is refused; the refusal.
fn fill(connection: &Connection) -> Error {
    let refused = (0..2000).find_map(|_| connection.execute_batch(INSERT).err());
    refused.expect("the disk was never full")
}

fn bytes(vfs: &dyn Vfs, directory: &str) -> Result<u64> {
    let names = vfs.list(Path::new(directory))?;
    names.iter().map(|name| vfs.len(&Path::new(directory).join(name))).sum()
}

#[test]
fn commits_wait_for_a_checkpoint_where_the_log_is_as_long_as_it_may_be() -> Result<()> {
    let disk = SimulatedVfs::new(1);
    let database = builder().checkpoint_every(u64::MAX).open_in(Arc::new(disk.clone()))?;
    let connection = database.connect()?;
    connection.execute_batch("SET max_wal_size = '1 MiB'")?;
    assert_eq!(
        lines(&connection, "SELECT value FROM eddy.settings WHERE name = 'max_wal_size'")?,
        "Text(\"1048576\")|\n"
    );
    connection.execute_batch(TABLE)?;
    for _ in 0..80 {
        connection.execute_batch(INSERT)?;
    }
    assert_eq!(count(&connection)?, 80 * 500);
    let log = bytes(&disk, "wal")?;
    assert!(log < 4 << 20, "{log} bytes of log");
    Ok(())
}

/// What a subscription was not told yet, because its view has failed, is saved by checkpoints as well.
#[test]
fn what_is_held_back_does_not_hold_up_the_log() -> Result<()> {
    let disk = SimulatedVfs::new(1);
    let database = open(&disk)?;
    let connection = database.connect()?;
    connection.execute_batch("SET max_wal_size = '1 MiB'")?;
    connection.execute_batch(TABLE)?;
    connection.execute_batch(
        "CREATE MATERIALIZED VIEW m AS SELECT k, 10 / (k + 1) AS q FROM t;
         CREATE SUBSCRIPTION s ON m WITH (on_full = 'block');
         INSERT INTO t VALUES (0, -1, 'fails')",
    )?;
    let there = count(&connection)?;
    (0..40).try_for_each(|_| connection.execute_batch(INSERT))?;
    assert_eq!(count(&connection)?, there + 40 * 500);
    Ok(())
}

#[test]
fn a_full_database_deletes_and_goes_on() -> Result<()> {
    for seed in 0..super::seeds() {
        for (room, free) in [
            (400_000, "DELETE FROM t; CHECKPOINT"),
            (700_000, "DROP TABLE t; CHECKPOINT"),
            (1_500_000, "DELETE FROM t WHERE n < (SELECT max(n) FROM t); CHECKPOINT"),
            (1_500_000, "TRUNCATE t"),
            (4_000_000, "CHECKPOINT; DELETE FROM t WHERE n > 1 AND n % 20 <> 0; CHECKPOINT"),
        ] {
            for again in ["goes on", "is killed", "loses power"] {
                let what = format!("seed {seed}, room {room}, {free}, {again}");
                fill_and_free(seed, room, free, again, &what).unwrap_or_else(|error| panic!("{what}: {error}"));
            }
        }
    }
    Ok(())
}

fn fill_and_free(seed: u64, room: usize, free: &str, again: &str, what: &str) -> Result<()> {
    let disk = SimulatedVfs::new(seed);
    let database = open(&disk)?;
    let connection = database.connect()?;
    connection.execute_batch(TABLE)?;
    connection.execute_batch(INSERT)?;
    disk.limit_space(Some(disk.space_used() + room));
    let refused = fill(&connection);
    assert_eq!(refused.sqlstate(), "53100", "{what}: {refused}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("DELETE")), "{what}");
    let there = count(&connection)?;
    let (database, connection) = match again {
        "goes on" => (database, connection),
        again => {
            if again == "is killed" {
                disk.kill()
            } else {
                disk.restart()
            }
            drop((connection, database));
            let database = open(&disk)?;
            let connection = database.connect()?;
            (database, connection)
        }
    };
    assert_eq!(count(&connection)?, there, "{what}");
    connection.execute_batch(free)?;
    connection.execute_batch(TABLE)?;
    let left = count(&connection)?;
    connection.execute_batch(INSERT)?;
    assert_eq!(count(&connection)?, left + 500, "{what}");
    drop((connection, database));
    assert_eq!(count(&open(&disk)?.connect()?)?, left + 500, "{what}: opened again");
    Ok(())
}

/// The end of the log, of which nobody knows whether it is safe, is written anew before it is shown. Where there is no
/// room for that, not even what is kept for it, it is shown and nothing is added.
#[test]
fn a_killed_database_opens_on_a_full_disk() -> Result<()> {
    for has_reserve in [true, false] {
        let disk = SimulatedVfs::new(7);
        let database = open(&disk)?;
        let connection = database.connect()?;
        connection.execute_batch(TABLE)?;
        connection.execute_batch("INSERT INTO t SELECT 1, value, repeat('y', 100) FROM generate_series(1, 20000)")?;
        disk.limit_space(Some(disk.space_used()));
        disk.kill();
        drop((connection, database));
        if !has_reserve {
            disk.remove(Path::new("RESERVE"))?;
            disk.limit_space(Some(disk.space_used()));
        }
        let database = open(&disk)?;
        let connection = database.connect()?;
        assert_eq!(count(&connection)?, 20_000, "reserve {has_reserve}");
        if !has_reserve {
            let refused = connection.execute_batch(INSERT).expect_err("full");
            assert_eq!(refused.sqlstate(), "53100", "{refused}");
        }
        assert_eq!(database.notices().iter().any(|notice| notice.contains("the disk is full")), !has_reserve);
        if has_reserve {
            connection.execute_batch("DELETE FROM t WHERE k <= 20000")?;
        } else {
            disk.limit_space(None);
        }
        connection.execute_batch(INSERT)?;
        disk.restart();
        drop((connection, database));
        let left = if has_reserve { 500 } else { 20_500 };
        assert_eq!(count(&open(&disk)?.connect()?)?, left, "reserve {has_reserve}");
    }
    Ok(())
}

#[test]
fn what_a_killed_checkpoint_left_is_removed_when_the_database_is_opened() -> Result<()> {
    let disk = SimulatedVfs::new(3);
    let vfs: &dyn Vfs = &disk;
    let connection = open(&disk)?.connect()?;
    connection.execute_batch(TABLE)?;
    connection.execute_batch(INSERT)?;
    drop(connection);
    for files in [0, 1] {
        vfs.create_directory(Path::new("seg"))?;
        for number in 100..103 {
            vfs.create(Path::new(&format!("seg/{number:016}.seg")))?.allocate(10_000)?;
        }
        let database = open(&disk)?;
        assert_eq!(count(&database.connect()?)?, 500);
        assert_eq!(vfs.list(Path::new("seg"))?.len(), files);
        database.checkpoint()?;
    }
    Ok(())
}

/// A file system of so many bytes, as long as it lives; `None` where the machine lets nobody make one.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().ok()?;
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Small(directory))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_small_file_system_is_filled_killed_and_used_again() -> Result<()> {
    let Some(small) = Small::mount(12 << 20) else {
        println!("no file system can be mounted here: nothing was tested");
        return Ok(());
    };
    let path = small.0.path().join("db");
    let mut writer = Command::new(std::env::current_exe()?)
        .args(["durable::full::writes_until_the_disk_is_full", "--exact", "--nocapture"])
        .env(DIRECTORY, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = BufReader::new(writer.stdout.take().expect("a pipe"));
    let mut told =
        output.lines().map_while(std::io::Result::ok).filter_map(|line| line.strip_prefix("full ")?.parse().ok());
    let there: i64 = told.next().expect("the writer fills the disk");
    writer.kill()?;
    writer.wait()?;
    assert!(there * 110 > 3 << 20, "{there} rows in 12 MiB");
    let database = Database::open(&path)?;
    let connection = database.connect()?;
    assert_eq!(count(&connection)?, there);
    for round in 0..2 {
        // Rows here and there make room only when it is there to write what is left between them.
        for statement in [
            "DELETE FROM t WHERE k % 10 = 7",
            "CHECKPOINT",
            "DELETE FROM t WHERE n < (SELECT max(n) FROM t) / 2",
            "CHECKPOINT",
        ] {
            let told = connection.execute_batch(statement);
            let files = || Command::new("ls").args(["-s", "-R"]).arg(&path).output();
            told.unwrap_or_else(|error| panic!("round {round}, {statement}: {error}\n{:?}", files()));
        }
        let before = count(&connection)?;
        let refused = fill(&connection);
        assert_eq!(refused.sqlstate(), "53100", "round {round}: {refused}");
        assert!(count(&connection)? > before, "round {round}");
    }
    let there = count(&connection)?;
    drop((connection, database));
    let connection = Database::open(&path)?.connect()?;
    assert_eq!(count(&connection)?, there);
    connection.execute_batch("DROP TABLE t; CHECKPOINT")?;
    connection.execute_batch(TABLE)?;
    connection.execute_batch(INSERT)?;
    assert_eq!(lines(&connection, "PRAGMA integrity_check")?.matches("ok").count(), 1);
    Ok(())
}

/// Not a test of its own: does nothing unless it is told where.
#[test]
fn writes_until_the_disk_is_full() -> Result<()> {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return Ok(()) };
    let connection = Database::open(directory)?.connect()?;
    connection.execute_batch(TABLE)?;
    let refused = fill(&connection);
    assert_eq!(refused.sqlstate(), "53100", "{refused}");
    println!("full {}", count(&connection)?);
    std::thread::sleep(std::time::Duration::from_secs(60));
    Ok(())
}
