//! What every reader is: one file of a known format, and what its rows come out as.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};

use crate::base::cast::{OnFailure, cast_values};
use crate::base::error::{Error, Result};
use crate::base::types::canonical_floats;

/// Batches of a file or relation.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// One file of a known format.
pub trait FormatReader: fmt::Debug + Send + Sync {
    /// The columns of the file in canonical types.
    fn schema(&self) -> &SchemaRef;
    /// The path as the user wrote it.
    fn path(&self) -> &Path;
    /// Whether the file itself names its columns.
    fn has_names(&self) -> bool {
        true
    }
    /// Whether columns have no order and are always matched by name.
    fn is_unordered(&self) -> bool {
        false
    }
    /// Whether the file says nothing about columns at all.
    fn is_empty(&self) -> bool {
        false
    }
    /// The number of rows, where it is known without reading.
    fn row_count(&self) -> Option<u64>;
    /// The wanted columns, in order, in exactly the types asked for.
    fn read(self: Arc<Self>, wanted: Vec<Wanted>, batch_rows: usize) -> Result<Batches>;
}

/// A column to read: where it is in the file, and as what it is to be delivered.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The position in the file's schema.
    pub column: usize,
    /// Name and type to deliver.
    pub field: FieldRef,
}

/// A batch of the file's columns `order` as the `wanted` columns, each in its canonical type.
pub fn deliver(batch: &RecordBatch, order: &[usize], wanted: &[Wanted], path: &Path) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let at = order.binary_search(&wanted.column).ok().and_then(|at| batch.columns().get(at));
        let array = at.ok_or_else(|| Error::internal(format!("'{}': a column was not read", path.display())))?;
        let array = exact(array, wanted.field.data_type());
        let name = wanted.field.name();
        columns.push(array.map_err(|error| error.context(format_args!("'{}', column \"{name}\"", path.display())))?);
    }
    let schema = Arc::new(Schema::new(wanted.iter().map(|wanted| wanted.field.clone()).collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// `array` as `data_type`; a value that does not fit is an error, not NULL.
fn exact(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(canonical_floats(array.clone()));
    }
    Ok(canonical_floats(cast_values(array, data_type, OnFailure::Error)?))
}

/// The error of a file that is not well formed.
pub fn bad_file(message: impl Into<String>) -> Error {
    Error::data(message).with_sqlstate("22P04")
}
