//! EXISTS, as far as the form of its query decides.
//!
//! An aggregate without GROUP BY, or with a grouping set of nothing (ROLLUP, CUBE), has a row whatever it reads, so the
//! answer is known. Of a LIMIT only 0 matters; an OFFSET asks whether there are more rows than it skips, which is a
//! count. DataFusion drops every limit of a correlated EXISTS, also one that stands further down, so that such an
//! EXISTS becomes a count as well.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result as DataFusionResult};
use datafusion::logical_expr::expr::{AggregateFunction, Exists};
use datafusion::logical_expr::logical_plan::{FetchType, SkipType};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, LogicalPlanBuilder, Subquery, lit};

use crate::base::error::Result;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::functions::FunctionRegistry;
use crate::plan::properties::has_row;
use crate::plan::walk::{Walk, rewrite_expressions};

/// Answers or restates every EXISTS that DataFusion would take for another question.
pub(crate) fn decide(plan: LogicalPlan, functions: &FunctionRegistry) -> Result<LogicalPlan> {
    rewrite_expressions(plan, &mut |expr| match expr {
        Expr::Exists(exists) => decide_one(exists, functions),
        other => Ok(Transformed::no(other)),
    })
    .map_err(from_datafusion)
}

fn decide_one(exists: Exists, functions: &FunctionRegistry) -> DataFusionResult<Transformed<Expr>> {
    let Exists { subquery, negated } = exists;
    let plan = without_effect(&subquery.subquery);
    if has_row(plan) {
        return Ok(Transformed::yes(lit(!negated)));
    }
    let (rows, skipped) = match plan {
        LogicalPlan::Limit(limit) => match (limit.get_skip_type()?, limit.get_fetch_type()?) {
            (_, FetchType::Literal(Some(0))) => return Ok(Transformed::yes(lit(negated))),
            (SkipType::Literal(skipped), FetchType::Literal(_)) => {
                // A list stays: below one, later passes keep columns of one name apart.
                let rows = LogicalPlanBuilder::from(without_order(&limit.input).clone());
                (Arc::new(rows.project([lit(1i64).alias("__row")])?.build()?), skipped)
            }
            _ => return Ok(Transformed::no(Expr::Exists(Exists { subquery, negated }))),
        },
        _ => (subquery.subquery.clone(), 0),
    };
    let changed = !Arc::ptr_eq(&rows, &subquery.subquery);
    let subquery = subquery.with_plan(rows);
    let correlated = !subquery.outer_ref_columns.is_empty();
    let limited = || subquery.subquery.exists(|node| Ok(matches!(node, LogicalPlan::Limit(_))));
    if skipped == 0 && !(correlated && limited()?) {
        return Ok(Transformed::new_transformed(Expr::Exists(Exists { subquery, negated }), changed));
    }
    let rows = count(subquery, functions)?;
    let skipped = lit(i64::try_from(skipped).unwrap_or(i64::MAX));
    Ok(Transformed::yes(if negated { rows.lt_eq(skipped) } else { rows.gt(skipped) }))
}

/// The plan below operators of which it does not depend whether there is a row.
fn without_effect(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Projection(projection) => without_effect(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => without_effect(&alias.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => without_effect(&sort.input),
        LogicalPlan::Window(window) => without_effect(&window.input),
        LogicalPlan::Distinct(Distinct::All(input)) => without_effect(input),
        other => other,
    }
}

/// The plan below operators that neither add nor take away rows.
fn without_order(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Projection(projection) => without_order(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => without_order(&alias.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => without_order(&sort.input),
        other => other,
    }
}

/// `(SELECT count(*) FROM subquery)`.
fn count(subquery: Subquery, functions: &FunctionRegistry) -> DataFusionResult<Expr> {
    let function = functions.expect_aggregate("count").map_err(to_datafusion)?;
    let call = AggregateFunction::new_udf(function, vec![lit(1i64)], false, None, vec![], None);
    let call = Expr::AggregateFunction(call);
    // The query around may have an aggregate of that name.
    let value = Expr::Column(Column::new_unqualified(call.schema_name().to_string())).alias("__value");
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
        .aggregate(Vec::<Expr>::new(), vec![call])?
        .project([value])?
        .build()?;
    Ok(Expr::ScalarSubquery(subquery.with_plan(Arc::new(plan))))
}
