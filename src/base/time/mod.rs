//! Dates, times of day, instants, intervals and time zones, with the meanings of PostgreSQL.
//!
//! Plain numbers throughout: a DATE is days since 1970-01-01, a TIME microseconds since midnight, a TIMESTAMP
//! microseconds since 1970-01-01 00:00:00 of a clock that nobody moves, a TIMESTAMPTZ the same in UTC. Every path by
//! which text becomes one of these, and every path back, goes through here; so a literal, a cast, a file and a
//! parameter mean the same.
//!
//! - [`calendar`]: the proleptic Gregorian calendar.
//! - [`zone`]: zones by name and offset, and what they do to local times.
//! - [`parse`]: text to dates, times and timestamps. `names`: of months and days.
//! - [`interval`]: intervals, their text and their arithmetic.
//! - [`kind`], [`convert`]: the types in Arrow, and columns of one as columns of another.
//! - [`display`]: how the values of an array read.
//! - [`text`]: dates, times and timestamps as text.
//! - [`pattern`]: all of them by the patterns of `to_char`. [`strftime`]: the patterns of C.

pub mod calendar;
pub mod convert;
pub mod display;
pub mod interval;
pub mod kind;
pub(crate) mod names;
pub mod parse;
pub mod pattern;
pub mod strftime;
pub mod text;
pub mod zone;

use super::error::Error;

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds of a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Microseconds of an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Microseconds of a day without a change of the clock.
pub const DAY: i64 = 24 * HOUR;

/// The error for a day or timestamp beyond the calendar.
pub fn out_of_range(what: &str) -> Error {
    Error::data(format!("{what} out of range")).with_sqlstate("22008")
}
