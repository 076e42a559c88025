//! `bit_and`, `bit_or` and `bit_xor` of integers.
//!
//! Exclusive or takes a value back by applying it again. The others count, under deletions, the rows that set each
//! bit: a bit of the answer is set if all rows, or any, set it. Append-only groups keep the folded value alone.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, UInt64Array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, UInt64Type};

use super::rows::Rows;
use super::saved::{load_fixed, save_fixed};
use super::wide::Wide;
use super::{Accumulator, foreign_state, state_column};
use crate::base::change::Weights;
use crate::base::error::{Error, Result};

/// How many rows set each bit.
type Ones = [i64; 64];

/// How the bits of a group's values are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BitOperation {
    And,
    Or,
    Xor,
}

#[derive(Clone, Copy)]
struct State {
    count: i64,
    folded: u64,
}

/// The bits of all groups.
pub(super) struct Bits {
    operation: BitOperation,
    data_type: DataType,
    append_only: bool,
    states: Vec<State>,
    /// Of groups that may lose rows, for `bit_and` and `bit_or`.
    ones: Vec<Ones>,
}

impl Bits {
    /// Bits of integers of `data_type`.
    pub(super) fn new(operation: BitOperation, data_type: &DataType, append_only: bool) -> Self {
        Bits { operation, data_type: data_type.clone(), append_only, states: Vec::new(), ones: Vec::new() }
    }

    fn counts_ones(&self) -> bool {
        !self.append_only && self.operation != BitOperation::Xor
    }

    fn none(&self) -> State {
        State { count: 0, folded: if self.operation == BitOperation::And { u64::MAX } else { 0 } }
    }

    fn add(&mut self, group: usize, bits: u64, weight: i64) {
        let state = &mut self.states[group];
        state.count = state.count.wrapping_add(weight);
        match self.operation {
            BitOperation::Xor if weight & 1 == 1 => state.folded ^= bits,
            BitOperation::Xor => {}
            _ if !self.append_only => {
                let mut rest = bits;
                while rest != 0 {
                    let ones = &mut self.ones[group][rest.trailing_zeros() as usize];
                    *ones = ones.wrapping_add(weight);
                    rest &= rest - 1;
                }
            }
            _ if weight <= 0 => {}
            BitOperation::And => state.folded &= bits,
            BitOperation::Or => state.folded |= bits,
        }
    }

    fn value(&self, group: u32) -> Option<u64> {
        let state = self.states.get(group as usize).filter(|state| state.count > 0)?;
        if !self.counts_ones() {
            return Some(state.folded);
        }
        let wanted = if self.operation == BitOperation::And { state.count } else { 1 };
        let ones = self.ones.get(group as usize)?.iter().enumerate();
        Some(ones.fold(0, |bits, (bit, &ones)| bits | (u64::from(ones >= wanted) << bit)))
    }

    /// The values as 64 bits, sign extended.
    fn bits(values: &ArrayRef) -> Result<UInt64Array> {
        if let Some(values) = values.as_primitive_opt::<UInt64Type>() {
            return Ok(values.clone());
        }
        let values = cast(values, &DataType::Int64)?;
        let values = values.as_primitive_opt::<Int64Type>().ok_or_else(foreign_state)?;
        Ok(values.unary(|value| value as u64))
    }
}

impl Accumulator for Bits {
    fn resize(&mut self, groups: usize) {
        if groups > self.states.len() {
            self.states.resize(groups, self.none());
            if self.counts_ones() {
                self.ones.resize(groups, [0; 64]);
            }
        }
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let rows = Rows::new(values, groups, weights, filter, self.states.len())?;
        if self.append_only {
            rows.refuse_deletes()?;
        }
        let bits = Bits::bits(state_column(values, 0)?)?;
        rows.for_each_value(bits.values(), |group, bits, weight| self.add(group, bits, weight));
        Ok(())
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let bits: UInt64Array = groups.iter().map(|&group| self.value(group)).collect();
        if self.data_type == DataType::UInt64 {
            return Ok(Arc::new(bits));
        }
        // The bits above the type's are copies of its sign bit, or zeros, in every value and so in the answer.
        let integers: Int64Array = bits.unary(|bits| bits as i64);
        Ok(cast_with_options(&integers, &self.data_type, &CastOptions { safe: false, ..Default::default() })?)
    }

    fn clear(&mut self, groups: &[u32]) {
        let none = self.none();
        for &group in groups {
            if let Some(state) = self.states.get_mut(group as usize) {
                *state = none;
            }
            if let Some(ones) = self.ones.get_mut(group as usize) {
                ones.fill(0);
            }
        }
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let states: Vec<State> =
            groups.iter().map(|&group| self.states.get(group as usize).copied().unwrap_or(self.none())).collect();
        let mut saved: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(states.iter().map(|state| state.count))),
            Arc::new(UInt64Array::from_iter_values(states.iter().map(|state| state.folded))),
        ];
        if self.counts_ones() {
            saved.push(save_fixed(groups, size_of::<Ones>(), |group, bytes| {
                let ones = self.ones.get(group as usize).copied().unwrap_or([0; 64]);
                Wide(ones.map(|ones| ones as u64)).write(bytes);
            })?);
        }
        Ok(saved)
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let rows = Rows::new(state, groups, &Weights::Ones, None, self.states.len())?;
        let counts = state_column(state, 0)?.as_primitive_opt::<Int64Type>().ok_or_else(foreign_state)?;
        let folded = state_column(state, 1)?.as_primitive_opt::<UInt64Type>().ok_or_else(foreign_state)?;
        rows.for_each(|row, group, _| {
            let state = &mut self.states[group];
            state.count = state.count.wrapping_add(counts.value(row));
            match self.operation {
                BitOperation::And => state.folded &= folded.value(row),
                BitOperation::Or => state.folded |= folded.value(row),
                BitOperation::Xor => state.folded ^= folded.value(row),
            }
        });
        if !self.counts_ones() {
            return Ok(());
        }
        load_fixed(state_column(state, 2)?, groups, self.ones.len(), size_of::<Ones>(), |group, saved| {
            for (ones, saved) in self.ones[group].iter_mut().zip(Wide::<64>::read(saved).0) {
                *ones = ones.wrapping_add(saved as i64);
            }
        })
    }

    fn size(&self) -> usize {
        self.states.capacity() * size_of::<State>() + self.ones.capacity() * size_of::<Ones>()
    }
}
