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

/// Whether the plan joins NULL to NULL. EliminateCrossJoin makes such joins anew as joins that do not, or others as
/// joins that do.
pub(crate) fn joins_nulls(plan: &LogicalPlan) -> bool {
    exists(plan, |node| match node {
        LogicalPlan::Join(join) => {
            join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNull
        }
        _ => false,
    })
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
