//! ASOF JOIN from ordinary parts.
//!
//! Each left row meets the one right row with equal keys that is nearest by the ordered condition (`l.ts >= r.ts`: the
//! last one not after it). Both sides' keys and times are united; a running maximum (or minimum) over them finds for
//! each left row the time of its right row, and a join by keys and time fetches it. Of right rows with equal keys and
//! time the first in the order of all columns is taken. Every part exists in both drivers, so the join needs no
//! operator of its own, and costs one sort.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, JoinType, Result as DataFusionResult, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowFunctionDefinition, lit, when,
};

use crate::base::error::{Error, Result};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::functions::FunctionRegistry;
use crate::plan::functions::marker::ordered_condition as marked;
use crate::plan::walk::{Walk, WalkDeep};

const TIME: &str = "__asof_time";
const FOUND: &str = "__asof_found";
const SIDE: &str = "__asof_side";
const MATCH: &str = "__asof_match";
const RIGHT_TIME: &str = "__asof_right_time";
const NUMBER: &str = "__asof_number";

/// Builds the as-of joins of a typed plan from ordinary nodes.
pub(crate) fn lower_joins(plan: LogicalPlan, functions: &FunctionRegistry) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| match node {
        LogicalPlan::Join(join) if is_marked(&join) => {
            AsOf::of(join).and_then(|asof| asof.plan(functions)).map(Transformed::yes).map_err(to_datafusion)
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
    .map_err(from_datafusion)
}

fn is_marked(join: &Join) -> bool {
    join.filter.as_ref().is_some_and(|filter| filter.exists(|expr| Ok(marked(expr).is_some())).unwrap_or(false))
}

/// An as-of join taken apart.
struct AsOf {
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    /// Pairs of equal expressions over the left and the right side.
    keys: Vec<(Expr, Expr)>,
    times: (Expr, Expr),
    /// How the left time stands to the right one.
    operator: Operator,
}

impl AsOf {
    fn of(join: Join) -> Result<Self> {
        let conditions = join.filter.map(split_conjunction_owned).unwrap_or_default();
        let (left, right) = (Arc::unwrap_or_clone(join.left), Arc::unwrap_or_clone(join.right));
        let mut keys = join.on;
        let mut order = None;
        for condition in conditions {
            let (is_order, condition) = match marked(&condition) {
                Some(inner) => (true, inner.clone()),
                None => (false, condition),
            };
            let Expr::BinaryExpr(BinaryExpr { left: a, op, right: b }) = condition else {
                return Err(unsuited(&condition));
            };
            let (l, r, op) = if reads(&a, left.schema()) && reads(&b, right.schema()) {
                (*a, *b, op)
            } else if reads(&b, left.schema()) && reads(&a, right.schema()) {
                let swapped = op.swap();
                (*b, *a, swapped.ok_or_else(|| Error::unsupported(format!("{op} in ASOF JOIN is not supported")))?)
            } else {
                return Err(unsuited(&Expr::BinaryExpr(BinaryExpr { left: a, op, right: b })));
            };
            match (is_order, op) {
                (true, Operator::Gt | Operator::GtEq | Operator::Lt | Operator::LtEq) if order.is_none() => {
                    order = Some((l, r, op));
                }
                (false, Operator::Eq) => keys.push((l, r)),
                _ => return Err(unsuited(&Expr::BinaryExpr(BinaryExpr::new(Box::new(l), op, Box::new(r))))),
            }
        }
        let (l, r, operator) =
            order.ok_or_else(|| Error::invalid("ASOF JOIN needs one condition with <, <=, > or >="))?;
        Ok(AsOf { left, right, join_type: join.join_type, keys, times: (l, r), operator })
    }

    fn plan(self, functions: &FunctionRegistry) -> Result<LogicalPlan> {
        let plan = || -> DataFusionResult<LogicalPlan> {
            let left = self.found(functions)?;
            let right = self.first_of_each(functions)?;
            let mut on = vec![bare(MATCH).eq(bare(RIGHT_TIME))];
            on.extend((0..self.keys.len()).map(|key| bare(&left_key(key)).eq(bare(&right_key(key)))));
            let columns = self.left.schema().columns().into_iter().enumerate();
            let mut outputs: Vec<Expr> = columns
                .map(|(index, column)| bare(&left_column(index)).alias_qualified(column.relation, column.name))
                .collect();
            outputs.extend(self.right.schema().columns().into_iter().map(Expr::Column));
            LogicalPlanBuilder::from(left).join_on(right, self.join_type, on)?.project(outputs)?.build()
        };
        plan().map_err(from_datafusion)
    }

    /// The left rows, each with the time of its right row.
    fn found(&self, functions: &FunctionRegistry) -> DataFusionResult<LogicalPlan> {
        let backward = matches!(self.operator, Operator::Gt | Operator::GtEq);
        // Rows of one time: those of the right side come first where equal times match.
        let (left_side, right_side) = match self.operator {
            Operator::GtEq | Operator::LtEq => (1i64, 0i64),
            _ => (0, 1),
        };
        let time_type = self.times.1.get_type(self.right.schema())?;
        let key_columns = |pick: fn(&(Expr, Expr)) -> &Expr| {
            let keys = self.keys.iter().enumerate();
            keys.map(|(index, pair)| pick(pair).clone().alias(left_key(index))).collect::<Vec<_>>()
        };
        let mut left = key_columns(|pair| &pair.0);
        left.extend([
            self.times.0.clone().alias(TIME),
            lit(ScalarValue::try_new_null(&time_type)?).alias(FOUND),
            lit(left_side).alias(SIDE),
        ]);
        let columns = self.left.schema().columns().into_iter().enumerate();
        left.extend(columns.map(|(index, column)| Expr::Column(column).alias(left_column(index))));
        let mut right = key_columns(|pair| &pair.1);
        let time = self.times.1.clone();
        right.extend([time.clone().alias(TIME), time.alias(FOUND), lit(right_side).alias(SIDE)]);
        for (index, field) in self.left.schema().fields().iter().enumerate() {
            right.push(lit(ScalarValue::try_new_null(field.data_type())?).alias(left_column(index)));
        }
        let right = LogicalPlanBuilder::from(self.right.clone()).filter(self.right_is_known())?.project(right)?;
        let aggregate = functions.expect_aggregate(if backward { "max" } else { "min" }).map_err(to_datafusion)?;
        let nearest = Expr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::AggregateUDF(aggregate),
            params: WindowFunctionParams {
                args: vec![bare(FOUND)],
                partition_by: (0..self.keys.len()).map(|key| bare(&left_key(key))).collect(),
                order_by: vec![
                    Sort { expr: bare(TIME), asc: backward, nulls_first: false },
                    Sort { expr: bare(SIDE), asc: true, nulls_first: false },
                ],
                window_frame: WindowFrame::new_bounds(
                    WindowFrameUnits::Range,
                    WindowFrameBound::Preceding(ScalarValue::Null),
                    WindowFrameBound::CurrentRow,
                ),
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        }));
        let mut outputs: Vec<Expr> = (0..self.keys.len()).map(|key| bare(&left_key(key))).collect();
        // A row without a time has no nearest one; it would stand behind all others.
        outputs.push(when(bare(TIME).is_not_null(), bare(MATCH)).end()?.alias(MATCH));
        outputs.extend((0..self.left.schema().fields().len()).map(|index| bare(&left_column(index))));
        LogicalPlanBuilder::from(self.left.clone())
            .project(left)?
            .union(right.build()?)?
            .window(vec![nearest.alias(MATCH)])?
            .filter(bare(SIDE).eq(lit(left_side)))?
            .project(outputs)?
            .build()
    }

    /// One right row for each keys and time.
    fn first_of_each(&self, functions: &FunctionRegistry) -> DataFusionResult<LogicalPlan> {
        let keys = self.keys.iter().enumerate().map(|(index, (_, right))| right.clone().alias(right_key(index)));
        let added: Vec<Expr> = keys.chain([self.times.1.clone().alias(RIGHT_TIME)]).collect();
        let mut partition_by: Vec<Expr> = (0..self.keys.len()).map(|key| bare(&right_key(key))).collect();
        partition_by.push(bare(RIGHT_TIME));
        let Some(row_number) = functions.window("row_number").cloned() else {
            return plan_err!("no built-in window function \"row_number\"");
        };
        // The order of all columns is added where ties are broken.
        let number = Expr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(row_number),
            params: WindowFunctionParams {
                args: vec![],
                partition_by,
                order_by: vec![],
                window_frame: WindowFrame::new(None),
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        }));
        let columns: Vec<Expr> = self.right.schema().columns().into_iter().map(Expr::Column).collect();
        let names = (0..self.keys.len()).map(|key| bare(&right_key(key))).chain([bare(RIGHT_TIME)]);
        let outputs: Vec<Expr> = columns.iter().cloned().chain(names).collect();
        LogicalPlanBuilder::from(self.right.clone())
            .filter(self.right_is_known())?
            .project(columns.into_iter().chain(added).collect::<Vec<_>>())?
            .window(vec![number.alias(NUMBER)])?
            .filter(bare(NUMBER).eq(lit(1i64)))?
            .project(outputs)?
            .build()
    }

    /// Right rows with a NULL among keys and time match nothing.
    fn right_is_known(&self) -> Expr {
        let known = self.keys.iter().map(|(_, right)| right).chain([&self.times.1]);
        conjunction(known.map(|expr| expr.clone().is_not_null())).unwrap_or_else(|| lit(true))
    }
}

fn reads(expr: &Expr, schema: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.into_iter().all(|column| schema.has_column(column))
}

fn unsuited(condition: &Expr) -> Error {
    Error::unsupported(format!("ASOF JOIN takes equalities and one <, <=, > or >= between its sides, not {condition}"))
}

fn bare(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn left_key(index: usize) -> String {
    format!("__asof_key_{index}")
}

fn right_key(index: usize) -> String {
    format!("__asof_right_key_{index}")
}

fn left_column(index: usize) -> String {
    format!("__asof_column_{index}")
}
