//! Values for placeholders: the epoch's time and a statement's parameters.
//!
//! Before planning, [`prepare`] turns clock functions into the placeholder of the epoch's time and binds the
//! parameters whose values are known; before a run, [`bind`] replaces what is left. The plan a driver gets from
//! [`bind`] has no placeholders.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};

use crate::base::error::{Error, Result};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::context::{Parameters, scalar_value};
use crate::plan::functions::clock::{self, is_now};
use crate::plan::time::settle::settle_constant;
use crate::plan::walk::{WalkDeep, rewrite_expressions};

/// Clock functions become the placeholder of the epoch's time, known parameters become literals.
pub(crate) fn prepare(plan: LogicalPlan, parameters: Option<&Parameters>) -> Result<LogicalPlan> {
    let bound = rewrite_expressions(plan, &mut |expr| {
        if let Some(resolved) = clock::resolve(&expr) {
            return Ok(Transformed::yes(resolved));
        }
        match (&expr, parameters) {
            (Expr::Placeholder(placeholder), Some(parameters)) if !is_now(&expr) => {
                let value = parameter(parameters, &placeholder.id).map_err(to_datafusion)?;
                Ok(Transformed::yes(Expr::Literal(value, None)))
            }
            _ => Ok(Transformed::no(expr)),
        }
    })
    .map_err(from_datafusion)?;
    match parameters {
        Some(parameters) if !parameters.positional.is_empty() || !parameters.named.is_empty() => retype(bound),
        _ => Ok(bound),
    }
}

/// A parameter without a value has no type; with its value the columns above it get theirs.
fn retype(plan: LogicalPlan) -> Result<LogicalPlan> {
    let retyped = plan.transform_up_deep(|node| match node {
        LogicalPlan::Values(values) => LogicalPlanBuilder::values(values.values)?.build().map(Transformed::yes),
        other => other.recompute_schema().map(Transformed::yes),
    });
    retyped.map(|plan| plan.data).map_err(from_datafusion)
}

/// A value's cast in the session's zone.
fn settled(value: Expr, parameters: &Parameters) -> datafusion::common::Result<Expr> {
    settle_constant(value, parameters.zone).map_err(to_datafusion)
}

/// The plan with every placeholder replaced: the epoch's time in microseconds since 1970, and the parameters.
pub fn bind(plan: &LogicalPlan, now_us: i64, parameters: &Parameters) -> Result<LogicalPlan> {
    let mut bound = |expr: Expr| {
        let Expr::Placeholder(placeholder) = &expr else { return Ok(Transformed::no(expr)) };
        if is_now(&expr) {
            let now = ScalarValue::TimestampMicrosecond(Some(now_us), Some("UTC".into()));
            return Ok(Transformed::yes(Expr::Literal(now, None)));
        }
        let value = Expr::Literal(parameter(parameters, &placeholder.id).map_err(to_datafusion)?, None);
        // The plan was typed with the parameter's inferred type, so the value takes that type now.
        let value = match &placeholder.field {
            Some(field) => settled(cast(value, field.data_type().clone()), parameters)?,
            None => value,
        };
        Ok(Transformed::yes(value))
    };
    rewrite_expressions(plan.clone(), &mut bound).map_err(from_datafusion)
}

fn parameter(parameters: &Parameters, id: &str) -> Result<ScalarValue> {
    match parameters.get(id) {
        Some(value) => scalar_value(value),
        None => Err(Error::invalid(format!("no value was given for the parameter {id}")).with_sqlstate("07002")),
    }
}
