//! Integers of fixed, chosen width, and the one rounding from exact numbers to `f64`.
//!
//! [`Wide`] is a two's complement integer of `N` 64-bit limbs, lowest first, that wraps. Sums wrap too, so a sum
//! that leaves the range and comes back is exact: a state as wide as its largest possible final value needs no
//! overflow checks at all. Division and rounding work on magnitudes.

use arrow::datatypes::i256;

/// A two's complement integer of `64 * N` bits, lowest limb first; arithmetic wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide<const N: usize>(pub(super) [u64; N]);

impl<const N: usize> Default for Wide<N> {
    fn default() -> Self {
        Wide([0; N])
    }
}

impl<const N: usize> Wide<N> {
    /// `value`, sign extended; the low bits if `N` is 1.
    #[inline]
    pub(super) fn from_i128(value: i128) -> Self {
        let mut limbs = [(value >> 127) as u64; N];
        for (limb, part) in limbs.iter_mut().zip([value as u64, (value >> 64) as u64]) {
            *limb = part;
        }
        Wide(limbs)
    }

    /// `value`, sign extended.
    #[inline]
    pub(super) fn from_i256(value: i256) -> Self {
        let (low, high) = value.to_parts();
        let mut limbs = [(high >> 127) as u64; N];
        let parts = [low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64];
        for (limb, part) in limbs.iter_mut().zip(parts) {
            *limb = part;
        }
        Wide(limbs)
    }

    /// Adds `other`.
    #[inline]
    pub(super) fn add(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, &other) in self.0.iter_mut().zip(&other.0) {
            let (sum, first) = limb.overflowing_add(other);
            let (sum, second) = sum.overflowing_add(carry as u64);
            *limb = sum;
            carry = first | second;
        }
    }

    /// Adds `other * factor`.
    #[inline]
    pub(super) fn add_scaled(&mut self, other: &Self, factor: i64) {
        match factor {
            1 => self.add(other),
            -1 => self.add(&other.negated()),
            _ => {
                let product = other.multiplied(factor.unsigned_abs());
                self.add(&if factor < 0 { product.negated() } else { product });
            }
        }
    }

    /// Adds `value * 2^bit`; only the limbs that change are touched.
    pub(super) fn add_shifted(&mut self, value: i128, bit: usize) {
        let (limb, shift) = (bit / 64, bit % 64);
        let sign = (value >> 127) as u64;
        let (low, high) = (value as u64, (value >> 64) as u64);
        let parts = if shift == 0 {
            [low, high, sign]
        } else {
            let up = 64 - shift;
            [low << shift, (high << shift) | (low >> up), (sign << shift) | (high >> up)]
        };
        let mut carry = false;
        for (index, limb) in self.0.iter_mut().enumerate().skip(limb) {
            let part = parts.get(index - bit / 64).copied().unwrap_or(sign);
            if index >= bit / 64 + 3 && part == (carry as u64).wrapping_neg() {
                return; // 0 without carry, or -1 with: nothing changes from here up
            }
            let (sum, first) = limb.overflowing_add(part);
            let (sum, second) = sum.overflowing_add(carry as u64);
            *limb = sum;
            carry = first | second;
        }
    }

    /// The value in `M` limbs: sign extended, or cut off.
    pub(super) fn extended<const M: usize>(self) -> Wide<M> {
        let mut limbs = [if self.is_negative() { u64::MAX } else { 0 }; M];
        for (limb, part) in limbs.iter_mut().zip(self.0) {
            *limb = part;
        }
        Wide(limbs)
    }

    /// The value times `factor`.
    pub(super) fn multiplied(&self, factor: u64) -> Self {
        let mut result = [0; N];
        let mut carry = 0u128;
        for (result, &limb) in result.iter_mut().zip(&self.0) {
            carry += u128::from(limb) * u128::from(factor);
            *result = carry as u64;
            carry >>= 64;
        }
        Wide(result)
    }

    /// The square of the value, if it fits in `M` limbs.
    #[inline]
    pub(super) fn squared<const M: usize>(&self) -> Wide<M> {
        let factor = self.magnitude();
        let mut result = [0u64; M];
        for (low, &a) in factor.iter().enumerate().filter(|&(_, &a)| a != 0) {
            let mut carry = 0u128;
            for (index, limb) in result.iter_mut().enumerate().skip(low) {
                let b = factor.get(index - low).copied().unwrap_or(0);
                carry += u128::from(a) * u128::from(b) + u128::from(*limb);
                *limb = carry as u64;
                carry >>= 64;
            }
        }
        Wide(result)
    }

    /// The value times `2^bits`.
    pub(super) fn shifted_up(&self, bits: u32) -> Self {
        let (limbs, shift) = ((bits / 64) as usize, bits % 64);
        let mut result = [0; N];
        for (index, result) in result.iter_mut().enumerate().skip(limbs) {
            let high = self.0[index - limbs] << shift;
            let low = if shift > 0 && index > limbs { self.0[index - limbs - 1] >> (64 - shift) } else { 0 };
            *result = high | low;
        }
        Wide(result)
    }

    /// How many bits the absolute value has.
    pub(super) fn bits(&self) -> u32 {
        let magnitude = self.magnitude();
        let high = magnitude.iter().rposition(|&limb| limb != 0);
        high.map_or(0, |high| high as u32 * 64 + 64 - magnitude[high].leading_zeros())
    }

    /// The value with its sign turned.
    #[inline]
    pub(super) fn negated(&self) -> Self {
        let mut result = [0; N];
        let mut carry = true;
        for (result, &limb) in result.iter_mut().zip(&self.0) {
            (*result, carry) = (!limb).overflowing_add(carry as u64);
        }
        Wide(result)
    }

    /// Whether the value is below zero.
    #[inline]
    pub(super) fn is_negative(&self) -> bool {
        self.0.last().is_some_and(|&limb| limb >> 63 == 1)
    }

    /// Whether the value is zero.
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|&limb| limb == 0)
    }

    /// The absolute value, as limbs of an unsigned number.
    pub(super) fn magnitude(&self) -> [u64; N] {
        if self.is_negative() { self.negated().0 } else { self.0 }
    }

    /// The value as `i128`, if it fits.
    #[inline]
    pub(super) fn to_i128(self) -> Option<i128> {
        let part = |index: usize| self.0.get(index).copied().map_or(0, u128::from);
        let value = (part(0) | (part(1) << 64)) as i128;
        (Self::from_i128(value) == self).then_some(value)
    }

    /// The value as `i256`, if it fits.
    pub(super) fn to_i256(self) -> Option<i256> {
        let sign = if self.is_negative() { u64::MAX } else { 0 };
        let part = |index: usize| u128::from(self.0.get(index).copied().unwrap_or(sign));
        let value = i256::from_parts(part(0) | (part(1) << 64), (part(2) | (part(3) << 64)) as i128);
        (Self::from_i256(value) == self).then_some(value)
    }

    /// The value times `2^exponent`, rounded once.
    pub(super) fn to_f64(self, exponent: i32) -> f64 {
        let (top, sticky, low) = top_bits(&self.magnitude());
        round_to_f64(self.is_negative(), top, sticky, exponent + low)
    }

    /// The value times `2^exponent`, divided by `divisor`, rounded once. `divisor` is not 0.
    pub(super) fn divided_to_f64(self, divisor: i64, exponent: i32) -> f64 {
        let negative = self.is_negative() != (divisor < 0);
        // Two limbs of zeros below make at least 64 significant bits of every quotient of a number that is not zero.
        let mut limbs = vec![0, 0];
        limbs.extend(self.magnitude());
        let remainder = divide_limbs(&mut limbs, divisor.unsigned_abs());
        let (top, sticky, low) = top_bits(&limbs);
        round_to_f64(negative, top, sticky || remainder != 0, exponent + low - 128)
    }

    /// The value divided by `divisor`, the nearest integer, halves away from zero. `divisor` is not 0.
    pub(super) fn divided(self, divisor: i64) -> Self {
        let negative = self.is_negative() != (divisor < 0);
        let mut quotient = Wide(self.magnitude());
        let divisor = divisor.unsigned_abs();
        let remainder = divide_limbs(&mut quotient.0, divisor);
        if remainder >= divisor - remainder {
            quotient.add(&Wide::from_i128(1));
        }
        if negative { quotient.negated() } else { quotient }
    }

    /// The limbs as little-endian bytes.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        for limb in self.0 {
            bytes.extend(limb.to_le_bytes());
        }
    }

    /// The value of `8 * N` bytes made by [`Wide::write`]; missing limbs are zero.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut limbs = [0; N];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = u64::from_le_bytes(chunk.try_into().expect("chunks_exact gives 8 bytes"));
        }
        Wide(limbs)
    }
}

/// Divides the unsigned number in place and returns the remainder. `divisor` is not 0.
fn divide_limbs(limbs: &mut [u64], divisor: u64) -> u64 {
    let mut remainder = 0u64;
    for limb in limbs.iter_mut().rev() {
        let part = (u128::from(remainder) << 64) | u128::from(*limb);
        *limb = (part / u128::from(divisor)) as u64;
        remainder = (part % u128::from(divisor)) as u64;
    }
    remainder
}

/// The upper bits of an unsigned number: `(top, sticky, low)` with number = `top * 2^low` plus, if sticky, something
/// smaller than `2^low`. `top` has at least 65 significant bits if sticky.
fn top_bits(limbs: &[u64]) -> (u128, bool, i32) {
    let Some(high) = limbs.iter().rposition(|&limb| limb != 0).filter(|&high| high > 0) else {
        return (limbs.first().copied().map_or(0, u128::from), false, 0);
    };
    let top = (u128::from(limbs[high]) << 64) | u128::from(limbs[high - 1]);
    (top, limbs[..high - 1].iter().any(|&limb| limb != 0), (high as i32 - 1) * 64)
}

/// The `f64` nearest to `magnitude * 2^exponent`, ties to even; infinity beyond the range. `sticky` says that the
/// exact number is larger by less than `2^exponent`; `magnitude` has then at least 55 significant bits.
pub(super) fn round_to_f64(negative: bool, magnitude: u128, sticky: bool, exponent: i32) -> f64 {
    if magnitude == 0 {
        return 0.0;
    }
    let bits = 128 - magnitude.leading_zeros() as i32;
    let leading = exponent + bits - 1;
    let unsigned = if leading > 1023 {
        f64::INFINITY
    } else {
        let unit = (leading - 52).max(-1074);
        let mantissa = round_shift(magnitude, sticky, unit - exponent);
        if mantissa >> 52 == 0 {
            f64::from_bits(mantissa)
        } else {
            // A mantissa of 2^53 carries into the exponent, and from the largest exponent to infinity, as it should.
            f64::from_bits((((unit + 1075) as u64) << 52) + (mantissa - (1 << 52)))
        }
    };
    if negative { -unsigned } else { unsigned }
}

/// `magnitude / 2^drop` to the nearest integer, ties to even; the result has at most 54 bits.
fn round_shift(magnitude: u128, sticky: bool, drop: i32) -> u64 {
    match drop {
        ..=0 => (magnitude << (-drop).min(127)) as u64,
        129.. => 0,
        _ => {
            let kept = magnitude.checked_shr(drop as u32).unwrap_or(0) as u64;
            let half = 1u128 << (drop - 1);
            let rest = magnitude & (half | (half - 1));
            let up = rest > half || (rest == half && (sticky || kept & 1 == 1));
            kept + u64::from(up)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_like_the_hardware() {
        for value in
            [1u128, 3, (1 << 53) + 1, (1 << 54) + 2, (1 << 54) + 6, u128::from(u64::MAX), u128::MAX, 12345 << 70]
        {
            assert_eq!(round_to_f64(false, value, false, 0), value as f64, "{value}");
        }
        assert_eq!(round_to_f64(true, 1, false, -1074), -f64::from_bits(1));
        assert_eq!(round_to_f64(false, 1, false, -1075), 0.0);
        assert_eq!(round_to_f64(false, 3, false, -1076), f64::from_bits(1));
        assert_eq!(round_to_f64(false, (1 << 53) - 1, false, 971), f64::MAX);
        assert_eq!(round_to_f64(false, (1 << 54) - 1, false, 970), f64::INFINITY);
        assert_eq!(round_to_f64(false, 1, false, 5000), f64::INFINITY);
        assert_eq!(round_to_f64(false, (1 << 54) + 2, true, 0), ((1u64 << 54) + 4) as f64);
    }

    #[test]
    fn adds_shifted_like_wide_addition() {
        let mut sum = Wide::<5>::default();
        let mut model = i256::ZERO;
        for (step, value) in [5i128, -7, i128::from(i64::MAX) << 50, -(1 << 100), 1, -1].into_iter().enumerate() {
            let bit = step * 23;
            sum.add_shifted(value, bit);
            model = model.wrapping_add(i256::from_i128(value) << bit as u8);
            assert_eq!(sum.to_i256(), Some(model));
        }
    }

    #[test]
    fn divides_and_rounds_once() {
        assert_eq!(Wide::<2>::from_i128(-7).divided(2).to_i128(), Some(-4));
        assert_eq!(Wide::<2>::from_i128(7).divided(3).to_i128(), Some(2));
        assert_eq!(Wide::<2>::from_i128(1).divided_to_f64(3, 0), 1.0 / 3.0);
        assert_eq!(Wide::<2>::from_i128(-1).divided_to_f64(10, 1), -0.2);
        assert_eq!(Wide::<3>::from_i128(i128::MAX).divided_to_f64(i64::MAX, 0), 18446744073709551618.0);
    }
}
