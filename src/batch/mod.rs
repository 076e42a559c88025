//! Run once, to the end: DataFusion over snapshots.
//!
//! [`engine::Engine`] takes a shared plan ([`crate::plan::query::Query`]), binds the epoch's time and the parameters,
//! replaces every scan by one over the contents that a [`scan::Relations`] names, and runs DataFusion's physical plan
//! on its own threads. It adds physical rules only; what the rows mean was settled in `plan`.
//!
//! - [`engine`]: memory and time limits, from a plan to its batches.
//! - `runtime`: the threads.
//! - `join_keys`: names for join keys that are computed.
//! - `leaf`: the face of what reads rows.
//! - `empty_sorts`: sorts of rows without columns, left out.
//! - `fenced_limits`: limits that keep their order.
//! - `orders`: aggregates of one node in several orders.
//! - `pass_through`: the face of what hands rows on and says less of them.
//! - [`stream`]: results as a blocking iterator that can be cancelled.
//! - `projections`: projections that stay above what guards them.
//! - `pruning`: chunks that a filter leaves out.
//! - `shared`: rows that are computed once and read by several.
//! - `unassumed`: what is known of rows, forgotten where it no longer holds.
//! - [`scan`]: relations and other rows as DataFusion sources.

mod empty_sorts;
pub mod engine;
mod fenced_limits;
mod join_keys;
mod leaf;
mod orders;
mod pass_through;
mod projections;
mod pruning;
mod runtime;
pub mod scan;
mod shared;
pub mod stream;
mod unassumed;

#[cfg(test)]
mod tests;
