//! `CREATE ...`: tables, streams, sources, files, views, indexes, sinks and subscriptions.

use sqlparser::ast::{self, ColumnOption};
use sqlparser::tokenizer::Token;

use super::limits::COLUMNS_MAX;
use super::reader::Reader;
use crate::base::error::{Position, Result};
use crate::sql::error::{syntax, too_complex, unsupported};
use crate::sql::options::Options;
use crate::sql::rewrite;
use crate::sql::statement::{
    Column, CreateExternalTable, CreateIndex, CreateKind, CreateRelation, CreateSink, CreateSubscription, CreateView,
    ExpressionText, IndexColumn, RelationOrQuery, Statement, WatermarkClause,
};
use crate::sql::types::{column_domain, column_type};

/// `CREATE`.
pub(super) fn create(reader: &mut Reader) -> Result<Statement> {
    let start = reader.position();
    reader.expect(&["CREATE"])?;
    let or_replace = reader.accept(&["OR", "REPLACE"]);
    if reader.at_any(&["TEMP", "TEMPORARY", "LOCAL", "GLOBAL", "UNLOGGED"]) {
        return Err(unsupported("temporary relations are not supported", reader.position())
            .with_hint("use a database in memory, or drop the relation afterwards"));
    }
    if reader.accept(&["TABLE"]) {
        return relation(reader, CreateKind::Table, or_replace);
    }
    if reader.accept(&["STREAM"]) {
        return relation(reader, CreateKind::Stream, or_replace);
    }
    if reader.accept(&["SOURCE"]) {
        return relation(reader, CreateKind::Source, or_replace);
    }
    if reader.accept(&["EXTERNAL", "TABLE"]) {
        return external_table(reader, or_replace);
    }
    if reader.accept(&["MATERIALIZED", "VIEW"]) {
        return view(reader, true, or_replace);
    }
    if reader.accept(&["VIEW"]) {
        return view(reader, false, or_replace);
    }
    if reader.accept(&["SUBSCRIPTION"]) {
        return subscription(reader, or_replace);
    }
    if or_replace && reader.at_any(&["INDEX", "UNIQUE", "SINK"]) {
        return Err(unsupported(format!("CREATE OR REPLACE {} is not supported", reader.peek(0)), start)
            .with_hint("drop it first"));
    }
    if reader.accept(&["UNIQUE", "INDEX"]) {
        return index(reader, true);
    }
    if reader.accept(&["INDEX"]) {
        return index(reader, false);
    }
    if reader.accept(&["SINK"]) {
        return sink(reader);
    }
    let known = ["SCHEMA", "DATABASE", "FUNCTION", "MACRO", "TYPE", "SEQUENCE", "TRIGGER", "ROLE", "USER", "EXTENSION"];
    if reader.at_any(&known) {
        let what = reader.peek(0).to_ascii_uppercase();
        return Err(unsupported(format!("CREATE {what} is not supported"), start));
    }
    reader.unexpected(
        "TABLE, STREAM, SOURCE, VIEW, MATERIALIZED VIEW, INDEX, SINK, SUBSCRIPTION or EXTERNAL TABLE after CREATE",
    )
}

/// The parts between the parentheses of `CREATE TABLE`.
#[derive(Default)]
struct Definition {
    columns: Vec<Column>,
    primary_key: Vec<String>,
    unique: Vec<Vec<String>>,
    watermark: Option<WatermarkClause>,
}

fn relation(reader: &mut Reader, kind: CreateKind, or_replace: bool) -> Result<Statement> {
    let if_not_exists = reader.if_not_exists();
    let name = reader.name()?;
    let definition = if reader.at_token(&Token::LParen) { definition(reader)? } else { Definition::default() };
    let mut options = reader.with_options()?;
    let query = if reader.accept(&["AS"]) {
        refuse_columns_of_query(reader, &definition)?;
        Some(reader.query()?)
    } else {
        None
    };
    if query.is_some() {
        with_data(reader)?;
    }
    if options.is_empty() {
        options = reader.with_options()?;
    }
    if query.is_none() && definition.columns.is_empty() && kind != CreateKind::Source {
        return reader.unexpected("( and columns, or AS and a query");
    }
    let Definition { columns, primary_key, unique, watermark } = definition;
    Ok(Statement::CreateRelation(Box::new(CreateRelation {
        kind,
        name,
        or_replace,
        if_not_exists,
        columns,
        primary_key,
        unique,
        watermark,
        options,
        query,
    })))
}

fn refuse_columns_of_query(reader: &Reader, definition: &Definition) -> Result<()> {
    if definition.columns.is_empty() {
        return Ok(());
    }
    Err(unsupported("columns and AS cannot be given together", reader.position())
        .with_hint("create the relation with its columns, then use INSERT INTO ... SELECT"))
}

/// `WITH [NO] DATA`, as PostgreSQL writes it; without data is not supported.
fn with_data(reader: &mut Reader) -> Result<()> {
    if reader.at(&["WITH", "NO", "DATA"]) {
        return Err(unsupported("WITH NO DATA is not supported", reader.position())
            .with_hint("a query that ends in LIMIT 0 gives the columns alone"));
    }
    reader.accept(&["WITH", "DATA"]);
    Ok(())
}

fn definition(reader: &mut Reader) -> Result<Definition> {
    let mut definition = Definition::default();
    reader.in_parentheses(|reader| {
        if reader.accept(&["CONSTRAINT"]) {
            reader.identifier()?;
            if !constraint(reader, &mut definition)? {
                return reader.unexpected("PRIMARY KEY or UNIQUE");
            }
            return Ok(());
        }
        if constraint(reader, &mut definition)? {
            return Ok(());
        }
        column_into(reader, &mut definition)
    })?;
    for column in &mut definition.columns {
        if definition.primary_key.contains(&column.name) {
            column.nullable = false;
        }
    }
    Ok(definition)
}

/// A watermark or a constraint of the whole relation, if one comes next.
fn constraint(reader: &mut Reader, definition: &mut Definition) -> Result<bool> {
    let at = reader.position();
    if reader.accept(&["WATERMARK", "FOR"]) {
        let column = reader.identifier()?;
        reader.expect(&["AS"])?;
        let expression = reader.expression_text()?;
        if definition.watermark.replace(WatermarkClause { column, expression, position: at }).is_some() {
            return Err(syntax("a stream has one watermark at most", at));
        }
        return Ok(true);
    }
    if reader.accept(&["PRIMARY", "KEY"]) {
        let columns = key_columns(reader)?;
        set_primary_key(definition, columns, at)?;
        return Ok(true);
    }
    let opens = reader.parser.peek_nth_token_ref(1).token == Token::LParen;
    if opens && reader.accept(&["UNIQUE"]) {
        let columns = key_columns(reader)?;
        definition.unique.push(columns);
        return Ok(true);
    }
    if (opens && reader.at(&["CHECK"])) || reader.at(&["FOREIGN", "KEY"]) || reader.at(&["EXCLUDE", "USING"]) {
        return unsupported_constraint(reader);
    }
    if reader.at(&["LIKE"]) {
        return Err(unsupported("LIKE in CREATE TABLE is not supported", at)
            .with_hint("CREATE TABLE .. AS SELECT * FROM .. LIMIT 0 copies names and types"));
    }
    Ok(false)
}

/// The columns of a key in parentheses, each once.
fn key_columns(reader: &mut Reader) -> Result<Vec<String>> {
    let at = reader.position();
    let columns = reader.in_parentheses(|reader| reader.identifier())?;
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].contains(column) {
            let message = format!("column \"{column}\" appears twice in the key");
            return Err(syntax(&message, at).with_sqlstate("42701"));
        }
    }
    Ok(columns)
}

fn set_primary_key(definition: &mut Definition, columns: Vec<String>, at: Option<Position>) -> Result<()> {
    if !definition.primary_key.is_empty() {
        return Err(syntax("a relation has one primary key at most", at));
    }
    definition.primary_key = columns;
    Ok(())
}

fn unsupported_constraint<T>(reader: &Reader) -> Result<T> {
    let name = match reader.peek(0).to_ascii_uppercase().as_str() {
        "FOREIGN" | "REFERENCES" => "FOREIGN KEY".to_string(),
        other => other.to_string(),
    };
    let error = unsupported(format!("{name} constraints are not supported"), reader.position());
    Err(error.with_hint("PRIMARY KEY, UNIQUE and NOT NULL are enforced"))
}

/// A column with its constraints.
fn column_into(reader: &mut Reader, definition: &mut Definition) -> Result<()> {
    let position = reader.position();
    let name = reader.identifier()?;
    let sql_type = reader.parser.parse_data_type()?;
    let data_type = column_type(&sql_type).map_err(|error| crate::sql::error::located(error, position))?;
    let domain = column_domain(&sql_type);
    let mut column = Column { name, sql_type, data_type, domain, nullable: true, default: None, position };
    loop {
        let at = reader.position();
        if reader.accept(&["CONSTRAINT"]) {
            reader.identifier()?;
        } else if reader.accept(&["NOT", "NULL"]) {
            column.nullable = false;
        } else if reader.accept(&["NULL"]) {
        } else if reader.at(&["DEFAULT"]) {
            column.default = Some(default(reader)?);
        } else if reader.accept(&["PRIMARY", "KEY"]) {
            set_primary_key(definition, vec![column.name.clone()], at)?;
        } else if reader.accept(&["UNIQUE"]) {
            definition.unique.push(vec![column.name.clone()]);
        } else if reader.at_any(&["CHECK", "REFERENCES"]) {
            return unsupported_constraint(reader);
        } else if reader.at_any(&["GENERATED", "AS", "COLLATE", "AUTO_INCREMENT", "AUTOINCREMENT", "IDENTITY"]) {
            let what = reader.peek(0).to_ascii_uppercase();
            return Err(unsupported(format!("{what} is not supported in a column definition"), at));
        } else if reader.at_token(&Token::Comma) || reader.at_token(&Token::RParen) || reader.at_end() {
            break;
        } else {
            return reader.unexpected("a column constraint, , or )");
        }
    }
    if definition.columns.iter().any(|other| other.name == column.name) {
        return Err(syntax(&format!("column \"{}\" is declared twice", column.name), position).with_sqlstate("42701"));
    }
    if definition.columns.len() >= COLUMNS_MAX {
        return Err(too_complex(
            format!("more than {COLUMNS_MAX} columns"),
            position,
            "use lists, structs or several tables",
        ));
    }
    definition.columns.push(column);
    Ok(())
}

/// `DEFAULT expression`, read by sqlparser, which knows that `0 NOT NULL` is not one expression here.
pub(super) fn default(reader: &mut Reader) -> Result<ExpressionText> {
    let start = reader.parser.index() + 1;
    match reader.parser.parse_optional_column_option()? {
        Some(ColumnOption::Default(mut expression)) => {
            rewrite::on_reading(&mut expression)?;
            Ok(ExpressionText { expression, text: reader.text_since(start) })
        }
        _ => reader.unexpected("an expression after DEFAULT"),
    }
}

/// A column definition as `ALTER TABLE ... ADD COLUMN` has it.
pub(super) fn added_column(reader: &mut Reader) -> Result<Column> {
    let at = reader.position();
    let mut definition = Definition::default();
    column_into(reader, &mut definition)?;
    if !definition.primary_key.is_empty() || !definition.unique.is_empty() {
        return Err(unsupported("a new column cannot be a key", at));
    }
    match definition.columns.pop() {
        Some(column) => Ok(column),
        None => reader.unexpected("a column definition"),
    }
}

fn external_table(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    let if_not_exists = reader.if_not_exists();
    let name = reader.name()?;
    let columns = if reader.at_token(&Token::LParen) { definition(reader)?.columns } else { Vec::new() };
    let (mut format, mut location, mut options) = (None, None, Options::default());
    loop {
        if reader.accept(&["STORED", "AS"]) {
            format = Some(reader.identifier()?.to_lowercase());
        } else if reader.accept(&["LOCATION"]) {
            location = Some(reader.string("a path in quotes")?);
        } else if reader.accept(&["OPTIONS"]) {
            options = reader.options()?;
        } else if reader.accept(&["WITH", "HEADER", "ROW"]) {
            options.insert("header", "true".to_string(), reader.position());
        } else if reader.at(&["WITH", "ORDER"]) {
            return Err(unsupported("WITH ORDER is not supported", reader.position()));
        } else if reader.accept(&["WITH"]) {
            options = reader.options()?;
        } else if reader.at(&["PARTITIONED"]) {
            return Err(unsupported("PARTITIONED BY is not supported", reader.position()));
        } else {
            break;
        }
    }
    let Some(location) = location else { return reader.unexpected("LOCATION 'path'") };
    Ok(Statement::CreateExternalTable(CreateExternalTable {
        name,
        or_replace,
        if_not_exists,
        columns,
        format,
        location,
        options,
    }))
}

fn view(reader: &mut Reader, materialized: bool, or_replace: bool) -> Result<Statement> {
    let if_not_exists = reader.if_not_exists();
    let name = reader.name()?;
    let columns =
        if reader.at_token(&Token::LParen) { reader.in_parentheses(|reader| reader.identifier())? } else { Vec::new() };
    let mut options = reader.with_options()?;
    let mut refresh_every = refresh_every(reader)?;
    reader.expect(&["AS"])?;
    let (query, query_text) = reader.query_text()?;
    let emit = reader.emit()?;
    if refresh_every.is_none() {
        refresh_every = self::refresh_every(reader)?;
    }
    with_data(reader)?;
    if options.is_empty() {
        options = reader.with_options()?;
    }
    Ok(Statement::CreateView(CreateView {
        materialized,
        name,
        or_replace,
        if_not_exists,
        columns,
        options,
        refresh_every,
        query,
        query_text,
        emit,
    }))
}

/// `REFRESH EVERY interval`.
fn refresh_every(reader: &mut Reader) -> Result<Option<ast::Expr>> {
    if reader.accept(&["REFRESH", "EVERY"]) { Ok(Some(reader.expression()?)) } else { Ok(None) }
}

fn index(reader: &mut Reader, unique: bool) -> Result<Statement> {
    reader.accept(&["CONCURRENTLY"]);
    let if_not_exists = reader.if_not_exists();
    let name = if reader.at(&["ON"]) { None } else { Some(reader.identifier()?) };
    reader.expect(&["ON"])?;
    let relation = reader.name()?;
    if reader.accept(&["USING"]) && !reader.accept_any(&["BTREE", "HASH"]) {
        return Err(unsupported(format!("there is no index method {}", reader.peek(0)), reader.position())
            .with_hint("leave USING out: there is one kind of index"));
    }
    let columns = reader.in_parentheses(|reader| {
        let at = reader.position();
        if !matches!(reader.parser.peek_token_ref().token, Token::Word(_))
            || reader.parser.peek_nth_token_ref(1).token == Token::LParen
        {
            return Err(unsupported("an index over an expression is not supported", at));
        }
        let name = reader.identifier()?;
        let descending = !reader.accept(&["ASC"]) && reader.accept(&["DESC"]);
        if reader.accept(&["NULLS"]) && !reader.accept_any(&["FIRST", "LAST"]) {
            return reader.unexpected("FIRST or LAST");
        }
        Ok(IndexColumn { name, descending })
    })?;
    if reader.at(&["WHERE"]) {
        return Err(unsupported("an index over part of the rows is not supported", reader.position()));
    }
    Ok(Statement::CreateIndex(CreateIndex { name, relation, unique, if_not_exists, columns }))
}

fn sink(reader: &mut Reader) -> Result<Statement> {
    let if_not_exists = reader.if_not_exists();
    let name = reader.name()?;
    let into = if reader.accept(&["INTO"]) { Some(reader.name()?) } else { None };
    let (from, emit) = if reader.accept(&["AS"]) {
        let (query, emit) = reader.query_with_emit()?;
        (RelationOrQuery::Query(query), emit)
    } else {
        reader.expect(&["FROM"])?;
        (reader.relation_or_query()?, reader.emit()?)
    };
    let options = reader.with_options()?;
    if into.is_none() && options.is_empty() {
        return reader.unexpected("WITH (connector = ...)");
    }
    Ok(Statement::CreateSink(CreateSink { name, if_not_exists, into, from, emit, options }))
}

fn subscription(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    let if_not_exists = reader.if_not_exists();
    let name = reader.name()?;
    if !reader.accept_any(&["ON", "FROM"]) {
        return reader.unexpected("ON and a relation");
    }
    let relation = reader.name()?;
    let options = reader.with_options()?;
    Ok(Statement::CreateSubscription(CreateSubscription { name, or_replace, if_not_exists, relation, options }))
}
