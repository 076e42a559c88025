//! A unique key that the door enforces: key columns to the id of the one live row that has them.
//!
//! Keys that hold a NULL are never equal to any, as in SQL. A key knows its columns by identity, so that it outlives a
//! change of the relation's other columns.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use roaring::RoaringTreemap;

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::Relation;
use crate::db::rows::row_ids;
use crate::db::value::display;
use crate::state::key_table::{KeyTable, NO_GROUP};
use crate::state::snapshot::Snapshot;
use crate::storage::spool::{Rows, Spooled};

/// Marks a key that has no live row.
const NO_ROW: u64 = u64::MAX;

/// An enforced key of a table or stream.
///
/// # Contract
/// - [`UniqueKey::insert`] is given rows that passed [`UniqueKey::check`], [`UniqueKey::remove`] rows that are held:
///   both checked, in release too, because a key that is wrong lets wrong rows through for ever after.
pub struct UniqueKey {
    name: String,
    columns: Arc<[ColumnId]>,
    types: Vec<DataType>,
    /// Where the columns stand in the rows that it is shown.
    places: Vec<usize>,
    keys: KeyTable,
    rows: Vec<u64>,
    /// Keys that lost their row in this write.
    unused: Vec<u32>,
}

/// The rows offered to a key before any of them is stored.
pub struct Offered {
    /// The key in which each row is taken by a live row, or [`NO_GROUP`].
    groups: Vec<u32>,
    /// Numbers the different keys among the rows.
    numbers: Vec<u32>,
    /// Whether the row's key holds a NULL.
    null: Vec<bool>,
    taken: HashSet<u32>,
}

impl UniqueKey {
    /// A key over no rows; `places` are the positions of its columns.
    pub fn new(relation: &Relation, name: String, places: &[usize]) -> Result<Self> {
        let columns = places.iter().map(|&place| relation.columns[place]).collect();
        let types: Vec<DataType> = places.iter().map(|&at| relation.schema.field(at).data_type().clone()).collect();
        let (keys, places) = (KeyTable::new(&types)?, places.to_vec());
        Ok(UniqueKey { name, columns, types, places, keys, rows: Vec::new(), unused: Vec::new() })
    }

    /// A key over the rows of `snapshot`; an error names a value that stands twice.
    pub fn build(relation: &Relation, name: String, places: &[usize], snapshot: &Snapshot) -> Result<Self> {
        let mut key = Self::new(relation, name, places)?;
        key.places = (0..places.len()).collect();
        for chunk in 0..snapshot.chunks() {
            let Some(batch) = snapshot.read_chunk(chunk, Some(places), true)? else { continue };
            let ids = row_ids(&batch)?;
            let rows = [Rows::Held(batch.clone())];
            key.check(relation, &rows, &RoaringTreemap::new())?;
            key.insert_columns(&key.key_columns(&batch), batch.num_rows(), |row| ids.value(row))?;
        }
        key.places = places.to_vec();
        Ok(key)
    }

    /// Whether it is over just these columns, in whatever order.
    pub fn is_over(&self, places: &[usize]) -> bool {
        let (mut own, mut other) = (self.places.clone(), places.to_vec());
        own.sort_unstable();
        other.sort_unstable();
        own == other
    }

    /// Whether it is over the columns at `places` of a new definition; if so, it takes those places from now on.
    pub fn follows(&mut self, relation: &Relation, places: &[usize]) -> bool {
        let same = places.iter().map(|&place| relation.columns[place]).eq(self.columns.iter().copied());
        if same {
            self.places = places.to_vec();
        }
        same
    }

    /// Takes another name; true, to be used in a chain of questions.
    pub fn rename(&mut self, name: &str) -> bool {
        self.name = name.to_string();
        true
    }

    /// Whether it is over the same columns as another key.
    pub fn is_like(&self, other: &UniqueKey) -> bool {
        self.columns == other.columns
    }

    /// An error if a key of the rows is that of a row (unless of one that is deleted) or stands in them twice.
    pub fn check(&self, relation: &Relation, inserts: &[Rows], deletes: &RoaringTreemap) -> Result<()> {
        let mut once = KeyTable::new(&self.types)?;
        let single = inserts.iter().map(Rows::len).sum::<usize>() < 2;
        let mut next = 0;
        for (rows, piece) in inserts.iter().flat_map(|rows| (0..rows.pieces()).map(move |piece| (rows, piece))) {
            let keys = rows.columns(piece, &self.places)?;
            let groups = self.find(&keys)?;
            let is_taken = |group: &u32| self.row(*group).is_some_and(|id| !deletes.contains(id));
            if let Some(row) = groups.iter().position(is_taken) {
                return Err(self.duplicate(relation, &keys, row));
            }
            if single {
                continue;
            }
            let mut numbers = Vec::new();
            once.intern(&keys, groups.len(), &mut numbers)?;
            for (row, &number) in numbers.iter().enumerate() {
                if number < next && !is_null(&keys, row) {
                    return Err(self.duplicate(relation, &keys, row));
                }
                next = next.max(number + 1);
            }
        }
        Ok(())
    }

    /// What an upsert needs to know of the rows it offers.
    pub fn offer(&self, rows: &RecordBatch) -> Result<Offered> {
        let keys = self.key_columns(rows);
        let mut once = KeyTable::new(&self.types)?;
        let mut numbers = Vec::new();
        once.intern(&keys, rows.num_rows(), &mut numbers)?;
        let null = (0..rows.num_rows()).map(|row| is_null(&keys, row)).collect();
        Ok(Offered { groups: self.find(&keys)?, numbers, null, taken: HashSet::new() })
    }

    /// The live row that has the key of an offered row.
    pub fn taken_by(&self, offered: &Offered, row: usize) -> Option<u64> {
        self.row(offered.groups[row])
    }

    /// Enters stored rows, whose ids follow each other.
    pub fn insert(&mut self, batch: &RecordBatch, first: u64) -> Result<()> {
        self.insert_columns(&self.key_columns(batch), batch.num_rows(), |row| first + row as u64)
    }

    /// Enters stored rows of a file, whose ids are by `shift` greater than those in it.
    pub fn insert_spooled(&mut self, spooled: &Spooled, shift: u64) -> Result<()> {
        for (number, block) in spooled.blocks().iter().enumerate() {
            let keys = self.places.iter().map(|&place| spooled.column(number, place)).collect::<Result<Vec<_>>>()?;
            self.insert_columns(&keys, block.rows, |row| shift + block.first + row as u64)?;
        }
        Ok(())
    }

    fn insert_columns(&mut self, keys: &[ArrayRef], rows: usize, id: impl Fn(usize) -> u64) -> Result<()> {
        let mut groups = Vec::new();
        self.keys.intern(keys, rows, &mut groups)?;
        self.rows.resize(self.keys.capacity(), NO_ROW);
        for (row, &group) in groups.iter().enumerate() {
            if is_null(keys, row) {
                continue;
            }
            let held = &mut self.rows[group as usize];
            if *held != NO_ROW {
                return Err(self.defect("a second row"));
            }
            *held = id(row);
        }
        Ok(())
    }

    /// Takes deleted rows out.
    pub fn remove(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = self.key_columns(batch);
        let groups = self.find(&keys)?;
        for (row, &group) in groups.iter().enumerate() {
            if is_null(&keys, row) {
                continue;
            }
            if self.row(group).is_none() {
                return Err(self.defect("no row to delete"));
            }
            self.rows[group as usize] = NO_ROW;
            self.unused.push(group);
        }
        Ok(())
    }

    /// Takes the rows out that do not live.
    pub fn retain(&mut self, lives: impl Fn(u64) -> bool) {
        for (group, row) in self.rows.iter_mut().enumerate() {
            if *row != NO_ROW && !lives(*row) {
                *row = NO_ROW;
                self.unused.push(group as u32);
            }
        }
    }

    /// Gives back the keys whose row was deleted and not inserted again.
    pub fn forget_unused(&mut self) {
        let rows = &self.rows;
        let mut unused = std::mem::take(&mut self.unused);
        unused.retain(|&group| rows[group as usize] == NO_ROW);
        unused.sort_unstable();
        unused.dedup();
        self.keys.release(&unused);
    }

    fn key_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.places.iter().map(|&place| batch.column(place).clone()).collect()
    }

    fn find(&self, keys: &[ArrayRef]) -> Result<Vec<u32>> {
        let mut groups = Vec::new();
        self.keys.find(keys, keys.first().map_or(0, |key| key.len()), &mut groups)?;
        for (row, group) in groups.iter_mut().enumerate() {
            if is_null(keys, row) {
                *group = NO_GROUP;
            }
        }
        Ok(groups)
    }

    /// The live row of a key.
    fn row(&self, group: u32) -> Option<u64> {
        self.rows.get(group as usize).copied().filter(|&id| id != NO_ROW)
    }

    /// What was admitted does not fit what is held: the door let through what it should not have.
    fn defect(&self, what: &str) -> Error {
        Error::internal(format!("the unique key \"{}\" has {what} after the door", self.name))
    }

    fn duplicate(&self, relation: &Relation, keys: &[ArrayRef], row: usize) -> Error {
        let own = |id: &ColumnId| relation.columns.iter().position(|other| other == id);
        let names = self.columns.iter().filter_map(own).map(|at| relation.schema.field(at).name().as_str());
        let names: Vec<_> = names.collect();
        let values: Vec<_> = keys.iter().map(|key| display(key, row)).collect();
        let (names, values) = (names.join(", "), values.join(", "));
        let (key, name) = (&self.name, &relation.name);
        let message = format!("duplicate key ({names})=({values}) violates unique constraint \"{key}\" of \"{name}\"");
        Error::new(ErrorKind::Constraint, message).with_sqlstate("23505")
    }
}

impl Offered {
    /// Whether a row that was entered has the same key.
    pub fn repeats(&self, row: usize) -> bool {
        !self.null[row] && self.taken.contains(&self.numbers[row])
    }

    /// From now on the row's key is taken.
    pub fn enter(&mut self, row: usize) {
        if !self.null[row] {
            self.taken.insert(self.numbers[row]);
        }
    }
}

/// Whether the key of `row` holds a NULL; such keys are never equal.
fn is_null(keys: &[ArrayRef], row: usize) -> bool {
    keys.iter().any(|key| key.is_null(row))
}
