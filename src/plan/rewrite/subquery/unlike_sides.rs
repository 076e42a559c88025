//! Sides of set operations and outer joins that each depend on the outer row in a way of their own.
//!
//! In `NOT EXISTS (SELECT p FROM parts EXCEPT SELECT s.p FROM supplied s WHERE s.id = o.id)` only the right side asks the
//! outer row. A condition `s.id = o.id` cannot stand above such a node, which gives rows of the left side alone. So both
//! sides are computed for all values that the outer columns have, as a row of each value and each row of the side; the
//! sides meet value by value, and above the node the outer row picks the rows of its own:
//!
//! ```text
//! parts, d          EXCEPT   supplied s, d WHERE s.id = d.id        d: the distinct values of o.id
//! ```
//!
//! The law is that of [`skipped_level`](super::skipped_level): the node is a function of the outer columns.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, JoinType, Result as DataFusionResult};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, Union};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::rewrite::context::PassContext;
use crate::plan::rewrite::subquery::lifted_condition::{Lifted, Lifter, equality};
use crate::plan::rewrite::subquery::references::{free_references, lateral_query};
use crate::plan::rewrite::subquery::skipped_level::{brought, distinct_values, map_inner_nodes, map_lateral_nodes};
use crate::plan::walk::{Walk, WalkDeep, subquery_of};

/// Lets the sides of such nodes meet.
pub(crate) fn meet(plan: LogicalPlan, context: &PassContext<'_>) -> Result<LogicalPlan> {
    let lifter = Lifter { functions: context.functions, aliases: context.aliases };
    let change = |node: LogicalPlan, outer: &LogicalPlan| meet_at(node, outer, &lifter);
    plan.transform_down_deep(|node| match node {
        LogicalPlan::Join(join) => map_lateral_nodes(join, context, &change),
        node => map_inner_nodes(node, context, &|expr| subquery_of(expr).is_some(), &change),
    })
    .data()
    .map_err(from_datafusion)
}

/// A node of a subquery of `outer`.
fn meet_at(node: LogicalPlan, outer: &LogicalPlan, lifter: &Lifter<'_>) -> DataFusionResult<Transformed<LogicalPlan>> {
    let is_meant = match &node {
        LogicalPlan::Union(_) => true,
        LogicalPlan::Join(join) => is_one_sided(join) && lateral_query(&join.right).is_none(),
        _ => false,
    };
    let mut columns: Vec<Column> = vec![];
    for reference in if is_meant { free_references(&node) } else { vec![] } {
        if let Expr::OuterReferenceColumn(_, column) = reference
            && !columns.contains(&column)
        {
            columns.push(column);
        }
    }
    let is_of_outer = !columns.is_empty() && columns.iter().all(|column| outer.schema().has_column(column));
    if !is_of_outer || lifter.lift(node.clone())?.is_some() {
        return Ok(Transformed::no(node));
    }
    let values = Values { columns, outer, lifter };
    let met = match &node {
        LogicalPlan::Union(union) => values.unite(union)?,
        LogicalPlan::Join(join) => values.join(join)?,
        _ => None,
    };
    let Some(Lifted { plan, keys, .. }) = met else { return Ok(Transformed::no(node)) };
    let own = conjunction(keys.into_iter().map(|(column, outer)| Expr::Column(column).eq(outer)));
    let outputs = node.schema().columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(plan).filter(own.unwrap_or_default())?.project(outputs)?.build().map(Transformed::yes)
}

/// Whether the rows of the join are those of one side, or have NULL for the other.
fn is_one_sided(join: &Join) -> bool {
    matches!(
        join.join_type,
        JoinType::Left
            | JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::Right
            | JoinType::RightSemi
            | JoinType::RightAnti
    )
}

/// The values that columns of the outer plan have.
struct Values<'a> {
    columns: Vec<Column>,
    outer: &'a LogicalPlan,
    lifter: &'a Lifter<'a>,
}

impl Values<'_> {
    fn unite(&self, union: &Union) -> DataFusionResult<Option<Lifted>> {
        let mut branches = vec![];
        for input in &union.inputs {
            let Some(branch) = self.beside(input, &self.lifter.aliases.next("__outer"))? else { return Ok(None) };
            branches.push((input.schema().columns(), branch));
        }
        self.lifter.unite(branches, union)
    }

    fn join(&self, join: &Join) -> DataFusionResult<Option<Lifted>> {
        if join.on.iter().any(|(left, right)| left.contains_outer() || right.contains_outer()) {
            return Ok(None);
        }
        let is_left = matches!(join.join_type, JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti);
        let side = |plan: &LogicalPlan, alias: &str, is_kept: bool| match is_kept || !free_references(plan).is_empty() {
            true => self.beside(plan, alias),
            false => Ok(Some(Lifted::plain(plan.clone()))),
        };
        let aliases = [self.lifter.aliases.next("__outer"), self.lifter.aliases.next("__outer")];
        let left = side(&join.left, &aliases[0], is_left)?;
        let right = side(&join.right, &aliases[1], !is_left)?;
        let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
        let pairs = left.key_columns().into_iter().zip(right.key_columns());
        let on = join.on.iter().cloned().chain(pairs).collect();
        let filter = join.filter.clone().map(|filter| self.said_of(filter, &aliases[usize::from(!is_left)]));
        let (constraint, nulls) = (join.join_constraint, join.null_equality);
        let (left_plan, right_plan) = (Arc::new(left.plan), Arc::new(right.plan));
        let plan =
            Join::try_new(left_plan, right_plan, on, filter.transpose()?, join.join_type, constraint, nulls, false)?;
        let keys = if is_left { left.keys } else { right.keys };
        Ok(Some(Lifted { keys, ..Lifted::plain(LogicalPlan::Join(plan)) }))
    }

    /// A side beside the values that its conditions hold for, called `alias`.
    fn beside(&self, side: &LogicalPlan, alias: &str) -> DataFusionResult<Option<Lifted>> {
        let Some(lifted) = self.lifter.lift(side.clone())? else { return Ok(None) };
        let (values, equalities) = distinct_values(&self.columns, self.outer, alias)?;
        let outputs: Vec<Expr> =
            side.schema().columns().into_iter().chain(values.schema().columns()).map(Expr::Column).collect();
        let equal = lifted.keys.into_iter().map(|(column, outer)| Expr::Column(column).eq(outer));
        let conditions = equal.chain(lifted.conditions).map(|condition| self.said_of(condition, alias));
        let conditions = conditions.collect::<DataFusionResult<Vec<_>>>()?;
        let mut plan = LogicalPlanBuilder::from(lifted.plan).cross_join(values)?;
        if let Some(condition) = conjunction(conditions) {
            plan = plan.filter(condition)?;
        }
        let keys = equalities.into_iter().filter_map(|equal| match equality(equal)? {
            (Expr::Column(column), outer) => Some((column, outer)),
            _ => None,
        });
        let keys = keys.collect();
        Ok(Some(Lifted { keys, ..Lifted::plain(plan.project(outputs)?.build()?) }))
    }

    /// A condition on the outer row as one on the values.
    fn said_of(&self, condition: Expr, alias: &str) -> DataFusionResult<Expr> {
        let said = condition.transform_up(|expr| match &expr {
            Expr::OuterReferenceColumn(_, column) => {
                let index = self.columns.iter().position(|known| known == column);
                Ok(index.map_or(Transformed::no(expr), |index| Transformed::yes(Expr::Column(brought(alias, index)))))
            }
            _ => Ok(Transformed::no(expr)),
        });
        said.data()
    }
}
