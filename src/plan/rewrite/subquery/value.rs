//! IN, EXISTS, ANY and ALL as values: three-valued, wherever an expression may stand.
//!
//! As a condition of its own in WHERE, `x [NOT] IN (..)` becomes a semi join or a null-aware anti join, and EXISTS
//! likewise: DataFusion does that well. Anywhere else it either cannot plan them or joins by a mark that is never
//! NULL, so that `a = 2 OR a NOT IN (..)` keeps rows it should not. There they become counts: how many rows match, how
//! many there are, how many of them are not NULL. `x > ANY (..)` and `x > ALL (..)` compare with the least or greatest
//! row, since DataFusion's own rewrite of ALL is wrong.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{
    Column, DFSchema, DataFusionError, ExprSchema, Result as DataFusionResult, ScalarValue, Spans, not_impl_err,
};
use datafusion::logical_expr::expr::{AggregateFunction, Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, not, when,
};

use crate::base::error::Result;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::rewrite::context::PassContext;
use crate::plan::rewrite::shared;
use crate::plan::rewrite::subquery::compute_below::compute_below;
use crate::plan::rewrite::subquery::references::free_references;
use crate::plan::walk::{Walk, WalkDeep, any_expression, rewrite_expressions, rewrite_node};

/// Turns IN and EXISTS into counts where they are not conditions of their own.
pub(crate) fn count_where_valued(plan: LogicalPlan, context: &PassContext<'_>) -> Result<LogicalPlan> {
    let plan = rewrite_expressions(plan, &mut selecting).map_err(from_datafusion)?;
    let plan = plan.transform_up_deep(compute_operands).data().map_err(from_datafusion)?;
    plan.transform_up_deep(|node| match node {
        LogicalPlan::Filter(filter) => conditions(filter, context),
        node => {
            let schema = merge_schema(&node.inputs());
            rewrite_node(node, &mut |expr| counted(expr, &schema, context))
        }
    })
    .data()
    .map_err(from_datafusion)
}

/// The left operand of IN, where it holds a subquery itself, is computed before; and where it is computed from columns
/// in a filter, because folding may leave a constant, and a join by a constant is no null-aware one.
fn compute_operands(node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    if matches!(node, LogicalPlan::Join(_)) {
        return Ok(Transformed::no(node));
    }
    let is_filter = matches!(node, LogicalPlan::Filter(_));
    let is_before = |operand: &Expr| {
        let folds = operand.any_column_refs() && !operand.contains_outer() && !is_column(operand);
        Ok::<_, DataFusionError>(is_filter && folds || holds_subquery(operand)?)
    };
    compute_below(node, &mut |expr, below| match expr {
        Expr::InSubquery(InSubquery { expr, subquery, negated }) if is_before(&expr)? => {
            let expr = Box::new(below.column(*expr));
            Ok(Transformed::yes(Expr::InSubquery(InSubquery { expr, subquery, negated })))
        }
        Expr::SetComparison(comparison) if is_before(&comparison.expr)? => {
            let expr = Box::new(below.column(*comparison.expr));
            Ok(Transformed::yes(Expr::SetComparison(SetComparison { expr, ..comparison })))
        }
        other => Ok(Transformed::no(other)),
    })
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => is_column(&cast.expr),
        _ => false,
    }
}

fn holds_subquery(expr: &Expr) -> DataFusionResult<bool> {
    expr.exists(|expr| {
        Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)))
    })
}

/// `x IN (VALUES ..)`: DataFusion joins by the expression that a query selects, and VALUES selects none.
fn selecting(expr: Expr) -> DataFusionResult<Transformed<Expr>> {
    match expr {
        Expr::InSubquery(InSubquery { expr, subquery, negated }) if subquery.subquery.head_output_expr()?.is_none() => {
            let columns: Vec<Expr> = subquery.subquery.schema().columns().into_iter().map(Expr::Column).collect();
            let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).project(columns)?.build()?;
            let subquery = subquery.with_plan(Arc::new(plan));
            Ok(Transformed::yes(Expr::InSubquery(InSubquery { expr, subquery, negated })))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// A filter keeps rows for which its condition is true, so NULL need only be told from false below a negation.
fn conditions(filter: Filter, context: &PassContext<'_>) -> DataFusionResult<Transformed<LogicalPlan>> {
    let schema = filter.input.schema().clone();
    let mut changed = false;
    let conditions: Vec<Expr> = split_conjunction_owned(filter.predicate)
        .into_iter()
        .map(|condition| {
            let condition = quantified(condition);
            if is_own_condition(&condition) {
                return Ok(condition);
            }
            let condition = monotone(condition, &schema, context)?;
            changed |= condition.transformed;
            Ok(condition.data)
        })
        .collect::<DataFusionResult<_>>()?;
    let predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
    let filter = Filter::try_new(predicate, filter.input)?;
    Ok(Transformed::new_transformed(LogicalPlan::Filter(filter), changed))
}

/// `x = ANY (..)` as `x IN (..)` and `x <> ALL (..)` as `x NOT IN (..)`.
fn quantified(condition: Expr) -> Expr {
    match condition {
        Expr::SetComparison(SetComparison { expr, subquery, op: Operator::Eq, quantifier: SetQuantifier::Any }) => {
            Expr::InSubquery(InSubquery { expr, subquery, negated: false })
        }
        Expr::SetComparison(SetComparison { expr, subquery, op: Operator::NotEq, quantifier: SetQuantifier::All }) => {
            Expr::InSubquery(InSubquery { expr, subquery, negated: true })
        }
        other => other,
    }
}

/// Whether DataFusion's joins answer the condition: not NOT IN where it correlates, for which there is no null-aware
/// join, or where no column stands on its left, because the comparison would then be pushed into the subquery.
fn is_own_condition(condition: &Expr) -> bool {
    let (negated, condition) = match condition {
        Expr::Not(inner) => (true, inner.as_ref()),
        other => (false, other),
    };
    match condition {
        Expr::Exists(_) => true,
        Expr::InSubquery(condition) if condition.negated != negated => {
            !asks_outside(&condition.subquery.subquery) && condition.expr.any_column_refs()
        }
        Expr::InSubquery(_) => true,
        _ => false,
    }
}

/// Whether a subquery, or one inside it, refers to columns that it has not itself.
fn asks_outside(plan: &LogicalPlan) -> bool {
    if !free_references(plan).is_empty() {
        return true;
    }
    let mut own = vec![];
    let mut asks = false;
    let visited = plan
        .apply(|node| {
            own.push(node.schema().clone());
            // What is below a name is not seen by its own.
            let is_named = matches!(node, LogicalPlan::SubqueryAlias(_));
            Ok(if is_named { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue })
        })
        .and_then(|_| {
            plan.apply_deep(|node| {
                asks |= any_expression(node, |expr| match expr {
                    Expr::OuterReferenceColumn(_, column) => own.iter().all(|schema| !schema.has_column(column)),
                    _ => false,
                })?;
                Ok(TreeNodeRecursion::Continue)
            })
        });
    asks || visited.is_err()
}

/// Below AND and OR alone a mark that is false for NULL serves, except for NOT IN.
fn monotone(condition: Expr, schema: &DFSchema, context: &PassContext<'_>) -> DataFusionResult<Transformed<Expr>> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let left = monotone(*left, schema, context)?;
            let right = monotone(*right, schema, context)?;
            let changed = left.transformed || right.transformed;
            let both = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.data), op, Box::new(right.data)));
            Ok(Transformed::new_transformed(both, changed))
        }
        Expr::Exists(_) => Ok(Transformed::no(condition)),
        Expr::InSubquery(InSubquery { expr, subquery, negated: false }) if !asks_outside(&subquery.subquery) => {
            // DataFusion would join by the column's bare name beside the qualified one, as two columns of one name.
            let named = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).alias("__in")?.build()?;
            let subquery = subquery.with_plan(Arc::new(named));
            Ok(Transformed::yes(Expr::InSubquery(InSubquery { expr, subquery, negated: false })))
        }
        other => other.transform_up(|expr| counted(expr, schema, context)),
    }
}

fn counted(expr: Expr, schema: &DFSchema, context: &PassContext<'_>) -> DataFusionResult<Transformed<Expr>> {
    match expr {
        Expr::Exists(Exists { subquery, negated }) => {
            let rows = aggregate_of("count", subquery, lit(1i64), context)?;
            Ok(Transformed::yes(if negated { rows.eq(lit(0i64)) } else { rows.gt(lit(0i64)) }))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let value = is_in(*expr, pinned(subquery, context)?, schema, context)?;
            Ok(Transformed::yes(if negated { not(value) } else { value }))
        }
        Expr::SetComparison(comparison) => {
            let subquery = pinned(comparison.subquery, context)?;
            compare_with_set(SetComparison { subquery, ..comparison }, schema, context).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The subquery, about to be copied, with the same rows in all copies.
fn pinned(subquery: Subquery, context: &PassContext<'_>) -> DataFusionResult<Subquery> {
    match shared::is_unsettled(&subquery.subquery)? {
        true => {
            let plan = shared::pin(subquery.subquery.as_ref().clone(), context)?;
            Ok(subquery.with_plan(Arc::new(plan)))
        }
        false => Ok(subquery),
    }
}

/// `value IN (subquery)`: true, false or NULL.
fn is_in(value: Expr, subquery: Subquery, schema: &DFSchema, context: &PassContext<'_>) -> DataFusionResult<Expr> {
    // Both may read the same relation: without a name of its own, `t.x = t.x` would compare a row with itself.
    // The name is not a relation's, because DataFusion pulls no correlated condition through one.
    let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
    let column = Expr::Column((qualifier, field).into()).alias("__in");
    let named = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).project([column])?.build()?;
    let subquery = subquery.with_plan(Arc::new(named));
    let column = Expr::Column(Column::new_unqualified("__in"));
    let mut outer = vec![];
    let outer_value = value
        .clone()
        .transform_up(|expr| match expr {
            Expr::Column(column) => {
                let field = schema.field_from_column(&column)?.clone();
                let reference = Expr::OuterReferenceColumn(field, column);
                outer.push(reference.clone());
                Ok(Transformed::yes(reference))
            }
            other => Ok(Transformed::no(other)),
        })
        .data()?;
    let matching = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
    let matching = Filter::try_new(column.clone().eq(outer_value), Arc::new(matching.build()?))?;
    let mut references = subquery.outer_ref_columns.clone();
    references.extend(outer);
    let matching = Subquery {
        subquery: Arc::new(LogicalPlan::Filter(matching)),
        outer_ref_columns: references,
        spans: Spans::new(),
    };
    let matches = aggregate_of("count", matching, lit(1i64), context)?;
    let all = aggregate_of("count", subquery.clone(), lit(1i64), context)?;
    let known = aggregate_of("count", subquery, column, context)?;
    let unknown = lit(ScalarValue::Boolean(None));
    when(matches.gt(lit(0i64)), lit(true))
        .when(all.clone().eq(lit(0i64)), lit(false))
        .when(value.is_null().or(known.lt(all)), unknown)
        .otherwise(lit(false))
}

/// `value operator ANY|ALL (subquery)`: true, false or NULL.
fn compare_with_set(comparison: SetComparison, schema: &DFSchema, context: &PassContext<'_>) -> DataFusionResult<Expr> {
    let SetComparison { expr, subquery, op, quantifier } = comparison;
    let all = matches!(quantifier, SetQuantifier::All);
    match (op, all) {
        (Operator::Eq, false) => return is_in(*expr, subquery, schema, context),
        (Operator::NotEq, true) => return is_in(*expr, subquery, schema, context).map(not),
        _ => {}
    }
    let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
    let column = Expr::Column((qualifier, field).into());
    let with = |bound: &str| -> DataFusionResult<Expr> {
        let bound = aggregate_of(bound, subquery.clone(), column.clone(), context)?;
        Ok(Expr::BinaryExpr(BinaryExpr::new(expr.clone(), op, Box::new(bound))))
    };
    // ANY asks whether the easiest row to pass passes, ALL whether the hardest does; for = and <> both ends decide.
    let (decided, decision) = match (op, all) {
        (Operator::Lt | Operator::LtEq, false) | (Operator::Gt | Operator::GtEq, true) => (with("max")?, !all),
        (Operator::Lt | Operator::LtEq, true) | (Operator::Gt | Operator::GtEq, false) => (with("min")?, !all),
        (Operator::NotEq, false) => (with("min")?.or(with("max")?), true),
        (Operator::Eq, true) => (with("min")?.and(with("max")?), false),
        (other, _) => return not_impl_err!("{other} with ANY or ALL"),
    };
    let decided = if decision { decided } else { not(decided) };
    let rows = aggregate_of("count", subquery.clone(), lit(1i64), context)?;
    let known = aggregate_of("count", subquery.clone(), column.clone(), context)?;
    let unknown = lit(ScalarValue::Boolean(None));
    when(decided, lit(decision))
        .when(rows.clone().eq(lit(0i64)), lit(!decision))
        .when(expr.is_null().or(known.lt(rows)), unknown)
        .otherwise(lit(!decision))
}

/// `(SELECT aggregate(argument) FROM subquery)`.
fn aggregate_of(
    aggregate: &str,
    subquery: Subquery,
    argument: Expr,
    context: &PassContext<'_>,
) -> DataFusionResult<Expr> {
    let function = context.functions.expect_aggregate(aggregate).map_err(to_datafusion)?;
    let call = AggregateFunction::new_udf(function, vec![argument], false, None, vec![], None);
    let call = Expr::AggregateFunction(call);
    // The query around may have an aggregate of that name.
    let value = Expr::Column(Column::new_unqualified(call.schema_name().to_string())).alias("__value");
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
        .aggregate(Vec::<Expr>::new(), vec![call])?
        .project([value])?
        .build()?;
    Ok(Expr::ScalarSubquery(subquery.with_plan(Arc::new(plan))))
}
