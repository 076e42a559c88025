//! Getting rows in and out: files today, brokers later.
//!
//! [`relation::open`] makes a [`relation::FileRelation`] of one file, a glob or a directory: its format is found
//! ([`format`]), its columns are named and typed over the whole file, and it can then be read any number of times.
//! [`writer::write`] does the opposite: rows to one file, there as a whole or not at all.
//! Every file is opened under the database's access policy
//! (`base::access::FileAccess`), every text value that does not fit is an error that names file, line and column.
//! Nothing here knows of SQL, plans or DataFusion.
//!
//! | module | |
//! |---|---|
//! | [`relation`] | one relation over one or many files |
//! | [`reader`] | what every reader of a format is |
//! | [`format`], [`options`] | which format, which settings |
//! | [`glob`], [`input`] | from a pattern to files, from a file to bytes |
//! | [`csv`], [`json`], [`parquet`], [`arrow_ipc`] | the readers |
//! | [`contain`] | keeps panics of foreign decoders in |
//! | [`values`], [`widen`] | text to numbers, dates and timestamps; the type that holds two |
//! | [`writer`] | rows to files in every format |
//! | [`source`], [`sink`] | what a connector is that goes on bringing rows in, or taking them out |
//! | [`file`] | files that grow, directories that are filled |

pub mod arrow_ipc;
pub mod contain;
pub mod csv;
pub mod file;
pub mod format;
pub mod glob;
pub mod input;
pub mod json;
mod misfit;
pub mod options;
pub mod parquet;
pub mod reader;
pub mod relation;
pub mod sink;
pub mod source;
pub mod values;
pub mod widen;
pub mod writer;
