//! What happens to a commit after the door let it pass: the log, in memory or in the directory of a database.
//!
//! Storage knows relations by number and rows as Arrow batches; it does not know SQL, except as the text of queries in
//! definitions that it carries.

mod definition;
pub mod directory;
mod ipc;
pub mod log;
pub mod manifest;
pub mod run;
pub mod salvage;
pub mod segment;
pub mod spool;
pub mod store;

/// What who has a damaged file can do.
pub const RESTORE: &str =
    "restore a backup, or make a new database of what is whole: eddy --salvage DIR, Database::salvage";
