//! Segment files: rows that the log no longer needs to hold, immutable and checksummed.
//!
//! ```text
//! header | parts ...                              | footer | trailer
//!          columns of blocks, ids of rows, deaths   what there is and where, as JSON
//! ```
//!
//! A [`Block`] is up to 65,536 rows of one relation, column for column, so that a reader fetches the columns it needs.
//! A file means nothing until the manifest names it, and is never changed: it is written, synced, named, and removed
//! when nobody needs it. Who has it open reads on. Every part has its checksum, which is asked whenever the part is
//! read: a flipped bit is an error that names the file, never a wrong row.

mod bounds;
mod cache;
mod files;
mod footer;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::{Buffer, MutableBuffer, ScalarBuffer};
use arrow::datatypes::{Schema, SchemaRef};
use roaring::RoaringTreemap;

use crate::base::access::NOT_FOUND;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::CEILING;
use crate::base::vfs::{Vfs, VfsFile};
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::RelationId;
use crate::storage::RESTORE;
use crate::storage::ipc::decode_rows;

pub use cache::Cache;
pub use files::SegmentFiles;
pub use writer::SegmentWriter;

/// The directory of the segment files.
pub const DIRECTORY: &str = "seg";

const MAGIC: &[u8; 8] = b"EDDYSEG\0";
const FORMAT: u32 = 1;
const HEADER: usize = 48;
const TRAILER: usize = 32;
/// What the footer says of a block or a set of deaths takes at most about so many bytes.
const FOOTER_OF_BLOCK: u64 = 256;

/// The SQLSTATE of damaged data.
pub const DAMAGED: &str = "XX001";

/// Where a part of a file is, and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    offset: u64,
    length: u32,
    checksum: u32,
}

/// A segment file as the manifest names it: of two files with a number only one has this checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileName {
    /// Its number.
    pub number: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The checksum of its footer, which has those of all parts.
    pub checksum: u32,
}

/// A segment file that is open: what it holds.
#[derive(Debug)]
pub struct SegmentFile {
    /// How the manifest names it.
    pub name: FileName,
    /// The rows.
    pub blocks: Vec<Arc<Block>>,
    /// Rows of other files that are dead.
    pub deaths: Vec<Arc<Deaths>>,
}

/// Rows of one relation in a file.
#[derive(Debug, Clone)]
pub struct Block {
    source: Arc<Source>,
    /// Which of the file's blocks it is.
    pub number: usize,
    /// The relation.
    pub relation: RelationId,
    /// The columns, by identity.
    pub columns: Arc<[ColumnId]>,
    /// Their names when they were written, and their types.
    schema: SchemaRef,
    /// The id of the first row.
    pub first: u64,
    /// By how much the ids of its rows are greater than the file says.
    pub shift: u64,
    /// How many rows there are.
    pub rows: usize,
    /// Where ids do not follow one another.
    ids: Option<Extent>,
    parts: Vec<Extent>,
    /// Where the least and greatest values are.
    bounds: Extent,
    read_bounds: OnceLock<RecordBatch>,
}

/// Ids of dead rows of a relation.
#[derive(Debug)]
pub struct Deaths {
    source: Arc<Source>,
    /// Which of the file's sets of deaths it is.
    pub number: usize,
    /// The relation.
    pub relation: RelationId,
    extent: Extent,
}

/// What reads parts of a file.
#[derive(Debug)]
struct Source {
    file: Box<dyn VfsFile>,
    /// No part lies beyond.
    length: u64,
    number: u64,
    salt: u32,
    cache: Arc<Cache>,
}

impl SegmentFile {
    /// Opens the file that a manifest names.
    ///
    /// # Errors
    /// It is missing, damaged (XX001) or of another database.
    pub fn open(vfs: &dyn Vfs, database: [u8; 16], name: FileName, cache: &Arc<Cache>) -> Result<Self> {
        let path = path(name.number);
        let open = || -> Result<Self> {
            let file = vfs.open_to_read(&path)?;
            let mut header = [0; HEADER];
            let mut trailer = [0; TRAILER];
            let end = name.length.checked_sub(TRAILER as u64).ok_or_else(|| damaged("is too short"))?;
            if file.len()? < name.length {
                return Err(damaged("is too short"));
            }
            if file.read_at(0, &mut header)? < HEADER || file.read_at(end, &mut trailer)? < TRAILER {
                return Err(damaged("is too short"));
            }
            let salt = footer::check_header(&header, database, name.number)?;
            let extent = footer::check_trailer(&trailer, name.checksum)?;
            let source =
                Arc::new(Source { file, length: name.length, number: name.number, salt, cache: cache.clone() });
            let bytes = source.fetch(extent)?;
            let (blocks, deaths) = footer::decode(&bytes, &source)?;
            Ok(SegmentFile { name, blocks, deaths })
        };
        open().map_err(|error| in_file(&path, error))
    }

    /// Reads every part; an error if one is damaged.
    pub fn check(&self) -> Result<()> {
        for block in &self.blocks {
            block.check()?;
        }
        self.deaths.iter().try_for_each(|deaths| deaths.read().map(drop))
    }
}

impl Block {
    /// The same rows under ids greater by `shift`. The block must have consecutive ids, as those of a commit's own
    /// files have.
    pub fn shifted(&self, shift: u64) -> Result<Self> {
        match (shift, self.ids, self.first.checked_add(shift).filter(|&first| first < CEILING)) {
            (0, ..) => Ok(self.clone()),
            (_, None, Some(first)) => Ok(Block { first, shift: self.shift + shift, ..self.clone() }),
            _ => Err(in_file(&path(self.source.number), damaged("has ids that cannot be shifted"))),
        }
    }

    /// One column of all rows; `None` where the rows were stored without it.
    pub fn column(&self, place: usize) -> Result<ArrayRef> {
        let extent = self.parts.get(place).ok_or_else(|| Error::internal("no such column in a block"))?;
        self.source.cache.column((self.source.number, extent.offset), || self.fetch_column(place, *extent))
    }

    /// Holds a column that is in memory anyway, as if it had been fetched.
    pub fn keep(&self, place: usize, column: &ArrayRef) {
        if let Some(extent) = self.parts.get(place) {
            self.source.cache.put((self.source.number, extent.offset), column);
        }
    }

    /// A column that is in memory.
    pub fn kept(&self, place: usize) -> Option<ArrayRef> {
        self.source.cache.get((self.source.number, self.parts.get(place)?.offset))
    }

    /// All rows with all columns that were stored.
    pub fn read(&self) -> Result<RecordBatch> {
        let columns = (0..self.parts.len()).map(|place| self.column(place)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// The ids of the rows, where they do not follow one another.
    pub fn ids(&self) -> Result<Option<ScalarBuffer<u64>>> {
        let Some(extent) = self.ids else { return Ok(None) };
        let bytes = self.source.fetch(extent).map_err(|error| in_file(&path(self.source.number), error))?;
        let ids: ScalarBuffer<u64> = bytes.chunks_exact(8).map(number).collect();
        let ascending = ids.windows(2).all(|pair| pair[0] < pair[1]);
        match ids.len() == self.rows && ascending && ids.first() == Some(&self.first) {
            true => Ok(Some(ids)),
            false => Err(in_file(&path(self.source.number), damaged("has ids that make no sense"))),
        }
    }

    /// The least and the greatest value of a column, dead rows among them; `None` where nothing is said.
    pub fn bounds(&self, place: usize) -> Result<Option<(ArrayRef, ArrayRef)>> {
        if self.read_bounds.get().is_none() {
            let _ = self.read_bounds.set(self.fetch_bounds()?);
        }
        let two = self.read_bounds.get().and_then(|bounds| bounds.columns().get(place));
        Ok(two.filter(|two| two.null_count() == 0).map(|two| (two.slice(0, 1), two.slice(1, 1))))
    }

    fn fetch_bounds(&self) -> Result<RecordBatch> {
        let fetch = || -> Result<RecordBatch> {
            let (bounds, _) = decode_rows(&self.source.fetch(self.bounds)?, 0, &bounds::schema(&self.schema))?;
            match bounds.num_rows() {
                2 => Ok(bounds),
                _ => Err(damaged("has bounds that make no sense")),
            }
        };
        fetch().map_err(|error| in_file(&path(self.source.number), error))
    }

    /// The bytes that the rows take in the file.
    pub fn bytes(&self) -> u64 {
        let parts = self.parts.iter().chain(&self.ids).chain([&self.bounds]);
        parts.map(|extent| u64::from(extent.length)).sum::<u64>() + FOOTER_OF_BLOCK
    }

    /// The number of the file.
    pub fn file(&self) -> u64 {
        self.source.number
    }

    fn fetch_column(&self, place: usize, extent: Extent) -> Result<ArrayRef> {
        let fetch = || -> Result<ArrayRef> {
            let bytes = self.source.fetch(extent)?;
            let schema = Arc::new(Schema::new(vec![self.schema.field(place).clone()]));
            let (rows, _) = decode_rows(&bytes, 0, &schema)?;
            match rows.num_rows() == self.rows {
                true => Ok(rows.column(0).clone()),
                false => Err(damaged("has a column of another length")),
            }
        };
        fetch().map_err(|error| in_file(&path(self.source.number), error))
    }

    /// Reads every part; an error if one is damaged.
    pub fn check(&self) -> Result<()> {
        self.ids()?;
        let parts = self.parts.iter().enumerate();
        let columns = parts.map(|(place, extent)| self.fetch_column(place, *extent)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        match bounds::of(&rows)? == self.fetch_bounds()? {
            true => Ok(()),
            false => Err(in_file(&path(self.source.number), damaged("has bounds that its rows do not have"))),
        }
    }
}

impl Deaths {
    /// The number of the file.
    pub fn file(&self) -> u64 {
        self.source.number
    }

    /// The bytes that it takes in the file.
    pub fn bytes(&self) -> u64 {
        u64::from(self.extent.length) + FOOTER_OF_BLOCK
    }

    /// The ids.
    pub fn read(&self) -> Result<RoaringTreemap> {
        let read = || -> Result<RoaringTreemap> {
            let bytes = self.source.fetch(self.extent)?;
            RoaringTreemap::deserialize_from(bytes.as_slice()).map_err(|_| damaged("has deaths that make no sense"))
        };
        read().map_err(|error| in_file(&path(self.source.number), error))
    }
}

impl Source {
    /// The bytes of a part; an error if they are not those that were written.
    fn fetch(&self, extent: Extent) -> Result<Buffer> {
        let end = extent.offset.saturating_add(u64::from(extent.length));
        if end > self.length {
            return Err(damaged(&format!("has no part that ends at byte {end}")));
        }
        let mut bytes = MutableBuffer::from_len_zeroed(extent.length as usize);
        let read = self.file.read_at(extent.offset, bytes.as_slice_mut())?;
        if read < bytes.len() || checksum(self.salt, bytes.as_slice()) != extent.checksum {
            return Err(damaged(&format!("is damaged between byte {} and {end}", extent.offset)));
        }
        Ok(bytes.into())
    }
}

/// The path of a file by its number.
pub fn path(number: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{number:016}.seg"))
}

/// The number in the name of a file; `None` where it is no segment file.
pub fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".seg")?.parse().ok().filter(|&number| number < CEILING)?;
    (path(number) == Path::new(DIRECTORY).join(name)).then_some(number)
}

fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(salt, bytes)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Io, what).with_sqlstate(DAMAGED)
}

/// An error that says of a file what is wrong with it, with the file's name and what can be done; others name
/// it themselves.
fn in_file(path: &Path, error: Error) -> Error {
    match error.sqlstate() {
        DAMAGED => {}
        NOT_FOUND => return error.with_hint(RESTORE),
        _ => return error,
    }
    let at = path.display();
    Error::new(error.kind(), format!("\"{at}\" {}", error.message())).with_sqlstate(DAMAGED).with_hint(RESTORE)
}
