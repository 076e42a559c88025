//! `min` and `max` over rows that may be deleted, `arg_min`, `arg_max` and `single_value`: read from a weighted
//! multiset per group.
//!
//! Deleting the extreme reveals the next one; rows may be deleted in any order, even before they are inserted.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;

use super::Accumulator;
use super::keys::{Codec, RowKeys};
use super::multiset::{Multiset, Multisets};
use crate::base::change::Weights;
use crate::base::error::{Error, ErrorKind, Result};

/// The least or greatest value of every group, under deletions.
pub(super) struct OrderedExtreme<C: Codec> {
    max: bool,
    values: Multisets<C>,
}

impl<C: Codec> OrderedExtreme<C> {
    /// The greatest values if `max`, else the least.
    pub(super) fn new(codec: C, max: bool) -> Self {
        OrderedExtreme { max, values: Multisets::new(codec, true) }
    }
}

impl<C: Codec> Accumulator for OrderedExtreme<C> {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        self.values.update(values, groups, weights, filter)
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let extreme = if self.max { Multiset::last } else { Multiset::first };
        let keys: Vec<_> = groups.iter().map(|&group| self.values.group(group).and_then(extreme)).collect();
        self.values.codec().decode_one(&keys)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.values.clear(groups);
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.values.save(groups)
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.values.load(groups, state)
    }

    fn size(&self) -> usize {
        self.values.size()
    }
}

/// `arg_max(x, by)`: the x of the row with the greatest `by`, the greatest x of several; `arg_min` likewise the least.
pub(super) struct ArgExtreme {
    max: bool,
    /// Pairs of `by` and `x`, in this order.
    pairs: Multisets<RowKeys>,
}

impl ArgExtreme {
    /// Of the greatest rows if `max`, else the least; `arguments` are the types of x and by.
    pub(super) fn try_new(arguments: &[DataType], max: bool) -> Result<Self> {
        let types: Vec<DataType> = arguments.iter().rev().cloned().collect();
        Ok(ArgExtreme { max, pairs: Multisets::new(RowKeys::try_new(&types)?, true) })
    }
}

impl Accumulator for ArgExtreme {
    fn resize(&mut self, groups: usize) {
        self.pairs.resize(groups);
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let pairs: Vec<ArrayRef> = values.iter().rev().cloned().collect();
        self.pairs.update(&pairs, groups, weights, filter)
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let extreme = if self.max { Multiset::last } else { Multiset::first };
        let keys: Vec<_> = groups.iter().map(|&group| self.pairs.group(group).and_then(extreme)).collect();
        super::state_column(&self.pairs.codec().decode(&keys)?, 1).cloned()
    }

    fn clear(&mut self, groups: &[u32]) {
        self.pairs.clear(groups);
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.pairs.save(groups)
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.pairs.load(groups, state)
    }

    fn size(&self) -> usize {
        self.pairs.size()
    }
}

/// The value of at most one row a group: NULL for none, an error for more.
pub(super) struct SingleValue<C: Codec> {
    /// All rows, those with a NULL value too.
    rows: super::count::Count,
    values: Multisets<C>,
}

impl<C: Codec> SingleValue<C> {
    /// Single values of the type of `codec`.
    pub(super) fn new(codec: C) -> Self {
        SingleValue { rows: Default::default(), values: Multisets::new(codec, true) }
    }
}

impl<C: Codec> Accumulator for SingleValue<C> {
    fn resize(&mut self, groups: usize) {
        self.rows.resize(groups);
        self.values.resize(groups);
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        self.rows.update(&[], groups, weights, filter)?;
        self.values.update(values, groups, weights, filter)
    }

    fn read(&self, groups: &[u32], errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let mut keys = Vec::with_capacity(groups.len());
        for (row, &group) in groups.iter().enumerate() {
            let rows = self.rows.get(group);
            if rows > 1 {
                let message = "more than one row returned by a subquery used as an expression";
                errors.push((row, Error::new(ErrorKind::Data, message).with_sqlstate("21000")));
            }
            keys.push(if rows == 1 { self.values.group(group).and_then(Multiset::first) } else { None });
        }
        self.values.codec().decode_one(&keys)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.rows.clear(groups);
        self.values.clear(groups);
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut state = self.rows.save(groups)?;
        state.extend(self.values.save(groups)?);
        Ok(state)
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (rows, values) = state.split_at_checked(1).ok_or_else(super::foreign_state)?;
        self.rows.load(groups, rows)?;
        self.values.load(groups, values)
    }

    fn size(&self) -> usize {
        self.rows.size() + self.values.size()
    }
}
