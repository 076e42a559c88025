//! Decimals: which type the result of an operation has, and how values are rounded.
//!
//! A decimal is an `i128` of digits with a scale fixed by its type, at most [`DIGITS_MAX`] digits in all. Types are
//! chosen so that sums and products are exact; only where 38 digits cannot hold every digit a result might have, the
//! digits behind the point give way, down to [`KEPT_SCALE`] of them, and are rounded. Quotients have 16 digits more
//! than their dividend, and up to four more where the divisor has that many before its point. Rounding is to the
//! nearest, halves away from zero, as PostgreSQL rounds `numeric`. Whatever does not fit is `None`, never wrapped.

use arrow::datatypes::{DataType, i256};

/// The digits of the widest decimal.
pub const DIGITS_MAX: u8 = 38;

/// Digits behind the point that a result keeps, even if its type then cannot hold the largest conceivable value.
const KEPT_SCALE: i32 = 18;

/// Digits that a quotient has beyond the scale of its dividend.
const QUOTIENT_DIGITS: i32 = 16;

/// The digits behind the point that averages keep at the cost of those before it.
const AVERAGE_DIGITS: i32 = 10;

/// A decimal type: how many digits, and how many of them behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecimalType {
    /// Digits in all, 1 to 38.
    pub precision: u8,
    /// Digits behind the point, 0 to the precision.
    pub scale: i8,
}

impl DecimalType {
    /// A type of so many digits behind the point and, where 38 digits allow, `whole` before it.
    fn bounded(whole: i32, scale: i32, kept: i32) -> Self {
        let (whole, max) = (whole.max(0), i32::from(DIGITS_MAX));
        let scale = scale.min((max - whole).max(kept)).clamp(0, max);
        let precision = (whole + scale).clamp(1, max);
        DecimalType { precision: precision as u8, scale: scale as i8 }
    }

    /// The decimal type that holds every value of an integer or decimal type.
    pub fn of(data_type: &DataType) -> Option<Self> {
        let (precision, scale) = match *data_type {
            DataType::Int8 | DataType::UInt8 => (3, 0),
            DataType::Int16 | DataType::UInt16 => (5, 0),
            DataType::Int32 | DataType::UInt32 => (10, 0),
            DataType::Int64 => (19, 0),
            DataType::UInt64 => (20, 0),
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale) => (precision, scale),
            _ => return None,
        };
        Some(DecimalType { precision, scale })
    }

    /// The type in Arrow.
    pub fn arrow(self) -> DataType {
        DataType::Decimal128(self.precision, self.scale)
    }

    fn scale(self) -> i32 {
        i32::from(self.scale)
    }

    /// Digits before the point.
    fn whole(self) -> i32 {
        i32::from(self.precision) - self.scale()
    }

    /// The type of a sum or difference.
    pub fn sum(self, other: Self) -> Self {
        let scale = self.scale().max(other.scale());
        Self::bounded(self.whole().max(other.whole()) + 1, scale, scale.min(KEPT_SCALE))
    }

    /// The type of a product.
    pub fn product(self, other: Self) -> Self {
        let scale = self.scale() + other.scale();
        Self::bounded(self.whole() + other.whole(), scale, scale.min(KEPT_SCALE))
    }

    /// The type of a quotient.
    pub fn quotient(self, divisor: Self) -> Self {
        let scale = self.scale() + QUOTIENT_DIGITS + divisor.whole().clamp(0, 4);
        Self::bounded(self.whole() + divisor.scale(), scale, QUOTIENT_DIGITS.max(self.scale().min(KEPT_SCALE)))
    }

    /// The type of a remainder.
    pub fn remainder(self, divisor: Self) -> Self {
        let scale = self.scale().max(divisor.scale());
        Self::bounded(self.whole().min(divisor.whole()), scale, scale)
    }

    /// The type of the average of values of this type, which is never greater than they are. A type of 38 digits is
    /// mostly that of a sum, whose values have far fewer before the point: ten behind it are kept.
    pub fn average(self) -> Self {
        let is_sum = self.precision == DIGITS_MAX;
        let kept = if is_sum { self.scale().max(AVERAGE_DIGITS) } else { self.scale() };
        Self::bounded(self.whole(), self.scale() + QUOTIENT_DIGITS, kept)
    }

    /// The type of the middle of two values of this type, likewise: it has a digit more. Whole numbers of 38 digits stay
    /// what they are, since a value that the type did not hold would be an error of all rows.
    pub fn middle(self) -> Self {
        let scale = self.scale() + 1;
        let kept = if (2..=AVERAGE_DIGITS).contains(&scale) { scale } else { self.scale() };
        Self::bounded(self.whole(), scale, kept)
    }

    /// The type of values rounded to `scale` digits behind the point; rounding may add a digit before it.
    pub fn rounded(self, scale: i64) -> Self {
        let scale = scale.clamp(0, i64::from(DIGITS_MAX)) as i32;
        let carries = i32::from(scale < self.scale());
        Self::bounded(self.whole() + carries, scale, scale.min(self.scale()))
    }

    /// The type that holds the values of both, if there is one.
    pub fn common(self, other: Self) -> Option<Self> {
        let (whole, scale) = (self.whole().max(other.whole()), self.scale().max(other.scale()));
        (whole + scale <= i32::from(DIGITS_MAX)).then(|| Self::bounded(whole, scale, scale))
    }

    /// Whether a value has no more digits than the type.
    #[inline]
    pub fn holds(self, value: i128) -> bool {
        value.unsigned_abs() < power_of_ten(u32::from(self.precision))
    }

    /// The value, if the type holds it.
    #[inline]
    pub fn checked(self, value: i128) -> Option<i128> {
        self.holds(value).then_some(value)
    }
}

/// `10^exponent` for exponents to 38.
#[inline]
pub fn power_of_ten(exponent: u32) -> u128 {
    debug_assert!(exponent <= u32::from(DIGITS_MAX));
    10u128.pow(exponent.min(u32::from(DIGITS_MAX)))
}

/// `value`, which has `from` digits behind the point, with `to` of them; `None` where it does not fit.
#[inline]
pub fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    let digits = u32::from(from.abs_diff(to));
    if digits > u32::from(DIGITS_MAX) {
        return (value == 0 || to < from).then_some(0);
    }
    match to >= from {
        true => value.checked_mul(i128::try_from(power_of_ten(digits)).ok()?),
        false => Some(divide_rounded(value, power_of_ten(digits))),
    }
}

/// `value / divisor` to the nearest integer, halves away from zero. The divisor is not 0.
#[inline]
pub fn divide_rounded(value: i128, divisor: u128) -> i128 {
    let magnitude = value.unsigned_abs();
    let (quotient, rest) = (magnitude / divisor, magnitude % divisor);
    let up = rest >= divisor - rest;
    // A quotient of half of `u128` is only reached with a divisor of 1, and then nothing is rounded up.
    let rounded = (quotient + u128::from(up)) as i128;
    if value < 0 { rounded.wrapping_neg() } else { rounded }
}

/// `left * 10^shift / right`, rounded; `None` where it does not fit. `right` is not 0.
#[inline]
pub fn divide_shifted(left: i128, right: i128, shift: i32) -> Option<i128> {
    if let Ok(up) = u32::try_from(shift)
        && let Some(factor) = 10i128.checked_pow(up)
        && let Some(numerator) = left.checked_mul(factor)
    {
        let quotient = divide_rounded(numerator, right.unsigned_abs());
        return Some(if right < 0 { -quotient } else { quotient });
    }
    divide_wide(i256::from_i128(left), i256::from_i128(right), shift)
}

fn divide_wide(left: i256, right: i256, shift: i32) -> Option<i128> {
    let factor = i256::from_i128(10).checked_pow(shift.unsigned_abs())?;
    let (numerator, denominator) = match shift >= 0 {
        true => (left.checked_mul(factor)?, right),
        false => (left, right.checked_mul(factor)?),
    };
    round_wide(numerator, denominator)
}

/// `left * right / 10^drop`, rounded; `None` where it does not fit.
pub fn multiply_dropping(left: i128, right: i128, drop: u32) -> Option<i128> {
    // Two values of 38 digits have a product of 76, which 256 bits hold.
    let product = i256::from_i128(left).checked_mul(i256::from_i128(right))?;
    round_wide(product, i256::from_i128(10).checked_pow(drop)?)
}

fn round_wide(numerator: i256, denominator: i256) -> Option<i128> {
    let (quotient, rest) = (numerator.checked_div(denominator)?, numerator.checked_rem(denominator)?);
    let (rest, half) = (rest.wrapping_abs(), denominator.wrapping_abs());
    let negative = numerator.is_negative() != denominator.is_negative();
    let step = i256::from_i128(if negative { -1 } else { 1 });
    let rounded = if rest >= half.checked_sub(rest)? { quotient.checked_add(step)? } else { quotient };
    rounded.to_i128()
}

/// A decimal literal or text as digits and scale: `-12.50` is `(-1250, 2)`, `1.5e3` is `(15, -2)`.
///
/// `None` where the text is no number; digits that 38 do not hold are [`Parsed::Wide`].
pub fn parse(text: &str) -> Option<Parsed> {
    let text = text.trim();
    let (negative, number) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match number.find(['e', 'E']) {
        Some(at) => (&number[..at], number[at + 1..].parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
    let mut value: i128 = 0;
    let mut dropped = 0;
    let mut first_dropped = 0;
    for byte in digits() {
        let digit = i128::from(byte - b'0');
        match value.checked_mul(10).and_then(|value| value.checked_add(digit)).filter(|_| dropped == 0) {
            Some(next) => value = next,
            None => {
                if dropped == 0 {
                    first_dropped = digit;
                }
                dropped += 1;
            }
        }
    }
    let value = if negative { -value } else { value };
    // The first digit left out decides on rounding, because the kept ones are more than any type has.
    Some(Parsed { value, scale: scale - dropped, rounds_up: first_dropped >= 5, cut: dropped > 0 })
}

/// A number as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    value: i128,
    scale: i64,
    rounds_up: bool,
    cut: bool,
}

impl Parsed {
    /// The number with `scale` digits behind the point, rounded.
    pub fn at_scale(self, scale: i8) -> Option<i128> {
        let up = i64::from(scale) - self.scale;
        if self.value == 0 {
            return Some(0);
        }
        if up == 0 && self.rounds_up {
            return self.value.checked_add(self.value.signum());
        }
        if up > 0 {
            let factor = u32::try_from(up).ok().and_then(|up| 10i128.checked_pow(up))?;
            return self.value.checked_mul(factor);
        }
        match u32::try_from(-up) {
            Ok(down) if down <= u32::from(DIGITS_MAX) => Some(divide_rounded(self.value, power_of_ten(down))),
            _ => Some(0),
        }
    }

    /// The number in the narrowest type that holds all its digits, if one does.
    pub fn exact(self) -> Option<(i128, DecimalType)> {
        let scale = i8::try_from(self.scale.max(0)).ok().filter(|&scale| scale <= DIGITS_MAX as i8)?;
        let value = self.at_scale(scale).filter(|_| !self.cut)?;
        let digits = value.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
        let precision = u8::try_from(digits).ok()?.max(scale as u8).max(1);
        (precision <= DIGITS_MAX).then_some((value, DecimalType { precision, scale }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(precision: u8, scale: i8) -> DecimalType {
        DecimalType { precision, scale }
    }

    #[test]
    fn types_hold_every_digit_while_38_do() {
        let money = decimal(12, 2);
        assert_eq!(money.sum(decimal(3, 1)), decimal(13, 2));
        assert_eq!(money.product(decimal(3, 1)), decimal(15, 3));
        assert_eq!(money.remainder(decimal(3, 1)), decimal(4, 2));
        assert_eq!(money.average(), decimal(28, 18));
        assert_eq!(money.rounded(1), decimal(12, 1));
        assert_eq!(money.rounded(4), decimal(14, 4));
        assert_eq!(money.rounded(-3), decimal(11, 0));
        assert_eq!(decimal(38, 10).average(), decimal(38, 10));
        assert_eq!(decimal(38, 0).sum(decimal(38, 0)), decimal(38, 0));
        assert_eq!(decimal(38, 20).product(decimal(38, 20)), decimal(38, 18));
        assert_eq!(decimal(38, 0).common(decimal(38, 10)), None);
        assert_eq!(money.common(decimal(19, 0)), Some(decimal(21, 2)));
    }

    #[test]
    fn quotients_have_sixteen_digits_more() {
        assert_eq!(decimal(2, 1).quotient(decimal(1, 0)), decimal(19, 18));
        assert_eq!(decimal(12, 2).quotient(decimal(19, 0)).scale, 22);
        assert_eq!(decimal(38, 2).quotient(decimal(19, 0)), decimal(38, 16));
        assert_eq!(divide_shifted(10_000, 3, 16), Some(33_333_333_333_333_333_333));
        assert_eq!(divide_shifted(-2, 3, 1), Some(-7));
        assert_eq!(divide_shifted(5, -2, 0), Some(-3));
        assert_eq!(divide_shifted(10i128.pow(37), 10i128.pow(37), 20), Some(10i128.pow(20)));
        assert_eq!(divide_shifted(10i128.pow(37), 1, 20), None);
    }

    #[test]
    fn halves_go_away_from_zero() {
        for (value, rounded) in [(25, 3), (-25, -3), (24, 2), (-24, -2), (26, 3), (0, 0), (5, 1), (-5, -1), (4, 0)] {
            assert_eq!(divide_rounded(value, 10), rounded, "{value}");
        }
        assert_eq!(divide_rounded(i128::MAX, 1), i128::MAX);
        assert_eq!(rescale(1005, 3, 2), Some(101));
        assert_eq!(rescale(i128::MAX / 5, 0, 1), None);
        assert_eq!(multiply_dropping(15, 15, 1), Some(23));
        assert_eq!(multiply_dropping(-15, 15, 1), Some(-23));
    }

    #[test]
    fn text_keeps_its_digits() {
        let exact = |text: &str| parse(text).and_then(Parsed::exact);
        assert_eq!(exact("1.50"), Some((150, decimal(3, 2))));
        assert_eq!(exact("-.5"), Some((-5, decimal(1, 1))));
        assert_eq!(exact("5."), Some((5, decimal(1, 0))));
        assert_eq!(exact("0.001"), Some((1, decimal(3, 3))));
        assert_eq!(exact("12345678901234567.89"), Some((1_234_567_890_123_456_789, decimal(19, 2))));
        assert_eq!(exact(&"9".repeat(38)), Some((10i128.pow(38) - 1, decimal(38, 0))));
        assert_eq!(exact(&"9".repeat(39)), None);
        assert_eq!(parse(" 1.5e3 ").and_then(|number| number.at_scale(0)), Some(1500));
        assert_eq!(parse("1.005").and_then(|number| number.at_scale(2)), Some(101));
        assert_eq!(parse("1e-50").and_then(|number| number.at_scale(2)), Some(0));
        assert_eq!(parse("1e50").and_then(|number| number.at_scale(2)), None);
        let long = format!("0.{}", "9".repeat(60));
        assert_eq!(parse(&long).and_then(|number| number.at_scale(2)), Some(100));
        for no_number in ["", ".", "-", "1.2.3", "abc", "1e", "0x10", "1 2"] {
            assert_eq!(parse(no_number), None, "{no_number}");
        }
    }
}
