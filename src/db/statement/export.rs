//! EXPORT DATABASE and IMPORT DATABASE: a database as SQL texts and files that other programs read.
//!
//! ```text
//! schema.sql   tables and streams, with their keys and indexes
//! load.sql     COPY of each from a file beside it
//! views.sql    views, each behind those it reads, and subscriptions
//! t.parquet    the rows of t
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::vfs::{RealVfs, Vfs};
use crate::catalog::relation::{DEAD_LETTERS, Relation};
use crate::db::names::quoted;
use crate::db::session::Session;
use crate::db::statement::backup::refuse_inside;
use crate::db::statement::copy::copy_to;
use crate::db::statement::definition::create_text;
use crate::sql;
use crate::sql::statement::{CopyTo, Statement};

/// Runs a statement.
pub type Run<'a> = dyn Fn(&mut Session, &Statement) -> Result<()> + 'a;

const SCHEMA: &str = "schema.sql";
const LOAD: &str = "load.sql";
const VIEWS: &str = "views.sql";

/// Writes the database, as of one epoch, to an empty directory; the rows written.
pub fn export(session: &Session, directory: &str, format: &str) -> Result<u64> {
    let path = session.shared.access.writable(Path::new(directory))?;
    refuse_inside(&path)?;
    let vfs = RealVfs::new(&path);
    if vfs.exists(Path::new(""))? && !vfs.list(Path::new(""))?.is_empty() {
        return Err(Error::invalid(format!("the directory '{directory}' is not empty"))
            .with_sqlstate("58P01")
            .with_hint("give a directory that is empty or does not exist"));
    }
    vfs.create_directory(Path::new(""))?;
    let (mut schema, mut load, mut views) = (String::new(), String::new(), String::new());
    let parameters = session.no_parameters();
    let reader = session.reader(&parameters);
    let (mut files, mut rows) = (Vec::new(), 0);
    let catalog = session.version().catalog.clone();
    for relation in catalog.in_order().into_iter().filter_map(|id| catalog.by_id(id)) {
        let text = create_text(&catalog, &relation.at_rest());
        if !relation.kind.is_stored() {
            views.push_str(&with_settings(relation, &text));
            continue;
        }
        match relation.name.as_str() {
            // The first source makes it, so it stands before them, and where there are sources already it is there.
            DEAD_LETTERS => {
                schema
                    .insert_str(0, &format!("{}\n", text.replacen("CREATE STREAM", "CREATE STREAM IF NOT EXISTS", 1)));
            }
            _ => schema.push_str(&format!("{text}\n")),
        }
        let file = file_name(relation, format, &mut files);
        load.push_str(&format!("COPY {} FROM '{file}' (FORMAT {format});\n", quoted(&relation.name)));
        let to = path.join(&file).display().to_string().replace('\'', "''");
        let copy = format!("COPY {} TO '{to}' (FORMAT {format})", quoted(&relation.name));
        rows += copy_to(&reader, &copy_statement(&copy)?).map_err(|error| {
            error
                .context(format!("\"{}\"", relation.name))
                .with_hint("EXPORT DATABASE .. (FORMAT arrow) takes every type")
        })?;
    }
    for (name, text) in [(SCHEMA, schema), (LOAD, load), (VIEWS, views)] {
        vfs.create(Path::new(name))?.append(text.as_bytes())?;
    }
    Ok(rows)
}

/// Hands what an export wrote to `run`, statement for statement. What stands before an error stays.
pub fn import(session: &mut Session, directory: &str, run: &Run) -> Result<()> {
    let before = session.version();
    let path = session.shared.access.readable(Path::new(directory))?;
    let vfs = RealVfs::new(&path);
    for name in [SCHEMA, LOAD, VIEWS] {
        let file = vfs.open(Path::new(name)).map_err(|error| {
            error.with_hint(format!(
                "IMPORT DATABASE reads a directory that EXPORT DATABASE wrote: it has {SCHEMA}, {LOAD} and {VIEWS}"
            ))
        })?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(|_| Error::internal("a long file"))?];
        file.read_at(0, &mut bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::data(format!("{name} is not UTF-8")))?;
        for sql::ParsedStatement { mut statement, text, .. } in sql::parse(&text)? {
            if let Statement::CopyFrom(copy) = &mut statement {
                copy.path = beside(&path, &copy.path);
            }
            run(session, &statement).map_err(|error| error.context(format!("{name}, \"{text}\"")))?;
        }
    }
    let version = session.version();
    let is_new = |relation: &&Arc<Relation>| before.catalog.by_id(relation.id).is_none();
    for relation in version.catalog.relations().filter(is_new).filter(|relation| relation.is_pumped()) {
        session.notice(format!(
            "{} \"{}\" is paused: how far it had come is not in an export, so when it is resumed it begins anew",
            if relation.is_source() { "source" } else { relation.kind.name() },
            relation.name
        ));
    }
    Ok(())
}

fn copy_statement(text: &str) -> Result<CopyTo> {
    match sql::parse(text)?.pop().map(|parsed| parsed.statement) {
        Some(Statement::CopyTo(copy)) => Ok(copy),
        _ => Err(Error::internal("COPY is read as another statement")),
    }
}

/// The path of a file that stands beside the texts.
fn beside(directory: &Path, file: &str) -> String {
    let path: PathBuf = if Path::new(file).is_absolute() { file.into() } else { directory.join(file) };
    path.display().to_string()
}

/// A name of a file that no other relation has.
fn file_name(relation: &Relation, format: &str, taken: &mut Vec<String>) -> String {
    let plain = relation.name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
    let stem = if plain { relation.name.to_lowercase() } else { format!("relation_{}", relation.id) };
    let name = match taken.contains(&stem) {
        true => format!("{stem}_{}", relation.id),
        false => stem,
    };
    taken.push(name.clone());
    format!("{name}.{format}")
}

/// A view under the settings that it was bound under.
fn with_settings(relation: &Relation, text: &str) -> String {
    let mut lines = String::new();
    for (name, value) in &relation.settings {
        lines.push_str(&format!("SET {name} = '{}';\n", value.replace('\'', "''")));
    }
    lines.push_str(&format!("{text}\n"));
    relation.settings.keys().for_each(|name| lines.push_str(&format!("RESET {name};\n")));
    lines
}
