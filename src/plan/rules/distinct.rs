//! DISTINCT as an aggregate over all columns.
//!
//! DataFusion's rule leaves it away where the schema's functional dependencies say that rows are unique; these survive
//! `unnest`, which copies rows, and recursion. Here only a look at the plan itself decides: rows that carry all keys
//! of the aggregate they come from are unique. DISTINCT ON is an aggregate of first values, sorted by its keys.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, Limit, LogicalPlan, Projection, Sort, SortExpr, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::plan::properties::row_count_max;
use crate::plan::rewrite::canonical_values::order_key;
use crate::plan::rules::dependencies::is_new;

/// The rule.
#[derive(Debug, Default)]
pub(crate) struct DistinctToAggregate;

impl OptimizerRule for DistinctToAggregate {
    fn name(&self) -> &str {
        "replace_distinct_aggregate"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let input = match plan {
            LogicalPlan::Distinct(Distinct::All(input)) => input,
            LogicalPlan::Distinct(Distinct::On(distinct)) => return first_rows(distinct, config).map(Transformed::yes),
            other => return Ok(Transformed::no(other)),
        };
        let columns = input.schema().columns();
        if columns.is_empty() {
            let fetch = Some(Box::new(lit(1i64)));
            return Ok(Transformed::yes(LogicalPlan::Limit(Limit { skip: None, fetch, input })));
        }
        if row_count_max(&input).is_some_and(|rows| rows <= 1) || is_unique(&input, &columns) {
            return Ok(Transformed::yes(Arc::unwrap_or_clone(input)));
        }
        let keys: Vec<Expr> = columns.into_iter().map(Expr::Column).collect();
        Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(input, keys, vec![])?)))
    }
}

/// The first row of each group of rows that agree on the keys, in the order of the keys: an aggregate, sorted.
///
/// DataFusion's rule finds the keys in the aggregate by their text, where folding may have changed one of the two.
fn first_rows(distinct: DistinctOn, config: &dyn OptimizerConfig) -> Result<LogicalPlan> {
    let DistinctOn { on_expr, sort_expr, select_expr, input, schema } = distinct;
    let Some(registry) = config.function_registry() else { return plan_err!("DISTINCT ON finds no functions") };
    let first_value = registry.udaf("first_value")?;
    // A key that stands twice is more than the function that finds the first row takes.
    let mut keys: Vec<Expr> = vec![];
    let places: Vec<usize> = on_expr.iter().map(|key| place_of(&mut keys, key)).collect();
    let mut known: Vec<Expr> = vec![];
    let order = sort_expr.as_ref().map(|order| {
        let once = order.iter().filter(|key| is_new(&mut known, &key.expr)).cloned();
        once.map(|key| SortExpr { expr: order_key(key.expr, input.schema()), ..key }).collect::<Vec<_>>()
    });
    let groups = keys.iter().enumerate().map(|(place, key)| key.clone().alias(format!("__key_{place}")));
    let firsts = select_expr.into_iter().enumerate().map(|(place, value)| {
        let order = order.clone().unwrap_or_default();
        let call = AggregateFunction::new_udf(first_value.clone(), vec![value], false, None, order, None);
        Expr::AggregateFunction(call).alias(format!("__first_{place}"))
    });
    let aggregate = Aggregate::try_new(input, groups.collect(), firsts.collect())?;
    let mut plan = LogicalPlan::Aggregate(aggregate);
    let column = |name: String| Expr::Column(Column::new_unqualified(name));
    if let Some(order) = sort_expr {
        // The order begins with the keys, in whatever order; the rest chose the rows.
        let expr = order.into_iter().zip(&places).map(|(key, place)| {
            let place = keys.iter().position(|known| *known == key.expr).unwrap_or(*place);
            SortExpr { expr: order_key(column(format!("__key_{place}")), plan.schema()), ..key }
        });
        let expr = expr.collect();
        plan = LogicalPlan::Sort(Sort { expr, input: Arc::new(plan), fetch: None });
    }
    let items = schema.iter().enumerate().map(|(place, (qualifier, field))| {
        column(format!("__first_{place}")).alias_qualified(qualifier.cloned(), field.name())
    });
    Ok(LogicalPlan::Projection(Projection::try_new(items.collect(), Arc::new(plan))?))
}

/// Where a key stands among those that are known; from now on it does.
fn place_of(known: &mut Vec<Expr>, key: &Expr) -> usize {
    known.iter().position(|other| other == key).unwrap_or_else(|| {
        known.push(key.clone());
        known.len() - 1
    })
}

/// Whether no two rows of the plan agree on the columns.
fn is_unique(plan: &LogicalPlan, columns: &[Column]) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let keys = aggregate.group_expr.len();
            let is_set = aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_)));
            !is_set && aggregate.schema.columns().iter().take(keys).all(|key| columns.contains(key))
        }
        LogicalPlan::Projection(projection) => {
            let sources = columns.iter().filter_map(|column| {
                let index = projection.schema.maybe_index_of_column(column)?;
                match projection.expr.get(index)?.clone().unalias() {
                    Expr::Column(source) => Some(source),
                    _ => None,
                }
            });
            is_unique(&projection.input, &sources.collect::<Vec<_>>())
        }
        LogicalPlan::Filter(filter) => is_unique(&filter.input, columns),
        LogicalPlan::Sort(sort) => is_unique(&sort.input, columns),
        _ => false,
    }
}
