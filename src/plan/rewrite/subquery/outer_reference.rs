//! `outer.column` in a subquery whose own tables have a column called `outer`.
//!
//! DataFusion reads `dept.id` as the field `id` of a column `dept` whenever the subquery has such a column, whatever
//! its type. [`CompoundNames`] sees that a column is no struct and leaves a reference to an outer relation instead, of
//! unknown type; [`resolve`] finds the relation among the queries around it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Result as DataFusionResult, TableReference};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

use crate::base::error::{Error, ErrorKind, Result};
use crate::operator::error::from_datafusion;
use crate::plan::walk::{Walk, WalkDeep, map_subquery, rewrite_node};

/// The name of the type-less field of a reference that is not resolved yet.
const UNRESOLVED: &str = "__unresolved";

/// Binds `name.part` where `name` is a column without parts.
#[derive(Debug)]
pub(crate) struct CompoundNames;

impl ExprPlanner for CompoundNames {
    fn plan_compound_identifier(
        &self,
        field: &Field,
        _qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> DataFusionResult<PlannerResult<Vec<Expr>>> {
        let has_parts = matches!(field.data_type(), DataType::Struct(_) | DataType::Map(..) | DataType::Null);
        match nested_names {
            [part] if !has_parts => {
                let column = Column::new(Some(field.name().as_str()), part);
                let unresolved = Arc::new(Field::new(UNRESOLVED, DataType::Null, true));
                Ok(PlannerResult::Planned(Expr::OuterReferenceColumn(unresolved, column)))
            }
            _ => Ok(PlannerResult::Original(vec![])),
        }
    }
}

/// Gives every reference that [`CompoundNames`] left its column.
pub(crate) fn resolve(plan: LogicalPlan) -> Result<LogicalPlan> {
    if missing(&plan)?.is_none() {
        return Ok(plan);
    }
    let plan = plan.transform_up_deep(resolve_below).data().map_err(from_datafusion)?;
    match missing(&plan)? {
        None => Ok(plan),
        Some(column) => {
            let message = format!("column \"{}\" does not exist", column.flat_name());
            Err(Error::new(ErrorKind::NotFound, message).with_sqlstate("42703"))
        }
    }
}

/// A reference without a column, if there is one.
fn missing(plan: &LogicalPlan) -> Result<Option<Column>> {
    let mut found = None;
    plan.apply_deep(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(field, column) = expr
                    && field.name() == UNRESOLVED
                {
                    found.get_or_insert_with(|| column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(from_datafusion)?;
    Ok(found)
}

/// Resolves references in the subqueries of a node against the node's own input.
fn resolve_below(node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    let schema = merge_schema(&node.inputs());
    match node {
        // LATERAL: the subquery on the right sees the left side.
        LogicalPlan::Join(mut join) => {
            let schema = join.left.schema().clone();
            let right = Arc::unwrap_or_clone(join.right).transform_down(|node| match node {
                LogicalPlan::Subquery(subquery) => {
                    Ok(resolve_in(subquery, &schema)?.update_data(LogicalPlan::Subquery))
                }
                other => Ok(Transformed::no(other)),
            })?;
            join.right = Arc::new(right.data);
            Ok(Transformed::new_transformed(LogicalPlan::Join(join), right.transformed))
        }
        node => rewrite_node(node, &mut |expr| map_subquery(expr, &mut |subquery| resolve_in(subquery, &schema))),
    }
}

fn resolve_in(subquery: Subquery, schema: &DFSchema) -> DataFusionResult<Transformed<Subquery>> {
    let mut reference = |expr: Expr| match expr {
        Expr::OuterReferenceColumn(field, column) if field.name() == UNRESOLVED => {
            match schema.field_from_column(&column) {
                Ok(field) => Ok(Transformed::yes(Expr::OuterReferenceColumn(field.clone(), column))),
                Err(_) => Ok(Transformed::no(Expr::OuterReferenceColumn(field, column))),
            }
        }
        other => Ok(Transformed::no(other)),
    };
    let plan = Arc::unwrap_or_clone(subquery.subquery);
    let plan = plan.transform_up_deep(|node| rewrite_node(node, &mut reference))?;
    let outer = subquery.outer_ref_columns.into_iter().map(|expr| reference(expr).data()).collect::<Result<_, _>>()?;
    let resolved = Subquery { subquery: Arc::new(plan.data), outer_ref_columns: outer, spans: subquery.spans };
    Ok(Transformed::new_transformed(resolved, plan.transformed))
}
