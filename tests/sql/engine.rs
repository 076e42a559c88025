//! The engine behind the runner: the only file that names the crate under test.
//!
//! Until the database layer exists it opens nothing, and the runner says so and runs nothing.

use arrow::array::RecordBatch;

/// Whether there is a database to test.
pub const AVAILABLE: bool = false;

/// A database.
pub struct Engine;

/// A connection.
pub struct Connection;

/// A subscription.
pub struct Subscription;

/// One step of a subscription.
#[allow(dead_code)]
pub enum Event {
    /// The number of the commit, counted from the subscription's first, and its rows: weight, then columns.
    Changes(usize, RecordBatch),
    /// The query has no answer any more.
    Failed,
}

/// Rows with their column names.
pub struct Table {
    /// The names.
    pub columns: Vec<String>,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// What a statement gives.
#[allow(dead_code)]
pub enum Answer {
    /// Rows.
    Rows(Table),
    /// A number of changed rows.
    Changed(u64),
    /// Nothing.
    Done,
    /// A subscription.
    Subscription(Subscription),
}

/// An error of the engine.
pub struct Failure {
    /// Its SQLSTATE.
    pub sqlstate: String,
    /// SQLSTATE, message, position and hint.
    pub text: String,
}

impl Failure {
    /// A failure of the runner itself.
    pub fn of(text: &str) -> Failure {
        Failure { sqlstate: String::new(), text: text.to_string() }
    }
}

impl Answer {
    /// Reads the answer to its end; gives the number of changed rows.
    pub fn finish(self) -> Result<u64, Failure> {
        Ok(if let Answer::Changed(count) = self { count } else { 0 })
    }
}

impl Engine {
    /// A fresh, empty database.
    pub fn open() -> Result<Engine, Failure> {
        Err(Failure::of("there is no database yet"))
    }

    /// A connection to it.
    pub fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection)
    }
}

impl Connection {
    /// Runs one statement.
    pub fn run(&self, _sql: &str) -> Result<Answer, Failure> {
        Err(Failure::of("there is no database yet"))
    }

    /// The notices since the last call.
    pub fn notices(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Subscription {
    /// The events received since the last call.
    pub fn take(&mut self, _quiet: bool) -> Result<Vec<Event>, Failure> {
        Ok(Vec::new())
    }

    /// The last epoch the subscription has seen.
    pub fn epoch(&self) -> u64 {
        0
    }
}
