//! Places in a script: sqlparser's lines and columns, and bytes.

use std::cell::Cell;

use sqlparser::tokenizer::Location;

/// The location of the byte `to`, reached from `from` at byte `start`.
pub(super) fn advance(text: &str, from: Location, start: usize, to: usize) -> Location {
    let passed = text.get(start..to).unwrap_or_default();
    let lines = passed.bytes().filter(|&byte| byte == b'\n').count() as u64;
    let last = passed.rfind('\n').map_or(passed, |at| &passed[at + 1..]);
    let column = if lines == 0 { from.column } else { 1 };
    Location { line: from.line + lines, column: column + last.chars().count() as u64 }
}

/// The text of one statement and where it starts in its script.
#[derive(Debug)]
pub(super) struct Source<'a> {
    text: &'a str,
    start: Location,
    /// The last place looked up: most look-ups go forward, so that all together walk the text once.
    last: Cell<(Location, usize)>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str, start: Location) -> Self {
        Source { text, start, last: Cell::new((start, 0)) }
    }

    /// Where the statement starts in its script.
    pub(super) fn start(&self) -> Location {
        self.start
    }

    /// The text between two locations of the script.
    pub(super) fn slice(&self, from: Location, to: Location) -> &'a str {
        let from = self.offset(from);
        let to = self.offset(to);
        self.text.get(from..to).unwrap_or_default()
    }

    /// The byte of the statement at a location of the script.
    fn offset(&self, location: Location) -> usize {
        let (mut at, mut offset) = self.last.get();
        if location < at {
            (at, offset) = (self.start, 0);
        }
        for ch in self.text.get(offset..).unwrap_or_default().chars() {
            if at >= location {
                break;
            }
            offset += ch.len_utf8();
            if ch == '\n' {
                at = Location { line: at.line + 1, column: 1 };
            } else {
                at.column += 1;
            }
        }
        self.last.set((at, offset));
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_by_lines_and_characters() {
        let text = "é1\nab c\nd";
        let source = Source::new(text, Location { line: 3, column: 5 });
        let at = |line, column| Location { line, column };
        assert_eq!(source.slice(at(3, 5), at(3, 6)), "é");
        assert_eq!(source.slice(at(4, 2), at(4, 5)), "b c");
        assert_eq!(source.slice(at(3, 6), at(5, 2)), "1\nab c\nd");
        assert_eq!(source.slice(at(9, 9), at(9, 9)), "");
        assert_eq!(advance(text, at(1, 1), 0, text.len()), at(3, 2));
        assert_eq!(advance(text, at(1, 1), 0, 2), at(1, 2));
    }
}
