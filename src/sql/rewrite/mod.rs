//! The one stage that changes syntax trees: from the SQL people type to the SQL that is bound.
//!
//! A tree passes through here twice. What it says in words of ours is said in plain SQL as soon as it is read
//! ([`on_reading`]), so that whoever looks at a statement sees one spelling; what the binder below us would get wrong
//! is changed right before it binds ([`before_binding`]), because until then literals must stand as they were written,
//! and because a value that cannot be read is an error of its statement, not of the script around it. Both are lists of
//! named passes, each a file that looks at the tree alone; what needs the catalog is a pass of `plan::bind`.
//!
//! Trees stay valid SQL and places in the text are kept. What syntax has no words for is a [`marker`].

pub(crate) mod build;
mod calls;
mod casts;
mod clauses;
mod contents;
mod grouping;
mod joins;
mod lists;
pub(crate) mod marker;
mod named_windows;
mod names;
mod numbers;
mod operators;
mod recursion;
mod relations;
mod row_queries;
mod row_values;
mod schemas;
mod set_operations;
mod shadows;
mod similar;
mod time;
mod values;
mod window_call;
mod without_from;

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Select, TableFactor, TableWithJoins, VisitMut, VisitorMut};

pub(in crate::sql) use self::row_queries::fields_of;
pub(in crate::sql) use self::row_values::SYMMETRIC;
pub(crate) use self::shadows::OWN_NAME;
pub(crate) use self::similar::{LIKE_ESCAPE, SIMILAR_TO_ESCAPE};
use crate::base::error::{Error, Result};
use crate::sql::walk::walk_mut;

/// What a pass does, and at which nodes.
enum Hook {
    Query(fn(&mut Query) -> Result<()>),
    Select(fn(&mut Select) -> Result<()>),
    Relation(fn(&mut TableFactor) -> Result<()>),
    /// Expressions come after those in them, all other nodes before what is in them.
    Expression(fn(&mut Expr) -> Result<()>),
}

/// What is done as soon as a tree is read: all in one walk, because the rows of a large INSERT are a tree too. At one
/// node the passes come in this order.
const READING: [(&str, Hook); 18] = [
    ("clauses", Hook::Query(clauses::query)),
    ("set operations", Hook::Query(set_operations::query)),
    ("windows of ORDER BY", Hook::Query(named_windows::query)),
    ("select clauses", Hook::Select(clauses::select)),
    ("grouping sets", Hook::Select(grouping::select)),
    ("named windows", Hook::Select(named_windows::select)),
    ("names", Hook::Select(names::select)),
    ("row conditions", Hook::Select(row_queries::select)),
    ("joins", Hook::Select(joins::select)),
    ("refusals", Hook::Relation(relations::refuse)),
    ("nested joins", Hook::Relation(joins::relation)),
    ("window calls", Hook::Relation(window_call::relation)),
    ("relations", Hook::Relation(relations::relation)),
    ("operators", Hook::Expression(operators::expression)),
    ("calls", Hook::Expression(calls::expression)),
    ("unknown windows", Hook::Expression(named_windows::expression)),
    ("row queries", Hook::Expression(row_queries::expression)),
    ("row values", Hook::Expression(row_values::expression)),
];

/// A pass over a whole query: its name and what it does.
type Pass = (&'static str, fn(&mut Query) -> Result<()>);

/// What is done to a whole query right before names are bound, pass by pass.
const BINDING: [Pass; 12] = [
    ("markers", marker::refuse_forged),
    ("time", time::rewrite),
    ("similar", similar::rewrite),
    ("schemas", schemas::resolve),
    ("shadows", shadows::rename),
    ("recursion", recursion::widen),
    ("values", values::part),
    ("without from", without_from::inline),
    ("rows", row_values::as_structs),
    ("casts", casts::name),
    ("numbers", numbers::rewrite),
    ("lists", lists::call_constructors),
];

/// Rewrites a query or expression that has just been read.
pub(super) fn on_reading(node: &mut impl VisitMut) -> Result<()> {
    result(walk_mut(node, &mut Reading { passes: &READING }))
}

/// Rewrites the FROM of an UPDATE or the USING of a DELETE that has just been read.
pub(super) fn from_on_reading(from: &mut Vec<TableWithJoins>) -> Result<()> {
    joins::from(from)?;
    on_reading(from)
}

/// Rewrites a query for the binder, as far as the tree alone tells how.
pub(crate) fn before_binding(query: &mut Query) -> Result<()> {
    BINDING.iter().try_for_each(|(_, pass)| pass(query))
}

struct Reading<'a> {
    passes: &'a [(&'static str, Hook)],
}

impl VisitorMut for Reading<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        flow(
            self.passes
                .iter()
                .try_for_each(|(_, hook)| if let Hook::Query(pass) = hook { pass(query) } else { Ok(()) }),
        )
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        flow(
            self.passes
                .iter()
                .try_for_each(|(_, hook)| if let Hook::Select(pass) = hook { pass(select) } else { Ok(()) }),
        )
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        flow(
            self.passes
                .iter()
                .try_for_each(|(_, hook)| if let Hook::Relation(pass) = hook { pass(factor) } else { Ok(()) }),
        )
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        flow(
            self.passes
                .iter()
                .try_for_each(|(_, hook)| if let Hook::Expression(pass) = hook { pass(expr) } else { Ok(()) }),
        )
    }
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

fn result(flow: ControlFlow<Error>) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}
