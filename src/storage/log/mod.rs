//! The log: the one ordered record of everything the door let pass.
//!
//! A [`LogRecord`] is plain data and holds verdicts, never questions: replaying records into a fresh database decides
//! nothing again and so gives equal contents and equal changes, epoch for epoch. The log does not refuse a record for
//! its content; an error from it means the medium failed.
//!
//! ```text
//! door: each commit that is let pass   --stage(record)-->   (may be refused: no room)
//! the epoch's commits as one group     --write()--> ticket  (in order, nothing may fail afterwards)
//!                                      step the views       (meanwhile the medium works)
//!                                      --ticket.wait()-->   (the group is as safe as this log makes it)
//!                                      publish
//! ```
//!
//! - [`codec`]: records as bytes.
//! - [`frame`]: bytes as frames of a file, and how its end is told from damage.
//! - [`sync`]: when they are safe; [`reserve`]: room for when the disk is full.
//! - [`disk`]: the log that writes files; [`recovery`]: what is read of them when a database is opened;
//!   [`follow`]: while another process writes them.

mod codec;
mod disk;
mod follow;
mod frame;
mod recovery;
mod reserve;
mod sync;

use std::sync::Arc;

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use roaring::RoaringTreemap;

use crate::base::error::Result;
use crate::catalog::delta::CatalogDelta;
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::RelationId;
use crate::storage::spool::Rows;

pub use codec::decode;
pub use disk::{DIRECTORY, Durability, LogOptions, create};
pub use follow::{Follower, Look, check};
pub use frame::moved;
pub use recovery::{Recovered, Start, first_file, is_unused, lost_manifest, read_whole_groups, recover, remove_before};
pub use reserve::PATH as RESERVE;
pub use sync::Ticket;

/// What one commit did to one relation, by then beyond dispute.
#[derive(Debug, Clone)]
pub struct RelationWrite {
    /// The relation's number.
    pub relation: u64,
    /// The columns that the rows have, by identity.
    pub columns: Arc<[ColumnId]>,
    /// Row ids deleted; they are deleted before the inserts.
    pub deletes: RoaringTreemap,
    /// The rows of those ids, one for each, ascending: who applies the write reads nothing. None where the write is
    /// large and nobody asks for them.
    pub deleted: Option<RecordBatch>,
    /// Rows inserted, in canonical types and in the order of their row ids.
    pub inserts: Vec<Rows>,
    /// Those of them that are in files, piece by piece, where somebody asks for them.
    pub read: Vec<RecordBatch>,
}

impl RelationWrite {
    /// How many rows are inserted.
    pub fn inserted(&self) -> usize {
        self.inserts.iter().map(Rows::len).sum()
    }

    /// Whether so much is written that it is not all at hand.
    pub fn is_large(&self) -> bool {
        self.deletes.len() > DELETES_AT_HAND || self.inserts.iter().any(|rows| matches!(rows, Rows::Spooled(_)))
    }
}

/// More deletes than this are written as a bitmap, and their rows read for those only who ask.
const DELETES_AT_HAND: u64 = 1 << 16;

/// How far something outside has come with a relation: where a source has read to, what a sink has written, what a
/// subscriber has acknowledged. It is part of the commit that it tells of, so the two are never apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The source, sink or subscription.
    pub relation: RelationId,
    /// Which of its parts: a file, a partition; empty where there is one only.
    pub split: String,
    /// How far it is, as JSON text of whoever wrote it; empty forgets the split.
    pub value: String,
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
        /// How far sources, sinks and subscribers have come with it.
        positions: Vec<Position>,
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

/// Where a log stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    /// The file that the next group goes to, or one before it.
    pub file: u64,
    /// Bytes written since the log was opened.
    pub bytes: u64,
    /// How much room the disk had when blocks were allocated last, where that is known.
    pub room: Option<u64>,
    /// Whether the room that is kept for a full disk is in use.
    pub is_short: bool,
}

/// What a record does to the room on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It adds rows or definitions.
    Adds,
    /// It deletes, so that the next checkpoint makes room: it may use what is kept for a full disk.
    Frees,
}

/// Takes the records of one epoch after the other.
///
/// # Contract
/// - Groups are written in order of epochs, one at a time (checked by the sequencer, the only caller).
/// - After an error of [`Log::write`] or of a ticket nothing more is written: what the medium holds is unknown then
///   (checked by the sequencer, which lets no commit through any more).
pub trait Log: Send {
    /// Sees to it that there is room for a record of `epoch` of about so many bytes, and for saving it with `unsaved`
    /// bytes before it. An error (53100 where the disk is full) leaves all as it was.
    fn make_room(&mut self, _epoch: u64, _bytes: u64, _unsaved: u64, _need: Need) -> Result<()> {
        Ok(())
    }

    /// Adds a record to the group of its epoch. An error refuses it: the group is what it was.
    fn stage(&mut self, record: &LogRecord) -> Result<()>;

    /// Hands the group to the medium, without waiting for it.
    fn write(&mut self) -> Result<Ticket>;

    /// Where it stands.
    fn place(&self) -> Place {
        Place::default()
    }

    /// How many bytes the disk has room for, where that is known.
    fn free_space(&self) -> Option<u64> {
        None
    }

    /// Lets the next group, of `epoch`, begin a file of its own where the last one has grown: a checkpoint needs none
    /// before it.
    fn turn(&mut self, _epoch: u64) -> Result<()> {
        Ok(())
    }

    /// Lets go what is kept for a full disk, for whoever makes room with it; whether there was anything.
    fn release(&mut self) -> bool {
        false
    }

    /// Keeps room for a full disk again, if there is any.
    fn keep(&mut self) {}

    /// Makes everything safe, and known to be: the log rests, or is closed.
    fn confirm(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Keeps nothing: the log of a database that lives in memory.
#[derive(Debug, Default)]
pub struct NullLog;

impl Log for NullLog {
    fn stage(&mut self, _record: &LogRecord) -> Result<()> {
        Ok(())
    }

    fn write(&mut self) -> Result<Ticket> {
        Ok(Ticket::default())
    }
}

/// Keeps every record in memory, to be replayed.
#[derive(Debug, Default, Clone)]
pub struct MemoryLog {
    records: Arc<Mutex<Vec<LogRecord>>>,
    group: Vec<LogRecord>,
}

impl MemoryLog {
    /// The records so far.
    pub fn records(&self) -> Vec<LogRecord> {
        self.records.lock().clone()
    }
}

impl Log for MemoryLog {
    fn stage(&mut self, record: &LogRecord) -> Result<()> {
        self.group.push(record.clone());
        Ok(())
    }

    fn write(&mut self) -> Result<Ticket> {
        self.records.lock().append(&mut self.group);
        Ok(Ticket::default())
    }
}
