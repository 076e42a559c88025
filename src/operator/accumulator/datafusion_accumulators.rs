//! DataFusion's two accumulator traits over [`Accumulator`](super::Accumulator).
//!
//! Both only translate: group numbers, filters, destructive emission, errors. A group whose answer is an error
//! (overflow) fails the query.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::Accumulator;
use super::create::create;
use super::function::AggregateCall;
use crate::base::change::Weights;
use crate::base::error::Error;
use crate::operator::error::to_datafusion;

/// States before the first live one that are carried along before they are compacted away.
const DEAD_MAX: usize = 4096;

/// All groups of a grouped aggregation.
pub(super) struct AllGroups {
    call: AggregateCall,
    return_type: DataType,
    inner: Box<dyn Accumulator>,
    /// DataFusion's group 0 is our group `first`: emitting the first groups only moves this.
    first: usize,
    groups: usize,
    ids: Vec<u32>,
}

impl AllGroups {
    /// The states of a call, no groups yet.
    pub(super) fn try_new(call: AggregateCall, return_type: DataType) -> Result<Self> {
        let inner = create(&call).map_err(to_datafusion)?;
        Ok(AllGroups { call, return_type, inner, first: 0, groups: 0, ids: Vec::new() })
    }

    /// Translates group numbers into `self.ids` and makes room for `total` groups.
    fn translate(&mut self, group_indices: &[usize], total: usize) -> Result<()> {
        if u32::try_from(self.first + total).is_err() {
            return Err(to_datafusion(Error::internal("more than 2^32 groups")));
        }
        self.groups = self.groups.max(total);
        self.inner.resize(self.first + self.groups);
        let first = self.first;
        self.ids.clear();
        self.ids.extend(group_indices.iter().map(|&group| (first + group) as u32));
        Ok(())
    }

    /// Hands the states of the emitted groups to `take`, then forgets them.
    fn emit<R>(
        &mut self,
        emit_to: EmitTo,
        take: impl FnOnce(&dyn Accumulator, &[u32], &DataType) -> Result<R>,
    ) -> Result<R> {
        let count = match emit_to {
            EmitTo::All => self.groups,
            EmitTo::First(count) => count.min(self.groups),
        };
        let ids: Vec<u32> = (self.first..self.first + count).map(|id| id as u32).collect();
        self.inner.resize(self.first + self.groups);
        let taken = take(self.inner.as_ref(), &ids, &self.return_type)?;
        self.groups -= count;
        if self.groups == 0 {
            self.inner = create(&self.call).map_err(to_datafusion)?;
            self.first = 0;
        } else {
            self.inner.clear(&ids);
            self.first += count;
            if self.first > DEAD_MAX.max(self.groups) {
                self.compact()?;
            }
        }
        Ok(taken)
    }

    fn compact(&mut self) -> Result<()> {
        let live: Vec<u32> = (self.first..self.first + self.groups).map(|id| id as u32).collect();
        let moved: Vec<u32> = (0..self.groups as u32).collect();
        let state = self.inner.save(&live).map_err(to_datafusion)?;
        self.inner = create(&self.call).map_err(to_datafusion)?;
        self.inner.resize(self.groups);
        self.inner.load(&moved, &state).map_err(to_datafusion)?;
        self.first = 0;
        Ok(())
    }
}

impl GroupsAccumulator for AllGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.translate(group_indices, total_num_groups)?;
        self.inner.update(values, &self.ids, &Weights::Ones, opt_filter).map_err(to_datafusion)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.translate(group_indices, total_num_groups)?;
        self.inner.load(&self.ids, values).map_err(to_datafusion)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emit(emit_to, read)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.emit(emit_to, |inner, ids, _| inner.save(ids).map_err(to_datafusion))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map(|array| array.len()).or(opt_filter.map(|filter| filter.len())).unwrap_or(0);
        let ids: Vec<u32> = (0..rows as u32).collect();
        let mut each = create(&self.call).map_err(to_datafusion)?;
        each.resize(rows);
        each.update(values, &ids, &Weights::Ones, opt_filter).map_err(to_datafusion)?;
        each.save(&ids).map_err(to_datafusion)
    }

    fn size(&self) -> usize {
        self.inner.size() + self.ids.capacity() * size_of::<u32>()
    }
}

/// The single group of an ungrouped aggregation or of a window frame.
pub(super) struct OneGroup {
    inner: Box<dyn Accumulator>,
    return_type: DataType,
    can_forget: bool,
    zeros: Vec<u32>,
}

impl std::fmt::Debug for OneGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneGroup").field("return_type", &self.return_type).finish_non_exhaustive()
    }
}

impl OneGroup {
    /// The state of a call.
    pub(super) fn try_new(call: &AggregateCall, return_type: &DataType) -> Result<Self> {
        let mut inner = create(call).map_err(to_datafusion)?;
        inner.resize(1);
        Ok(OneGroup { inner, return_type: return_type.clone(), can_forget: !call.append_only, zeros: Vec::new() })
    }

    fn update(&mut self, values: &[ArrayRef], weights: impl FnOnce(usize) -> Weights) -> Result<()> {
        let rows = values.first().map_or(0, |array| array.len());
        self.zeros.resize(rows, 0);
        self.inner.update(values, &self.zeros, &weights(rows), None).map_err(to_datafusion)
    }
}

impl datafusion::logical_expr::Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(values, |_| Weights::Ones)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(values, |rows| Weights::Signed(vec![-1; rows].into()))
    }

    fn supports_retract_batch(&self) -> bool {
        self.can_forget
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let array = read(self.inner.as_ref(), &[0], &self.return_type)?;
        ScalarValue::try_from_array(&array, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.inner.save(&[0]).map_err(to_datafusion)?;
        state.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let zeros = vec![0; states.first().map_or(0, |array| array.len())];
        self.inner.load(&zeros, states).map_err(to_datafusion)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size() + self.zeros.capacity() * size_of::<u32>()
    }
}

/// The answers in the type that the plan expects.
fn read(inner: &dyn Accumulator, ids: &[u32], return_type: &DataType) -> Result<ArrayRef> {
    let mut errors = Vec::new();
    let array = inner.read(ids, &mut errors).map_err(to_datafusion)?;
    if let Some((_, error)) = errors.into_iter().next() {
        return Err(to_datafusion(error));
    }
    if array.data_type() == return_type { Ok(array) } else { Ok(cast(&array, return_type)?) }
}
