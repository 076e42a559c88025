//! One plan for both drivers: functions, binder, rewrites.
//!
//! [`query::plan_query`] turns a parsed query into a [`query::Query`]: one optimised, decorrelated DataFusion
//! `LogicalPlan` that `batch` runs once and `continuous` lowers to a circuit. What must not differ between the two is
//! settled here: types, overflow, ties, subqueries, windows, the meaning of `now()`. Nothing here reads data.
//!
//! - [`functions`], [`windows`]: what may be called.
//! - [`time`]: dates, timestamps, intervals and zones.
//! - [`source`]: what a scan may read.
//! - [`context`], [`bind`]: names to plans, through DataFusion's binder.
//! - [`query`], [`rewrite`], [`optimizer`], [`rules`], [`refusals`]: from a bound plan to the shared plan.
//! - [`shared`]: rows that are read in several places. [`walk`]: walks over plans. [`kinds`]: what a plan holds.
//! - [`values`]: decimals, rounding, casts, lengths, order. [`lists`]: functions of lists.
//! - [`properties`]: what is known of every node: append-only, unique keys, row counts.
//! - [`dml`]: UPDATE and DELETE as queries over row ids.
//! - [`diagnostic`]: DataFusion's errors as ours, with position and hint.

pub(crate) mod bind;
pub mod context;
pub mod diagnostic;
pub mod dml;
pub(crate) mod fallible;
pub mod functions;
pub(crate) mod kinds;
pub mod lists;
pub mod optimizer;
pub mod properties;
pub mod query;
pub mod refusals;
pub mod rewrite;
pub mod rules;
pub mod shared;
pub mod source;
#[cfg(test)]
mod tests;
pub mod time;
pub mod values;
pub(crate) mod walk;
pub mod windows;
