//! Names in FROM of a subquery that a query in the same FROM uses of the query around.
//!
//! In `.. FROM o a WHERE EXISTS (SELECT .. FROM (SELECT .. WHERE b.k = a.k) a)` the inner `a.k` is the outer row's, the
//! second `a` is the subquery itself. When the condition is taken out of the subquery, both are columns `a.k`. So the
//! second gets a name of its own, in what its SELECT says of it.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, ObjectNamePart, OrderByExpr, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

use super::build::relation_name;
use crate::base::error::Result;
use crate::sql::name::normal;
use crate::sql::walk::{expressions, walk_mut};

/// What the names begin with.
pub(crate) const OWN_NAME: &str = "__own_";

/// Renames all of them.
pub(super) fn rename(query: &mut Query) -> Result<()> {
    let _ = walk_mut(query, &mut Shadows { depth: 0, renamed: 0 });
    Ok(())
}

struct Shadows {
    depth: usize,
    renamed: usize,
}

impl Shadows {
    fn rename(&mut self, body: &mut SetExpr, order_by: &mut [OrderByExpr]) {
        match body {
            SetExpr::Select(select) => {
                for old in shadows(select) {
                    let new = Ident::with_quote('"', format!("{OWN_NAME}{}", self.renamed));
                    self.renamed += 1;
                    rename_in_select(select, &old, &new);
                    order_by.iter_mut().for_each(|key| rename_in(key, &old, &new));
                }
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.rename(left, &mut []);
                self.rename(right, &mut []);
            }
            _ => {}
        }
    }
}

impl VisitorMut for Shadows {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        // The outermost query has no query around it.
        if self.depth > 1 {
            let keys = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
                Some(OrderByKind::Expressions(keys)) => keys.as_mut_slice(),
                _ => &mut [],
            };
            self.rename(&mut query.body, keys);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// The names of relations that a query of the same FROM, which does not see them, uses of an outer one.
fn shadows(select: &Select) -> Vec<Ident> {
    let mut factors = Vec::new();
    select.from.iter().for_each(|table| collect(table, &mut factors));
    let mut found: Vec<Ident> = Vec::new();
    for name in factors.iter().filter_map(|factor| relation_name(factor)) {
        let uses = |expr: &Expr| match expr {
            Expr::CompoundIdentifier(parts) => parts.first().is_some_and(|part| normal(part) == normal(&name)),
            _ => false,
        };
        let is_used = factors.iter().any(|factor| match factor {
            TableFactor::Derived { lateral: false, subquery, .. } => expressions(subquery, |expr| match uses(expr) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
            .is_break(),
            _ => false,
        });
        if is_used {
            found.push(name);
        }
    }
    found
}

fn collect<'a>(table: &'a TableWithJoins, factors: &mut Vec<&'a TableFactor>) {
    for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => collect(table_with_joins, factors),
            factor => factors.push(factor),
        }
    }
}

/// Renames a relation of a SELECT and what is said of it, but for the queries in FROM that do not see it.
fn rename_in_select(select: &mut Select, old: &Ident, new: &Ident) {
    let mut from = std::mem::take(&mut select.from);
    from.iter_mut().for_each(|table| rename_in_tables(table, old, new));
    for item in &mut select.projection {
        if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
            && let [ObjectNamePart::Identifier(part)] = name.0.as_mut_slice()
            && normal(part) == normal(old)
        {
            *part = new.clone();
        }
    }
    rename_in(select, old, new);
    select.from = from;
}

fn rename_in_tables(table: &mut TableWithJoins, old: &Ident, new: &Ident) {
    let joins = table.joins.iter_mut().map(|join| {
        rename_in(&mut join.join_operator, old, new);
        &mut join.relation
    });
    for factor in std::iter::once(&mut table.relation).chain(joins) {
        let is_it = relation_name(factor).is_some_and(|name| normal(&name) == normal(old));
        match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => rename_in_tables(table_with_joins, old, new),
            TableFactor::Derived { lateral, alias, subquery, .. } => {
                if *lateral {
                    rename_in(subquery.as_mut(), old, new);
                }
                if let Some(alias) = alias.as_mut().filter(|_| is_it) {
                    alias.name = new.clone();
                }
            }
            TableFactor::Table { alias: Some(alias), .. } if is_it => alias.name = new.clone(),
            TableFactor::Table { alias: alias @ None, .. } if is_it => {
                *alias =
                    Some(sqlparser::ast::TableAlias { explicit: true, name: new.clone(), columns: vec![], at: None });
            }
            _ => {}
        }
    }
}

/// Renames what is said of the relation, also in subqueries, but for those that have a relation of that name.
fn rename_in(node: &mut impl VisitMut, old: &Ident, new: &Ident) {
    let _ = walk_mut(node, &mut Rename { old, new, hidden: Vec::new() });
}

struct Rename<'a> {
    old: &'a Ident,
    new: &'a Ident,
    /// For each query around whether it has a relation of the name.
    hidden: Vec<bool>,
}

impl VisitorMut for Rename<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut factors = Vec::new();
        if let SetExpr::Select(select) = query.body.as_ref() {
            select.from.iter().for_each(|table| collect(table, &mut factors));
        }
        let names = factors.iter().filter_map(|factor| relation_name(factor));
        let hides = names.into_iter().any(|name| normal(&name) == normal(self.old));
        self.hidden.push(hides);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.hidden.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && self.hidden.iter().all(|hides| !hides)
            && let Some(first) = parts.first_mut()
            && normal(first) == normal(self.old)
        {
            *first = self.new.clone();
        }
        ControlFlow::Continue(())
    }
}
