//! The log: the one ordered record of everything the door let pass.
//!
//! A [`LogRecord`] is plain data and holds verdicts, never questions: replaying records into a fresh database decides
//! nothing again and so gives equal contents and equal changes, epoch for epoch. The log does not refuse a record for
//! its content; an error from it means the medium failed.
//!
//! ```text
//! door: commits of an epoch --write(group)--> ticket     (in order, nothing may fail afterwards)
//!                             step the views             (meanwhile the medium works)
//!                             --wait(ticket)-->          (the group is as safe as this log makes it)
//!                             publish
//! ```

use std::sync::Arc;

use arrow::array::RecordBatch;
use parking_lot::Mutex;

use crate::base::error::Result;
use crate::catalog::delta::CatalogDelta;
use crate::catalog::layout::ColumnId;

/// What one commit did to one relation, by then beyond dispute.
#[derive(Debug, Clone)]
pub struct RelationWrite {
    /// The relation's number.
    pub relation: u64,
    /// The columns that the rows have, by identity.
    pub columns: Arc<[ColumnId]>,
    /// Row ids deleted, ascending; they are deleted before the inserts.
    pub deletes: Vec<u64>,
    /// The rows of those ids, one for each: who applies the write reads nothing.
    pub deleted: Option<RecordBatch>,
    /// Rows inserted, in canonical types and in the order of their row ids.
    pub inserts: Vec<RecordBatch>,
}

/// One entry of the log.
#[derive(Debug, Clone)]
pub enum LogRecord {
    /// A commit; several may share an epoch, but one that changes the catalog has an epoch of its own.
    Commit {
        /// The epoch that published it.
        epoch: u64,
        /// The epoch's time, in microseconds since 1970 (UTC).
        time_us: i64,
        /// How it changed the catalog; applied before the writes.
        catalog: CatalogDelta,
        /// What it did to rows, one entry a relation.
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
            LogRecord::Commit { epoch, .. } | LogRecord::Tick { epoch, .. } => *epoch,
        }
    }

    /// The time of that epoch, in microseconds since 1970 (UTC).
    pub fn time_us(&self) -> i64 {
        match self {
            LogRecord::Commit { time_us, .. } | LogRecord::Tick { time_us, .. } => *time_us,
        }
    }
}

/// Stands for a group that was written, until it is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(
    /// Grows from group to group.
    pub u64,
);

/// Takes the records of one epoch after the other.
///
/// # Contract
/// - Groups are written in order of epochs, one at a time (checked by the sequencer, the only caller).
/// - After an error nothing more is written: what the medium holds is unknown then (checked by the sequencer, which
///   lets no commit through any more).
pub trait Log: Send {
    /// Hands the records of an epoch to the log, without waiting for the medium.
    fn write(&mut self, group: &[LogRecord]) -> Result<Ticket>;

    /// Returns when the group, and all before it, are as safe as this log makes them.
    fn wait(&mut self, ticket: Ticket) -> Result<()>;
}

/// Keeps nothing: the log of a database that lives in memory.
#[derive(Debug, Default)]
pub struct NullLog;

impl Log for NullLog {
    fn write(&mut self, _group: &[LogRecord]) -> Result<Ticket> {
        Ok(Ticket(0))
    }

    fn wait(&mut self, _ticket: Ticket) -> Result<()> {
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
    fn write(&mut self, group: &[LogRecord]) -> Result<Ticket> {
        let mut records = self.0.lock();
        records.extend_from_slice(group);
        Ok(Ticket(records.len() as u64))
    }

    fn wait(&mut self, _ticket: Ticket) -> Result<()> {
        Ok(())
    }
}
