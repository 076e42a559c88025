//! Bytes as text and back, in PostgreSQL's spelling.
//!
//! Written bytes are `\x` and two hexadecimal digits each. Read are the same, and the older escape format, in which a
//! byte is its character, `\\` is a backslash and `\101` a byte in octal. Text that starts with `\x` is hexadecimal or
//! an error; it is never taken as it stands.

use std::fmt::Write;

/// Bytes as `\x0aff`.
pub fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes that a text means; `None` where it is malformed.
pub fn from_text(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(digits) => from_hex(digits),
        None => from_escapes(text.as_bytes()),
    }
}

/// Bytes from hexadecimal digits, with spaces between bytes allowed.
fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let mut rest = digits.as_bytes();
    loop {
        match rest {
            [] => return Some(bytes),
            [space, tail @ ..] if space.is_ascii_whitespace() => rest = tail,
            [high, low, tail @ ..] => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = tail;
            }
            [_] => return None,
        }
    }
}

fn from_escapes(mut rest: &[u8]) -> Option<Vec<u8>> {
    let octal = |byte: u8| (b'0'..=b'7').contains(&byte).then(|| u32::from(byte - b'0'));
    let mut bytes = Vec::with_capacity(rest.len());
    loop {
        rest = match rest {
            [] => return Some(bytes),
            [b'\\', b'\\', tail @ ..] => {
                bytes.push(b'\\');
                tail
            }
            [b'\\', a, b, c, tail @ ..] => {
                bytes.push(u8::try_from(octal(*a)? * 64 + octal(*b)? * 8 + octal(*c)?).ok()?);
                tail
            }
            [b'\\', ..] => return None,
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        assert_eq!(from_text("\\xAa00"), Some(vec![0xaa, 0]));
        assert_eq!(from_text("\\x"), Some(vec![]));
        assert_eq!(from_text("\\x aa bb"), Some(vec![0xaa, 0xbb]));
        assert_eq!(from_text("a\\\\b\\101"), Some(b"a\\bA".to_vec()));
        assert_eq!(from_text("é"), Some("é".as_bytes().to_vec()));
        for malformed in ["\\xa", "\\xzz", "\\x0 0", "\\9", "\\400", "\\1"] {
            assert_eq!(from_text(malformed), None, "{malformed}");
        }
        assert_eq!(to_text(&[0, 0x1f, 0xff]), "\\x001fff");
    }
}
