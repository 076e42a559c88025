//! Months and days of the week by name.

/// The full names of the months.
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The names of the days from Sunday.
pub(crate) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The number of a month by its full name or the first three letters of it.
pub(super) fn month_named(word: &str) -> Option<i64> {
    let matches = |name: &str| name.eq_ignore_ascii_case(word) || name[..3].eq_ignore_ascii_case(word);
    let sept = word.eq_ignore_ascii_case("sept").then_some(8);
    MONTHS.iter().position(|name| matches(name)).or(sept).map(|at| at as i64 + 1)
}

pub(super) fn is_weekday(word: &str) -> bool {
    let others = ["tues", "wednes", "weds", "thur", "thurs"];
    let named = |name: &str| name.eq_ignore_ascii_case(word) || name[..3].eq_ignore_ascii_case(word);
    WEEKDAYS.iter().any(|name| named(name)) || others.iter().any(|other| other.eq_ignore_ascii_case(word))
}
