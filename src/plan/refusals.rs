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
use crate::plan::walk::{Walk, WalkDeep, any_expression, any_node};
use crate::sql::error::{located, position};
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

/// Refuses clauses of a call that DataFusion would pass over, since OVER, FILTER and the like belong to aggregates, and
/// functions as arguments where none is taken.
pub(crate) fn refuse_calls(query: &ast::Query, functions: &FunctionRegistry) -> Result<()> {
    let is_scalar = |name: &str| {
        functions.scalar(name).is_some() && functions.aggregate(name).is_none() && functions.window(name).is_none()
    };
    let mut lambdas = Lambdas::default();
    let refused = expressions(query, |expr| {
        let ast::Expr::Function(call) = expr else { return lambdas.refuse(expr) };
        let [ast::ObjectNamePart::Identifier(ident)] = call.name.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        let name = normal(ident);
        if functions.higher_order(&name).is_some() {
            lambdas.take(call);
        }
        let (is_distinct, is_ordered) = match &call.args {
            ast::FunctionArguments::List(list) => (
                list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct),
                list.clauses.iter().any(|clause| matches!(clause, ast::FunctionArgumentClause::OrderBy(_))),
            ),
            _ => (false, false),
        };
        if is_distinct && takes_all_columns(call) {
            let error = Error::unsupported(format!("{name}(DISTINCT *) is not supported")).with_sqlstate("42601");
            return ControlFlow::Break(error.with_hint(format!("name the columns: {name}(DISTINCT (a, b))")));
        }
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

fn takes_all_columns(call: &ast::Function) -> bool {
    use ast::{FunctionArg, FunctionArgExpr};
    match &call.args {
        ast::FunctionArguments::List(list) => list.args.iter().any(|argument| {
            matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_)))
        }),
        _ => false,
    }
}

/// The functions given to functions of lists, met so far; all others are refused.
#[derive(Default)]
struct Lambdas(Vec<*const ast::Expr>);

impl Lambdas {
    /// Remembers those among the arguments of a call.
    fn take(&mut self, call: &ast::Function) {
        if let ast::FunctionArguments::List(list) = &call.args {
            self.0.extend(list.args.iter().filter_map(lambda_in));
        }
    }

    /// Refuses `a -> b` elsewhere: to the parser it is a function, to who writes it an operator of JSON.
    fn refuse(&self, expr: &ast::Expr) -> ControlFlow<Error> {
        let ast::Expr::Lambda(lambda) = expr else { return ControlFlow::Continue(()) };
        if self.0.contains(&std::ptr::from_ref(expr)) {
            return ControlFlow::Continue(());
        }
        let at = match &lambda.params {
            ast::OneOrManyWithParens::One(parameter) => Some(parameter),
            ast::OneOrManyWithParens::Many(parameters) => parameters.first(),
        };
        let what = match lambda.syntax {
            ast::LambdaSyntax::Arrow => "the operator -> of JSON is not supported",
            ast::LambdaSyntax::LambdaKeyword => "a lambda can only be given to a function of lists",
        };
        let hint = "keep what is asked of in columns, structs or lists of their own: s.field, l[1]";
        ControlFlow::Break(
            located(Error::unsupported(what), at.and_then(|at| position(at.name.span.start))).with_hint(hint),
        )
    }
}

fn lambda_in(argument: &ast::FunctionArg) -> Option<*const ast::Expr> {
    let (ast::FunctionArg::Unnamed(value) | ast::FunctionArg::Named { arg: value, .. }) = argument else { return None };
    match value {
        ast::FunctionArgExpr::Expr(expr @ ast::Expr::Lambda(_)) => Some(std::ptr::from_ref(expr)),
        _ => None,
    }
}

/// Refuses an aggregate in a subquery whose arguments are of the outer query alone: to SQL it is one of that query.
pub(crate) fn refuse_outer_aggregates(plan: &LogicalPlan) -> Result<()> {
    let is_outer = |expr: &Expr| match expr {
        Expr::AggregateFunction(call) => {
            call.params.args.iter().any(Expr::contains_outer) && !call.params.args.iter().any(Expr::any_column_refs)
        }
        _ => false,
    };
    let found = any_node(plan, |node| any_expression(node, is_outer)).map_err(from_datafusion)?;
    if found {
        let error = Error::unsupported("an aggregate over columns of the outer query alone is not supported");
        return Err(error.with_hint("compute it in the outer query"));
    }
    Ok(())
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
    let (mut left, mut in_limit) = (false, false);
    plan.apply(|node| {
        let before = left;
        node.apply_expressions(|expr| {
            left |= expr.exists(|expr| Ok(is_subquery(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        in_limit |= left && !before && matches!(node, LogicalPlan::Limit(_));
        left |= matches!(node, LogicalPlan::Subquery(_));
        Ok(if left { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(from_datafusion)?;
    match left {
        true if in_limit => {
            let error = Error::unsupported("subqueries are not supported in LIMIT and OFFSET");
            Err(error.with_hint("give a number or a parameter, or choose rows by row_number()"))
        }
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
