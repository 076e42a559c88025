//! The log: the one ordered record of everything the door let pass.
//!
//! A [`LogRecord`] is plain data and holds verdicts, never questions: replaying records into a fresh database decides
//! nothing again and so gives equal contents and equal changes, epoch for epoch. The log does not refuse a record for
//! its content; an error from it means the medium failed.

use std::sync::Arc;

use arrow::array::RecordBatch;
use parking_lot::Mutex;

use crate::base::error::Result;

/// What one commit did to one relation, by then beyond dispute.
#[derive(Debug, Clone)]
pub struct RelationWrite {
    /// The relation's number.
    pub relation: u64,
    /// Row ids deleted, ascending; they are deleted before the inserts.
    pub deletes: Vec<u64>,
    /// Rows inserted, in canonical types and in the order of their row ids.
    pub inserts: Vec<RecordBatch>,
}

/// One entry of the log.
#[derive(Debug, Clone)]
pub enum LogRecord {
    /// A commit of rows; several may share an epoch.
    Commit {
        /// The epoch that published it.
        epoch: u64,
        /// The epoch's time, in microseconds since 1970 (UTC).
        time_us: i64,
        /// What it did, one entry a relation.
        writes: Vec<RelationWrite>,
    },
    /// A change of the catalog; a commit and an epoch of its own.
    Ddl {
        /// The epoch that published it.
        epoch: u64,
        /// The epoch's time, in microseconds since 1970 (UTC).
        time_us: i64,
        /// The statement.
        sql: String,
        /// Rows that came with it (`CREATE TABLE .. AS`).
        writes: Vec<RelationWrite>,
    },
    /// Time moved without a commit.
    Tick {
        /// The epoch that published it.
        epoch: u64,
        /// The epoch's time, in microseconds since 1970 (UTC).
        time_us: i64,
    },
}

impl LogRecord {
    /// The epoch that published the record.
    pub fn epoch(&self) -> u64 {
        match self {
            LogRecord::Commit { epoch, .. } | LogRecord::Ddl { epoch, .. } | LogRecord::Tick { epoch, .. } => *epoch,
        }
    }

    /// The time of that epoch, in microseconds since 1970 (UTC).
    pub fn time_us(&self) -> i64 {
        match self {
            LogRecord::Commit { time_us, .. } | LogRecord::Ddl { time_us, .. } | LogRecord::Tick { time_us, .. } => {
                *time_us
            }
        }
    }
}

/// Takes records in order.
pub trait Log: Send {
    /// Appends one record; when this returns, the record is as safe as this log makes it.
    fn append(&mut self, record: &LogRecord) -> Result<()>;
}

/// Keeps nothing: the log of a database that lives in memory.
#[derive(Debug, Default)]
pub struct NullLog;

impl Log for NullLog {
    fn append(&mut self, _record: &LogRecord) -> Result<()> {
        Ok(())
    }
}

/// Keeps every record in memory, to be replayed.
#[derive(Debug, Default, Clone)]
pub struct MemoryLog(Arc<Mutex<Vec<LogRecord>>>);

impl MemoryLog {
    /// The records so far.
    pub fn records(&self) -> Vec<LogRecord> {
        self.0.lock().clone()
    }
}

impl Log for MemoryLog {
    fn append(&mut self, record: &LogRecord) -> Result<()> {
        self.0.lock().push(record.clone());
        Ok(())
    }
}
