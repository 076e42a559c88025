//! Errors of binding and optimising, as a person can use them.
//!
//! [`crate::operator::error::from_datafusion`] keeps kind and place; this file adds what only the binder knows: the
//! nearest column or function as a hint. It never changes the kind of one of our own errors.

use std::ops::ControlFlow;

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use sqlparser::ast::{Expr, Ident, Query, TableFactor, Visitor};
use sqlparser::tokenizer::Location;

use crate::base::error::{Error, ErrorKind, Position};
use crate::catalog::suggest::nearest;
use crate::operator::error::from_datafusion;
use crate::plan::functions::FunctionRegistry;
use crate::sql::name::normal;
use crate::sql::rewrite::OWN_NAME;
use crate::sql::rewrite::build::relation_name;
use crate::sql::walk::{expressions, relations, walk};

/// The same error in our terms, with a hint where a name was not found.
pub(crate) fn plan_error(error: DataFusionError, functions: &FunctionRegistry) -> Error {
    let column_hint = missing_column(&error).and_then(|(field, valid)| column_hint(&field, &valid));
    let missing_function = missing_function(&error);
    let error = from_datafusion(error);
    if let Some(name) = missing_function {
        let better = functions.not_found(&name);
        return match error.position() {
            Some(position) => better.at(position),
            None => better,
        };
    }
    if let Some(column) = ungrouped_column(error.message()) {
        let better = Error::invalid(format!("column {column} must be in GROUP BY or inside an aggregate function"));
        let better = better.with_sqlstate("42803").with_hint("GROUP BY ALL groups by all that is not aggregated");
        return match error.position() {
            Some(position) => better.at(position),
            None => better,
        };
    }
    match column_hint {
        Some(hint) if error.kind() == ErrorKind::NotFound && error.hint().is_none() => error.with_hint(hint),
        _ => error,
    }
}

/// The column that DataFusion misses in GROUP BY, in quotes.
fn ungrouped_column(message: &str) -> Option<&str> {
    let (before, _) = message.split_once(" must appear in the GROUP BY clause")?;
    let name = before.rsplit("column ").next()?;
    name.starts_with('"').then_some(name)
}

/// The innermost error, below contexts and diagnostics.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        other => other,
    }
}

fn missing_column(error: &DataFusionError) -> Option<(Column, Vec<Column>)> {
    match root(error) {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => Some((*field.clone(), valid_fields.clone())),
            _ => None,
        },
        _ => None,
    }
}

fn column_hint(field: &Column, valid: &[Column]) -> Option<String> {
    let name = field.name();
    // The same name but for case: the binder folds unquoted names to lower case.
    if let Some(same) = valid.iter().find(|column| column.name() != name && column.name().eq_ignore_ascii_case(name)) {
        return Some(format!("names that are not all lower case need quotes: \"{}\"", same.name()));
    }
    if field.relation.is_some()
        && let Some(same) = valid.iter().find(|column| column.name() == name)
    {
        return Some(format!("did you mean \"{}\"?", same.flat_name()));
    }
    nearest(name, valid.iter().map(|column| column.name())).map(|near| format!("did you mean \"{near}\"?"))
}

fn missing_function(error: &DataFusionError) -> Option<String> {
    let DataFusionError::Plan(message) = root(error) else { return None };
    let name = message.strip_prefix("Invalid function '")?;
    name.split('\'').next().map(str::to_string)
}

/// The error with the place of the relation or column that does not exist, if it is about one and does not say where.
pub(crate) fn placed(error: Error, query: &Query) -> Error {
    let error = match missing_relation(&error, query) {
        Some(better) => better,
        None => error,
    };
    if error.position().is_some() {
        return error;
    }
    let missing = |before: &str| error.message().strip_prefix(before)?.split('"').next()?.rsplit('.').next();
    let at = if let Some(missing) = missing("relation \"") {
        relations(query, |name| stop_at(name.0.last().and_then(|part| part.as_ident()), missing))
    } else if let Some(missing) = missing("column \"") {
        expressions(query, |expr| {
            let ident = match expr {
                Expr::Identifier(ident) => Some(ident),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            stop_at(ident, missing)
        })
    } else {
        return error;
    };
    match at.break_value().and_then(position) {
        Some(at) => error.at(at),
        None => error,
    }
}

/// The error for `u.x` where no relation in FROM is called `u`: DataFusion misses the column alone.
fn missing_relation(error: &Error, query: &Query) -> Option<Error> {
    let column = error.message().strip_prefix("column \"")?.strip_suffix("\" does not exist")?;
    let relation = column.rsplit_once('.')?.0;
    if relation.starts_with(OWN_NAME) {
        return None;
    }
    let mut search = Factors { relation, is_called: false, other_name: None };
    let _ = walk(query, &mut search);
    let better = match search {
        Factors { is_called: true, .. } => return None,
        Factors { other_name: Some(alias), .. } => {
            let message = format!("invalid reference to FROM-clause entry for table \"{relation}\"");
            Error::new(ErrorKind::NotFound, message).with_hint(format!("it is called \"{alias}\" here"))
        }
        _ => {
            let message = format!("missing FROM-clause entry for table \"{relation}\"");
            Error::new(ErrorKind::NotFound, message)
        }
    };
    let better = better.with_sqlstate("42P01");
    let at = expressions(query, |expr| match expr {
        Expr::CompoundIdentifier(parts) if matches!(parts.as_slice(), [owner, _] if normal(owner) == relation) => {
            stop_at(parts.first(), relation)
        }
        _ => ControlFlow::Continue(()),
    });
    let at = at.break_value().and_then(position).or(error.position());
    Some(match at {
        Some(at) => better.at(at),
        None => better,
    })
}

/// Looks for a relation in FROM that is called so.
struct Factors<'a> {
    relation: &'a str,
    is_called: bool,
    /// What it is called, if it is in FROM under another name.
    other_name: Option<String>,
}

impl Visitor for Factors<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let own = match factor {
            TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).map(normal),
            _ => None,
        };
        let is_own = own.as_deref() == Some(self.relation);
        match relation_name(factor).map(|name| normal(&name)) {
            Some(name) if name == self.relation => self.is_called = true,
            Some(name) if is_own => self.other_name = Some(name),
            Some(_) => {}
            None => self.is_called |= is_own || matches!(factor, TableFactor::NestedJoin { alias: Some(_), .. }),
        }
        ControlFlow::Continue(())
    }
}

fn stop_at(ident: Option<&Ident>, name: &str) -> ControlFlow<Location> {
    match ident {
        Some(ident) if normal(ident) == name => ControlFlow::Break(ident.span.start),
        _ => ControlFlow::Continue(()),
    }
}

fn position(at: Location) -> Option<Position> {
    (at.line > 0).then_some(Position { line: at.line, column: at.column })
}
