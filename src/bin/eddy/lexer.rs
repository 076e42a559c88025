//! Tokens for the eye: just enough of SQL's lexical structure to colour and complete a line while it is typed.
//!
//! It never fails and covers every byte of the text with exactly one token; what is not finished yet (an open quote)
//! runs to the end of the text. It decides nothing about statements: that is the library's `split`.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes.
    QuotedName,
    /// A text in single quotes or between dollars.
    Text,
    /// A number.
    Number,
    /// `-- to the end of the line` or `/* .. */`.
    Comment,
    /// White space.
    Space,
    /// Any other character.
    Symbol,
}

/// The tokens of a text, in order, with their bytes.
pub fn tokens(text: &str) -> Vec<(Kind, Range<usize>)> {
    let mut tokens = vec![];
    let mut at = 0;
    while let Some((kind, length)) = first_token(&text[at..]) {
        tokens.push((kind, at..at + length));
        at += length;
    }
    tokens
}

/// The first token of a text and its bytes; none of an empty text.
pub fn first_token(text: &str) -> Option<(Kind, usize)> {
    let first = text.chars().next()?;
    Some(match first {
        '\'' => (Kind::Text, quoted(text, '\'')),
        '"' => (Kind::QuotedName, quoted(text, '"')),
        '$' => dollar_quoted(text).map_or((Kind::Symbol, 1), |length| (Kind::Text, length)),
        '-' if text.starts_with("--") => (Kind::Comment, text.find('\n').unwrap_or(text.len())),
        '/' if text.starts_with("/*") => (Kind::Comment, block_comment(text)),
        first if first.is_whitespace() => (Kind::Space, run(text, char::is_whitespace)),
        first if first.is_ascii_digit() => {
            (Kind::Number, run(text, |c| c.is_ascii_alphanumeric() || c == '.' || c == '_'))
        }
        first if first.is_alphabetic() || first == '_' => {
            (Kind::Word, run(text, |c| c.is_alphanumeric() || c == '_' || c == '$'))
        }
        first => (Kind::Symbol, first.len_utf8()),
    })
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// The bytes of a quoted token with its quotes; a doubled quote stands for itself.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// `$$..$$` or `$tag$..$tag$`.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag = 1 + run(&text[1..], |c| c.is_alphanumeric() || c == '_');
    if !text[tag..].starts_with('$') || text[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (delimiter, rest) = text.split_at(tag + 1);
    Some(rest.find(delimiter).map_or(text.len(), |end| tag + 1 + end + delimiter.len()))
}

/// Block comments nest, as in PostgreSQL.
fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        match (text[at..].find("/*"), text[at..].find("*/")) {
            (Some(open), Some(close)) if open < close => (at, depth) = (at + open + 2, depth + 1),
            (_, Some(close)) => (at, depth) = (at + close + 2, depth - 1),
            (_, None) => return text.len(),
        }
    }
    at
}

/// The first word of a statement in upper case, or nothing.
pub fn first_word(sql: &str) -> String {
    tokens(sql)
        .into_iter()
        .find(|(kind, _)| !matches!(kind, Kind::Space | Kind::Comment))
        .filter(|(kind, _)| *kind == Kind::Word)
        .map_or_else(String::new, |(_, range)| sql[range].to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(Kind, &str)> {
        let shown: Vec<_> = tokens(text).into_iter().map(|(kind, range)| (kind, &text[range])).collect();
        assert_eq!(shown.iter().map(|(_, text)| *text).collect::<String>(), text, "every byte has a token");
        shown.into_iter().filter(|(kind, _)| *kind != Kind::Space).collect()
    }

    #[test]
    fn quotes_comments_and_dollars_hide_what_is_inside() {
        use Kind::*;
        assert_eq!(
            shown("SELECT 'it''s; ok', \"a;b\" -- c;\n/* d /* ; */ */ $x$ ;' $x$ $1"),
            [
                (Word, "SELECT"),
                (Text, "'it''s; ok'"),
                (Symbol, ","),
                (QuotedName, "\"a;b\""),
                (Comment, "-- c;"),
                (Comment, "/* d /* ; */ */"),
                (Text, "$x$ ;' $x$"),
                (Symbol, "$"),
                (Number, "1"),
            ]
        );
    }

    #[test]
    fn what_is_open_runs_to_the_end() {
        for text in ["'a", "\"a", "/* a /* b */", "$$ a", "$tag$ a $$", "-- a", "''", "'a''", "é'ü", "$", "/*"] {
            shown(text);
        }
        assert_eq!(shown("'a; b"), [(Kind::Text, "'a; b")]);
    }

    #[test]
    fn the_first_word_is_found_behind_comments() {
        assert_eq!(first_word("  -- x\n /* y */ verify materialized view v"), "VERIFY");
        assert_eq!(first_word("(SELECT 1)"), "");
        assert_eq!(first_word(""), "");
    }
}
