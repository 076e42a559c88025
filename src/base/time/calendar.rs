//! The proleptic Gregorian calendar: days since 1970-01-01 and what they are called.
//!
//! Years are astronomical inside: 0 is 1 BC. The formulas are those of Howard Hinnant, "chrono-Compatible Low-Level
//! Date Algorithms"; they hold for every day that an `i64` of microseconds can reach.

use super::DAY;

/// A day by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// The astronomical year.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
}

/// The number of a day that exists; months beyond 1 to 12 count on into other years.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The number of a day, if there is such a day.
pub fn checked_days(year: i64, month: i64, day: i64) -> Option<i64> {
    let exists = (1..=12).contains(&month) && day >= 1 && day <= month_length(year, month);
    (exists && (-5_000_000..=6_000_000).contains(&year)).then(|| days(year, month, day))
}

/// The name of a day.
pub fn civil(day: i64) -> Civil {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Civil { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
}

/// Whether a year has 366 days.
pub fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

/// The days of a month.
pub fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day so many months later; the last of the month where the month is too short.
pub fn add_months(day: i64, months: i64) -> i64 {
    let Civil { year, month, day } = civil(day);
    let first = month - 1 + months;
    let (year, month) = (year + first.div_euclid(12), first.rem_euclid(12) + 1);
    days(year, month, day.min(month_length(year, month)))
}

/// The day of the week: 0 is Sunday.
pub fn weekday(day: i64) -> i64 {
    (day + 4).rem_euclid(7)
}

/// The day of the week by ISO 8601: 1 is Monday, 7 Sunday.
pub fn iso_weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7) + 1
}

/// The day of the year, from 1.
pub fn day_of_year(day: i64) -> i64 {
    day - days(civil(day).year, 1, 1) + 1
}

/// Year and week by ISO 8601: the first week is the one with the year's first Thursday.
pub fn iso_week(day: i64) -> (i64, i64) {
    let thursday = day - iso_weekday(day) + 4;
    let year = civil(thursday).year;
    (year, (thursday - days(year, 1, 1)) / 7 + 1)
}

/// The Monday of an ISO week.
pub fn iso_week_start(year: i64, week: i64) -> i64 {
    let fourth = days(year, 1, 4);
    fourth - (iso_weekday(fourth) - 1) + (week - 1) * 7
}

/// A timestamp's day and the microseconds since its midnight.
pub fn split(micros: i64) -> (i64, i64) {
    (micros.div_euclid(DAY), micros.rem_euclid(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_their_names_are_inverse() {
        for day in (-1_000_000..3_000_000).step_by(37) {
            let name = civil(day);
            assert_eq!(days(name.year, name.month, name.day), day);
            assert_eq!(checked_days(name.year, name.month, name.day), Some(day));
        }
        assert_eq!(checked_days(1900, 2, 29), None);
        assert_eq!(checked_days(2000, 2, 29), Some(11_016));
        assert_eq!(checked_days(2000, 13, 1), None);
    }

    #[test]
    fn weeks_follow_iso() {
        assert_eq!(iso_week(days(2021, 1, 3)), (2020, 53));
        assert_eq!(iso_week(days(2021, 1, 4)), (2021, 1));
        assert_eq!(iso_week(days(2018, 12, 31)), (2019, 1));
        for day in (-400_000..400_000).step_by(11) {
            let (year, week) = iso_week(day);
            assert_eq!(iso_week_start(year, week) + iso_weekday(day) - 1, day);
        }
    }

    #[test]
    fn months_end_where_they_end() {
        assert_eq!(add_months(days(2024, 1, 31), 1), days(2024, 2, 29));
        assert_eq!(add_months(days(2024, 3, 31), -13), days(2023, 2, 28));
        assert_eq!(add_months(days(2024, 12, 15), 1), days(2025, 1, 15));
    }
}
