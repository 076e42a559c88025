//! The arena against a list of rows with birth and death.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, UInt64Type};

use super::*;
use crate::base::change::ChangeBatch;
use crate::catalog::layout::ColumnId;
use crate::state::testing::{Random, random_rows, schema, summed, text, texts};

struct Row {
    text: String,
    weight: i64,
    died: u64,
}

fn read(snapshot: &Snapshot) -> Vec<(u64, String)> {
    let mut rows = vec![];
    for chunk in 0..snapshot.chunks() {
        let Some(batch) = snapshot.read_chunk(chunk, None, true).unwrap() else { continue };
        assert!(batch.num_rows() > 0);
        assert_eq!(batch.schema().field(3).name(), "_rowid");
        let ids = batch.column(3).as_primitive::<UInt64Type>();
        for row in 0..batch.num_rows() {
            rows.push((ids.value(row), text(&batch.columns()[..3], row)));
        }
        let narrow = snapshot.read_chunk(chunk, Some(&[1]), false).unwrap().unwrap();
        assert_eq!((narrow.num_columns(), narrow.num_rows()), (1, batch.num_rows()));
        let none = snapshot.read_chunk(chunk, Some(&[]), false).unwrap().unwrap();
        assert_eq!((none.num_columns(), none.num_rows()), (0, batch.num_rows()));
    }
    assert_eq!(rows.len() as u64, snapshot.num_rows());
    rows
}

/// The rows of the model that `snapshot` must see.
fn expected(model: &[Row], snapshot: &Snapshot) -> Vec<(u64, String)> {
    let rows = model.iter().enumerate().take(snapshot.high() as usize);
    let seen = rows.filter(|(_, row)| row.died > snapshot.epoch());
    seen.flat_map(|(id, row)| (0..row.weight).map(move |_| (id as u64, row.text.clone()))).collect()
}

fn sums(rows: Vec<(u64, String)>, sign: i64, into: &mut BTreeMap<String, i64>) {
    for (_, text) in rows {
        *into.entry(text).or_insert(0) += sign;
    }
}

fn check_history(seed: u64, large: usize, steps: u64) {
    let mut random = Random::new(seed);
    let mut arena = RowArena::new(schema());
    let mut model: Vec<Row> = vec![];
    let mut held: Vec<Snapshot> = vec![arena.snapshot(0)];
    for epoch in 1..=steps {
        for _ in 0..random.below(4) {
            let rows = [0, 1, 1, 3, large][random.below(5) as usize];
            let batch = random_rows(&mut random, rows, 20);
            let weights = match random.below(3) {
                0 => Weights::Signed((0..rows).map(|_| 1 + random.below(3) as i64).collect()),
                _ => Weights::Ones,
            };
            let ids = arena.append(batch.clone(), &weights).unwrap();
            assert_eq!(ids, model.len() as u64..(model.len() + rows) as u64);
            let texts = texts(batch.columns(), rows).into_iter().enumerate();
            model.extend(texts.map(|(row, text)| Row { text, weight: weights.get(row), died: NEVER }));
        }
        let deletions = if random.below(4) == 0 { model.len() as u64 / 2 } else { random.below(6) };
        for _ in 0..deletions.min(model.len() as u64 * 4) {
            let id = random.below(model.len() as u64);
            let alive = model[id as usize].died == NEVER;
            assert_eq!(arena.weight(id), alive.then_some(model[id as usize].weight));
            assert_eq!(arena.delete(id, epoch).is_ok(), alive, "seed {seed}");
            if alive {
                model[id as usize].died = epoch;
            }
        }
        let snapshot = arena.snapshot(epoch);
        assert_eq!(read(&snapshot), expected(&model, &snapshot), "seed {seed} epoch {epoch}");
        assert_eq!(snapshot.num_rows(), arena.live_rows());
        held.push(snapshot.clone());
        for older in &held {
            let changes: Vec<ChangeBatch> = snapshot.changes_since(older).unwrap();
            let mut difference = BTreeMap::new();
            sums(expected(&model, &snapshot), 1, &mut difference);
            sums(expected(&model, older), -1, &mut difference);
            let difference: Vec<_> = difference.into_iter().filter(|(_, weight)| *weight != 0).collect();
            assert_eq!(summed(&changes), difference, "seed {seed} epoch {epoch} since {}", older.epoch());
        }
        if random.below(3) == 0 && held.len() > 3 {
            held.remove(0);
        }
        if random.below(2) == 0 {
            let pinned = held[0].epoch();
            arena.compact(pinned, &mut { u64::MAX }).unwrap();
            for snapshot in &held {
                assert_eq!(read(snapshot), expected(&model, snapshot), "seed {seed} epoch {epoch} compacted");
            }
            let again = arena.snapshot(pinned);
            let ids: Vec<u64> = read(&again).into_iter().map(|(id, _)| id).collect();
            let taken = arena.take(&ids, &[0, 1, 2]).unwrap();
            let names: Vec<String> = ids.iter().map(|&id| model[id as usize].text.clone()).collect();
            assert_eq!(texts(&taken, ids.len()), names, "seed {seed} epoch {epoch}");
        }
    }
}

#[test]
fn snapshots_see_their_epoch_through_deaths_and_compactions() {
    for seed in 1..=12 {
        check_history(seed, 50, 40);
    }
}

#[test]
fn the_same_over_sealed_chunks() {
    for seed in 1..=2 {
        check_history(seed, 30_000, 10);
    }
}

#[test]
fn one_row_appends_leave_few_chunks_and_compaction_removes_dead_ones() {
    let mut arena = RowArena::new(schema());
    let row = random_rows(&mut Random::new(1), 1, 5);
    for epoch in 1..=70_000 {
        let ids = arena.append(row.clone(), &Weights::Ones).unwrap();
        if ids.start > 0 {
            arena.delete(ids.start - 1, epoch).unwrap();
        }
    }
    assert!(arena.snapshot(70_000).chunks() < 20);
    assert_eq!((arena.live_rows(), arena.dead_rows()), (1, 69_999));
    arena.compact(70_000, &mut { u64::MAX }).unwrap();
    assert!(arena.snapshot(70_000).chunks() < 4, "{}", arena.snapshot(70_000).chunks());
    assert!(arena.dead_rows() < 10, "{}", arena.dead_rows());
    assert!(arena.take(&[5], &[0]).is_err() && arena.delete(5, 70_000).is_err() && arena.weight(5).is_none());
}

#[test]
fn weights_that_are_not_positive_and_foreign_columns_are_refused() {
    let mut arena = RowArena::new(schema());
    let rows = random_rows(&mut Random::new(1), 2, 5);
    assert!(arena.append(rows.clone(), &Weights::Signed(vec![1, 0].into())).is_err());
    assert!(arena.append(rows.project(&[0]).unwrap(), &Weights::Ones).is_err());
    assert_eq!(arena.high(), 0);
    assert!(arena.append(rows, &Weights::Signed(vec![i64::MAX, 1].into())).is_ok());
    let snapshot = arena.snapshot(0);
    assert_eq!(snapshot.num_rows(), i64::MAX as u64 + 1);
    assert!(snapshot.read_chunk(0, None, false).is_err());
}

#[test]
fn compaction_keeps_the_rows_of_a_segment_together() {
    let mut random = Random::new(3);
    let mut arena = RowArena::new(schema());
    let rows = random_rows(&mut Random::new(1), 10_000, 5);
    for _ in 0..30 {
        arena.append(rows.clone(), &Weights::Ones).unwrap();
    }
    for round in 1..=4 {
        for id in 0..300_000 {
            let often = if segment(id).is_multiple_of(3) { 2 } else { 5 };
            if random.below(often) > 0 && arena.weight(id).is_some() {
                arena.delete(id, round).unwrap();
            }
        }
        let before = read(&arena.snapshot(round));
        arena.compact(round, &mut { u64::MAX }).unwrap();
        assert_eq!(read(&arena.snapshot(round)), before, "round {round}");
        let chunks: Vec<_> = arena.sealed.iter().map(|chunk| (segment(chunk.first()), segment(chunk.last()))).collect();
        for pair in chunks.windows(2) {
            let ((first, end), (start, last)) = (pair[0], pair[1]);
            assert!(end < start || (first == end && end == start && start == last), "{chunks:?}");
        }
    }
    assert!(arena.sealed.len() < 16, "{chunks} chunks", chunks = arena.sealed.len());
}

#[test]
fn rows_outlive_changes_of_their_columns() {
    let old = Layout::numbered(schema());
    let mut arena = RowArena::of_layout(old.clone());
    let rows = random_rows(&mut Random::new(1), 10, 5);
    arena.append(rows.clone(), &Weights::Ones).unwrap();
    let before = arena.snapshot(1);
    // Without the first column, with a new one that older rows have 7 in.
    let fields = [old.schema.field(1).clone(), old.schema.field(2).clone(), Field::new("new", DataType::Int64, true)];
    let seven: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let new = Layout {
        schema: Arc::new(Schema::new(fields.to_vec())),
        ids: vec![ColumnId(1), ColumnId(2), ColumnId(3)].into(),
        missing: vec![None, None, Some(seven.clone())].into(),
    };
    arena.relayout(new.clone());
    let added = rows.slice(0, 2);
    let columns = vec![added.column(1).clone(), added.column(2).clone(), Arc::new(Int64Array::from(vec![1, 2])) as _];
    arena.append(RecordBatch::try_new(new.schema.clone(), columns).unwrap(), &Weights::Ones).unwrap();
    arena.delete(3, 2).unwrap();
    let taken = arena.take(&[0, 11], &[2, 0]).unwrap();
    assert_eq!(taken[0].as_primitive::<Int64Type>().values(), &[7, 2]);
    let unchanged = before.read_chunk(0, None, false).unwrap().unwrap();
    assert_eq!(texts(unchanged.columns(), 3), texts(rows.columns(), 3), "the old snapshot has its columns");
    let now = arena.snapshot(2);
    let gone = now.changes_since(&before).unwrap();
    assert_eq!(gone.iter().map(ChangeBatch::num_rows).sum::<usize>(), 3);
    assert!(gone.iter().all(|change| change.schema() == new.schema));
    // A column of the name of one that is gone has nothing of its values.
    let mut again = new.clone();
    let back = Field::new(old.schema.field(0).name(), old.schema.field(0).data_type().clone(), true);
    again.schema = Arc::new(Schema::new(vec![back, new.schema.field(2).clone()]));
    (again.ids, again.missing) = (vec![ColumnId(4), ColumnId(3)].into(), vec![None, Some(seven)].into());
    let seen = now.seen_as(again).read_chunk(0, None, false).unwrap().unwrap();
    assert_eq!(seen.column(0).null_count(), seen.num_rows());
}

#[test]
fn a_converted_arena_keeps_ids_and_asks_for_no_dead_value() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let mut arena = RowArena::new(schema.clone());
    let rows =
        |values: Vec<i64>| RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(values))]).unwrap();
    arena.append(rows((0..100).collect()), &Weights::Ones).unwrap();
    arena.append(rows(vec![1000]), &Weights::Ones).unwrap();
    arena.delete(100, 1).unwrap();
    (0..50).for_each(|id| arena.delete(id * 2, 2).unwrap());
    let layout = Layout {
        schema: Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)])),
        ids: vec![ColumnId(1)].into(),
        missing: vec![None].into(),
    };
    let narrow = |rows: &RecordBatch| {
        assert!(rows.column(0).as_primitive::<Int64Type>().values().iter().all(|value| value % 2 == 1));
        let column = compute::cast(rows.column(0), &DataType::Int32)?;
        Ok(RecordBatch::try_new(layout.schema.clone(), vec![column])?)
    };
    let mut converted = RowArena::converted(&arena.snapshot(2), layout.clone(), &narrow).unwrap();
    assert_eq!((converted.live_rows(), converted.dead_rows(), converted.high()), (50, 50, 101));
    let taken = converted.take(&[1, 99], &[0]).unwrap();
    assert_eq!(taken[0].as_primitive::<Int32Type>().values(), &[1, 99]);
    assert!(converted.delete(100, 3).is_err() && converted.delete(2, 3).is_err() && converted.delete(3, 3).is_ok());
    let ids = converted.append(narrow(&rows(vec![7])).unwrap(), &Weights::Ones).unwrap();
    assert_eq!(ids, 101..102);
}
