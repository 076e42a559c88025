//! DISTINCT as an aggregate over all columns.
//!
//! DataFusion's rule leaves it away where the schema's functional dependencies say that rows are unique; these survive
//! `unnest`, which copies rows, and recursion. Here only a look at the plan itself decides: rows that carry all keys
//! of the aggregate they come from are unique. DISTINCT ON is DataFusion's.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Limit, LogicalPlan, SortExpr, lit};
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::plan::properties::row_count_max;
use crate::plan::rewrite::canonical_values::order_key;
use crate::plan::rules::dependencies::is_new;

/// The rule.
#[derive(Debug, Default)]
pub(crate) struct DistinctToAggregate(ReplaceDistinctWithAggregate);

impl OptimizerRule for DistinctToAggregate {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let input = match plan {
            LogicalPlan::Distinct(Distinct::All(input)) => input,
            LogicalPlan::Distinct(Distinct::On(mut distinct)) => {
                // A key that stands twice is more than the rule, and the function that finds the first row, take.
                let mut known: Vec<Expr> = vec![];
                distinct.on_expr.retain(|key| is_new(&mut known, key));
                known.clear();
                if let Some(keys) = &mut distinct.sort_expr {
                    keys.retain(|key| is_new(&mut known, &key.expr));
                    order_by_value(keys, &distinct.on_expr, distinct.input.schema());
                }
                return self.0.rewrite(LogicalPlan::Distinct(Distinct::On(distinct)), config);
            }
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

/// Makes the keys of an order those of its values. Earlier the node would not be one: its first keys must be those
/// that part rows, word for word. Of these the rule finds columns again in the rows that are left, nothing else.
fn order_by_value(keys: &mut [SortExpr], parts: &[Expr], schema: &DFSchema) {
    for key in keys {
        if matches!(key.expr, Expr::Column(_)) || !parts.contains(&key.expr) {
            key.expr = order_key(std::mem::take(&mut key.expr), schema);
        }
    }
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
