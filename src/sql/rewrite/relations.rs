//! What stands in FROM besides names: table functions, `unnest`, and what is refused.

use sqlparser::ast::{self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectNamePart, TableFactor};

use super::build::{self, take};
use crate::base::error::{Error, Result};
use crate::sql::error::{located, place, syntax};
use crate::sql::name::normal;

/// Refuses what the binder does not know or would pass over.
pub(super) fn refuse(factor: &mut TableFactor) -> Result<()> {
    match refused(factor) {
        // Only now: to find the place means to walk all of a subquery.
        Some(error) => Err(located(error, place(&*factor))),
        None => Ok(()),
    }
}

/// Rewrites a table function in FROM.
pub(super) fn relation(factor: &mut TableFactor) -> Result<()> {
    if let Some(unnest) = lateral_unnest(factor) {
        *factor = unnest;
    }
    match factor {
        TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_ordinality: false, .. } => {
            name_unnested(alias, array_exprs.len());
        }
        _ => named_arguments(factor),
    }
    Ok(())
}

/// `LATERAL unnest(list)`, which is `unnest(list)`: that one sees what stands before it anyway.
fn lateral_unnest(factor: &mut TableFactor) -> Option<TableFactor> {
    let TableFactor::Function { lateral: true, name, args, with_ordinality, alias } = factor else { return None };
    let [ObjectNamePart::Identifier(only)] = name.0.as_slice() else { return None };
    if normal(only) != "unnest" {
        return None;
    }
    let lists = args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(list)) => Some(list.clone()),
        _ => None,
    });
    let (array_exprs, with_ordinality) = (lists.collect::<Option<Vec<_>>>()?, *with_ordinality);
    let (alias, with_offset_alias) = (alias.take(), None);
    Some(TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_offset_alias, with_ordinality })
}

/// `FROM unnest(list)` has a column `unnest`, and under an alias one that is called by it, as in PostgreSQL.
fn name_unnested(alias: &mut Option<ast::TableAlias>, lists: usize) {
    let alias = alias.get_or_insert_with(|| build::alias(Ident::with_quote('"', "unnest")));
    let name = |number: usize| match number {
        0 => alias.name.clone(),
        number => Ident::with_quote('"', format!("{}_{number}", normal(&alias.name))),
    };
    let column = |name| ast::TableAliasColumnDef { name, data_type: None };
    let others: Vec<_> = (alias.columns.len()..lists).map(name).map(column).collect();
    alias.columns.extend(others);
}

/// The error for a table factor that is not supported.
fn refused(factor: &TableFactor) -> Option<Error> {
    match factor {
        TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
            Some(Error::unsupported("TABLESAMPLE is not supported").with_hint("use WHERE random() < 0.1"))
        }
        TableFactor::Table { with_hints, version, .. } if !with_hints.is_empty() || version.is_some() => {
            Some(Error::unsupported("hints and versions of a table are not supported"))
        }
        TableFactor::Table { args: None, with_ordinality: true, .. } => {
            Some(syntax("WITH ORDINALITY belongs to a table function", None))
        }
        TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => Some(
            Error::unsupported("PIVOT and UNPIVOT are not supported")
                .with_hint("use aggregates with FILTER (WHERE ...), or UNION ALL"),
        ),
        TableFactor::MatchRecognize { .. } => Some(Error::unsupported("MATCH_RECOGNIZE is not supported")),
        _ => None,
    }
}

/// DuckDB's `read_csv('f', delim = ';')` names an argument: in a table function `name = value` is never a comparison.
fn named_arguments(factor: &mut TableFactor) {
    let TableFactor::Table { args: Some(args), .. } = factor else { return };
    for arg in &mut args.args {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op: BinaryOperator::Eq, right })) = arg
            && let Expr::Identifier(name) = left.as_ref()
        {
            let (name, value) = (name.clone(), take(right));
            let operator = ast::FunctionArgOperator::RightArrow;
            *arg = FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), operator };
        } else if let FunctionArg::Named { operator, .. } = arg {
            *operator = ast::FunctionArgOperator::RightArrow;
        }
    }
}
