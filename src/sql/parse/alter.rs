//! `ALTER`: columns added, dropped, renamed, of another type, with other defaults; relations renamed.

use sqlparser::tokenizer::Token;

use super::create::{added_column, default};
use super::reader::Reader;
use crate::base::error::Result;
use crate::sql::error::{located, unsupported};
use crate::sql::statement::{Alter, AlterAction, ColumnName, Statement};
use crate::sql::types::column_type;

/// `ALTER`.
pub(super) fn alter(reader: &mut Reader) -> Result<Statement> {
    let start = reader.position();
    reader.expect(&["ALTER"])?;
    let view = reader.accept(&["MATERIALIZED", "VIEW"]) || reader.accept(&["VIEW"]);
    if !view && !reader.accept_any(&["TABLE", "STREAM", "SOURCE", "SINK"]) {
        if reader.at_any(&["INDEX", "TASK"]) {
            return Err(unsupported("only tables, streams and views can be altered", start)
                .with_hint("drop it and create it again"));
        }
        return reader.unexpected("TABLE, STREAM or VIEW after ALTER");
    }
    let if_exists = reader.if_exists();
    let relation = reader.name()?;
    let actions = reader.list(action)?;
    Ok(Statement::Alter(Box::new(Alter { relation, view, if_exists, actions })))
}

fn action(reader: &mut Reader) -> Result<AlterAction> {
    let start = reader.position();
    let is_constraint = |words: &[&str]| words.iter().any(|word| reader.peek(1).eq_ignore_ascii_case(word));
    if reader.at_any(&["ADD", "DROP"]) && is_constraint(&["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"]) {
        return Err(unsupported("ALTER does not change constraints", start)
            .with_hint("CREATE UNIQUE INDEX and DROP INDEX add and remove a unique key"));
    }
    if reader.accept(&["ADD"]) {
        reader.accept(&["COLUMN"]);
        let if_not_exists = reader.if_not_exists();
        return Ok(AlterAction::AddColumn { if_not_exists, column: added_column(reader)? });
    }
    if reader.accept(&["DROP"]) {
        reader.accept(&["COLUMN"]);
        let if_exists = reader.if_exists();
        let column = column(reader)?;
        if reader.at(&["CASCADE"]) {
            return Err(unsupported("DROP COLUMN .. CASCADE is not supported", reader.position())
                .with_hint("drop the views that read the column first"));
        }
        reader.accept(&["RESTRICT"]);
        return Ok(AlterAction::DropColumn { if_exists, column });
    }
    if reader.accept(&["RENAME"]) {
        if reader.accept(&["TO"]) {
            return Ok(AlterAction::Rename { to: reader.name()? });
        }
        reader.accept(&["COLUMN"]);
        let column = column(reader)?;
        reader.expect(&["TO"])?;
        return Ok(AlterAction::RenameColumn { column, to: reader.identifier()? });
    }
    if reader.accept(&["PAUSE"]) {
        return Ok(AlterAction::Pause);
    }
    if reader.accept(&["RESUME"]) {
        return Ok(AlterAction::Resume);
    }
    if reader.accept(&["ALTER"]) {
        return alter_column(reader);
    }
    if reader.at_any(&["SET", "OWNER", "MODIFY", "ENABLE", "DISABLE", "RESET", "CHANGE"]) {
        let what = reader.peek(0).to_ascii_uppercase();
        return Err(unsupported(format!("ALTER .. {what} is not supported"), start));
    }
    reader.unexpected("ADD, DROP, RENAME or ALTER COLUMN")
}

fn alter_column(reader: &mut Reader) -> Result<AlterAction> {
    reader.accept(&["COLUMN"]);
    let column = column(reader)?;
    if reader.accept(&["SET", "DATA", "TYPE"]) || reader.accept(&["TYPE"]) {
        let position = reader.position();
        let sql_type = reader.parser.parse_data_type()?;
        let data_type = column_type(&sql_type).map_err(|error| located(error, position))?;
        if reader.at(&["USING"]) {
            return Err(unsupported("ALTER COLUMN .. TYPE .. USING is not supported", reader.position())
                .with_hint("ADD COLUMN, UPDATE it from the old one, DROP COLUMN the old one"));
        }
        return Ok(AlterAction::SetType { column, sql_type, data_type });
    }
    if reader.accept(&["SET", "NOT", "NULL"]) {
        return Ok(AlterAction::SetNullable { column, nullable: false });
    }
    if reader.accept(&["DROP", "NOT", "NULL"]) {
        return Ok(AlterAction::SetNullable { column, nullable: true });
    }
    if reader.accept(&["DROP", "DEFAULT"]) {
        return Ok(AlterAction::SetDefault { column, default: None });
    }
    if reader.accept(&["SET"]) {
        let default = Some(default(reader)?);
        return Ok(AlterAction::SetDefault { column, default });
    }
    reader.unexpected("TYPE, SET or DROP behind the column")
}

fn column(reader: &mut Reader) -> Result<ColumnName> {
    let position = reader.position();
    if reader.at_token(&Token::Comma) || reader.at_end() {
        return reader.unexpected("a column");
    }
    Ok(ColumnName { name: reader.identifier()?, position })
}
