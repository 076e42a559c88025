//! `FETCH FIRST n ROWS WITH TIES` from ordinary parts: a row is kept while its rank by the keys of ORDER BY is at most n.
//!
//! With an OFFSET of m, row number m is the last that is left out, and rank m + n the last that is kept. Both drivers
//! have window functions, so ties need no kind of limit of their own.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result as DataFusionResult, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Sort as SortKey, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, Limit, LogicalPlan, LogicalPlanBuilder, Sort, WindowFrame, WindowFunctionDefinition, cast, lit,
};

use crate::base::error::{Error, Result};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::functions::FunctionRegistry;
use crate::plan::functions::marker::rows_with_ties;
use crate::plan::optimizer::fold_constant;
use crate::plan::walk::{Walk, WalkDeep};
use arrow::datatypes::DataType;

const RANK: &str = "__ties_rank";
const NUMBER: &str = "__ties_number";

/// Builds the limits with ties.
pub(crate) fn build(plan: LogicalPlan, functions: &FunctionRegistry) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| match node {
        LogicalPlan::Limit(limit) => match limit.fetch.as_deref().and_then(rows_with_ties).cloned() {
            Some(rows) => build_one(limit, rows, functions).map(Transformed::yes),
            None => Ok(Transformed::no(LogicalPlan::Limit(limit))),
        },
        other => Ok(Transformed::no(other)),
    })
    .data()
    .map_err(from_datafusion)
}

fn build_one(limit: Limit, rows: Expr, functions: &FunctionRegistry) -> DataFusionResult<LogicalPlan> {
    let rows = whole(Some(rows), "LIMIT", "2201W").map_err(to_datafusion)?;
    let skipped = whole(limit.skip.map(|skip| *skip), "OFFSET", "2201X").map_err(to_datafusion)?.unwrap_or(0);
    let input = Arc::unwrap_or_clone(limit.input);
    let Some(rows) = rows else {
        let error = Error::invalid("the number of rows WITH TIES must not be NULL").with_sqlstate("2201W");
        return Err(to_datafusion(error));
    };
    in_sort(input, &mut |sort| kept(sort, skipped, rows, functions))
}

/// Replaces the sort that a limit reads, below the projection that takes away what only ORDER BY names.
fn in_sort(
    plan: LogicalPlan,
    replace: &mut dyn FnMut(Sort) -> DataFusionResult<LogicalPlan>,
) -> DataFusionResult<LogicalPlan> {
    match plan {
        LogicalPlan::Sort(sort) => replace(sort),
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.map_children(|input| in_sort(input, replace).map(Transformed::yes)).data()
        }
        _ => Err(to_datafusion(Error::unsupported("FETCH .. WITH TIES is not supported beside DISTINCT ON"))),
    }
}

/// The rows of the sort behind the first `skipped`, up to the last that is tied with number `skipped + rows`.
fn kept(sort: Sort, skipped: i64, rows: i64, functions: &FunctionRegistry) -> DataFusionResult<LogicalPlan> {
    let columns: Vec<Expr> = sort.input.schema().columns().into_iter().map(Expr::Column).collect();
    let number = |name: &str, alias: &str| -> DataFusionResult<Expr> {
        let Some(function) = functions.window(name).cloned() else {
            return plan_err!("no built-in window function \"{name}\"");
        };
        let order_by: Vec<SortKey> = sort.expr.clone();
        let window_frame = WindowFrame::new(Some(false));
        let params = WindowFunctionParams {
            args: vec![],
            partition_by: vec![],
            order_by,
            window_frame,
            filter: None,
            null_treatment: None,
            distinct: false,
        };
        let fun = WindowFunctionDefinition::WindowUDF(function);
        Ok(Expr::WindowFunction(Box::new(WindowFunction { fun, params })).alias(alias))
    };
    let mut numbers = vec![number("rank", RANK)?];
    let mut kept = lit(rows > 0).and(column(RANK).lt_eq(lit(skipped.saturating_add(rows))));
    if skipped > 0 {
        numbers.push(number("row_number", NUMBER)?);
        kept = kept.and(column(NUMBER).gt(lit(skipped)));
    }
    LogicalPlanBuilder::from(Arc::unwrap_or_clone(sort.input))
        .window(numbers)?
        .filter(kept)?
        .sort(sort.expr)?
        .project(columns)?
        .build()
}

fn column(name: &str) -> Expr {
    cast(Expr::Column(Column::new_unqualified(name)), DataType::Int64)
}

/// A number of rows as a value; none where it is NULL.
fn whole(expr: Option<Expr>, clause: &str, sqlstate: &'static str) -> Result<Option<i64>> {
    let Some(expr) = expr else { return Ok(None) };
    let Expr::Literal(value, _) = fold_constant(cast(expr, DataType::Int64))? else {
        return Err(Error::unsupported(format!("{clause} must be a constant beside WITH TIES")));
    };
    match value {
        ScalarValue::Int64(Some(rows)) if rows < 0 => {
            Err(Error::invalid(format!("{clause} must not be negative")).with_sqlstate(sqlstate))
        }
        ScalarValue::Int64(rows) => Ok(rows),
        _ => Ok(None),
    }
}
