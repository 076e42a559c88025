//! Filters pushed down, except where that asks something else.
//!
//! DataFusion's rule pushes a condition wherever all its columns are known, and so one without columns everywhere:
//! below an aggregate that has a row also over nothing (`WHERE 1 = 0`, `n = 1 AND n = 3` once it is found to be false),
//! or a `random() < 0.5` below a join. It drops the stricter of `5 < x` and `x >= 5`, because it takes the literal to
//! stand on the right. Here conditions without columns and volatile ones stay where they are, literals are turned to
//! the right first, and aggregates are passed by conditions on their keys alone.

use std::sync::Arc;

use crate::plan::walk::Walk;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Filter, LogicalPlan};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rule.
pub(crate) fn push_down(
    rule: &PushDownFilter,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Filter(filter) => push(rule, filter, config),
        LogicalPlan::Join(mut join) => {
            join.filter = join
                .filter
                .and_then(|filter| conjunction(split_conjunction_owned(filter).into_iter().map(with_literal_right)));
            rule.rewrite(LogicalPlan::Join(join), config)
        }
        other => Ok(Transformed::no(other)),
    }
}

fn push(rule: &PushDownFilter, filter: Filter, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let (conditions, input, merged) = merged(filter);
    let conditions: Vec<Expr> = conditions.into_iter().map(with_literal_right).collect();
    let input = match Arc::unwrap_or_clone(input) {
        LogicalPlan::Aggregate(aggregate) => return below_aggregate(conditions, aggregate, merged),
        other => Arc::new(other),
    };
    let stays = |condition: &Expr| condition.column_refs().is_empty() || condition.is_volatile();
    let (staying, moving): (Vec<Expr>, Vec<Expr>) = match input.as_ref() {
        LogicalPlan::Distinct(Distinct::On(_)) => (conditions, vec![]),
        _ => conditions.into_iter().partition(stays),
    };
    let Some(moving) = conjunction(moving) else {
        return Ok(Transformed::new_transformed(filtered(staying, input)?, merged));
    };
    let pushed = rule.rewrite(LogicalPlan::Filter(Filter::try_new(moving, input)?), config)?;
    if staying.is_empty() {
        let transformed = pushed.transformed || merged;
        return Ok(Transformed::new_transformed(pushed.data, transformed));
    }
    let transformed = pushed.transformed || merged;
    let plan = match pushed.data {
        LogicalPlan::Filter(below) => {
            let conditions = split_conjunction_owned(below.predicate).into_iter().chain(staying).collect();
            filtered(conditions, below.input)?
        }
        other => filtered(staying, Arc::new(other))?,
    };
    Ok(Transformed::new_transformed(plan, transformed))
}
/// The conditions of a filter and of all that it lies on, the lowest first.
fn merged(filter: Filter) -> (Vec<Expr>, Arc<LogicalPlan>, bool) {
    let mut levels = vec![split_conjunction_owned(filter.predicate)];
    let mut input = filter.input;
    while let LogicalPlan::Filter(below) = input.as_ref() {
        levels.push(split_conjunction_owned(below.predicate.clone()));
        input = below.input.clone();
    }
    let merged = levels.len() > 1;
    let mut conditions: Vec<Expr> = vec![];
    for condition in levels.into_iter().rev().flatten() {
        if condition.is_volatile() || !conditions.contains(&condition) {
            conditions.push(condition);
        }
    }
    (conditions, input, merged)
}

/// Conditions on the keys of groups decide over all rows of a group, so they may come before grouping. A group by
/// nothing and grouping sets have rows of their own, which no condition on an input row can stand for.
fn below_aggregate(conditions: Vec<Expr>, aggregate: Aggregate, merged: bool) -> Result<Transformed<LogicalPlan>> {
    let is_set = aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_)));
    let keys = if is_set { 0 } else { aggregate.group_expr.len() };
    let key_of = |expr: &Expr| match expr {
        Expr::Column(column) => aggregate.schema.maybe_index_of_column(column).filter(|index| *index < keys),
        _ => None,
    };
    let moves = |condition: &Expr| {
        let columns = condition.column_refs();
        let constant = columns.is_empty() || condition.is_volatile() || condition.contains_outer();
        !constant && columns.into_iter().all(|column| key_of(&Expr::Column(column.clone())).is_some())
    };
    let (moving, staying): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(moves);
    let moving = moving.into_iter().map(|condition| {
        let below = condition.transform_up(|expr| match key_of(&expr).and_then(|key| aggregate.group_expr.get(key)) {
            Some(key) => Ok(Transformed::yes(key.clone().unalias())),
            None => Ok(Transformed::no(expr)),
        });
        below.data()
    });
    let moving = conjunction(moving.collect::<Result<Vec<_>>>()?);
    let transformed = merged || moving.is_some();
    let aggregate = match moving {
        Some(moving) => {
            let input = Arc::new(LogicalPlan::Filter(Filter::try_new(moving, aggregate.input)?));
            Aggregate::try_new(input, aggregate.group_expr, aggregate.aggr_expr)?
        }
        None => aggregate,
    };
    Ok(Transformed::new_transformed(filtered(staying, Arc::new(LogicalPlan::Aggregate(aggregate)))?, transformed))
}

fn filtered(conditions: Vec<Expr>, input: Arc<LogicalPlan>) -> Result<LogicalPlan> {
    match conjunction(conditions) {
        Some(condition) => Filter::try_new(condition, input).map(LogicalPlan::Filter),
        None => Ok(Arc::unwrap_or_clone(input)),
    }
}

fn with_literal_right(condition: Expr) -> Expr {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op.swap() {
            Some(swapped) if matches!(left.as_ref(), Expr::Literal(..)) => {
                Expr::BinaryExpr(BinaryExpr { left: right, op: swapped, right: left })
            }
            _ => Expr::BinaryExpr(BinaryExpr { left, op, right }),
        },
        other => other,
    }
}
