//! `count(DISTINCT x)`, `sum(DISTINCT x)` and the like: the inner accumulator sees every present value once.
//!
//! A weighted table per group says which values are present. When a value's weight becomes positive the inner
//! accumulator gets it with weight 1, when it stops being positive with weight -1; nothing else reaches it. Rows
//! with a NULL in any argument are not values.

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;

use super::Accumulator;
use super::keys::Codec;
use super::multiset::{Multisets, saved_rows};
use super::rows::Rows;
use crate::base::change::Weights;
use crate::base::error::{Error, Result};

/// An accumulator over the distinct values of every group.
pub(super) struct Distinct<C: Codec> {
    values: Multisets<C>,
    inner: Box<dyn Accumulator>,
}

impl<C: Codec> Distinct<C> {
    /// `inner` over distinct values; it must accept deletions.
    pub(super) fn new(codec: C, inner: Box<dyn Accumulator>) -> Self {
        Distinct { values: Multisets::new(codec, false), inner }
    }
}

impl<C: Codec> Accumulator for Distinct<C> {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
        self.inner.resize(groups);
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let rows = Rows::new(values, groups, weights, filter, self.values.capacity())?;
        let (mut changed, mut signs) = (Vec::new(), Vec::new());
        self.values.add(values, &rows, |row, before, after| {
            if (before > 0) != (after > 0) {
                changed.push(row as u32);
                signs.push(if after > 0 { 1 } else { -1 });
            }
        })?;
        if changed.is_empty() {
            return Ok(());
        }
        let changed_groups: Vec<u32> = changed.iter().map(|&row| groups[row as usize]).collect();
        let changed = UInt32Array::from(changed);
        let values = values.iter().map(|array| Ok(take(array, &changed, None)?)).collect::<Result<Vec<_>>>()?;
        self.inner.update(&values, &changed_groups, &Weights::Signed(signs.into()), None)
    }

    fn read(&self, groups: &[u32], errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        self.inner.read(groups, errors)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.values.clear(groups);
        self.inner.clear(groups);
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.values.save(groups)
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (values, groups, weights) = saved_rows(groups, state)?;
        self.update(&values, &groups, &weights, None)
    }

    fn size(&self) -> usize {
        self.values.size() + self.inner.size()
    }
}
