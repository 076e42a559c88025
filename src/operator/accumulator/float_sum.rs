//! `sum` and `avg` of REAL and DOUBLE: exact, rounded once when read.
//!
//! A double is an integer times a power of two. The state of a group is such a number too: a 128-bit mantissa over a
//! fixed power of two (the base), so that adding a double of usual size is one multiplication and one addition.
//! A group whose numbers span more than fits is promoted to an integer of 2176 bits over 2^-1074, which holds every
//! sum of 2^77 doubles. Infinities and NaNs are counted, so that deleting them restores the finite sum.
//!
//! # Invariants
//! - A group's value is `mantissa * 2^(base - BIAS)`, or that of its promoted integer: never both.
//! - The base only matters for speed: equal sums read equal, whatever the order of the rows was.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::ratio::Scaled;
use super::rows::Rows;
use super::wide::{Wide, round_to_f64};
use super::{Accumulator, foreign_state, state_column};
use crate::base::change::Weights;
use crate::base::error::{Error, Result};

/// `value = (integer of 53 bits) * 2^(exponent field - BIAS)`.
const BIAS: i32 = 1075;
/// The smallest power of two in a double is 2^-1074, bit 0 of a promoted sum.
const PROMOTED_LOW: i32 = -1074;
const PROMOTED_LIMBS: usize = 34;
/// Doubles whose exponent field is at most this far above the base take the fast path.
const WINDOW: u32 = 62;
/// The largest base: infinities and NaNs (field 2047) must lie outside the window.
const BASE_MAX: i32 = 2047 - WINDOW as i32 - 1;
/// The base of groups without a finite number, and of promoted groups: nothing is within their window.
const NO_BASE: u32 = 1 << 20;

#[derive(Clone, Copy)]
struct State {
    low: u64,
    high: i64,
    count: i64,
    base: u32,
    /// One more than the index in `sides`, or 0.
    side: u32,
}

impl Default for State {
    fn default() -> Self {
        State { low: 0, high: 0, count: 0, base: NO_BASE, side: 0 }
    }
}

impl State {
    #[inline(always)]
    fn mantissa(&self) -> i128 {
        (i128::from(self.high) << 64) | i128::from(self.low)
    }

    #[inline(always)]
    fn set_mantissa(&mut self, mantissa: i128) {
        self.low = mantissa as u64;
        self.high = (mantissa >> 64) as i64;
    }

    fn exponent(&self) -> i32 {
        self.base as i32 - BIAS
    }
}

/// What only unusual groups have.
#[derive(Clone, Default)]
struct Side {
    positive_infinities: i64,
    negative_infinities: i64,
    nans: i64,
    promoted: Option<Box<Wide<PROMOTED_LIMBS>>>,
}

/// The exact float sums of all groups.
pub(super) struct FloatSum {
    average: bool,
    states: Vec<State>,
    sides: Vec<Side>,
    free_sides: Vec<u32>,
}

impl FloatSum {
    /// Sums, or with `average` averages.
    pub(super) fn new(average: bool) -> Self {
        FloatSum { average, states: Vec::new(), sides: Vec::new(), free_sides: Vec::new() }
    }

    /// The exact sum of a group's finite rows, the weight of all its rows, and whether all are finite.
    pub(super) fn total(&self, group: u32) -> (Scaled, i64, bool) {
        let state = self.states.get(group as usize).copied().unwrap_or_default();
        let packed = || Scaled::new(&Wide::<2>::from_i128(state.mantissa()), state.exponent());
        let Some(side) = self.side(group as usize) else {
            return (packed(), state.count, true);
        };
        let sum = side.promoted.as_ref().map_or_else(packed, |promoted| Scaled::new(promoted, PROMOTED_LOW));
        (sum, state.count, side.positive_infinities == 0 && side.negative_infinities == 0 && side.nans == 0)
    }

    /// Adds what the fast path cannot.
    #[cold]
    #[inline(never)]
    fn add_slowly(&mut self, group: usize, value: f64, weight: i64) {
        if value.is_finite() {
            let (integer, exponent) = decompose(value);
            self.add_term(group, i128::from(integer) * i128::from(weight), exponent);
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

    /// Adds `term * 2^exponent`.
    fn add_term(&mut self, group: usize, mut term: i128, mut exponent: i32) {
        if term == 0 {
            return;
        }
        if self.is_promoted(group) {
            self.promote(group).add_shifted(term, (exponent - PROMOTED_LOW) as usize);
            return;
        }
        let zeros = term.trailing_zeros();
        term >>= zeros;
        exponent += zeros as i32;
        let state = &mut self.states[group];
        let mut mantissa = state.mantissa();
        let mut base = state.exponent();
        if mantissa == 0 {
            let top = exponent + significant_bits(term) as i32;
            base = exponent.min(top - 53 - WINDOW as i32 / 2).clamp(1 - BIAS, BASE_MAX - BIAS);
        }
        if exponent < base {
            let down = (base - exponent) as u32;
            if significant_bits(mantissa) + down > 124 {
                self.promote(group).add_shifted(term, (exponent - PROMOTED_LOW) as usize);
                return;
            }
            mantissa <<= down;
            base = exponent;
        }
        let up = (exponent - base) as u32;
        if significant_bits(term) + up <= 124
            && let Some(sum) = mantissa.checked_add(term << up)
        {
            state.set_mantissa(sum);
            state.base = (base + BIAS) as u32;
        } else {
            self.promote(group).add_shifted(term, (exponent - PROMOTED_LOW) as usize);
        }
    }

    fn is_promoted(&self, group: usize) -> bool {
        self.side(group).is_some_and(|side| side.promoted.is_some())
    }

    /// The promoted sum of a group; made from its packed one if it has none.
    fn promote(&mut self, group: usize) -> &mut Wide<PROMOTED_LIMBS> {
        let state = self.states[group];
        self.states[group].set_mantissa(0);
        self.states[group].base = NO_BASE;
        self.side_mut(group).promoted.get_or_insert_with(|| {
            let mut wide = Wide::default();
            if state.mantissa() != 0 {
                wide.add_shifted(state.mantissa(), (state.exponent() - PROMOTED_LOW) as usize);
            }
            Box::new(wide)
        })
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

    fn value(&self, group: u32) -> Option<f64> {
        let state = self.states.get(group as usize).filter(|state| state.count != 0)?;
        let side = self.side(group as usize);
        if let Some(side) = side {
            match (side.nans != 0, side.positive_infinities != 0, side.negative_infinities != 0) {
                (true, _, _) | (_, true, true) => return Some(f64::NAN),
                (_, true, _) => return Some(f64::INFINITY),
                (_, _, true) => return Some(f64::NEG_INFINITY),
                _ => {}
            }
        }
        Some(match side.and_then(|side| side.promoted.as_ref()) {
            Some(promoted) if self.average => promoted.divided_to_f64(state.count, PROMOTED_LOW),
            Some(promoted) => promoted.to_f64(PROMOTED_LOW),
            None if self.average => average(state),
            None => sum(state),
        })
    }

    fn write(&self, group: u32, bytes: &mut Vec<u8>) {
        let state = self.states.get(group as usize).copied().unwrap_or_default();
        bytes.extend(state.count.to_le_bytes());
        bytes.extend(state.mantissa().to_le_bytes());
        bytes.extend(state.base.to_le_bytes());
        if let Some(side) = self.side(group as usize) {
            for count in [side.positive_infinities, side.negative_infinities, side.nans] {
                bytes.extend(count.to_le_bytes());
            }
            if let Some(promoted) = &side.promoted {
                promoted.write(bytes);
            }
        }
    }

    fn merge(&mut self, group: usize, bytes: &[u8]) -> Result<()> {
        let (head, rest) = bytes.split_at_checked(28).ok_or_else(foreign_state)?;
        let [count, low, high] = Wide::<3>::read(head).0;
        let base = u32::from_le_bytes([head[24], head[25], head[26], head[27]]);
        if base > NO_BASE || (!rest.is_empty() && rest.len() != 24 && rest.len() != 24 + PROMOTED_LIMBS * 8) {
            return Err(foreign_state());
        }
        let state = &mut self.states[group];
        state.count = state.count.wrapping_add(count as i64);
        self.add_term(group, (i128::from(high as i64) << 64) | i128::from(low), base as i32 - BIAS);
        if let Some((counts, promoted)) = rest.split_at_checked(24) {
            let [positive, negative, nans] = Wide::<3>::read(counts).0;
            let side = self.side_mut(group);
            side.positive_infinities = side.positive_infinities.wrapping_add(positive as i64);
            side.negative_infinities = side.negative_infinities.wrapping_add(negative as i64);
            side.nans = side.nans.wrapping_add(nans as i64);
            if !promoted.is_empty() {
                self.promote(group).add(&Wide::read(promoted));
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
        let values = cast(state_column(values, 0)?, &DataType::Float64)?;
        let values = values.as_primitive_opt::<Float64Type>().ok_or_else(foreign_state)?.values();
        rows.for_each_value(values, |group, value, weight| {
            let state = &mut self.states[group];
            state.count = state.count.wrapping_add(weight);
            if !add_fast(state, value, weight) {
                self.add_slowly(group, value, weight);
            }
        });
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
        let mut builder = BinaryBuilder::with_capacity(groups.len(), groups.len() * 28);
        let mut bytes = Vec::new();
        for &group in groups {
            bytes.clear();
            self.write(group, &mut bytes);
            builder.append_value(&bytes);
        }
        Ok(vec![Arc::new(builder.finish())])
    }

    fn load(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let saved: &BinaryArray = state_column(state, 0)?.as_binary_opt().ok_or_else(foreign_state)?;
        Rows::new(state, groups, &Weights::Ones, None, self.states.len())?;
        for (row, &group) in groups.iter().enumerate() {
            if saved.is_valid(row) {
                self.merge(group as usize, saved.value(row))?;
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let promoted = self.sides.iter().filter(|side| side.promoted.is_some()).count();
        self.states.capacity() * size_of::<State>()
            + self.sides.capacity() * size_of::<Side>()
            + promoted * size_of::<Wide<PROMOTED_LIMBS>>()
    }
}

/// Adds a double within the group's window, or zero; false if it is neither, or the mantissa has no room.
#[inline(always)]
fn add_fast(state: &mut State, value: f64, weight: i64) -> bool {
    let bits = value.to_bits();
    let is_zero = bits << 1 == 0;
    let field = (bits >> 52) as u32 & 0x7ff;
    let shift = if is_zero { 0 } else { field.wrapping_sub(state.base) };
    if shift > WINDOW || weight.wrapping_add(1) as u64 > 2 {
        return false;
    }
    let integer = (bits & ((1 << 52) - 1)) | (1 << 52);
    let integer = if is_zero { 0 } else { integer as i64 };
    let sign = (bits as i64) >> 63;
    let signed = ((integer ^ sign) - sign) * weight;
    let term = i128::from(signed) * i128::from(1i64 << shift);
    let (sum, overflow) = state.mantissa().overflowing_add(term);
    if !overflow {
        state.set_mantissa(sum);
    }
    !overflow
}

/// A finite double as `integer * 2^exponent`.
pub(super) fn decompose(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let field = (bits >> 52) as i32 & 0x7ff;
    let fraction = (bits & ((1 << 52) - 1)) as i64;
    let integer = if field == 0 { fraction } else { fraction | (1 << 52) };
    (if value.is_sign_negative() { -integer } else { integer }, field.max(1) - BIAS)
}

fn significant_bits(value: i128) -> u32 {
    128 - value.unsigned_abs().leading_zeros()
}

fn sum(state: &State) -> f64 {
    let mantissa = state.mantissa();
    round_to_f64(mantissa < 0, mantissa.unsigned_abs(), false, state.exponent())
}

fn average(state: &State) -> f64 {
    let rounded = sum(state);
    let exact_sum = significant_bits(state.mantissa()).saturating_sub(state.mantissa().trailing_zeros()) <= 53;
    // A sum that is a double and a count that is a double: the division is the only rounding.
    if exact_sum && rounded.is_normal() && (1..=1 << 53).contains(&state.count) {
        return rounded / state.count as f64;
    }
    Wide::<2>::from_i128(state.mantissa()).divided_to_f64(state.count, state.exponent())
}
