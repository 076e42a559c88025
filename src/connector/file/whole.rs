//! One file that is read once, from its first row to its last.
//!
//! It is read when its length has not changed between two looks. Its offset counts rows; another file of the same number
//! (other first bytes, another length) is another file. A file that cannot be read is one bad record.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde_json::{Value, json};

use crate::base::access::{FileAccess, state};
use crate::base::error::{Error, Result};
use crate::connector::file::tail::{checksum, first_bytes};
use crate::connector::format::FileFormat;
use crate::connector::options::ReadOptions;
use crate::connector::reader::Batches;
use crate::connector::relation;
use crate::connector::source::{BadRecord, Conform, Polled};

/// First bytes that tell a file from another.
const HEAD: u64 = 256;

/// A file that is read as a whole.
pub struct Whole {
    /// The name of the split.
    pub split: String,
    /// What the file is called now.
    pub path: PathBuf,
    /// How often it was looked for in vain.
    pub missed: u32,
    /// Its length and first bytes when it was looked at last.
    seen: Option<Seen>,
    progress: Progress,
    batches: Option<Batches>,
}

/// What tells a file from another: its length, and its first bytes.
type Seen = (u64, (u64, u64));

#[derive(Debug, Clone, Default)]
struct Progress {
    rows: u64,
    done: bool,
    /// The file that was read.
    of: Option<Seen>,
}

/// How to read it.
pub struct How<'a> {
    /// The format.
    pub format: FileFormat,
    /// The options of the reader.
    pub options: &'a ReadOptions,
    /// The columns of the relation.
    pub schema: &'a SchemaRef,
    /// Makes rows those of the relation.
    pub conform: &'a Conform,
    /// What may be opened.
    pub access: &'a FileAccess,
}

impl Whole {
    /// A file, read as far as `offset` says. With `passed` a new one counts as read.
    pub fn new(split: &str, path: &Path, offset: Option<&str>, passed: bool) -> Result<Self> {
        let mut progress = offset.map(Progress::parse).transpose()?.unwrap_or_default();
        progress.done |= passed;
        Ok(Whole { split: split.to_string(), path: path.to_path_buf(), missed: 0, seen: None, progress, batches: None })
    }

    /// The next rows, about `max` at most.
    pub fn poll(&mut self, how: &How<'_>, max: usize) -> Result<Option<Polled>> {
        let seen = self.look(how.access)?;
        if self.batches.is_none() {
            let is_settled = self.seen.replace(seen) == Some(seen);
            if self.progress.done && self.progress.of.is_none() {
                // It was there at the beginning, and only what comes later is wanted.
                self.progress.of = Some(seen);
                return Ok(Some(self.polled(Vec::new(), Vec::new())));
            }
            if self.progress.of.is_some_and(|of| of != seen) {
                self.progress = Progress::default();
            }
            if self.progress.done || !is_settled {
                return Ok(None);
            }
            self.progress.of = Some(seen);
            match self.begin(how) {
                Ok(batches) => self.batches = Some(batches),
                Err(error) => return Ok(Some(self.gives_up(&error))),
            }
        }
        let mut rows: Vec<RecordBatch> = Vec::new();
        while rows.iter().map(RecordBatch::num_rows).sum::<usize>() < max {
            match self
                .batches
                .as_mut()
                .and_then(Iterator::next)
                .map(|batch| batch.and_then(|batch| (how.conform)(&batch)))
            {
                Some(Ok(batch)) => {
                    self.progress.rows += batch.num_rows() as u64;
                    rows.push(batch);
                }
                Some(Err(error)) => {
                    let mut last = self.gives_up(&error);
                    last.rows = rows;
                    return Ok(Some(last));
                }
                None => {
                    (self.progress.done, self.batches) = (true, None);
                    break;
                }
            }
        }
        Ok(Some(self.polled(rows, Vec::new())))
    }

    fn look(&self, access: &FileAccess) -> Result<Seen> {
        let mut file = access.open(&self.path)?;
        let (length, _) = state(&file, &self.path)?;
        Ok((length, checksum(&first_bytes(&mut file, &self.path, HEAD)?)))
    }

    /// Its rows, but for those that were read before.
    fn begin(&self, how: &How<'_>) -> Result<Batches> {
        let path = self.path.to_string_lossy();
        let file = relation::open_with_schema(&path, Some(how.format), how.options, how.schema, false, how.access)?;
        let mut skip = usize::try_from(self.progress.rows).unwrap_or(usize::MAX);
        let rest = file.read(None, 8192)?.filter_map(move |batch| match batch {
            Ok(batch) => {
                let skipped = skip.min(batch.num_rows());
                skip -= skipped;
                (skipped < batch.num_rows()).then(|| Ok(batch.slice(skipped, batch.num_rows() - skipped)))
            }
            Err(error) => Some(Err(error)),
        });
        Ok(Box::new(rest))
    }

    /// The rest of the file is one bad record.
    fn gives_up(&mut self, error: &Error) -> Polled {
        (self.progress.done, self.batches) = (true, None);
        let position = format!("{}, row {}", self.path.display(), self.progress.rows + 1);
        self.polled(Vec::new(), vec![BadRecord::new(position, error.message(), &[])])
    }

    fn polled(&self, rows: Vec<RecordBatch>, bad: Vec<BadRecord>) -> Polled {
        let Progress { rows: read, done, of } = &self.progress;
        let offset = json!({ "path": self.path.to_string_lossy(), "rows": read, "done": done, "of": of }).to_string();
        Polled { split: self.split.clone(), rows, bad, offset }
    }
}

impl Progress {
    fn parse(text: &str) -> Result<Self> {
        let parsed = || {
            let value: Value = serde_json::from_str(text).ok()?;
            let of = serde_json::from_value(value.get("of")?.clone()).ok()?;
            Some(Progress { rows: value.get("rows")?.as_u64()?, done: value.get("done")?.as_bool()?, of })
        };
        parsed().ok_or_else(|| Error::internal(format!("the offset {text} is none of a file")))
    }
}
