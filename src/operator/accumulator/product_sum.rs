//! Exact sums of squares and products of doubles, by group: what variances and regressions need beside exact sums.
//!
//! The product of two doubles is an integer of 106 bits times a power of two. Like a float sum, a group keeps a
//! mantissa (256 bits) over a base that suits its numbers, and is promoted to an integer over 2^-2148 that holds any
//! sum when they span more. Numbers that are not finite are left out here; the float sums count them.

use arrow::array::ArrayRef;

use super::band::decompose;
use super::foreign_state;
use super::ratio::Scaled;
use super::saved::{load_bytes, save_bytes};
use super::wide::Wide;
use crate::base::error::Result;

/// The square of the smallest double, and so the smallest product, is 2^-2148.
const LOW: i32 = -2148;
/// 2148 + 2048 bits for products, and 156 for their number.
const LIMBS: usize = 68;
/// Room of a mantissa: two numbers of this many bits add without overflow.
const BITS: i32 = 253;

#[derive(Clone, Default)]
struct State {
    mantissa: Wide<4>,
    exponent: i32,
    promoted: Option<Box<Wide<LIMBS>>>,
}

/// The exact sums of products of all groups.
#[derive(Default)]
pub(super) struct ProductSum {
    states: Vec<State>,
}

impl ProductSum {
    /// Makes the groups below `groups` exist.
    pub(super) fn resize(&mut self, groups: usize) {
        if groups > self.states.len() {
            self.states.resize(groups, State::default());
        }
    }

    /// Adds `one * other * weight`, unless one of the numbers is not finite.
    pub(super) fn add(&mut self, group: usize, one: f64, other: f64, weight: i64) {
        if one == 0.0 || other == 0.0 || weight == 0 || !one.is_finite() || !other.is_finite() {
            return;
        }
        let ((one, one_exponent), (other, other_exponent)) = (odd(one), odd(other));
        let mut term = Wide::<4>::default();
        term.add_scaled(&Wide::from_i128(one * other), weight);
        self.states[group].add(&term, one_exponent + other_exponent);
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

    /// The exact states of the groups as one column.
    pub(super) fn save(&self, groups: &[u32]) -> ArrayRef {
        save_bytes(groups, 36, |group, bytes| self.write(group, bytes))
    }

    /// Merges a column made by [`ProductSum::save`].
    pub(super) fn load(&mut self, groups: &[u32], saved: &ArrayRef) -> Result<()> {
        load_bytes(saved, groups, self.states.len(), |group, saved| self.merge(group, saved))
    }

    fn write(&self, group: u32, bytes: &mut Vec<u8>) {
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

    fn merge(&mut self, group: usize, bytes: &[u8]) -> Result<()> {
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

/// A finite double that is not 0 as an odd integer times a power of two.
fn odd(value: f64) -> (i128, i32) {
    let (integer, exponent) = decompose(value);
    let zeros = integer.trailing_zeros();
    (i128::from(integer >> zeros), exponent + zeros as i32)
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
