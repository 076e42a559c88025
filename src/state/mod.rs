//! The state primitives: key table, row arena, row bag, postings, column store.
//!
//! All that Eddy remembers between steps lives in these. State knows rows and group ids, not plans or SQL.
