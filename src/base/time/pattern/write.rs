//! Times as text by a pattern.

use super::{Case, Node, Pattern, Word};
use crate::base::error::{Error, Result};
use crate::base::time::calendar::{Civil, civil, day_of_year, iso_week, iso_week_start, iso_weekday, split, weekday};
use crate::base::time::interval::Interval;
use crate::base::time::names::{MONTHS, WEEKDAYS};
use crate::base::time::text::append;
use crate::base::time::zone::Zone;
use crate::base::time::{HOUR, MINUTE, SECOND};

const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// What is written: a timestamp as clocks show it, with the zone and instant where it has one, or an interval.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// Local microseconds, and for a TIMESTAMPTZ its zone and instant.
    Timestamp(i64, Option<(Zone, i64)>),
    /// A span of time.
    Interval(Interval),
}

/// The fields of a moment.
struct Fields {
    /// Year, month and day; of an interval as they are counted.
    date: Civil,
    /// The day since 1970; none for an interval.
    day: Option<i64>,
    /// Microseconds of the day, or of an interval of any length.
    time: i64,
    zone: Option<(Zone, i64)>,
}

impl Pattern {
    /// The text of a moment; an interval has no names of months and days.
    pub fn write(&self, moment: Moment) -> Result<String> {
        let fields = match moment {
            Moment::Timestamp(local, zone) => {
                let (day, time) = split(local);
                Fields { date: civil(day), day: Some(day), time, zone }
            }
            Moment::Interval(interval) => {
                let (year, month) = (i64::from(interval.months) / 12, i64::from(interval.months) % 12);
                let date = Civil { year, month, day: interval.days.into() };
                Fields { date, day: None, time: interval.micros, zone: None }
            }
        };
        let mut out = String::new();
        for node in &self.nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Field { word, case, fill, ordinal } => {
                    let start = out.len();
                    fields.write(&mut out, *word, *case, *fill)?;
                    if let Some(case) = ordinal {
                        push_ordinal(&mut out, start, *case);
                    }
                }
            }
        }
        Ok(out)
    }
}

impl Fields {
    fn write(&self, out: &mut String, word: Word, case: Case, fill: bool) -> Result<()> {
        let number = |out: &mut String, value: i64, width: usize| push_number(out, value, if fill { 0 } else { width });
        let hours = self.time / HOUR;
        let in_second = self.time % SECOND;
        match word {
            Word::Hour24 => number(out, hours, 2),
            Word::Hour12 => number(out, if hours % 12 == 0 { 12 } else { hours % 12 }, 2),
            Word::Minute => number(out, self.time / MINUTE % 60, 2),
            Word::Second => number(out, self.time / SECOND % 60, 2),
            Word::SecondOfDay => append(out, format_args!("{}", self.time / SECOND)),
            Word::Millisecond => push_number(out, in_second / 1000, 3),
            Word::Microsecond => push_number(out, in_second, 6),
            Word::Fraction(digits) => push_number(out, in_second / 10_i64.pow(6 - digits), digits as usize),
            Word::AmPm { dots } => {
                let afternoon = hours.rem_euclid(24) >= 12;
                let text = match (afternoon, dots) {
                    (true, true) => "P.M.",
                    (true, false) => "PM",
                    (false, true) => "A.M.",
                    (false, false) => "AM",
                };
                push_text(out, text, case, 0);
            }
            Word::Quarter if self.date.month == 0 => {}
            Word::Quarter => append(out, format_args!("{}", (self.date.month - 1) / 3 + 1)),
            // Of these the sign counts as a place.
            Word::MonthNumber => number(out, self.date.month, 2 - usize::from(self.date.month < 0)),
            Word::DayOfMonth => number(out, self.date.day, 2 - usize::from(self.date.day < 0)),
            Word::Year(_) | Word::YearComma | Word::Century => self.write_year(out, word, fill),
            Word::Roman if self.date.month == 0 => {}
            Word::Roman => {
                let text = ROMAN[(self.date.month - 1).rem_euclid(12) as usize];
                push_text(out, text, case, if fill { 0 } else { 4 });
            }
            Word::Zone | Word::ZoneHour | Word::ZoneMinute | Word::Offset => self.write_zone(out, word, case, fill)?,
            _ => self.write_calendar(out, word, case, fill)?,
        }
        Ok(())
    }

    /// The year as it is called, which has no year 0; of an interval as it is.
    fn year(&self) -> i64 {
        if self.day.is_some() && self.date.year <= 0 { 1 - self.date.year } else { self.date.year }
    }

    fn write_year(&self, out: &mut String, word: Word, fill: bool) {
        let year = self.year();
        let width = |width: usize| if fill { 0 } else { width };
        match word {
            Word::YearComma => append(out, format_args!("{},{:03}", year / 1000, year % 1000)),
            Word::Year(4) => push_number(out, year, width(4)),
            Word::Year(digits) => push_number(out, year % 10_i64.pow(digits), width(digits as usize)),
            _ if self.day.is_none() => push_number(out, year / 100, width(2)),
            _ if self.date.year > 0 => push_number(out, (self.date.year - 1) / 100 + 1, width(2)),
            _ => push_number(out, self.date.year / 100 - 1, width(2)),
        }
    }

    /// Fields that only a day of the calendar has.
    fn write_calendar(&self, out: &mut String, word: Word, case: Case, fill: bool) -> Result<()> {
        let day = self.day.ok_or_else(|| {
            let message = "this pattern has a field that an interval does not have: names of months and days, eras";
            Error::data(message).with_sqlstate("22007").with_hint("intervals are not tied to specific calendar dates")
        })?;
        let width = |width: usize| if fill { 0 } else { width };
        let number = |out: &mut String, value: i64, length: usize| push_number(out, value, width(length));
        match word {
            Word::Era { dots } => {
                let text = match (self.date.year <= 0, dots) {
                    (true, true) => "B.C.",
                    (true, false) => "BC",
                    (false, true) => "A.D.",
                    (false, false) => "AD",
                };
                push_text(out, text, case, 0);
            }
            Word::Month => push_text(out, MONTHS[self.date.month as usize - 1], case, width(9)),
            Word::MonthShort => push_text(out, &MONTHS[self.date.month as usize - 1][..3], case, 0),
            Word::Day => push_text(out, WEEKDAYS[weekday(day) as usize], case, width(9)),
            Word::DayShort => push_text(out, &WEEKDAYS[weekday(day) as usize][..3], case, 0),
            Word::DayOfYear => number(out, day_of_year(day), 3),
            Word::IsoDayOfYear => number(out, day - iso_week_start(iso_week(day).0, 1) + 1, 3),
            Word::Weekday => number(out, weekday(day) + 1, 0),
            Word::IsoWeekday => number(out, iso_weekday(day), 0),
            Word::WeekOfYear => number(out, (day_of_year(day) - 1) / 7 + 1, 2),
            Word::WeekOfMonth => number(out, (self.date.day - 1) / 7 + 1, 0),
            Word::IsoWeek => number(out, iso_week(day).1, 2),
            Word::IsoYear(digits) => {
                let year = iso_week(day).0;
                let year = if year <= 0 { 1 - year } else { year };
                let value = if digits == 4 { year } else { year % 10_i64.pow(digits) };
                number(out, value, digits as usize);
            }
            _ => append(out, format_args!("{}", day + 2_440_588)),
        }
        Ok(())
    }

    fn write_zone(&self, out: &mut String, word: Word, case: Case, fill: bool) -> Result<()> {
        if self.day.is_none() {
            self.write_calendar(out, word, case, fill)?;
        }
        let offset = self.zone.map_or(0, |(zone, instant)| zone.offset_at(instant));
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
        match word {
            Word::Zone => {
                let name = self.zone.map(|(zone, instant)| zone.abbreviation_at(instant)).unwrap_or_default();
                push_text(out, &name, if case == Case::Lower { case } else { Case::Upper }, 0);
            }
            Word::ZoneHour => append(out, format_args!("{sign}{hours:02}")),
            Word::ZoneMinute => append(out, format_args!("{minutes:02}")),
            _ => {
                out.push(sign);
                push_number(out, hours, if fill { 0 } else { 2 });
                if minutes != 0 {
                    append(out, format_args!(":{minutes:02}"));
                }
            }
        }
        Ok(())
    }
}

/// A number with leading zeros to a width, beyond its sign.
fn push_number(out: &mut String, value: i64, width: usize) {
    let sign = if value < 0 { "-" } else { "" };
    append(out, format_args!("{sign}{:0width$}", value.unsigned_abs()));
}

/// A text in a case, with blanks up to a width.
fn push_text(out: &mut String, text: &str, case: Case, width: usize) {
    let text = match case {
        Case::Upper => text.to_uppercase(),
        Case::Lower => text.to_lowercase(),
        Case::Capital => text.to_string(),
    };
    append(out, format_args!("{text:<width$}"));
}

/// `st`, `nd`, `rd` or `th` behind the number that begins at `start`.
pub(super) fn push_ordinal(out: &mut String, start: usize, case: Case) {
    let digits = out[start..].trim_end();
    if !digits.ends_with(|c: char| c.is_ascii_digit()) {
        return;
    }
    let (tens, ones) = {
        let mut last = digits.bytes().rev();
        let ones = last.next().unwrap_or(b'0');
        (last.next().unwrap_or(b'0'), ones)
    };
    let suffix = match (tens, ones) {
        (b'1', _) => "th",
        (_, b'1') => "st",
        (_, b'2') => "nd",
        (_, b'3') => "rd",
        _ => "th",
    };
    push_text(out, suffix, if case == Case::Upper { Case::Upper } else { Case::Lower }, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::parse::timestamp;

    fn shown(moment: &str, pattern: &str) -> String {
        Pattern::parse(pattern).unwrap().write(Moment::Timestamp(timestamp(moment).unwrap(), None)).unwrap()
    }

    #[test]
    fn timestamps_by_pattern() {
        for (pattern, expected) in [
            ("YYYY-MM-DD HH24:MI:SS", "2024-01-02 15:04:05"),
            ("Month, DD YYYY", "January  , 02 2024"),
            ("FMMonth FMDDth, YYYY", "January 2nd, 2024"),
            ("HH12:MI:SS PM", "03:04:05 PM"),
            ("Dy DY day", "Tue TUE tuesday  "),
            ("IYYY-IW-ID", "2024-01-2"),
            ("Q WW W DDD J", "1 01 1 002 2460312"),
            ("MS US FF2", "123 123456 12"),
            ("\"year\" YY \\\"", "year 24 \""),
            ("YYYY\"T\"HH24", "2024T15"),
            ("foo", "foo"),
            ("", ""),
            ("CC RM rm", "21 I    i   "),
        ] {
            assert_eq!(shown("2024-01-02 15:04:05.123456", pattern), expected, "{pattern}");
        }
        assert!(Pattern::parse("%Y-%m-%d").is_err());
        assert!(Pattern::parse("HH24 \"%d\"").is_ok());
    }

    #[test]
    fn intervals_by_pattern() {
        let interval = Interval { months: 14, days: 3, micros: 90 * MINUTE };
        let shown = |pattern: &str| Pattern::parse(pattern).unwrap().write(Moment::Interval(interval));
        assert_eq!(shown("HH24:MI YYYY MM DD").unwrap(), "01:30 0001 02 03");
        assert!(shown("Month").is_err());
        let negative = Interval { months: 0, days: -3, micros: -10_250_000 };
        let shown = Pattern::parse("DD HH24:MI:SS.MS").unwrap().write(Moment::Interval(negative)).unwrap();
        assert_eq!(shown, "-3 00:00:-10.-250");
    }
}
