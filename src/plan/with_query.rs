//! WITH queries, marked before binding.
//!
//! DataFusion's binder puts a copy of a WITH query's plan wherever its name is read, and nothing tells that the copies
//! are one. So the text `WITH o AS (query)` is bound as `WITH o AS (SELECT * FROM eddy_shared((query), 'o_1') AS o)`,
//! from which [`crate::plan::relation_planner`] makes a marker that all copies carry. Recursive queries keep the form
//! that the binder asks of them.

use std::ops::ControlFlow;

use datafusion::common::alias::AliasGenerator;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, Query, SetExpr, SetOperator, TableFactor, VisitorMut};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::base::error::{Error, Result};
use crate::sql::walk::walk_mut;

/// The table function around a WITH query; its second argument is the name of the rows.
pub(crate) const SHARED: &str = "eddy_shared";

/// Marks all WITH queries of the query, those in its subqueries too.
pub(crate) fn mark(query: &mut Query, aliases: &AliasGenerator) -> Result<()> {
    match walk_mut(query, &mut Mark { aliases }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Mark<'a> {
    aliases: &'a AliasGenerator,
}

impl VisitorMut for Mark<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let Some(with) = &mut query.with else { return ControlFlow::Continue(()) };
        for table in &mut with.cte_tables {
            if with.recursive && is_union(&table.query) {
                continue;
            }
            let name = &table.alias.name;
            match around(name, self.aliases.next(&name.value.to_lowercase())) {
                Ok(mut marked) => {
                    std::mem::swap(&mut marked, table.query.as_mut());
                    put_into(&mut table.query, marked);
                }
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether the query may be a recursion.
fn is_union(query: &Query) -> bool {
    matches!(query.body.as_ref(), SetExpr::SetOperation { op: SetOperator::Union, .. })
}

/// `SELECT * FROM eddy_shared((SELECT 1), 'id') AS name`.
fn around(name: &ast::Ident, id: String) -> Result<Query> {
    let id = ast::Value::SingleQuotedString(id);
    let text = format!("SELECT * FROM {SHARED}((SELECT 1), {id}) AS x");
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_query());
    let mut query = *parsed.map_err(|error| Error::internal(error.to_string()))?;
    if let Some(TableFactor::Table { alias: Some(alias), .. }) = factor(&mut query) {
        alias.name = name.clone();
    }
    Ok(query)
}

/// Puts the query in the place of the first argument.
fn put_into(around: &mut Query, query: Query) {
    if let Some(TableFactor::Table { args: Some(args), .. }) = factor(around)
        && let Some(FunctionArg::Unnamed(argument)) = args.args.first_mut()
    {
        *argument = FunctionArgExpr::Expr(ast::Expr::Subquery(Box::new(query)));
    }
}

fn factor(query: &mut Query) -> Option<&mut TableFactor> {
    match query.body.as_mut() {
        SetExpr::Select(select) => select.from.first_mut().map(|from| &mut from.relation),
        _ => None,
    }
}
