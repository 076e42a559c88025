//! Plans without rows, taken out of what they are part of.
//!
//! DataFusion's rule takes empty parts out of a union, whose columns have the names of its first part, and leaves the
//! next part in its place under names of its own. Here the new first part gets the names of the union.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, Projection, Union};
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// DataFusion's rule, and our own for unions.
pub(crate) fn drop_empty(
    rule: &PropagateEmptyRelation,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Union(union) => without_empty(union),
        plan => rule.rewrite(plan, config),
    }
}

fn without_empty(Union { inputs, schema }: Union) -> Result<Transformed<LogicalPlan>> {
    let is_empty =
        |plan: &LogicalPlan| matches!(plan, LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, .. }));
    if !inputs.iter().any(|input| is_empty(input)) {
        return Ok(Transformed::no(LogicalPlan::Union(Union { inputs, schema })));
    }
    let mut rest = inputs.into_iter().filter(|input| !is_empty(input));
    let Some(first) = rest.next() else {
        return Ok(Transformed::yes(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema })));
    };
    let first = match first.schema() == &schema {
        true => first,
        false => {
            let columns = first.schema().columns().into_iter().zip(schema.fields());
            let named = columns.map(|(column, field)| Expr::Column(column).alias(field.name())).collect();
            Arc::new(LogicalPlan::Projection(Projection::try_new_with_schema(named, first, schema.clone())?))
        }
    };
    let inputs: Vec<Arc<LogicalPlan>> = std::iter::once(first).chain(rest).collect();
    Ok(Transformed::yes(match <[Arc<LogicalPlan>; 1]>::try_from(inputs) {
        Ok([only]) => Arc::unwrap_or_clone(only),
        Err(inputs) => LogicalPlan::Union(Union { inputs, schema }),
    }))
}
