//! `sum` and `avg` of REAL and DOUBLE: exact, rounded once when read.
//!
//! A double is an integer times a power of two. All groups of a call share a [`Band`]: a unit, a power of two that
//! suits the first rows. A double within the band is a sum of two integers of 50 bits, found with six float
//! operations that the compiler turns into vector code; adding it to a group is two integer additions. What does not
//! fit - a carry beyond 64 bits, a double outside the band - goes to an integer of 2176 bits over 2^-1074 of that
//! group. Infinities and NaNs are counted, so that deleting them restores the finite sum.
//!
//! The wide integer is Kulisch's long accumulator (Kulisch and Miranker 1986): a double has its bits between 2^-1074
//! and 2^1023, which is 2098 places; 77 more let 2^77 of the largest double be added, and one is the sign. What is
//! added can be taken away bit for bit, so a sum is a function of the rows that are there and of nothing else: not of
//! their order, not of rows that came and went, not of how they were cut into batches or partitions.
//!
//! # Invariants
//! - A group's value is `(high * 2^50 + low) * 2^unit` plus its wide integer, always exactly.
//! - The band only matters for speed: equal sums read equal, whatever the order of the rows was.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};

use super::band::{Band, CHUNK, SPLIT, decompose, significant_bits};
use super::ratio::Scaled;
use super::rows::Rows;
use super::saved::{load_bytes, save_bytes};
use super::wide::{Wide, round_to_f64};
use super::{Accumulator, argument, foreign_state, state_column};
use crate::base::change::Weights;
use crate::base::error::{Error, Result};

/// The smallest power of two in a double is 2^-1074, bit 0 of a wide sum.
const WIDE_LOW: i32 = -1074;
const WIDE_LIMBS: usize = 34;
/// Weights up to this keep a split double times its weight within 62 bits.
const WEIGHT_MAX: u64 = 1 << 10;
/// The bits that a group may take beside its wide integer.
const PACKED_BITS: u32 = 111;

#[derive(Clone, Copy, Default)]
struct State {
    high: i64,
    low: i64,
    count: i64,
    /// One more than the index in `sides`, or 0.
    side: u32,
}

impl State {
    fn packed(&self) -> i128 {
        (i128::from(self.high) << SPLIT) + i128::from(self.low)
    }

    /// Adds, unless one of the parts has no room.
    #[inline(always)]
    fn add(&mut self, high: i64, low: i64) -> bool {
        let (high, no_room) = self.high.overflowing_add(high);
        let (low, no_room_low) = self.low.overflowing_add(low);
        if no_room | no_room_low {
            return false;
        }
        (self.high, self.low) = (high, low);
        true
    }
}

/// What only unusual groups have.
#[derive(Clone, Default)]
struct Side {
    positive_infinities: i64,
    negative_infinities: i64,
    nans: i64,
    wide: Option<Box<Wide<WIDE_LIMBS>>>,
}

/// The exact float sums of all groups.
pub(super) struct FloatSum {
    average: bool,
    band: Option<Band>,
    states: Vec<State>,
    sides: Vec<Side>,
    free_sides: Vec<u32>,
    /// Rows since the band was chosen, and how many of them were outside it.
    rows: usize,
    misfits: usize,
}

impl FloatSum {
    /// Sums, or with `average` averages.
    pub(super) fn new(average: bool) -> Self {
        FloatSum {
            average,
            band: None,
            states: Vec::new(),
            sides: Vec::new(),
            free_sides: Vec::new(),
            rows: 0,
            misfits: 0,
        }
    }

    /// The exact sum of a group's finite rows, the weight of all its rows, and whether all are finite.
    pub(super) fn total(&self, group: u32) -> (Scaled, i64, bool) {
        let state = self.states.get(group as usize).copied().unwrap_or_default();
        let packed = Scaled::new(&Wide::<2>::from_i128(state.packed()), self.unit());
        let Some(side) = self.side(group as usize) else {
            return (packed, state.count, true);
        };
        let sum = match &side.wide {
            Some(wide) => Scaled::new(wide, WIDE_LOW).plus(packed),
            None => packed,
        };
        (sum, state.count, side.positive_infinities == 0 && side.negative_infinities == 0 && side.nans == 0)
    }

    fn unit(&self) -> i32 {
        self.band.as_ref().map_or(0, |band| band.unit)
    }

    /// Adds rows `CHUNK` at a time: split all doubles, then add the parts to the groups.
    pub(super) fn add_rows(&mut self, values: &[f64], rows: &Rows<'_>) {
        if self.band.is_none() {
            self.band = Band::suiting(values);
        }
        let uniform = rows.uniform_group();
        let (mut highs, mut lows) = ([0; CHUNK], [0; CHUNK]);
        for start in (0..rows.len()).step_by(CHUNK) {
            let range = start..rows.len().min(start + CHUNK);
            let fit = match &self.band {
                Some(band) => band.split_all(&values[range.clone()], &mut highs, &mut lows),
                None => false,
            };
            match uniform {
                Some(group) if fit => {
                    let length = range.len();
                    let (high, low) = (highs[..length].iter().sum(), lows[..length].iter().sum());
                    self.states[group].count = self.states[group].count.wrapping_add(length as i64);
                    self.add_parts(group, high, low);
                }
                _ if fit => rows.for_each_in(range, |row, group, weight| {
                    self.add_split(group, highs[row - start], lows[row - start], weight);
                }),
                _ => rows.for_each_in(range, |row, group, weight| self.add_any(group, values[row], weight)),
            }
        }
        self.rows = self.rows.saturating_add(rows.len());
        if self.misfits > self.rows / 2 && self.rows >= self.states.len() {
            self.choose_band_again(values);
        }
    }

    /// Adds a double within the band.
    #[inline(always)]
    fn add_split(&mut self, group: usize, high: i64, low: i64, weight: i64) {
        let state = &mut self.states[group];
        state.count = state.count.wrapping_add(weight);
        if weight.unsigned_abs() > WEIGHT_MAX {
            let packed = (i128::from(high) << SPLIT) + i128::from(low);
            self.add_wide(group, packed, weight, self.unit());
        } else if !state.add(high * weight, low * weight) {
            self.add_parts(group, high * weight, low * weight);
        }
    }

    /// Adds parts of at most 62 bits, moving what the group holds to its wide integer if need be.
    #[cold]
    #[inline(never)]
    fn add_parts(&mut self, group: usize, high: i64, low: i64) {
        // Such parts always fit once what the group held has gone to its wide integer.
        debug_assert!(high.unsigned_abs() < 1 << 62 && low.unsigned_abs() < 1 << 62, "parts of more than 62 bits");
        if !self.states[group].add(high, low) {
            let packed = self.states[group].packed();
            (self.states[group].high, self.states[group].low) = (high, low);
            self.add_wide(group, packed, 1, self.unit());
        }
    }

    /// Adds any double.
    fn add_any(&mut self, group: usize, value: f64, weight: i64) {
        if let Some((high, low)) = self.band.as_ref().and_then(|band| band.split(value)) {
            return self.add_split(group, high, low, weight);
        }
        self.states[group].count = self.states[group].count.wrapping_add(weight);
        if value.is_finite() {
            let (integer, exponent) = decompose(value);
            self.misfits += 1;
            self.add_wide(group, i128::from(integer), weight, exponent);
            return;
        }
        let side = self.side_mut(group);
        let count = match value {
            f64::INFINITY => &mut side.positive_infinities,
            f64::NEG_INFINITY => &mut side.negative_infinities,
            _ => &mut side.nans,
        };
        *count = count.wrapping_add(weight);
    }

    /// Adds `term * weight * 2^exponent` to the wide integer of a group; `exponent` is at least [`WIDE_LOW`].
    fn add_wide(&mut self, group: usize, term: i128, weight: i64, exponent: i32) {
        if term == 0 || weight == 0 {
            return;
        }
        let wide = self.side_mut(group).wide.get_or_insert_default();
        let bit = exponent.saturating_sub(WIDE_LOW).max(0) as usize;
        if weight == 1 {
            wide.add_shifted(term, bit);
            return;
        }
        let mut product = Wide::<3>::default();
        product.add_scaled(&Wide::from_i128(term), weight);
        let [low, middle, high] = product.0;
        wide.add_shifted(i128::from(low), bit);
        wide.add_shifted((i128::from(high as i64) << 64) | i128::from(middle), bit + 64);
    }

    /// Adds an exact number: within the band if it fits, else to the wide integer.
    fn add_term(&mut self, group: usize, mut term: i128, mut exponent: i32) {
        if term == 0 {
            return;
        }
        let zeros = term.trailing_zeros();
        term >>= zeros;
        exponent = exponent.saturating_add(zeros as i32);
        let band = self.band.get_or_insert_with(|| Band::with_unit(exponent));
        let up = exponent.saturating_sub(band.unit);
        if up >= 0 && up.saturating_add(significant_bits(term) as i32) <= PACKED_BITS as i32 {
            let packed = term << up;
            self.add_parts(group, (packed >> SPLIT) as i64, (packed & ((1 << SPLIT) - 1)) as i64);
        } else {
            self.add_wide(group, term, 1, exponent);
        }
    }

    /// Chooses a band that suits `values`, where most rows were outside the present one.
    #[cold]
    fn choose_band_again(&mut self, values: &[f64]) {
        (self.rows, self.misfits) = (0, 0);
        let unit = self.unit();
        let Some(band) = Band::suiting(values).filter(|band| band.unit != unit) else {
            return;
        };
        self.band = Some(band);
        for group in 0..self.states.len() {
            let packed = self.states[group].packed();
            (self.states[group].high, self.states[group].low) = (0, 0);
            self.add_term(group, packed, unit);
        }
    }

    fn side(&self, group: usize) -> Option<&Side> {
        let side = self.states.get(group)?.side;
        self.sides.get(side.checked_sub(1)? as usize)
    }

    fn side_mut(&mut self, group: usize) -> &mut Side {
        if self.states[group].side == 0 {
            let index = self.free_sides.pop().unwrap_or_else(|| {
                self.sides.push(Side::default());
                self.sides.len() as u32 - 1
            });
            self.states[group].side = index + 1;
        }
        &mut self.sides[self.states[group].side as usize - 1]
    }

    pub(super) fn value(&self, group: u32) -> Option<f64> {
        let state = self.states.get(group as usize).filter(|state| state.count != 0)?;
        let Some(side) = self.side(group as usize) else {
            return Some(self.packed_value(state));
        };
        match (side.nans != 0, side.positive_infinities != 0, side.negative_infinities != 0) {
            (true, _, _) | (_, true, true) => return Some(f64::NAN),
            (_, true, _) => return Some(f64::INFINITY),
            (_, _, true) => return Some(f64::NEG_INFINITY),
            _ => {}
        }
        let Some(wide) = &side.wide else {
            return Some(self.packed_value(state));
        };
        let mut wide = **wide;
        if state.packed() != 0 {
            wide.add_shifted(state.packed(), (self.unit() - WIDE_LOW) as usize);
        }
        Some(if self.average { wide.divided_to_f64(state.count, WIDE_LOW) } else { wide.to_f64(WIDE_LOW) })
    }

    fn packed_value(&self, state: &State) -> f64 {
        let packed = state.packed();
        let sum = round_to_f64(packed < 0, packed.unsigned_abs(), false, self.unit());
        if !self.average {
            return sum;
        }
        let is_double = significant_bits(packed).saturating_sub(packed.trailing_zeros()) <= 53;
        // A sum that is a double and a count that is a double: the division is the only rounding.
        if is_double && sum.is_normal() && (1..=1 << 53).contains(&state.count) {
            return sum / state.count as f64;
        }
        Wide::<2>::from_i128(packed).divided_to_f64(state.count, self.unit())
    }

    fn write(&self, group: u32, bytes: &mut Vec<u8>) {
        let state = self.states.get(group as usize).copied().unwrap_or_default();
        bytes.extend(state.count.to_le_bytes());
        bytes.extend(state.packed().to_le_bytes());
        bytes.extend(self.unit().to_le_bytes());
        if let Some(side) = self.side(group as usize) {
            for count in [side.positive_infinities, side.negative_infinities, side.nans] {
                bytes.extend(count.to_le_bytes());
            }
            if let Some(wide) = &side.wide {
                wide.write(bytes);
            }
        }
    }

    fn merge(&mut self, group: usize, bytes: &[u8]) -> Result<()> {
        let (head, rest) = bytes.split_at_checked(28).ok_or_else(foreign_state)?;
        let [count, low, high] = Wide::<3>::read(head).0;
        let unit = i32::from_le_bytes([head[24], head[25], head[26], head[27]]);
        let lengths = [0, 24, 24 + WIDE_LIMBS * 8];
        if !(WIDE_LOW..=1024).contains(&unit) || !lengths.contains(&rest.len()) {
            return Err(foreign_state());
        }
        self.states[group].count = self.states[group].count.wrapping_add(count as i64);
        self.add_term(group, (i128::from(high as i64) << 64) | i128::from(low), unit);
        if let Some((counts, wide)) = rest.split_at_checked(24) {
            let [positive, negative, nans] = Wide::<3>::read(counts).0;
            let side = self.side_mut(group);
            side.positive_infinities = side.positive_infinities.wrapping_add(positive as i64);
            side.negative_infinities = side.negative_infinities.wrapping_add(negative as i64);
            side.nans = side.nans.wrapping_add(nans as i64);
            if !wide.is_empty() {
                side.wide.get_or_insert_default().add(&Wide::read(wide));
            }
        }
        Ok(())
    }
}

impl Accumulator for FloatSum {
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
        let values = argument(values, &DataType::Float64)?;
        let values = values.as_primitive_opt::<Float64Type>().ok_or_else(foreign_state)?.values();
        self.add_rows(values, &rows);
        Ok(())
    }

    fn read(&self, groups: &[u32], _errors: &mut Vec<(usize, Error)>) -> Result<ArrayRef> {
        Ok(Arc::new(Float64Array::from_iter(groups.iter().map(|&group| self.value(group)))))
    }

    fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            if let Some(state) = self.states.get_mut(group as usize) {
                let side = std::mem::take(state).side;
                if side > 0 {
                    self.sides[side as usize - 1] = Side::default();
                    self.free_sides.push(side - 1);
                }
            }
        }
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![save_bytes(groups, 28, |group, bytes| self.write(group, bytes))])
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        load_bytes(state_column(state, 0)?, groups, self.states.len(), |group, saved| self.merge(group, saved))
    }

    fn size(&self) -> usize {
        let wide = self.sides.iter().filter(|side| side.wide.is_some()).count();
        self.states.capacity() * size_of::<State>()
            + self.sides.capacity() * size_of::<Side>()
            + wide * size_of::<Wide<WIDE_LIMBS>>()
    }
}
