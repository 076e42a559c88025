//! Fields of delimited text to arrays of a known type.
//!
//! In a TEXT column only an unquoted field can be NULL, so that `""` stays the empty text; in all other columns an
//! empty field is NULL, quoted or not, because it cannot be a value. Lists and structs are JSON.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryViewBuilder, BooleanBuilder, PrimitiveArray, PrimitiveBuilder, RecordBatch,
    StringArray, StringViewBuilder, new_empty_array,
};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use serde::de::IgnoredAny;

use crate::base::bytes;
use crate::base::cast::{OnFailure, cast_values};
use crate::base::error::Error;
use crate::base::time::convert::{convert, is_of_time};
use crate::base::time::parse;
use crate::base::time::zone::Zone;
use crate::connector::csv::tokens::Records;
use crate::connector::options::ReadOptions;
use crate::connector::values;

/// How values are written in a file.
#[derive(Debug, Clone)]
pub struct Reading {
    nulls: Vec<Vec<u8>>,
    date_format: Option<String>,
    timestamp_format: Option<String>,
    zone: Zone,
}

impl Reading {
    /// As the options say, with the empty field for NULL by default.
    pub fn new(options: &ReadOptions) -> Self {
        let nulls = match &options.nulls {
            Some(nulls) => nulls.iter().map(|text| text.clone().into_bytes()).collect(),
            None => vec![Vec::new()],
        };
        let (date_format, timestamp_format) = (options.date_format.clone(), options.timestamp_format.clone());
        Reading { nulls, date_format, timestamp_format, zone: options.zone }
    }

    /// Whether a field is NULL in a column that `is_text` or not.
    #[inline]
    pub fn is_null(&self, field: &[u8], quoted: bool, is_text: bool) -> bool {
        match is_text {
            true => !quoted && self.nulls.iter().any(|null| null == field),
            false => field.is_empty() || self.nulls.iter().any(|null| null == field),
        }
    }

    /// Whether the user said how dates or timestamps are written.
    pub fn has_formats(&self) -> bool {
        self.date_format.is_some() || self.timestamp_format.is_some()
    }

    /// The date `text` is, in days since 1970.
    pub fn date(&self, text: &[u8]) -> Option<i32> {
        match &self.date_format {
            Some(format) => values::formatted_date(text, format),
            None => values::date(text),
        }
    }

    /// The timestamp `text` is, in microseconds since 1970, and whether it named a zone.
    pub fn timestamp(&self, text: &[u8]) -> Option<(i64, bool)> {
        match &self.timestamp_format {
            Some(format) => {
                let zoned = format.contains("%z") || format.contains("%:z") || format.contains("%#z");
                values::formatted_timestamp(text, format).map(|micros| (micros, zoned))
            }
            None => values::timestamp(text),
        }
    }

    /// The date of a column of dates: also in forms from which no column would be guessed to be one.
    fn declared_date(&self, text: &[u8]) -> Option<i32> {
        self.date(text).or_else(|| match self.date_format {
            Some(_) => None,
            None => parse::date(std::str::from_utf8(text).ok()?).ok(),
        })
    }

    /// The timestamp of a column of timestamps, without a zone or in UTC.
    fn declared_timestamp(&self, text: &[u8], in_utc: bool) -> Option<i64> {
        match self.timestamp(text) {
            Some((micros, false)) if in_utc => self.zone.to_utc(micros),
            Some((micros, true)) if in_utc => Some(micros),
            // A zone in the text does not shift what stands without one.
            Some((micros, false)) => Some(micros),
            None if self.timestamp_format.is_some() => None,
            _ => {
                let text = std::str::from_utf8(text).ok()?;
                if in_utc { parse::timestamptz(text, &self.zone).ok() } else { parse::timestamp(text).ok() }
            }
        }
    }
}

/// Why a column could not be built.
#[derive(Debug)]
pub enum Misfit {
    /// The field of this record is not a value of the type.
    Value(usize),
    /// The type cannot be read from text at all.
    Type(Error),
}

/// One column of `records` as an array of `data_type`; the bytes must have been found to be UTF-8.
pub fn array(
    records: &Records,
    column: usize,
    data_type: &DataType,
    reading: &Reading,
) -> std::result::Result<ArrayRef, Misfit> {
    let fields = Fields { records, column, reading };
    Ok(match data_type {
        DataType::Utf8View => fields.texts()?,
        DataType::BinaryView => fields.bytes()?,
        DataType::Boolean => fields.booleans()?,
        DataType::Int64 => fields.parsed::<Int64Type>(values::integer)?,
        DataType::Int32 => fields.parsed::<Int32Type>(|text| values::integer(text)?.try_into().ok())?,
        DataType::Int16 => fields.parsed::<Int16Type>(|text| values::integer(text)?.try_into().ok())?,
        DataType::Int8 => fields.parsed::<Int8Type>(|text| values::integer(text)?.try_into().ok())?,
        DataType::UInt32 => fields.parsed::<UInt32Type>(|text| values::integer(text)?.try_into().ok())?,
        DataType::UInt16 => fields.parsed::<UInt16Type>(|text| values::integer(text)?.try_into().ok())?,
        DataType::UInt8 => fields.parsed::<UInt8Type>(|text| values::integer(text)?.try_into().ok())?,
        DataType::Float64 => fields.parsed::<Float64Type>(|text| values::double(text).map(canonical))?,
        DataType::Float32 => {
            fields.parsed::<Float32Type>(|text| values::single(text).map(|value| canonical(value.into()) as f32))?
        }
        DataType::Date32 => fields.parsed::<Date32Type>(|text| reading.declared_date(text))?,
        DataType::Time64(TimeUnit::Microsecond) => fields.parsed::<Time64MicrosecondType>(|text| {
            values::time(text).or_else(|| parse::time(std::str::from_utf8(text).ok()?).ok())
        })?,
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let builder = PrimitiveBuilder::<TimestampMicrosecondType>::with_capacity(records.len());
            let array = fields.fill(builder, |text| reading.declared_timestamp(text, zone.is_some()))?;
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        nested if nested.is_nested() => fields.json(nested)?,
        other => fields.cast(other)?,
    })
}

/// One zero and one NaN, as relations hold them.
fn canonical(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

struct Fields<'a> {
    records: &'a Records,
    column: usize,
    reading: &'a Reading,
}

impl Fields<'_> {
    fn parsed<T: ArrowPrimitiveType>(
        &self,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
    ) -> std::result::Result<ArrayRef, Misfit> {
        Ok(Arc::new(self.fill(PrimitiveBuilder::<T>::with_capacity(self.records.len()), parse)?))
    }

    fn fill<T: ArrowPrimitiveType>(
        &self,
        mut builder: PrimitiveBuilder<T>,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
    ) -> std::result::Result<PrimitiveArray<T>, Misfit> {
        for record in 0..self.records.len() {
            let (field, quoted) = self.records.field(record, self.column);
            if self.reading.is_null(field, quoted, false) {
                builder.append_null();
            } else {
                builder.append_value(parse(values::trim(field)).ok_or(Misfit::Value(record))?);
            }
        }
        Ok(builder.finish())
    }

    fn booleans(&self) -> std::result::Result<ArrayRef, Misfit> {
        let mut builder = BooleanBuilder::with_capacity(self.records.len());
        for record in 0..self.records.len() {
            let (field, quoted) = self.records.field(record, self.column);
            if self.reading.is_null(field, quoted, false) {
                builder.append_null();
            } else {
                builder.append_value(values::boolean(values::trim(field)).ok_or(Misfit::Value(record))?);
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    fn texts(&self) -> std::result::Result<ArrayRef, Misfit> {
        let mut builder = StringViewBuilder::with_capacity(self.records.len());
        for record in 0..self.records.len() {
            builder.append_option(self.text(record, true)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// BYTEA: PostgreSQL's `\x` and hexadecimal digits, or the bytes of the text as they are.
    fn bytes(&self) -> std::result::Result<ArrayRef, Misfit> {
        let mut builder = BinaryViewBuilder::with_capacity(self.records.len());
        for record in 0..self.records.len() {
            let (field, quoted) = self.records.field(record, self.column);
            if self.reading.is_null(field, quoted, true) {
                builder.append_null();
            } else if field.starts_with(b"\\x") {
                let bytes = std::str::from_utf8(field).ok().and_then(bytes::from_text);
                builder.append_value(bytes.ok_or(Misfit::Value(record))?);
            } else {
                builder.append_value(field);
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// Lists and structs, written as JSON.
    fn json(&self, data_type: &DataType) -> std::result::Result<ArrayRef, Misfit> {
        let mut rows = String::new();
        for record in 0..self.records.len() {
            let text = self.text(record, false)?.unwrap_or("null");
            serde_json::from_str::<IgnoredAny>(text).map_err(|_| Misfit::Value(record))?;
            let _ = writeln!(rows, "{{\"v\":{text}}}");
        }
        let decode = |rows: &str, count: usize| -> Result<Option<RecordBatch>, ArrowError> {
            let schema = Arc::new(Schema::new(vec![Field::new("v", data_type.clone(), true)]));
            let builder = ReaderBuilder::new(schema).with_coerce_primitive(true).with_batch_size(count.max(1));
            builder.build(rows.as_bytes())?.next().transpose()
        };
        match decode(&rows, self.records.len()) {
            Ok(Some(batch)) => Ok(batch.column(0).clone()),
            Ok(None) => Ok(new_empty_array(data_type)),
            // Some row holds values of another type: the first that fails alone.
            Err(error) => match rows.lines().position(|row| decode(row, 1).is_err()) {
                Some(record) if rows.lines().count() == self.records.len() => Err(Misfit::Value(record)),
                _ => Err(Misfit::Type(Error::from(error))),
            },
        }
    }

    /// Any other type, by way of text.
    fn cast(&self, data_type: &DataType) -> std::result::Result<ArrayRef, Misfit> {
        let mut texts = Vec::with_capacity(self.records.len());
        for record in 0..self.records.len() {
            texts.push(self.text(record, false)?.map(str::trim));
        }
        let texts = Arc::new(StringArray::from(texts)) as ArrayRef;
        let values = match is_of_time(texts.data_type(), data_type) {
            true => convert(&texts, data_type, &self.reading.zone, true),
            false => cast_values(&texts, data_type, OnFailure::Null),
        };
        let values = values.map_err(Misfit::Type)?;
        match (0..texts.len()).find(|&at| texts.is_valid(at) && values.is_null(at)) {
            Some(record) => Err(Misfit::Value(record)),
            None => Ok(values),
        }
    }

    fn text(&self, record: usize, is_text: bool) -> std::result::Result<Option<&str>, Misfit> {
        let (field, quoted) = self.records.field(record, self.column);
        if self.reading.is_null(field, quoted, is_text) {
            return Ok(None);
        }
        std::str::from_utf8(field).map(Some).map_err(|_| Misfit::Value(record))
    }
}
