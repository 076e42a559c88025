//! Time zones: by name, abbreviation or offset, and what they do to local times.
//!
//! Names are IANA's, without regard to case. Where the clock goes back, a local time means two instants and the later
//! one is taken, in standard time; where it goes forward, a local time that the clock skips is read with the offset
//! before, and so comes out one hour later. Both are PostgreSQL's choices. Rules end with the year 2099 in the tables
//! below us; later years follow the year 28 or a multiple of it before, which has the same calendar.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetName, TZ_VARIANTS, Tz};

use super::calendar::{civil, days, is_leap, split, weekday};
use super::{DAY, SECOND};
use crate::base::error::{Error, ErrorKind, Result};

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Always so many seconds east of UTC.
    Fixed(i32),
    /// By the rules of a place.
    Named(Tz),
}

/// Abbreviations with their hours east of UTC, as PostgreSQL knows them by default.
const ABBREVIATIONS: [(&str, f64); 56] = [
    ("utc", 0.0),
    ("gmt", 0.0),
    ("z", 0.0),
    ("zulu", 0.0),
    ("ut", 0.0),
    ("uct", 0.0),
    ("wet", 0.0),
    ("west", 1.0),
    ("bst", 1.0),
    ("cet", 1.0),
    ("met", 1.0),
    ("cest", 2.0),
    ("mest", 2.0),
    ("eet", 2.0),
    ("sast", 2.0),
    ("ist", 2.0),
    ("cat", 2.0),
    ("eest", 3.0),
    ("idt", 3.0),
    ("msk", 3.0),
    ("eat", 3.0),
    ("msd", 4.0),
    ("pkt", 5.0),
    ("uzt", 5.0),
    ("npt", 5.75),
    ("ict", 7.0),
    ("wib", 7.0),
    ("hkt", 8.0),
    ("sgt", 8.0),
    ("awst", 8.0),
    ("pht", 8.0),
    ("jst", 9.0),
    ("kst", 9.0),
    ("acst", 9.5),
    ("acdt", 10.5),
    ("aest", 10.0),
    ("aedt", 11.0),
    ("nzst", 12.0),
    ("nzdt", 13.0),
    ("nst", -3.5),
    ("ndt", -2.5),
    ("brt", -3.0),
    ("art", -3.0),
    ("ast", -4.0),
    ("adt", -3.0),
    ("clt", -4.0),
    ("est", -5.0),
    ("edt", -4.0),
    ("cst", -6.0),
    ("cdt", -5.0),
    ("mst", -7.0),
    ("mdt", -6.0),
    ("pst", -8.0),
    ("pdt", -7.0),
    ("akst", -9.0),
    ("akdt", -8.0),
];

/// The furthest an offset may be from UTC, in seconds; it does not reach 16 hours.
const OFFSET_MAX: i32 = 16 * 3600 - 1;

impl Zone {
    /// UTC.
    pub const UTC: Zone = Zone::Fixed(0);

    /// The zone that AT TIME ZONE and the functions of time take: an abbreviation, a name, or an offset in the manner
    /// of POSIX, in which `+02` lies west. An unknown one is an error (22023) with the nearest name as a hint.
    pub fn parse(text: &str) -> Result<Zone> {
        let name = text.trim();
        Zone::named(name).or_else(|| posix(name)).ok_or_else(|| unknown(text))
    }

    /// The zone of `SET TIME ZONE`: as [`Zone::parse`], but a mere number is hours east of UTC.
    pub fn setting(text: &str) -> Result<Zone> {
        let text = text.trim();
        match text.parse::<f64>() {
            Ok(hours) if hours.abs() * 3600.0 <= f64::from(OFFSET_MAX) => Ok(Zone::Fixed((hours * 3600.0) as i32)),
            Ok(_) => Err(unknown(text)),
            Err(_) => Zone::parse(text),
        }
    }

    /// The zone of an abbreviation or name.
    pub fn named(name: &str) -> Option<Zone> {
        let lower = name.to_ascii_lowercase();
        if let Some((_, hours)) = ABBREVIATIONS.iter().find(|(known, _)| *known == lower) {
            return Some(Zone::Fixed((hours * 3600.0) as i32));
        }
        if let Ok(zone) = Tz::from_str(name) {
            return Some(Zone::Named(zone));
        }
        let zone = TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name))?;
        Some(Zone::Named(*zone))
    }

    /// A zone of so many seconds east of UTC, if that is not too far.
    pub fn fixed(seconds: i64) -> Option<Zone> {
        let seconds = i32::try_from(seconds).ok()?;
        (seconds.abs() <= OFFSET_MAX).then_some(Zone::Fixed(seconds))
    }

    /// The zone by its name in an Arrow type, where offsets lie east as in ISO 8601; UTC for an unknown one.
    pub fn of_arrow(name: &str) -> Zone {
        let offset = || {
            let (sign, digits) = (name.starts_with('-'), name.get(1..)?);
            let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            name.starts_with(['+', '-']).then(|| Zone::fixed(if sign { -seconds } else { seconds }))?
        };
        offset().or_else(|| Zone::named(name)).unwrap_or(Zone::UTC)
    }

    /// The name of the zone in an Arrow type: offsets lie east and have no seconds.
    pub fn to_arrow(self) -> String {
        match self {
            Zone::Fixed(0) => "UTC".to_string(),
            Zone::Fixed(seconds) => {
                let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
            Zone::Named(zone) => zone.name().to_string(),
        }
    }

    /// Seconds east of UTC at an instant in microseconds.
    pub fn offset_at(&self, micros: i64) -> i64 {
        match self {
            Zone::Fixed(seconds) => i64::from(*seconds),
            Zone::Named(zone) => {
                let instant = within_rules(micros);
                zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc().into()
            }
        }
    }

    /// What clocks show at an instant; `None` beyond the range of timestamps.
    pub fn to_local(self, micros: i64) -> Option<i64> {
        micros.checked_add(self.offset_at(micros) * SECOND)
    }

    /// The instant at which clocks show a local time; `None` beyond the range of timestamps.
    pub fn to_utc(self, local: i64) -> Option<i64> {
        if let Zone::Fixed(seconds) = self {
            return local.checked_sub(i64::from(seconds) * SECOND);
        }
        // No zone changes its clock twice within two days, so one change at most lies between these offsets.
        let before = self.offset_at(local.saturating_sub(DAY));
        let after = self.offset_at(local.saturating_add(DAY));
        let instant = |offset: i64| local.checked_sub(offset * SECOND);
        if before == after {
            return instant(before);
        }
        match instant(after) {
            // Also where both are possible: the time after the change, which is standard time.
            Some(instant) if self.offset_at(instant) == after => Some(instant),
            // Also where none is: the clock has skipped this time.
            _ => instant(before),
        }
    }

    /// The abbreviation of the zone at an instant, such as `CEST`; the offset where there is none.
    pub fn abbreviation_at(&self, micros: i64) -> String {
        match self {
            Zone::Fixed(0) => "UTC".to_string(),
            Zone::Fixed(_) => offset_text(self.offset_at(micros)),
            Zone::Named(zone) => {
                let offset = zone.offset_from_utc_datetime(&within_rules(micros).naive_utc());
                offset.abbreviation().map_or_else(|| offset_text(self.offset_at(micros)), str::to_string)
            }
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Zone::UTC
    }
}

/// The name by which [`Zone::parse`] gives the zone back; an offset in the manner of POSIX: `<+02>-02`.
impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Zone::Fixed(0) => f.write_str("UTC"),
            Zone::Fixed(seconds) => {
                let (east, west) = (i64::from(*seconds), -i64::from(*seconds));
                write!(f, "<{}>{}", offset_text(east), offset_text(west))
            }
            Zone::Named(zone) => f.write_str(zone.name()),
        }
    }
}

/// Seconds east of UTC as PostgreSQL writes them behind a timestamp: `+02`, `+05:30`, `-00:25:21`.
pub fn offset_text(seconds: i64) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes, rest) = (seconds.abs() / 3600, seconds.abs() / 60 % 60, seconds.abs() % 60);
    match (minutes, rest) {
        (0, 0) => format!("{sign}{hours:02}"),
        (_, 0) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{rest:02}"),
    }
}

/// The instant, or for one beyond the tables an instant with the same place in a year with the same calendar.
fn within_rules(micros: i64) -> DateTime<chrono::Utc> {
    const LAST: i64 = 2099;
    let (day, time) = split(micros);
    let name = civil(day);
    let day = if name.year > LAST {
        let like = |year: i64| {
            is_leap(year) == is_leap(name.year) && weekday(days(year, 1, 1)) == weekday(days(name.year, 1, 1))
        };
        let year = (LAST - 27..=LAST).find(|&year| like(year)).unwrap_or(LAST);
        days(year, name.month, 1) + name.day - 1
    } else {
        // Before the year 1 every zone has the mean time of its place.
        day.max(-719_162)
    };
    DateTime::from_timestamp_micros(day * DAY + time).unwrap_or_default()
}

/// A zone in the manner of POSIX: letters or nothing, then hours west of UTC.
fn posix(text: &str) -> Option<Zone> {
    let rest = match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?.1,
        None => text.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
    };
    let letters = text.len() - rest.len();
    if letters > 0 && letters < 3 {
        return None;
    }
    let (sign, digits) = match rest.as_bytes().first()? {
        b'+' => (-1, &rest[1..]),
        b'-' => (1, &rest[1..]),
        _ => (-1, rest),
    };
    let mut seconds = 0;
    for (part, scale) in digits.split(':').zip([3600, 60, 1, 0]) {
        let valid = !part.is_empty() && part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let number = part.parse::<i64>().ok().filter(|number| valid && scale > 0 && (scale == 3600 || *number < 60))?;
        seconds += number * scale;
    }
    Zone::fixed(sign * seconds)
}

fn unknown(name: &str) -> Error {
    let error = Error::new(ErrorKind::Invalid, format!("time zone \"{name}\" not recognized")).with_sqlstate("22023");
    let lower = name.to_ascii_lowercase();
    let distance = |known: &str| {
        let known = known.to_ascii_lowercase();
        // Somebody who writes the city alone means the zone that ends with it.
        let city = known.rsplit('/').next().unwrap_or_default();
        strsim::damerau_levenshtein(&lower, &known).min(1 + strsim::damerau_levenshtein(&lower, city))
    };
    let best = TZ_VARIANTS.iter().map(|zone| (distance(zone.name()), zone.name())).min();
    match best {
        Some((distance, near)) if distance <= 1 + name.len() / 4 => {
            error.with_hint(format!("did you mean \"{near}\"?"))
        }
        _ => error.with_hint("for example 'Europe/Berlin', 'UTC' or '-03'"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::HOUR;
    use super::*;

    fn at(year: i64, month: i64, day: i64, hour: i64) -> i64 {
        days(year, month, day) * DAY + hour * HOUR
    }

    #[test]
    fn zones_by_all_their_names() {
        assert_eq!(Zone::parse("europe/BERLIN").unwrap(), Zone::Named(Tz::Europe__Berlin));
        assert_eq!(Zone::parse("EST").unwrap(), Zone::Fixed(-5 * 3600));
        assert_eq!(Zone::parse("+02").unwrap(), Zone::Fixed(-2 * 3600));
        assert_eq!(Zone::parse("UTC-03:30").unwrap(), Zone::Fixed(3 * 3600 + 1800));
        assert_eq!(Zone::setting("-3.5").unwrap(), Zone::Fixed(-3 * 3600 - 1800));
        for zone in [Zone::UTC, Zone::Fixed(19_800), Zone::Fixed(-3600), Zone::Named(Tz::Asia__Tokyo)] {
            assert_eq!(Zone::parse(&zone.to_string()).unwrap(), zone);
        }
        let error = Zone::parse("Europe/Berlim").unwrap_err();
        assert_eq!(error.sqlstate(), "22023");
        assert_eq!(error.hint(), Some("did you mean \"Europe/Berlin\"?"));
        assert_eq!(Zone::parse("tokyo").unwrap_err().hint(), Some("did you mean \"Asia/Tokyo\"?"));
        for odd in ["", "+", "x", "+99", "+1:2:3:4", "Mars/Olympus", "\u{e9}\u{e9}\u{e9}+1"] {
            assert!(Zone::parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn changes_of_the_clock() {
        let york = Zone::parse("America/New_York").unwrap();
        // 02:30 does not exist; 01:30 exists twice.
        assert_eq!(york.to_utc(at(2024, 3, 10, 2) + HOUR / 2), Some(at(2024, 3, 10, 7) + HOUR / 2));
        assert_eq!(york.to_utc(at(2024, 11, 3, 1) + HOUR / 2), Some(at(2024, 11, 3, 6) + HOUR / 2));
        assert_eq!(york.to_local(at(2024, 1, 1, 2)), Some(at(2023, 12, 31, 21)));
        // A day whose clocks skip all of it.
        let apia = Zone::parse("Pacific/Apia").unwrap();
        assert_eq!(apia.to_local(at(2011, 12, 30, 11)), Some(at(2011, 12, 31, 1)));
        // The rules go on beyond the tables.
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        assert_eq!(berlin.offset_at(at(2250, 7, 1, 0)), 7200);
        assert_eq!(berlin.offset_at(at(2250, 1, 1, 0)), 3600);
    }

    #[test]
    fn every_instant_comes_back() {
        for name in ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"] {
            let zone = Zone::parse(name).unwrap();
            for hour in (at(1990, 1, 1, 0) / HOUR..at(2030, 1, 1, 0) / HOUR).step_by(5) {
                let local = zone.to_local(hour * HOUR).unwrap();
                let back = zone.to_utc(local).unwrap();
                assert!(back == hour * HOUR || zone.to_local(back) == Some(local), "{name} {hour}");
            }
        }
    }
}
