//! Subqueries in the condition of a join.
//!
//! DataFusion takes subqueries in filters and projections only. An inner join with a condition is a join with a filter
//! above it. For an outer join a condition on the side that may be left out alone is a filter of that side; what else
//! holds a subquery is computed on the side whose columns it uses, and the condition has the column with the value.
//! A subquery in the condition of an outer join that uses both sides is refused.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result as DataFusionResult};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder};

use crate::base::error::{Error, Result};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::rewrite::asof;
use crate::plan::walk::{Walk, WalkDeep};

/// Takes subqueries out of the conditions of joins.
pub(crate) fn part(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| match node {
        LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(holds_subquery) => {
            part_join(join).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
    .map_err(from_datafusion)
}

fn part_join(mut join: Join) -> DataFusionResult<LogicalPlan> {
    if asof::is_marked(&join) {
        return Err(to_datafusion(Error::unsupported("a subquery in the condition of ASOF JOIN is not supported")));
    }
    let conditions = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
    let (asking, plain): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(holds_subquery);
    if join.join_type == JoinType::Inner {
        join.filter = conjunction(plain);
        let joined = Arc::new(LogicalPlan::Join(join));
        return Ok(match conjunction(asking) {
            Some(condition) => LogicalPlan::Filter(Filter::try_new(condition, joined)?),
            None => Arc::unwrap_or_clone(joined),
        });
    }
    let outputs: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
    let mut sides = Sides::of(&join);
    let mut conditions = plain;
    for condition in asking {
        match sides.of_one(&condition)? {
            Some(Side::Left) if sides.left_may_lack => sides.left_filters.push(condition),
            Some(Side::Right) if sides.right_may_lack => sides.right_filters.push(condition),
            _ => conditions.push(sides.with_values(condition)?),
        }
    }
    let Sides { left, right, left_filters, right_filters, .. } = sides;
    join.left = Arc::new(filtered(left.build()?, left_filters)?);
    join.right = Arc::new(filtered(right.build()?, right_filters)?);
    let joined = Join::try_new(
        join.left,
        join.right,
        join.on,
        conjunction(conditions),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(outputs)?.build()
}

fn filtered(plan: LogicalPlan, conditions: Vec<Expr>) -> DataFusionResult<LogicalPlan> {
    match conjunction(conditions) {
        Some(condition) => Filter::try_new(condition, Arc::new(plan)).map(LogicalPlan::Filter),
        None => Ok(plan),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The sides of an outer join, and what is computed on each.
struct Sides {
    left: Computing,
    right: Computing,
    /// Whether rows of the side without a partner are left out.
    left_may_lack: bool,
    right_may_lack: bool,
    left_filters: Vec<Expr>,
    right_filters: Vec<Expr>,
}

impl Sides {
    fn of(join: &Join) -> Sides {
        use JoinType::{Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi};
        Sides {
            left: Computing { plan: join.left.as_ref().clone(), values: vec![] },
            right: Computing { plan: join.right.as_ref().clone(), values: vec![] },
            left_may_lack: matches!(join.join_type, Right | RightAnti | RightMark | RightSemi | LeftSemi),
            right_may_lack: matches!(join.join_type, Left | LeftAnti | LeftMark | LeftSemi | RightSemi),
            left_filters: vec![],
            right_filters: vec![],
        }
    }

    /// The one side whose columns the expression uses; none if it uses no columns.
    fn of_one(&self, expr: &Expr) -> DataFusionResult<Option<Side>> {
        let mut used = vec![];
        collect_columns(expr, &mut used)?;
        let has = |side: &Computing| used.iter().any(|column| side.plan.schema().has_column(column));
        match (has(&self.left), has(&self.right)) {
            (true, true) => Ok(None),
            (true, false) => Ok(Some(Side::Left)),
            (false, true) => Ok(Some(Side::Right)),
            (false, false) if self.right_may_lack => Ok(Some(Side::Right)),
            (false, false) => Ok(Some(Side::Left)),
        }
    }

    /// The condition with columns in place of its subqueries.
    fn with_values(&mut self, condition: Expr) -> DataFusionResult<Expr> {
        let replaced = condition.transform_down(|expr| {
            if !is_subquery(&expr) {
                return Ok(Transformed::no(expr));
            }
            let Some(side) = self.of_one(&expr)? else {
                let message = "a subquery in the condition of an outer join may not use both of its sides";
                return Err(to_datafusion(Error::unsupported(message)));
            };
            let column = match side {
                Side::Left => self.left.column("__of_left", expr),
                Side::Right => self.right.column("__of_right", expr),
            };
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        });
        replaced.data()
    }
}

/// A side with values to compute on it.
struct Computing {
    plan: LogicalPlan,
    values: Vec<Expr>,
}

impl Computing {
    /// The column that has the value.
    fn column(&mut self, prefix: &str, expr: Expr) -> Expr {
        let taken = self.plan.schema().fields().iter().filter(|field| field.name().starts_with(prefix)).count();
        let name = format!("{prefix}_{}", taken + self.values.len());
        self.values.push(expr.alias(&name));
        Expr::Column(Column::new_unqualified(name))
    }

    fn build(self) -> DataFusionResult<LogicalPlan> {
        if self.values.is_empty() {
            return Ok(self.plan);
        }
        let keep = self.plan.schema().columns().into_iter().map(Expr::Column);
        let list: Vec<Expr> = keep.chain(self.values).collect();
        LogicalPlanBuilder::from(self.plan).project(list)?.build()
    }
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))
}

fn holds_subquery(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(is_subquery(expr))).unwrap_or(true)
}

/// The columns that an expression uses, those that its subqueries refer to among them.
fn collect_columns(expr: &Expr, columns: &mut Vec<Column>) -> DataFusionResult<()> {
    expr.apply(|expr| {
        match expr {
            Expr::Column(column) => columns.push(column.clone()),
            Expr::ScalarSubquery(subquery) => collect_references(&subquery.subquery, columns)?,
            Expr::Exists(exists) => collect_references(&exists.subquery.subquery, columns)?,
            Expr::InSubquery(condition) => collect_references(&condition.subquery.subquery, columns)?,
            Expr::SetComparison(comparison) => collect_references(&comparison.subquery.subquery, columns)?,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(|_| ())
}

fn collect_references(plan: &LogicalPlan, columns: &mut Vec<Column>) -> DataFusionResult<()> {
    plan.apply_deep(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr {
                    columns.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map(|_| ())
}
