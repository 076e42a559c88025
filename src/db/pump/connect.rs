//! From a definition to a connector: which there are, and which options each of them takes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;

use crate::base::access::{FileAccess, PathKind};
use crate::base::change::Weights;
use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::relation::{CHANGES, Relation};
use crate::catalog::suggest::advice;
use crate::connector::file::options::{self as file, FileSourceOptions, Format};
use crate::connector::file::sink::{self as file_sink, Cut, FileSink, FileSinkOptions};
use crate::connector::file::source::FileSource;
use crate::connector::glob::{expand, has_wildcard};
use crate::connector::relation;
use crate::connector::sink::Sink;
use crate::connector::source::{Conform, Source};
use crate::db::follower::SNAPSHOT;
use crate::db::pump::stdin;
use crate::db::settings::{parse_bytes, parse_duration};
use crate::db::shared::Shared;
use crate::db::subscription::{SubscriptionEvent, event_schema};
use crate::db::table::check_not_null;
use crate::db::value::assign_in;
use crate::sql::options::Options;
use crate::sql::type_named;

/// The connectors that bring rows in.
const SOURCES: [&str; 2] = ["file", "stdin"];

/// The connectors that take results out.
const SINKS: [&str; 1] = ["file"];

/// The SQLSTATE of what is given up for good.
pub const GIVEN_UP: &str = "72000";

/// The options of every source, beside those of its connector and of streams.
const COMMON: [&str; 3] = ["connector", "paused", "bad_record_limit"];

/// The options of a source as they are kept, checked.
///
/// # Errors
/// At the option that is wrong: 42704 for one that nobody knows, 22023 for a value that means nothing.
pub fn checked(options: &Options, of_streams: &[&str]) -> Result<FileSourceOptions> {
    let connector = options.get("connector").ok_or_else(|| {
        Error::invalid("a source needs a connector").with_sqlstate("22023").with_hint("WITH (connector = 'file', ..)")
    })?;
    if !SOURCES.contains(&connector) {
        let error = Error::new(ErrorKind::NotFound, format!("there is no source connector '{connector}'"));
        return Err(options.locate("connector", error.with_sqlstate("42704").with_hint(advice(connector, &SOURCES))));
    }
    let known: Vec<&str> = COMMON.iter().chain(&file::KEYS).chain(of_streams).copied().collect();
    options.expect_known(&format!("a {connector} source"), &known)?;
    options.truth("paused")?;
    if let Some(limit) = options.get("bad_record_limit") {
        let number = limit.parse::<u64>();
        number.map_err(|_| {
            let message = format!("option \"bad_record_limit\" is a number of records, not '{limit}'");
            options.locate("bad_record_limit", Error::invalid(message).with_sqlstate("22023"))
        })?;
    }
    parse(connector, options.iter()).map_err(|(key, error)| {
        let is_given = options.get(key).is_some();
        options.locate(if is_given { key } else { "connector" }, error)
    })
}

fn parse<'a>(
    connector: &str,
    options: impl Iterator<Item = (&'a str, &'a str)>,
) -> std::result::Result<FileSourceOptions, (&'static str, Error)> {
    let stdin = (connector == "stdin").then_some(("path", "-"));
    let options = options.filter(|(key, _)| stdin.is_none() || *key != "path");
    FileSourceOptions::parse(options.chain(stdin), parse_duration, type_named)
}

/// An error if a file source could never read anything: its directory is not there, or not allowed; a word to the user
/// if there is nothing yet.
pub fn look(options: &FileSourceOptions, access: &FileAccess) -> Result<Option<String>> {
    if options.is_stdin() {
        return Ok(None);
    }
    let path = Path::new(&options.path);
    match access.kind(path)? {
        PathKind::File | PathKind::Directory => return Ok(None),
        PathKind::Stream => {
            let error = Error::unsupported(format!("'{}' is a pipe: it cannot be read again", options.path));
            return Err(error.with_hint("connector = 'stdin' reads what is piped in"));
        }
        PathKind::Missing => {}
    }
    let is_plain = |ancestor: &&Path| !has_wildcard(&ancestor.to_string_lossy());
    let directory = path.ancestors().skip(1).find(is_plain).unwrap_or(Path::new(""));
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    match access.kind(directory)? {
        PathKind::Directory if is_met(&options.path, access) => Ok(None),
        PathKind::Directory => Ok(Some(format!("there is no file '{}' yet: it is waited for", options.path))),
        _ => {
            let error = Error::new(ErrorKind::Io, format!("there is no directory '{}'", directory.display()));
            Err(error.with_sqlstate("58P01").with_hint("files may be missing, but their directory must be there"))
        }
    }
}

/// Whether a pattern matches files; where that cannot be known yet, reading will tell.
fn is_met(pattern: &str, access: &FileAccess) -> bool {
    has_wildcard(pattern) && expand(pattern, access).is_ok()
}

/// The columns that the files of a source have; `None` for lines of text, which have none.
pub fn columns(options: &FileSourceOptions, access: &FileAccess) -> Result<Option<SchemaRef>> {
    let format = match options.format {
        Format::Text => return Ok(None),
        Format::Lines(format) | Format::Whole(format) => format,
    };
    let nothing = |error: Error| error.with_hint("declare the columns: CREATE SOURCE s (a BIGINT, b TEXT) WITH (..)");
    if options.is_stdin() {
        return Err(nothing(Error::invalid("the columns of the standard input are not known").with_sqlstate("42601")));
    }
    relation::open(&options.path, Some(format), &options.read, access)
        .map(|files| Some(files.schema()))
        .map_err(nothing)
}

/// The connector of a source, and how long to wait before it is asked again; `new` if it has never read anything.
pub fn source(shared: &Shared, relation: &Arc<Relation>, new: bool) -> Result<(Box<dyn Source>, Duration)> {
    let options = relation.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let connector = relation.options.get("connector").map_or("", String::as_str);
    let mut options = parse(connector, options).map_err(|(_, error)| error)?;
    options.read.zone = relation.zone();
    let feed = if options.is_stdin() { Some(stdin::feed()?) } else { None };
    let (schema, access) = (relation.schema.clone(), shared.access.clone());
    let every = options.poll_interval;
    Ok((Box::new(FileSource::new(options, schema, conform(relation), access, new, feed)), every))
}

/// The options of a sink, checked as [`checked`] does.
pub fn checked_sink(options: &Options) -> Result<FileSinkOptions> {
    let connector = options.get("connector").ok_or_else(|| {
        let error = Error::invalid("a sink needs a connector, or INTO a stream").with_sqlstate("22023");
        error.with_hint("WITH (connector = 'file', path = 'out/', format = 'parquet')")
    })?;
    if !SINKS.contains(&connector) {
        let error = Error::new(ErrorKind::NotFound, format!("there is no sink connector '{connector}'"));
        return Err(options.locate("connector", error.with_sqlstate("42704").with_hint(advice(connector, &SINKS))));
    }
    let known: Vec<&str> = ["connector", "paused", SNAPSHOT].iter().chain(&file_sink::KEYS).copied().collect();
    options.expect_known(&format!("a {connector} sink"), &known)?;
    for key in ["paused", SNAPSHOT] {
        options.truth(key)?;
    }
    FileSinkOptions::parse(options.iter(), (parse_duration, parse_bytes)).map_err(|(key, error)| {
        let is_given = options.get(key).is_some();
        options.locate(if is_given { key } else { "connector" }, error)
    })
}

/// An error if a file sink could never write anything.
pub fn look_for_sink(options: &FileSinkOptions, access: &FileAccess) -> Result<()> {
    let path = Path::new(&options.path);
    match access.kind_to_write(path)? {
        PathKind::Directory => Ok(()),
        PathKind::Missing => access.make_directory(path),
        _ => {
            let error = Error::new(ErrorKind::Io, format!("'{}' is not a directory", options.path));
            Err(error.with_sqlstate("58P01").with_hint("a sink writes many files: its path is their directory"))
        }
    }
}

/// The connector of a sink, and when a piece is full; `pending` is the token of its last piece.
pub fn sink(shared: &Shared, relation: &Relation, pending: Option<&str>) -> Result<(Box<dyn Sink>, Cut)> {
    let options = relation.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let options = FileSinkOptions::parse(options, (parse_duration, parse_bytes)).map_err(|(_, error)| error)?;
    let schema = if writes_changes(relation) { event_schema(&relation.schema) } else { relation.schema.clone() };
    let cut = options.cut;
    Ok((Box::new(FileSink::open(options, schema, shared.access.clone(), pending)?), cut))
}

fn writes_changes(sink: &Relation) -> bool {
    sink.options.contains_key(CHANGES)
}

/// An event as its sink writes it: rows where they are only added, else with their epoch and weight.
pub fn as_written(sink: &Relation, event: &SubscriptionEvent) -> Result<RecordBatch> {
    match writes_changes(sink) {
        true => event.as_record_batch(),
        false => added(event),
    }
}

/// The rows that an event adds, each as often as it is added.
///
/// # Errors
/// It takes rows away.
pub fn added(event: &SubscriptionEvent) -> Result<RecordBatch> {
    let rows = event.changes.rows();
    let Weights::Signed(weights) = event.changes.weights() else { return Ok(rows.clone()) };
    if weights.iter().any(|&weight| weight < 0) {
        let what = "what is followed took rows back, which its sink cannot write";
        return Err(Error::new(ErrorKind::Invalid, what)
            .with_sqlstate(GIVEN_UP)
            .with_hint("it was replaced or refreshed: drop the sink and create it again"));
    }
    let copies = weights.iter().enumerate().flat_map(|(row, &weight)| std::iter::repeat_n(row as u32, weight as usize));
    Ok(take_record_batch(rows, &UInt32Array::from_iter_values(copies))?)
}

/// Rows under the names of a relation of the same types.
pub fn as_rows_of(relation: &Arc<Relation>, rows: &RecordBatch) -> Result<RecordBatch> {
    conform(relation)(rows)
}

/// Whether a source reads the standard input.
pub fn reads_stdin(relation: &Relation) -> bool {
    let is = |key: &str, value: &str| relation.options.get(key).is_some_and(|given| given == value);
    is("connector", "stdin") || is("path", "-")
}

/// Makes decoded rows those of a relation.
fn conform(relation: &Arc<Relation>) -> Conform {
    let (relation, zone) = (relation.clone(), relation.zone());
    Arc::new(move |batch| {
        let fields = relation.schema.fields().iter().zip(batch.columns()).enumerate();
        let columns = fields.map(|(at, (field, column))| {
            assign_in(column, field.data_type(), relation.domain(at), &zone)
                .map_err(|error| error.context(format!("column \"{}\"", field.name())))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        check_not_null(&relation, batch)?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(relation.schema.clone(), columns, &rows)?)
    })
}
