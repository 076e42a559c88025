//! Splitting doubles into two integers over a common unit, without branches.
//!
//! Adding `1.5 * 2^(e + 52)` to a double rounds it to a multiple of `2^e` and leaves that multiple, as an integer, in
//! the low bits of the sum (a trick as old as IEEE 754; see "reproducible summation", Demmel and Nguyen 2013). Doing
//! this twice, 50 bits apart, gives a high and a low part; the double is within the band if nothing remains.

/// Doubles are split this many at a time.
pub(super) const CHUNK: usize = 256;
/// `value = (high * 2^SPLIT + low) * 2^unit`.
pub(super) const SPLIT: u32 = 50;

/// Bits of the band above the largest of the doubles it was chosen for.
const ROOM_ABOVE: i32 = 10;

/// The doubles that are multiples of `2^unit` and below `2^(unit + 100)`.
pub(super) struct Band {
    /// The power of two of the low part.
    pub(super) unit: i32,
    high: f64,
    low: f64,
}

impl Band {
    /// The band with this unit, or the nearest possible one.
    pub(super) fn with_unit(unit: i32) -> Self {
        let unit = unit.clamp(-1074, 900);
        let three_halves = |exponent: i32| 1.5 * f64::from_bits(((exponent + 1023) as u64) << 52);
        Band { unit, high: three_halves(unit + SPLIT as i32 + 52), low: three_halves(unit + 52) }
    }

    /// A band for the largest of `values` and most smaller ones; none if all are zero or not finite.
    pub(super) fn suiting(values: &[f64]) -> Option<Self> {
        let finite = values.iter().map(|value| value.abs()).filter(|value| value.is_finite());
        let largest = finite.fold(0.0, f64::max);
        let exponent = (largest.to_bits() >> 52) as i32 - 1022;
        (largest > 0.0).then(|| Band::with_unit(exponent + ROOM_ABOVE - 2 * SPLIT as i32))
    }

    /// The parts of a double, if it is within the band.
    #[inline]
    pub(super) fn split(&self, value: f64) -> Option<(i64, i64)> {
        let (high, low, misfit) = self.parts(value);
        (misfit == 0).then_some((high, low))
    }

    /// The parts of at most [`CHUNK`] doubles; whether all are within the band.
    pub(super) fn split_all(&self, values: &[f64], highs: &mut [i64; CHUNK], lows: &mut [i64; CHUNK]) -> bool {
        let mut misfits = 0;
        for ((&value, high), low) in values.iter().zip(highs.iter_mut()).zip(lows.iter_mut()) {
            let misfit;
            (*high, *low, misfit) = self.parts(value);
            misfits |= misfit;
        }
        misfits == 0
    }

    /// High and low part, and something that is not 0 if the double is outside the band.
    #[inline(always)]
    fn parts(&self, value: f64) -> (i64, i64, u64) {
        let upper = value + self.high;
        let rest = value - (upper - self.high);
        let lower = rest + self.low;
        let remainder = rest - (lower - self.low);
        let high = upper.to_bits().wrapping_sub(self.high.to_bits()) as i64;
        let low = lower.to_bits().wrapping_sub(self.low.to_bits()) as i64;
        let too_large = (high.wrapping_add(1 << SPLIT) as u64) >> (SPLIT + 1);
        (high, low, (remainder.to_bits() << 1) | too_large)
    }
}

/// A finite double as `integer * 2^exponent`.
pub(super) fn decompose(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let field = (bits >> 52) as i32 & 0x7ff;
    let fraction = (bits & ((1 << 52) - 1)) as i64;
    let integer = if field == 0 { fraction } else { fraction | (1 << 52) };
    (if value.is_sign_negative() { -integer } else { integer }, field.max(1) - 1075)
}

/// How many bits the absolute value has.
pub(super) fn significant_bits(value: i128) -> u32 {
    128 - value.unsigned_abs().leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_double_or_are_refused() {
        for unit in [-1074, -1000, -90, 0, 300, 900] {
            let band = Band::with_unit(unit);
            for power in -1074..1024 {
                for integer in [1i64, -1, 3, (1 << 53) - 1, -(1 << 52) - 1, 0x15_5555_5555_5555] {
                    let Some(value) = scaled(integer, power) else { continue };
                    let zeros = integer.trailing_zeros() as i32;
                    let bits = 64 - integer.unsigned_abs().leading_zeros() as i32;
                    match band.split(value) {
                        Some((high, low)) => {
                            let packed = (i128::from(high) << SPLIT) + i128::from(low);
                            let shift = power - unit;
                            let expected =
                                if shift >= 0 { i128::from(integer) << shift } else { i128::from(integer) >> -shift };
                            assert_eq!(packed, expected, "{value:e} over 2^{unit}");
                            assert!(power + zeros >= unit && high.abs() <= 1 << SPLIT && low.abs() < 1 << SPLIT);
                        }
                        None => assert!(
                            power + zeros < unit || power + bits > unit + 2 * SPLIT as i32 - 1,
                            "{value:e} {unit}"
                        ),
                    }
                }
            }
            for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN] {
                assert!(band.split(odd).is_none());
            }
            assert_eq!((band.split(0.0), band.split(-0.0)), (Some((0, 0)), Some((0, 0))));
        }
    }

    /// `integer * 2^power` where that is a double.
    fn scaled(integer: i64, power: i32) -> Option<f64> {
        let value = super::super::wide::round_to_f64(integer < 0, u128::from(integer.unsigned_abs()), false, power);
        let (back, exponent) = decompose(value);
        let same = value.is_finite() && back != 0 && {
            let (a, b) = (integer.trailing_zeros() as i32, back.trailing_zeros() as i32);
            integer >> a == back >> b && power + a == exponent + b
        };
        same.then_some(value)
    }
}
