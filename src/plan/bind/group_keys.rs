//! `SELECT id, name .. GROUP BY id`: where all columns of a table's primary key are grouped by, so are its others.
//!
//! Rows that agree on the key are one row of the table, so grouping by its other columns too changes nothing; but they
//! may then stand beside the aggregates, as in PostgreSQL. The columns that the SELECT names are added to GROUP BY in
//! the syntax tree, before names are bound. Grouping sets are left alone.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectName, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, TableFactor, Visitor, VisitorMut,
};

use super::Binder;
use crate::base::error::Result;
use crate::catalog::relation::Relation;
use crate::sql::name::normal;
use crate::sql::walk::{walk, walk_mut};

/// Gives a relation of the catalog.
type RelationOf<'a> = &'a dyn Fn(&str) -> Option<Arc<Relation>>;

/// The names that WITH gives to queries anywhere in the query; they hide relations of the catalog.
pub(super) fn with_names(query: &Query) -> BTreeSet<String> {
    struct Named(BTreeSet<String>);
    impl Visitor for Named {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            self.0.extend(query.with.iter().flat_map(|with| &with.cte_tables).map(|table| normal(&table.alias.name)));
            ControlFlow::Continue(())
        }
    }
    let mut named = Named(BTreeSet::new());
    let _ = walk(query, &mut named);
    named.0
}

/// Completes the GROUP BY of every SELECT in the query.
pub(super) fn complete(query: &mut Query, binder: &Binder<'_>) -> Result<()> {
    let named = with_names(query);
    // A name that WITH gives to a query hides the relation of that name, at least in places.
    let relation_of = &|name: &str| if named.contains(name) { None } else { binder.seen(name) };
    let _ = walk_mut(query, &mut Complete { relation_of });
    Ok(())
}

struct Complete<'a> {
    relation_of: RelationOf<'a>,
}

impl VisitorMut for Complete<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            let mut uses = Uses::default();
            if let Some(order_by) = &query.order_by
                && let OrderByKind::Expressions(keys) = &order_by.kind
            {
                let _ = walk(keys, &mut uses);
            }
            complete_select(select, uses, self.relation_of);
        }
        ControlFlow::Continue(())
    }
}

fn complete_select(select: &mut Select, mut uses: Uses, relation_of: RelationOf<'_>) {
    let GroupByExpr::Expressions(keys, modifiers) = &select.group_by else { return };
    if keys.is_empty() || !modifiers.is_empty() || !keys.iter().all(is_plain) {
        return;
    }
    let _ = walk(&select.projection, &mut uses);
    let _ = walk(&select.having, &mut uses);
    let _ = walk(&select.qualify, &mut uses);
    let mut added = Vec::new();
    let joins = |from: &'_ sqlparser::ast::TableWithJoins| {
        let joined: Vec<TableFactor> = from.joins.iter().map(|join| join.relation.clone()).collect();
        std::iter::once(from.relation.clone()).chain(joined).collect::<Vec<_>>()
    };
    for factor in select.from.iter().flat_map(joins) {
        let TableFactor::Table { name, alias, args: None, .. } = &factor else { continue };
        let Some(relation) = table_name(name).and_then(|name| relation_of(&name)) else { continue };
        if relation.primary_key.is_empty() || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            continue;
        }
        let qualifier = alias.as_ref().map_or_else(|| relation.name.clone(), |alias| normal(&alias.name));
        let columns: Vec<&str> = relation.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let is_key = |column: &str| keys.iter().any(|key| names(key, &qualifier, column));
        let is_keyed = relation.primary_key.iter().all(|&column| columns.get(column).is_some_and(|name| is_key(name)));
        let wanted = |column: &&&str| {
            !is_key(column) && (uses.all_of(&qualifier, &select.projection) || uses.holds(&qualifier, column))
        };
        if is_keyed {
            added.extend(columns.iter().filter(wanted).map(|column| {
                Expr::CompoundIdentifier(vec![Ident::with_quote('"', &qualifier), Ident::with_quote('"', *column)])
            }));
        }
    }
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.extend(added);
    }
}

/// Whether it is one key, not a set of them.
fn is_plain(key: &Expr) -> bool {
    !matches!(key, Expr::GroupingSets(_) | Expr::Rollup(_) | Expr::Cube(_) | Expr::Tuple(_))
}

/// Whether the expression is that column.
fn names(expr: &Expr, qualifier: &str, column: &str) -> bool {
    match expr {
        Expr::Identifier(name) => normal(name) == column,
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, name] => normal(table) == qualifier && normal(name) == column,
            _ => false,
        },
        Expr::Nested(inner) => names(inner, qualifier, column),
        _ => false,
    }
}

fn table_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(normal),
        _ => None,
    }
}

/// The columns that a SELECT names.
#[derive(Default)]
struct Uses(BTreeSet<(Option<String>, String)>);

impl Uses {
    fn holds(&self, qualifier: &str, column: &str) -> bool {
        let held = |table: Option<&str>| self.0.contains(&(table.map(str::to_string), column.to_string()));
        held(None) || held(Some(qualifier))
    }

    /// Whether a star stands for all columns of the table.
    fn all_of(&self, qualifier: &str, projection: &[SelectItem]) -> bool {
        projection.iter().any(|item| match item {
            SelectItem::Wildcard(_) => true,
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                table_name(name).is_some_and(|name| name == qualifier)
            }
            _ => false,
        })
    }
}

impl Visitor for Uses {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => {
                self.0.insert((None, normal(name)));
            }
            Expr::CompoundIdentifier(parts) => {
                if let [table, name, ..] = parts.as_slice() {
                    self.0.insert((Some(normal(table)), normal(name)));
                    // A field of a column.
                    self.0.insert((None, normal(table)));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
