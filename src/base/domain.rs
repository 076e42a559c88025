//! Types that are text with a rule: UUID, JSON, VARCHAR(n), CHAR(n).
//!
//! A relation holds their values as TEXT; what makes a text one of them is checked, and its spelling settled, where
//! rows get the shape of a relation ([`Domain::store`]) and where a query casts ([`Domain::cast`]). A UUID is written
//! in lower case with four hyphens, however it came. JSON is kept as it was written. Text that is too long is refused
//! when it is stored and cut when it is cast, as the standard asks; blanks at its end do not count. CHAR(n) keeps no
//! blanks at the end, because they mean nothing there.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use serde::de::IgnoredAny;

use super::cast::OnFailure;
use super::error::{Error, Result};

/// A type whose values are some of all texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Domain {
    /// A UUID.
    Uuid,
    /// A JSON value.
    Json,
    /// JSON under its other name.
    Jsonb,
    /// Text of so many characters at most.
    Varchar(u64),
    /// Text of so many characters at most, without blanks at the end.
    Char(u64),
}

impl Domain {
    /// The domain of a name as `Display` gives it.
    pub fn named(name: &str) -> Option<Self> {
        let length = |prefix: &str| name.strip_prefix(prefix)?.strip_suffix(')')?.parse().ok();
        match name {
            "UUID" => Some(Domain::Uuid),
            "JSON" => Some(Domain::Json),
            "JSONB" => Some(Domain::Jsonb),
            _ => length("VARCHAR(").map(Domain::Varchar).or_else(|| length("CHAR(").map(Domain::Char)),
        }
    }

    /// The texts as a column of this type stores them; one that is none of its values is an error.
    pub fn store(self, texts: &ArrayRef) -> Result<ArrayRef> {
        self.each(texts, |text| self.stored(text).map(Some))
    }

    /// The texts as a cast to this type gives them.
    pub fn cast(self, texts: &ArrayRef, on_failure: OnFailure) -> Result<ArrayRef> {
        self.each(texts, |text| match (self, self.stored(text), on_failure) {
            (Domain::Varchar(length) | Domain::Char(length), Err(_), _) => Ok(Some(self.cut(text, length).into())),
            (_, Err(_), OnFailure::Null) => Ok(None),
            (_, stored, _) => stored.map(Some),
        })
    }

    fn each<'a>(
        self,
        texts: &'a ArrayRef,
        one: impl for<'t> Fn(&'t str) -> Result<Option<Cow<'t, str>>>,
    ) -> Result<ArrayRef> {
        let texts: Cow<'a, ArrayRef> = match texts.data_type() {
            DataType::Utf8View => Cow::Borrowed(texts),
            _ => Cow::Owned(cast(texts, &DataType::Utf8View)?),
        };
        let mut changed = false;
        let values = texts.as_string_view().iter().map(|text| {
            let Some(text) = text else { return Ok(None) };
            let value = one(text)?;
            changed |= !matches!(value, Some(Cow::Borrowed(same)) if same.len() == text.len());
            Ok(value)
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        if !changed {
            return Ok(texts.as_ref().clone());
        }
        Ok(Arc::new(values.into_iter().collect::<StringViewArray>()))
    }

    fn stored(self, text: &str) -> Result<Cow<'_, str>> {
        match self {
            Domain::Uuid => uuid(text).ok_or_else(|| invalid(self, text)),
            Domain::Json | Domain::Jsonb => match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => Ok(Cow::Borrowed(text)),
                Err(_) => Err(invalid(self, text)),
            },
            Domain::Varchar(length) | Domain::Char(length) => {
                let kept = self.cut(text, length);
                if text[kept.len()..].bytes().all(|byte| byte == b' ') {
                    return Ok(Cow::Borrowed(kept));
                }
                Err(Error::data(format!("value too long for type {self}")).with_sqlstate("22001"))
            }
        }
    }

    /// The first `length` characters.
    fn cut(self, text: &str, length: u64) -> &str {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let kept = match text.char_indices().nth(length) {
            Some((end, _)) if text.len() > length => &text[..end],
            _ => text,
        };
        if matches!(self, Domain::Char(_)) { kept.trim_end_matches(' ') } else { kept }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Uuid => f.write_str("UUID"),
            Domain::Json => f.write_str("JSON"),
            Domain::Jsonb => f.write_str("JSONB"),
            Domain::Varchar(length) => write!(f, "VARCHAR({length})"),
            Domain::Char(length) => write!(f, "CHAR({length})"),
        }
    }
}

fn invalid(domain: Domain, text: &str) -> Error {
    /// Longer texts are not shown whole.
    const SHOWN: usize = 100;
    let shown: String = text.chars().take(SHOWN).collect();
    let name = domain.to_string().to_lowercase();
    Error::data(format!("invalid input syntax for type {name}: \"{shown}\"")).with_sqlstate("22P02")
}

/// The canonical spelling of a UUID: 32 hexadecimal digits, with braces around and hyphens after any group of four.
fn uuid(text: &str) -> Option<Cow<'_, str>> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let is_canonical = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match HYPHENS.contains(&at) {
            true => byte == b'-',
            false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    if is_canonical {
        return Some(Cow::Borrowed(text));
    }
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut canonical = String::with_capacity(36);
    let mut digits = 0;
    let mut after_hyphen = true;
    for byte in inner.bytes() {
        match byte {
            b'-' if !after_hyphen && digits % 4 == 0 && digits < 32 => after_hyphen = true,
            digit if digit.is_ascii_hexdigit() && digits < 32 => {
                if HYPHENS.contains(&canonical.len()) {
                    canonical.push('-');
                }
                canonical.push(char::from(digit.to_ascii_lowercase()));
                digits += 1;
                after_hyphen = false;
            }
            _ => return None,
        }
    }
    (digits == 32).then_some(Cow::Owned(canonical))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(domain: Domain, text: &str) -> Result<String, &'static str> {
        domain.stored(text).map(Cow::into_owned).map_err(|error| error.sqlstate())
    }

    fn cast_one(domain: Domain, text: &str) -> Option<String> {
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![text]));
        let cast = domain.cast(&texts, OnFailure::Null).expect("nothing fails");
        cast.as_string_view().iter().next().flatten().map(str::to_string)
    }

    #[test]
    fn a_uuid_has_one_spelling() {
        let canonical = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        for spelling in [
            canonical,
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
        ] {
            assert_eq!(stored(Domain::Uuid, spelling).as_deref(), Ok(canonical), "{spelling}");
        }
        for no_uuid in ["", "x", "{a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a111", "a0e-ebc"] {
            assert_eq!(stored(Domain::Uuid, no_uuid), Err("22P02"), "{no_uuid}");
        }
        assert_eq!(cast_one(Domain::Uuid, "x"), None);
    }

    #[test]
    fn json_is_kept_as_written() {
        for json in ["{\"b\": 1, \"a\":[1,2]}", " 1e5 ", "null", "\"\\u00e9\""] {
            assert_eq!(stored(Domain::Json, json).as_deref(), Ok(json));
        }
        for no_json in ["", "{", "{a:1}", "[1,]", "01", "NaN", "1 2", "'x'"] {
            assert_eq!(stored(Domain::Json, no_json), Err("22P02"), "{no_json}");
        }
    }

    #[test]
    fn long_text_is_refused_when_stored_and_cut_when_cast() {
        assert_eq!(stored(Domain::Varchar(3), "äöü").as_deref(), Ok("äöü"));
        assert_eq!(stored(Domain::Varchar(3), "äöü  ").as_deref(), Ok("äöü"));
        assert_eq!(stored(Domain::Varchar(3), "a  ").as_deref(), Ok("a  "));
        assert_eq!(stored(Domain::Varchar(3), "äöüß"), Err("22001"));
        assert_eq!(stored(Domain::Char(3), "a  ").as_deref(), Ok("a"));
        assert_eq!(cast_one(Domain::Varchar(3), "äöüß").as_deref(), Some("äöü"));
        assert_eq!(cast_one(Domain::Char(3), "a bcd").as_deref(), Some("a b"));
        assert_eq!(cast_one(Domain::Varchar(0), "a").as_deref(), Some(""));
    }

    #[test]
    fn names_are_read_back() {
        for domain in [Domain::Uuid, Domain::Json, Domain::Jsonb, Domain::Varchar(10), Domain::Char(1)] {
            assert_eq!(Domain::named(&domain.to_string()), Some(domain));
        }
        assert_eq!(Domain::named("TEXT"), None);
    }
}
