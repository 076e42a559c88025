//! Functions by name.
//!
//! The registry promises that a name means the same in batch and continuous, and that one of another case is the same
//! name. What is in it is said in [`super::builtin`]; it does not hold table functions that read files: those come
//! through [`crate::plan::context::FileSources`].

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use datafusion::catalog::{TableFunction, TableFunctionArgs};
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};

use super::options::options;
use super::series;
use super::user::UserFunction;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::zone::Zone;
use crate::operator::error::from_datafusion;

/// All functions by name.
#[derive(Clone)]
pub struct FunctionRegistry {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
    table: HashMap<String, Arc<TableFunction>>,
    options: Arc<ConfigOptions>,
    session: SessionState,
}

impl FunctionRegistry {
    /// A registry of nothing.
    pub(super) fn empty() -> Self {
        let options = options();
        FunctionRegistry {
            scalar: HashMap::new(),
            higher_order: HashMap::new(),
            aggregate: HashMap::new(),
            window: HashMap::new(),
            table: HashMap::new(),
            session: SessionStateBuilder::new().with_config(options.as_ref().clone().into()).build(),
            options,
        }
    }

    /// Adds a scalar function under all its names.
    pub(super) fn add_scalar(&mut self, function: Arc<ScalarUDF>) {
        add(&mut self.scalar, function.name(), function.aliases(), &function);
    }

    /// Adds a function of functions under all its names.
    pub(super) fn add_higher_order(&mut self, function: Arc<HigherOrderUDF>) {
        add(&mut self.higher_order, function.name(), function.aliases(), &function);
    }

    /// Adds an aggregate under all its names.
    pub(super) fn add_aggregate(&mut self, function: Arc<AggregateUDF>) {
        add(&mut self.aggregate, function.name(), function.aliases(), &function);
    }

    /// Adds a window function under all its names.
    pub(super) fn add_window(&mut self, function: Arc<WindowUDF>) {
        add(&mut self.window, function.name(), function.aliases(), &function);
    }

    /// Adds a table function that reads no file.
    pub(super) fn add_table(&mut self, function: Arc<TableFunction>) {
        add(&mut self.table, function.name(), &[], &function);
    }

    /// Gives a scalar function one more name, unless that is taken.
    pub(super) fn name_scalar(&mut self, name: &str, other: &str) {
        also(&mut self.scalar, name, other);
    }

    /// Gives an aggregate one more name, unless that is taken.
    pub(super) fn name_aggregate(&mut self, name: &str, other: &str) {
        also(&mut self.aggregate, name, other);
    }

    /// Lets DataFusion's rules find the aggregates that are here by now.
    pub(super) fn show_aggregates(&mut self) {
        self.session = SessionStateBuilder::new()
            .with_config(self.options.as_ref().clone().into())
            .with_aggregate_functions(self.aggregate.values().cloned().collect())
            .build();
    }

    /// Adds a user's scalar function, in place of one of the same name.
    pub fn register_scalar(&mut self, function: UserFunction) -> Result<()> {
        if function.name.is_empty() {
            return Err(Error::invalid("a function needs a name"));
        }
        if function.name.to_lowercase().starts_with("eddy_") {
            return Err(Error::invalid(format!("\"{}\": names that begin with eddy_ are the engine's", function.name)));
        }
        self.add_scalar(function.into_scalar());
        Ok(())
    }

    /// The scalar function of that name.
    pub fn scalar(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.scalar.get(&name.to_lowercase())
    }

    /// The higher-order function of that name.
    pub fn higher_order(&self, name: &str) -> Option<&Arc<HigherOrderUDF>> {
        self.higher_order.get(&name.to_lowercase())
    }

    /// The aggregate function of that name.
    pub fn aggregate(&self, name: &str) -> Option<&Arc<AggregateUDF>> {
        self.aggregate.get(&name.to_lowercase())
    }

    /// The aggregate function of that name, which must be built in.
    pub fn expect_aggregate(&self, name: &str) -> Result<Arc<AggregateUDF>> {
        self.aggregate(name).cloned().ok_or_else(|| Error::internal(format!("no built-in aggregate \"{name}\"")))
    }

    /// The window function of that name.
    pub fn window(&self, name: &str) -> Option<&Arc<WindowUDF>> {
        self.window.get(&name.to_lowercase())
    }

    /// The rows of a table function that reads no file, called with constant arguments.
    ///
    /// Moments in it are those of `zone`.
    pub fn table_source(&self, name: &str, arguments: &[Expr], zone: Zone) -> Option<Result<Arc<dyn TableSource>>> {
        let function = self.table.get(&name.to_lowercase())?;
        let arguments = match series::is_series(&name.to_lowercase()) {
            true => series::arguments(name, arguments, zone),
            false => Ok(arguments.to_vec()),
        };
        Some(arguments.and_then(|arguments| {
            let arguments = TableFunctionArgs::new(&arguments, &self.session);
            let provider = function.create_table_provider_with_args(arguments);
            provider.map(provider_as_source).map_err(from_datafusion)
        }))
    }

    /// The names of all scalar functions.
    pub fn scalar_names(&self) -> Vec<String> {
        self.scalar.keys().cloned().collect()
    }

    /// The names of all higher-order functions.
    pub fn higher_order_names(&self) -> Vec<String> {
        self.higher_order.keys().cloned().collect()
    }

    /// The names of all aggregate functions.
    pub fn aggregate_names(&self) -> Vec<String> {
        self.aggregate.keys().cloned().collect()
    }

    /// The names of all window functions.
    pub fn window_names(&self) -> Vec<String> {
        self.window.keys().cloned().collect()
    }

    /// The error for a function that does not exist, with the nearest name as a hint.
    pub fn not_found(&self, name: &str) -> Error {
        let names = self.scalar.keys().chain(self.aggregate.keys()).chain(self.window.keys()).chain(self.table.keys());
        let names = names.chain(self.higher_order.keys());
        let error =
            Error::new(ErrorKind::NotFound, format!("function \"{name}\" does not exist")).with_sqlstate("42883");
        if self.window.contains_key(name) {
            let error = Error::invalid(format!("{name}() is a window function: it needs OVER")).with_sqlstate("42809");
            return error.with_hint(format!("for example {name}() OVER (ORDER BY ..)"));
        }
        if name.to_lowercase().split('_').any(|word| matches!(word, "json" | "jsonb")) {
            return error
                .with_hint("there are no functions of JSON yet: keep what is asked of in columns of their own");
        }
        match crate::catalog::suggest::nearest(name, names.map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    }

    /// The same functions as DataFusion's rules look them up.
    pub(crate) fn datafusion_registry(&self) -> &dyn datafusion::execution::FunctionRegistry {
        &self.session
    }

    /// DataFusion's settings, the same for planning and execution.
    pub fn options(&self) -> &Arc<ConfigOptions> {
        &self.options
    }
}

impl Debug for FunctionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionRegistry").field("scalar", &self.scalar.len()).finish_non_exhaustive()
    }
}

fn add<F>(functions: &mut HashMap<String, Arc<F>>, name: &str, aliases: &[String], function: &Arc<F>) {
    for name in aliases.iter().map(String::as_str).chain([name]) {
        functions.insert(name.to_lowercase(), function.clone());
    }
}

fn also<F>(functions: &mut HashMap<String, Arc<F>>, name: &str, other: &str) {
    if let Some(function) = functions.get(other).cloned() {
        functions.entry(name.to_string()).or_insert(function);
    }
}
