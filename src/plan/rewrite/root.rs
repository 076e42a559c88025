//! The columns of a result: unique names and canonical types, or those of a view or table.

use std::collections::HashSet;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};

use crate::base::error::{Error, Result};
use crate::base::types::canonical_type;
use crate::operator::error::from_datafusion;

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
        Target::AsIs => return Ok(plan),
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
