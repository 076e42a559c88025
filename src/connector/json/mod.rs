//! JSON files: lines (NDJSON), one array of objects, or objects one after another.
//!
//! Opening passes over the whole file once to find keys and types ([`infer`]), so a malformed value is an error with
//! its line before anything is read. Values are decoded by Arrow; where a column is TEXT and a value is an object or
//! array, it is turned into its JSON text first. Keys are matched by name, so the order of columns in a file does not
//! matter.

pub mod infer;
pub mod split;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use serde_json::Value;

use crate::base::error::{Error, Result};
use crate::base::time::convert::convert;
use crate::base::time::kind::Kind;
use crate::base::time::zone::Zone;
use crate::base::types::canonical_floats;
use crate::connector::format::FileFormat;
use crate::connector::input::{Bytes, Input};
use crate::connector::json::infer::Shape;
use crate::connector::json::split::Splitter;
use crate::connector::misfit::misfit;
use crate::connector::options::{ColumnTypes, ReadOptions};
use crate::connector::reader::{Batches, FormatReader, Wanted, bad_file};

/// A JSON file, looked through.
#[derive(Debug)]
pub struct JsonSource {
    input: Input,
    by_lines: bool,
    schema: SchemaRef,
    rows: u64,
    zone: Zone,
}

impl JsonSource {
    /// Looks through the file for its keys and their types.
    pub fn open(input: Input, format: FileFormat, options: &ReadOptions, target: Option<&Schema>) -> Result<Self> {
        let (by_lines, schema) = (format == FileFormat::Ndjson, Arc::new(Schema::empty()));
        let mut source = JsonSource { input, by_lines, schema, rows: 0, zone: options.zone };
        let shape = source.look_through(options)?;
        let mut columns = shape.columns();
        match &options.types {
            Some(ColumnTypes::All(given)) => columns = given.clone(),
            Some(ColumnTypes::ByName(given)) => {
                for (name, data_type) in given {
                    match columns.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                        Some((_, slot)) => *slot = data_type.clone(),
                        None => columns.push((name.clone(), data_type.clone())),
                    }
                }
            }
            Some(ColumnTypes::ByPosition(_)) => {
                return Err(Error::invalid(
                    "the types of JSON columns are given by name, as in types = {'a': 'BIGINT'}",
                ));
            }
            None => {}
        }
        if columns.is_empty() && target.is_none() {
            // A relation has at least one column; as in a CSV file without a byte.
            columns.push(("column0".to_string(), DataType::Utf8View));
        }
        if options.all_text {
            columns.iter_mut().for_each(|(_, data_type)| *data_type = DataType::Utf8View);
        }
        let fields = columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true));
        source.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(source)
    }

    fn look_through(&mut self, options: &ReadOptions) -> Result<Shape> {
        let mut shape = Shape::default();
        let mut splitter = self.splitter()?;
        let mut value = Vec::new();
        loop {
            value.clear();
            let Some(line) = splitter.next(&mut value).map_err(|error| self.in_file(error))? else { break };
            shape.observe(&value).map_err(|error| self.malformed(line, &error))?;
            if shape.is_not_object() {
                return Err(self.in_file(bad_file(format!("line {line}: expected a JSON object"))));
            }
            self.rows += 1;
            if self.rows.is_multiple_of(4096)
                && let Some(interrupt) = &options.interrupt
            {
                interrupt.check()?;
            }
        }
        Ok(shape)
    }

    fn splitter(&self) -> Result<Splitter<Bytes>> {
        Ok(Splitter::new(self.input.read()?, self.by_lines))
    }

    fn malformed(&self, line: u64, error: &serde_json::Error) -> Error {
        // A value may span lines, and serde counts from its start.
        let line = line + (error.line() as u64).saturating_sub(1);
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or(&text);
        let error = bad_file(format!("line {line}, character {}: malformed JSON: {reason}", error.column()));
        self.in_file(match self.by_lines {
            true => {
                error.with_hint("in this format every line is one object; say format json where objects span lines")
            }
            false => error,
        })
    }

    fn in_file(&self, error: Error) -> Error {
        error.context(format_args!("'{}'", self.input.path().display()))
    }
}

impl FormatReader for JsonSource {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn path(&self) -> &Path {
        self.input.path()
    }

    fn is_unordered(&self) -> bool {
        true
    }

    fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn row_count(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn read(self: Arc<Self>, wanted: Vec<Wanted>, batch_rows: usize) -> Result<Batches> {
        let field = |wanted: &Wanted| {
            let name = self.schema.field(wanted.column).name();
            let data_type = wanted.field.data_type();
            // Times are decoded as text and read by our own rules, which Arrow's decoder does not know.
            let decoded = if Kind::of(data_type).is_time() { DataType::Utf8View } else { data_type.clone() };
            Field::new(name, decoded, true)
        };
        let keys = Arc::new(Schema::new(wanted.iter().map(field).collect::<Vec<_>>()));
        let schema = Arc::new(Schema::new(wanted.iter().map(|wanted| wanted.field.clone()).collect::<Vec<_>>()));
        let splitter = self.splitter()?;
        let rows = batch_rows.max(1);
        Ok(Box::new(JsonBatches {
            source: self,
            splitter,
            keys,
            schema,
            rows,
            values: RawValues::default(),
            done: false,
        }))
    }
}

struct JsonBatches {
    source: Arc<JsonSource>,
    splitter: Splitter<Bytes>,
    /// The wanted columns under the names of the file, in the types in which they are decoded.
    keys: SchemaRef,
    schema: SchemaRef,
    rows: usize,
    values: RawValues,
    done: bool,
}

/// The text of the values of one batch.
#[derive(Default)]
struct RawValues {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    lines: Vec<u64>,
}

impl RawValues {
    fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).zip(&self.lines).map(|((start, &end), &line)| (line, &self.bytes[start..end]))
    }
}

impl JsonBatches {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        self.values.bytes.clear();
        self.values.ends.clear();
        self.values.lines.clear();
        while self.values.ends.len() < self.rows && self.values.bytes.len() < 1 << 26 {
            let next = self.splitter.next(&mut self.values.bytes).map_err(|error| self.source.in_file(error))?;
            let Some(line) = next else { break };
            self.values.ends.push(self.values.bytes.len());
            self.values.lines.push(line);
        }
        let rows = self.values.ends.len();
        if rows == 0 {
            return Ok(None);
        }
        if self.keys.fields().is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            return Ok(Some(RecordBatch::try_new_with_options(self.schema.clone(), vec![], &options)?));
        }
        let batch = match self.decode(self.values.iter().map(|(_, value)| value)) {
            Ok(batch) if batch.num_rows() == rows => batch,
            _ => self.decode_with_care()?,
        };
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(array, field)| self.typed(array, field)).collect::<Result<_>>()?;
        Ok(Some(RecordBatch::try_new(self.schema.clone(), columns)?))
    }

    /// A decoded column in its wanted type; an error names the line that does not fit.
    fn typed(&self, array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
        let data_type = field.data_type();
        if array.data_type() == data_type {
            return Ok(canonical_floats(array.clone()));
        }
        convert(array, data_type, &self.source.zone, false).map_err(|error| {
            let fits = |row: &usize| convert(&array.slice(*row, 1), data_type, &self.source.zone, false).is_err();
            let line = (0..array.len()).find(fits).and_then(|row| self.values.lines.get(row));
            let error = error.context(format_args!("column \"{}\"", field.name()));
            self.source.in_file(match line {
                Some(line) => error.context(format_args!("line {line}")),
                None => error,
            })
        })
    }

    fn decode<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Result<RecordBatch> {
        let builder = ReaderBuilder::new(self.keys.clone()).with_coerce_primitive(true);
        let mut decoder = builder.with_batch_size(self.rows).build_decoder()?;
        for value in values {
            let used = decoder.decode(value)?;
            if used < value.len() && !value[used..].iter().all(u8::is_ascii_whitespace) || decoder.has_partial_record()
            {
                return Err(bad_file("not one JSON object"));
            }
        }
        Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(self.keys.clone())))
    }

    /// The batch with nested values of TEXT columns turned into text; an error names the line that does not fit.
    fn decode_with_care(&self) -> Result<RecordBatch> {
        let mut fitted = Vec::with_capacity(self.values.ends.len());
        for (line, value) in self.values.iter() {
            let mut value: Value =
                serde_json::from_slice(value).map_err(|error| self.source.malformed(line, &error))?;
            let Value::Object(entries) = &mut value else {
                return Err(self.source.in_file(bad_file(format!("line {line}: expected a JSON object"))));
            };
            for field in self.keys.fields() {
                if let Some(entry) = entries.get_mut(field.name()) {
                    fit(entry, field.data_type());
                }
            }
            fitted.push(value.to_string().into_bytes());
        }
        let error = match self.decode(fitted.iter().map(Vec::as_slice)) {
            Ok(batch) => return Ok(batch),
            Err(error) => error,
        };
        Err(self.misfit(&fitted, &error))
    }

    /// The error for the first value that does not fit, given the objects of the batch.
    fn misfit(&self, objects: &[Vec<u8>], error: &Error) -> Error {
        let alone = |object: &Vec<u8>| self.decode(std::iter::once(object.as_slice())).is_err();
        let bad = objects.iter().zip(&self.values.lines).find(|(object, _)| alone(object));
        let entries = bad.and_then(|(object, _)| serde_json::from_slice::<serde_json::Map<_, _>>(object).ok());
        let (Some((_, &line)), Some(entries)) = (bad, entries) else {
            return self.source.in_file(Error::data(error.message()).with_sqlstate("22P02"));
        };
        let wanted = self.keys.fields().iter().zip(self.schema.fields());
        let value =
            wanted.filter_map(|(key, field)| Some((key, field, entries.get(key.name())?))).find(|(key, _, value)| {
                let schema = Arc::new(Schema::new(vec![key.as_ref().clone()]));
                let object = serde_json::json!({ key.name(): value }).to_string();
                let decoder = ReaderBuilder::new(schema).with_coerce_primitive(true).build_decoder();
                !decoder.is_ok_and(|mut decoder| decoder.decode(object.as_bytes()).is_ok() && decoder.flush().is_ok())
            });
        let path = self.source.path().display();
        match value {
            Some((_, field, value)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                misfit(path, line, field.name(), text.as_bytes(), field.data_type())
            }
            None => Error::data(format!("'{path}', line {line}: {}", error.message())).with_sqlstate("22P02"),
        }
    }
}

impl Iterator for JsonBatches {
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

/// Turns what is nested where text is wanted into its JSON text.
fn fit(value: &mut Value, data_type: &DataType) {
    match (data_type, &mut *value) {
        (DataType::Utf8View, Value::Object(_) | Value::Array(_)) => *value = Value::String(value.to_string()),
        (DataType::Struct(fields), Value::Object(entries)) => {
            for field in fields {
                if let Some(entry) = entries.get_mut(field.name()) {
                    fit(entry, field.data_type());
                }
            }
        }
        (DataType::List(item), Value::Array(items)) => {
            items.iter_mut().for_each(|entry| fit(entry, item.data_type()));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
