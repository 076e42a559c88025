//! Parquet files: columns picked before anything is decoded, row counts from the footer.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::canonical_schema;
use crate::connector::contain::{contain, contained};
use crate::connector::input::Input;
use crate::connector::reader::{Batches, FormatReader, Wanted, deliver};

/// A Parquet file with its footer read.
#[derive(Debug)]
pub struct ParquetSource {
    input: Input,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
}

impl ParquetSource {
    /// Reads the footer.
    pub fn open(input: Input) -> Result<Self> {
        let options = ArrowReaderOptions::new();
        let file = input.file()?;
        let metadata = contain(input.path(), || {
            ArrowReaderMetadata::load(&file, options).map_err(|error| parquet_error(input.path(), error))
        })?;
        let schema = canonical_schema(metadata.schema());
        Ok(ParquetSource { input, metadata, schema })
    }
}

impl FormatReader for ParquetSource {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn path(&self) -> &Path {
        self.input.path()
    }

    fn row_count(&self) -> Option<u64> {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).ok()
    }

    fn read(self: Arc<Self>, wanted: Vec<Wanted>, batch_rows: usize) -> Result<Batches> {
        let file = self.input.file()?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let roots = wanted.iter().map(|wanted| wanted.column);
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let builder = builder.with_projection(mask).with_batch_size(batch_rows.max(1));
        let reader = contain(self.path(), || builder.build().map_err(|error| parquet_error(self.path(), error)))?;
        // The reader delivers the picked columns once each, in the order of the file.
        let mut order: Vec<usize> = wanted.iter().map(|wanted| wanted.column).collect();
        order.sort_unstable();
        order.dedup();
        let source = self.clone();
        let batches = reader.map(move |batch| {
            let batch = batch.map_err(|error| {
                Error::new(ErrorKind::Io, format!("{}: {error}", shown(source.path()))).with_source(error)
            })?;
            deliver(&batch, &order, &wanted, source.path())
        });
        Ok(contained(self.path(), Box::new(batches)))
    }
}

/// The error of a file that cannot be read as Parquet, naming it.
pub(crate) fn parquet_error(path: &Path, error: ParquetError) -> Error {
    let message = format!("{}: {error}", shown(path));
    Error::new(ErrorKind::Io, message).with_source(error)
}

fn shown(path: &Path) -> String {
    format!("'{}'", path.display())
}
