//! The definition of one relation: identity, columns, keys, the query of a view.
//!
//! Plain data and immutable; DDL makes a new one. It holds no contents.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};

use crate::base::domain::Domain;
use crate::base::time::zone::Zone;
use crate::base::types::sql_type_name;
use crate::catalog::layout::{ColumnId, Layout};

/// Identifies a relation for ever; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationId(pub u64);

impl fmt::Display for RelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// The kinds of relation. All but followers are read in FROM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// Mutable rows.
    Table,
    /// Append-only rows.
    Stream,
    /// A name for a query.
    View,
    /// A continuous query whose result is kept.
    MaterializedView,
    /// A follower of a relation whose changes wait until they are acknowledged.
    Subscription,
    /// A follower of a relation whose changes go elsewhere.
    Sink,
}

impl RelationKind {
    /// Whether it has rows of its own that commits write.
    pub fn is_stored(self) -> bool {
        matches!(self, RelationKind::Table | RelationKind::Stream)
    }

    /// Whether it has no rows, but is given the changes of a relation and remembers how far it has come.
    pub fn is_follower(self) -> bool {
        matches!(self, RelationKind::Subscription | RelationKind::Sink)
    }

    /// Whether it is a query, materialized or not.
    pub fn is_view(self) -> bool {
        matches!(self, RelationKind::View | RelationKind::MaterializedView)
    }

    /// The kind in SQL words, lower case.
    pub fn name(self) -> &'static str {
        match self {
            RelationKind::Table => "table",
            RelationKind::Stream => "stream",
            RelationKind::View => "view",
            RelationKind::MaterializedView => "materialized view",
            RelationKind::Subscription => "subscription",
            RelationKind::Sink => "sink",
        }
    }
}

/// Where a column's event time stands against the watermark: `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// The position of the event-time column.
    pub column: usize,
    /// The expression as SQL text, over the stream's columns.
    pub expression: String,
}

/// A relation's definition.
#[derive(Debug, Clone)]
pub struct Relation {
    /// Its identity.
    pub id: RelationId,
    /// Its name, folded to lower case unless it was quoted.
    pub name: String,
    /// Its kind.
    pub kind: RelationKind,
    /// Its columns in canonical types; `is_nullable` is enforced at the door.
    pub schema: SchemaRef,
    /// The identity of each column.
    pub columns: Arc<[ColumnId]>,
    /// Per column, what rows have that were stored before it was added.
    pub missing: Arc<[Option<ArrayRef>]>,
    /// The identity of the next column added; all smaller ones were given away.
    pub next_column: u32,
    /// Per column, the DEFAULT expression as SQL text.
    pub defaults: Vec<Option<String>>,
    /// The rules that the texts of columns keep: UUID, JSON, a length.
    pub domains: BTreeMap<ColumnId, Domain>,
    /// The columns of the enforced primary key; empty where there is none.
    pub primary_key: Vec<usize>,
    /// Further enforced unique keys, as column positions, with the index that declared them.
    pub unique: Vec<(String, Vec<usize>)>,
    /// Index hints: name and column positions.
    pub indexes: Vec<(String, Vec<usize>)>,
    /// The stream's watermark declaration.
    pub watermark: Option<Watermark>,
    /// `WITH (...)` options as written.
    pub options: BTreeMap<String, String>,
    /// The query of a view, as SQL text (without EMIT).
    pub query: Option<String>,
    /// The relations the query of a view reads directly.
    pub dependencies: Vec<RelationId>,
    /// Per relation read, the columns it had when the view was made: the query does not see those added since.
    pub columns_read: BTreeMap<RelationId, Arc<[ColumnId]>>,
    /// Whether the query of a view depends on the epoch's time, by itself or through a view below.
    pub uses_now: bool,
    /// The settings of the session that made the view, by name: its query means under them what it meant then.
    pub settings: BTreeMap<String, String>,
}

/// The stream that keeps the records of sources that are no rows: `eddy.dead_letters`.
pub const DEAD_LETTERS: &str = "eddy.dead_letters";

/// The option that says where the rows of a stream come from, or go to.
const CONNECTOR: &str = "connector";
/// The option that says that a sink writes changes, with their epoch and weight, and not rows.
pub const CHANGES: &str = "changes";
/// The option that says that a connector rests.
pub const PAUSED: &str = "paused";

/// The setting that says in which time zone TIMESTAMPTZ is read and shown.
pub const TIMEZONE: &str = "timezone";

impl Relation {
    /// Whether it is a stream that a connector feeds.
    pub fn is_source(&self) -> bool {
        self.kind == RelationKind::Stream && self.options.contains_key(CONNECTOR)
    }

    /// Whether a thread of its own feeds or drains it.
    pub fn is_pumped(&self) -> bool {
        self.is_source() || self.kind == RelationKind::Sink
    }

    /// Whether its connector rests until it is resumed.
    pub fn is_paused(&self) -> bool {
        let words = ["true", "on", "yes", "1"];
        self.options.get(PAUSED).is_some_and(|value| words.contains(&value.to_ascii_lowercase().as_str()))
    }

    /// The definition as a copy of the database has it: a connector rests there until it is told to go on, because the
    /// original's goes on.
    pub fn at_rest(&self) -> Self {
        let mut relation = self.clone();
        if self.is_pumped() {
            relation.options.insert(PAUSED.to_string(), true.to_string());
        }
        relation
    }

    /// The time zone under which the query of this view was made; UTC for what is no view.
    pub fn zone(&self) -> Zone {
        self.settings.get(TIMEZONE).and_then(|name| Zone::parse(name).ok()).unwrap_or(Zone::UTC)
    }

    /// `other` as the query of this view sees it: with those columns it had when the view was made.
    pub fn sees(&self, other: &Arc<Relation>) -> Arc<Relation> {
        match self.columns_read.get(&other.id) {
            Some(columns) if *columns != other.columns => Arc::new(other.with_columns(columns)),
            _ => other.clone(),
        }
    }

    /// The rule that the texts of a column keep, if it has one.
    pub fn domain(&self, column: usize) -> Option<Domain> {
        self.domains.get(self.columns.get(column)?).copied()
    }

    /// The relation with these rules for its columns, by position.
    pub fn with_domains(mut self, domains: impl IntoIterator<Item = Option<Domain>>) -> Self {
        let columns = self.columns.iter().copied().zip(domains);
        self.domains = columns.filter_map(|(column, domain)| Some((column, domain?))).collect();
        self
    }

    /// The type of a column as it was declared.
    pub fn type_name(&self, column: usize) -> String {
        match self.domain(column) {
            Some(domain) => domain.to_string(),
            None => sql_type_name(self.schema.field(column).data_type()),
        }
    }

    /// The columns by identity.
    pub fn layout(&self) -> Layout {
        Layout { schema: self.schema.clone(), ids: self.columns.clone(), missing: self.missing.clone() }
    }

    /// The relation with the columns of `wanted` that it has: to be read, not to be written.
    fn with_columns(&self, wanted: &[ColumnId]) -> Relation {
        let places: Vec<usize> =
            wanted.iter().filter_map(|id| self.columns.iter().position(|other| other == id)).collect();
        let fields: Vec<_> = places.iter().map(|&place| self.schema.fields()[place].clone()).collect();
        Relation {
            schema: Arc::new(Schema::new(fields)),
            columns: places.iter().map(|&place| self.columns[place]).collect(),
            missing: places.iter().map(|&place| self.missing[place].clone()).collect(),
            defaults: Vec::new(),
            primary_key: positions(&self.primary_key, &places),
            unique: keys(&self.unique, &places),
            indexes: keys(&self.indexes, &places),
            ..self.clone()
        }
    }

    /// The name of a unique key over these columns that was given none.
    pub fn key_name(&self, columns: &[usize]) -> String {
        let names: Vec<&str> = columns.iter().map(|&column| self.schema.field(column).name().as_str()).collect();
        format!("{}_{}_key", self.name, names.join("_"))
    }

    /// A relation of columns alone: no keys, defaults, options or query.
    pub fn new(id: RelationId, name: &str, kind: RelationKind, schema: SchemaRef) -> Self {
        let layout = Layout::numbered(schema);
        Relation {
            id,
            name: name.to_string(),
            kind,
            columns: layout.ids,
            missing: layout.missing,
            next_column: layout.schema.fields().len() as u32,
            schema: layout.schema,
            defaults: Vec::new(),
            domains: BTreeMap::new(),
            primary_key: Vec::new(),
            unique: Vec::new(),
            indexes: Vec::new(),
            watermark: None,
            options: BTreeMap::new(),
            query: None,
            dependencies: Vec::new(),
            columns_read: BTreeMap::new(),
            uses_now: false,
            settings: BTreeMap::new(),
        }
    }
}

/// Where the columns of a key stand among `places`; no key where one of them is not there.
fn positions(key: &[usize], places: &[usize]) -> Vec<usize> {
    key.iter().map(|column| places.iter().position(|place| place == column)).collect::<Option<_>>().unwrap_or_default()
}

fn keys(keys: &[(String, Vec<usize>)], places: &[usize]) -> Vec<(String, Vec<usize>)> {
    let moved = keys.iter().map(|(name, key)| (name.clone(), positions(key, places)));
    moved.filter(|(_, key)| !key.is_empty()).collect()
}
