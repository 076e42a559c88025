//! The definition of one relation: identity, columns, keys, the query of a view.
//!
//! Plain data and immutable; DDL makes a new one. It holds no contents.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use crate::base::time::zone::Zone;

/// Identifies a relation for ever; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationId(pub u64);

impl fmt::Display for RelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// The four kinds of relation.
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
}

impl RelationKind {
    /// The kind in SQL words, lower case.
    pub fn name(self) -> &'static str {
        match self {
            RelationKind::Table => "table",
            RelationKind::Stream => "stream",
            RelationKind::View => "view",
            RelationKind::MaterializedView => "materialized view",
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
    /// Per column, the DEFAULT expression as SQL text.
    pub defaults: Vec<Option<String>>,
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
    /// Per relation read, how many columns it had when the view was made: the query does not see those added since.
    pub columns_read: BTreeMap<RelationId, usize>,
}

/// The key in a view's options under which its time zone stands; no option that a user writes has a space.
const ZONE: &str = "time zone";

impl Relation {
    /// The time zone under which the query of this view was made; UTC for what is no view.
    pub fn zone(&self) -> Zone {
        self.options.get(ZONE).and_then(|name| Zone::parse(name).ok()).unwrap_or(Zone::UTC)
    }

    /// Keeps the time zone under which the query of this view is made.
    pub fn keep_zone(&mut self, zone: Zone) {
        if zone != Zone::UTC {
            self.options.insert(ZONE.to_string(), zone.to_string());
        }
    }

    /// `other` as the query of this view sees it: with the columns it had when the view was made.
    pub fn sees(&self, other: &Arc<Relation>) -> Arc<Relation> {
        match self.columns_read.get(&other.id) {
            Some(&count) if count < other.schema.fields().len() => {
                let fields: Vec<_> = other.schema.fields().iter().take(count).cloned().collect();
                Arc::new(Relation { schema: Arc::new(Schema::new(fields)), ..other.as_ref().clone() })
            }
            _ => other.clone(),
        }
    }

    /// A relation of columns alone: no keys, defaults, options or query.
    pub fn new(id: RelationId, name: &str, kind: RelationKind, schema: SchemaRef) -> Self {
        Relation {
            id,
            name: name.to_string(),
            kind,
            schema,
            defaults: Vec::new(),
            primary_key: Vec::new(),
            unique: Vec::new(),
            indexes: Vec::new(),
            watermark: None,
            options: BTreeMap::new(),
            query: None,
            dependencies: Vec::new(),
            columns_read: BTreeMap::new(),
        }
    }
}
