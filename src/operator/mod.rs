//! Operators: change batches in, change batches out, state in between.
//!
//! An operator knows its columns and expressions; it does not know the plan, other operators, epochs of other views
//! or who reads its output. The circuit (one layer up) calls it and hands on what it emits.

pub mod accumulator;
pub mod aggregate;
pub mod error;
pub mod evaluate;
pub mod expression;
pub mod filter_project;
pub mod integer_lane;
pub mod join;
pub mod partition;
mod sentences;
pub mod top_k;
pub mod unnest;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, Result};

/// The most rows an operator emits in one batch.
pub const CHUNK_ROWS: usize = 16 * 1024;

/// Receives what an operator emits during a step.
pub trait Output {
    /// Takes one batch; it is handed to every consumer before this returns.
    fn emit(&mut self, batch: ChangeBatch) -> Result<()>;

    /// Takes a row that could not be evaluated: the error, the row as text, and the row's weight (negative when a
    /// failing row was deleted again).
    fn fail(&mut self, error: Error, row: String, weight: i64);

    /// An error if the work was called off. Whoever works long without emitting anything asks now and then.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// One node of a circuit.
///
/// # Contract
/// - Between two calls of [`Operator::finish`] (one step) the batches pushed on all ports, and the batches emitted,
///   are differences: their order within the step does not matter for the sum (checked by the oracle test).
/// - No emitted batch has more than [`CHUNK_ROWS`] rows, unless it is a pushed batch handed through
///   (checked by debug_assert in the circuit).
/// - An `Err` from any method leaves the operator unusable; the circuit detaches the view (not checkable here).
pub trait Operator: Send {
    /// Takes a change on input `port`.
    fn push(&mut self, port: usize, batch: ChangeBatch, out: &mut dyn Output) -> Result<()>;

    /// Ends the step: emits what depends on the whole change, transitions of touched groups above all.
    fn finish(&mut self, out: &mut dyn Output) -> Result<()>;

    /// Bytes of state held, as far as they are counted.
    fn size(&self) -> usize {
        0
    }

    /// Rows or groups of state held.
    fn state_rows(&self) -> usize {
        0
    }
}
