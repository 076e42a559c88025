//! The rows of a relation or view: appended, stamped dead, never changed.
//!
//! A row's id is the running number of its append, never reused. At every 65,536th id the chunks before are sealed:
//! one list, shared with snapshots. The rows since lie in a tail of chunks; small ones are merged geometrically, so
//! that one-row appends cost O(log n) each and a snapshot has few chunks. A delete stamps the epoch of death on the
//! row; [`RowArena::compact`] later drops rows that no snapshot in use can see, and keeps the ids of the rest. One
//! writer; readers hold [`Snapshot`]s.
//!
//! Invariants: chunks are in id order; ids at or above `tail_first` are in the tail and nothing else is; `dead` of a
//! chunk counts its stamped rows.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute;
use arrow::datatypes::SchemaRef;
use roaring::RoaringTreemap;

use crate::base::change::Weights;
use crate::base::error::{Error, Result};
use crate::catalog::layout::Layout;
use crate::storage::segment::Block;

use super::chunk::{Chunk, NEVER, record_batch, take_rows};
use super::saving::Saving;
use super::snapshot::Snapshot;

/// Ids between two seals.
const SEALED: u64 = 1 << 16;

/// Chunks of so many rows stay as they are: to merge them would make nothing faster.
const LARGE: usize = 1 << 13;
/// Chunks of one size class in the tail that are merged into one.
const MERGED: usize = 8;

/// Rows by id.
///
/// # Contract
/// - Stamps of one arena come in non-decreasing epochs (not checked: an older stamp would only make older snapshots
///   count exactly the slow way).
/// - [`RowArena::compact`] is never told a later epoch than that of the oldest snapshot still compared with a newer
///   one.
pub struct RowArena {
    layout: Layout,
    sealed: Arc<Vec<Arc<Chunk>>>,
    tail: Vec<Arc<Chunk>>,
    /// Stamped rows, one count a chunk, in the order of `sealed` then `tail`.
    dead: Vec<usize>,
    tail_first: u64,
    high: u64,
    /// Sum of the weights of living rows.
    live: u64,
    last_death: u64,
    /// Rows of saved chunks that died since the last checkpoint.
    deaths: RoaringTreemap,
}

impl RowArena {
    /// No rows yet, of columns that never change.
    pub fn new(schema: SchemaRef) -> Self {
        Self::of_layout(Layout::numbered(schema))
    }

    /// No rows yet.
    pub fn of_layout(layout: Layout) -> Self {
        RowArena {
            layout,
            sealed: Arc::default(),
            tail: vec![],
            dead: vec![],
            tail_first: 0,
            high: 0,
            live: 0,
            last_death: 0,
            deaths: RoaringTreemap::new(),
        }
    }

    /// The rows of saved chunks, which are in the order of their ids; every id is below `high`.
    pub fn of_stored(layout: Layout, chunks: Vec<Chunk>, high: u64) -> Self {
        let mut arena = Self::of_layout(layout);
        arena.high = high;
        arena.tail_first = high / SEALED * SEALED;
        let dead = |chunk: &Chunk| (0..chunk.len()).filter(|&offset| chunk.died(offset) != NEVER).count();
        arena.dead = chunks.iter().map(|chunk| if chunk.has_deaths() { dead(chunk) } else { 0 }).collect();
        arena.live = chunks.iter().zip(&arena.dead).map(|(chunk, dead)| (chunk.len() - dead) as u64).sum();
        let mut chunks: Vec<Arc<Chunk>> = chunks.into_iter().map(Arc::new).collect();
        arena.tail = chunks.split_off(chunks.partition_point(|chunk| chunk.last() < arena.tail_first));
        arena.sealed = Arc::new(chunks);
        arena
    }

    /// Begins to save what is there: from here on the rows count as saved, unless [`RowArena::take_back`] is told.
    pub fn begin_saving(&mut self) -> Result<Saving> {
        let loose = self.tail.iter().rev().take_while(|chunk| is_loose(chunk)).count();
        self.merge_tail(self.tail.len() - loose)?;
        let chunks = self.sealed.iter().chain(&self.tail);
        let chunks: Vec<_> = chunks.map(|chunk| (chunk.clone(), !chunk.is_saved())).collect();
        for (chunk, _) in &chunks {
            chunk.set_saved(true);
        }
        let deaths = std::mem::take(&mut self.deaths);
        Ok(Saving { high: self.high, chunks, deaths })
    }

    /// The rows could not be saved: the next checkpoint must try again.
    pub fn take_back(&mut self, saving: &Saving) {
        for (chunk, _) in saving.chunks.iter().filter(|(_, is_new)| *is_new) {
            chunk.set_saved(false);
        }
        self.deaths |= &saving.deaths;
    }

    /// Adds rows, whose weights must be positive, and returns their ids. On an error nothing is added.
    pub fn append(&mut self, batch: RecordBatch, weights: &Weights) -> Result<Range<u64>> {
        let rows = batch.num_rows();
        let live = match weights {
            Weights::Ones => self.live + rows as u64,
            Weights::Signed(weights) => weights.iter().try_fold(self.live, |live, &weight| add_weight(live, weight))?,
        };
        let batch = record_batch(self.layout.schema.clone(), batch.columns().to_vec(), rows)?;
        let first = self.high;
        let mut offset = 0;
        while offset < rows {
            let room = usize::try_from(self.tail_first + SEALED - self.high).unwrap_or(usize::MAX);
            let count = room.min(rows - offset);
            let own = match weights {
                Weights::Ones => None,
                Weights::Signed(weights) => Some(weights.slice(offset, count)),
            };
            self.push(batch.slice(offset, count), own)?;
            offset += count;
        }
        self.live = live;
        Ok(first..self.high)
    }

    /// Lets a row die at `epoch`; an error if it is not there or dead already.
    pub fn delete(&mut self, id: u64, epoch: u64) -> Result<()> {
        let found = self.locate(id).map(|(number, offset)| (number, self.chunk(number).clone(), offset));
        let Some((number, chunk, offset)) = found.filter(|(_, chunk, offset)| chunk.died(*offset) == NEVER) else {
            return Err(Error::internal(format!("no living row {id} to delete")));
        };
        chunk.stamp(offset, epoch);
        if chunk.is_saved() {
            self.deaths.insert(id);
        }
        self.dead[number] += 1;
        self.live -= chunk.weight(offset).unsigned_abs();
        self.last_death = self.last_death.max(epoch);
        Ok(())
    }

    /// Lets rows die at `epoch`; an error if one is not there or dead already. Where all rows of a chunk die, that is
    /// said once.
    pub fn delete_all(&mut self, ids: &RoaringTreemap, epoch: u64) -> Result<()> {
        let mut left = ids.iter().peekable();
        while let Some(&id) = left.peek() {
            let number = self.locate(id).map(|(number, _)| number);
            let Some(number) = number else { return Err(Error::internal(format!("no living row {id} to delete"))) };
            let chunk = self.chunk(number).clone();
            let last = chunk.last();
            let of_chunk: Vec<u64> = std::iter::from_fn(|| left.next_if(|id| *id <= last)).collect();
            let dies = |id: &u64| chunk.find(*id).is_some_and(|offset| chunk.died(offset) == NEVER);
            let are_all = of_chunk.len() == chunk.len() - self.dead[number] && of_chunk.iter().all(dies);
            if !are_all || !chunk.weights_all_one() || !chunk.stamp_all(epoch) {
                of_chunk.into_iter().try_for_each(|id| self.delete(id, epoch))?;
                continue;
            }
            self.live -= of_chunk.len() as u64;
            self.dead[number] = chunk.len();
            self.last_death = self.last_death.max(epoch);
            if chunk.is_saved() {
                self.deaths.extend(of_chunk);
            }
        }
        Ok(())
    }

    /// Takes rows of files, whose ids count from zero and are below `end`; by how much their ids are greater here. They begin at a segment
    /// of their own, so that no block lies across the end of one.
    pub fn adopt(&mut self, blocks: &[Arc<Block>], end: u64) -> Result<u64> {
        self.seal(self.high.next_multiple_of(SEALED));
        let shift = self.high;
        let chunks = blocks.iter().map(|block| Chunk::stored(Arc::new(block.shifted(shift)?), &RoaringTreemap::new()));
        for chunk in chunks.collect::<Result<Vec<_>>>()? {
            if segment(chunk.first()) != segment(self.tail_first) {
                self.seal(chunk.first() / SEALED * SEALED);
            }
            self.high = chunk.last() + 1;
            self.live += chunk.len() as u64;
            self.tail.push(Arc::new(chunk));
            self.dead.push(0);
            if self.high == self.tail_first + SEALED {
                self.seal(self.high);
            }
        }
        // Where the last block is left out.
        if self.high < shift + end {
            let next = shift + end;
            if segment(next) != segment(self.tail_first) {
                self.seal(next / SEALED * SEALED);
            }
            self.high = next;
        }
        Ok(shift)
    }

    #[cfg(test)]
    /// The id the next row will have: every id is below.
    pub fn high(&self) -> u64 {
        self.high
    }

    /// The rows that are there now and live at `epoch`, so `epoch` is that of the last change: what is appended later
    /// is not seen, but what was appended before is, whenever that was. Costs a few pointers.
    pub fn snapshot(&self, epoch: u64) -> Snapshot {
        let mut rows = self.live;
        if self.last_death > epoch {
            let counts = self.sealed.iter().chain(&self.tail).map(|chunk| {
                let weights = (0..chunk.len()).filter(|&offset| chunk.died(offset) > epoch);
                weights.map(|offset| chunk.weight(offset).unsigned_abs()).sum::<u64>()
            });
            rows = counts.sum();
        }
        Snapshot::new(self.layout.clone(), epoch, self.high, rows, self.sealed.clone(), self.tail.as_slice().into())
    }

    /// The values of some columns at `ids`, dead or alive; an error for ids that were compacted away.
    pub fn take(&self, ids: &[u64], columns: &[usize]) -> Result<Vec<ArrayRef>> {
        let mut used: Vec<usize> = vec![];
        let mut number_of: HashMap<usize, usize> = HashMap::new();
        let mut places = Vec::with_capacity(ids.len());
        let mut last = (usize::MAX, 0);
        for &id in ids {
            let (chunk, offset) = self.locate(id).ok_or_else(|| Error::internal(format!("no row {id}")))?;
            if last.0 != chunk {
                let number = *number_of.entry(chunk).or_insert_with(|| {
                    used.push(chunk);
                    used.len() - 1
                });
                last = (chunk, number);
            }
            places.push((last.1, offset));
        }
        columns.iter().map(|&column| self.take_column(column, &used, &places)).collect()
    }

    /// The weight of a living row.
    pub fn weight(&self, id: u64) -> Option<i64> {
        let (number, offset) = self.locate(id)?;
        let chunk = self.chunk(number);
        (chunk.died(offset) == NEVER).then(|| chunk.weight(offset))
    }

    /// The bytes that the rows of these ids take, about.
    pub fn bytes_of(&self, ids: &RoaringTreemap) -> u64 {
        let of_chunk = |chunk: &Arc<Chunk>| {
            let rows = ids.range_cardinality(chunk.first()..=chunk.last());
            let bytes = match chunk.blocks() {
                Some(blocks) => blocks.iter().map(|block| block.bytes()).sum(),
                None => chunk.size() as u64,
            };
            bytes / (chunk.len() as u64).max(1) * rows
        };
        self.sealed.iter().chain(&self.tail).map(of_chunk).sum()
    }

    /// Whether a row lives in a chunk that has ids from `first` to `last`.
    pub fn has_living(&self, first: u64, last: u64) -> bool {
        let chunks = self.sealed.iter().chain(&self.tail).zip(&self.dead);
        let mut overlapping = chunks.filter(|(chunk, _)| chunk.first() <= last && chunk.last() >= first);
        overlapping.any(|(chunk, &dead)| dead < chunk.len())
    }

    /// Drops rows that died at or before `oldest_pinned_epoch` from chunks where they are more than half.
    ///
    /// Ids stand. Snapshots taken before keep the chunks they have. What is left of chunks that a checkpoint has must be
    /// saved again: that is done for so many bytes as there is `room`, of which it takes some.
    pub fn compact(&mut self, oldest_pinned_epoch: u64, room: &mut u64) -> Result<()> {
        let sealed = self.sealed.len();
        if let Some(compacted) = self.compacted(&self.sealed, &self.dead[..sealed], oldest_pinned_epoch, room)? {
            self.sealed = Arc::new(compacted.chunks);
            self.dead.splice(..sealed, compacted.dead);
        }
        let sealed = self.sealed.len();
        if let Some(compacted) = self.compacted(&self.tail, &self.dead[sealed..], oldest_pinned_epoch, room)? {
            self.tail = compacted.chunks;
            self.dead.splice(sealed.., compacted.dead);
        }
        Ok(())
    }

    /// From here on rows have the columns of `layout`. What is stored stays as it is: a column that is not in it any
    /// more is not read, one that is new has its missing value. The types of the columns that stay must stay too.
    pub fn relayout(&mut self, layout: Layout) {
        self.layout = layout;
    }

    /// The arena that `snapshot`, the newest of its arena, was taken of, with all rows under their ids, in the columns
    /// of `layout`; `convert` makes the columns of a chunk from those it is stored with. What is dead by then is not
    /// shown to it: a value that nobody sees any more cannot be wrong.
    pub fn converted(
        snapshot: &Snapshot,
        layout: Layout,
        convert: &dyn Fn(&RecordBatch) -> Result<RecordBatch>,
    ) -> Result<Self> {
        let own = snapshot.layout();
        let converted = |chunk: &Arc<Chunk>| -> Result<Option<Arc<Chunk>>> {
            let Some(rows) = without_dead_values(chunk, chunk.read(own, None)?)? else { return Ok(None) };
            Ok(Some(Arc::new(chunk.converted(&layout, convert(&rows)?)?)))
        };
        let convert_all = |chunks: &[Arc<Chunk>]| {
            chunks.iter().filter_map(|chunk| converted(chunk).transpose()).collect::<Result<Vec<_>>>()
        };
        let (sealed, tail) = (convert_all(snapshot.sealed())?, convert_all(snapshot.tail())?);
        let deaths = |chunk: &Arc<Chunk>| (0..chunk.len()).filter(|&offset| chunk.died(offset) != NEVER).count();
        let last = |chunk: &Arc<Chunk>| {
            (0..chunk.len()).map(|offset| chunk.died(offset)).filter(|&died| died != NEVER).max().unwrap_or(0)
        };
        let all = || sealed.iter().chain(&tail);
        let (dead, last_death) = (all().map(deaths).collect(), all().map(last).max().unwrap_or(0));
        let high = snapshot.high();
        Ok(RowArena {
            layout,
            sealed: Arc::new(sealed),
            tail,
            dead,
            tail_first: high / SEALED * SEALED,
            high,
            live: snapshot.num_rows(),
            last_death,
            deaths: RoaringTreemap::new(),
        })
    }

    /// How many rows live, weights counted.
    pub fn live_rows(&self) -> u64 {
        self.live
    }

    /// How many dead rows are still held, each counted once.
    pub fn dead_rows(&self) -> u64 {
        self.dead.iter().map(|&dead| dead as u64).sum()
    }

    /// The bytes held, estimated.
    pub fn size(&self) -> usize {
        self.sealed.iter().chain(&self.tail).map(|chunk| chunk.size()).sum()
    }

    /// Adds rows that fit into the tail.
    fn push(&mut self, rows: RecordBatch, weights: Option<ScalarBuffer<i64>>) -> Result<()> {
        let count = rows.num_rows();
        self.tail.push(Arc::new(Chunk::new(self.high, self.layout.ids.clone(), rows, weights)?));
        self.dead.push(0);
        self.high += count as u64;
        if self.high == self.tail_first + SEALED {
            self.seal(self.high);
            return Ok(());
        }
        // As in a counter to the base of MERGED: that many chunks of one size class make one of the next. Each row is
        // copied once a class, and a snapshot has few chunks of each.
        loop {
            let last = self.tail.last().map_or(0, |chunk| chunk.len());
            if !is_small(last) {
                return Ok(());
            }
            let class = size_class(last);
            let alike = self.tail.iter().rev().take_while(|chunk| is_loose(chunk) && size_class(chunk.len()) <= class);
            let alike = alike.count();
            if alike < MERGED {
                return Ok(());
            }
            if self.merge_tail(self.tail.len() - alike).is_err() {
                return Ok(());
            }
        }
    }

    /// Seals the tail; the next row's id is `next`, which begins a segment.
    fn seal(&mut self, next: u64) {
        let small = self.tail.iter().rev().take_while(|chunk| is_loose(chunk)).count();
        // Merging saves time and room; that a chunk cannot be read for it must not refuse what passed the door.
        let _ = self.merge_tail(self.tail.len() - small);
        if !self.tail.is_empty() {
            Arc::make_mut(&mut self.sealed).append(&mut self.tail);
        }
        (self.tail_first, self.high) = (next, next);
    }

    /// Makes one chunk of the tail's chunks from `start`.
    fn merge_tail(&mut self, start: usize) -> Result<()> {
        if self.tail.len() - start < 2 {
            return Ok(());
        }
        let merged = Chunk::concat(&self.layout, &self.tail[start..])?;
        let first_count = self.sealed.len() + start;
        let dead = self.dead[first_count..].iter().sum();
        self.tail.truncate(start);
        self.tail.push(Arc::new(merged));
        self.dead.truncate(first_count);
        self.dead.push(dead);
        Ok(())
    }

    #[inline]
    fn chunk(&self, number: usize) -> &Arc<Chunk> {
        match self.sealed.get(number) {
            Some(chunk) => chunk,
            None => &self.tail[number - self.sealed.len()],
        }
    }

    /// The chunk (counted over sealed and tail) and the offset in it of a row, dead or alive.
    #[inline]
    fn locate(&self, id: u64) -> Option<(usize, usize)> {
        if id >= self.tail_first {
            let number = self.tail.partition_point(|chunk| chunk.first() <= id).checked_sub(1)?;
            return Some((self.sealed.len() + number, self.tail[number].find(id)?));
        }
        // As long as rows come in large pieces and none was compacted away, the chunk's number follows from the id.
        let guess = (id / SEALED) as usize;
        if let Some(offset) = self.sealed.get(guess).and_then(|chunk| chunk.find(id)) {
            return Some((guess, offset));
        }
        let number = self.sealed.partition_point(|chunk| chunk.first() <= id).checked_sub(1)?;
        Some((number, self.sealed[number].find(id)?))
    }

    fn take_column(&self, column: usize, used: &[usize], places: &[(usize, usize)]) -> Result<ArrayRef> {
        if column >= self.layout.ids.len() {
            return Err(Error::internal(format!("no column {column} in an arena")));
        }
        match used {
            [] => Ok(arrow::array::new_empty_array(self.layout.schema.field(column).data_type())),
            [only] => {
                let offsets = UInt32Array::from_iter_values(places.iter().map(|&(_, offset)| offset as u32));
                Ok(compute::take(&self.chunk(*only).column(&self.layout, column)?, &offsets, None)?)
            }
            _ => {
                let arrays = used.iter().map(|&number| self.chunk(number).column(&self.layout, column));
                let arrays = arrays.collect::<Result<Vec<_>>>()?;
                Ok(compute::interleave(&arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>(), places)?)
            }
        }
    }

    /// The chunks without their droppable rows; `None` if nothing is worth it.
    ///
    /// What is left of neighbours is gathered, but never so that a chunk holds a part of a segment beside rows of
    /// another one: chunks lie within a segment or hold whole ones, so that whoever stores rows by segment finds them
    /// together.
    fn compacted(
        &self,
        chunks: &[Arc<Chunk>],
        dead: &[usize],
        epoch: u64,
        room: &mut u64,
    ) -> Result<Option<Compacted>> {
        if chunks.iter().zip(dead).all(|(chunk, &dead)| dead * 2 <= chunk.len()) {
            return Ok(None);
        }
        let mut compacted = Compacted::default();
        let mut changed = false;
        let mut next = 0;
        for segment in chunks.chunk_by(|one, other| segment(one.last()) == segment(other.first())) {
            let start = compacted.chunks.len();
            let mut touched = false;
            for chunk in segment {
                let dead = dead[next];
                next += 1;
                let survivors = if dead * 2 > chunk.len() { chunk.visible(0, NEVER, epoch) } else { None };
                let survivors = survivors.filter(|survivors| survivors.len() * 2 < chunk.len());
                let bytes = survivors.as_ref().map_or(0, |survivors| to_save_again(chunk, survivors.len()));
                let Some(survivors) = survivors.filter(|_| bytes <= *room) else {
                    compacted.push(chunk.clone(), dead);
                    continue;
                };
                *room -= bytes;
                touched = true;
                if survivors.is_empty() {
                    continue;
                }
                compacted.push(Arc::new(chunk.keep(&survivors)?), dead - (chunk.len() - survivors.len()));
                compacted.gather(&self.layout, start)?;
            }
            changed |= touched;
            match compacted.chunks.len() - start {
                1 if touched => compacted.gather(&self.layout, compacted.whole_from)?,
                0 | 1 => {}
                _ => compacted.whole_from = compacted.chunks.len(),
            }
        }
        Ok(changed.then_some(compacted))
    }
}

/// Chunks without rows that nobody sees.
#[derive(Default)]
struct Compacted {
    chunks: Vec<Arc<Chunk>>,
    /// Stamped rows that are still held, one count a chunk.
    dead: Vec<usize>,
    /// From here on every chunk holds whole segments.
    whole_from: usize,
}

impl Compacted {
    fn push(&mut self, chunk: Arc<Chunk>, dead: usize) {
        self.chunks.push(chunk);
        self.dead.push(dead);
    }

    /// Merges the last chunk with those before it, not beyond `start`, geometrically as in the tail; what a checkpoint
    /// has stays as it is.
    fn gather(&mut self, layout: &Layout, start: usize) -> Result<()> {
        while self.chunks.len() >= start + 2
            && let [.., before, last] = self.chunks.as_slice()
            && !before.is_saved()
            && before.len() < last.len() * 2
            && before.len() + last.len() <= SEALED as usize / 2
        {
            let merged = Chunk::concat(layout, &self.chunks[self.chunks.len() - 2..])?;
            self.chunks.truncate(self.chunks.len() - 2);
            let dead = self.dead.pop().unwrap_or(0) + self.dead.pop().unwrap_or(0);
            self.push(Arc::new(merged), dead);
        }
        Ok(())
    }
}

/// The segment of an id: what rows are stored by, and what no compaction changes.
fn segment(id: u64) -> u64 {
    id / SEALED
}

/// The rows of a chunk with those of a living row in place of the dead ones; `None` where none lives.
fn without_dead_values(chunk: &Chunk, rows: RecordBatch) -> Result<Option<RecordBatch>> {
    if !chunk.has_deaths() {
        return Ok(Some(rows));
    }
    let lives = |offset: &usize| chunk.died(*offset) == NEVER;
    let Some(living) = (0..chunk.len()).find(lives) else { return Ok(None) };
    let offsets: Vec<u32> =
        (0..chunk.len()).map(|offset| if lives(&offset) { offset } else { living } as u32).collect();
    take_rows(&rows, &offsets).map(Some)
}

/// The bytes that a checkpoint has of a chunk and must write again if so many of its rows are kept.
fn to_save_again(chunk: &Chunk, kept: usize) -> u64 {
    let stored: u64 = chunk.blocks().iter().flat_map(|blocks| blocks.iter()).map(|block| block.bytes()).sum();
    (stored as f64 * kept as f64 / chunk.len().max(1) as f64) as u64
}

/// Whether a chunk may be merged with others: what a checkpoint has of it would be written again.
fn is_loose(chunk: &Chunk) -> bool {
    is_small(chunk.len()) && !chunk.is_saved()
}

fn is_small(rows: usize) -> bool {
    rows < LARGE
}

/// The power of [`MERGED`] that a number of rows reaches.
fn size_class(rows: usize) -> u32 {
    rows.max(1).ilog2() / MERGED.ilog2()
}

fn add_weight(sum: u64, weight: i64) -> Result<u64> {
    let positive = u64::try_from(weight).ok().filter(|&weight| weight > 0);
    let positive = positive.ok_or_else(|| Error::internal(format!("a row of weight {weight}")))?;
    sum.checked_add(positive).ok_or_else(|| Error::data("weight overflow").with_sqlstate("22003"))
}

#[cfg(test)]
mod tests;
