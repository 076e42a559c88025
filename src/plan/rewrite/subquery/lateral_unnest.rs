//! LATERAL over `unnest` of the outer row's lists, as an unnest of the outer rows.
//!
//! `FROM a, unnest(a.l) AS u (x)` has a row for every item of every list; DataFusion knows no join for that. A query of
//! LATERAL that reads no relation but makes rows of one row by `unnest` can as well make them of the outer rows: these
//! take the place of its one row, and their columns are carried through, under names that nothing in it can mean.

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result as DataFusionResult};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::rewrite::subquery::references::lateral_query;
use crate::plan::rules::dependencies::forget;
use crate::plan::walk::{Walk, WalkDeep};

/// Puts the outer rows into such queries of LATERAL.
pub(crate) fn carry(plan: LogicalPlan, aliases: &AliasGenerator) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| match node {
        LogicalPlan::Join(join) => carry_join(join, aliases),
        other => Ok(Transformed::no(other)),
    })
    .data()
    .map_err(from_datafusion)
}

fn carry_join(join: Join, aliases: &AliasGenerator) -> DataFusionResult<Transformed<LogicalPlan>> {
    let query = lateral_query(&join.right).filter(|_| join.join_type == JoinType::Inner);
    let Some(query) = query.filter(|query| unnests_one_row(&query.subquery, false)) else {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    };
    let name = aliases.next("__outer");
    let outer: Vec<(Column, Expr)> = join
        .left
        .schema()
        .columns()
        .into_iter()
        .enumerate()
        .map(|(index, column)| (column, Expr::Column(Column::new_unqualified(format!("{name}_{index}")))))
        .collect();
    let rows = Rows { outer: &outer };
    let named =
        outer.iter().map(|(column, carried)| Expr::Column(column.clone()).alias(carried.schema_name().to_string()));
    let left = LogicalPlanBuilder::from(join.left.as_ref().clone()).project(named)?.build()?;
    let plan = rows.through(&query.subquery, left)?;
    let own = outer.iter().map(|(column, carried)| (carried.clone(), column.clone()));
    let computed = query.subquery.schema().columns().into_iter().map(Expr::Column).zip(join.right.schema().columns());
    let columns = own.chain(computed).map(|(expr, Column { relation, name, .. })| expr.alias_qualified(relation, name));
    let plan = LogicalPlanBuilder::from(plan).project(columns)?;
    let keys = join.on.into_iter().map(|(left, right)| left.eq(right));
    let plan = match conjunction(keys.chain(join.filter)) {
        Some(condition) => plan.filter(condition)?,
        None => plan,
    };
    forget(plan.build()?).map(Transformed::yes)
}

/// Whether a plan makes its rows of one row, by `unnest` among others, and asks nothing of other queries.
fn unnests_one_row(plan: &LogicalPlan, unnests: bool) -> bool {
    let has_subquery = plan.apply_expressions(|expr| {
        let asks = expr.exists(|part| Ok(is_subquery(part)))?;
        Ok(if asks { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    if !matches!(has_subquery, Ok(TreeNodeRecursion::Continue)) {
        return false;
    }
    match plan {
        LogicalPlan::EmptyRelation(empty) => unnests && empty.produce_one_row,
        LogicalPlan::Unnest(unnest) => unnests_one_row(&unnest.input, true),
        LogicalPlan::Projection(projection) => unnests_one_row(&projection.input, unnests),
        LogicalPlan::Filter(filter) => unnests_one_row(&filter.input, unnests),
        LogicalPlan::SubqueryAlias(alias) => unnests_one_row(&alias.input, unnests),
        // `unnest` is one of LATERAL also where nothing stands to its left.
        LogicalPlan::Subquery(query) => unnests_one_row(&query.subquery, unnests),
        _ => false,
    }
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))
}

/// The outer columns, each with what it is called while it is carried.
struct Rows<'a> {
    outer: &'a [(Column, Expr)],
}

impl Rows<'_> {
    /// The plan over the outer rows, whose columns come first.
    fn through(&self, plan: &LogicalPlan, rows: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        let carried = self.outer.iter().map(|(_, carried)| carried.clone());
        match plan {
            LogicalPlan::Unnest(unnest) => LogicalPlanBuilder::from(self.through(&unnest.input, rows)?)
                .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
                .build(),
            LogicalPlan::Projection(projection) => {
                let own = projection.expr.iter().map(|expr| self.of_outer(expr.clone()));
                let own = own.collect::<DataFusionResult<Vec<_>>>()?;
                let input = self.through(&projection.input, rows)?;
                // What the expression was called is what is asked for above.
                let named = own.into_iter().zip(projection.schema.columns()).map(|(expr, column)| {
                    let Column { relation, name, .. } = column;
                    expr.alias_qualified(relation, name)
                });
                LogicalPlanBuilder::from(input).project(carried.chain(named))?.build()
            }
            LogicalPlan::Filter(filter) => {
                let condition = self.of_outer(filter.predicate.clone())?;
                LogicalPlanBuilder::from(self.through(&filter.input, rows)?).filter(condition)?.build()
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.through(&alias.input, rows)?;
                let columns = alias.input.schema().columns().into_iter().zip(alias.schema.columns());
                let named = columns
                    .map(|(own, Column { relation, name, .. })| Expr::Column(own).alias_qualified(relation, name));
                LogicalPlanBuilder::from(input).project(carried.chain(named))?.build()
            }
            LogicalPlan::Subquery(query) => self.through(&query.subquery, rows),
            _ => Ok(rows),
        }
    }

    /// An expression with the carried columns for references to the outer row.
    fn of_outer(&self, expr: Expr) -> DataFusionResult<Expr> {
        expr.transform_up(|expr| match &expr {
            Expr::OuterReferenceColumn(_, column) => match self.outer.iter().find(|(outer, _)| outer == column) {
                Some((_, carried)) => Ok(Transformed::yes(carried.clone())),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        })
        .data()
    }
}
