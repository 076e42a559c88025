//! From a catalog delta to the state that goes with it.
//!
//! Everything that takes long or may fail happens here, from one version and before the door: empty tables, indexes of
//! new keys over the rows there are, converted columns, checks of NOT NULL, circuits filled. It decides nothing that
//! the delta does not say, so that a replay comes to the same.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};

use super::view::{build, plan};
use super::{Definer, Views};
use crate::base::error::{Error, Result};
use crate::catalog::delta::{CatalogChange, CatalogDelta};
use crate::catalog::layout::ColumnId;
use crate::catalog::relation::Relation;
use crate::db::commit::{Ddl, NewView, TableChange};
use crate::db::table::{TableState, enforced, not_null_violation};
use crate::db::unique_key::UniqueKey;
use crate::db::value::assign;
use crate::db::version::{Contents, Version};
use crate::state::row_arena::RowArena;
use crate::state::snapshot::Snapshot;
use crate::storage::spool::Spooling;

impl Definer {
    /// The state that `delta` needs, made from `version`; with or without that of views.
    pub(super) fn realize(&self, version: &Arc<Version>, delta: CatalogDelta, with: Views) -> Result<Ddl> {
        let wanted = |view: &Relation| match with {
            Views::Left => false,
            Views::There => version.entries.contains_key(&view.id),
            Views::Read | Views::Kept => true,
        };
        let after =
            Arc::new(Version { catalog: Arc::new(version.catalog.changed_by(&delta)), ..version.as_ref().clone() });
        let (mut tables, mut views) = (Vec::new(), Vec::new());
        for change in &delta.changes {
            match change {
                CatalogChange::Define(relation) if relation.kind.is_stored() => {
                    tables.push(table_change(version, relation, &delta, self.shared.spooling.get())?);
                }
                CatalogChange::Maintain { view, kept } if wanted(view) => {
                    views.push(self.new_view(&after, view, *kept && with != Views::Read)?);
                }
                _ => {}
            }
        }
        Ok(Ddl { delta, base: version.catalog.clone(), tables, views })
    }

    pub(super) fn new_view(&self, version: &Arc<Version>, view: &Arc<Relation>, kept: bool) -> Result<NewView> {
        let spec = Arc::new(plan(self.reader(version), view)?.1);
        let built = match kept {
            true => Some(build(&self.shared, &self.interrupt, version, view, &spec, self.rebuild.as_deref())?),
            false => None,
        };
        Ok(NewView { relation: view.clone(), spec, built })
    }
}

fn table_change(
    version: &Version,
    relation: &Arc<Relation>,
    delta: &CatalogDelta,
    spooling: Option<&Spooling>,
) -> Result<TableChange> {
    let Some(old) = version.catalog.by_id(relation.id) else {
        return Ok(TableChange::New(TableState::new(relation.clone())?));
    };
    let Contents::Kept(snapshot) = &version.entry(relation.id)?.contents else {
        return Err(Error::internal("a table without rows of its own"));
    };
    let conversions: Vec<(ColumnId, ColumnId)> = delta
        .changes
        .iter()
        .filter_map(|change| match change {
            CatalogChange::Convert { relation: id, from, to } if *id == relation.id => Some((*from, *to)),
            _ => None,
        })
        .collect();
    let requires = becomes_required(old, relation);
    if requires && conversions.is_empty() {
        check_required(old, relation, &snapshot.seen_as(relation.layout()))?;
    }
    // A dead row may hold a NULL still, which columns that are NOT NULL cannot be made of.
    let arena = match conversions.is_empty() && !requires {
        true => None,
        false => Some(convert(old, relation, snapshot, &conversions)?),
    };
    let rows = match &arena {
        Some(arena) => arena.snapshot(version.epoch),
        None => snapshot.seen_as(relation.layout()),
    };
    check_required(old, relation, &rows)?;
    let had: Vec<Vec<ColumnId>> = enforced(old).map(|(_, places)| ids(old, &places)).collect();
    let new = enforced(relation).filter(|(_, places)| !had.contains(&ids(relation, places)));
    let keys =
        new.map(|(name, places)| UniqueKey::build(relation, name, &places, &rows, spooling)).collect::<Result<_>>()?;
    Ok(TableChange::Redefined { relation: relation.clone(), arena, keys })
}

fn ids(relation: &Relation, places: &[usize]) -> Vec<ColumnId> {
    places.iter().map(|&place| relation.columns[place]).collect()
}

/// The rows of a table with some columns in other types. A value that does not fit is an error.
fn convert(
    old: &Relation,
    new: &Relation,
    snapshot: &Snapshot,
    conversions: &[(ColumnId, ColumnId)],
) -> Result<RowArena> {
    let place = |id: &ColumnId| old.columns.iter().position(|other| other == id);
    let converted = |rows: &RecordBatch| -> Result<RecordBatch> {
        let column = |(position, id): (usize, &ColumnId)| -> Result<ArrayRef> {
            let from = conversions.iter().find(|(_, to)| to == id).map(|(from, _)| from);
            match (from.and_then(place), place(id)) {
                (Some(place), _) => {
                    let field = new.schema.field(position);
                    assign(rows.column(place), field.data_type(), new.domain(position))
                        .map_err(|error| error.context(format!("column \"{}\" of \"{}\"", field.name(), new.name)))
                }
                (None, Some(place)) => Ok(rows.column(place).clone()),
                (None, None) => new.layout().missing_column(position, rows.num_rows()),
            }
        };
        let columns = new.columns.iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(new.schema.clone(), columns, &options)?)
    };
    RowArena::converted(snapshot, new.layout(), &converted)
}

/// Whether a column that could be NULL cannot be from now on.
fn becomes_required(old: &Relation, new: &Relation) -> bool {
    let could_be_null = |id: &ColumnId| {
        old.columns.iter().position(|other| other == id).is_some_and(|place| old.schema.field(place).is_nullable())
    };
    new.columns.iter().zip(new.schema.fields()).any(|(id, field)| !field.is_nullable() && could_be_null(id))
}

/// An error if a column that must not be NULL from now on holds a NULL.
fn check_required(old: &Relation, new: &Relation, rows: &Snapshot) -> Result<()> {
    let was_required = |id: &ColumnId| {
        old.columns.iter().position(|other| other == id).is_some_and(|place| !old.schema.field(place).is_nullable())
    };
    for (place, id) in new.columns.iter().enumerate() {
        let field = new.schema.field(place);
        if field.is_nullable() || was_required(id) {
            continue;
        }
        let mut layout = new.layout();
        let relaxed = layout.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        layout.schema = Arc::new(arrow::datatypes::Schema::new(relaxed.collect::<Vec<_>>()));
        let rows = rows.seen_as(layout);
        for chunk in 0..rows.chunks() {
            let batch = rows.read_chunk(chunk, Some(&[place]), false)?;
            if batch.is_some_and(|batch| batch.column(0).null_count() > 0) {
                return Err(not_null_violation(new, field.name())
                    .with_hint("give the column a DEFAULT, or UPDATE the rows that have no value for it"));
            }
        }
    }
    Ok(())
}
