//! Followers put back when a directory is opened.
//!
//! What waited for a follower is in the checkpoint. From there on, or from the epoch that made it, the relation that it
//! follows is stepped while the log is read, so that it is given the rest again: the same epochs with the same rows.
//! A followed view is therefore filled before the log behind is read, and the views below it; no other view is.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::limits::Interrupt;
use crate::catalog::delta::{CatalogChange, CatalogDelta};
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::db::database::Database;
use crate::db::held::{Waiting, decode};
use crate::db::sequencer::followers::followers;
use crate::db::statement::ddl::restore_view;
use crate::db::version::Version;
use crate::storage::store::StoredRows;

/// What is known of views and followers while a directory is opened.
#[derive(Default)]
pub struct Resumed {
    /// Of materialized views, whether their rows are kept.
    pub kept: HashMap<RelationId, bool>,
    /// What waits for followers, as it was saved.
    pub held: HashMap<RelationId, StoredRows>,
}

impl Resumed {
    /// Whether the rows of a materialized view are kept.
    pub fn is_kept(&self, view: RelationId) -> bool {
        self.kept.get(&view).copied().unwrap_or(true)
    }
}

impl Database {
    /// Attaches the followers that the catalog has and that are not attached yet.
    pub(super) fn resume_followers(&self, resumed: &Resumed) -> Result<()> {
        let version = self.shared.version();
        for (relation, standing) in followers(&version) {
            if standing.expired.is_some() || self.shared.followers.get(relation.id).is_some() {
                continue;
            }
            self.fill(relation.dependencies.iter().copied(), resumed)?;
            let held = match resumed.held.get(&relation.id) {
                Some(rows) => {
                    let batches = rows.blocks.iter().map(|block| block.read()).collect::<Result<Vec<_>>>()?;
                    decode(&batches, &relation.schema)?
                }
                None => Waiting::default(),
            };
            let (relation, standing) = (relation.clone(), standing.clone());
            self.sequencer
                .task(&Interrupt::default(), move |sequencer| sequencer.attach_follower(&relation, &standing, held))?;
        }
        Ok(())
    }

    /// Fills what the views read by now that a change of the catalog makes again, and that are there.
    pub(super) fn fill_for(&self, delta: &CatalogDelta, resumed: &Resumed) -> Result<()> {
        let version = self.shared.version();
        let made_again = delta.changes.iter().filter_map(|change| match change {
            CatalogChange::Maintain { view, .. } if version.entries.contains_key(&view.id) => Some(view),
            _ => None,
        });
        let read = made_again.flat_map(|view| view.dependencies.iter().copied()).collect::<Vec<_>>();
        self.fill(read, resumed)
    }

    /// Gives those of `ids` that are materialized views their contents, and those below them, as of now.
    pub(super) fn fill(&self, ids: impl IntoIterator<Item = RelationId>, resumed: &Resumed) -> Result<()> {
        let catalog = self.shared.version().catalog.clone();
        let wanted = catalog.below(ids);
        let views = catalog.in_order().into_iter().filter(|id| wanted.contains(id)).filter_map(|id| catalog.by_id(id));
        for view in views.filter(|view| view.kind == RelationKind::MaterializedView) {
            let version = self.shared.version();
            if version.entries.contains_key(&view.id) {
                continue;
            }
            self.put_back(&version, view, resumed.is_kept(view.id))?;
        }
        Ok(())
    }

    /// Puts a view back that is known, filled from `version` if it is kept; one that cannot be made fails alone.
    pub(super) fn put_back(&self, version: &Arc<Version>, view: &Arc<Relation>, kept: bool) -> Result<()> {
        let restored = restore_view(&self.shared, version, view, kept);
        let view = view.clone();
        self.sequencer.task(&Interrupt::default(), move |sequencer| {
            match restored {
                Ok(view) => sequencer.restore(view),
                Err(error) => sequencer.restore_failed(view, &error),
            }
            Ok(())
        })
    }
}
