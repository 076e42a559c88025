//! All definitions as of one version.
//!
//! A [`Catalog`] is immutable plain data; DDL makes a new one. It promises that names are unique, compared exactly
//! (SQL has folded unquoted ones to lower case), and that every dependency of a relation exists.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::relation::{Relation, RelationId};
use crate::catalog::suggest::nearest;

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
