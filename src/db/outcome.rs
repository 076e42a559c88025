//! What a statement came to.

use arrow::array::RecordBatch;

use crate::base::error::{Error, Result};
use crate::db::rows::ArrowRows;
use crate::db::subscription::Subscription;

/// What a statement came to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// A result.
    Rows(ArrowRows),
    /// Rows inserted, updated or deleted.
    Changed(u64),
    /// Something without rows: DDL, transaction control, settings.
    Done,
    /// Changes from now on.
    Subscription(Subscription),
}

impl Outcome {
    /// A result of one batch.
    pub(super) fn one(batch: RecordBatch) -> Self {
        Outcome::Rows(ArrowRows::one(batch))
    }

    /// The rows; an error if the statement returns none.
    pub(super) fn into_rows(self) -> Result<ArrowRows> {
        match self {
            Outcome::Rows(rows) => Ok(rows),
            _ => Err(Error::invalid("the statement returns no rows").with_hint("run it with execute")),
        }
    }

    /// How many rows were inserted, updated or deleted; rows of a query are read and thrown away.
    pub(super) fn into_changed(self) -> Result<u64> {
        match self {
            Outcome::Changed(rows) => Ok(rows),
            Outcome::Rows(rows) => rows.map(|batch| batch.map(|_| 0)).sum(),
            _ => Ok(0),
        }
    }
}
