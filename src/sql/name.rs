//! Names of relations: what stands before the dot.
//!
//! There is one catalog, `eddy`, and in it one schema for what users make: `main`, which may also be called `public`
//! as in PostgreSQL. `eddy` and `information_schema` are the system's: their relations can only be read. Any other
//! qualifier is an error (3F000, 3D000), never ignored: a name that is not understood must not be taken for another.

use std::fmt;

use sqlparser::ast::{Ident, ObjectName};

use super::error::{located, position, syntax};
use crate::base::error::{Error, ErrorKind, Position, Result};

/// The one catalog.
pub const CATALOG: &str = "eddy";
/// The schema of all that users make.
pub const MAIN: &str = "main";
/// PostgreSQL's word for it, under which `information_schema` lists it: its tools ask for that.
pub const PUBLIC: &str = "public";
/// The schemas of the system's relations.
pub const SYSTEM: [&str; 2] = ["eddy", "information_schema"];

/// Which schema a qualifier means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaName {
    /// The users' own.
    Main,
    /// One of the system's.
    System(&'static str),
}

/// The name of a relation, normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// What was written before the name: nothing, a schema, or catalog and schema.
    qualifiers: Vec<String>,
    name: String,
    /// Where it stands.
    pub position: Option<Position>,
}

impl Name {
    /// The name of these parts, the last of which is the relation's own.
    pub fn new(mut parts: Vec<String>, position: Option<Position>) -> Self {
        let name = parts.pop().unwrap_or_default();
        Name { qualifiers: parts, name, position }
    }

    /// The name as a tree has it; `None` where a part is no identifier.
    pub fn of_object(name: &ObjectName) -> Option<Self> {
        let parts: Option<Vec<&Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
        let parts = parts?;
        let at = parts.first().and_then(|first| position(first.span.start));
        Some(Name::new(parts.into_iter().map(normal).collect(), at))
    }

    /// The schema it stands in and its name there.
    ///
    /// # Errors
    /// 3F000 or 3D000 if there is no such schema or catalog.
    pub fn resolve(&self) -> Result<(SchemaName, &str)> {
        schema(&self.qualifiers).map(|schema| (schema, self.name.as_str())).map_err(|error| match &error {
            _ if error.sqlstate() == MISSING_SCHEMA => {
                let hint = format!("there is one schema, {MAIN}: write {} without another before it", self.name);
                located(error.with_hint(hint), self.position)
            }
            _ => located(error, self.position),
        })
    }

    /// The name of one of the users' own relations, existing or not.
    ///
    /// # Errors
    /// As [`Name::resolve`], and 42809 for a name of the system's.
    pub fn in_main(&self) -> Result<&str> {
        match self.resolve()? {
            (SchemaName::Main, name) => Ok(name),
            (SchemaName::System(schema), name) => {
                let error = Error::invalid(format!("\"{schema}.{name}\" is the system's: it can only be read"));
                Err(located(error.with_sqlstate("42809"), self.position))
            }
        }
    }

    /// The name without what stands before it: what its columns are called by.
    pub fn own(&self) -> &str {
        &self.name
    }

    /// The schema before the name, if there is none of that name: what `IF EXISTS` passes over.
    pub fn missing_schema(&self) -> Option<&str> {
        match schema(&self.qualifiers) {
            Err(error) if error.sqlstate() == MISSING_SCHEMA => self.qualifiers.last().map(String::as_str),
            _ => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.qualifiers.iter().try_for_each(|qualifier| write!(f, "{qualifier}."))?;
        f.write_str(&self.name)
    }
}

/// The SQLSTATE of a schema that does not exist.
const MISSING_SCHEMA: &str = "3F000";

fn schema(qualifiers: &[String]) -> Result<SchemaName> {
    match qualifiers {
        [] => Ok(SchemaName::Main),
        [schema] => of_schema(schema),
        [catalog, schema] if catalog == CATALOG => of_schema(schema),
        [catalog, _] => {
            let error = Error::new(ErrorKind::NotFound, format!("catalog \"{catalog}\" does not exist"));
            Err(error.with_sqlstate("3D000").with_hint(format!("there is one catalog, {CATALOG}")))
        }
        _ => Err(syntax("a relation is called name, schema.name or catalog.schema.name", None)),
    }
}

fn of_schema(schema: &str) -> Result<SchemaName> {
    if schema == MAIN || schema == PUBLIC {
        return Ok(SchemaName::Main);
    }
    match SYSTEM.into_iter().find(|system| *system == schema) {
        Some(system) => Ok(SchemaName::System(system)),
        None => {
            let error = Error::new(ErrorKind::NotFound, format!("schema \"{schema}\" does not exist"));
            Err(error.with_sqlstate(MISSING_SCHEMA))
        }
    }
}

/// The name that an identifier means.
pub(crate) fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_none() { ident.value.to_lowercase() } else { ident.value.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<(SchemaName, String), &'static str> {
        let name = Name::new(text.split('.').map(str::to_string).collect(), None);
        name.resolve().map(|(schema, name)| (schema, name.to_string())).map_err(|error| error.sqlstate())
    }

    #[test]
    fn one_schema_and_the_systems() {
        let main = |name: &str| Ok((SchemaName::Main, name.to_string()));
        for text in ["orders", "main.orders", "public.orders", "eddy.main.orders", "eddy.public.orders"] {
            assert_eq!(resolved(text), main("orders"), "{text}");
        }
        assert_eq!(resolved("eddy.views"), Ok((SchemaName::System("eddy"), "views".to_string())));
        assert_eq!(resolved("eddy.eddy.views"), Ok((SchemaName::System("eddy"), "views".to_string())));
        assert_eq!(resolved("staging.orders"), Err("3F000"));
        assert_eq!(resolved("Main.orders"), Err("3F000"), "quoted names are compared exactly");
        assert_eq!(resolved("lake.main.orders"), Err("3D000"));
        assert_eq!(resolved("a.eddy.main.orders"), Err("42601"));
    }
}
