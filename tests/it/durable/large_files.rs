//! Files of large commits against everything that could lose them, keep them for ever or bring them into memory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddydb::{Database, MemoryVfs, Result, Vfs};

use arrow::array::AsArray;

use super::lines;

fn seg_bytes(vfs: &MemoryVfs) -> Result<(usize, u64)> {
    let directory = Path::new("seg");
    let names = if vfs.exists(directory)? { vfs.list(directory)? } else { vec![] };
    let mut bytes = 0;
    for name in &names {
        bytes += vfs.open_to_read(&directory.join(name))?.len()?;
    }
    Ok((names.len(), bytes))
}

#[test]
fn a_reader_goes_on_where_a_file_of_the_log_is_gone() -> Result<()> {
    let vfs = MemoryVfs::default();
    let open = || Database::builder().target_partitions(1).spool_sizes(100, 8, 3000);
    let database = open().open_in(Arc::new(vfs.clone()))?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT, v BIGINT); INSERT INTO t VALUES (0, 0)")?;
    let reader = open().read_only(true).open_in(Arc::new(vfs.clone()))?;
    // Within one period of the reader.
    connection.execute_batch("INSERT INTO t SELECT value, 1 FROM generate_series(1, 100)")?;
    connection.execute_batch("DELETE FROM t")?;
    database.checkpoint()?;
    connection.execute_batch("INSERT INTO t VALUES (7, 7)")?;
    for n in 0..12 {
        std::thread::sleep(Duration::from_millis(500));
        connection.execute_batch("INSERT INTO t VALUES (8, 8)")?;
        if n == 6 {
            database.checkpoint()?;
        }
    }
    std::thread::sleep(Duration::from_millis(1500));
    assert!(reader.epoch() + 1 >= database.epoch(), "stuck");
    Ok(())
}

#[test]
fn large_changes_leave_few_files_behind() -> Result<()> {
    let vfs = MemoryVfs::default();
    let database = Database::builder()
        .target_partitions(1)
        .spool_sizes(10_000, 256, 1 << 20)
        .checkpoint_every(256 << 10)
        .open_in(Arc::new(vfs.clone()))?;
    let connection = database.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (k BIGINT, s TEXT); INSERT INTO t SELECT value, repeat('x', 100) || value FROM generate_series(1, 2000)",
    )?;
    for n in 0..100 {
        connection.execute_batch("UPDATE t SET k = k + 1")?;
        if n % 20 == 0 {}
    }
    std::thread::sleep(Duration::from_millis(500));
    let found = seg_bytes(&vfs)?;
    drop((connection, database));
    assert!(found.1 < 5 << 20, "{found:?}");
    Ok(())
}

#[test]
fn wide_rows_of_files_stay_in_files() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let database = Database::builder().target_partitions(1).memory_limit(24 << 20).open(directory.path().join("d"))?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT, s TEXT)")?;
    connection
        .execute_batch("INSERT INTO t SELECT value, repeat('x', 700) || value FROM generate_series(1, 140000)")?;
    connection.execute_batch("INSERT INTO t VALUES (1, 'small')")?;
    Ok(())
}

#[test]
fn what_is_left_of_rows_in_files_does_not_fill_the_memory() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let database = Database::builder().target_partitions(1).memory_limit(24 << 20).open(directory.path().join("d"))?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT, s TEXT)")?;
    connection
        .execute_batch("INSERT INTO t SELECT value, repeat('x', 300) || value FROM generate_series(1, 280000)")?;
    connection.execute_batch("INSERT INTO t VALUES (1, 'small')")?;
    connection.execute_batch("DELETE FROM t WHERE k % 10 < 6")?;
    connection.execute_batch("INSERT INTO t VALUES (1, 'small')")?;
    Ok(())
}

#[test]
fn a_damaged_block_of_a_commit_is_left_out_alone() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("database");
    let database = Database::builder().target_partitions(1).spool_sizes(100, 8, 3000).open(&path)?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE u (k BIGINT); INSERT INTO u VALUES (1), (2)")?;
    connection.execute_batch("CREATE TABLE t (k BIGINT, v BIGINT)")?;
    connection.execute_batch("INSERT INTO t SELECT value, 1 FROM generate_series(1, 100)")?;
    connection.execute_batch("INSERT INTO u VALUES (3)")?;
    drop((connection, database));
    let mut names: Vec<_> = std::fs::read_dir(path.join("seg"))?.collect::<std::io::Result<Vec<_>>>()?;
    names.sort_by_key(|name| name.path());
    let file = names.first().expect("a file").path();
    let mut bytes = std::fs::read(&file)?;
    bytes[300] ^= 1;
    std::fs::write(&file, bytes)?;
    let to = directory.path().join("rest");
    let lost = Database::salvage(&path, &to)?;
    assert!(lost.len() == 1 && lost[0].starts_with("rows of \"t\""), "{lost:?}");
    let connection = Database::open(&to)?.connect()?;
    assert_eq!(lines(&connection, "SELECT count(*) FROM u")?, "Integer(3)|\n");
    assert_eq!(lines(&connection, "SELECT count(*) FROM t")?, "Integer(92)|\n", "a block has eight rows");
    Ok(())
}

#[test]
fn files_of_a_killed_process_go_when_it_is_opened_again() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (path, other) = (directory.path().join("a"), directory.path().join("b"));
    let builder = || Database::builder().target_partitions(1).spool_sizes(100, 8, 3000);
    let database = builder().open(&path)?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT PRIMARY KEY)")?;
    connection.execute_batch("BEGIN; INSERT INTO t SELECT value FROM generate_series(1, 1000)")?;
    for part in ["", "wal", "seg"] {
        std::fs::create_dir_all(other.join(part))?;
        for name in std::fs::read_dir(path.join(part))? {
            let name = name?;
            if name.file_type()?.is_file() {
                std::fs::copy(name.path(), other.join(part).join(name.file_name()))?;
            }
        }
    }
    let count = |path: &Path| std::fs::read_dir(path.join("seg")).unwrap().count();
    for _ in 0..3 {
        let database = builder().open(&other)?;
        database.connect()?.execute_batch("INSERT INTO t VALUES (5); DELETE FROM t WHERE k = 5")?;
        drop(database);
    }
    assert_eq!(count(&other), 0);
    Ok(())
}

#[test]
fn readers_open_while_checkpoints_remove_files() -> Result<()> {
    let vfs = MemoryVfs::default();
    let open = || Database::builder().target_partitions(1).spool_sizes(100, 8, 300);
    let database = open().open_in(Arc::new(vfs.clone()))?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT)")?;
    // Readers show what is known to be safe: that the table is must not wait for the log to rest.
    database.checkpoint()?;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (other, flag) = (vfs.clone(), stop.clone());
    let thread = std::thread::spawn(move || -> Vec<String> {
        let mut errors = Vec::new();
        while !flag.load(std::sync::atomic::Ordering::Relaxed) {
            match Database::builder().target_partitions(1).read_only(true).open_in(Arc::new(other.clone())) {
                Ok(reader) => {
                    let counts = reader
                        .connect()
                        .and_then(|connection| lines(&connection, "SELECT count(*), count(DISTINCT k) FROM t"));
                    match counts {
                        Ok(counts)
                            if counts == "Integer(100)|Integer(100)|\n" || counts == "Integer(0)|Integer(0)|\n" => {}
                        Ok(counts) => errors.push(counts),
                        Err(error) => errors.push(error.render("")),
                    }
                }
                Err(error) => errors.push(error.render("")),
            }
        }
        errors
    });
    connection.execute_batch("INSERT INTO t SELECT value, 1 FROM generate_series(1, 100)")?;
    for _ in 0..60 {
        connection.execute_batch("UPDATE t SET v = v + 1, k = k + 1")?;
        database.checkpoint()?;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let errors = thread.join().expect("joined");
    assert!(errors.is_empty(), "{} errors: {:?}", errors.len(), errors.iter().take(5).collect::<Vec<_>>());
    Ok(())
}

/// Large and small statements with keys against a database in memory.
#[test]
fn keys_are_enforced_as_in_memory() -> Result<()> {
    let mut random = crate::random::Random::new(17, "large");
    for seed in 0..40u64 {
        let vfs = MemoryVfs::default();
        let open = || {
            Database::builder()
                .target_partitions(1)
                .spool_sizes(60, 4, 300)
                .checkpoint_every(u64::MAX)
                .open_in(Arc::new(vfs.clone()))
        };
        let memory = Database::builder().target_partitions(1).build()?.connect()?;
        let mut database = open()?;
        let setup = "CREATE TABLE t (x DOUBLE, k BIGINT, s TEXT, UNIQUE (x), UNIQUE (k, s))";
        memory.execute_batch(setup)?;
        database.connect()?.execute_batch(setup)?;
        for step in 0..40 {
            let mut below = |n: usize| random.below(n);
            let (a, b, c, d) = (below(60), below(40) + 1, below(7), below(5) + 2);
            let many = below(2) * 40 + 1;
            let insert = format!(
                "INSERT INTO t SELECT CASE WHEN value % 11 = 0 THEN NULL WHEN value % 13 = 0 THEN 'NaN'::DOUBLE WHEN value % 17 = 0 THEN -0.0 ELSE value * 0.5 END, nullif(value % 19, {c}), 's' || (value / {d}) FROM generate_series({a}, {})",
                a + b.min(many)
            );
            let statement = match below(12) {
                0..=4 => insert,
                5 => format!("UPDATE t SET x = x + {c} WHERE k < {b}"),
                6 => format!("UPDATE t SET k = k + 1, s = s || '{c}'"),
                7 => format!("DELETE FROM t WHERE k % {d} = {}", c % d),
                8 => format!("{insert} ON CONFLICT DO NOTHING"),
                9 => format!("DELETE FROM t WHERE x BETWEEN {c} AND {}", c + 15),
                10 => "UPDATE t SET x = x".to_string(),
                _ => format!(
                    "BEGIN; DELETE FROM t WHERE k = {c}; {insert}; UPDATE t SET x = -x WHERE k > {d}; DELETE FROM t WHERE s LIKE '%{d}'; COMMIT"
                ),
            };
            let run = |connection: &eddydb::Connection| match connection.execute_batch(&statement) {
                Ok(()) => "done".to_string(),
                Err(error) => {
                    let _ = connection.execute_batch("ROLLBACK");
                    format!("{} {}", error.sqlstate(), if error.sqlstate() == "XX000" { error.message() } else { "" })
                }
            };
            let (one, other) = (run(&memory), run(&database.connect()?));
            assert_eq!(one, other, "seed {seed} step {step}: {statement}");
            match below(6) {
                0 => {
                    drop(database);
                    database = open()?;
                }
                1 => database.checkpoint()?,
                _ => {}
            }
            let all = "SELECT * FROM t ORDER BY ALL";
            assert_eq!(lines(&memory, all)?, lines(&database.connect()?, all)?, "seed {seed} step {step}: {statement}");
        }
        let check = lines(&database.connect()?, "PRAGMA integrity_check")?;
        assert!(check.contains("ok"), "{check}");
    }
    Ok(())
}

/// Every epoch of a history of large and small commits reads as it was, whatever came after.
#[test]
fn every_epoch_of_large_changes_can_be_followed() -> Result<()> {
    let mut random = crate::random::Random::new(5, "history");
    for seed in 0..12 {
        let vfs = MemoryVfs::default();
        let database = Database::builder()
            .target_partitions(1)
            .spool_sizes(60, 8, 500)
            .checkpoint_every(u64::MAX)
            .open_in(Arc::new(vfs.clone()))?;
        let connection = database.connect()?;
        connection.execute_batch("CREATE TABLE t (k BIGINT, v BIGINT); CREATE TABLE plain (k BIGINT, v BIGINT)")?;
        let mut known = Vec::new();
        for step in 0..30 {
            let mut below = |n: usize| random.below(n);
            let (a, b) = (below(100), below(60));
            let statement = match below(6) {
                0 | 1 => format!("INSERT INTO t SELECT value, {b} FROM generate_series({a}, {})", a + b),
                2 => format!("UPDATE t SET v = v + 1 WHERE k >= {a}"),
                3 => "DELETE FROM t".to_string(),
                4 => format!("DELETE FROM t WHERE k % 3 = {}", b % 3),
                _ => format!("INSERT INTO t VALUES ({a}, {b})"),
            };
            connection.execute_batch(&statement)?;
            if below(5) == 0 {
                database.checkpoint()?;
            }
            let mut state = std::collections::BTreeMap::<(i64, i64), i64>::new();
            for row in connection.query("SELECT k, v FROM t", ())? {
                let row = row?;
                *state.entry((row.get(0)?, row.get(1)?)).or_default() += 1;
            }
            known.push((database.epoch(), state.clone()));
            for (epoch, before) in &known {
                let mut folded = before.clone();
                let changes = connection.subscribe(&format!("SUBSCRIBE t AS OF {epoch}"))?;
                while let Some(event) = changes.try_recv()? {
                    let rows = event.changes.rows();
                    let column = |at: usize| rows.column(at).as_primitive::<arrow::datatypes::Int64Type>().clone();
                    let (k, v) = (column(0), column(1));
                    for row in 0..event.changes.num_rows() {
                        *folded.entry((k.value(row), v.value(row))).or_default() += event.changes.weights().get(row);
                    }
                }
                folded.retain(|_, count| *count != 0);
                assert_eq!(folded, state, "seed {seed} step {step} epoch {epoch}: {statement}");
            }
        }
    }
    Ok(())
}

/// Keys are added and dropped while large commits with repeated keys come.
#[test]
fn keys_come_and_go_beside_large_commits() -> Result<()> {
    let vfs = MemoryVfs::default();
    let database = Database::builder()
        .target_partitions(1)
        .spool_sizes(60, 8, 500)
        .checkpoint_every(20_000)
        .open_in(Arc::new(vfs.clone()))?;
    database.connect()?.execute_batch("CREATE TABLE t (k BIGINT, v BIGINT)")?;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let threads: Vec<_> = (0..3)
        .map(|n: i64| {
            let (connection, stop) = (database.connect().expect("open"), stop.clone());
            std::thread::spawn(move || {
                let (mut round, mut told) = (0, std::collections::BTreeMap::<String, usize>::new());
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    round += 1;
                    let first = (round * 7 + n * 13) % 50;
                    let statement = match round % 3 {
                        0 => format!("DELETE FROM t WHERE k BETWEEN {first} AND {}", first + 60),
                        1 => format!(
                            "BEGIN; INSERT INTO t SELECT value, {n} FROM generate_series({first}, {}); COMMIT",
                            first + 40
                        ),
                        _ => format!("INSERT INTO t SELECT value, {n} FROM generate_series({first}, {})", first + 40),
                    };
                    match connection.execute_batch(&statement) {
                        Ok(()) => *told.entry("ok".into()).or_default() += 1,
                        Err(error) => {
                            let _ = connection.execute_batch("ROLLBACK");
                            *told.entry(error.sqlstate().to_string()).or_default() += 1;
                            assert!(["23505", "40001"].contains(&error.sqlstate()), "{}", error.render(""));
                        }
                    }
                }
                told
            })
        })
        .collect();
    let connection = database.connect()?;
    let (mut added, mut refused) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(12) {
        match connection.execute_batch("CREATE UNIQUE INDEX ux ON t (k)") {
            Ok(()) => {
                added += 1;
                std::thread::sleep(Duration::from_millis(60));
                let doubles = lines(&connection, "SELECT k, count(*) FROM t GROUP BY k HAVING count(*) > 1")?;
                assert_eq!(doubles, "", "doubles under a key");
                connection.execute_batch("DROP INDEX ux")?;
            }
            Err(error) => {
                refused += 1;
                assert!(["23505", "40001"].contains(&error.sqlstate()), "{}", error.render(""));
                let _ = connection.execute_batch("DELETE FROM t");
            }
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    threads.into_iter().for_each(|thread| drop(thread.join().expect("joined")));
    assert!(added > 0 || refused > 0);
    let all = lines(&connection, "SELECT k, v, count(*) FROM t GROUP BY ALL ORDER BY ALL")?;
    drop((connection, database));
    let database = Database::builder().target_partitions(1).open_in(Arc::new(vfs.clone()))?;
    assert_eq!(lines(&database.connect()?, "SELECT k, v, count(*) FROM t GROUP BY ALL ORDER BY ALL")?, all);
    Ok(())
}

/// What is deleted for a view is counted before it is read.
#[test]
fn what_a_view_is_told_of_is_counted() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let database = Database::builder().target_partitions(1).memory_limit(32 << 20).open(directory.path().join("d"))?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (k BIGINT, s TEXT)")?;
    connection
        .execute_batch("INSERT INTO t SELECT value, repeat('x', 300) || value FROM generate_series(1, 280000)")?;
    connection.execute_batch("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")?;
    let outcome = connection.execute_batch("DELETE FROM t").map_err(|error| error.render(""));
    assert!(outcome.is_err(), "90 MB were read under a limit of 32");
    Ok(())
}
