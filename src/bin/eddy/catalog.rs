//! What the shell asks the database about itself: names for Tab, definitions for `.schema`.
//!
//! It asks in SQL, as any user could.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::DataType;
use eddydb::{Connection, Outcome, Result};

/// The names of all relations and of their columns, each once. Without an answer there are none: Tab is no place for
/// errors.
pub fn names(connection: &Connection) -> Vec<String> {
    let mut names = texts(connection, "SELECT name FROM eddy.relations", "name").unwrap_or_default();
    names.extend(
        texts(connection, "SELECT DISTINCT column_name FROM information_schema.columns", "column_name")
            .unwrap_or_default(),
    );
    names.sort_unstable();
    names.dedup();
    names
}

/// The statement that makes a relation again, or those of all relations.
pub fn definitions(connection: &Connection, name: &str) -> Result<Vec<String>> {
    let names = match name {
        "" => texts(connection, "SHOW TABLES", "name")?.iter().map(|name| quoted(name)).collect(),
        name => vec![name.to_string()],
    };
    let mut definitions = vec![];
    for name in names {
        definitions.extend(texts(connection, &format!("SHOW CREATE {name}"), "sql")?);
    }
    Ok(definitions)
}

/// A column of a result as text.
fn texts(connection: &Connection, sql: &str, column: &str) -> Result<Vec<String>> {
    let Outcome::Rows(rows) = connection.run(sql)? else {
        return Ok(vec![]);
    };
    let mut texts = vec![];
    for batch in rows {
        texts.extend(column_texts(&batch?, column)?);
    }
    Ok(texts)
}

fn column_texts(batch: &RecordBatch, column: &str) -> Result<Vec<String>> {
    let Some(column) = batch.column_by_name(column) else {
        return Ok(vec![]);
    };
    let column = arrow::compute::cast(column, &DataType::Utf8View)?;
    Ok(column.as_string_view().iter().flatten().map(str::to_string).collect())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    #[test]
    fn columns_are_read_by_name() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]));
        let batch = RecordBatch::try_from_iter([("name", column)]).unwrap();
        assert_eq!(column_texts(&batch, "name").unwrap(), ["a", "b"]);
        assert_eq!(column_texts(&batch, "other").unwrap(), Vec::<String>::new());
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
