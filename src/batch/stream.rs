//! Results of a running query as a blocking iterator.
//!
//! The query runs as a task of the engine's runtime and sends its batches through a short channel; the iterator waits
//! for them on the caller's thread, whatever that thread is, and looks up every few milliseconds to see whether the
//! statement was cancelled or ran out of time. It then returns at once: a task that does not yield is left behind with
//! its runtime. Dropping the iterator aborts the task.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::Stream;
use futures::channel::mpsc::Receiver;
use tokio::task::AbortHandle;

use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::base::types::canonical_batch;
use crate::batch::runtime::{OwnRuntime, RuntimeSlot};

/// How often a waiter looks whether it was interrupted.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a task sends: batches, then the end; without the end it has failed.
pub(crate) type Message = Result<Option<RecordBatch>>;

/// The batches of a running query.
pub struct BatchStream {
    pub(crate) schema: SchemaRef,
    pub(crate) receiver: Receiver<Message>,
    pub(crate) task: AbortHandle,
    pub(crate) interrupt: Interrupt,
    pub(crate) slot: Arc<RuntimeSlot>,
    /// Keeps the runtime that the task runs on, also after it was retired.
    pub(crate) _runtime: Arc<OwnRuntime>,
    pub(crate) done: bool,
}

impl Iterator for BatchStream {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let checked = self.interrupt.check();
        let message =
            checked.and_then(|()| wait(&self.interrupt, |context| Pin::new(&mut self.receiver).poll_next(context)));
        let result = match message {
            Ok(Some(Ok(Some(batch)))) => return Some(canonical_batch(&batch, &self.schema)),
            Ok(Some(Ok(None))) => None,
            Ok(Some(Err(error))) => Some(Err(error)),
            Ok(None) => Some(Err(Error::internal("the task of a query ended without a result"))),
            Err(interrupted) => {
                // What does not yield keeps its thread, so later queries get a new runtime.
                self.slot.retire();
                Some(Err(interrupted))
            }
        };
        self.done = true;
        self.task.abort();
        result
    }
}

impl Drop for BatchStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for a future on this thread; an error if the statement is interrupted before.
pub(crate) fn wait_for<T>(interrupt: &Interrupt, future: impl Future<Output = T>) -> Result<T> {
    let mut future = std::pin::pin!(future);
    wait(interrupt, |context| future.as_mut().poll(context))
}

fn wait<T>(interrupt: &Interrupt, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Result<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = poll(&mut context) {
            return Ok(value);
        }
        interrupt.check()?;
        let left = interrupt.remaining().unwrap_or(LOOK_EVERY);
        thread::park_timeout(left.min(LOOK_EVERY));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
