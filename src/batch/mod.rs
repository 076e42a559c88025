//! Run once, to the end: DataFusion over snapshots.
//!
//! [`engine::Engine`] takes a shared plan ([`crate::plan::query::Query`]), binds the epoch's time and the parameters,
//! replaces every scan by one over the contents that a [`scan::Relations`] names, and runs DataFusion's physical plan
//! on its own threads. It adds physical rules only; what the rows mean was settled in `plan`.
//!
//! - [`engine`]: memory and time limits, from a plan to its batches.
//! - `runtime`: the threads.
//! - `limits`: limits that keep their order.
//! - [`stream`]: results as a blocking iterator that can be cancelled.
//! - [`scan`]: relations and other rows as DataFusion sources.

pub mod engine;
mod limits;
mod runtime;
pub mod scan;
pub mod stream;

#[cfg(test)]
mod tests;
