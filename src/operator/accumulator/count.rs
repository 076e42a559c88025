//! `count(*)`, `count(x)`, `count(x, y)`: the weight of the rows whose arguments are all non-null.
//!
//! Promises an answer for every group, 0 for an empty one. Counts wrap beyond 2^63, which no input reaches.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::rows::Rows;
use super::{Accumulator, state_column};
use crate::base::change::Weights;
use crate::base::error::{Error, Result};

/// The counts of all groups.
#[derive(Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Count {
    /// The count of one group.
    pub(super) fn get(&self, group: u32) -> i64 {
        self.counts.get(group as usize).copied().unwrap_or(0)
    }
}

impl Accumulator for Count {
    fn resize(&mut self, groups: usize) {
        if groups > self.counts.len() {
            self.counts.resize(groups, 0);
        }
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let rows = Rows::new(values, groups, weights, filter, self.counts.len())?;
        let counts = self.counts.as_mut_slice();
        if let Some(group) = rows.uniform_group() {
            counts[group] = counts[group].wrapping_add(rows.len() as i64);
            return Ok(());
        }
        rows.for_each(|_, group, weight| counts[group] = counts[group].wrapping_add(weight));
        Ok(())
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let counts = groups.iter().map(|&group| self.get(group));
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }

    fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            if let Some(count) = self.counts.get_mut(group as usize) {
                *count = 0;
            }
        }
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.read(groups, &mut Vec::new())?])
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let counts = state_column(state, 0)?.as_primitive_opt::<Int64Type>().ok_or_else(super::foreign_state)?;
        Rows::new(&[], groups, &Weights::Ones, None, self.counts.len())?;
        for (&group, saved) in groups.iter().zip(counts) {
            let count = &mut self.counts[group as usize];
            *count = count.wrapping_add(saved.unwrap_or(0));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
