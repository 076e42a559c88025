//! What every layer stands on: errors, types, values, changes, time, limits and the file system seam.
//!
//! Nothing here knows about SQL, plans or DataFusion.

pub mod access;
pub mod bytes;
pub mod cast;
pub mod change;
pub mod clock;
pub mod decimal;
pub mod domain;
pub mod error;
pub mod limits;
pub mod size;
pub mod time;
pub mod types;
pub mod vfs;
pub mod wording;
