//! What a statement wants done to the rows of one relation, before the door has decided about it.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use roaring::RoaringTreemap;

use crate::base::error::Result;
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::{Relation, RelationId};
use crate::storage::spool::Rows;

/// What a statement wants done to one relation.
#[derive(Clone)]
pub struct Write {
    /// The relation.
    pub relation: RelationId,
    /// The columns its rows have: those of the relation as the statement saw it.
    pub columns: Arc<[ColumnId]>,
    /// Row ids to delete, before anything is inserted.
    pub deletes: RoaringTreemap,
    /// Rows to insert, in canonical types.
    pub inserts: Vec<Rows>,
    /// Rows to insert unless their key exists.
    pub upsert: Option<Upsert>,
}

impl Write {
    /// Plain inserts.
    pub fn inserts(relation: &Relation, inserts: Vec<RecordBatch>) -> Self {
        Self::of(relation, inserts.into_iter().map(Rows::Held).collect())
    }

    /// Plain inserts, of which some may be in files.
    pub fn of(relation: &Relation, inserts: Vec<Rows>) -> Self {
        let (relation, columns) = (relation.id, relation.columns.clone());
        Write { relation, columns, deletes: RoaringTreemap::new(), inserts, upsert: None }
    }

    /// How many rows it names.
    pub fn rows(&self) -> usize {
        self.deletes.len() as usize
            + self.inserts.iter().map(Rows::len).sum::<usize>()
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
