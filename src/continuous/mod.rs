//! Run for ever, by change: circuits of operators.
//!
//! [`lower::lower`] turns a shared plan into a [`spec::CircuitSpec`], plain data; a [`circuit::Circuit`] runs it, one
//! step per epoch. What has no operator runs under [`recompute`]: again, in batch, and the difference is emitted.

pub mod circuit;
pub mod lower;
pub mod recompute;
pub mod spec;

#[cfg(test)]
mod tests;
