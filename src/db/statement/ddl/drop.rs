//! DROP: relations with what reads them, and indexes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Definer, Proposal, expect_kind};
use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::definitions::Catalog;
use crate::catalog::delta::{CatalogChange, CatalogDelta};
use crate::catalog::relation::{DEAD_LETTERS, Relation, RelationId, RelationKind};
use crate::db::names::resolve;
use crate::db::version::Version;
use crate::sql::name::Name;
use crate::sql::statement::{Drop, DropKind};

impl Definer {
    pub(super) fn drop(&self, version: &Arc<Version>, drop: &Drop) -> Result<Proposal> {
        match drop.kind {
            DropKind::Index => drop_indexes(&version.catalog, drop),
            _ => drop_relations(&version.catalog, drop),
        }
    }
}

fn drop_relations(catalog: &Catalog, drop: &Drop) -> Result<Proposal> {
    let mut proposal = Proposal::default();
    let mut named = Vec::new();
    for name in &drop.names {
        if passes_over(drop, name, &mut proposal) {
            continue;
        }
        match catalog.get(name.in_main()?) {
            Some(relation) => {
                let kind = relation.kind.name();
                expect_kind(relation, droppable(drop.kind)?)
                    .map_err(|error| error.with_hint(format!("DROP {} {name} drops it", kind.to_uppercase())))?;
                if relation.name == DEAD_LETTERS {
                    let error = Error::invalid(format!("\"{DEAD_LETTERS}\" keeps the bad records of sources"));
                    return Err(error.with_sqlstate("42809"));
                }
                if drop.kind == DropKind::Source && !relation.is_source() {
                    let error = Error::invalid(format!("\"{name}\" is a stream without a connector"));
                    return Err(error.with_sqlstate("42809").with_hint(format!("DROP STREAM {name} drops it")));
                }
                named.push(relation.id);
            }
            None if drop.if_exists => proposal.notices.push(format!("\"{name}\" does not exist")),
            None => return resolve(catalog, name).map(|_| Proposal::default()),
        }
    }
    let (mut gone, mut seen) = (Vec::new(), BTreeSet::new());
    for id in &named {
        readers_first(catalog, *id, &mut seen, &mut gone);
    }
    if !drop.cascade
        && let Some((reader, read)) = undropped_reader(catalog, &gone, &named)
    {
        let (kind, reader, read) = (reader.kind.name(), &reader.name, &read.name);
        let message = format!("{kind} \"{reader}\" reads \"{read}\"");
        return Err(Error::new(ErrorKind::Dependency, message).with_hint("drop it first, or use CASCADE"));
    }
    proposal.delta = CatalogDelta::from(gone.into_iter().map(CatalogChange::Drop).collect::<Vec<_>>());
    Ok(proposal)
}

/// Whether IF EXISTS passes over a name because there is no schema of that name.
fn passes_over(drop: &Drop, name: &Name, proposal: &mut Proposal) -> bool {
    let missing = name.missing_schema().filter(|_| drop.if_exists);
    let notice = |schema: &str| format!("schema \"{schema}\" does not exist: \"{name}\" is not dropped");
    proposal.notices.extend(missing.map(notice));
    missing.is_some()
}

/// Adds all that reads a relation, and then the relation, each once.
fn readers_first(catalog: &Catalog, id: RelationId, seen: &mut BTreeSet<RelationId>, gone: &mut Vec<RelationId>) {
    if !seen.insert(id) {
        return;
    }
    for reader in catalog.dependents(id) {
        readers_first(catalog, reader.id, seen, gone);
    }
    gone.push(id);
}

/// A relation that would go although it is not named, and one that is named and that it reads.
fn undropped_reader<'a>(
    catalog: &'a Catalog,
    gone: &[RelationId],
    named: &[RelationId],
) -> Option<(&'a Arc<Relation>, &'a Arc<Relation>)> {
    let reader = gone.iter().rev().find(|id| !named.contains(id)).and_then(|id| catalog.by_id(*id))?;
    let read = reader.dependencies.iter().find(|id| gone.contains(id)).and_then(|id| catalog.by_id(*id))?;
    Some((reader, read))
}

fn droppable(kind: DropKind) -> Result<&'static [RelationKind]> {
    Ok(match kind {
        DropKind::Table => &[RelationKind::Table],
        DropKind::Stream | DropKind::Source => &[RelationKind::Stream],
        DropKind::View => &[RelationKind::View, RelationKind::MaterializedView],
        DropKind::MaterializedView => &[RelationKind::MaterializedView],
        DropKind::Subscription => &[RelationKind::Subscription],
        DropKind::Sink => &[RelationKind::Sink],
        DropKind::Index => return Err(Error::internal("an index is dropped from its relation")),
    })
}

fn drop_indexes(catalog: &Catalog, drop: &Drop) -> Result<Proposal> {
    let mut proposal = Proposal::default();
    let mut changed: Vec<Relation> = Vec::new();
    for name in &drop.names {
        if passes_over(drop, name, &mut proposal) {
            continue;
        }
        let index = name.in_main()?;
        let has = |relation: &Relation| relation.indexes.iter().chain(&relation.unique).any(|(n, _)| n == index);
        let Some(found) = catalog.relations().find(|relation| has(relation)) else {
            match drop.if_exists {
                true => proposal.notices.push(format!("index \"{name}\" does not exist")),
                false => return Err(no_index(name)),
            }
            continue;
        };
        let place = changed.iter().position(|relation| relation.id == found.id).unwrap_or_else(|| {
            changed.push(found.as_ref().clone());
            changed.len() - 1
        });
        changed[place].indexes.retain(|(n, _)| n != index);
        changed[place].unique.retain(|(n, _)| n != index);
    }
    let changes = changed.into_iter().map(|relation| CatalogChange::Define(Arc::new(relation)));
    proposal.delta = CatalogDelta::from(changes.collect::<Vec<_>>());
    Ok(proposal)
}

fn no_index(name: &Name) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("index \"{name}\" does not exist")).with_sqlstate("42704");
    match name.position {
        Some(position) => error.at(position),
        None => error,
    }
}
