//! What is known of a plan's rows without running it: how many, whether they can be retracted, what is unique.
//!
//! All answers are conservative: `false`, `None` or an empty list mean "not known". Unique keys count NULLs as equal.

use datafusion::common::Column;
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::logical_plan::{FetchType, SkipType};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Join, JoinType, LogicalPlan, TableScan};

use crate::plan::catalog::RelationKind;
use crate::plan::source::{ExternalSource, RelationSource};

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
        LogicalPlan::Aggregate(aggregate) => row_count_max(&aggregate.input),
        LogicalPlan::EmptyRelation(empty) => Some(usize::from(empty.produce_one_row)),
        LogicalPlan::Values(values) => Some(values.values.len()),
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

fn is_global(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.is_empty()
}

/// Whether rows, once in the result, never leave it while the inputs only grow as their kind allows.
pub fn is_append_only(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => match scan.source.downcast_ref::<RelationSource>() {
            Some(source) => source.relation.kind == RelationKind::Stream,
            // Files and system tables are read once.
            None => scan.source.is::<ExternalSource>(),
        },
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Unnest(_) | LogicalPlan::Union(_) => {
            plan.inputs().into_iter().all(is_append_only)
        }
        LogicalPlan::Filter(filter) => !uses_clock(&filter.predicate) && is_append_only(&filter.input),
        LogicalPlan::Sort(sort) => sort.fetch.is_none() && is_append_only(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => is_append_only(input),
        // DISTINCT: a group appears once and stays.
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.aggr_expr.is_empty() && !is_global(aggregate) && is_append_only(&aggregate.input)
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => {
                !join.filter.as_ref().is_some_and(uses_clock)
                    && is_append_only(&join.left)
                    && is_append_only(&join.right)
            }
            _ => false,
        },
        _ => false,
    }
}

fn uses_clock(expr: &Expr) -> bool {
    let mut found = false;
    let visited = datafusion::common::tree_node::TreeNode::apply(expr, |expr| {
        found |= matches!(expr, Expr::Placeholder(placeholder) if placeholder.id == crate::plan::clock_functions::NOW);
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    found || visited.is_err()
}

/// Sets of output columns (by position) whose values never occur twice.
pub fn unique_keys(plan: &LogicalPlan) -> Vec<Vec<usize>> {
    match plan {
        LogicalPlan::TableScan(scan) => scan_keys(scan),
        LogicalPlan::Filter(filter) => unique_keys(&filter.input),
        LogicalPlan::Sort(sort) => unique_keys(&sort.input),
        LogicalPlan::Limit(limit) => unique_keys(&limit.input),
        LogicalPlan::SubqueryAlias(alias) => unique_keys(&alias.input),
        LogicalPlan::Window(window) => unique_keys(&window.input),
        LogicalPlan::Distinct(Distinct::All(input)) => vec![(0..input.schema().fields().len()).collect()],
        LogicalPlan::Aggregate(aggregate) => aggregate_keys(aggregate),
        LogicalPlan::Projection(projection) => {
            let sources: Vec<Option<usize>> =
                projection.expr.iter().map(|expr| column_index(expr, &projection.input)).collect();
            map_keys(unique_keys(&projection.input), |column| sources.iter().position(|source| *source == Some(column)))
        }
        LogicalPlan::Join(join) => join_keys(join),
        LogicalPlan::EmptyRelation(_) => vec![vec![]],
        _ if is_one_row(plan) => vec![vec![]],
        _ => vec![],
    }
}

fn scan_keys(scan: &TableScan) -> Vec<Vec<usize>> {
    let Some(source) = scan.source.downcast_ref::<RelationSource>() else { return vec![] };
    let relation = &source.relation;
    let schema = &relation.schema;
    // A unique index lets NULL occur twice, so it is a key only where its columns are NOT NULL.
    let not_null =
        |key: &[usize]| key.iter().all(|&column| schema.fields().get(column).is_some_and(|f| !f.is_nullable()));
    let declared = std::iter::once(&relation.primary_key).chain(relation.unique.iter().map(|(_, key)| key));
    let keys = declared.filter(|key| !key.is_empty() && not_null(key)).cloned().collect();
    match &scan.projection {
        None => keys,
        Some(projection) => map_keys(keys, |column| projection.iter().position(|&source| source == column)),
    }
}

fn aggregate_keys(aggregate: &Aggregate) -> Vec<Vec<usize>> {
    let groups = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(set)] => match set {
            // The output has the distinct expressions and the grouping id, which belongs to the key.
            GroupingSet::Rollup(_) | GroupingSet::Cube(_) | GroupingSet::GroupingSets(_) => return vec![],
        },
        groups => groups.len(),
    };
    vec![(0..groups).collect()]
}

fn join_keys(join: &Join) -> Vec<Vec<usize>> {
    let left = unique_keys(&join.left);
    let right = unique_keys(&join.right);
    let width = join.left.schema().fields().len();
    let covered = |keys: &[Vec<usize>], plan: &LogicalPlan, side: fn(&(Expr, Expr)) -> &Expr| {
        let columns: Vec<usize> = join.on.iter().filter_map(|pair| column_index(side(pair), plan)).collect();
        keys.iter().any(|key| key.iter().all(|column| columns.contains(column)))
    };
    // Each left row meets at most one right row if a right key is among the join keys, and the other way round.
    let one_right = covered(&right, &join.right, |(_, right)| right);
    let one_left = covered(&left, &join.left, |(left, _)| left);
    let shifted = |key: &Vec<usize>| key.iter().map(|column| column + width).collect::<Vec<_>>();
    match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left,
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right,
        JoinType::Inner | JoinType::Left | JoinType::Right => {
            let mut keys = vec![];
            if one_right && join.join_type != JoinType::Right {
                keys.extend(left.iter().cloned());
            }
            if one_left && join.join_type != JoinType::Left {
                keys.extend(right.iter().map(shifted));
            }
            if keys.is_empty()
                && join.join_type == JoinType::Inner
                && let (Some(left), Some(right)) = (left.first(), right.first())
            {
                keys.push(left.iter().copied().chain(shifted(right)).collect());
            }
            keys
        }
        JoinType::Full => vec![],
    }
}

fn map_keys(keys: Vec<Vec<usize>>, map: impl Fn(usize) -> Option<usize>) -> Vec<Vec<usize>> {
    keys.into_iter().filter_map(|key| key.into_iter().map(&map).collect()).collect()
}

fn column_index(expr: &Expr, input: &LogicalPlan) -> Option<usize> {
    match expr {
        Expr::Column(column) => index_of(column, input),
        Expr::Alias(alias) => column_index(&alias.expr, input),
        _ => None,
    }
}

fn index_of(column: &Column, input: &LogicalPlan) -> Option<usize> {
    input.schema().maybe_index_of_column(column)
}
