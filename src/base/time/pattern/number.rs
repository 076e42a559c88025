//! Numbers by pattern: `999,990.00`, `FM9999`, `S99`, `99PR`, `9.99EEEE`, `RN`.
//!
//! Digits are decimal throughout, so nothing is rounded but to the places of the pattern, halves away from zero. A
//! number with more digits than the pattern has places is written in `#`.

use super::write::push_ordinal;
use super::{Case, literal, refuse_strftime};
use crate::base::error::{Error, Result};

/// A decimal number by its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Decimal {
    /// The number that a text such as `-12.5` shows, without exponent; none for other text (`NaN`).
    pub fn parse(text: &str) -> Option<Decimal> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !numeric(whole) || !numeric(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        Some(Decimal { negative, whole: whole.trim_start_matches('0').to_string(), fraction: fraction.to_string() })
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.bytes().all(|byte| byte == b'0')
    }

    /// The number with so many places behind the point, halves away from zero.
    fn rounded(&self, places: usize) -> Decimal {
        let mut digits: Vec<u8> =
            self.whole.bytes().chain(self.fraction.bytes().chain(std::iter::repeat(b'0')).take(places)).collect();
        if self.fraction.as_bytes().get(places).is_some_and(|digit| *digit >= b'5') {
            let mut at = digits.len();
            loop {
                if at == 0 {
                    digits.insert(0, b'1');
                    break;
                }
                at -= 1;
                if digits[at] < b'9' {
                    digits[at] += 1;
                    break;
                }
                digits[at] = b'0';
            }
        }
        let text = String::from_utf8(digits).unwrap_or_default();
        let (whole, fraction) = text.split_at(text.len() - places);
        let (whole, fraction) = (whole.trim_start_matches('0').to_string(), fraction.to_string());
        let rounded = Decimal { negative: self.negative, whole, fraction };
        Decimal { negative: rounded.negative && !rounded.is_zero(), ..rounded }
    }

    /// The number times a power of ten.
    fn shifted(&self, places: usize) -> Decimal {
        let mut whole = self.whole.clone();
        let mut fraction = self.fraction.chars();
        whole.extend((0..places).map(|_| fraction.next().unwrap_or('0')));
        let whole = whole.trim_start_matches('0').to_string();
        Decimal { negative: self.negative, whole, fraction: fraction.as_str().to_string() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Nine,
    Zero,
    Point,
    Group,
    /// S: the sign at the number.
    Sign,
    /// SG: the sign here.
    SignHere,
    Minus,
    Plus,
    Ordinal(Case),
    Text(String),
}

/// A pattern of numbers, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberPattern {
    tokens: Vec<Token>,
    /// FM: without blanks and needless zeros.
    fill: bool,
    /// PR: negative numbers in angles.
    angles: bool,
    /// EEEE.
    scientific: bool,
    /// RN: Roman, in this case.
    roman: Option<Case>,
    /// How many places stand behind V.
    shift: usize,
}

impl NumberPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<NumberPattern> {
        refuse_strftime(text)?;
        let (tokens, fill, angles, scientific, roman, shift) = (vec![], false, false, false, None, 0);
        let mut pattern = NumberPattern { tokens, fill, angles, scientific, roman, shift };
        let mut in_shift = false;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let upper: String = rest.chars().take(4).collect::<String>().to_ascii_uppercase();
            let two = upper.get(..2).unwrap_or_default();
            let (token, length) = match (upper.as_str(), two, first.to_ascii_uppercase()) {
                ("EEEE", ..) => {
                    pattern.scientific = true;
                    (None, 4)
                }
                (_, "FM", _) => {
                    pattern.fill = true;
                    (None, 2)
                }
                (_, "PR", _) => {
                    pattern.angles = true;
                    (None, 2)
                }
                (_, "RN", _) => {
                    pattern.roman = Some(if first == 'r' { Case::Lower } else { Case::Upper });
                    (None, 2)
                }
                (_, "MI", _) => (Some(Token::Minus), 2),
                (_, "PL", _) => (Some(Token::Plus), 2),
                (_, "SG", _) => (Some(Token::SignHere), 2),
                (_, "TH", _) => (Some(Token::Ordinal(if first == 't' { Case::Lower } else { Case::Upper })), 2),
                (_, _, '9') => (Some(Token::Nine), 1),
                (_, _, '0') => (Some(Token::Zero), 1),
                (_, _, '.' | 'D') => (Some(Token::Point), 1),
                (_, _, ',' | 'G') => (Some(Token::Group), 1),
                (_, _, 'S') => (Some(Token::Sign), 1),
                (_, _, 'V') => {
                    in_shift = true;
                    (None, 1)
                }
                (_, _, 'L') => {
                    let error = Error::unsupported("L, the sign of a currency, is not supported in a pattern");
                    return Err(error.with_hint("write the sign in quotes: '\"$\"999.99'"));
                }
                _ => {
                    let (text, after) = literal(rest);
                    pattern.tokens.push(Token::Text(text));
                    rest = after;
                    continue;
                }
            };
            pattern.shift += usize::from(in_shift && matches!(token, Some(Token::Nine | Token::Zero)));
            pattern.tokens.extend(token);
            rest = &rest[length..];
        }
        pattern.check(text)?;
        Ok(pattern)
    }

    fn check(&self, text: &str) -> Result<()> {
        let count = |wanted: &Token| self.tokens.iter().filter(|token| *token == wanted).count();
        let fault = if count(&Token::Point) > 1 {
            "multiple decimal points"
        } else if count(&Token::Sign) > 1 {
            "cannot use \"S\" twice"
        } else if self.shift > 0 && count(&Token::Point) > 0 {
            "cannot use \"V\" and decimal point together"
        } else if count(&Token::Sign) > 0
            && (self.angles || count(&Token::Minus) + count(&Token::Plus) + count(&Token::SignHere) > 0)
        {
            "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"
        } else {
            return Ok(());
        };
        Err(Error::data(format!("{fault} in the pattern \"{text}\"")).with_sqlstate("42601"))
    }

    /// How many places the pattern has before and behind the point.
    pub fn places(&self) -> (usize, usize) {
        let is_digit = |token: &&Token| matches!(token, Token::Nine | Token::Zero);
        let point = self.tokens.iter().position(|token| *token == Token::Point).unwrap_or(self.tokens.len());
        let before = self.tokens.iter().take(point).filter(is_digit).count();
        (before, self.tokens.iter().skip(point).filter(is_digit).count())
    }

    /// The text of a number.
    pub fn write(&self, number: &Decimal) -> String {
        let behind = self.places().1;
        if let Some(case) = self.roman {
            return self.write_roman(&number.rounded(0), case);
        }
        if self.scientific {
            return scientific(number, behind);
        }
        self.write_rounded(&number.shifted(self.shift).rounded(behind))
    }

    /// The text of a double, whose digits are rounded from its exact value, halves to even; none for NaN and infinity.
    pub fn write_double(&self, value: f64) -> Option<String> {
        if self.scientific {
            return Decimal::parse(&format!("{value}")).map(|number| self.write(&number));
        }
        if self.roman.is_some() {
            return Decimal::parse(&format!("{value:.0}")).map(|number| self.write(&number));
        }
        let behind = self.places().1;
        let shifted = value * 10_f64.powi(self.shift as i32);
        Decimal::parse(&format!("{shifted:.behind$}")).map(|number| self.write_rounded(&number))
    }

    /// The text of a number that has as many places behind the point as the pattern.
    fn write_rounded(&self, number: &Decimal) -> String {
        let (before, behind) = self.places();
        let overflow = number.whole.len() > before;
        let mut writer = Writer::new(self, number, before, behind, overflow);
        for token in &self.tokens {
            writer.token(token);
        }
        writer.out
    }

    fn write_roman(&self, number: &Decimal, case: Case) -> String {
        const PARTS: [(u32, &str); 13] = [
            (1000, "M"),
            (900, "CM"),
            (500, "D"),
            (400, "CD"),
            (100, "C"),
            (90, "XC"),
            (50, "L"),
            (40, "XL"),
            (10, "X"),
            (9, "IX"),
            (5, "V"),
            (4, "IV"),
            (1, "I"),
        ];
        let mut rest: u32 = number.whole.parse().unwrap_or(0);
        let mut text = String::new();
        if number.negative || !(1..4000).contains(&rest) {
            text = "#".repeat(15);
        } else {
            for (value, letters) in PARTS {
                while rest >= value {
                    text.push_str(letters);
                    rest -= value;
                }
            }
        }
        let text = if case == Case::Lower { text.to_lowercase() } else { text };
        if self.fill { text } else { format!("{text:>15}") }
    }

    /// The number that a text shows by the pattern, as decimal text.
    pub fn read(&self, text: &str) -> Result<String> {
        let mut rest = text.trim_start();
        let mut negative = false;
        let mut digits = String::new();
        let sign = |rest: &mut &str, negative: &mut bool| {
            let trimmed = rest.trim_start();
            if let Some(after) = trimmed.strip_prefix(['-', '<']) {
                (*negative, *rest) = (true, after);
            } else if let Some(after) = trimmed.strip_prefix('+') {
                *rest = after;
            }
        };
        sign(&mut rest, &mut negative);
        let mut point = false;
        for token in &self.tokens {
            match token {
                Token::Nine | Token::Zero => {
                    rest = rest.trim_start();
                    if let Some(digit) = rest.chars().next().filter(char::is_ascii_digit) {
                        digits.push(digit);
                        rest = &rest[1..];
                    }
                }
                Token::Point => {
                    // Digits before the point may be fewer or more than the pattern has.
                    while let Some(digit) = rest.chars().next().filter(char::is_ascii_digit) {
                        digits.push(digit);
                        rest = &rest[1..];
                    }
                    if let Some(after) = rest.strip_prefix('.') {
                        digits.push('.');
                        (rest, point) = (after, true);
                    }
                }
                Token::Group => rest = rest.strip_prefix(',').unwrap_or(rest),
                Token::Sign | Token::SignHere | Token::Minus | Token::Plus => sign(&mut rest, &mut negative),
                Token::Ordinal(_) => rest = rest.get(2..).unwrap_or(""),
                Token::Text(text) => {
                    for _ in text.chars() {
                        let mut characters = rest.chars();
                        if characters.next().is_some_and(|next| !next.is_ascii_digit()) {
                            rest = characters.as_str();
                        }
                    }
                }
            }
        }
        sign(&mut rest, &mut negative);
        let any = digits.bytes().any(|byte| byte.is_ascii_digit());
        if !any {
            let error = Error::data(format!("invalid input syntax for type numeric: \"{text}\""));
            return Err(error.with_sqlstate("22P02"));
        }
        if self.shift > 0 && !point && digits.len() > self.shift {
            digits.insert(digits.len() - self.shift, '.');
        }
        let digits = if digits.starts_with('.') { format!("0{digits}") } else { digits };
        Ok(format!("{}{}", if negative { "-" } else { "" }, digits.trim_end_matches('.')))
    }
}

/// `-1.23e+04`.
fn scientific(number: &Decimal, places: usize) -> String {
    let all: String = format!("{}{}", number.whole, number.fraction);
    let lead = all.bytes().position(|byte| byte != b'0').unwrap_or(all.len());
    let mut exponent = number.whole.len() as i64 - 1 - lead as i64;
    let digits = all.get(lead..).unwrap_or_default();
    let mantissa = Decimal {
        negative: number.negative,
        whole: digits.get(..1).unwrap_or_default().to_string(),
        fraction: digits.get(1..).unwrap_or_default().to_string(),
    };
    let mut mantissa = mantissa.rounded(places);
    if mantissa.whole.len() > 1 {
        exponent += 1;
        mantissa = Decimal { fraction: mantissa.fraction, whole: "1".to_string(), negative: mantissa.negative };
    }
    if mantissa.is_zero() {
        exponent = 0;
        mantissa.whole = "0".to_string();
    }
    let sign = if mantissa.negative { '-' } else { ' ' };
    let point = if places > 0 { "." } else { "" };
    let (exponent_sign, exponent) = (if exponent < 0 { '-' } else { '+' }, exponent.abs());
    format!("{sign}{}{point}{}e{exponent_sign}{exponent:02}", mantissa.whole, mantissa.fraction)
}

/// A number being written, place by place.
struct Writer<'a> {
    pattern: &'a NumberPattern,
    negative: bool,
    /// The digits before the point, at least one, and those behind it.
    whole: Vec<char>,
    fraction: Vec<char>,
    /// How many places before the point stay blank.
    blanks: usize,
    /// The place from which zeros are written though they lead.
    zeros_from: Option<usize>,
    /// How many places behind the point are written.
    behind: usize,
    /// Which place comes next.
    place: usize,
    before: usize,
    sign_written: bool,
    any_digit: bool,
    behind_point: bool,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(pattern: &'a NumberPattern, number: &Decimal, before: usize, behind: usize, overflow: bool) -> Self {
        let filled = |count: usize| vec!['#'; count];
        let (whole, fraction) = match (overflow, number.whole.is_empty()) {
            (true, _) => (filled(before), filled(behind)),
            (false, true) => (vec!['0'], number.fraction.chars().collect()),
            (false, false) => (number.whole.chars().collect(), number.fraction.chars().collect::<Vec<_>>()),
        };
        let digits: Vec<&Token> =
            pattern.tokens.iter().filter(|token| matches!(token, Token::Nine | Token::Zero)).collect();
        let zeros_from = digits.iter().take(before).position(|token| **token == Token::Zero);
        // FM leaves out the zeros at the end, as far as the pattern has 9 there.
        let wanted = digits.iter().skip(before).rposition(|token| **token == Token::Zero).map_or(0, |at| at + 1);
        let needed = fraction.iter().rposition(|digit| *digit != '0').map_or(0, |at| at + 1);
        let shown = if pattern.fill { wanted.max(needed) } else { behind };
        let has = |wanted: &Token| pattern.tokens.contains(wanted);
        let elsewhere = has(&Token::Minus) || has(&Token::SignHere) || trailing_sign(pattern);
        Writer {
            pattern,
            negative: number.negative,
            blanks: before.saturating_sub(whole.len()),
            whole,
            fraction,
            zeros_from,
            behind: shown,
            place: 0,
            before,
            sign_written: elsewhere,
            any_digit: false,
            behind_point: false,
            out: String::new(),
        }
    }

    fn token(&mut self, token: &Token) {
        let sign = if self.negative { '-' } else { '+' };
        match token {
            Token::Nine | Token::Zero => self.digit(),
            Token::Point => {
                self.sign();
                self.behind_point = true;
                self.out.push('.');
                if self.pattern.places().1 == 0 {
                    self.close();
                }
            }
            Token::Group if self.any_digit => self.out.push(','),
            Token::Group if self.pattern.fill => {}
            Token::Group => self.out.push(' '),
            Token::Sign if trailing_sign(self.pattern) => self.out.push(sign),
            Token::Sign => {}
            Token::SignHere => self.out.push(sign),
            Token::Minus if self.negative => self.out.push('-'),
            Token::Plus if !self.negative => self.out.push('+'),
            Token::Minus | Token::Plus if self.pattern.fill => {}
            Token::Minus | Token::Plus => self.out.push(' '),
            Token::Ordinal(case) => {
                if !self.negative && self.fraction.is_empty() && self.whole.first() != Some(&'#') {
                    push_ordinal(&mut self.out, 0, *case);
                }
            }
            Token::Text(text) => self.out.push_str(text),
        }
    }

    fn digit(&mut self) {
        let place = self.place;
        self.place += 1;
        if self.behind_point || place >= self.before {
            let at = place - self.before;
            if at < self.behind {
                self.sign();
                self.out.push(self.fraction.get(at).copied().unwrap_or('0'));
                self.any_digit = true;
            }
        } else if place < self.blanks {
            if self.zeros_from.is_some_and(|from| place >= from) {
                self.sign();
                self.out.push('0');
                self.any_digit = true;
            } else if !self.pattern.fill {
                self.out.push(' ');
            }
        } else {
            let digit = self.whole.get(place - self.blanks).copied().unwrap_or('0');
            // A zero alone before the point is left out, unless nothing would be left.
            let lonely = self.whole.as_slice() == ['0'] && self.zeros_from.is_none() && self.pattern.places().1 > 0;
            if lonely && !(self.pattern.fill && self.behind == 0) {
                if !self.pattern.fill {
                    self.out.push(' ');
                }
            } else {
                self.sign();
                self.out.push(digit);
                self.any_digit = true;
            }
        }
        if self.place == self.before + self.pattern.places().1 {
            self.close();
        }
    }

    /// The sign, right before the first digit.
    fn sign(&mut self) {
        if std::mem::replace(&mut self.sign_written, true) {
            return;
        }
        let leading = self.pattern.tokens.contains(&Token::Sign);
        match (self.negative, leading) {
            (true, _) if self.pattern.angles => self.out.push('<'),
            (true, _) => self.out.push('-'),
            (false, true) => self.out.push('+'),
            (false, false) if !self.pattern.fill => self.out.push(' '),
            (false, false) => {}
        }
    }

    /// What closes angles, behind the last digit.
    fn close(&mut self) {
        if self.pattern.angles {
            match self.negative {
                true => self.out.push('>'),
                false if !self.pattern.fill => self.out.push(' '),
                false => {}
            }
        }
    }
}

/// Whether S stands behind the digits.
fn trailing_sign(pattern: &NumberPattern) -> bool {
    let sign = pattern.tokens.iter().position(|token| *token == Token::Sign);
    let digit = pattern.tokens.iter().position(|token| matches!(token, Token::Nine | Token::Zero));
    matches!((sign, digit), (Some(sign), Some(digit)) if sign > digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_pattern() {
        for (number, pattern, expected) in [
            ("485", "999", " 485"),
            ("-485", "999", "-485"),
            ("5", "000", " 005"),
            ("12.5", "FM999.00", "12.50"),
            ("12", "FM999.99", "12."),
            ("0.1", "99.99", "   .10"),
            ("-0.1", "99.99", "  -.10"),
            ("-0.1", "FM9.99", "-.1"),
            ("-0.1", "FM90.99", "-0.1"),
            ("0.1", "0.9", " 0.1"),
            ("12", "9990999.9", "    0012.0"),
            ("12", "FM9990999.9", "0012."),
            ("-485", "S999", "-485"),
            ("485", "S999", "+485"),
            ("-485", "999S", "485-"),
            ("-485", "999MI", "485-"),
            ("485", "999MI", "485 "),
            ("485", "FM999MI", "485"),
            ("485", "PL999", "+ 485"),
            ("485", "SG999", "+485"),
            ("-485", "9SG99", "4-85"),
            ("-485", "999PR", "<485>"),
            ("485", "999PR", " 485 "),
            ("1485", "9,999", " 1,485"),
            ("485", "9,999", "   485"),
            ("1234.5", "999,999.00", "   1,234.50"),
            ("148.5", "999D999", " 148.500"),
            ("482", "999th", " 482nd"),
            ("485", "RN", "        CDLXXXV"),
            ("5.2", "FMRN", "V"),
            ("12", "99V999", " 12000"),
            ("12.45", "99V9", " 125"),
            ("0.0004859", "9.99EEEE", " 4.86e-04"),
            ("1234", "999", " ###"),
            ("485.8", "\"Pre:\"999\" Post:\" .999", "Pre: 485 Post: .800"),
            ("0", "999", "   0"),
        ] {
            let written = NumberPattern::parse(pattern).unwrap().write(&Decimal::parse(number).unwrap());
            assert_eq!(written, expected, "{number} by {pattern}");
        }
    }

    #[test]
    fn doubles_by_pattern() {
        for (number, pattern, expected) in
            [(1234.5, "9,999", " 1,234"), (0.5, "999", "   0"), (-0.1, "999", "  -0"), (2.675, "999.99", "   2.67")]
        {
            assert_eq!(NumberPattern::parse(pattern).unwrap().write_double(number).unwrap(), expected);
        }
        assert_eq!(NumberPattern::parse("9").unwrap().write_double(f64::NAN), None);
    }

    #[test]
    fn text_by_pattern() {
        for (text, pattern, expected) in [
            ("12,454.8-", "99G999D9S", "-12454.8"),
            ("-34,338,492", "99G999G999", "-34338492"),
            ("<123>", "999PR", "-123"),
            ("0.5", "9.99", "0.5"),
            ("$1,234.56", "\"$\"9,999.99", "1234.56"),
        ] {
            assert_eq!(NumberPattern::parse(pattern).unwrap().read(text).unwrap(), expected, "{text} by {pattern}");
        }
        assert!(NumberPattern::parse("999").unwrap().read("abc").is_err());
    }
}
