//! CREATE SUBSCRIPTION: a follower of a relation that outlives whoever reads it.

use std::sync::Arc;

use super::{Definer, Proposal, expect_kind, options};
use crate::base::error::{Error, Result};
use crate::catalog::delta::CatalogChange;
use crate::catalog::relation::{Relation, RelationKind};
use crate::db::names::resolve;
use crate::db::version::{Contents, Version};
use crate::sql::statement::CreateSubscription;

impl Definer {
    pub(super) fn create_subscription(&self, version: &Arc<Version>, create: &CreateSubscription) -> Result<Proposal> {
        let name = create.name.in_main()?;
        let options = options::of_subscription(&create.options)?;
        let old = version.catalog.get(name);
        match old {
            Some(old) if create.or_replace => expect_kind(old, &[RelationKind::Subscription])?,
            Some(_) if create.if_not_exists => {
                return Ok(Proposal::notice(format!("\"{}\" exists already", create.name)));
            }
            _ => version.catalog.expect_free(name)?,
        }
        let followed = resolve(&version.catalog, &create.relation)?;
        let mut changes: Vec<CatalogChange> = old.map(|old| CatalogChange::Drop(old.id)).into_iter().collect();
        changes.extend(self.kept_for_follower(version, &followed)?);
        let mut follower =
            Relation::new(self.shared.new_relation_id(), name, RelationKind::Subscription, followed.schema.clone());
        (follower.columns, follower.missing) = (followed.columns.clone(), followed.missing.clone());
        follower.next_column = followed.next_column;
        follower.domains = followed.domains.clone();
        follower.dependencies = vec![followed.id];
        follower.options = options;
        changes.push(CatalogChange::Define(Arc::new(follower)));
        Ok(Proposal::of(changes))
    }

    /// What must become of a relation so that its changes can be followed: a view that is computed when it is read must
    /// be kept.
    pub(super) fn kept_for_follower(
        &self,
        version: &Arc<Version>,
        followed: &Arc<Relation>,
    ) -> Result<Option<CatalogChange>> {
        match followed.kind {
            RelationKind::Table | RelationKind::Stream => Ok(None),
            RelationKind::MaterializedView => {
                let entry = version.entry(followed.id)?;
                match (&entry.failure, &entry.contents) {
                    (Some(failure), _) => Err(failure.to_error(&followed.name)),
                    (None, Contents::Lazy(_)) => {
                        let view = Arc::new(followed.as_ref().clone());
                        Ok(Some(CatalogChange::Maintain { view, kept: true }))
                    }
                    (None, Contents::Kept(_) | Contents::Awaited { .. }) => Ok(None),
                }
            }
            kind => Err(Error::invalid(format!("\"{}\" is a {}: it cannot be followed", followed.name, kind.name()))
                .with_sqlstate("42809")
                .with_hint("a table, a stream or a materialized view can")),
        }
    }
}
