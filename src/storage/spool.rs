//! The rows of a commit: in memory, or, where they are many, in segment files that the log names.
//!
//! ```text
//! statement ─▶ Spool ─▶ up to 8 MiB: batches, which go into the log
//!                    └▶ beyond:      seg/..., synced ─▶ the log names the file ─▶ its blocks become chunks of the relation
//! ```
//!
//! So a commit may be larger than memory. The ids in such a file count from zero: which ids its rows have is decided
//! where the commit is applied, and is the same whenever the log is replayed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::size::rows_bytes;
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::RelationId;
use crate::storage::run::Run;
use crate::storage::segment::{Block, FileName, SegmentFile, SegmentFiles, SegmentWriter};

/// Blocks never lie across a multiple of so many rows.
const SEGMENT: u64 = 1 << 16;

/// How rows are divided.
#[derive(Debug, Clone, Copy)]
pub struct SpoolSizes {
    /// Rows of more bytes than this go to files.
    pub held_bytes: usize,
    /// Rows of a block, at most: a power of two.
    pub block_rows: u64,
    /// Bytes of a block, about, at most.
    pub block_bytes: usize,
    /// A file beyond this length is followed by another.
    pub file_bytes: u64,
    /// Rows of a table whose keys are held in memory where they have to be read.
    pub key_rows: u64,
}

/// Where the rows of large commits go, and how they are divided.
#[derive(Debug, Clone)]
pub struct Spooling {
    /// The files.
    pub files: Arc<SegmentFiles>,
    /// The sizes.
    pub sizes: SpoolSizes,
}

impl Default for SpoolSizes {
    fn default() -> Self {
        SpoolSizes {
            held_bytes: 8 << 20,
            block_rows: SEGMENT,
            block_bytes: 4 << 20,
            file_bytes: 256 << 20,
            key_rows: 1 << 20,
        }
    }
}

/// Rows of a commit.
#[derive(Debug, Clone)]
pub enum Rows {
    /// In memory.
    Held(RecordBatch),
    /// In a file.
    Spooled(Arc<Spooled>),
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Rows::Held(rows) => rows.num_rows(),
            Rows::Spooled(spooled) => spooled.rows,
        }
    }

    /// Their columns, as they were when the rows were looked at.
    pub fn schema(&self) -> SchemaRef {
        match self {
            Rows::Held(rows) => rows.schema(),
            Rows::Spooled(spooled) => spooled.schema.clone(),
        }
    }

    /// The bytes that they take in memory.
    pub fn held_bytes(&self) -> usize {
        match self {
            Rows::Held(rows) => rows_bytes(rows),
            Rows::Spooled(_) => 0,
        }
    }

    /// How many pieces they are read in.
    pub fn pieces(&self) -> usize {
        match self {
            Rows::Held(_) => 1,
            Rows::Spooled(spooled) => spooled.blocks.len(),
        }
    }

    /// The rows of a piece.
    pub fn piece(&self, number: usize) -> Result<RecordBatch> {
        match self {
            Rows::Held(rows) => Ok(rows.clone()),
            Rows::Spooled(spooled) => {
                let block = spooled.blocks.get(number).ok_or_else(|| Error::internal("no such piece of a commit"))?;
                let columns = (0..block.columns.len()).map(|place| block.read_column(place)).collect::<Result<_>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(block.rows));
                Ok(RecordBatch::try_new_with_options(spooled.schema.clone(), columns, &options)?)
            }
        }
    }

    /// How many rows a piece has.
    pub fn piece_len(&self, number: usize) -> usize {
        match self {
            Rows::Held(rows) => rows.num_rows(),
            Rows::Spooled(spooled) => spooled.blocks.get(number).map_or(0, |block| block.rows),
        }
    }

    /// A column of the rows of a piece.
    pub fn column(&self, number: usize, place: usize) -> Result<ArrayRef> {
        match self {
            Rows::Held(rows) => Ok(rows.column(place).clone()),
            Rows::Spooled(spooled) => spooled.column(number, place),
        }
    }

    /// Some columns of the rows of a piece.
    pub fn columns(&self, number: usize, places: &[usize]) -> Result<Vec<ArrayRef>> {
        places.iter().map(|&place| self.column(number, place)).collect()
    }

    /// The rows, piece by piece.
    pub fn read(&self) -> impl Iterator<Item = Result<RecordBatch>> {
        (0..self.pieces()).map(|number| self.piece(number))
    }
}

/// Runs by the columns of their keys.
type Runs = HashMap<Arc<[ColumnId]>, Option<Arc<Run>>>;

/// Columns of keys with the numbers of files.
type Apart = HashSet<(Arc<[ColumnId]>, Vec<u64>)>;

/// Rows of a commit in a file of their own. The file is removed with them, unless the log has it.
#[derive(Debug)]
pub struct Spooled {
    spooling: Spooling,
    name: FileName,
    schema: SchemaRef,
    blocks: Vec<Arc<Block>>,
    rows: usize,
    /// Every id in the file is below, also of blocks that are left out.
    end: u64,
    /// What unique keys over these columns know of the rows.
    runs: Mutex<Runs>,
    /// Keys whose values are known not to stand twice in these files, of which this is one.
    apart: Mutex<Apart>,
}

impl Spooled {
    fn new(spooling: Spooling, file: SegmentFile, schema: SchemaRef) -> Self {
        let rows = file.blocks.iter().map(|block| block.rows).sum();
        let end = file.blocks.last().map_or(0, |block| block.first + block.rows as u64);
        Spooled {
            spooling,
            name: file.name,
            schema,
            blocks: file.blocks,
            rows,
            end,
            runs: Mutex::default(),
            apart: Mutex::default(),
        }
    }

    /// Opens the file that the log names.
    ///
    /// # Errors
    /// It is missing, damaged (XX001) or holds other rows.
    pub fn open(
        files: &Arc<SegmentFiles>,
        name: FileName,
        relation: RelationId,
        columns: &[ColumnId],
        schema: SchemaRef,
    ) -> Result<Self> {
        let file = files.open(name)?;
        let fits = |block: &Arc<Block>| block.relation == relation && *block.columns == *columns;
        match file.blocks.iter().all(fits) && !file.blocks.is_empty() {
            true => {
                let spooling = Spooling { files: files.clone(), sizes: SpoolSizes::default() };
                Ok(Spooled::new(spooling, file, schema))
            }
            false => Err(Error::new(
                ErrorKind::Io,
                format!("segment file {} does not hold the rows that the log says", name.number),
            )
            .with_sqlstate("XX001")),
        }
    }

    /// Where the file is.
    pub fn spooling(&self) -> &Spooling {
        &self.spooling
    }

    /// The bytes of the rows in the file.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.name.length).unwrap_or(usize::MAX)
    }

    /// How the log names the file.
    pub fn name(&self) -> FileName {
        self.name
    }

    /// The same without the blocks that are damaged, and what is wrong with each; the ids of the others stay.
    pub fn whole_blocks(&self) -> (Self, Vec<Error>) {
        let (mut blocks, mut lost) = (Vec::new(), Vec::new());
        for block in &self.blocks {
            match block.check() {
                Ok(()) => blocks.push(block.clone()),
                Err(error) => lost.push(error),
            }
        }
        let rows = blocks.iter().map(|block| block.rows).sum();
        let (spooling, schema) = (self.spooling.clone(), self.schema.clone());
        let (runs, apart) = Default::default();
        (Spooled { spooling, name: self.name, schema, blocks, rows, end: self.end, runs, apart }, lost)
    }

    /// Every id in the file is below.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The blocks, their ids counted from zero.
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// A column of the rows of a block. It is read once or twice and not kept.
    pub fn column(&self, block: usize, place: usize) -> Result<ArrayRef> {
        self.blocks.get(block).ok_or_else(|| Error::internal("no such piece of a commit"))?.read_column(place)
    }

    /// The values of a column at ids that count from zero.
    pub fn take(&self, ids: &[u64], place: usize) -> Result<ArrayRef> {
        let (mut arrays, mut of_block, mut places) = (Vec::new(), BTreeMap::new(), Vec::with_capacity(ids.len()));
        for &id in ids {
            let number = self.blocks.partition_point(|block| block.first <= id).saturating_sub(1);
            let array = *match of_block.entry(number) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    arrays.push(self.column(number, place)?);
                    new.insert(arrays.len() - 1)
                }
            };
            places.push((array, (id - self.blocks[number].first) as usize));
        }
        Ok(compute::interleave(&arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &places)?)
    }

    /// What a unique key over `columns` knows of the rows, made when it is first asked for; none where every key holds a
    /// NULL.
    pub fn run(
        &self,
        columns: &Arc<[ColumnId]>,
        make: impl FnOnce(&Spooling) -> Result<Option<Run>>,
    ) -> Result<Option<Arc<Run>>> {
        let mut runs = self.runs.lock();
        if let Some(run) = runs.get(columns) {
            return Ok(run.clone());
        }
        let run = make(&self.spooling)?.map(Arc::new);
        runs.insert(columns.clone(), run.clone());
        Ok(run)
    }

    /// Checks once that no value of a key over `columns` stands twice in the files of these numbers.
    pub fn apart(&self, columns: &Arc<[ColumnId]>, files: Vec<u64>, check: impl FnOnce() -> Result<()>) -> Result<()> {
        let known = (columns.clone(), files);
        if !self.apart.lock().contains(&known) {
            check()?;
            self.apart.lock().insert(known);
        }
        Ok(())
    }

    /// The file goes into the log, in this epoch.
    pub fn log(&self, epoch: u64) {
        self.spooling.files.log_brought(self.name, epoch);
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.spooling.files.discard_brought(self.name.number);
    }
}

/// Takes the rows that a commit inserts into a relation, in order.
pub struct Spool {
    /// None for a database in memory: then all rows are held.
    spooling: Option<Spooling>,
    relation: RelationId,
    columns: Arc<[ColumnId]>,
    schema: SchemaRef,
    /// What is not in a file yet.
    held: Vec<RecordBatch>,
    bytes: usize,
    rows: u64,
    sizes: SpoolSizes,
    writer: Option<SegmentWriter>,
    /// The id of the next row in the file.
    next: u64,
    done: Vec<Rows>,
}

impl Spool {
    /// For rows of `columns`, which have the fields of `schema`.
    pub fn new(spooling: Option<Spooling>, relation: RelationId, columns: Arc<[ColumnId]>, schema: SchemaRef) -> Self {
        let (held, done) = (Vec::new(), Vec::new());
        let sizes = spooling.as_ref().map(|spooling| spooling.sizes).unwrap_or_default();
        Spool { spooling, sizes, relation, columns, schema, held, bytes: 0, rows: 0, writer: None, next: 0, done }
    }

    /// Whether rows of so many bytes would go to files.
    pub fn is_beyond(&self, bytes: usize) -> bool {
        self.spooling.is_some() && bytes > self.sizes.held_bytes
    }

    /// Takes rows.
    pub fn push(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.bytes += rows_bytes(&rows);
        self.rows += rows.num_rows() as u64;
        self.held.push(rows);
        let spools = self.writer.is_some() || !self.done.is_empty() || self.bytes > self.sizes.held_bytes;
        if let Some(spooling) = self.spooling.clone().filter(|_| spools) {
            while self.rows >= self.sizes.block_rows || self.bytes >= self.sizes.block_bytes {
                self.write_block(&spooling)?;
            }
        }
        Ok(())
    }

    /// All rows that it was given.
    pub fn finish(mut self) -> Result<Vec<Rows>> {
        if let Some(spooling) = self.spooling.clone()
            && (self.writer.is_some() || !self.done.is_empty())
        {
            while self.rows > 0 {
                self.write_block(&spooling)?;
            }
            self.end_file(&spooling)?;
        }
        let held = std::mem::take(&mut self.held).into_iter().map(Rows::Held);
        Ok(std::mem::take(&mut self.done).into_iter().chain(held).collect())
    }

    /// Writes as many of the first rows as a block may have.
    fn write_block(&mut self, spooling: &Spooling) -> Result<()> {
        let of_a_row = (self.bytes as u64 / self.rows.max(1)).max(1);
        // A power of two, so that blocks of a size do not lie across the end of a segment.
        let most = 1 << (self.sizes.block_bytes as u64 / of_a_row).clamp(1, self.sizes.block_rows).ilog2();
        let rows = self.take(most.min(self.rows) as usize)?;
        let count = rows.num_rows() as u64;
        if self.next % SEGMENT + count > SEGMENT {
            self.next = self.next.next_multiple_of(SEGMENT);
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => spooling.files.create_brought()?,
        };
        let written = writer.rows(self.relation, &self.columns, self.next, None, &rows);
        self.next += count;
        let is_long = writer.len() >= self.sizes.file_bytes;
        self.writer = Some(writer);
        written?;
        if is_long { self.end_file(spooling) } else { Ok(()) }
    }

    /// The first `count` rows, of those that are held.
    fn take(&mut self, count: usize) -> Result<RecordBatch> {
        let (mut taken, mut missing, mut whole) = (Vec::new(), count, 0);
        for rows in &mut self.held {
            let part = rows.num_rows().min(missing);
            taken.push(rows.slice(0, part));
            missing -= part;
            match part == rows.num_rows() {
                true => whole += 1,
                false => *rows = rows.slice(part, rows.num_rows() - part),
            }
            if missing == 0 {
                break;
            }
        }
        self.held.drain(..whole);
        self.rows -= count as u64;
        self.bytes = self.held.iter().map(rows_bytes).sum();
        match taken.as_slice() {
            [one] => Ok(one.clone()),
            _ => Ok(compute::concat_batches(&self.schema, &taken)?),
        }
    }

    fn end_file(&mut self, spooling: &Spooling) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let number = writer.number();
        let file = spooling.files.finish_brought(writer).inspect_err(|_| spooling.files.discard_brought(number))?;
        self.done.push(Rows::Spooled(Arc::new(Spooled::new(spooling.clone(), file, self.schema.clone()))));
        self.next = 0;
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let (Some(spooling), Some(writer)) = (&self.spooling, &self.writer) {
            spooling.files.discard_brought(writer.number());
        }
    }
}
