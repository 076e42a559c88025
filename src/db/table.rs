//! Tables and streams as the sequencer holds them: rows, unique indexes and the checks of the door.
//!
//! Whatever can refuse a write is asked in [`TableState::admit`], which changes nothing; [`TableState::apply`] then
//! cannot fail for a reason that lies in the data. So a refused commit leaves no trace.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::text::{Fraction, formatter};
use crate::base::time::zone::Zone;
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::state::key_table::{KeyTable, NO_GROUP};
use crate::state::row_arena::RowArena;
use crate::storage::log::RelationWrite;

/// Marks a key that has no live row.
const NO_ROW: u64 = u64::MAX;

/// What a statement wants done to one relation.
#[derive(Clone)]
pub struct Write {
    /// The relation.
    pub relation: RelationId,
    /// Row ids to delete, before anything is inserted.
    pub deletes: Vec<u64>,
    /// Rows to insert, in canonical types.
    pub inserts: Vec<RecordBatch>,
    /// Rows to insert unless their key exists.
    pub upsert: Option<Upsert>,
}

impl Write {
    /// Plain inserts.
    pub fn inserts(relation: RelationId, inserts: Vec<RecordBatch>) -> Self {
        Write { relation, deletes: Vec::new(), inserts, upsert: None }
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
pub type ConflictAction = Arc<dyn Fn(&RecordBatch, &RecordBatch) -> Result<(RecordBatch, BooleanArray)> + Send + Sync>;

/// `INSERT .. ON CONFLICT`, decided at the door where the key index is.
#[derive(Clone)]
pub struct Upsert {
    /// The key columns named, or empty for whichever unique key there is (DO NOTHING only).
    pub columns: Vec<usize>,
    /// The rows offered.
    pub rows: RecordBatch,
    /// What to do with those that exist: nothing where there is no action.
    pub update: Option<ConflictAction>,
}

/// One unique key: key columns to the id of the one live row that has them.
struct UniqueIndex {
    name: String,
    columns: Vec<usize>,
    keys: KeyTable,
    rows: Vec<u64>,
    /// Keys that lost their row in this write.
    unused: Vec<u32>,
}

/// A table or stream.
pub struct TableState {
    pub relation: Arc<Relation>,
    pub arena: RowArena,
    unique: Vec<UniqueIndex>,
}

impl TableState {
    /// An empty table or stream.
    pub fn new(relation: Arc<Relation>) -> Result<Self> {
        let mut state = TableState {
            arena: RowArena::new(relation.schema.clone()),
            unique: Vec::new(),
            relation: relation.clone(),
        };
        if !relation.primary_key.is_empty() {
            state.add_unique(format!("{}_pkey", relation.name), relation.primary_key.clone())?;
        }
        for (name, columns) in &relation.unique {
            state.add_unique(name.clone(), columns.clone())?;
        }
        Ok(state)
    }

    /// Adds an enforced key over the rows there are; an error names a value that stands twice.
    pub fn add_unique(&mut self, name: String, columns: Vec<usize>) -> Result<()> {
        let types: Vec<_> = columns.iter().map(|&c| self.relation.schema.field(c).data_type().clone()).collect();
        let mut index =
            UniqueIndex { name, columns, keys: KeyTable::new(&types)?, rows: Vec::new(), unused: Vec::new() };
        let snapshot = self.arena.snapshot(u64::MAX - 1);
        for chunk in 0..snapshot.chunks() {
            let Some(batch) = snapshot.read_chunk(chunk, None, true)? else { continue };
            let ids = crate::db::rows::row_ids(&batch)?;
            index.check(&self.relation, &batch, &HashSet::new())?;
            index.insert(&batch, |row| ids.value(row))?;
        }
        self.unique.push(index);
        Ok(())
    }

    /// No longer enforces the key that this index declared.
    pub fn drop_unique(&mut self, name: &str) {
        self.unique.retain(|index| index.name != name);
    }

    /// Replaces the arena and rebuilds the unique indexes: the relation got another shape.
    pub fn rebuild(&mut self, relation: Arc<Relation>, arena: RowArena) -> Result<()> {
        let names: Vec<_> = self.unique.drain(..).map(|index| (index.name, index.columns)).collect();
        self.relation = relation;
        self.arena = arena;
        names.into_iter().try_for_each(|(name, columns)| self.add_unique(name, columns))
    }

    /// Asks everything that can refuse `write` and settles its upsert. Changes nothing.
    pub fn admit(&self, write: Write) -> Result<RelationWrite> {
        let relation = &self.relation;
        let mut settled = RelationWrite {
            relation: relation.id.0,
            deletes: write.deletes,
            inserts: write.inserts.into_iter().filter(|batch| batch.num_rows() > 0).collect(),
        };
        if let Some(upsert) = write.upsert {
            self.settle(upsert, &mut settled)?;
        }
        if relation.kind == RelationKind::Stream && !settled.deletes.is_empty() {
            return Err(append_only(&relation.name));
        }
        settled.deletes.sort_unstable();
        settled.deletes.dedup();
        for batch in &settled.inserts {
            check_not_null(relation, batch)?;
        }
        self.check_unique(&settled)?;
        Ok(settled)
    }

    /// Carries out an admitted write; returns its change.
    pub fn apply(&mut self, write: &RelationWrite, epoch: u64) -> Result<Vec<ChangeBatch>> {
        let mut changes = Vec::with_capacity(write.inserts.len() + 1);
        if !write.deletes.is_empty() {
            let gone = self.rows(&write.deletes)?;
            for index in &mut self.unique {
                index.remove(&gone)?;
            }
            for &id in &write.deletes {
                self.arena.delete(id, epoch)?;
            }
            changes.push(ChangeBatch::deletes(gone));
        }
        for batch in &write.inserts {
            let ids = self.arena.append(batch.clone(), &Weights::Ones)?;
            for index in &mut self.unique {
                index.insert(batch, |row| ids.start + row as u64)?;
            }
            changes.push(ChangeBatch::inserts(batch.clone()));
        }
        for index in &mut self.unique {
            index.forget_unused();
        }
        Ok(changes)
    }

    /// Whole rows by id.
    fn rows(&self, ids: &[u64]) -> Result<RecordBatch> {
        let columns: Vec<usize> = (0..self.relation.schema.fields().len()).collect();
        Ok(RecordBatch::try_new(self.relation.schema.clone(), self.arena.take(ids, &columns)?)?)
    }

    fn check_unique(&self, write: &RelationWrite) -> Result<()> {
        if self.unique.is_empty() || write.inserts.is_empty() {
            return Ok(());
        }
        let gone = if write.deletes.is_empty() { None } else { Some(self.rows(&write.deletes)?) };
        let batch = compute::concat_batches(&self.relation.schema, &write.inserts)?;
        for index in &self.unique {
            let freed = match &gone {
                Some(rows) => index.find(rows)?.into_iter().collect(),
                None => HashSet::new(),
            };
            index.check(&self.relation, &batch, &freed)?;
        }
        Ok(())
    }

    /// Decides for each offered row whether it is inserted, replaces a row, or is dropped.
    fn settle(&self, upsert: Upsert, write: &mut RelationWrite) -> Result<()> {
        let index = self.conflict_index(&upsert.columns)?;
        let groups = index.find(&upsert.rows)?;
        let mut first = KeyTable::new(&index.types(&self.relation))?;
        let mut seen = Vec::new();
        first.intern(&index.key_columns(&upsert.rows), upsert.rows.num_rows(), &mut seen)?;
        let (mut fresh, mut existing, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = 0;
        for (row, (&group, &seen)) in groups.iter().zip(&seen).enumerate() {
            let repeated = seen < next;
            next = next.max(seen + 1);
            if repeated && upsert.update.is_some() {
                return Err(Error::invalid("ON CONFLICT DO UPDATE cannot change a row a second time")
                    .with_sqlstate("21000")
                    .with_hint("the inserted rows hold the same key twice"));
            }
            match index.row(group) {
                _ if repeated => {}
                Some(id) => {
                    existing.push(row as u32);
                    ids.push(id);
                }
                None => fresh.push(row as u32),
            }
        }
        let take = |rows: Vec<u32>| compute::take_record_batch(&upsert.rows, &UInt32Array::from(rows));
        if !fresh.is_empty() {
            write.inserts.push(take(fresh)?);
        }
        if let Some(update) = upsert.update.filter(|_| !ids.is_empty()) {
            let (replaced, keep) = update(&self.rows(&ids)?, &take(existing)?)?;
            write.inserts.push(compute::filter_record_batch(&replaced, &keep)?);
            write
                .deletes
                .extend(ids.iter().zip(keep.iter()).filter(|(_, keep)| *keep == Some(true)).map(|(id, _)| *id));
        }
        Ok(())
    }

    fn conflict_index(&self, columns: &[usize]) -> Result<&UniqueIndex> {
        let mut wanted = columns.to_vec();
        wanted.sort_unstable();
        let matches = |index: &&UniqueIndex| {
            let mut have = index.columns.clone();
            have.sort_unstable();
            columns.is_empty() || have == wanted
        };
        self.unique.iter().find(matches).ok_or_else(|| {
            Error::invalid(format!("\"{}\" has no unique key that ON CONFLICT names", self.relation.name))
                .with_sqlstate("42P10")
                .with_hint("name the columns of its PRIMARY KEY or of a UNIQUE constraint")
        })
    }
}

impl UniqueIndex {
    fn types(&self, relation: &Relation) -> Vec<arrow::datatypes::DataType> {
        self.columns.iter().map(|&c| relation.schema.field(c).data_type().clone()).collect()
    }

    fn key_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.columns.iter().map(|&c| batch.column(c).clone()).collect()
    }

    /// Whether the key of `row` holds a NULL; such keys are never equal.
    fn is_null(keys: &[ArrayRef], row: usize) -> bool {
        keys.iter().any(|key| key.is_null(row))
    }

    fn find(&self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let keys = self.key_columns(batch);
        let mut groups = Vec::new();
        self.keys.find(&keys, batch.num_rows(), &mut groups)?;
        for (row, group) in groups.iter_mut().enumerate() {
            if Self::is_null(&keys, row) {
                *group = NO_GROUP;
            }
        }
        Ok(groups)
    }

    /// The live row of a key.
    fn row(&self, group: u32) -> Option<u64> {
        self.rows.get(group as usize).copied().filter(|&id| id != NO_ROW)
    }

    /// An error if a key of `batch` exists (unless in `freed`) or stands in it twice.
    fn check(&self, relation: &Relation, batch: &RecordBatch, freed: &HashSet<u32>) -> Result<()> {
        let groups = self.find(batch)?;
        let taken = |group: &u32| self.row(*group).is_some() && !freed.contains(group);
        if let Some(row) = groups.iter().position(taken) {
            return Err(self.duplicate(relation, batch, row));
        }
        if batch.num_rows() < 2 {
            return Ok(());
        }
        let keys = self.key_columns(batch);
        let mut once = KeyTable::new(&self.types(relation))?;
        let mut seen = Vec::new();
        once.intern(&keys, batch.num_rows(), &mut seen)?;
        let mut next = 0;
        for (row, &group) in seen.iter().enumerate() {
            if group < next && !Self::is_null(&keys, row) {
                return Err(self.duplicate(relation, batch, row));
            }
            next = next.max(group + 1);
        }
        Ok(())
    }

    fn duplicate(&self, relation: &Relation, batch: &RecordBatch, row: usize) -> Error {
        let names: Vec<_> = self.columns.iter().map(|&c| relation.schema.field(c).name().as_str()).collect();
        let values: Vec<_> = self.columns.iter().map(|&c| display(batch.column(c), row)).collect();
        Error::new(
            ErrorKind::Constraint,
            format!(
                "duplicate key ({})=({}) violates unique constraint \"{}\" of \"{}\"",
                names.join(", "),
                values.join(", "),
                self.name,
                relation.name
            ),
        )
        .with_sqlstate("23505")
    }

    fn insert(&mut self, batch: &RecordBatch, id: impl Fn(usize) -> u64) -> Result<()> {
        let keys = self.key_columns(batch);
        let mut groups = Vec::new();
        self.keys.intern(&keys, batch.num_rows(), &mut groups)?;
        self.rows.resize(self.keys.capacity(), NO_ROW);
        for (row, &group) in groups.iter().enumerate() {
            if !Self::is_null(&keys, row) {
                self.rows[group as usize] = id(row);
            }
        }
        Ok(())
    }

    fn remove(&mut self, batch: &RecordBatch) -> Result<()> {
        let groups = self.find(batch)?;
        for group in groups.into_iter().filter(|&group| group != NO_GROUP) {
            self.rows[group as usize] = NO_ROW;
            self.unused.push(group);
        }
        Ok(())
    }

    /// Gives back the keys whose row was deleted and not inserted again.
    fn forget_unused(&mut self) {
        let rows = &self.rows;
        let mut unused = std::mem::take(&mut self.unused);
        unused.retain(|&group| rows[group as usize] == NO_ROW);
        unused.sort_unstable();
        unused.dedup();
        self.keys.release(&unused);
    }
}

/// The refusal of a change to a stream's past.
pub fn append_only(stream: &str) -> Error {
    Error::invalid(format!("\"{stream}\" is a stream: rows are only ever added to it"))
        .with_sqlstate("42809")
        .with_hint("keep rows that change in a TABLE")
}

fn check_not_null(relation: &Relation, batch: &RecordBatch) -> Result<()> {
    for (field, column) in relation.schema.fields().iter().zip(batch.columns()) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(Error::new(
                ErrorKind::Constraint,
                format!("null value in column \"{}\" of \"{}\" violates its NOT NULL", field.name(), relation.name),
            )
            .with_sqlstate("23502"));
        }
    }
    Ok(())
}

/// One value as text, for messages.
pub fn display(array: &ArrayRef, row: usize) -> String {
    if array.is_valid(row)
        && let Some(write) = formatter(array.as_ref(), Zone::UTC, Fraction::Short)
    {
        let mut text = String::new();
        write(row, &mut text);
        return text;
    }
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    match ArrayFormatter::try_new(array.as_ref(), &options) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(_) => "?".into(),
    }
}
