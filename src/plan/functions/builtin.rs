//! All functions that are built in: where one is added.
//!
//! DataFusion's default set, with ours in place of those of the same name. A family of functions lives beside what it
//! computes with and gives them as a list; who adds a function adds it to the list of its family. Names that PostgreSQL
//! or DuckDB know for the same function are at the end.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use super::registry::FunctionRegistry;
use super::{clock, domain, like, long_results, marker, replacement, similar, type_name, width_bucket, window};
use crate::operator::accumulator::aggregate_functions;
use crate::plan::values::arguments;
use crate::plan::{lists, time, windows};

impl FunctionRegistry {
    /// The built-in functions.
    pub fn new() -> Self {
        let mut registry = FunctionRegistry::empty();
        add_scalars(&mut registry);
        SessionStateDefaults::default_higher_order_functions()
            .into_iter()
            .for_each(|function| registry.add_higher_order(function));
        let aggregates = SessionStateDefaults::default_aggregate_functions().into_iter().chain(aggregate_functions());
        aggregates.for_each(|function| registry.add_aggregate(function));
        OTHER_AGGREGATES.iter().for_each(|(name, other)| registry.name_aggregate(name, other));
        for function in SessionStateDefaults::default_window_functions() {
            registry.add_window(window::adapted(function));
        }
        for function in SessionStateDefaults::default_table_functions() {
            registry.add_table(function);
        }
        registry.show_aggregates();
        registry
    }
}

impl Default for FunctionRegistry {
    fn default() -> Self {
        FunctionRegistry::new()
    }
}

fn add_scalars(registry: &mut FunctionRegistry) {
    let families = [
        scalars_below().collect(),
        clock::functions(),
        windows::functions(),
        time::functions(),
        lists::functions(),
        marker::functions(),
        type_name::functions(),
        vec![
            Arc::new(version()),
            Arc::new(similar::function()),
            Arc::new(like::function()),
            Arc::new(width_bucket::function()),
        ],
    ];
    families.into_iter().flatten().for_each(|function| registry.add_scalar(function));
    OTHER_NAMES.iter().for_each(|(name, other)| registry.name_scalar(name, other));
}

/// The scalar functions of DataFusion, but for its `nvl`, which would make texts of two types.
fn scalars_below() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let all = SessionStateDefaults::default_scalar_functions().into_iter();
    all.filter(|function| function.name() != "nvl")
        .map(arguments::adapted)
        .map(replacement::adapted)
        .map(domain::adapted)
        .map(long_results::adapted)
}

/// `version()`: ours, not that of the library below.
fn version() -> ScalarUDF {
    let text = format!("Eddy {}", env!("CARGO_PKG_VERSION"));
    let value = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(text.clone()))));
    create_udf("version", vec![], DataType::Utf8View, Volatility::Immutable, Arc::new(value))
}

/// Names that PostgreSQL or DuckDB know for functions that DataFusion calls otherwise.
const OTHER_NAMES: [(&str, &str); 15] = [
    ("ifnull", "coalesce"),
    ("nvl", "coalesce"),
    ("sign", "signum"),
    ("ceiling", "ceil"),
    ("char_length", "character_length"),
    ("len", "length"),
    ("ucase", "upper"),
    ("lcase", "lower"),
    ("list_value", "make_array"),
    ("list_pack", "make_array"),
    ("struct_extract", "get_field"),
    ("gen_random_uuid", "uuid"),
    ("string_split", "string_to_array"),
    ("str_split", "string_to_array"),
    ("split", "string_to_array"),
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
