//! Scalar subqueries have one row, by construction.
//!
//! A scalar subquery that is not a plain aggregate without GROUP BY is wrapped in the aggregate `single_value`, which
//! gives NULL for no row and raises 21000 for a second one; DataFusion's own joins would silently multiply rows.
//! `ORDER BY .. LIMIT 1` in a correlated subquery becomes the aggregate `first_value`, because DataFusion cannot pull a
//! limit out of it.

use std::sync::Arc;

use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::logical_plan::{FetchType, SkipType};
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, LogicalPlanBuilder, Subquery};

use crate::base::error::{Error, Result};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::functions::FunctionRegistry;
use crate::plan::properties::is_one_row;
use crate::plan::walk::{Walk, rewrite_expressions};

/// Wraps scalar subqueries.
pub(crate) fn make_single_row(plan: LogicalPlan, functions: &FunctionRegistry) -> Result<LogicalPlan> {
    rewrite_expressions(plan, &mut |expr| match expr {
        Expr::ScalarSubquery(subquery) => {
            Ok(wrap(subquery, functions).map_err(to_datafusion)?.update_data(Expr::ScalarSubquery))
        }
        other => Ok(Transformed::no(other)),
    })
    .map_err(from_datafusion)
}

fn wrap(subquery: Subquery, functions: &FunctionRegistry) -> Result<Transformed<Subquery>> {
    if is_one_row(&subquery.subquery) {
        return Ok(Transformed::no(subquery));
    }
    if !subquery.outer_ref_columns.is_empty()
        && let LogicalPlan::Limit(limit) = subquery.subquery.as_ref()
        && let Some(plan) = first_row(limit, functions)?
    {
        return Ok(Transformed::yes(subquery.with_plan(Arc::new(plan))));
    }
    let input = subquery.subquery.as_ref().clone();
    let columns = input.schema().columns();
    let [column] = columns.as_slice() else {
        return Err(Error::invalid("a subquery used as an expression must have one column").with_sqlstate("42601"));
    };
    // A name of its own: the columns that the subquery is joined by come to stand beside it.
    let name = format!("__single_{}", column.name());
    let function = functions.expect_aggregate("single_value")?;
    let call = AggregateFunction::new_udf(function, vec![Expr::Column(column.clone())], false, None, vec![], None);
    let plan = LogicalPlanBuilder::from(input)
        .aggregate(Vec::<Expr>::new(), vec![Expr::AggregateFunction(call).alias(name)])
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    Ok(Transformed::yes(subquery.with_plan(Arc::new(plan))))
}

/// `SELECT x .. ORDER BY k LIMIT 1` as `SELECT first_value(x ORDER BY k) ..`.
fn first_row(limit: &Limit, functions: &FunctionRegistry) -> Result<Option<LogicalPlan>> {
    let skip = limit.get_skip_type().map_err(from_datafusion)?;
    let fetch = limit.get_fetch_type().map_err(from_datafusion)?;
    if !matches!((skip, fetch), (SkipType::Literal(0), FetchType::Literal(Some(1)))) {
        return Ok(None);
    }
    // The binder puts the sort above or below the projection of the one column, depending on its keys.
    let (projection, keys, input) = match limit.input.as_ref() {
        LogicalPlan::Sort(sort) => match sort.input.as_ref() {
            LogicalPlan::Projection(projection) if projection.expr.len() == 1 => {
                let keys = sort.expr.iter().map(|key| {
                    let replaced = key.expr.clone().transform_up(|expr| match &expr {
                        Expr::Column(column) => {
                            let field = projection.schema.maybe_index_of_column(column);
                            let source = field.and_then(|index| projection.expr.get(index)).cloned();
                            Ok(source.map_or(Transformed::no(expr), |source| Transformed::yes(source.unalias())))
                        }
                        _ => Ok(Transformed::no(expr)),
                    });
                    replaced.data().map(|expr| datafusion::logical_expr::SortExpr { expr, ..key.clone() })
                });
                let keys = keys.collect::<DataFusionResult<Vec<_>>>().map_err(from_datafusion)?;
                (projection.expr.first().cloned(), keys, projection.input.clone())
            }
            _ => (
                sort.input.schema().columns().into_iter().next().map(Expr::Column),
                sort.expr.clone(),
                sort.input.clone(),
            ),
        },
        LogicalPlan::Projection(projection) if projection.expr.len() == 1 => match projection.input.as_ref() {
            LogicalPlan::Sort(sort) => (projection.expr.first().cloned(), sort.expr.clone(), sort.input.clone()),
            _ => (projection.expr.first().cloned(), vec![], projection.input.clone()),
        },
        _ => return Ok(None),
    };
    let Some(value) = projection else { return Ok(None) };
    if limit.input.schema().fields().len() != 1 {
        return Ok(None);
    }
    let name = limit.input.schema().field(0).name().clone();
    let function = functions.expect_aggregate("first_value")?;
    let value = value.unalias();
    let keys = match keys.is_empty() {
        true => vec![value.clone().sort(true, false)],
        false => keys,
    };
    let call = AggregateFunction::new_udf(function, vec![value], false, None, keys, None);
    LogicalPlanBuilder::from(input.as_ref().clone())
        .aggregate(Vec::<Expr>::new(), vec![Expr::AggregateFunction(call).alias(name)])
        .and_then(LogicalPlanBuilder::build)
        .map(Some)
        .map_err(from_datafusion)
}
