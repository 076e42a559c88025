//! Statements that define: CREATE, DROP, ALTER.

use arrow::datatypes::DataType;
use sqlparser::ast;

use super::{Emit, RelationOrQuery};
use crate::base::domain::Domain;
use crate::base::error::Position;
use crate::sql::name::Name;
use crate::sql::options::Options;

/// Which kind of relation `CREATE` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateKind {
    /// `CREATE TABLE`.
    Table,
    /// `CREATE STREAM`.
    Stream,
    /// `CREATE SOURCE`: a stream fed by a connector.
    Source,
}

/// `CREATE [OR REPLACE] TABLE | STREAM | SOURCE [IF NOT EXISTS] name (...) [WITH (...)] [AS query]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRelation {
    /// Table, stream or source.
    pub kind: CreateKind,
    /// The new relation.
    pub name: Name,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// The declared columns; empty where the query gives them (`AS query`) or the files do.
    pub columns: Vec<Column>,
    /// The columns of the primary key, from a column or a table constraint; empty where there is none.
    pub primary_key: Vec<String>,
    /// The columns of each `UNIQUE` constraint.
    pub unique: Vec<Vec<String>>,
    /// `WATERMARK FOR column AS expression`.
    pub watermark: Option<WatermarkClause>,
    /// `WITH (...)`.
    pub options: Options,
    /// `AS query`.
    pub query: Option<Box<ast::Query>>,
}

/// A column definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as written.
    pub sql_type: ast::DataType,
    /// Its type as a relation holds it.
    pub data_type: DataType,
    /// The rule that its texts keep, if it has one.
    pub domain: Option<Domain>,
    /// False for `NOT NULL` and for columns of the primary key.
    pub nullable: bool,
    /// `DEFAULT expression`.
    pub default: Option<ExpressionText>,
    /// Where its name stands.
    pub position: Option<Position>,
}

/// An expression that the catalog keeps as text.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpressionText {
    /// The expression, rewritten.
    pub expression: ast::Expr,
    /// The expression as typed; [`crate::sql::parse_expression`] gives `expression` again, but for positions.
    pub text: String,
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone, PartialEq)]
pub struct WatermarkClause {
    /// The event-time column.
    pub column: String,
    /// The watermark of a row, over the relation's columns.
    pub expression: ExpressionText,
    /// Where the clause stands.
    pub position: Option<Position>,
}

/// `CREATE EXTERNAL TABLE name [(columns)] STORED AS format LOCATION 'path' [OPTIONS | WITH (...)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateExternalTable {
    /// The new relation.
    pub name: Name,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// The declared columns; empty where the files give them.
    pub columns: Vec<Column>,
    /// The format, lower case; `None` means by content.
    pub format: Option<String>,
    /// A file, directory or pattern.
    pub location: String,
    /// Options of the reader.
    pub options: Options,
}

/// `CREATE [OR REPLACE] [MATERIALIZED] VIEW [IF NOT EXISTS] name [(columns)] [WITH (...)] AS query [EMIT ...]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// Whether its result is kept.
    pub materialized: bool,
    /// The new view.
    pub name: Name,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// New names for the first columns of the query.
    pub columns: Vec<String>,
    /// `WITH (...)`.
    pub options: Options,
    /// `REFRESH EVERY interval`, before or after the query: the interval.
    pub refresh_every: Option<ast::Expr>,
    /// The query.
    pub query: Box<ast::Query>,
    /// The query as typed, without `EMIT`; parsing it again gives `query`, but for positions.
    pub query_text: String,
    /// `EMIT ...`.
    pub emit: Option<Emit>,
}

/// `CREATE [UNIQUE] INDEX [IF NOT EXISTS] [name] ON relation (columns)`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateIndex {
    /// The index; `None` where it was left out.
    pub name: Option<String>,
    /// The indexed relation.
    pub relation: Name,
    /// Whether equal keys are refused.
    pub unique: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// The key columns.
    pub columns: Vec<IndexColumn>,
}

/// A key column of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexColumn {
    /// The column.
    pub name: String,
    /// `DESC`.
    pub descending: bool,
}

/// `CREATE SINK name [INTO relation] FROM relation [WITH (...)]`, or `AS query` in place of `FROM`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSink {
    /// The new sink.
    pub name: Name,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// The stream it feeds; `None` where a connector is named in the options.
    pub into: Option<Name>,
    /// What is fed.
    pub from: RelationOrQuery,
    /// `EMIT ...`.
    pub emit: Option<Emit>,
    /// `WITH (...)`.
    pub options: Options,
}

/// `CREATE [OR REPLACE] SUBSCRIPTION [IF NOT EXISTS] name ON relation [WITH (...)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSubscription {
    /// The new subscription.
    pub name: Name,
    /// `OR REPLACE`: it begins anew.
    pub or_replace: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// What is followed.
    pub relation: Name,
    /// `WITH (...)`.
    pub options: Options,
}

/// What `DROP` takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropKind {
    /// `DROP TABLE`.
    Table,
    /// `DROP STREAM`.
    Stream,
    /// `DROP SOURCE`.
    Source,
    /// `DROP VIEW`.
    View,
    /// `DROP MATERIALIZED VIEW`.
    MaterializedView,
    /// `DROP INDEX`.
    Index,
    /// `DROP SINK`.
    Sink,
    /// `DROP SUBSCRIPTION`.
    Subscription,
}

/// `DROP kind [IF EXISTS] names [CASCADE | RESTRICT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    /// The kind of object.
    pub kind: DropKind,
    /// The objects.
    pub names: Vec<Name>,
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// `CASCADE`.
    pub cascade: bool,
}

/// `ALTER TABLE | STREAM | VIEW | MATERIALIZED VIEW [IF EXISTS] relation action, ...`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alter {
    /// The relation.
    pub relation: Name,
    /// Whether a view was named, which can only be renamed.
    pub view: bool,
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// What is changed, in order; all of it or nothing.
    pub actions: Vec<AlterAction>,
}

/// One change of a relation.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterAction {
    /// `ADD [COLUMN] [IF NOT EXISTS] column`.
    AddColumn {
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
        /// The new column.
        column: Column,
    },
    /// `DROP [COLUMN] [IF EXISTS] column`.
    DropColumn {
        /// `IF EXISTS`.
        if_exists: bool,
        /// The column.
        column: ColumnName,
    },
    /// `RENAME [COLUMN] column TO name`.
    RenameColumn {
        /// The column.
        column: ColumnName,
        /// Its new name.
        to: String,
    },
    /// `PAUSE`, of a source.
    Pause,
    /// `RESUME`, of a source.
    Resume,
    /// `RENAME TO name`.
    Rename {
        /// The relation's new name.
        to: Name,
    },
    /// `ALTER [COLUMN] column [SET DATA] TYPE type`.
    SetType {
        /// The column.
        column: ColumnName,
        /// Its new type as written.
        sql_type: ast::DataType,
        /// Its new type as a relation holds it.
        data_type: DataType,
    },
    /// `ALTER [COLUMN] column SET DEFAULT expression`, or `DROP DEFAULT`.
    SetDefault {
        /// The column.
        column: ColumnName,
        /// The default; `None` to have none.
        default: Option<ExpressionText>,
    },
    /// `ALTER [COLUMN] column SET NOT NULL`, or `DROP NOT NULL`.
    SetNullable {
        /// The column.
        column: ColumnName,
        /// Whether it may be NULL from now on.
        nullable: bool,
    },
}

/// A column that a statement names, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnName {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub position: Option<Position>,
}
