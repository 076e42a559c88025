//! A piece of an arena: immutable rows with ascending ids, and the epochs at which they died.
//!
//! Everything but the deaths is fixed when a chunk is made. Deaths are stamped by the one writer while readers look:
//! a reader of epoch e asks only whether a row died at or before e, and all such stamps were made before its snapshot.
//!
//! Where the rows are is another matter: in memory, or, once a checkpoint has written them, in blocks of segment files,
//! from which readers fetch the columns that they need. The chunk stays the same for everybody who holds it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute;
use arrow::datatypes::{DataType, SchemaRef};
use parking_lot::RwLock;
use roaring::RoaringTreemap;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::size::rows_bytes;
use crate::catalog::layout::{ColumnId, Layout};
use crate::storage::segment::Block;

/// The epoch of death of a row that lives.
pub const NEVER: u64 = u64::MAX;

/// String buffers smaller than this are not worth copying to save memory.
const GARBAGE_FROM: usize = 4096;
/// More string buffers than this are gathered into one.
const BUFFERS_MAX: usize = 8;

/// Rows with ids, weights and deaths.
#[derive(Debug)]
pub struct Chunk {
    /// The id of the first row.
    first: u64,
    /// Where ids do not follow one another: one a row, ascending.
    ids: Option<ScalarBuffer<u64>>,
    /// The columns that were stored.
    columns: Arc<[ColumnId]>,
    len: usize,
    rows: RwLock<Rows>,
    /// Where some weight is not one: one a row.
    weights: Option<ScalarBuffer<i64>>,
    /// Made at the first death of a row that does not die with all others.
    died: OnceLock<Box<[AtomicU64]>>,
    /// The epoch at which all rows died that were alive, if none had died since the chunk was made.
    all_died: AtomicU64,
    /// Rows that were dead when the chunk was opened: no epoch shows them.
    gone: Option<BooleanBuffer>,
    /// Whether a checkpoint has the rows, or is about to: what dies from now on must be told to the next one.
    saved: AtomicBool,
}

/// Where the rows are.
#[derive(Debug, Clone)]
enum Rows {
    /// In memory, so many bytes.
    Held(RecordBatch, usize),
    /// In segment files, one block behind the other.
    Stored(Arc<[Arc<Block>]>),
}

impl Chunk {
    /// Rows of `columns` with consecutive ids, none dead.
    pub fn new(
        first: u64,
        columns: Arc<[ColumnId]>,
        rows: RecordBatch,
        weights: Option<ScalarBuffer<i64>>,
    ) -> Result<Self> {
        Self::with_ids(first, None, columns, rows, weights)
    }

    fn with_ids(
        first: u64,
        ids: Option<ScalarBuffer<u64>>,
        columns: Arc<[ColumnId]>,
        rows: RecordBatch,
        weights: Option<ScalarBuffer<i64>>,
    ) -> Result<Self> {
        let arrays = rows.columns().iter().map(compact_views).collect();
        let rows = record_batch(rows.schema(), arrays, rows.num_rows())?;
        let weights = weights.filter(|weights| weights.iter().any(|&weight| weight != 1));
        let size = rows_bytes(&rows);
        let (len, rows) = (rows.num_rows(), RwLock::new(Rows::Held(rows, size)));
        let (died, saved) = (OnceLock::new(), AtomicBool::new(false));
        let all_died = AtomicU64::new(NEVER);
        Ok(Chunk { first, ids, columns, len, rows, weights, died, all_died, gone: None, saved })
    }

    /// The rows of a block. Those with an id in `dead` died before anybody could ask.
    pub fn stored(block: Arc<Block>, dead: &RoaringTreemap) -> Result<Self> {
        let ids = block.ids()?;
        let id = |offset: usize| ids.as_ref().map_or(block.first + offset as u64, |ids| ids[offset]);
        let last = id(block.rows.saturating_sub(1));
        let gone = match dead.range_cardinality(block.first..=last) {
            0 => None,
            _ => Some(BooleanBuffer::collect_bool(block.rows, |offset| dead.contains(id(offset)))),
        };
        Ok(Chunk {
            first: block.first,
            ids,
            columns: block.columns.clone(),
            len: block.rows,
            rows: RwLock::new(Rows::Stored(Arc::new([block]))),
            weights: None,
            died: OnceLock::new(),
            all_died: AtomicU64::new(NEVER),
            gone,
            saved: AtomicBool::new(true),
        })
    }

    /// From here on the rows are fetched from these blocks, which hold just them.
    pub fn store(&self, blocks: Arc<[Arc<Block>]>) {
        let mut rows = self.rows.write();
        // Who read them lately reads them again.
        if let [block] = blocks.as_ref() {
            let in_memory = |place: usize| match &*rows {
                Rows::Held(rows, _) => Some(rows.column(place).clone()),
                Rows::Stored(before) => before.first().filter(|_| before.len() == 1).and_then(|one| one.kept(place)),
            };
            for place in 0..self.columns.len() {
                if let Some(column) = in_memory(place) {
                    block.keep(place, &column);
                }
            }
        }
        *rows = Rows::Stored(blocks);
    }

    /// The blocks that hold the rows, if a checkpoint has written them.
    pub fn blocks(&self) -> Option<Arc<[Arc<Block>]>> {
        match &*self.rows.read() {
            Rows::Held(..) => None,
            Rows::Stored(blocks) => Some(blocks.clone()),
        }
    }

    /// Whether a checkpoint has the rows, or is about to.
    #[inline]
    pub fn is_saved(&self) -> bool {
        self.saved.load(Ordering::Relaxed)
    }

    /// Says whether a checkpoint has the rows. Only the arena's writer calls this.
    pub fn set_saved(&self, saved: bool) {
        self.saved.store(saved, Ordering::Relaxed);
    }

    /// The rows as they were stored, dead or alive, and their columns.
    pub fn contents(&self) -> Result<(Arc<[ColumnId]>, RecordBatch)> {
        let rows = match self.rows.read().clone() {
            Rows::Held(rows, _) => rows,
            Rows::Stored(blocks) => {
                let parts = blocks.iter().map(|block| block.read()).collect::<Result<Vec<_>>>()?;
                match parts.as_slice() {
                    [only] => only.clone(),
                    [] => return Err(Error::internal("a chunk without blocks")),
                    [one, ..] => compute::concat_batches(&one.schema(), &parts)?,
                }
            }
        };
        Ok((self.columns.clone(), rows))
    }

    /// Several chunks in id order as one, with the columns of `layout`.
    pub fn concat(layout: &Layout, chunks: &[Arc<Chunk>]) -> Result<Self> {
        let parts = chunks.iter().map(|chunk| chunk.read(layout, None)).collect::<Result<Vec<_>>>()?;
        let rows = compute::concat_batches(&layout.schema, &parts)?;
        let first = chunks.first().map_or(0, |chunk| chunk.first);
        let consecutive = chunks.iter().all(|chunk| chunk.ids.is_none())
            && chunks.windows(2).all(|pair| pair[0].first + pair[0].len() as u64 == pair[1].first);
        let every = || chunks.iter().flat_map(|chunk| (0..chunk.len()).map(move |offset| (chunk, offset)));
        let ids = (!consecutive).then(|| every().map(|(chunk, offset)| chunk.id(offset)).collect());
        let weighted = chunks.iter().any(|chunk| chunk.weights.is_some());
        let weights = weighted.then(|| every().map(|(chunk, offset)| chunk.weight(offset)).collect());
        let chunk = Chunk::with_ids(first, ids, layout.ids.clone(), rows, weights)?;
        if chunks.iter().any(|chunk| chunk.has_deaths()) {
            chunk.set_deaths(every().map(|(chunk, offset)| chunk.died(offset)));
        }
        Ok(chunk)
    }

    /// The rows at `offsets` (ascending, at least one), with their ids.
    pub fn keep(&self, offsets: &[u32]) -> Result<Self> {
        let rows = take_rows(&self.contents()?.1, offsets)?;
        let ids: ScalarBuffer<u64> = offsets.iter().map(|&offset| self.id(offset as usize)).collect();
        let weights =
            self.weights.as_ref().map(|weights| offsets.iter().map(|&offset| weights[offset as usize]).collect());
        let first = ids.first().copied().ok_or_else(|| Error::internal("a chunk without rows"))?;
        let chunk = Chunk::with_ids(first, Some(ids), self.columns.clone(), rows, weights)?;
        if self.has_deaths() {
            chunk.set_deaths(offsets.iter().map(|&offset| self.died(offset as usize)));
        }
        Ok(chunk)
    }

    /// How many rows there are, dead or alive.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The rows, dead or alive, with the columns of `layout`, or those of them at `projection`.
    ///
    /// The only way to the rows: whoever reads must be ready for an error, and for rows that have to be fetched.
    pub fn read(&self, layout: &Layout, projection: Option<&[usize]>) -> Result<RecordBatch> {
        let schema = match projection {
            Some(projection) => Arc::new(layout.schema.project(projection)?),
            None => layout.schema.clone(),
        };
        let columns = match projection {
            Some(projection) => projection.iter().map(|&column| self.column(layout, column)).collect(),
            None => (0..layout.ids.len()).map(|column| self.column(layout, column)).collect::<Result<Vec<_>>>(),
        };
        record_batch(schema, columns?, self.len())
    }

    /// One column of `layout`, of all rows, dead or alive.
    pub fn column(&self, layout: &Layout, column: usize) -> Result<ArrayRef> {
        let id = layout.ids.get(column).ok_or_else(|| Error::internal(format!("no column {column} in an arena")))?;
        // Mostly nothing was altered since and the column is where it was.
        let place = match self.columns.get(column) {
            Some(same) if same == id => Some(column),
            _ => self.columns.iter().position(|other| other == id),
        };
        match place {
            Some(place) => self.stored_column(place),
            None => layout.missing_column(column, self.len()),
        }
    }

    /// The least and the greatest value of a column of `layout`, dead rows among them; `None` where nothing is known.
    pub fn bounds(&self, layout: &Layout, column: usize) -> Result<Option<(ArrayRef, ArrayRef)>> {
        let place = layout.ids.get(column).and_then(|id| self.columns.iter().position(|other| other == id));
        match (self.blocks().as_deref(), place) {
            (Some([block]), Some(place)) => block.bounds(place),
            _ => Ok(None),
        }
    }

    /// The column at `place` of those that were stored.
    fn stored_column(&self, place: usize) -> Result<ArrayRef> {
        let rows = self.rows.read();
        let blocks = match &*rows {
            Rows::Held(rows, _) => return Ok(rows.column(place).clone()),
            Rows::Stored(blocks) => blocks.clone(),
        };
        drop(rows);
        if let [block] = blocks.as_ref() {
            return block.column(place);
        }
        let parts = blocks.iter().map(|block| block.column(place)).collect::<Result<Vec<_>>>()?;
        Ok(compute::concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
    }

    /// The same rows under the same ids, with the columns of `layout`; what was stamped so far stays stamped.
    pub fn converted(&self, layout: &Layout, rows: RecordBatch) -> Result<Self> {
        let chunk = Chunk::with_ids(self.first, self.ids.clone(), layout.ids.clone(), rows, self.weights.clone())?;
        if self.has_deaths() {
            chunk.set_deaths((0..self.len()).map(|offset| self.died(offset)));
        }
        Ok(chunk)
    }

    /// The id of the first row.
    #[inline]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The id of the last row.
    pub fn last(&self) -> u64 {
        self.id(self.len().saturating_sub(1))
    }

    /// The id of a row.
    #[inline]
    pub fn id(&self, offset: usize) -> u64 {
        match &self.ids {
            None => self.first + offset as u64,
            Some(ids) => ids[offset],
        }
    }

    /// Where the row of an id is.
    #[inline]
    pub fn find(&self, id: u64) -> Option<usize> {
        match &self.ids {
            None => id.checked_sub(self.first).map(|offset| offset as usize).filter(|&offset| offset < self.len()),
            Some(ids) => ids.binary_search(&id).ok(),
        }
    }

    /// How many rows have an id below `high`: they come first.
    pub fn count_below(&self, high: u64) -> usize {
        match &self.ids {
            None => usize::try_from(high.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.len()),
            Some(ids) => ids.partition_point(|&id| id < high),
        }
    }

    /// The weight of a row, dead or alive.
    #[inline]
    pub fn weight(&self, offset: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights[offset])
    }

    /// Whether every row has weight one.
    pub fn weights_all_one(&self) -> bool {
        self.weights.is_none()
    }

    /// The epoch at which a row died.
    #[inline]
    pub fn died(&self, offset: usize) -> u64 {
        if let Some(died) = self.died.get() {
            return died[offset].load(Ordering::Relaxed);
        }
        match self.dead_from_start(offset) {
            NEVER => self.all_died.load(Ordering::Relaxed),
            died => died,
        }
    }

    /// Whether a row ever died.
    pub fn has_deaths(&self) -> bool {
        self.died.get().is_some() || self.gone.is_some() || self.all_died.load(Ordering::Relaxed) != NEVER
    }

    fn dead_from_start(&self, offset: usize) -> u64 {
        if self.gone.as_ref().is_some_and(|gone| gone.value(offset)) { 0 } else { NEVER }
    }

    /// Lets a row die. Only the arena's writer calls this.
    pub fn stamp(&self, offset: usize, epoch: u64) {
        let first = || (0..self.len()).map(|offset| AtomicU64::new(self.died(offset))).collect();
        self.died.get_or_init(first)[offset].store(epoch, Ordering::Relaxed);
    }

    /// Lets all rows die that live; false where rows have died apart, and must be stamped one by one. Only the arena's
    /// writer calls this.
    pub fn stamp_all(&self, epoch: u64) -> bool {
        let apart = self.died.get().is_some() || self.all_died.load(Ordering::Relaxed) != NEVER;
        if !apart {
            self.all_died.store(epoch, Ordering::Relaxed);
        }
        !apart
    }

    fn set_deaths(&self, deaths: impl Iterator<Item = u64>) {
        self.died.get_or_init(|| deaths.map(AtomicU64::new).collect());
    }

    /// The offsets of rows with an id from `low` to below `high` that live at `epoch`; `None` if that is all rows.
    pub fn visible(&self, low: u64, high: u64, epoch: u64) -> Option<Vec<u32>> {
        let (start, end) = (self.count_below(low), self.count_below(high));
        let all = start == 0 && end == self.len();
        if !self.has_deaths() {
            return (!all).then(|| (start as u32..end as u32).collect());
        }
        let lives = |offset: &u32| self.died(*offset as usize) > epoch;
        let offsets: Vec<u32> = (start as u32..end as u32).filter(lives).collect();
        if offsets.len() == self.len() { None } else { Some(offsets) }
    }

    /// The bytes held, estimated.
    pub fn size(&self) -> usize {
        let rows = match &*self.rows.read() {
            Rows::Held(_, bytes) => *bytes,
            Rows::Stored(_) => 0,
        };
        let numbers = self.ids.as_ref().map_or(0, |ids| ids.len())
            + self.weights.as_ref().map_or(0, |weights| weights.len())
            + self.died.get().map_or(0, |died| died.len());
        rows + numbers * 8 + self.gone.as_ref().map_or(0, |_| self.len / 8)
    }
}

/// A record batch that may have no columns.
pub fn record_batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// The rows at `offsets`; unlike Arrow's kernel it takes batches without columns.
pub fn take_rows(rows: &RecordBatch, offsets: &[u32]) -> Result<RecordBatch> {
    let indices = UInt32Array::from_iter_values(offsets.iter().copied());
    let columns =
        rows.columns().iter().map(|column| compute::take(column, &indices, None)).collect::<Result<Vec<_>, _>>()?;
    record_batch(rows.schema(), columns, offsets.len())
}

/// Each offset as often as `weight` says; an error if that passes what one batch can hold.
pub fn repeat(offsets: impl Iterator<Item = u32>, weight: impl Fn(u32) -> i64) -> Result<Vec<u32>> {
    let mut repeated = Vec::new();
    for offset in offsets {
        let times = usize::try_from(weight(offset)).unwrap_or(0);
        if repeated.len().saturating_add(times) > i32::MAX as usize {
            return Err(Error::new(ErrorKind::Resource, "more than 2 billion equal rows in one piece of a relation"));
        }
        repeated.resize(repeated.len() + times, offset);
    }
    Ok(repeated)
}

/// The array without string buffers that it mostly does not need.
fn compact_views(array: &ArrayRef) -> ArrayRef {
    let wasteful = |used: usize, buffers: &[arrow::buffer::Buffer]| {
        let held: usize = buffers.iter().map(|buffer| buffer.capacity()).sum();
        buffers.len() > BUFFERS_MAX || held > used * 2 + GARBAGE_FROM
    };
    match array.data_type() {
        DataType::Utf8View => {
            let views = array.as_string_view();
            if wasteful(views.total_buffer_bytes_used(), views.data_buffers()) {
                Arc::new(views.gc())
            } else {
                array.clone()
            }
        }
        DataType::BinaryView => {
            let views = array.as_binary_view();
            if wasteful(views.total_buffer_bytes_used(), views.data_buffers()) {
                Arc::new(views.gc())
            } else {
                array.clone()
            }
        }
        _ => array.clone(),
    }
}
