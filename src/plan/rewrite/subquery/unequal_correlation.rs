//! Subqueries that depend on the outer row by more than equality, and are more than a selection of rows.
//!
//! DataFusion turns `(SELECT count(*) FROM b WHERE b.x = a.x)` into a join with groups of `b.x`; with `b.x < a.x` there
//! is nothing to group by. So the subquery also reads the distinct values of `a.x`, compares with those, and depends on
//! the outer row only by being about its value: `FROM b, (SELECT DISTINCT x FROM a) d WHERE b.x < d.x AND d.x = a.x`.
//!
//! The law is that of [`skipped_level`](super::skipped_level): the subquery is a function of `a.x`, it is computed for
//! every value there is, and the equality, which can be grouped by, picks the value of the outer row. A value for which
//! `b` has no row has no group; that the count is then 0 and not NULL is what DataFusion puts where its join finds
//! no partner, here as with equalities.

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result as DataFusionResult};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::rewrite::context::PassContext;
use crate::plan::rewrite::subquery::lifted_condition::hides_condition;
use crate::plan::rewrite::subquery::references::{free_references, lateral_query};
use crate::plan::rewrite::subquery::skipped_level::{brought, distinct_values, map_inner_nodes, map_lateral_nodes};
use crate::plan::walk::{Walk, WalkDeep, subquery_of};

/// Leaves only equalities between the columns of such a subquery and those of the query around it.
pub(crate) fn make_equal(plan: LogicalPlan, context: &PassContext<'_>) -> Result<LogicalPlan> {
    let change = |node: LogicalPlan, outer: &LogicalPlan| inner(node, outer, context.aliases);
    let is_meant = |expr: &Expr| match expr {
        Expr::ScalarSubquery(_) => true,
        other => subquery_of(other).is_some_and(|subquery| !only_selects(&subquery.subquery)),
    };
    plan.transform_down_deep(|node| match node {
        LogicalPlan::Join(join) => match lateral_query(&join.right) {
            Some(query) if !only_selects(&query.subquery) => map_lateral_nodes(join, context, &change),
            _ => Ok(Transformed::no(LogicalPlan::Join(join))),
        },
        node => map_inner_nodes(node, context, &is_meant, &change),
    })
    .data()
    .map_err(from_datafusion)
}

/// Whether conditions on the outer row may stand above the plan as well as in it. DataFusion pulls no inequality through
/// the name of a derived table.
fn only_selects(plan: &LogicalPlan) -> bool {
    match plan {
        plan if free_references(plan).is_empty() => return true,
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => {}
        LogicalPlan::SubqueryAlias(alias) if !compares_unequally(&alias.input) => {}
        LogicalPlan::Subquery(_) => {}
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {}
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner && !hides_condition(plan) => {}
        _ => return false,
    }
    plan.inputs().into_iter().all(only_selects)
}

fn compares_unequally(plan: &LogicalPlan) -> bool {
    let compares = |node: &LogicalPlan| match node {
        LogicalPlan::Filter(filter) => split_conjunction(&filter.predicate).into_iter().any(is_unequal),
        _ => false,
    };
    plan.exists(|node| Ok(compares(node))).unwrap_or(true)
}

/// A node of a subquery of `outer`: its conditions come to compare with distinct values of `outer`.
fn inner(
    node: LogicalPlan,
    outer: &LogicalPlan,
    aliases: &AliasGenerator,
) -> DataFusionResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Filter(filter) = node else { return Ok(Transformed::no(node)) };
    let (unequal, rest): (Vec<Expr>, Vec<Expr>) =
        split_conjunction(&filter.predicate).into_iter().cloned().partition(is_unequal);
    let mut columns: Vec<Column> = vec![];
    for expr in &unequal {
        expr.apply(|expr| {
            if let Expr::OuterReferenceColumn(_, column) = expr
                && !columns.contains(column)
            {
                columns.push(column.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    if columns.is_empty() || columns.iter().any(|column| !outer.schema().has_column(column)) {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let alias = aliases.next("__outer");
    let (values, equalities) = distinct_values(&columns, outer, &alias)?;
    let near = unequal.into_iter().map(|expr| {
        let near = expr.transform_up(|expr| match expr {
            Expr::OuterReferenceColumn(_, ref column) => {
                let index = columns.iter().position(|known| known == column);
                Ok(index.map_or(Transformed::no(expr), |index| Transformed::yes(Expr::Column(brought(&alias, index)))))
            }
            other => Ok(Transformed::no(other)),
        });
        near.data()
    });
    let near = near.collect::<DataFusionResult<Vec<_>>>()?;
    let outputs: Vec<Expr> = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut plan = LogicalPlanBuilder::from(filter.input.as_ref().clone()).cross_join(values)?;
    if let Some(condition) = conjunction(near.into_iter().chain(rest).chain(equalities)) {
        plan = plan.filter(condition)?;
    }
    plan.project(outputs)?.build().map(Transformed::yes)
}

/// Whether the condition depends on the outer row otherwise than by `column = something of it`.
fn is_unequal(condition: &Expr) -> bool {
    if !condition.contains_outer() {
        return false;
    }
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(_), other) | (other, Expr::Column(_)) => other.any_column_refs(),
            _ => true,
        },
        _ => true,
    }
}
