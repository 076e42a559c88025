//! How far sources, sinks and subscribers have come, as of one version.
//!
//! A position is moved by the commit that it tells of, and is durable with it: a source that goes on at its position
//! reads no record twice, whatever was killed when. What a position says is known to who wrote it alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::definitions::Catalog;
use crate::catalog::relation::RelationId;
use crate::storage::log::Position;

/// All positions: per relation, per split, JSON text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<RelationId, Arc<BTreeMap<String, String>>>);

impl Positions {
    /// Where a part of a relation stands, if it has a position.
    pub fn get(&self, relation: RelationId, split: &str) -> Option<&str> {
        self.0.get(&relation)?.get(split).map(String::as_str)
    }

    /// Every part of a relation and where it stands.
    pub fn of(&self, relation: RelationId) -> impl Iterator<Item = (&str, &str)> {
        let splits = self.0.get(&relation).into_iter().flat_map(|splits| splits.iter());
        splits.map(|(split, value)| (split.as_str(), value.as_str()))
    }

    /// All of them, as a commit would bring them.
    pub fn all(&self) -> impl Iterator<Item = Position> {
        let positions = self.0.iter().flat_map(|(relation, splits)| splits.iter().map(move |split| (relation, split)));
        positions.map(|(&relation, (split, value))| Position { relation, split: split.clone(), value: value.clone() })
    }

    /// The positions after these moves, in order; of what `catalog` has, if it changed.
    pub fn moved(&self, moves: &[Position], catalog: Option<&Catalog>) -> Positions {
        let mut positions = self.clone();
        for Position { relation, split, value } in moves {
            let splits = Arc::make_mut(positions.0.entry(*relation).or_default());
            match value.is_empty() {
                true => drop(splits.remove(split)),
                false => drop(splits.insert(split.clone(), value.clone())),
            }
        }
        let is_there = |id: &RelationId| catalog.is_none_or(|catalog| catalog.by_id(*id).is_some());
        positions.0.retain(|id, splits| !splits.is_empty() && is_there(id));
        positions
    }
}
