//! The oracle: after every commit of a random history, every view holds what its query gives in batch.
//!
//! A case is a random schema, a few random queries and a history of commits, all from one seed. Its queries become
//! materialized views, some before the data and some in the middle of it; the inserts run in steps of one of the sizes
//! 1, 7, 1000 or all. One case in ten also asks a plain DataFusion session, with its own aggregates, for the final
//! answer, because view and batch share code.
//!
//! `EDDY_ORACLE_CASES` sets the number of cases (200), `EDDY_ORACLE_SEED` the first seed, which is printed. A failing
//! case is made smaller commit by commit before it is shown, as SQL that can be run.

mod generate;
mod judge;
mod second_opinion;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use eddydb::{Connection, Database, ErrorKind, Outcome};

use crate::oracle::generate::{Case, Commit, Statement};

/// How many cases run where the environment does not say.
const CASES: u64 = 200;

/// Runs of one case while it is made smaller.
const SHRINKS: usize = 300;

#[test]
fn views_equal_batch_after_every_commit() {
    let first = number("EDDY_ORACLE_SEED").unwrap_or_else(seed_of_the_moment);
    let cases = number("EDDY_ORACLE_CASES").unwrap_or(CASES);
    println!("oracle: {cases} cases from seed {first}");
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let tally = Mutex::new(Tally::default());
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= cases || !failures.lock().expect("no panic inside").is_empty() {
                        return;
                    }
                    let case = Case::new(first + index);
                    match run(&case) {
                        Ok(found) => tally.lock().expect("no panic inside").add(&found),
                        Err(reason) => failures.lock().expect("no panic inside").push((case, reason)),
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().expect("all workers have ended");
    println!("oracle: {tally:#?}");
    if let Some((case, reason)) = failures.into_inner().expect("all workers have ended").into_iter().next() {
        let (case, reason) = shrink(case, reason);
        panic!("seed {}\n{}\n{reason}", case.seed, case.script());
    }
    assert!(tally.views * 10 >= tally.refused * 9, "too many queries were refused: {tally:?}");
}

/// What the cases came to, so that a green run can be told from an empty one.
#[derive(Debug, Default)]
struct Tally {
    views: usize,
    refused: usize,
    comparisons: usize,
    rows: usize,
    second_opinions: usize,
    /// Why queries were refused.
    reasons: BTreeMap<String, usize>,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.views += other.views;
        self.refused += other.refused;
        self.comparisons += other.comparisons;
        self.rows += other.rows;
        self.second_opinions += other.second_opinions;
        for (reason, count) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
    }
}

/// Runs a case on a fresh database; the error says which view was wrong, and when.
fn run(case: &Case) -> Result<Tally, String> {
    let database = Database::builder().target_partitions(2).build().map_err(|error| error.to_string())?;
    let connection = database.connect().map_err(|error| error.to_string())?;
    let mut tally = Tally::default();
    for table in &case.tables {
        execute(&connection, &table.create())?;
    }
    let mut live = Vec::new();
    let late = case.commits.len() / 2;
    for (at, commit) in case.commits.iter().enumerate() {
        for (number, view) in case.views.iter().enumerate() {
            let due = (view.late && at == late) || (!view.late && at == 0);
            if due && create(&connection, number, &view.sql, &mut tally)? {
                live.push(number);
            }
        }
        for step in commit.steps(case.step) {
            apply(&connection, &step)?;
            for &number in &live {
                compare(&connection, number, &case.views[number].sql, &mut tally)
                    .map_err(|reason| format!("after commit {at}: {reason}"))?;
            }
        }
    }
    if case.second_opinion {
        for &number in &live {
            let view = &case.views[number];
            if view.portable {
                let rows = rows(&connection, &format!("SELECT * FROM v{number}"));
                let Ok(rows) = rows else { continue };
                second_opinion::check(&connection, &case.tables, &view.sql, rows)?;
                tally.second_opinions += 1;
            }
        }
    }
    Ok(tally)
}

/// Creates the view of a query; false if the engine does not take the query, which must not be a defect.
fn create(connection: &Connection, number: usize, sql: &str, tally: &mut Tally) -> Result<bool, String> {
    match connection.run(&format!("CREATE MATERIALIZED VIEW v{number} AS {sql}")) {
        Ok(_) => {
            tally.views += 1;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::Internal => Err(format!("[{}] {error}\n  in {sql}", error.sqlstate())),
        Err(error) => {
            tally.refused += 1;
            *tally.reasons.entry(format!("[{}] {error}\n  in {sql}", error.sqlstate())).or_default() += 1;
            Ok(false)
        }
    }
}

/// Runs one step: a statement, or several as a transaction.
fn apply(connection: &Connection, step: &Commit) -> Result<(), String> {
    let transaction = step.statements.len() > 1;
    if transaction {
        execute(connection, "BEGIN")?;
    }
    for statement in &step.statements {
        // A statement may be refused; then nothing of its commit happened, and the views must agree with that too.
        match execute(connection, &statement.sql()) {
            Err(reason) if reason.starts_with("[XX000]") => return Err(reason),
            Err(_) if transaction => return execute(connection, "ROLLBACK"),
            _ => {}
        }
    }
    if transaction {
        execute(connection, "COMMIT")?;
    }
    Ok(())
}

/// Compares a view with its query.
fn compare(connection: &Connection, number: usize, sql: &str, tally: &mut Tally) -> Result<(), String> {
    let view = rows(connection, &format!("SELECT * FROM v{number}"));
    let batch = rows(connection, sql);
    match (view, batch) {
        (Ok(view), Ok(batch)) => {
            tally.comparisons += 1;
            tally.rows += batch.len();
            if view == batch { Ok(()) } else { Err(difference(number, &view, &batch)) }
        }
        (view, batch) => {
            // View and batch may differ in whether they fail, but neither may fail by a defect.
            let is_defect = |reason: &String| reason.starts_with("[XX000]") || reason.contains("panicked");
            let defect = |rows: Result<_, String>| rows.err().filter(is_defect);
            match defect(view).or(defect(batch)) {
                Some(reason) => Err(format!("view v{number}: {reason}")),
                None => Ok(()),
            }
        }
    }
}

fn difference(number: usize, view: &[String], batch: &[String]) -> String {
    let only = |these: &[String], those: &[String]| {
        let mut rest = those.to_vec();
        let mut only = Vec::new();
        for row in these {
            match rest.iter().position(|other| other == row) {
                Some(at) => drop(rest.swap_remove(at)),
                None => only.push(format!("    {row}")),
            }
        }
        only.truncate(10);
        only.join("\n")
    };
    format!(
        "view v{number} differs\n  only in the view:\n{}\n  only in batch:\n{}",
        only(view, batch),
        only(batch, view)
    )
}

fn execute(connection: &Connection, sql: &str) -> Result<(), String> {
    connection.run(sql).map(drop).map_err(|error| format!("[{}] {error}\n  in {sql}", error.sqlstate()))
}

/// The rows of a query as sorted texts.
fn rows(connection: &Connection, sql: &str) -> Result<Vec<String>, String> {
    let failed = |error: eddydb::Error| format!("[{}] {error}\n  in {sql}", error.sqlstate());
    let Outcome::Rows(rows) = connection.run(sql).map_err(failed)? else {
        return Err(format!("no rows from {sql}"));
    };
    let batches = rows.collect::<eddydb::Result<Vec<_>>>().map_err(failed)?;
    let mut rows = texts(&batches)?;
    rows.sort_unstable();
    Ok(rows)
}

/// Each row as one text, its values separated by ` | `.
fn texts(batches: &[RecordBatch]) -> Result<Vec<String>, String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        rows.extend((0..batch.num_rows()).map(|row| {
            let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            cells.join(" | ")
        }));
    }
    Ok(rows)
}

/// Takes away commits, statements and views as long as the case still fails.
fn shrink(mut case: Case, mut reason: String) -> (Case, String) {
    let mut tries = 0;
    let mut attempt = |smaller: Case, case: &mut Case, reason: &mut String| -> bool {
        tries += 1;
        match if tries > SHRINKS { Ok(Tally::default()) } else { run(&smaller) } {
            Err(new) => {
                (*case, *reason) = (smaller, new);
                true
            }
            Ok(_) => false,
        }
    };
    for number in (0..case.views.len()).rev() {
        let mut smaller = case.clone();
        smaller.views.remove(number);
        attempt(smaller, &mut case, &mut reason);
    }
    let mut size = case.commits.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < case.commits.len() {
            let mut smaller = case.clone();
            smaller.commits.drain(at..(at + size).min(case.commits.len()));
            if !attempt(smaller, &mut case, &mut reason) {
                at += size;
            }
        }
        size /= 2;
    }
    for commit in 0..case.commits.len() {
        for statement in (0..case.commits[commit].statements.len()).rev() {
            let Some(Statement::Insert { rows, .. }) = case.commits[commit].statements.get(statement).cloned() else {
                continue;
            };
            for row in (0..rows.len()).rev() {
                let mut smaller = case.clone();
                if smaller.commits[commit].drop_row(statement, row) {
                    attempt(smaller, &mut case, &mut reason);
                }
            }
        }
    }
    (case, reason)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed_of_the_moment() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |elapsed| elapsed.as_millis() as u64 % 100_000_000)
}
