//! Bytes to records, records to rows, and which of them are none.
//!
//! Records are cut at their line ends and decoded together, by the readers that COPY uses. Where that fails, the records
//! are halved until the bad ones stand alone: the good ones are few calls away, and a reader need not know of bad rows.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::base::error::{Error, Result};
use crate::connector::csv::CsvSource;
use crate::connector::file::options::Format;
use crate::connector::format::FileFormat;
use crate::connector::input::Input;
use crate::connector::json::JsonSource;
use crate::connector::options::ReadOptions;
use crate::connector::reader::{FormatReader, Wanted, bad_file};
use crate::connector::source::Conform;

/// How lines of a file become rows of a relation.
#[derive(Clone)]
pub struct Records {
    format: Option<FileFormat>,
    options: ReadOptions,
    schema: SchemaRef,
    conform: Conform,
}

/// What records came to.
#[derive(Default)]
pub struct Decoded {
    /// The rows, in order.
    pub rows: Vec<RecordBatch>,
    /// Which records are none, and why.
    pub bad: Vec<(usize, String)>,
}

impl Records {
    /// Records of a format as rows of `schema`.
    pub fn new(format: Format, options: &ReadOptions, schema: &SchemaRef, conform: Conform) -> Self {
        let format = match format {
            Format::Text => None,
            Format::Lines(format) | Format::Whole(format) => Some(format),
        };
        let delimiter = Some(options.delimiter.unwrap_or(b','));
        let quote = Some(options.quote.unwrap_or(Some(b'"')));
        let options = ReadOptions { delimiter, quote, header: Some(false), ..options.clone() };
        let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(nullable.collect::<Vec<Field>>()));
        Records { format, options, schema, conform }
    }

    /// Where the first record of `bytes` ends, its line end included; `None` if it is not whole.
    pub fn end(&self, bytes: &[u8]) -> Option<usize> {
        let Some(quote) = self.options.quote.flatten().filter(|_| self.format == Some(FileFormat::Csv)) else {
            return bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        };
        let (mut in_quotes, mut is_quoted, mut at_start) = (false, false, true);
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if !in_quotes => return Some(at + 1),
                // A quote opens a field at its start only; a doubled one closes and opens it again.
                _ if byte == quote && at_start => (is_quoted, in_quotes) = (true, true),
                _ if byte == quote && in_quotes => in_quotes = false,
                _ if byte == quote => in_quotes = is_quoted && bytes[at - 1] == quote,
                _ => {}
            }
            at_start = Some(byte) == self.options.delimiter && !in_quotes;
            is_quoted &= !at_start;
        }
        None
    }

    /// Whether a record is the line that names the columns.
    pub fn is_header(&self, record: &[u8], given: Option<bool>) -> bool {
        if self.format != Some(FileFormat::Csv) {
            return false;
        }
        let names = || {
            let text = String::from_utf8_lossy(record);
            let delimiter = char::from(self.options.delimiter.unwrap_or(b','));
            let found: Vec<String> =
                text.trim_start_matches('\u{feff}').trim_end().split(delimiter).map(bare).collect();
            let fields = self.schema.fields().iter().map(|field| field.name().to_lowercase());
            fields.eq(found)
        };
        given.unwrap_or_else(names)
    }

    /// Whether a record is nothing at all.
    pub fn is_blank(&self, record: &[u8]) -> bool {
        self.format.is_some() && record.iter().all(u8::is_ascii_whitespace)
    }

    /// The records as rows, but for those that are none.
    pub fn decode(&self, records: &[&[u8]]) -> Decoded {
        let mut decoded = Decoded::default();
        self.halve(records, 0, &mut decoded);
        decoded
    }

    fn halve(&self, records: &[&[u8]], first: usize, decoded: &mut Decoded) {
        match self.rows(records) {
            Ok(rows) => decoded.rows.extend(rows.into_iter().filter(|batch| batch.num_rows() > 0)),
            Err(error) if records.len() == 1 => decoded.bad.push((first, reason(&error))),
            Err(_) => {
                let (left, right) = records.split_at(records.len() / 2);
                self.halve(left, first, decoded);
                self.halve(right, first + left.len(), decoded);
            }
        }
    }

    fn rows(&self, records: &[&[u8]]) -> Result<Vec<RecordBatch>> {
        let batches = match (records, self.format) {
            ([], _) => Vec::new(),
            (records, None) => vec![self.lines(records)?],
            (records, Some(format)) => self.read(records, format)?,
        };
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows != records.len() {
            return Err(bad_file(format!("{} records gave {rows} rows", records.len())));
        }
        batches.iter().map(|batch| (self.conform)(batch)).collect()
    }

    fn lines(&self, records: &[&[u8]]) -> Result<RecordBatch> {
        let line = |record: &&[u8]| -> Result<String> {
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            let record = record.strip_suffix(b"\r").unwrap_or(record);
            let text = std::str::from_utf8(record);
            text.map(str::to_string).map_err(|_| bad_file("text is not valid UTF-8").with_sqlstate("22021"))
        };
        let lines = records.iter().map(line).collect::<Result<Vec<_>>>()?;
        let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(lines));
        Ok(RecordBatch::try_new(self.schema.clone(), vec![column])?)
    }

    fn read(&self, records: &[&[u8]], format: FileFormat) -> Result<Vec<RecordBatch>> {
        let mut bytes = Vec::with_capacity(records.iter().map(|record| record.len() + 1).sum());
        for record in records {
            bytes.extend_from_slice(record);
            if !record.ends_with(b"\n") {
                bytes.push(b'\n');
            }
        }
        let input = Input::of_bytes(Path::new(""), bytes.into());
        let reader: Arc<dyn FormatReader> = match format {
            FileFormat::Csv => Arc::new(CsvSource::open(input, &self.options, Some(&self.schema))?),
            _ => Arc::new(JsonSource::open(input, FileFormat::Ndjson, &self.options, Some(&self.schema))?),
        };
        let (found, wanted) = (reader.schema(), self.schema.fields());
        if !reader.is_unordered() && found.fields().len() != wanted.len() {
            let message = format!("expected {} fields, found {}", wanted.len(), found.fields().len());
            return Err(bad_file(message));
        }
        let place = |(at, field): (usize, &Arc<Field>)| match reader.is_unordered() {
            false => Some(at),
            true => found.fields().iter().position(|other| other.name().eq_ignore_ascii_case(field.name())),
        };
        let places: Vec<Option<usize>> = wanted.iter().enumerate().map(place).collect();
        let present = places.iter().zip(wanted).filter_map(|(place, field)| Some(((*place)?, field.clone())));
        let present: Vec<Wanted> = present.map(|(column, field)| Wanted { column, field }).collect();
        let batches = reader.clone().read(present, records.len())?;
        batches.map(|batch| self.complete(&batch?, &places)).collect()
    }

    /// A batch with NULL for the columns that no record has.
    fn complete(&self, batch: &RecordBatch, places: &[Option<usize>]) -> Result<RecordBatch> {
        let mut present = batch.columns().iter();
        let columns = places.iter().zip(self.schema.fields()).map(|(place, field)| {
            let found = place.and_then(|_| present.next());
            found.cloned().unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
        });
        Ok(RecordBatch::try_new(self.schema.clone(), columns.collect())?)
    }
}

/// A name in the first line of a CSV file.
fn bare(field: &str) -> String {
    field.trim().trim_matches('"').to_lowercase()
}

/// What is wrong, without the place: that is the record's own.
fn reason(error: &Error) -> String {
    let message = error.message().trim_start_matches("''").trim_start_matches([',', ':', ' ']);
    let message = message.strip_prefix("line 1").unwrap_or(message);
    message.trim_start_matches([',', ':', ' ']).to_string()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    fn records(format: Format) -> Records {
        let fields = vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8View, true)];
        Records::new(format, &ReadOptions::default(), &Arc::new(Schema::new(fields)), Arc::new(|rows| Ok(rows.clone())))
    }

    #[test]
    fn bad_records_stand_alone() {
        let csv = records(Format::Lines(FileFormat::Csv));
        let lines: [&[u8]; 6] = [b"1,x\n", b"y,x\n", b"2,\"p\nq\"\n", b"3\n", b"4,\xff\n", b"5,z"];
        let decoded = csv.decode(&lines);
        assert_eq!(decoded.rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
        let expected = [
            (1, "column \"a\": invalid input syntax for type bigint: \"y\""),
            (3, "expected 2 fields, found 1"),
            (4, "text is not valid UTF-8"),
        ];
        let bad: Vec<_> = decoded.bad.iter().map(|(at, reason)| (*at, reason.as_str())).collect();
        assert_eq!(bad, expected);

        let json = records(Format::Lines(FileFormat::Ndjson));
        let lines: [&[u8]; 5] =
            [b"{\"a\": 1}\n", b"{\"a\": 1\n", b"[1]\n", b"{\"c\": 1}\n", b"{\"b\": {\"x\": 1}, \"a\": 2}"];
        let decoded = json.decode(&lines);
        assert_eq!(decoded.rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
        assert_eq!(decoded.bad.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn records_end_at_lines_outside_quotes() {
        let csv = records(Format::Lines(FileFormat::Csv));
        assert_eq!(csv.end(b"1,\"a\n\"\"b\"\n2"), Some(10));
        assert_eq!(csv.end(b"1,5\" pipe\n2"), Some(10));
        assert_eq!(csv.end(b"1,5\"\" pipe\n2"), Some(11));
        assert_eq!(csv.end(b"1,\"a\n"), None);
        assert_eq!(records(Format::Text).end(b"1,\"a\n"), Some(5));
        assert!(csv.is_header(b"A,\"b\"\r\n", None) && !csv.is_header(b"a,c\n", None));
    }
}
