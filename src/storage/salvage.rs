//! What can be read of a damaged directory: nothing in it is changed, and whatever is left out is said.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::buffer::Buffer;

use crate::base::access::NOT_FOUND;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::vfs::Vfs;
use crate::storage::directory;
use crate::storage::log;
use crate::storage::manifest::{self, BlockPart, Manifest, Part};
use crate::storage::segment::{self, Block, Cache, Deaths, SegmentFile, SegmentFiles};
use crate::storage::store::StoredRows;

/// Where the identity of the database stands in log files, manifests and segment files alike.
const IDENTITY: std::ops::Range<usize> = 16..32;

/// What can be read.
pub struct Salvaged {
    /// The newest manifest that is whole, if one is, with the rows that it names and that are whole.
    pub saved: Option<(Manifest, Vec<StoredRows>)>,
    /// The groups of the log behind it, up to the first that is damaged, each with its epoch.
    pub groups: Vec<(u64, Buffer)>,
    /// The segment files that the groups may name.
    pub files: Arc<SegmentFiles>,
    /// What is lost.
    pub lost: Vec<String>,
}

/// Reads what is whole in the directory.
///
/// # Errors
/// It holds no database, or neither a manifest nor the beginning of its log can be read.
pub fn salvage(whole: &Arc<dyn Vfs>) -> Result<Salvaged> {
    let vfs = whole.as_ref();
    let mut lost = Vec::new();
    let database = match directory::identity_of(vfs) {
        Ok(database) => database,
        Err(error) => {
            let found = identity_elsewhere(vfs)?.ok_or_else(|| copy(&error))?;
            lost.push(format!("FORMAT: {}", error.message()));
            found
        }
    };
    let saved = newest_manifest(vfs, database, &mut lost)?;
    let saved = match saved {
        None => None,
        Some(manifest) => {
            let files = open_files(vfs, database, &manifest)?;
            let rows = manifest.rows.iter().map(|rows| whole_rows(&files, &manifest, rows, &mut lost)).collect();
            Some((manifest, rows))
        }
    };
    let start = saved.as_ref().map_or(log::Start { file: 1, epoch: 0 }, |(manifest, _)| log::Start {
        file: manifest.first_log,
        epoch: manifest.epoch,
    });
    let (groups, complaint) = log::read_whole_groups(vfs, database, start)?;
    lost.extend(complaint);
    if saved.is_none() && groups.is_empty() && !lost.is_empty() {
        return Err(Error::new(ErrorKind::Io, format!("nothing can be read of the database: {}", lost.join("; ")))
            .with_sqlstate("XX001"));
    }
    let files = Arc::new(SegmentFiles::new(whole.clone(), database, Arc::new(Cache::new(0)), 1)?);
    Ok(Salvaged { saved, groups, files, lost })
}

/// The identity that the files say where FORMAT does not.
fn identity_elsewhere(vfs: &dyn Vfs) -> Result<Option<[u8; 16]>> {
    for directory in [manifest::DIRECTORY, log::DIRECTORY, segment::DIRECTORY].map(Path::new) {
        if !vfs.exists(directory)? {
            continue;
        }
        for name in vfs.list(directory)? {
            let mut bytes = [0; 32];
            let length = vfs.open_to_read(&directory.join(name))?.read_at(0, &mut bytes)?;
            if length == bytes.len() && bytes.starts_with(b"EDDY") {
                let mut identity = [0; 16];
                identity.copy_from_slice(&bytes[IDENTITY]);
                return Ok(Some(identity));
            }
        }
    }
    Ok(None)
}

fn newest_manifest(vfs: &dyn Vfs, database: [u8; 16], lost: &mut Vec<String>) -> Result<Option<Manifest>> {
    for number in manifest::numbers(vfs)?.into_iter().rev() {
        match manifest::read_numbered(vfs, database, number) {
            Ok(manifest) => return Ok(Some(manifest)),
            Err(error) => lost.push(error.message().to_string()),
        }
    }
    Ok(None)
}

/// Each file that the manifest names, once: open, or what is wrong with it. That no more files can be opened is not a
/// fault of theirs.
fn open_files(vfs: &dyn Vfs, database: [u8; 16], manifest: &Manifest) -> Result<HashMap<u64, Result<SegmentFile>>> {
    let cache = Arc::new(Cache::new(0));
    let mut files = HashMap::new();
    for name in &manifest.files {
        let file = SegmentFile::open(vfs, database, *name, &cache);
        match &file {
            Err(error) if ![segment::DAMAGED, NOT_FOUND].contains(&error.sqlstate()) => return Err(copy(error)),
            _ => drop(files.insert(name.number, file)),
        }
    }
    Ok(files)
}

/// The blocks and deaths of a relation that are whole.
fn whole_rows(
    files: &HashMap<u64, Result<SegmentFile>>,
    manifest: &Manifest,
    rows: &manifest::Rows,
    lost: &mut Vec<String>,
) -> StoredRows {
    let name = manifest.relations.iter().find(|relation| relation.id == rows.relation);
    let name = name.map_or_else(|| rows.relation.to_string(), |relation| relation.name.clone());
    let open = |number: &u64| -> Result<&SegmentFile> {
        let file = files.get(number).ok_or_else(|| Error::internal("a file without a name"))?;
        file.as_ref().map_err(copy)
    };
    let block = |((file, number), shift): &BlockPart| -> Result<Arc<Block>> {
        let block = open(file)?.blocks.get(*number).cloned();
        let block = block.filter(|block| block.relation == rows.relation);
        let block = block.ok_or_else(|| Error::internal("no such block"))?;
        block.check()?;
        if *shift == 0 { Ok(block) } else { block.shifted(*shift).map(Arc::new) }
    };
    let deaths = |(file, number): &Part| -> Result<Arc<Deaths>> {
        let deaths = open(file)?.deaths.get(*number).cloned().ok_or_else(|| Error::internal("no such deaths"))?;
        deaths.read().map(|_| deaths)
    };
    let mut whole = StoredRows { relation: rows.relation, high: rows.high, blocks: Vec::new(), deaths: Vec::new() };
    for part in &rows.blocks {
        match block(part) {
            Ok(block) => whole.blocks.push(block),
            Err(error) => lost.push(format!("rows of \"{name}\": {}", error.message())),
        }
    }
    for part in &rows.deaths {
        match deaths(part) {
            Ok(deaths) => whole.deaths.push(deaths),
            Err(error) => {
                lost.push(format!("which rows of \"{name}\" were deleted, so some are back: {}", error.message()));
            }
        }
    }
    whole
}

fn copy(error: &Error) -> Error {
    Error::new(error.kind(), error.message()).with_sqlstate(error.sqlstate())
}
