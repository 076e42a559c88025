//! Files as relations of a query: `FROM 'file'`, `read_csv(..)`, under the opener's access policy.
//!
//! The readers are `connector`'s; this file hands SQL's options to them and their rows to plans.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::SchemaRef;

use crate::base::access::FileAccess;
use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::base::time::zone::Zone;
use crate::connector::format::FileFormat;
use crate::connector::options::{OptionValue, ReadOptions};
use crate::connector::relation::{self, FileRelation};
use crate::db::value::Value;
use crate::plan::context::{Arguments, FileSources};
use crate::plan::source::{RowIterator, RowSource};
use crate::sql::type_named;

/// Rows a batch read from a file holds.
const BATCH_ROWS: usize = 8192;

/// The files a query may read.
pub struct Files<'a> {
    pub access: &'a FileAccess,
    pub interrupt: &'a Interrupt,
    /// The time zone of the session.
    pub zone: Zone,
}

impl FileSources for Files<'_> {
    fn file(&self, path: &str) -> Result<Arc<dyn RowSource>> {
        let options =
            ReadOptions { interrupt: Some(self.interrupt.clone()), zone: self.zone, ..ReadOptions::default() };
        let relation = relation::open(path, None, &options, self.access)?;
        Ok(Arc::new(FileRows(relation)))
    }

    fn function(&self, name: &str, arguments: &Arguments) -> Option<Result<Arc<dyn RowSource>>> {
        let format = match name {
            "read_csv" | "read_csv_auto" => Some(FileFormat::Csv),
            "read_json" | "read_json_auto" => Some(FileFormat::Json),
            "read_ndjson" => Some(FileFormat::Ndjson),
            "read_parquet" => Some(FileFormat::Parquet),
            "read_arrow" => Some(FileFormat::Arrow),
            "read_file" => None,
            _ => return None,
        };
        Some(self.call(name, format, arguments))
    }
}

impl Files<'_> {
    fn call(&self, name: &str, format: Option<FileFormat>, arguments: &Arguments) -> Result<Arc<dyn RowSource>> {
        let [paths] = arguments.positional.as_slice() else {
            return Err(Error::invalid(format!("{name} takes one path, then options as name => value")));
        };
        let paths = match option_value(paths, 0)? {
            OptionValue::Text(path) => vec![path],
            OptionValue::List(paths) => paths
                .into_iter()
                .map(|path| match path {
                    OptionValue::Text(path) => Ok(path),
                    _ => Err(Error::invalid(format!("{name}: a path is a text"))),
                })
                .collect::<Result<_>>()?,
            _ => return Err(Error::invalid(format!("{name}: the path is a text"))),
        };
        let named: Vec<(&str, OptionValue)> = arguments
            .named
            .iter()
            .map(|(key, value)| Ok((key.as_str(), option_value(value, 0)?)))
            .collect::<Result<_>>()?;
        let mut options = ReadOptions::parse(named.iter().map(|(key, value)| (*key, value)), type_named)?;
        (options.interrupt, options.zone) = (Some(self.interrupt.clone()), self.zone);
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        Ok(Arc::new(FileRows(relation::open_all(&paths, format, &options, self.access)?)))
    }
}

/// A constant argument as an option.
fn option_value(array: &ArrayRef, row: usize) -> Result<OptionValue> {
    if let Some(list) = array.as_list_opt::<i32>() {
        let items = list.value(row);
        return (0..items.len()).map(|item| option_value(&items, item)).collect::<Result<_>>().map(OptionValue::List);
    }
    if let Some(fields) = array.as_struct_opt() {
        let named = fields.fields().iter().zip(fields.columns());
        return named
            .map(|(field, column)| Ok((field.name().clone(), option_value(column, row)?)))
            .collect::<Result<_>>()
            .map(OptionValue::Map);
    }
    match Value::from_array(array, row)? {
        Value::Boolean(value) => Ok(OptionValue::Boolean(value)),
        Value::Integer(value) => Ok(OptionValue::Integer(value)),
        Value::Text(value) => Ok(OptionValue::Text(value)),
        Value::Null => Ok(OptionValue::Text(String::new())),
        _ => Err(Error::invalid("an option is a text, a number, a boolean, a list or a struct")),
    }
}

/// A file as rows of a plan.
#[derive(Debug)]
struct FileRows(FileRelation);

impl RowSource for FileRows {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn scan(&self, projection: Option<&[usize]>) -> Result<RowIterator> {
        self.0.read(projection, BATCH_ROWS)
    }

    fn row_count(&self) -> Option<usize> {
        self.0.row_count().and_then(|rows| usize::try_from(rows).ok())
    }
}
