//! Patterns of `to_char`, `to_date`, `to_timestamp` and `to_number`, as PostgreSQL has them.
//!
//! A pattern is read once into [`Pattern`]: fields by PostgreSQL's words (`YYYY`, `HH24`, `Month` ..), each with its
//! modifiers, and text between them. What is no word stands for itself, as in PostgreSQL; only the patterns of
//! `strftime`, which would come out as other text, are refused.
//!
//! - [`write`]: times as text.
//! - [`read`]: text as times.
//! - [`number`]: numbers both ways.

pub mod number;
mod read;
mod write;

pub use read::Found;
pub use write::Moment;

use crate::base::error::{Error, ErrorKind, Result};

/// A word of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    AmPm { dots: bool },
    Era { dots: bool },
    Century,
    Day,
    DayShort,
    DayOfYear,
    IsoDayOfYear,
    DayOfMonth,
    Weekday,
    IsoWeekday,
    Fraction(u32),
    Exact,
    Hour24,
    Hour12,
    Year(u32),
    YearComma,
    IsoYear(u32),
    Julian,
    Minute,
    Month,
    MonthShort,
    MonthNumber,
    Millisecond,
    Microsecond,
    Offset,
    Quarter,
    Roman,
    Second,
    SecondOfDay,
    Zone,
    ZoneHour,
    ZoneMinute,
    WeekOfYear,
    IsoWeek,
    WeekOfMonth,
}

/// How letters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Upper,
    Capital,
    Lower,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Field {
        word: Word,
        case: Case,
        /// FM: without blanks and leading zeros.
        fill: bool,
        /// TH or th behind it.
        ordinal: Option<Case>,
    },
    Text(String),
}

/// A pattern of times, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    nodes: Vec<Node>,
    exact: bool,
}

/// The words in capitals; of two that begin alike the longer one comes first.
const WORDS: [(&str, Word); 54] = [
    ("A.D.", Word::Era { dots: true }),
    ("A.M.", Word::AmPm { dots: true }),
    ("AD", Word::Era { dots: false }),
    ("AM", Word::AmPm { dots: false }),
    ("B.C.", Word::Era { dots: true }),
    ("BC", Word::Era { dots: false }),
    ("CC", Word::Century),
    ("DAY", Word::Day),
    ("DDD", Word::DayOfYear),
    ("DD", Word::DayOfMonth),
    ("DY", Word::DayShort),
    ("D", Word::Weekday),
    ("FF1", Word::Fraction(1)),
    ("FF2", Word::Fraction(2)),
    ("FF3", Word::Fraction(3)),
    ("FF4", Word::Fraction(4)),
    ("FF5", Word::Fraction(5)),
    ("FF6", Word::Fraction(6)),
    ("FX", Word::Exact),
    ("HH24", Word::Hour24),
    ("HH12", Word::Hour12),
    ("HH", Word::Hour12),
    ("IDDD", Word::IsoDayOfYear),
    ("ID", Word::IsoWeekday),
    ("IW", Word::IsoWeek),
    ("IYYY", Word::IsoYear(4)),
    ("IYY", Word::IsoYear(3)),
    ("IY", Word::IsoYear(2)),
    ("I", Word::IsoYear(1)),
    ("J", Word::Julian),
    ("MI", Word::Minute),
    ("MM", Word::MonthNumber),
    ("MONTH", Word::Month),
    ("MON", Word::MonthShort),
    ("MS", Word::Millisecond),
    ("OF", Word::Offset),
    ("P.M.", Word::AmPm { dots: true }),
    ("PM", Word::AmPm { dots: false }),
    ("Q", Word::Quarter),
    ("RM", Word::Roman),
    ("SSSSS", Word::SecondOfDay),
    ("SSSS", Word::SecondOfDay),
    ("SS", Word::Second),
    ("TZH", Word::ZoneHour),
    ("TZM", Word::ZoneMinute),
    ("TZ", Word::Zone),
    ("US", Word::Microsecond),
    ("WW", Word::WeekOfYear),
    ("W", Word::WeekOfMonth),
    ("Y,YYY", Word::YearComma),
    ("YYYY", Word::Year(4)),
    ("YYY", Word::Year(3)),
    ("YY", Word::Year(2)),
    ("Y", Word::Year(1)),
];

impl Pattern {
    /// Reads a pattern; one of `strftime` is refused.
    pub fn parse(text: &str) -> Result<Pattern> {
        refuse_strftime(text)?;
        let mut nodes = vec![];
        let mut exact = false;
        let mut rest = text;
        while !rest.is_empty() {
            let mut fill = false;
            let mut localized = false;
            while let Some(after) = ["FM", "fm", "TM", "tm"].iter().find_map(|prefix| rest.strip_prefix(prefix)) {
                fill |= rest.starts_with(['F', 'f']);
                localized |= rest.starts_with(['T', 't']);
                rest = after;
            }
            match word(rest) {
                Some((Word::Exact, _, after)) => {
                    exact = true;
                    rest = after;
                }
                Some((word, case, after)) => {
                    let mut ordinal = None;
                    rest = after;
                    // A name in the language of the place, which is English, is as long as it is.
                    fill |= localized && matches!(word, Word::Month | Word::Day);
                    for (suffix, case) in [("TH", Case::Upper), ("th", Case::Lower)] {
                        if let Some(after) = rest.strip_prefix(suffix) {
                            (ordinal, rest) = (Some(case), after);
                        }
                    }
                    nodes.push(Node::Field { word, case, fill, ordinal });
                }
                None if rest.is_empty() => break,
                None => {
                    let (text, after) = literal(rest);
                    match nodes.last_mut() {
                        Some(Node::Text(before)) => before.push_str(&text),
                        _ => nodes.push(Node::Text(text)),
                    }
                    rest = after;
                }
            }
        }
        Ok(Pattern { nodes, exact })
    }
}

/// The word with which a text begins, how it is written, and what follows.
fn word(text: &str) -> Option<(Word, Case, &str)> {
    let begins = |word: &str| text.get(..word.len()).filter(|start| start.eq_ignore_ascii_case(word));
    WORDS.iter().find_map(|(name, word)| {
        let written = begins(name)?;
        let case = if written == *name {
            Case::Upper
        } else if written == name.to_ascii_lowercase() {
            Case::Lower
        } else {
            let names = matches!(word, Word::Day | Word::DayShort | Word::Month | Word::MonthShort);
            let capital = written[..1] == name[..1] && written[1..] == name[1..].to_ascii_lowercase();
            if !names || !capital {
                return None;
            }
            Case::Capital
        };
        Some((*word, case, &text[name.len()..]))
    })
}

/// The text that stands for itself at the start: in quotes, behind a backslash, or one character.
fn literal(text: &str) -> (String, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut out = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => return (out, &quoted[at + 1..]),
                '\\' => out.extend(characters.next().map(|(_, character)| character)),
                other => out.push(other),
            }
        }
        return (out, "");
    }
    let text = text.strip_prefix("\\\"").map_or(text, |_| &text[1..]);
    let mut characters = text.chars();
    let first = characters.next().map(String::from).unwrap_or_default();
    (first, characters.as_str())
}

/// A `%` before a letter is the mark of `strftime`.
fn refuse_strftime(pattern: &str) -> Result<()> {
    let mut quoted = false;
    let mut last = ' ';
    for character in pattern.chars() {
        quoted ^= character == '"';
        if last == '%' && !quoted && character.is_ascii_alphabetic() {
            let message = format!("\"{pattern}\" is not a pattern like 'YYYY-MM-DD HH24:MI:SS'");
            return Err(Error::new(ErrorKind::Invalid, message)
                .with_sqlstate("22023")
                .with_hint("strftime() and strptime() take patterns with %"));
        }
        last = character;
    }
    Ok(())
}
