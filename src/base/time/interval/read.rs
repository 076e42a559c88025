//! Intervals from text.
//!
//! Text is read in PostgreSQL's verbose form (`1 year 2 mons -3 days 04:05:06.7`), in SQL's (`1-2`, `3 04:05`) and in
//! ISO 8601 (`P1Y2M3DT4H5M6S`), with fractions, which flow down into the smaller fields. In the first two a unit is
//! given once.

use super::super::DAY;
use super::{Interval, Unit};
use crate::base::error::{Error, Result};

/// An interval that is being read, field by field.
#[derive(Default)]
struct Fields {
    months: i128,
    days: i128,
    micros: i128,
    /// The units that have been given, a bit each: none may be given twice.
    given: u16,
}

/// A decimal number as it is written: whole part and fraction apart, so that whole parts stay exact.
#[derive(Clone, Copy)]
struct Number {
    negative: bool,
    whole: i128,
    fraction: f64,
}

impl Number {
    fn parse(text: &str) -> Option<Number> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) || whole.len() > 20 {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
        Some(Number { negative, whole, fraction })
    }

    fn signed(self, value: i128) -> i128 {
        if self.negative { -value } else { value }
    }
}

impl Fields {
    /// Notes that a unit is given; `None` if it has been before.
    fn give(&mut self, unit: Unit) -> Option<()> {
        let bit = 1 << unit as u16;
        let is_first = self.given & bit == 0;
        self.given |= bit;
        is_first.then_some(())
    }

    /// Notes that seconds are given down to their last fraction.
    fn give_seconds(&mut self) -> Option<()> {
        [Unit::Second, Unit::Millisecond, Unit::Microsecond].into_iter().try_for_each(|unit| self.give(unit))
    }

    fn add(&mut self, number: Number, unit: Unit) {
        if let Some(months) = unit.months() {
            self.months += number.signed(number.whole * i128::from(months));
            let fraction = number.fraction * months as f64;
            if unit == Unit::Month {
                self.add_days(number, fraction * 30.0);
            } else {
                self.months += number.signed(fraction.round_ties_even() as i128);
            }
        } else if let Some(micros) = unit.micros() {
            let rest = (number.fraction * micros as f64).round_ties_even() as i128;
            self.micros += number.signed(number.whole * i128::from(micros) + rest);
        } else {
            let length = if unit == Unit::Week { 7 } else { 1 };
            self.days += number.signed(number.whole * length);
            self.add_days(number, number.fraction * length as f64);
        }
    }

    /// Adds days that may have a fraction, which becomes time.
    fn add_days(&mut self, number: Number, days: f64) {
        self.days += number.signed(days.trunc() as i128);
        self.micros += number.signed((days.fract() * DAY as f64).round_ties_even() as i128);
    }
}

/// The interval that a text stands for; a number without a unit counts in `default`.
pub fn parse(text: &str, default: Unit) -> Result<Interval> {
    parse_between(text, default, default)
}

/// The interval that a text stands for under `first TO last`: a number without a unit counts in the last.
pub fn parse_between(text: &str, first: Unit, last: Unit) -> Result<Interval> {
    let fields = match text.trim().strip_prefix(['P', 'p']) {
        Some(iso) => parse_iso(iso),
        None => parse_verbose(text, last, (first, last) == (Unit::Minute, Unit::Second)),
    };
    let fields = fields.ok_or_else(|| invalid(text))?;
    Interval::new(fields.months, fields.days, fields.micros)
        .map_err(|_| Error::data(format!("interval field value out of range: \"{text}\"")).with_sqlstate("22015"))
}

fn invalid(text: &str) -> Error {
    if matches!(text.trim().to_ascii_lowercase().as_str(), "infinity" | "-infinity" | "+infinity" | "inf" | "-inf") {
        return Error::unsupported("infinity is not supported for type interval");
    }
    Error::data(format!("invalid input syntax for type interval: \"{text}\""))
        .with_sqlstate("22007")
        .with_hint("for example '1 day 02:03:04' or 'P1DT2H'")
}

/// A piece of the verbose form.
enum Piece<'a> {
    /// `hh:mm:ss`.
    Clock(&'a str),
    /// `years-months`.
    YearsMonths(&'a str),
    /// A number and its unit, if it has one.
    Count(&'a str, Option<Unit>),
}

/// PostgreSQL's verbose form and SQL's: numbers with units, `hh:mm:ss`, `y-m`, `ago`.
///
/// What a number without a unit counts depends on what follows it: days before a time or an hour, else the unit of its
/// neighbour, which is then given twice and refused; the last one counts in `default`.
fn parse_verbose(text: &str, default: Unit, short_clock: bool) -> Option<Fields> {
    let (pieces, ago) = pieces(text)?;
    let mut fields = Fields::default();
    let mut next = default;
    for piece in pieces.iter().rev() {
        next = match *piece {
            Piece::Clock(clock_text) => {
                fields.give(Unit::Hour)?;
                fields.give(Unit::Minute)?;
                fields.give_seconds()?;
                fields.micros += clock(clock_text, short_clock)?;
                Unit::Day
            }
            Piece::YearsMonths(text) => {
                fields.give(Unit::Month)?;
                fields.months += years_months(text)?;
                Unit::Month
            }
            Piece::Count(number, unit) => {
                let (number, unit) = (Number::parse(number)?, unit.unwrap_or(next));
                match unit {
                    Unit::Second if number.fraction > 0.0 => fields.give_seconds()?,
                    unit => fields.give(unit)?,
                }
                fields.add(number, unit);
                if unit == Unit::Hour { Unit::Day } else { unit }
            }
        };
    }
    if ago {
        fields = Fields { months: -fields.months, days: -fields.days, micros: -fields.micros, ..fields };
    }
    (!pieces.is_empty()).then_some(fields)
}

/// The pieces of the verbose form, and whether `ago` follows them.
fn pieces(text: &str) -> Option<(Vec<Piece<'_>>, bool)> {
    let mut pieces = vec![];
    let mut rest = text.trim();
    rest = rest.strip_prefix('@').unwrap_or(rest).trim_start();
    while !rest.is_empty() {
        if rest.eq_ignore_ascii_case("ago") {
            return (!pieces.is_empty()).then_some((pieces, true));
        }
        let (number, after) = take(rest, |c| c.is_ascii_digit() || matches!(c, '.' | ':' | '-' | '+'));
        let (word, behind) = take(after.trim_start(), |c| c.is_ascii_alphabetic());
        let is_unit = !word.is_empty() && !word.eq_ignore_ascii_case("ago");
        let piece = match number {
            "" => return None,
            _ if number.contains(':') => Piece::Clock(number),
            _ if number.get(1..).is_some_and(|rest| rest.contains('-')) => Piece::YearsMonths(number),
            _ if is_unit => Piece::Count(number, Some(Unit::named(word)?)),
            _ => Piece::Count(number, None),
        };
        rest = if matches!(piece, Piece::Count(_, Some(_))) { behind } else { after };
        rest = rest.trim_start().trim_start_matches(',').trim_start();
        pieces.push(piece);
    }
    Some((pieces, false))
}

fn take(text: &str, accept: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !accept(c)).unwrap_or(text.len()))
}

/// `[-]hh:mm[:ss[.ffffff]]` in microseconds; `mm:ss` where it is `short` or the second part has a fraction.
fn clock(text: &str, short: bool) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let parts: Vec<&str> = digits.split(':').collect();
    let units = match parts.as_slice() {
        [_, second] if short || second.contains('.') => [Unit::Minute, Unit::Second, Unit::Second],
        [_, _] | [_, _, _] => [Unit::Hour, Unit::Minute, Unit::Second],
        _ => return None,
    };
    let mut fields = Fields::default();
    for (at, (part, unit)) in parts.iter().zip(units).enumerate() {
        let number = if part.is_empty() { None } else { Number::parse(part) }?;
        let last = at + 1 == parts.len();
        if !part.starts_with(|c: char| c.is_ascii_digit())
            || (at > 0 && number.whole >= 60)
            || (!last && part.contains('.'))
        {
            return None;
        }
        fields.add(number, unit);
    }
    Some(if negative { -fields.micros } else { fields.micros })
}

/// `[-]years-months` in months.
fn years_months(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (years, months) = digits.split_once('-')?;
    let number = |text: &str| text.parse::<u32>().ok().map(i128::from);
    let (years, months) = (number(years)?, number(months)?);
    let total = years * 12 + months;
    (months < 12).then_some(if negative { -total } else { total })
}

/// What follows the `P` of ISO 8601: designators (`1Y2M3DT4H`) or the alternative form (`0001-02-03T04:05:06`).
fn parse_iso(text: &str) -> Option<Fields> {
    let mut fields = Fields::default();
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return None,
        None => (text, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    if date.get(1..).is_some_and(|rest| rest.contains('-')) && date.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        for (part, unit) in date.splitn(3, '-').zip([Unit::Year, Unit::Month, Unit::Day]) {
            fields.add(Number::parse(part)?, unit);
        }
    } else {
        designators(&mut fields, date, |c| {
            Some(match c {
                'y' => Unit::Year,
                'm' => Unit::Month,
                'w' => Unit::Week,
                'd' => Unit::Day,
                _ => return None,
            })
        })?;
    }
    if time.contains(':') {
        fields.micros += clock(time, false)?;
    } else {
        designators(&mut fields, time, |c| {
            Some(match c {
                'h' => Unit::Hour,
                'm' => Unit::Minute,
                's' => Unit::Second,
                _ => return None,
            })
        })?;
    }
    Some(fields)
}

fn designators(fields: &mut Fields, mut text: &str, unit: impl Fn(char) -> Option<Unit>) -> Option<()> {
    while !text.is_empty() {
        let (number, rest) = take(text, |c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
        let letter = rest.chars().next()?;
        fields.add(Number::parse(number)?, unit(letter.to_ascii_lowercase())?);
        text = rest.get(letter.len_utf8()..)?;
    }
    Some(())
}
