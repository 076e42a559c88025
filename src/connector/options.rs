//! Settings of readers and writers: typed, from the key/value lists SQL gives, with advice for misspelled keys.
//!
//! DuckDB's names are accepted with their synonyms. What is not asked for is `None` and found by looking at the file.

use std::fmt;

use arrow::datatypes::DataType;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::base::time::zone::Zone;
use crate::catalog::suggest::advice;
use crate::connector::format::{Compression, FileFormat};

/// A value in an option list.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// `'text'` or a bare word.
    Text(String),
    /// `true`, `false`, or a key without value (true).
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// `['a', 'b']` or `(a, b)`.
    List(Vec<OptionValue>),
    /// `{'a': 'BIGINT'}`, in order.
    Map(Vec<(String, OptionValue)>),
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Text(text) => write!(f, "'{text}'"),
            OptionValue::Boolean(value) => write!(f, "{value}"),
            OptionValue::Integer(value) => write!(f, "{value}"),
            OptionValue::List(values) => {
                let values: Vec<String> = values.iter().map(OptionValue::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
            OptionValue::Map(entries) => {
                let entries: Vec<String> = entries.iter().map(|(key, value)| format!("'{key}': {value}")).collect();
                write!(f, "{{{}}}", entries.join(", "))
            }
        }
    }
}

/// Names and types the user gave for columns.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnTypes {
    /// `columns = {name: type}`: all columns of the file, by position.
    All(Vec<(String, DataType)>),
    /// `types = {name: type}`: some columns, by name.
    ByName(Vec<(String, DataType)>),
    /// `types = [type]`: the first columns, by position.
    ByPosition(Vec<DataType>),
}

/// How to read files.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The format, if it was named.
    pub format: Option<FileFormat>,
    /// The compression, if it was named.
    pub compression: Option<Compression>,
    /// What separates fields.
    pub delimiter: Option<u8>,
    /// What encloses fields; `Some(None)` means nothing does.
    pub quote: Option<Option<u8>>,
    /// What makes a quote inside quotes literal; the quote itself, or a backslash.
    pub escape: Option<u8>,
    /// Lines that start with this byte are passed over.
    pub comment: Option<u8>,
    /// Whether the first row names the columns.
    pub header: Option<bool>,
    /// Names of the columns, by position.
    pub names: Option<Vec<String>>,
    /// What stands for NULL besides the empty field; replaces the empty field when given.
    pub nulls: Option<Vec<String>>,
    /// Lines to pass over before anything else.
    pub skip: u64,
    /// Types the user gave; values that do not fit them are errors.
    pub types: Option<ColumnTypes>,
    /// All columns are TEXT.
    pub all_text: bool,
    /// Rows looked at to find delimiter, quote and header. Types always come from the whole file.
    pub sample_rows: Option<usize>,
    /// How dates are written, in `strftime` words.
    pub date_format: Option<String>,
    /// How timestamps are written, in `strftime` words.
    pub timestamp_format: Option<String>,
    /// A cancellation is noticed while the file is looked through.
    pub interrupt: Option<Interrupt>,
    /// The time zone in which timestamps without one stand that become TIMESTAMPTZ.
    pub zone: Zone,
    /// The keys that were given.
    pub given: Vec<String>,
}

const READ_KEYS: &[&str] = &[
    "format",
    "compression",
    "delim",
    "sep",
    "delimiter",
    "quote",
    "escape",
    "comment",
    "header",
    "names",
    "nullstr",
    "null",
    "skip",
    "columns",
    "types",
    "dtypes",
    "column_types",
    "all_varchar",
    "sample_size",
    "dateformat",
    "timestampformat",
    "auto_detect",
    "union_by_name",
    "ignore_errors",
    "null_padding",
    "hive_partitioning",
    "filename",
];

/// The type of a SQL type name: what the names mean is settled above this layer.
pub type TypeNamed = fn(&str) -> Result<DataType>;

impl ReadOptions {
    /// The options of a list such as `(delim ';', header true)`; keys in any case. `type_named` is what the names of
    /// column types mean.
    pub fn parse<'a>(
        list: impl IntoIterator<Item = (&'a str, &'a OptionValue)>,
        type_named: TypeNamed,
    ) -> Result<Self> {
        let mut options = ReadOptions::default();
        for (key, value) in list {
            options.set(&key.to_ascii_lowercase(), value, type_named)?;
        }
        Ok(options)
    }

    /// Sets one option; keys are lower case. `type_named` is what the names of column types mean.
    pub fn set(&mut self, key: &str, value: &OptionValue, type_named: TypeNamed) -> Result<()> {
        match key {
            "format" => self.format = Some(FileFormat::from_name(&text(key, value)?)?),
            "compression" => self.compression = compression(key, value)?,
            "delim" | "sep" | "delimiter" => self.delimiter = Some(byte(key, value)?),
            "quote" => self.quote = Some(optional_byte(key, value)?),
            "escape" => self.escape = optional_byte(key, value)?,
            "comment" => self.comment = optional_byte(key, value)?,
            "header" => self.header = Some(boolean(key, value)?),
            "names" => self.names = Some(texts(key, value)?),
            "nullstr" | "null" => self.nulls = Some(texts(key, value)?),
            "skip" => self.skip = whole(key, value)?,
            "columns" => self.types = Some(ColumnTypes::All(typed_names(key, value, type_named)?)),
            "types" | "dtypes" | "column_types" => {
                self.types = Some(match value {
                    OptionValue::Map(_) => ColumnTypes::ByName(typed_names(key, value, type_named)?),
                    _ => {
                        let names = texts(key, value)?;
                        ColumnTypes::ByPosition(names.iter().map(|name| type_named(name)).collect::<Result<_>>()?)
                    }
                })
            }
            "all_varchar" => self.all_text = boolean(key, value)?,
            "sample_size" => {
                // -1 means the whole file, as in DuckDB.
                self.sample_rows = match value {
                    OptionValue::Integer(-1) => Some(usize::MAX),
                    _ => Some(usize::try_from(whole(key, value)?.max(1)).unwrap_or(usize::MAX)),
                }
            }
            "dateformat" => self.date_format = Some(text(key, value)?),
            "timestampformat" => self.timestamp_format = Some(text(key, value)?),
            // Detection is always on where nothing is said, and files are always matched by name: both are accepted.
            "auto_detect" | "union_by_name" => always_on(key, value)?,
            "ignore_errors" | "null_padding" | "hive_partitioning" | "filename" => {
                if boolean(key, value)? {
                    let hint = match key {
                        "ignore_errors" => {
                            "a row that cannot be read is an error; read the column as TEXT and use TRY_CAST"
                        }
                        _ => "leave the option out",
                    };
                    return Err(Error::unsupported(format!("option \"{key}\" is not supported")).with_hint(hint));
                }
            }
            _ => return Err(unknown(key, READ_KEYS)),
        }
        self.given.push(key.to_string());
        Ok(())
    }

    /// An error for an option that means nothing in a file of this format.
    pub fn expect_for(&self, format: FileFormat) -> Result<()> {
        let known = |key: &str| match key {
            "format" | "compression" | "auto_detect" | "union_by_name" => true,
            // These were refused unless they are off.
            "ignore_errors" | "null_padding" | "hive_partitioning" | "filename" => true,
            "columns" | "types" | "dtypes" | "column_types" | "all_varchar" => {
                matches!(format, FileFormat::Csv | FileFormat::Json | FileFormat::Ndjson)
            }
            _ => format == FileFormat::Csv,
        };
        expect_for(&self.given, format, known)
    }
}

/// How to write files.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// The format, if it was named.
    pub format: Option<FileFormat>,
    /// CSV, JSON: the compression of the whole file; `None` goes by the extension.
    pub compression: Option<Compression>,
    /// Parquet: the compression of pages.
    pub parquet_compression: ParquetCompression,
    /// Parquet: rows in a row group.
    pub row_group_rows: Option<usize>,
    /// CSV: what separates fields.
    pub delimiter: Option<u8>,
    /// CSV: what encloses fields that need it.
    pub quote: Option<u8>,
    /// CSV: whether the first row names the columns; it does by default.
    pub header: Option<bool>,
    /// CSV: what stands for NULL; the empty field by default.
    pub null: Option<String>,
    /// CSV: enclose every field.
    pub force_quote: bool,
    /// JSON: write one array, also where the extension says otherwise.
    pub array: Option<bool>,
    /// The keys that were given.
    pub given: Vec<String>,
}

/// The compression inside a Parquet file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParquetCompression {
    /// Zstandard, level 3.
    #[default]
    Zstd,
    /// Snappy.
    Snappy,
    /// None.
    None,
}

const WRITE_KEYS: &[&str] = &[
    "format",
    "compression",
    "codec",
    "row_group_size",
    "delim",
    "sep",
    "delimiter",
    "quote",
    "header",
    "nullstr",
    "null",
    "force_quote",
    "array",
    "overwrite",
    "overwrite_or_ignore",
];

impl WriteOptions {
    /// Sets one option; keys are lower case.
    pub fn set(&mut self, key: &str, value: &OptionValue) -> Result<()> {
        match key {
            "format" => self.format = Some(FileFormat::from_name(&text(key, value)?)?),
            "compression" | "codec" => match text(key, value)?.to_ascii_lowercase().as_str() {
                "zstd" => (self.parquet_compression, self.compression) = (Default::default(), Some(Compression::Zstd)),
                "snappy" => self.parquet_compression = ParquetCompression::Snappy,
                "none" | "uncompressed" => {
                    (self.parquet_compression, self.compression) = (ParquetCompression::None, Some(Compression::None))
                }
                _ => self.compression = compression(key, value)?,
            },
            "row_group_size" => {
                self.row_group_rows = Some(usize::try_from(whole(key, value)?.max(1)).unwrap_or(usize::MAX))
            }
            "delim" | "sep" | "delimiter" => self.delimiter = Some(byte(key, value)?),
            "quote" => self.quote = Some(byte(key, value)?),
            "header" => self.header = Some(boolean(key, value)?),
            "nullstr" | "null" => self.null = Some(text(key, value)?),
            "force_quote" => {
                self.force_quote = match value {
                    OptionValue::Boolean(all) => *all,
                    OptionValue::Text(text) if text == "*" => true,
                    _ => return Err(wrong(key, "* (all columns)", value)),
                }
            }
            "array" => self.array = Some(boolean(key, value)?),
            // A file of that name is always replaced as a whole.
            "overwrite" | "overwrite_or_ignore" => always_on(key, value)?,
            _ => return Err(unknown(key, WRITE_KEYS)),
        }
        self.given.push(key.to_string());
        Ok(())
    }

    /// An error for an option that means nothing in a file of this format.
    pub fn expect_for(&self, format: FileFormat) -> Result<()> {
        let known = |key: &str| match key {
            "format" | "overwrite" | "overwrite_or_ignore" => true,
            "compression" | "codec" => format != FileFormat::Arrow,
            "row_group_size" => format == FileFormat::Parquet,
            "array" => format == FileFormat::Json,
            _ => format == FileFormat::Csv,
        };
        expect_for(&self.given, format, known)?;
        if self.parquet_compression == ParquetCompression::Snappy && format != FileFormat::Parquet {
            let error = Error::invalid(format!("{} files are not compressed with snappy", format.name()));
            return Err(error.with_sqlstate("22023").with_hint("there are gzip, zstd and none"));
        }
        Ok(())
    }
}

fn expect_for(given: &[String], format: FileFormat, known: impl Fn(&str) -> bool) -> Result<()> {
    match given.iter().find(|key| !known(key)) {
        None => Ok(()),
        Some(key) => {
            let name = format.name();
            let article = if name.starts_with('A') { "an" } else { "a" };
            let error = Error::invalid(format!("option \"{key}\" means nothing for {article} {name} file"));
            Err(error.with_sqlstate("22023").with_hint("leave it out"))
        }
    }
}

/// An option that can only be on.
fn always_on(key: &str, value: &OptionValue) -> Result<()> {
    match boolean(key, value)? {
        true => Ok(()),
        false => Err(Error::unsupported(format!("option \"{key}\" is always on")).with_hint("leave it out")),
    }
}

fn unknown(key: &str, known: &[&str]) -> Error {
    Error::new(ErrorKind::NotFound, format!("unknown option \"{key}\""))
        .with_sqlstate("42704")
        .with_hint(advice(key, known))
}

fn wrong(key: &str, wanted: &str, value: &OptionValue) -> Error {
    Error::invalid(format!("option \"{key}\" wants {wanted}, not {value}")).with_sqlstate("22023")
}

fn text(key: &str, value: &OptionValue) -> Result<String> {
    match value {
        OptionValue::Text(text) => Ok(text.clone()),
        OptionValue::Integer(number) => Ok(number.to_string()),
        _ => Err(wrong(key, "a text", value)),
    }
}

fn texts(key: &str, value: &OptionValue) -> Result<Vec<String>> {
    match value {
        OptionValue::List(values) => values.iter().map(|value| text(key, value)).collect(),
        other => Ok(vec![text(key, other).map_err(|_| wrong(key, "a list of texts", other))?]),
    }
}

fn boolean(key: &str, value: &OptionValue) -> Result<bool> {
    match value {
        OptionValue::Boolean(value) => Ok(*value),
        OptionValue::Integer(value @ (0 | 1)) => Ok(*value == 1),
        OptionValue::Text(word) => match word.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" => Ok(true),
            "false" | "off" | "no" => Ok(false),
            _ => Err(wrong(key, "true or false", value)),
        },
        _ => Err(wrong(key, "true or false", value)),
    }
}

fn whole(key: &str, value: &OptionValue) -> Result<u64> {
    match value {
        OptionValue::Integer(number) => u64::try_from(*number).ok(),
        OptionValue::Text(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| wrong(key, "a whole number that is not negative", value))
}

fn optional_byte(key: &str, value: &OptionValue) -> Result<Option<u8>> {
    match value {
        OptionValue::Text(text) if text.is_empty() => Ok(None),
        _ => byte(key, value).map(Some),
    }
}

fn byte(key: &str, value: &OptionValue) -> Result<u8> {
    let text = text(key, value)?;
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        &[byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(byte),
        _ => Err(wrong(key, "one ASCII character", value)),
    }
}

fn compression(key: &str, value: &OptionValue) -> Result<Option<Compression>> {
    let word = text(key, value)?.to_ascii_lowercase();
    match word.as_str() {
        "auto" | "auto_detect" => Ok(None),
        "none" | "uncompressed" => Ok(Some(Compression::None)),
        "gzip" | "gz" => Ok(Some(Compression::Gzip)),
        "zstd" | "zst" => Ok(Some(Compression::Zstd)),
        _ => Err(Error::invalid(format!("unknown compression '{word}'"))
            .with_hint(advice(&word, &["gzip", "zstd", "snappy", "none"]))),
    }
}

fn typed_names(key: &str, value: &OptionValue, type_named: TypeNamed) -> Result<Vec<(String, DataType)>> {
    let OptionValue::Map(entries) = value else { return Err(wrong(key, "{'name': 'TYPE', ...}", value)) };
    entries.iter().map(|(name, value)| Ok((name.clone(), type_named(&text(key, value)?)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_typed_and_misspellings_get_advice() {
        let list = [
            ("DELIM", OptionValue::Text(";".into())),
            ("header", OptionValue::Boolean(true)),
            ("nullstr", OptionValue::List(vec![OptionValue::Text("NA".into())])),
            ("types", OptionValue::Map(vec![("a".into(), OptionValue::Text("DECIMAL(12, 2)".into()))])),
        ];
        let money = |_: &str| Ok(DataType::Decimal128(12, 2));
        let options = ReadOptions::parse(list.iter().map(|(key, value)| (*key, value)), money).unwrap();
        assert_eq!(options.delimiter, Some(b';'));
        assert_eq!(options.header, Some(true));
        assert_eq!(options.nulls.as_deref(), Some(&["NA".to_string()][..]));
        assert_eq!(options.types, Some(ColumnTypes::ByName(vec![("a".into(), DataType::Decimal128(12, 2))])));
        let error = ReadOptions::parse([("delimter", &OptionValue::Boolean(true))], money).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.starts_with("did you mean \"delimiter\"? there are format,")));
        let error = WriteOptions::default().set("row_groupsize", &OptionValue::Integer(5)).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.starts_with("did you mean \"row_group_size\"?")));
        assert!(ReadOptions::parse([("delim", &OptionValue::Text("ab".into()))], money).is_err());
        let error = ReadOptions::parse([("header", &OptionValue::Text("perhaps".into()))], money).unwrap_err();
        assert_eq!(error.message(), "option \"header\" wants true or false, not 'perhaps'");
        let options = ReadOptions::parse([("delim", &OptionValue::Text(";".into()))], money).unwrap();
        assert!(options.expect_for(FileFormat::Csv).is_ok() && options.expect_for(FileFormat::Parquet).is_err());
    }
}
