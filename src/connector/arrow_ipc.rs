//! Arrow IPC: the file form (also known as Feather, version 2) and the stream form.

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::canonical_schema;
use crate::connector::contain::{contain, contained};
use crate::connector::input::Input;
use crate::connector::reader::{Batches, FormatReader, Wanted, deliver};

/// An Arrow file with its schema read.
#[derive(Debug)]
pub struct ArrowSource {
    input: Input,
    is_stream: bool,
    schema: SchemaRef,
}

type ArrowBatches = Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>> + Send>;

impl ArrowSource {
    /// Reads the schema.
    pub fn open(input: Input) -> Result<Self> {
        let is_stream = !input.first(6)?.starts_with(b"ARROW1");
        let schema = contain(input.path(), || {
            let schema = match is_stream {
                true => StreamReader::try_new(BufReader::new(input.read()?), None).map(|reader| reader.schema()),
                false => FileReader::try_new(BufReader::new(input.file()?), None).map(|reader| reader.schema()),
            };
            schema.map_err(|error| in_file(input.path(), error))
        })?;
        Ok(ArrowSource { schema: canonical_schema(&schema), input, is_stream })
    }

    fn batches(&self, columns: Vec<usize>) -> Result<ArrowBatches> {
        let columns = Some(columns);
        let batches = match self.is_stream {
            true => StreamReader::try_new(BufReader::new(self.input.read()?), columns)
                .map(|reader| Box::new(reader) as ArrowBatches),
            false => FileReader::try_new(BufReader::new(self.input.file()?), columns)
                .map(|reader| Box::new(reader) as ArrowBatches),
        };
        batches.map_err(|error| in_file(self.input.path(), error))
    }
}

impl FormatReader for ArrowSource {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn path(&self) -> &Path {
        self.input.path()
    }

    /// The footer does not say.
    fn row_count(&self) -> Option<u64> {
        None
    }

    fn read(self: Arc<Self>, wanted: Vec<Wanted>, batch_rows: usize) -> Result<Batches> {
        let mut order: Vec<usize> = wanted.iter().map(|wanted| wanted.column).collect();
        order.sort_unstable();
        order.dedup();
        let batches = contain(self.path(), || self.batches(order.clone()))?;
        let source = self.clone();
        let rows = batch_rows.max(1);
        // Batches come in the size they were written; larger ones are cut.
        let batches = batches.flat_map(move |batch| {
            let delivered = batch
                .map_err(|error| in_file(source.path(), error))
                .and_then(|batch| deliver(&batch, &order, &wanted, source.path()));
            match delivered {
                Ok(batch) => {
                    let cut = |at: usize| Ok(batch.slice(at, rows.min(batch.num_rows() - at)));
                    (0..batch.num_rows()).step_by(rows).map(cut).collect::<Vec<_>>()
                }
                Err(error) => vec![Err(error)],
            }
        });
        Ok(contained(self.path(), Box::new(batches)))
    }
}

fn in_file(path: &Path, error: ArrowError) -> Error {
    Error::new(ErrorKind::Io, format!("'{}': {error}", path.display())).with_source(error)
}
