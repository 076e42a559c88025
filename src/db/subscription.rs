//! Subscriptions: the changes of a query or relation, epoch by epoch, handed to another thread.
//!
//! The sequencer pushes one [`SubscriptionEvent`] an epoch that changed something into a bounded queue; the reader
//! takes them in order. An event is the net difference: no row in it is both inserted and deleted, and where rows are
//! deleted every row stands once, with its net weight. Where rows are only inserted, equal rows may stand each for
//! itself: to find them would cost a hash of every row, and nothing could cancel.
//! A full queue blocks the sequencer (nothing is ever dropped) until the reader takes an event or goes away.
//!
//! The queue of a follower ([`crate::db::follower`]) keeps its events until they are acknowledged, whoever reads them,
//! and blocks nobody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parking_lot::{Condvar, Mutex};

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::deadline_after;
use crate::base::size::rows_bytes;
use crate::operator::error::copy;

/// Rows, and their bytes, that wait for a reader before its queue is full; those a follower begins with do not count:
/// they are there whether it reads or not.
pub const QUEUE_ROWS: usize = 4 << 20;
pub const QUEUE_BYTES: usize = 256 << 20;

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The rows that are in the result when the subscription starts, each with a positive weight.
    Snapshot,
    /// The net difference of one epoch.
    Change,
    /// An epoch passed without a change (only with `progress = true`).
    Progress,
    /// The query has no answer from this epoch on; the text says why. Changes are held back until it recovers.
    Failed(String),
}

/// One step of a subscription.
#[derive(Debug, Clone)]
pub struct SubscriptionEvent {
    /// The epoch that published it.
    pub epoch: u64,
    /// What it tells.
    pub kind: EventKind,
    /// The consolidated change; empty for progress and failure.
    pub changes: ChangeBatch,
}

impl SubscriptionEvent {
    /// The event as SQL shows it: `_epoch` (UBIGINT), `_weight` (BIGINT), then the query's columns.
    pub fn as_record_batch(&self) -> Result<RecordBatch> {
        let rows = self.changes.num_rows();
        let weights = match self.changes.weights() {
            Weights::Ones => Int64Array::from(vec![1; rows]),
            Weights::Signed(weights) => Int64Array::new(weights.clone(), None),
        };
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(vec![self.epoch; rows])), Arc::new(weights)];
        columns.extend(self.changes.rows().columns().iter().cloned());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(event_schema(&self.changes.schema()), columns, &options)?)
    }
}

/// The columns of [`SubscriptionEvent::as_record_batch`] for a query's columns.
pub fn event_schema(schema: &Schema) -> SchemaRef {
    let mut fields = vec![Field::new("_epoch", DataType::UInt64, false), Field::new("_weight", DataType::Int64, false)];
    fields.extend(schema.fields().iter().map(|field| field.as_ref().clone()));
    Arc::new(Schema::new(fields))
}

/// The queue between the sequencer and one reader.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    /// The last epoch the sequencer finished with this subscription attached.
    progress: AtomicU64,
}

/// How long a reader waits for an event.
#[derive(Clone, Copy)]
enum Wait {
    /// Not at all.
    No,
    /// Until then; for ever where no moment is given.
    Until(Option<Instant>),
}

#[derive(Debug, Default)]
struct QueueState {
    events: VecDeque<Waiting>,
    rows: usize,
    bytes: usize,
    /// Of a queue that keeps its events: how many of them the reader has had.
    had: Option<usize>,
    /// Of a queue that keeps its events: whether somebody reads it.
    read: bool,
    /// The reader is gone or cancelled; nothing more is wanted.
    closed: bool,
    /// Nothing more will come, and why.
    ended: Option<Error>,
}

/// An event that waits.
#[derive(Debug)]
struct Waiting {
    event: SubscriptionEvent,
    /// The time of its epoch; not known where it does not matter.
    time_us: i64,
    bytes: usize,
}

impl Waiting {
    fn new(event: SubscriptionEvent, time_us: i64) -> Self {
        let bytes = rows_bytes(event.changes.rows());
        Waiting { event, time_us, bytes }
    }
}

/// How much waits in a queue.
#[derive(Debug, Clone, Copy)]
pub struct Backlog {
    /// Events.
    pub events: usize,
    /// Their rows.
    pub rows: usize,
    /// Their rows but those of the beginning, each event counted as one more: what the bound of the queue is for.
    pub counted: usize,
    /// The bytes of the same.
    pub counted_bytes: usize,
    /// The time of the oldest, in microseconds since 1970 (UTC).
    pub oldest_us: Option<i64>,
}

impl Queue {
    /// An empty queue.
    pub fn new(epoch: u64) -> Arc<Self> {
        Arc::new(Queue { state: Mutex::default(), changed: Condvar::new(), progress: AtomicU64::new(epoch) })
    }

    /// An empty queue that keeps its events until they are acknowledged.
    pub fn kept(epoch: u64) -> Arc<Self> {
        let state = Mutex::new(QueueState { had: Some(0), ..QueueState::default() });
        Arc::new(Queue { state, changed: Condvar::new(), progress: AtomicU64::new(epoch) })
    }

    /// Adds an event of that time, to be kept until it is acknowledged.
    pub fn keep(&self, event: SubscriptionEvent, time_us: i64) {
        let mut state = self.state.lock();
        state.add(Waiting::new(event, time_us));
        drop(state);
        self.changed.notify_all();
    }

    /// Lets the events go up to an epoch.
    pub fn acknowledge(&self, epoch: u64) {
        let mut state = self.state.lock();
        while let Some(first) = state.events.pop_front_if(|first| first.event.epoch <= epoch) {
            state.take_off(&first);
            state.had = state.had.map(|had| had.saturating_sub(1));
        }
    }

    /// How much waits.
    pub fn waiting(&self) -> Backlog {
        let state = self.state.lock();
        let oldest_us = state.events.front().map(|first| first.time_us);
        let first = state.events.front().filter(|first| first.event.kind == EventKind::Snapshot);
        let (first, first_bytes) = first.map_or((0, 0), |first| (first.event.changes.num_rows(), first.bytes));
        let (events, rows) = (state.events.len(), state.rows - state.events.len());
        let (counted, counted_bytes) = (state.rows - first, state.bytes - first_bytes);
        Backlog { events, rows, counted, counted_bytes, oldest_us }
    }

    /// All events that wait, each with its time.
    pub fn held(&self) -> Vec<(SubscriptionEvent, i64)> {
        self.state.lock().events.iter().map(|waiting| (waiting.event.clone(), waiting.time_us)).collect()
    }

    /// Lets everything go that waits; who reads gets the error.
    pub fn give_up(&self, error: Error) {
        let mut state = self.state.lock();
        state.events.clear();
        (state.rows, state.bytes, state.had, state.ended) = (0, 0, Some(0), Some(error));
        drop(state);
        self.changed.notify_all();
    }

    /// Begins to read at the first event that waits; false if somebody reads already.
    pub fn begin_reading(&self) -> bool {
        let mut state = self.state.lock();
        if state.read {
            return false;
        }
        (state.had, state.read, state.closed) = (Some(0), true, false);
        true
    }

    /// The reader is gone.
    fn leave(&self) {
        let mut state = self.state.lock();
        (state.read, state.closed) = (false, true);
        drop(state);
        self.changed.notify_all();
    }

    /// Hands over an event, waiting while the queue is full; false once nobody reads any more.
    pub fn push(&self, event: SubscriptionEvent) -> bool {
        let mut state = self.state.lock();
        while (state.rows >= QUEUE_ROWS || state.bytes >= QUEUE_BYTES) && !state.closed {
            self.changed.wait(&mut state);
        }
        if state.closed {
            return false;
        }
        state.add(Waiting::new(event, 0));
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Says that `epoch` has passed.
    pub fn advance(&self, epoch: u64) {
        self.progress.store(epoch, Ordering::Release);
    }

    /// Ends the subscription after what is queued.
    pub fn end(&self, reason: &str) {
        let error = Error::new(ErrorKind::NotFound, format!("subscription ended: {reason}"));
        self.state.lock().ended.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Says that nothing more is wanted.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether nobody will read any more.
    pub fn is_closed(&self) -> bool {
        let state = self.state.lock();
        state.closed && state.had.is_none()
    }

    fn pop(&self, wait: Wait) -> Result<Option<SubscriptionEvent>> {
        let mut state = self.state.lock();
        loop {
            if let Some(event) = state.next() {
                drop(state);
                self.changed.notify_all();
                return Ok(Some(event));
            }
            if state.closed {
                return Err(Error::new(ErrorKind::Cancelled, "subscription cancelled"));
            }
            if let Some(error) = &state.ended {
                return Err(copy(error));
            }
            match wait {
                Wait::No => return Ok(None),
                Wait::Until(None) => self.changed.wait(&mut state),
                Wait::Until(Some(until)) => {
                    if self.changed.wait_until(&mut state, until).timed_out() && !state.has_next() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

impl QueueState {
    fn has_next(&self) -> bool {
        self.events.len() > self.had.unwrap_or(0)
    }

    /// The next event for the reader.
    fn next(&mut self) -> Option<SubscriptionEvent> {
        if let Some(had) = self.had {
            let event = self.events.get(had).filter(|_| !self.closed)?.event.clone();
            self.had = Some(had + 1);
            return Some(event);
        }
        let waiting = self.events.pop_front()?;
        self.take_off(&waiting);
        Some(waiting.event)
    }

    fn add(&mut self, waiting: Waiting) {
        self.rows += waiting.event.changes.num_rows() + 1;
        self.bytes += waiting.bytes;
        self.events.push_back(waiting);
    }

    /// Counts an event no more that was taken out.
    fn take_off(&mut self, waiting: &Waiting) {
        self.rows -= waiting.event.changes.num_rows() + 1;
        self.bytes -= waiting.bytes;
    }
}

/// Changes of a query, in order of epochs.
///
/// As an iterator it waits for the next event and ends when the subscription is cancelled or its relation dropped.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<Queue>,
    schema: SchemaRef,
}

impl Subscription {
    pub(super) fn new(queue: Arc<Queue>, schema: SchemaRef) -> Self {
        Subscription { queue, schema }
    }

    /// The columns of the query; [`SubscriptionEvent::as_record_batch`] puts `_epoch` and `_weight` before them.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] after a cancel, [`ErrorKind::NotFound`] once the relation is gone; 72000 once a
    /// subscription of the catalog has expired.
    pub fn recv(&self) -> Result<SubscriptionEvent> {
        self.queue.pop(Wait::Until(None))?.ok_or_else(|| Error::internal("a wait without end ended"))
    }

    /// Waits for the next event at most `timeout`; `None` when it passed.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<SubscriptionEvent>> {
        self.queue.pop(Wait::Until(deadline_after(timeout)))
    }

    /// The next event if one is there.
    pub fn try_recv(&self) -> Result<Option<SubscriptionEvent>> {
        self.queue.pop(Wait::No)
    }

    /// The last epoch that is complete here: every change up to it is in the queue or was taken.
    pub fn progress(&self) -> u64 {
        self.queue.progress.load(Ordering::Acquire)
    }

    /// A handle that ends the subscription from another thread.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle(self.queue.clone())
    }
}

impl Iterator for Subscription {
    type Item = Result<SubscriptionEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.recv() {
            Ok(event) => Some(Ok(event)),
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::NotFound) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.queue.leave();
    }
}

/// Ends a [`Subscription`] from another thread.
#[derive(Debug, Clone)]
pub struct CancelHandle(Arc<Queue>);

impl CancelHandle {
    /// Ends the subscription; a waiting reader returns.
    pub fn cancel(&self) {
        self.0.close();
    }
}

/// Several batches of one schema as one.
pub fn concat_changes(schema: &SchemaRef, batches: &[ChangeBatch]) -> Result<ChangeBatch> {
    match batches {
        [] => Ok(ChangeBatch::empty(schema.clone())),
        [one] => Ok(one.clone()),
        many => {
            let rows = compute::concat_batches(&many[0].schema(), many.iter().map(ChangeBatch::rows))?;
            if many.iter().all(|batch| *batch.weights() == Weights::Ones) {
                return Ok(ChangeBatch::inserts(rows));
            }
            let weights: Vec<i64> =
                many.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| batch.weights().get(row))).collect();
            ChangeBatch::try_new(rows, Weights::Signed(weights.into()))
        }
    }
}
