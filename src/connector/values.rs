//! Text to numbers, booleans, dates and timestamps: one set of rules for finding types and for reading values.
//!
//! The rules are strict where a loose one would turn other text into values: dates are `2013-01-31` or `2013/01/31`,
//! times follow after a space or `T`. Spaces around a value do not count. Nothing allocates.

use chrono::{Datelike, NaiveDate, NaiveDateTime};

use crate::base::time::strftime::to_read;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// `text` without surrounding spaces.
pub fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// A whole number of 64 bits; leading zeros and a sign are fine.
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    if digits.len() <= 18 {
        for &byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Counted downwards, because the least number has no positive twin.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Whether `text` is a whole number of any length.
pub fn is_digits(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// A floating-point number: `1`, `1.5`, `.5`, `1e5`, and the words `nan`, `inf`, `infinity`; none where digits say more
/// than a DOUBLE holds.
pub fn double(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let is_beyond = number.is_infinite() && text.iter().any(u8::is_ascii_digit);
    (!is_beyond).then_some(number)
}

/// The same of 32 bits.
pub fn single(text: &[u8]) -> Option<f32> {
    let number = double(text)?;
    let single = number as f32;
    (single.is_finite() || !number.is_finite()).then_some(single)
}

/// A boolean by its full words; used to find types.
pub fn boolean_word(text: &[u8]) -> Option<bool> {
    match text.len() {
        4 if text.eq_ignore_ascii_case(b"true") => Some(true),
        5 if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

/// A boolean in any of PostgreSQL's spellings; used where the type is known.
pub fn boolean(text: &[u8]) -> Option<bool> {
    const TRUE: [&[u8]; 5] = [b"t", b"yes", b"y", b"on", b"1"];
    const FALSE: [&[u8]; 5] = [b"f", b"no", b"n", b"off", b"0"];
    if let Some(value) = boolean_word(text) {
        return Some(value);
    }
    if TRUE.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some(true);
    }
    FALSE.iter().any(|word| text.eq_ignore_ascii_case(word)).then_some(false)
}

/// Days since 1970-01-01 of `2013-01-31`.
pub fn date(text: &[u8]) -> Option<i32> {
    match text {
        [y1, y2, y3, y4, s1 @ (b'-' | b'/'), m1, m2, s2, d1, d2] if s1 == s2 => {
            let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
            days(year, two(*m1, *m2)?, two(*d1, *d2)?)
        }
        _ => None,
    }
}

/// Microseconds since 1970 of `2013-01-31 10:15[:00[.123456]][Z|+01:00]`, and whether a zone was given.
///
/// A date alone is its midnight. Fractions are rounded to microseconds, as in a cast.
pub fn timestamp(text: &[u8]) -> Option<(i64, bool)> {
    let day = i64::from(date(text.get(..10)?)?) * MICROS_PER_DAY;
    let rest = &text[10..];
    let Some((b' ' | b'T' | b't', clock)) = rest.split_first() else {
        return rest.is_empty().then_some((day, false));
    };
    let (time, rest) = time_of_day(clock)?;
    let local = day + time;
    let rest = trim(rest);
    if rest.is_empty() {
        return Some((local, false));
    }
    Some((local - offset(rest)?, true))
}

/// Microseconds since midnight of `10:15[:00[.123456]]`.
pub fn time(text: &[u8]) -> Option<i64> {
    let (time, rest) = time_of_day(text)?;
    (rest.is_empty() && time < MICROS_PER_DAY).then_some(time)
}

/// Days since 1970 of a date in a `strftime` format.
pub fn formatted_date(text: &[u8], format: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(std::str::from_utf8(text).ok()?, format).ok()?;
    Some(date.num_days_from_ce() - 719_163)
}

/// Microseconds since 1970 of a timestamp in a `strftime` format, which may hold `%z`.
pub fn formatted_timestamp(text: &[u8], format: &str) -> Option<i64> {
    let format = &*to_read(format);
    let text = std::str::from_utf8(text).ok()?;
    if format.contains("%z") || format.contains("%:z") || format.contains("%#z") {
        return chrono::DateTime::parse_from_str(text, format).ok().map(|time| time.timestamp_micros());
    }
    match NaiveDateTime::parse_from_str(text, format) {
        Ok(time) => Some(time.and_utc().timestamp_micros()),
        // A format without a time of day means midnight.
        Err(_) => formatted_date(text.as_bytes(), format).map(|days| i64::from(days) * MICROS_PER_DAY),
    }
}

fn time_of_day(text: &[u8]) -> Option<(i64, &[u8])> {
    let [h1, h2, b':', m1, m2, rest @ ..] = text else { return None };
    let (hour, minute) = (two(*h1, *h2)?, two(*m1, *m2)?);
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (two(*s1, *s2)?, rest),
        _ => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, rest) = match rest {
        [b'.' | b',', digits @ ..] => fraction(digits)?,
        _ => (0, rest),
    };
    Some((((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, rest))
}

fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || count > 9 {
        return None;
    }
    let (digits, rest) = text.split_at(count);
    let nanos = (0..9).fold(0, |nanos, at| nanos * 10 + digits.get(at).map_or(0, |digit| i64::from(digit - b'0')));
    let (micros, beyond) = (nanos / 1000, nanos % 1000);
    let up = beyond > 500 || (beyond == 500 && micros % 2 == 1);
    Some((micros + i64::from(up), rest))
}

/// Microseconds east of UTC of `Z`, `UTC`, `+01`, `+0100`, `+01:00`.
fn offset(text: &[u8]) -> Option<i64> {
    if text.eq_ignore_ascii_case(b"z") || text.eq_ignore_ascii_case(b"utc") {
        return Some(0);
    }
    let (sign, rest) = match text {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [h1, h2] => (two(*h1, *h2)?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (two(*h1, *h2)?, two(*m1, *m2)?),
        _ => return None,
    };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000_000)
}

fn two(high: u8, low: u8) -> Option<i64> {
    let (high, low) = (high.wrapping_sub(b'0'), low.wrapping_sub(b'0'));
    (high < 10 && low < 10).then(|| i64::from(high) * 10 + i64::from(low))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms"); `None` for a day that does not exist.
fn days(year: i64, month: i64, day: i64) -> Option<i32> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(integer(b"007"), Some(7));
        assert_eq!(integer(b"+5"), Some(5));
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer(b"9223372036854775808"), None);
        assert_eq!(integer(b"-"), None);
        assert_eq!(integer(b"1a"), None);
        assert_eq!(double(b"1e5"), Some(1e5));
        assert_eq!(double(b"+.5"), Some(0.5));
        assert_eq!(double(b"0x10"), None);
    }

    #[test]
    fn dates_and_timestamps() {
        assert_eq!(date(b"1970-01-01"), Some(0));
        assert_eq!(date(b"2000/02/29"), Some(11_016));
        assert_eq!(date(b"1900-02-29"), None);
        assert_eq!(date(b"2013-1-1"), None);
        assert_eq!(date(b"0001-01-01"), Some(-719_162));
        assert_eq!(timestamp(b"1970-01-01 00:00:01.5"), Some((1_500_000, false)));
        assert_eq!(timestamp(b"1970-01-01T01:00:00+01:00"), Some((0, true)));
        assert_eq!(timestamp(b"1970-01-01T00:00Z"), Some((0, true)));
        assert_eq!(timestamp(b"1970-01-02"), Some((MICROS_PER_DAY, false)));
        assert_eq!(timestamp(b"1970-01-01 25:00:00"), None);
        assert_eq!(timestamp(b"1970-01-01x"), None);
        assert_eq!(timestamp("1970-01-0\u{e9}".as_bytes()), None);
        assert_eq!(time(b"10:15:00"), Some(36_900_000_000));
        assert_eq!(formatted_date(b"31.01.2013", "%d.%m.%Y"), date(b"2013-01-31"));
        assert_eq!(
            formatted_timestamp(b"31.01.2013 10:15", "%d.%m.%Y %H:%M"),
            timestamp(b"2013-01-31 10:15").map(|t| t.0)
        );
    }

    #[test]
    fn every_day_agrees_with_chrono() {
        for number in (-719_162..2_932_896).step_by(97) {
            let day = NaiveDate::from_num_days_from_ce_opt(number + 719_163).unwrap();
            let text = day.format("%Y-%m-%d").to_string();
            assert_eq!(date(text.as_bytes()), Some(number));
        }
    }
}
