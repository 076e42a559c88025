//! What a statement says: the syntax tree between the parser and the database.
//!
//! Names of relations and columns are normalised as in PostgreSQL: unquoted identifiers are lower case, quoted ones
//! stand as written. Queries and expressions are sqlparser trees as [`super::rewrite`] leaves them when they are read;
//! identifiers inside them keep their spelling, the planner normalises them. Every span and `Position` counts from
//! the start of the whole script given to `parse`. Nothing here has been checked against a catalog.

mod change;
mod definition;
mod look;

use arrow::datatypes::DataType;
use sqlparser::ast;

pub use self::change::*;
pub use self::definition::*;
pub use self::look::*;
use super::name::Name;

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
    /// `CREATE SUBSCRIPTION`.
    CreateSubscription(CreateSubscription),
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
    /// `SUBSCRIBE SUBSCRIPTION name`: go on reading where it was acknowledged.
    Resume {
        /// The subscription.
        name: Name,
    },
    /// `ACKNOWLEDGE SUBSCRIPTION name UP TO epoch`.
    Acknowledge {
        /// The subscription.
        name: Name,
        /// The last epoch that is not wanted again.
        epoch: u64,
    },
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
    /// `BACKUP DATABASE TO 'directory'`.
    Backup {
        /// A directory that is empty or does not exist.
        directory: String,
    },
    /// `EXPORT DATABASE 'directory' [(FORMAT ..)]`.
    Export {
        /// A directory that is empty or does not exist.
        directory: String,
        /// The format of the files of rows.
        format: String,
    },
    /// `IMPORT DATABASE 'directory'`.
    Import {
        /// A directory that an export has written.
        directory: String,
    },
    /// `PRAGMA integrity_check`.
    IntegrityCheck,
}

/// When a continuous query gives out rows; without a clause it is current after every epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// `EMIT ON WINDOW CLOSE`, `EMIT FINAL`: the rows whose window is closed.
    OnWindowClose,
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
