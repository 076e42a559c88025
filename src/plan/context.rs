//! What a query may refer to, and DataFusion's binder on top of it.
//!
//! [`PlanContext`] is what a caller gives: catalog, functions, and hooks for what lives above this layer (files,
//! system tables, parsing a view's text). [`Binder`] is DataFusion's view of it: synchronous lookups by name, views
//! expanded where they are read. A view is planned by itself, ties included, before it becomes part of a query; so
//! its rows do not depend on which of its columns the query uses.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::alias::AliasGenerator;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result as DataFusionResult, ScalarValue, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use sqlparser::ast;

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::functions::FunctionRegistry;
use crate::plan::optimizer::fold_constant;
use crate::plan::query;
use crate::plan::source::{DOMAIN, ExternalSource, RelationSource, RowSource, ViewSource};
use crate::sql::name::MAIN;
use crate::sql::types::{column_domain, column_type};

/// How deep views may lie upon views.
const VIEW_DEPTH_MAX: usize = 64;

/// The table function that stands for a file named by a string literal in FROM.
pub(crate) const FILE: &str = "'file'";

/// The table function that gives the target of UPDATE or DELETE with its row ids.
pub(crate) const TARGET: &str = "'target'";

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

#[cfg(test)]
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
    /// Values for the parameters; without them parameters stay in the plan, to be bound when it runs.
    pub parameters: Option<&'a Parameters>,
}

#[cfg(test)]
impl<'a> PlanContext<'a> {
    #[cfg(test)]
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
            parameters: None,
        }
    }
}

/// DataFusion's view of a [`PlanContext`], for one statement.
pub(crate) struct Binder<'a> {
    pub(crate) context: &'a PlanContext<'a>,
    /// Aliases made by the optimiser are unique over the statement and all views in it.
    pub(crate) aliases: Arc<AliasGenerator>,
    /// Whether the target of UPDATE or DELETE may be read with its row ids.
    pub(crate) row_ids: bool,
    /// The views being expanded, outermost first.
    expanding: RefCell<Vec<Arc<Relation>>>,
    /// Whether a file or system table was read.
    pub(crate) external: Cell<bool>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(context: &'a PlanContext<'a>, row_ids: bool) -> Self {
        Binder {
            context,
            aliases: Arc::new(AliasGenerator::new()),
            row_ids,
            expanding: RefCell::default(),
            external: Cell::new(false),
        }
    }

    fn table(&self, reference: &TableReference) -> Result<Arc<dyn TableSource>> {
        let name = reference.table();
        match reference.schema() {
            None | Some(MAIN) => self.relation(self.context.catalog.expect(name)?),
            // Other schemas than the system's have been refused by `names`.
            Some(schema) => match (self.context.system)(schema, name) {
                Some(rows) => Ok(self.external(format!("{schema}.{name}"), rows)),
                None => Err(self.context.catalog.not_found(&format!("{schema}.{name}"))),
            },
        }
    }

    /// A relation by name, as the query being planned sees it.
    pub(crate) fn seen(&self, name: &str) -> Option<Arc<Relation>> {
        self.context.catalog.get(name).map(|relation| self.as_seen(relation))
    }

    fn as_seen(&self, relation: &Arc<Relation>) -> Arc<Relation> {
        let expanding = self.expanding.borrow();
        expanding.last().or(self.context.view).map_or_else(|| relation.clone(), |view| view.sees(relation))
    }

    fn relation(&self, relation: &Arc<Relation>) -> Result<Arc<dyn TableSource>> {
        let expand = match relation.kind {
            RelationKind::View => true,
            RelationKind::MaterializedView => (self.context.inline)(relation.id),
            RelationKind::Table | RelationKind::Stream => false,
        };
        match expand {
            true => self.view(relation),
            false => Ok(Arc::new(RelationSource::new(self.as_seen(relation), false))),
        }
    }

    fn view(&self, relation: &Arc<Relation>) -> Result<Arc<dyn TableSource>> {
        let text = relation.query.as_deref();
        let text = text.ok_or_else(|| Error::internal(format!("view \"{}\" has no query", relation.name)))?;
        {
            let mut expanding = self.expanding.borrow_mut();
            if expanding.iter().any(|view| view.id == relation.id) {
                return Err(Error::invalid(format!("view \"{}\" reads itself", relation.name)));
            }
            if expanding.len() >= VIEW_DEPTH_MAX {
                let message = format!("view \"{}\" lies on more than {VIEW_DEPTH_MAX} others", relation.name);
                return Err(Error::new(ErrorKind::Resource, message).with_sqlstate("54001"));
            }
            expanding.push(relation.clone());
        }
        let plan = (self.context.parse)(text).and_then(|query| query::plan_view(&query, self, &relation.schema));
        self.expanding.borrow_mut().pop();
        // A place in the view's text would point into the wrong text, so it is dropped here.
        let plan = plan.map_err(|error| without_position(&error).context(format!("view \"{}\"", relation.name)))?;
        Ok(Arc::new(ViewSource::new(relation.schema.clone(), plan)))
    }

    fn external(&self, name: String, rows: Arc<dyn RowSource>) -> Arc<dyn TableSource> {
        self.external.set(true);
        Arc::new(ExternalSource { name, rows })
    }

    fn table_function(&self, name: &str, arguments: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        if name == TARGET && self.row_ids {
            let target = constant_text(name, arguments.first())?;
            let relation = self.context.catalog.expect(&target)?;
            return Ok(Arc::new(RelationSource::new(relation.clone(), true)));
        }
        if name == FILE {
            let path = constant_text(name, arguments.first())?;
            return Ok(self.external(path.clone(), self.context.files.file(&path)?));
        }
        // The alias is the argument's name; folding would drop it.
        let fold = |argument: Expr| match argument {
            Expr::Alias(alias) => Ok(fold_constant(*alias.expr)?.alias(alias.name)),
            value => fold_constant(value),
        };
        let simplified = arguments.into_iter().map(fold).collect::<Result<Vec<_>>>()?;
        if let Some(source) = self.context.functions.table_source(name, &simplified) {
            return source;
        }
        match self.context.files.function(&name.to_lowercase(), &constants(name, &simplified)?) {
            Some(rows) => Ok(self.external(format!("{name}()"), rows?)),
            None => Err(self.context.functions.not_found(name)),
        }
    }
}

fn without_position(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message()).with_sqlstate(error.sqlstate());
    match error.hint() {
        Some(hint) => copy.with_hint(hint),
        None => copy,
    }
}

fn constant_text(function: &str, argument: Option<&Expr>) -> Result<String> {
    match argument {
        Some(Expr::Literal(value, _)) => value.try_as_str().flatten().map(str::to_string),
        _ => None,
    }
    .ok_or_else(|| Error::invalid(format!("{function} needs a string")))
}

fn constants(function: &str, arguments: &[Expr]) -> Result<Arguments> {
    let mut result = Arguments::default();
    for argument in arguments {
        let (name, value) = match argument {
            Expr::Alias(alias) => (Some(alias.name.clone()), alias.expr.as_ref()),
            value => (None, value),
        };
        let Expr::Literal(value, _) = value else {
            return Err(Error::invalid(format!("the arguments of {function}() must be constants")));
        };
        let value = value.to_array().map_err(from_datafusion)?;
        match name {
            Some(name) => result.named.push((name, value)),
            None => result.positional.push(value),
        }
    }
    Ok(result)
}

/// A parameter's value as DataFusion holds it.
pub(crate) fn scalar_value(value: &ArrayRef) -> Result<ScalarValue> {
    ScalarValue::try_from_array(value, 0).map_err(from_datafusion)
}

impl ContextProvider for Binder<'_> {
    fn get_table_source(&self, name: TableReference) -> DataFusionResult<Arc<dyn TableSource>> {
        self.table(&name).map_err(to_datafusion)
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> DataFusionResult<Arc<dyn TableSource>> {
        self.table_function(name, args).map_err(to_datafusion)
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DataFusionResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.context.functions.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.context.functions.relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(self.context.functions.type_planner())
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.context.functions.scalar(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.context.functions.higher_order(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.context.functions.aggregate(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.context.functions.window(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.context.functions.options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.context.functions.scalar_names()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.context.functions.higher_order_names()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.context.functions.aggregate_names()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.context.functions.window_names()
    }
}

/// Type names mean in expressions what they mean in CREATE TABLE.
#[derive(Debug)]
pub(crate) struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> DataFusionResult<Option<FieldRef>> {
        let field = Field::new("", column_type(sql_type).map_err(to_datafusion)?, true);
        Ok(Some(Arc::new(match column_domain(sql_type) {
            Some(domain) => field.with_metadata([(DOMAIN.to_string(), domain.to_string())].into()),
            None => field,
        })))
    }
}
