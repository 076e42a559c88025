//! Names in FROM of a subquery that mean something else in the query around.
//!
//! In `.. FROM o a WHERE EXISTS (SELECT .. FROM (SELECT .. WHERE b.k = a.k) a)` the inner `a.k` is the outer row's, the
//! second `a` is the subquery itself. When the condition is taken out of the subquery, both are columns `a.k`. So the
//! second gets a name of its own, in what its SELECT says of it. Likewise where a query around has the name in its FROM
//! and the subquery holds queries itself: a reference of those would be taken for one to the row further out.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart, OrderByExpr, OrderByKind,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut,
    Visitor, VisitorMut,
};

use super::build::relation_name;
use crate::base::error::Result;
use crate::sql::name::normal;
use crate::sql::walk::{expressions, walk, walk_mut};

/// What the names begin with.
pub(crate) const OWN_NAME: &str = "__own_";

/// Renames all of them.
pub(super) fn rename(query: &mut Query) -> Result<()> {
    let _ = walk_mut(query, &mut Shadows { around: Vec::new() });
    Ok(())
}

struct Shadows {
    /// For each query around the names in its FROM.
    around: Vec<Vec<Ident>>,
}

impl Shadows {
    fn rename(&mut self, body: &mut SetExpr, order_by: &mut [OrderByExpr]) {
        match body {
            SetExpr::Select(select) => {
                for old in shadows(select, self.around.iter().flatten()) {
                    // Texts that were equal stay so: a key of GROUP BY and the item that repeats it.
                    let new = format!("{OWN_NAME}{}_{}", self.around.len(), normal(&old));
                    let new = Ident::with_quote('"', new);
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
        // The outermost query has no query around it.
        if !self.around.is_empty() {
            let keys = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
                Some(OrderByKind::Expressions(keys)) => keys.as_mut_slice(),
                _ => &mut [],
            };
            self.rename(&mut query.body, keys);
        }
        self.around.push(names(&query.body));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.around.pop();
        ControlFlow::Continue(())
    }
}

/// The names in FROM of a query.
fn names(body: &SetExpr) -> Vec<Ident> {
    match body {
        SetExpr::Select(select) => factors(select).into_iter().filter_map(relation_name).collect(),
        SetExpr::SetOperation { left, right, .. } => [names(left), names(right)].concat(),
        _ => Vec::new(),
    }
}

/// The names of relations that a query of the same FROM, which does not see them, uses of an outer one, and those that
/// are outer ones too, if there are queries in the SELECT.
fn shadows<'a>(select: &Select, around: impl Iterator<Item = &'a Ident> + Clone) -> Vec<Ident> {
    let factors = factors(select);
    let holds_queries = walk(select, &mut AnyQuery).is_break();
    let mut found: Vec<Ident> = Vec::new();
    for (factor, name) in factors.iter().filter_map(|factor| Some((factor, relation_name(factor)?))) {
        let is_it = |other: &Ident| normal(other) == normal(&name);
        let uses = |expr: &Expr| match expr {
            Expr::CompoundIdentifier(parts) => parts.first().is_some_and(is_it),
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
        // The columns of a function are called by its alias.
        let is_relation = matches!(factor, TableFactor::Table { args: None, .. } | TableFactor::Derived { .. });
        if is_used || holds_queries && is_relation && around.clone().any(is_it) {
            found.push(name);
        }
    }
    found
}

/// Stops at a query.
struct AnyQuery;

impl Visitor for AnyQuery {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

fn factors(select: &Select) -> Vec<&TableFactor> {
    let mut factors = Vec::new();
    select.from.iter().for_each(|table| collect(table, &mut factors));
    factors
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
            // The arguments of a function see what stands before it.
            TableFactor::UNNEST { .. } | TableFactor::Function { .. } => rename_in(factor, old, new),
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

impl Rename<'_> {
    fn is_hidden_by(&self, select: &Select) -> bool {
        factors(select).into_iter().filter_map(relation_name).any(|name| normal(&name) == normal(self.old))
    }
}

impl VisitorMut for Rename<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // Of a set operation each SELECT tells for itself; ORDER BY stands outside the one that it belongs to.
        let hides = matches!(query.body.as_ref(), SetExpr::Select(select) if self.is_hidden_by(select));
        self.hidden.push(hides);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.hidden.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let hides = self.is_hidden_by(select);
        self.hidden.push(hides);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &mut Select) -> ControlFlow<()> {
        self.hidden.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.hidden.iter().any(|hides| *hides) {
            return ControlFlow::Continue(());
        }
        let names = match expr {
            Expr::CompoundIdentifier(parts) => parts.first_mut().into_iter().collect(),
            // `count(a.*)`
            Expr::Function(call) => starred(call),
            _ => Vec::new(),
        };
        for name in names.into_iter().filter(|name| normal(name) == normal(self.old)) {
            *name = self.new.clone();
        }
        ControlFlow::Continue(())
    }
}

/// The relations whose columns are arguments of a call.
fn starred(call: &mut Function) -> Vec<&mut Ident> {
    let FunctionArguments::List(list) = &mut call.args else { return Vec::new() };
    let names = list.args.iter_mut().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => match name.0.as_mut_slice() {
            [ObjectNamePart::Identifier(name)] => Some(name),
            _ => None,
        },
        _ => None,
    });
    names.collect()
}
