//! `bool_and`, `bool_or`: the weights of true and of false rows, so that both can be forgotten.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;

use super::count::Count;
use super::{Accumulator, argument, foreign_state};
use crate::base::change::Weights;
use crate::base::error::{Error, Result};

/// Whether all or any rows of every group are true.
pub(super) struct Booleans {
    all: bool,
    /// Non-null rows.
    known: Count,
    /// True rows.
    positive: Count,
}

impl Booleans {
    /// `bool_and` if `all`, else `bool_or`.
    pub(super) fn new(all: bool) -> Self {
        Booleans { all, known: Count::default(), positive: Count::default() }
    }

    fn value(&self, group: u32) -> Option<bool> {
        let (known, positive) = (self.known.get(group), self.positive.get(group));
        (known != 0).then_some(if self.all { positive == known } else { positive != 0 })
    }
}

impl Accumulator for Booleans {
    fn resize(&mut self, groups: usize) {
        self.known.resize(groups);
        self.positive.resize(groups);
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        self.known.update(values, groups, weights, filter)?;
        let truth = argument(values, &DataType::Boolean)?;
        let truth = truth.as_boolean_opt().ok_or_else(foreign_state)?;
        match filter {
            None => self.positive.update(&[], groups, weights, Some(truth)),
            Some(filter) => {
                let both = arrow::compute::and_kleene(truth, filter)?;
                self.positive.update(&[], groups, weights, Some(&both))
            }
        }
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        Ok(Arc::new(groups.iter().map(|&group| self.value(group)).collect::<BooleanArray>()))
    }

    fn clear(&mut self, groups: &[u32]) {
        self.known.clear(groups);
        self.positive.clear(groups);
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut state = self.known.save(groups)?;
        state.extend(self.positive.save(groups)?);
        Ok(state)
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (known, positive) = state.split_at_checked(1).ok_or_else(foreign_state)?;
        self.known.load(groups, known)?;
        self.positive.load(groups, positive)
    }

    fn size(&self) -> usize {
        self.known.size() + self.positive.size()
    }
}
