//! CSV and its kin: sniffed from a sample, typed over the whole file, read in batches.
//!
//! Opening a file looks at its first rows for delimiter, quotes and header ([`sniff`]) and then passes over all of it
//! once to find the narrowest type every value of a column fits ([`guess`]): the file is local, and a type that turns
//! out wrong after a million rows costs more than the pass. Columns whose type the user gave are taken at their word,
//! and a value that does not fit is an error that names file, line, column and value. Every row must have as many
//! fields as the first.

pub mod build;
pub mod guess;
pub mod sniff;
pub mod tokens;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::suggest::advice;
use crate::connector::csv::build::{Misfit, Reading};
use crate::connector::csv::guess::Guess;
use crate::connector::csv::tokens::{Dialect, Records, Tokenizer};
use crate::connector::input::{Bytes, Input};
use crate::connector::misfit;
use crate::connector::options::{ColumnTypes, ReadOptions};
use crate::connector::reader::{Batches, FormatReader, Wanted, bad_file};

/// Records looked at in one go while types are found.
const PASS_ROWS: usize = 4096;

/// A CSV file, sniffed.
#[derive(Debug)]
pub struct CsvSource {
    input: Input,
    dialect: Dialect,
    header: bool,
    reading: Reading,
    schema: SchemaRef,
    is_empty: bool,
}

impl CsvSource {
    /// Sniffs the file; `target` are the columns it will be read into, whose types then need not be found.
    pub fn open(input: Input, options: &ReadOptions, target: Option<&Schema>) -> Result<Self> {
        let names: Option<Vec<&str>> =
            target.map(|target| target.fields().iter().map(|field| field.name().as_str()).collect());
        let (sample, truncated) = Self::sample(&input)?;
        let sniffed = sniff::sniff(&sample, truncated, options, names.as_deref());
        drop(sample);
        let mut source = CsvSource {
            dialect: sniffed.dialect,
            header: sniffed.header,
            reading: Reading::new(options),
            schema: Arc::new(Schema::empty()),
            is_empty: false,
            input,
        };
        let first = match sniffed.first {
            Some(first) => first,
            None => source.first_row()?.unwrap_or_else(|| {
                source.is_empty = true;
                vec![String::new()]
            }),
        };
        let names = source.names(&first, options)?;
        source.schema = source.typed(names, options, target)?;
        Ok(source)
    }

    /// The first bytes of the file: enough for a header and a row, however wide they are; and whether there are more.
    fn sample(input: &Input) -> Result<(Vec<u8>, bool)> {
        /// Rows longer than this are told by the reader, not found here.
        const WIDEST: usize = 1 << 26;
        let mut bytes = sniff::SAMPLE_BYTES;
        loop {
            let sample = input.first(bytes)?;
            let truncated = sample.len() == bytes;
            let lines = sample.iter().filter(|&&byte| byte == b'\n').take(2).count();
            if !truncated || lines == 2 || bytes >= WIDEST {
                return Ok((sample, truncated));
            }
            bytes *= 4;
        }
    }

    /// The first row where the sniffer saw none: the file is empty, or its first row is longer than the sample.
    fn first_row(&self) -> Result<Option<Vec<String>>> {
        let mut records = Records::default();
        self.tokenizer(false)?.read(&mut records, 1).map_err(|error| self.in_file(error))?;
        let fields = |_| (0..records.width(0)).map(|c| String::from_utf8_lossy(records.field(0, c).0).into_owned());
        Ok((records.len() > 0).then_some(()).map(fields).map(Iterator::collect))
    }

    fn names(&self, first: &[String], options: &ReadOptions) -> Result<Vec<String>> {
        let width = first.len();
        if matches!(options.types, Some(ColumnTypes::All(_))) && options.names.is_some() {
            return Err(self.error("names and columns both name the columns: give one of them".to_string()));
        }
        let given: Option<Vec<String>> = match (&options.types, &options.names) {
            (Some(ColumnTypes::All(columns)), _) => Some(columns.iter().map(|(name, _)| name.clone()).collect()),
            (_, Some(names)) => Some(names.clone()),
            _ => None,
        };
        if let Some(given) = given {
            let all = matches!(options.types, Some(ColumnTypes::All(_)));
            if given.len() > width && self.is_empty || given.len() == width {
                return Ok(given);
            }
            if given.len() > width || all {
                return Err(self.error(format!("{} columns were named, but the file has {width}", given.len())));
            }
            let rest = (given.len()..width).map(|column| column_name(column, width));
            return Ok(given.into_iter().chain(rest).collect());
        }
        if !self.header || self.is_empty {
            return Ok((0..width).map(|column| column_name(column, width)).collect());
        }
        let mut names: Vec<String> = Vec::with_capacity(width);
        let mut taken: HashSet<String> = HashSet::with_capacity(width);
        for (column, name) in first.iter().enumerate() {
            let name = if name.is_empty() { column_name(column, width) } else { name.clone() };
            let mut unique = name.clone();
            let mut number = 0;
            while !taken.insert(unique.to_ascii_lowercase()) {
                number += 1;
                unique = format!("{name}_{number}");
            }
            names.push(unique);
        }
        Ok(names)
    }

    /// The schema: types the user or the target gives, and the rest from all values.
    fn typed(&self, names: Vec<String>, options: &ReadOptions, target: Option<&Schema>) -> Result<SchemaRef> {
        let mut types: Vec<Option<DataType>> = vec![None; names.len()];
        match &options.types {
            Some(ColumnTypes::All(columns)) => {
                types.iter_mut().zip(columns).for_each(|(slot, (_, given))| *slot = Some(given.clone()));
            }
            Some(ColumnTypes::ByPosition(given)) if given.len() > types.len() => {
                return Err(self.error(format!(
                    "{} types were given, but the file has {} columns",
                    given.len(),
                    types.len()
                )));
            }
            Some(ColumnTypes::ByPosition(given)) => {
                types.iter_mut().zip(given).for_each(|(slot, given)| *slot = Some(given.clone()));
            }
            Some(ColumnTypes::ByName(given)) => {
                for (name, data_type) in given {
                    let Some(column) = names.iter().position(|other| other.eq_ignore_ascii_case(name)) else {
                        let known: Vec<&str> = names.iter().map(String::as_str).collect();
                        let error = Error::new(ErrorKind::NotFound, format!("no column \"{name}\" in the file"));
                        return Err(self.in_file(error.with_sqlstate("42703").with_hint(advice(name, &known))));
                    };
                    types[column] = Some(data_type.clone());
                }
            }
            None => {}
        }
        if options.all_text || self.is_empty {
            types.iter_mut().for_each(|slot| *slot = Some(slot.take().unwrap_or(DataType::Utf8View)));
        }
        if target.is_none() && types.contains(&None) {
            self.guess(&mut types, options)?;
        }
        let fields = names.into_iter().zip(types);
        let fields = fields.map(|(name, given)| Field::new(name, given.unwrap_or(DataType::Utf8View), true));
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    fn guess(&self, types: &mut [Option<DataType>], options: &ReadOptions) -> Result<()> {
        let mut guesses = vec![Guess::default(); types.len()];
        let mut open: Vec<usize> = (0..types.len()).filter(|&column| types[column].is_none()).collect();
        let mut rows = Rows::start(self, types.len())?;
        while !open.is_empty() && rows.next(PASS_ROWS)? {
            if let Some(interrupt) = &options.interrupt {
                interrupt.check()?;
            }
            for &column in &open {
                let guess = &mut guesses[column];
                for record in 0..rows.records.len() {
                    let (field, quoted) = rows.records.field(record, column);
                    guess.observe(field, quoted, &self.reading);
                }
            }
            open.retain(|&column| !guesses[column].is_text());
        }
        for (slot, guess) in types.iter_mut().zip(&guesses) {
            // A column without a value says nothing of its type, so that other files of the relation may.
            slot.get_or_insert_with(|| if guess.is_decided() { guess.data_type() } else { DataType::Null });
        }
        Ok(())
    }

    fn tokenizer(&self, keep_blank: bool) -> Result<Tokenizer<Bytes>> {
        Ok(Tokenizer::new(self.input.read()?, self.dialect, keep_blank))
    }

    fn error(&self, message: impl Into<String>) -> Error {
        self.in_file(bad_file(message))
    }

    fn in_file(&self, error: Error) -> Error {
        error.context(format_args!("'{}'", self.input.path().display()))
    }
}

impl FormatReader for CsvSource {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn path(&self) -> &Path {
        self.input.path()
    }

    fn has_names(&self) -> bool {
        self.header
    }

    fn is_empty(&self) -> bool {
        self.is_empty
    }

    fn row_count(&self) -> Option<u64> {
        None
    }

    fn read(self: Arc<Self>, wanted: Vec<Wanted>, batch_rows: usize) -> Result<Batches> {
        let width = self.schema.fields().len();
        let rows = Rows::start(&self, width)?;
        Ok(Box::new(CsvBatches { source: self, rows, wanted, batch_rows: batch_rows.max(1), done: false }))
    }
}

fn column_name(column: usize, width: usize) -> String {
    let digits = width.saturating_sub(1).max(1).to_string().len();
    format!("column{column:0digits$}")
}

/// The rows of a file below its header, checked to be whole.
struct Rows {
    tokenizer: Tokenizer<Bytes>,
    records: Records,
    width: usize,
    path: String,
}

impl Rows {
    fn start(source: &CsvSource, width: usize) -> Result<Self> {
        // In a file of one column a blank line is a NULL; in others it is nothing.
        let tokenizer = source.tokenizer(width == 1 && !source.is_empty)?;
        let path = source.input.path().display().to_string();
        let mut rows = Rows { tokenizer, records: Records::default(), width, path };
        if source.header {
            rows.next(1)?;
        }
        Ok(rows)
    }

    /// Replaces `records` by the next rows; false at the end of the file.
    fn next(&mut self, count: usize) -> Result<bool> {
        self.records.clear();
        let read = self.tokenizer.read(&mut self.records, count);
        let read = read.map_err(|error| error.context(format_args!("'{}'", self.path)))?;
        for record in 0..read {
            let found = self.records.width(record);
            if found != self.width {
                let (line, width) = (self.records.line(record), self.width);
                let message = format!("'{}', line {line}: expected {width} columns, found {found}", self.path);
                return Err(bad_file(message).with_hint(
                    "every row must have as many fields as the first; see the options delim, quote and skip",
                ));
            }
        }
        if let Some(record) = self.records.invalid_utf8() {
            let message = format!("'{}', line {}: text is not valid UTF-8", self.path, self.records.line(record));
            return Err(bad_file(message).with_sqlstate("22021").with_hint("convert the file to UTF-8"));
        }
        Ok(read > 0)
    }
}

struct CsvBatches {
    source: Arc<CsvSource>,
    rows: Rows,
    wanted: Vec<Wanted>,
    batch_rows: usize,
    done: bool,
}

impl CsvBatches {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        if !self.rows.next(self.batch_rows)? {
            return Ok(None);
        }
        let records = &self.rows.records;
        let mut columns = Vec::with_capacity(self.wanted.len());
        for wanted in &self.wanted {
            let array = build::array(records, wanted.column, wanted.field.data_type(), &self.source.reading);
            columns.push(array.map_err(|misfit| self.misfit(wanted, misfit))?);
        }
        let schema = Arc::new(Schema::new(self.wanted.iter().map(|wanted| wanted.field.clone()).collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
        Ok(Some(RecordBatch::try_new_with_options(schema, columns, &options)?))
    }

    fn misfit(&self, wanted: &Wanted, misfit: Misfit) -> Error {
        let (path, name) = (&self.rows.path, wanted.field.name());
        match misfit {
            Misfit::Type(error) => error.context(format_args!("'{path}', column \"{name}\"")),
            Misfit::Value(record) => {
                let (field, _) = self.rows.records.field(record, wanted.column);
                let line = self.rows.records.line(record);
                let error = misfit::misfit(path, line, name, field, wanted.field.data_type());
                match field.len() <= 8 && field.iter().all(|byte| byte.is_ascii_alphabetic() || b"/-.".contains(byte)) {
                    true => error.with_hint(format!("if it stands for NULL, say nullstr '{}'", misfit::excerpt(field))),
                    false => error,
                }
            }
        }
    }
}

impl Iterator for CsvBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.batch().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests;
