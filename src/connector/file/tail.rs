//! One file of lines that grows, is renamed and begun anew.
//!
//! ```text
//!  0        at                                  end of the file
//!  ├─ read ─┼─ whole records ─┬─ half a line ─┤
//!           └── one poll ─────┘ waits
//! ```
//!
//! A file is the same as long as the file system's number for it and its first bytes are: a renamed one is read on, one
//! that was cut and begun anew is read from its beginning. A line is a record when its end is there, or when the file is
//! gone for good.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, TryRecvError};
use serde_json::{Value, json};

use crate::base::access::{FileAccess, UserFile, io_error, state};
use crate::base::error::{Error, Result};
use crate::connector::file::records::Records;
use crate::connector::source::{BadRecord, Polled};

/// First bytes of a file by which it is known again.
const HEAD: usize = 256;
/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// Bytes that a record may have.
const RECORD_MAX: usize = 16 << 20;

/// Where the bytes come from.
enum Input {
    /// A file, and how many of its bytes were taken.
    File { file: UserFile, taken: u64 },
    /// Somebody who reads the standard input, which cannot be asked without waiting.
    Feed(Receiver<Vec<u8>>),
}

/// A file of lines and how far it is read.
pub struct Tail {
    /// The name of the split.
    pub split: String,
    /// What the file is called now.
    pub path: PathBuf,
    /// How often it was looked for in vain.
    pub missed: u32,
    input: Input,
    /// Bytes that were given out as records.
    at: u64,
    /// The first of these.
    head: Vec<u8>,
    /// Bytes behind them.
    buffer: Vec<u8>,
    /// Whether the offset must be told although no record was read.
    is_moved: bool,
    /// Whether nothing more will come, so that half a line is a line.
    ends: bool,
}

impl Tail {
    /// A file from its beginning, or from its end.
    pub fn begin(split: &str, path: &Path, from_end: bool, access: &FileAccess) -> Result<Self> {
        let file = access.open(path)?;
        let mut tail = Tail::over(split, path, Input::File { file, taken: 0 });
        if from_end && let Input::File { file, taken } = &mut tail.input {
            (tail.at, tail.is_moved) = (state(file, path)?.0, true);
            *taken = tail.at;
            tail.head = first_bytes(file, path, tail.at)?;
        }
        Ok(tail)
    }

    /// A file from an offset on; from its beginning if it is not the file of which the offset tells.
    pub fn resume(split: &str, path: &Path, offset: &Offset, access: &FileAccess) -> Result<Self> {
        let mut tail = Tail::begin(split, path, false, access)?;
        let Input::File { file, taken } = &mut tail.input else { return Ok(tail) };
        let head = first_bytes(file, path, offset.at)?;
        let is_same = state(file, path)?.0 >= offset.at && checksum(&head) == offset.head;
        if is_same {
            (tail.at, *taken, tail.head) = (offset.at, offset.at, head);
        }
        Ok(tail)
    }

    /// What is fed from elsewhere.
    pub fn fed(split: &str, feed: Receiver<Vec<u8>>) -> Self {
        Tail::over(split, Path::new("-"), Input::Feed(feed))
    }

    fn over(split: &str, path: &Path, input: Input) -> Self {
        Tail {
            split: split.to_string(),
            path: path.to_path_buf(),
            missed: 0,
            input,
            at: 0,
            head: Vec::new(),
            buffer: Vec::new(),
            is_moved: false,
            ends: false,
        }
    }

    /// Takes what is left for the last there will be.
    pub fn finish(&mut self) {
        self.ends = true;
    }

    /// Whether all there will ever be was given out.
    pub fn is_finished(&self) -> bool {
        self.ends && self.buffer.is_empty()
    }

    /// The next records, about `max` at most.
    pub fn poll(&mut self, records: &Records, header: Option<bool>, max: usize) -> Result<Option<Polled>> {
        self.notice_truncation()?;
        while self.buffer.len() < CHUNK && self.fill()? {}
        let (found, length) = self.whole_records(records, max);
        if length == 0 && !self.is_moved {
            return Ok(None);
        }
        let mut polled = Polled { split: self.split.clone(), ..Polled::default() };
        let starts: Vec<usize> = found.iter().map(|range| range.start).collect();
        let found: Vec<&[u8]> = found.into_iter().map(|range| &self.buffer[range]).collect();
        let is_header = |at: usize, record: &[u8]| self.at == 0 && at == 0 && records.is_header(record, header);
        let kept: Vec<usize> =
            (0..found.len()).filter(|&at| !records.is_blank(found[at]) && !is_header(at, found[at])).collect();
        let decoded = records.decode(&kept.iter().map(|&at| found[at]).collect::<Vec<_>>());
        polled.rows = decoded.rows;
        for (at, reason) in decoded.bad {
            let at = kept[at];
            let position = format!("{}:{}", self.path.display(), self.at + starts[at] as u64);
            polled.bad.push(BadRecord::new(position, reason, found[at]));
        }
        self.advance(length);
        polled.offset = self.offset();
        Ok(Some(polled))
    }

    /// Where it goes on.
    pub fn offset(&self) -> String {
        let (length, sum) = checksum(&self.head);
        json!({ "path": self.path.to_string_lossy(), "at": self.at, "head": [length, sum] }).to_string()
    }

    /// The places in the buffer of records that are whole, and how many bytes these are.
    fn whole_records(&self, records: &Records, max: usize) -> (Vec<std::ops::Range<usize>>, usize) {
        let (mut found, mut length) = (Vec::new(), 0);
        while found.len() < max && length < self.buffer.len() {
            let rest = &self.buffer[length..];
            let end = match records.end(rest) {
                Some(end) => end,
                None if self.ends && rest.len() < CHUNK || rest.len() > RECORD_MAX => rest.len(),
                None => break,
            };
            found.push(length..length + end);
            length += end;
        }
        (found, length)
    }

    fn advance(&mut self, length: usize) {
        let room = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&self.buffer[..length.min(room)]);
        self.buffer.drain(..length);
        self.at += length as u64;
        self.is_moved = false;
    }

    /// Begins anew where the file was cut, or where other bytes stand at its beginning.
    fn notice_truncation(&mut self) -> Result<()> {
        let Input::File { file, taken } = &mut self.input else { return Ok(()) };
        let (length, _) = state(file, &self.path)?;
        if length == *taken {
            return Ok(());
        }
        let is_cut = length < *taken || first_bytes(file, &self.path, self.head.len() as u64)? != self.head;
        if is_cut {
            (self.at, *taken, self.is_moved) = (0, 0, true);
            self.head.clear();
            self.buffer.clear();
        }
        Ok(())
    }

    /// Reads on; false if there is nothing at the moment.
    fn fill(&mut self) -> Result<bool> {
        match &mut self.input {
            Input::File { file, taken } => {
                let failed = |error| io_error("read", &self.path, error);
                file.seek(SeekFrom::Start(*taken)).map_err(failed)?;
                let before = self.buffer.len();
                file.by_ref().take(CHUNK as u64).read_to_end(&mut self.buffer).map_err(failed)?;
                *taken += (self.buffer.len() - before) as u64;
                Ok(self.buffer.len() > before)
            }
            Input::Feed(feed) => match feed.try_recv() {
                Ok(bytes) => {
                    self.buffer.extend(bytes);
                    Ok(true)
                }
                Err(TryRecvError::Empty) => Ok(false),
                Err(TryRecvError::Disconnected) => {
                    self.ends = true;
                    Ok(false)
                }
            },
        }
    }
}

/// Where a file is read on: what [`Tail::offset`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset {
    /// What the file was called last.
    pub path: PathBuf,
    /// Bytes that were read.
    pub at: u64,
    /// How many of its first bytes are known, and their checksum.
    pub head: (u64, u64),
}

impl Offset {
    /// The offset of this JSON text.
    pub fn parse(text: &str) -> Result<Self> {
        let parsed = || {
            let value: Value = serde_json::from_str(text).ok()?;
            let head = |place: usize| value.get("head")?.get(place)?.as_u64();
            Some(Offset {
                path: PathBuf::from(value.get("path")?.as_str()?),
                at: value.get("at")?.as_u64()?,
                head: (head(0)?, head(1)?),
            })
        };
        parsed().ok_or_else(|| Error::internal(format!("the offset {text} is none of a file")))
    }
}

/// The first bytes of a file, of those before `at`.
pub fn first_bytes(file: &mut UserFile, path: &Path, at: u64) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let read =
        file.seek(SeekFrom::Start(0)).and_then(|_| file.by_ref().take(at.min(HEAD as u64)).read_to_end(&mut head));
    read.map_err(|error| io_error("read", path, error))?;
    Ok(head)
}

/// How many bytes these are, and their checksum.
pub fn checksum(head: &[u8]) -> (u64, u64) {
    (head.len() as u64, u64::from(crc32c::crc32c(head)))
}
