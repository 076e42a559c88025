//! A unique key that the door enforces: key columns to the id of the one live row that has them.
//!
//! Keys that hold a NULL are never equal to any, as in SQL. A key knows its columns by identity, so that it outlives a
//! change of the relation's other columns.
//!
//! ```text
//! rows that came a few at a time     key values -> row id, in memory: holds those of living rows
//! rows of large commits, and of      runs of (hash, row id) in files: ids of dead rows may be among them, and whoever
//! large tables opened again          finds one looks whether the row lives and has these values
//! ```

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute;
use arrow::datatypes::DataType;
use roaring::RoaringTreemap;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::Relation;
use crate::db::rows::row_ids;
use crate::db::value::display;
use crate::state::input::{Input, Shape, row_converter};
use crate::state::key_table::{KeyTable, NO_GROUP};
use crate::state::row_arena::RowArena;
use crate::state::snapshot::Snapshot;
use crate::storage::run::{Run, RunWriter};
use crate::storage::spool::{Rows, Spooled, Spooling};

/// Where the number of a file stands in an id that counts over several.
const FILE_SHIFT: u32 = 44;
/// Runs that are looked through before some are made one.
const RUNS_MAX: usize = 16;

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
    /// Those of rows that are not in `keys`, each with how much is added to its ids.
    runs: Vec<(Arc<Run>, u64)>,
}

/// The rows offered to a key before any of them is stored.
pub struct Offered {
    /// The key in which each row is taken by a live row, or [`NO_GROUP`].
    groups: Vec<u32>,
    /// Numbers the different keys among the rows.
    numbers: Vec<u32>,
    /// The row whose key each has, of those that are in runs.
    stored: Vec<Option<u64>>,
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
        let (rows, unused, runs) = Default::default();
        Ok(UniqueKey { name, columns, types, places, keys, rows, unused, runs })
    }

    /// A key over the rows of `snapshot`; an error names a value that stands twice. What is known of many rows goes to
    /// `files`, if there are some.
    pub fn build(
        relation: &Relation,
        name: String,
        places: &[usize],
        snapshot: &Snapshot,
        spooling: Option<&Spooling>,
    ) -> Result<Self> {
        let mut key = Self::new(relation, name, places)?;
        let chunks = |read: &mut dyn FnMut(&[ArrayRef], &UInt64Array) -> Result<()>| {
            for chunk in 0..snapshot.chunks() {
                if let Some(batch) = snapshot.read_chunk(chunk, Some(places), true)? {
                    read(&batch.columns()[..places.len()], &row_ids(&batch)?)?;
                }
            }
            Result::<()>::Ok(())
        };
        let is_large = |spooling: &&Spooling| snapshot.num_rows() > spooling.sizes.key_rows;
        let Some(Spooling { files, sizes }) = spooling.filter(is_large) else {
            let mut once = KeyTable::new(&key.types)?;
            chunks(&mut |keys, ids| {
                key.check_once(relation, keys, &mut once)?;
                key.insert_columns(keys, ids.len(), |row| ids.value(row))
            })?;
            return Ok(key);
        };
        let mut writer = RunWriter::new(files, relation.id, sizes.key_rows as usize, &Interrupt::default());
        chunks(&mut |keys, ids| push(&mut writer, keys, |row| ids.value(row)))?;
        let run = writer.finish(&mut |pairs| {
            // Values are read again for what is most likely an error.
            let wanted: BTreeSet<u64> = pairs.iter().flat_map(|&(one, other)| [one, other]).collect();
            let (mut parts, mut place_of) = (Vec::new(), HashMap::new());
            chunks(&mut |keys, ids| {
                let rows = (0..ids.len()).filter(|&row| wanted.contains(&ids.value(row)));
                let rows: Vec<u32> = rows.map(|row| row as u32).collect();
                place_of.extend(rows.iter().enumerate().map(|(at, &row)| (ids.value(row as usize), (parts.len(), at))));
                parts.push(take_all(keys, &rows)?);
                Ok(())
            })?;
            let take = |ids: &[u64]| -> Result<Vec<ArrayRef>> {
                let places: Vec<(usize, usize)> = ids.iter().filter_map(|id| place_of.get(id).copied()).collect();
                let column = |column: usize| -> Result<ArrayRef> {
                    let arrays: Vec<&dyn Array> = parts.iter().map(|part| part[column].as_ref()).collect();
                    Ok(compute::interleave(&arrays, &places)?)
                };
                (0..key.types.len()).map(column).collect()
            };
            key.refuse_equal(relation, pairs, &take, &take)
        })?;
        key.runs.extend(run.map(|run| (Arc::new(run), 0)));
        Ok(key)
    }

    /// Makes what keys over the places of `relation` need to know of rows in files, before the door: it takes long.
    pub fn prepare(
        relation: &Relation,
        name: String,
        places: &[usize],
        inserts: &[Rows],
        interrupt: &Interrupt,
    ) -> Result<()> {
        let key = Self::new(relation, name, places)?;
        let spooled: Vec<_> = spooled_of(inserts).collect();
        spooled.iter().try_for_each(|one| key.run_of(relation, one, interrupt).map(drop))?;
        key.check_apart(relation, &spooled, interrupt)
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
    pub fn check(
        &self,
        relation: &Relation,
        arena: &RowArena,
        inserts: &[Rows],
        deletes: &RoaringTreemap,
    ) -> Result<()> {
        let mut once = KeyTable::new(&self.types)?;
        let is_single = inserts.iter().map(Rows::len).sum::<usize>() < 2;
        let lives = |id: u64| !deletes.contains(id) && arena.weight(id).is_some();
        for rows in inserts.iter().filter(|rows| matches!(rows, Rows::Held(_))) {
            let keys = rows.columns(0, &self.places)?;
            self.check_taken(relation, &keys, deletes)?;
            if !is_single {
                self.check_once(relation, &keys, &mut once)?;
            }
            for (row, is_taken) in self.stored(arena, &keys, &lives)?.into_iter().enumerate() {
                if is_taken.is_some() {
                    return Err(self.duplicate(relation, &keys, row));
                }
            }
        }
        let spooled: Vec<&Arc<Spooled>> = spooled_of(inserts).collect();
        let never = Interrupt::default();
        for one in &spooled {
            let own = |ids: &[u64]| self.places.iter().map(|&place| one.take(ids, place)).collect::<Result<Vec<_>>>();
            let Some(run) = self.run_of(relation, one, &never)? else { continue };
            self.check_in_memory(relation, one, &once, deletes)?;
            for (stored, shift) in &self.runs {
                run.join(stored, &mut |pairs| {
                    let pairs = pairs.iter().map(|&(new, old)| (new, old + shift)).filter(|&(_, old)| lives(old));
                    self.refuse_equal(relation, &pairs.collect::<Vec<_>>(), &own, &|ids| arena.take(ids, &self.places))
                })?;
            }
        }
        self.check_apart(relation, &spooled, &never)
    }

    /// An error if a key stands twice in several files of a commit.
    fn check_apart(&self, relation: &Relation, spooled: &[&Arc<Spooled>], interrupt: &Interrupt) -> Result<()> {
        let [.., _, last] = spooled else { return Ok(()) };
        let numbers = spooled.iter().map(|one| one.name().number).collect();
        last.apart(&self.columns, numbers, || {
            let mut runs = Vec::new();
            for (place, one) in spooled.iter().enumerate() {
                let run = self.run_of(relation, one, interrupt)?;
                runs.extend(run.map(|run| (run, (place as u64) << FILE_SHIFT)));
            }
            Run::alike(&runs, interrupt, &mut |pairs| {
                let take = |id: u64| {
                    let one = spooled[(id >> FILE_SHIFT) as usize];
                    move |ids: &[u64]| self.places.iter().map(|&place| one.take(ids, place)).collect::<Result<Vec<_>>>()
                };
                pairs.iter().try_for_each(|&(one, other)| {
                    let within = |id: u64| id & ((1 << FILE_SHIFT) - 1);
                    self.refuse_equal(relation, &[(within(one), within(other))], &take(one), &take(other))
                })
            })
        })
    }

    /// An error if a key is that of a row in memory that is not deleted.
    fn check_taken(&self, relation: &Relation, keys: &[ArrayRef], deletes: &RoaringTreemap) -> Result<()> {
        let is_taken = |group: &u32| self.row(*group).is_some_and(|id| !deletes.contains(id));
        match self.find(keys)?.iter().position(is_taken) {
            Some(row) => Err(self.duplicate(relation, keys, row)),
            None => Ok(()),
        }
    }

    /// An error if a key is among those that `once` has seen.
    fn check_once(&self, relation: &Relation, keys: &[ArrayRef], once: &mut KeyTable) -> Result<()> {
        let (mut next, mut numbers) = (once.len() as u32, Vec::new());
        once.intern(keys, keys.first().map_or(0, |key| key.len()), &mut numbers)?;
        for (row, &number) in numbers.iter().enumerate() {
            if number < next && !is_null(keys, row) {
                return Err(self.duplicate(relation, keys, row));
            }
            next = next.max(number + 1);
        }
        Ok(())
    }

    /// An error if a key of rows in a file is that of a row in memory, or among those that `once` has seen.
    fn check_in_memory(
        &self,
        relation: &Relation,
        spooled: &Spooled,
        once: &KeyTable,
        deletes: &RoaringTreemap,
    ) -> Result<()> {
        if self.keys.is_empty() && once.is_empty() {
            return Ok(());
        }
        for (number, block) in spooled.blocks().iter().enumerate() {
            let keys = self.places.iter().map(|&place| spooled.column(number, place)).collect::<Result<Vec<_>>>()?;
            self.check_taken(relation, &keys, deletes)?;
            let mut seen = Vec::new();
            once.find(&keys, block.rows, &mut seen)?;
            if let Some(row) = (0..block.rows).find(|&row| seen[row] != NO_GROUP && !is_null(&keys, row)) {
                return Err(self.duplicate(relation, &keys, row));
            }
        }
        Ok(())
    }

    /// What it needs to know of rows in a file; an error if a key stands in them twice.
    fn run_of(&self, relation: &Relation, spooled: &Spooled, interrupt: &Interrupt) -> Result<Option<Arc<Run>>> {
        spooled.run(&self.columns, |Spooling { files, sizes }| {
            let mut writer = RunWriter::new(files, relation.id, sizes.key_rows as usize, interrupt);
            for (number, block) in spooled.blocks().iter().enumerate() {
                let keys = self.places.iter().map(|&place| spooled.column(number, place));
                push(&mut writer, &keys.collect::<Result<Vec<_>>>()?, |row| block.first + row as u64)?;
            }
            let take = |ids: &[u64]| self.places.iter().map(|&place| spooled.take(ids, place)).collect();
            writer.finish(&mut |pairs| self.refuse_equal(relation, pairs, &take, &take))
        })
    }

    /// Of each row the living one in runs that has its key.
    fn stored(&self, arena: &RowArena, keys: &[ArrayRef], lives: &dyn Fn(u64) -> bool) -> Result<Vec<Option<u64>>> {
        let rows = keys.first().map_or(0, |key| key.len());
        let mut stored = vec![None; rows];
        if self.runs.is_empty() {
            return Ok(stored);
        }
        let hashes = hashes_of(keys)?;
        let hashes = hashes.into_iter().enumerate().filter(|(row, _)| !is_null(keys, *row));
        let mut hashes: Vec<(u64, u64)> = hashes.map(|(row, hash)| (hash, row as u64)).collect();
        hashes.sort_unstable();
        let mut pairs = Vec::new();
        for (run, shift) in &self.runs {
            run.find(&hashes, &mut |row, id| {
                if lives(id + shift) {
                    pairs.push((row, id + shift));
                }
            })?;
        }
        let own = |rows: &[u64]| take_all(keys, &rows.iter().map(|&row| row as u32).collect::<Vec<_>>());
        let equal = self.equal(&pairs, &own, &|ids| arena.take(ids, &self.places))?;
        for (&(row, id), _) in pairs.iter().zip(equal).filter(|(_, equal)| *equal) {
            stored[row as usize] = Some(id);
        }
        Ok(stored)
    }

    /// An error if the two rows of a pair have the same key.
    fn refuse_equal(&self, relation: &Relation, pairs: &[(u64, u64)], one: &Take, other: &Take) -> Result<()> {
        match self.equal(pairs, one, other)?.into_iter().position(|equal| equal) {
            Some(at) => Err(self.duplicate(relation, &one(&[pairs[at].0])?, 0)),
            None => Ok(()),
        }
    }

    /// Of each pair whether its two rows have the same key.
    fn equal(&self, pairs: &[(u64, u64)], one: &Take, other: &Take) -> Result<Vec<bool>> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let mut numbers = KeyTable::new(&self.types)?;
        let (mut left, mut right) = (Vec::new(), Vec::new());
        numbers.intern(&one(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>())?, pairs.len(), &mut left)?;
        numbers.find(&other(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>())?, pairs.len(), &mut right)?;
        Ok(left.iter().zip(&right).map(|(left, right)| left == right).collect())
    }

    /// What an upsert needs to know of the rows it offers.
    pub fn offer(&self, arena: &RowArena, rows: &RecordBatch) -> Result<Offered> {
        let keys = self.key_columns(rows);
        let mut once = KeyTable::new(&self.types)?;
        let mut numbers = Vec::new();
        once.intern(&keys, rows.num_rows(), &mut numbers)?;
        let null = (0..rows.num_rows()).map(|row| is_null(&keys, row)).collect();
        let stored = self.stored(arena, &keys, &|id| arena.weight(id).is_some())?;
        Ok(Offered { groups: self.find(&keys)?, stored, numbers, null, taken: HashSet::new() })
    }

    /// The live row that has the key of an offered row.
    pub fn taken_by(&self, offered: &Offered, row: usize) -> Option<u64> {
        self.row(offered.groups[row]).or(offered.stored[row])
    }

    /// Enters stored rows, whose ids follow each other.
    pub fn insert(&mut self, batch: &RecordBatch, first: u64) -> Result<()> {
        self.insert_columns(&self.key_columns(batch), batch.num_rows(), |row| first + row as u64)
    }

    /// Enters stored rows of a file, whose ids are by `shift` greater than those in it.
    pub fn insert_spooled(
        &mut self,
        relation: &Relation,
        spooled: &Spooled,
        shift: u64,
        arena: &RowArena,
    ) -> Result<()> {
        let run = self.run_of(relation, spooled, &Interrupt::default())?;
        self.runs.extend(run.map(|run| (run, shift)));
        if self.runs.len() > RUNS_MAX {
            self.merge_runs(relation, spooled, arena);
        }
        Ok(())
    }

    /// Makes one of the shorter half of the runs. That it fails loses nothing.
    fn merge_runs(&mut self, relation: &Relation, spooled: &Spooled, arena: &RowArena) {
        self.runs.sort_by_key(|(run, _)| std::cmp::Reverse(run.len()));
        let short = self.runs.len() / 2;
        let merged =
            Run::merge(&spooled.spooling().files, relation.id, &self.runs[short..], &|id| arena.weight(id).is_some());
        if let Ok(merged) = merged {
            self.runs.truncate(short);
            self.runs.extend(merged.map(|run| (Arc::new(run), 0)));
        }
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
                match self.runs.is_empty() {
                    true => return Err(self.defect("no row to delete")),
                    false => continue,
                }
            }
            self.rows[group as usize] = NO_ROW;
            self.unused.push(group);
        }
        Ok(())
    }

    /// Takes the rows out that do not live, and the runs that have no others.
    pub fn retain_living(&mut self, arena: &RowArena) {
        let lives = |id: u64| arena.weight(id).is_some();
        self.runs.retain(|(run, shift)| arena.has_living(run.ids().start() + shift, run.ids().end() + shift));
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

/// The key columns of rows by number or id.
type Take<'a> = dyn Fn(&[u64]) -> Result<Vec<ArrayRef>> + 'a;

/// The rows that are in files.
fn spooled_of(inserts: &[Rows]) -> impl Iterator<Item = &Arc<Spooled>> {
    inserts.iter().filter_map(|rows| match rows {
        Rows::Held(_) => None,
        Rows::Spooled(spooled) => Some(spooled),
    })
}

/// Enters the keys of rows into a run; those that hold a NULL are like no other.
fn push(writer: &mut RunWriter, keys: &[ArrayRef], id: impl Fn(usize) -> u64) -> Result<()> {
    for (row, hash) in hashes_of(keys)?.into_iter().enumerate() {
        if !is_null(keys, row) {
            writer.push(hash, id(row))?;
        }
    }
    Ok(())
}

/// A hash of each key. Equal keys have equal ones.
fn hashes_of(keys: &[ArrayRef]) -> Result<Vec<u64>> {
    let mut hashes = vec![0; keys.first().map_or(0, |key| key.len())];
    for key in keys {
        let shape = Shape::of(key.data_type());
        let converter = (shape == Shape::Row).then(|| row_converter([key.data_type()])).transpose()?;
        Input::new(key, shape, converter.as_ref())?.hash(&mut hashes);
    }
    Ok(hashes)
}

fn take_all(columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<ArrayRef>> {
    let rows = UInt32Array::from(rows.to_vec());
    columns.iter().map(|column| Ok(compute::take(column, &rows, None)?)).collect()
}
