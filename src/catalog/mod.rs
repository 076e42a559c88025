//! The catalog: what exists, as of one version, as plain data.
//!
//! - [`relation`]: the definition of a table, stream or view, and its identity.
//! - [`definitions`]: all of them, by name and by identity, with their dependencies.
//! - [`delta`]: a change of the catalog as a value: what a commit carries and the log keeps.
//! - [`layout`]: columns by identity, so that stored rows outlive a change of the definition.
//! - [`suggest`]: the nearest name to one that does not exist.
//!
//! The planner, the sequencer and the log all name what is defined here; it holds definitions, never contents.

pub mod definitions;
pub mod delta;
pub mod layout;
pub mod relation;
pub mod suggest;
