//! From a source to commits: rows, bad records and offsets, all or nothing.
//!
//! ```text
//!       ┌─ connect, open every split at its committed offset ◀── an error, after a while
//!       ▼                                                          ▲
//!  splits ─▶ poll, poll, .. ─▶ one commit: rows, dead letters, offsets ─▶ (nothing came: wait) ─▶ splits ..
//! ```
//!
//! What was not committed is read again from the committed offset, so each record is there once, whatever fails when. A
//! commit that is refused for want of memory or disk is tried again as it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::relation::{DEAD_LETTERS, Relation, RelationId};
use crate::connector::source::{BadRecord, Polled, Source};
use crate::continuous::network::guarded;
use crate::db::commit::{Commit, Payload};
use crate::db::connectors::{State, Status};
use crate::db::pump::{Stop, connect};
use crate::db::sequencer::SequencerHandle;
use crate::db::shared::Shared;
use crate::db::write::Write;
use crate::storage::log::Position;

/// Records of one poll, and of one commit.
const POLL_RECORDS: usize = 1 << 13;
const COMMIT_RECORDS: usize = 1 << 16;
/// How long to wait after an error: doubled each time, up to the most.
pub const RETRY_MIN: Duration = Duration::from_millis(50);
pub const RETRY_MAX: Duration = Duration::from_secs(10);

/// The split that counts the bad records of a source: every source has it from its first commit on.
const COUNTS: &str = "";

/// Feeds one source.
pub struct Feeder {
    id: RelationId,
    shared: Arc<Shared>,
    sequencer: SequencerHandle,
    stop: Arc<Stop>,
    status: Arc<Mutex<Status>>,
}

/// Why a source is not read any more.
enum End {
    Stopped,
    Finished,
    TooManyBad(u64),
}

impl Feeder {
    /// Who feeds the source `id`.
    pub fn new(id: RelationId, shared: Arc<Shared>, sequencer: SequencerHandle, stop: Arc<Stop>) -> Self {
        let status = shared.connectors.of(id);
        Feeder { id, shared, sequencer, stop, status }
    }

    /// Feeds until it is stopped, or there is nothing to come.
    pub fn run(self) {
        *self.status.lock() = Status::default();
        let mut wait = RETRY_MIN;
        loop {
            match guarded(|| self.feed(&mut wait)) {
                Ok(End::Stopped) => return,
                Ok(End::Finished) => return self.tell(State::Finished, None),
                Ok(End::TooManyBad(bad)) => {
                    let reason = format!("{bad} records were bad, more than bad_record_limit allows");
                    return self.tell(State::Failed, Some(reason));
                }
                Err(_) if self.relation().is_none() => return,
                Err(error) => self.tell(State::Retrying, Some(error.to_string())),
            }
            if self.stop.wait(wait) {
                return;
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    fn tell(&self, state: State, error: Option<String>) {
        *self.status.lock() = Status { state, error };
    }

    fn relation(&self) -> Option<Arc<Relation>> {
        self.shared.version().catalog.by_id(self.id).cloned()
    }

    /// Feeds until something goes wrong; `wait` begins anew whenever something went right.
    fn feed(&self, wait: &mut Duration) -> Result<End> {
        let Some(relation) = self.relation() else { return Ok(End::Stopped) };
        let version = self.shared.version();
        let positions: Vec<(&str, &str)> = version.positions.of(self.id).collect();
        let mut bad = count(version.positions.get(self.id, COUNTS));
        let (mut source, every) = connect::source(&self.shared, &relation, positions.is_empty())?;
        let mut open = BTreeSet::new();
        for (split, offset) in positions.iter().filter(|(split, _)| *split != COUNTS) {
            source.open(split, Some(offset))?;
            open.insert(split.to_string());
        }
        let mut is_new = positions.is_empty();
        loop {
            if bad > limit(&relation) {
                return Ok(End::TooManyBad(bad));
            }
            if self.stop.is_asked() {
                return Ok(End::Stopped);
            }
            for split in source.splits()? {
                if open.insert(split.clone()) {
                    source.open(&split, None)?;
                }
            }
            let polled = self.gather(source.as_mut())?;
            for gone in polled.iter().filter(|polled| polled.offset.is_empty()) {
                open.remove(&gone.split);
            }
            let counted = bad + polled.iter().map(|polled| polled.bad.len() as u64).sum::<u64>();
            if !polled.is_empty() || is_new {
                if !self.commit(&relation, polled, (is_new || counted > bad).then_some(counted), wait)? {
                    return Ok(End::Stopped);
                }
                (bad, is_new) = (counted, false);
            } else if source.is_finished() {
                return Ok(End::Finished);
            } else if self.stop.wait(every) {
                return Ok(End::Stopped);
            }
            *wait = RETRY_MIN;
            self.tell(State::Running, None);
        }
    }

    /// All that is there, but for what would make too large a commit.
    fn gather(&self, source: &mut dyn Source) -> Result<Vec<Polled>> {
        let (mut gathered, mut records) = (Vec::new(), 0);
        while records < COMMIT_RECORDS && !self.stop.is_asked() {
            let Some(polled) = source.poll(POLL_RECORDS)? else { break };
            records += polled.records().max(1);
            gathered.push(polled);
        }
        Ok(gathered)
    }

    /// Commits what was polled with its offsets; `false` if it was stopped before that could be done.
    fn commit(&self, relation: &Relation, polled: Vec<Polled>, bad: Option<u64>, wait: &mut Duration) -> Result<bool> {
        loop {
            let payload = self.payload(relation, &polled, bad)?;
            let (read_epoch, reads, interrupt) = (u64::MAX, BTreeSet::new(), Interrupt::default());
            match self.sequencer.commit(Commit { read_epoch, reads, payload, again: None, interrupt }) {
                Ok(_) => return Ok(true),
                Err(error) if matches!(error.kind(), ErrorKind::Resource | ErrorKind::Io) => {
                    self.tell(State::Retrying, Some(error.to_string()));
                    if self.stop.wait(*wait) {
                        return Ok(false);
                    }
                    *wait = (*wait * 2).min(RETRY_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn payload(&self, relation: &Relation, polled: &[Polled], bad: Option<u64>) -> Result<Payload> {
        let mut writes = Vec::new();
        let rows: Vec<RecordBatch> = polled.iter().flat_map(|polled| polled.rows.iter().cloned()).collect();
        if !rows.is_empty() {
            writes.push(Write::inserts(relation, rows));
        }
        let letters: Vec<&BadRecord> = polled.iter().flat_map(|polled| &polled.bad).collect();
        if !letters.is_empty() {
            let catalog = self.shared.version().catalog.clone();
            let stream =
                catalog.get(DEAD_LETTERS).ok_or_else(|| Error::internal("there is nowhere for bad records"))?;
            let name = catalog.by_id(self.id).map_or(&relation.name, |relation| &relation.name);
            writes.push(Write::inserts(stream, vec![dead_letters(stream, name, &letters)?]));
        }
        let position = |split: &str, value: String| Position { relation: self.id, split: split.to_string(), value };
        let mut positions: Vec<Position> =
            polled.iter().map(|polled| position(&polled.split, polled.offset.clone())).collect();
        positions.extend(bad.map(|bad| position(COUNTS, json!({ "bad": bad }).to_string())));
        Ok(Payload { writes, positions, ..Payload::default() })
    }
}

/// Bad records as rows of their stream.
fn dead_letters(stream: &Relation, source: &str, letters: &[&BadRecord]) -> Result<RecordBatch> {
    let texts = |text: fn(&BadRecord) -> &str| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(letters.iter().map(|letter| text(letter))))
    };
    let source: ArrayRef = Arc::new(StringViewArray::from_iter_values(letters.iter().map(|_| source)));
    let columns =
        vec![source, texts(|letter| &letter.position), texts(|letter| &letter.reason), texts(|letter| &letter.raw)];
    Ok(RecordBatch::try_new(stream.schema.clone(), columns)?)
}

/// How many bad records a source has had, by its position.
pub fn count(position: Option<&str>) -> u64 {
    let value = position.and_then(|text| serde_json::from_str::<Value>(text).ok());
    value.and_then(|value| value.get("bad")?.as_u64()).unwrap_or(0)
}

/// How many bad records a source may have.
fn limit(relation: &Relation) -> u64 {
    relation.options.get("bad_record_limit").and_then(|limit| limit.parse().ok()).unwrap_or(u64::MAX)
}
