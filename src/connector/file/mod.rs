//! Files that go on: a log that grows, a directory into which files are put, the standard input.
//!
//! - [`options`]: what `WITH (connector = 'file', ...)` says.
//! - [`source`]: which files there are, and which of them is read now.
//! - [`tail`]: one file of lines that grows, is renamed and begun anew.
//! - [`whole`]: one file that is read once, from its first row to its last.
//! - [`sink`]: a directory of files, each with the changes of a range of epochs.
//! - [`records`]: bytes to records, records to rows, and which of them are none.

pub mod options;
mod records;
pub mod sink;
pub mod source;
mod tail;
mod whole;
