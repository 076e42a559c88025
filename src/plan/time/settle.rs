//! The zone of a plan: casts of time and zoned functions get the zone in which the statement is.
//!
//! It comes once all types are known, because only then is it known which casts there are. A view's plan is settled
//! in the view's zone before it becomes part of another plan, and what is settled stays so.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, cast};

use crate::base::error::Result;
use crate::base::time::convert::{has_cast, is_of_time, no_cast};
use crate::base::time::kind::{INTERVAL, Kind};
use crate::base::time::zone::Zone;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::time::cast::cast_to;
use crate::plan::time::function::{TimeFunction, call};
use crate::plan::time::operators::{NEGATED, is_interval, is_text, plan_operator};
use crate::plan::values::one_type::{of_set_operation, of_union};
use crate::plan::walk::{Walk, WalkDeep, rewrite_node};

/// The operators of time that the binder could not tell, because an operand was a parameter or a column that is NULL in
/// the first part of a union.
pub(crate) fn plan_operators(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut changed = false;
    let planned = plan.transform_up_deep(|node| {
        let node = match node {
            LogicalPlan::Union(union) => of_union(union)?,
            LogicalPlan::Join(join) => of_set_operation(join)?,
            node => Transformed::no(node),
        };
        changed |= node.transformed;
        let schema = merge_schema(&node.data.inputs());
        let planned = rewrite_node(node.data, &mut |expr| plan_one(expr, &schema))?;
        match changed {
            true => planned.data.recompute_schema().map(Transformed::yes),
            false => Ok(planned),
        }
    });
    planned.data().map_err(from_datafusion)
}

fn plan_one(expr: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match plan_operator(*left, op, *right, schema)? {
            Ok(planned) => Ok(Transformed::yes(planned)),
            Err((mut left, mut right)) => {
                // A parameter that is compared with an interval.
                use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
                let changed = matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
                    && (is_interval(&left, schema) && as_interval(&mut right)
                        || is_interval(&right, schema) && as_interval(&mut left));
                let expr = Expr::BinaryExpr(BinaryExpr::new(left, op, right));
                Ok(Transformed::new_transformed(expr, changed))
            }
        },
        Expr::Between(mut between) if is_interval(&between.expr, schema) => {
            let changed = as_interval(&mut between.low) | as_interval(&mut between.high);
            Ok(Transformed::new_transformed(Expr::Between(between), changed))
        }
        Expr::InList(mut list) if is_interval(&list.expr, schema) => {
            let mut changed = false;
            list.list.iter_mut().for_each(|item| changed |= as_interval(item));
            Ok(Transformed::new_transformed(Expr::InList(list), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// A text literal beside intervals as one; whether it was a text.
fn as_interval(expr: &mut Expr) -> bool {
    if !is_text(expr) {
        return false;
    }
    *expr = cast(std::mem::take(expr), INTERVAL);
    true
}

/// The plan with every expression in `zone`.
pub(crate) fn settle(plan: LogicalPlan, zone: Zone) -> Result<LogicalPlan> {
    each(plan, &|expr, schema| settle_one(expr, schema, zone))
}

/// An expression without columns in `zone`.
pub(crate) fn settle_constant(expr: Expr, zone: Zone) -> Result<Expr> {
    let schema = DFSchema::empty();
    expr.transform_up(|expr| settle_one(expr, &schema, zone)).data().map_err(from_datafusion)
}

fn each(
    plan: LogicalPlan,
    rewrite: &dyn Fn(Expr, &DFSchema) -> DataFusionResult<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| {
        let schema = merge_schema(&node.inputs());
        rewrite_node(node, &mut |expr| rewrite(expr, &schema))
    })
    .data()
    .map_err(from_datafusion)
}

fn settle_one(expr: Expr, schema: &DFSchema, zone: Zone) -> DataFusionResult<Transformed<Expr>> {
    let (inner, target, safe) = match &expr {
        Expr::Cast(cast) => (&cast.expr, cast.field.data_type(), false),
        Expr::TryCast(cast) => (&cast.expr, cast.field.data_type(), true),
        Expr::ScalarFunction(function) => {
            let ours = function.func.inner().downcast_ref::<TimeFunction>();
            return Ok(match ours.and_then(|ours| ours.in_zone(zone)) {
                Some(settled) => {
                    let arguments = function.args.clone();
                    Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(settled.into(), arguments)))
                }
                None => Transformed::no(expr),
            });
        }
        Expr::Negative(inner) if may_be_interval(inner, schema) => {
            return Ok(Transformed::yes(call(&NEGATED, vec![inner.as_ref().clone()])));
        }
        _ => return Ok(Transformed::no(expr)),
    };
    let settled = match inner.get_type(schema) {
        Ok(from) if !is_of_time(&from, target) => return Ok(Transformed::no(expr)),
        Ok(from) if !has_cast(&from, target) => return Err(to_datafusion(no_cast(&from, target))),
        Ok(_) => cast_to(inner.as_ref().clone(), target.clone(), zone, safe),
        // A variable of a lambda: its type is known when it runs.
        Err(_) if Kind::of(target).is_time() => cast_to(inner.as_ref().clone(), target.clone(), zone, safe),
        Err(_) => return Ok(Transformed::no(expr)),
    };
    Ok(Transformed::yes(settled))
}

fn may_be_interval(expr: &Expr, schema: &DFSchema) -> bool {
    // A sign before a sum of numbers need not look at the sum.
    !matches!(expr, Expr::Literal(..) | Expr::BinaryExpr(_))
        && expr.get_type(schema).is_ok_and(|data_type: DataType| Kind::of(&data_type) == Kind::Interval)
}
