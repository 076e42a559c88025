//! Aggregates: one signed, peekable, exact accumulator per aggregate call, shared by both drivers.
//!
//! The continuous aggregate operator calls [`Accumulator`] directly; batch plans reach the same states through the
//! functions of [`aggregate_functions`]. Values come with weights, reading does not disturb, and the answer does not
//! depend on the order in which rows came, were merged or were deleted.
//!
//! - [`function`], [`create`]: the functions by name, and the accumulator of a call
//! - [`count`], [`sum`], [`float_sum`], [`boolean`]: states of fixed size
//! - [`interval`]: sums, averages and keys of intervals
//! - [`bits`]: `bit_and` and the like
//! - [`variance`] and [`regression`] over [`product_sum`]; [`ratio`]: their exact fractions
//! - [`extreme`]: `min`, `max` without deletions; [`ordered`]: with them, `arg_min`, `arg_max` and `single_value`
//! - [`percentile`]: percentiles, medians and modes, exact and `approx_`
//! - [`distinct`]: DISTINCT around any of them; [`multiset`], [`keys`]: weighted values by group
//! - [`in_order`]: window aggregates that depend on order
//! - [`rows`], [`saved`]: the walk over an update; states as columns of bytes
//! - [`wide`], [`band`]: wide integers and exact rounding; doubles as integers
//! - [`datafusion_face`], [`datafusion_accumulators`]: the same aggregates as DataFusion functions;
//!   [`kept_order`]: those that are DataFusion's own

mod band;
mod bits;
mod boolean;
mod count;
mod create;
mod datafusion_accumulators;
mod datafusion_face;
mod distinct;
mod extreme;
mod float_sum;
mod function;
mod in_order;
mod interval;
mod kept_order;
mod keys;
mod multiset;
mod native;
mod ordered;
mod percentile;
mod product_sum;
mod ratio;
mod regression;
mod rows;
mod saved;
mod sum;
mod variance;
mod wide;

#[cfg(test)]
mod tests;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::base::change::Weights;
use crate::base::error::{Error, Result};

pub use create::create;
pub use datafusion_face::{aggregate_functions, from_udf};
pub use function::{AggregateCall, AggregateFunction, result_type};
pub use in_order::{InOrder, Ordered};
pub use percentile::Fraction;
pub use sum::average_of_integers;

/// The state of one aggregate call for all its groups.
///
/// # Contract
/// - Groups are numbers below the last [`Accumulator::resize`]; others are an error (checked on every update).
/// - Arguments have the types of the call; `groups`, weights and `filter` have one entry a row (checked).
/// - The answer of [`Accumulator::read`] depends on the sum of the updates only: on which rows are present with which
///   weight, not on their order or on rows that came and went (checked by the tests of this folder). Accumulators
///   made for append-only input refuse negative weights instead.
/// - A group whose rows are all gone reads like a new one.
pub trait Accumulator: Send + Sync {
    /// Makes state for all groups below `groups` exist.
    fn resize(&mut self, groups: usize);

    /// Adds rows; a null or false `filter` leaves a row out.
    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()>;

    /// The answers of `groups`, one a row. A group without an answer (overflow) reads NULL, and its row and error are
    /// added to `errors`.
    fn read(&self, groups: &[u32], errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef>;

    /// Forgets these groups: they read like new ones.
    fn clear(&mut self, groups: &[u32]);

    /// The exact state of `groups`: always the same column types, one row a group.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>>;

    /// Merges saved states into `groups`; a group may occur several times.
    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()>;

    /// Bytes held.
    fn size(&self) -> usize;
}

/// Column `index` of arguments or of a saved state.
fn state_column(columns: &[ArrayRef], index: usize) -> Result<&ArrayRef> {
    columns.get(index).ok_or_else(foreign_state)
}

/// The first argument as an array of `data_type`.
fn argument(values: &[ArrayRef], data_type: &DataType) -> Result<ArrayRef> {
    let values = state_column(values, 0)?;
    if values.data_type() == data_type { Ok(values.clone()) } else { Ok(cast(values, data_type)?) }
}

/// The error for arrays that are not what the call was made for.
fn foreign_state() -> Error {
    Error::internal("an aggregate was given columns of other types than it was made for")
}

fn out_of_range(name: &str) -> Error {
    Error::data(format!("{name} out of range")).with_sqlstate("22003")
}
