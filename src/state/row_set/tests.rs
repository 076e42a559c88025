//! The row set against a map of printed rows to totals.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, StringViewArray};

use super::*;
use crate::state::testing::{Random, one_zero, random_rows, schema, texts};

fn contents(set: &RowSet, epoch: u64) -> BTreeMap<String, i64> {
    let snapshot = set.arena().snapshot(epoch);
    let mut rows = BTreeMap::new();
    let mut count = 0;
    for chunk in 0..snapshot.chunks() {
        if let Some(batch) = snapshot.read_chunk(chunk, None, false).unwrap() {
            count += batch.num_rows() as u64;
            for text in texts(batch.columns(), batch.num_rows()) {
                *rows.entry(text).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(count, snapshot.num_rows());
    rows
}

fn row(a: i64, b: &str) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![a])),
        Arc::new(StringViewArray::from(vec![b])),
        Arc::new(Float64Array::from(vec![0.5])),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn change(rows: &[(i64, &str, i64)]) -> ChangeBatch {
    let batches: Vec<RecordBatch> = rows.iter().map(|(a, b, _)| row(*a, b)).collect();
    let rows_only = arrow::compute::concat_batches(&schema(), &batches).unwrap();
    ChangeBatch::try_new(rows_only, Weights::Signed(rows.iter().map(|(_, _, weight)| *weight).collect())).unwrap()
}

#[test]
fn totals_follow_random_changes_by_whole_row() {
    for seed in 1..=8 {
        let mut random = Random::new(seed);
        let mut set = RowSet::new(schema(), None).unwrap();
        let mut model: BTreeMap<String, i64> = BTreeMap::new();
        for epoch in 1..60 {
            let rows = [0, 1, 8, 300][random.below(4) as usize];
            let batch = random_rows(&mut random, rows, 4);
            let names: Vec<String> = texts(batch.columns(), rows).into_iter().map(|text| one_zero(&text)).collect();
            let mut after = model.clone();
            // Deletes may stand before or after the inserts that allow them.
            let weights: Vec<i64> = names
                .iter()
                .map(|name| {
                    let total = after.entry(name.clone()).or_insert(0);
                    let weight = (random.below(6) as i64 - 2).max(-*total);
                    *total += weight;
                    weight
                })
                .collect();
            let order: Vec<u32> =
                if random.below(2) == 0 { (0..rows as u32).collect() } else { (0..rows as u32).rev().collect() };
            let batch = take_rows(&batch, &order).unwrap();
            let weights = Weights::Signed(order.iter().map(|&row| weights[row as usize]).collect());
            set.apply(&ChangeBatch::try_new(batch, weights).unwrap(), epoch).unwrap();
            after.retain(|_, total| *total != 0);
            model = after;
            assert_eq!(contents(&set, epoch), model, "seed {seed} epoch {epoch}");
            assert_eq!(set.index.len(), model.len(), "seed {seed} epoch {epoch}");
            if random.below(5) == 0 {
                set.arena_mut().compact(epoch, &mut { u64::MAX }).unwrap();
                assert_eq!(contents(&set, epoch), model, "seed {seed} epoch {epoch} compacted");
            }
        }
    }
}

#[test]
fn an_update_by_key_takes_the_old_row_back() {
    let mut set = RowSet::new(schema(), Some(vec![0])).unwrap();
    set.apply(&change(&[(1, "a", 1), (2, "b", 1)]), 1).unwrap();
    let before = set.arena().snapshot(1);
    // The insert stands before the delete, and in another batch.
    set.apply_all(&[change(&[(1, "new", 1)]), change(&[(1, "a", -1), (2, "b", -1)])], 2).unwrap();
    assert_eq!(contents(&set, 2).into_keys().collect::<Vec<_>>(), ["'1','new','0.5'"]);
    assert_eq!((before.num_rows(), before.read_chunk(0, None, false).unwrap().unwrap().num_rows()), (2, 2));
    // Unconsolidated: a passing row.
    set.apply(&change(&[(1, "new", -1), (1, "x", 1), (1, "x", -1), (1, "y", 1)]), 3).unwrap();
    assert_eq!(contents(&set, 3).into_keys().collect::<Vec<_>>(), ["'1','y','0.5'"]);
}

#[test]
fn an_emptied_row_comes_back_in_one_two_or_three_steps() {
    for key in [None, Some(vec![0])] {
        let mut set = RowSet::new(schema(), key).unwrap();
        set.apply(&change(&[(1, "a", 1)]), 1).unwrap();
        set.apply(&change(&[(1, "a", -1)]), 2).unwrap();
        assert!(contents(&set, 2).is_empty());
        set.apply(&change(&[(1, "a", 1)]), 3).unwrap();
        assert_eq!(contents(&set, 3).len(), 1);
        set.apply(&change(&[(1, "a", -1), (1, "a", 1)]), 4).unwrap();
        assert_eq!(contents(&set, 4).len(), 1);
        set.apply(&change(&[(7, "z", 1), (7, "z", -1)]), 5).unwrap();
        assert_eq!((contents(&set, 5).len(), set.index.len()), (1, 1));
    }
}

#[test]
fn a_negative_total_is_refused_by_name_and_changes_nothing() {
    for key in [None, Some(vec![0])] {
        let mut set = RowSet::new(schema(), key).unwrap();
        set.apply(&change(&[(1, "a", 1)]), 1).unwrap();
        let error = set.apply(&change(&[(5, "other", 1), (1, "a", -2)]), 2).unwrap_err();
        assert!(error.message().contains("1, a, 0.5"), "{error}");
        let error = set.apply(&change(&[(5, "other", 1), (6, "missing", -1)]), 2).unwrap_err();
        assert!(error.message().contains("6, missing, 0.5"), "{error}");
        assert_eq!((contents(&set, 2).len(), set.index.len(), set.arena().high()), (1, 1, 1));
    }
    let mut set = RowSet::new(schema(), Some(vec![0])).unwrap();
    set.apply(&change(&[(1, "a", 1)]), 1).unwrap();
    let error = set.apply(&change(&[(1, "b", 1)]), 2).unwrap_err();
    assert!(error.message().contains("two rows with the unique key of (1, b"), "{error}");
    let error = set.apply(&change(&[(2, "b", 1), (2, "c", 1)]), 2).unwrap_err();
    assert!(error.message().contains("two rows"), "{error}");
}

#[test]
fn a_row_without_columns_has_a_total() {
    let schema = Arc::new(arrow::datatypes::Schema::empty());
    let mut set = RowSet::new(schema.clone(), None).unwrap();
    let rows = super::super::chunk::record_batch(schema, vec![], 1).unwrap();
    for total in 1..4 {
        set.apply(&ChangeBatch::inserts(rows.clone()), total).unwrap();
        assert_eq!(set.arena().snapshot(total).num_rows(), total);
    }
    set.apply(&ChangeBatch::try_new(rows, Weights::Signed(vec![-3].into())).unwrap(), 4).unwrap();
    assert_eq!(set.arena().snapshot(4).num_rows(), 0);
}
