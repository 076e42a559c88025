//! An immutable view of an arena at an epoch: what queries scan.
//!
//! A snapshot sees the rows with an id below its high mark that did not die at or before its epoch. It shares chunks
//! with the arena; later appends, deaths and compactions do not change what it sees. It counts its rows when taken.
//!
//! ```text
//! epoch   writes        rows of the arena, with ids and epochs of death    its snapshot sees
//!   1     +a +b         a0      b1                                         id < 2, death > 1:   a b
//!   2     -a +c         a0 †2   b1      c2                                 id < 3, death > 2:   b c
//!   3     -b            a0 †2   b1 †3   c2                                 id < 3, death > 3:   c
//!         compact(2)            b1 †3   c2      in a chunk of its own      snapshot 1 has the old chunk still
//! ```
//!
//! # Why it stands still
//!
//! Whatever the one writer does after a snapshot was taken is beyond both of its marks: what is appended has an id from
//! the high mark on, what dies has a later epoch of death, and a compaction makes new chunks and leaves the old ones to
//! who holds them. So a reader needs no lock and no copy. That is multiversion concurrency with a single writer, where
//! the epoch is the timestamp (Bernstein and Goodman 1983).
//!
//! Ids are never used twice, so the difference of two snapshots of one arena needs no comparison of rows: what only the
//! newer one sees came, what only the older one sees went, and a row that both see is one row
//! ([`Snapshot::changes_since`]).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use roaring::RoaringTreemap;

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, Result};
use crate::catalog::layout::Layout;

use super::chunk::{Chunk, record_batch, repeat, take_rows};
use super::saving::Saving;

/// The name of the column of row ids, where a reader asks for it.
pub const ROW_ID: &str = "_rowid";

/// Rows in one batch of changes at most.
const BATCH_MAX: usize = 16 * 1024;

/// The rows of an arena at an epoch.
#[derive(Clone, Debug)]
pub struct Snapshot {
    layout: Layout,
    epoch: u64,
    high: u64,
    rows: u64,
    sealed: Arc<Vec<Arc<Chunk>>>,
    tail: Arc<[Arc<Chunk>]>,
}

impl Snapshot {
    pub(super) fn new(
        layout: Layout,
        epoch: u64,
        high: u64,
        rows: u64,
        sealed: Arc<Vec<Arc<Chunk>>>,
        tail: Arc<[Arc<Chunk>]>,
    ) -> Self {
        Snapshot { layout, epoch, high, rows, sealed, tail }
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.layout.schema.clone()
    }

    /// The columns by identity.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The same rows with the columns of another layout of their relation.
    pub fn seen_as(&self, layout: Layout) -> Self {
        Snapshot { layout, ..self.clone() }
    }

    #[cfg(test)]
    /// The epoch whose rows these are.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Every id is below this.
    pub fn high(&self) -> u64 {
        self.high
    }

    /// How many rows there are, a row of weight n counted n times.
    pub fn num_rows(&self) -> u64 {
        self.rows
    }

    /// How many chunks there are to read.
    pub fn chunks(&self) -> usize {
        self.sealed.len() + self.tail.len()
    }

    /// The rows of one chunk, a row of weight n occurring n times; `None` if it has none.
    ///
    /// `projection` picks columns by number; `row_ids` appends the column [`ROW_ID`]. Chunks hold up to 65,536 rows
    /// (times their weights).
    pub fn read_chunk(&self, chunk: usize, projection: Option<&[usize]>, row_ids: bool) -> Result<Option<RecordBatch>> {
        self.read_chunk_where(chunk, projection, row_ids, &|_| None)
    }

    /// As [`Snapshot::read_chunk`], without rows that `keep` drops. It is shown all rows of the chunk, the dead among
    /// them, and may return no mask, which keeps all.
    pub fn read_chunk_where(
        &self,
        chunk: usize,
        projection: Option<&[usize]>,
        row_ids: bool,
        keep: &dyn Fn(&RecordBatch) -> Option<BooleanArray>,
    ) -> Result<Option<RecordBatch>> {
        let chunk = self.chunk(chunk).ok_or_else(|| Error::internal(format!("a snapshot has no chunk {chunk}")))?;
        let mut rows = chunk.read(&self.layout, projection)?;
        let offsets = match keep(&rows) {
            None => chunk.visible(0, self.high, self.epoch),
            Some(mask) => {
                let end = chunk.count_below(self.high);
                let kept = mask.values().set_indices().filter(|&offset| mask.is_valid(offset));
                let visible = kept.filter(|&offset| offset < end && chunk.died(offset) > self.epoch);
                Some(visible.map(|offset| offset as u32).collect())
            }
        };
        if offsets.as_ref().map_or(chunk.len(), Vec::len) == 0 {
            return Ok(None);
        }
        let offsets = match offsets {
            offsets if chunk.weights_all_one() => offsets,
            None => Some(repeat(0..chunk.len() as u32, |offset| chunk.weight(offset as usize))?),
            Some(offsets) => Some(repeat(offsets.into_iter(), |offset| chunk.weight(offset as usize))?),
        };
        if let Some(offsets) = &offsets {
            rows = take_rows(&rows, offsets)?;
        }
        if row_ids {
            let ids = match &offsets {
                None => UInt64Array::from_iter_values((0..chunk.len()).map(|offset| chunk.id(offset))),
                Some(offsets) => UInt64Array::from_iter_values(offsets.iter().map(|&offset| chunk.id(offset as usize))),
            };
            rows = with_ids(&rows, Arc::new(ids))?;
        }
        Ok(Some(rows))
    }

    /// The least and the greatest value of a column in one chunk, dead rows among them; `None` where nothing is known.
    pub fn bounds(&self, chunk: usize, column: usize) -> Result<Option<(ArrayRef, ArrayRef)>> {
        self.chunk(chunk).map_or(Ok(None), |chunk| chunk.bounds(&self.layout, column))
    }

    /// Whether bounds of any chunk are known.
    pub fn has_bounds(&self) -> bool {
        self.all().any(|chunk| chunk.blocks().is_some())
    }

    /// What came and went between an older snapshot of the same arena and this one; equal rows are not summed.
    ///
    /// Rows with an id from the older high mark on that live now came; rows the older one sees and this one does not
    /// went. It is right across compaction: the older snapshot still holds what went. The rows have the columns of this
    /// snapshot's layout.
    pub fn changes_since(&self, older: &Snapshot) -> Result<Vec<ChangeBatch>> {
        if self.epoch < older.epoch || self.high < older.high {
            return Err(Error::internal("changes since a later snapshot"));
        }
        let mut changes = vec![];
        let shared = if Arc::ptr_eq(&self.sealed, &older.sealed) { older.sealed.len() } else { 0 };
        for (number, chunk) in older.all().enumerate() {
            if number < shared && !chunk.has_deaths() {
                continue;
            }
            let gone = self.gone(chunk, older);
            push_changes(&mut changes, chunk, &self.layout, &gone, -1)?;
        }
        // Newer rows are at the end.
        let skipped = self.all().take_while(|chunk| chunk.count_below(older.high) == chunk.len()).count();
        for chunk in self.all().skip(skipped) {
            let came = match chunk.visible(older.high, self.high, self.epoch) {
                Some(came) => came,
                None => (0..chunk.len() as u32).collect(),
            };
            push_changes(&mut changes, chunk, &self.layout, &came, 1)?;
        }
        Ok(changes)
    }

    /// The offsets of rows in a chunk of `older` that it sees and this snapshot does not.
    fn gone(&self, chunk: &Arc<Chunk>, older: &Snapshot) -> Vec<u32> {
        let number = |list: &[Arc<Chunk>]| list.partition_point(|other| other.first() <= chunk.first()).checked_sub(1);
        let same = |list: &[Arc<Chunk>]| number(list).is_some_and(|number| Arc::ptr_eq(&list[number], chunk));
        let is_same = same(&self.sealed) || same(&self.tail);
        if is_same && !chunk.has_deaths() {
            return vec![];
        }
        let mut seen = chunk.visible(0, older.high, older.epoch).unwrap_or_else(|| (0..chunk.len() as u32).collect());
        if is_same {
            seen.retain(|&offset| chunk.died(offset as usize) <= self.epoch);
        } else {
            let mut cursor = None;
            seen.retain(|&offset| !self.sees(chunk.id(offset as usize), &mut cursor));
        }
        seen
    }

    /// Whether a row is visible; `cursor` remembers the chunk of the row asked for before.
    fn sees<'a>(&'a self, id: u64, cursor: &mut Option<&'a Chunk>) -> bool {
        if id >= self.high {
            return false;
        }
        let find = |chunk: &&'a Chunk| chunk.find(id);
        let known = cursor.as_ref().and_then(find);
        let offset = known.or_else(|| {
            let in_tail = self.tail.first().is_some_and(|chunk| chunk.first() <= id);
            let list: &'a [Arc<Chunk>] = if in_tail { &self.tail } else { &self.sealed };
            let number = list.partition_point(|chunk| chunk.first() <= id).checked_sub(1)?;
            *cursor = Some(&list[number]);
            list[number].find(id)
        });
        match (offset, cursor) {
            (Some(offset), Some(chunk)) => chunk.died(offset) > self.epoch,
            _ => false,
        }
    }

    /// The rows as a checkpoint takes them over, none of which was saved before.
    pub fn saving(&self) -> Saving {
        let lives = |chunk: &&Arc<Chunk>| chunk.visible(0, self.high, self.epoch).is_none_or(|rows| !rows.is_empty());
        let chunks = self.all().filter(lives).map(|chunk| (chunk.clone(), true)).collect();
        Saving { high: self.high, chunks, deaths: RoaringTreemap::new() }
    }

    pub(super) fn sealed(&self) -> &[Arc<Chunk>] {
        &self.sealed
    }

    pub(super) fn tail(&self) -> &[Arc<Chunk>] {
        &self.tail
    }

    fn chunk(&self, number: usize) -> Option<&Arc<Chunk>> {
        match self.sealed.get(number) {
            Some(chunk) => Some(chunk),
            None => self.tail.get(number - self.sealed.len()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.sealed.iter().chain(self.tail.iter())
    }
}

/// Appends rows of a chunk with their weights times `sign`, in batches.
fn push_changes(
    changes: &mut Vec<ChangeBatch>,
    chunk: &Chunk,
    layout: &Layout,
    offsets: &[u32],
    sign: i64,
) -> Result<()> {
    if offsets.is_empty() {
        return Ok(());
    }
    let rows = chunk.read(layout, None)?;
    for offsets in offsets.chunks(BATCH_MAX) {
        let rows = take_rows(&rows, offsets)?;
        let weights = if sign == 1 && chunk.weights_all_one() {
            Weights::Ones
        } else {
            Weights::Signed(offsets.iter().map(|&offset| sign * chunk.weight(offset as usize)).collect())
        };
        changes.push(ChangeBatch::try_new(rows, weights)?);
    }
    Ok(())
}

fn with_ids(rows: &RecordBatch, ids: ArrayRef) -> Result<RecordBatch> {
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(ROW_ID, DataType::UInt64, false)));
    let mut columns = rows.columns().to_vec();
    columns.push(ids);
    record_batch(Arc::new(Schema::new(fields)), columns, rows.num_rows())
}
