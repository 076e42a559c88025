//! The records of an epoch as bytes, and back.
//!
//! ```text
//! group    time i64, then records one behind the other
//! record   tag u32, zeros u32, length u64 of what follows
//!   tick     nothing
//!   commit   (tag 3 only: positions u32, zeros u32, the positions as JSON, padded)
//!            catalog u32, writes u32, the change of the catalog as JSON, then the writes:
//!     write    relation u64, fingerprint u32 of its columns, batches u32, deletes u32, their bytes u32,
//!              the ids deleted as LEB128 differences, the messages of the rows inserted
//!   large    (tag 4) as a commit, always with positions, and each write:
//!     write    relation u64, fingerprint u32, parts u32, bytes u32 of the deletes, zeros u32, the deletes as a Roaring
//!              treemap, the parts: 0 u32, zeros u32, a message of rows; or 1 u32, checksum u32, number u64, length u64
//!              of the segment file whose blocks are the rows
//! ```
//!
//! Each part is padded to 8 bytes. Who reads needs the catalog as it was: a change of it has an epoch of its own, so
//! that is the catalog after the group before. The rows that a delete takes away are not kept: whoever replays it has
//! them.

use std::sync::Arc;

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::IpcWriteContext;
use roaring::RoaringTreemap;
use serde_json::{Value, json};

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::delta::CatalogDelta;
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::RelationId;
use crate::storage::definition::{decode_delta, encode_delta};
use crate::storage::ipc::{decode_rows, encode_rows};
use crate::storage::log::frame::FRAME_HEADER;
use crate::storage::log::{LogRecord, Position, RelationWrite};
use crate::storage::segment::{FileName, SegmentFiles};
use crate::storage::spool::{Rows, Spooled};

const TICK: u32 = 1;
const COMMIT: u32 = 2;
const COMMIT_WITH_POSITIONS: u32 = 3;
const LARGE_COMMIT: u32 = 4;

/// What a large commit has of rows.
const HELD: u32 = 0;
const IN_FILE: u32 = 1;

/// Bytes of room that are kept from group to group.
const KEPT: usize = 4 << 20;

/// Makes bytes of the records of one epoch after the other, behind room for the header of a frame.
#[derive(Default)]
pub struct Encoder {
    group: Vec<u8>,
    context: IpcWriteContext,
}

impl Encoder {
    /// Adds a record to the group. After an error the group is what it was.
    pub fn add(&mut self, record: &LogRecord) -> Result<()> {
        let before = self.group.len();
        if before == 0 {
            self.group.resize(FRAME_HEADER, 0);
            put_u64(&mut self.group, record.time_us() as u64);
        }
        let added = match record {
            LogRecord::Tick { .. } => self.record(TICK, |_, _| Ok(())),
            LogRecord::Commit { catalog, writes, positions, .. } => self.record(tag_of(record), |out, context| {
                let is_large = tag_of(record) == LARGE_COMMIT;
                if is_large || !positions.is_empty() {
                    put_positions(out, positions)?;
                }
                let catalog = match catalog.is_empty() {
                    true => Vec::new(),
                    false => encode_delta(catalog)?.to_string().into_bytes(),
                };
                put_length(out, catalog.len())?;
                put_length(out, writes.len())?;
                out.extend(catalog);
                pad(out);
                let put = if is_large { put_large_write } else { put_write };
                writes.iter().try_for_each(|write| put(out, write, context))
            }),
        };
        added.inspect_err(|_| self.group.truncate(before))
    }

    /// Whether the group has no record.
    pub fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// Bytes of the group.
    pub fn len(&self) -> usize {
        self.group.len().saturating_sub(FRAME_HEADER)
    }

    /// A point to come back to.
    pub fn mark(&self) -> usize {
        self.group.len()
    }

    /// Takes back what was added since `mark`.
    pub fn back_to(&mut self, mark: usize) {
        self.group.truncate(mark);
    }

    /// The group so far, behind room for the header of a frame.
    pub fn framed(&mut self) -> &mut [u8] {
        &mut self.group
    }

    /// Begins the next group.
    pub fn clear(&mut self) {
        self.group.clear();
        self.group.shrink_to(KEPT);
    }

    fn record(&mut self, tag: u32, put: impl FnOnce(&mut Vec<u8>, &mut IpcWriteContext) -> Result<()>) -> Result<()> {
        let out = &mut self.group;
        put_u32(out, tag);
        put_u32(out, 0);
        put_u64(out, 0);
        let start = out.len();
        put(out, &mut self.context)?;
        pad(out);
        let bytes = (out.len() - start) as u64;
        out[start - 8..start].copy_from_slice(&bytes.to_le_bytes());
        Ok(())
    }
}

fn tag_of(record: &LogRecord) -> u32 {
    match record {
        LogRecord::Tick { .. } => TICK,
        LogRecord::Commit { writes, .. } if writes.iter().any(RelationWrite::is_large) => LARGE_COMMIT,
        LogRecord::Commit { positions, .. } if positions.is_empty() => COMMIT,
        LogRecord::Commit { .. } => COMMIT_WITH_POSITIONS,
    }
}

fn put_positions(out: &mut Vec<u8>, positions: &[Position]) -> Result<()> {
    let positions = positions.iter().map(|position| json!([position.relation.0, position.split, position.value]));
    let positions = Value::Array(positions.collect()).to_string();
    put_length(out, positions.len())?;
    put_u32(out, 0);
    out.extend(positions.as_bytes());
    pad(out);
    Ok(())
}

fn put_write(out: &mut Vec<u8>, write: &RelationWrite, context: &mut IpcWriteContext) -> Result<()> {
    put_u64(out, write.relation);
    put_u32(out, fingerprint(&write.columns));
    put_length(out, write.inserts.len())?;
    put_length(out, usize::try_from(write.deletes.len()).unwrap_or(usize::MAX))?;
    let mut ids = Vec::new();
    let mut before = 0;
    for id in &write.deletes {
        put_varint(&mut ids, id.wrapping_sub(before));
        before = id;
    }
    put_length(out, ids.len())?;
    out.extend(ids);
    pad(out);
    write.inserts.iter().flat_map(Rows::read).try_for_each(|rows| encode_rows(&rows?, context, out))
}

/// The same of a write that may name files: the deletes as a bitmap, and of each part of the inserts what it is.
fn put_large_write(out: &mut Vec<u8>, write: &RelationWrite, context: &mut IpcWriteContext) -> Result<()> {
    put_u64(out, write.relation);
    put_u32(out, fingerprint(&write.columns));
    put_length(out, write.inserts.len())?;
    put_length(out, write.deletes.serialized_size())?;
    put_u32(out, 0);
    write.deletes.serialize_into(&mut *out)?;
    pad(out);
    for rows in &write.inserts {
        match rows {
            Rows::Held(rows) => {
                put_u32(out, HELD);
                put_u32(out, 0);
                encode_rows(rows, context, out)?;
            }
            Rows::Spooled(spooled) => {
                let name = spooled.name();
                put_u32(out, IN_FILE);
                put_u32(out, name.checksum);
                put_u64(out, name.number);
                put_u64(out, name.length);
            }
        }
    }
    Ok(())
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend(number.to_le_bytes());
}

fn put_length(out: &mut Vec<u8>, length: usize) -> Result<()> {
    let too_large = || Error::new(ErrorKind::Resource, "the commit is too large for the log").with_sqlstate("54000");
    put_u32(out, u32::try_from(length).map_err(|_| too_large())?);
    Ok(())
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}

/// A number that other columns do not have.
fn fingerprint(columns: &[ColumnId]) -> u32 {
    columns.iter().fold(columns.len() as u32, |so_far, id| crc32c::crc32c_append(so_far, &id.0.to_le_bytes()))
}

/// The columns of a relation, as the catalog has them when a group is read.
pub type Columns<'a> = dyn Fn(RelationId) -> Option<(Arc<[ColumnId]>, SchemaRef)> + 'a;

/// The records of a group. The rows share its bytes, but for those that are in `files`; those that were deleted are not
/// there.
pub fn decode(epoch: u64, group: &Buffer, columns: &Columns, files: &Arc<SegmentFiles>) -> Result<Vec<LogRecord>> {
    let mut input = Input { bytes: group.as_slice(), at: 0 };
    let time_us = input.u64()? as i64;
    let mut records = Vec::new();
    while input.at < group.len() {
        let (tag, _, length) = (input.u32()?, input.u32()?, input.u64()?);
        let end = usize::try_from(length).ok().and_then(|length| input.at.checked_add(length));
        let end = end.filter(|&end| end <= group.len()).ok_or_else(damaged)?;
        match tag {
            TICK => records.push(LogRecord::Tick { epoch, time_us }),
            COMMIT | COMMIT_WITH_POSITIONS | LARGE_COMMIT => {
                let positions = if tag == COMMIT { Vec::new() } else { decode_positions(&mut input)? };
                let (catalog, writes) =
                    decode_commit(group, &mut input, columns, (tag == LARGE_COMMIT).then_some(files))?;
                records.push(LogRecord::Commit { epoch, time_us, catalog, writes, positions });
            }
            _ => return Err(unknown(tag)),
        }
        input.pad();
        if input.at != end {
            return Err(damaged());
        }
    }
    Ok(records)
}

fn decode_positions(input: &mut Input) -> Result<Vec<Position>> {
    let (length, _) = (input.u32()?, input.u32()?);
    let positions: Vec<(u64, String, String)> =
        serde_json::from_slice(input.take(length as usize)?).map_err(|_| damaged())?;
    input.pad();
    let positions = positions.into_iter();
    let position = |(relation, split, value)| Position { relation: RelationId(relation), split, value };
    Ok(positions.map(position).collect())
}

/// A commit; a large one where it may name files, to be opened.
fn decode_commit(
    group: &Buffer,
    input: &mut Input,
    columns: &Columns,
    large: Option<&Arc<SegmentFiles>>,
) -> Result<(CatalogDelta, Vec<RelationWrite>)> {
    let (catalog, writes) = (input.u32()?, input.u32()?);
    let catalog = match input.take(catalog as usize)? {
        [] => CatalogDelta::default(),
        json => decode_delta(&serde_json::from_slice(json).map_err(|_| damaged())?)?,
    };
    input.pad();
    let columns = |id| {
        let defined = catalog.defined().filter(|relation| relation.id == id).last();
        defined.map(|relation| (relation.columns.clone(), relation.schema.clone())).or_else(|| columns(id))
    };
    let write = |_| match large {
        Some(files) => decode_large_write(group, input, &columns, files),
        None => decode_write(group, input, &columns),
    };
    let writes = (0..writes).map(write).collect::<Result<_>>()?;
    Ok((catalog, writes))
}

fn decode_write(group: &Buffer, input: &mut Input, columns: &Columns) -> Result<RelationWrite> {
    let (relation, print, batches) = (input.u64()?, input.u32()?, input.u32()?);
    let (count, bytes) = (input.u32()?, input.u32()?);
    let (columns, schema) = columns_of(relation, print, columns)?;
    let mut ids = Input { bytes: input.take(bytes as usize)?, at: 0 };
    let mut before = 0u64;
    let mut id = || -> Result<u64> {
        before = before.wrapping_add(ids.varint()?);
        Ok(before)
    };
    let deletes = (0..count).map(|_| id()).collect::<Result<_>>()?;
    input.pad();
    let mut inserts = Vec::new();
    for _ in 0..batches {
        let (rows, end) = decode_rows(group, input.at, &schema)?;
        input.at = end;
        inserts.push(Rows::Held(rows));
    }
    Ok(RelationWrite { relation, columns, deletes, deleted: None, inserts, read: Vec::new() })
}

fn decode_large_write(
    group: &Buffer,
    input: &mut Input,
    columns: &Columns,
    files: &Arc<SegmentFiles>,
) -> Result<RelationWrite> {
    let (relation, print, parts) = (input.u64()?, input.u32()?, input.u32()?);
    let (bytes, _) = (input.u32()?, input.u32()?);
    let (columns, schema) = columns_of(relation, print, columns)?;
    let deletes = RoaringTreemap::deserialize_from(input.take(bytes as usize)?).map_err(|_| damaged())?;
    input.pad();
    let mut inserts = Vec::new();
    for _ in 0..parts {
        let (kind, checksum) = (input.u32()?, input.u32()?);
        match kind {
            HELD => {
                let (rows, end) = decode_rows(group, input.at, &schema)?;
                input.at = end;
                inserts.push(Rows::Held(rows));
            }
            IN_FILE => {
                let name = FileName { number: input.u64()?, length: input.u64()?, checksum };
                let spooled = Spooled::open(files, name, RelationId(relation), &columns, schema.clone())?;
                inserts.push(Rows::Spooled(Arc::new(spooled)));
            }
            _ => return Err(damaged()),
        }
    }
    Ok(RelationWrite { relation, columns, deletes, deleted: None, inserts, read: Vec::new() })
}

/// The columns of a relation, if they are those that rows were written with.
fn columns_of(relation: u64, print: u32, columns: &Columns) -> Result<(Arc<[ColumnId]>, SchemaRef)> {
    columns(RelationId(relation)).filter(|(columns, _)| fingerprint(columns) == print).ok_or_else(damaged)
}

/// Bytes that are taken from the front.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.at..end)).ok_or_else(damaged)?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| damaged())
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(damaged())
    }

    fn pad(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Io, "a record of the log makes no sense").with_sqlstate("XX001")
}

fn unknown(tag: u32) -> Error {
    Error::unsupported(format!("the log has a record of kind {tag}, which is not known here"))
        .with_hint("a newer version wrote it")
}
