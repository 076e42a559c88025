//! What may be called: the functions of this database, for every statement and both drivers.
//!
//! DataFusion's default set, with its clock functions replaced by ours ([`crate::plan::clock_functions`]), our
//! aggregates in place of DataFusion's of the same name, and what the user registered. The registry promises that a
//! name means the same in batch and continuous. It does not hold table functions that read files: those come through
//! [`crate::plan::context::FileSources`].

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::catalog::TableFunction;
use datafusion::catalog::TableFunctionArgs;
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::utils::take_function_args;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::{ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, HigherOrderUDF, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TableSource, Volatility, WindowUDF, create_udf,
};

use crate::base::error::{Error, ErrorKind, Result};
use crate::operator::accumulator::aggregate_functions;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::clock_functions;
use crate::plan::context::SqlTypes;
use crate::plan::relation_planner::Relations;
use crate::plan::rewrite::asof;
use crate::plan::rewrite::subquery::outer_reference::CompoundNames;
use crate::plan::similar;
use crate::plan::syntax::NAMED_CAST;
use crate::plan::time;
use crate::plan::time::operators::TimeOperators;
use crate::plan::values::arguments;
use crate::plan::values::settle::DecimalOperators;
use crate::plan::window_functions;
use crate::plan::windows;

/// From argument columns to a result column of the same length.
pub type ColumnFunction = Arc<dyn Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync>;

/// A scalar function written by the user, on columns.
pub struct UserFunction {
    /// Its name; calls are matched without regard to case.
    pub name: String,
    /// The types of its arguments.
    pub arguments: Vec<DataType>,
    /// The type of its result.
    pub result: DataType,
    /// Whether equal arguments always give equal results; a function that is not so is refused in views.
    pub deterministic: bool,
    /// Gives one result a row; all arguments have the same length.
    pub function: ColumnFunction,
}

/// All functions by name, and how the binder uses them.
#[derive(Clone)]
pub struct FunctionRegistry {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
    table: HashMap<String, Arc<TableFunction>>,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    type_planner: Arc<dyn TypePlanner>,
    options: Arc<ConfigOptions>,
    session: SessionState,
}

/// `version()`: ours, not that of the library below.
fn version() -> ScalarUDF {
    let text = format!("Eddy {}", env!("CARGO_PKG_VERSION"));
    let value = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(text.clone()))));
    create_udf("version", vec![], DataType::Utf8View, Volatility::Immutable, Arc::new(value))
}

impl FunctionRegistry {
    /// The built-in functions.
    pub fn new() -> Self {
        let options = options();
        let mut expr_planners: Vec<Arc<dyn ExprPlanner>> =
            vec![Arc::new(CompoundNames), Arc::new(TimeOperators), Arc::new(DecimalOperators)];
        expr_planners.extend(SessionStateDefaults::default_expr_planners());
        let mut registry = FunctionRegistry {
            scalar: HashMap::new(),
            higher_order: HashMap::new(),
            aggregate: HashMap::new(),
            window: HashMap::new(),
            table: HashMap::new(),
            expr_planners,
            relation_planners: vec![Arc::new(Relations)],
            type_planner: Arc::new(SqlTypes),
            session: SessionStateBuilder::new().with_config(options.as_ref().clone().into()).build(),
            options,
        };
        for function in SessionStateDefaults::default_scalar_functions() {
            registry.add_scalar(arguments::adapted(function));
        }
        let ours = [clock_functions::functions(), windows::functions(), time::functions()];
        for function in ours.into_iter().flatten() {
            registry.add_scalar(function);
        }
        registry.add_scalar(asof::function());
        registry.add_scalar(Arc::new(version()));
        registry.add_scalar(Arc::new(similar::function()));
        registry
            .add_scalar(Arc::new(ScalarUDF::from(NamedCast { signature: Signature::any(1, Volatility::Immutable) })));
        for (name, other) in OTHER_NAMES {
            if let Some(function) = registry.scalar.get(other).cloned() {
                registry.scalar.entry(name.to_string()).or_insert(function);
            }
        }
        for function in SessionStateDefaults::default_higher_order_functions() {
            for alias in function.aliases() {
                registry.higher_order.insert(alias.to_lowercase(), function.clone());
            }
            registry.higher_order.insert(function.name().to_lowercase(), function);
        }
        for function in SessionStateDefaults::default_aggregate_functions() {
            registry.add_aggregate(function);
        }
        for function in aggregate_functions() {
            registry.add_aggregate(function);
        }
        for (name, other) in OTHER_AGGREGATES {
            if let Some(function) = registry.aggregate.get(other).cloned() {
                registry.aggregate.entry(name.to_string()).or_insert(function);
            }
        }
        for function in SessionStateDefaults::default_window_functions() {
            let names = std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str));
            let names: Vec<_> = names.map(str::to_lowercase).collect();
            let function = window_functions::adapted(function);
            registry.window.extend(names.into_iter().map(|name| (name, function.clone())));
        }
        for function in SessionStateDefaults::default_table_functions() {
            registry.table.insert(function.name().to_lowercase(), function);
        }
        registry.session = SessionStateBuilder::new()
            .with_config(registry.options.as_ref().clone().into())
            .with_aggregate_functions(registry.aggregate.values().cloned().collect())
            .build();
        registry
    }

    /// Adds a user's scalar function, in place of one of the same name.
    pub fn register_scalar(&mut self, function: UserFunction) -> Result<()> {
        if function.name.is_empty() {
            return Err(Error::invalid("a function needs a name"));
        }
        self.add_scalar(Arc::new(ScalarUDF::from(UserScalar::new(function))));
        Ok(())
    }

    fn add_scalar(&mut self, function: Arc<ScalarUDF>) {
        for alias in function.aliases() {
            self.scalar.insert(alias.to_lowercase(), function.clone());
        }
        self.scalar.insert(function.name().to_lowercase(), function);
    }

    fn add_aggregate(&mut self, function: Arc<AggregateUDF>) {
        for alias in function.aliases() {
            self.aggregate.insert(alias.to_lowercase(), function.clone());
        }
        self.aggregate.insert(function.name().to_lowercase(), function);
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
    pub fn table_source(&self, name: &str, arguments: &[Expr]) -> Option<Result<Arc<dyn TableSource>>> {
        let function = self.table.get(&name.to_lowercase())?;
        let arguments: Vec<Expr> = arguments.iter().map(in_nanoseconds).collect();
        let arguments = &arguments;
        let arguments = TableFunctionArgs::new(arguments, &self.session);
        let provider = function.create_table_provider_with_args(arguments);
        Some(provider.map(provider_as_source).map_err(from_datafusion))
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
        match crate::catalog::suggest::nearest(name, names.map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    }

    /// How expressions are bound.
    pub fn expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }

    /// How table factors are bound.
    pub fn relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    /// How type names are bound.
    pub fn type_planner(&self) -> Arc<dyn TypePlanner> {
        self.type_planner.clone()
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

impl Default for FunctionRegistry {
    fn default() -> Self {
        FunctionRegistry::new()
    }
}

impl Debug for FunctionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionRegistry").field("scalar", &self.scalar.len()).finish_non_exhaustive()
    }
}

/// Names that PostgreSQL or DuckDB know for functions that DataFusion calls otherwise.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("sign", "signum"),
    ("ceiling", "ceil"),
    ("char_length", "character_length"),
    ("len", "length"),
    ("ucase", "upper"),
    ("lcase", "lower"),
    ("list_value", "make_array"),
    ("gen_random_uuid", "uuid"),
];

/// The same for aggregates.
const OTHER_AGGREGATES: [(&str, &str); 6] = [
    ("arbitrary", "any_value"),
    ("first", "first_value"),
    ("last", "last_value"),
    ("list", "array_agg"),
    ("group_concat", "string_agg"),
    ("listagg", "string_agg"),
];

/// A timestamp as DataFusion's table functions take it; one beyond the range of nanoseconds stays, to be refused.
fn in_nanoseconds(argument: &Expr) -> Expr {
    match argument {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), zone), metadata) => {
            match micros.checked_mul(1000) {
                Some(nanos) => {
                    Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), zone.clone()), metadata.clone())
                }
                None => argument.clone(),
            }
        }
        other => other.clone(),
    }
}

/// DataFusion's settings as every statement uses them.
pub(crate) fn options() -> Arc<ConfigOptions> {
    let mut options = ConfigOptions::default();
    // Every subquery becomes a join, so that it can be maintained; that it has one row is checked by `single_value`.
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    options.optimizer.skip_failed_rules = false;
    // Decorrelation makes columns nullable that are never NULL; the check would refuse such plans as defective.
    options.execution.skip_physical_aggregate_schema_check = true;
    // It knows DataFusion's own min and max, and fails on keys of floats.
    options.optimizer.enable_topk_aggregation = false;
    // A top-k filter shared between the branches of a union, each of which keeps other keys, loses rows.
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.sql_parser.collect_spans = true;
    // It drops a sort below LIMIT .. OFFSET; useless ones are dropped by a pass of ours.
    options.sql_parser.enable_subquery_sort_elimination = false;
    options.sql_parser.enable_ident_normalization = true;
    options.execution.time_zone = Some("UTC".to_string());
    Arc::new(options)
}

/// The value of its argument, under a name of its own.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NamedCast {
    signature: Signature,
}

impl ScalarUDFImpl for NamedCast {
    fn name(&self) -> &str {
        NAMED_CAST
    }

    fn schema_name(&self, args: &[Expr]) -> datafusion::common::Result<String> {
        // An expression's display names the type of a cast; its schema name does not.
        Ok(args.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let [argument] = take_function_args(NAMED_CAST, args.args)?;
        Ok(argument)
    }
}

/// DataFusion's face of a [`UserFunction`].
struct UserScalar {
    function: UserFunction,
    signature: Signature,
}

impl UserScalar {
    fn new(function: UserFunction) -> Self {
        let volatility = if function.deterministic { Volatility::Immutable } else { Volatility::Volatile };
        let signature = match function.arguments.is_empty() {
            true => Signature::nullary(volatility),
            false => Signature::exact(function.arguments.clone(), volatility),
        };
        let function = UserFunction { name: function.name.to_lowercase(), ..function };
        UserScalar { function, signature }
    }
}

impl Debug for UserScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserScalar({})", self.function.name)
    }
}

impl PartialEq for UserScalar {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && Arc::ptr_eq(&self.function.function, &other.function.function)
    }
}

impl Eq for UserScalar {}

impl Hash for UserScalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for UserScalar {
    fn name(&self) -> &str {
        &self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.function.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>, _>>()?;
        let result = (self.function.function)(&arrays).map_err(to_datafusion)?;
        if result.len() != args.number_rows || result.data_type() != &self.function.result {
            return Err(to_datafusion(Error::data(format!(
                "function \"{}\" gave {} rows of {} for {} rows of {}",
                self.function.name,
                result.len(),
                result.data_type(),
                args.number_rows,
                self.function.result
            ))));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// One argument of a call as an array of `rows` values.
pub(crate) fn one_argument(name: &str, args: &ScalarFunctionArgs) -> datafusion::common::Result<ArrayRef> {
    let [argument] = take_function_args(name, args.args.clone())?;
    argument.to_array(args.number_rows)
}
