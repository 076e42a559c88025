//! Statements that change rows: INSERT, UPDATE, DELETE, COPY.

use sqlparser::ast;

use super::RelationOrQuery;
use crate::base::error::Position;
use crate::sql::name::Name;
use crate::sql::options::Options;

/// `INSERT INTO relation [(columns)] [BY NAME] source [ON CONFLICT ...]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The target.
    pub relation: Name,
    /// The columns given; empty means all, in order.
    pub columns: Vec<String>,
    /// `BY NAME`: the columns of the query are matched by name.
    pub by_name: bool,
    /// The rows.
    pub source: InsertSource,
    /// What happens to a row whose key exists.
    pub on_conflict: Option<OnConflict>,
}

/// Where inserted rows come from.
#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    /// `VALUES ...` (a query whose body is `SetExpr::Values`) or any other query. The keyword DEFAULT as a value is
    /// recognised by [`is_default`].
    Query(Box<ast::Query>),
    /// `DEFAULT VALUES`: one row of defaults.
    DefaultValues,
}

/// Whether `value` is the keyword DEFAULT in a `VALUES` list or an assignment.
pub fn is_default(value: &ast::Expr) -> bool {
    matches!(value, ast::Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

/// `ON CONFLICT [(columns)] DO NOTHING | UPDATE SET ... [WHERE ...]`.
#[derive(Debug, Clone, PartialEq)]
pub struct OnConflict {
    /// The key; empty means the primary key or, for DO NOTHING, any unique key.
    pub columns: Vec<String>,
    /// What to do.
    pub action: ConflictAction,
}

/// What happens to an inserted row whose key exists.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // There is one in a statement at most.
pub enum ConflictAction {
    /// `DO NOTHING`: the new row is dropped.
    Nothing,
    /// `DO UPDATE`: the old row changes. `excluded.column` is the new row's value.
    Update {
        /// `SET ...`.
        assignments: Vec<Assignment>,
        /// `WHERE ...`: old rows that fail it stay as they are.
        selection: Option<ast::Expr>,
    },
}

/// `column = value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The column.
    pub column: String,
    /// Its new value.
    pub value: ast::Expr,
    /// Where the column stands.
    pub position: Option<Position>,
}

/// `UPDATE relation [AS alias] SET assignments [FROM from] [WHERE selection]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The target.
    pub relation: Name,
    /// Another name for it within the statement, normalised.
    pub alias: Option<String>,
    /// `SET ...`.
    pub assignments: Vec<Assignment>,
    /// `FROM ...`; empty where there is none.
    pub from: Vec<ast::TableWithJoins>,
    /// `WHERE ...`.
    pub selection: Option<ast::Expr>,
}

/// `DELETE FROM relation [AS alias] [USING using] [WHERE selection]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// The target.
    pub relation: Name,
    /// Another name for it within the statement, normalised.
    pub alias: Option<String>,
    /// `USING ...`; empty where there is none.
    pub using: Vec<ast::TableWithJoins>,
    /// `WHERE ...`.
    pub selection: Option<ast::Expr>,
}

/// `COPY relation [(columns)] | (query) TO 'path' [(options)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyTo {
    /// What is written; a relation with columns becomes a query.
    pub source: RelationOrQuery,
    /// The file.
    pub path: String,
    /// Options of the writer, `format` among them, keys lower case.
    pub options: Options,
}

/// `COPY relation [(columns)] FROM 'path' [(options)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyFrom {
    /// The target.
    pub relation: Name,
    /// The columns given; empty means all.
    pub columns: Vec<String>,
    /// A file, directory or pattern.
    pub path: String,
    /// Options of the reader, `format` among them, keys lower case.
    pub options: Options,
}
