//! DataFusion's rules that are right but for some plans, which they are kept from.
//!
//! These rules walk the plan themselves, so that the whole plan decides.

use crate::plan::walk::WalkDeep;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// A rule that leaves some plans as they are.
#[derive(Debug)]
pub(crate) struct Guarded<R> {
    rule: R,
    is_kept_from: fn(&LogicalPlan) -> bool,
}

impl<R> Guarded<R> {
    pub(crate) fn new(rule: R, is_kept_from: fn(&LogicalPlan) -> bool) -> Self {
        Guarded { rule, is_kept_from }
    }
}

impl<R: OptimizerRule> OptimizerRule for Guarded<R> {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match (self.is_kept_from)(&plan) {
            true => Ok(Transformed::no(plan)),
            false => self.rule.rewrite(plan, config),
        }
    }
}

/// Whether EliminateCrossJoin, which takes inner joins apart and makes them anew, would lose a condition: it makes joins
/// of NULL to NULL anew as joins that are none, or others as joins that are; and it forgets a pair of keys with a side
/// that is computed from several of the joined relations, where the new order has no place for it.
pub(crate) fn has_joins_to_keep(plan: &LogicalPlan) -> bool {
    exists(plan, |node| match node {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            let spans = |(left, right): &(Expr, Expr)| spans(left, &join.left) || spans(right, &join.right);
            join.null_equality == NullEquality::NullEqualsNull || join.on.iter().any(spans)
        }
        _ => false,
    })
}

/// Whether an expression over joined relations is computed from several of them.
fn spans(expr: &Expr, plan: &LogicalPlan) -> bool {
    let LogicalPlan::Join(join) = plan else { return false };
    if join.join_type != JoinType::Inner {
        return false;
    }
    let columns = expr.column_refs();
    let of = |plan: &LogicalPlan| columns.iter().any(|column| plan.schema().has_column(column));
    match (of(&join.left), of(&join.right)) {
        (true, true) => true,
        (true, false) => spans(expr, &join.left),
        (false, _) => spans(expr, &join.right),
    }
}

/// Whether the plan groups by sets. CommonSubexprEliminate would compute parts of a set's keys below it, and leave a
/// set that no operator takes.
pub(crate) fn has_grouping_sets(plan: &LogicalPlan) -> bool {
    exists(plan, |node| match node {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))),
        _ => false,
    })
}

fn exists(plan: &LogicalPlan, is_meant: impl Fn(&LogicalPlan) -> bool) -> bool {
    let mut found = false;
    let visited = plan.apply_deep(|node| {
        found |= is_meant(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || visited.is_err()
}
