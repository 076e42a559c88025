//! JSON files to single values: lines, one array, or values one after another.

use std::io::{BufRead, BufReader, Read};

use crate::base::error::{Error, Result};
use crate::connector::reader::bad_file;

/// Cuts a file into its top-level values.
pub struct Splitter<R> {
    reader: BufReader<R>,
    by_lines: bool,
    line: u64,
    /// Inside the one array that encloses all values; `None` before the first byte.
    in_array: Option<bool>,
    /// The array was closed.
    ended: bool,
}

impl<R: Read> Splitter<R> {
    /// A splitter at the start of a file; `by_lines` takes every line for one value.
    pub fn new(reader: R, by_lines: bool) -> Self {
        let reader = BufReader::with_capacity(1 << 17, reader);
        Splitter { reader, by_lines, line: 1, in_array: None, ended: false }
    }

    /// Appends the next value to `out` and returns the line it starts in; `None` at the end.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        if self.in_array.is_none() {
            let buffer = self.reader.fill_buf()?;
            if buffer.starts_with(&[0xef, 0xbb, 0xbf]) {
                self.reader.consume(3);
            }
            self.in_array = Some(false);
            if !self.by_lines && self.skip_blank()? == Some(b'[') {
                self.reader.consume(1);
                self.in_array = Some(true);
            }
        }
        if self.by_lines { self.next_line(out) } else { self.next_value(out) }
    }

    fn next_line(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        loop {
            let start = out.len();
            if self.reader.read_until(b'\n', out)? == 0 {
                return Ok(None);
            }
            let line = self.line;
            self.line += 1;
            let length = out[start..].trim_ascii_end().len();
            out.truncate(start + length);
            if length == 0 {
                continue;
            }
            return Ok(Some(line));
        }
    }

    fn next_value(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        let in_array = self.in_array == Some(true);
        loop {
            match self.skip_blank()? {
                None if in_array && !self.ended => {
                    return Err(self.error("the array is not closed before the end of the file"));
                }
                None => return Ok(None),
                Some(_) if self.ended => return Err(self.error("characters follow the end of the array")),
                Some(b',') if in_array => self.reader.consume(1),
                Some(b']') if in_array => {
                    self.reader.consume(1);
                    self.ended = true;
                }
                Some(b'{') => break,
                Some(_) => return Err(self.error("expected a JSON object")),
            }
        }
        let line = self.line;
        self.object(out)?;
        Ok(Some(line))
    }

    /// Copies one object, whose brace is next.
    fn object(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
        let opened = self.line;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Err(bad_file(format!("line {opened}: the object is not closed before the end of the file")));
            }
            let mut used = buffer.len();
            let mut closed = false;
            for (at, &byte) in buffer.iter().enumerate() {
                match byte {
                    b'\n' => self.line += 1,
                    _ if escaped => escaped = false,
                    b'\\' if in_text => escaped = true,
                    b'"' => in_text = !in_text,
                    b'{' | b'[' if !in_text => depth += 1,
                    b'}' | b']' if !in_text => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    (used, closed) = (at + 1, true);
                    break;
                }
            }
            out.extend_from_slice(&buffer[..used]);
            self.reader.consume(used);
            if closed {
                return Ok(());
            }
        }
    }

    /// The next byte that is not white space, left unread.
    fn skip_blank(&mut self) -> Result<Option<u8>> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.line += buffer[..blank].iter().filter(|&&byte| byte == b'\n').count() as u64;
            let next = buffer.get(blank).copied();
            self.reader.consume(blank);
            if next.is_some() {
                return Ok(next);
            }
        }
    }

    fn error(&self, message: &str) -> Error {
        bad_file(format!("line {}: {message}", self.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, by_lines: bool) -> Result<Vec<(u64, String)>> {
        let mut splitter = Splitter::new(text.as_bytes(), by_lines);
        let mut values = Vec::new();
        loop {
            let mut out = Vec::new();
            match splitter.next(&mut out)? {
                Some(line) => values.push((line, String::from_utf8(out).unwrap().trim().to_string())),
                None => return Ok(values),
            }
        }
    }

    #[test]
    fn lines_arrays_and_sequences() {
        let expected = |a, b| vec![(a, "{\"a\":1}".to_string()), (b, "{\"a\":\"}\\\"\"}".to_string())];
        assert_eq!(values("\u{feff}{\"a\":1}\r\n\n{\"a\":\"}\\\"\"}", true).unwrap(), expected(1, 3));
        assert_eq!(values("[\n{\"a\":1},\n{\"a\":\"}\\\"\"}\n]\n", false).unwrap(), expected(2, 3));
        assert_eq!(values("{\"a\":1}\n{\"a\":\"}\\\"\"}", false).unwrap(), expected(1, 2));
        assert_eq!(values("[]", false).unwrap(), []);
        assert_eq!(values("", true).unwrap(), []);
        let message = |text: &str| values(text, false).unwrap_err().to_string();
        assert_eq!(message("[1]"), "line 1: expected a JSON object");
        assert_eq!(message("[{}\n"), "line 2: the array is not closed before the end of the file");
        assert_eq!(message("{\n{}\n"), "line 1: the object is not closed before the end of the file");
        assert_eq!(message("[] x"), "line 1: characters follow the end of the array");
    }
}
