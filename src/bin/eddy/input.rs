//! From a stream of text to statements and dot commands, each handed out as soon as it is complete.
//!
//! A statement ends at its `;`, a dot command (`.tables`, `\d`) at the end of its line; a dot command is one only
//! where a statement could begin. Text may arrive in pieces of any size: the pieces handed out are the same. What is
//! left at the end counts as a statement without its `;`.

use std::collections::VecDeque;
use std::io::{self, Read};

use crate::lexer::{Kind, first_token};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A statement.
    Statement {
        /// Its text, from its first word, without its `;`.
        text: String,
        /// The line it begins on, from 1.
        line: usize,
    },
    /// A dot command.
    Command {
        /// Its line.
        text: String,
        /// The number of that line, from 1.
        line: usize,
    },
}

/// Cuts text into pieces.
#[derive(Debug)]
pub struct Pieces {
    buffer: String,
    ready: VecDeque<Piece>,
    line: usize,
}

impl Default for Pieces {
    fn default() -> Self {
        Pieces { buffer: String::new(), ready: VecDeque::new(), line: 1 }
    }
}

impl Pieces {
    /// The pieces of a whole text.
    pub fn of(text: &str) -> VecDeque<Piece> {
        let mut pieces = Pieces::default();
        pieces.push(text);
        pieces.end();
        pieces.ready
    }

    /// Takes more text.
    pub fn push(&mut self, text: &str) {
        self.buffer.push_str(text);
        // Without one of these nothing can have become complete, and a long statement is not cut over and over.
        if text.contains([';', '\n']) && self.may_be_complete(text) {
            self.cut(false);
        }
    }

    /// No more text will come.
    pub fn end(&mut self) {
        self.cut(true);
    }

    /// The next complete piece.
    pub fn next(&mut self) -> Option<Piece> {
        self.ready.pop_front()
    }

    fn may_be_complete(&self, added: &str) -> bool {
        added.contains(';')
            || self.buffer.trim_start().starts_with(is_command_mark)
            || starts_with_comment(&self.buffer)
    }

    fn cut(&mut self, end: bool) {
        loop {
            let blank = blank_prefix(&self.buffer, if end { Blank::ToTheEnd } else { Blank::Semicolons });
            self.drop_front(blank);
            if self.buffer.starts_with(is_command_mark) {
                match self.buffer.find('\n') {
                    Some(newline) => self.command(newline),
                    None if end => self.command(self.buffer.len()),
                    None => return,
                }
            } else if !self.statements() {
                if end && !self.buffer.is_empty() {
                    let text = std::mem::take(&mut self.buffer);
                    self.ready.push_back(Piece::Statement { text, line: self.line });
                }
                return;
            }
        }
    }

    fn command(&mut self, length: usize) {
        let text = self.buffer[..length].trim().to_string();
        self.ready.push_back(Piece::Command { text, line: self.line });
        self.drop_front(length);
    }

    /// Takes complete statements up to the next dot command; whether there were any.
    fn statements(&mut self) -> bool {
        let mut taken = 0;
        let mut line = self.line;
        for span in eddydb::split(&self.buffer) {
            let begin = taken + blank_prefix(&self.buffer[taken..], Blank::Semicolons);
            if !span.complete || self.buffer[begin..].starts_with(is_command_mark) {
                break;
            }
            line += newlines(&self.buffer[taken..span.start]);
            let text = self.buffer[span.start..span.end].to_string();
            self.ready.push_back(Piece::Statement { text, line });
            let semicolon = span.end + blank_prefix(&self.buffer[span.end..], Blank::Plain);
            let end = self.buffer.len().min(semicolon + 1);
            line += newlines(&self.buffer[span.start..end]);
            taken = end;
        }
        self.drop_front(taken);
        taken > 0
    }

    fn drop_front(&mut self, length: usize) {
        self.line += newlines(&self.buffer[..length]);
        self.buffer.drain(..length);
    }
}

/// Reads `reader` to its end, handing out pieces as they are complete; `act` returns false to stop early.
pub fn read_pieces<E: From<io::Error>>(
    reader: &mut dyn Read,
    mut act: impl FnMut(Piece) -> Result<bool, E>,
) -> Result<(), E> {
    let mut pieces = Pieces::default();
    let mut bytes = vec![];
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = match reader.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        bytes.extend_from_slice(&chunk[..read]);
        let text = take_text(&mut bytes, read == 0)?;
        if read == 0 {
            pieces.end();
        } else {
            pieces.push(&text);
        }
        while let Some(piece) = pieces.next() {
            if !act(piece)? {
                return Ok(());
            }
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// The text at the front of `bytes`; the first bytes of a character cut in two stay.
fn take_text(bytes: &mut Vec<u8>, end: bool) -> io::Result<String> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "the input is not UTF-8 text");
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text.len(),
        Err(error) if error.error_len().is_some() || end => return Err(wrong()),
        Err(error) => error.valid_up_to(),
    };
    String::from_utf8(bytes.drain(..valid).collect()).map_err(|_| wrong())
}

fn is_command_mark(character: char) -> bool {
    matches!(character, '.' | '\\')
}

/// What counts as nothing besides white space and finished comments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blank {
    Plain,
    /// Semicolons that end nothing.
    Semicolons,
    /// These, and a line comment without its line break: no more text will come.
    ToTheEnd,
}

/// The bytes at the front that are nothing: no statement has begun there yet.
fn blank_prefix(text: &str, blank: Blank) -> usize {
    let mut length = 0;
    loop {
        let rest = &text[length..];
        let space = rest.len() - rest.trim_start().len();
        if space > 0 {
            length += space;
        } else if rest.starts_with(';') && blank != Blank::Plain {
            length += 1;
        } else if let Some(comment) = comment_length(rest, blank == Blank::ToTheEnd) {
            length += comment;
        } else {
            return length;
        }
    }
}

/// The bytes of the finished comment that `text` starts with.
fn comment_length(text: &str, end: bool) -> Option<usize> {
    if text.starts_with("--") {
        return text.find('\n').map(|newline| newline + 1).or(end.then_some(text.len()));
    }
    // Only the comment itself is looked at, not all that follows.
    let (kind, length) = if text.starts_with("/*") { first_token(text)? } else { return None };
    (kind == Kind::Comment && length >= 4 && text[..length].ends_with("*/")).then_some(length)
}

fn starts_with_comment(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("--") || text.starts_with("/*")
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}

/// Whether what was typed so far can be run: a dot command, or statements that all have their `;`.
pub fn is_complete(text: &str) -> bool {
    let blank = blank_prefix(text, Blank::ToTheEnd);
    if text[blank..].is_empty() || text[blank..].starts_with(is_command_mark) {
        return true;
    }
    eddydb::split(text).last().is_some_and(|span| span.complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(text: &str, line: usize) -> Piece {
        Piece::Statement { text: text.into(), line }
    }

    fn command(text: &str, line: usize) -> Piece {
        Piece::Command { text: text.into(), line }
    }

    const SCRIPT: &str = "-- a script; with .dots\n.mode csv\nSELECT ';' AS \"a;b\"; SELECT 2 /* ; */\n;\n\\dt\n\n\
                          ;;/* x\n*/ SELECT '\n.tables é\n';   .timer on\nSELECT .5, $$;$$";

    fn expected() -> Vec<Piece> {
        vec![
            command(".mode csv", 2),
            statement("SELECT ';' AS \"a;b\"", 3),
            statement("SELECT 2", 3),
            command("\\dt", 5),
            statement("SELECT '\n.tables é\n'", 8),
            command(".timer on", 10),
            statement("SELECT .5, $$;$$", 11),
        ]
    }

    #[test]
    fn a_script_is_cut_into_statements_and_commands() {
        assert_eq!(Pieces::of(SCRIPT), expected());
    }

    #[test]
    fn the_size_of_the_reads_changes_nothing() {
        struct Slow<'a>(&'a [u8], usize);
        impl Read for Slow<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let size = self.1.min(self.0.len()).min(out.len());
                out[..size].copy_from_slice(&self.0[..size]);
                self.0 = &self.0[size..];
                Ok(size)
            }
        }
        for size in [1, 2, 3, 5, 8, 1_000] {
            let mut pieces = vec![];
            let keep = |piece| {
                pieces.push(piece);
                Ok::<_, io::Error>(true)
            };
            read_pieces(&mut Slow(SCRIPT.as_bytes(), size), keep).unwrap();
            assert_eq!(pieces, expected(), "reads of {size}");
        }
    }

    #[test]
    fn a_statement_is_handed_out_at_its_semicolon() {
        let mut pieces = Pieces::default();
        pieces.push("SELECT 1; SELECT");
        assert_eq!(pieces.next(), Some(statement("SELECT 1", 1)));
        assert_eq!(pieces.next(), None);
        pieces.push(" 2;");
        assert_eq!(pieces.next(), Some(statement("SELECT 2", 1)));
        pieces.push("\n-- only a comment\n.tabl");
        assert_eq!(pieces.next(), None);
        pieces.push("es\n");
        assert_eq!(pieces.next(), Some(command(".tables", 3)));
        pieces.end();
        assert_eq!(pieces.next(), None);
    }

    #[test]
    fn nothing_comes_of_nothing() {
        for text in ["", "  \n", ";", "; ;\n;", "-- x", "/* a */ -- b\n"] {
            assert_eq!(Pieces::of(text), [], "{text:?}");
        }
        for text in ["SELECT 'open", "/* open"] {
            assert_eq!(Pieces::of(text), [statement(text, 1)], "the parser says what is wrong");
        }
    }

    #[test]
    fn bad_text_is_an_error() {
        let read = |bytes: &[u8]| read_pieces(&mut &*bytes, |_| Ok::<_, io::Error>(true));
        assert!(read(b"SELECT '\xff';").is_err());
        assert!(read(b"SELECT '\xc3").is_err());
    }

    #[test]
    fn complete_means_that_enter_runs_it() {
        for text in ["", "SELECT 1;", ".tables", "\\d", "SELECT 1; -- done", "SELECT ';';\n", "-- x"] {
            assert!(is_complete(text), "{text:?}");
        }
        for text in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT 2", "SELECT 1 -- ;", "/* open"] {
            assert!(!is_complete(text), "{text:?}");
        }
    }
}
