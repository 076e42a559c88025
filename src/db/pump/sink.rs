//! From a follower to where its changes go: files, or another stream.
//!
//! ```text
//!  events of the follower, not acknowledged yet
//!  ├─ 42 ─ 45 ─ 57 ─┤ full: rows, bytes, time
//!  begin, write ..  pre_commit ─▶ one commit: acknowledged up to 57, token ─▶ commit(token)
//! ```
//!
//! What is killed before the commit comes again, because it was not acknowledged; what is killed behind it is completed
//! with the token. Into a stream the rows and the acknowledgement are one commit, and there is nothing to complete.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use parking_lot::Mutex;

use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::base::size::rows_bytes;
use crate::catalog::relation::{Relation, RelationId};
use crate::connector::file::sink::Cut;
use crate::connector::sink::Sink;
use crate::continuous::network::guarded;
use crate::db::commit::{Commit, Payload};
use crate::db::connectors::{State, Status};
use crate::db::follower::{Follower, Standing};
use crate::db::pump::source::{RETRY_MAX, RETRY_MIN};
use crate::db::pump::{Stop, connect};
use crate::db::sequencer::SequencerHandle;
use crate::db::shared::Shared;
use crate::db::subscription::{EventKind, Subscription, SubscriptionEvent};
use crate::db::write::Write;
use crate::storage::log::Position;

/// The split whose position is the token of the last piece.
const PIECE: &str = "piece";

/// How long to wait for an event before looking whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Rows of one commit into a stream.
const COMMIT_ROWS: usize = 1 << 16;

/// Drains one sink.
pub struct Drainer {
    id: RelationId,
    shared: Arc<Shared>,
    sequencer: SequencerHandle,
    stop: Arc<Stop>,
    status: Arc<Mutex<Status>>,
}

/// Changes that will be one piece.
struct Piece {
    rows: usize,
    bytes: usize,
    /// Its last epoch so far.
    last: u64,
    /// Whether it is complete, whatever its size.
    is_whole: bool,
    /// When it is complete, whatever its size.
    due: Interrupt,
}

impl Drainer {
    /// Who drains the sink `id`.
    pub fn new(id: RelationId, shared: Arc<Shared>, sequencer: SequencerHandle, stop: Arc<Stop>) -> Self {
        let status = shared.connectors.of(id);
        Drainer { id, shared, sequencer, stop, status }
    }

    /// Drains until it is stopped, or the sink is given up.
    pub fn run(self) {
        self.tell(State::Running, None);
        let mut wait = RETRY_MIN;
        loop {
            match guarded(|| self.drain(&mut wait)) {
                Ok(()) => return,
                Err(_) if self.relation().is_none() => return,
                Err(error) if error.sqlstate() == connect::GIVEN_UP => {
                    return self.tell(State::Failed, Some(error.to_string()));
                }
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

    fn drain(&self, wait: &mut Duration) -> Result<()> {
        let Some(relation) = self.relation() else { return Ok(()) };
        let version = self.shared.version();
        let standing = Standing::read(version.positions.get(self.id, ""));
        if let Some(error) = standing.as_ref().and_then(|standing| standing.expired_error(&relation.name)) {
            return Err(error);
        }
        let follower = self.shared.followers.get(self.id);
        let follower =
            follower.ok_or_else(|| Error::internal(format!("sink \"{}\" follows nothing", relation.name)))?;
        match relation.dependencies.get(1) {
            Some(target) => self.feed_stream(&follower, *target, wait),
            None => {
                let pending = version.positions.get(self.id, PIECE);
                let (mut sink, cut) = connect::sink(&self.shared, &relation, pending)?;
                if let Some(token) = pending {
                    sink.commit(token)?;
                }
                self.write_pieces(&relation, &follower, sink.as_mut(), cut, wait)
            }
        }
    }

    fn write_pieces(
        &self,
        relation: &Relation,
        follower: &Follower,
        sink: &mut dyn Sink,
        cut: Cut,
        wait: &mut Duration,
    ) -> Result<()> {
        let events = follower.read()?;
        let (mut first, mut piece): (u64, Option<Piece>) = (follower.acknowledged() + 1, None);
        while !self.stop.is_asked() {
            let patience = piece.as_ref().and_then(|piece| piece.due.remaining()).unwrap_or(LOOK).min(LOOK);
            if let Some(event) = events.recv_timeout(patience)? {
                if let EventKind::Failed(reason) = &event.kind {
                    self.tell(State::Retrying, Some(reason.clone()));
                    continue;
                }
                if piece.is_none() {
                    sink.begin(first)?;
                }
                let piece = piece.get_or_insert_with(|| Piece::begin(cut.interval));
                let rows = connect::as_written(relation, &event)?;
                sink.write(&rows)?;
                piece.add(&event, &rows);
            }
            if let Some(full) = piece.take_if(|piece| piece.is_full(&cut)) {
                let token = (full.rows > 0).then(|| sink.pre_commit(full.last)).transpose()?;
                self.acknowledge(full.last, token.as_deref(), Vec::new())?;
                token.map_or(Ok(()), |token| sink.commit(&token))?;
                first = full.last + 1;
            }
            *wait = RETRY_MIN;
            self.tell(State::Running, None);
        }
        Ok(())
    }

    fn feed_stream(&self, follower: &Follower, target: RelationId, wait: &mut Duration) -> Result<()> {
        let events = follower.read()?;
        while !self.stop.is_asked() {
            let Some(event) = events.recv_timeout(LOOK)? else { continue };
            if let EventKind::Failed(reason) = &event.kind {
                self.tell(State::Retrying, Some(reason.clone()));
                continue;
            }
            let (rows, last) = gather(event, &events)?;
            let catalog = self.shared.version().catalog.clone();
            let target = catalog.by_id(target).ok_or_else(|| Error::internal("the stream of a sink is gone"))?;
            let rows = rows.into_iter().map(|rows| connect::as_rows_of(target, &rows)).collect::<Result<_>>()?;
            self.acknowledge(last, None, vec![Write::inserts(target, rows)])?;
            *wait = RETRY_MIN;
            self.tell(State::Running, None);
        }
        Ok(())
    }

    /// One commit: everything up to `last` is out, with what has to be known to complete it.
    fn acknowledge(&self, last: u64, token: Option<&str>, writes: Vec<Write>) -> Result<()> {
        let mut positions = vec![Standing::at(last).position(self.id)];
        let piece = |token: &str| Position { relation: self.id, split: PIECE.to_string(), value: token.to_string() };
        positions.extend(token.map(piece));
        let payload = Payload { writes, positions, ..Payload::default() };
        let (read_epoch, reads, interrupt) = (u64::MAX, BTreeSet::new(), self.stop.interrupt.clone());
        self.sequencer.commit(Commit { read_epoch, reads, payload, again: None, interrupt }).map(drop)
    }
}

impl Piece {
    fn begin(interval: Duration) -> Self {
        let due = Interrupt::default();
        due.start(Some(interval));
        Piece { rows: 0, bytes: 0, last: 0, is_whole: false, due }
    }

    fn add(&mut self, event: &SubscriptionEvent, rows: &RecordBatch) {
        self.rows += rows.num_rows();
        self.bytes += rows_bytes(rows);
        self.last = event.epoch;
        // The rows of the beginning are a piece of their own: who reads it knows what was there.
        self.is_whole = event.kind == EventKind::Snapshot;
    }

    fn is_full(&self, cut: &Cut) -> bool {
        let is_due = self.due.remaining().is_some_and(|left| left.is_zero());
        self.last > 0 && (self.is_whole || self.rows >= cut.rows || self.bytes >= cut.bytes || is_due)
    }
}

/// The rows of an event and of those behind it that are there already, and the epoch of the last.
fn gather(first: SubscriptionEvent, events: &Subscription) -> Result<(Vec<RecordBatch>, u64)> {
    let (mut last, mut count) = (first.epoch, first.changes.num_rows());
    let mut rows = vec![connect::added(&first)?];
    while count < COMMIT_ROWS {
        match events.try_recv() {
            Ok(Some(event)) if !matches!(event.kind, EventKind::Failed(_)) => {
                (last, count) = (event.epoch, count + event.changes.num_rows());
                rows.push(connect::added(&event)?);
            }
            _ => break,
        }
    }
    Ok((rows, last))
}
