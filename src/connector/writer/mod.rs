//! Rows to a file in any format: what `COPY ... TO` does.
//!
//! The file is written under a temporary name beside its place and renamed when it is whole and durable, so a statement
//! that fails or is cancelled leaves nothing, and an older file of that name stays as it was. Pipes and devices, which
//! cannot be renamed, are written as rows come.

mod csv;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::FileWriter;
use arrow::json::WriterBuilder;
use arrow::json::writer::{
    Encoder, EncoderFactory, EncoderOptions, JsonArray, JsonFormat, LineDelimited, NullableEncoder, make_encoder,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as PageCompression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::base::access::{FileAccess, OutputFile, PathKind, io_error};
use crate::base::error::{Error, ErrorKind, Result};
use crate::connector::format::{Compression, FileFormat};
use crate::connector::options::{ParquetCompression, WriteOptions};
use crate::connector::parquet::parquet_error;

/// Rows in a Parquet row group: small enough to skip and to read in parallel, as DuckDB writes them.
const ROW_GROUP_ROWS: usize = 122_880;

/// Writes all batches, which have the columns of `schema`, to the file `path`; the number of rows written.
///
/// The format is `format`, else that of the options, else that of the extension. An error from `batches` is passed on.
pub fn write(
    path: &str,
    format: Option<FileFormat>,
    options: &WriteOptions,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
    access: &FileAccess,
) -> Result<u64> {
    let path = Path::new(path);
    let (by_extension, compression) = FileFormat::from_extension(path);
    let format = match format.or(options.format).or(by_extension) {
        Some(format) => format,
        // A pipe has no extension; what reads it most likely wants text.
        None if access.kind(path).is_ok_and(|kind| kind == PathKind::Stream) => FileFormat::Csv,
        None => {
            return Err(Error::invalid(format!("cannot tell the format to write from '{}'", path.display()))
                .with_hint("name it: COPY ... TO '...' (FORMAT parquet), or csv, json, ndjson, arrow"));
        }
    };
    options.expect_for(format)?;
    let compression = options.compression.unwrap_or(compression);
    let file = access.create(path)?;
    let sink = Counted { rows: 0, batches, path };
    match format {
        FileFormat::Csv => {
            let out = Packed::new(file, compression, path)?;
            csv::write(out, options, path, schema, sink)
        }
        FileFormat::Ndjson => write_json::<LineDelimited, _>(Packed::new(file, compression, path)?, sink),
        FileFormat::Json => {
            let out = Packed::new(file, compression, path)?;
            match options.array {
                Some(false) => write_json::<LineDelimited, _>(out, sink),
                _ => write_json::<JsonArray, _>(out, sink),
            }
        }
        FileFormat::Parquet => write_parquet(file, options, schema, sink),
        FileFormat::Arrow => write_arrow(file, schema, sink),
    }
}

/// The batches on their way into a file.
struct Counted<'a, I> {
    rows: u64,
    batches: I,
    path: &'a Path,
}

impl<I: Iterator<Item = Result<RecordBatch>>> Counted<'_, I> {
    /// Passes every batch to `write`; failures of `write` get the name of the file.
    fn each<E: IntoFileError>(
        &mut self,
        mut write: impl FnMut(&RecordBatch) -> std::result::Result<(), E>,
    ) -> Result<()> {
        for batch in self.batches.by_ref() {
            let batch = batch?;
            self.rows += batch.num_rows() as u64;
            write(&batch).map_err(|error| error.in_file(self.path))?;
        }
        Ok(())
    }
}

/// Errors of the libraries that write, on their way to naming the file.
trait IntoFileError {
    fn in_file(self, path: &Path) -> Error;
}

impl IntoFileError for io::Error {
    fn in_file(self, path: &Path) -> Error {
        io_error("write", path, self)
    }
}

impl IntoFileError for arrow::error::ArrowError {
    fn in_file(self, path: &Path) -> Error {
        match self {
            arrow::error::ArrowError::IoError(_, error) => io_error("write", path, error),
            other => Error::from(other).context(format_args!("'{}'", path.display())),
        }
    }
}

impl IntoFileError for parquet::errors::ParquetError {
    fn in_file(self, path: &Path) -> Error {
        match self {
            parquet::errors::ParquetError::NYI(what) => {
                Error::unsupported(format!("'{}': Parquet cannot hold this: {what}", path.display()))
            }
            other => parquet_error(path, other),
        }
    }
}

fn write_json<F: JsonFormat, I: Iterator<Item = Result<RecordBatch>>>(
    mut out: Packed<'_>,
    mut sink: Counted<'_, I>,
) -> Result<u64> {
    let path = sink.path;
    let builder = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(OddFloats))
        .with_timestamp_format(TIMESTAMP_FORMAT.to_string())
        .with_timestamp_tz_format(TIMESTAMPTZ_FORMAT.to_string());
    let mut writer = builder.build::<_, F>(&mut out);
    sink.each(|batch| writer.write(batch))?;
    writer.finish().map_err(|error| error.in_file(path))?;
    drop(writer);
    out.finish()?;
    Ok(sink.rows)
}

const TIMESTAMP_FORMAT: &str = "%Y-%m-%d %H:%M:%S%.f";
const TIMESTAMPTZ_FORMAT: &str = "%Y-%m-%d %H:%M:%S%.f+00";

/// How values are written as JSON within other formats.
static JSON: LazyLock<EncoderOptions> = LazyLock::new(|| {
    EncoderOptions::default()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(OddFloats))
        .with_timestamp_format(TIMESTAMP_FORMAT.to_string())
        .with_timestamp_tz_format(TIMESTAMPTZ_FORMAT.to_string())
});

/// Floats that JSON has no number for are texts: `"NaN"`, `"Infinity"`, `"-Infinity"`. Arrow makes null of them.
#[derive(Debug)]
struct OddFloats;

impl EncoderFactory for OddFloats {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        static PLAIN: LazyLock<EncoderOptions> = LazyLock::new(EncoderOptions::default);
        let value: Box<dyn Fn(usize) -> f64 + 'a> = match array.data_type() {
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>();
                Box::new(|row| values.value(row))
            }
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>();
                Box::new(|row| f64::from(values.value(row)))
            }
            _ => return Ok(None),
        };
        let plain = make_encoder(field, array, &PLAIN)?;
        let encoder = FloatEncoder { value, plain };
        Ok(Some(NullableEncoder::new(Box::new(encoder), array.nulls().cloned())))
    }
}

struct FloatEncoder<'a> {
    value: Box<dyn Fn(usize) -> f64 + 'a>,
    plain: NullableEncoder<'a>,
}

impl Encoder for FloatEncoder<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        match (self.value)(row) {
            value if value.is_finite() => self.plain.encode(row, out),
            value if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
            value if value > 0.0 => out.extend_from_slice(b"\"Infinity\""),
            _ => out.extend_from_slice(b"\"-Infinity\""),
        }
    }
}

fn write_arrow<I: Iterator<Item = Result<RecordBatch>>>(
    file: OutputFile,
    schema: &SchemaRef,
    mut sink: Counted<'_, I>,
) -> Result<u64> {
    let path = sink.path;
    let mut writer = FileWriter::try_new(file, schema).map_err(|error| error.in_file(path))?;
    sink.each(|batch| writer.write(batch))?;
    writer.into_inner().map_err(|error| error.in_file(path))?.finish()?;
    Ok(sink.rows)
}

fn write_parquet<I: Iterator<Item = Result<RecordBatch>>>(
    mut file: OutputFile,
    options: &WriteOptions,
    schema: &SchemaRef,
    mut sink: Counted<'_, I>,
) -> Result<u64> {
    if let Some(Compression::Gzip) = options.compression {
        return Err(Error::new(ErrorKind::Unsupported, "Parquet files are compressed with zstd, snappy or none"));
    }
    let compression = match options.parquet_compression {
        ParquetCompression::Zstd => {
            PageCompression::ZSTD(ZstdLevel::try_new(3).map_err(|error| error.in_file(sink.path))?)
        }
        ParquetCompression::Snappy => PageCompression::SNAPPY,
        ParquetCompression::None => PageCompression::UNCOMPRESSED,
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(options.row_group_rows.unwrap_or(ROW_GROUP_ROWS)))
        .build();
    let path = sink.path;
    let mut writer =
        ArrowWriter::try_new(&mut file, schema.clone(), Some(properties)).map_err(|error| error.in_file(path))?;
    sink.each(|batch| writer.write(batch))?;
    writer.close().map_err(|error| error.in_file(path))?;
    file.finish()?;
    Ok(sink.rows)
}

/// A text file, compressed as a whole where asked for.
struct Packed<'a> {
    packer: Packer,
    path: &'a Path,
}

enum Packer {
    Plain(OutputFile),
    // Both work best on large pieces.
    Gzip(BufWriter<flate2::write::GzEncoder<OutputFile>>),
    Zstd(BufWriter<zstd::stream::write::Encoder<'static, OutputFile>>),
}

impl<'a> Packed<'a> {
    fn new(file: OutputFile, compression: Compression, path: &'a Path) -> Result<Self> {
        let packer = match compression {
            Compression::None => Packer::Plain(file),
            Compression::Gzip => {
                let encoder = flate2::write::GzEncoder::new(file, flate2::Compression::default());
                Packer::Gzip(BufWriter::with_capacity(1 << 16, encoder))
            }
            Compression::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(file, 3).map_err(|error| error.in_file(path))?;
                Packer::Zstd(BufWriter::with_capacity(1 << 16, encoder))
            }
        };
        Ok(Packed { packer, path })
    }

    fn finish(self) -> Result<()> {
        let file = match self.packer {
            Packer::Plain(file) => Ok(file),
            Packer::Gzip(buffer) => {
                buffer.into_inner().map_err(|error| error.into_error()).and_then(|gzip| gzip.finish())
            }
            Packer::Zstd(buffer) => {
                buffer.into_inner().map_err(|error| error.into_error()).and_then(|zstd| zstd.finish())
            }
        };
        file.map_err(|error| error.in_file(self.path))?.finish()
    }
}

impl Write for Packed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.packer {
            Packer::Plain(out) => out.write(bytes),
            Packer::Gzip(out) => out.write(bytes),
            Packer::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.packer {
            Packer::Plain(out) => out.flush(),
            Packer::Gzip(out) => out.flush(),
            Packer::Zstd(out) => out.flush(),
        }
    }
}

#[cfg(test)]
mod tests;
