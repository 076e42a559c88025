//! A log tailed into a stream, through a view, into Parquet files, and the process killed again and again: the files
//! hold each record once.
//!
//! The process is this test binary, started again with [`DIRECTORY`] set, as in `durable/kill.rs`. The log is written and
//! rotated by the test, which goes on while nobody reads.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use eddydb::{Connection, Database, Result};

use super::{append, expect, lines};
use crate::random::Random;

/// Where the process finds the log, its database, and the directory of its files.
const DIRECTORY: &str = "EDDY_KILL_CONNECTORS";

/// How often it is killed, `EDDY_KILLS` times (6 if not said).
fn kills() -> u64 {
    std::env::var("EDDY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Lines of one life of the process.
const LINES: i64 = 400;

#[test]
fn files_hold_each_record_once_however_often_the_process_is_killed() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let seed = std::env::var("EDDY_KILL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut random = Random::new(seed, "kill connectors");
    let mut sent = 0;
    for kill in 0..kills() {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["connector::kill::reads_and_writes_until_it_is_killed", "--exact", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pause = random.next() % 8;
        for part in 0..LINES / 20 {
            send(directory.path(), sent..sent + 20);
            sent += 20;
            if part == random.next() as i64 % 20 {
                let old = directory.path().join(format!("logs/app.log.{kill}.{part}"));
                fs::rename(directory.path().join("logs/app.log"), old).unwrap();
            }
            std::thread::sleep(Duration::from_millis(pause + random.next() % 20));
        }
        process.kill()?;
        process.wait()?;
        send(directory.path(), sent..sent + 20);
        sent += 20;
    }
    let database = Database::open(directory.path().join("db"))?;
    let connection = database.connect()?;
    begin(&connection, directory.path())?;
    let bad = (0..sent).filter(|n| n % 50 == 7).count() as i64;
    let rows = sent - bad;
    expect(&connection, "SELECT count(*) FROM events", rows)?;
    expect(&connection, "SELECT count(*) FROM eddy.dead_letters", bad)?;
    expect(&connection, "SELECT sum(waiting_rows)::BIGINT FROM eddy.sinks", 0)?;
    connection.run("VERIFY MATERIALIZED VIEW per_minute")?;
    let one = |query: &str| connection.query_row(query, (), |row| row.get::<i64>(0));
    let files = |name: &str| format!("'{}'", directory.path().join(name).join("*.parquet").display());
    let plain = files("plain");
    assert_eq!(one(&format!("SELECT count(*) FROM {plain}"))?, rows, "none is lost or doubled (seed {seed})");
    assert_eq!(one(&format!("SELECT count(DISTINCT n) FROM {plain}"))?, rows, "each once (seed {seed})");
    let minutes = files("minutes");
    let written = format!(
        "SELECT minute::TEXT, c, total FROM (SELECT minute, c, total, sum(_weight) AS w FROM {minutes} GROUP BY ALL)
         WHERE w <> 0 ORDER BY ALL"
    );
    let twice = format!(
        "SELECT count(*) FROM (SELECT minute, c, total, sum(_weight) AS w FROM {minutes} GROUP BY ALL) WHERE w NOT IN (0, 1)"
    );
    let view = lines(&connection, "SELECT minute::TEXT, c, total FROM per_minute ORDER BY ALL")?;
    assert_eq!(lines(&connection, &written)?, view, "seed {seed}");
    assert_eq!(one(&twice)?, 0, "a change is written once (seed {seed})");
    let names = fs::read_dir(directory.path().join("plain")).unwrap().count();
    assert!(names > 1, "there are several files");
    println!("{} kills of seed {seed}, {sent} records, {names} files", kills());
    Ok(())
}

/// Adds lines to the log; one in fifty is none that the source takes.
fn send(directory: &Path, numbers: std::ops::Range<i64>) {
    let mut text = String::new();
    for n in numbers {
        let value = if n % 50 == 7 { "\"seven\"".to_string() } else { n.to_string() };
        text.push_str(&format!("{{\"n\": {value}, \"at\": \"2024-05-01 00:{:02}:00\"}}\n", n / 100 % 60));
    }
    append(&directory.join("logs/app.log"), &text);
}

/// Makes source, views and sinks where they are not there yet.
fn begin(connection: &Connection, directory: &Path) -> Result<()> {
    let path = |name: &str| directory.join(name).display().to_string();
    connection.execute_batch(&format!(
        "CREATE SOURCE IF NOT EXISTS events (n BIGINT, at TIMESTAMP)
           WITH (connector = 'file', path = '{}', format = 'ndjson', poll_interval = '2 ms');
         CREATE MATERIALIZED VIEW IF NOT EXISTS good AS SELECT n, at FROM events WHERE n >= 0;
         CREATE MATERIALIZED VIEW IF NOT EXISTS per_minute AS
           SELECT date_trunc('minute', at) AS minute, count(*) AS c, sum(n)::BIGINT AS total FROM events GROUP BY 1;
         CREATE SINK IF NOT EXISTS plain FROM good
           WITH (connector = 'file', path = '{}', format = 'parquet', interval = '20 ms', rows = 50);
         CREATE SINK IF NOT EXISTS minutes FROM per_minute
           WITH (connector = 'file', path = '{}', format = 'parquet', interval = '30 ms')",
        path("logs/*.log*"),
        path("plain"),
        path("minutes")
    ))
}

/// Not a test of its own: does nothing unless it is told where.
#[test]
fn reads_and_writes_until_it_is_killed() -> Result<()> {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return Ok(()) };
    let directory = Path::new(&directory);
    let database = Database::open(directory.join("db"))?;
    begin(&database.connect()?, directory)?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
