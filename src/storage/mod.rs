//! The log seam: what happens to a commit after the door let it pass.
//!
//! Today's logs live in memory; the durable one takes the same records. Storage knows relations by number and rows as
//! Arrow batches; it does not know SQL, except as the text of DDL that it carries.

pub mod log;
