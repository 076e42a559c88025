//! Keys of ORDER BY that compute from a column whose name an item of the list has too.
//!
//! `SELECT -a AS a FROM t ORDER BY a` is by the item, but `ORDER BY a + 0` and `ORDER BY t.a` are by the column: only a
//! whole key may name an item. DataFusion looks into the list first whatever the key is, and takes no `t.a` beside an
//! `a`. Where no relation of FROM has such a column, the key is by the item as ever.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, Ident, ObjectNamePart, OrderByExpr, Query, Select, SelectItem, TableFactor, TableWithJoins, Visitor,
};

use super::columns::{ColumnsOf, columns_in};
use super::using::hides;
use crate::plan::functions::FunctionRegistry;
use crate::sql::name::normal;
use crate::sql::rewrite::build::relation_name;
use crate::sql::walk::{own_expressions_mut, walk};

/// Whether a key computes from such a column.
pub(super) fn asks_of_hidden(
    select: &Select,
    order_by: &[OrderByExpr],
    functions: &FunctionRegistry,
    columns_of: ColumnsOf<'_>,
) -> bool {
    let items = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } => Some((normal(alias), expr)),
        _ => None,
    });
    let items: Vec<(String, &Expr)> = items.collect();
    let mut factors = vec![];
    select.from.iter().for_each(|table| collect(table, &mut factors));
    let mut search = Search { functions, columns_of, factors, items, queries: vec![], aggregates: 0 };
    order_by.iter().any(|key| !is_name(&key.expr) && walk(&key.expr, &mut search).is_break())
}

/// Puts items in the place of their names in keys that are more than a name, where these are certainly no columns.
pub(super) fn put_items(select: &Select, order_by: &mut [OrderByExpr], columns_of: ColumnsOf<'_>) {
    let mut factors = vec![];
    select.from.iter().for_each(|table| collect(table, &mut factors));
    let Some(columns) = factors.iter().map(|factor| columns_in(factor, columns_of)).collect::<Option<Vec<_>>>() else {
        return;
    };
    let item = |name: &Ident| {
        let name = normal(name);
        let is_column = columns.iter().flatten().any(|column| *column == name);
        select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if normal(alias) == name && !is_column => Some(expr),
            _ => None,
        })
    };
    for key in order_by.iter_mut().filter(|key| !is_name(&key.expr)) {
        own_expressions_mut(&mut key.expr, |expr| {
            if let Expr::Identifier(name) = expr
                && let Some(item) = item(name)
            {
                *expr = Expr::Nested(Box::new(item.clone()));
            }
        });
    }
}

/// The relations of FROM.
/// The relations of a FROM, those of joins in parentheses too.
pub(super) fn collect<'a>(table: &'a TableWithJoins, factors: &mut Vec<&'a TableFactor>) {
    for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => collect(table_with_joins, factors),
            factor => factors.push(factor),
        }
    }
}

fn is_name(key: &Expr) -> bool {
    match key {
        Expr::Identifier(_) => true,
        Expr::Nested(inner) => is_name(inner),
        _ => false,
    }
}

/// Looks through a key for a column that an item hides.
struct Search<'a> {
    functions: &'a FunctionRegistry,
    columns_of: ColumnsOf<'a>,
    /// The relations of FROM.
    factors: Vec<&'a TableFactor>,
    /// The named items of the list.
    items: Vec<(String, &'a Expr)>,
    /// The subqueries around, outermost first: of each, which of the items' names may mean something of its own.
    queries: Vec<Vec<String>>,
    /// How many calls of aggregates are around.
    aggregates: usize,
}

impl Search<'_> {
    fn item(&self, name: &Ident) -> Option<&Expr> {
        self.items.iter().find(|(known, _)| *known == normal(name)).map(|(_, expr)| *expr)
    }

    /// Whether a subquery around has something of that name itself.
    fn is_own(&self, name: &Ident) -> bool {
        self.queries.iter().flatten().any(|own| *own == normal(name))
    }

    fn is_column(&self, name: &str) -> bool {
        // An item cannot be aggregated.
        self.aggregates > 0
            || self.factors.iter().any(|factor| {
                columns_in(factor, self.columns_of).is_some_and(|columns| columns.iter().any(|column| column == name))
            })
    }

    fn is_relation(&self, name: &Ident) -> bool {
        let names = self.factors.iter().filter_map(|factor| relation_name(factor));
        names.into_iter().any(|known| normal(&known) == normal(name))
    }

    fn is_aggregate(&self, call: &Function) -> bool {
        let name = match call.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => normal(name),
            _ => return false,
        };
        call.over.is_none() && self.functions.aggregate(&name).is_some()
    }
}

impl Visitor for Search<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let names = self.items.iter().map(|(name, _)| name);
        let hidden = names.filter(|name| hides(query, &Ident::with_quote('"', name.as_str()), self.columns_of));
        self.queries.push(hidden.cloned().collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.queries.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let asks = match expr {
            Expr::Function(call) if self.queries.is_empty() && self.is_aggregate(call) => {
                self.aggregates += 1;
                false
            }
            Expr::Identifier(name) if !self.is_own(name) => match self.item(name) {
                Some(item) => !names_column(item, name) && self.is_column(&normal(name)),
                None => false,
            },
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [relation, name] => match self.item(name) {
                    Some(item) => !is_it(item, relation, name) && self.is_relation(relation),
                    None => false,
                },
                _ => false,
            },
            _ => false,
        };
        if asks { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = expr
            && self.queries.is_empty()
            && self.is_aggregate(call)
        {
            self.aggregates -= 1;
        }
        ControlFlow::Continue(())
    }
}

/// Whether the item is a column of that name.
fn names_column(item: &Expr, name: &Ident) -> bool {
    match item {
        Expr::Identifier(column) => normal(column) == normal(name),
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|column| normal(column) == normal(name)),
        Expr::Nested(inner) => names_column(inner, name),
        _ => false,
    }
}

/// Whether the item is that column, as far as the text tells.
fn is_it(item: &Expr, relation: &Ident, name: &Ident) -> bool {
    match item {
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [of, column] => normal(of) == normal(relation) && normal(column) == normal(name),
            _ => false,
        },
        Expr::Nested(inner) => is_it(inner, relation, name),
        item => names_column(item, name),
    }
}
