//! The file sink: a directory of files, each with the changes of a range of epochs and named by it.
//!
//! ```text
//! out/000000000042-000000000057.parquet    epochs 42 to 57, whole
//! out/.000000000058-000000000061.parquet.part   safe, and not committed, or about to get its name
//! ```
//!
//! A file is written under a hidden name, synced, renamed to another hidden name, and its directory synced; when the
//! database has written that down, it gets its name. The directory is the sink's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde_json::{Value, json};

use crate::base::access::{FileAccess, PathKind};
use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::suggest::advice;
use crate::connector::format::FileFormat;
use crate::connector::options::{OptionValue, WriteOptions};
use crate::connector::sink::Sink;
use crate::connector::writer;

/// What the options of a file sink say.
#[derive(Debug, Clone)]
pub struct FileSinkOptions {
    /// The directory.
    pub path: String,
    /// The format of its files.
    pub format: FileFormat,
    /// How they are written.
    pub write: WriteOptions,
    /// When a file is full.
    pub cut: Cut,
}

/// When a piece is full: at the first of these.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Rows.
    pub rows: usize,
    /// Bytes in memory.
    pub bytes: usize,
    /// Time since its first change.
    pub interval: Duration,
}

impl Default for Cut {
    fn default() -> Self {
        Cut { rows: 1 << 20, bytes: 64 << 20, interval: Duration::from_secs(10) }
    }
}

/// The options that a file sink knows beside those of every sink.
pub const KEYS: [&str; 13] = [
    "path",
    "format",
    "rows",
    "bytes",
    "interval",
    "compression",
    "row_group_size",
    "header",
    "delim",
    "delimiter",
    "sep",
    "quote",
    "nullstr",
];

/// How durations and sizes are written.
pub type Units = (fn(&str) -> Result<Duration>, fn(&str) -> Result<Option<usize>>);

impl FileSinkOptions {
    /// Reads the options; an error comes with the key that it is about.
    pub fn parse<'a>(
        options: impl IntoIterator<Item = (&'a str, &'a str)>,
        (duration, size): Units,
    ) -> std::result::Result<Self, (&'static str, Error)> {
        let (mut path, mut format, mut write, mut cut) = (None, None, WriteOptions::default(), Cut::default());
        for (key, value) in options {
            let Some(key) = KEYS.into_iter().find(|known| *known == key) else { continue };
            let set = match key {
                "path" if value.is_empty() || value == "-" => Err(invalid("the path of a file sink is a directory")),
                "path" => {
                    path = Some(value.to_string());
                    Ok(())
                }
                "format" => format_named(value).map(|named| format = Some(named)),
                "rows" => whole(key, value).map(|rows| cut.rows = rows),
                "bytes" => size(value).map(|bytes| cut.bytes = bytes.unwrap_or(usize::MAX).max(1)),
                "interval" => duration(value).map(|interval| cut.interval = interval),
                _ => write.set(key, &OptionValue::Text(value.to_string())),
            };
            set.map_err(|error| (key, error))?;
        }
        let path = path.ok_or_else(|| ("path", missing("path")))?;
        let format = format.ok_or_else(|| ("format", missing("format")))?;
        write.expect_for(format).map_err(|error| ("format", error))?;
        Ok(FileSinkOptions { path, format, write, cut })
    }
}

/// A directory of files.
pub struct FileSink {
    options: FileSinkOptions,
    schema: SchemaRef,
    access: FileAccess,
    first: u64,
    rows: Vec<RecordBatch>,
}

impl FileSink {
    /// A sink of rows of these columns. What an unfinished sink left behind is removed, but for the piece of `pending`.
    pub fn open(
        options: FileSinkOptions,
        schema: SchemaRef,
        access: FileAccess,
        pending: Option<&str>,
    ) -> Result<Self> {
        let sink = FileSink { options, schema, access, first: 0, rows: Vec::new() };
        sink.make_directory()?;
        let kept = pending.map(piece).transpose()?.map(|(hidden, _)| hidden);
        for (name, _) in sink.access.list(Path::new(&sink.options.path))? {
            let is_ours = name.starts_with('.') && (name.ends_with(PART) || name.contains(UNFINISHED));
            if is_ours && Some(&name) != kept.as_ref() {
                sink.access.remove(&sink.place(&name))?;
            }
        }
        Ok(sink)
    }

    fn make_directory(&self) -> Result<()> {
        let path = Path::new(&self.options.path);
        match self.access.kind_to_write(path)? {
            PathKind::Directory => Ok(()),
            PathKind::Missing => self.access.make_directory(path),
            _ => {
                Err(Error::new(ErrorKind::Io, format!("'{}' is not a directory", path.display()))
                    .with_sqlstate("58P01"))
            }
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        Path::new(&self.options.path).join(name)
    }

    fn extension(&self) -> &'static str {
        match self.options.format {
            FileFormat::Csv => "csv",
            FileFormat::Json | FileFormat::Ndjson => "ndjson",
            FileFormat::Parquet => "parquet",
            FileFormat::Arrow => "arrow",
        }
    }
}

/// How the names of files end that do not count yet, and what is in those of files that are being written.
const PART: &str = ".part";
const UNFINISHED: &str = ".part.";

impl Sink for FileSink {
    fn begin(&mut self, first: u64) -> Result<()> {
        self.first = first;
        self.rows.clear();
        Ok(())
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows.push(rows.clone());
        Ok(())
    }

    fn pre_commit(&mut self, last: u64) -> Result<String> {
        let name = format!("{:012}-{last:012}.{}", self.first, self.extension());
        let hidden = format!(".{name}{PART}");
        let path = self.place(&hidden);
        let rows = self.rows.iter().cloned().map(Ok);
        let (format, write) = (Some(self.options.format), &self.options.write);
        writer::write(&path.to_string_lossy(), format, write, &self.schema, rows, &self.access)?;
        self.access.sync_directory(Path::new(&self.options.path))?;
        Ok(json!({ "part": hidden, "file": name }).to_string())
    }

    fn commit(&mut self, token: &str) -> Result<()> {
        let (hidden, name) = piece(token)?;
        // A piece that is not there any more has its name already.
        if self.access.kind_to_write(&self.place(&hidden))? != PathKind::Missing {
            self.access.rename(&self.place(&hidden), &self.place(&name))?;
        }
        self.access.sync_directory(Path::new(&self.options.path))
    }
}

/// The hidden name of a piece, and its own.
fn piece(token: &str) -> Result<(String, String)> {
    let value: Value = serde_json::from_str(token).unwrap_or_default();
    let name = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_string);
    let names = name("part").zip(name("file"));
    names.ok_or_else(|| Error::internal(format!("the token {token} is none of a file")))
}

fn format_named(name: &str) -> Result<FileFormat> {
    const NAMES: [&str; 4] = ["parquet", "csv", "ndjson", "arrow"];
    match FileFormat::from_name(name) {
        Ok(FileFormat::Json) => Ok(FileFormat::Ndjson),
        Ok(format) => Ok(format),
        Err(_) => Err(invalid(&format!("unknown format '{name}'")).with_hint(advice(name, &NAMES))),
    }
}

fn whole(key: &str, value: &str) -> Result<usize> {
    let number = value.parse::<usize>().ok().filter(|&number| number > 0);
    number.ok_or_else(|| invalid(&format!("option \"{key}\" is a number of rows, not '{value}'")))
}

fn invalid(message: &str) -> Error {
    Error::invalid(message).with_sqlstate("22023")
}

fn missing(what: &str) -> Error {
    invalid(&format!("a file sink needs a {what}"))
        .with_hint("WITH (connector = 'file', path = 'out/', format = 'parquet')")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn open(path: &Path, pending: Option<&str>) -> FileSink {
        let units: Units = (|_| Ok(Duration::ZERO), |_| Ok(None));
        let options = [("path", path.to_str().unwrap()), ("format", "csv")];
        let options = FileSinkOptions::parse(options, units).unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        FileSink::open(options, schema, FileAccess::unrestricted(), pending).unwrap()
    }

    fn rows(numbers: &[i64]) -> RecordBatch {
        let column: Arc<Int64Array> = Arc::new(numbers.to_vec().into());
        RecordBatch::try_from_iter([("n", column as arrow::array::ArrayRef)]).unwrap()
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_piece_gets_its_name_once_and_what_was_not_committed_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let mut sink = open(&path, None);
        sink.begin(3).unwrap();
        sink.write(&rows(&[1, 2])).unwrap();
        sink.write(&rows(&[3])).unwrap();
        let token = sink.pre_commit(5).unwrap();
        assert_eq!(names(&path), [".000000000003-000000000005.csv.part"]);
        // Killed and opened again, before the token was written down: it has not happened.
        let copy = directory.path().join("copy");
        fs::create_dir(&copy).unwrap();
        fs::copy(path.join(&names(&path)[0]), copy.join(&names(&path)[0])).unwrap();
        open(&copy, None);
        assert_eq!(names(&copy), [""; 0]);
        // And after it was written down.
        let mut sink = open(&path, Some(&token));
        for _ in 0..2 {
            sink.commit(&token).unwrap();
            assert_eq!(names(&path), ["000000000003-000000000005.csv"]);
        }
        assert_eq!(fs::read_to_string(path.join("000000000003-000000000005.csv")).unwrap(), "n\n1\n2\n3\n");
        // Who took the file away does not find it again.
        fs::remove_file(path.join("000000000003-000000000005.csv")).unwrap();
        open(&path, Some(&token)).commit(&token).unwrap();
        assert_eq!(names(&path), [""; 0]);
    }
}
