//! What takes results out and goes on doing so: pieces of whole epochs, each once.
//!
//! ```text
//! begin(first) ─▶ write, write, .. ─▶ pre_commit(last) ─▶ token ─▶ one commit: token and "up to last" ─▶ commit(token)
//!                                     safe, not seen                                                    seen
//! ```
//!
//! Between `pre_commit` and `commit` the database writes down that everything up to `last` is out, with the token. What is
//! killed before has not happened: the same epochs come again. What is killed after is completed with the token when the
//! database is opened again. So every epoch is out once.

use arrow::array::RecordBatch;

use crate::base::error::Result;

/// A connector that takes results out.
///
/// # Contract
/// - `commit` may be called again with the token of a piece that is seen already, and does nothing then; not checkable,
///   because the other side is not ours.
/// - After an error the piece is begun again from its first epoch, or the sink is made anew.
pub trait Sink: Send {
    /// Begins a piece with the changes from epoch `first` on; what was begun and not committed is forgotten.
    fn begin(&mut self, first: u64) -> Result<()>;

    /// Adds rows, in order of their epochs.
    fn write(&mut self, rows: &RecordBatch) -> Result<()>;

    /// Makes the piece safe, but not seen, with `last` as its last epoch; what `commit` needs to know, as JSON text.
    fn pre_commit(&mut self, last: u64) -> Result<String>;

    /// Makes a piece seen.
    fn commit(&mut self, token: &str) -> Result<()>;
}
