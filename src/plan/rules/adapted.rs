//! DataFusion's rules with something else in place of what they do wrong.
//!
//! Those that are right but for some plans are kept from these here. Two of them walk the plan themselves, so that the
//! whole plan decides.

use crate::plan::walk::WalkDeep;
use datafusion::common::cse::NormalizeEq;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::single_distinct_to_groupby::SingleDistinctToGroupBy;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// What stands in place of a rule's own rewriting, and may call it.
pub(crate) type Rewrite<R> = fn(&R, LogicalPlan, &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>>;

/// A rule of DataFusion, under its name and in its order, that rewrites otherwise.
#[derive(Debug)]
pub(crate) struct Adapted<R> {
    rule: R,
    rewrite: Rewrite<R>,
}

impl<R> Adapted<R> {
    pub(crate) fn new(rule: R, rewrite: Rewrite<R>) -> Self {
        Adapted { rule, rewrite }
    }
}

impl<R: OptimizerRule> OptimizerRule for Adapted<R> {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        (self.rewrite)(&self.rule, plan, config)
    }
}

/// EliminateCrossJoin, which takes inner joins apart and makes them anew, but where it would lose a condition.
pub(crate) fn order_joins(
    rule: &EliminateCrossJoin,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match has_joins_to_keep(&plan) {
        true => Ok(Transformed::no(plan)),
        false => rule.rewrite(plan, config),
    }
}

/// ExtractEquijoinPredicate, but for joins of NULL to NULL: a condition `a = b` that comes to lie on one later is none of
/// its keys, which are all compared alike.
pub(crate) fn extract_keys(
    rule: &ExtractEquijoinPredicate,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match &plan {
        LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => Ok(Transformed::no(plan)),
        _ => rule.rewrite(plan, config),
    }
}

/// CommonSubexprEliminate, but for plans that group by sets, where it would compute parts of a set's keys below it and
/// leave a set that no operator takes, and for plans with a window that is the same as one beside it under another
/// name, which it would compute below, where no window is.
pub(crate) fn share_parts(
    rule: &CommonSubexprEliminate,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match exists(&plan, |node| groups_by_sets(node) || has_equal_windows(node)) {
        true => Ok(Transformed::no(plan)),
        false => rule.rewrite(plan, config),
    }
}

/// SingleDistinctToGroupBy where every aggregate is DISTINCT.
pub(crate) fn split_distinct(
    rule: &SingleDistinctToGroupBy,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match &plan {
        LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().all(is_distinct) => rule.rewrite(plan, config),
        _ => Ok(Transformed::no(plan)),
    }
}

fn is_distinct(expr: &Expr) -> bool {
    match expr {
        Expr::AggregateFunction(AggregateFunction { params, .. }) => params.distinct,
        Expr::Alias(alias) => is_distinct(&alias.expr),
        _ => false,
    }
}

/// Whether EliminateCrossJoin would lose a condition: it makes joins of NULL to NULL anew as joins that are none, or
/// others as joins that are; and it forgets a pair of keys with a side that is computed from several of the joined
/// relations, where the new order has no place for it.
fn has_joins_to_keep(plan: &LogicalPlan) -> bool {
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

fn groups_by_sets(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))),
        _ => false,
    }
}

/// Whether two windows beside each other are the same but for their names.
fn has_equal_windows(node: &LogicalPlan) -> bool {
    let LogicalPlan::Window(window) = node else { return false };
    let windows: Vec<&Expr> = window.window_expr.iter().map(unnamed).collect();
    windows.iter().enumerate().any(|(at, one)| windows[..at].iter().any(|other| one.normalize_eq(other)))
}

fn unnamed(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unnamed(&alias.expr),
        other => other,
    }
}

fn exists(plan: &LogicalPlan, is_meant: impl Fn(&LogicalPlan) -> bool) -> bool {
    let mut found = false;
    let visited = plan.apply_deep(|node| {
        found |= is_meant(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || visited.is_err()
}
