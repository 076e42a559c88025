//! Types that stay what they were found to be.
//!
//! `round(n, 1)` of a DECIMAL(10,2) is a DECIMAL(10,1): the type depends on the value of an argument. The analyzer sees
//! it behind a cast (`CAST(1 AS INT)`), which is no literal, and settles for another type; once the cast is folded the
//! join key above compares decimals of two scales, and rows are lost. So literals among arguments are made literals
//! first, and types are settled again. Where an argument is no literal yet, but may become one when projections are
//! merged, a cast fixes the type.

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, cast};

use crate::base::error::Result;
use crate::base::time::convert::is_of_time;
use crate::operator::error::from_datafusion;
use crate::plan::diagnostic::plan_error;
use crate::plan::functions::FunctionRegistry;
use crate::plan::optimizer;
use crate::plan::walk::{WalkDeep, rewrite_node};

/// Settles all types of a bound plan.
pub(crate) fn settle(plan: LogicalPlan, functions: &FunctionRegistry) -> Result<LogicalPlan> {
    let analyze = |plan| optimizer::analyze(plan, functions).map_err(|error| plan_error(error, functions));
    let analyzed = analyze(plan)?;
    let literal = analyzed.transform_up_deep(|node| rewrite_node(node, &mut with_literals));
    let literal = literal.map_err(from_datafusion)?;
    let settled = if literal.transformed { analyze(literal.data)? } else { literal.data };
    settled
        .transform_up_deep(|node| {
            let schema = merge_schema(&node.inputs());
            rewrite_node(node, &mut |expr| fix(expr, &schema))
        })
        .data()
        .map_err(from_datafusion)
}

/// A call whose arguments are literals where they are casts or negations of literals.
fn with_literals(expr: Expr) -> DataFusionResult<Transformed<Expr>> {
    let Expr::ScalarFunction(call) = expr else { return Ok(Transformed::no(expr)) };
    let ScalarFunction { func, args } = call;
    let mut changed = false;
    let args = args.into_iter().map(|argument| match literal(&argument) {
        Some(value) => {
            changed = true;
            Expr::Literal(value, None)
        }
        None => argument,
    });
    let args = args.collect();
    Ok(Transformed::new_transformed(Expr::ScalarFunction(ScalarFunction { func, args }), changed))
}

/// The value of a cast or negation of a literal; casts of time wait for the zone they are in.
fn literal(argument: &Expr) -> Option<ScalarValue> {
    let value = |inner: &Expr| match inner {
        Expr::Literal(value, _) => Some(value.clone()),
        other => literal(other),
    };
    match argument {
        Expr::Cast(cast) => {
            let value = value(&cast.expr)?;
            let waits = is_of_time(&value.data_type(), cast.field.data_type());
            if waits { None } else { value.cast_to(cast.field.data_type()).ok() }
        }
        Expr::Negative(inner) => value(inner)?.arithmetic_negate().ok(),
        _ => None,
    }
}

/// Fixes the type of a call that would have another one if its arguments were known.
fn fix(expr: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    let Expr::ScalarFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
    let is_literal = |argument: &Expr| matches!(argument, Expr::Literal(..));
    // What a function is applied to comes first, and no type depends on that value.
    if call.args.iter().skip(1).all(is_literal) {
        return Ok(Transformed::no(expr));
    }
    let fields = call.args.iter().map(|argument| argument.to_field(schema).map(|(_, field)| field));
    let Ok(fields) = fields.collect::<DataFusionResult<Vec<_>>>() else { return Ok(Transformed::no(expr)) };
    let examples: Vec<Option<ScalarValue>> = call
        .args
        .iter()
        .zip(&fields)
        .enumerate()
        .map(|(index, (argument, field))| match argument {
            Expr::Literal(value, _) => Some(value.clone()),
            _ if index == 0 => None,
            _ => ScalarValue::new_one(field.data_type()).ok(),
        })
        .collect();
    let scalars: Vec<Option<&ScalarValue>> = examples.iter().map(Option::as_ref).collect();
    let known = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars };
    let (Ok(now), Ok(known)) = (expr.get_type(schema), call.func.return_field_from_args(known)) else {
        return Ok(Transformed::no(expr));
    };
    match now == *known.data_type() {
        true => Ok(Transformed::no(expr)),
        false => Ok(Transformed::yes(cast(expr, now))),
    }
}
