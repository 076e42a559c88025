//! `min` and `max` over rows that are never deleted: one value a group.
//!
//! Floats compare in the total order of canonical values: NaN is the greatest, as in PostgreSQL. The states that can
//! forget live in `ordered.rs`; this one refuses deletions.

use arrow::array::{ArrayRef, ArrowNativeTypeOp, BooleanArray};
use arrow::datatypes::DataType;

use super::keys::{Codec, RowKeys};
use super::native::{natives, primitive_array};
use super::rows::{Rows, validity};
use super::{Accumulator, argument};
use crate::base::change::Weights;
use crate::base::error::{Error, Result};
use crate::base::types::canonical_floats;

/// The least or greatest primitive value of every group.
pub(super) struct PrimitiveExtreme<N, const MAX: bool> {
    data_type: DataType,
    values: Vec<N>,
    present: Vec<bool>,
}

impl<N: ArrowNativeTypeOp + Send + Sync, const MAX: bool> PrimitiveExtreme<N, MAX> {
    /// Extremes of `data_type`, whose arrays hold numbers of the kind `N`.
    pub(super) fn new(data_type: &DataType) -> Self {
        PrimitiveExtreme { data_type: data_type.clone(), values: Vec::new(), present: Vec::new() }
    }

    const START: N = if MAX { N::MIN_TOTAL_ORDER } else { N::MAX_TOTAL_ORDER };
}

impl<N: ArrowNativeTypeOp + Send + Sync, const MAX: bool> Accumulator for PrimitiveExtreme<N, MAX> {
    fn resize(&mut self, groups: usize) {
        if groups > self.values.len() {
            self.values.resize(groups, Self::START);
            self.present.resize(groups, false);
        }
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let rows = Rows::new(values, groups, weights, filter, self.values.len())?;
        rows.refuse_deletes()?;
        let values = canonical_floats(argument(values, &self.data_type)?);
        let values = natives::<N>(&values)?;
        let (current, present) = (self.values.as_mut_slice(), self.present.as_mut_slice());
        rows.for_each_value(&values, |group, value, weight| {
            let held = &mut current[group];
            let better = if MAX { value.is_gt(*held) } else { value.is_lt(*held) };
            if better && weight > 0 {
                *held = value;
            }
            present[group] |= weight > 0;
        });
        Ok(())
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let valid: Vec<bool> = groups.iter().map(|&g| self.present.get(g as usize).copied().unwrap_or(false)).collect();
        let values = groups
            .iter()
            .zip(&valid)
            .map(|(&group, &valid)| if valid { self.values[group as usize] } else { N::default() });
        let values = values.collect();
        primitive_array(&self.data_type, values, validity(valid))
    }

    fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            if let Some(present) = self.present.get_mut(group as usize) {
                *present = false;
                self.values[group as usize] = Self::START;
            }
        }
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.read(groups, &mut Vec::new())?])
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.update(&state[..state.len().min(1)], groups, &Weights::Ones, None)
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<N>() + self.present.capacity()
    }
}

/// The least or greatest value of every group, for types held as order-preserving bytes.
pub(super) struct BytesExtreme<const MAX: bool> {
    codec: RowKeys,
    values: Vec<Option<Vec<u8>>>,
    heap: usize,
}

impl<const MAX: bool> BytesExtreme<MAX> {
    /// Extremes of the type that `codec` encodes.
    pub(super) fn new(codec: RowKeys) -> Self {
        BytesExtreme { codec, values: Vec::new(), heap: 0 }
    }
}

impl<const MAX: bool> Accumulator for BytesExtreme<MAX> {
    fn resize(&mut self, groups: usize) {
        if groups > self.values.len() {
            self.values.resize(groups, None);
        }
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let rows = Rows::new(values, groups, weights, filter, self.values.len())?;
        rows.refuse_deletes()?;
        let (current, heap) = (self.values.as_mut_slice(), &mut self.heap);
        self.codec.visit(values, &rows, |_, group, value: &[u8], weight| {
            let better = |held: &Vec<u8>| if MAX { value > held.as_slice() } else { value < held.as_slice() };
            match &mut current[group] {
                _ if weight <= 0 => {}
                Some(held) if better(held) => {
                    *heap += value.len().saturating_sub(held.capacity());
                    held.clear();
                    held.extend_from_slice(value);
                }
                Some(_) => {}
                empty => {
                    *heap += value.len();
                    *empty = Some(value.to_vec());
                }
            }
        })
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let keys: Vec<_> = groups.iter().map(|&g| self.values.get(g as usize).and_then(Option::as_ref)).collect();
        self.codec.decode_one(&keys)
    }

    fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            if let Some(held) = self.values.get_mut(group as usize).and_then(Option::take) {
                self.heap = self.heap.saturating_sub(held.capacity());
            }
        }
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.read(groups, &mut Vec::new())?])
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.update(&state[..state.len().min(1)], groups, &Weights::Ones, None)
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<Vec<u8>>>() + self.heap
    }
}
