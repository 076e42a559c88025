//! The contents of a materialized view: an arena, and an index that finds the row a change takes back.
//!
//! The index is by the view's unique key where it has one, else by whole row. Either way one stored row stands for all
//! equal ones, with their total as its weight; a changed total is a death and a new row. Deletes of a change count
//! before its inserts, whatever their order in it. A change that would make a total negative is refused as a whole and
//! leaves the set as it was: totals are never clamped.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, Result};

use super::chunk::take_rows;
use super::consolidate::{consolidate, gather};
use super::key_table::KeyTable;
use super::row_arena::RowArena;

/// Stands for "no such row" where an id is expected.
const NO_ROW: u64 = u64::MAX;
/// Characters of a row that an error shows.
const SHOWN_MAX: usize = 200;

/// Rows with totals, kept by change.
///
/// # Contract
/// - With a key, at most one row has each key after every change: checked in [`RowSet::apply`]. That a delete carries
///   the very row it takes back is the producer's promise (not checked, because it would read every old row).
pub struct RowSet {
    arena: RowArena,
    /// The key's columns; all columns if there is no key.
    columns: Vec<usize>,
    keyed: bool,
    index: KeyTable,
    /// The living row of each group.
    rows: Vec<u64>,
    /// By group: where it is in the list of touched groups; `u32::MAX` between changes.
    marks: Vec<u32>,
}

/// What a change does to one group.
struct Touched {
    group: u32,
    /// A row of the change for this group, the inserted one if there is one.
    row: u32,
    inserted: i64,
    deleted: i64,
    /// Whether more than one row of the change is inserted or deleted here.
    several: bool,
    /// The total after the change.
    total: i64,
}

impl RowSet {
    /// No rows; `key` names the columns whose values are unique.
    pub fn new(schema: SchemaRef, key: Option<Vec<usize>>) -> Result<Self> {
        let keyed = key.is_some();
        let columns = key.unwrap_or_else(|| (0..schema.fields().len()).collect());
        let types = columns
            .iter()
            .map(|&column| schema.fields().get(column).map(|field| field.data_type().clone()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::internal("a key column that the view does not have"))?;
        let index = KeyTable::new(&types)?;
        Ok(RowSet { arena: RowArena::new(schema), columns, keyed, index, rows: vec![], marks: vec![] })
    }

    #[cfg(test)]
    /// Applies a change, consolidated over its step, at `epoch`.
    pub fn apply(&mut self, change: &ChangeBatch, epoch: u64) -> Result<()> {
        self.apply_all(std::slice::from_ref(change), epoch)
    }

    /// Applies the change of a step that comes in several batches: all deletes count before all inserts.
    pub fn apply_all(&mut self, changes: &[ChangeBatch], epoch: u64) -> Result<()> {
        let Some((rows, weights)) = gather(changes)? else { return Ok(()) };
        let mut touched = self.sum_by_group(&rows, &weights)?;
        let unknown = |entry: &Touched| self.rows[entry.group as usize] == NO_ROW;
        let passing = |entry: &Touched| entry.inserted > 0 && entry.deleted < 0 && unknown(entry);
        if self.keyed && touched.iter().any(|entry| entry.several || passing(entry)) {
            // Rows that cancel within the change must not count for their key.
            self.forget_unused(&touched);
            let Some((rows, weights)) = gather(&consolidate(changes)?)? else { return Ok(()) };
            touched = self.sum_by_group(&rows, &weights)?;
            return self.replace_rows(&rows, touched, epoch);
        }
        self.replace_rows(&rows, touched, epoch)
    }

    /// The rows.
    pub fn arena(&self) -> &RowArena {
        &self.arena
    }

    /// The rows, to compact them. Appending or deleting here would mislead the index.
    pub fn arena_mut(&mut self) -> &mut RowArena {
        &mut self.arena
    }

    /// The bytes held.
    pub fn size(&self) -> usize {
        self.arena.size() + self.index.size() + self.rows.capacity() * 8 + self.marks.capacity() * 4
    }

    /// Sums the change by group.
    fn sum_by_group(&mut self, rows: &RecordBatch, weights: &[i64]) -> Result<Vec<Touched>> {
        let keys: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|&column| rows.columns().get(column).cloned())
            .collect::<Option<_>>()
            .ok_or_else(|| Error::internal("a change with fewer columns than its view"))?;
        let mut groups = vec![];
        self.index.intern(&keys, rows.num_rows(), &mut groups)?;
        self.rows.resize(self.index.capacity(), NO_ROW);
        self.marks.resize(self.index.capacity(), u32::MAX);
        let mut touched: Vec<Touched> = vec![];
        let mut overflow = false;
        for (row, (&group, &weight)) in groups.iter().zip(weights).enumerate() {
            let mark = &mut self.marks[group as usize];
            if *mark == u32::MAX {
                *mark = touched.len() as u32;
                touched.push(Touched { group, row: row as u32, inserted: 0, deleted: 0, several: false, total: 0 });
            }
            let entry = &mut touched[*mark as usize];
            let sum = if weight > 0 { &mut entry.inserted } else { &mut entry.deleted };
            entry.several |= *sum != 0;
            match sum.checked_add(weight) {
                Some(new) => *sum = new,
                None => overflow = true,
            }
            if weight > 0 {
                entry.row = row as u32;
            }
        }
        touched.iter().for_each(|entry| self.marks[entry.group as usize] = u32::MAX);
        if overflow {
            self.forget_unused(&touched);
            return Err(Error::data("weight overflow").with_sqlstate("22003"));
        }
        Ok(touched)
    }

    /// Checks all, then changes all.
    fn replace_rows(&mut self, rows: &RecordBatch, mut touched: Vec<Touched>, epoch: u64) -> Result<()> {
        if let Err(error) = touched.iter_mut().try_for_each(|entry| self.set_total(entry, rows)) {
            self.forget_unused(&touched);
            return Err(error);
        }
        touched.retain(|entry| match self.keyed {
            true => entry.inserted != 0 || entry.deleted != 0,
            false => entry.inserted + entry.deleted != 0 || entry.total == 0,
        });
        let (offsets, totals): (Vec<u32>, Vec<i64>) =
            touched.iter().filter(|entry| entry.total > 0).map(|entry| (entry.row, entry.total)).unzip();
        let weights = match totals.iter().all(|&total| total == 1) {
            true => Weights::Ones,
            false => Weights::Signed(totals.into()),
        };
        let added = match offsets.len() == rows.num_rows() && offsets.is_sorted() {
            true => self.arena.append(rows.clone(), &weights),
            false => take_rows(rows, &offsets).and_then(|added| self.arena.append(added, &weights)),
        };
        let mut ids = match added {
            Ok(ids) => ids,
            Err(error) => {
                self.forget_unused(&touched);
                return Err(error);
            }
        };
        let mut emptied = vec![];
        for entry in &touched {
            let row = &mut self.rows[entry.group as usize];
            let old = std::mem::replace(row, NO_ROW);
            if entry.total > 0 {
                *row = ids.next().ok_or_else(|| Error::internal("fewer rows added than wanted"))?;
            } else {
                emptied.push(entry.group);
            }
            if old != NO_ROW {
                self.arena.delete(old, epoch)?;
            }
        }
        self.index.release(&emptied);
        Ok(())
    }

    /// Sets the new total of a group; an error if it is impossible.
    fn set_total(&self, entry: &mut Touched, rows: &RecordBatch) -> Result<()> {
        let id = self.rows[entry.group as usize];
        let current = if id == NO_ROW { 0 } else { self.arena.weight(id).unwrap_or(0) };
        let total = current
            .checked_add(entry.deleted)
            .and_then(|total| total.checked_add(entry.inserted))
            .ok_or_else(|| Error::data("weight overflow").with_sqlstate("22003"))?;
        let short = if self.keyed { current + entry.deleted < 0 } else { total < 0 };
        if short {
            return Err(Error::internal(format!(
                "the row {} would be deleted more often than it was inserted: it occurs {current} times, the change is {}",
                describe(rows, entry.row),
                entry.deleted.saturating_add(entry.inserted)
            )));
        }
        if self.keyed && (total > 1 || entry.several) {
            return Err(Error::internal(format!("two rows with the unique key of {}", describe(rows, entry.row))));
        }
        entry.total = total;
        Ok(())
    }

    /// Releases the groups that a refused change made.
    fn forget_unused(&mut self, touched: &[Touched]) {
        let unused: Vec<u32> = touched
            .iter()
            .map(|entry| entry.group)
            .filter(|&group| self.rows.get(group as usize).is_none_or(|&row| row == NO_ROW))
            .collect();
        self.index.release(&unused);
    }
}

/// A row as an error shows it.
fn describe(rows: &RecordBatch, row: u32) -> String {
    let options = FormatOptions::new().with_null("NULL");
    let values: Vec<String> = rows
        .columns()
        .iter()
        .map(|column| match ArrayFormatter::try_new(column.as_ref(), &options) {
            Ok(formatter) => formatter.value(row as usize).to_string(),
            Err(_) => "?".to_string(),
        })
        .collect();
    let text = values.join(", ");
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    format!("({shown}{})", if shown.len() < text.len() { " .." } else { "" })
}

#[cfg(test)]
mod tests;
