//! Patterns in the words of C's `strftime`, where `%f` is what Python and DuckDB take it for: microseconds.
//!
//! Chrono's `%f` counts nanoseconds: it would read `.5` as five of them and write nine digits.

use std::borrow::Cow;

/// The pattern in chrono's words, to write by: `%f` has six digits.
pub fn to_write(format: &str) -> Cow<'_, str> {
    in_words_of_chrono(format, |_| "%6f")
}

/// The pattern in chrono's words, to read by: `.%f` is a fraction of as many digits as there are, or none; `%f` alone
/// has six.
pub fn to_read(format: &str) -> Cow<'_, str> {
    in_words_of_chrono(format, |written| match written.ends_with('.') {
        true => {
            written.pop();
            "%.f"
        }
        false => "%6f",
    })
}

fn in_words_of_chrono(format: &str, fraction: impl Fn(&mut String) -> &'static str) -> Cow<'_, str> {
    if !format.contains("%f") {
        return Cow::Borrowed(format);
    }
    let mut written = String::with_capacity(format.len() + 2);
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        written.push_str(&rest[..at]);
        let length = 1 + rest[at + 1..].chars().next().map_or(0, char::len_utf8);
        match &rest[at..at + length] {
            "%f" => {
                let fraction = fraction(&mut written);
                written.push_str(fraction);
            }
            other => written.push_str(other),
        }
        rest = &rest[at + length..];
    }
    written.push_str(rest);
    Cow::Owned(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_microseconds() {
        let cases = [
            ("%H:%M", "%H:%M", "%H:%M"),
            ("%S.%f", "%S.%6f", "%S%.f"),
            ("%S %f", "%S %6f", "%S %6f"),
            ("%%f %f%", "%%f %6f%", "%%f %6f%"),
            ("é%é.%f", "é%é.%6f", "é%é%.f"),
        ];
        for (format, write, read) in cases {
            assert_eq!(to_write(format), write);
            assert_eq!(to_read(format), read);
        }
    }
}
