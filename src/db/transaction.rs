//! Open transactions: one version plus the transaction's own writes.
//!
//! An [`Overlay`] holds what a transaction wrote to one relation and nobody else sees. Reads see the version it began
//! with and the overlay on top. At COMMIT the overlays become one commit, which passes the door only if nothing that
//! was read has changed since; there is no lock and no waiting.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute;
use roaring::RoaringTreemap;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::batch::scan::OVERLAY_ROW_ID;
use crate::catalog::relation::RelationId;
use crate::db::commit::{Commit, Payload};
use crate::db::rows::row_ids;
use crate::db::shared::Shared;
use crate::db::table::TableState;
use crate::db::version::{Contents, Version};
use crate::db::write::Write;
use crate::storage::spool::{Rows, Spool};

/// What a transaction wrote, by relation.
pub type Overlays = HashMap<RelationId, Overlay>;

/// What a transaction wrote to one relation.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// Rows of the version that it deleted.
    pub deleted: Arc<RoaringTreemap>,
    /// Rows that it inserted and did not delete again.
    pub inserted: Vec<Rows>,
    /// The bytes of those of them that are held in memory.
    held: usize,
}

impl Overlay {
    /// Adds a write; its deletes may name rows of the version and of this overlay.
    pub fn add(&mut self, write: &Write, spool: &dyn Fn() -> Spool) -> Result<()> {
        let mut kept = write.deletes.clone();
        let own = kept.max().is_some_and(|id| id >= OVERLAY_ROW_ID);
        if own {
            kept.remove_range(OVERLAY_ROW_ID..);
            self.remove(&write.deletes, spool)?;
        }
        if !kept.is_empty() {
            *Arc::make_mut(&mut self.deleted) |= kept;
        }
        self.inserted.extend(write.inserts.iter().filter(|rows| rows.len() > 0).cloned());
        self.held += write.inserts.iter().map(Rows::held_bytes).sum::<usize>();
        if spool().is_beyond(self.held) {
            self.spool_held(spool)?;
        }
        Ok(())
    }

    /// Gives the rows that are held to files: many statements together are as large as one. Their order stays.
    fn spool_held(&mut self, spool: &dyn Fn() -> Spool) -> Result<()> {
        let (mut next, mut inserted) = (spool(), Vec::new());
        for rows in std::mem::take(&mut self.inserted) {
            match rows {
                Rows::Held(rows) => next.push(rows)?,
                Rows::Spooled(_) => {
                    inserted.extend(std::mem::replace(&mut next, spool()).finish()?);
                    inserted.push(rows);
                }
            }
        }
        inserted.extend(next.finish()?);
        self.held = inserted.iter().map(Rows::held_bytes).sum();
        self.inserted = inserted;
        Ok(())
    }

    /// Takes some of its own rows away.
    fn remove(&mut self, ids: &RoaringTreemap, spool: &dyn Fn() -> Spool) -> Result<()> {
        let mut first = OVERLAY_ROW_ID;
        let mut left = Vec::new();
        for rows in std::mem::take(&mut self.inserted) {
            let end = first + rows.len() as u64;
            if ids.range_cardinality(first..end) == 0 {
                left.push(rows);
                first = end;
                continue;
            }
            let mut spool = spool();
            for batch in rows.read() {
                let batch = batch?;
                let keep: BooleanArray = (first..).take(batch.num_rows()).map(|id| Some(!ids.contains(id))).collect();
                first += batch.num_rows() as u64;
                spool.push(compute::filter_record_batch(&batch, &keep)?)?;
            }
            left.extend(spool.finish()?);
        }
        self.inserted = left;
        Ok(())
    }
}

/// Whether a transaction has failed. A result outlives its statement, and may fail the transaction while it is read.
#[derive(Debug, Clone, Default)]
pub struct Failed(Arc<AtomicBool>);

impl Failed {
    /// Fails the transaction.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it has failed.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A transaction between BEGIN and COMMIT.
pub struct OpenTransaction {
    /// What it reads.
    pub version: Arc<Version>,
    /// When it began: what `now()` is in it.
    pub time_us: i64,
    /// What it wrote.
    pub overlays: Overlays,
    /// The tables and streams it read, views traced to those below them.
    pub reads: BTreeSet<RelationId>,
    /// Whether a statement failed; only ROLLBACK is possible then.
    pub failed: Failed,
    /// Whether it may write.
    pub read_only: bool,
}

impl OpenTransaction {
    /// A transaction over `version`.
    pub fn new(version: Arc<Version>, time_us: i64, read_only: bool) -> Self {
        OpenTransaction {
            version,
            time_us,
            overlays: Overlays::new(),
            reads: BTreeSet::new(),
            failed: Failed::default(),
            read_only,
        }
    }

    /// Adds a statement's writes.
    pub fn add(&mut self, writes: &[Write], shared: &Shared) -> Result<()> {
        if self.read_only && !writes.is_empty() {
            return Err(Error::new(ErrorKind::Transaction, "this transaction is read only").with_sqlstate("25006"));
        }
        for write in writes {
            let relation = self.version.catalog.by_id(write.relation);
            let relation = relation.ok_or_else(|| Error::internal("a write to a relation that is gone"))?;
            self.overlays.entry(write.relation).or_default().add(write, &|| shared.spool(relation))?;
        }
        Ok(())
    }

    /// The transaction as one commit; `None` if it wrote nothing.
    pub fn into_commit(self, interrupt: &Interrupt) -> Option<Commit> {
        let writes: Vec<Write> = self
            .overlays
            .into_iter()
            .filter_map(|(id, overlay)| {
                let deletes = Arc::unwrap_or_clone(overlay.deleted);
                let relation = self.version.catalog.by_id(id)?;
                Some(Write { deletes, ..Write::of(relation, overlay.inserted) })
            })
            .filter(|write| write.rows() > 0)
            .collect();
        if writes.is_empty() {
            return None;
        }
        // Deleted rows were read, and a row can be deleted by one commit only.
        let deleted = writes.iter().filter(|write| !write.deletes.is_empty()).map(|write| write.relation);
        let reads = self.reads.into_iter().chain(deleted).collect();
        let payload = Payload::rows_of(writes);
        Some(Commit { read_epoch: self.version.epoch, reads, payload, again: None, interrupt: interrupt.clone() })
    }
}

/// Decides an upsert inside a transaction, where there is no index over version and overlay: one is made for it.
pub fn decide_upsert(version: &Version, overlays: &Overlays, write: Write) -> Result<Write> {
    if write.upsert.is_none() {
        return Ok(write);
    }
    let id = write.relation;
    let relation = version.catalog.by_id(id).ok_or_else(|| Error::internal("a write to a relation that is gone"))?;
    let Contents::Kept(snapshot) = &version.entry(id)?.contents else {
        return Err(Error::internal("a write to a view"));
    };
    let overlay = overlays.get(&id).cloned().unwrap_or_default();
    let mut table = TableState::new(relation.clone())?;
    let mut ids = Vec::new();
    // What the transaction wrote before has not passed the door yet, and may hold a key twice.
    let mut load = |batch: RecordBatch| {
        let admitted = table.admit(Write::inserts(relation, vec![batch]))?;
        table.apply(&admitted, 0, false).map(drop)
    };
    for chunk in 0..snapshot.chunks() {
        let Some(batch) = snapshot.read_chunk(chunk, None, true)? else { continue };
        let numbers = row_ids(&batch)?;
        let keep: BooleanArray = numbers.values().iter().map(|id| Some(!overlay.deleted.contains(*id))).collect();
        ids.extend(numbers.values().iter().filter(|id| !overlay.deleted.contains(**id)));
        let columns: Vec<usize> = (0..batch.num_columns() - 1).collect();
        let rows = compute::filter_record_batch(&batch.project(&columns)?, &keep)?;
        load(rows.with_schema(relation.schema.clone())?)?;
    }
    ids.extend((OVERLAY_ROW_ID..).take(overlay.inserted.iter().map(Rows::len).sum()));
    overlay.inserted.iter().flat_map(Rows::read).try_for_each(|rows| load(rows?))?;
    let decided = table.admit(write)?;
    let deletes = decided.deletes.iter().map(|row| ids[row as usize]).collect();
    Ok(Write { deletes, ..Write::of(relation, decided.inserts) })
}
