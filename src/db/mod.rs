//! The embedding API: databases, connections, transactions, subscriptions.
//!
//! A [`database::Database`] is one sequencer thread and the versions it publishes. Reads take the current version and
//! never wait for a writer; writes and DDL go to the sequencer one after the other and return when the epoch that
//! shows them is published.

pub mod appender;
pub mod connection;
pub mod database;
mod ddl;
mod dml;
mod explain;
mod files;
mod options;
mod read;
mod replay;
pub mod rows;
mod sequencer;
mod settings;
mod subscribe;
pub mod subscription;
mod system;
mod table;
#[cfg(test)]
mod tests;
mod transaction;
pub mod value;
mod verify;
mod version;
mod view;
