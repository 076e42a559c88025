//! WITH queries, marked before binding.
//!
//! DataFusion's binder puts a copy of a WITH query's plan wherever its name is read, and nothing tells that the copies
//! are one. So the text `WITH o AS (query)` is bound as `WITH o AS (SELECT * FROM shared((query), 'o_1') AS o)`, from
//! which [`super::relations`] makes a node that all copies carry ([`Marker::SharedRows`]). Recursive queries keep the
//! form that the binder asks of them.

use std::ops::ControlFlow;

use datafusion::common::alias::AliasGenerator;
use sqlparser::ast::{self, Query, SetExpr, SetOperator, VisitorMut};

use super::Binder;
use crate::base::error::{Error, Result};
use crate::sql::rewrite::build::{alias, argument, select_star_from, template, text};
use crate::sql::rewrite::marker::Marker;
use crate::sql::walk::walk_mut;

/// Marks all WITH queries of the query, those in its subqueries too.
pub(super) fn mark(query: &mut Query, binder: &Binder<'_>) -> Result<()> {
    match walk_mut(query, &mut Mark { aliases: &binder.aliases }) {
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
            let id = self.aliases.next(&table.alias.name.value.to_lowercase());
            if let Err(error) = mark_one(table, id) {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether the query may be a recursion.
fn is_union(query: &Query) -> bool {
    matches!(query.body.as_ref(), SetExpr::SetOperation { op: SetOperator::Union, .. })
}

/// Makes the query `SELECT * FROM shared((query), 'id') AS name`.
fn mark_one(table: &mut ast::Cte, id: String) -> Result<()> {
    let query = std::mem::replace(&mut table.query, template()?);
    let arguments = vec![argument(ast::Expr::Subquery(query)), argument(text(id))];
    let mut name = alias(table.alias.name.clone());
    name.columns = std::mem::take(&mut table.alias.columns);
    table.query = select_star_from(Marker::SharedRows.relation(arguments, Some(name)))?;
    Ok(())
}
