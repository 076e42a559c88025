//! Exact sums of squares of doubles, by group: what variances need beside the exact sum.
//!
//! The square of a double is an integer of 106 bits times an even power of two. Like a float sum, a group keeps a
//! mantissa (256 bits) over a base that suits its numbers, and is promoted to an integer over 2^-2148 that holds any
//! sum when they span more. Numbers that are not finite are left out here; the float sum counts them.

use super::foreign_state;
use super::ratio::Scaled;
use super::wide::Wide;
use super::window::decompose;
use crate::base::error::Result;

/// The square of the smallest double is 2^-2148.
const LOW: i32 = -2148;
/// 2148 + 2048 bits for squares, and 156 for their number.
const LIMBS: usize = 68;
/// Room of a mantissa: two numbers of this many bits add without overflow.
const BITS: i32 = 253;

#[derive(Clone, Default)]
struct State {
    mantissa: Wide<4>,
    exponent: i32,
    promoted: Option<Box<Wide<LIMBS>>>,
}

/// The exact sums of squares of all groups.
#[derive(Default)]
pub(super) struct SquareSum {
    states: Vec<State>,
}

impl SquareSum {
    /// Makes the groups below `groups` exist.
    pub(super) fn resize(&mut self, groups: usize) {
        if groups > self.states.len() {
            self.states.resize(groups, State::default());
        }
    }

    /// Adds `value * value * weight`.
    pub(super) fn add(&mut self, group: usize, value: f64, weight: i64) {
        if value == 0.0 || weight == 0 || !value.is_finite() {
            return;
        }
        let (integer, exponent) = decompose(value);
        let zeros = integer.trailing_zeros();
        let integer = i128::from(integer >> zeros);
        let mut term = Wide::<4>::default();
        term.add_scaled(&Wide::from_i128(integer * integer), weight);
        self.states[group].add(&term, 2 * (exponent + zeros as i32));
    }

    /// The sum of a group.
    pub(super) fn value(&self, group: u32) -> Scaled {
        match self.states.get(group as usize) {
            Some(State { promoted: Some(promoted), .. }) => Scaled::new(promoted, LOW),
            Some(state) => Scaled::new(&state.mantissa, state.exponent),
            None => Scaled::new(&Wide::<1>::default(), 0),
        }
    }

    /// Forgets a group.
    pub(super) fn clear(&mut self, group: u32) {
        if let Some(state) = self.states.get_mut(group as usize) {
            *state = State::default();
        }
    }

    /// Writes the exact state of a group.
    pub(super) fn write(&self, group: u32, bytes: &mut Vec<u8>) {
        let Some(state) = self.states.get(group as usize) else {
            return;
        };
        match &state.promoted {
            Some(promoted) => promoted.write(bytes),
            None => {
                bytes.extend(state.exponent.to_le_bytes());
                state.mantissa.write(bytes);
            }
        }
    }

    /// Merges what [`SquareSum::write`] wrote.
    pub(super) fn merge(&mut self, group: usize, bytes: &[u8]) -> Result<()> {
        let state = self.states.get_mut(group).ok_or_else(foreign_state)?;
        match bytes.len() {
            0 => {}
            36 => {
                let exponent = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                if !(LOW..=2048).contains(&exponent) {
                    return Err(foreign_state());
                }
                state.add(&Wide::read(&bytes[4..]), exponent);
            }
            length if length == LIMBS * 8 => state.promote().add(&Wide::read(bytes)),
            _ => return Err(foreign_state()),
        }
        Ok(())
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.states.capacity() * size_of::<State>()
    }
}

impl State {
    /// Adds `term * 2^exponent`.
    fn add(&mut self, term: &Wide<4>, exponent: i32) {
        if term.is_zero() {
            return;
        }
        if self.promoted.is_none() {
            if self.mantissa.is_zero() {
                // Room below for numbers that are smaller by up to 2^32, and above for those that are larger.
                self.exponent = (exponent + term.bits() as i32 - 170).clamp(LOW, exponent);
            } else if exponent < self.exponent {
                let down = self.exponent - exponent;
                if self.mantissa.bits() as i32 + down <= BITS {
                    self.mantissa = self.mantissa.shifted_up(down as u32);
                    self.exponent = exponent;
                }
            }
            let up = exponent - self.exponent;
            if up >= 0 && term.bits() as i32 + up <= BITS && self.mantissa.bits() as i32 <= BITS {
                self.mantissa.add(&term.shifted_up(up as u32));
                return;
            }
        }
        self.promote().add(&term.extended::<LIMBS>().shifted_up((exponent - LOW) as u32));
    }

    fn promote(&mut self) -> &mut Wide<LIMBS> {
        let (mantissa, exponent) = (std::mem::take(&mut self.mantissa), std::mem::take(&mut self.exponent));
        self.promoted.get_or_insert_with(|| {
            let wide = mantissa.extended::<LIMBS>();
            Box::new(if wide.is_zero() { wide } else { wide.shifted_up((exponent - LOW) as u32) })
        })
    }
}
