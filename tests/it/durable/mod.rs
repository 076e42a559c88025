//! Databases in a directory: what is there again after a restart, a kill, a power cut, a failing or damaged disk.

mod awaited;
mod checkpoint;
mod crash;
mod damage;
mod faults;
mod full;
mod golden;
mod kill;
mod large;
mod large_files;
mod limits;
mod places;
mod readers;
mod restart;
mod salvage;
mod subscriptions;
mod workloads;

use std::sync::Arc;

use eddydb::{Connection, Database, Result, SimulatedVfs};

/// What survives a power cut is drawn anew for each of these seeds, `EDDY_CRASH_SEEDS` of them (1 if not said).
fn seeds() -> u64 {
    std::env::var("EDDY_CRASH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Faults strike at every so many operations, at about `count` of them; at all of them if `EDDY_CRASH_SEEDS` is said.
fn step(operations: u64, count: u64) -> u64 {
    if std::env::var_os("EDDY_CRASH_SEEDS").is_some() { 1 } else { operations.div_ceil(count).max(1) }
}

/// Opens the database on a simulated disk.
fn open(disk: &SimulatedVfs) -> Result<Database> {
    Database::builder().target_partitions(1).open_in(Arc::new(disk.clone()))
}

/// Everything that a user can see: definitions, rows of tables and views, in an order of their own.
fn contents(database: &Database) -> Result<String> {
    let connection = database.connect()?;
    let mut text = lines(
        &connection,
        "SELECT table_name, column_name, data_type, is_nullable, column_default
         FROM information_schema.columns ORDER BY 1, ordinal_position",
    )?;
    for relation in connection.query("SELECT name FROM eddy.relations ORDER BY 1", ())? {
        let name: String = relation?.get(0)?;
        let rows = lines(&connection, &format!("SELECT * FROM \"{name}\" ORDER BY ALL"))?;
        text.push_str(&format!("-- {name}\n{rows}"));
    }
    Ok(text)
}

/// The rows of a query, a line each.
fn lines(connection: &Connection, query: &str) -> Result<String> {
    let mut text = String::new();
    for row in connection.query(query, ())? {
        let row = row?;
        for column in 0..row.len() {
            let value: eddydb::Value = row.get(column)?;
            text.push_str(&format!("{value:?}|"));
        }
        text.push('\n');
    }
    Ok(text)
}
