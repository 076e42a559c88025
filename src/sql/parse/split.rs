//! Cuts a script into statements at its semicolons, without parsing.
//!
//! [`split`] knows quotes, dollar quotes and comments, and nothing else of SQL. It never fails: what is left open at
//! the end is an incomplete statement, to which a shell can add the next line.

/// A piece of a script: one statement, or what is left after the last semicolon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementSpan<'a> {
    /// The statement, from its first character that is neither space nor comment, without the semicolon.
    pub text: &'a str,
    /// Where `text` starts in the script, in bytes.
    pub start: usize,
    /// Where `text` ends in the script, in bytes; the semicolon stands there if the statement is complete.
    pub end: usize,
    /// Whether a semicolon ends it.
    pub complete: bool,
}

/// A span with what the parser wants to know beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub span: StatementSpan<'a>,
    /// No fewer tokens than sqlparser makes of it, white space counted by character.
    pub tokens: usize,
    /// What is still open at the end, and where in the script it began.
    pub open: Option<(Open, usize)>,
}

impl<'a> Piece<'a> {
    /// A text that is one statement.
    pub(super) fn whole(text: &'a str) -> Self {
        let span = StatementSpan { text, start: 0, end: text.len(), complete: false };
        Piece { span, tokens: text.len(), open: None }
    }
}

/// A construct that must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    String,
    QuotedIdentifier,
    DollarQuote,
    Comment,
}

/// The statements of a script. Empty statements are left out; a statement without its semicolon comes last.
///
/// ```
/// let spans = eddydb::split("SELECT 1; SELECT ';' -- no; end\n");
/// assert_eq!(spans[0].text, "SELECT 1");
/// assert!(spans[0].complete);
/// assert!(spans[1].text.starts_with("SELECT ';'"));
/// assert!(!spans[1].complete);
/// ```
pub fn split(text: &str) -> Vec<StatementSpan<'_>> {
    pieces(text).map(|piece| piece.span).collect()
}

/// The same, lazily and with more detail.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let scan = Scanner { text, bytes: text.as_bytes(), at }.statement();
            at = scan.next;
            if let Some(piece) = scan.piece {
                return Some(piece);
            }
        }
        None
    })
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

struct Scanned<'a> {
    piece: Option<Piece<'a>>,
    next: usize,
}

impl<'a> Scanner<'a> {
    /// Reads up to the next semicolon or the end.
    fn statement(mut self) -> Scanned<'a> {
        let (mut start, mut end, mut tokens, mut open, mut complete) = (None, self.at, 0, None, false);
        while let Some(&byte) = self.bytes.get(self.at) {
            let from = self.at;
            if byte == b';' {
                complete = true;
                break;
            }
            tokens += 1;
            let (is_code, closed) = self.token(byte);
            if !closed.is_closed() {
                open = closed.open().map(|kind| (kind, from));
            }
            if is_code || open.is_some() {
                if start.is_none() {
                    // What came before is not part of the statement.
                    (start, tokens) = (Some(from), 1);
                }
                end = self.at;
            }
        }
        let next = if complete { self.at + 1 } else { self.bytes.len() };
        let piece = start.map(|start| Piece {
            span: StatementSpan { text: self.text.get(start..end).unwrap_or_default(), start, end, complete },
            tokens,
            open,
        });
        Scanned { piece, next }
    }

    /// Steps over one token; says whether it is code (not space, not comment) and whether it was closed.
    fn token(&mut self, byte: u8) -> (bool, Closed) {
        let next = self.bytes.get(self.at + 1).copied();
        match byte {
            b'\'' => (true, self.quoted(b'\'', self.is_escape_string(), Open::String)),
            b'"' => (true, self.quoted(b'"', false, Open::QuotedIdentifier)),
            b'-' if next == Some(b'-') => {
                self.skip_while(|byte| byte != b'\n' && byte != b'\r');
                (false, Closed::Yes)
            }
            b'/' if next == Some(b'*') => (false, self.comment()),
            b'$' if !self.follows_word() => (true, self.dollar()),
            _ if is_word(byte) => {
                self.skip_while(is_word);
                (true, Closed::Yes)
            }
            _ => {
                self.at += 1;
                (!byte.is_ascii_whitespace(), Closed::Yes)
            }
        }
    }

    fn skip_while(&mut self, keep: impl Fn(u8) -> bool) {
        while self.bytes.get(self.at).is_some_and(|&byte| keep(byte)) {
            self.at += 1;
        }
    }

    /// Whether the quote at hand opens `E'...'`.
    fn is_escape_string(&self) -> bool {
        let before = |n: usize| self.at.checked_sub(n).and_then(|at| self.bytes.get(at)).copied();
        matches!(before(1), Some(b'e' | b'E')) && !before(2).is_some_and(is_word)
    }

    fn follows_word(&self) -> bool {
        self.at.checked_sub(1).and_then(|at| self.bytes.get(at)).is_some_and(|&byte| is_word(byte))
    }

    fn quoted(&mut self, quote: u8, backslash: bool, kind: Open) -> Closed {
        self.at += 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            if byte == b'\\' && backslash {
                self.at = (self.at + 1).min(self.bytes.len());
            } else if byte == quote {
                if self.bytes.get(self.at) != Some(&quote) {
                    return Closed::Yes;
                }
                self.at += 1;
            }
        }
        Closed::No(kind)
    }

    fn comment(&mut self) -> Closed {
        let mut depth = 0_usize;
        while let Some(&byte) = self.bytes.get(self.at) {
            match (byte, self.bytes.get(self.at + 1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Closed::Yes;
                    }
                }
                _ => self.at += 1,
            }
        }
        Closed::No(Open::Comment)
    }

    /// A dollar quote, or a parameter such as `$1` or `$name`.
    fn dollar(&mut self) -> Closed {
        let start = self.at;
        self.at += 1;
        self.skip_while(|byte| is_word(byte) && byte != b'$');
        if self.bytes.get(self.at) != Some(&b'$') {
            return Closed::Yes;
        }
        self.at += 1;
        let tag = self.text.get(start..self.at).unwrap_or("$$");
        match self.text.get(self.at..).and_then(|rest| rest.find(tag)) {
            Some(found) => {
                self.at += found + tag.len();
                Closed::Yes
            }
            None => {
                self.at = self.bytes.len();
                Closed::No(Open::DollarQuote)
            }
        }
    }
}

/// Whether a quoted thing or comment came to its end.
#[derive(Clone, Copy)]
enum Closed {
    Yes,
    No(Open),
}

impl Closed {
    fn is_closed(self) -> bool {
        matches!(self, Closed::Yes)
    }

    fn open(self) -> Option<Open> {
        match self {
            Closed::Yes => None,
            Closed::No(kind) => Some(kind),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<(&str, bool)> {
        split(script).into_iter().map(|span| (span.text, span.complete)).collect()
    }

    #[test]
    fn cuts_at_semicolons_outside_quotes_and_comments() {
        assert_eq!(
            texts("SELECT ';' ; -- a;b\n/* x; /* y; */ ; */ SELECT \";\";;SELECT $a$;$a$;SELECT E'\\';'"),
            vec![("SELECT ';'", true), ("SELECT \";\"", true), ("SELECT $a$;$a$", true), ("SELECT E'\\';'", false)]
        );
    }

    #[test]
    fn spans_point_into_the_script() {
        let script = "  SELECT 1 ;\n\n SELECT 2";
        for span in split(script) {
            assert_eq!(&script[span.start..span.end], span.text);
        }
        assert_eq!(split(script)[1].start, 15);
    }

    #[test]
    fn space_and_comments_alone_are_no_statement() {
        assert!(split("").is_empty());
        assert!(split(" \n -- nothing\n /* at all */ ; ;").is_empty());
    }

    #[test]
    fn what_is_open_is_incomplete() {
        for script in ["SELECT 'a; b", "SELECT \"a; b", "SELECT $$a; b", "/* a; b", "SELECT (1"] {
            let spans = split(script);
            assert_eq!(spans.len(), 1, "{script}");
            assert!(!spans[0].complete, "{script}");
        }
    }

    #[test]
    fn words_with_dollars_and_doubled_quotes() {
        assert_eq!(
            texts("SELECT a$b$c; SELECT 'it''s;'; SELECT $1;"),
            vec![("SELECT a$b$c", true), ("SELECT 'it''s;'", true), ("SELECT $1", true)]
        );
    }

    #[test]
    fn no_text_makes_it_fail() {
        for script in ["'", "\"", "$", "$$", "$a", "$a$", "/*", "*/", "-", "--", "E'\\", "é;ü'", ";", "\\;\u{0}"] {
            split(script);
        }
    }
}
