//! What waits for a follower, as rows that a checkpoint saves.
//!
//! ```text
//! first batch   per event: epoch, time, kind, rows, text      kind 0 snapshot, 1 change, 2 progress, 3 failed: the text,
//!                                                             4 held back
//! the others    weight and columns of all rows, event behind event
//! ```
//!
//! What is held back while the followed view fails is saved as a last event: its rows less those that the view had
//! then. Where the view is filled again the rows that it has are added, so that it is right whatever a view that fails
//! shows after it was filled again.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, ErrorKind, Result};
use crate::db::subscription::{EventKind, SubscriptionEvent, concat_changes};

/// Rows in a batch, at least, but for the last.
const BATCH_ROWS: usize = 1 << 16;

/// The kind of what is held back.
const HELD_BACK: u64 = 4;

/// An event that waits, and the time of its epoch.
pub type Held = (SubscriptionEvent, i64);

/// All that waits for a follower.
#[derive(Debug, Default)]
pub struct Waiting {
    /// What it was told and has not acknowledged.
    pub events: Vec<Held>,
    /// What is held back while its view fails, less the rows that the view has.
    pub back: Option<ChangeBatch>,
}

/// What waits as batches; none for nothing.
pub fn encode(waiting: &Waiting, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let back = waiting.back.iter().map(|changes| {
        let changes = changes.clone();
        (SubscriptionEvent { epoch: 0, kind: EventKind::Change, changes }, 0)
    });
    let (told, events) = (waiting.events.len(), waiting.events.iter().cloned().chain(back).collect::<Vec<_>>());
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let kind = |(place, (event, _)): (usize, &Held)| match event.kind {
        _ if place >= told => HELD_BACK,
        EventKind::Snapshot => 0,
        EventKind::Change => 1,
        EventKind::Progress => 2,
        EventKind::Failed(_) => 3,
    };
    let text = |event: &SubscriptionEvent| match &event.kind {
        EventKind::Failed(reason) => Some(reason.clone()),
        _ => None,
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(events.iter().map(|(event, _)| event.epoch))),
        Arc::new(Int64Array::from_iter_values(events.iter().map(|(_, time_us)| *time_us))),
        Arc::new(UInt64Array::from_iter_values(events.iter().enumerate().map(kind))),
        Arc::new(UInt64Array::from_iter_values(events.iter().map(|(event, _)| event.changes.num_rows() as u64))),
        Arc::new(StringViewArray::from_iter(events.iter().map(|(event, _)| text(event)))),
    ];
    let mut batches = vec![RecordBatch::try_new(events_schema(), columns)?];
    let (mut gathered, mut rows) = (Vec::new(), 0);
    for (place, (event, _)) in events.iter().enumerate() {
        rows += event.changes.num_rows();
        gathered.push(event.changes.clone());
        if rows > 0 && (rows >= BATCH_ROWS || place + 1 == events.len()) {
            batches.push(weighted(&concat_changes(schema, &std::mem::take(&mut gathered))?)?);
            rows = 0;
        }
    }
    Ok(batches)
}

/// What batches hold, of a follower with these columns.
pub fn decode(batches: &[RecordBatch], schema: &SchemaRef) -> Result<Waiting> {
    let Some((events, rows)) = batches.split_first() else { return Ok(Waiting::default()) };
    if events.num_columns() != events_schema().fields().len() {
        return Err(damaged());
    }
    let number = |column: usize| events.column(column).as_primitive_opt::<UInt64Type>().ok_or_else(damaged);
    let times = events.column(1).as_primitive_opt::<Int64Type>().ok_or_else(damaged)?;
    let texts = events.column(4).as_string_view_opt().ok_or_else(damaged)?;
    let (epochs, kinds, counts) = (number(0)?, number(2)?, number(3)?);
    let rows = match rows.first() {
        Some(first) => concat_batches(&first.schema(), rows)?,
        None => weighted(&ChangeBatch::empty(schema.clone()))?,
    };
    if rows.num_columns() != schema.fields().len() + 1 {
        return Err(damaged());
    }
    let mut waiting = Waiting::default();
    let mut start = 0;
    for event in 0..events.num_rows() {
        let count = counts.value(event) as usize;
        if start + count > rows.num_rows() {
            return Err(damaged());
        }
        let changes = unweighted(&rows.slice(start, count), schema)?;
        start += count;
        let kind = match kinds.value(event) {
            HELD_BACK => {
                waiting.back = Some(changes);
                continue;
            }
            0 => EventKind::Snapshot,
            1 => EventKind::Change,
            2 => EventKind::Progress,
            3 => EventKind::Failed(texts.value(event).to_string()),
            _ => return Err(damaged()),
        };
        waiting.events.push((SubscriptionEvent { epoch: epochs.value(event), kind, changes }, times.value(event)));
    }
    Ok(waiting)
}

fn events_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("epoch", DataType::UInt64, false),
        Field::new("time", DataType::Int64, false),
        Field::new("kind", DataType::UInt64, false),
        Field::new("rows", DataType::UInt64, false),
        Field::new("text", DataType::Utf8View, true),
    ]))
}

/// Rows behind their weights.
fn weighted(changes: &ChangeBatch) -> Result<RecordBatch> {
    let weights = Int64Array::from_iter_values((0..changes.num_rows()).map(|row| changes.weights().get(row)));
    let mut fields = vec![Field::new("weight", DataType::Int64, false)];
    fields.extend(changes.schema().fields().iter().map(|field| field.as_ref().clone()));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(weights)];
    columns.extend(changes.rows().columns().iter().cloned());
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn unweighted(rows: &RecordBatch, schema: &SchemaRef) -> Result<ChangeBatch> {
    let weights = rows.column(0).as_primitive_opt::<Int64Type>().ok_or_else(damaged)?.values().clone();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let rows = RecordBatch::try_new_with_options(schema.clone(), rows.columns()[1..].to_vec(), &options)?;
    let weights = if weights.iter().all(|&weight| weight == 1) { Weights::Ones } else { Weights::Signed(weights) };
    ChangeBatch::try_new(rows, weights)
}

fn damaged() -> Error {
    Error::new(ErrorKind::Io, "what waits for a subscription makes no sense").with_sqlstate("XX001")
}
