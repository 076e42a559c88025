//! Eddy: an embedded SQL analytics database with continuous queries. One SQL, one answer.
//!
//! The same query, run once over everything that has arrived (batch) or kept current change by change (continuous),
//! gives the same rows, retractions included, inside your process.
//!
//! ```
//! use eddydb::{Database, params};
//!
//! # fn main() -> eddydb::Result<()> {
//! let connection = Database::in_memory()?.connect()?;
//! connection.execute_batch(
//!     "CREATE STREAM payments (card TEXT, amount BIGINT);
//!      CREATE MATERIALIZED VIEW spend AS SELECT card, sum(amount) AS total FROM payments GROUP BY card;",
//! )?;
//! let changes = connection.subscribe("spend")?;
//! connection.execute("INSERT INTO payments VALUES ($1, $2)", params!["visa", 40])?;
//!
//! let total: i64 = connection.query_row("SELECT total FROM spend", (), |row| row.get(0))?;
//! assert_eq!(total, 40);
//! assert_eq!(changes.recv()?.changes.num_rows(), 0); // the snapshot: nothing was there
//! assert_eq!(changes.recv()?.changes.num_rows(), 1); // +1 (visa, 40)
//! # Ok(())
//! # }
//! ```
//!
//! Layers, from the top: `db` (this API), `continuous` and `batch` (the two drivers), `plan` (one plan for both), `sql`
//! (text to statements) and `operator`, `state`, `storage` and `connector`, `catalog`, `base`. Imports point down only.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod base;
mod batch;
mod catalog;
mod connector;
mod continuous;
mod db;
mod operator;
mod plan;
mod sql;
mod state;
mod storage;

pub use arrow;

pub use base::change::{ChangeBatch, Weights};
pub use base::clock::{Clock, ManualClock, SystemClock};
pub use base::error::{Error, ErrorKind, Position, Result};
pub use base::time::display::time_formatter;
pub use base::types::sql_type_name;
pub use base::vfs::{Fault, MemoryVfs, RealVfs, SimulatedVfs, Vfs, VfsFile, VfsLock};
pub use catalog::delta::CatalogDelta;
pub use catalog::layout::ColumnId;
pub use db::appender::Appender;
pub use db::connection::{Connection, InterruptHandle, PreparedStatement, Transaction};
pub use db::database::{Database, DatabaseBuilder};
pub use db::outcome::Outcome;
pub use db::rows::{ArrowRows, Row, Rows};
pub use db::subscription::{CancelHandle, EventKind, Subscription, SubscriptionEvent};
pub use db::value::{FromValue, Params, Value};
pub use plan::functions::{ColumnFunction, UserFunction};
pub use sql::{StatementSpan, split};
pub use storage::log::{Durability, Log, LogRecord, MemoryLog, RelationWrite, Ticket};

/// The examples of the README are run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
