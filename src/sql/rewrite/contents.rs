//! What an expression holds, told from names alone: columns, aggregates, window calls.
//!
//! GROUP BY ALL is rewritten before anything is resolved, so aggregates are known by a list of names. Subqueries are
//! another query's business and not looked into.

use sqlparser::ast::Expr;

use crate::sql::name::normal;
use crate::sql::walk::own_expressions;

/// Names of aggregates, sorted: ours, DataFusion's and the usual ones of others.
const AGGREGATES: &[&str] = &[
    "any_value",
    "approx_count_distinct",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "approx_quantile",
    "arbitrary",
    "arg_max",
    "arg_min",
    "argmax",
    "argmin",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "count_if",
    "countif",
    "covar",
    "covar_pop",
    "covar_samp",
    "entropy",
    "every",
    "favg",
    "first",
    "first_value",
    "fsum",
    "geomean",
    "group_concat",
    "grouping",
    "histogram",
    "json_agg",
    "json_group_array",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "kurtosis",
    "last",
    "last_value",
    "list",
    "listagg",
    "mad",
    "max",
    "max_by",
    "mean",
    "median",
    "min",
    "min_by",
    "mode",
    "nth_value",
    "percentile_cont",
    "percentile_disc",
    "product",
    "quantile",
    "quantile_cont",
    "quantile_disc",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "sem",
    "single_value",
    "skewness",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "sumkahan",
    "var",
    "var_pop",
    "var_population",
    "var_samp",
    "var_sample",
    "variance",
];

/// What was found in an expression.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contents {
    /// A column.
    pub column: bool,
    /// A call of an aggregate, not over a window.
    pub aggregate: bool,
    /// A call over a window.
    pub window: bool,
    /// A call of `unnest`, which makes rows.
    pub unnest: bool,
    /// A subquery, which is not looked into.
    pub subquery: bool,
}

/// Looks through an expression.
pub(super) fn contents(expr: &Expr) -> Contents {
    let mut found = Contents::default();
    own_expressions(expr, |expr| match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => found.column = true,
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => found.subquery = true,
        Expr::Function(function) if function.over.is_some() => found.window = true,
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident()).map(normal).unwrap_or_default();
            found.aggregate |=
                AGGREGATES.contains(&name.as_str()) || function.filter.is_some() || !function.within_group.is_empty();
            found.unnest |= name == "unnest";
        }
        _ => {}
    });
    found
}
