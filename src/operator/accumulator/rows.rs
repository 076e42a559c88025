//! The rows of one update: which row goes to which group, with which weight.
//!
//! Checks the lengths and group ids once, so that the loops of the accumulators need no error path, and chooses the
//! loop by what is there: no nulls or nulls, all weights one or not. It does not look at values.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};

use crate::base::change::Weights;
use crate::base::error::{Error, Result};

/// Rows that count: not filtered out, and non-null in every argument.
pub(super) struct Rows<'a> {
    groups: &'a [u32],
    weights: &'a Weights,
    kept: Option<BooleanBuffer>,
}

impl<'a> Rows<'a> {
    /// The rows of `groups` where every array is non-null and `filter` is true.
    pub(super) fn new(
        arrays: &[ArrayRef],
        groups: &'a [u32],
        weights: &'a Weights,
        filter: Option<&BooleanArray>,
        capacity: usize,
    ) -> Result<Self> {
        let rows = groups.len();
        if arrays.iter().any(|array| array.len() != rows)
            || filter.is_some_and(|filter| filter.len() != rows)
            || matches!(weights, Weights::Signed(weights) if weights.len() != rows)
        {
            return Err(Error::internal(format!("aggregate arguments, filter or weights do not have {rows} rows")));
        }
        if let Some(&group) = groups.iter().max()
            && group as usize >= capacity
        {
            return Err(Error::internal(format!("aggregate group {group} of {capacity}")));
        }
        let mut kept = filter.map(true_bits);
        for array in arrays {
            if let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
                let valid = nulls.into_inner();
                kept = Some(kept.map_or_else(|| valid.clone(), |kept| &kept & &valid));
            }
        }
        Ok(Rows { groups, weights, kept })
    }

    /// How many rows there are, those that do not count too.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The one group of all rows, if they have one group, all count, and all have weight 1.
    pub(super) fn uniform_group(&self) -> Option<usize> {
        let &first = self.groups.first()?;
        let plain = self.kept.is_none() && matches!(self.weights, Weights::Ones);
        (plain && self.groups.iter().all(|&group| group == first)).then_some(first as usize)
    }

    /// Calls `f(row, group, weight)` for every row that counts.
    #[inline(always)]
    pub(super) fn for_each(&self, f: impl FnMut(usize, usize, i64)) {
        self.for_each_in(0..self.len(), f);
    }

    /// Calls `f(row, group, weight)` for every row of `range` that counts.
    #[inline(always)]
    pub(super) fn for_each_in(&self, range: Range<usize>, mut f: impl FnMut(usize, usize, i64)) {
        let start = range.start;
        let groups = &self.groups[range.clone()];
        match (&self.kept, self.weights) {
            (None, Weights::Ones) => {
                groups.iter().enumerate().for_each(|(index, &group)| f(start + index, group as usize, 1));
            }
            (None, Weights::Signed(weights)) => {
                let rows = groups.iter().zip(&weights[range]).enumerate();
                rows.for_each(|(index, (&group, &weight))| f(start + index, group as usize, weight));
            }
            (Some(kept), Weights::Ones) => {
                let kept = kept.slice(start, groups.len());
                kept.set_indices().for_each(|index| f(start + index, groups[index] as usize, 1));
            }
            (Some(kept), Weights::Signed(weights)) => {
                let kept = kept.slice(start, groups.len());
                kept.set_indices().for_each(|index| f(start + index, groups[index] as usize, weights[start + index]));
            }
        }
    }

    /// Calls `f(group, value, weight)` for every row that counts; `values` has one value a row.
    #[inline(always)]
    pub(super) fn for_each_value<T: Copy>(&self, values: &[T], mut f: impl FnMut(usize, T, i64)) {
        match (&self.kept, self.weights) {
            (None, Weights::Ones) => {
                self.groups.iter().zip(values).for_each(|(&group, &value)| f(group as usize, value, 1));
            }
            (None, Weights::Signed(weights)) => {
                let rows = self.groups.iter().zip(values).zip(weights);
                rows.for_each(|((&group, &value), &weight)| f(group as usize, value, weight));
            }
            _ => self.for_each(|row, group, weight| f(group, values[row], weight)),
        }
    }

    /// An error if a row is deleted: for states that cannot forget.
    pub(super) fn refuse_deletes(&self) -> Result<()> {
        if self.weights.is_insert_only() {
            return Ok(());
        }
        Err(Error::internal("an append-only aggregate was given a deletion"))
    }
}

fn true_bits(filter: &BooleanArray) -> BooleanBuffer {
    match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    }
}

/// The validity of a result whose rows are null where `null` says so.
pub(super) fn validity(valid: Vec<bool>) -> Option<NullBuffer> {
    valid.contains(&false).then(|| NullBuffer::from(valid))
}
