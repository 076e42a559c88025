//! Delimited text to records of fields (RFC 4180, with the liberties files take).
//!
//! Written here and not taken from the `csv` crate, because that forgets whether a field was quoted, and only the
//! quotes tell an empty text from NULL. Records end at LF, CRLF or CR; a quoted field may hold any of them. A quote
//! inside an unquoted field is an ordinary character. Bytes are not checked to be UTF-8 here.

use std::io::Read;

use crate::base::error::{Error, Result};
use crate::connector::reader::bad_file;

/// How fields are separated and enclosed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// What separates fields.
    pub delimiter: u8,
    /// What encloses fields.
    pub quote: Option<u8>,
    /// What makes a quote within quotes literal: the quote itself or another character.
    pub escape: Option<u8>,
    /// Lines starting with it are passed over.
    pub comment: Option<u8>,
    /// Physical lines passed over before the first record.
    pub skip: u64,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect { delimiter: b',', quote: Some(b'"'), escape: Some(b'"'), comment: None, skip: 0 }
    }
}

/// Some records: the bytes of all fields in one buffer, unescaped.
#[derive(Debug, Default)]
pub struct Records {
    data: Vec<u8>,
    /// Per field, where it ends in `data`.
    ends: Vec<usize>,
    quoted: Vec<bool>,
    /// Per record, the number of its first field.
    starts: Vec<usize>,
    /// Per record, the line it starts in, counted from 1.
    lines: Vec<u64>,
}

impl Records {
    /// Forgets all records, keeping the memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
        self.quoted.clear();
        self.starts.clear();
        self.lines.clear();
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// The number of fields of a record.
    pub fn width(&self, record: usize) -> usize {
        let next = self.starts.get(record + 1).copied().unwrap_or(self.ends.len());
        next - self.starts[record]
    }

    /// The line a record starts in.
    pub fn line(&self, record: usize) -> u64 {
        self.lines[record]
    }

    /// The bytes of a field and whether it was quoted; the field must exist.
    #[inline]
    pub fn field(&self, record: usize, column: usize) -> (&[u8], bool) {
        let field = self.starts[record] + column;
        let start = if field == 0 { 0 } else { self.ends[field - 1] };
        (&self.data[start..self.ends[field]], self.quoted[field])
    }

    /// Whether any field was quoted.
    pub fn any_quoted(&self) -> bool {
        self.quoted.contains(&true)
    }

    /// The bytes held.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The record with bytes that are not UTF-8, if there is one.
    pub fn invalid_utf8(&self) -> Option<usize> {
        if std::str::from_utf8(&self.data).is_ok() {
            return None;
        }
        let bad =
            |record: &usize| (0..self.width(*record)).any(|c| std::str::from_utf8(self.field(*record, c).0).is_err());
        (0..self.len()).find(bad)
    }

    fn end_field(&mut self, quoted: bool) {
        self.ends.push(self.data.len());
        self.quoted.push(quoted);
    }

    fn forget_from(&mut self, fields: usize, bytes: usize) {
        self.ends.truncate(fields);
        self.quoted.truncate(fields);
        self.data.truncate(bytes);
    }
}

/// Reads records from bytes.
pub struct Tokenizer<R> {
    reader: R,
    buffer: Vec<u8>,
    position: usize,
    length: usize,
    line: u64,
    dialect: Dialect,
    /// Bytes that end a run of plain bytes in an unquoted field.
    special: [bool; 256],
    /// A blank line is a record of one empty field, not nothing.
    keep_blank: bool,
    started: bool,
}

enum End {
    Field,
    Record,
}

impl<R: Read> Tokenizer<R> {
    /// A tokenizer at the start of a file.
    ///
    /// With `keep_blank`, which files of one column need, blank lines are records.
    pub fn new(reader: R, dialect: Dialect, keep_blank: bool) -> Self {
        let mut special = [false; 256];
        for byte in [dialect.delimiter, b'\n', b'\r'] {
            special[usize::from(byte)] = true;
        }
        let buffer = vec![0; 1 << 17];
        Tokenizer { reader, buffer, position: 0, length: 0, line: 1, dialect, special, keep_blank, started: false }
    }

    /// Adds up to `count` records, or fewer where they grow large; the number added, 0 at the end of the file.
    pub fn read(&mut self, records: &mut Records, count: usize) -> Result<usize> {
        const BYTES_MAX: usize = 1 << 26;
        if !self.started {
            self.started = true;
            self.start()?;
        }
        let mut added = 0;
        while added < count && records.bytes() < BYTES_MAX && self.record(records)? {
            added += 1;
        }
        Ok(added)
    }

    fn start(&mut self) -> Result<()> {
        self.fill()?;
        let rest = &self.buffer[..self.length];
        if rest.starts_with(&[0xff, 0xfe]) || rest.starts_with(&[0xfe, 0xff]) {
            return Err(bad_file("file is UTF-16").with_hint("convert it to UTF-8").with_sqlstate("22021"));
        }
        if rest.starts_with(&[0xef, 0xbb, 0xbf]) {
            self.position = 3;
        }
        for _ in 0..self.dialect.skip {
            self.skip_line()?;
        }
        Ok(())
    }

    fn record(&mut self, records: &mut Records) -> Result<bool> {
        loop {
            match self.peek()? {
                None => return Ok(false),
                Some(b'\n' | b'\r') if !self.keep_blank => self.skip_line()?,
                Some(byte) if Some(byte) == self.dialect.comment => self.skip_line()?,
                Some(_) => break,
            }
        }
        let (first, bytes) = (records.ends.len(), records.data.len());
        let line = self.line;
        loop {
            match self.field(records) {
                Ok(End::Field) => {}
                Ok(End::Record) => break,
                Err(error) => {
                    records.forget_from(first, bytes);
                    return Err(error);
                }
            }
        }
        records.starts.push(first);
        records.lines.push(line);
        Ok(true)
    }

    fn field(&mut self, records: &mut Records) -> Result<End> {
        let first = self.peek()?;
        if first.is_some() && first == self.dialect.quote {
            self.position += 1;
            return self.quoted_field(records);
        }
        loop {
            let rest = &self.buffer[self.position..self.length];
            let plain = rest.iter().position(|&byte| self.special[usize::from(byte)]).unwrap_or(rest.len());
            records.data.extend_from_slice(&rest[..plain]);
            self.position += plain;
            if self.position < self.length {
                records.end_field(false);
                return self.separator();
            }
            if !self.fill()? {
                records.end_field(false);
                return Ok(End::Record);
            }
        }
    }

    fn quoted_field(&mut self, records: &mut Records) -> Result<End> {
        let opened = self.line;
        let quote = self.dialect.quote;
        loop {
            let Some(byte) = self.peek()? else {
                return Err(bad_file(format!(
                    "line {opened}: a quoted field is not closed before the end of the file"
                ))
                .with_hint("is the quote character right? see the options quote and escape"));
            };
            self.position += 1;
            if Some(byte) == self.dialect.escape && self.dialect.escape != quote {
                let escaped = self.peek()?;
                if escaped.is_some() && (escaped == quote || escaped == self.dialect.escape) {
                    records.data.extend(escaped);
                    self.position += 1;
                } else {
                    records.data.push(byte);
                }
            } else if Some(byte) == quote {
                if self.dialect.escape == quote && self.peek()? == quote {
                    records.data.push(byte);
                    self.position += 1;
                } else {
                    break;
                }
            } else {
                if byte == b'\n' {
                    self.line += 1;
                }
                records.data.push(byte);
            }
        }
        while self.peek()? == Some(b' ') && self.dialect.delimiter != b' ' {
            self.position += 1;
        }
        match self.peek()? {
            None => {
                records.end_field(true);
                Ok(End::Record)
            }
            Some(byte) if self.special[usize::from(byte)] => {
                records.end_field(true);
                self.separator()
            }
            Some(_) => Err(bad_file(format!("line {}: characters follow a closing quote", self.line))
                .with_hint("is the quote character right? see the options quote and escape")),
        }
    }

    /// Takes the delimiter or line end at the position.
    fn separator(&mut self) -> Result<End> {
        let byte = self.buffer[self.position];
        if byte == self.dialect.delimiter {
            self.position += 1;
            return Ok(End::Field);
        }
        self.line_end(byte)?;
        Ok(End::Record)
    }

    fn line_end(&mut self, byte: u8) -> Result<()> {
        self.position += 1;
        self.line += 1;
        if byte == b'\r' && self.peek()? == Some(b'\n') {
            self.position += 1;
        }
        Ok(())
    }

    fn skip_line(&mut self) -> Result<()> {
        while let Some(byte) = self.peek()? {
            if matches!(byte, b'\n' | b'\r') {
                return self.line_end(byte);
            }
            self.position += 1;
        }
        Ok(())
    }

    #[inline]
    fn peek(&mut self) -> Result<Option<u8>> {
        if self.position == self.length && !self.fill()? {
            return Ok(None);
        }
        Ok(Some(self.buffer[self.position]))
    }

    fn fill(&mut self) -> Result<bool> {
        (self.position, self.length) = (0, 0);
        // A short first read must still show a whole byte order mark.
        while self.length < 4 {
            match self.reader.read(&mut self.buffer[self.length..]) {
                Ok(0) => break,
                Ok(count) => self.length += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from(error)),
            }
        }
        Ok(self.length > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, so that every boundary falls everywhere.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(1).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn rows(text: &str, dialect: Dialect, keep_blank: bool) -> Vec<String> {
        let show = |records: &Records| {
            let field = |record, column| {
                let (bytes, quoted) = records.field(record, column);
                let text = String::from_utf8_lossy(bytes).replace('\n', "~").replace('\r', "^");
                if quoted { format!("<{text}>") } else { text }
            };
            let row = |record| {
                let fields: Vec<_> = (0..records.width(record)).map(|column| field(record, column)).collect();
                format!("{}:{}", records.line(record), fields.join("|"))
            };
            (0..records.len()).map(row).collect::<Vec<_>>()
        };
        let (mut whole, mut drip) = (Records::default(), Records::default());
        Tokenizer::new(text.as_bytes(), dialect, keep_blank).read(&mut whole, usize::MAX).unwrap();
        Tokenizer::new(Drip(text.as_bytes()), dialect, keep_blank).read(&mut drip, usize::MAX).unwrap();
        assert_eq!(show(&whole), show(&drip));
        show(&whole)
    }

    #[test]
    fn fields_and_records() {
        let dialect = Dialect::default();
        assert_eq!(rows("a,b\n1,2\n", dialect, false), ["1:a|b", "2:1|2"]);
        assert_eq!(rows("\u{feff}a,b\r\n1,2", dialect, false), ["1:a|b", "2:1|2"]);
        assert_eq!(rows("a,\r,b\r", dialect, false), ["1:a|", "2:|b"]);
        assert_eq!(
            rows("\"x,\"\"y\"\"\",\"\"\n\"p\nq\",z\n\n5\" pipe,k", dialect, false),
            ["1:<x,\"y\">|<>", "2:<p~q>|z", "5:5\" pipe|k"]
        );
        assert_eq!(rows("", dialect, false), [""; 0]);
        assert_eq!(rows("a\n\nb\n", dialect, true), ["1:a", "2:", "3:b"]);
        let dialect = Dialect { escape: Some(b'\\'), comment: Some(b'#'), skip: 1, ..dialect };
        assert_eq!(rows("title\n#c\n\"a\\\"b\",\"c\\d\"\n", dialect, false), ["3:<a\"b>|<c\\d>"]);
    }

    #[test]
    fn broken_quotes_are_errors_with_lines() {
        let read = |text: &str| {
            let mut records = Records::default();
            Tokenizer::new(text.as_bytes(), Dialect::default(), false).read(&mut records, 100).unwrap_err().to_string()
        };
        assert_eq!(read("a\nb,\"c\n\n"), "line 2: a quoted field is not closed before the end of the file");
        assert_eq!(read("a\n\"b\"c\n"), "line 2: characters follow a closing quote");
    }
}
