//! `UPDATE` and `DELETE`.

use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::reader::Reader;
use crate::base::error::Result;
use crate::sql::error::{syntax, unsupported};
use crate::sql::rewrite;
use crate::sql::statement::{Assignment, Delete, Statement, Update};

/// `UPDATE`.
pub(super) fn update(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["UPDATE"])?;
    let relation = reader.name()?;
    let alias = alias(reader, "SET")?;
    reader.expect(&["SET"])?;
    let assignments = assignments(reader, alias.as_deref().unwrap_or(relation.own()))?;
    let from = if reader.accept(&["FROM"]) { from_list(reader)? } else { Vec::new() };
    let selection = where_clause(reader)?;
    no_order_or_limit(reader)?;
    reader.no_returning()?;
    Ok(Statement::Update(Box::new(Update { relation, alias, assignments, from, selection })))
}

/// `DELETE`.
pub(super) fn delete(reader: &mut Reader) -> Result<Statement> {
    reader.expect(&["DELETE", "FROM"])?;
    let relation = reader.name()?;
    let alias = alias(reader, "USING")?;
    let using = if reader.accept(&["USING"]) { from_list(reader)? } else { Vec::new() };
    let selection = where_clause(reader)?;
    no_order_or_limit(reader)?;
    reader.no_returning()?;
    Ok(Statement::Delete(Delete { relation, alias, using, selection }))
}

/// `[AS] alias`, unless `next` or another clause comes.
fn alias(reader: &mut Reader, next: &str) -> Result<Option<String>> {
    if reader.accept(&["AS"]) {
        return Ok(Some(reader.identifier()?));
    }
    let is_clause = reader.at_any(&[next, "WHERE", "RETURNING", "ORDER", "LIMIT"]);
    let is_word = matches!(reader.parser.peek_token_ref().token, Token::Word(_));
    if is_word && !is_clause { Ok(Some(reader.identifier()?)) } else { Ok(None) }
}

fn from_list(reader: &mut Reader) -> Result<Vec<ast::TableWithJoins>> {
    let mut from = reader.list(|reader| Ok(reader.parser.parse_table_and_joins()?))?;
    rewrite::from_on_reading(&mut from)?;
    Ok(from)
}

/// `WHERE ...`, if it comes next.
pub(super) fn where_clause(reader: &mut Reader) -> Result<Option<ast::Expr>> {
    if reader.accept(&["WHERE"]) { Ok(Some(reader.expression()?)) } else { Ok(None) }
}

fn no_order_or_limit(reader: &Reader) -> Result<()> {
    if reader.at_any(&["ORDER", "LIMIT"]) {
        return Err(unsupported("ORDER BY and LIMIT are not supported in UPDATE and DELETE", reader.position())
            .with_hint("choose the rows with WHERE key IN (SELECT ... ORDER BY ... LIMIT ...)"));
    }
    Ok(())
}

/// `column = value, (column, column) = (value, value), ...` of the relation called `target`.
pub(super) fn assignments(reader: &mut Reader, target: &str) -> Result<Vec<Assignment>> {
    let groups = reader.list(|reader| {
        let at = reader.position();
        if !reader.at_token(&Token::LParen) {
            let column = assigned(reader, target)?;
            reader.expect_token(&Token::Eq)?;
            return Ok(vec![Assignment { column, value: reader.expression()?, position: at }]);
        }
        let columns = reader.in_parentheses(|reader| assigned(reader, target))?;
        reader.expect_token(&Token::Eq)?;
        reader.accept(&["ROW"]);
        let values = match reader.expression()? {
            ast::Expr::Tuple(values) => values,
            ast::Expr::Nested(value) => vec![*value],
            ast::Expr::Subquery(query) if columns.len() > 1 => rewrite::fields_of(&query, columns.len())?,
            value => vec![value],
        };
        if values.len() != columns.len() {
            return Err(syntax(&format!("{} columns are assigned {} values", columns.len(), values.len()), at));
        }
        let pairs = columns.into_iter().zip(values);
        Ok(pairs.map(|(column, value)| Assignment { column, value, position: at }).collect())
    })?;
    Ok(groups.into_iter().flatten().collect())
}

/// The column of an assignment; before it may stand the name of the relation that is changed, and no other.
fn assigned(reader: &mut Reader, target: &str) -> Result<String> {
    let at = reader.position();
    let mut column = reader.identifier()?;
    if reader.accept_token(&Token::Period) {
        let before = std::mem::replace(&mut column, reader.identifier()?);
        if before != target || reader.at_token(&Token::Period) {
            let error = unsupported(format!("{before}.{column} cannot be assigned: it is no column of {target}"), at);
            return Err(error.with_hint("assign a whole column; a field of it changes with its struct"));
        }
    }
    Ok(column)
}
