//! A version: everything there is, as of one epoch.
//!
//! A [`Version`] is immutable and cheap to publish: only the entries of changed relations are new, all others are
//! shared with the version before. Whoever holds one reads the same contents for ever. It does not hold running
//! circuits or indexes; those belong to the sequencer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::RelationId;
use crate::continuous::network::{Rebuild, ViewFailure};
use crate::db::positions::Positions;
use crate::state::snapshot::Snapshot;

/// The contents of one relation in one version.
#[derive(Debug)]
pub enum Contents {
    /// Kept rows: tables, streams and maintained views.
    Kept(Snapshot),
    /// A view that is computed when it is first read in this version.
    Lazy(Computed),
    /// A view whose rows are kept, but are not there: computed like one that is lazy, never a part of another's plan.
    Awaited {
        /// Its rows, once they were read in this version.
        computed: Computed,
        /// How far it has come where it is being filled again; `None` where it has failed.
        rebuild: Option<Arc<Rebuild>>,
    },
}

/// The rows of a view in one version, once they were computed.
pub type Computed = Mutex<Option<Snapshot>>;

impl Contents {
    /// Where the rows go that are computed when they are read; `None` where they are kept.
    pub fn computed(&self) -> Option<&Computed> {
        match self {
            Contents::Kept(_) => None,
            Contents::Lazy(computed) | Contents::Awaited { computed, .. } => Some(computed),
        }
    }

    /// The rebuild that the view waits for, if it does.
    pub fn rebuild(&self) -> Option<&Arc<Rebuild>> {
        match self {
            Contents::Awaited { rebuild, .. } => rebuild.as_ref(),
            _ => None,
        }
    }
}

/// One relation's entry in a version.
#[derive(Debug)]
pub struct Entry {
    /// The rows.
    pub contents: Contents,
    /// The epoch that last changed them.
    pub changed: u64,
    /// Why the relation cannot be read, if it cannot.
    pub failure: Option<Arc<ViewFailure>>,
}

/// Everything there is, as of one epoch.
#[derive(Debug, Clone)]
pub struct Version {
    /// The epoch.
    pub epoch: u64,
    /// The epoch's time: microseconds since 1970 (UTC), never decreasing.
    pub time_us: i64,
    /// The definitions.
    pub catalog: Arc<Catalog>,
    /// The contents of every relation but plain views.
    pub entries: HashMap<RelationId, Arc<Entry>>,
    /// How far sources, sinks and subscribers have come.
    pub positions: Arc<Positions>,
}

impl Version {
    /// A version with nothing in it.
    pub fn empty(time_us: i64) -> Self {
        Version { epoch: 0, time_us, catalog: Arc::default(), entries: HashMap::new(), positions: Arc::default() }
    }

    /// The same epoch as it looks when only time has moved on: views that depend on it are computed when they are read.
    pub fn at(&self, time_us: i64) -> Self {
        let mut version = Version { time_us, ..self.clone() };
        for (id, entry) in &mut version.entries {
            if self.catalog.by_id(*id).is_some_and(|relation| relation.uses_now) {
                let contents = match &entry.contents {
                    Contents::Awaited { rebuild, .. } => {
                        Contents::Awaited { computed: Mutex::new(None), rebuild: rebuild.clone() }
                    }
                    Contents::Kept(_) | Contents::Lazy(_) => Contents::Lazy(Mutex::new(None)),
                };
                *entry = Arc::new(Entry { contents, changed: entry.changed, failure: entry.failure.clone() });
            }
        }
        version
    }

    /// The views whose rows are kept and are not there, of those that a continuous plan over `ids` reads by change.
    pub fn awaited(&self, ids: impl IntoIterator<Item = RelationId>) -> Vec<RelationId> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut open: Vec<RelationId> = ids.into_iter().collect();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            match self.entries.get(&id).map(|entry| &entry.contents) {
                Some(Contents::Kept(_)) => {}
                Some(Contents::Awaited { .. }) => found.push(id),
                // Its query becomes a part of the plan.
                Some(Contents::Lazy(_)) | None => {
                    open.extend(self.catalog.by_id(id).into_iter().flat_map(|relation| &relation.dependencies));
                }
            }
        }
        found
    }

    /// The entry of a relation, failed or not.
    pub fn entry(&self, id: RelationId) -> Result<&Arc<Entry>> {
        self.entries.get(&id).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("relation {} does not exist at epoch {}", self.name(id), self.epoch),
            )
        })
    }

    /// The epoch in which a relation last changed; 0 if it does not exist.
    pub fn changed(&self, id: RelationId) -> u64 {
        self.entries.get(&id).map_or(0, |entry| entry.changed)
    }

    /// The relation's name, or its number where it has none any more.
    pub fn name(&self, id: RelationId) -> String {
        self.catalog.by_id(id).map_or_else(|| id.to_string(), |relation| relation.name.clone())
    }
}
