//! What stands to the right is evaluated for the rows that what stands to its left lets through.
//!
//! The rule, for both drivers: an expression that can fail ([`crate::plan::fallible`]) is evaluated
//!
//! - in `a AND b` where `a` is not false, and in `a OR b` where `a` is not true;
//! - as a condition of WHERE, HAVING and ON where the conditions before it in the same clause are true;
//! - as the argument of an aggregate with FILTER for the rows of the filter;
//! - in CASE and COALESCE, as ever, in the branch that is taken;
//! - in the select list for the rows that WHERE, HAVING and LIMIT of the same query leave.
//!
//! A join does not guard WHERE: conditions on one side alone may be evaluated before it, as in PostgreSQL. Nor does a
//! subquery as a condition, which becomes a join. What is in a subquery is guarded by what stands before it in
//! [`asked_rows`](super::subquery::asked_rows), while it stands there.
//!
//! Nothing below us keeps that: conditions are split, put in another order, pushed below joins and aggregates, made
//! join keys, merged with those of the query inside, and `AND` looks at its left side only if that is false for most
//! of a batch. To mark a condition as not to be moved would keep it out of joins where it may well go. So [`guard`]
//! writes the guard into the operand: `b <> 0 AND a / b > 1` becomes `b <> 0 AND CASE WHEN b <> 0 THEN a / b END > 1`,
//! which holds wherever it is moved, since it takes along the columns of its guard. When nothing moves any more,
//! [`order`] takes off the guards that stand right below, and puts the conditions of a filter that can fail into
//! filters of their own above the others. Operands that cannot fail are left alone by both.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result as DataFusionResult};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, disjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Filter, Join, LogicalPlan, Operator, lit};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::operator::expression::Expression;
use crate::plan::fallible::{Failure, can_fail, own_failure};
use crate::plan::walk::{Walk, WalkDeep};

/// The most guards that are written into the operands of one expression: beyond it they are left to chance, since the
/// plan would grow by the square of the text.
const GUARDS_MAX: usize = 2_000;

/// Guards what can fail by what stands to its left; types must be settled.
pub(crate) fn guard(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_deep(guard_node).data().map_err(from_datafusion)
}

/// Makes filters evaluate their conditions in order; the plan must be final.
pub(crate) fn order(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up(|node| match node {
        LogicalPlan::Filter(filter) => order_filter(filter),
        LogicalPlan::Join(join) if join.filter.is_some() => order_join(join),
        other => Ok(Transformed::no(other)),
    })
    .data()
    .map_err(from_datafusion)
}

fn guard_node(node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    let schema = merge_schema(&node.inputs());
    let names = NamePreserver::new(&node);
    // Of a join only the conditions: its keys are one expression a side.
    let as_condition = matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
    let guarded = node.map_expressions(|expr| {
        if !may_need_guards(&expr, &schema) {
            return Ok(Transformed::no(expr));
        }
        let name = names.save(&expr);
        let mut guards = Guards { schema: &schema, stack: vec![], left: GUARDS_MAX };
        let guarded = match as_condition {
            true => guards.conditions(expr)?,
            false => guards.value(expr)?,
        };
        Ok(Transformed::yes(name.restore(guarded)))
    })?;
    match guarded.transformed {
        true => guarded.map_data(LogicalPlan::recompute_schema),
        false => Ok(guarded),
    }
}

/// Whether the expression has both a place for a guard and something to guard.
fn may_need_guards(expr: &Expr, schema: &DFSchema) -> bool {
    let is_place = |expr: &Expr| match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(op, Operator::And | Operator::Or),
        Expr::AggregateFunction(call) => call.params.filter.is_some(),
        Expr::WindowFunction(call) => call.params.filter.is_some(),
        _ => false,
    };
    expr.exists(|expr| Ok(is_place(expr))).unwrap_or(false) && can_fail(expr, schema)
}

/// What must hold of a row for an operand to be evaluated.
#[derive(Clone)]
struct Guard {
    condition: Expr,
    can_fail: bool,
    /// Whether it guards what may only leave its range also where it is about other columns. As a condition it does not:
    /// what it guards would depend on more columns than it does, and move less far.
    always: bool,
}

/// Rewrites one expression from the outside in.
struct Guards<'a> {
    schema: &'a DFSchema,
    /// The guards of the operand at hand, outermost first.
    stack: Vec<Guard>,
    /// How many more may be written.
    left: usize,
}

impl Guards<'_> {
    /// The conditions of WHERE or ON: each guarded by those before it being true.
    fn conditions(&mut self, expr: Expr) -> DataFusionResult<Expr> {
        let base = self.stack.len();
        let mut conditions = vec![];
        for condition in split_conjunction_owned(expr) {
            conditions.push(self.value(condition.clone())?);
            self.add(condition, false, |condition| condition)?;
        }
        self.stack.truncate(base);
        Ok(conjunction(conditions).unwrap_or_else(|| lit(true)))
    }

    fn value(&mut self, expr: Expr) -> DataFusionResult<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => self.chain(expr, op),
            Expr::AggregateFunction(mut call) if call.params.filter.is_some() => {
                let base = self.add_conditions(call.params.filter.as_deref())?;
                call.params.args = self.values(call.params.args)?;
                for key in &mut call.params.order_by {
                    key.expr = self.value(key.expr.clone())?;
                }
                self.stack.truncate(base);
                let filter = call.params.filter.map(|filter| self.conditions(*filter).map(Box::new));
                call.params.filter = filter.transpose()?;
                Ok(Expr::AggregateFunction(call))
            }
            Expr::WindowFunction(mut call) if call.params.filter.is_some() => {
                let base = self.add_conditions(call.params.filter.as_deref())?;
                call.params.args = self.values(std::mem::take(&mut call.params.args))?;
                self.stack.truncate(base);
                let filter = call.params.filter.take().map(|filter| self.conditions(*filter).map(Box::new));
                call.params.filter = filter.transpose()?;
                Ok(Expr::WindowFunction(call))
            }
            expr => match own_failure(&expr, self.schema).filter(|_| !self.stack.is_empty()) {
                Some(failure) if !is_computable(&expr) => self.operand(expr, failure),
                _ if is_correlation(&expr) || is_join_key(&expr, self.schema) => Ok(expr),
                _ => expr.map_children(|operand| self.value(operand).map(Transformed::yes)).data(),
            },
        }
    }

    /// `a AND b AND ..` or `a OR b OR ..` as a value.
    fn chain(&mut self, expr: Expr, op: Operator) -> DataFusionResult<Expr> {
        let base = self.stack.len();
        let mut operands = vec![];
        for operand in split(expr, op) {
            operands.push(self.value(operand.clone())?);
            let lets_through = if op == Operator::And { Expr::is_not_false } else { Expr::is_not_true };
            self.add(operand, false, lets_through)?;
        }
        self.stack.truncate(base);
        let whole = if op == Operator::And { conjunction(operands) } else { disjunction(operands) };
        Ok(whole.unwrap_or_else(|| lit(true)))
    }

    fn values(&mut self, exprs: Vec<Expr>) -> DataFusionResult<Vec<Expr>> {
        exprs.into_iter().map(|expr| self.value(expr)).collect()
    }

    /// Adds the conditions of a FILTER as guards; gives how many guards there were before.
    fn add_conditions(&mut self, filter: Option<&Expr>) -> DataFusionResult<usize> {
        let base = self.stack.len();
        for condition in filter.into_iter().flat_map(|filter| split_conjunction_owned(filter.clone())) {
            self.add(condition, true, |condition| condition)?;
        }
        Ok(base)
    }

    /// Adds the guard that `operand` is, if it can be evaluated again and elsewhere; `lets_through` makes a condition
    /// of it.
    fn add(&mut self, operand: Expr, always: bool, lets_through: impl Fn(Expr) -> Expr) -> DataFusionResult<()> {
        let holds_subquery = operand.exists(|part| {
            Ok(matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)))
        })?;
        if holds_subquery || operand.is_volatile() || operand.contains_outer() {
            return Ok(());
        }
        let can_fail = can_fail(&operand, self.schema);
        // Those before it guard it where it stands, but inside it operands guard each other too.
        let operand = match may_need_guards(&operand, self.schema) {
            true => {
                let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
                self.left = left;
                let stack = std::mem::take(&mut self.stack);
                let guarded = self.value(operand);
                self.stack = stack;
                guarded?
            }
            false => operand,
        };
        self.stack.push(Guard { condition: lets_through(operand), can_fail, always });
        Ok(())
    }

    /// An operand that can fail, evaluated where its guards hold and NULL elsewhere.
    fn operand(&mut self, expr: Expr, mut failure: Failure) -> DataFusionResult<Expr> {
        expr.apply(|part| {
            failure = own_failure(part, self.schema).map_or(failure, |own| own.max(failure));
            Ok(TreeNodeRecursion::Continue)
        })?;
        // What is inside may have guards of its own.
        let stack = std::mem::take(&mut self.stack);
        let inside = expr.map_children(|operand| self.value(operand).map(Transformed::yes)).data();
        self.stack = stack;
        let inside = inside?;
        let columns: Vec<Column> = inside.column_refs().into_iter().cloned().collect();
        let concerns = |guard: &&Guard| {
            let of_guard = guard.condition.column_refs();
            failure == Failure::Value
                || guard.always
                || of_guard.is_empty()
                || of_guard.iter().any(|column| columns.contains(column))
        };
        let guards: Vec<&Guard> = self.stack.iter().filter(concerns).collect();
        let Some(left) = self.left.checked_sub(guards.len()) else { return Ok(inside) };
        self.left = left;
        // Those that can fail are evaluated where those before them hold, the others together.
        let mut levels: Vec<Vec<Expr>> = vec![];
        for guard in guards {
            match levels.last_mut() {
                Some(level) if !guard.can_fail => level.push(guard.condition.clone()),
                _ => levels.push(vec![guard.condition.clone()]),
            }
        }
        let guarded = |inside, level| Expr::Case(Case::new(None, vec![(Box::new(level), Box::new(inside))], None));
        Ok(levels.into_iter().rev().filter_map(conjunction).fold(inside, guarded))
    }
}

/// An equality whose sides may only become too large, which makes a join key: guarded, it would be none. The overflow
/// of such a key is raised for any row of its side.
fn is_join_key(expr: &Expr, schema: &DFSchema) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return false };
    let only_range = |expr: &Expr| {
        let worst = expr.exists(|part| Ok(own_failure(part, schema) == Some(Failure::Value)));
        !worst.unwrap_or(true)
    };
    let relations = |expr: &Expr| -> Vec<_> {
        expr.column_refs().into_iter().filter_map(|column| column.relation.clone()).collect()
    };
    let (of_left, of_right) = (relations(left), relations(right));
    let apart = !of_left.is_empty() && !of_right.is_empty() && of_left.iter().all(|name| !of_right.contains(name));
    apart && only_range(left) && only_range(right)
}

/// An equality with a column of the query around, by which a subquery becomes a join.
fn is_correlation(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. })) && expr.contains_outer()
}

/// Whether the expression is a constant that has a value.
fn is_computable(expr: &Expr) -> bool {
    let varies = |part: &Expr| {
        matches!(
            part,
            Expr::Column(_) | Expr::Placeholder(_) | Expr::OuterReferenceColumn(..) | Expr::LambdaVariable(_)
        ) || matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))
    };
    if expr.is_volatile() || expr.exists(|part| Ok(varies(part))).unwrap_or(true) {
        return false;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options);
    let value =
        one_row.map_err(Into::into).and_then(|row| Expression::compile(expr, &DFSchema::empty())?.evaluate(&row));
    value.is_ok()
}

/// The operands of a chain of one operator, in order.
pub(super) fn split(expr: Expr, op: Operator) -> Vec<Expr> {
    let (mut operands, mut open) = (vec![], vec![expr]);
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: same, right }) if same == op => open.extend([*right, *left]),
            other => operands.push(other),
        }
    }
    operands
}

/// The conditions that cannot fail, then each of the others in a filter of its own.
fn order_filter(filter: Filter) -> DataFusionResult<Transformed<LogicalPlan>> {
    let schema = filter.input.schema().clone();
    if !can_fail(&filter.predicate, schema.as_ref()) {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let Filter { predicate, input, .. } = with_common_parts(filter)?;
    let (safe, rest) = in_order(predicate, input.schema())?;
    let mut plan = input;
    for condition in conjunction(safe).into_iter().chain(rest) {
        plan = Arc::new(LogicalPlan::Filter(Filter::try_new(condition, plan)?));
    }
    Ok(Transformed::yes(Arc::unwrap_or_clone(plan)))
}

/// The filter without the projection below it that computes what occurs twice in the condition: guards do.
fn with_common_parts(filter: Filter) -> DataFusionResult<Filter> {
    let LogicalPlan::Projection(projection) = filter.input.as_ref() else { return Ok(filter) };
    let is_common = |expr: &&Expr| matches!(expr, Expr::Alias(alias) if alias.name.starts_with("__common_expr"));
    let (common, rest): (Vec<&Expr>, Vec<&Expr>) = projection.expr.iter().partition(is_common);
    if common.is_empty() || !rest.into_iter().all(|expr| matches!(expr, Expr::Column(_))) {
        return Ok(filter);
    }
    let predicate = filter.predicate.clone().transform_up(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        let part = common.iter().find_map(|part| match part {
            Expr::Alias(alias) if alias.name == column.name => Some(alias.expr.as_ref().clone()),
            _ => None,
        });
        Ok(part.map_or(Transformed::no(expr), Transformed::yes))
    });
    Filter::try_new(predicate.data()?, projection.input.clone())
}

/// A join has one condition, so the guards are written into it again, for the order that it has come to.
fn order_join(mut join: Join) -> DataFusionResult<Transformed<LogicalPlan>> {
    let schema = merge_schema(&[join.left.as_ref(), join.right.as_ref()]);
    let Some(condition) = join.filter.take_if(|condition| can_fail(condition, &schema)) else {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    };
    let (mut conditions, rest) = in_order(condition, &schema)?;
    conditions.extend(rest);
    if let Some(condition) = conjunction(conditions) {
        let mut guards = Guards { schema: &schema, stack: vec![], left: GUARDS_MAX };
        join.filter = Some(guards.conditions(condition)?);
    }
    Ok(Transformed::yes(LogicalPlan::Join(join)))
}

/// The conditions that cannot fail and those that can, without the guards that stand before them anyway.
fn in_order(predicate: Expr, schema: &DFSchema) -> DataFusionResult<(Vec<Expr>, Vec<Expr>)> {
    let conditions = split_conjunction_owned(predicate).into_iter();
    let (safe, rest): (Vec<Expr>, Vec<Expr>) = conditions.partition(|condition| !can_fail(condition, schema));
    let mut known = safe.clone();
    let mut ordered = vec![];
    for condition in rest {
        let plain = without_guards(condition, &known)?;
        known.push(plain.clone());
        ordered.push(plain);
    }
    Ok((safe, ordered))
}

/// `CASE WHEN guard THEN value END` as the value, where the guard is known to hold.
fn without_guards(expr: Expr, known: &[Expr]) -> DataFusionResult<Expr> {
    expr.transform_down(|expr| {
        let mut expr = Transformed::no(expr);
        while let Expr::Case(Case { expr: None, when_then_expr, else_expr: None }) = &expr.data
            && let [(condition, value)] = when_then_expr.as_slice()
            && split_conjunction_owned(condition.as_ref().clone()).iter().all(|part| known.contains(part))
        {
            expr = Transformed::yes(value.as_ref().clone());
        }
        Ok(expr)
    })
    .data()
}
