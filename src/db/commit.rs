//! A commit as a value: what a statement or transaction wants done, computed before the door from one version.
//!
//! Rows and definitions go the same way. A commit carries what it read, so that the door can tell whether the version
//! at hand would give the same; and what is dear to make (a new view's circuit, a key's index, converted columns) it
//! brings along ready-made, so that the sequencer only carries over what has happened since.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::limits::Interrupt;
use crate::catalog::definitions::Catalog;
use crate::catalog::delta::CatalogDelta;
use crate::catalog::relation::{Relation, RelationId};
use crate::continuous::network::Built;
use crate::continuous::spec::CircuitSpec;
use crate::db::table::TableState;
use crate::db::unique_key::UniqueKey;
use crate::db::version::Version;
use crate::db::write::Write;
use crate::state::row_arena::RowArena;
use crate::storage::log::Position;

/// What a statement or transaction asks for.
pub struct Commit {
    /// The epoch its reads saw.
    pub read_epoch: u64,
    /// The tables and streams it read, views traced to those below them; empty for blind inserts.
    pub reads: BTreeSet<RelationId>,
    /// What it wants done.
    pub payload: Payload,
    /// How to make the payload again if what it was made from has changed; without it that is a conflict.
    pub again: Option<Again>,
    /// Calls it off until it has passed the door.
    pub interrupt: Interrupt,
}

/// Makes a commit's payload anew, from the version at the door.
pub type Again = Box<dyn FnOnce(&Arc<Version>) -> Result<Payload> + Send>;

/// What a commit does.
#[derive(Default)]
pub struct Payload {
    /// Rows, one entry a relation.
    pub writes: Vec<Write>,
    /// Definitions; applied before the writes.
    pub ddl: Option<Box<Ddl>>,
    /// How far sources, sinks and subscribers have come with it. They alone are enough for a commit.
    pub positions: Vec<Position>,
}

impl Payload {
    /// Rows alone.
    pub fn rows_of(writes: Vec<Write>) -> Self {
        Payload { writes, ..Payload::default() }
    }

    /// How many rows it names.
    pub fn rows(&self) -> usize {
        self.writes.iter().map(Write::rows).sum()
    }
}

/// A commit that passed the door.
#[derive(Debug, Clone, Copy)]
pub struct Committed {
    /// The epoch that shows it.
    pub epoch: u64,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Whether the epoch is published; if not, the wait for it was called off after the door.
    pub published: bool,
}

/// A change of the catalog with the state that goes with it.
pub struct Ddl {
    /// The change as the log keeps it.
    pub delta: CatalogDelta,
    /// The catalog that it was computed from.
    pub base: Arc<Catalog>,
    /// New tables and streams, and those that change.
    pub tables: Vec<TableChange>,
    /// Materialized views that are new or made again.
    pub views: Vec<NewView>,
}

/// What becomes of a table or stream.
pub enum TableChange {
    /// It is new.
    New(TableState),
    /// It has another definition.
    Redefined {
        /// The definition.
        relation: Arc<Relation>,
        /// Its rows with converted columns, where a type changed.
        arena: Option<RowArena>,
        /// Keys that are enforced from now on.
        keys: Vec<UniqueKey>,
    },
}

impl TableChange {
    /// The definition from now on.
    pub fn relation(&self) -> &Arc<Relation> {
        match self {
            TableChange::New(table) => &table.relation,
            TableChange::Redefined { relation, .. } => relation,
        }
    }
}

/// A materialized view, planned and, if it is kept, filled from a version.
pub struct NewView {
    /// Its definition.
    pub relation: Arc<Relation>,
    /// Its circuit as plain data.
    pub spec: Arc<CircuitSpec>,
    /// Its circuit and rows; `None` for a view that is computed when read.
    pub built: Option<Built>,
}
