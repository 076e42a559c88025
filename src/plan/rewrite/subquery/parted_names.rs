//! Conditions on the outer row under names that nothing else in the subquery has.
//!
//! They come once guards have their place, because a guard brings columns of its own into a condition.

use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, Result as DataFusionResult};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection, lit};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::walk::{Walk, WalkDeep};

/// Parts the names in all subqueries.
pub(crate) fn part(plan: LogicalPlan, aliases: &AliasGenerator) -> Result<LogicalPlan> {
    let part_all = |plan: LogicalPlan| {
        plan.transform_down(|node| match node {
            LogicalPlan::Projection(projection) => part_names(projection, aliases),
            LogicalPlan::Filter(filter) => keep_equal_sides(filter),
            other => Ok(Transformed::no(other)),
        })
    };
    plan.transform_up_deep(|node| match node {
        // LATERAL: here the subquery is a node.
        LogicalPlan::Subquery(subquery) => part_all(LogicalPlan::Subquery(subquery)),
        node => node.map_subqueries(part_all),
    })
    .data()
    .map_err(from_datafusion)
}

/// `WHERE outer.g = outer.g` asks whether g is NULL; DataFusion takes equal sides for true.
fn keep_equal_sides(filter: Filter) -> DataFusionResult<Transformed<LogicalPlan>> {
    let mut kept = false;
    let conditions = split_conjunction_owned(filter.predicate).into_iter().map(|condition| match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if left == right && left.contains_outer() => {
            kept = true;
            Expr::IsNotNull(left)
        }
        other => other,
    });
    let predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
    Ok(Transformed::new_transformed(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?), kept))
}

/// `SELECT q.c AS o FROM q WHERE q.o < outer.k`: DataFusion adds q.o to the list, where that name is taken. So the
/// condition uses it under a name of its own. Likewise where two relations of the subquery have columns of one name:
/// outside, both belong to the subquery, and one would be taken for the other.
fn part_names(projection: Projection, aliases: &AliasGenerator) -> DataFusionResult<Transformed<LogicalPlan>> {
    let is_own = |expr: &Expr| matches!(expr, Expr::Column(_));
    let list = projection.expr.iter().filter(|expr| !is_own(expr));
    let taken: Vec<String> = list.map(|expr| expr.qualified_name().1).collect();
    let mut parted = false;
    let input = Arc::unwrap_or_clone(projection.input).transform_down(|node| match node {
        LogicalPlan::Filter(filter) => {
            let renamed = rename(filter, &taken, aliases)?;
            parted |= renamed.transformed;
            Ok(renamed)
        }
        LogicalPlan::Projection(_) | LogicalPlan::Join(_) | LogicalPlan::Sort(_) | LogicalPlan::Aggregate(_) => {
            Ok(Transformed::no(node))
        }
        other => Ok(Transformed::new(other, false, TreeNodeRecursion::Jump)),
    })?;
    let plan = LogicalPlan::Projection(Projection::try_new(projection.expr, Arc::new(input.data))?);
    Ok(Transformed::new_transformed(plan, parted))
}

/// A filter whose conditions on the outer row use none of the names.
fn rename(filter: Filter, names: &[String], aliases: &AliasGenerator) -> DataFusionResult<Transformed<LogicalPlan>> {
    let mut renamed: Vec<(Column, Column)> = vec![];
    let schema = filter.input.schema().clone();
    // A column that the list casts is called by its whole name there.
    let is_taken = |column: &Column| {
        let twice = schema.fields().iter().filter(|field| *field.name() == column.name).count() > 1;
        twice || names.contains(&column.name) || names.contains(&column.flat_name())
    };
    let conditions = split_conjunction_owned(filter.predicate).into_iter().map(|condition| {
        if !condition.contains_outer() {
            return Ok(condition);
        }
        let condition = condition.transform_up(|expr| match expr {
            Expr::Column(column) if is_taken(&column) => {
                let known = renamed.iter().find(|(old, _)| *old == column).map(|(_, new)| new.clone());
                let new = known.unwrap_or_else(|| {
                    let new = Column::new_unqualified(aliases.next("__named"));
                    renamed.push((column, new.clone()));
                    new
                });
                Ok(Transformed::yes(Expr::Column(new)))
            }
            other => Ok(Transformed::no(other)),
        });
        condition.data()
    });
    let predicate = conjunction(conditions.collect::<DataFusionResult<Vec<_>>>()?).unwrap_or_else(|| lit(true));
    if renamed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)));
    }
    let columns = filter.input.schema().columns().into_iter().map(Expr::Column);
    let added = renamed.into_iter().map(|(old, new)| Expr::Column(old).alias(new.name));
    let list: Vec<Expr> = columns.chain(added).collect();
    let input = LogicalPlanBuilder::from(filter.input.as_ref().clone()).project(list)?.build()?;
    let plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?);
    Ok(Transformed::new(plan, true, TreeNodeRecursion::Jump))
}
