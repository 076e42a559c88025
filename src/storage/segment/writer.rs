//! Writing a segment file, part for part.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::writer::IpcWriteContext;
use roaring::RoaringTreemap;

use crate::base::error::{Error, Result};
use crate::base::vfs::Vfs;
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::RelationId;
use crate::storage::ipc::encode_rows;
use crate::storage::segment::{
    Block, Cache, DIRECTORY, Deaths, Extent, FileName, HEADER, SegmentFile, Source, TRAILER, bounds, checksum, footer,
    path,
};

/// Bytes that are handed to the system at once.
const WRITTEN_AT_ONCE: usize = 1 << 20;

/// A segment file that is being made. Until a manifest names it, it means nothing.
pub struct SegmentWriter {
    source: Arc<Source>,
    context: IpcWriteContext,
    /// What is not handed to the system yet, and where it begins.
    bytes: Vec<u8>,
    written: u64,
    blocks: Vec<Block>,
    deaths: Vec<Deaths>,
}

impl SegmentWriter {
    /// Begins file `number`; what is there under its name is left of a checkpoint that did not come to its end.
    pub fn create(vfs: &dyn Vfs, database: [u8; 16], number: u64, cache: &Arc<Cache>) -> Result<Self> {
        vfs.create_directory(Path::new(DIRECTORY))?;
        let path = path(number);
        if vfs.exists(&path)? {
            vfs.remove(&path)?;
        }
        let (file, salt) = (vfs.create(&path)?, vfs.random() as u32);
        let source = Arc::new(Source { file, length: u64::MAX, number, salt, cache: cache.clone() });
        Ok(SegmentWriter {
            source,
            context: IpcWriteContext::default(),
            bytes: footer::header(database, number, salt).to_vec(),
            written: 0,
            blocks: Vec::new(),
            deaths: Vec::new(),
        })
    }

    /// Adds rows of a relation; `ids` where they do not follow each other from `first` on.
    pub fn rows(
        &mut self,
        relation: RelationId,
        columns: &Arc<[ColumnId]>,
        first: u64,
        ids: Option<&[u64]>,
        rows: &RecordBatch,
    ) -> Result<()> {
        let schema = rows.schema();
        let mut parts = Vec::with_capacity(rows.num_columns());
        for (place, column) in rows.columns().iter().enumerate() {
            let field = Arc::new(Schema::new(vec![schema.field(place).clone()]));
            let column = RecordBatch::try_new(field, vec![column.clone()])?;
            let start = self.bytes.len();
            encode_rows(&column, &mut self.context, &mut self.bytes)?;
            parts.push(self.part(start)?);
        }
        let start = self.bytes.len();
        let extremes = bounds::of(rows)?;
        encode_rows(&extremes, &mut self.context, &mut self.bytes)?;
        let bounds = self.part(start)?;
        let read_bounds = OnceLock::from(extremes);
        let ids = match ids {
            None => None,
            Some(ids) => {
                let start = self.bytes.len();
                self.bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
                Some(self.part(start)?)
            }
        };
        // Blocks of the same columns share them, so that the footer says them once.
        let columns = match self.blocks.last() {
            Some(last) if last.relation == relation && last.columns == *columns => last.columns.clone(),
            _ => columns.iter().copied().collect(),
        };
        let (source, number, rows) = (self.source.clone(), self.blocks.len(), rows.num_rows());
        let shift = 0;
        let block =
            Block { source, number, relation, columns, schema, first, shift, rows, ids, parts, bounds, read_bounds };
        self.blocks.push(block);
        Ok(())
    }

    /// Adds ids of rows of a relation that are dead from now on; the number of the set.
    pub fn deaths(&mut self, relation: RelationId, ids: &RoaringTreemap) -> Result<usize> {
        let start = self.bytes.len();
        ids.serialize_into(&mut self.bytes)?;
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let extent = self.part(start)?;
        let number = self.deaths.len();
        self.deaths.push(Deaths { source: self.source.clone(), number, relation, extent });
        Ok(number)
    }

    /// The number of the file.
    pub fn number(&self) -> u64 {
        self.source.number
    }

    /// How many blocks it has so far.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.written + self.bytes.len() as u64
    }

    /// Ends the file and makes it safe, but for its name.
    pub fn finish(mut self) -> Result<SegmentFile> {
        let start = self.bytes.len();
        let text = footer::encode(&self.blocks, &self.deaths)?;
        self.bytes.extend(text);
        let footer = self.extent(start)?;
        self.bytes.extend(footer::trailer(footer));
        self.flush()?;
        self.source.file.sync()?;
        let name = FileName { number: self.source.number, length: self.written, checksum: footer.checksum };
        let blocks = self.blocks.into_iter().map(Arc::new).collect();
        let deaths = self.deaths.into_iter().map(Arc::new).collect();
        Ok(SegmentFile { name, blocks, deaths })
    }

    /// What stands from `start` of the bytes on as a part of the file.
    fn part(&mut self, start: usize) -> Result<Extent> {
        let extent = self.extent(start)?;
        if self.bytes.len() >= WRITTEN_AT_ONCE {
            self.flush()?;
        }
        Ok(extent)
    }

    fn extent(&self, start: usize) -> Result<Extent> {
        let bytes = &self.bytes[start..];
        let length = u32::try_from(bytes.len()).map_err(|_| Error::internal("a part of a segment of over 4 GB"))?;
        Ok(Extent { offset: self.written + start as u64, length, checksum: checksum(self.source.salt, bytes) })
    }

    fn flush(&mut self) -> Result<()> {
        self.source.file.write_at(self.written, &self.bytes)?;
        self.written += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}

const _: () = assert!(HEADER.is_multiple_of(8) && TRAILER.is_multiple_of(8));
