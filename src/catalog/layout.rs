//! Which columns rows have, by identity: what ties stored rows to a relation's definition as it changes.
//!
//! A [`ColumnId`] is never used again within its relation, so that a column which is added under the name of one that
//! was dropped does not bring the old values back. Stored rows keep the layout they were written with; a reader asks
//! for the columns of *its* layout and gets, for rows stored before a column was, that column's missing value.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};

use crate::base::error::Result;

/// Identifies a column within its relation for ever; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnId(pub u32);

/// Columns with their names, types and identities.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Names and types, in order.
    pub schema: SchemaRef,
    /// The identity of each column.
    pub ids: Arc<[ColumnId]>,
    /// Per column, as an array of one, what rows have that were stored before the column was; NULL where there is none.
    pub missing: Arc<[Option<ArrayRef>]>,
}

impl Layout {
    /// Columns numbered in order, without missing values: rows that never change their shape.
    pub fn numbered(schema: SchemaRef) -> Self {
        let count = schema.fields().len();
        let ids = (0..count as u32).map(ColumnId).collect();
        Layout { schema, ids, missing: vec![None; count].into() }
    }

    /// Whether rows of `ids` are rows of this layout as they are, but for the names.
    pub fn is_of(&self, ids: &Arc<[ColumnId]>) -> bool {
        Arc::ptr_eq(&self.ids, ids) || self.ids == *ids
    }

    /// Where each column of this layout stands among `ids`.
    pub fn places(&self, ids: &[ColumnId]) -> Vec<Option<usize>> {
        self.ids.iter().map(|id| ids.iter().position(|other| other == id)).collect()
    }

    /// Rows with the columns of this layout, made of rows in which they stand at `places`.
    pub fn rows(&self, rows: &RecordBatch, places: &[Option<usize>]) -> Result<RecordBatch> {
        let columns = places.iter().enumerate().map(|(position, place)| match place {
            Some(place) => Ok(rows.column(*place).clone()),
            None => self.missing_column(position, rows.num_rows()),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns.collect::<Result<_>>()?, &options)?)
    }

    /// The column at `position` of `rows` rows that were stored without it.
    pub fn missing_column(&self, position: usize, rows: usize) -> Result<ArrayRef> {
        match self.missing.get(position).and_then(Option::as_ref) {
            Some(one) => Ok(arrow::compute::take(one, &UInt32Array::from(vec![0; rows]), None)?),
            None => Ok(new_null_array(self.data_type(position), rows)),
        }
    }

    fn data_type(&self, position: usize) -> &DataType {
        self.schema.field(position).data_type()
    }
}
