//! Numbers as PostgreSQL writes them: `0x1F`, `0o17`, `0b101`, `1_000`; and none that run into a word.
//!
//! sqlparser reads `0x1F` as the bytes `x'1F'`, `0b101` as a 0 called `b101` and `1abc` as a 1 called `abc`. Here a
//! number takes in the word right behind it where both are one number, and is an error where they are none.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::base::error::{Error, Result};
use crate::sql::error::{located, position, shortened, syntax};

/// Joins the tokens that are one number.
pub(super) fn join(tokens: &mut Vec<TokenWithSpan>) -> Result<()> {
    let is_hexadecimal = |token: &TokenWithSpan| matches!(token.token, Token::HexStringLiteral(_));
    let goes_on = |pair: &[TokenWithSpan]| {
        matches!(pair, [number, next] if matches!(number.token, Token::Number(..))
            && next.span.start == number.span.end && continuation(next).is_some())
    };
    if !tokens.iter().any(is_hexadecimal) && !tokens.windows(2).any(goes_on) {
        // The numbers of a large INSERT are not copied.
        return Ok(());
    }
    let mut joined = Vec::with_capacity(tokens.len());
    let mut open: Option<(String, TokenWithSpan)> = None;
    for token in std::mem::take(tokens) {
        if let Some((text, number)) = &mut open
            && token.span.start == number.span.end
            && let Some(more) = continuation(&token)
        {
            text.push_str(more);
            number.span.end = token.span.end;
            continue;
        }
        if let Some((text, number)) = open.take() {
            joined.push(whole(&text, number)?);
        }
        match start(&token) {
            Some(text) => open = Some((text, token)),
            None => joined.push(token),
        }
    }
    if let Some((text, number)) = open {
        joined.push(whole(&text, number)?);
    }
    *tokens = joined;
    Ok(())
}

/// The text of a token that is a number, or the start of one.
fn start(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Number(digits, _) => Some(digits.clone()),
        // The bytes `x'1F'` are one character longer.
        Token::HexStringLiteral(digits) => {
            let length = token.span.end.column.saturating_sub(token.span.start.column);
            (length == digits.len() as u64 + 2).then(|| format!("0x{digits}"))
        }
        _ => None,
    }
}

/// The text that a number goes on with, if the token right behind it is such.
fn continuation(token: &TokenWithSpan) -> Option<&str> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
        Token::Number(digits, _) => Some(digits),
        _ => None,
    }
}

/// The number that a text is, as a token.
fn whole(text: &str, token: TokenWithSpan) -> Result<TokenWithSpan> {
    let place = position(token.span.start);
    let radix = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => 16,
        [b'0', b'o' | b'O', ..] => 8,
        [b'0', b'b' | b'B', ..] => 2,
        _ if is_decimal(text) => return Ok(TokenWithSpan { token: Token::Number(text.into(), false), ..token }),
        _ => {
            let message = format!("trailing junk after numeric literal at or near \"{}\"", shortened(text));
            return Err(syntax(&message, place).with_hint("put a blank between a number and a word"));
        }
    };
    let digits = &text[2..];
    // Here an underscore may stand before the first digit.
    if !is_grouped(digits.strip_prefix('_').unwrap_or(digits), |byte| char::from(byte).is_digit(radix)) {
        let name = match radix {
            16 => "hexadecimal",
            8 => "octal",
            _ => "binary",
        };
        return Err(syntax(&format!("invalid {name} integer at or near \"{}\"", shortened(text)), place));
    }
    match i128::from_str_radix(&digits.replace('_', ""), radix) {
        Ok(value) => Ok(TokenWithSpan { token: Token::Number(value.to_string(), false), ..token }),
        Err(_) => {
            let error = Error::data(format!("the number {} is out of range", shortened(text))).with_sqlstate("22003");
            Err(located(error, place))
        }
    }
}

/// Whether a text is digits with at most a point and an exponent, single underscores between digits.
fn is_decimal(text: &str) -> bool {
    let is_digits = |text: &str| is_grouped(text, |byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_part = |part: &str| part.is_empty() || is_digits(part);
    !(whole.is_empty() && fraction.is_empty()) && is_part(whole) && is_part(fraction) && exponent.is_none_or(is_digits)
}

/// Whether a text is digits with single underscores between them.
fn is_grouped(text: &str, is_digit: impl Fn(u8) -> bool) -> bool {
    text.split('_').all(|group| !group.is_empty() && group.bytes().all(&is_digit))
}
