//! Which statement it is: the first word decides who reads on.
//!
//! EXPLAIN and PREPARE hold a statement themselves and are therefore read here.

use sqlparser::tokenizer::Token;

use super::reader::Reader;
use super::{alter, control, copy, create, drop, insert, subscribe, update};
use crate::base::error::{Error, Result};
use crate::sql::error::{located, syntax, unsupported};
use crate::sql::statement::{Explain, ExplainTarget, Statement};
use crate::sql::types::column_type;

/// Reads a statement.
pub(super) fn statement(reader: &mut Reader) -> Result<Statement> {
    if reader.at_query() {
        return query(reader);
    }
    match reader.peek(0).to_ascii_uppercase().as_str() {
        "CREATE" => create::create(reader),
        "DROP" => drop::drop(reader),
        "ALTER" => alter::alter(reader),
        "TRUNCATE" => drop::truncate(reader),
        "INSERT" => insert::insert(reader),
        "UPDATE" => update::update(reader),
        "DELETE" => update::delete(reader),
        "COPY" => copy::copy(reader),
        "SUBSCRIBE" => subscribe::subscribe(reader),
        "ACKNOWLEDGE" => subscribe::acknowledge(reader),
        "VERIFY" => subscribe::verify(reader),
        "REFRESH" => subscribe::refresh(reader),
        "ADVANCE" => subscribe::advance_watermark(reader),
        "FLUSH" => subscribe::flush(reader),
        "EXPLAIN" => explain(reader),
        "DESCRIBE" | "DESC" | "SUMMARIZE" => control::describe(reader),
        "SHOW" => control::show(reader),
        "SET" | "RESET" => control::set(reader),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" => control::transaction(reader),
        "PREPARE" => prepare(reader),
        "EXECUTE" => control::execute(reader),
        "DEALLOCATE" => control::deallocate(reader),
        "CHECKPOINT" => {
            reader.parser.advance_token();
            Ok(Statement::Checkpoint)
        }
        "BACKUP" => control::backup(reader),
        "EXPORT" => control::export(reader),
        "IMPORT" => control::import(reader),
        "PRAGMA" => control::pragma(reader),
        word => unknown(reader, word),
    }
}

fn query(reader: &mut Reader) -> Result<Statement> {
    let (query, emit) = reader.query_with_emit()?;
    Ok(Statement::Query { query, emit })
}

/// The options of EXPLAIN; all but `analyze` and `format` change nothing.
const EXPLAIN_OPTIONS: [&str; 7] = ["analyze", "verbose", "format", "costs", "buffers", "timing", "summary"];

/// `EXPLAIN`.
fn explain(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["EXPLAIN"])?;
    let (mut analyze, mut ignored) = (false, Vec::new());
    if reader.at_token(&Token::LParen) && !reader.at_parenthesized_query() {
        let options = reader.options()?;
        options.expect_known("EXPLAIN", &EXPLAIN_OPTIONS)?;
        analyze = options.truth("analyze")?.unwrap_or(false);
        if let Some(format) = options.get("format").filter(|format| !format.eq_ignore_ascii_case("text")) {
            let error = unsupported(format!("EXPLAIN in the format {format} is not supported"), None);
            return Err(options.locate("format", error.with_hint("the format is text")));
        }
        for key in EXPLAIN_OPTIONS.into_iter().filter(|key| *key != "analyze" && *key != "format") {
            ignored.extend(options.truth(key)?.filter(|asked| *asked).map(|_| key.to_string()));
        }
    }
    analyze |= reader.accept(&["ANALYZE"]);
    if reader.accept(&["VERBOSE"]) {
        ignored.push("verbose".to_string());
    }
    let target = if reader.accept(&["MATERIALIZED", "VIEW"]) {
        ExplainTarget::MaterializedView(reader.name()?)
    } else if reader.accept(&["WINDOW"]) {
        ExplainTarget::Window(reader.name()?)
    } else if reader.at(&["EXPLAIN"]) {
        return Err(syntax("EXPLAIN cannot be explained", reader.position()));
    } else {
        ExplainTarget::Statement(Box::new(statement(reader)?))
    };
    Ok(Statement::Explain(Explain { analyze, ignored, target }))
}

/// `PREPARE name [(types)] AS statement`.
fn prepare(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["PREPARE"])?;
    let name = reader.identifier()?;
    let types = if reader.at_token(&Token::LParen) {
        reader.in_parentheses(|reader| {
            let at = reader.position();
            let sql_type = reader.parser.parse_data_type()?;
            column_type(&sql_type).map_err(|error| located(error, at))
        })?
    } else {
        Vec::new()
    };
    reader.expect(&["AS"])?;
    if reader.at_any(&["PREPARE", "EXECUTE", "DEALLOCATE", "BEGIN", "START", "COMMIT", "ROLLBACK", "END", "ABORT"]) {
        let what = reader.peek(0).to_ascii_uppercase();
        return Err(located(Error::invalid(format!("{what} cannot be prepared")), reader.position()));
    }
    let start = reader.parser.index();
    let statement = Box::new(statement(reader)?);
    let text = reader.text_since(start);
    Ok(Statement::Prepare { name, types, statement, text })
}

/// The error for a statement that we do not know.
fn unknown(reader: &Reader, word: &str) -> Result<Statement> {
    let at = reader.position();
    let hint = match word {
        "MERGE" => "use INSERT ... ON CONFLICT, or UPDATE and DELETE in one transaction",
        "SAVEPOINT" | "RELEASE" => "a transaction is committed or rolled back as a whole",
        "VACUUM" | "ANALYZE" | "REINDEX" | "OPTIMIZE" => {
            "the database looks after itself; CHECKPOINT writes a checkpoint"
        }
        "GRANT" | "REVOKE" => "access to files is a matter of the options with which the database is opened",
        "ATTACH" | "DETACH" | "USE" | "LOAD" | "INSTALL" | "CALL" | "DO" | "DECLARE" | "FETCH" | "CLOSE" | "LISTEN"
        | "NOTIFY" | "LOCK" | "COMMENT" | "REPLACE" | "PIVOT" | "UNPIVOT" | "DISCARD" => "",
        _ => return reader.unexpected("a statement"),
    };
    let error = unsupported(format!("{word} is not supported"), at);
    Err(if hint.is_empty() { error } else { error.with_hint(hint) })
}
