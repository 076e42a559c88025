//! The manifest: everything there was at one epoch, by reference to segment files.
//!
//! ```text
//! manifest/0000000000000004.manifest   whole, synced before it gets its name; the greatest number counts
//! ```
//!
//! A checkpoint writes a manifest that is whole, and then removes what it no longer names: older manifests, log files
//! below its first one, segment files. It is small, because segment files say themselves what blocks they have. What
//! the manifest names is its epoch's contents and definitions; the log is replayed from there on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::CEILING;
use crate::base::vfs::{Vfs, read_whole};
use crate::catalog::relation::{Relation, RelationId};
use crate::storage::RESTORE;
use crate::storage::definition::{decode_relation, encode_relation};
use crate::storage::log::Position;
use crate::storage::segment::FileName;

/// The directory of the manifests.
pub const DIRECTORY: &str = "manifest";
/// What a manifest is called while it is made.
const UNFINISHED: &str = "manifest/next.tmp";

const MAGIC: &[u8; 8] = b"EDDYMAN\0";
const FORMAT: u32 = 1;
const HEADER: usize = 48;
/// What a part of a segment file takes in it, at least.
const PART_BYTES: u64 = 8;
/// What a manifest says.
const PARTS: [&str; 10] =
    ["epoch", "time", "log", "next_relation", "next_file", "files", "relations", "kept", "rows", "positions"];

/// Everything there was at one epoch.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// Its number: each is one more than the one before.
    pub number: u64,
    /// The epoch.
    pub epoch: u64,
    /// The epoch's time, in microseconds since 1970 (UTC).
    pub time_us: i64,
    /// The first log file that has later epochs; those before it are needed no more.
    pub first_log: u64,
    /// The number of the next relation.
    pub next_relation: u64,
    /// The number of the next segment file.
    pub next_file: u64,
    /// The segment files.
    pub files: Vec<FileName>,
    /// The definitions.
    pub relations: Vec<Arc<Relation>>,
    /// Of materialized views, whether their rows are kept change by change.
    pub kept: BTreeMap<RelationId, bool>,
    /// The rows of tables and streams.
    pub rows: Vec<Rows>,
    /// How far sources, sinks and subscribers had come.
    pub positions: Vec<Position>,
}

/// The rows of one table or stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The relation.
    pub relation: RelationId,
    /// Every row id is below.
    pub high: u64,
    /// Its blocks, in the order of row ids.
    pub blocks: Vec<BlockPart>,
    /// Its sets of dead rows.
    pub deaths: Vec<Part>,
}

/// A block or set of deaths: the file and the number in it.
pub type Part = (u64, usize);

/// A block of rows, and by how much the ids of its rows are greater than its file says.
pub type BlockPart = (Part, u64);

/// Reads the manifest that counts; `None` where there never was one.
///
/// # Errors
/// It is damaged (XX001), of another database, or of a format that is not known (0A000).
pub fn read(vfs: &dyn Vfs, database: [u8; 16]) -> Result<Option<Manifest>> {
    let number = numbers(vfs)?.last().copied();
    number.map(|number| read_numbered(vfs, database, number)).transpose()
}

/// Reads the manifest of a number.
pub fn read_numbered(vfs: &dyn Vfs, database: [u8; 16], number: u64) -> Result<Manifest> {
    let path = path(number);
    let read = || -> Result<Manifest> {
        let file = vfs.open_to_read(&path)?;
        decode(&read_whole(file.as_ref(), &path, u64::MAX)?, database, number)
    };
    read().map_err(|error| {
        Error::new(error.kind(), format!("\"{}\" {}", path.display(), error.message()))
            .with_sqlstate(error.sqlstate())
            .with_hint(RESTORE)
    })
}

/// Writes `manifest`, which means nothing yet. After an error nothing is left of it.
pub fn write(vfs: &dyn Vfs, database: [u8; 16], manifest: &Manifest) -> Result<()> {
    let bytes = encode(manifest, database)?;
    vfs.create_directory(Path::new(DIRECTORY))?;
    let unfinished = Path::new(UNFINISHED);
    if vfs.exists(unfinished)? {
        vfs.remove(unfinished)?;
    }
    let made = vfs.create(unfinished).and_then(|file| file.write_at(0, &bytes).and_then(|()| file.sync()));
    made.inspect_err(|_| drop(vfs.remove(unfinished)))
}

/// Makes the manifest that was written the one that counts. After an error nobody knows whether it is.
pub fn publish(vfs: &dyn Vfs, number: u64) -> Result<()> {
    vfs.rename(Path::new(UNFINISHED), &path(number))?;
    vfs.sync_directory(Path::new(DIRECTORY))
}

/// Removes the manifests before `number`.
pub fn remove_older(vfs: &dyn Vfs, number: u64) -> Result<()> {
    let older = numbers(vfs)?.into_iter().filter(|&other| other < number);
    older.map(path).try_for_each(|path| vfs.remove(&path))
}

/// The numbers of the manifests, ascending.
pub fn numbers(vfs: &dyn Vfs) -> Result<Vec<u64>> {
    let directory = Path::new(DIRECTORY);
    if !vfs.exists(directory)? {
        return Ok(Vec::new());
    }
    let number = |name: &String| name.strip_suffix(".manifest")?.parse().ok().filter(|&number| number < CEILING);
    let mut numbers: Vec<u64> = vfs.list(directory)?.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn path(number: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{number:016}.manifest"))
}

fn encode(manifest: &Manifest, database: [u8; 16]) -> Result<Vec<u8>> {
    let relations = manifest.relations.iter().map(|relation| encode_relation(relation)).collect::<Result<Vec<_>>>()?;
    let files = manifest.files.iter().map(|file| json!([file.number, file.length, file.checksum]));
    let kept = manifest.kept.iter().map(|(id, kept)| json!([id.0, kept]));
    let rows = manifest.rows.iter().map(|rows| {
        json!({
            "relation": rows.relation.0,
            "high": rows.high,
            "blocks": encode_blocks(&rows.blocks),
            "deaths": encode_parts(&rows.deaths),
        })
    });
    let positions = manifest.positions.iter();
    let positions = positions.map(|position| json!([position.relation.0, position.split, position.value]));
    let text = json!({
        "epoch": manifest.epoch,
        "time": manifest.time_us,
        "log": manifest.first_log,
        "next_relation": manifest.next_relation,
        "next_file": manifest.next_file,
        "files": files.collect::<Vec<_>>(),
        "relations": relations,
        "kept": kept.collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
        "positions": positions.collect::<Vec<_>>(),
    })
    .to_string();
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[16..32].copy_from_slice(&database);
    bytes[32..40].copy_from_slice(&manifest.number.to_le_bytes());
    bytes[40..48].copy_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend(text.into_bytes());
    let check = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&check.to_le_bytes());
    Ok(bytes)
}

fn decode(bytes: &[u8], database: [u8; 16], own: u64) -> Result<Manifest> {
    let number = |at: std::ops::Range<usize>| bytes[at].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    if bytes.len() < HEADER || &bytes[..8] != MAGIC || number(12..16) != u64::from(crc32c::crc32c(&bytes[16..])) {
        return Err(damaged());
    }
    if number(8..12) != u64::from(FORMAT) {
        return Err(unknown());
    }
    if bytes[16..32] != database || number(32..40) != own || number(40..48) != (bytes.len() - HEADER) as u64 {
        return Err(
            Error::new(ErrorKind::Io, "belongs to another database, or has another one's name").with_sqlstate("XX001")
        );
    }
    let text: Value = serde_json::from_slice(&bytes[HEADER..]).map_err(|_| damaged())?;
    let parts = text.as_object().ok_or_else(damaged)?;
    if parts.keys().any(|name| !PARTS.contains(&name.as_str())) {
        return Err(unknown());
    }
    let relations = list(&text, "relations")?.iter().map(|value| decode_relation(value).map(Arc::new));
    let relations = relations.collect::<Result<_>>()?;
    let decode = || -> Option<Manifest> {
        let whole = |name: &str| text.get(name)?.as_u64().filter(|&number| number < CEILING);
        let file = |value: &Value| {
            let checksum = u32::try_from(value.get(2)?.as_u64()?).ok()?;
            Some(FileName { number: value.get(0)?.as_u64()?, length: value.get(1)?.as_u64()?, checksum })
        };
        let files: Vec<FileName> = text.get("files")?.as_array()?.iter().map(file).collect::<Option<_>>()?;
        let lengths = files.iter().map(|file| (file.number, file.length)).collect();
        let kept = |value: &Value| Some((RelationId(value.get(0)?.as_u64()?), value.get(1)?.as_bool()?));
        let rows = |value: &Value| {
            Some(Rows {
                relation: RelationId(value.get("relation")?.as_u64()?),
                high: value.get("high")?.as_u64().filter(|&high| high < CEILING)?,
                blocks: decode_blocks(value.get("blocks")?, &lengths)?,
                deaths: decode_parts(value.get("deaths")?, &lengths)?,
            })
        };
        let text_at = |value: &Value, place: usize| Some(value.get(place)?.as_str()?.to_string());
        let position = |value: &Value| {
            let relation = RelationId(value.get(0)?.as_u64()?);
            Some(Position { relation, split: text_at(value, 1)?, value: text_at(value, 2)? })
        };
        Some(Manifest {
            number: own,
            epoch: whole("epoch")?,
            time_us: text.get("time")?.as_i64()?,
            first_log: whole("log")?,
            next_relation: whole("next_relation")?,
            next_file: whole("next_file")?,
            files,
            relations,
            kept: text.get("kept")?.as_array()?.iter().map(kept).collect::<Option<_>>()?,
            rows: text.get("rows")?.as_array()?.iter().map(rows).collect::<Option<_>>()?,
            positions: text.get("positions")?.as_array()?.iter().map(position).collect::<Option<_>>()?,
        })
    };
    decode().ok_or_else(damaged)
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    value.get(name).and_then(Value::as_array).ok_or_else(damaged)
}

/// Parts as runs: file, first number, how many.
fn encode_parts(parts: &[Part]) -> Value {
    let runs = parts.chunk_by(|one, other| one.0 == other.0 && one.1 + 1 == other.1);
    runs.filter_map(|run| run.first().map(|first| json!([first.0, first.1, run.len()]))).collect()
}

/// The lengths of the files say how many parts there may be.
fn decode_parts(value: &Value, lengths: &BTreeMap<u64, u64>) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    for run in value.as_array()? {
        let at = |place: usize| run.get(place)?.as_u64();
        let (file, first, count) = (at(0)?, usize::try_from(at(1)?).ok()?, usize::try_from(at(2)?).ok()?);
        if count as u64 > lengths.get(&file)? / PART_BYTES {
            return None;
        }
        parts.extend((first..first.checked_add(count)?).map(|number| (file, number)));
    }
    Some(parts)
}

/// Blocks as runs: as [`encode_parts`], and the shift where there is one.
fn encode_blocks(blocks: &[BlockPart]) -> Value {
    let follows =
        |one: &BlockPart, other: &BlockPart| one.0.0 == other.0.0 && one.0.1 + 1 == other.0.1 && one.1 == other.1;
    let run = |run: &[BlockPart]| {
        let ((file, number), shift) = *run.first()?;
        Some(if shift == 0 { json!([file, number, run.len()]) } else { json!([file, number, run.len(), shift]) })
    };
    blocks.chunk_by(follows).filter_map(run).collect()
}

fn decode_blocks(value: &Value, lengths: &BTreeMap<u64, u64>) -> Option<Vec<BlockPart>> {
    let mut blocks = Vec::new();
    for run in value.as_array()? {
        let shift = run.get(3).map_or(Some(0), Value::as_u64)?;
        let parts = decode_parts(&json!([run]), lengths)?;
        blocks.extend(parts.into_iter().map(|part| (part, shift)));
    }
    Some(blocks)
}

fn damaged() -> Error {
    Error::new(ErrorKind::Io, "is damaged").with_sqlstate("XX001")
}

fn unknown() -> Error {
    Error::unsupported("has parts that are not known here: a newer version wrote it")
}
