//! What a statement wants done to the rows of one relation, before the door has decided about it.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};

use crate::base::error::Result;
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::{Relation, RelationId};

/// What a statement wants done to one relation.
#[derive(Clone)]
pub struct Write {
    /// The relation.
    pub relation: RelationId,
    /// The columns its rows have: those of the relation as the statement saw it.
    pub columns: Arc<[ColumnId]>,
    /// Row ids to delete, before anything is inserted.
    pub deletes: Vec<u64>,
    /// Rows to insert, in canonical types.
    pub inserts: Vec<RecordBatch>,
    /// Rows to insert unless their key exists.
    pub upsert: Option<Upsert>,
}

impl Write {
    /// Plain inserts.
    pub fn inserts(relation: &Relation, inserts: Vec<RecordBatch>) -> Self {
        Write { relation: relation.id, columns: relation.columns.clone(), deletes: Vec::new(), inserts, upsert: None }
    }

    /// How many rows it names.
    pub fn rows(&self) -> usize {
        self.deletes.len()
            + self.inserts.iter().map(RecordBatch::num_rows).sum::<usize>()
            + self.upsert.as_ref().map_or(0, |upsert| upsert.rows.num_rows())
    }
}

/// Computes the rows that replace existing ones: from the existing rows and, row by row beside them, the rows that
/// were to be inserted, the new rows and which of them really replace.
pub type Replacer = Arc<dyn Fn(&RecordBatch, &RecordBatch) -> Result<(RecordBatch, BooleanArray)> + Send + Sync>;

/// `INSERT .. ON CONFLICT`, decided at the door where the key index is.
#[derive(Clone)]
pub struct Upsert {
    /// The key columns named, or empty for every unique key there is (DO NOTHING only).
    pub columns: Vec<usize>,
    /// The rows offered.
    pub rows: RecordBatch,
    /// What to do with those that exist: nothing where there is no action.
    pub update: Option<Replacer>,
}
