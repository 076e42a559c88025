//! Text to dates, times and timestamps, in all the forms in which PostgreSQL reads them.
//!
//! ISO 8601 in its extended and basic forms, with a space or `T` before the time; `31-Jan-2013`, `January 31, 2013`,
//! `1/31/2013` (month first), `2013.031` (day of the year); `10:15`, `10:15:00.123456`, `3 PM`, `101500`; a zone as
//! `Z`, `+02`, `+0530`, `EST` or `Europe/Berlin` behind the time. Fractions are rounded to microseconds. What is
//! given and not asked for is left out: the zone of a TIMESTAMP, the time of a DATE. Text that has no such form is
//! 22007, a day or time that does not exist 22008; both name the text.

use super::calendar::{checked_days, days};
use super::names::{is_weekday, month_named};
use super::zone::Zone;
use super::{DAY, HOUR, MINUTE, SECOND};
use crate::base::error::{Error, Result};

/// What the text is read as; decides what it must have, and the words of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Date,
    Time,
    Timestamp,
    TimestampTz,
}

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            Wanted::Date => "date",
            Wanted::Time => "time",
            Wanted::Timestamp => "timestamp",
            Wanted::TimestampTz => "timestamp with time zone",
        }
    }
}

/// Why a text is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It has no known form.
    Syntax,
    /// A field is beyond its range.
    Range,
    /// A word that means a moment, not a value.
    Moment,
    /// The end of time.
    Infinity,
}

/// Days since 1970 of a text; a time of day in it is left out.
pub fn date(text: &str) -> Result<i32> {
    let read = read(text).and_then(|read| i32::try_from(read.day?).map_err(|_| Fault::Range));
    read.map_err(|fault| error(fault, text, Wanted::Date))
}

/// Microseconds since midnight of a text; a date in it is left out.
pub fn time(text: &str) -> Result<i64> {
    let read = read(text).and_then(|read| read.time.ok_or(Fault::Syntax));
    read.map_err(|fault| error(fault, text, Wanted::Time))
}

/// Microseconds since 1970 of a text without regard to a zone.
pub fn timestamp(text: &str) -> Result<i64> {
    read(text).and_then(Read::local).map_err(|fault| error(fault, text, Wanted::Timestamp))
}

/// Microseconds since 1970 in UTC of a text, which stands in `zone` where it names none itself.
pub fn timestamptz(text: &str, zone: &Zone) -> Result<i64> {
    let read = read(text).and_then(|read| {
        let zone = read.zone.unwrap_or(*zone);
        zone.to_utc(read.local()?).ok_or(Fault::Range)
    });
    read.map_err(|fault| error(fault, text, Wanted::TimestampTz))
}

fn error(fault: Fault, text: &str, wanted: Wanted) -> Error {
    let name = wanted.name();
    match fault {
        Fault::Syntax => {
            let error = Error::data(format!("invalid input syntax for type {name}: \"{text}\"")).with_sqlstate("22007");
            error.with_hint(match wanted {
                Wanted::Date => "for example '2024-01-31'",
                Wanted::Time => "for example '10:15:00'",
                Wanted::Timestamp => "for example '2024-01-31 10:15:00'",
                Wanted::TimestampTz => "for example '2024-01-31 10:15:00+01'",
            })
        }
        Fault::Range => Error::data(format!("date/time field value out of range: \"{text}\"")).with_sqlstate("22008"),
        Fault::Moment => Error::unsupported(format!("'{text}' as a value of type {name} is not supported"))
            .with_hint("use now(), current_date or localtimestamp, which follow the clock"),
        Fault::Infinity => Error::unsupported(format!("infinity is not supported for type {name}"))
            .with_hint("use NULL, or a date far away"),
    }
}

/// What a text says.
struct Read {
    day: std::result::Result<i64, Fault>,
    time: Option<i64>,
    zone: Option<Zone>,
}

impl Read {
    fn local(self) -> std::result::Result<i64, Fault> {
        let midnight = self.day?.checked_mul(DAY).ok_or(Fault::Range)?;
        midnight.checked_add(self.time.unwrap_or(0)).ok_or(Fault::Range)
    }
}

/// The parts of a date, in the order in which they come.
#[derive(Default)]
struct Parts {
    /// The numbers of the date, with how many digits each has.
    numbers: Vec<(i64, usize)>,
    /// The month by name.
    month: Option<i64>,
    /// The day, where one field tells it whole.
    day: Option<i64>,
    time: Option<i64>,
    /// Whether the time is in the afternoon, if that is said.
    afternoon: Option<bool>,
    before_christ: bool,
    zone: Option<Zone>,
}

fn read(text: &str) -> std::result::Result<Read, Fault> {
    if let Some(read) = read_iso(text.as_bytes()) {
        return Ok(read);
    }
    let mut parts = Parts::default();
    let mut rest = text.trim();
    if rest.is_empty() || rest.len() > 128 {
        return Err(Fault::Syntax);
    }
    while !rest.is_empty() {
        let first = rest.as_bytes()[0];
        rest = match first {
            b'0'..=b'9' => parts.number(rest)?,
            b'+' | b'-' if parts.time.is_some() && parts.zone.is_none() => parts.offset(rest)?,
            b'-' if parts.time.is_none() && rest[1..].eq_ignore_ascii_case("infinity") => return Err(Fault::Infinity),
            b' ' | b',' | b'\t' => &rest[1..],
            _ if first.is_ascii_alphabetic() => parts.word(rest)?,
            _ => return Err(Fault::Syntax),
        };
    }
    parts.finish()
}

/// The forms that files are full of, without any search: `2013-01-31[ T]10:15[:00[.123456]][Z|+01[:00]]`.
fn read_iso(text: &[u8]) -> Option<Read> {
    let two = |high: u8, low: u8| {
        let (high, low) = (high.wrapping_sub(b'0'), low.wrapping_sub(b'0'));
        (high < 10 && low < 10).then(|| i64::from(high) * 10 + i64::from(low))
    };
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, rest @ ..] = text else { return None };
    let day = checked_days(two(*y1, *y2)? * 100 + two(*y3, *y4)?, two(*m1, *m2)?, two(*d1, *d2)?)?;
    if (*y1, *y2, *y3, *y4) == (b'0', b'0', b'0', b'0') {
        return None;
    }
    let [b' ' | b'T', h1, h2, b':', n1, n2, rest @ ..] = rest else {
        return rest.is_empty().then_some(Read { day: Ok(day), time: None, zone: None });
    };
    let (hour, minute) = (two(*h1, *h2)?, two(*n1, *n2)?);
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (two(*s1, *s2)?, rest),
        _ => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, rest) = match rest {
        [b'.', digits @ ..] => {
            let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (fraction(std::str::from_utf8(&digits[..count]).ok()?)?, &digits[count..])
        }
        _ => (0, rest),
    };
    let zone = match rest {
        [] => None,
        [b'Z'] => Some(Zone::UTC),
        [sign @ (b'+' | b'-'), h1, h2, minutes @ ..] => {
            let minutes = match minutes {
                [] => 0,
                [b':', m1, m2] | [m1, m2] => two(*m1, *m2).filter(|minutes| *minutes < 60)?,
                _ => return None,
            };
            let seconds = two(*h1, *h2)? * 3600 + minutes * 60;
            Some(Zone::fixed(if *sign == b'-' { -seconds } else { seconds })?)
        }
        _ => return None,
    };
    Some(Read { day: Ok(day), time: Some(hour * HOUR + minute * MINUTE + second * SECOND + micros), zone })
}

/// Microseconds of the digits behind the point of a second, rounded, halves to even as PostgreSQL has it.
fn fraction(digits: &str) -> Option<i64> {
    if digits.is_empty() {
        return Some(0);
    }
    let value: f64 = format!("0.{digits}").parse().ok()?;
    Some((value * 1e6).round_ties_even() as i64)
}

fn take(text: &str, accept: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !accept(byte)).unwrap_or(text.len()))
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

fn number(digits: &str) -> std::result::Result<i64, Fault> {
    // Seven digits are more than any year has.
    if digits.len() > 8 { Err(Fault::Range) } else { digits.parse().map_err(|_| Fault::Syntax) }
}

impl Parts {
    /// A field that begins with a digit; the text behind it.
    fn number<'a>(&mut self, text: &'a str) -> std::result::Result<&'a str, Fault> {
        let (digits, rest) = take(text, is_digit);
        match rest.as_bytes() {
            [b':', ..] => return self.clock(text),
            [separator @ (b'-' | b'/' | b'.'), next, ..]
                if !self.has_date() && (next.is_ascii_digit() || next.is_ascii_alphabetic()) =>
            {
                return self.separated(text, *separator);
            }
            [b'.', ..] if digits.len() == 6 && self.has_date() => return self.compact_time(digits, rest),
            _ => {}
        }
        if self.has_date() && (digits.len() == 6 || digits.len() == 4) && self.time.is_none() {
            return self.compact_time(digits, rest);
        }
        // `3 PM`, `3pm`.
        let (word, _) = take(rest.trim_start(), |byte| byte.is_ascii_alphabetic());
        if self.time.is_none() && (word.eq_ignore_ascii_case("am") || word.eq_ignore_ascii_case("pm")) {
            let hour = number(digits)?;
            self.time = Some(if hour <= 12 { hour * HOUR } else { return Err(Fault::Range) });
            return Ok(rest);
        }
        match digits.len() {
            8 if !self.has_date() && self.numbers.is_empty() => {
                let (year, month, day) = (number(&digits[..4])?, number(&digits[4..6])?, number(&digits[6..])?);
                self.day = Some(checked_days(year, month, day).ok_or(Fault::Range)?);
            }
            6 if !self.has_date() && self.numbers.is_empty() && self.month.is_none() => {
                let (year, month, day) = (number(&digits[..2])?, number(&digits[2..4])?, number(&digits[4..])?);
                self.day = Some(checked_days(full_year(year), month, day).ok_or(Fault::Range)?);
            }
            _ if self.has_date() => return Err(Fault::Syntax),
            length => self.numbers.push((number(digits)?, length)),
        }
        // `1st` to `31st` do not occur, `20130131T101500` does.
        match rest.as_bytes() {
            [] | [b' ' | b',' | b'\t', ..] => Ok(rest),
            [b'T' | b't', next, ..] if next.is_ascii_digit() && self.has_date() => Ok(&rest[1..]),
            _ if rest.starts_with(|c: char| c.is_ascii_alphabetic()) => Ok(rest),
            _ => Err(Fault::Syntax),
        }
    }

    /// A date whose parts are separated: three numbers, or two and the name of a month.
    fn separated<'a>(&mut self, text: &'a str, separator: u8) -> std::result::Result<&'a str, Fault> {
        let mut rest = text;
        // Behind the name of a month two parts are left.
        let last = if self.month.is_some() { 1 } else { 2 };
        for at in 0..=last {
            let (part, after) = take(rest, |byte| byte.is_ascii_alphanumeric());
            // A `T` behind the last part begins the time.
            let end = match at == last {
                true => part.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(part.len()),
                false => part.len(),
            };
            let (part, after) = if end == part.len() { (part, after) } else { (&part[..end], &rest[end..]) };
            if part.is_empty() {
                return Err(Fault::Syntax);
            }
            match part.bytes().all(is_digit) {
                true => self.numbers.push((number(part)?, part.len())),
                false => self.month = Some(month_named(part).filter(|_| self.month.is_none()).ok_or(Fault::Syntax)?),
            }
            rest = after;
            if at == last {
                break;
            }
            match rest.as_bytes() {
                [next, ..] if *next == separator => rest = &rest[1..],
                _ if at == 1 && separator != b'/' => return self.day_of_year(rest),
                _ => return Err(Fault::Syntax),
            }
        }
        match rest.as_bytes() {
            [b'T' | b't', next, ..] if next.is_ascii_digit() => Ok(&rest[1..]),
            [b'.' | b'/' | b'-', ..] => Err(Fault::Syntax),
            _ => Ok(rest),
        }
    }

    /// `2013.031`: year and day of the year.
    fn day_of_year<'a>(&mut self, rest: &'a str) -> std::result::Result<&'a str, Fault> {
        let [(year, _), (day, 3)] = self.numbers.as_slice() else { return Err(Fault::Syntax) };
        let (year, day) = (*year, *day);
        if !(1..=366).contains(&day) || year == 0 {
            return Err(Fault::Range);
        }
        self.numbers.clear();
        self.day = Some(days(year, 1, 1) + day - 1);
        Ok(rest)
    }

    /// `10:15[:00[.123456]]`.
    fn clock<'a>(&mut self, text: &'a str) -> std::result::Result<&'a str, Fault> {
        let mut fields = [0; 3];
        let mut rest = text;
        let mut count = 0;
        for field in &mut fields {
            let (digits, after) = take(rest, is_digit);
            if digits.is_empty() {
                return Err(Fault::Syntax);
            }
            *field = number(digits)?;
            count += 1;
            rest = after;
            match rest.as_bytes() {
                [b':', ..] if count < 3 => rest = &rest[1..],
                _ => break,
            }
        }
        if count < 2 || rest.starts_with(':') {
            return Err(Fault::Syntax);
        }
        let mut micros = 0;
        if count == 3
            && let Some(after) = rest.strip_prefix(['.', ','])
        {
            let (digits, after) = take(after, is_digit);
            micros = fraction(digits).ok_or(Fault::Syntax)?;
            rest = after;
        }
        self.set_time(fields, micros)?;
        Ok(rest)
    }

    /// `1015` or `101500[.123456]`.
    fn compact_time<'a>(&mut self, digits: &str, mut rest: &'a str) -> std::result::Result<&'a str, Fault> {
        let second = if digits.len() == 6 { number(&digits[4..])? } else { 0 };
        let mut micros = 0;
        if digits.len() == 6
            && let Some(after) = rest.strip_prefix('.')
        {
            let (digits, after) = take(after, is_digit);
            micros = fraction(digits).ok_or(Fault::Syntax)?;
            rest = after;
        }
        self.set_time([number(&digits[..2])?, number(&digits[2..4])?, second], micros)?;
        Ok(rest)
    }

    fn set_time(&mut self, [hour, minute, second]: [i64; 3], micros: i64) -> std::result::Result<(), Fault> {
        if self.time.is_some() {
            return Err(Fault::Syntax);
        }
        let time = hour * HOUR + minute * MINUTE + second * SECOND + micros;
        if hour > 24 || minute > 59 || second > 60 || time > DAY {
            return Err(Fault::Range);
        }
        self.time = Some(time);
        Ok(())
    }

    /// `+02`, `-0530`, `+02:30:15`, or a zone's name behind a sign as in `GMT+5`.
    fn offset<'a>(&mut self, text: &'a str) -> std::result::Result<&'a str, Fault> {
        let (digits, rest) = take(&text[1..], |byte| is_digit(byte) || byte == b':');
        let compact = |at: usize| digits.get(at..at + 2);
        let parts: Vec<&str> = match digits.contains(':') {
            true => digits.split(':').collect(),
            false if digits.len() <= 2 => vec![digits],
            false if digits.len() == 3 => vec![&digits[..1], &digits[1..]],
            false => [compact(0), compact(2), compact(4)].into_iter().flatten().collect(),
        };
        if parts.iter().any(|part| part.is_empty() || part.len() > 2) || parts.len() > 3 || digits.len() > 8 {
            return Err(Fault::Syntax);
        }
        let mut seconds = 0;
        for (part, scale) in parts.iter().zip([3600, 60, 1]) {
            let value = number(part)?;
            if scale < 3600 && value > 59 {
                return Err(Fault::Range);
            }
            seconds += value * scale;
        }
        self.zone = Some(Zone::fixed(if text.starts_with('-') { -seconds } else { seconds }).ok_or(Fault::Range)?);
        Ok(rest)
    }

    /// A field that begins with a letter.
    fn word<'a>(&mut self, text: &'a str) -> std::result::Result<&'a str, Fault> {
        let (word, rest) = take(text, |byte| byte.is_ascii_alphabetic());
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "t" if rest.starts_with(|c: char| c.is_ascii_digit()) && self.time.is_none() => return Ok(rest),
            "j" | "jd" | "julian" if rest.starts_with(|c: char| c.is_ascii_digit()) && !self.has_date() => {
                let (digits, rest) = take(rest, is_digit);
                self.day = Some(number(digits)? - 2_440_588);
                return Ok(rest);
            }
            "am" | "pm" if self.time.is_some() && self.afternoon.is_none() => self.afternoon = Some(lower == "pm"),
            "bc" | "ad" => self.before_christ = lower == "bc",
            "now" | "today" | "tomorrow" | "yesterday" => return Err(Fault::Moment),
            "infinity" => return Err(Fault::Infinity),
            "epoch" => (self.day, self.time, self.zone) = (Some(0), Some(0), Some(Zone::UTC)),
            "allballs" => (self.time, self.zone) = (Some(0), Some(Zone::UTC)),
            "at" | "on" | "of" | "time" => {}
            _ => return self.name(text, word, rest),
        }
        Ok(rest)
    }

    /// The name of a month, a weekday or a zone.
    fn name<'a>(&mut self, text: &'a str, word: &str, rest: &'a str) -> std::result::Result<&'a str, Fault> {
        if let Some(month) = month_named(word) {
            if self.month.replace(month).is_some() {
                return Err(Fault::Syntax);
            }
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            // `Jan-31-2013`.
            return Ok(rest.strip_prefix(['-', '/']).unwrap_or(rest).trim_start_matches(['-', '/']));
        }
        if is_weekday(word) {
            return Ok(rest.strip_prefix('.').unwrap_or(rest));
        }
        let (name, after) =
            take(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+'));
        if self.zone.is_some() || (self.time.is_none() && !self.has_date()) {
            return Err(Fault::Syntax);
        }
        self.zone = Some(Zone::named(name).or_else(|| Zone::parse(name).ok()).ok_or(Fault::Syntax)?);
        Ok(after)
    }

    fn has_date(&self) -> bool {
        self.day.is_some() || self.numbers.len() + usize::from(self.month.is_some()) >= 3
    }

    fn finish(mut self) -> std::result::Result<Read, Fault> {
        if let (Some(afternoon), Some(time)) = (self.afternoon, self.time) {
            let hour = time / HOUR;
            if hour > 12 || hour == 0 && !afternoon && time / HOUR > 12 {
                return Err(Fault::Range);
            }
            self.time = Some(time % (12 * HOUR) + if afternoon { 12 * HOUR } else { 0 });
        }
        let day = match (self.day, self.numbers.is_empty() && self.month.is_none()) {
            (Some(_), false) => return Err(Fault::Syntax),
            (Some(day), true) => Ok(day),
            // A time alone is no date.
            (None, true) => Err(Fault::Syntax),
            (None, false) => Ok(self.date()?),
        };
        if day.is_err() && self.time.is_none() {
            return Err(Fault::Syntax);
        }
        Ok(Read { day, time: self.time, zone: self.zone })
    }

    /// The day that numbers and the name of a month make: year first where it has more than two digits, else month
    /// first.
    fn date(&self) -> std::result::Result<i64, Fault> {
        let year_first = |digits: usize| digits > 2;
        let ((year, digits), month, day) = match (self.month, self.numbers.as_slice()) {
            (Some(month), [(year, digits), (day, _)]) if year_first(*digits) => ((*year, *digits), month, *day),
            (Some(month), [(day, _), year]) => (*year, month, *day),
            (None, [(year, digits), (month, _), (day, _)]) if year_first(*digits) => ((*year, *digits), *month, *day),
            (None, [(month, _), (day, _), year]) => (*year, *month, *day),
            _ => return Err(Fault::Syntax),
        };
        let year = match (self.before_christ, digits) {
            (_, _) if year == 0 && digits > 2 => return Err(Fault::Range),
            (true, _) if year == 0 => return Err(Fault::Range),
            (true, _) => 1 - year,
            (false, 1 | 2) => full_year(year),
            (false, _) => year,
        };
        checked_days(year, month, day).ok_or(Fault::Range)
    }
}

/// Two digits of a year: 70 to 99 are of the twentieth century, the others of the next.
fn full_year(year: i64) -> i64 {
    if year < 70 { 2000 + year } else { 1900 + year }
}

#[cfg(test)]
mod tests {
    use super::super::text::{Fraction, write_date, write_time, write_timestamp, write_timestamptz};
    use super::*;

    fn shown(text: &str) -> String {
        let mut out = String::new();
        match timestamp(text) {
            Ok(micros) => write_timestamp(&mut out, micros, Fraction::Short),
            Err(error) => out.push_str(error.sqlstate()),
        }
        out
    }

    #[test]
    fn timestamps_in_many_forms() {
        for (text, expected) in [
            ("2024-01-31 10:15", "2024-01-31 10:15:00"),
            ("2024-06-01T02:00", "2024-06-01 02:00:00"),
            ("2024-06-01 02:00:00+02", "2024-06-01 02:00:00"),
            ("2024-06-01 02:00:00.1234565", "2024-06-01 02:00:00.123456"),
            ("2024-06-01 02:00:00.9999999", "2024-06-01 02:00:01"),
            ("20240601T020304", "2024-06-01 02:03:04"),
            ("20240601 020304.5", "2024-06-01 02:03:04.5"),
            ("June 1, 2024", "2024-06-01 00:00:00"),
            ("1 Jun 2024 3 PM", "2024-06-01 15:00:00"),
            ("01-Jun-2024 12:30 AM", "2024-06-01 00:30:00"),
            ("01/02/2024", "2024-01-02 00:00:00"),
            ("1/2/24", "2024-01-02 00:00:00"),
            ("2024.060", "2024-02-29 00:00:00"),
            ("2024-060", "2024-02-29 00:00:00"),
            ("Feb-01-2024", "2024-02-01 00:00:00"),
            ("Feb/01/24", "2024-02-01 00:00:00"),
            ("Sat Jun 01 2024 24:00:00", "2024-06-02 00:00:00"),
            ("0044-03-15 BC", "0044-03-15 00:00:00 BC"),
            ("12345-01-01", "12345-01-01 00:00:00"),
            ("epoch", "1970-01-01 00:00:00"),
            ("2024-01-31 10:15 America/New_York", "2024-01-31 10:15:00"),
            ("2024-02-30", "22008"),
            ("2024-01-31 25:00", "22008"),
            ("0000-01-01", "22008"),
            ("not a time", "22007"),
            ("2024-01-31 10:15 Mars/Olympus", "22007"),
            ("2024-01", "22007"),
            ("10:15", "22007"),
            ("", "22007"),
            ("now", "0A000"),
            ("-infinity", "0A000"),
            ("99999999-01-01", "22008"),
            ("2024-01-31 10:15:00:00", "22007"),
            ("\u{661}\u{662}", "22007"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn zones_behind_timestamps() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        for (text, expected) in [
            ("2024-07-01 12:00", "2024-07-01 12:00:00+02"),
            ("2024-07-01 12:00Z", "2024-07-01 14:00:00+02"),
            ("2024-07-01 12:00+0530", "2024-07-01 08:30:00+02"),
            ("2024-07-01 12:00 UTC", "2024-07-01 14:00:00+02"),
            ("2024-01-01 12:00:00-05", "2024-01-01 18:00:00+01"),
            ("2024-01-01 12:00:00 America/New_York", "2024-01-01 18:00:00+01"),
            ("2024-01-01", "2024-01-01 00:00:00+01"),
        ] {
            let mut out = String::new();
            write_timestamptz(&mut out, timestamptz(text, &berlin).unwrap(), &berlin, Fraction::Short);
            assert_eq!(out, expected, "{text}");
        }
        assert_eq!(timestamptz("2024-01-01 12:00+17", &berlin).unwrap_err().sqlstate(), "22008");
    }

    #[test]
    fn dates_and_times_leave_out_the_rest() {
        let mut out = String::new();
        write_date(&mut out, date("2024-01-31 23:59:59+00").unwrap().into());
        write_time(&mut out, time("2024-01-31 23:59:59.25").unwrap(), Fraction::Short);
        write_time(&mut out, time("3:04 pm").unwrap(), Fraction::Short);
        assert_eq!(out, "2024-01-3123:59:59.2515:04:00");
        assert_eq!(time("24:00:00").unwrap(), DAY);
        assert_eq!(time("2024-01-31").unwrap_err().sqlstate(), "22007");
        assert_eq!(date("10:15").unwrap_err().sqlstate(), "22007");
    }
}
