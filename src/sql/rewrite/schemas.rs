//! Qualified names in a query: `main.orders` is `orders`, `staging.orders` is an error.
//!
//! After [`resolve`] no relation in FROM has a qualifier unless it is the system's, and no column is qualified by more
//! than its relation, so that whatever looks at the tree afterwards may compare bare names. The one exception keeps
//! its qualifier and gets an alias: `main.orders` beside a WITH query of the same name, which would hide it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Expr, Ident, ObjectName, ObjectNamePart, Query, SelectItem, SelectItemQualifiedWildcardKind, TableFactor,
    VisitorMut,
};

use super::{build, flow, result};
use crate::base::error::{Error, ErrorKind, Result};
use crate::sql::error::{located, position};
use crate::sql::name::{MAIN, Name, SYSTEM, SchemaName, normal};
use crate::sql::walk::walk_mut;

/// Takes the qualifiers of the users' own schema out of a query.
///
/// # Errors
/// 3F000, 3D000 and 42601 where a relation's qualifier means nothing, at its place.
pub(super) fn resolve(query: &mut Query) -> Result<()> {
    let mut given = Given::default();
    let _ = walk_mut(query, &mut given);
    result(walk_mut(query, &mut Resolve(given)))
}

/// The names that a statement gives.
#[derive(Default)]
struct Given {
    /// Queries of WITH.
    queries: BTreeSet<String>,
    /// Relations in FROM that are called by their own name.
    relations: BTreeSet<String>,
    /// What is called by an alias.
    aliases: BTreeSet<String>,
    /// Relations of the system in FROM, with their schema.
    system: BTreeSet<(String, String)>,
}

impl Given {
    fn has(&self, name: &str) -> bool {
        self.relations.contains(name) || self.aliases.contains(name) || self.queries.contains(name)
    }
}

impl VisitorMut for Given {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.queries.extend(tables.map(|table| normal(&table.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, alias: None, args: None, .. } => {
                self.relations.extend(name.0.last().and_then(|part| part.as_ident()).map(normal));
                if let Some((SchemaName::System(schema), name)) =
                    Name::of_object(name).as_ref().and_then(|name| name.resolve().ok())
                {
                    self.system.insert((schema.to_string(), name.to_string()));
                }
            }
            TableFactor::Table { alias: Some(alias), args, .. } => {
                // The target of UPDATE and DELETE is a table function under the relation's name.
                let names = if args.is_some() { &mut self.relations } else { &mut self.aliases };
                names.insert(normal(&alias.name));
            }
            TableFactor::Derived { alias: Some(alias), .. } => {
                self.aliases.insert(normal(&alias.name));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

struct Resolve(Given);

impl VisitorMut for Resolve {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return ControlFlow::Continue(()) };
        flow(self.relation(name, alias))
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<Error> {
        let resolved = select.projection.iter_mut().try_for_each(|item| match item {
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let parts: Option<Vec<Ident>> = name.0.iter().map(|part| part.as_ident().cloned()).collect();
                let skip = self.qualifiers(&parts.unwrap_or_default(), 0)?;
                name.0.drain(..skip);
                Ok(())
            }
            SelectItem::UnnamedExpr(expr) => self.column(expr),
            _ => Ok(()),
        });
        if let Err(error) = resolved {
            return ControlFlow::Break(error);
        }
        name_fields(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        flow(self.column(expr))
    }
}

/// `SELECT r.b` is called `b`, also where `r` is no relation but a struct; to the binder that would be an expression.
fn name_fields(select: &mut ast::Select) {
    let called = |factor: &TableFactor| match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. } => Some(normal(&alias.name)),
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).map(normal),
        _ => None,
    };
    let mut relations = BTreeSet::new();
    let mut open: Vec<&ast::TableWithJoins> = select.from.iter().collect();
    while let Some(table) = open.pop() {
        for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
            relations.extend(called(factor));
            if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
                open.push(table_with_joins);
            }
        }
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) = item
            && let ([first, .., field], length) = (parts.as_slice(), parts.len())
            // A relation of the system's has its schema before it.
            && !(length == 2 && relations.contains(&normal(first)))
            && !(length == 3 && SYSTEM.contains(&normal(first).as_str()))
        {
            let alias = Ident::with_quote('"', normal(field));
            let expr = Expr::CompoundIdentifier(std::mem::take(parts));
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

impl Resolve {
    fn relation(&self, name: &mut ObjectName, alias: &mut Option<ast::TableAlias>) -> Result<()> {
        if name.0.len() < 2 {
            return Ok(());
        }
        let (Some(written), Some(ObjectNamePart::Identifier(own))) = (Name::of_object(name), name.0.last().cloned())
        else {
            return Ok(());
        };
        let qualifier = match written.resolve()? {
            (SchemaName::System(schema), _) => Some(schema),
            (SchemaName::Main, relation) if self.0.queries.contains(relation) => {
                alias.get_or_insert(build::alias(own.clone()));
                Some(MAIN)
            }
            (SchemaName::Main, _) => None,
        };
        let qualifier = qualifier.map(|schema| Ident::with_quote_and_span('"', own.span, schema));
        *name = qualifier.into_iter().chain([own]).collect::<Vec<Ident>>().into();
        Ok(())
    }

    fn column(&self, expr: &mut Expr) -> Result<()> {
        if let Expr::CompoundIdentifier(parts) = expr {
            let skip = self.qualifiers(parts, 1)?;
            parts.drain(..skip);
        }
        Ok(())
    }

    /// How many parts at the front of a name say only in which schema a relation of this statement stands; behind the
    /// relation `columns` more parts must follow. What is itself the name of a relation is no schema.
    ///
    /// The binder finds a relation also under a schema that it does not stand in, so that is refused here.
    fn qualifiers(&self, parts: &[Ident], columns: usize) -> Result<usize> {
        let names: Vec<String> = parts.iter().map(normal).collect();
        if names.first().is_none_or(|first| self.0.has(first)) {
            return Ok(0);
        }
        for skip in 1..=2 {
            let Some(relation) = names.get(skip).filter(|_| names.len() > skip + columns) else { return Ok(0) };
            if !self.0.has(relation) {
                continue;
            }
            let at = parts.first().and_then(|first| position(first.span.start));
            let name = Name::new(names.iter().take(skip + 1).cloned().collect(), at);
            return match name.resolve()? {
                (SchemaName::Main, relation) if self.0.relations.contains(relation) => Ok(skip),
                (SchemaName::System(schema), relation)
                    if self.0.system.contains(&(schema.to_string(), relation.to_string())) =>
                {
                    Ok(0)
                }
                _ => {
                    let error =
                        Error::new(ErrorKind::NotFound, format!("missing FROM-clause entry for table \"{name}\""));
                    let error = error.with_hint(format!("call it {relation}, as FROM does"));
                    Err(located(error, at))
                }
            };
        }
        Ok(0)
    }
}
