//! Results: batches for machines, rows for people.
//!
//! [`ArrowRows`] hands out record batches as the query makes them; [`Rows`] reads the same one row at a time. Dropping
//! either ends the query.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, PrimitiveArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef, UInt64Type};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::zone::Zone;
use crate::db::value::{FromValue, Value};

/// The batches of a result, as they are computed.
pub struct ArrowRows {
    schema: SchemaRef,
    batches: Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
}

impl ArrowRows {
    pub(super) fn new(schema: SchemaRef, batches: impl Iterator<Item = Result<RecordBatch>> + Send + 'static) -> Self {
        ArrowRows { schema, batches: Box::new(batches) }
    }

    pub(super) fn one(batch: RecordBatch) -> Self {
        ArrowRows::new(batch.schema(), std::iter::once(Ok(batch)))
    }

    /// The same rows, with the columns of TIMESTAMPTZ in a time zone: the instants stay, their type says how they are
    /// shown.
    pub(super) fn in_zone(self, zone: Zone) -> Self {
        let is_instant = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
        if zone == Zone::UTC || !self.schema.fields().iter().any(|field| is_instant(field.data_type())) {
            return self;
        }
        let name: Arc<str> = zone.to_arrow().into();
        let shown = |data_type: &DataType| match data_type {
            DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some(name.clone())),
            other => other.clone(),
        };
        let fields = self.schema.fields().iter();
        let fields = fields.map(|field| field.as_ref().clone().with_data_type(shown(field.data_type())));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let target = schema.clone();
        let batches = self.batches.map(move |batch| {
            let batch = batch?;
            let columns = batch.columns().iter().zip(target.fields());
            // Between zones Arrow's cast keeps the instant.
            let columns = columns.map(|(column, field)| Ok(cast(column, field.data_type())?));
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(target.clone(), columns.collect::<Result<_>>()?, &options)?)
        });
        ArrowRows { schema, batches: Box::new(batches) }
    }

    /// The columns of every batch.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// All batches; an error if any part of the query failed.
    pub fn collect_all(self) -> Result<Vec<RecordBatch>> {
        self.batches.collect()
    }
}

impl Iterator for ArrowRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

impl fmt::Debug for ArrowRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrowRows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// A result, row by row.
#[derive(Debug)]
pub struct Rows {
    batches: ArrowRows,
    current: Option<RecordBatch>,
    next: usize,
}

impl Rows {
    pub(super) fn new(batches: ArrowRows) -> Self {
        Rows { batches, current: None, next: 0 }
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = &self.current
                && self.next < batch.num_rows()
            {
                self.next += 1;
                return Some(Ok(Row { batch: batch.clone(), row: self.next - 1 }));
            }
            match self.batches.next()? {
                Ok(batch) => (self.current, self.next) = (Some(batch), 0),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// One row of a result.
#[derive(Debug, Clone)]
pub struct Row {
    batch: RecordBatch,
    row: usize,
}

impl Row {
    /// The value of column `column` (from 0) as a Rust type.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such column, [`ErrorKind::Type`] if the value is of another type or NULL
    /// where `T` is not an `Option`.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T> {
        let array = self.batch.columns().get(column).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("no column {column}: the row has {}", self.batch.num_columns()))
        })?;
        T::from_value(Value::from_array(array, self.row)?)
    }

    /// The value of the column named `name` as a Rust type.
    pub fn get_by_name<T: FromValue>(&self, name: &str) -> Result<T> {
        let column = self
            .batch
            .schema()
            .index_of(name)
            .map_err(|_| Error::new(ErrorKind::NotFound, format!("no column \"{name}\" in the result")))?;
        self.get(column)
    }

    /// How many columns the row has.
    pub fn len(&self) -> usize {
        self.batch.num_columns()
    }

    /// Whether the row has no columns.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The hidden `_rowid` column of a snapshot's batch: the last.
pub(crate) fn row_ids(batch: &RecordBatch) -> Result<PrimitiveArray<UInt64Type>> {
    ids(batch.columns().last())
}

/// The hidden `_rowid` column of an UPDATE's or DELETE's plan: the first.
pub(crate) fn first_row_ids(batch: &RecordBatch) -> Result<PrimitiveArray<UInt64Type>> {
    ids(batch.columns().first())
}

fn ids(column: Option<&ArrayRef>) -> Result<PrimitiveArray<UInt64Type>> {
    let ids = column.and_then(|column| column.as_primitive_opt::<UInt64Type>().cloned());
    ids.ok_or_else(|| Error::internal("a scan without row ids"))
}
