//! Statements, one file a kind: from what was parsed to a commit or a result.
//!
//! A statement is computed on the caller's thread from one version; what changes something ends in a
//! [`crate::db::commit::Commit`] that the sequencer lets through or not.
//!
//! - [`dispatch`]: which file runs which statement.
//! - [`query`]: SELECT and its like.
//! - [`dml`], [`modify`]: INSERT, UPDATE, DELETE, TRUNCATE, COPY FROM as writes of rows, and where these go.
//! - [`ddl`]: CREATE, ALTER, DROP, REFRESH as catalog deltas.
//! - [`copy`]: files in both directions; [`export`], [`backup`]: the database as a whole.
//! - [`subscribe`]: changes from now on.
//! - [`transaction`], [`prepared`]: BEGIN to COMMIT, PREPARE to DEALLOCATE.
//! - [`show`], [`definition`], [`explain`], [`verify`]: looking at the catalog, plans and views.

mod backup;
mod copy;
pub mod ddl;
mod definition;
pub mod dispatch;
mod dml;
mod explain;
mod export;
mod literals;
mod modify;
mod prepared;
mod query;
mod show;
mod subscribe;
mod transaction;
mod verify;
