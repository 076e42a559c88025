//! What is refused, because DataFusion would take it for something else or fail about its own inside.

use std::ops::ControlFlow;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use sqlparser::ast::{self, Visitor};

use crate::base::error::{Error, ErrorKind, Position, Result};
use crate::base::types::sql_type_name;
use crate::operator::error::from_datafusion;
use crate::plan::functions::FunctionRegistry;
use crate::plan::walk::{Walk, WalkDeep};
use crate::sql::name::normal;
use crate::sql::walk::{expressions, walk};

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
    }
    match walk(query, &mut Refuse) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Refuses clauses of a call that DataFusion would pass over: OVER, FILTER and the like belong to aggregates.
pub(crate) fn refuse_calls(query: &ast::Query, functions: &FunctionRegistry) -> Result<()> {
    let is_scalar = |name: &str| {
        functions.scalar(name).is_some() && functions.aggregate(name).is_none() && functions.window(name).is_none()
    };
    let refused = expressions(query, |expr| {
        let ast::Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let [ast::ObjectNamePart::Identifier(ident)] = call.name.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        let name = normal(ident);
        let (is_distinct, is_ordered) = match &call.args {
            ast::FunctionArguments::List(list) => (
                list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct),
                list.clauses.iter().any(|clause| matches!(clause, ast::FunctionArgumentClause::OrderBy(_))),
            ),
            _ => (false, false),
        };
        let clause = match call {
            _ if !is_scalar(&name) => return ControlFlow::Continue(()),
            ast::Function { over: Some(_), .. } => "OVER",
            ast::Function { filter: Some(_), .. } => "FILTER",
            ast::Function { within_group, .. } if !within_group.is_empty() => "WITHIN GROUP",
            _ if is_distinct => "DISTINCT",
            _ if is_ordered => "ORDER BY",
            _ => return ControlFlow::Continue(()),
        };
        let error = Error::invalid(format!("{clause} is not for {name}(): it is no aggregate")).with_sqlstate("42809");
        let at = ident.span.start;
        ControlFlow::Break(match at.line {
            0 => error,
            line => error.at(Position { line, column: at.column }),
        })
    });
    match refused {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Refuses casts that Arrow takes for something else: to it, a value as a list is a list of that one value.
pub(crate) fn refuse_casts(plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    plan.apply_deep(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let (inner, target) = match expr {
                    Expr::Cast(cast) => (&cast.expr, cast.field.data_type()),
                    Expr::TryCast(cast) => (&cast.expr, cast.field.data_type()),
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                let from = inner.get_type(&schema).ok().filter(|from| !from.is_nested() && !from.is_null());
                if let Some(from) = from.filter(|_| target.is_nested()) {
                    found = Some((from, target.clone()));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(from_datafusion)?;
    match found {
        Some((from, to)) => {
            let message = format!("cannot cast {} to {}", sql_type_name(&from), sql_type_name(&to));
            Err(Error::new(ErrorKind::Type, message).with_sqlstate("42846"))
        }
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
