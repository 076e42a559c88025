//! The options of a file source.

use std::time::Duration;

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::suggest::advice;
use crate::connector::format::{Compression, FileFormat};
use crate::connector::options::{OptionValue, ReadOptions, TypeNamed};

/// How files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Every line is a value of one TEXT column.
    Text,
    /// Lines of a format.
    Lines(FileFormat),
    /// Files that are read as a whole.
    Whole(FileFormat),
}

/// What the options of a file source say.
#[derive(Debug, Clone)]
pub struct FileSourceOptions {
    /// A file, a directory, a pattern; `-` for the standard input.
    pub path: String,
    /// How files are read.
    pub format: Format,
    /// Whether files that are there at the beginning are read from their end on.
    pub from_end: bool,
    /// How long to wait before looking again.
    pub poll_interval: Duration,
    /// CSV: delimiters, quotes, NULLs, a header.
    pub read: ReadOptions,
}

/// The options that a file source knows beside those of every source.
pub const KEYS: [&str; 13] = [
    "path",
    "format",
    "start",
    "poll_interval",
    "compression",
    "header",
    "delim",
    "delimiter",
    "sep",
    "quote",
    "nullstr",
    "dateformat",
    "timestampformat",
];

impl FileSourceOptions {
    /// Reads the options; an error comes with the key that it is about.
    pub fn parse<'a>(
        options: impl IntoIterator<Item = (&'a str, &'a str)>,
        duration: fn(&str) -> Result<Duration>,
        type_named: TypeNamed,
    ) -> std::result::Result<Self, (&'static str, Error)> {
        let (mut path, mut format, mut from_end, mut poll_interval) = (None, None, false, Duration::from_millis(200));
        let mut read = ReadOptions::default();
        for (key, value) in options {
            let Some(key) = KEYS.into_iter().find(|known| *known == key) else { continue };
            let set = match key {
                "path" if value.is_empty() => Err(invalid("the path is empty")),
                "path" => {
                    path = Some(value.to_string());
                    Ok(())
                }
                "format" => format_named(value).map(|named| format = Some(named)),
                "start" => start(value).map(|end| from_end = end),
                "poll_interval" => duration(value).map(|every| poll_interval = every.max(Duration::from_millis(1))),
                _ => read.set(key, &OptionValue::Text(value.to_string()), type_named),
            };
            set.map_err(|error| (key, error))?;
        }
        let path = path.ok_or_else(|| ("path", missing()))?;
        let mut options = FileSourceOptions { format: Format::Text, path, from_end, poll_interval, read };
        options.format = match format {
            Some(format) => options.with_compression(format),
            None => options.format_of_path().ok_or_else(|| ("path", formatless()))?,
        };
        options.check()?;
        Ok(options)
    }

    /// The format that the extension of the path stands for.
    fn format_of_path(&self) -> Option<Format> {
        let path = std::path::Path::new(&self.path);
        match FileFormat::from_extension(path) {
            _ if path.extension().is_some_and(|extension| extension == "log" || extension == "txt") => {
                Some(Format::Text)
            }
            (format, Compression::None) => format.map(|format| self.with_compression(lines_or_whole(format))),
            (format, _) => format.map(Format::Whole),
        }
    }

    /// What is compressed cannot be read line by line while it grows.
    fn with_compression(&self, format: Format) -> Format {
        let is_compressed = self.read.compression.is_some_and(|compression| compression != Compression::None)
            || FileFormat::from_extension(std::path::Path::new(&self.path)).1 != Compression::None;
        match format {
            Format::Lines(format) if is_compressed => Format::Whole(format),
            format => format,
        }
    }

    fn check(&self) -> std::result::Result<(), (&'static str, Error)> {
        let format = match self.format {
            Format::Lines(format) | Format::Whole(format) => Some(format),
            Format::Text => None,
        };
        if self.is_stdin() && matches!(self.format, Format::Whole(_)) {
            let error = invalid("the standard input is read line by line: text, csv or ndjson");
            return Err(("format", error));
        }
        match (format, self.read.given.first()) {
            (None, Some(key)) => {
                let error = invalid(&format!("option \"{key}\" means nothing for lines of text"));
                Err((KEYS.into_iter().find(|known| known == key).unwrap_or("format"), error.with_hint("leave it out")))
            }
            (Some(format), _) => self.read.expect_for(format).map_err(|error| ("format", error)),
            (None, None) => Ok(()),
        }
    }

    /// Whether the standard input is read.
    pub fn is_stdin(&self) -> bool {
        self.path == "-"
    }
}

fn lines_or_whole(format: FileFormat) -> Format {
    match format {
        FileFormat::Csv | FileFormat::Ndjson => Format::Lines(format),
        FileFormat::Json => Format::Lines(FileFormat::Ndjson),
        FileFormat::Parquet | FileFormat::Arrow => Format::Whole(format),
    }
}

fn format_named(name: &str) -> Result<Format> {
    const NAMES: [&str; 6] = ["text", "csv", "ndjson", "json", "parquet", "arrow"];
    match name.to_ascii_lowercase().as_str() {
        "text" | "lines" | "raw" => Ok(Format::Text),
        other => FileFormat::from_name(other).map(lines_or_whole).map_err(|_| {
            Error::invalid(format!("unknown format '{name}'")).with_sqlstate("22023").with_hint(advice(name, &NAMES))
        }),
    }
}

/// Whether files are read from their end on.
fn start(value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "begin" | "beginning" | "earliest" => Ok(false),
        "end" | "latest" => Ok(true),
        _ => Err(invalid(&format!("option \"start\" is 'begin' or 'end', not '{value}'"))),
    }
}

fn invalid(message: &str) -> Error {
    Error::invalid(message).with_sqlstate("22023")
}

fn missing() -> Error {
    Error::new(ErrorKind::Invalid, "a file source needs a path")
        .with_sqlstate("22023")
        .with_hint("WITH (connector = 'file', path = 'logs/*.log', format = 'text')")
}

fn formatless() -> Error {
    invalid("the path does not tell the format").with_hint("say format = 'text', 'csv', 'ndjson', 'parquet' or 'arrow'")
}
