//! The engine behind the runner: the only file that names the crate under test.
//!
//! A panic of the engine is an error like any other here, so that one bad record does not take the run with it; a
//! statement that runs longer than [`DEADLINE`] is interrupted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use eddydb::{Database, EventKind, Outcome, SimulatedVfs};

/// How long one statement may run.
const DEADLINE: &str = "SET statement_timeout = '60 s'";

/// Whether there is a database to test.
pub const AVAILABLE: bool = true;

/// A database.
pub struct Engine(Database);

/// A simulated disk with a directory for one database.
pub struct Disk(SimulatedVfs);

impl Disk {
    /// An empty one, whose luck is decided by `seed`.
    pub fn new(seed: u64) -> Disk {
        Disk(SimulatedVfs::new(seed))
    }

    /// Loses power: what was not synced is perhaps gone.
    pub fn lose_power(&self) {
        self.0.restart();
    }
}

/// When views are filled again after the database was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Views {
    /// In the background.
    Soon,
    /// Before anything else is done.
    Waited,
    /// When somebody waits for one.
    Held,
}

/// A connection.
pub struct Connection(eddydb::Connection);

/// A subscription, with the commits it has told of so far.
pub struct Subscription {
    inner: eddydb::Subscription,
    commits: usize,
    epoch: u64,
}

/// One step of a subscription.
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
    /// `[SQLSTATE] message`, the line with a caret, the hint.
    pub text: String,
}

impl Failure {
    /// A failure of the runner itself.
    pub fn of(text: &str) -> Failure {
        Failure { sqlstate: String::new(), text: text.to_string() }
    }

    fn from(error: &eddydb::Error, sql: &str) -> Failure {
        let sqlstate = error.sqlstate().to_string();
        let shown: String = sql.chars().take(2000).collect();
        Failure { text: format!("[{sqlstate}] {}", error.render(&shown)), sqlstate }
    }
}

impl Answer {
    /// The number of changed rows; rows count too.
    pub fn finish(self) -> Result<u64, Failure> {
        match self {
            Answer::Rows(table) => Ok(table.batches.iter().map(|batch| batch.num_rows() as u64).sum()),
            Answer::Changed(count) => Ok(count),
            Answer::Done | Answer::Subscription(_) => Ok(0),
        }
    }
}

impl Engine {
    /// A fresh, empty database.
    pub fn open() -> Result<Engine, Failure> {
        let database = Database::builder().target_partitions(2).build();
        database.map(Engine).map_err(|error| Failure::from(&error, ""))
    }

    /// The database on a disk.
    pub fn open_on(disk: &Disk, views: Views) -> Result<Engine, Failure> {
        let builder = Database::builder().target_partitions(2).spool_sizes(256, 16, 4096);
        let builder = if views == Views::Held { builder.hold_views() } else { builder };
        let database = builder.open_in(Arc::new(disk.0.clone()));
        if let (Views::Waited, Ok(database)) = (views, &database) {
            // That one of them has failed is no failure here.
            let _ = database.wait_for_views();
        }
        database.map(Engine).map_err(|error| Failure::from(&error, ""))
    }

    /// Makes a checkpoint.
    pub fn checkpoint(&self) -> Result<(), Failure> {
        self.0.checkpoint().map_err(|error| Failure::from(&error, ""))
    }

    /// A connection to it.
    pub fn connect(&self) -> Result<Connection, Failure> {
        let connection = self.0.connect().map_err(|error| Failure::from(&error, ""))?;
        connection.run(DEADLINE).map_err(|error| Failure::from(&error, DEADLINE))?;
        Ok(Connection(connection))
    }
}

impl Connection {
    /// Runs one statement to its end.
    pub fn run(&self, sql: &str) -> Result<Answer, Failure> {
        let run = || match self.0.run(sql)? {
            Outcome::Rows(rows) => {
                let columns = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
                Ok(Answer::Rows(Table { columns, batches: rows.collect::<eddydb::Result<Vec<_>>>()? }))
            }
            Outcome::Changed(count) => Ok(Answer::Changed(count)),
            Outcome::Subscription(inner) => {
                Ok(Answer::Subscription(Subscription { inner, commits: 0, epoch: u64::MAX }))
            }
            _ => Ok(Answer::Done),
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(answer) => answer.map_err(|error: eddydb::Error| Failure::from(&error, sql)),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                Err(Failure::of(&format!("PANIC: {text}")))
            }
        }
    }

    /// The notices since the last call.
    pub fn notices(&self) -> Vec<String> {
        self.0.take_notices()
    }
}

impl Subscription {
    /// The events received since the last call. Changes are there once their commit has returned; a subscriber that
    /// expects some (`quiet` is false) is given a moment all the same.
    pub fn take(&mut self, quiet: bool) -> Result<Vec<Event>, Failure> {
        let mut events = Vec::new();
        let wait = if quiet { Duration::ZERO } else { Duration::from_millis(500) };
        let mut next = self.inner.recv_timeout(wait);
        while let Some(event) = next.map_err(|error| Failure::from(&error, ""))? {
            match event.kind {
                EventKind::Failed(_) => events.push(Event::Failed),
                EventKind::Progress => {}
                _ => {
                    if self.epoch != event.epoch {
                        (self.epoch, self.commits) = (event.epoch, self.commits + 1);
                    }
                    let batch = event.as_record_batch().map_err(|error| Failure::from(&error, ""))?;
                    let columns: Vec<usize> = (1..batch.num_columns()).collect();
                    let batch = batch.project(&columns).map_err(|error| Failure::of(&error.to_string()))?;
                    events.push(Event::Changes(self.commits, batch));
                }
            }
            next = self.inner.try_recv();
        }
        Ok(events)
    }

    /// The last epoch the subscription has seen.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}
