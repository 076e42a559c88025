//! Intervals: months, days and microseconds, which PostgreSQL keeps apart because neither has a fixed length.
//!
//! How text is read is said in `read`. Two intervals are compared by their lengths, a month being 30 days and a day 24
//! hours. What leaves the range is an error, never another interval.

mod read;

use arrow::datatypes::IntervalMonthDayNano;

pub use self::read::{parse, parse_between};
use super::text::{Fraction, append, write_fraction};
use super::{DAY, HOUR, MINUTE, SECOND};
use crate::base::error::{Error, Result};

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interval {
    /// Whole months.
    pub months: i32,
    /// Whole days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

/// The field in which a number without a unit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A millionth of a second.
    Microsecond,
    /// A thousandth of a second.
    Millisecond,
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// Seven days.
    Week,
    /// A month.
    Month,
    /// Three months.
    Quarter,
    /// Twelve months.
    Year,
    /// Ten years.
    Decade,
    /// A hundred years.
    Century,
    /// A thousand years.
    Millennium,
}

impl Unit {
    /// The unit of a name, singular, plural or abbreviated.
    pub fn named(name: &str) -> Option<Unit> {
        Some(match name.to_ascii_lowercase().as_str() {
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => {
                Unit::Microsecond
            }
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => {
                Unit::Millisecond
            }
            "second" | "seconds" | "s" | "sec" | "secs" => Unit::Second,
            "minute" | "minutes" | "m" | "min" | "mins" => Unit::Minute,
            "hour" | "hours" | "h" | "hr" | "hrs" => Unit::Hour,
            "day" | "days" | "d" => Unit::Day,
            "week" | "weeks" | "w" => Unit::Week,
            "month" | "months" | "mon" | "mons" => Unit::Month,
            "quarter" | "quarters" | "qtr" => Unit::Quarter,
            "year" | "years" | "y" | "yr" | "yrs" => Unit::Year,
            "decade" | "decades" | "dec" | "decs" => Unit::Decade,
            "century" | "centuries" | "c" | "cent" => Unit::Century,
            "millennium" | "millennia" | "mil" | "mils" | "millenium" => Unit::Millennium,
            _ => return None,
        })
    }

    /// How many months the unit has, for those made of months.
    pub fn months(self) -> Option<i64> {
        Some(match self {
            Unit::Month => 1,
            Unit::Quarter => 3,
            Unit::Year => 12,
            Unit::Decade => 120,
            Unit::Century => 1200,
            Unit::Millennium => 12_000,
            _ => return None,
        })
    }

    /// How many microseconds the unit has, for those made of time.
    pub fn micros(self) -> Option<i64> {
        Some(match self {
            Unit::Microsecond => 1,
            Unit::Millisecond => 1000,
            Unit::Second => SECOND,
            Unit::Minute => MINUTE,
            Unit::Hour => HOUR,
            _ => return None,
        })
    }
}

impl Interval {
    /// An interval of wide fields, if they fit.
    pub fn new(months: i128, days: i128, micros: i128) -> Result<Interval> {
        let fits = || {
            let micros = i64::try_from(micros).ok()?;
            // Arrow holds nanoseconds.
            micros.checked_mul(1000)?;
            Some(Interval { months: i32::try_from(months).ok()?, days: i32::try_from(days).ok()?, micros })
        };
        fits().ok_or_else(out_of_range)
    }

    /// The interval as Arrow holds it, nanoseconds rounded to microseconds.
    pub fn from_arrow(value: IntervalMonthDayNano) -> Interval {
        let micros = value.nanoseconds.div_euclid(1000) + i64::from(value.nanoseconds.rem_euclid(1000) >= 500);
        Interval { months: value.months, days: value.days, micros }
    }

    /// Arrow's form.
    pub fn to_arrow(self) -> Result<IntervalMonthDayNano> {
        let nanoseconds = self.micros.checked_mul(1000).ok_or_else(out_of_range)?;
        Ok(IntervalMonthDayNano::new(self.months, self.days, nanoseconds))
    }

    /// Its length in microseconds, by which intervals are compared.
    pub fn length(self) -> i128 {
        (i128::from(self.months) * 30 + i128::from(self.days)) * i128::from(DAY) + i128::from(self.micros)
    }

    /// The sum of two.
    pub fn plus(self, other: Interval) -> Result<Interval> {
        Interval::new(
            i128::from(self.months) + i128::from(other.months),
            i128::from(self.days) + i128::from(other.days),
            i128::from(self.micros) + i128::from(other.micros),
        )
    }

    /// The interval in the other direction.
    pub fn negated(self) -> Result<Interval> {
        Interval::new(-i128::from(self.months), -i128::from(self.days), -i128::from(self.micros))
    }

    /// So many times the interval. Fractions of months become days, those of days become time.
    pub fn times(self, factor: f64) -> Result<Interval> {
        self.scaled(|field| field * factor)
    }

    /// The interval divided by a number; by zero is an error (22012).
    pub fn divided_by(self, divisor: f64) -> Result<Interval> {
        if divisor == 0.0 {
            return Err(Error::data("division by zero").with_sqlstate("22012"));
        }
        self.scaled(|field| field / divisor)
    }

    /// As PostgreSQL spreads a product: the remainder of months over days, that of days over seconds, each rounded to
    /// microseconds so that 0.7 of a month is 21 days and no hours.
    fn scaled(self, scale: impl Fn(f64) -> f64) -> Result<Interval> {
        let to_micros = |value: f64| (value * 1e6).round_ties_even() / 1e6;
        let months = scale(self.months.into());
        let days = scale(self.days.into());
        let (whole_months, whole_days) = (months.trunc(), days.trunc());
        let month_days = to_micros((months - whole_months) * 30.0);
        let mut more_days = month_days.trunc();
        let mut seconds = to_micros((days - whole_days + month_days - more_days) * 86_400.0);
        if seconds.abs() >= 86_400.0 {
            let carried = (seconds / 86_400.0).trunc();
            more_days += carried;
            seconds -= carried * 86_400.0;
        }
        let micros = (scale(self.micros as f64) + seconds * 1e6).round_ties_even();
        let wide = |value: f64| match value.abs() < 1e30 {
            true => Ok(value as i128),
            false => Err(out_of_range()),
        };
        Interval::new(wide(whole_months)?, wide(whole_days + more_days)?, wide(micros)?)
    }

    /// Full days of its time as days, the signs of both made equal.
    pub fn justify_hours(self) -> Result<Interval> {
        let (mut days, mut micros) = (i128::from(self.days) + i128::from(self.micros / DAY), self.micros % DAY);
        if days > 0 && micros < 0 {
            (days, micros) = (days - 1, micros + DAY);
        } else if days < 0 && micros > 0 {
            (days, micros) = (days + 1, micros - DAY);
        }
        Interval::new(self.months.into(), days, micros.into())
    }

    /// Full months of 30 days as months, the signs of both made equal.
    pub fn justify_days(self) -> Result<Interval> {
        let (mut months, mut days) = (i128::from(self.months) + i128::from(self.days / 30), self.days % 30);
        if months > 0 && days < 0 {
            (months, days) = (months - 1, days + 30);
        } else if months < 0 && days > 0 {
            (months, days) = (months + 1, days - 30);
        }
        Interval::new(months, days.into(), self.micros.into())
    }

    /// Days and months as far as the time reaches, all of one sign.
    pub fn justify(self) -> Result<Interval> {
        let (month, day) = (30 * i128::from(DAY), i128::from(DAY));
        let length = self.length();
        Interval::new(length / month, length % month / day, length % day)
    }

    /// Appends its text in PostgreSQL's verbose form.
    pub fn write(self, out: &mut String, fraction: Fraction) {
        let start = out.len();
        let mut after_negative = false;
        for (count, unit) in [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")] {
            if count != 0 {
                let space = if out.len() > start { " " } else { "" };
                let plus = if after_negative && count > 0 { "+" } else { "" };
                let plural = if count == 1 { "" } else { "s" };
                append(out, format_args!("{space}{plus}{count} {unit}{plural}"));
                after_negative = count < 0;
            }
        }
        if self.micros != 0 || out.len() == start {
            let space = if out.len() > start { " " } else { "" };
            let sign = match (self.micros < 0, after_negative) {
                (true, _) => "-",
                (false, true) => "+",
                (false, false) => "",
            };
            let micros = i128::from(self.micros).abs();
            let seconds = micros / i128::from(SECOND);
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            append(out, format_args!("{space}{sign}{hours:02}:{minutes:02}:{:02}", seconds % 60));
            write_fraction(out, (micros % i128::from(SECOND)) as i64, fraction);
        }
    }
}

/// The text of an interval.
impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        self.write(&mut out, Fraction::Short);
        f.write_str(&out)
    }
}

fn out_of_range() -> Error {
    Error::data("interval out of range").with_sqlstate("22008")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str) -> String {
        parse(input, Unit::Second).map_or_else(|error| error.sqlstate().to_string(), |interval| interval.to_string())
    }

    #[test]
    fn every_form_is_read() {
        for (input, output) in [
            ("1 day 02:03:04", "1 day 02:03:04"),
            ("1 year 2 mons -3 days", "1 year 2 mons -3 days"),
            ("1.5 hours", "01:30:00"),
            ("1.5 days", "1 day 12:00:00"),
            ("1.5 months", "1 mon 15 days"),
            ("1.5 years", "1 year 6 mons"),
            ("P1DT2H", "1 day 02:00:00"),
            ("P1Y2M3W4DT5H6M7.89S", "1 year 2 mons 25 days 05:06:07.89"),
            ("P0001-02-03T04:05:06", "1 year 2 mons 3 days 04:05:06"),
            ("PT0.0000015S", "00:00:00.000002"),
            ("1-2", "1 year 2 mons"),
            ("3 04:05", "3 days 04:05:00"),
            ("-1 day +02:00", "-1 days +02:00:00"),
            ("2 hours ago", "-02:00:00"),
            ("@ 1 minute", "00:01:00"),
            ("10", "00:00:10"),
            ("1h30m", "01:30:00"),
            ("100:00:00", "100:00:00"),
            ("1 week", "7 days"),
            ("1 minute 2", "00:01:02"),
            ("3 4 hours", "3 days 04:00:00"),
            ("1-2 3 4:05", "1 year 2 mons 3 days 04:05:00"),
            ("1 year 1-2", "2 years 2 mons"),
            ("1 week 2 days", "9 days"),
            ("1 second 2 ms", "00:00:01.002"),
            ("123 11", "22007"),
            ("3 1 mon", "22007"),
            ("1 day 2 days", "22007"),
            ("1 hour 2:03", "22007"),
            ("1.5 seconds 2 ms", "22007"),
            ("123 2:03 -2:04", "22007"),
            ("ago", "22007"),
            ("1 day ago 2", "22007"),
            ("", "22007"),
            ("x", "22007"),
            ("1 foo", "22007"),
            ("99999999999 years", "22015"),
            ("infinity", "0A000"),
        ] {
            assert_eq!(text(input), output, "{input}");
        }
    }

    #[test]
    fn products_spread_over_smaller_fields() {
        let month = Interval { months: 1, ..Default::default() };
        assert_eq!(month.times(0.7).unwrap().to_string(), "21 days");
        assert_eq!(month.divided_by(2.0).unwrap().to_string(), "15 days");
        let day = Interval { days: 1, ..Default::default() };
        assert_eq!(day.times(3.0).unwrap().to_string(), "3 days");
        assert_eq!(day.divided_by(7.0).unwrap().to_string(), "03:25:42.857143");
        assert!(month.times(f64::INFINITY).is_err() && month.times(f64::NAN).is_err());
        assert_eq!(day.divided_by(0.0).unwrap_err().sqlstate(), "22012");
    }

    #[test]
    fn justified_fields_have_one_sign() {
        let interval = Interval { months: 1, days: -1, micros: 25 * HOUR };
        assert_eq!(interval.justify().unwrap().to_string(), "1 mon 01:00:00");
        assert_eq!(parse("35 days", Unit::Day).unwrap().justify_days().unwrap().to_string(), "1 mon 5 days");
        assert_eq!(parse("-27 hours", Unit::Day).unwrap().justify_hours().unwrap().to_string(), "-1 days -03:00:00");
    }
}
