//! Sums and averages of integers, decimals and durations: exact, in integers wider than any possible sum.
//!
//! The state of a group is a [`Wide`] sum and the weight of its non-null rows. The weights of a relation total less
//! than 2^63, so a sum stays below 2^63 times the largest number there is: 2^126 of the 2^127 that two limbs hold for
//! BIGINT, 2^127 for UBIGINT, 2^190 of 2^191 and 2^316 of 2^319 for decimals. On the way there it may wrap, because
//! addition modulo a power of two forgets nothing. So the answer does not depend on the order of rows. Sums that do not
//! fit their type are errors of the read (SQLSTATE 22003). Averages of integers round the exact quotient once to
//! DOUBLE; averages of decimals round to the result scale, halves away from zero.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, Decimal256Array, Float64Array, Int64Array,
    UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, Int64Type, UInt64Type, i256};

use super::rows::{Rows, validity};
use super::saved::{load_fixed, save_fixed};
use super::wide::Wide;
use super::{Accumulator, argument, foreign_state, out_of_range, state_column};
use crate::base::change::Weights;
use crate::base::error::{Error, Result};

/// What a sum becomes when it is read.
#[derive(Debug, Clone)]
pub(super) enum Output {
    /// The sum itself, of an integer, decimal or duration type.
    Sum(DataType),
    /// The quotient of sum and count, as DOUBLE.
    AverageDouble,
    /// The quotient of sum and count in a decimal or duration type, after multiplying by a power of ten.
    Average(DataType, u64),
}

/// A number type that sums are made of, and the width of its sum.
pub(super) trait Addend<const N: usize>: ArrowPrimitiveType {
    /// The Arrow type that arrays are cast to.
    fn data_type(argument: &DataType) -> DataType;
    /// The number as wide integer.
    fn widen(value: Self::Native) -> Wide<N>;
}

impl Addend<2> for Int64Type {
    fn data_type(_: &DataType) -> DataType {
        DataType::Int64
    }

    #[inline]
    fn widen(value: i64) -> Wide<2> {
        Wide::from_i128(i128::from(value))
    }
}

impl Addend<2> for UInt64Type {
    fn data_type(_: &DataType) -> DataType {
        DataType::UInt64
    }

    #[inline]
    fn widen(value: u64) -> Wide<2> {
        Wide::from_i128(i128::from(value))
    }
}

impl Addend<3> for Decimal128Type {
    fn data_type(argument: &DataType) -> DataType {
        match *argument {
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                DataType::Decimal128(precision, scale)
            }
            _ => argument.clone(),
        }
    }

    #[inline]
    fn widen(value: i128) -> Wide<3> {
        Wide::from_i128(value)
    }
}

impl Addend<5> for Decimal256Type {
    fn data_type(argument: &DataType) -> DataType {
        argument.clone()
    }

    #[inline]
    fn widen(value: i256) -> Wide<5> {
        Wide::from_i256(value)
    }
}

#[derive(Clone, Copy, Default)]
struct State<const N: usize> {
    sum: Wide<N>,
    count: i64,
}

/// The exact sums of all groups.
pub(super) struct ExactSum<T: Addend<N>, const N: usize> {
    input: DataType,
    output: Output,
    states: Vec<State<N>>,
    _values: std::marker::PhantomData<fn() -> T>,
}

impl<T: Addend<N>, const N: usize> ExactSum<T, N> {
    /// Sums of `argument` values, read as `output`.
    pub(super) fn new(argument: &DataType, output: Output) -> Self {
        ExactSum { input: T::data_type(argument), output, states: Vec::new(), _values: std::marker::PhantomData }
    }

    /// The sum of a group and the weight of its rows.
    pub(super) fn total(&self, group: u32) -> (Wide<N>, i64) {
        let state = self.state(group);
        (state.sum, state.count)
    }

    /// The argument as array of `T`.
    pub(super) fn prepare(&self, values: &[ArrayRef]) -> Result<ArrayRef> {
        argument(values, &self.input)
    }

    fn state(&self, group: u32) -> State<N> {
        self.states.get(group as usize).copied().unwrap_or_default()
    }
}

impl<T: Addend<N>, const N: usize> Accumulator for ExactSum<T, N> {
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
        let values = self.prepare(values)?;
        let values = values.as_primitive_opt::<T>().ok_or_else(foreign_state)?.values();
        let states = self.states.as_mut_slice();
        if let Some(group) = rows.uniform_group() {
            let mut sum = Wide::<N>::default();
            values.iter().for_each(|&value| sum.add(&T::widen(value)));
            states[group].sum.add(&sum);
            states[group].count = states[group].count.wrapping_add(values.len() as i64);
            return Ok(());
        }
        rows.for_each_value(values, |group, value, weight| {
            let state = &mut states[group];
            state.sum.add_scaled(&T::widen(value), weight);
            state.count = state.count.wrapping_add(weight);
        });
        Ok(())
    }

    fn read(&self, groups: &[u32], errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let states: Vec<State<N>> = groups.iter().map(|&group| self.state(group)).collect();
        match &self.output {
            Output::AverageDouble => Ok(Arc::new(Float64Array::from_iter(states.iter().map(average_double)))),
            Output::Sum(data_type) => {
                let sums = states.iter().map(|state| (state.count != 0).then_some(state.sum)).collect();
                integers(sums, data_type, errors)
            }
            Output::Average(data_type, factor) => {
                let quotient = |state: &State<N>| {
                    (state.count != 0).then(|| {
                        // Two limbs more than the widest sum, so that the product never wraps.
                        state.sum.extended::<7>().multiplied(*factor).divided(state.count)
                    })
                };
                integers::<7>(states.iter().map(quotient).collect(), data_type, errors)
            }
        }
    }

    fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            if let Some(state) = self.states.get_mut(group as usize) {
                *state = State::default();
            }
        }
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let saved = save_fixed(groups, (N + 1) * 8, |group, bytes| {
            let state = self.state(group);
            bytes.extend(state.count.to_le_bytes());
            state.sum.write(bytes);
        });
        Ok(vec![saved?])
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        load_fixed(state_column(state, 0)?, groups, self.states.len(), (N + 1) * 8, |group, saved| {
            let (count, sum) = saved.split_at(8);
            let state = &mut self.states[group];
            state.count = state.count.wrapping_add(Wide::<1>::read(count).0[0] as i64);
            state.sum.add(&Wide::read(sum));
        })
    }

    fn size(&self) -> usize {
        self.states.capacity() * size_of::<State<N>>()
    }
}

/// The quotient of an integer sum and a count that is not zero, rounded once.
pub fn average_of_integers(sum: i128, count: i64) -> Option<f64> {
    average_double(&State::<2> { sum: Wide::from_i128(sum), count })
}

fn average_double<const N: usize>(state: &State<N>) -> Option<f64> {
    const EXACT: i128 = 1 << 53;
    let count = state.count;
    match state.sum.to_i128() {
        _ if count == 0 => None,
        // Both are exact doubles, so the division is the only rounding.
        Some(sum) if (-EXACT..=EXACT).contains(&sum) && (0..=EXACT).contains(&i128::from(count)) => {
            Some(sum as f64 / count as f64)
        }
        _ => Some(state.sum.divided_to_f64(count, 0)),
    }
}

/// The values in `data_type`; where one does not fit, NULL and an error.
fn integers<const N: usize>(
    values: Vec<Option<Wide<N>>>,
    data_type: &DataType,
    errors: &mut Vec<(usize, Error)>,
) -> Result<ArrayRef> {
    match data_type {
        DataType::UInt64 => {
            let (values, valid) = convert(values, |value| u64::try_from(value.to_i128()?).ok(), "ubigint", errors);
            Ok(Arc::new(UInt64Array::try_new(values.into(), validity(valid))?))
        }
        DataType::Decimal128(precision, scale) => {
            let fits = |value: Wide<N>| {
                value
                    .to_i128()
                    .filter(|&value| Decimal128Type::validate_decimal_precision(value, *precision, *scale).is_ok())
            };
            let (values, valid) = convert(values, fits, "decimal", errors);
            let array = Decimal128Array::try_new(values.into(), validity(valid))?;
            Ok(Arc::new(array.with_precision_and_scale(*precision, *scale)?))
        }
        DataType::Decimal256(precision, scale) => {
            let fits = |value: Wide<N>| {
                value
                    .to_i256()
                    .filter(|&value| Decimal256Type::validate_decimal_precision(value, *precision, *scale).is_ok())
            };
            let (values, valid) = convert(values, fits, "decimal", errors);
            let array = Decimal256Array::try_new(values.into(), validity(valid))?;
            Ok(Arc::new(array.with_precision_and_scale(*precision, *scale)?))
        }
        _ => {
            let name = if *data_type == DataType::Int64 { "bigint" } else { "interval" };
            let (values, valid) = convert(values, |value| i64::try_from(value.to_i128()?).ok(), name, errors);
            let array: ArrayRef = Arc::new(Int64Array::try_new(values.into(), validity(valid))?);
            if *data_type == DataType::Int64 { Ok(array) } else { Ok(cast(&array, data_type)?) }
        }
    }
}

fn convert<const N: usize, V: Default>(
    values: Vec<Option<Wide<N>>>,
    narrow: impl Fn(Wide<N>) -> Option<V>,
    name: &str,
    errors: &mut Vec<(usize, Error)>,
) -> (Vec<V>, Vec<bool>) {
    let mut narrowed = Vec::with_capacity(values.len());
    let mut valid = Vec::with_capacity(values.len());
    for (row, value) in values.into_iter().enumerate() {
        let fitting = value.and_then(&narrow);
        if value.is_some() && fitting.is_none() {
            errors.push((row, out_of_range(name)));
        }
        valid.push(fitting.is_some());
        narrowed.push(fitting.unwrap_or_default());
    }
    (narrowed, valid)
}
