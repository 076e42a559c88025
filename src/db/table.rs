//! A table or stream as the sequencer holds it: rows, unique keys, and the door's questions.
//!
//! [`TableState::admit`] asks everything that can refuse a write and changes nothing; [`TableState::apply`] carries an
//! admitted write out, reads nothing and decides nothing. So a refused commit leaves no trace.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute;

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationKind};
use crate::db::unique_key::UniqueKey;
use crate::db::write::{Upsert, Write};
use crate::state::chunk::{Chunk, NEVER};
use crate::state::row_arena::RowArena;
use crate::storage::log::RelationWrite;
use crate::storage::spool::{Rows, Spooling};

/// A table or stream.
pub struct TableState {
    pub relation: Arc<Relation>,
    pub arena: RowArena,
    /// Made when they are first asked, where the rows came from files.
    keys: OnceLock<Vec<UniqueKey>>,
    /// Where what is known of many keys goes, in a directory.
    spooling: Option<Spooling>,
}

impl TableState {
    /// An empty table or stream.
    pub fn new(relation: Arc<Relation>) -> Result<Self> {
        let keys = enforced(&relation).map(|(name, places)| UniqueKey::new(&relation, name, &places));
        let keys = OnceLock::from(keys.collect::<Result<Vec<_>>>()?);
        Ok(TableState { arena: RowArena::of_layout(relation.layout()), keys, spooling: None, relation })
    }

    /// A table or stream whose rows are in files; every row id is below `high`.
    pub fn stored(relation: Arc<Relation>, chunks: Vec<Chunk>, high: u64, spooling: Option<Spooling>) -> Self {
        let arena = RowArena::of_stored(relation.layout(), chunks, high);
        TableState { arena, keys: OnceLock::new(), spooling, relation }
    }

    /// Makes the keys anew when they are asked next: a replay asks none, and who only reads never does.
    pub fn forget_keys(&mut self) {
        self.keys = OnceLock::new();
    }

    /// What is known of many keys goes there from here on.
    pub fn spool_to(&mut self, spooling: Option<Spooling>) {
        self.spooling = spooling;
    }

    /// The keys over the rows there are.
    fn keys(&self) -> Result<&[UniqueKey]> {
        if self.keys.get().is_none() {
            let rows = self.arena.snapshot(NEVER - 1);
            let (relation, files) = (&self.relation, self.spooling.as_ref());
            let keys = enforced(relation).map(|(name, at)| UniqueKey::build(relation, name, &at, &rows, files));
            let _ = self.keys.set(keys.collect::<Result<_>>()?);
        }
        Ok(self.keys.get().map(Vec::as_slice).unwrap_or_default())
    }

    /// Takes a new definition, with converted rows where there are some and with the keys that are new in it. The keys
    /// that it does not name any more are no longer enforced.
    pub fn redefine(&mut self, relation: Arc<Relation>, arena: Option<RowArena>, keys: Vec<UniqueKey>) {
        match arena {
            Some(arena) => self.arena = arena,
            None => self.arena.relayout(relation.layout()),
        }
        let named: Vec<(String, Vec<usize>)> = enforced(&relation).collect();
        if let Some(held) = self.keys.get_mut() {
            held.retain_mut(|key| {
                let name = named.iter().find(|(_, places)| key.follows(&relation, places)).map(|(name, _)| name);
                name.is_some_and(|name| key.rename(name)) && !keys.iter().any(|new| new.is_like(key))
            });
            held.extend(keys);
        }
        self.relation = relation;
    }

    /// Asks everything that can refuse `write` and decides its upsert. Changes nothing.
    pub fn admit(&self, write: Write) -> Result<RelationWrite> {
        let relation = &self.relation;
        let mut admitted = RelationWrite {
            relation: relation.id.0,
            columns: relation.columns.clone(),
            deletes: write.deletes,
            deleted: None,
            inserts: write.inserts.into_iter().filter(|rows| rows.len() > 0).collect(),
            read: Vec::new(),
        };
        if let Some(upsert) = write.upsert {
            self.decide(upsert, &mut admitted)?;
        }
        if relation.kind == RelationKind::Stream && !admitted.deletes.is_empty() {
            return Err(append_only(&relation.name));
        }
        for rows in &admitted.inserts {
            check_not_null_in(relation, rows)?;
        }
        self.check_unique(&admitted)?;
        Ok(admitted)
    }

    /// The bytes that [`TableState::read_for`] would read of files and take of memory, about.
    pub fn asked_bytes(&self, write: &RelationWrite) -> usize {
        let in_files = write.inserts.iter().map(|rows| match rows {
            Rows::Held(_) => 0,
            Rows::Spooled(spooled) => spooled.bytes(),
        });
        in_files
            .sum::<usize>()
            .saturating_add(usize::try_from(self.arena.bytes_of(&write.deletes)).unwrap_or(usize::MAX))
    }

    /// Reads what a write deletes and what it brings in files: who is told of the changes needs them, and behind the
    /// door nothing is read.
    pub fn read_for(&self, write: &mut RelationWrite) -> Result<()> {
        if write.deleted.is_none() && !write.deletes.is_empty() {
            write.deleted = Some(self.rows(&write.deletes.iter().collect::<Vec<_>>())?);
        }
        if write.read.is_empty() {
            let spooled = write.inserts.iter().filter(|rows| matches!(rows, Rows::Spooled(_)));
            write.read = spooled.flat_map(Rows::read).collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// Carries out an admitted write; returns its change, or nothing of a large one that nobody asks for. An error is a
    /// defect: the write was admitted. The sequencer takes a failed assertion for such an error, and no commit after it.
    pub fn apply(&mut self, write: &RelationWrite, epoch: u64, is_asked: bool) -> Result<Vec<ChangeBatch>> {
        assert_eq!(write.columns, self.relation.columns, "rows of other columns than the relation has");
        let mut changes = Vec::with_capacity(write.inserts.len() + 1);
        let mut none = Vec::new();
        let keys = self.keys.get_mut().unwrap_or(&mut none);
        if let Some(gone) = &write.deleted {
            let counts = (gone.num_rows() as u64, write.deletes.len());
            assert_eq!(counts.0, counts.1, "a write carries the rows that it deletes, one for each id");
            keys.iter_mut().try_for_each(|key| key.remove(gone))?;
            changes.push(ChangeBatch::deletes(gone.clone()));
        }
        self.arena.delete_all(&write.deletes, epoch)?;
        if write.deleted.is_none() && !write.deletes.is_empty() {
            keys.iter_mut().for_each(|key| key.retain_living(&self.arena));
        }
        let mut read = write.read.iter();
        for rows in &write.inserts {
            match rows {
                Rows::Held(batch) => {
                    let ids = self.arena.append(batch.clone(), &Weights::Ones)?;
                    keys.iter_mut().try_for_each(|key| key.insert(batch, ids.start))?;
                    changes.extend(is_asked.then(|| ChangeBatch::inserts(batch.clone())));
                }
                Rows::Spooled(spooled) => {
                    spooled.log(epoch);
                    let shift = self.arena.adopt(spooled.blocks(), spooled.end())?;
                    let (relation, arena) = (&self.relation, &self.arena);
                    keys.iter_mut().try_for_each(|key| key.insert_spooled(relation, spooled, shift, arena))?;
                    changes.extend(read.by_ref().take(rows.pieces()).cloned().map(ChangeBatch::inserts));
                }
            }
        }
        keys.iter_mut().for_each(UniqueKey::forget_unused);
        Ok(changes)
    }

    /// Whole rows by id.
    pub fn rows(&self, ids: &[u64]) -> Result<RecordBatch> {
        let columns: Vec<usize> = (0..self.relation.schema.fields().len()).collect();
        Ok(RecordBatch::try_new(self.relation.schema.clone(), self.arena.take(ids, &columns)?)?)
    }

    fn check_unique(&self, write: &RelationWrite) -> Result<()> {
        if write.inserts.is_empty() {
            return Ok(());
        }
        let (relation, arena) = (&self.relation, &self.arena);
        self.keys()?.iter().try_for_each(|key| key.check(relation, arena, &write.inserts, &write.deletes))
    }

    /// Decides for each offered row whether it is inserted, replaces a row, or is dropped. A row whose key holds a NULL
    /// is like no other and is inserted.
    fn decide(&self, upsert: Upsert, write: &mut RelationWrite) -> Result<()> {
        let keys = self.conflict_keys(&upsert)?;
        let offers = keys.iter().map(|key| key.offer(&self.arena, &upsert.rows));
        let mut offers = offers.collect::<Result<Vec<_>>>()?;
        let (mut fresh, mut existing, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..upsert.rows.num_rows() {
            let repeated = offers.iter().any(|offer| offer.repeats(row));
            if repeated && upsert.update.is_some() {
                return Err(Error::invalid("ON CONFLICT DO UPDATE cannot change a row a second time")
                    .with_sqlstate("21000")
                    .with_hint("the inserted rows hold the same key twice"));
            }
            let taken = keys.iter().zip(&offers).find_map(|(key, offer)| key.taken_by(offer, row));
            match taken {
                _ if repeated => continue,
                Some(_) if upsert.update.is_none() => continue,
                Some(id) => {
                    existing.push(row as u32);
                    ids.push(id);
                }
                None => fresh.push(row as u32),
            }
            offers.iter_mut().for_each(|offer| offer.enter(row));
        }
        let take = |rows: Vec<u32>| compute::take_record_batch(&upsert.rows, &UInt32Array::from(rows));
        if !fresh.is_empty() {
            write.inserts.push(Rows::Held(take(fresh)?));
        }
        if let Some(update) = upsert.update.filter(|_| !ids.is_empty()) {
            let (replaced, keep) = update(&self.rows(&ids)?, &take(existing)?)?;
            let replaced = compute::filter_record_batch(&replaced, &keep)?;
            if replaced.num_rows() > 0 {
                write.inserts.push(Rows::Held(replaced));
            }
            let kept = ids.iter().zip(keep.iter()).filter(|(_, keep)| *keep == Some(true));
            write.deletes.extend(kept.map(|(id, _)| *id));
        }
        Ok(())
    }

    /// The keys an upsert asks: the one that it names, or all where it names none.
    fn conflict_keys(&self, upsert: &Upsert) -> Result<Vec<&UniqueKey>> {
        if upsert.columns.is_empty() && upsert.update.is_none() {
            return Ok(self.keys()?.iter().collect());
        }
        let named = self.keys()?.iter().find(|key| key.is_over(&upsert.columns));
        named.map(|key| vec![key]).ok_or_else(|| {
            Error::invalid(format!("\"{}\" has no unique key that ON CONFLICT names", self.relation.name))
                .with_sqlstate("42P10")
                .with_hint("name the columns of its PRIMARY KEY or of a UNIQUE constraint")
        })
    }
}

/// Name and columns of every key a definition wants enforced.
pub fn enforced(relation: &Relation) -> impl Iterator<Item = (String, Vec<usize>)> {
    let primary =
        (!relation.primary_key.is_empty()).then(|| (format!("{}_pkey", relation.name), relation.primary_key.clone()));
    primary.into_iter().chain(relation.unique.iter().cloned())
}

/// Makes what keys need to know of rows in files: before the door, because it takes long there.
pub fn prepare_keys(catalog: &Catalog, writes: &[Write], interrupt: &Interrupt) -> Result<()> {
    let known = writes.iter().filter_map(|write| Some((catalog.by_id(write.relation)?, &write.inserts)));
    known.into_iter().try_for_each(|(relation, inserts)| prepare_keys_of(relation, inserts, interrupt))
}

/// As [`prepare_keys`], of one relation.
pub fn prepare_keys_of(relation: &Relation, inserts: &[Rows], interrupt: &Interrupt) -> Result<()> {
    if inserts.iter().all(|rows| matches!(rows, Rows::Held(_))) {
        return Ok(());
    }
    enforced(relation).try_for_each(|(name, places)| UniqueKey::prepare(relation, name, &places, inserts, interrupt))
}

/// The refusal of a change to a stream's past.
pub fn append_only(stream: &str) -> Error {
    Error::invalid(format!("\"{stream}\" is a stream: rows are only ever added to it"))
        .with_sqlstate("42809")
        .with_hint("keep rows that change in a TABLE")
}

/// An error if a NOT NULL column of the rows holds a NULL.
pub fn check_not_null(relation: &Relation, batch: &RecordBatch) -> Result<()> {
    for (field, column) in relation.schema.fields().iter().zip(batch.columns()) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(not_null_violation(relation, field.name()));
        }
    }
    Ok(())
}

/// As [`check_not_null`], of rows that may be in files: what was NOT NULL when they were written was looked at then.
fn check_not_null_in(relation: &Relation, rows: &Rows) -> Result<()> {
    let written = rows.schema();
    for (place, field) in relation.schema.fields().iter().enumerate() {
        if field.is_nullable() || !written.field(place).is_nullable() {
            continue;
        }
        for piece in 0..rows.pieces() {
            if rows.columns(piece, &[place])?.iter().any(|column| column.null_count() > 0) {
                return Err(not_null_violation(relation, field.name()));
            }
        }
    }
    Ok(())
}

/// The refusal of a NULL.
pub fn not_null_violation(relation: &Relation, column: &str) -> Error {
    Error::new(
        ErrorKind::Constraint,
        format!("null value in column \"{column}\" of \"{}\" violates its NOT NULL", relation.name),
    )
    .with_sqlstate("23502")
}
