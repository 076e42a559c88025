//! Statements, one file a kind: from what was parsed to a commit or a result.
//!
//! A statement is computed on the caller's thread from one version; what changes something ends in a
//! [`crate::db::commit::Commit`] that the sequencer lets through or not.
//!
//! - [`dml`]: INSERT, UPDATE, DELETE, TRUNCATE, COPY FROM as writes of rows.
//! - [`ddl`]: CREATE, ALTER, DROP, REFRESH as catalog deltas.
//! - [`copy`]: files in both directions.
//! - [`subscribe`]: changes from now on.
//! - [`explain`], [`verify`], [`system`]: looking at plans, views and the catalog.

pub mod copy;
pub mod ddl;
pub mod dml;
pub mod explain;
pub mod subscribe;
pub mod system;
pub mod verify;
