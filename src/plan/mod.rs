//! One plan for both drivers: functions, binder, rewrites.
//!
//! [`query::plan_query`] turns a parsed query into a [`query::Query`]: one optimised, decorrelated DataFusion
//! `LogicalPlan` that `batch` runs once and `continuous` lowers to a circuit. What must not differ between the two is
//! settled here: types, overflow, ties, subqueries, windows, the meaning of `now()`. Nothing here reads data.
//!
//! - [`functions`], [`clock_functions`], [`window_functions`], [`windows`]: what may be called.
//! - [`time`]: dates, timestamps, intervals and zones.
//! - [`source`]: what a scan may read.
//! - [`group_keys`], [`syntax`], [`context`], [`relation_planner`]: names to plans, through DataFusion's binder.
//! - [`query`], [`passes`], [`rewrite`], [`optimizer`], [`rules`], [`refusals`]: from a bound plan to the shared plan.
//! - [`values`]: decimals, rounding, casts, lengths.
//! - [`similar`]: SIMILAR TO.
//! - [`properties`]: what is known of every node: append-only, unique keys, row counts.
//! - [`dml`]: UPDATE and DELETE as queries over row ids.
//! - [`diagnostic`]: DataFusion's errors as ours, with position and hint.

pub mod clock_functions;
pub mod context;
pub mod diagnostic;
pub mod dml;
pub(crate) mod fallible;
pub mod functions;
pub mod group_keys;
pub mod names;
pub mod optimizer;
pub mod passes;
pub mod properties;
pub mod query;
pub mod refusals;
pub mod relation_planner;
pub mod rewrite;
pub mod rules;
pub mod shared;
pub(crate) mod similar;
pub mod source;
pub mod syntax;
#[cfg(test)]
mod tests;
pub mod time;
pub mod values;
pub mod walk;
pub mod window_functions;
pub mod windows;
mod with_query;
