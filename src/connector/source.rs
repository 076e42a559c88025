//! What brings rows in and goes on doing so: parts that are read from a place on.
//!
//! ```text
//! splits() ─▶ open(split, offset) ─▶ poll(max) ─▶ rows + offset ─▶ one commit ─▶ poll(max) ─▶ ...
//! ```
//!
//! A source is read by one thread (`db/pump`), which commits rows, bad records and the offset behind them together. After
//! a restart, or any error, the source is made anew and every split opened at its committed offset.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::base::error::Result;

/// A connector that brings rows in.
///
/// # Contract
/// - What is read from an offset on is what was read from it before, as long as the other side keeps it; not checkable,
///   because the other side is not ours.
/// - An error of any call leaves the source useless: it is dropped and made again.
/// - No call waits for the other side longer than a moment, so that the source can be stopped.
pub trait Source: Send {
    /// The splits there are now; asked again now and then. One that was there and is not any more keeps its name.
    fn splits(&mut self) -> Result<Vec<String>>;

    /// Reads a split from `offset` on, or from where a new one begins.
    fn open(&mut self, split: &str, offset: Option<&str>) -> Result<()>;

    /// The next records of some split, about `max` of them at most; `None` if there are none at the moment.
    fn poll(&mut self, max: usize) -> Result<Option<Polled>>;

    /// Whether nothing can ever come any more.
    fn is_finished(&self) -> bool {
        false
    }
}

/// Records of one split that follow each other.
#[derive(Debug, Clone, Default)]
pub struct Polled {
    /// The split.
    pub split: String,
    /// The rows, in the columns of the relation.
    pub rows: Vec<RecordBatch>,
    /// The records that are no rows.
    pub bad: Vec<BadRecord>,
    /// Where the split goes on behind them, as JSON text; empty if it is done with and can be forgotten.
    pub offset: String,
}

impl Polled {
    /// How many records these are.
    pub fn records(&self) -> usize {
        self.bad.len() + self.rows.iter().map(RecordBatch::num_rows).sum::<usize>()
    }
}

/// A record that is no row of the relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// Where it stands, for people.
    pub position: String,
    /// What is wrong with it.
    pub reason: String,
    /// The record as it came, cut where it is very long.
    pub raw: String,
}

/// Bytes of a record that are kept when it is bad.
const RAW_MAX: usize = 1 << 16;

impl BadRecord {
    /// A bad record of these bytes.
    pub fn new(position: String, reason: impl Into<String>, raw: &[u8]) -> Self {
        let raw = String::from_utf8_lossy(&raw[..raw.len().min(RAW_MAX)]).into_owned();
        BadRecord { position, reason: reason.into(), raw }
    }
}

/// Makes decoded rows those of the relation: its types, rules and NOT NULL; an error if one of them does not fit.
pub type Conform = Arc<dyn Fn(&RecordBatch) -> Result<RecordBatch> + Send + Sync>;
