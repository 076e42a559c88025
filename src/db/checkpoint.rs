//! Checkpoints: what the log holds, written to segment files, so that the log can be shortened.
//!
//! ```text
//! between two epochs   what there is at epoch E is taken over: chunks, definitions, the log's place   (microseconds)
//! meanwhile epochs go on
//!   rows of new chunks ─▶ seg/..., synced        deaths since the checkpoint before ─▶ the same file
//!   the manifest of E  ─▶ manifest/..., synced   from here on it counts
//!   the chunks fetch their rows from the files   what nobody names any more is removed
//! ```
//!
//! Its cost follows what has changed since the one before. If it fails nothing has happened: the log is as long as it
//! was, and the next checkpoint writes what this one could not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use roaring::RoaringTreemap;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::base::size::rows_bytes;
use crate::base::vfs::is_full;
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::{RelationId, RelationKind};
use crate::db::follower::Follower;
use crate::db::held::{Held, Waiting, encode};
use crate::db::subscription::concat_changes;
use crate::db::version::{Contents, Version};
use crate::state::chunk::Chunk;
use crate::state::consolidate::consolidate;
use crate::state::saving::Saving;
use crate::state::snapshot::Snapshot;
use crate::storage::manifest::{BlockPart, Manifest, Part, Rows};
use crate::storage::segment::{Block, DAMAGED, SegmentFile, SegmentWriter};
use crate::storage::store::{Named, Store};

/// A segment file beyond this length is followed by another.
const FILE_BYTES: u64 = 256 << 20;
/// Bytes of rows in one block, about.
const BLOCK_BYTES: usize = 64 << 20;
/// Sets of deaths of a relation that are joined into one.
const DEATHS_MAX: usize = 16;
/// Segment files that may be there before the shortest are made one.
const FILES_MAX: usize = 64;

/// What a checkpoint takes over between two epochs.
pub struct Checkpoint {
    /// Epoch, definitions and the log's place; files and rows are filled in.
    pub manifest: Manifest,
    /// The rows of tables and streams.
    pub tables: BTreeMap<RelationId, Saving>,
    /// What waits for followers.
    pub held: BTreeMap<RelationId, Kept>,
    /// How long the log was at the checkpoint before.
    pub written_before: u64,
}

/// What waits for a follower, taken over between two epochs.
pub struct Kept {
    schema: SchemaRef,
    events: Vec<Held>,
    /// What is held back while its view fails, and the rows that the view has.
    back: Option<(Vec<ChangeBatch>, Option<Snapshot>)>,
}

impl Kept {
    /// What waits for a follower; `back` is held back from it.
    pub fn new(follower: &Follower, back: Option<(Vec<ChangeBatch>, Option<Snapshot>)>) -> Self {
        Kept { schema: follower.schema().clone(), events: follower.queue().held(), back }
    }

    fn waiting(&self) -> Result<Waiting> {
        let back = match &self.back {
            None => None,
            Some((held, rows)) => {
                let mut changes = held.clone();
                for chunk in 0..rows.as_ref().map_or(0, Snapshot::chunks) {
                    let rows = rows.as_ref().map(|rows| rows.read_chunk(chunk, None, false)).transpose()?.flatten();
                    changes.extend(rows.map(|rows| ChangeBatch::inserts(rows).negate()).transpose()?);
                }
                let reschema =
                    |batch: &ChangeBatch| batch.with_rows(batch.rows().clone().with_schema(self.schema.clone())?);
                let changes = changes.iter().map(reschema).collect::<Result<Vec<_>>>()?;
                Some(concat_changes(&self.schema, &consolidate(&changes)?)?)
            }
        };
        Ok(Waiting { events: self.events.clone(), back })
    }
}

/// The manifest of what there is at a version, but for files and rows.
pub fn manifest_at(version: &Version, first_log: u64, next_relation: u64) -> Manifest {
    let views = version.catalog.relations().filter(|relation| relation.kind == RelationKind::MaterializedView);
    let kept = views.filter_map(|view| {
        let entry = version.entries.get(&view.id)?;
        Some((view.id, !matches!(entry.contents, Contents::Lazy(_))))
    });
    Manifest {
        epoch: version.epoch,
        time_us: version.time_us,
        first_log,
        next_relation,
        relations: version.catalog.relations().cloned().collect(),
        positions: version.positions.all().collect(),
        kept: kept.collect(),
        ..Manifest::default()
    }
}

impl Checkpoint {
    /// Writes it, and makes it what counts from then on; rows that are in memory are fetched from it afterwards.
    ///
    /// # Errors
    /// The disk failed or is full, or `interrupt` called it off: the checkpoint before counts.
    pub fn write(&self, store: &Store, named: &mut Named, interrupt: &Interrupt) -> Result<()> {
        for Written { chunk, blocks } in self.put(store, named, interrupt)? {
            chunk.store(blocks);
        }
        Ok(())
    }

    /// Writes it as what a new database begins with, and leaves the rows where they are.
    ///
    /// # Errors
    /// The disk failed or is full, or `interrupt` called it off.
    pub fn copy(&self, store: &Store, named: &mut Named, interrupt: &Interrupt) -> Result<()> {
        self.put(store, named, interrupt).map(drop)
    }

    fn put(&self, store: &Store, named: &mut Named, interrupt: &Interrupt) -> Result<Vec<Written>> {
        let mut merged = files_to_merge(&self.tables, named, self.manifest.epoch);
        loop {
            let put = self.put_merging(store, named, interrupt, merged.iter().copied().collect());
            match put {
                // What is damaged stays where it is: the rest must be saved all the same.
                Err(error) if error.sqlstate() == DAMAGED && !merged.is_empty() => merged.clear(),
                // On a full disk little is written at first, and makes room for the rest.
                Err(error) if is_full(&error) && !merged.is_empty() => merged.truncate(merged.len() / 2),
                put => return put,
            }
        }
    }

    fn put_merging(
        &self,
        store: &Store,
        named: &mut Named,
        interrupt: &Interrupt,
        merged: BTreeSet<u64>,
    ) -> Result<Vec<Written>> {
        let mut output = Output {
            store,
            named,
            interrupt,
            merged,
            writer: None,
            begun: Vec::new(),
            files: Vec::new(),
            written: Vec::new(),
        };
        let rows = self.rows(&mut output);
        let Output { begun, files, written, .. } = output;
        // What was begun means nothing, and must not fill a disk that is full.
        let rows = rows.inspect_err(|_| store.files().discard(begun))?;
        store.commit(named, Manifest { rows, ..self.manifest.clone() }, &files)?;
        let blocks =
            |place: Place| Written { chunk: place.chunk, blocks: files[place.file].blocks[place.blocks].into() };
        Ok(written.into_iter().map(blocks).collect())
    }

    fn rows(&self, output: &mut Output) -> Result<Vec<Rows>> {
        let mut rows = Vec::with_capacity(self.tables.len());
        for (relation, saving) in &self.tables {
            rows.push(output.table(*relation, saving, self.manifest.epoch)?);
        }
        for (follower, kept) in &self.held {
            rows.extend(output.held(*follower, &encode(&kept.waiting()?, &kept.schema)?)?);
        }
        output.end_file()?;
        Ok(rows)
    }
}

/// The files whose rows are written again with the new ones, those with the least first: those of which less than half
/// is needed, and the shortest where there are many. So a directory takes about twice the room of its rows at most, and
/// few files are open.
fn files_to_merge(tables: &BTreeMap<RelationId, Saving>, named: &Named, epoch: u64) -> Vec<u64> {
    let mut needed: BTreeMap<u64, u64> = BTreeMap::new();
    let chunks = tables.values().flat_map(|saving| &saving.chunks).filter(|(chunk, _)| !is_gone(chunk, epoch));
    for block in chunks.filter_map(|(chunk, _)| chunk.blocks()).flat_map(|blocks| blocks.to_vec()) {
        *needed.entry(block.file()).or_default() += block.bytes();
    }
    for deaths in named.deaths.iter().filter(|(id, _)| tables.contains_key(id)).flat_map(|(_, deaths)| deaths) {
        *needed.entry(deaths.file()).or_default() += deaths.bytes();
    }
    let mut files: Vec<(u64, u64)> = needed.into_iter().map(|(file, bytes)| (bytes, file)).collect();
    files.sort_unstable();
    let surplus = files.len().saturating_sub(FILES_MAX);
    // Where there are too many, half of those allowed are left, so that it does not come to this at every checkpoint.
    let shortest = if surplus > 0 { surplus + FILES_MAX / 2 } else { 0 };
    let mut room = FILE_BYTES;
    let is_merged = |(place, (bytes, file)): (usize, (u64, u64))| {
        room = room.saturating_sub(if place < shortest { bytes } else { 0 });
        let is_wasteful = named.length(file).is_some_and(|length| bytes * 2 < length);
        (is_wasteful || (place < shortest && room > 0)).then_some(file)
    };
    files.into_iter().enumerate().filter_map(is_merged).collect()
}

/// Whether no row of the chunk lives at an epoch: then nobody will ask for it when the database is opened again.
fn is_gone(chunk: &Chunk, epoch: u64) -> bool {
    chunk.has_deaths() && (0..chunk.len()).all(|offset| chunk.died(offset) <= epoch)
}

/// The segment files of a checkpoint.
struct Output<'a> {
    store: &'a Store,
    named: &'a Named,
    interrupt: &'a Interrupt,
    /// Files whose rows are written again.
    merged: BTreeSet<u64>,
    writer: Option<SegmentWriter>,
    /// The numbers of its files.
    begun: Vec<u64>,
    files: Vec<SegmentFile>,
    written: Vec<Place>,
}

/// A chunk whose rows stand in blocks.
struct Written {
    chunk: Arc<Chunk>,
    blocks: Arc<[Arc<Block>]>,
}

/// Where the rows of a chunk go.
struct Place {
    chunk: Arc<Chunk>,
    /// The place of the file among those of this checkpoint.
    file: usize,
    blocks: Range<usize>,
}

impl Output<'_> {
    /// Writes what is new in a table; what the manifest names of it.
    fn table(&mut self, relation: RelationId, saving: &Saving, epoch: u64) -> Result<Rows> {
        let (mut blocks, mut deaths) = (Vec::new(), saving.deaths.clone());
        for (chunk, is_new) in &saving.chunks {
            self.interrupt.check()?;
            if is_gone(chunk, epoch) {
                deaths.remove_range(chunk.first()..=chunk.last());
                continue;
            }
            if *is_new {
                self.chunk(relation, chunk, &mut blocks)?;
                let dead = (0..chunk.len()).filter(|&offset| chunk.died(offset) <= epoch);
                deaths.extend(dead.map(|offset| chunk.id(offset)));
                continue;
            }
            let stored = chunk.blocks().ok_or_else(|| Error::internal("a saved chunk without blocks"))?;
            match stored.iter().any(|block| self.merged.contains(&block.file())) {
                // Its dead are named already.
                true => self.chunk(relation, chunk, &mut blocks)?,
                false => blocks.extend(stored.iter().map(|block| ((block.file(), block.number), block.shift))),
            }
        }
        let deaths = self.deaths(relation, saving, deaths, epoch)?;
        Ok(Rows { relation, high: saving.high, blocks, deaths })
    }

    fn chunk(&mut self, relation: RelationId, chunk: &Arc<Chunk>, parts: &mut Vec<BlockPart>) -> Result<()> {
        let (columns, rows) = chunk.contents()?;
        let file = self.files.len();
        let writer = self.writer()?;
        let start = writer.blocks();
        for range in pieces(&rows) {
            put(writer, relation, chunk, &columns, &rows, range)?;
        }
        let blocks = start..writer.blocks();
        parts.extend(blocks.clone().map(|number| ((writer.number(), number), 0)));
        self.written.push(Place { chunk: chunk.clone(), file, blocks });
        self.end_long_file()
    }

    /// Writes what waits for a follower; what the manifest names of it.
    fn held(&mut self, follower: RelationId, batches: &[RecordBatch]) -> Result<Option<Rows>> {
        let (mut blocks, mut high) = (Vec::new(), 0);
        let mut next = 0;
        for (place, rows) in batches.iter().enumerate() {
            self.interrupt.check()?;
            // Blocks of the same identities are of the same types: those of the first batch are its own.
            let columns: Arc<[ColumnId]> =
                (0..rows.num_columns()).map(|column| ColumnId(next + column as u32)).collect();
            next += if place == 0 { rows.num_columns() as u32 } else { 0 };
            let writer = self.writer()?;
            blocks.push(((writer.number(), writer.blocks()), 0));
            writer.rows(follower, &columns, high, None, rows)?;
            high += rows.num_rows() as u64;
            self.end_long_file()?;
        }
        Ok((!blocks.is_empty()).then(|| Rows { relation: follower, high, blocks, deaths: Vec::new() }))
    }

    /// Writes the rows that died since the checkpoint before; all sets of dead rows from now on.
    fn deaths(
        &mut self,
        relation: RelationId,
        saving: &Saving,
        mut new: RoaringTreemap,
        epoch: u64,
    ) -> Result<Vec<Part>> {
        let before = self.named.deaths.get(&relation).cloned().unwrap_or_default();
        let mut parts: Vec<Part> = before.iter().map(|deaths| (deaths.file(), deaths.number)).collect();
        let merges = before.iter().any(|deaths| self.merged.contains(&deaths.file()));
        if new.is_empty() && !merges {
            return Ok(parts);
        }
        if before.len() >= DEATHS_MAX || merges {
            for deaths in before {
                new |= deaths.read()?;
            }
            new = still_held(&new, &saving.chunks, epoch);
            parts.clear();
        }
        if new.is_empty() {
            return Ok(parts);
        }
        let writer = self.writer()?;
        parts.push((writer.number(), writer.deaths(relation, &new)?));
        self.end_long_file()?;
        Ok(parts)
    }

    fn writer(&mut self) -> Result<&mut SegmentWriter> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let writer = self.store.files().create()?;
                self.begun.push(writer.number());
                writer
            }
        };
        Ok(self.writer.insert(writer))
    }

    fn end_long_file(&mut self) -> Result<()> {
        match &self.writer {
            Some(writer) if writer.len() >= FILE_BYTES => self.end_file(),
            _ => Ok(()),
        }
    }

    fn end_file(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            self.files.push(writer.finish()?);
        }
        Ok(())
    }
}

/// The rows in pieces of which each is of about the bytes that a block may have.
fn pieces(rows: &RecordBatch) -> impl Iterator<Item = Range<usize>> {
    let blocks = rows_bytes(rows).div_ceil(BLOCK_BYTES).max(1);
    let count = rows.num_rows();
    let step = count.div_ceil(blocks).max(1);
    (0..count).step_by(step).map(move |start| start..(start + step).min(count))
}

fn put(
    writer: &mut SegmentWriter,
    relation: RelationId,
    chunk: &Chunk,
    columns: &Arc<[ColumnId]>,
    rows: &RecordBatch,
    range: Range<usize>,
) -> Result<()> {
    let first = chunk.id(range.start);
    let follow = chunk.id(range.end - 1) - first == (range.len() - 1) as u64;
    let ids: Option<Vec<u64>> = (!follow).then(|| range.clone().map(|offset| chunk.id(offset)).collect());
    writer.rows(relation, columns, first, ids.as_deref(), &rows.slice(range.start, range.len()))
}

/// Those of the ids that are ids of rows in the chunks that are named.
fn still_held(ids: &RoaringTreemap, chunks: &[(Arc<Chunk>, bool)], epoch: u64) -> RoaringTreemap {
    let chunks: Vec<&Arc<Chunk>> =
        chunks.iter().map(|(chunk, _)| chunk).filter(|chunk| !is_gone(chunk, epoch)).collect();
    let held = |id: &u64| {
        let number = chunks.partition_point(|chunk| chunk.first() <= *id).checked_sub(1);
        number.is_some_and(|number| chunks[number].find(*id).is_some())
    };
    ids.iter().filter(held).collect()
}
