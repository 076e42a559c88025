//! The process is killed while it commits: what it told to be committed is there, whole and once.
//!
//! The writer is this test binary, started again with [`DIRECTORY`] set. It prints the number of each transaction when it
//! is answered; the tester kills it at a random moment.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use eddydb::{Database, Result};

use super::subscriptions::{Consumer, rows_in};
use crate::random::Random;

/// Where the writer finds its database.
const DIRECTORY: &str = "EDDY_KILL_DIRECTORY";

/// How often the writer is killed, `EDDY_KILLS` times (8 if not said).
fn kills() -> u64 {
    std::env::var("EDDY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

#[test]
fn a_killed_process_loses_nothing_that_it_answered() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let seed = std::env::var("EDDY_KILL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut random = Random::new(seed, "kill");
    let mut answered = 0;
    let mut consumer = Consumer::default();
    for kill in 0..kills() {
        let mut writer = Command::new(std::env::current_exe()?)
            .args(["durable::kill::writes_until_it_is_killed", "--exact", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = BufReader::new(writer.stdout.take().expect("a pipe"));
        let reader = std::thread::spawn(move || {
            let numbers = output.lines().map_while(std::io::Result::ok);
            numbers.filter_map(|line| line.strip_prefix("done ")?.parse::<i64>().ok()).last()
        });
        std::thread::sleep(Duration::from_millis(150 + random.next() % 400));
        writer.kill()?;
        writer.wait()?;
        answered = reader.join().expect("the reader ends with the writer").unwrap_or(answered);
        let database = Database::open(directory.path())?;
        let connection = database.connect()?;
        let is_made = "SELECT count(*) FROM eddy.subscriptions WHERE name = 'f'";
        if connection.query_row(is_made, (), |row| row.get::<i64>(0))? == 0 {
            assert_eq!(answered, 0, "kill {kill}: the relations are gone");
            continue;
        }
        let one = |query: &str| connection.query_row(query, (), |row| row.get::<i64>(0));
        let last = one("SELECT coalesce(max(n), 0) FROM a")?;
        assert!(last == answered || last == answered + 1, "kill {kill}: {answered} answered, {last} there");
        // A writer that is killed before it answers goes on from here.
        answered = last;
        assert_eq!(one("SELECT count(DISTINCT n) FROM a")?, last, "kill {kill}: none is lost");
        assert_eq!(one("SELECT count(*) FROM a")?, last * 3, "kill {kill}: none is doubled or torn");
        assert_eq!(one("SELECT coalesce(max(k), 0) FROM counter")?, last, "kill {kill}: a transaction is whole");
        assert_eq!(one("SELECT coalesce(sum(c), 0)::BIGINT FROM per_day")?, last * 3, "kill {kill}: the view follows");
        connection.run("VERIFY MATERIALIZED VIEW per_day")?;
        let what = format!("seed {seed} kill {kill}");
        consumer.read(&connection.subscribe("SUBSCRIBE SUBSCRIPTION f")?, &what)?;
        assert_eq!(consumer.contents(), rows_in(&connection, "per_day")?, "{what}: every change was told once");
        let told: Vec<u64> = consumer.told.range(consumer.acknowledged + 1..).map(|(epoch, _)| *epoch).collect();
        if !told.is_empty() {
            consumer.acknowledged = told[random.below(told.len())];
            connection.execute_batch(&format!("ACKNOWLEDGE SUBSCRIPTION f UP TO {}", consumer.acknowledged))?;
        }
    }
    println!("{} kills of seed {seed}, {answered} transactions", kills());
    assert!(answered > 0, "the writer came to nothing");
    Ok(())
}

/// Not a test of its own: does nothing unless it is told where.
#[test]
fn writes_until_it_is_killed() -> Result<()> {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return Ok(()) };
    // Checkpoints come so often that most kills meet one, or its end.
    let connection = Database::builder().checkpoint_every(32 << 10).open(directory)?.connect()?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS a (n BIGINT, part BIGINT); CREATE TABLE IF NOT EXISTS counter (k BIGINT);
         CREATE MATERIALIZED VIEW IF NOT EXISTS per_day AS SELECT n % 7 AS day, count(*) AS c FROM a GROUP BY n % 7;
         CREATE SUBSCRIPTION IF NOT EXISTS f ON per_day",
    )?;
    connection.execute_batch("INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter)")?;
    let mut last = connection.query_row("SELECT k FROM counter", (), |row| row.get::<i64>(0))?;
    loop {
        last += 1;
        connection.execute_batch(&format!(
            "BEGIN; INSERT INTO a VALUES ({last}, 1), ({last}, 2), ({last}, 3); UPDATE counter SET k = {last}; COMMIT"
        ))?;
        println!("done {last}");
    }
}
