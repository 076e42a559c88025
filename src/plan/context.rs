//! What a query may refer to: catalog, functions, and hooks for what lives above this layer.
//!
//! [`PlanContext`] is what a caller gives; files, system tables and the parsing of a view's text are the caller's.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::ScalarValue;
use sqlparser::ast;

use crate::base::error::Result;
#[cfg(test)]
use crate::base::error::{Error, ErrorKind};
use crate::base::time::zone::Zone;
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationId};
use crate::operator::error::from_datafusion;
use crate::plan::functions::FunctionRegistry;
use crate::plan::source::RowSource;

/// The constant arguments of a table function, each an array of one value.
#[derive(Debug, Default, Clone)]
pub struct Arguments {
    /// Those given by position.
    pub positional: Vec<ArrayRef>,
    /// Those given by name, lower case, in the order written.
    pub named: Vec<(String, ArrayRef)>,
}

/// Files read in FROM; implemented above, where the access policy and the readers are.
pub trait FileSources {
    /// The rows of `FROM 'path'`.
    fn file(&self, path: &str) -> Result<Arc<dyn RowSource>>;

    /// The rows of a table function such as `read_csv(path, delim => ';')`; `None` if there is none of that name.
    fn function(&self, name: &str, arguments: &Arguments) -> Option<Result<Arc<dyn RowSource>>>;
}

/// No files may be read.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

#[cfg(test)]
impl FileSources for NoFiles {
    fn file(&self, path: &str) -> Result<Arc<dyn RowSource>> {
        Err(Error::new(ErrorKind::Io, format!("reading the file '{path}' is not allowed here")).with_sqlstate("42501"))
    }

    fn function(&self, _name: &str, _arguments: &Arguments) -> Option<Result<Arc<dyn RowSource>>> {
        None
    }
}

/// The values of a statement's parameters, each an array of one value.
#[derive(Debug, Default, Clone)]
pub struct Parameters {
    /// `$1`, `$2` ...
    pub positional: Vec<ArrayRef>,
    /// `$name`, without the dollar.
    pub named: BTreeMap<String, ArrayRef>,
    /// The time zone of the session, in which texts without one become TIMESTAMPTZ.
    pub zone: Zone,
}

impl Parameters {
    /// The value of the placeholder `id` (`$1`, `$name`).
    pub fn get(&self, id: &str) -> Option<&ArrayRef> {
        let name = id.trim_start_matches(['$', ':', '@']);
        match name.parse::<usize>() {
            Ok(number) => self.positional.get(number.checked_sub(1)?),
            Err(_) => self.named.get(name).or_else(|| self.named.get(&name.to_lowercase())),
        }
    }
}

/// Rows of a system table (`eddy.views`, `information_schema.tables`), by schema and name in lower case.
pub type SystemTables<'a> = &'a dyn Fn(&str, &str) -> Option<Arc<dyn RowSource>>;

/// What a query may refer to.
#[derive(Clone, Copy)]
pub struct PlanContext<'a> {
    /// What exists.
    pub catalog: &'a Catalog,
    /// What may be called.
    pub functions: &'a FunctionRegistry,
    /// Whether this materialized view is to be expanded to its query rather than read.
    pub inline: &'a dyn Fn(RelationId) -> bool,
    /// Files in FROM.
    pub files: &'a dyn FileSources,
    /// System tables.
    pub system: SystemTables<'a>,
    /// Parses the text of a view's query.
    pub parse: &'a dyn Fn(&str) -> Result<ast::Query>,
    /// The view whose query this is, if it is one's.
    pub view: Option<&'a Arc<Relation>>,
    /// The time zone of the session; a view has its own.
    pub zone: Zone,
    /// Values for the parameters; without them parameters stay in the plan, to be bound when it runs.
    pub parameters: Option<&'a Parameters>,
}

#[cfg(test)]
impl<'a> PlanContext<'a> {
    /// A context of relations and functions alone: no files, no system tables, no views, nothing expanded.
    pub fn new(catalog: &'a Catalog, functions: &'a FunctionRegistry) -> Self {
        PlanContext {
            catalog,
            functions,
            inline: &|_| false,
            files: &NoFiles,
            system: &|_, _| None,
            parse: &|_| Err(Error::unsupported("views cannot be read here")),
            view: None,
            zone: Zone::UTC,
            parameters: None,
        }
    }
}

/// A parameter's value as DataFusion holds it.
pub(crate) fn scalar_value(value: &ArrayRef) -> Result<ScalarValue> {
    ScalarValue::try_from_array(value, 0).map_err(from_datafusion)
}
