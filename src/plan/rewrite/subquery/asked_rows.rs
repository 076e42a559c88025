//! What a subquery computes of the row around it is computed for the rows that ask.
//!
//! In `CASE WHEN t.b <> 0 THEN (SELECT sum(u.a / t.b) FROM u) END` a row whose b is 0 never asks the subquery. Once it
//! is a join it is computed for all rows, so what can fail in it takes its guard along:
//! `(SELECT sum(CASE WHEN t.b <> 0 THEN u.a / t.b END) FROM u)`. The same holds for the left side of IN, ANY and ALL,
//! and for a subquery behind AND, OR, COALESCE, FILTER, or behind other conditions of WHERE and ON. What a row that does
//! not ask is told makes no difference.
//!
//! A guard that holds a subquery itself or a volatile call is left out, and so is one by which what it guards would come
//! to depend on rows that it does not depend on: what a subquery computes from its own rows alone is computed for all of
//! them.
//!
//! This comes before subqueries lose their places, so types are not settled yet and all arithmetic is taken to fail;
//! what guards expressions without subqueries is [`crate::plan::rewrite::guards`].

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ExprSchema, Result as DataFusionResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, LogicalPlan, Operator, Subquery, lit};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::fallible::own_failure;
use crate::plan::rewrite::guards::split;
use crate::plan::rewrite::subquery::references::is_correlated;
use crate::plan::walk::{Walk, WalkDeep, any_expression, map_outputs, map_subquery, subquery_of};

/// The most guards that are written for one expression; what is beyond is left to chance.
const GUARDS_MAX: usize = 2_000;

/// Guards what can fail in subqueries and their left sides by what decides whether they are asked.
pub(crate) fn guard(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down_deep(guard_node).data().map_err(from_datafusion)
}

fn guard_node(node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    if !any_expression(&node, is_subquery)? {
        return Ok(Transformed::no(node));
    }
    let schema = merge_schema(&node.inputs());
    let as_condition = matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
    map_outputs(node, &mut |expr| {
        let mut guards = Guards { schema: &schema, stack: vec![], left: GUARDS_MAX };
        if as_condition { guards.chain(expr, Operator::And, |condition| condition) } else { guards.value(expr) }
    })
}

/// Guards one expression from the outside in.
struct Guards<'a> {
    schema: &'a DFSchema,
    /// What must hold for the operand at hand to be asked, outermost first.
    stack: Vec<Expr>,
    /// How many more may be written.
    left: usize,
}

impl Guards<'_> {
    fn value(&mut self, expr: Expr) -> DataFusionResult<Transformed<Expr>> {
        if !expr.exists(|part| Ok(is_subquery(part)))? {
            return Ok(Transformed::no(expr));
        }
        let base = self.stack.len();
        let guarded = match expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => {
                self.chain(expr, Operator::And, Expr::is_not_false)
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => self.chain(expr, Operator::Or, Expr::is_not_true),
            Expr::Case(case) => self.case(case),
            Expr::ScalarFunction(ref call) if call.name() == "coalesce" => expr.map_children(|argument| {
                let guarded = self.value(argument.clone())?;
                self.add(argument.is_null());
                Ok(guarded)
            }),
            Expr::ScalarFunction(call) if call.name() == "nvl2" => self.nvl2(call),
            Expr::AggregateFunction(ref call) => {
                self.add_conditions(call.params.filter.as_deref());
                expr.map_children(|argument| self.value(argument))
            }
            Expr::WindowFunction(ref call) => {
                self.add_conditions(call.params.filter.as_deref());
                expr.map_children(|argument| self.value(argument))
            }
            expr if is_subquery(&expr) => self.asked(expr),
            expr => expr.map_children(|operand| self.value(operand)),
        };
        self.stack.truncate(base);
        guarded
    }

    /// The operands of a chain of AND or OR; `lets_through` makes of one the guard of those behind it.
    fn chain(
        &mut self,
        expr: Expr,
        op: Operator,
        lets_through: impl Fn(Expr) -> Expr,
    ) -> DataFusionResult<Transformed<Expr>> {
        let base = self.stack.len();
        let (mut changed, mut whole) = (false, None);
        for operand in split(expr, op) {
            let guarded = self.value(operand.clone())?;
            self.add(lets_through(operand));
            changed |= guarded.transformed;
            whole = Some(match whole {
                None => guarded.data,
                Some(left) => Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(guarded.data))),
            });
        }
        self.stack.truncate(base);
        Ok(Transformed::new_transformed(whole.unwrap_or_else(|| lit(true)), changed))
    }

    fn case(&mut self, case: Case) -> DataFusionResult<Transformed<Expr>> {
        let mut changed = false;
        let mut guarded = |guards: &mut Self, expr: Box<Expr>| {
            let guarded = guards.value(*expr)?;
            changed |= guarded.transformed;
            Ok::<_, datafusion::common::DataFusionError>(Box::new(guarded.data))
        };
        let operand = case.expr.clone();
        let expr = case.expr.map(|expr| guarded(self, expr)).transpose()?;
        let mut branches = vec![];
        for (when, then) in case.when_then_expr {
            let chosen = match &operand {
                Some(operand) => operand.as_ref().clone().eq(when.as_ref().clone()),
                None => when.as_ref().clone(),
            };
            let when = guarded(self, when)?;
            let base = self.stack.len();
            self.add(chosen.clone());
            branches.push((when, guarded(self, then)?));
            self.stack.truncate(base);
            self.add(chosen.is_not_true());
        }
        let otherwise = case.else_expr.map(|otherwise| guarded(self, otherwise)).transpose()?;
        Ok(Transformed::new_transformed(Expr::Case(Case::new(expr, branches, otherwise)), changed))
    }

    /// `nvl2(tested, value, default)`: the value where what is tested is not NULL, else the default.
    fn nvl2(&mut self, call: ScalarFunction) -> DataFusionResult<Transformed<Expr>> {
        let (base, mut changed, mut args) = (self.stack.len(), false, vec![]);
        let is_null = call.args.first().cloned().map(Expr::is_null);
        let guards = [None, is_null.clone().map(Expr::is_false), is_null];
        for (argument, guard) in call.args.into_iter().zip(guards.into_iter().chain(std::iter::repeat(None))) {
            guard.into_iter().for_each(|guard| self.add(guard));
            let guarded = self.value(argument)?;
            self.stack.truncate(base);
            changed |= guarded.transformed;
            args.push(guarded.data);
        }
        let call = ScalarFunction { func: call.func, args };
        Ok(Transformed::new_transformed(Expr::ScalarFunction(call), changed))
    }

    fn add_conditions(&mut self, filter: Option<&Expr>) {
        for condition in filter.into_iter().flat_map(|filter| split_conjunction_owned(filter.clone())) {
            self.add(condition);
        }
    }

    /// Adds a guard, if it can be evaluated again.
    fn add(&mut self, guard: Expr) {
        let stays = guard.exists(|part| Ok(is_subquery(part))).unwrap_or(true) || guard.is_volatile();
        if !stays {
            self.stack.push(guard);
        }
    }

    /// A subquery, with its guards in its left side and in its plan.
    fn asked(&mut self, expr: Expr) -> DataFusionResult<Transformed<Expr>> {
        let expr = expr.map_children(|side| {
            let side = self.value(side)?;
            if !can_fail(&side.data, self.schema)? {
                return Ok(side);
            }
            let uses = Uses::of(&side.data);
            side.transform_data(|side| Ok(when_asked(&self.written(), uses, side)))
        })?;
        expr.transform_data(|expr| {
            map_subquery(expr, &mut |subquery| {
                if self.stack.is_empty() {
                    return Ok(Transformed::no(subquery));
                }
                Inside::of(&subquery, self)?.subquery(subquery)
            })
        })
    }

    /// The guards that may be written, with what they use.
    fn written(&mut self) -> Vec<(Expr, Uses)> {
        match self.left.checked_sub(self.stack.len()) {
            Some(left) => {
                self.left = left;
                self.stack.iter().map(|guard| (guard.clone(), Uses::of(guard))).collect()
            }
            None => vec![],
        }
    }
}

/// Which rows an expression uses: those of the query that asks, and those further out.
#[derive(Clone, Copy)]
struct Uses {
    near: bool,
    far: bool,
}

impl Uses {
    /// What an expression of the query that asks uses.
    fn of(expr: &Expr) -> Uses {
        Uses { near: expr.any_column_refs(), far: expr.contains_outer() }
    }
}

/// A value where those of the guards hold that make it depend on no more rows than it does.
fn when_asked(guards: &[(Expr, Uses)], value_uses: Uses, value: Expr) -> Transformed<Expr> {
    if !value_uses.near && !value_uses.far {
        return Transformed::no(value);
    }
    let fits = |uses: &Uses| uses.near <= value_uses.near && uses.far <= value_uses.far;
    let guards = guards.iter().filter(|(_, uses)| fits(uses)).map(|(guard, _)| guard.clone());
    match conjunction(guards) {
        Some(guard) => {
            let branch = (Box::new(guard), Box::new(value));
            Transformed::yes(Expr::Case(Case::new(None, vec![branch], None)))
        }
        None => Transformed::no(value),
    }
}

/// Guards what the plan of a subquery computes from the rows around it.
struct Inside<'a> {
    outer: &'a DFSchema,
    /// What the plan has itself, which hides columns of the same name further out.
    own: Vec<DFSchemaRef>,
    /// The guards as the plan says them.
    guards: Vec<(Expr, Uses)>,
}

impl<'a> Inside<'a> {
    fn of(subquery: &Subquery, asking: &mut Guards<'a>) -> DataFusionResult<Inside<'a>> {
        let mut own = vec![];
        subquery.subquery.apply_deep(|node| {
            own.push(node.schema().clone());
            // Nothing is said below a name of a query that asks nothing outside, so what that hides does not matter.
            Ok(match node {
                LogicalPlan::SubqueryAlias(alias) if !is_correlated(&alias.input)? => TreeNodeRecursion::Jump,
                _ => TreeNodeRecursion::Continue,
            })
        })?;
        let mut inside = Inside { outer: asking.schema, own, guards: vec![] };
        for (guard, uses) in asking.written() {
            // A name that means another column inside cannot be said there.
            let is_said = |part: &Expr| match part {
                Expr::Column(column) => inside.is_near(column),
                Expr::OuterReferenceColumn(_, column) => inside.is_far(column),
                _ => true,
            };
            if !guard.exists(|part| Ok(!is_said(part)))? {
                inside.guards.push((referring(guard, asking.schema)?, uses));
            }
        }
        Ok(inside)
    }

    fn is_near(&self, column: &Column) -> bool {
        self.outer.has_column(column) && !self.own.iter().any(|schema| schema.has_column(column))
    }

    fn is_far(&self, column: &Column) -> bool {
        !self.outer.has_column(column) && !self.own.iter().any(|schema| schema.has_column(column))
    }

    fn subquery(&self, subquery: Subquery) -> DataFusionResult<Transformed<Subquery>> {
        let plan = subquery.subquery.as_ref().clone().transform_up(|node| self.node(node))?;
        if !plan.transformed {
            return Ok(Transformed::no(subquery));
        }
        let outer_ref_columns = plan.data.all_out_ref_exprs();
        Ok(Transformed::yes(Subquery { subquery: Arc::new(plan.data), outer_ref_columns, spans: subquery.spans }))
    }

    fn node(&self, node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
        if let LogicalPlan::Subquery(lateral) = node {
            let outer_ref_columns = lateral.subquery.all_out_ref_exprs();
            return Ok(Transformed::no(LogicalPlan::Subquery(Subquery { outer_ref_columns, ..lateral })));
        }
        let schema = merge_schema(&node.inputs());
        map_outputs(node, &mut |expr| {
            expr.transform_down(|expr| {
                if fails_itself(&expr, &schema) {
                    let uses = self.uses_inside(&expr);
                    let guarded = when_asked(&self.guards, uses, expr);
                    return Ok(match guarded.transformed {
                        true => Transformed::new(guarded.data, true, TreeNodeRecursion::Jump),
                        false => guarded,
                    });
                }
                map_subquery(expr, &mut |subquery| self.subquery(subquery))
            })
        })
    }

    /// What an expression of the plan uses.
    fn uses_inside(&self, expr: &Expr) -> Uses {
        let refers = |to: &dyn Fn(&Column) -> bool| {
            let refers = |part: &Expr| matches!(part, Expr::OuterReferenceColumn(_, column) if to(column));
            expr.exists(|part| Ok(refers(part))).unwrap_or(false)
        };
        Uses { near: refers(&|column| self.is_near(column)), far: refers(&|column| self.is_far(column)) }
    }
}

/// A guard over the rows of a query, as its subqueries say it.
fn referring(guard: Expr, schema: &DFSchema) -> DataFusionResult<Expr> {
    guard
        .transform_up(|expr| match expr {
            Expr::Column(column) => {
                let field = schema.field_from_column(&column)?.clone();
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
}

fn is_subquery(expr: &Expr) -> bool {
    subquery_of(expr).is_some()
}

fn can_fail(expr: &Expr, schema: &DFSchema) -> DataFusionResult<bool> {
    expr.exists(|part| Ok(fails_itself(part, schema)))
}

/// Whether the expression's own operation can fail, with types that are not settled.
fn fails_itself(expr: &Expr, schema: &DFSchema) -> bool {
    let is_arithmetic = match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply),
        Expr::Negative(_) => true,
        _ => false,
    };
    is_arithmetic || own_failure(expr, schema).is_some()
}
