//! Run for ever, by change: circuits of operators.
//!
//! [`lower::lower`] turns a shared plan into a [`spec::CircuitSpec`], plain data; a [`circuit::Circuit`] runs it, one
//! step per epoch. What has no operator runs under [`recompute`]: again, in batch, and the difference is emitted.
//! [`network`] is all views together: their order, their steps, their failures.

pub mod circuit;
pub mod lower;
pub mod network;
pub mod recompute;
pub mod spec;
pub mod step;

#[cfg(test)]
mod tests;
