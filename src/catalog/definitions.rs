//! All definitions as of one version.
//!
//! A [`Catalog`] is immutable plain data; DDL makes a new one. It promises that names are unique, compared exactly
//! (SQL has folded unquoted ones to lower case), and that every dependency of a relation exists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::delta::{CatalogChange, CatalogDelta};
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
        self.expect_free(&relation.name)?;
        self.define(relation);
        Ok(())
    }

    /// An error if a relation has that name.
    pub fn expect_free(&self, name: &str) -> Result<()> {
        match self.get(name) {
            None => Ok(()),
            Some(taken) => Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{} \"{}\" already exists", taken.kind.name(), taken.name),
            )),
        }
    }

    /// Adds a relation in place of one of the same identity. The name must be free, or that relation's.
    pub fn define(&mut self, relation: Arc<Relation>) {
        self.remove(relation.id);
        debug_assert!(self.get(&relation.name).is_none(), "the name \"{}\" is taken", relation.name);
        self.by_name.insert(relation.name.clone(), relation.clone());
        self.by_id.insert(relation.id, relation);
    }

    /// The definitions after `delta`, which was checked against these.
    pub fn changed_by(&self, delta: &CatalogDelta) -> Catalog {
        let mut catalog = self.clone();
        for change in &delta.changes {
            match change {
                CatalogChange::Define(relation) | CatalogChange::Maintain { view: relation, .. } => {
                    catalog.define(relation.clone());
                }
                CatalogChange::Convert { .. } => {}
                CatalogChange::Drop(id) => catalog.remove(*id),
            }
        }
        catalog
    }

    /// Whether `delta`, which was computed from `base`, says the same of this catalog: whatever it changes or reads is
    /// what it was, the names it gives are as free as they were, and nobody new depends on what it changes.
    pub fn still_takes(&self, delta: &CatalogDelta, base: &Catalog) -> bool {
        let same = |id: RelationId| self.has_same(id, base);
        let dependents = |catalog: &Catalog, id| catalog.dependents(id).map(|relation| relation.id).collect::<Vec<_>>();
        let free =
            |name: &str| self.get(name).map(|relation| relation.id) == base.get(name).map(|relation| relation.id);
        delta.relations().all(|id| same(id) && dependents(self, id) == dependents(base, id))
            && delta.defined().all(|relation| free(&relation.name) && relation.dependencies.iter().all(|id| same(*id)))
    }

    /// Whether a relation's definition is the same as in another catalog.
    pub fn has_same(&self, id: RelationId, other: &Catalog) -> bool {
        match (self.by_id(id), other.by_id(id)) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }

    /// All relations, each behind those it reads.
    pub fn in_order(&self) -> Vec<RelationId> {
        let (mut order, mut done) = (Vec::new(), BTreeSet::new());
        for id in self.by_id.keys() {
            self.put_in_order(*id, &mut done, &mut order);
        }
        order
    }

    fn put_in_order(&self, id: RelationId, done: &mut BTreeSet<RelationId>, order: &mut Vec<RelationId>) {
        if !done.insert(id) {
            return;
        }
        for below in self.by_id(id).into_iter().flat_map(|relation| &relation.dependencies) {
            self.put_in_order(*below, done, order);
        }
        order.push(id);
    }

    /// The relations `ids` and all that they read, through any number of views.
    pub fn below(&self, ids: impl IntoIterator<Item = RelationId>) -> BTreeSet<RelationId> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<RelationId> = ids.into_iter().collect();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.by_id(id).into_iter().flat_map(|relation| &relation.dependencies));
            }
        }
        seen
    }

    /// The tables and streams that are read by whoever reads `ids`, through any number of views.
    pub fn bases(&self, ids: impl IntoIterator<Item = RelationId>) -> BTreeSet<RelationId> {
        let mut bases = self.below(ids);
        bases.retain(|id| self.by_id(*id).is_none_or(|relation| !relation.kind.is_view()));
        bases
    }

    /// Takes a relation out.
    pub fn remove(&mut self, id: RelationId) {
        if let Some(relation) = self.by_id.remove(&id) {
            self.by_name.remove(&relation.name);
        }
    }
}
