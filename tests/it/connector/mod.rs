//! Connectors: rows that come from elsewhere, once each.

mod file_rigs;
mod file_sink;
mod file_source;
mod kill;
mod kit;
mod sink_kit;

use std::fmt::Debug;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use eddydb::{Connection, Database, FromValue, Result, Value};

/// How long something may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a query gives one row of one value that is as expected.
fn expect<T: PartialEq + Debug + FromValue>(connection: &Connection, query: &str, expected: T) -> Result<()> {
    let begun = Instant::now();
    loop {
        let found: T = connection.query_row(query, (), |row| row.get(0))?;
        if found == expected {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            let sources = lines(connection, "SELECT * FROM eddy.sources")?;
            panic!("{query}: {found:?} in place of {expected:?}\n{sources}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The rows of a query, a line each.
fn lines(connection: &Connection, query: &str) -> Result<String> {
    let mut text = String::new();
    for row in connection.query(query, ())? {
        let row = row?;
        let values: Vec<Value> = (0..row.len()).map(|column| row.get(column)).collect::<Result<_>>()?;
        let shown = values.iter().map(|value| match value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        });
        text.push_str(&format!("{}\n", shown.collect::<Vec<_>>().join("|")));
    }
    Ok(text)
}

/// Adds to a file, which is made if it is not there.
fn append(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A database in a directory, and a session with it.
fn open(path: &Path) -> Result<(Database, Connection)> {
    let database = Database::builder().target_partitions(1).open(path)?;
    let connection = database.connect()?;
    Ok((database, connection))
}
