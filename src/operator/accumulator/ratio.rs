//! Exact fractions of big integers, and their one rounding to `f64`: the last step of variances.

use num_bigint::{BigInt, BigUint, Sign};

use super::wide::{Wide, round_to_f64};

/// A big integer times a power of two.
#[derive(Debug, Clone)]
pub(super) struct Scaled {
    pub(super) integer: BigInt,
    pub(super) exponent: i32,
}

impl Scaled {
    /// `value * 2^exponent`.
    pub(super) fn new<const N: usize>(value: &Wide<N>, exponent: i32) -> Self {
        let mut bytes = Vec::with_capacity(N * 8);
        value.write(&mut bytes);
        Scaled { integer: BigInt::from_signed_bytes_le(&bytes), exponent }
    }

    /// The sum of two.
    pub(super) fn plus(self, other: Self) -> Self {
        if self.integer.sign() == Sign::NoSign {
            return other;
        }
        if other.integer.sign() == Sign::NoSign {
            return self;
        }
        let exponent = self.exponent.min(other.exponent);
        let raise = |scaled: Scaled| scaled.integer << (scaled.exponent - exponent) as u32;
        Scaled { exponent, integer: raise(self) + raise(other) }
    }

    /// The product of two.
    pub(super) fn times(&self, other: &Self) -> Self {
        Scaled { integer: &self.integer * &other.integer, exponent: self.exponent + other.exponent }
    }

    /// The negated value.
    pub(super) fn negated(self) -> Self {
        Scaled { integer: -self.integer, exponent: self.exponent }
    }
}

/// `numerator / denominator`, rounded once. `denominator` is not 0.
pub(super) fn divide(numerator: &Scaled, denominator: &BigUint) -> f64 {
    let negative = numerator.integer.sign() == Sign::Minus;
    let (quotient, sticky, exponent) = quotient(numerator, denominator, 66, false);
    round(negative, &quotient, sticky, exponent)
}

/// The square root of `numerator / denominator`, rounded once; 0 below zero. `denominator` is not 0.
pub(super) fn divide_and_root(numerator: &Scaled, denominator: &BigUint) -> f64 {
    if numerator.integer.sign() != Sign::Plus {
        return 0.0;
    }
    // 132 bits of the fraction make 66 bits of its root.
    let (quotient, sticky, exponent) = quotient(numerator, denominator, 132, true);
    let root = quotient.sqrt();
    let inexact = sticky || &root * &root != quotient;
    round(false, &root, inexact, exponent / 2)
}

/// The fraction's magnitude as `(quotient, sticky, exponent)`: at least `bits` bits, and something below the last
/// one if sticky; an even exponent if asked for.
fn quotient(numerator: &Scaled, denominator: &BigUint, bits: i64, even: bool) -> (BigUint, bool, i32) {
    let mut shift = (bits + denominator.bits() as i64 - numerator.integer.bits() as i64).max(0) as i32;
    if even && (numerator.exponent - shift) % 2 != 0 {
        shift += 1;
    }
    let raised = numerator.integer.magnitude() << shift as u32;
    let quotient = &raised / denominator;
    let sticky = &quotient * denominator != raised;
    (quotient, sticky, numerator.exponent - shift)
}

fn round(negative: bool, magnitude: &BigUint, sticky: bool, exponent: i32) -> f64 {
    let drop = magnitude.bits().saturating_sub(128);
    let top = magnitude >> drop;
    let sticky = sticky || (&top << drop) != *magnitude;
    let digits = top.to_u64_digits();
    let digit = |index: usize| digits.get(index).copied().map_or(0, u128::from);
    round_to_f64(negative, digit(0) | (digit(1) << 64), sticky, exponent + drop as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled(integer: i64, exponent: i32) -> Scaled {
        Scaled { integer: integer.into(), exponent }
    }

    #[test]
    fn rounds_like_the_hardware() {
        for (a, b) in [(1, 3), (-7, 10), (0, 9), (1 << 62, 3), (i64::MAX, 7), (12345, 5)] {
            let expected = (a as i128 as f64) / b as f64; // a is a double or the rounding below is checked exactly
            let got = divide(&scaled(a, 0), &BigUint::from(b as u64));
            assert!((got - expected).abs() <= expected.abs() * f64::EPSILON, "{a}/{b}");
        }
        assert_eq!(divide(&scaled(1, 0), &BigUint::from(3u8)), 1.0 / 3.0);
        assert_eq!(divide(&scaled(1, -1074), &BigUint::from(1u8)), f64::from_bits(1));
        for value in [2i64, 3, 10, 1 << 40, 99] {
            assert_eq!(divide_and_root(&scaled(value, 0), &BigUint::from(1u8)), (value as f64).sqrt());
        }
        assert_eq!(divide_and_root(&scaled(1, 0), &BigUint::from(2u8)), 0.5f64.sqrt());
        assert_eq!(divide_and_root(&scaled(1, -3), &BigUint::from(1u8)), 0.125f64.sqrt());
        assert_eq!(divide_and_root(&scaled(-1, 0), &BigUint::from(1u8)), 0.0);
    }
}
