//! What a statement says: the syntax tree between the parser and the database.
//!
//! Names of relations and columns are normalised as in PostgreSQL: unquoted identifiers are lower case, quoted ones
//! stand as written. Queries and expressions are sqlparser trees after the friendly rewrites (`super::friendly`);
//! identifiers inside them keep their spelling, the planner normalises them. Every span and [`Position`] counts from
//! the start of the whole script given to `parse`. Nothing here has been checked against a catalog.

mod definition;

use arrow::datatypes::DataType;
use sqlparser::ast;

use super::name::Name;
use super::options::Options;
use crate::base::error::Position;

pub use definition::{
    Alter, AlterAction, Column, ColumnName, CreateExternalTable, CreateIndex, CreateKind, CreateRelation, CreateSink,
    CreateView, Drop, DropKind, ExpressionText, IndexColumn, WatermarkClause,
};

/// One SQL statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `SELECT`, `FROM`, `WITH`, `VALUES`, `TABLE`: a query run once.
    Query {
        /// The query.
        query: Box<ast::Query>,
        /// The trailing `EMIT` clause.
        emit: Option<Emit>,
    },
    /// `CREATE TABLE | STREAM | SOURCE`, also `AS query`.
    CreateRelation(Box<CreateRelation>),
    /// `CREATE EXTERNAL TABLE`: files as a relation.
    CreateExternalTable(CreateExternalTable),
    /// `CREATE [MATERIALIZED] VIEW`.
    CreateView(CreateView),
    /// `CREATE [UNIQUE] INDEX`.
    CreateIndex(CreateIndex),
    /// `CREATE SINK`.
    CreateSink(CreateSink),
    /// `DROP ...`.
    Drop(Drop),
    /// `ALTER TABLE | STREAM | VIEW ...`.
    Alter(Box<Alter>),
    /// `INSERT`.
    Insert(Insert),
    /// `UPDATE`.
    Update(Box<Update>),
    /// `DELETE`.
    Delete(Delete),
    /// `TRUNCATE [TABLE]`: all rows of these tables go.
    Truncate {
        /// The tables.
        relations: Vec<Name>,
    },
    /// `COPY ... TO 'path'`.
    CopyTo(CopyTo),
    /// `COPY relation FROM 'path'`.
    CopyFrom(CopyFrom),
    /// `BEGIN`, `BEGIN TRANSACTION | WORK`, `START TRANSACTION`.
    Begin {
        /// Whether `READ ONLY` was asked for.
        read_only: bool,
    },
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `SUBSCRIBE`.
    Subscribe(Subscribe),
    /// `VERIFY MATERIALIZED VIEW name`.
    Verify {
        /// The materialized view.
        name: Name,
    },
    /// `REFRESH MATERIALIZED VIEW name`.
    Refresh {
        /// The materialized view.
        name: Name,
    },
    /// `EXPLAIN`.
    Explain(Explain),
    /// `SHOW`.
    Show(Show),
    /// `DESCRIBE`: names and types of columns.
    Describe {
        /// What is described.
        target: RelationOrQuery,
    },
    /// `SUMMARIZE`: statistics of each column.
    Summarize {
        /// What is summarized.
        target: RelationOrQuery,
    },
    /// `SET name = value`.
    Set {
        /// The setting, lower case, dots included.
        name: String,
        /// The value as text: literals without their quotes.
        value: String,
    },
    /// `RESET name`, `RESET ALL`, `SET name = DEFAULT`.
    Reset {
        /// The setting; `None` means all.
        name: Option<String>,
    },
    /// `PREPARE name [(types)] AS statement`.
    Prepare {
        /// The prepared statement's name.
        name: String,
        /// The declared parameter types; may be fewer than the parameters.
        types: Vec<DataType>,
        /// The statement; never itself `PREPARE`, `EXECUTE` or `DEALLOCATE`.
        statement: Box<Statement>,
        /// The statement as typed, from which it can be parsed again.
        text: String,
    },
    /// `EXECUTE name (arguments)`.
    Execute {
        /// The prepared statement's name.
        name: String,
        /// The arguments in the order written.
        arguments: Vec<Argument>,
    },
    /// `DEALLOCATE name`, `DEALLOCATE ALL`.
    Deallocate {
        /// The prepared statement's name; `None` means all.
        name: Option<String>,
    },
    /// `ADVANCE WATERMARK OF relation TO expression`.
    AdvanceWatermark {
        /// The stream.
        relation: Name,
        /// The new watermark, a constant expression.
        to: ast::Expr,
    },
    /// `FLUSH relation`: end of stream.
    Flush {
        /// The stream.
        relation: Name,
    },
    /// `CHECKPOINT`.
    Checkpoint,
}

/// When a continuous query gives out rows; without a clause it is current after every epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// `EMIT ON WINDOW CLOSE`, `EMIT FINAL`: the rows whose window is closed.
    OnWindowClose,
}

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

/// `SUBSCRIBE [TO] relation | (query) [WITH (snapshot = ..., progress = ...)] [AS OF epoch]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// The query; `SELECT * FROM relation` where a relation was named.
    pub query: Box<ast::Query>,
    /// The query as typed, without `EMIT`; parsing it again gives `query`, but for positions.
    pub query_text: String,
    /// The relation, where one was named.
    pub relation: Option<Name>,
    /// `EMIT ...`.
    pub emit: Option<Emit>,
    /// `snapshot = ...`; `None` where it was not said.
    pub snapshot: Option<bool>,
    /// `progress = ...`; `None` where it was not said.
    pub progress: Option<bool>,
    /// `AS OF epoch`: the last epoch seen.
    pub as_of: Option<u64>,
}

/// `EXPLAIN [ANALYZE] [VERBOSE] target`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// `ANALYZE`: run it and measure.
    pub analyze: bool,
    /// What was asked for and changes nothing: `VERBOSE`, `BUFFERS` ...
    pub ignored: Vec<String>,
    /// What is explained.
    pub target: ExplainTarget,
}

/// What `EXPLAIN` looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum ExplainTarget {
    /// A statement; never itself EXPLAIN.
    Statement(Box<Statement>),
    /// `MATERIALIZED VIEW name`.
    MaterializedView(Name),
    /// `WINDOW name`: why has it not fired.
    Window(Name),
}

/// `SHOW what [FROM schema] [LIKE 'pattern']`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Show {
    /// What is shown.
    pub what: ShowWhat,
    /// `LIKE 'pattern'`.
    pub like: Option<String>,
}

/// What `SHOW` lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShowWhat {
    /// `SHOW TABLES`: all relations.
    Tables,
    /// `SHOW STREAMS`.
    Streams,
    /// `SHOW VIEWS`: plain and materialized.
    Views,
    /// `SHOW MATERIALIZED VIEWS`.
    MaterializedViews,
    /// `SHOW SOURCES`.
    Sources,
    /// `SHOW SINKS`.
    Sinks,
    /// `SHOW INDEXES [FROM relation]`.
    Indexes(Option<Name>),
    /// `SHOW COLUMNS FROM relation`.
    Columns(Name),
    /// `SHOW FUNCTIONS`.
    Functions,
    /// `SHOW SETTINGS`, `SHOW ALL`.
    Settings,
    /// `SHOW name`: one setting.
    Setting(String),
    /// `SHOW CREATE [kind] name`.
    Create(Name),
}

/// A relation by name, or a query.
#[derive(Debug, Clone, PartialEq)]
pub enum RelationOrQuery {
    /// A relation by name.
    Relation(Name),
    /// A query.
    Query(Box<ast::Query>),
}

/// An argument of `EXECUTE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// The parameter for `name => value` and `$name = value`, without the dollar sign; `None` for positional ones.
    pub name: Option<String>,
    /// Its value, a constant expression.
    pub value: ast::Expr,
}
