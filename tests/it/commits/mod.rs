//! Commits of several connections: rows and definitions pass one door, and nobody sees half of one.

mod alter;
mod bank;
mod interleave;
mod interrupts;
mod races;
mod replay;
mod subscriptions;
mod time;

use eddydb::arrow::util::display::array_value_to_string;
use eddydb::{ChangeBatch, Clock, Connection, ManualClock, Result};

/// How often a race is run: enough to hit most orders, little enough for every test run.
/// `EDDY_RACES` says another number.
fn rounds(usual: usize) -> usize {
    std::env::var("EDDY_RACES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Lets time pass.
fn advance(clock: &ManualClock, us: i64) {
    clock.set(clock.now_us() + us);
}

fn integers(connection: &Connection, sql: &str) -> Result<Vec<i64>> {
    connection.query(sql, ())?.map(|row| row?.get(0)).collect()
}

/// The rows of a query as sorted lines of text.
fn lines(connection: &Connection, sql: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for batch in connection.query_arrow(sql, ())? {
        let batch = batch?;
        lines.extend((0..batch.num_rows()).map(|row| line(&batch, row)));
    }
    lines.sort();
    Ok(lines)
}

fn line(batch: &eddydb::arrow::array::RecordBatch, row: usize) -> String {
    let values = batch.columns().iter().map(|column| array_value_to_string(column, row).expect("a value has a text"));
    values.collect::<Vec<_>>().join(",")
}

/// Rows with weights, as sorted lines of text.
fn weighted(changes: &ChangeBatch) -> Vec<(String, i64)> {
    let mut rows: Vec<_> =
        (0..changes.num_rows()).map(|row| (line(changes.rows(), row), changes.weights().get(row))).collect();
    rows.sort();
    rows
}
