//! Stand-in for the library until its connection is there: the same names, nothing behind them.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use eddydb::{Error, Result};

use crate::lexer::{Kind, tokens};

pub struct Span {
    pub start: usize,
    pub end: usize,
    pub complete: bool,
}

pub fn split(text: &str) -> Vec<Span> {
    let mut spans = vec![];
    let mut open: Option<Range<usize>> = None;
    for (kind, range) in tokens(text) {
        if kind == Kind::Symbol && &text[range.clone()] == ";" {
            spans.extend(open.take().map(|open| Span { start: open.start, end: open.end, complete: true }));
        } else if !matches!(kind, Kind::Space | Kind::Comment) {
            open = Some(open.map_or(range.start, |open| open.start)..range.end);
        }
    }
    spans.extend(open.map(|open| Span { start: open.start, end: open.end, complete: false }));
    spans
}

fn not_there<T>() -> Result<T> {
    Err(Error::unsupported("no engine yet"))
}

#[derive(Clone)]
pub struct Database;

impl Database {
    pub fn in_memory() -> Result<Self> {
        Ok(Database)
    }
    pub fn open(_path: impl AsRef<Path>) -> Result<Self> {
        not_there()
    }
    pub fn connect(&self) -> Result<Connection> {
        Ok(Connection)
    }
}

pub struct Connection;

impl Connection {
    pub fn run(&self, _sql: &str) -> Result<Outcome> {
        not_there()
    }
    pub fn database(&self) -> &Database {
        &Database
    }
    pub fn take_notices(&self) -> Vec<String> {
        vec![]
    }
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle
    }
    pub fn appender(&self, _relation: &str) -> Result<Appender> {
        not_there()
    }
}

pub struct InterruptHandle;

impl InterruptHandle {
    pub fn interrupt(&self) {}
}

pub struct Appender;

impl Appender {
    pub fn append_record_batch(&mut self, _batch: &RecordBatch) -> Result<()> {
        not_there()
    }
    pub fn flush(&mut self) -> Result<Option<u64>> {
        not_there()
    }
}

#[allow(dead_code)]
pub enum Outcome {
    Rows(ArrowRows),
    Changed(u64),
    Done,
    Subscription(Subscription),
}

pub struct ArrowRows;

impl ArrowRows {
    pub fn schema(&self) -> SchemaRef {
        unreachable!()
    }
}

impl Iterator for ArrowRows {
    type Item = Result<RecordBatch>;
    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

pub struct Subscription;

impl Subscription {
    pub fn schema(&self) -> SchemaRef {
        unreachable!()
    }
    pub fn recv_timeout(&mut self, _timeout: Duration) -> Result<Option<SubscriptionEvent>> {
        Ok(None)
    }
    pub fn try_recv(&mut self) -> Result<Option<SubscriptionEvent>> {
        Ok(None)
    }
}

#[allow(dead_code)]
pub enum EventKind {
    Snapshot,
    Change,
    Progress,
    Failed(String),
}

pub struct SubscriptionEvent {
    pub epoch: u64,
    pub kind: EventKind,
}

impl SubscriptionEvent {
    pub fn as_record_batch(&self) -> Result<RecordBatch> {
        not_there()
    }
}
