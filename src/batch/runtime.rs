//! The threads that queries run on.
//!
//! They start with the first query and have stacks large enough for deep plans. A runtime whose query was interrupted
//! and does not yield is retired: the query keeps it, later ones start on a new one.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use crate::base::error::{Error, Result};

/// The stack of a worker, in bytes: planning and evaluating deep expressions recurses.
const WORKER_STACK: usize = 32 << 20;

/// The runtime that new queries start on.
#[derive(Debug)]
pub(crate) struct RuntimeSlot {
    threads: usize,
    current: Mutex<Option<Arc<OwnRuntime>>>,
}

impl RuntimeSlot {
    /// A slot whose runtime of `threads` threads starts with the first query.
    pub(crate) fn new(threads: usize) -> Self {
        RuntimeSlot { threads, current: Mutex::default() }
    }

    /// The runtime to start a query on.
    pub(crate) fn get(&self) -> Result<Arc<OwnRuntime>> {
        let mut current = self.current.lock();
        if let Some(runtime) = current.as_ref() {
            return Ok(runtime.clone());
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(self.threads)
            .thread_stack_size(WORKER_STACK)
            .thread_name("eddy-batch")
            .enable_all()
            .build()?;
        let runtime = Arc::new(OwnRuntime(Some(runtime)));
        *current = Some(runtime.clone());
        Ok(runtime)
    }

    /// Leaves the present runtime to whoever still runs on it.
    pub(crate) fn retire(&self) {
        // Dropped after the lock is free.
        let _retired = self.current.lock().take();
    }
}

/// A runtime that may be dropped anywhere: its threads are not waited for.
#[derive(Debug)]
pub(crate) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    /// The runtime itself.
    pub(crate) fn get(&self) -> Result<&Runtime> {
        self.0.as_ref().ok_or_else(|| Error::internal("the batch runtime was shut down"))
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
