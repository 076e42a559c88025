//! What is said to the database rather than of its data: transactions, settings, prepared statements that are called,
//! and the statements that look inside.

use sqlparser::tokenizer::Token;

use super::reader::Reader;
use crate::base::error::Result;
use crate::sql::error::unsupported;
use crate::sql::options::Options;
use crate::sql::statement::{Argument, Show, ShowWhat, Statement};

/// `BEGIN`, `COMMIT`, `ROLLBACK` in all spellings.
pub(super) fn transaction(reader: &mut Reader) -> Result<Statement> {
    if reader.accept(&["START"]) {
        reader.expect(&["TRANSACTION"])?;
        return begin(reader);
    }
    if reader.accept(&["BEGIN"]) {
        reader.accept_any(&["TRANSACTION", "WORK"]);
        return begin(reader);
    }
    let commits = reader.accept_any(&["COMMIT", "END"]);
    if !commits && !reader.accept_any(&["ROLLBACK", "ABORT"]) {
        return reader.unexpected("BEGIN, COMMIT or ROLLBACK");
    }
    reader.accept_any(&["TRANSACTION", "WORK"]);
    let at = reader.position();
    if reader.accept(&["AND"]) {
        if !reader.accept(&["NO"]) {
            return Err(unsupported("AND CHAIN is not supported", at));
        }
        reader.expect(&["CHAIN"])?;
    }
    if reader.at_any(&["TO", "PREPARED"]) {
        return Err(unsupported("savepoints and prepared transactions are not supported", at));
    }
    Ok(if commits { Statement::Commit } else { Statement::Rollback })
}

/// The modes after `BEGIN`. Every transaction is serializable, so every level asked for is given.
fn begin(reader: &mut Reader) -> Result<Statement> {
    let mut read_only = false;
    loop {
        if reader.accept(&["ISOLATION", "LEVEL"]) {
            let levels: [&[&str]; 5] = [
                &["SERIALIZABLE"],
                &["REPEATABLE", "READ"],
                &["READ", "COMMITTED"],
                &["READ", "UNCOMMITTED"],
                &["SNAPSHOT"],
            ];
            if !levels.iter().any(|level| reader.accept(level)) {
                return reader.unexpected("an isolation level");
            }
        } else if reader.accept(&["READ", "ONLY"]) {
            read_only = true;
        } else if reader.accept(&["READ", "WRITE"]) {
            read_only = false;
        } else if !reader.accept(&["NOT", "DEFERRABLE"]) && !reader.accept(&["DEFERRABLE"]) {
            return Ok(Statement::Begin { read_only });
        }
        reader.accept_token(&Token::Comma);
    }
}

/// `SET` and `RESET`.
pub(super) fn set(reader: &mut Reader) -> Result<Statement> {
    if reader.accept(&["RESET"]) {
        let name = if reader.accept(&["ALL"]) { None } else { Some(reader.dotted()?) };
        return Ok(Statement::Reset { name });
    }
    reader.expect(&["SET"])?;
    if reader.at(&["TRANSACTION"]) {
        return Err(unsupported("SET TRANSACTION is not supported", reader.position())
            .with_hint("every transaction is serializable; BEGIN READ ONLY makes one that only reads"));
    }
    let is_prefix = !matches!(reader.parser.peek_nth_token_ref(1).token, Token::Eq | Token::Period)
        && !reader.peek(1).eq_ignore_ascii_case("TO");
    if is_prefix && reader.at_any(&["LOCAL", "GLOBAL"]) {
        let what = reader.peek(0).to_ascii_uppercase();
        return Err(unsupported(format!("SET {what} is not supported"), reader.position())
            .with_hint("max_wal_size and memory_limit belong to the database, every other setting to the session"));
    }
    if is_prefix {
        reader.accept(&["SESSION"]);
    }
    let name = if reader.accept(&["TIME", "ZONE"]) {
        "timezone".to_string()
    } else {
        let name = reader.dotted()?;
        if !reader.accept_token(&Token::Eq) && !reader.accept(&["TO"]) {
            return reader.unexpected("= or TO");
        }
        name
    };
    if reader.accept(&["DEFAULT"]) {
        return Ok(Statement::Reset { name: Some(name) });
    }
    Ok(Statement::Set { name, value: reader.rest("a value")? })
}

/// `SHOW`.
pub(super) fn show(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["SHOW"])?;
    let what = show_what(reader)?;
    let like = if reader.accept_any(&["LIKE", "ILIKE"]) { Some(reader.string("a pattern in quotes")?) } else { None };
    Ok(Statement::Show(Show { what, like }))
}

fn show_what(reader: &mut Reader) -> Result<ShowWhat> {
    reader.accept(&["FULL"]);
    let lists: &[(&[&str], ShowWhat)] = &[
        (&["TABLES"], ShowWhat::Tables),
        (&["ALL", "TABLES"], ShowWhat::Tables),
        (&["STREAMS"], ShowWhat::Streams),
        (&["MATERIALIZED", "VIEWS"], ShowWhat::MaterializedViews),
        (&["VIEWS"], ShowWhat::Views),
        (&["SOURCES"], ShowWhat::Sources),
        (&["SINKS"], ShowWhat::Sinks),
        (&["SUBSCRIPTIONS"], ShowWhat::Subscriptions),
        (&["FUNCTIONS"], ShowWhat::Functions),
        (&["SETTINGS"], ShowWhat::Settings),
        (&["ALL"], ShowWhat::Settings),
    ];
    if let Some((_, what)) = lists.iter().find(|(words, _)| reader.accept(words)) {
        return Ok(what.clone());
    }
    if reader.accept_any(&["INDEXES", "INDEX", "INDICES"]) {
        let named = reader.accept_any(&["FROM", "IN", "ON"]);
        return Ok(ShowWhat::Indexes(if named { Some(reader.name()?) } else { None }));
    }
    if reader.accept_any(&["COLUMNS", "FIELDS"]) {
        if !reader.accept_any(&["FROM", "IN"]) {
            return reader.unexpected("FROM");
        }
        return Ok(ShowWhat::Columns(reader.name()?));
    }
    if reader.accept(&["CREATE"]) {
        reader.accept_kind();
        return Ok(ShowWhat::Create(reader.name()?));
    }
    if reader.accept(&["TIME", "ZONE"]) {
        return Ok(ShowWhat::Setting("timezone".to_string()));
    }
    Ok(ShowWhat::Setting(reader.dotted()?))
}

/// `DESCRIBE` and `SUMMARIZE`.
pub(super) fn describe(reader: &mut Reader) -> Result<Statement> {
    let summarizes = reader.accept(&["SUMMARIZE"]);
    if !summarizes && !reader.accept_any(&["DESCRIBE", "DESC"]) {
        return reader.unexpected("DESCRIBE or SUMMARIZE");
    }
    let is_query = reader.at_query() && !reader.at(&["TABLE"]);
    if !is_query {
        reader.accept_kind();
    }
    let target = reader.relation_or_query()?;
    Ok(if summarizes { Statement::Summarize { target } } else { Statement::Describe { target } })
}

/// `EXECUTE name [(arguments)]`, `EXECUTE name USING arguments`.
pub(super) fn execute(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["EXECUTE"])?;
    let name = reader.identifier()?;
    let arguments = if reader.accept(&["USING"]) {
        reader.list(argument)?
    } else if reader.accept_token(&Token::LParen) {
        let arguments = if reader.at_token(&Token::RParen) { Vec::new() } else { reader.list(argument)? };
        reader.expect_token(&Token::RParen)?;
        arguments
    } else {
        Vec::new()
    };
    Ok(Statement::Execute { name, arguments })
}

fn argument(reader: &mut Reader) -> Result<Argument> {
    let is_named = matches!(reader.parser.peek_nth_token_ref(1).token, Token::RArrow | Token::Assignment | Token::Eq);
    let name = match &reader.parser.peek_token_ref().token {
        Token::Word(_) if is_named => Some(reader.identifier()?),
        Token::Placeholder(name) if is_named => {
            let name = name.trim_start_matches('$').to_string();
            reader.parser.advance_token();
            Some(name)
        }
        _ => None,
    };
    if name.is_some() {
        reader.parser.advance_token();
    }
    Ok(Argument { name, value: reader.expression()? })
}

/// `DEALLOCATE [PREPARE] name | ALL`.
pub(super) fn deallocate(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["DEALLOCATE"])?;
    if !reader.at_end() && !matches!(reader.parser.peek_nth_token_ref(1).token, Token::EOF) {
        reader.accept(&["PREPARE"]);
    }
    let name = if reader.accept(&["ALL"]) { None } else { Some(reader.identifier()?) };
    Ok(Statement::Deallocate { name })
}

/// `BACKUP DATABASE TO 'directory'`.
pub(super) fn backup(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["BACKUP", "DATABASE", "TO"])?;
    Ok(Statement::Backup { directory: reader.string("the directory of the backup in quotes")? })
}

/// `EXPORT DATABASE 'directory' [(FORMAT format)]`.
pub(super) fn export(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["EXPORT", "DATABASE"])?;
    reader.accept(&["TO"]);
    let directory = reader.string("a directory in quotes")?;
    reader.accept(&["WITH"]);
    let options = if reader.at_token(&Token::LParen) { reader.options()? } else { Options::default() };
    options.expect_known("EXPORT DATABASE", &["format"])?;
    let format = options.get("format").unwrap_or("parquet").to_ascii_lowercase();
    if !["parquet", "arrow", "csv", "ndjson"].contains(&format.as_str()) {
        let error = unsupported(format!("a database cannot be exported as {format}"), None);
        return Err(options.locate("format", error.with_hint("the formats are parquet, arrow, csv and ndjson")));
    }
    Ok(Statement::Export { directory, format })
}

/// `IMPORT DATABASE 'directory'`.
pub(super) fn import(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["IMPORT", "DATABASE"])?;
    reader.accept(&["FROM"]);
    Ok(Statement::Import { directory: reader.string("a directory in quotes")? })
}

/// `PRAGMA integrity_check`: the only one there is.
pub(super) fn pragma(reader: &mut Reader) -> Result<Statement> {
    let at = reader.position();
    reader.expect(&["PRAGMA"])?;
    if reader.accept(&["INTEGRITY_CHECK"]) {
        return Ok(Statement::IntegrityCheck);
    }
    Err(unsupported("PRAGMA is not supported", at).with_hint("use SET and SHOW; there is PRAGMA integrity_check"))
}
