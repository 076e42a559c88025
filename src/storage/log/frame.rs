//! Frames: how a file of the log is cut, so that its end, a torn write and damage can be told apart.
//!
//! ```text
//! file    header (96 bytes), frames one behind the other, then whatever the disk had there
//! header  0 "EDDYLOG\0"  8 format u32  12 checksum u32  16 database [16]  32 number u64  40 salt u32
//!         44 check u32  48 cut u64  56 epoch u64  64 ceiling u64  72 zeros
//! frame   0 checksum u32  4 payload's checksum u32  8 position u64  16 length u32  20 previous u32
//!         24 epoch u64  32 safe u64  40 kind u8  41 last u8  42 zeros  48 payload, a multiple of 8 bytes
//! ```
//!
//! Numbers are little-endian. Checksums are CRC-32C, begun with the file's salt: bytes of an earlier use of the same
//! blocks are no frames of this file. A frame says where it stands and what the checksum of the frame before it was, so
//! each header can be verified alone and a chain has no gap. `safe` is the position up to which the file had been synced
//! when the frame was made. Pages that were never synced reach the disk in any order: a hole above the highest such
//! mark is what a power cut leaves, one below it is damage.
//!
//! A file is only ever added to. It counts as far as its successor says: the successor's `cut`, with the checksum of
//! the frame that ends there as `check`. What lies behind the cut is nobody's; what was good of it stands in the
//! successor again. The frames of an epoch are a group, the last of them marked; a group without its last is none. A
//! frame of kind [`CONFIRM`] has no payload and stands between groups: it says that all before it was safe. One of kind
//! [`CLOSE`] says beside that that nothing follows: where it ends a file, no group was lost behind it. One of kind
//! [`NEXT`] stands at the cut, from when the successor was safe, so that a file that is lost is missed.

use arrow::buffer::Buffer;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::CEILING;

/// Bytes of a file's header.
pub const FILE_HEADER: usize = 96;
/// Bytes of a frame before its payload.
pub const FRAME_HEADER: usize = 48;
/// The most bytes a payload has.
pub const PAYLOAD_MAX: usize = 16 << 20;
/// A frame with a part of a group.
pub const GROUP: u8 = 1;
/// A frame that says only what was safe.
pub const CONFIRM: u8 = 2;
/// A frame that says that there is another file behind this one.
pub const NEXT: u8 = 3;
/// A frame that says that all before is safe, and that the log was closed.
pub const CLOSE: u8 = 4;

const MAGIC: &[u8; 8] = b"EDDYLOG\0";
const FORMAT: u32 = 1;

/// What the header of a log file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// The identity of the database.
    pub database: [u8; 16],
    /// The file's number: it follows the file with the number before.
    pub number: u64,
    /// Drawn for each file.
    pub salt: u32,
    /// Up to where the file before counts; 0 where there is none.
    pub cut: u64,
    /// The checksum of the frame that ends at the cut.
    pub check: u32,
    /// The least epoch that may stand in it.
    pub epoch: u64,
    /// Every epoch in it is below.
    pub ceiling: u64,
}

impl FileHeader {
    /// Its bytes.
    pub fn encode(&self) -> [u8; FILE_HEADER] {
        let mut bytes = [0; FILE_HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        put(&mut bytes, 8, &FORMAT.to_le_bytes());
        put(&mut bytes, 16, &self.database);
        put(&mut bytes, 32, &self.number.to_le_bytes());
        put(&mut bytes, 40, &self.salt.to_le_bytes());
        put(&mut bytes, 44, &self.check.to_le_bytes());
        put(&mut bytes, 48, &self.cut.to_le_bytes());
        put(&mut bytes, 56, &self.epoch.to_le_bytes());
        put(&mut bytes, 64, &self.ceiling.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[16..]);
        put(&mut bytes, 12, &checksum.to_le_bytes());
        bytes
    }

    /// The header that a file begins with; an error says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.get(..FILE_HEADER).ok_or_else(|| damaged("it is shorter than its header"))?;
        if &bytes[..8] != MAGIC {
            return Err(damaged("it does not begin as a log file"));
        }
        let format = get_u32(bytes, 8);
        if format != FORMAT {
            return Err(Error::unsupported(format!("its format is {format}, this version knows {FORMAT}")));
        }
        if get_u32(bytes, 12) != crc32c::crc32c(&bytes[16..]) {
            return Err(damaged("the checksum of its header is wrong"));
        }
        let mut database = [0; 16];
        database.copy_from_slice(&bytes[16..32]);
        if [32, 56, 64].into_iter().any(|at| get_u64(bytes, at) >= CEILING) {
            return Err(damaged("its header has numbers that were never given"));
        }
        Ok(FileHeader {
            database,
            number: get_u64(bytes, 32),
            salt: get_u32(bytes, 40),
            check: get_u32(bytes, 44),
            cut: get_u64(bytes, 48),
            epoch: get_u64(bytes, 56),
            ceiling: get_u64(bytes, 64),
        })
    }
}

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Where it begins.
    pub position: u64,
    /// Bytes of its payload.
    pub length: u32,
    /// The checksum of its payload.
    pub payload: u32,
    /// The checksum of the frame before it; 0 for the first.
    pub previous: u32,
    /// The epoch of its group; 0 where it is of none.
    pub epoch: u64,
    /// Up to where the file was safe when it was made.
    pub safe: u64,
    /// [`GROUP`], [`CONFIRM`], [`NEXT`] or [`CLOSE`].
    pub kind: u8,
    /// Whether its group ends with it.
    pub last: bool,
}

impl FrameHeader {
    /// A frame without payload at a position up to which all is safe.
    pub fn empty(kind: u8, position: u64, previous: u32, salt: u32) -> Self {
        let payload = checksum(salt, &[]);
        FrameHeader { position, length: 0, payload, previous, epoch: 0, safe: position, kind, last: true }
    }

    /// Its bytes, and the checksum that the next frame repeats.
    pub fn encode(&self, salt: u32) -> ([u8; FRAME_HEADER], u32) {
        let mut bytes = [0; FRAME_HEADER];
        put(&mut bytes, 4, &self.payload.to_le_bytes());
        put(&mut bytes, 8, &self.position.to_le_bytes());
        put(&mut bytes, 16, &self.length.to_le_bytes());
        put(&mut bytes, 20, &self.previous.to_le_bytes());
        put(&mut bytes, 24, &self.epoch.to_le_bytes());
        put(&mut bytes, 32, &self.safe.to_le_bytes());
        bytes[40] = self.kind;
        bytes[41] = u8::from(self.last);
        let checksum = crc32c::crc32c_append(salt, &bytes[4..]);
        put(&mut bytes, 0, &checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// The frame that stands at `position` of a file, if one does; its checksum beside it.
    fn decode(file: &[u8], position: usize, salt: u32) -> Option<(Self, u32)> {
        Self::decode_at(file.get(position..position.checked_add(FRAME_HEADER)?)?, position as u64, salt)
    }

    /// The frame whose header is `bytes`, if they are one that stands at `position`; its checksum beside it.
    pub fn decode_at(bytes: &[u8], position: u64, salt: u32) -> Option<(Self, u32)> {
        let checksum = get_u32(bytes, 0);
        if get_u64(bytes, 8) != position || checksum != crc32c::crc32c_append(salt, &bytes[4..]) {
            return None;
        }
        let header = FrameHeader {
            payload: get_u32(bytes, 4),
            position,
            length: get_u32(bytes, 16),
            previous: get_u32(bytes, 20),
            epoch: get_u64(bytes, 24),
            safe: get_u64(bytes, 32),
            kind: bytes[40],
            last: bytes[41] == 1,
        };
        Some((header, checksum))
    }
}

/// The checksum of a payload.
pub fn checksum(salt: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(salt, payload)
}

/// A whole group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its epoch.
    pub epoch: u64,
    /// Where its first frame begins.
    pub start: u64,
    /// Its payload.
    pub payload: Buffer,
}

/// What is good in a file, from its beginning on.
#[derive(Debug, Default)]
pub struct Scan {
    /// The whole groups, in order.
    pub groups: Vec<Group>,
    /// The ends of groups and confirmations, each with the checksum of the frame that ends there.
    ends: Vec<(u64, u32)>,
    /// The highest position that any frame, also one behind a hole, says was safe.
    pub safe: u64,
    /// Whether the log was closed with this file: nothing was ever written behind what is good.
    pub is_closed: bool,
    /// Frames that stand behind the first bad place.
    pub beyond: usize,
    /// Whether the file says that there is another one.
    pub has_next: bool,
    /// Whether a group began behind the good part and has no end.
    pub is_torn: bool,
}

impl Scan {
    /// Where the good part ends.
    pub fn end(&self) -> u64 {
        self.ends.last().map_or(FILE_HEADER as u64, |(end, _)| *end)
    }

    /// The checksum of the frame that ends at `position`, if one does; 0 at the header's end.
    pub fn check_at(&self, position: u64) -> Option<u32> {
        if position == FILE_HEADER as u64 {
            return Some(0);
        }
        self.ends.binary_search_by_key(&position, |(end, _)| *end).ok().map(|place| self.ends[place].1)
    }
}

/// Reads the frames of a file, of which `file` are the bytes, up to `cut` if its successor says so.
pub fn scan(file: &[u8], salt: u32, cut: Option<u64>) -> Scan {
    let mut scan = Scan { safe: FILE_HEADER as u64, ..Scan::default() };
    let file = match cut.and_then(|cut| usize::try_from(cut).ok()) {
        Some(cut) => &file[..cut.min(file.len())],
        None => file,
    };
    let (mut position, mut previous) = (FILE_HEADER, 0);
    let mut open: Vec<(FrameHeader, &[u8])> = Vec::new();
    while let Some((header, check)) = FrameHeader::decode(file, position, salt) {
        let start = position + FRAME_HEADER;
        let Some(payload) = file.get(start..start + header.length as usize) else { break };
        let starts_anew = open.first().is_none_or(|(first, _)| first.epoch == header.epoch && header.kind == GROUP);
        if header.previous != previous || checksum(salt, payload) != header.payload || !starts_anew {
            break;
        }
        scan.safe = scan.safe.max(header.safe);
        (position, previous) = (start + payload.len(), check);
        scan.has_next |= header.kind == NEXT;
        scan.is_closed = header.kind == CLOSE;
        if header.kind == GROUP {
            open.push((header, payload));
        }
        if header.last {
            if let Some(group) = group(&open) {
                scan.groups.push(group);
            }
            open.clear();
        }
        if open.is_empty() {
            scan.ends.push((position as u64, previous));
        }
    }
    scan.is_torn = !open.is_empty();
    for place in (position..file.len()).step_by(8) {
        if let Some((header, _)) = FrameHeader::decode(file, place, salt) {
            scan.safe = scan.safe.max(header.safe);
            scan.beyond += 1;
            scan.is_closed = false;
        }
    }
    scan
}

fn group(frames: &[(FrameHeader, &[u8])]) -> Option<Group> {
    let (first, _) = frames.first()?;
    let payload: Buffer = match frames {
        [(_, payload)] => Buffer::from(*payload),
        _ => Buffer::from_vec(frames.iter().flat_map(|(_, payload)| *payload).copied().collect::<Vec<u8>>()),
    };
    Some(Group { epoch: first.epoch, start: first.position, payload })
}

/// The word for a file that is not as it was written.
pub fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Io, what).with_sqlstate("XX001")
}

/// The error of a directory that is not where it was.
pub fn moved() -> Error {
    Error::new(ErrorKind::Io, "the directory of the database was moved or removed while it is open")
        .with_sqlstate("58P01")
        .with_hint("close the database, and open it where the directory is now")
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn get_u32(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn get_u64(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}
