//! Percentiles, medians and modes: read from the values of a group with their weights.
//!
//! The values of a group that can lose rows stand in a weighted multiset in order; one that cannot gathers them and
//! sorts when it is read. Both read the same. `approx_` functions first round every value to [`KEPT_BITS`] binary
//! digits, which bounds the multiset and keeps the answer within 0.05 % of the exact one; whole numbers up to 2048 stay
//! as they are. Rounding looks at one value at a time, so the answer does not depend on the order of rows either.

use std::borrow::Borrow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, i256};

use super::keys::{Codec, Native, RowKeys};
use super::multiset::{Multiset, Multisets, saved_rows};
use super::rows::Rows;
use super::{Accumulator, argument, foreign_state, state_column};
use crate::base::cast::{OnFailure, cast_values, decimal_to_double};
use crate::base::change::Weights;
use crate::base::decimal::{self, Parsed, power_of_ten};
use crate::base::error::{Error, Result};

/// Binary digits of a value that `approx_` functions keep, the leading one among them.
const KEPT_BITS: u32 = 11;

/// The part of the rows that lies below the value asked for, and the order in which it does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fraction {
    /// From 0 to 1; NULL for an unknown one, whose percentile is NULL.
    pub value: Option<f64>,
    /// Whether the values are counted from the greatest down.
    pub descending: bool,
}

impl Fraction {
    /// Half of the rows, from the least value up.
    pub(super) const HALF: Fraction = Fraction { value: Some(0.5), descending: false };

    /// Checks that the fraction lies between 0 and 1.
    pub fn try_new(value: Option<f64>, descending: bool) -> Result<Self> {
        match value {
            Some(value) if !(0.0..=1.0).contains(&value) => {
                let error = Error::data(format!("percentile value {value} is not between 0 and 1"));
                Err(error.with_sqlstate("22003"))
            }
            value => Ok(Fraction { value, descending }),
        }
    }
}

/// Which of the values is the answer.
pub(super) enum Choice<K> {
    /// Between the two values around the place that the fraction names; the function blends them.
    Between(Fraction, fn(&K, &K, f64) -> K),
    /// The first value that has the fraction of the rows up to it.
    At(Fraction),
    /// The most frequent value, the first of several in this order.
    Mode { descending: bool },
}

/// One of the values of every group.
pub(super) struct Percentile<C: Codec> {
    choice: Choice<C::Key>,
    taken: Taken,
    result: DataType,
    values: Store<C>,
}

/// What is kept of the values.
#[derive(Clone, Copy, PartialEq)]
enum Taken {
    AsTheyAre,
    /// The few digits of `approx_`.
    Rounded,
    /// Decimals with the digits of the result, so that the middle of two is exact.
    Widened,
}

enum Store<C: Codec> {
    Weighted(Multisets<C>),
    /// Values one by one, for groups that never lose one.
    Gathered {
        codec: C,
        groups: Vec<Vec<C::Key>>,
        entries: usize,
        heap: usize,
    },
}

impl<C: Codec> Percentile<C> {
    /// Chooses among values of the type of `codec`; the answer has the type `result`.
    pub(super) fn new(codec: C, choice: Choice<C::Key>, result: DataType, append_only: bool) -> Self {
        let values = match append_only {
            true => Store::Gathered { codec, groups: Vec::new(), entries: 0, heap: 0 },
            false => Store::Weighted(Multisets::new(codec, true)),
        };
        Percentile { choice, taken: Taken::AsTheyAre, result, values }
    }

    /// The same over values rounded to a few digits; they are doubles.
    pub(super) fn rounded(self) -> Self {
        Percentile { taken: Taken::Rounded, ..self }
    }

    /// The same over values in the type of the result, which is that of the codec.
    pub(super) fn widened(self) -> Self {
        Percentile { taken: Taken::Widened, ..self }
    }

    /// The answer from the values in order, each with its weight.
    fn choose(&self, entries: &[(&C::Key, i64)]) -> Option<C::Key>
    where
        C::Key: Clone,
    {
        let rows: i128 = entries.iter().map(|entry| i128::from(entry.1)).sum();
        match &self.choice {
            Choice::Between(fraction, blend) => {
                let (place, part) = place(fraction.value?, rows - 1)?;
                let (below, above) =
                    (nth(entries, place)?, nth(entries, if part > 0.0 { place + 1.0 } else { place })?);
                Some(if below == above || part == 0.0 { below.clone() } else { blend(below, above, part) })
            }
            Choice::At(fraction) => {
                let place = (fraction.value? * rows as f64).ceil() - 1.0;
                nth(entries, place.max(0.0)).cloned()
            }
            Choice::Mode { .. } => {
                let most = entries.iter().map(|entry| entry.1).max()?;
                entries.iter().find(|entry| entry.1 == most).map(|entry| entry.0.clone())
            }
        }
    }

    fn descending(&self) -> bool {
        match &self.choice {
            Choice::Between(fraction, _) | Choice::At(fraction) => fraction.descending,
            Choice::Mode { descending } => *descending,
        }
    }

    fn value(&self, group: u32) -> Option<C::Key>
    where
        C::Key: Clone,
    {
        let mut entries: Vec<(&C::Key, i64)> = match &self.values {
            Store::Weighted(values) => values.group(group).map_or_else(Vec::new, Multiset::present),
            Store::Gathered { groups, .. } => {
                let mut keys: Vec<&C::Key> = groups.get(group as usize)?.iter().collect();
                keys.sort_unstable();
                keys.chunk_by(|one, other| one == other).map(|equal| (equal[0], equal.len() as i64)).collect()
            }
        };
        if self.descending() {
            entries.reverse();
        }
        self.choose(&entries)
    }

    fn codec(&self) -> &C {
        match &self.values {
            Store::Weighted(values) => values.codec(),
            Store::Gathered { codec, .. } => codec,
        }
    }

    fn capacity(&self) -> usize {
        match &self.values {
            Store::Weighted(values) => values.capacity(),
            Store::Gathered { groups, .. } => groups.len(),
        }
    }

    fn add(&mut self, values: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        match &mut self.values {
            Store::Weighted(held) => held.add(values, rows, |_, _, _| {}),
            Store::Gathered { codec, groups, entries, heap } => codec.visit(values, rows, |_, group, key, weight| {
                for _ in 0..weight {
                    groups[group].push(key.to_owned());
                    *entries += 1;
                    *heap += C::heap(key);
                }
            }),
        }
    }
}

/// `fraction * last` as a whole place and the rest, computed on the digits of the fraction: 0.95 of 9 is 8 and 0.55,
/// where a product of doubles would be a little less.
fn place(fraction: f64, last: i128) -> Option<(f64, f64)> {
    let exact = decimal::parse(&fraction.to_string()).and_then(Parsed::exact);
    let product = exact.and_then(|(digits, decimal)| Some((digits.checked_mul(last)?, decimal.scale)));
    match product {
        Some((product, scale)) => {
            let unit = i128::try_from(power_of_ten(u32::from(scale.unsigned_abs()))).ok()?;
            Some(((product / unit) as f64, decimal_to_double(product % unit, scale)))
        }
        None => {
            let place = fraction * last as f64;
            Some((place.floor(), place.fract()))
        }
    }
}

/// The value of the row at `place`, counted from 0.
fn nth<'a, K>(entries: &[(&'a K, i64)], place: f64) -> Option<&'a K> {
    let place = place as i128;
    let mut passed = 0;
    let found = entries.iter().find(|entry| {
        passed += i128::from(entry.1);
        passed > place
    });
    found.map(|entry| entry.0)
}

impl<C: Codec> Accumulator for Percentile<C>
where
    C::Key: Clone,
{
    fn resize(&mut self, count: usize) {
        match &mut self.values {
            Store::Weighted(values) => values.resize(count),
            Store::Gathered { groups, .. } if count > groups.len() => groups.resize_with(count, Vec::new),
            Store::Gathered { .. } => {}
        }
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        // The fraction comes along as an argument; it was read when the call was made.
        let mut value = state_column(values, 0)?.clone();
        match self.taken {
            Taken::AsTheyAre => {}
            Taken::Rounded => {
                let doubles = argument(std::slice::from_ref(&value), &DataType::Float64)?;
                let doubles = doubles.as_primitive_opt::<Float64Type>().ok_or_else(foreign_state)?;
                value = Arc::new(doubles.unary::<_, Float64Type>(rounded));
            }
            Taken::Widened => value = cast_values(&value, &self.result, OnFailure::Error)?,
        }
        let rows = Rows::new(std::slice::from_ref(&value), groups, weights, filter, self.capacity())?;
        if matches!(self.values, Store::Gathered { .. }) {
            rows.refuse_deletes()?;
        }
        self.add(&[value], &rows)
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let keys: Vec<Option<C::Key>> = groups.iter().map(|&group| self.value(group)).collect();
        let keys: Vec<Option<&C::Key>> = keys.iter().map(Option::as_ref).collect();
        let answers = self.codec().decode_one(&keys)?;
        if *answers.data_type() == self.result { Ok(answers) } else { Ok(cast(&answers, &self.result)?) }
    }

    fn clear(&mut self, cleared: &[u32]) {
        match &mut self.values {
            Store::Weighted(values) => values.clear(cleared),
            Store::Gathered { groups, entries, heap, .. } => {
                for &group in cleared {
                    if let Some(keys) = groups.get_mut(group as usize).map(std::mem::take) {
                        *entries = entries.saturating_sub(keys.len());
                        *heap = heap.saturating_sub(keys.iter().map(|key| C::heap(key.borrow())).sum());
                    }
                }
            }
        }
    }

    fn save(&self, saved: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.values {
            Store::Weighted(values) => values.save(saved),
            Store::Gathered { codec, groups, .. } => {
                let lists = saved.iter().map(|&group| groups.get(group as usize).map_or(&[][..], Vec::as_slice));
                super::multiset::save_lists(codec, lists.map(|keys| keys.iter().map(|key| (key, 1))))
            }
        }
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (values, groups, weights) = saved_rows(groups, state)?;
        let rows = Rows::new(&values, &groups, &weights, None, self.capacity())?;
        self.add(&values, &rows)
    }

    fn size(&self) -> usize {
        match &self.values {
            Store::Weighted(values) => values.size(),
            Store::Gathered { groups, entries, heap, .. } => {
                groups.capacity() * size_of::<Vec<C::Key>>() + entries * (size_of::<C::Key>() * 3 / 2) + heap
            }
        }
    }
}

/// The double nearest to `value` that has [`KEPT_BITS`] digits.
fn rounded(value: f64) -> f64 {
    const DROPPED: u32 = 53 - KEPT_BITS;
    let bits = value.to_bits();
    let half = (1 << (DROPPED - 1)) - 1 + ((bits >> DROPPED) & 1);
    let nearest = |bits: u64| f64::from_bits(bits >> DROPPED << DROPPED);
    match nearest(bits.wrapping_add(half)) {
        _ if !value.is_finite() => value,
        infinite if infinite.is_infinite() => nearest(bits),
        nearest => nearest,
    }
}

/// Values between others: what interpolation needs.
pub(super) fn between_doubles(below: &Native<f64>, above: &Native<f64>, part: f64) -> Native<f64> {
    Native(below.0 + part * (above.0 - below.0))
}

/// The middle of two decimals, halves away from zero where no digit is left for them; medians ask for nothing else.
pub(super) fn middle_of_decimals<N: ArrowNativeTypeOp + Into<i256> + TryFromWide>(
    below: &Native<N>,
    above: &Native<N>,
    _part: f64,
) -> Native<N> {
    let sum = below.0.into().wrapping_add(above.0.into());
    let (one, two) = (i256::from_i128(1), i256::from_i128(2));
    let quotient = sum / two;
    let odd = quotient.wrapping_mul(two) != sum;
    let away = if sum.is_negative() { quotient.wrapping_sub(one) } else { quotient.wrapping_add(one) };
    Native(N::narrowed(if odd { away } else { quotient }).unwrap_or(below.0))
}

/// The way back from a wide integer.
pub(super) trait TryFromWide: Sized {
    fn narrowed(value: i256) -> Option<Self>;
}

impl TryFromWide for i128 {
    fn narrowed(value: i256) -> Option<Self> {
        value.to_i128()
    }
}

impl TryFromWide for i256 {
    fn narrowed(value: i256) -> Option<Self> {
        Some(value)
    }
}

/// `approx_percentile_cont_with_weight(x, weight, fraction)`: a row stands for as many rows as its weight says.
pub(super) struct WeightedPercentile {
    fraction: Fraction,
    result: DataType,
    /// Pairs of rounded value and weight, in order, with how often they occur.
    pairs: Multisets<RowKeys>,
}

impl WeightedPercentile {
    /// The percentile at `fraction`, in the type `result`.
    pub(super) fn try_new(fraction: Fraction, result: DataType) -> Result<Self> {
        let codec = RowKeys::try_new(&[DataType::Float64, DataType::Float64])?;
        Ok(WeightedPercentile { fraction, result, pairs: Multisets::new(codec, true) })
    }

    fn value(&self, group: u32) -> Result<Option<f64>> {
        let entries = self.pairs.group(group).map_or_else(Vec::new, Multiset::present);
        let keys: Vec<_> = entries.iter().map(|entry| Some(entry.0)).collect();
        let columns = self.pairs.codec().decode(&keys)?;
        let column = |index| -> Result<&Float64Array> {
            state_column(&columns, index)?.as_primitive_opt::<Float64Type>().ok_or_else(foreign_state)
        };
        let (values, weights) = (column(0)?, column(1)?);
        let pairs = values.values().iter().zip(weights.values()).zip(&entries);
        let mut weighted: Vec<(f64, f64)> =
            pairs.map(|((&value, &weight), entry)| (value, weight * entry.1 as f64)).collect();
        if self.fraction.descending {
            weighted.reverse();
        }
        let total: f64 = weighted.iter().map(|pair| pair.1).sum();
        let Some(fraction) = self.fraction.value else {
            return Ok(None);
        };
        let place = (fraction * (total - 1.0)).max(0.0);
        let at = |place: f64| {
            let mut passed = 0.0;
            let found = weighted.iter().find(|pair| {
                passed += pair.1;
                passed > place
            });
            found.or(weighted.last()).map(|pair| pair.0)
        };
        Ok(at(place.floor()).zip(at(place.ceil())).map(|(below, above)| {
            if below == above { below } else { below + (place - place.floor()) * (above - below) }
        }))
    }
}

impl Accumulator for WeightedPercentile {
    fn resize(&mut self, groups: usize) {
        self.pairs.resize(groups);
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[u32],
        weights: &Weights,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let column = |index| -> Result<ArrayRef> {
            argument(std::slice::from_ref(state_column(values, index)?), &DataType::Float64)
        };
        let doubles = column(0)?;
        let doubles = doubles.as_primitive_opt::<Float64Type>().ok_or_else(foreign_state)?;
        let counts = column(1)?;
        let counts = counts.as_primitive_opt::<Float64Type>().ok_or_else(foreign_state)?;
        // A weight that is not a positive number stands for no rows.
        let counts: Float64Array =
            counts.iter().map(|count| count.filter(|count| count.is_finite() && *count > 0.0)).collect();
        let pairs: [ArrayRef; 2] = [Arc::new(doubles.unary::<_, Float64Type>(rounded)), Arc::new(counts)];
        self.pairs.update(&pairs, groups, weights, filter)
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        let values = groups.iter().map(|&group| self.value(group)).collect::<Result<Vec<_>>>()?;
        Ok(cast(&Float64Array::from(values), &self.result)?)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.pairs.clear(groups);
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.pairs.save(groups)
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.pairs.load(groups, state)
    }

    fn size(&self) -> usize {
        self.pairs.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_small_integers_and_three_digits_of_all_else() {
        for integer in -2048..=2048 {
            assert_eq!(rounded(f64::from(integer)), f64::from(integer));
        }
        for value in [1.0 / 3.0, -2e300, 12345.678, f64::MAX, f64::MIN_POSITIVE, 4097.0] {
            assert!(((rounded(value) - value) / value).abs() <= f64::powi(2.0, -11), "{value}");
        }
        assert!(rounded(f64::NAN).is_nan());
        assert_eq!(rounded(f64::NEG_INFINITY), f64::NEG_INFINITY);
    }
}
