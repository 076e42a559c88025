//! The state primitives: key table, row arena, row bag, postings, column store.
//!
//! All that Eddy remembers between steps lives in these. State knows rows and group ids, not plans or SQL.
//!
//! - [`key_table`]: key columns to dense group ids, NULL equal to NULL.
//! - [`column_store`]: mutable typed columns with random access by slot.
//! - [`postings`]: group id to slots, in contiguous extents.
//! - [`row_bag`]: a multiset of rows by group: one side of a join.
//! - [`row_arena`] and [`snapshot`]: contents of relations and views, versioned by epoch; [`saving`]: what a
//!   checkpoint takes of them.
//! - [`row_set`]: the contents of a materialized view, kept by change.
//! - [`consolidate`]: equal rows of a change summed.
//!
//! Below these: [`hash`], [`slot_table`] (hash to id), [`heap`] (bytes by id), [`input`] (Arrow columns as plain
//! values).

pub mod chunk;
pub mod column_store;
pub mod consolidate;
pub mod hash;
pub mod heap;
pub mod input;
pub mod key_table;
pub mod postings;
pub mod radix_sort;
pub mod row_arena;
pub mod row_bag;
pub mod row_set;
pub mod saving;
pub mod slot_table;
pub mod snapshot;
#[cfg(test)]
mod testing;
