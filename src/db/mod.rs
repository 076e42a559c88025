//! The embedding API: databases, connections, transactions, subscriptions.
//!
//! A [`database::Database`] is one sequencer and the versions it publishes. Reads take the current version and never
//! wait for a writer; every statement that changes something, rows or definitions, becomes a [`commit::Commit`] and
//! returns when the epoch that shows it is published.
//!
//! - [`connection`], [`outcome`], [`rows`], [`value`], [`appender`], [`subscription`]: what a program holds.
//! - [`session`], [`settings`]: what the statements of one user share.
//! - [`statement`]: what each statement does.
//! - [`commit`], [`sequencer`], [`table`], [`unique_key`]: from a commit to an epoch.
//! - [`version`], [`positions`], [`read`], [`transaction`], [`system`], [`files`], [`names`]: what is read.
//! - [`pump`]: the threads of connectors, which commit as a user would; [`connectors`]: how it goes with each.
//! - [`rebuild`], [`awaited`]: views filled again after opening. [`follower`], [`held`], [`resume`]: who is told again.
//! - [`replay`]: the log of one database applied to another; [`recovery`]: a directory opened; [`checkpoint`]: its log
//!   shortened; [`log_space`]: who waits for that; [`salvage`]: one that is damaged; [`follow`]: a directory that another process writes.

pub mod appender;
mod awaited;
mod checkpoint;
mod commit;
pub mod connection;
mod connectors;
pub mod database;
mod files;
mod follow;
mod follower;
mod held;
mod log_space;
mod names;
pub mod outcome;
mod positions;
mod pump;
mod read;
mod rebuild;
mod recovery;
mod replay;
mod resume;
pub mod rows;
mod salvage;
mod sequencer;
mod session;
mod settings;
mod shared;
mod statement;
pub mod subscription;
mod system;
mod table;
#[cfg(test)]
mod tests;
mod transaction;
mod unique_key;
pub mod value;
mod version;
mod write;
