//! LATERAL over a correlated aggregate without GROUP BY, as the row of the aggregate and what is made of it above.
//!
//! `LATERAL (SELECT count(*) + o.x FROM t WHERE t.k = o.k HAVING ..)` aggregates also for outer rows that no row of t
//! matches. DataFusion groups the aggregate by `t.k`, joins it by an outer join and says what a list without further
//! columns is where there is no partner; it would keep such a row also where HAVING takes it away. So the join is with
//! the aggregate alone, which has one row for every outer row; the list, the conditions and ON are computed above.

use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, JoinType, Result as DataFusionResult, Spans};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, Subquery, lit, when};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::rewrite::subquery::one_row::Spine;
use crate::plan::rewrite::subquery::references::lateral_query;
use crate::plan::walk::{Walk, WalkDeep};

/// Leaves of such a query of LATERAL the aggregate alone.
pub(crate) fn tell_above(plan: LogicalPlan, aliases: &AliasGenerator) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| match node {
        LogicalPlan::Join(join) => tell(join, aliases),
        other => Ok(Transformed::no(other)),
    })
    .data()
    .map_err(from_datafusion)
}

fn tell(join: Join, aliases: &AliasGenerator) -> DataFusionResult<Transformed<LogicalPlan>> {
    let spine = match lateral_query(&join.right) {
        Some(query) if join.on.is_empty() => Spine::of(&query.subquery)?,
        _ => None,
    };
    let is_left = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
    };
    let Some(Spine { list, conditions, is_bare: false, aggregate }) = spine else {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    };
    let name = aliases.next("__row");
    let above = |expr: Expr| above(expr, aggregate.schema(), &name, join.left.schema());
    let left = join.left.schema().columns().into_iter().map(Expr::Column);
    let list = list.into_iter().map(above).collect::<DataFusionResult<Vec<_>>>()?;
    let columns = join.right.schema().columns();
    let named = list.into_iter().zip(&columns).map(|(expr, column)| {
        let Column { relation, name, .. } = column.clone();
        expr.alias_qualified(relation, name)
    });
    let present = conditions.into_iter().map(above).collect::<DataFusionResult<Vec<_>>>()?;
    let present = conjunction(present).unwrap_or_else(|| lit(true)).alias(&name);
    let computed: Vec<Expr> = left.clone().chain(named).chain([present]).collect();
    let kept = conjunction(join.filter.iter().cloned().chain([Expr::Column(Column::new_unqualified(&name))]));
    let kept = kept.unwrap_or_else(|| lit(true));
    let plan = LogicalPlanBuilder::from(over_row(&join, aggregate, &name)?).project(computed)?;
    let plan = match is_left {
        false => plan.filter(kept)?.project(join.schema.columns().into_iter().map(Expr::Column))?,
        true => {
            let right = columns.into_iter().map(|column| {
                let value = when(kept.clone(), Expr::Column(column.clone())).end()?;
                Ok(value.alias_qualified(column.relation, column.name))
            });
            plan.project(left.chain(right.collect::<DataFusionResult<Vec<_>>>()?))?
        }
    };
    plan.build().map(Transformed::yes)
}

/// The left side joined with the row of the aggregate, whose columns get names of their own.
fn over_row(join: &Join, aggregate: &LogicalPlan, name: &str) -> DataFusionResult<LogicalPlan> {
    let columns = aggregate.schema().columns().into_iter().enumerate();
    let named = columns.map(|(index, column)| Expr::Column(column).alias(format!("{name}_{index}")));
    let row = LogicalPlanBuilder::from(aggregate.clone()).project(named)?.build()?;
    let outer_ref_columns = row.all_out_ref_exprs();
    let query = Subquery { subquery: Arc::new(row), outer_ref_columns, spans: Spans::new() };
    let right = Arc::new(LogicalPlan::Subquery(query));
    let (constraint, nulls) = (join.join_constraint, join.null_equality);
    Join::try_new(join.left.clone(), right, vec![], None, JoinType::Inner, constraint, nulls, false)
        .map(LogicalPlan::Join)
}

/// An expression over the aggregate and the left side, as one over both joined.
fn above(expr: Expr, aggregate: &DFSchema, name: &str, left: &DFSchema) -> DataFusionResult<Expr> {
    expr.transform_up(|expr| match expr {
        Expr::Column(ref column) => Ok(match aggregate.maybe_index_of_column(column) {
            Some(index) => Transformed::yes(Expr::Column(Column::new_unqualified(format!("{name}_{index}")))),
            None => Transformed::no(expr),
        }),
        Expr::OuterReferenceColumn(_, column) if left.has_column(&column) => Ok(Transformed::yes(Expr::Column(column))),
        other => Ok(Transformed::no(other)),
    })
    .data()
}
