//! The file source on the kit: a log that is rotated, a log of CSV, a directory of Parquet files.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use eddydb::{Database, Result};
use tempfile::TempDir;

use super::append;
use super::kit::{Rig, conforms};

/// A log in a directory of its own.
struct Log {
    directory: TempDir,
    format: &'static str,
    turn: u32,
}

impl Log {
    fn new(format: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("logs")).unwrap();
        Log { directory, format, turn: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }
}

impl Rig for Log {
    fn create(&self) -> String {
        format!(
            "CREATE SOURCE s (n BIGINT) WITH (connector = 'file', path = '{}', format = '{}', poll_interval = '1 ms')",
            self.path("app.log*").display(),
            self.format
        )
    }

    fn send(&mut self, numbers: Range<i64>) {
        for n in numbers {
            let value = if n % 10 == 3 { format!("\"bad {n}\"") } else { n.to_string() };
            let line = if self.format == "ndjson" { format!("{{\"n\": {value}}}\n") } else { format!("{value}\n") };
            // Slowly, and half a line at a time.
            let (half, rest) = line.split_at(line.len() / 2);
            append(&self.path("app.log"), half);
            append(&self.path("app.log"), rest);
        }
    }

    fn bad(&self, numbers: Range<i64>) -> i64 {
        numbers.filter(|n| n % 10 == 3).count() as i64
    }

    fn disturb(&mut self) {
        if self.path("app.log").exists() {
            self.turn += 1;
            fs::rename(self.path("app.log"), self.path(&format!("app.log.{}", self.turn))).unwrap();
        }
    }

    fn reach(&mut self, reachable: bool) {
        let (here, away) = (self.directory.path().join("logs"), self.directory.path().join("away"));
        let (from, to) = if reachable { (away, here) } else { (here, away) };
        fs::rename(from, to).unwrap();
    }
}

#[test]
fn a_rotated_log_of_json_conforms() -> Result<()> {
    conforms("ndjson", || Log::new("ndjson"))
}

#[test]
fn a_rotated_log_of_csv_conforms() -> Result<()> {
    conforms("csv", || Log::new("csv"))
}

/// A directory into which files are put.
struct Inbox(Log);

impl Rig for Inbox {
    fn create(&self) -> String {
        format!(
            "CREATE SOURCE s (n BIGINT) WITH (connector = 'file', path = '{}', poll_interval = '1 ms')",
            self.0.path("*.parquet").display(),
        )
    }

    fn send(&mut self, numbers: Range<i64>) {
        let connection = Database::in_memory().and_then(|database| database.connect()).unwrap();
        self.0.turn += 1;
        let path = self.0.path(&format!("{}.parquet", self.0.turn));
        let Range { start, end } = numbers;
        let query = format!("SELECT n FROM generate_series({start}, {end} - 1) AS g(n)");
        connection.execute_batch(&format!("COPY ({query}) TO '{}'", path.display())).unwrap();
    }

    fn bad(&self, _numbers: Range<i64>) -> i64 {
        0
    }

    fn disturb(&mut self) {
        let first = self.0.path(&format!("{}.parquet", self.0.turn));
        if first.exists() {
            fs::rename(&first, self.0.path(&format!("renamed {}.parquet", self.0.turn))).unwrap();
        }
    }

    fn reach(&mut self, reachable: bool) {
        self.0.reach(reachable);
    }
}

#[test]
fn a_directory_of_parquet_files_conforms() -> Result<()> {
    conforms("parquet", || Inbox(Log::new("parquet")))
}
