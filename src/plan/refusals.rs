//! What is refused, because DataFusion would take it for something else or fail about its own inside.

use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use sqlparser::ast::{self, Visit, Visitor};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;
use crate::operator::error::from_datafusion;

/// Refuses what DataFusion would answer with an error about its own inside, or not at all.
pub(crate) fn refuse_syntax(query: &ast::Query) -> Result<()> {
    struct Refuse;
    impl Visitor for Refuse {
        type Break = Error;

        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Error> {
            if !query.locks.is_empty() {
                return ControlFlow::Break(Error::unsupported("SELECT .. FOR UPDATE is not supported"));
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Error> {
            if let ast::Expr::SimilarTo { .. } = expr {
                // DataFusion would take the pattern for a regular expression that may match a part.
                let error = Error::unsupported("SIMILAR TO is not supported");
                return ControlFlow::Break(error.with_hint("use LIKE, or ~ with a regular expression"));
            }
            ControlFlow::Continue(())
        }
    }
    match query.visit(&mut Refuse) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Refuses casts that Arrow takes for something else: to it, text as a list is a list of that one text.
pub(crate) fn refuse_casts(plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let (inner, target) = match expr {
                    Expr::Cast(cast) => (&cast.expr, cast.field.data_type()),
                    Expr::TryCast(cast) => (&cast.expr, cast.field.data_type()),
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                if target.is_nested() && inner.get_type(&schema).is_ok_and(|from| from.is_string()) {
                    found = Some(target.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(from_datafusion)?;
    match found {
        Some(target) => Err(Error::new(ErrorKind::Type, format!("cannot cast TEXT to {}", sql_type_name(&target)))),
        None => Ok(()),
    }
}

/// A subquery that is left after decorrelation could only be run once for every row.
pub(crate) fn refuse_subqueries(plan: &LogicalPlan) -> Result<()> {
    let mut left = false;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            left |= expr.exists(|expr| Ok(is_subquery(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        left |= matches!(node, LogicalPlan::Subquery(_));
        Ok(if left { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(from_datafusion)?;
    match left {
        true => Err(not_decorrelated()),
        false => Ok(()),
    }
}

pub(crate) fn not_decorrelated() -> Error {
    Error::unsupported("this correlated subquery cannot be turned into a join")
        .with_hint("write it as a join or a window function")
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
    )
}
