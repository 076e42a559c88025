//! A change of the catalog, as a commit carries it and the log keeps it.
//!
//! A [`CatalogDelta`] is a value: identities, columns, the text of queries, values computed for defaults. It was
//! decided when the statement ran; whoever applies it, now or in a replay, decides nothing.

use std::sync::Arc;

use crate::catalog::layout::ColumnId;
use crate::catalog::relation::{Relation, RelationId};

/// One step of a change of the catalog.
#[derive(Debug, Clone)]
pub enum CatalogChange {
    /// A table, stream or plain view is this from now on, whether it is new or was something else before.
    Define(Arc<Relation>),
    /// A materialized view is this from now on, its rows computed anew: CREATE, OR REPLACE, REFRESH.
    Maintain {
        /// Its definition.
        view: Arc<Relation>,
        /// Whether its rows are kept change by change, or computed when they are read.
        kept: bool,
    },
    /// A column's values are now those of another type, under an identity of their own. Stands before the definition
    /// that has the new column.
    Convert {
        /// The relation.
        relation: RelationId,
        /// The column that was.
        from: ColumnId,
        /// The column that is.
        to: ColumnId,
    },
    /// A relation is gone.
    Drop(RelationId),
}

/// A change of the catalog: one DDL statement, whole.
#[derive(Debug, Clone, Default)]
pub struct CatalogDelta {
    pub(crate) changes: Vec<CatalogChange>,
}

impl CatalogDelta {
    /// Whether nothing is changed: a commit of rows alone.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The relations that are changed, made or dropped.
    pub(crate) fn relations(&self) -> impl Iterator<Item = RelationId> {
        self.changes.iter().map(|change| match change {
            CatalogChange::Define(relation) | CatalogChange::Maintain { view: relation, .. } => relation.id,
            CatalogChange::Convert { relation, .. } => *relation,
            CatalogChange::Drop(id) => *id,
        })
    }

    /// The definitions that it brings.
    pub(crate) fn defined(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.changes.iter().filter_map(|change| match change {
            CatalogChange::Define(relation) | CatalogChange::Maintain { view: relation, .. } => Some(relation),
            _ => None,
        })
    }
}

impl From<Vec<CatalogChange>> for CatalogDelta {
    fn from(changes: Vec<CatalogChange>) -> Self {
        CatalogDelta { changes }
    }
}
