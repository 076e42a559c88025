//! Text as times by a pattern.
//!
//! Blanks in the text are skipped, and what separates fields may be any separator, unless FX asks for the pattern's
//! own. A field takes as many digits as its word has letters where another digit field follows at once, else all
//! that come. What the text does not say is the first: January, the 1st, midnight; fields that contradict each other
//! or do not exist are errors (22007, 22008).

use super::{Node, Pattern, Word};
use crate::base::error::{Error, Result};
use crate::base::time::calendar::{checked_days, days, is_leap, iso_week_start};
use crate::base::time::names::{MONTHS, WEEKDAYS};
use crate::base::time::{DAY, HOUR, MINUTE, SECOND};

const ROMAN: [&str; 12] = ["XII", "XI", "X", "IX", "VIII", "VII", "VI", "V", "IV", "III", "II", "I"];

/// What a text says by a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Local microseconds since 1970.
    pub local: i64,
    /// Seconds east of UTC, where the text has a zone.
    pub offset: Option<i64>,
}

#[derive(Default)]
struct Fields {
    year: Option<i64>,
    before_christ: bool,
    century: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    iso_year: Option<i64>,
    iso_week: Option<i64>,
    iso_weekday: Option<i64>,
    week_of_month: Option<i64>,
    week_of_year: Option<i64>,
    hour: i64,
    twelve: bool,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    second_of_day: Option<i64>,
    offset: Option<i64>,
    offset_minutes: i64,
}

impl Pattern {
    /// The time that a text stands for.
    pub fn read(&self, text: &str) -> Result<Found> {
        let mut fields = Fields::default();
        let mut rest = text;
        for (at, node) in self.nodes.iter().enumerate() {
            match node {
                Node::Text(pattern) => rest = self.skip(rest, pattern, text)?,
                Node::Field { word, fill, ordinal, .. } => {
                    if !self.exact {
                        rest = rest.trim_start();
                    }
                    if rest.is_empty() {
                        // A pattern may go on beyond the text.
                        break;
                    }
                    let bounded = matches!(self.nodes.get(at + 1), Some(Node::Field { word, .. }) if word.is_digits());
                    let limit = if bounded && !fill { word.width() } else { usize::MAX };
                    rest = fields.take(*word, rest, limit).ok_or_else(|| mismatch(text, rest))?;
                    if ordinal.is_some() {
                        rest = rest.get(2..).unwrap_or("");
                    }
                }
            }
        }
        if self.exact && !rest.trim().is_empty() {
            return Err(mismatch(text, rest));
        }
        fields.finish(text)
    }

    /// What follows the text of a pattern: its separators match any, its other characters one each.
    fn skip<'a>(&self, rest: &'a str, pattern: &str, text: &str) -> Result<&'a str> {
        if self.exact {
            return rest.strip_prefix(pattern).ok_or_else(|| mismatch(text, rest));
        }
        let mut rest = rest;
        for character in pattern.chars() {
            if character.is_alphanumeric() {
                let mut characters = rest.trim_start().chars();
                characters.next();
                rest = characters.as_str();
            } else {
                let trimmed = rest.trim_start();
                let mut characters = trimmed.chars();
                rest = match characters.next() {
                    // A sign may belong to the number behind it.
                    Some(next) if !(next.is_alphanumeric() || next == '+' && character == ' ') => {
                        if character == ' ' && next == '-' { trimmed } else { characters.as_str() }
                    }
                    _ => trimmed,
                };
            }
        }
        Ok(rest)
    }
}

impl Word {
    /// Whether it is written in digits.
    fn is_digits(self) -> bool {
        !matches!(
            self,
            Word::AmPm { .. }
                | Word::Era { .. }
                | Word::Day
                | Word::DayShort
                | Word::Month
                | Word::MonthShort
                | Word::Roman
                | Word::Zone
                | Word::ZoneHour
                | Word::Offset
        )
    }

    /// How many digits it has where another number follows at once.
    fn width(self) -> usize {
        match self {
            Word::Year(digits) | Word::IsoYear(digits) | Word::Fraction(digits) => digits as usize,
            Word::Microsecond => 6,
            Word::SecondOfDay => 5,
            Word::DayOfYear | Word::IsoDayOfYear | Word::Millisecond => 3,
            Word::Weekday | Word::IsoWeekday | Word::Quarter | Word::WeekOfMonth => 1,
            Word::Julian => 7,
            _ => 2,
        }
    }
}

impl Fields {
    /// Reads one field; what follows it, or none where the text does not fit.
    fn take<'a>(&mut self, word: Word, text: &'a str, limit: usize) -> Option<&'a str> {
        if let Some(rest) = self.take_name(word, text) {
            return rest;
        }
        if word == Word::YearComma {
            let (thousands, rest) = digits(text, usize::MAX)?;
            let (ones, rest) = digits(rest.strip_prefix(',')?, 3)?;
            self.year = Some(thousands.parse::<i64>().ok()? * 1000 + ones.parse::<i64>().ok()?);
            return Some(rest);
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) if matches!(word, Word::Year(4)) => (true, rest),
            _ => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (number, rest) = digits(unsigned, limit)?;
        let value: i64 = number.parse().ok()?;
        let scaled = |digits: u32| {
            // The digits are those behind the point.
            let text = format!("0.{number}");
            text.parse::<f64>().ok().map(|value| (value * 10_f64.powi(digits as i32)).round() as i64)
        };
        match word {
            Word::Year(4) => self.year = Some(if negative { -value } else { value }),
            Word::Year(_) => self.year = Some(near_2020(value, number.len())),
            Word::IsoYear(4) => self.iso_year = Some(value),
            Word::IsoYear(_) => self.iso_year = Some(near_2020(value, number.len())),
            Word::Century => self.century = Some(value),
            Word::MonthNumber => self.month = Some(value),
            Word::DayOfMonth => self.day = Some(value),
            Word::DayOfYear => self.day_of_year = Some(value),
            Word::IsoDayOfYear => {
                (self.iso_week, self.iso_weekday) = (Some((value - 1) / 7 + 1), Some((value - 1) % 7 + 1));
            }
            Word::Julian => self.julian = Some(value),
            Word::IsoWeek => self.iso_week = Some(value),
            Word::IsoWeekday => self.iso_weekday = Some(value),
            Word::WeekOfMonth => self.week_of_month = Some(value),
            Word::WeekOfYear => self.week_of_year = Some(value),
            Word::Hour24 => self.hour = value,
            Word::Hour12 => (self.hour, self.twelve) = (value, true),
            Word::Minute => self.minute = value,
            Word::Second => self.second = value,
            Word::SecondOfDay => self.second_of_day = Some(value),
            Word::Millisecond => self.micros = scaled(3)? * 1000,
            Word::Microsecond => self.micros = scaled(6)?,
            Word::Fraction(digits) => self.micros = scaled(digits)? * 10_i64.pow(6 - digits),
            Word::ZoneMinute => self.offset_minutes = value,
            // A quarter and a day of the week do not tell a day.
            _ => {}
        }
        Some(rest)
    }

    /// Reads a field of letters or of a sign: none if the word is not such a one.
    fn take_name<'a>(&mut self, word: Word, text: &'a str) -> Option<Option<&'a str>> {
        let named = |names: &[&str], short: usize| {
            names.iter().enumerate().find_map(|(at, name)| {
                let name = name.get(..short.min(name.len()))?;
                let start = text.get(..name.len())?;
                start.eq_ignore_ascii_case(name).then(|| (at as i64, &text[name.len()..]))
            })
        };
        Some(match word {
            Word::Month => named(&MONTHS, 9).map(|(at, rest)| {
                self.month = Some(at + 1);
                rest
            }),
            Word::MonthShort => named(&MONTHS, 3).map(|(at, rest)| {
                self.month = Some(at + 1);
                rest
            }),
            Word::Day => named(&WEEKDAYS, 9).map(|(_, rest)| rest),
            Word::DayShort => named(&WEEKDAYS, 3).map(|(_, rest)| rest),
            Word::Roman => named(&ROMAN, 4).map(|(at, rest)| {
                self.month = Some(12 - at);
                rest
            }),
            Word::AmPm { .. } => named(&["A.M.", "AM", "P.M.", "PM"], 4).map(|(at, rest)| {
                self.afternoon = Some(at >= 2);
                rest
            }),
            Word::Era { .. } => named(&["A.D.", "AD", "B.C.", "BC"], 4).map(|(at, rest)| {
                self.before_christ = at >= 2;
                rest
            }),
            Word::ZoneHour | Word::Offset => self.take_offset(word, text),
            Word::Zone => {
                let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
                let zone = crate::base::time::zone::Zone::named(&text[..end]);
                zone.map(|zone| {
                    self.offset = Some(zone.offset_at(0));
                    &text[end..]
                })
            }
            _ => return None,
        })
    }

    /// `+02`, `-5`, and for OF `+05:30`.
    fn take_offset<'a>(&mut self, word: Word, text: &'a str) -> Option<&'a str> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (hours, mut rest) = digits(rest, 2)?;
        let mut seconds = hours.parse::<i64>().ok()? * 3600;
        if word == Word::Offset
            && let Some(after) = rest.strip_prefix(':')
        {
            let (minutes, after) = digits(after, 2)?;
            seconds += minutes.parse::<i64>().ok()? * 60;
            rest = after;
        }
        self.offset = Some(if negative { -seconds } else { seconds });
        Some(rest)
    }

    fn finish(self, text: &str) -> Result<Found> {
        let range = || Error::data(format!("date/time field value out of range: \"{text}\"")).with_sqlstate("22008");
        let day = self.date().ok_or_else(range)?;
        let mut hour = self.hour;
        if self.twelve || self.afternoon.is_some() {
            if !(1..=12).contains(&hour) {
                let error = Error::data(format!("hour \"{hour}\" is invalid for the 12-hour clock"));
                return Err(error.with_sqlstate("22007").with_hint("use HH24, or an hour between 1 and 12"));
            }
            hour = hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 };
        }
        if hour > 24 || self.minute > 59 || self.second > 60 || self.offset_minutes > 59 {
            return Err(range());
        }
        let clock = hour * HOUR + self.minute * MINUTE + self.second * SECOND;
        let time = self.second_of_day.map_or(clock, |seconds| seconds * SECOND) + self.micros;
        let local = day.checked_mul(DAY).and_then(|midnight| midnight.checked_add(time)).filter(|_| time <= DAY);
        let minutes = self.offset_minutes * 60;
        let offset = self.offset.map(|offset| if offset < 0 { offset - minutes } else { offset + minutes });
        Ok(Found { local: local.ok_or_else(range)?, offset })
    }

    /// The day of the fields.
    fn date(&self) -> Option<i64> {
        if let Some(julian) = self.julian {
            return Some(julian - 2_440_588);
        }
        if let Some(year) = self.iso_year {
            let (week, weekday) = (self.iso_week.unwrap_or(1), self.iso_weekday.unwrap_or(1));
            let valid = (1..=53).contains(&week) && (1..=7).contains(&weekday);
            return valid.then(|| iso_week_start(year, week) + weekday - 1);
        }
        // Without a year it is the first before the first, as in PostgreSQL.
        let year = match (self.year, self.century) {
            (Some(year), Some(century)) if year < 100 => (century - 1) * 100 + year,
            (Some(year), _) => year,
            (None, Some(century)) => (century - 1) * 100 + 1,
            (None, None) => 0,
        };
        let year = match (self.before_christ, year < 0) {
            (true, _) => 1 - year,
            (false, true) => year + 1,
            (false, false) => year,
        };
        if let Some(day) = self.day_of_year {
            let valid = (1..=365 + i64::from(is_leap(year))).contains(&day);
            return valid.then(|| days(year, 1, 1) + day - 1);
        }
        if let Some(week) = self.week_of_year {
            return (1..=53).contains(&week).then(|| days(year, 1, 1) + (week - 1) * 7);
        }
        let day = self.day.or(self.week_of_month.map(|week| (week - 1) * 7 + 1)).unwrap_or(1);
        checked_days(year, self.month.unwrap_or(1), day)
    }
}

/// Fewer than four digits of a year mean the year nearest to 2020 that ends with them.
fn near_2020(value: i64, digits: usize) -> i64 {
    match digits {
        1 | 2 if value < 70 => 2000 + value,
        1 | 2 => 1900 + value,
        3 if value < 100 => 2000 + value,
        3 if value < 520 => 2000 + value,
        3 => 1000 + value,
        _ => value,
    }
}

/// Up to `limit` digits, at least one.
fn digits(text: &str, limit: usize) -> Option<(&str, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count().min(limit);
    (count > 0 && count <= 18).then(|| text.split_at(count))
}

fn mismatch(text: &str, rest: &str) -> Error {
    let at: String = rest.chars().take(20).collect();
    Error::data(format!("\"{text}\" does not fit the pattern at \"{at}\"")).with_sqlstate("22007")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::text::{Fraction, write_timestamp};

    fn read(text: &str, pattern: &str) -> String {
        match Pattern::parse(pattern).unwrap().read(text) {
            Ok(found) => {
                let mut out = String::new();
                write_timestamp(&mut out, found.local, Fraction::Short);
                if let Some(offset) = found.offset {
                    out.push_str(&format!(" {offset}"));
                }
                out
            }
            Err(error) => error.sqlstate().to_string(),
        }
    }

    #[test]
    fn times_by_pattern() {
        for (text, pattern, expected) in [
            ("2024-03-04", "YYYY-MM-DD", "2024-03-04 00:00:00"),
            ("20240304 0506", "YYYYMMDD HH24MI", "2024-03-04 05:06:00"),
            ("4 March 2024", "DD Month YYYY", "2024-03-04 00:00:00"),
            ("04/Mar/24 5:06 PM", "DD/Mon/YY HH:MI PM", "2024-03-04 17:06:00"),
            ("2024-03-04T05:06:07.5", "YYYY-MM-DD\"T\"HH24:MI:SS.US", "2024-03-04 05:06:07.5"),
            ("2024 060", "YYYY DDD", "2024-02-29 00:00:00"),
            ("2024-W10-1", "IYYY-\"W\"IW-ID", "2024-03-04 00:00:00"),
            ("2024-03-04 05:06 +02:30", "YYYY-MM-DD HH24:MI TZH:TZM", "2024-03-04 05:06:00 9000"),
            ("2024-13-04", "YYYY-MM-DD", "22008"),
            ("2024-02-30", "YYYY-MM-DD", "22008"),
            ("abcd", "YYYY", "22007"),
            ("2024-03-04 13:00 AM", "YYYY-MM-DD HH12:MI AM", "22007"),
        ] {
            assert_eq!(read(text, pattern), expected, "{text} by {pattern}");
        }
    }
}
