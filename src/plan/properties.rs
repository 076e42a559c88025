//! How many rows a plan can have, known without running it.
//!
//! All answers are conservative: `false` or `None` mean "not known". What depends on how relations change (append-only,
//! unique keys) is kept on the nodes of a circuit, one layer up.

use datafusion::logical_expr::logical_plan::{FetchType, SkipType};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, GroupingSet, JoinType, LogicalPlan, WindowFrame, WindowFrameBound, WindowFrameUnits,
};

use crate::plan::shared;

/// Whether the plan has exactly one row, whatever its inputs hold.
pub fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => is_global(aggregate),
        LogicalPlan::Projection(projection) => is_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_one_row(&alias.input),
        LogicalPlan::Sort(sort) => sort.fetch != Some(0) && is_one_row(&sort.input),
        LogicalPlan::Window(window) => is_one_row(&window.input),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Values(values) => values.values.len() == 1,
        LogicalPlan::Extension(_) => shared::of(plan).is_some_and(|rows| is_one_row(rows.plan())),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner => {
                join.on.is_empty() && join.filter.is_none() && is_one_row(&join.left) && is_one_row(&join.right)
            }
            _ => false,
        },
        _ => false,
    }
}

/// The most rows the plan can have, where that is known without looking at its inputs' contents.
pub fn row_count_max(plan: &LogicalPlan) -> Option<usize> {
    if is_one_row(plan) {
        return Some(1);
    }
    match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => row_count_max(plan.inputs().first()?),
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(sets)] => row_count_max(&aggregate.input)?.max(1).checked_mul(set_count(sets)?),
            _ => row_count_max(&aggregate.input),
        },
        LogicalPlan::EmptyRelation(empty) => Some(usize::from(empty.produce_one_row)),
        LogicalPlan::Values(values) => Some(values.values.len()),
        LogicalPlan::Extension(_) => row_count_max(shared::of(plan)?.plan()),
        LogicalPlan::Limit(limit) => {
            let below = row_count_max(&limit.input);
            let fetch = match (limit.get_skip_type(), limit.get_fetch_type()) {
                (Ok(SkipType::Literal(_)), Ok(FetchType::Literal(fetch))) => fetch,
                _ => None,
            };
            match (below, fetch) {
                (Some(below), Some(fetch)) => Some(below.min(fetch)),
                (one, other) => one.or(other),
            }
        }
        _ => None,
    }
}

/// Whether the plan has a row, whatever its inputs hold.
pub fn has_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => is_global(aggregate) || has_empty_set(aggregate),
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => plan.inputs().into_iter().all(has_row),
        LogicalPlan::Sort(sort) => sort.fetch != Some(0) && has_row(&sort.input),
        LogicalPlan::Limit(limit) => {
            let skip = matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)));
            let fetch = matches!(limit.get_fetch_type(), Ok(FetchType::Literal(fetch)) if fetch != Some(0));
            skip && fetch && has_row(&limit.input)
        }
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Values(values) => !values.values.is_empty(),
        LogicalPlan::Union(union) => union.inputs.iter().any(|input| has_row(input)),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner => {
                join.on.is_empty() && join.filter.is_none() && has_row(&join.left) && has_row(&join.right)
            }
            JoinType::Left => has_row(&join.left),
            JoinType::Right => has_row(&join.right),
            JoinType::Full => has_row(&join.left) || has_row(&join.right),
            _ => false,
        },
        _ => false,
    }
}

fn is_global(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.is_empty()
}

/// How many sets, each of which groups all rows.
fn set_count(sets: &GroupingSet) -> Option<usize> {
    match sets {
        GroupingSet::Rollup(keys) => keys.len().checked_add(1),
        GroupingSet::Cube(keys) => 1usize.checked_shl(u32::try_from(keys.len()).ok()?),
        GroupingSet::GroupingSets(sets) => Some(sets.len()),
    }
}

/// Whether one of the grouping sets is that of nothing, which all rows belong to, also none.
fn has_empty_set(aggregate: &Aggregate) -> bool {
    match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => true,
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter().any(Vec::is_empty),
        _ => false,
    }
}

/// Whether a frame ends so far before or behind a row.
pub(crate) fn has_distance(frame: &WindowFrame) -> bool {
    let is_distance = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(distance) | WindowFrameBound::Following(distance) => !distance.is_null(),
        WindowFrameBound::CurrentRow => false,
    };
    frame.units != WindowFrameUnits::Rows && (is_distance(&frame.start_bound) || is_distance(&frame.end_bound))
}

/// Aggregates whose result depends on the order of their input.
pub(crate) fn is_order_sensitive(name: &str) -> bool {
    matches!(name, "first_value" | "last_value" | "nth_value" | "array_agg" | "string_agg")
}
