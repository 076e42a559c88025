//! The columns of a result: unique names and canonical types, or those of a view or table.

use std::collections::HashSet;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};

use crate::base::error::{Error, Result};
use crate::base::types::canonical_type;
use crate::operator::error::from_datafusion;
use crate::plan::rewrite::subquery::references::lateral_query;
use crate::plan::walk::Walk;

/// The columns a plan is made to have.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// The query's own, with unique names and canonical types.
    Own,
    /// These, by position.
    Schema(&'a SchemaRef),
    /// Those it has: a part of a query, whose names and types the rest of it knows.
    AsIs,
}

/// Adds a projection that gives the result its names and types.
pub(crate) fn project(plan: LogicalPlan, target: Target<'_>) -> Result<LogicalPlan> {
    let schema = plan.schema().clone();
    let outputs: Vec<(String, DataType)> = match target {
        Target::AsIs => return as_it_is(plan).map_err(from_datafusion),
        Target::Own => {
            let names = unique_names(schema.fields().iter().map(|field| field.name().as_str()));
            names
                .into_iter()
                .zip(schema.fields())
                .map(|(name, field)| (name, canonical_type(field.data_type())))
                .collect()
        }
        Target::Schema(target) => {
            let (given, wanted) = (schema.fields().len(), target.fields().len());
            if given != wanted {
                let message = format!("the query has {given} columns where {wanted} are expected");
                return Err(Error::invalid(message).with_sqlstate("42601"));
            }
            target.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        }
    };
    let list = schema.columns().into_iter().zip(outputs).map(|(column, (name, data_type))| {
        let column = Expr::Column(column);
        let same = column.get_type(schema.as_ref()).is_ok_and(|given| given == data_type);
        let value = if same { column } else { cast(column, data_type) };
        value.alias(name)
    });
    let list: Vec<Expr> = list.collect();
    LogicalPlanBuilder::from(plan).project(list).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// A part of a query with the columns it has. LATERAL becomes a join that also brings the columns which it compares, and
/// what only passes columns on would pass on these too.
fn as_it_is(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let is_lateral = |node: &LogicalPlan| match node {
        LogicalPlan::Join(join) => lateral_query(&join.right).is_some(),
        _ => false,
    };
    if matches!(plan, LogicalPlan::Projection(_)) || !plan.exists(|node| Ok(is_lateral(node)))? {
        return Ok(plan);
    }
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// The names with `_1`, `_2` and so on behind those that occurred before.
pub fn unique_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let given: HashSet<&str> = names.clone().collect();
    let mut taken: HashSet<String> = HashSet::new();
    names
        .map(|name| {
            let mut unique = name.to_string();
            let mut number = 0;
            while taken.contains(&unique) || (number > 0 && given.contains(unique.as_str())) {
                number += 1;
                unique = format!("{name}_{number}");
            }
            taken.insert(unique.clone());
            unique
        })
        .collect()
}
