//! One side of a join: the rows it keeps, and what the other side must know of them.

use arrow::datatypes::DataType;

use super::spec::{Alone, JoinKind};
use crate::base::change::ChangeBatch;
use crate::base::error::{Error, Result};
use crate::base::types::canonical_array;
use crate::operator::expression::Expression;
use crate::state::row_bag::RowBag;

/// The total weight of one side's rows of a key.
#[derive(Clone, Copy, Default)]
pub(super) struct Total {
    pub(super) weight: i64,
    /// Whether the other side's rows of the key are accounted for as having a partner.
    pub(super) accounted: bool,
    /// The step that last changed the weight.
    pub(super) step: u32,
}

/// Where a partner finds a column of a stored row.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Nowhere,
    /// Among the stored columns.
    Stored(usize),
    /// In the partner's own key.
    Key(usize),
}

/// One side of a join: its rows by key, and their total weights.
pub(super) struct Side {
    pub(super) keys: Vec<Expression>,
    /// The positions of the stored columns in the input.
    kept: Vec<usize>,
    /// Where a column of the input is when a partner comes.
    pub(super) places: Vec<Place>,
    /// The rows; not kept where nobody ever reads them.
    pub(super) rows: Option<RowBag>,
    /// Per group, where the other side emits rows alone.
    pub(super) totals: Option<Vec<Total>>,
    pub(super) changed: Vec<u32>,
    types: Vec<DataType>,
    append_only: bool,
}

impl Side {
    /// A side without rows; `kept` are the columns that are read.
    pub(super) fn new(
        kind: &JoinKind,
        side: usize,
        keys: Vec<Expression>,
        mut kept: Vec<usize>,
        types: Vec<DataType>,
        append_only: bool,
    ) -> Result<Self> {
        let mut places = vec![Place::Nowhere; types.len()];
        for (key, column) in keys.iter().enumerate().filter_map(|(key, expr)| Some((key, expr.as_column()?))) {
            places[column] = Place::Key(key);
        }
        // A row that is emitted alone has no partner to take the key from.
        kept.retain(|&column| kind.alone[side] != Alone::Never || !matches!(places[column], Place::Key(_)));
        for (position, &column) in kept.iter().enumerate() {
            places[column] = Place::Stored(position);
        }
        let stored: Vec<DataType> = kept.iter().map(|&column| types[column].clone()).collect();
        let is_read = kind.pairs || kind.alone[side] != Alone::Never;
        Ok(Side {
            keys,
            rows: if is_read { Some(RowBag::new(&stored, !append_only)?) } else { None },
            totals: (kind.alone[1 - side] != Alone::Never).then(Vec::new),
            changed: Vec::new(),
            kept,
            places,
            types,
            append_only,
        })
    }

    /// Adds a change of the rows, which are of the groups `ids`.
    pub(super) fn apply(&mut self, batch: &ChangeBatch, ids: &[u32], step: u32) -> Result<()> {
        if self.append_only && !batch.weights().is_insert_only() {
            return Err(Error::internal("a row was deleted from an append-only input"));
        }
        if let Some(rows) = &mut self.rows {
            let columns =
                self.kept.iter().map(|&column| canonical_array(batch.rows().column(column), &self.types[column]));
            rows.apply(&columns.collect::<Result<Vec<_>>>()?, batch.weights(), ids)?;
        }
        if let Some(totals) = &mut self.totals {
            for (row, &id) in ids.iter().enumerate() {
                let total = &mut totals[id as usize];
                let weight = total.weight.checked_add(batch.weights().get(row));
                total.weight = weight.ok_or_else(weight_overflow)?;
                if total.step != step {
                    total.step = step;
                    self.changed.push(id);
                }
            }
        }
        Ok(())
    }

    /// Brings the lists of rows by key up to date, before they are read.
    pub(super) fn index(&mut self) {
        if let Some(rows) = &mut self.rows {
            rows.index();
        }
    }

    /// Whether the side holds no row of the group.
    pub(super) fn is_empty(&self, id: u32) -> bool {
        let rows = self.rows.as_ref().is_none_or(|rows| rows.postings(id).is_empty());
        rows && self.totals.as_ref().is_none_or(|totals| totals.get(id as usize).is_none_or(|total| total.weight == 0))
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.rows.as_ref().map_or(0, RowBag::size)
            + self.totals.as_ref().map_or(0, |totals| totals.capacity() * size_of::<Total>())
    }
}

/// The error of a weight that is no 64-bit integer.
pub(super) fn weight_overflow() -> Error {
    Error::data("weight overflow").with_sqlstate("22003")
}
