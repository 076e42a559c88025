//! One relation over one or many files: the face of all readers.
//!
//! The columns of several files are matched by name and widened to a type that holds them all; a column a file lacks is
//! NULL in its rows. All types are canonical (`base::types`). A relation is cheap to clone and can be read several
//! times, also at once; files are read one after another in the order of their names.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::base::access::FileAccess;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::canonical_type;
use crate::catalog::suggest::advice;
use crate::connector::arrow_ipc::ArrowSource;
use crate::connector::csv::CsvSource;
use crate::connector::format::{self, FileFormat};
use crate::connector::glob;
use crate::connector::input::Input;
use crate::connector::json::JsonSource;
use crate::connector::options::ReadOptions;
use crate::connector::parquet::ParquetSource;
use crate::connector::reader::{Batches, FormatReader, Wanted};
use crate::connector::widen::widen;

/// Rows in files.
#[derive(Debug, Clone)]
pub struct FileRelation {
    files: Arc<[Part]>,
    schema: SchemaRef,
}

#[derive(Debug)]
struct Part {
    source: Arc<dyn FormatReader>,
    /// Per column of the relation, the column of the file.
    columns: Vec<Option<usize>>,
}

/// The relation in the files `paths` means: a path, a pattern or a directory.
///
/// The format is `format`, else that of the options, else found by looking at the files.
pub fn open(
    paths: &str,
    format: Option<FileFormat>,
    options: &ReadOptions,
    access: &FileAccess,
) -> Result<FileRelation> {
    open_all(&[paths], format, options, access)
}

/// As [`open`], for a list of paths.
pub fn open_all(
    paths: &[&str],
    format: Option<FileFormat>,
    options: &ReadOptions,
    access: &FileAccess,
) -> Result<FileRelation> {
    let sources = sources(paths, format, options, None, access)?;
    let mut fields: Vec<Field> = Vec::new();
    // A file without a single byte has no say in the columns, unless there is no other.
    let telling = sources.iter().any(|source| !source.is_empty());
    for source in sources.iter().filter(|source| !source.is_empty() || !telling) {
        for field in source.schema().fields() {
            match fields.iter_mut().find(|known| known.name() == field.name()) {
                Some(known) => {
                    let wide = widen(known.data_type(), field.data_type());
                    *known = Field::new(field.name(), wide, true);
                }
                None => fields.push(Field::new(field.name(), field.data_type().clone(), true)),
            }
        }
    }
    // What was NULL in every row has no type of its own.
    let fields = fields.into_iter().map(|field| match field.data_type() {
        DataType::Null => field.with_data_type(DataType::Utf8View),
        _ => field,
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let part = |source: Arc<dyn FormatReader>| {
        let find = |field: &FieldRef| source.schema().fields().iter().position(|other| other.name() == field.name());
        let columns = schema.fields().iter().map(find).collect();
        Part { source, columns }
    };
    Ok(FileRelation { files: sources.into_iter().map(part).collect(), schema })
}

/// The relation in the files `paths` means, read into the columns of `target` (what `COPY ... FROM` does).
///
/// The result has columns of `target`, with its names and types. With `by_name`, columns are matched by name and only
/// those some file has are there; a column the target lacks is an error. Otherwise every file must have as many columns
/// as the target, matched by position, except where a file names exactly the target's columns in another order; names
/// that contradict the positions, one of them unknown, are an error.
pub fn open_with_schema(
    paths: &str,
    format: Option<FileFormat>,
    options: &ReadOptions,
    target: &SchemaRef,
    by_name: bool,
    access: &FileAccess,
) -> Result<FileRelation> {
    let sources = sources(&[paths], format, options, Some(target), access)?;
    let mut parts = Vec::with_capacity(sources.len());
    for source in sources {
        // An empty file has no rows, whatever its columns.
        let columns = match source.is_empty() {
            true => vec![None; target.fields().len()],
            false => match_columns(source.as_ref(), target, by_name)?,
        };
        parts.push(Part { source, columns });
    }
    let present: Vec<usize> = (0..target.fields().len())
        .filter(|&column| !by_name || parts.iter().any(|part| part.columns[column].is_some()))
        .collect();
    for part in &mut parts {
        part.columns = present.iter().map(|&column| part.columns[column]).collect();
    }
    let field = |&column: &usize| {
        let field = target.field(column);
        Field::new(field.name(), canonical_type(field.data_type()), true)
    };
    let schema = Arc::new(Schema::new(present.iter().map(field).collect::<Vec<_>>()));
    Ok(FileRelation { files: parts.into(), schema })
}

impl FileRelation {
    /// The columns, in canonical types; all may be NULL.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The rows in batches of up to `batch_rows`; `projection` picks and orders columns.
    pub fn read(&self, projection: Option<&[usize]>, batch_rows: usize) -> Result<Batches> {
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => self.schema.clone(),
        };
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all).to_vec();
        let files = self.files.clone();
        Ok(Box::new(RelationBatches { files, next: 0, current: None, projection, schema, batch_rows, failed: false }))
    }

    /// The number of rows, where all files know theirs without being read.
    pub fn row_count(&self) -> Option<u64> {
        self.files.iter().try_fold(0u64, |sum, part| sum.checked_add(part.source.row_count()?))
    }
}

struct RelationBatches {
    files: Arc<[Part]>,
    next: usize,
    current: Option<Batches>,
    projection: Vec<usize>,
    schema: SchemaRef,
    batch_rows: usize,
    failed: bool,
}

impl RelationBatches {
    fn step(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batches) = &mut self.current {
                match batches.next() {
                    Some(batch) => return self.complete(&batch?).map(Some),
                    None => self.current = None,
                }
            }
            let Some(part) = self.files.get(self.next) else { return Ok(None) };
            self.next += 1;
            if part.source.is_empty() {
                continue;
            }
            let columns = self.projection.iter().zip(self.schema.fields());
            let wanted = columns.filter_map(|(&column, field)| {
                part.columns[column].map(|column| Wanted { column, field: field.clone() })
            });
            self.current = Some(part.source.clone().read(wanted.collect(), self.batch_rows)?);
        }
    }

    /// The batch of a file with NULL for the columns it lacks.
    fn complete(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let part = &self.files[self.next - 1];
        let mut present = batch.columns().iter();
        let columns = self.projection.iter().zip(self.schema.fields()).map(|(&column, field)| {
            match part.columns[column].and_then(|_| present.next()) {
                Some(array) => array.clone(),
                None => new_null_array(field.data_type(), batch.num_rows()),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = columns.collect();
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

impl Iterator for RelationBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.step().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

fn sources(
    paths: &[&str],
    format: Option<FileFormat>,
    options: &ReadOptions,
    target: Option<&Schema>,
    access: &FileAccess,
) -> Result<Vec<Arc<dyn FormatReader>>> {
    let mut sources: Vec<Arc<dyn FormatReader>> = Vec::new();
    let is_json = |format| matches!(format, FileFormat::Json | FileFormat::Ndjson);
    if let (Some(format), Some(other)) = (format, options.format)
        && format != other
        && !(is_json(format) && is_json(other))
    {
        let message = format!("the format is {} already, it cannot be {}", format.name(), other.name());
        return Err(Error::invalid(message).with_sqlstate("22023"));
    }
    let mut common = format.or(options.format);
    for pattern in paths {
        for path in glob::expand(pattern, access)? {
            if let Some(interrupt) = &options.interrupt {
                interrupt.check()?;
            }
            let input = Input::open(&path, options.compression, access)?;
            let format = match common {
                Some(format) => format,
                // All files of one relation are of the format of the first.
                None => *common.insert(format::sniff(&input.first(format::SNIFF_BYTES)?, &path)?),
            };
            options.expect_for(format)?;
            sources.push(match format {
                FileFormat::Csv => Arc::new(CsvSource::open(input, options, target)?),
                FileFormat::Json | FileFormat::Ndjson => Arc::new(JsonSource::open(input, format, options, target)?),
                FileFormat::Parquet => Arc::new(ParquetSource::open(input)?),
                FileFormat::Arrow => Arc::new(ArrowSource::open(input)?),
            });
        }
    }
    match sources.is_empty() {
        true => Err(Error::invalid("no files were given")),
        false => Ok(sources),
    }
}

/// Per column of `target`, the column of the file.
fn match_columns(source: &dyn FormatReader, target: &Schema, by_name: bool) -> Result<Vec<Option<usize>>> {
    let file = source.schema().fields();
    let by_name = by_name || source.is_unordered();
    let path = source.path().display();
    if by_name && !source.has_names() {
        let error = Error::invalid(format!("'{path}' does not name its columns: they cannot be matched by name"));
        return Err(error.with_hint("say header true if the first row holds names, or leave out BY NAME"));
    }
    let find = |name: &str, fields: &arrow::datatypes::Fields| {
        let exact = fields.iter().position(|field| field.name() == name);
        exact.or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)))
    };
    let by_names: Vec<Option<usize>> = target.fields().iter().map(|field| find(field.name(), file)).collect();
    let stranger = file.iter().find(|field| find(field.name(), target.fields()).is_none());
    let same = source.has_names() && stranger.is_none() && by_names.iter().all(Option::is_some);
    if same && by_names.len() == file.len() {
        return Ok(by_names);
    }
    if by_name {
        if let Some(stranger) = stranger {
            let known: Vec<&str> = target.fields().iter().map(|field| field.name().as_str()).collect();
            let message = format!("'{path}' has a column \"{}\" that the relation lacks", stranger.name());
            let error = Error::new(ErrorKind::NotFound, message).with_sqlstate("42703");
            return Err(error.with_hint(advice(stranger.name(), &known)));
        }
        return Ok(by_names);
    }
    let elsewhere = by_names.iter().enumerate().any(|(column, found)| found.is_some_and(|found| found != column));
    if source.has_names()
        && elsewhere
        && let Some(stranger) = stranger
    {
        let known: Vec<&str> = target.fields().iter().map(|field| field.name().as_str()).collect();
        let message =
            format!("'{path}' names columns in another order than the relation, which has no \"{}\"", stranger.name());
        let error = Error::new(ErrorKind::NotFound, message).with_sqlstate("42703");
        return Err(error.with_hint(advice(stranger.name(), &known)));
    }
    if file.len() != target.fields().len() {
        let message = format!("'{path}' has {} columns, the relation takes {}", file.len(), target.fields().len());
        return Err(Error::new(ErrorKind::Data, message)
            .with_sqlstate("22P04")
            .with_hint("name the columns to fill: COPY t (a, b) FROM .."));
    }
    Ok((0..file.len()).map(Some).collect())
}
