//! Equi-joins by change: inner, outer, semi and anti.
//!
//! [`JoinOperator`] keeps both sides as bags of rows under one shared key table. A pushed change meets the other
//! side as it is now and is then added to its own side, so every pair is met exactly once, whichever side comes
//! first. What depends on the absence of a partner (null-extended rows, semi and anti joins) is decided per key, by
//! the total weight of the other side: rows pushed during the step follow what is accounted for their key, and at
//! the end of the step the keys whose presence changed emit the difference once.
//!
//! Pairs are made in chunks of [`CHUNK_ROWS`], each handed on before the next is made, so a fan-out of a million
//! rows is never one batch. Without keys all rows are of one group: a cross join.
//!
//! # Why pairs come out right
//!
//! With `L`, `R` the sides before a step and `l`, `r` their changes, the join's change is the product rule of bags,
//! `(L + l) x (R + r) - L x R  =  l x R  +  L x r  +  l x r`. Batches of both sides come in any order. Cut the changes
//! into the batches `b1, b2, ..` in the order they are pushed: batch `bk` of a side meets what the other side holds by
//! then, which is its old rows and those of its batches before `bk`. So each cross term `li x rj` is made once, by the
//! later of the two, and the sum is the same whatever the order (Gupta, Mumick and Subrahmanian 1993 have the rule).
//!
//! # Why rows alone come out right
//!
//! A row of the left side is emitted alone, in an outer, semi or anti join, by whether its key is *present* on the
//! right: the total weight of the right rows of the key is positive. Within a step presence may flicker, so it is not
//! followed: each key has an *accounted* presence, and everything that was emitted for left rows of the key, in this
//! step and before, was emitted as if that were the truth.
//!
//! ```text
//! step    right rows of k      accounted    emitted for the left row a of k (left outer join)
//!   1     none                 absent       +(a, NULL)
//!   2     +r1                  absent       pairs: +(a, r1)          end: turns present, -(a, NULL)
//!   3     -r1 +r2 -r2 +r3      present      pairs only: -(a, r1) +(a, r3)    end: still present, nothing
//!   4     -r3, and +a2 left    present      pairs; a2 alone: nothing        end: turns absent, +(a, NULL) +(a2, NULL)
//! ```
//!
//! At the end of the step each key whose true presence differs from the accounted one *turns*: for all left rows that
//! the key has by then, what they should have been is emitted against what was accounted, and from then on the
//! accounted presence is the true one. The law: after every step, the sum of what was emitted alone is the left rows of
//! absent keys (present ones for a semi join). It holds for bags because only the sign of the total counts, and for
//! both sides of a full join because each side is accounted by the other's totals alone.
//!
//! A key without left rows owes nothing, so its accounted presence may be set to the truth when its first row comes:
//! that is why a key that was filled and emptied before does not turn for nothing.

mod side;
mod spec;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, SchemaRef};

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, Result};
use crate::base::types::canonical_array;
use crate::operator::expression::{Expression, assemble, evaluate_or_fail, values_text};
use crate::operator::{CHUNK_ROWS, Operator, Output};
use crate::state::key_table::KeyTable;
use crate::state::postings::PREFETCHED;
use crate::state::radix_sort::sort_by_group;
use crate::state::row_bag::RowBag;

use side::{Place, Side, Total, weight_overflow};
pub use spec::{Alone, JoinKind, JoinSpec, MARK, SideColumn};

/// Rows of a pushed batch that are met at a time.
const PUSHED_ROWS: usize = 4 * CHUNK_ROWS;
/// So many rows are worth sorting by group, among so many groups.
const ORDERED_FROM: usize = 1 << 12;
const ORDERED_GROUPS: usize = 1 << 16;

/// Joins port 0 (left) with port 1 (right).
///
/// # Contract
/// - The keys of the two sides have equal types, pair by pair (checked on construction).
/// - Outer, semi and anti joins have no residual predicate (checked on construction).
/// - Products of weights are checked; a key whose rows total less than zero at the end of a step is an error (both
///   checked where they arise, in release too).
/// - Every batch of a step is pushed before [`Operator::finish`], on whichever port, in any order (not checkable here,
///   because what matters is what the producers leave out).
pub struct JoinOperator {
    kind: JoinKind,
    sides: [Side; 2],
    key_types: Vec<DataType>,
    null_equals_null: bool,
    residual: Option<(Expression, Vec<SideColumn>, SchemaRef)>,
    output: Vec<SideColumn>,
    schema: SchemaRef,
    table: KeyTable,
    /// Groups that lost rows in this step and may now be empty.
    thinned: Vec<u32>,
    step: u32,
    ids: Vec<u32>,
}

/// Rows that came in on a port, with their keys and groups.
struct Pushed {
    port: usize,
    batch: ChangeBatch,
    keys: Vec<ArrayRef>,
    ids: Vec<u32>,
}

/// Rows of the pushed batch and of the other side's bag that meet: two index vectors of equal length.
struct Pairs {
    rows: Vec<u32>,
    slots: Vec<u32>,
}

impl Pairs {
    fn with_capacity(capacity: usize) -> Self {
        Pairs { rows: Vec::with_capacity(capacity), slots: Vec::with_capacity(capacity) }
    }

    /// A row with each of `slots`; mostly it is one.
    #[inline]
    fn push(&mut self, row: u32, slots: &[u32]) {
        if let [slot] = slots {
            self.rows.push(row);
            self.slots.push(*slot);
        } else {
            self.rows.resize(self.rows.len() + slots.len(), row);
            self.slots.extend_from_slice(slots);
        }
    }
}

/// Stored rows to be emitted.
#[derive(Default)]
struct Stored {
    slots: Vec<u32>,
    weights: Vec<i64>,
    marks: Vec<bool>,
}

impl Stored {
    fn push(&mut self, slot: u32, weight: i64, mark: bool) {
        self.slots.push(slot);
        self.weights.push(weight);
        self.marks.push(mark);
    }
}

impl JoinOperator {
    /// A join with empty sides.
    pub fn new(spec: JoinSpec) -> Result<Self> {
        let key_types: Vec<DataType> = spec.keys[0].iter().map(|key| key.data_type().clone()).collect();
        if !key_types.iter().eq(spec.keys[1].iter().map(Expression::data_type)) {
            return Err(Error::internal("join keys of different types"));
        }
        if spec.residual.is_some() && spec.kind != JoinKind::INNER {
            return Err(Error::internal("a residual predicate on a join that is not inner"));
        }
        let [left_keys, right_keys] = spec.keys;
        let used = |side: usize| {
            let residual = spec.residual.iter().flat_map(|(_, columns, _)| columns);
            let mut kept: Vec<usize> =
                spec.output.iter().chain(residual).filter(|column| column.0 == side).map(|column| column.1).collect();
            kept.sort_unstable();
            kept.dedup();
            kept
        };
        let side = |side: usize, keys: Vec<Expression>| {
            let types = spec.inputs[side].fields().iter().map(|field| field.data_type().clone()).collect();
            Side::new(&spec.kind, side, keys, used(side), types, spec.append_only[side])
        };
        Ok(JoinOperator {
            sides: [side(0, left_keys)?, side(1, right_keys)?],
            kind: spec.kind,
            table: KeyTable::new(&key_types)?,
            key_types,
            null_equals_null: spec.null_equals_null,
            residual: spec.residual,
            output: spec.output,
            schema: spec.schema,
            thinned: Vec::new(),
            step: 1,
            ids: Vec::new(),
        })
    }

    fn push_chunk(&mut self, port: usize, batch: &ChangeBatch, out: &mut dyn Output) -> Result<()> {
        let (keys, key_types) = (&self.sides[port].keys, &self.key_types);
        let pieces = evaluate_or_fail(batch, out, &|rows| {
            let keys = keys.iter().zip(key_types).map(|(key, data_type)| {
                let values = key.evaluate(rows)?;
                canonical_array(&values, data_type)
            });
            keys.collect::<Result<Vec<ArrayRef>>>()
        })?;
        for piece in pieces {
            let (batch, keys) = self.without_null_keys(port, piece.batch, piece.values, out)?;
            if batch.is_empty() {
                continue;
            }
            let mut ids = std::mem::take(&mut self.ids);
            self.table.intern(&keys, batch.num_rows(), &mut ids)?;
            let pushed = self.by_group(Pushed { port, batch, keys, ids })?;
            self.meet(&pushed, out)?;
            self.ids = pushed.ids;
        }
        Ok(())
    }

    /// The rows of a batch in the order of their groups, where that makes up for the sorting: where the groups
    /// are more than caches hold, rows in order touch memory in order.
    fn by_group(&self, mut pushed: Pushed) -> Result<Pushed> {
        let ids = &mut pushed.ids;
        if ids.len() < ORDERED_FROM || self.table.capacity() < ORDERED_GROUPS || ids.is_sorted() {
            return Ok(pushed);
        }
        let mut pairs: Vec<u64> = (0u64..).zip(ids.iter()).map(|(row, &id)| u64::from(id) << 32 | row).collect();
        sort_by_group(&mut pairs);
        ids.iter_mut().zip(&pairs).for_each(|(id, pair)| *id = (pair >> 32) as u32);
        let order = UInt32Array::from_iter_values(pairs.iter().map(|&pair| pair as u32));
        let keys = pushed.keys.iter().map(|key| Ok(compute::take(key, &order, None)?)).collect::<Result<_>>()?;
        Ok(Pushed { batch: pushed.batch.take(&order)?, keys, ..pushed })
    }

    fn meet(&mut self, pushed: &Pushed, out: &mut dyn Output) -> Result<()> {
        let Pushed { port, batch, ids, .. } = pushed;
        let capacity = self.table.capacity();
        for side in &mut self.sides {
            if let Some(totals) = &mut side.totals
                && totals.len() < capacity
            {
                totals.resize(capacity, Total::default());
            }
        }
        self.sides[1 - port].index();
        if self.kind.pairs {
            self.probe(pushed, out)?;
        }
        if self.kind.alone[*port] != Alone::Never {
            self.sides[*port].index();
            self.emit_alone(*port, batch, ids, out)?;
        }
        let step = self.step;
        self.sides[*port].apply(batch, ids, step)?;
        if !batch.weights().is_insert_only() {
            self.thinned.extend((0..ids.len()).filter(|&row| batch.weights().get(row) < 0).map(|row| ids[row]));
        }
        Ok(())
    }

    /// Rows with a NULL key match nothing: they are not stored, and an outer or anti join emits them at once.
    fn without_null_keys(
        &self,
        port: usize,
        batch: ChangeBatch,
        keys: Vec<ArrayRef>,
        out: &mut dyn Output,
    ) -> Result<(ChangeBatch, Vec<ArrayRef>)> {
        if self.null_equals_null {
            return Ok((batch, keys));
        }
        let nulls =
            keys.iter().fold(None, |nulls, key| NullBuffer::union(nulls.as_ref(), key.logical_nulls().as_ref()));
        let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else { return Ok((batch, keys)) };
        let valid = BooleanArray::new(nulls.inner().clone(), None);
        if matches!(self.kind.alone[port], Alone::Unmatched | Alone::Marked) {
            self.emit_unmatched(port, batch.filter(&compute::not(&valid)?)?, out)?;
        }
        let keys = keys.iter().map(|key| Ok(compute::filter(key, &valid)?)).collect::<Result<_>>()?;
        Ok((batch.filter(&valid)?, keys))
    }

    /// Every row of the batch with every row of its group on the other side.
    fn probe(&self, pushed: &Pushed, out: &mut dyn Output) -> Result<()> {
        let Some(other) = &self.sides[1 - pushed.port].rows else { return Ok(()) };
        if other.is_empty() {
            return Ok(());
        }
        let mut pairs = Pairs::with_capacity(CHUNK_ROWS.min(pushed.ids.len()));
        for (row, &id) in pushed.ids.iter().enumerate() {
            if row.is_multiple_of(PREFETCHED) {
                other.prefetch(&pushed.ids[row..pushed.ids.len().min(row + PREFETCHED)]);
            }
            let mut postings = other.postings(id);
            while !postings.is_empty() {
                let (now, later) = postings.split_at(postings.len().min(CHUNK_ROWS - pairs.rows.len()));
                pairs.push(row as u32, now);
                postings = later;
                if pairs.rows.len() == CHUNK_ROWS {
                    let full = std::mem::replace(&mut pairs, Pairs::with_capacity(CHUNK_ROWS));
                    self.emit_pairs(pushed, other, full, out)?;
                }
            }
        }
        if pairs.rows.is_empty() {
            return Ok(());
        }
        self.emit_pairs(pushed, other, pairs, out)
    }

    fn emit_pairs(&self, pushed: &Pushed, other: &RowBag, pairs: Pairs, out: &mut dyn Output) -> Result<()> {
        out.check()?;
        let weights = pair_weights(pushed.batch.weights(), other, &pairs)?;
        match &self.residual {
            None => self.emit_output(pushed, other, pairs, weights, out),
            Some((predicate, columns, schema)) => {
                let gathered = self.gather(pushed, other, &pairs, columns)?;
                let gathered = assemble(schema, gathered, pairs.rows.len())?;
                let gathered = ChangeBatch::try_new(gathered, weights)?;
                let pieces = evaluate_or_fail(&gathered, out, &|rows| predicate.evaluate_mask(rows))?;
                let mut kept: Vec<u32> = Vec::with_capacity(pairs.rows.len());
                for piece in &pieces {
                    kept.extend(piece.values.values().set_indices().map(|index| (piece.offset + index) as u32));
                }
                if kept.len() == pairs.rows.len() {
                    return self.emit_output(pushed, other, pairs, gathered.weights().clone(), out);
                }
                if kept.is_empty() {
                    return Ok(());
                }
                let chosen = Pairs {
                    rows: kept.iter().map(|&pair| pairs.rows[pair as usize]).collect(),
                    slots: kept.iter().map(|&pair| pairs.slots[pair as usize]).collect(),
                };
                let weights = gathered.weights().take(&kept.into())?;
                self.emit_output(pushed, other, chosen, weights, out)
            }
        }
    }

    fn emit_output(
        &self,
        pushed: &Pushed,
        other: &RowBag,
        pairs: Pairs,
        weights: Weights,
        out: &mut dyn Output,
    ) -> Result<()> {
        let columns = self.gather(pushed, other, &pairs, &self.output)?;
        out.emit(ChangeBatch::try_new(assemble(&self.schema, columns, pairs.rows.len())?, weights)?)
    }

    /// The given columns of the pairs.
    fn gather(&self, pushed: &Pushed, other: &RowBag, pairs: &Pairs, columns: &[SideColumn]) -> Result<Vec<ArrayRef>> {
        // A batch whose rows each have one partner is passed on without copying.
        let identical = pairs.rows.len() == pushed.ids.len()
            && pairs.rows.iter().enumerate().all(|(position, &row)| position == row as usize);
        let indices = UInt32Array::from(pairs.rows.clone());
        columns
            .iter()
            .map(|&(side, column)| {
                let values = match self.sides[side].places[column] {
                    _ if side == pushed.port => pushed.batch.rows().column(column),
                    Place::Key(key) => &pushed.keys[key],
                    Place::Stored(stored) => return other.take(stored, &pairs.slots),
                    Place::Nowhere => return Err(Error::internal("join column not kept")),
                };
                if identical { Ok(values.clone()) } else { Ok(compute::take(values, &indices, None)?) }
            })
            .collect()
    }

    /// The rows of a pushed batch that this side emits alone, as their keys are accounted for now.
    fn emit_alone(&mut self, port: usize, batch: &ChangeBatch, ids: &[u32], out: &mut dyn Output) -> Result<()> {
        let (left, right) = self.sides.split_at_mut(1);
        let (own, other) = if port == 0 { (&left[0], &mut right[0]) } else { (&right[0], &mut left[0]) };
        let totals = other.totals.as_mut().ok_or_else(|| Error::internal("join without totals"))?;
        let accounted: Vec<bool> = ids
            .iter()
            .map(|&id| {
                let total = &mut totals[id as usize];
                // The first rows of a key owe nothing to what was accounted for rows before them.
                if total.step == self.step && own.is_empty(id) {
                    total.accounted = total.weight > 0;
                }
                total.accounted
            })
            .collect();
        let accounted = BooleanArray::from(accounted);
        match self.kind.alone[port] {
            Alone::Marked => self.emit_rows_alone(port, batch.clone(), accounted, out),
            Alone::Matched => {
                let chosen = batch.filter(&accounted)?;
                let marks = BooleanArray::from(vec![true; chosen.num_rows()]);
                self.emit_rows_alone(port, chosen, marks, out)
            }
            _ => self.emit_unmatched(port, batch.filter(&compute::not(&accounted)?)?, out),
        }
    }

    fn emit_unmatched(&self, port: usize, batch: ChangeBatch, out: &mut dyn Output) -> Result<()> {
        let marks = BooleanArray::from(vec![false; batch.num_rows()]);
        self.emit_rows_alone(port, batch, marks, out)
    }

    /// Rows of one side's input, with the other side's columns NULL.
    fn emit_rows_alone(
        &self,
        port: usize,
        batch: ChangeBatch,
        marks: BooleanArray,
        out: &mut dyn Output,
    ) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let marks: ArrayRef = Arc::new(marks);
        let output = self.output.iter().zip(self.schema.fields()).map(|(&(side, column), field)| match side {
            _ if (side, column) == MARK => marks.clone(),
            side if side == port => batch.rows().column(column).clone(),
            _ => new_null_array(field.data_type(), rows),
        });
        let output = assemble(&self.schema, output.collect(), rows)?;
        out.emit(batch.with_rows(output)?)
    }

    /// The stored rows of one side whose keys won or lost their partners in this step.
    fn turn_keys(&mut self, port: usize, out: &mut dyn Output) -> Result<()> {
        let changed = std::mem::take(&mut self.sides[1 - port].changed);
        let mut turned: Vec<(u32, bool)> = Vec::new();
        for &id in &changed {
            let total = &mut self.sides[1 - port].totals.as_mut().expect("a changed total is kept")[id as usize];
            if total.weight < 0 {
                let keys = self.table.keys(&[id])?;
                let key = values_text(&keys, 0);
                return Err(Error::internal(format!("more rows deleted than inserted for the join key {key}")));
            }
            let present = total.weight > 0;
            if present != total.accounted {
                total.accounted = present;
                turned.push((id, present));
            }
        }
        let Some(rows) = &self.sides[port].rows else { return Ok(()) };
        let mut stored = Stored::default();
        for (id, present) in turned {
            for &slot in rows.postings(id) {
                let weight = rows.weight(slot);
                match self.kind.alone[port] {
                    Alone::Marked => {
                        stored.push(slot, -weight, !present);
                        stored.push(slot, weight, present);
                    }
                    Alone::Matched => stored.push(slot, if present { weight } else { -weight }, true),
                    _ => stored.push(slot, if present { -weight } else { weight }, false),
                }
                if stored.slots.len() + 1 >= CHUNK_ROWS {
                    self.emit_stored(port, std::mem::take(&mut stored), out)?;
                }
            }
        }
        self.emit_stored(port, stored, out)
    }

    fn emit_stored(&self, port: usize, stored: Stored, out: &mut dyn Output) -> Result<()> {
        let side = &self.sides[port];
        let Stored { slots, weights, marks } = stored;
        let Some(rows) = side.rows.as_ref().filter(|_| !slots.is_empty()) else { return Ok(()) };
        let marks: ArrayRef = Arc::new(BooleanArray::from(marks));
        let output =
            self.output.iter().zip(self.schema.fields()).map(|(&(of, column), field)| match side.places.get(column) {
                _ if (of, column) == MARK => Ok(marks.clone()),
                Some(&Place::Stored(stored)) if of == port => rows.take(stored, &slots),
                _ => Ok(new_null_array(field.data_type(), slots.len())),
            });
        let output = assemble(&self.schema, output.collect::<Result<_>>()?, slots.len())?;
        out.emit(ChangeBatch::try_new(output, Weights::Signed(weights.into()))?)
    }

    /// Forgets the keys that no side holds any more.
    fn release(&mut self) {
        let mut empty = std::mem::take(&mut self.thinned);
        empty.sort_unstable();
        empty.dedup();
        empty.retain(|&id| self.sides.iter().all(|side| side.is_empty(id)));
        for side in &mut self.sides {
            if let Some(totals) = &mut side.totals {
                empty.iter().for_each(|&id| totals[id as usize] = Total::default());
            }
        }
        self.table.release(&empty);
    }
}

impl Operator for JoinOperator {
    fn push(&mut self, port: usize, batch: ChangeBatch, out: &mut dyn Output) -> Result<()> {
        for start in (0..batch.num_rows()).step_by(PUSHED_ROWS) {
            self.push_chunk(port, &batch.slice(start, PUSHED_ROWS.min(batch.num_rows() - start)), out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<()> {
        if !self.thinned.is_empty() || self.kind.alone != [Alone::Never; 2] {
            self.sides.iter_mut().for_each(Side::index);
        }
        for port in [0, 1] {
            if self.kind.alone[port] != Alone::Never {
                self.turn_keys(port, out)?;
            }
        }
        self.release();
        self.step = match self.step.checked_add(1) {
            Some(step) => step,
            None => {
                let totals = self.sides.iter_mut().filter_map(|side| side.totals.as_mut());
                totals.flatten().for_each(|total| total.step = 0);
                1
            }
        };
        Ok(())
    }

    fn size(&self) -> usize {
        self.table.size() + self.sides.iter().map(Side::size).sum::<usize>()
    }

    fn state_rows(&self) -> usize {
        self.sides.iter().filter_map(|side| side.rows.as_ref()).map(RowBag::len).sum()
    }
}

fn pair_weights(weights: &Weights, other: &RowBag, pairs: &Pairs) -> Result<Weights> {
    match weights {
        Weights::Ones if other.weights_all_one() => Ok(Weights::Ones),
        weights => pairs
            .rows
            .iter()
            .zip(&pairs.slots)
            .map(|(&row, &slot)| weights.get(row as usize).checked_mul(other.weight(slot)).ok_or_else(weight_overflow))
            .collect::<Result<Vec<i64>>>()
            .map(|weights| Weights::Signed(weights.into())),
    }
}
