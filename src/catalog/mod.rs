//! The catalog: what exists, as of one version, as plain data.
//!
//! - [`relation`]: the definition of a table, stream or view, and its identity.
//! - [`definitions`]: all of them, by name and by identity, with their dependencies.
//! - [`suggest`]: the nearest name to one that does not exist.
//!
//! The planner, the sequencer and the log all name what is defined here; it holds definitions, never contents.

pub mod definitions;
pub mod relation;
pub mod suggest;
