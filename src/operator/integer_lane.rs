//! `count`, `sum` and `avg` of one integer argument, packed into the group.
//!
//! All three read one state: the exact sum in 128 bits, which no number of 64-bit values can overflow, and the weight
//! of the rows that are not NULL. They give what the accumulators of the same calls give, bit for bit (checked by a
//! test); the aggregate operator uses them because a group then is one place in memory.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use crate::base::error::Error;
use crate::operator::accumulator::{AggregateFunction, average_of_integers};

/// What a group holds beside its weight.
pub trait Lane: Copy + Default + Send {
    /// Adds a value that is not NULL.
    fn add(&mut self, value: i64, weight: i64);

    /// The values of a call, one a lane; what does not fit is NULL and added to `errors` with its position.
    fn read<'a>(
        lanes: impl ExactSizeIterator<Item = &'a Self>,
        value: LaneValue,
        errors: &mut Vec<(usize, Error)>,
    ) -> ArrayRef
    where
        Self: 'a;
}

/// What is read of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneValue {
    /// How many values are not NULL.
    Count,
    /// Their sum, BIGINT.
    Sum,
    /// Their average, DOUBLE.
    Average,
}

impl LaneValue {
    /// What gives the call's value, if a lane can.
    pub fn of(function: AggregateFunction, arguments: &[DataType], result: &DataType) -> Option<Self> {
        use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32};
        let [Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32] = arguments else { return None };
        match (function, result) {
            (AggregateFunction::Count, Int64) => Some(LaneValue::Count),
            (AggregateFunction::Sum, Int64) => Some(LaneValue::Sum),
            (AggregateFunction::Avg, DataType::Float64) => Some(LaneValue::Average),
            _ => None,
        }
    }
}

/// The exact sum and number of integers.
#[derive(Debug, Clone, Copy, Default)]
pub struct IntegerLane {
    sum: i128,
    count: i64,
}

impl Lane for IntegerLane {
    #[inline(always)]
    fn add(&mut self, value: i64, weight: i64) {
        // A product of two 64-bit numbers fits in 127 bits, and a sum that wrapped on the way wraps back.
        self.sum = self.sum.wrapping_add(i128::from(value) * i128::from(weight));
        self.count = self.count.wrapping_add(weight);
    }

    fn read<'a>(
        lanes: impl ExactSizeIterator<Item = &'a Self>,
        value: LaneValue,
        errors: &mut Vec<(usize, Error)>,
    ) -> ArrayRef {
        match value {
            LaneValue::Count => Arc::new(Int64Array::from_iter_values(lanes.map(|lane| lane.count))),
            LaneValue::Sum => sums(lanes, errors),
            LaneValue::Average => averages(lanes),
        }
    }
}

impl Lane for () {
    #[inline(always)]
    fn add(&mut self, _value: i64, _weight: i64) {}

    fn read<'a>(
        lanes: impl ExactSizeIterator<Item = &'a Self>,
        _value: LaneValue,
        _errors: &mut Vec<(usize, Error)>,
    ) -> ArrayRef {
        arrow::array::new_null_array(&DataType::Int64, lanes.len())
    }
}

fn sums<'a>(lanes: impl ExactSizeIterator<Item = &'a IntegerLane>, errors: &mut Vec<(usize, Error)>) -> ArrayRef {
    let mut values = Vec::with_capacity(lanes.len());
    let mut nulls: Vec<usize> = Vec::new();
    for (row, lane) in lanes.enumerate() {
        let sum = i64::try_from(lane.sum);
        if sum.is_err() {
            errors.push((row, Error::data("bigint out of range").with_sqlstate("22003")));
        }
        if lane.count == 0 || sum.is_err() {
            nulls.push(row);
        }
        values.push(sum.unwrap_or_default());
    }
    let nulls = null_buffer(values.len(), &nulls);
    Arc::new(Int64Array::new(values.into(), nulls))
}

fn averages<'a>(lanes: impl ExactSizeIterator<Item = &'a IntegerLane>) -> ArrayRef {
    const EXACT: i64 = 1 << 53;
    let mut values = Vec::with_capacity(lanes.len());
    let mut nulls: Vec<usize> = Vec::new();
    for (row, lane) in lanes.enumerate() {
        let average = match i64::try_from(lane.sum) {
            // Both are exact doubles, so the division is the only rounding.
            Ok(sum) if (-EXACT..=EXACT).contains(&sum) && (1..=EXACT).contains(&lane.count) => {
                Some(sum as f64 / lane.count as f64)
            }
            _ => average_of_integers(lane.sum, lane.count),
        };
        if average.is_none() {
            nulls.push(row);
        }
        values.push(average.unwrap_or_default());
    }
    let nulls = null_buffer(values.len(), &nulls);
    Arc::new(Float64Array::new(values.into(), nulls))
}

/// Validity of `rows` values of which the listed ones are NULL.
fn null_buffer(rows: usize, nulls: &[usize]) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut valid = vec![true; rows];
    nulls.iter().for_each(|&row| valid[row] = false);
    Some(NullBuffer::from(valid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::change::Weights;
    use crate::operator::accumulator::{AggregateCall, create};

    #[test]
    fn lanes_give_what_accumulators_give() {
        let values = [0, 1, -1, 7, i64::MAX, i64::MAX, i64::MIN, 3, 1 << 52, 1 << 53, (1 << 53) + 1];
        for (function, value) in [
            (AggregateFunction::Count, LaneValue::Count),
            (AggregateFunction::Sum, LaneValue::Sum),
            (AggregateFunction::Avg, LaneValue::Average),
        ] {
            for end in 0..values.len() {
                for weight in [1, 3, -2] {
                    let call = AggregateCall {
                        function,
                        distinct: false,
                        arguments: vec![DataType::Int64],
                        append_only: false,
                        fraction: None,
                    };
                    let mut accumulator = create(&call).expect("an accumulator");
                    accumulator.resize(1);
                    let mut lane = IntegerLane::default();
                    let column: ArrayRef = Arc::new(Int64Array::from(values[..end].to_vec()));
                    let weights = Weights::Signed(vec![weight; end].into());
                    accumulator.update(&[column], &vec![0; end], &weights, None).expect("an update");
                    values[..end].iter().for_each(|&value| lane.add(value, weight));
                    let (mut expected_errors, mut errors) = (vec![], vec![]);
                    let expected = accumulator.read(&[0], &mut expected_errors).expect("a value");
                    let read = IntegerLane::read([&lane].into_iter(), value, &mut errors);
                    assert_eq!(&read, &expected, "{function:?} of {end} values with weight {weight}");
                    let texts = |errors: &[(usize, Error)]| {
                        errors.iter().map(|(row, error)| (*row, error.to_string())).collect::<Vec<_>>()
                    };
                    assert_eq!(texts(&errors), texts(&expected_errors));
                }
            }
        }
    }
}
