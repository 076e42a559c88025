//! Statements that look: SUBSCRIBE, EXPLAIN, SHOW.

use sqlparser::ast;

use super::{Emit, Statement};
use crate::sql::name::Name;

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
    /// `SHOW SUBSCRIPTIONS`.
    Subscriptions,
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
