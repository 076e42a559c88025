//! Rules of the optimiser: our own, and DataFusion's where they need a guard.
//!
//! Which run, and in which order, is [`crate::plan::optimizer`]'s list.

pub mod adapted;
pub mod dependencies;
pub mod distinct;
pub mod empty_parts;
pub mod lateral;
pub mod push_down_filter;
pub mod simplify;
pub mod single_row_join;
