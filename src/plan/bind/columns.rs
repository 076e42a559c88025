//! The columns of what stands in FROM, as far as the text or the catalog tells.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Expr, JoinConstraint, JoinOperator, Query, SelectItem, SetExpr, TableFactor, TableWithJoins, Visitor,
};

use super::Binder;
use crate::sql::name::normal;
use crate::sql::rewrite::build::using_columns;
use crate::sql::walk::walk;

/// Gives the column names of what is read by name.
pub(super) type ColumnsOf<'a> = &'a dyn Fn(&str) -> Option<Vec<String>>;

/// Gives the column names of what a query may read by name, where the text or the catalog tells.
pub(super) fn known_columns<'a>(query: &Query, binder: &'a Binder<'_>) -> impl Fn(&str) -> Option<Vec<String>> + 'a {
    let mut named = Named { binder, columns: BTreeMap::new() };
    let _ = walk(query, &mut named);
    move |name| named.columns_of(name)
}

/// The names that WITH gives to queries, which hide relations of the catalog, with their columns where the text tells.
struct Named<'a> {
    binder: &'a Binder<'a>,
    columns: BTreeMap<String, Option<Vec<String>>>,
}

impl Named<'_> {
    fn columns_of(&self, name: &str) -> Option<Vec<String>> {
        match self.columns.get(name) {
            Some(columns) => columns.clone(),
            None => {
                let relation = self.binder.seen(name)?;
                Some(relation.schema.fields().iter().map(|field| field.name().clone()).collect())
            }
        }
    }
}

impl Visitor for Named<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = normal(&table.alias.name);
            // One name for two queries: which is meant depends on the place.
            let columns = match self.columns.contains_key(&name) {
                true => None,
                false => aliased_columns(&table.query, Some(&table.alias), &|name| self.columns_of(name)),
            };
            self.columns.insert(name, columns);
        }
        ControlFlow::Continue(())
    }
}

/// The columns of a factor or of the joins in it, where they are known: those of USING once.
pub(super) fn joined_columns(factor: &TableFactor, columns_of: ColumnsOf<'_>) -> Option<Vec<String>> {
    let TableFactor::NestedJoin { table_with_joins, alias: None } = factor else {
        return columns_in(factor, columns_of);
    };
    let TableWithJoins { relation, joins } = table_with_joins.as_ref();
    joins.iter().fold(joined_columns(relation, columns_of), |left, join| {
        with_columns(left, joined_columns(&join.relation, columns_of), &join.join_operator)
    })
}

/// The columns of a join, given those of its sides.
pub(super) fn with_columns(
    left: Option<Vec<String>>,
    right: Option<Vec<String>>,
    join: &JoinOperator,
) -> Option<Vec<String>> {
    let (mut columns, right) = match join {
        JoinOperator::Semi(_) | JoinOperator::LeftSemi(_) | JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) => {
            return left;
        }
        JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => return right,
        _ => (left?, right?),
    };
    let using: Vec<String> = match constraint(join) {
        Some(JoinConstraint::Natural) if right.iter().any(|column| columns.contains(column)) => return None,
        Some(JoinConstraint::Using(names)) => using_columns(names).iter().map(normal).collect(),
        _ => vec![],
    };
    columns.extend(right.into_iter().filter(|column| !using.contains(column)));
    Some(columns)
}

/// The columns of a query under an alias, where the text tells.
fn aliased_columns(query: &Query, alias: Option<&ast::TableAlias>, columns_of: ColumnsOf<'_>) -> Option<Vec<String>> {
    let renamed = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
    match own_columns(query, columns_of) {
        Some(own) => Some(renamed_columns(renamed, own)),
        None if renamed.is_empty() => None,
        None => Some(renamed_columns(renamed, vec![])),
    }
}

/// The columns `own`, the first of which have other names.
fn renamed_columns(renamed: &[ast::TableAliasColumnDef], own: Vec<String>) -> Vec<String> {
    let others = own.into_iter().skip(renamed.len());
    renamed.iter().map(|column| normal(&column.name)).chain(others).collect()
}

/// The columns of a query, where the text tells.
fn own_columns(query: &Query, columns_of: ColumnsOf<'_>) -> Option<Vec<String>> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(query) => body = &query.body,
            SetExpr::Select(select) => {
                if let [SelectItem::Wildcard(options)] = select.projection.as_slice() {
                    return match select.from.as_slice() {
                        [TableWithJoins { relation, joins }] if joins.is_empty() && is_plain(options) => {
                            columns_in(relation, columns_of)
                        }
                        _ => None,
                    };
                }
                let names = select.projection.iter().map(|item| match item {
                    SelectItem::ExprWithAlias { alias, .. } => Some(normal(alias)),
                    SelectItem::UnnamedExpr(Expr::Identifier(column)) => Some(normal(column)),
                    SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(normal),
                    _ => None,
                });
                return names.collect();
            }
            _ => return None,
        }
    }
}

/// The columns of a relation of the catalog, or of a query whose text tells them.
pub(super) fn columns_in(factor: &TableFactor, columns_of: ColumnsOf<'_>) -> Option<Vec<String>> {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let own = match name.0.as_slice() {
                [only] => only.as_ident().and_then(|ident| columns_of(&normal(ident))),
                _ => None,
            };
            match alias.as_ref().map(|alias| alias.columns.as_slice()).filter(|renamed| !renamed.is_empty()) {
                Some(renamed) => Some(renamed_columns(renamed, own.unwrap_or_default())),
                None => own,
            }
        }
        TableFactor::Derived { subquery, alias, .. } => aliased_columns(subquery, alias.as_ref(), columns_of),
        _ => None,
    }
}

/// What a join that takes columns of both sides joins them by.
pub(super) fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

/// Whether a `*` takes all columns as they are.
pub(super) fn is_plain(options: &ast::WildcardAdditionalOptions) -> bool {
    options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_ilike.is_none()
        && options.opt_rename.is_none()
}
