//! Rows into a directory: how many a second last, what one commit waits for, what checkpoints and opening cost.
//!
//! Wall time, because the disk is measured too; beside each figure the same bytes written raw, in the same run. The
//! directory is made in `EDDY_BENCH_DIR`, or where temporary files are.

mod common;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Arguments, Random, batch, peak_rss_mb};
use datafusion::arrow::array::{Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use eddydb::{Database, Result, params};

/// Rows of one commit.
const BATCH: usize = 10_000;
const STREAM: &str = "CREATE STREAM s (at TIMESTAMP, id BIGINT, k BIGINT, v DOUBLE, name TEXT)";
const VIEWS: &str = "CREATE MATERIALIZED VIEW by_name AS SELECT name, count(*) AS n, sum(v) AS v FROM s GROUP BY name;
     CREATE MATERIALIZED VIEW by_k AS SELECT k, count(*) AS n, max(v) AS v FROM s GROUP BY k;";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let seconds = Duration::from_secs_f64(60.0 * arguments.scale());
    for (case, views) in [("append_10k", ""), ("append_10k_two_views", VIEWS)] {
        if arguments.wants(case) {
            append(case, views, seconds)?;
        }
    }
    for clients in [1, 64] {
        if arguments.wants(&format!("commits_{clients}")) {
            commits(clients, seconds / 6)?;
        }
    }
    if arguments.wants("checkpoint") {
        checkpoint(arguments.rows(5_000_000))?;
    }
    if arguments.wants("scan") {
        scan(arguments.rows(5_000_000))?;
    }
    if arguments.wants("large") {
        large(256 << 20, arguments.rows(4 << 20))?;
    }
    if arguments.wants("reopen") {
        reopen(arguments.rows(5_000_000))?;
    }
    Ok(())
}

/// Commits of 10,000 rows of five columns, one behind the other, checkpoints among them.
fn append(case: &str, views: &str, limit: Duration) -> Result<()> {
    let directory = directory();
    let path = directory.path().join("ingest.eddy");
    let database = Database::open(&path)?;
    let connection = database.connect()?;
    connection.execute_batch(STREAM)?;
    connection.execute_batch(views)?;
    let input: Vec<RecordBatch> = (0..16).map(|n| rows(n * BATCH as u64, BATCH)).collect();
    let mut appender = connection.appender("s")?;
    let (start, before) = (Instant::now(), written_bytes());
    let (mut rows, mut waits) = (0, Vec::new());
    while start.elapsed() < limit {
        let begun = Instant::now();
        appender.append_record_batch(&input[rows / BATCH % input.len()])?;
        appender.flush()?;
        waits.push(begun.elapsed());
        rows += BATCH;
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(appender);
    drop((connection, database));
    let (bytes, closed) = (written_bytes() - before, start.elapsed().as_secs_f64());
    let plain: usize =
        input.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() / input.len() * (rows / BATCH);
    let raw = raw_seconds(directory.path(), bytes, bytes as usize / (rows / BATCH));
    waits.sort_unstable();
    println!(
        "ingest     {case:<22} {:.2} M rows/s  {rows} rows in {seconds:.1} s, closed at {closed:.1} s; wait p50 {:?} p99 {:?}; \
         {} MB RSS at most; {:.0} MB written for {:.0} MB of rows; raw write and fdatasync {raw:.1} s, ratio {:.2}",
        rows as f64 / seconds / 1e6,
        at(&waits, 50),
        at(&waits, 99),
        peak_rss_mb(),
        bytes as f64 / 1e6,
        plain as f64 / 1e6,
        raw / closed,
    );
    Ok(())
}

/// A relation with a key, larger than the memory that the database may use, made by one statement and changed by one:
/// what the process holds at most.
fn large(limit: usize, rows: usize) -> Result<()> {
    let directory = directory();
    let file = directory.path().join("rows.parquet").display().to_string();
    // As many rows as make four times the limit at 256 bytes each.
    let columns =
        "value AS id, value % 1000 AS k, repeat(value::TEXT, 4) || repeat('x', 180) AS text, value / 3.0 AS v";
    let path = directory.path().join("large.eddy");
    let open = || Database::builder().memory_limit(limit).target_partitions(1).open(&path);
    let connection = open()?.connect()?;
    let statements = [
        ("CREATE TABLE AS", format!("CREATE TABLE t AS SELECT {columns} FROM generate_series(1, {rows}) AS s (value)")),
        ("CREATE INDEX", "CREATE UNIQUE INDEX by_id ON t (id)".to_string()),
        ("COPY TO", format!("COPY t TO '{file}'")),
        ("scan", "SELECT count(*), sum(id), sum(k), sum(length(text)), sum(v) FROM t".to_string()),
        ("UPDATE", "UPDATE t SET k = k + 1".to_string()),
        ("DROP TABLE", "DROP TABLE t".to_string()),
        ("CREATE TABLE", "CREATE TABLE t (id BIGINT PRIMARY KEY, k BIGINT, text TEXT, v DOUBLE)".to_string()),
        ("COPY FROM", format!("COPY t FROM '{file}'")),
        ("one row", "INSERT INTO t VALUES (0, 0, 'one', 0)".to_string()),
        ("UPDATE", "UPDATE t SET k = k + 1".to_string()),
        ("scan", "SELECT count(*), sum(id), sum(k), sum(length(text)), sum(v) FROM t".to_string()),
        ("DELETE", "DELETE FROM t WHERE id % 2 = 0".to_string()),
    ];
    for (what, statement) in &statements {
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let start = Instant::now();
        if what == &"scan" {
            connection.query(statement, ())?.for_each(drop);
        } else {
            connection.execute_batch(statement)?;
        }
        println!(
            "ingest     large {what:<16} {rows} rows, limit {} MB: {:.1} s, {} MB RSS at most",
            limit >> 20,
            start.elapsed().as_secs_f64(),
            peak_rss_mb()
        );
    }
    drop(connection);
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let start = Instant::now();
    let connection = open()?.connect()?;
    let opened = start.elapsed().as_secs_f64();
    connection.execute_batch("INSERT INTO t VALUES (-1, 0, 'first after a restart', 0)")?;
    println!(
        "ingest     large reopen           {rows} rows: {opened:.2} s, first insert at {:.1} s, {} MB RSS at most",
        start.elapsed().as_secs_f64(),
        peak_rss_mb()
    );
    Ok(())
}

/// Commits of one row by so many clients at once, against fdatasync of as many bytes into a file that has its blocks.
fn commits(clients: usize, limit: Duration) -> Result<()> {
    let directory = directory();
    let database = Database::open(directory.path().join("commits.eddy"))?;
    database.connect()?.execute_batch("CREATE TABLE t (id BIGINT, v BIGINT)")?;
    let start = Instant::now();
    let work = |client: usize| -> Result<Vec<Duration>> {
        let connection = database.connect()?;
        let mut appender = connection.appender("t")?;
        let mut waits = Vec::new();
        while start.elapsed() < limit {
            let begun = Instant::now();
            appender.append_row(params![client as i64, waits.len() as i64])?;
            appender.flush()?;
            waits.push(begun.elapsed());
        }
        Ok(waits)
    };
    let mut waits = std::thread::scope(|scope| -> Result<Vec<Duration>> {
        let threads: Vec<_> = (0..clients).map(|client| scope.spawn(move || work(client))).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().expect("no panic")?);
        }
        Ok(all)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    waits.sort_unstable();
    let raw = raw_waits(directory.path(), 360, waits.len().clamp(100, 5_000));
    println!(
        "ingest     commits_{clients:<14} {:.0} commits/s  p50 {:?} p99 {:?}; raw fdatasync p50 {:?} p99 {:?}, ratio of p50 {:.2}",
        waits.len() as f64 / seconds,
        at(&waits, 50),
        at(&waits, 99),
        at(&raw, 50),
        at(&raw, 99),
        at(&waits, 50).as_secs_f64() / at(&raw, 50).as_secs_f64(),
    );
    Ok(())
}

/// A checkpoint after one row in a thousand has changed, while single rows are committed.
fn checkpoint(count: usize) -> Result<()> {
    let directory = directory();
    let path = directory.path().join("checkpoint.eddy");
    let database = Database::builder().checkpoint_every(u64::MAX).open(&path)?;
    let connection = database.connect()?;
    connection.execute_batch("CREATE TABLE t (at TIMESTAMP, id BIGINT, k BIGINT, v DOUBLE, name TEXT)")?;
    let mut appender = connection.appender("t")?;
    for start in (0..count).step_by(1 << 20) {
        appender.append_record_batch(&rows(start as u64, (count - start).min(1 << 20)))?;
        appender.flush()?;
    }
    let begun = Instant::now();
    database.checkpoint()?;
    let whole = begun.elapsed();
    connection.execute_batch("UPDATE t SET v = v + 1 WHERE id % 1000 = 7")?;
    let changed = count as u64 / 1000 * 48;
    let before = size(&path.join("seg")) + size(&path.join("manifest"));
    let begun = Instant::now();
    database.checkpoint()?;
    let small = begun.elapsed();
    let written = size(&path.join("seg")) + size(&path.join("manifest")) - before;
    connection.execute_batch("UPDATE t SET v = v + 1 WHERE id % 1000 = 8")?;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut waits = std::thread::scope(|scope| -> Result<Vec<Duration>> {
        let committer = scope.spawn(|| -> Result<Vec<Duration>> {
            let connection = database.connect()?;
            let mut appender = connection.appender("t")?;
            let mut waits = Vec::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let begun = Instant::now();
                appender.append_record_batch(&rows(0, 1))?;
                appender.flush()?;
                waits.push(begun.elapsed());
            }
            Ok(waits)
        });
        std::thread::sleep(Duration::from_millis(200));
        database.checkpoint()?;
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        committer.join().expect("no panic")
    })?;
    waits.sort_unstable();
    println!(
        "ingest     checkpoint             first {whole:?} of {count} rows; after 0.1 % changed {small:?}, {written} bytes for {changed}; \
         commits meanwhile p50 {:?} p99 {:?} max {:?}",
        at(&waits, 50),
        at(&waits, 99),
        at(&waits, 100),
    );
    Ok(())
}

/// Reads of rows that a checkpoint has written, against the same rows in a Parquet file; one thread.
fn scan(count: usize) -> Result<()> {
    let directory = directory();
    let (path, file) = (directory.path().join("scan.eddy"), directory.path().join("scan.parquet"));
    let open = || Database::builder().target_partitions(1).open(&path);
    let database = open()?;
    let connection = database.connect()?;
    connection.execute_batch(STREAM)?;
    let mut appender = connection.appender("s")?;
    for start in (0..count).step_by(1 << 20) {
        appender.append_record_batch(&rows(start as u64, (count - start).min(1 << 20)))?;
        appender.flush()?;
    }
    drop(appender);
    connection.execute_batch(&format!("COPY s TO '{}'", file.display()))?;
    drop((connection, database));
    let file = format!("'{}'", file.display());
    // A hundredth of the time in the middle; where it is computed, bounds cannot tell.
    let (low, high) = (count as i64 / 2, count as i64 / 2 + count as i64 / 100);
    let range = |at: &str| {
        let time = |n: i64| format!("TIMESTAMP '1970-01-01' + INTERVAL '{} milliseconds'", n);
        format!("WHERE {at} >= {} AND {at} < {}", time(low), time(high))
    };
    for (what, columns, filter) in [
        ("all", "count(*), sum(v), max(k), min(name)", String::new()),
        ("one_column", "sum(v)", String::new()),
        ("range", "count(*), sum(v), max(k), min(name)", range("at")),
        ("range_unbounded", "count(*), sum(v), max(k), min(name)", range("coalesce(at, at)")),
    ] {
        let seconds = |from: &str, fresh: bool| -> Result<f64> {
            let mut database = open()?;
            let mut times = Vec::new();
            for _ in 0..7 {
                if fresh {
                    database = open_again(database, &open)?;
                }
                let connection = database.connect()?;
                let begun = Instant::now();
                connection.query_row(&format!("SELECT {columns} FROM {from} {filter}"), (), |row| {
                    row.get::<eddydb::Value>(0)
                })?;
                times.push(begun.elapsed().as_secs_f64());
            }
            times.sort_by(f64::total_cmp);
            Ok(times[times.len() / 2])
        };
        let (parquet, first, again) = (seconds(&file, false)?, seconds("s", true)?, seconds("s", false)?);
        println!(
            "ingest     scan_{what:<17} {count} rows: Parquet {parquet:.4} s, after opening {first:.4} s (ratio {:.2}), again {again:.4} s (ratio {:.2})",
            parquet / first,
            parquet / again,
        );
    }
    Ok(())
}

fn open_again(database: Database, open: &dyn Fn() -> Result<Database>) -> Result<Database> {
    drop(database);
    open()
}

/// Opening a database that was closed, and one whose log has to be replayed.
fn reopen(count: usize) -> Result<()> {
    for (what, every) in [("closed", 64 << 20), ("killed", u64::MAX)] {
        let directory = directory();
        let path = directory.path().join("reopen.eddy");
        let database = Database::builder().checkpoint_every(every).open(&path)?;
        let connection = database.connect()?;
        connection.execute_batch(STREAM)?;
        connection.execute_batch(VIEWS)?;
        let start = Instant::now();
        let mut appender = connection.appender("s")?;
        for start in (0..count).step_by(BATCH) {
            appender.append_record_batch(&rows(start as u64, BATCH))?;
            appender.flush()?;
        }
        let written = start.elapsed();
        drop(appender);
        let copy = directory.path().join("copy.eddy");
        if every == u64::MAX {
            copy_directory(&path, &copy);
        }
        drop((connection, database));
        let begun = Instant::now();
        let database = Database::open(if every == u64::MAX { &copy } else { &path })?;
        let opened = begun.elapsed();
        let connection = database.connect()?;
        let n: i64 = connection.query_row("SELECT count(*) FROM s", (), |row| row.get(0))?;
        let first = begun.elapsed();
        connection.query_row("SELECT count(*) FROM by_name", (), |row| row.get::<i64>(0))?;
        println!(
            "ingest     reopen_{what:<15} {n} rows written in {written:?}; open {opened:?}, first query {first:?}, view {:?}",
            begun.elapsed()
        );
    }
    Ok(())
}

fn rows(first: u64, count: usize) -> RecordBatch {
    let mut random = Random::new(first + 1);
    let names = ["north", "south", "east", "west", "elsewhere"];
    let at: TimestampMicrosecondArray = (0..count).map(|row| Some((first + row as u64) as i64 * 1000)).collect();
    let id: Int64Array = (0..count).map(|row| Some((first + row as u64) as i64)).collect();
    let k: Int64Array = (0..count).map(|_| Some(random.below(50_000) as i64)).collect();
    let v: Float64Array = (0..count).map(|_| Some(random.below(100_000) as f64 / 100.0)).collect();
    let name = StringViewArray::from_iter_values((0..count).map(|_| names[random.below(5) as usize]));
    batch(vec![
        ("at", Arc::new(at)),
        ("id", Arc::new(id)),
        ("k", Arc::new(k)),
        ("v", Arc::new(v)),
        ("name", Arc::new(name)),
    ])
}

fn at(waits: &[Duration], percent: usize) -> Duration {
    waits.get((waits.len() * percent / 100).min(waits.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn directory() -> tempfile::TempDir {
    let made = match std::env::var_os("EDDY_BENCH_DIR") {
        Some(at) => tempfile::tempdir_in(at),
        None => tempfile::tempdir(),
    };
    made.expect("a directory")
}

/// Bytes that this process has handed to the disk.
fn written_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("wchar:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// Seconds for so many bytes, in pieces of which each is written and synced; measured with half a gigabyte.
fn raw_seconds(directory: &Path, bytes: u64, piece: usize) -> f64 {
    let path = directory.join("raw");
    let mut file = File::create(&path).expect("a file");
    let content = vec![7; piece.max(1)];
    let pieces = (bytes.min(512 << 20) / content.len() as u64).max(1);
    let start = Instant::now();
    for _ in 0..pieces {
        file.write_all(&content).expect("room");
        file.sync_data().expect("a disk");
    }
    let seconds = start.elapsed().as_secs_f64() * bytes as f64 / (pieces * content.len() as u64) as f64;
    std::fs::remove_file(path).expect("it is there");
    seconds
}

fn raw_waits(directory: &Path, piece: usize, count: usize) -> Vec<Duration> {
    let path = directory.join("raw");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).expect("a file");
    file.write_all_at(&vec![0; piece * count], 0).expect("room");
    file.sync_all().expect("a disk");
    let content = vec![7; piece];
    let mut waits: Vec<Duration> = (0..count)
        .map(|n| {
            let begun = Instant::now();
            file.write_all_at(&content, (n * piece) as u64).expect("room");
            file.sync_data().expect("a disk");
            begun.elapsed()
        })
        .collect();
    waits.sort_unstable();
    waits
}

fn size(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).expect("a directory");
    files.map(|file| file.and_then(|file| file.metadata()).map_or(0, |metadata| metadata.len())).sum()
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        let target: PathBuf = to.join(entry.file_name());
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => copy_directory(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("room")),
        }
    }
}
