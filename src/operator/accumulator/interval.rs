//! Intervals: their sums and averages, and their order.
//!
//! Months, days and nanoseconds are added apart and exactly, so a deleted interval leaves nothing behind; a sum that
//! does not fit is an error of the read (22008). As keys intervals compare by length, a month being 30 days and a day
//! 24 hours; of intervals of one length the one with fewer months comes first, then the one with fewer days, so that
//! least and greatest do not depend on the order of rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType};

use super::keys::Codec;
use super::rows::Rows;
use super::saved::{load_fixed, save_fixed};
use super::{Accumulator, argument, foreign_state, state_column};
use crate::base::change::Weights;
use crate::base::error::{Error, Result};
use crate::base::time::DAY;
use crate::base::time::interval::Interval;
use crate::base::time::kind::INTERVAL;
use crate::state::hash::hash_bytes;

const STATE_BYTES: usize = 56;

#[derive(Clone, Copy, Default)]
struct State {
    months: i128,
    days: i128,
    nanoseconds: i128,
    count: i64,
}

impl State {
    fn total(&self) -> Result<Interval> {
        Interval::new(self.months, self.days, self.nanoseconds / 1000)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        for field in [self.months, self.days, self.nanoseconds] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(self.count.to_le_bytes());
    }

    /// The inverse of [`State::write`]; bytes of another length are none.
    fn read(bytes: &[u8]) -> Option<State> {
        let field = |at: usize| bytes.get(at..at + 16)?.try_into().ok().map(i128::from_le_bytes);
        let count = bytes.get(48..STATE_BYTES)?.try_into().ok().map(i64::from_le_bytes)?;
        Some(State { months: field(0)?, days: field(16)?, nanoseconds: field(32)?, count })
    }

    fn add(&mut self, other: &State) {
        self.months = self.months.wrapping_add(other.months);
        self.days = self.days.wrapping_add(other.days);
        self.nanoseconds = self.nanoseconds.wrapping_add(other.nanoseconds);
        self.count = self.count.wrapping_add(other.count);
    }
}

/// The exact sums of all groups, read as sum or average.
pub(super) struct IntervalSum {
    average: bool,
    states: Vec<State>,
}

impl IntervalSum {
    /// Averages if `average`, else sums.
    pub(super) fn new(average: bool) -> Self {
        IntervalSum { average, states: Vec::new() }
    }

    fn state(&self, group: u32) -> State {
        self.states.get(group as usize).copied().unwrap_or_default()
    }

    fn answer(&self, group: u32) -> Result<Option<IntervalMonthDayNano>> {
        let state = self.state(group);
        match (state.count, self.average) {
            (0, _) => Ok(None),
            (count, true) => state.total()?.divided_by(count as f64)?.to_arrow().map(Some),
            (_, false) => state.total()?.to_arrow().map(Some),
        }
    }
}

impl Accumulator for IntervalSum {
    fn resize(&mut self, groups: usize) {
        if groups > self.states.len() {
            self.states.resize(groups, State::default());
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
        let values = argument(values, &INTERVAL)?;
        let values = values.as_primitive_opt::<IntervalMonthDayNanoType>().ok_or_else(foreign_state)?.values();
        let states = self.states.as_mut_slice();
        rows.for_each_value(values, |group, value, weight| {
            let times = i128::from(weight);
            states[group].add(&State {
                months: i128::from(value.months) * times,
                days: i128::from(value.days) * times,
                nanoseconds: i128::from(value.nanoseconds) * times,
                count: weight,
            });
        });
        Ok(())
    }

    fn read(&self, groups: &[u32], errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let answers = groups.iter().enumerate().map(|(row, &group)| {
            self.answer(group).unwrap_or_else(|error| {
                errors.push((row, error));
                None
            })
        });
        Ok(Arc::new(answers.collect::<IntervalMonthDayNanoArray>()))
    }

    fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            if let Some(state) = self.states.get_mut(group as usize) {
                *state = State::default();
            }
        }
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![save_fixed(groups, STATE_BYTES, |group, bytes| self.state(group).write(bytes))?])
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        load_fixed(state_column(state, 0)?, groups, self.states.len(), STATE_BYTES, |group, saved| {
            if let Some(saved) = State::read(saved) {
                self.states[group].add(&saved);
            }
        })
    }

    fn size(&self) -> usize {
        self.states.capacity() * size_of::<State>()
    }
}

/// Intervals as keys: the length in nanoseconds, and where they tell intervals of one length apart, their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IntervalKey {
    length: i128,
    months: i32,
    days: i32,
}

/// Keys of one argument of intervals.
pub(super) struct IntervalKeys {
    /// Whether intervals of one length are one key, as for DISTINCT.
    by_length: bool,
}

impl IntervalKeys {
    /// Keys that tell intervals of one length apart, unless `by_length`.
    pub(super) fn new(by_length: bool) -> Self {
        IntervalKeys { by_length }
    }
}

const DAY_NANOS: i128 = DAY as i128 * 1000;

impl Codec for IntervalKeys {
    type Query = IntervalKey;
    type Key = IntervalKey;

    fn visit(
        &self,
        values: &[ArrayRef],
        rows: &Rows<'_>,
        mut f: impl FnMut(usize, usize, &IntervalKey, i64),
    ) -> Result<()> {
        let values = argument(values, &INTERVAL)?;
        let values = values.as_primitive_opt::<IntervalMonthDayNanoType>().ok_or_else(foreign_state)?.values();
        rows.for_each(|row, group, weight| {
            let IntervalMonthDayNano { months, days, nanoseconds } = values[row];
            let length = (i128::from(months) * 30 + i128::from(days)) * DAY_NANOS + i128::from(nanoseconds);
            let (months, days) = if self.by_length { (0, 0) } else { (months, days) };
            f(row, group, &IntervalKey { length, months, days }, weight);
        });
        Ok(())
    }

    fn decode(&self, keys: &[Option<&IntervalKey>]) -> Result<Vec<ArrayRef>> {
        let decoded = keys.iter().map(|key| {
            key.map(|key| {
                if self.by_length {
                    let months = key.length / (30 * DAY_NANOS);
                    let days = key.length % (30 * DAY_NANOS) / DAY_NANOS;
                    // A length of 30 days times 2^31 and some is the most there is.
                    return IntervalMonthDayNano::new(months as i32, days as i32, (key.length % DAY_NANOS) as i64);
                }
                let whole = (i128::from(key.months) * 30 + i128::from(key.days)) * DAY_NANOS;
                IntervalMonthDayNano::new(key.months, key.days, (key.length - whole) as i64)
            })
        });
        Ok(vec![Arc::new(decoded.collect::<IntervalMonthDayNanoArray>())])
    }

    fn heap(_: &IntervalKey) -> usize {
        0
    }

    fn hash(key: &IntervalKey) -> u64 {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&key.length.to_le_bytes());
        bytes[16..20].copy_from_slice(&key.months.to_le_bytes());
        bytes[20..].copy_from_slice(&key.days.to_le_bytes());
        hash_bytes(&bytes)
    }
}

/// Whether values of the type are intervals of months, days and time.
pub(super) fn is_interval(data_type: &DataType) -> bool {
    *data_type == INTERVAL
}

#[cfg(test)]
mod tests {
    use super::super::{AggregateCall, AggregateFunction, create};
    use super::*;

    fn accumulator(function: AggregateFunction, append_only: bool, distinct: bool) -> Box<dyn Accumulator> {
        let call = AggregateCall { function, distinct, arguments: vec![INTERVAL], append_only, fraction: None };
        let mut accumulator = create(&call).unwrap();
        accumulator.resize(1);
        accumulator
    }

    fn answer(accumulator: &dyn Accumulator) -> String {
        let mut errors = vec![];
        let array = accumulator.read(&[0], &mut errors).unwrap();
        match (errors.first(), array.as_primitive_opt::<IntervalMonthDayNanoType>()) {
            (Some((_, error)), _) => error.sqlstate().to_string(),
            (None, Some(values)) => Interval::from_arrow(values.value(0)).to_string(),
            (None, None) => format!("{}", array.as_primitive::<arrow::datatypes::Int64Type>().value(0)),
        }
    }

    fn pool() -> ArrayRef {
        let texts = ["1 mon", "30 days", "720:00:00", "1 day 02:00:00", "-00:00:00.000001"];
        let values = texts.map(|text| {
            let unit = crate::base::time::interval::Unit::Second;
            crate::base::time::interval::parse(text, unit).unwrap().to_arrow().unwrap()
        });
        Arc::new(IntervalMonthDayNanoArray::from(values.to_vec()))
    }

    #[test]
    fn sums_forget_what_is_deleted() {
        let weights = |weights: [i64; 5]| Weights::Signed(weights.to_vec().into());
        let mut sum = accumulator(AggregateFunction::Sum, false, false);
        sum.update(&[pool()], &[0; 5], &weights([2, 1, 0, 1, 1]), None).unwrap();
        assert_eq!(answer(sum.as_ref()), "2 mons 31 days 01:59:59.999999");
        sum.update(&[pool()], &[0; 5], &weights([-2, 0, 0, 0, -1]), None).unwrap();
        assert_eq!(answer(sum.as_ref()), "31 days 02:00:00");
        let mut average = accumulator(AggregateFunction::Avg, false, false);
        average.update(&[pool()], &[0; 5], &weights([1, 1, 0, 0, 0]), None).unwrap();
        assert_eq!(answer(average.as_ref()), "30 days");
        sum.update(&[pool()], &[0; 5], &weights([i64::MAX, 0, 0, 0, 0]), None).unwrap();
        assert_eq!(answer(sum.as_ref()), "22008");
    }

    #[test]
    fn extremes_and_distinct_values_compare_lengths() {
        for append_only in [true, false] {
            let mut least = accumulator(AggregateFunction::Min, append_only, false);
            let mut greatest = accumulator(AggregateFunction::Max, append_only, false);
            for extreme in [&mut least, &mut greatest] {
                extreme.update(&[pool()], &[0; 5], &Weights::Ones, None).unwrap();
            }
            assert_eq!(answer(least.as_ref()), "-00:00:00.000001");
            assert_eq!(answer(greatest.as_ref()), "1 mon");
        }
        let mut distinct = accumulator(AggregateFunction::Count, false, true);
        distinct.update(&[pool()], &[0; 5], &Weights::Ones, None).unwrap();
        assert_eq!(answer(distinct.as_ref()), "3");
    }
}
