//! What a sink must stand: the disk of the database dies at any operation, and what came out is each change once.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use eddydb::{Database, Fault, Result, SimulatedVfs};

use super::kit::{kills, wait};
use super::lines;
use crate::random::Random;

fn open(disk: &SimulatedVfs) -> Result<Database> {
    Database::builder().target_partitions(1).checkpoint_every(3000).open_in(Arc::new(disk.clone()))
}

fn statements(out: &Path) -> Vec<String> {
    let sink = |name: &str, from: &str| {
        let path = out.join(name);
        format!(
            "CREATE SINK {name} FROM {from} WITH (connector = 'file', path = '{}', format = 'csv', rows = 2)",
            path.display()
        )
    };
    let mut statements: Vec<String> = vec![
        "CREATE TABLE t (k BIGINT, v BIGINT)".into(),
        "CREATE STREAM s (n BIGINT)".into(),
        "CREATE STREAM copy (n BIGINT)".into(),
        "CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v)::BIGINT AS total FROM t GROUP BY k".into(),
        "INSERT INTO t VALUES (1, 1), (2, 2)".into(),
        sink("sums_out", "sums"),
        sink("s_out", "s"),
        "CREATE SINK s_copy INTO copy FROM s".into(),
    ];
    for n in 0..12 {
        statements.push(format!("INSERT INTO s VALUES ({n}), ({n})"));
        statements.push(match n % 3 {
            0 => format!("INSERT INTO t VALUES ({}, {n})", n % 4),
            1 => format!("UPDATE t SET v = v + {n} WHERE k = 1"),
            _ => "DELETE FROM t WHERE k = 3".into(),
        });
    }
    statements
}

/// Runs the statements from `done` on; how many were answered.
fn run(disk: &SimulatedVfs, statements: &[String], done: usize) -> usize {
    let Ok(database) = open(disk) else { return done };
    let Ok(connection) = database.connect() else { return done };
    let mut answered = done;
    for statement in &statements[done..] {
        if connection.execute_batch(statement).is_err() {
            return answered;
        }
        answered += 1;
    }
    let waiting = "SELECT coalesce(sum(waiting_rows), 0)::BIGINT FROM eddy.sinks";
    wait(|| disk.is_down() || connection.query_row(waiting, (), |row| row.get::<i64>(0)).is_ok_and(|rows| rows == 0));
    answered
}

#[test]
fn changes_come_out_once_wherever_the_disk_dies() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole");
    fs::create_dir(&whole).unwrap();
    let disk = SimulatedVfs::new(5);
    let undisturbed = statements(&whole);
    assert_eq!(run(&disk, &undisturbed, 0), undisturbed.len());
    check(&disk, &whole, "undisturbed")?;
    let operations = disk.operations();
    let mut random = Random::new(2, "sinks");
    for kill in 0..kills() * 3 {
        let out = directory.path().join(format!("kill{kill}"));
        fs::create_dir(&out).unwrap();
        let statements = statements(&out);
        let disk = SimulatedVfs::new(kill);
        let (at, again) = (random.next() % operations, random.next() % 60);
        let what = format!("kill {kill} at operation {at}, then {again}");
        disk.fail_at(at, Fault::Crash);
        let mut done = run(&disk, &statements, 0);
        for again in [Some(again), None] {
            disk.restart();
            if let Some(again) = again {
                disk.fail_at(disk.operations() + again, Fault::Crash);
            }
            // What was not answered may have happened all the same.
            done = happened(&disk, &statements, done);
            done = run(&disk, &statements, done);
        }
        assert_eq!(done, statements.len(), "{what}");
        check(&disk, &out, &what)?;
    }
    Ok(())
}

/// How many statements have happened, of which `answered` were answered: every one is told by what is there.
fn happened(disk: &SimulatedVfs, statements: &[String], answered: usize) -> usize {
    let Some(next) = statements.get(answered) else { return answered };
    let Ok(database) = open(disk) else { return answered };
    let Ok(connection) = database.connect() else { return answered };
    let count = |query: &str| connection.query_row(query, (), |row| row.get::<i64>(0)).unwrap_or(0);
    let words: Vec<&str> = next.split_whitespace().collect();
    let has = match words[..] {
        ["CREATE", "SINK", name, ..] => count(&format!("SELECT count(*) FROM eddy.sinks WHERE name = '{name}'")) > 0,
        ["CREATE", "MATERIALIZED", _, name, ..] | ["CREATE", _, name, ..] => {
            count(&format!("SELECT count(*) FROM eddy.relations WHERE name = '{name}'")) > 0
        }
        ["INSERT", "INTO", "s", ..] => {
            let before = statements[..answered].iter().filter(|other| other.starts_with("INSERT INTO s ")).count();
            count("SELECT count(*) FROM s") > 2 * before as i64
        }
        // A change of the table that happened twice is one more change, and comes out as that.
        _ => false,
    };
    answered + usize::from(has)
}

/// What came out is what is there.
fn check(disk: &SimulatedVfs, out: &Path, what: &str) -> Result<()> {
    let database = open(disk)?;
    let connection = database.connect()?;
    let waiting = "SELECT coalesce(sum(waiting_rows), 0)::BIGINT FROM eddy.sinks";
    wait(|| connection.query_row(waiting, (), |row| row.get::<i64>(0)).is_ok_and(|rows| rows == 0));
    let all = |name: &str| out.join(name).join("*.csv").display().to_string();
    let plain = lines(&connection, &format!("SELECT n FROM read_csv('{}', header => true) ORDER BY n", all("s_out")))?;
    assert_eq!(plain, lines(&connection, "SELECT n FROM s ORDER BY n")?, "{what}: the rows of a stream");
    assert_eq!(lines(&connection, "SELECT n FROM copy ORDER BY n")?, plain, "{what}: the rows fed to another");
    let changes = format!(
        "SELECT k, total, sum(_weight)::BIGINT AS w FROM '{}' GROUP BY k, total HAVING sum(_weight) <> 0 ORDER BY k",
        all("sums_out")
    );
    assert_eq!(lines(&connection, &changes)?, lines(&connection, "SELECT k, total, 1 FROM sums ORDER BY k")?, "{what}");
    let hidden = fs::read_dir(out.join("s_out"))
        .unwrap()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with('.')));
    assert_eq!(hidden.count(), 0, "{what}: nothing unfinished is left");
    Ok(())
}
