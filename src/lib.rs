//! Eddy: an embedded SQL analytics database with continuous queries. One SQL, one answer.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod base;
mod batch;
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
pub use base::types::sql_type_name;
pub use sql::{StatementSpan, split};
