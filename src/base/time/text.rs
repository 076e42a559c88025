//! Dates, times and timestamps as text, in ISO order with a space before the time, as PostgreSQL writes them.
//!
//! Years before 1 are written with BC. A fraction of a second has as few digits as it needs, or always six where
//! columns are to line up.

use std::fmt::Write;

use super::calendar::{civil, split};
use super::zone::{Zone, offset_text};
use super::{HOUR, MINUTE, SECOND};

/// How many digits a fraction of a second has that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fraction {
    /// As few as it needs.
    Short,
    /// Six.
    Six,
}

/// Appends a date: `2013-01-31`.
pub fn write_date(out: &mut String, day: i64) {
    let before_christ = write_day(out, day);
    if before_christ {
        out.push_str(" BC");
    }
}

/// Appends a time of day: `10:15:00.5`.
pub fn write_time(out: &mut String, micros: i64, fraction: Fraction) {
    let (hours, minutes, seconds) = (micros / HOUR, micros / MINUTE % 60, micros / SECOND % 60);
    append(out, format_args!("{hours:02}:{minutes:02}:{seconds:02}"));
    write_fraction(out, micros.rem_euclid(SECOND), fraction);
}

/// Appends a timestamp: `2013-01-31 10:15:00.5`.
pub fn write_timestamp(out: &mut String, micros: i64, fraction: Fraction) {
    let (day, time) = split(micros);
    let before_christ = write_day(out, day);
    out.push(' ');
    write_time(out, time, fraction);
    if before_christ {
        out.push_str(" BC");
    }
}

/// Appends an instant as clocks in `zone` show it, with the offset: `2013-01-31 10:15:00+01`.
pub fn write_timestamptz(out: &mut String, micros: i64, zone: &Zone, fraction: Fraction) {
    let local = zone.to_local(micros).unwrap_or(micros);
    let (day, time) = split(local);
    let before_christ = write_day(out, day);
    out.push(' ');
    write_time(out, time, fraction);
    out.push_str(&offset_text((local - micros) / SECOND));
    if before_christ {
        out.push_str(" BC");
    }
}

/// Appends `.5` for half a second, nothing for none.
pub(super) fn write_fraction(out: &mut String, micros: i64, fraction: Fraction) {
    if micros == 0 {
        return;
    }
    append(out, format_args!(".{micros:06}"));
    if fraction == Fraction::Short {
        out.truncate(out.trim_end_matches('0').len());
    }
}

fn write_day(out: &mut String, day: i64) -> bool {
    let name = civil(day);
    let before_christ = name.year <= 0;
    let year = if before_christ { 1 - name.year } else { name.year };
    append(out, format_args!("{year:04}-{:02}-{:02}", name.month, name.day));
    before_christ
}

/// Writing to a String cannot fail.
pub(super) fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes all that is written to it");
}
