//! UPDATE and DELETE as queries over row ids.
//!
//! DataFusion's own DML hooks lose subqueries and then touch every row, so nothing of them is used: the rows to change
//! are the result of an ordinary query whose first column is the hidden [`ROW_ID`], planned like any other.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use sqlparser::ast::{self, Ident, TableWithJoins};

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::relation::Relation;
use crate::catalog::suggest::nearest;
use crate::plan::context::PlanContext;
use crate::plan::query::{Query, plan_with};
use crate::plan::rewrite::root::Target;
use crate::plan::source::ROW_ID;
use crate::sql::name::normal;
use crate::sql::rewrite::build;
use crate::sql::rewrite::marker::Marker;

/// The rows of `relation` that an UPDATE changes: their row ids, then all columns with their new values, in the types
/// that these have: who stores them knows what does not fit which column. With FROM a row may match several times and
/// then comes several times: the caller must refuse a row id that it sees twice (21000), because no order says which
/// new value to take.
pub fn plan_update(
    relation: &Arc<Relation>,
    alias: Option<&Ident>,
    assignments: &[(String, ast::Expr)],
    from: &[TableWithJoins],
    selection: Option<&ast::Expr>,
    context: &PlanContext<'_>,
) -> Result<Query> {
    let name = target_name(relation, alias);
    let mut values: Vec<Option<&ast::Expr>> = vec![None; relation.schema.fields().len()];
    for (column, value) in assignments {
        let index = column_index(relation, column)?;
        match values.get_mut(index) {
            Some(slot @ None) => *slot = Some(value),
            _ => {
                return Err(Error::invalid(format!("column \"{column}\" is assigned twice")).with_sqlstate("42701"));
            }
        }
    }
    let columns = relation.schema.fields().iter().zip(values).map(|(field, value)| match value {
        Some(value) => value.clone(),
        None => column_of(&name, field.name()),
    });
    let names = std::iter::once(ROW_ID).chain(relation.schema.fields().iter().map(|field| field.name().as_str()));
    let list = std::iter::once(column_of(&name, ROW_ID)).chain(columns).zip(names).collect();
    let query = select(list, target(relation, name), from, selection)?;
    plan_with(&query, context, true, Target::Own)
}

/// The row ids of `relation` that a DELETE takes out. With USING a row may match several times and then comes several
/// times; deleting it once is what is meant.
pub fn plan_delete(
    relation: &Arc<Relation>,
    alias: Option<&Ident>,
    using: &[TableWithJoins],
    selection: Option<&ast::Expr>,
    context: &PlanContext<'_>,
) -> Result<Query> {
    let name = target_name(relation, alias);
    let list = vec![(column_of(&name, ROW_ID), ROW_ID)];
    let schema = Arc::new(Schema::new(vec![Field::new(ROW_ID, DataType::UInt64, false)]));
    let query = select(list, target(relation, name), using, selection)?;
    plan_with(&query, context, true, Target::Schema(&schema))
}

fn column_index(relation: &Relation, column: &str) -> Result<usize> {
    let fields = relation.schema.fields();
    fields.iter().position(|field| field.name() == column).ok_or_else(|| {
        let message = format!("column \"{column}\" of relation \"{}\" does not exist", relation.name);
        let error = Error::new(ErrorKind::NotFound, message).with_sqlstate("42703");
        match nearest(column, fields.iter().map(|field| field.name().as_str())) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    })
}

fn target_name(relation: &Relation, alias: Option<&Ident>) -> Ident {
    alias.cloned().unwrap_or_else(|| Ident::with_quote('"', relation.name.as_str()))
}

fn column_of(relation: &Ident, column: &str) -> ast::Expr {
    ast::Expr::CompoundIdentifier(vec![relation.clone(), Ident::with_quote('"', column)])
}

/// The target with its row ids, called `name`.
fn target(relation: &Relation, name: Ident) -> TableWithJoins {
    let argument = build::argument(build::text(relation.name.as_str()));
    let relation = Marker::Target.relation(vec![argument], Some(build::alias(name)));
    TableWithJoins { relation, joins: vec![] }
}

/// `SELECT list AS names FROM target, others WHERE selection`.
fn select(
    list: Vec<(ast::Expr, &str)>,
    target: TableWithJoins,
    others: &[TableWithJoins],
    selection: Option<&ast::Expr>,
) -> Result<ast::Query> {
    let name = build::relation_name(&target.relation);
    let mut factors = others.iter().flat_map(|table| std::iter::once(&table.relation).chain(joined(table)));
    if let Some(name) = name.filter(|name| factors.any(|other| is_called(other, name))) {
        let error = Error::invalid(format!("table name \"{}\" specified more than once", normal(&name)));
        return Err(error.with_sqlstate("42712").with_hint("give one of them another name with AS"));
    }
    let mut query = *build::template()?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        let named = |(expr, name)| ast::SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
        select.projection = list.into_iter().map(named).collect();
        select.from = std::iter::once(target).chain(others.iter().cloned()).collect();
        select.selection = selection.cloned();
    }
    Ok(query)
}

fn joined(table: &TableWithJoins) -> impl Iterator<Item = &ast::TableFactor> {
    table.joins.iter().map(|join| &join.relation)
}

fn is_called(factor: &ast::TableFactor, name: &Ident) -> bool {
    build::relation_name(factor).is_some_and(|other| normal(&other) == normal(name))
}
