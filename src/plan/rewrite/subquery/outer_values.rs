//! VALUES that name the outer row, as a choice by row number.
//!
//! `LATERAL (VALUES (o.a), (o.b)) v (x)` makes rows of columns. What computes from the outer row in a projection becomes
//! a join; VALUES has no input to join with. So it keeps what is constant and numbers its rows, and a projection
//! computes the rest: `SELECT CASE n WHEN 0 THEN o.a ELSE o.b END FROM (VALUES (0), (1)) v (n)`.

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::{Case, Expr, LogicalPlan, LogicalPlanBuilder, Values, lit};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::walk::WalkDeep;

/// Chooses in all such VALUES.
pub(crate) fn choose(plan: LogicalPlan, aliases: &AliasGenerator) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| match node {
        LogicalPlan::Values(values) if values.values.iter().flatten().any(Expr::contains_outer) => {
            choose_in(values, aliases).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
    .map_err(from_datafusion)
}

fn choose_in(values: Values, aliases: &AliasGenerator) -> DataFusionResult<LogicalPlan> {
    let number = aliases.next("__row");
    let is_chosen = |column: usize| values.values.iter().any(|row| row.get(column).is_some_and(Expr::contains_outer));
    let (mut list, mut kept) = (vec![], vec![]);
    for (index, field) in values.schema.fields().iter().enumerate() {
        let value = match is_chosen(index) {
            true => {
                let branches = values.values.iter().enumerate().filter_map(|(at, row)| {
                    let row = row.get(index)?.clone();
                    Some((Box::new(row_number(at)), Box::new(row)))
                });
                let of = Box::new(Expr::Column(Column::new_unqualified(&number)));
                Expr::Case(Case::new(Some(of), branches.collect(), None))
            }
            false => {
                kept.push(index);
                Expr::Column(Column::new_unqualified(format!("column{}", kept.len())))
            }
        };
        list.push(value.alias(field.name()));
    }
    let rows = values.values.iter().enumerate().map(|(at, row)| {
        let constant = kept.iter().filter_map(|&index| row.get(index).cloned());
        constant.chain([row_number(at)]).collect::<Vec<_>>()
    });
    let mut names: Vec<Expr> =
        (1..=kept.len()).map(|index| Expr::Column(Column::new_unqualified(format!("column{index}")))).collect();
    let last = Column::new_unqualified(format!("column{}", kept.len() + 1));
    names.push(Expr::Column(last).alias(&number));
    LogicalPlanBuilder::values(rows.collect())?.project(names)?.project(list)?.build()
}

fn row_number(index: usize) -> Expr {
    lit(ScalarValue::Int64(i64::try_from(index).ok()))
}
