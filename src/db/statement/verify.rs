//! VERIFY: the promise, checked.
//!
//! Runs a view's query in batch over the version's tables and streams (never over a maintained view) and compares
//! the result with what the view holds at the same epoch, row by row with multiplicity.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::canonical_batch;
use crate::catalog::relation::{Relation, RelationKind};
use crate::db::names::resolve;
use crate::db::session::Session;
use crate::db::value::display;
use crate::db::version::{Contents, Version};
use crate::plan::context::Parameters;
use crate::sql::name::Name;
use crate::state::consolidate::consolidate;

/// Differing rows that are shown.
const SHOWN: usize = 100;

/// Compares a view with its query. One row (view, epoch, rows, differing) if they are equal; an error that shows the
/// differing rows if they are not.
pub fn verify(session: &Session, name: &Name) -> Result<RecordBatch> {
    let version = session.shared.version();
    let relation = resolve(&version.catalog, name)?;
    let rows = verify_relation(session, &version, &relation)?;
    let schema = Schema::new(vec![
        Field::new("view", DataType::Utf8View, false),
        Field::new("epoch", DataType::UInt64, false),
        Field::new("rows", DataType::Int64, false),
        Field::new("differing", DataType::Int64, false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from(vec![relation.name.as_str()])),
        Arc::new(UInt64Array::from(vec![version.epoch])),
        Arc::new(Int64Array::from(vec![rows as i64])),
        Arc::new(Int64Array::from(vec![0])),
    ];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// Compares a view with its query; the number of its rows.
pub fn verify_relation(session: &Session, version: &Arc<Version>, relation: &Arc<Relation>) -> Result<u64> {
    if relation.kind != RelationKind::MaterializedView {
        return Err(Error::invalid(format!(
            "\"{}\" is a {}: only a materialized view can differ from its query",
            relation.name,
            relation.kind.name()
        ))
        .with_sqlstate("42809"));
    }
    let entry = version.entry(relation.id)?;
    if let Some(failure) = &entry.failure {
        return Err(failure.to_error(&relation.name));
    }
    let none = Parameters::default();
    let reader = || session.reader_of(version, &none);
    let held = match &entry.contents {
        Contents::Kept(snapshot) => snapshot.clone(),
        Contents::Lazy(_) | Contents::Awaited { .. } => reader().materialize(relation)?,
    };
    let mut changes = Vec::new();
    for chunk in 0..held.chunks() {
        if let Some(rows) = held.read_chunk(chunk, None, false)? {
            changes.push(ChangeBatch::inserts(canonical_batch(&rows, &relation.schema)?));
        }
    }
    let (fresh, planned) = reader().expanded().plan_view(relation)?;
    for batch in fresh.stream(&planned)? {
        changes.push(ChangeBatch::deletes(canonical_batch(&batch?, &relation.schema)?));
    }
    let differing = consolidate(&changes)?;
    let rows: u64 = differing.iter().map(|batch| batch.num_rows() as u64).sum();
    if rows > 0 {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "view \"{}\" differs from its query at epoch {} in {rows} rows:\n{}",
                relation.name,
                version.epoch,
                describe(&differing)
            ),
        )
        .with_hint(format!("REFRESH MATERIALIZED VIEW {} rebuilds it; please report this", relation.name)));
    }
    Ok(held.num_rows())
}

/// The differing rows as text, a line each: `+` the view has too much of it, `-` too little.
fn describe(differing: &[ChangeBatch]) -> String {
    let mut lines = Vec::new();
    for batch in differing {
        for row in 0..batch.num_rows() {
            if lines.len() == SHOWN {
                lines.push("  ...".to_string());
                return lines.join("\n");
            }
            let values: Vec<String> = batch.rows().columns().iter().map(|column| display(column, row)).collect();
            lines.push(format!("  {:+} ({})", batch.weights().get(row), values.join(", ")));
        }
    }
    lines.join("\n")
}
