//! The types of a recursive query: those of its first part.
//!
//! The binder casts what the step computes to them, which would cut `1.5` to 1 in silence. A cast that nobody wrote and
//! that may lose something is refused, as PostgreSQL refuses it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, RecursiveQuery};

use super::cast::ValueCast;
use super::one_type::{in_types, type_of};
use crate::base::decimal::DecimalType;
use crate::base::error::{Error, ErrorKind};
use crate::base::types::sql_type_name;
use crate::operator::error::to_datafusion;
use crate::plan::functions::marker::item_of_step;
use crate::plan::walk::rewrite_expressions;

/// Digits behind the point that products of decimals keep in any case.
const KEPT: i8 = 18;

/// The query whose parts have been settled; `bound` are the columns of the first one as the step was bound to them.
pub(super) fn settle(query: RecursiveQuery, bound: &DFSchema) -> Result<RecursiveQuery> {
    let columns = Columns { query: &query.name, first: bound };
    let first = query.static_term.schema();
    let mut back = vec![None; bound.fields().len()];
    for (place, (settled, bound)) in first.fields().iter().zip(bound.fields()).enumerate() {
        if settled.data_type() != bound.data_type() {
            columns.expect_whole(place, settled.data_type(), bound.data_type())?;
            back[place] = Some(bound.data_type().clone());
        }
    }
    columns.expect_step(&query.recursive_term)?;
    let static_term = match back.iter().any(Option::is_some) {
        true => Arc::new(in_types(&query.static_term, &back)?),
        false => query.static_term.clone(),
    };
    let step = rewrite_expressions(query.recursive_term.as_ref().clone(), &mut |expr| {
        Ok(match item_of_step(&expr) {
            Some(item) => Transformed::yes(item.clone()),
            None => Transformed::no(expr),
        })
    })?;
    Ok(RecursiveQuery { static_term, recursive_term: Arc::new(step), ..query })
}

struct Columns<'a> {
    query: &'a str,
    first: &'a DFSchema,
}

impl Columns<'_> {
    /// Refuses a step whose values are cast to less than they are.
    fn expect_step(&self, step: &LogicalPlan) -> Result<()> {
        match step {
            LogicalPlan::Projection(projection) => {
                let schema = projection.input.schema();
                for (place, item) in projection.expr.iter().enumerate() {
                    if let Some((inner, to)) = cast_of(item)
                        && let Some(from) = type_of(inner, schema)
                    {
                        self.expect_whole(place, &from, to)?;
                    }
                }
                Ok(())
            }
            LogicalPlan::Union(union) => union.inputs.iter().try_for_each(|input| self.expect_step(input)),
            LogicalPlan::Distinct(Distinct::All(input)) => self.expect_step(input),
            LogicalPlan::SubqueryAlias(alias) => self.expect_step(&alias.input),
            _ => Ok(()),
        }
    }

    /// Refuses a column whose values of one type become values of another that does not hold them all.
    fn expect_whole(&self, place: usize, from: &DataType, to: &DataType) -> Result<()> {
        if !loses(from, to) {
            return Ok(());
        }
        let name = self.first.fields().get(place).map(|field| field.name().as_str()).unwrap_or_default();
        let (first, then) = (sql_type_name(to), sql_type_name(from));
        let message = format!(
            "column \"{name}\" of the recursive query \"{}\" is {first} at first, but {then} later",
            self.query
        );
        let error = Error::new(ErrorKind::Type, message).with_sqlstate("42804");
        // A type of so many digits holds what further steps give, too.
        let wide = if from.is_decimal() { "DECIMAL(38,18)".to_string() } else { then };
        Err(to_datafusion(error.with_hint(format!("cast the value in the first part to {wide}"))))
    }
}

/// The operand and the type of an item that is a cast.
fn cast_of(item: &Expr) -> Option<(&Expr, &DataType)> {
    match item {
        Expr::Alias(alias) => cast_of(&alias.expr),
        Expr::Cast(cast) => Some((cast.expr.as_ref(), cast.field.data_type())),
        Expr::ScalarFunction(call) => {
            let cast = call.func.inner().downcast_ref::<ValueCast>()?;
            Some((call.args.first()?, cast.to()))
        }
        _ => None,
    }
}

/// Whether a cast may change a value without an error.
fn loses(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Float32, Float64, List, Timestamp};
    match (from, to) {
        (List(from), List(to)) => loses(from.data_type(), to.data_type()),
        (Float64, Float32) | (Timestamp(_, _), Date32) | (Timestamp(_, Some(_)), Timestamp(_, None)) => true,
        (from, to) if from.is_floating() => to.is_integer() || to.is_decimal(),
        (from, to) if from.is_decimal() && to.is_integer() => DecimalType::of(from).is_some_and(|from| from.scale > 0),
        (from, Float32) => from.is_decimal(),
        (from, to) if from.is_decimal() && to.is_decimal() => {
            let scales = (DecimalType::of(from), DecimalType::of(to));
            matches!(scales, (Some(from), Some(to)) if from.scale > to.scale && to.scale < KEPT)
        }
        _ => false,
    }
}
