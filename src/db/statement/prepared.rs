//! PREPARE, EXECUTE, DEALLOCATE: statements under a name.

use crate::base::error::{Error, ErrorKind, Result};
use crate::db::session::Session;
use crate::plan::context::Parameters;
use crate::sql::statement::{Argument, Statement};

/// Keeps a statement under a name.
pub fn prepare(session: &mut Session, name: &str, statement: &Statement) -> Result<()> {
    if session.prepared.contains_key(name) {
        return Err(Error::new(ErrorKind::AlreadyExists, format!("prepared statement \"{name}\" exists"))
            .with_sqlstate("42P05")
            .with_hint(format!("DEALLOCATE {name} frees the name")));
    }
    session.prepared.insert(name.to_string(), statement.clone());
    Ok(())
}

/// What EXECUTE runs: the statement of that name, and its parameters.
pub fn bind(
    session: &Session,
    name: &str,
    arguments: &[Argument],
    parameters: &Parameters,
) -> Result<(Statement, Parameters)> {
    let statement = session.prepared.get(name).cloned().ok_or_else(|| not_prepared(name))?;
    let mut bound = Parameters { zone: parameters.zone, ..Parameters::default() };
    let reader = session.reader(parameters);
    for argument in arguments {
        let value = reader.constant_expression(argument.value.clone())?;
        match &argument.name {
            Some(name) => drop(bound.named.insert(name.clone(), value)),
            None => bound.positional.push(value),
        }
    }
    Ok((statement, bound))
}

/// Forgets one prepared statement, or all.
pub fn deallocate(session: &mut Session, name: Option<&str>) -> Result<()> {
    match name {
        None => session.prepared.clear(),
        Some(name) => drop(session.prepared.remove(name).ok_or_else(|| not_prepared(name))?),
    }
    Ok(())
}

fn not_prepared(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("prepared statement \"{name}\" does not exist")).with_sqlstate("26000")
}
