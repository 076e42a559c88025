//! Sorted runs of hashes with row ids, in segment files: what a unique key knows of rows that are too many to be held
//! in memory.
//!
//! A run is made of pairs in any order: they are sorted, so many at a time, and the pieces merged. Who looks something
//! up reads one block of 8,192 pairs, whose first hashes are in memory. A hash is never an identity: whoever finds one
//! compares the values. A run lives as long as its object; its file means nothing to anybody else.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};

use crate::base::error::Result;
use crate::base::limits::Interrupt;
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::RelationId;
use crate::storage::segment::{Block, SegmentFiles, SegmentWriter};

/// Pairs of a block.
const BLOCK: usize = 1 << 13;
/// Pairs of equal hashes that are looked at together.
const SUSPECTS: usize = 1 << 10;

/// Takes pairs of ids whose hashes are equal; an error ends what finds them.
pub type Suspects<'a> = dyn FnMut(&[(u64, u64)]) -> Result<()> + 'a;

/// Hashes in order, each with a row id.
#[derive(Debug)]
pub struct Run {
    files: Arc<SegmentFiles>,
    number: u64,
    blocks: Vec<Arc<Block>>,
    /// The first hash of each block.
    firsts: Vec<u64>,
    ids: RangeInclusive<u64>,
    len: u64,
}

impl Run {
    /// How many pairs it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// All its ids lie between these.
    pub fn ids(&self) -> RangeInclusive<u64> {
        self.ids.clone()
    }

    /// Tells of each of `hashes`, which are in order and have numbers, the ids that it is here with.
    pub fn find(&self, hashes: &[(u64, u64)], found: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let mut held: Option<(usize, Pairs)> = None;
        for &(hash, number) in hashes {
            // Equal hashes may begin at the end of a block.
            let start = self.firsts.partition_point(|&first| first < hash).saturating_sub(1);
            for place in (start..self.blocks.len()).take_while(|&place| self.firsts[place] <= hash) {
                if held.as_ref().is_none_or(|(at, _)| *at != place) {
                    held = Some((place, Pairs::of(&self.blocks[place], true)?));
                }
                let Some((_, pairs)) = &held else { continue };
                let first = pairs.hashes.values().partition_point(|&other| other < hash);
                for at in (first..pairs.hashes.len()).take_while(|&at| pairs.hashes.value(at) == hash) {
                    found(number, pairs.ids.value(at));
                }
            }
        }
        Ok(())
    }

    /// Tells the pairs of ids, one of this run and one of another, whose hashes are equal.
    pub fn join(&self, other: &Run, suspects: &mut Suspects) -> Result<()> {
        let (mut own, mut others) = (Cursor::of(self.blocks.clone())?, Cursor::of(other.blocks.clone())?);
        let (mut pairs, mut alike) = (Vec::new(), Vec::new());
        while let (Some((hash, _)), Some((other, _))) = (own.pair(), others.pair()) {
            if hash < other {
                own.advance()?;
            } else if other < hash {
                others.advance()?;
            } else {
                alike.clear();
                while let Some((_, id)) = others.pair().filter(|(other, _)| *other == hash) {
                    alike.push(id);
                    others.advance()?;
                }
                while let Some((_, id)) = own.pair().filter(|(own, _)| *own == hash) {
                    pairs.extend(alike.iter().map(|&other| (id, other)));
                    own.advance()?;
                }
                if pairs.len() >= SUSPECTS {
                    suspects(&pairs)?;
                    pairs.clear();
                }
            }
        }
        if pairs.is_empty() { Ok(()) } else { suspects(&pairs) }
    }

    /// Tells the pairs of ids with equal hashes within several runs; of each run with how much is added to its ids.
    pub fn alike(runs: &[(Arc<Run>, u64)], interrupt: &Interrupt, suspects: &mut Suspects) -> Result<()> {
        let cursors = runs.iter().map(|(run, shift)| Ok((Cursor::of(run.blocks.clone())?, *shift)));
        let mut alike = Alike { hash: 0, ids: Vec::new(), pairs: Vec::new(), suspects };
        let mut look = now_and_then(interrupt.clone());
        merge(cursors.collect::<Result<_>>()?, &mut |hash, id| {
            look()?;
            alike.push(hash, id)
        })?;
        alike.end()
    }

    /// One run of several, without the ids that are not kept; of each run with how much is added to its ids.
    pub fn merge(
        files: &Arc<SegmentFiles>,
        relation: RelationId,
        runs: &[(Arc<Run>, u64)],
        keep: &dyn Fn(u64) -> bool,
    ) -> Result<Option<Run>> {
        let cursors = runs.iter().map(|(run, shift)| Ok((Cursor::of(run.blocks.clone())?, *shift)));
        let mut output = Output::new(files, relation);
        merge(cursors.collect::<Result<_>>()?, &mut |hash, id| if keep(id) { output.push(hash, id) } else { Ok(()) })?;
        output.finish()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.files.discard_brought(self.number);
    }
}

/// Takes hashes with row ids and makes a run of them.
pub struct RunWriter {
    files: Arc<SegmentFiles>,
    relation: RelationId,
    /// Pairs that are sorted at once.
    piece: usize,
    interrupt: Interrupt,
    pairs: Vec<(u64, u64)>,
    pieces: Vec<Run>,
}

impl RunWriter {
    /// Of rows of a relation; so many pairs are sorted at once, and `interrupt` calls it off.
    pub fn new(files: &Arc<SegmentFiles>, relation: RelationId, piece: usize, interrupt: &Interrupt) -> Self {
        let (pairs, pieces, interrupt) = (Vec::new(), Vec::new(), interrupt.clone());
        RunWriter { files: files.clone(), relation, piece: piece.max(1), interrupt, pairs, pieces }
    }

    /// Takes a hash and its row id.
    pub fn push(&mut self, hash: u64, id: u64) -> Result<()> {
        self.pairs.push((hash, id));
        if self.pairs.len() < self.piece {
            return Ok(());
        }
        self.interrupt.check()?;
        let piece = self.sorted()?;
        self.pieces.extend(piece);
        Ok(())
    }

    /// The run, none of no rows; pairs of ids with equal hashes are told on the way.
    pub fn finish(mut self, suspects: &mut Suspects) -> Result<Option<Run>> {
        let last = self.sorted()?;
        self.pieces.extend(last);
        let mut alike = Alike { hash: 0, ids: Vec::new(), pairs: Vec::new(), suspects };
        let mut output = Output::new(&self.files, self.relation);
        let cursors = self.pieces.iter().map(|piece| Ok((Cursor::of(piece.blocks.clone())?, 0)));
        let (cursors, is_one) = (cursors.collect::<Result<Vec<_>>>()?, self.pieces.len() == 1);
        let mut look = now_and_then(self.interrupt.clone());
        merge(cursors, &mut |hash, id| {
            look()?;
            alike.push(hash, id)?;
            if is_one { Ok(()) } else { output.push(hash, id) }
        })?;
        alike.end()?;
        if is_one { Ok(self.pieces.pop()) } else { output.finish() }
    }

    fn sorted(&mut self) -> Result<Option<Run>> {
        self.pairs.sort_unstable();
        let mut output = Output::new(&self.files, self.relation);
        self.pairs.drain(..).try_for_each(|(hash, id)| output.push(hash, id))?;
        output.finish()
    }
}

/// Finds equal hashes among hashes in order.
struct Alike<'a, 'b> {
    hash: u64,
    ids: Vec<u64>,
    pairs: Vec<(u64, u64)>,
    suspects: &'a mut Suspects<'b>,
}

impl Alike<'_, '_> {
    fn push(&mut self, hash: u64, id: u64) -> Result<()> {
        if hash != self.hash {
            self.ids.clear();
            self.hash = hash;
        }
        self.pairs.extend(self.ids.iter().map(|&other| (other, id)));
        self.ids.push(id);
        if self.pairs.len() < SUSPECTS { Ok(()) } else { self.end() }
    }

    fn end(&mut self) -> Result<()> {
        let pairs = std::mem::take(&mut self.pairs);
        if pairs.is_empty() { Ok(()) } else { (self.suspects)(&pairs) }
    }
}

/// Looks at an interrupt once in a while.
fn now_and_then(interrupt: Interrupt) -> impl FnMut() -> Result<()> {
    let mut seen = 0;
    move || {
        seen = (seen + 1) % BLOCK;
        if seen == 0 { interrupt.check() } else { Ok(()) }
    }
}

/// Hands out the pairs of several cursors in order.
fn merge(mut cursors: Vec<(Cursor, u64)>, next: &mut dyn FnMut(u64, u64) -> Result<()>) -> Result<()> {
    let mut heap: BinaryHeap<Reverse<(u64, u64, usize)>> = BinaryHeap::new();
    for (place, (cursor, shift)) in cursors.iter().enumerate() {
        heap.extend(cursor.pair().map(|(hash, id)| Reverse((hash, id + shift, place))));
    }
    while let Some(mut top) = heap.peek_mut() {
        let Reverse((hash, id, place)) = *top;
        next(hash, id)?;
        let (cursor, shift) = &mut cursors[place];
        cursor.advance()?;
        match cursor.pair() {
            Some((hash, id)) => *top = Reverse((hash, id + *shift, place)),
            None => drop(PeekMut::pop(top)),
        }
    }
    Ok(())
}

/// The pairs of a block.
struct Pairs {
    hashes: UInt64Array,
    ids: UInt64Array,
}

impl Pairs {
    fn of(block: &Block, is_kept: bool) -> Result<Self> {
        let column = |place| if is_kept { block.column(place) } else { block.read_column(place) };
        Ok(Pairs {
            hashes: column(0)?.as_primitive::<UInt64Type>().clone(),
            ids: column(1)?.as_primitive::<UInt64Type>().clone(),
        })
    }
}

/// Goes through pairs in order.
struct Cursor {
    blocks: std::vec::IntoIter<Arc<Block>>,
    pairs: Option<Pairs>,
    at: usize,
}

impl Cursor {
    fn of(blocks: Vec<Arc<Block>>) -> Result<Self> {
        let mut cursor = Cursor { blocks: blocks.into_iter(), pairs: None, at: 0 };
        cursor.next_block()?;
        Ok(cursor)
    }

    #[inline]
    fn pair(&self) -> Option<(u64, u64)> {
        self.pairs.as_ref().map(|pairs| (pairs.hashes.value(self.at), pairs.ids.value(self.at)))
    }

    #[inline]
    fn advance(&mut self) -> Result<()> {
        self.at += 1;
        match &self.pairs {
            Some(pairs) if self.at == pairs.hashes.len() => self.next_block(),
            _ => Ok(()),
        }
    }

    fn next_block(&mut self) -> Result<()> {
        self.at = 0;
        self.pairs = self.blocks.next().map(|block| Pairs::of(&block, false)).transpose()?;
        Ok(())
    }
}

/// Writes pairs in order.
struct Output<'a> {
    files: &'a Arc<SegmentFiles>,
    relation: RelationId,
    schema: SchemaRef,
    writer: Option<SegmentWriter>,
    pairs: (Vec<u64>, Vec<u64>),
    firsts: Vec<u64>,
    ids: (u64, u64),
    len: u64,
}

impl<'a> Output<'a> {
    fn new(files: &'a Arc<SegmentFiles>, relation: RelationId) -> Self {
        let field = |name: &str| Field::new(name, DataType::UInt64, false);
        let schema = Arc::new(Schema::new(vec![field("hash"), field("id")]));
        let (pairs, firsts) = Default::default();
        Output { files, relation, schema, writer: None, pairs, firsts, ids: (u64::MAX, 0), len: 0 }
    }

    #[inline]
    fn push(&mut self, hash: u64, id: u64) -> Result<()> {
        self.pairs.0.push(hash);
        self.pairs.1.push(id);
        self.ids = (self.ids.0.min(id), self.ids.1.max(id));
        self.len += 1;
        if self.pairs.0.len() < BLOCK { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<()> {
        let (hashes, ids) = std::mem::take(&mut self.pairs);
        let Some(&first) = hashes.first() else { return Ok(()) };
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.files.create_brought()?,
        };
        let columns: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(hashes)), Arc::new(UInt64Array::from(ids))];
        let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
        let names: Arc<[ColumnId]> = Arc::new([ColumnId(0), ColumnId(1)]);
        let written = writer.rows(self.relation, &names, 0, None, &rows);
        self.writer = Some(writer);
        self.firsts.push(first);
        written
    }

    fn finish(mut self) -> Result<Option<Run>> {
        self.write()?;
        let Some(writer) = self.writer.take() else { return Ok(None) };
        let number = writer.number();
        // Synced not because anybody reads it after a restart, but because a write that failed may say so only then.
        let file = writer.finish().inspect_err(|_| self.files.discard_brought(number))?;
        let (files, firsts) = (self.files.clone(), std::mem::take(&mut self.firsts));
        Ok(Some(Run { files, number, blocks: file.blocks, firsts, ids: self.ids.0..=self.ids.1, len: self.len }))
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            self.files.discard_brought(writer.number());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::vfs::MemoryVfs;
    use crate::storage::segment::Cache;

    fn files() -> Arc<SegmentFiles> {
        let cache = Arc::new(Cache::new(1 << 20));
        Arc::new(SegmentFiles::new(Arc::new(MemoryVfs::default()), [1; 16], cache, 1).expect("an empty tree"))
    }

    /// Pairs of which many have the same hash, among them so many that they fill more than a block.
    fn pairs(seed: u64, count: u64) -> Vec<(u64, u64)> {
        let hash = |n: u64| match n % 3 {
            0 => (n * 2_654_435_761 + seed) % 5_000,
            1 => 777,
            _ => n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        (0..count).map(|n| (hash(n), n)).collect()
    }

    fn run_of(files: &Arc<SegmentFiles>, pairs: &[(u64, u64)], piece: usize) -> Run {
        let mut writer = RunWriter::new(files, RelationId(1), piece, &Interrupt::default());
        pairs.iter().for_each(|&(hash, id)| writer.push(hash, id).expect("written"));
        writer.finish(&mut |_| Ok(())).expect("merged").expect("some")
    }

    fn all(run: &Run) -> Vec<(u64, u64)> {
        let mut cursor = Cursor::of(run.blocks.clone()).expect("read");
        let mut all = Vec::new();
        while let Some(pair) = cursor.pair() {
            all.push(pair);
            cursor.advance().expect("read");
        }
        all
    }

    #[test]
    fn a_run_finds_every_pair_of_a_hash_wherever_blocks_end() {
        let files = files();
        let pairs = pairs(5, 30_000);
        let run = run_of(&files, &pairs, 4_000);
        let mut sorted = pairs.clone();
        sorted.sort_unstable();
        assert_eq!(all(&run), sorted);
        assert_eq!((run.len(), run.ids()), (30_000, 0..=29_999));
        for hash in [0, 776, 777, 778, 4_999, u64::MAX, pairs[2].0, pairs[29_999].0] {
            let mut found = Vec::new();
            run.find(&[(hash, 9)], &mut |number, id| found.push((number, id))).expect("read");
            let expected: Vec<_> = sorted.iter().filter(|pair| pair.0 == hash).map(|pair| (9, pair.1)).collect();
            assert_eq!(found, expected, "hash {hash}");
        }
        drop(run);
        assert_eq!(files.next(), 10, "eight pieces and the whole");
    }

    #[test]
    fn equal_hashes_are_told_within_a_run_and_between_two() {
        let files = files();
        let (one, other) = (pairs(5, 900), pairs(9, 700));
        let mut told = BTreeSet::new();
        let mut writer = RunWriter::new(&files, RelationId(1), 100, &Interrupt::default());
        one.iter().for_each(|&(hash, id)| writer.push(hash, id).expect("written"));
        let run = writer.finish(&mut |pairs| {
            told.extend(pairs.iter().copied());
            Ok(())
        });
        let run = run.expect("merged").expect("some");
        let alike = |one: &[(u64, u64)], other: &[(u64, u64)]| -> BTreeSet<(u64, u64)> {
            let with = |a: &(u64, u64)| other.iter().filter(|b| b.0 == a.0).map(|b| (a.1, b.1)).collect::<Vec<_>>();
            one.iter().flat_map(with).collect()
        };
        let expected: BTreeSet<_> = alike(&one, &one).into_iter().filter(|(a, b)| a < b).collect();
        assert_eq!(told, expected);
        let mut joined = BTreeSet::new();
        let second = run_of(&files, &other, 50);
        let join = run.join(&second, &mut |pairs| {
            joined.extend(pairs.iter().copied());
            Ok(())
        });
        join.expect("read");
        assert_eq!(joined, alike(&one, &other));
        let runs = [(Arc::new(run), 0), (Arc::new(second), 10_000)];
        let merged = Run::merge(&files, RelationId(1), &runs, &|id| id % 2 == 0).expect("merged").expect("some");
        let shifted = other.iter().map(|&(hash, id)| (hash, id + 10_000));
        let mut expected: Vec<_> = one.iter().copied().chain(shifted).filter(|(_, id)| id % 2 == 0).collect();
        expected.sort_unstable();
        assert_eq!(all(&merged), expected);
    }
}
