//! Keeps the panics of foreign decoders from leaving the readers.
//!
//! The Parquet and Arrow libraries take lengths and offsets of a file at their word in places, and panic where a
//! damaged file lies about them. A panic is turned into an error here, and the decoder it came from is never asked
//! again. It cannot help against an allocation the machine refuses, which ends the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::base::error::{Error, ErrorKind, Result};
use crate::connector::reader::Batches;

/// The result of `work`, or an error naming the file if it panics.
pub fn contain<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What a panic leaves half done is dropped with the decoder, so nobody sees it.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(damaged(path)))
}

/// The same batches; a panic becomes the last of them, an error naming the file.
pub fn contained(path: &Path, batches: Batches) -> Batches {
    let path = path.to_path_buf();
    let mut batches = Some(batches);
    Box::new(std::iter::from_fn(move || {
        let mut running = batches.take()?;
        let next = contain(&path, || running.next().transpose()).transpose();
        if matches!(next, Some(Ok(_))) {
            batches = Some(running);
        }
        next
    }))
}

fn damaged(path: &Path) -> Error {
    Error::new(ErrorKind::Io, format!("'{}' is damaged: its decoder gave up", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_the_end() {
        let path = Path::new("f.parquet");
        let error = contain::<()>(path, || panic!("column start and length should not be negative")).unwrap_err();
        assert_eq!(error.to_string(), "'f.parquet' is damaged: its decoder gave up");
        let mut batches = contained(path, Box::new(std::iter::from_fn(|| panic!("offset + len out of bounds"))));
        assert_eq!(batches.next().unwrap().unwrap_err().kind(), ErrorKind::Io);
        assert!(batches.next().is_none());
    }
}
