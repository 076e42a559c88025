//! The header, footer and trailer of a segment file as bytes, and back.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::base::error::Result;
use crate::base::limits::CEILING;
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::RelationId;
use crate::storage::ipc::{decode_schema, encode_schema};
use crate::storage::segment::{
    Block, Deaths, Extent, FORMAT, HEADER, MAGIC, Source, TRAILER, checksum, damaged, number,
};

/// More rows no block has.
const ROWS_MAX: usize = 1 << 24;

/// The first bytes of a file.
pub fn header(database: [u8; 16], number: u64, salt: u32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[16..32].copy_from_slice(&database);
    bytes[32..40].copy_from_slice(&number.to_le_bytes());
    bytes[40..44].copy_from_slice(&salt.to_le_bytes());
    let check = checksum(0, &bytes[16..]);
    bytes[12..16].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// The salt in a header; an error if it is not that of file `own` of the database.
pub fn check_header(bytes: &[u8; HEADER], database: [u8; 16], own: u64) -> Result<u32> {
    if &bytes[..8] != MAGIC || number(&bytes[12..16]) != u64::from(checksum(0, &bytes[16..])) {
        return Err(damaged("is damaged in its first bytes"));
    }
    if number(&bytes[8..12]) != u64::from(FORMAT) {
        return Err(damaged("has a format that is not known here: a newer version wrote it"));
    }
    if bytes[16..32] != database || number(&bytes[32..40]) != own {
        return Err(damaged("belongs to another database, or has another file's name"));
    }
    Ok(number(&bytes[40..44]) as u32)
}

/// The last bytes of a file.
pub fn trailer(footer: Extent) -> [u8; TRAILER] {
    let mut bytes = [0; TRAILER];
    bytes[..8].copy_from_slice(&footer.offset.to_le_bytes());
    bytes[8..12].copy_from_slice(&footer.length.to_le_bytes());
    bytes[12..16].copy_from_slice(&footer.checksum.to_le_bytes());
    bytes[24..].copy_from_slice(MAGIC);
    let check = checksum(0, &bytes[..16]);
    bytes[16..20].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// Where the footer is; an error if it is not the one that was promised.
pub fn check_trailer(bytes: &[u8; TRAILER], promised: u32) -> Result<Extent> {
    let is_whole = &bytes[24..] == MAGIC && number(&bytes[16..20]) == u64::from(checksum(0, &bytes[..16]));
    let found = number(&bytes[12..16]) as u32;
    if !is_whole || found != promised {
        return Err(damaged("is damaged in its last bytes"));
    }
    Ok(Extent { offset: number(&bytes[..8]), length: number(&bytes[8..12]) as u32, checksum: found })
}

/// The footer of a file.
pub fn encode(blocks: &[Block], deaths: &[Deaths]) -> Result<Vec<u8>> {
    let mut runs: Vec<Value> = Vec::new();
    for run in blocks.chunk_by(|one, other| Arc::ptr_eq(&one.columns, &other.columns)) {
        let Some(any) = run.first() else { continue };
        let columns: Vec<u32> = any.columns.iter().map(|id| id.0).collect();
        let blocks: Vec<Value> = run.iter().map(encode_block).collect();
        let schema = STANDARD.encode(encode_schema(&any.schema)?);
        runs.push(json!({ "relation": any.relation.0, "columns": columns, "schema": schema, "blocks": blocks }));
    }
    let deaths: Vec<Value> = deaths.iter().map(|one| json!([one.relation.0, encode_extent(&one.extent)])).collect();
    Ok(json!({ "rows": runs, "deaths": deaths }).to_string().into_bytes())
}

fn encode_block(block: &Block) -> Value {
    let parts: Vec<Value> = block.parts.iter().map(encode_extent).collect();
    json!([block.first, block.rows, block.ids.as_ref().map(encode_extent), parts, encode_extent(&block.bounds)])
}

fn encode_extent(extent: &Extent) -> Value {
    json!([extent.offset, extent.length, extent.checksum])
}

/// The blocks and sets of deaths of a file.
pub type Parts = (Vec<Arc<Block>>, Vec<Arc<Deaths>>);

/// What a footer names.
pub fn decode(bytes: &[u8], source: &Arc<Source>) -> Result<Parts> {
    let parse = || -> Option<Parts> {
        let footer: Value = serde_json::from_slice(bytes).ok()?;
        let mut blocks = Vec::new();
        for run in footer.get("rows")?.as_array()? {
            decode_run(run, source, &mut blocks)?;
        }
        let deaths = footer.get("deaths")?.as_array()?.iter().enumerate().map(|(number, one)| {
            let (relation, extent) = (RelationId(one.get(0)?.as_u64()?), decode_extent(one.get(1)?)?);
            Some(Arc::new(Deaths { source: source.clone(), number, relation, extent }))
        });
        Some((blocks, deaths.collect::<Option<_>>()?))
    };
    parse().ok_or_else(|| damaged("has a footer that makes no sense"))
}

fn decode_run(run: &Value, source: &Arc<Source>, blocks: &mut Vec<Arc<Block>>) -> Option<()> {
    let relation = RelationId(run.get("relation")?.as_u64()?);
    let column = |id: &Value| Some(ColumnId(u32::try_from(id.as_u64()?).ok()?));
    let columns: Arc<[ColumnId]> = run.get("columns")?.as_array()?.iter().map(column).collect::<Option<_>>()?;
    let schema = decode_schema(&STANDARD.decode(run.get("schema")?.as_str()?).ok()?).ok()?;
    for block in run.get("blocks")?.as_array()? {
        let parts = block.get(3)?.as_array()?.iter().map(decode_extent).collect::<Option<Vec<_>>>()?;
        if parts.len() != columns.len() || schema.fields().len() != columns.len() {
            return None;
        }
        let ids = match block.get(2)? {
            Value::Null => None,
            extent => Some(decode_extent(extent)?),
        };
        blocks.push(Arc::new(Block {
            source: source.clone(),
            number: blocks.len(),
            relation,
            columns: columns.clone(),
            schema: schema.clone(),
            first: block.get(0)?.as_u64().filter(|&first| first < CEILING)?,
            shift: 0,
            rows: usize::try_from(block.get(1)?.as_u64()?).ok().filter(|&rows| rows <= ROWS_MAX)?,
            ids,
            parts,
            bounds: decode_extent(block.get(4)?)?,
            read_bounds: OnceLock::new(),
        }));
    }
    Some(())
}

fn decode_extent(value: &Value) -> Option<Extent> {
    let small = |at: usize| u32::try_from(value.get(at)?.as_u64()?).ok();
    Some(Extent { offset: value.get(0)?.as_u64()?, length: small(1)?, checksum: small(2)? })
}
