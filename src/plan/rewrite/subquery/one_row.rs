//! Correlated subqueries that are an aggregate without GROUP BY, below HAVING or in IN, EXISTS, ANY and ALL.
//!
//! `(SELECT count(*) FROM t WHERE t.k = o.k HAVING ..)` aggregates also for outer rows that no row of t matches.
//! DataFusion groups the aggregate by `t.k` and joins it, so that these outer rows find nothing; it makes up for that
//! only where a scalar subquery is the aggregate alone. So the others are told by such subqueries: HAVING and the
//! select list are computed outside, over one scalar subquery for each aggregate they use.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as DataFusionResult, Spans};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::logical_plan::{FetchType, SkipType};
use datafusion::logical_expr::utils::{conjunction, merge_schema};
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, LogicalPlanBuilder, Subquery, lit, not, when};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::rewrite::subquery::references::is_correlated;
use crate::plan::walk::{Walk, WalkDeep, any_expression, rewrite_node, subquery_of};

/// Tells subqueries of at most one aggregated row by scalar subqueries.
pub(crate) fn tell_by_values(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| {
        let schema = merge_schema(&node.inputs());
        rewrite_node(node, &mut |expr| tell(expr, &schema))
    })
    .data()
    .map_err(from_datafusion)
}

fn tell(expr: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    let subquery = match &expr {
        Expr::Exists(Exists { subquery, .. }) | Expr::ScalarSubquery(subquery) => subquery,
        Expr::InSubquery(InSubquery { subquery, .. }) | Expr::SetComparison(SetComparison { subquery, .. }) => subquery,
        _ => return Ok(Transformed::no(expr)),
    };
    let Some(row) = Row::of(subquery, schema)? else { return Ok(Transformed::no(expr)) };
    let told = match expr {
        Expr::ScalarSubquery(subquery) if row.is_bare => {
            return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
        }
        Expr::ScalarSubquery(_) => match row.condition {
            Some(condition) => when(condition, row.value).end()?,
            None => row.value,
        },
        Expr::Exists(Exists { negated, .. }) => {
            let present = row.condition.map_or(lit(true), Expr::is_true);
            if negated { not(present) } else { present }
        }
        Expr::InSubquery(InSubquery { expr, negated, .. }) => {
            let equal = row.decide(|value| (*expr).eq(value), false)?;
            if negated { not(equal) } else { equal }
        }
        Expr::SetComparison(SetComparison { expr, op, quantifier, .. }) => {
            let compare = |value| Expr::BinaryExpr(BinaryExpr::new(expr, op, Box::new(value)));
            row.decide(compare, matches!(quantifier, SetQuantifier::All))?
        }
        other => return Ok(Transformed::no(other)),
    };
    Ok(Transformed::yes(told))
}

/// What lists and conditions (HAVING, and WHERE of queries in FROM) make of the one row of a correlated aggregate without
/// GROUP BY.
pub(super) struct Spine<'a> {
    /// The columns of the plan, over those of the aggregate.
    pub(super) list: Vec<Expr>,
    /// When there is a row, over the columns of the aggregate.
    pub(super) conditions: Vec<Expr>,
    /// Whether the plan is one query of that one row, without ORDER BY, LIMIT or DISTINCT, whose list is over the row alone.
    pub(super) is_bare: bool,
    pub(super) aggregate: &'a LogicalPlan,
}

impl<'a> Spine<'a> {
    pub(super) fn of(mut plan: &'a LogicalPlan) -> DataFusionResult<Option<Spine<'a>>> {
        let mut is_bare = true;
        let mut lists = 0;
        let width = plan.schema().fields().len();
        // The columns first, then the conditions, all over the columns of `plan`.
        let mut told: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let aggregate = loop {
            let below = without_effect(plan)?;
            is_bare &= std::ptr::eq(below, plan);
            plan = match below {
                LogicalPlan::Projection(projection) => {
                    if asks_of(&projection.expr, projection.input.schema())? {
                        return Ok(None);
                    }
                    lists += 1;
                    is_bare &= !projection.expr.iter().any(Expr::contains_outer);
                    told = told
                        .into_iter()
                        .map(|expr| over_input(expr, below, &projection.expr))
                        .collect::<DataFusionResult<_>>()?;
                    projection.input.as_ref()
                }
                LogicalPlan::SubqueryAlias(alias) => {
                    is_bare = false;
                    let columns: Vec<Expr> = alias.input.schema().columns().into_iter().map(Expr::Column).collect();
                    told = told
                        .into_iter()
                        .map(|expr| over_input(expr, below, &columns))
                        .collect::<DataFusionResult<_>>()?;
                    alias.input.as_ref()
                }
                LogicalPlan::Filter(filter) => {
                    if asks_of(std::slice::from_ref(&filter.predicate), filter.input.schema())? {
                        return Ok(None);
                    }
                    told.push(filter.predicate.clone());
                    filter.input.as_ref()
                }
                LogicalPlan::Aggregate(aggregate) => break aggregate,
                _ => return Ok(None),
            };
        };
        if !aggregate.group_expr.is_empty() || !is_correlated(plan)? {
            return Ok(None);
        }
        let conditions = told.split_off(width);
        is_bare &= conditions.is_empty() && lists < 2;
        Ok(Some(Spine { list: told, conditions, is_bare, aggregate: plan }))
    }
}

/// The one row that a subquery may have, computed outside it.
struct Row {
    /// Whether there is the row.
    condition: Option<Expr>,
    /// Whether the subquery is such that DataFusion makes a join of it as it is.
    is_bare: bool,
    /// The value of its first column.
    value: Expr,
}

impl Row {
    fn of(subquery: &Subquery, schema: &DFSchema) -> DataFusionResult<Option<Row>> {
        let Some(Spine { list, conditions, is_bare, aggregate }) = Spine::of(&subquery.subquery)? else {
            return Ok(None);
        };
        let Some(value) = list.into_iter().next() else { return Ok(None) };
        let value = outside(value, aggregate, schema)?;
        let conditions = conditions.into_iter().map(|expr| outside(expr, aggregate, schema));
        let condition = conjunction(conditions.collect::<DataFusionResult<Vec<_>>>()?);
        Ok(Some(Row { condition, is_bare, value }))
    }

    /// What `compare` makes of the value, and `otherwise` where there is no row.
    fn decide(self, compare: impl FnOnce(Expr) -> Expr, otherwise: bool) -> DataFusionResult<Expr> {
        let compared = compare(self.value);
        match self.condition {
            Some(condition) => when(condition, compared).otherwise(lit(otherwise)),
            None => Ok(compared),
        }
    }
}

/// Whether a subquery in the expressions refers to the row they are over, so that it cannot be taken outside.
fn asks_of(exprs: &[Expr], schema: &DFSchema) -> DataFusionResult<bool> {
    let mut found = false;
    for expr in exprs {
        expr.apply(|expr| {
            if let Some(subquery) = subquery_of(expr) {
                subquery.subquery.apply_deep(|node| {
                    found |= any_expression(
                        node,
                        |expr| matches!(expr, Expr::OuterReferenceColumn(_, column) if schema.has_column(column)),
                    )?;
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(found)
}

/// The plan below operators that leave a single row as it is.
fn without_effect(plan: &LogicalPlan) -> DataFusionResult<&LogicalPlan> {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => without_effect(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => without_effect(input),
        LogicalPlan::Limit(limit) => match (limit.get_skip_type()?, limit.get_fetch_type()?) {
            (SkipType::Literal(0), FetchType::Literal(fetch)) if fetch != Some(0) => without_effect(&limit.input),
            _ => Ok(plan),
        },
        _ => Ok(plan),
    }
}

/// An expression over the columns of a node as one over those of its input, of which `list` makes the node's.
fn over_input(expr: Expr, node: &LogicalPlan, list: &[Expr]) -> DataFusionResult<Expr> {
    expr.transform_up(|expr| match &expr {
        Expr::Column(column) => {
            let position = node.schema().maybe_index_of_column(column);
            let source = position.and_then(|position| list.get(position)).cloned();
            Ok(source.map_or(Transformed::no(expr), |source| Transformed::yes(source.unalias())))
        }
        _ => Ok(Transformed::no(expr)),
    })
    .data()
}

/// An expression over the aggregate as one of the outer query, whose columns are in `schema`.
fn outside(expr: Expr, aggregate: &LogicalPlan, schema: &DFSchema) -> DataFusionResult<Expr> {
    expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let plan = LogicalPlanBuilder::from(aggregate.clone()).project([Expr::Column(column)])?.build()?;
            let outer_ref_columns = plan.all_out_ref_exprs();
            let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() };
            Ok(Transformed::yes(Expr::ScalarSubquery(subquery)))
        }
        Expr::OuterReferenceColumn(_, column) if schema.has_column(&column) => {
            Ok(Transformed::yes(Expr::Column(column)))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}
