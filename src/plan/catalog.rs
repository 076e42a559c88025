//! The catalog: what exists, as of one version.
//!
//! A [`Catalog`] is immutable plain data; DDL makes a new one. It promises that names are unique, compared
//! exactly (SQL has folded unquoted ones to lower case), and that every dependency of a relation exists. It holds definitions, never contents.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use crate::base::error::{Error, ErrorKind, Result};

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

impl Relation {
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

/// All definitions as of one version.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    by_name: BTreeMap<String, Arc<Relation>>,
    by_id: BTreeMap<RelationId, Arc<Relation>>,
}

impl Catalog {
    /// The relation of exactly that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Relation>> {
        self.by_name.get(name)
    }

    /// The relation of that name, or an error with the nearest name as a hint.
    pub fn expect(&self, name: &str) -> Result<&Arc<Relation>> {
        self.get(name).ok_or_else(|| self.not_found(name))
    }

    /// The error for a name that does not exist, with the nearest name as a hint.
    pub fn not_found(&self, name: &str) -> Error {
        let error = Error::new(ErrorKind::NotFound, format!("relation \"{name}\" does not exist"));
        match nearest(name, self.by_id.values().map(|relation| relation.name.as_str())) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    }

    /// The relation of that identity.
    pub fn by_id(&self, id: RelationId) -> Option<&Arc<Relation>> {
        self.by_id.get(&id)
    }

    /// All relations, in the order they were created.
    pub fn relations(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.by_id.values()
    }

    /// The relations whose query reads `id` directly.
    pub fn dependents(&self, id: RelationId) -> impl Iterator<Item = &Arc<Relation>> {
        self.by_id.values().filter(move |relation| relation.dependencies.contains(&id))
    }

    /// Adds a relation; an error if the name is taken.
    pub fn insert(&mut self, relation: Arc<Relation>) -> Result<()> {
        if let Some(taken) = self.get(&relation.name) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{} \"{}\" already exists", taken.kind.name(), taken.name),
            ));
        }
        self.replace(relation);
        Ok(())
    }

    /// Adds a relation in place of one of the same name or identity.
    pub fn replace(&mut self, relation: Arc<Relation>) {
        if let Some(old) = self.by_name.insert(relation.name.clone(), relation.clone()) {
            self.by_id.remove(&old.id);
        }
        self.by_id.insert(relation.id, relation);
    }

    /// Takes a relation out.
    pub fn remove(&mut self, id: RelationId) {
        if let Some(relation) = self.by_id.remove(&id) {
            self.by_name.remove(&relation.name);
        }
    }
}

/// The candidate most like `name`, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + name.chars().count().max(candidate.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
