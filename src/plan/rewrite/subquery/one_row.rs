//! Correlated subqueries that are an aggregate without GROUP BY, below HAVING or in IN, EXISTS, ANY and ALL.
//!
//! `(SELECT count(*) FROM t WHERE t.k = o.k HAVING ..)` aggregates also for outer rows that no row of t matches.
//! DataFusion groups the aggregate by `t.k` and joins it, so that these outer rows find nothing; it makes up for that
//! only where a scalar subquery is the aggregate alone. So the others are told by such subqueries: HAVING and the
//! select list are computed outside, over one scalar subquery for each aggregate they use.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, Result as DataFusionResult, Spans};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::logical_plan::{FetchType, SkipType};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, LogicalPlanBuilder, Subquery, lit, not, when};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::walk::{Walk, WalkDeep, rewrite_node};

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
        Expr::ScalarSubquery(subquery) if row.condition.is_none() && row.bare => {
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

/// The one row that a subquery may have, computed outside it.
struct Row {
    /// HAVING: whether there is the row.
    condition: Option<Expr>,
    /// Whether the subquery is nothing more: no ORDER BY, LIMIT or DISTINCT on top.
    bare: bool,
    /// The value of its first column.
    value: Expr,
}

impl Row {
    /// The row of `[SELECT ..] [HAVING ..]` over a correlated aggregate without GROUP BY.
    fn of(subquery: &Subquery, schema: &DFSchema) -> DataFusionResult<Option<Row>> {
        let top = subquery.subquery.as_ref();
        let mut plan = without_effect(top)?;
        let bare = std::ptr::eq(plan, top);
        let mut value = Expr::Column(Column::from(plan.schema().qualified_field(0)));
        if let LogicalPlan::Projection(projection) = plan {
            let Some(first) = projection.expr.first() else { return Ok(None) };
            (plan, value) = (without_effect(&projection.input)?, first.clone().unalias());
        }
        let mut condition = None;
        if let LogicalPlan::Filter(filter) = plan {
            (plan, condition) = (&filter.input, Some(filter.predicate.clone()));
        }
        let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(None) };
        if !aggregate.group_expr.is_empty() || aggregate.input.all_out_ref_exprs().is_empty() {
            return Ok(None);
        }
        let condition = condition.map(|condition| outside(condition, plan, schema)).transpose()?;
        Ok(Some(Row { condition, bare, value: outside(value, plan, schema)? }))
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
