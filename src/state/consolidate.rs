//! Equal rows of a change summed, zeros dropped.
//!
//! Rows are equal as keys are: NULL equals NULL, one zero, one NaN. The order is that of first occurrence.
//!
//! # The law
//!
//! A change says of every row how often it comes or goes: a function from rows to weights, zero almost everywhere.
//! Batches are one of many ways to write it as a sum. Consolidated, it is written in the one way in which each row
//! stands once and no weight is zero. So batches of equal changes, however they were cut and in whatever order they
//! came, consolidate to equal rows; a change and its negation consolidate to nothing; and to consolidate twice is to do
//! it once. A net difference for a subscriber and the comparison of VERIFY are this law and no more.

use arrow::array::RecordBatch;

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, Result};
use crate::base::types::canonical_floats;

use super::chunk::{record_batch, take_rows};
use super::key_table::KeyTable;

/// Rows in one batch of the result at most.
const BATCH_MAX: usize = 16 * 1024;

/// The same change with every row once, in batches of at most 16 Ki rows. [`Weights::Ones`] where every weight is one.
///
/// An error if a weight overflows. Nothing is copied where no row occurs twice.
pub fn consolidate(batches: &[ChangeBatch]) -> Result<Vec<ChangeBatch>> {
    let Some((rows, weights)) = gather(batches)? else { return Ok(vec![]) };
    if rows.num_rows() == 1 {
        return split(rows, weights);
    }
    let types: Vec<_> = rows.columns().iter().map(|column| column.data_type().clone()).collect();
    let mut groups = vec![];
    KeyTable::new(&types)?.intern(rows.columns(), rows.num_rows(), &mut groups)?;
    // Ids of a fresh table run from 0 in order of first occurrence: a new id is the next total.
    let mut totals: Vec<i64> = Vec::with_capacity(rows.num_rows());
    let mut occurrences: Vec<u32> = Vec::with_capacity(rows.num_rows());
    for ((row, group), weight) in groups.into_iter().enumerate().zip(weights) {
        match totals.get_mut(group as usize) {
            Some(total) => {
                *total =
                    total.checked_add(weight).ok_or_else(|| Error::data("weight overflow").with_sqlstate("22003"))?;
            }
            None => {
                totals.push(weight);
                occurrences.push(row as u32);
            }
        }
    }
    if occurrences.len() == rows.num_rows() && !totals.contains(&0) {
        return split(rows, totals);
    }
    let kept: Vec<u32> =
        occurrences.iter().zip(&totals).filter(|(_, total)| **total != 0).map(|(&row, _)| row).collect();
    totals.retain(|&total| total != 0);
    split(take_rows(&rows, &kept)?, totals)
}

/// All rows as one batch with canonical floats, and their weights; `None` if there are no rows.
pub(super) fn gather(batches: &[ChangeBatch]) -> Result<Option<(RecordBatch, Vec<i64>)>> {
    let batches: Vec<&ChangeBatch> = batches.iter().filter(|batch| !batch.is_empty()).collect();
    let rows = match batches.as_slice() {
        [] => return Ok(None),
        [only] => only.rows().clone(),
        [first, ..] => arrow::compute::concat_batches(&first.schema(), batches.iter().map(|batch| batch.rows()))?,
    };
    let columns = rows.columns().iter().cloned().map(canonical_floats).collect();
    let rows = record_batch(rows.schema(), columns, rows.num_rows())?;
    let mut weights = Vec::with_capacity(rows.num_rows());
    for batch in batches {
        match batch.weights() {
            Weights::Ones => weights.resize(weights.len() + batch.num_rows(), 1),
            Weights::Signed(signed) => weights.extend_from_slice(signed),
        }
    }
    Ok(Some((rows, weights)))
}

/// Cuts rows with nonzero weights into batches.
fn split(rows: RecordBatch, weights: Vec<i64>) -> Result<Vec<ChangeBatch>> {
    if weights == [0] {
        return Ok(vec![]);
    }
    let weights =
        if weights.iter().all(|&weight| weight == 1) { Weights::Ones } else { Weights::Signed(weights.into()) };
    let all = ChangeBatch::try_new(rows, weights)?;
    let starts = (0..all.num_rows()).step_by(BATCH_MAX);
    Ok(starts.map(|start| all.slice(start, BATCH_MAX.min(all.num_rows() - start))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::{Random, one_zero, random_rows, summed};
    use arrow::datatypes::Schema;
    use std::sync::Arc;

    fn canonical_sums(changes: &[ChangeBatch]) -> Vec<(String, i64)> {
        let mut sums = std::collections::BTreeMap::new();
        for (text, weight) in summed(changes) {
            *sums.entry(one_zero(&text)).or_insert(0) += weight;
        }
        sums.into_iter().filter(|(_, weight)| *weight != 0).collect()
    }

    #[test]
    fn sums_equal_rows_and_drops_zeros() {
        for seed in 1..=30 {
            let mut random = Random::new(seed);
            let mut batches = vec![];
            for _ in 0..random.below(5) {
                let rows = [0, 1, 10, 20_000][random.below(4) as usize];
                let distinct = 1 + random.below(40);
                let batch = random_rows(&mut random, rows, distinct);
                batches.push(match random.below(3) {
                    0 => ChangeBatch::inserts(batch),
                    1 => ChangeBatch::deletes(batch),
                    _ => {
                        let weights = (0..rows).map(|_| random.below(5) as i64 - 2).collect();
                        ChangeBatch::try_new(batch, Weights::Signed(weights)).unwrap()
                    }
                });
            }
            let result = consolidate(&batches).unwrap();
            assert_eq!(canonical_sums(&result), canonical_sums(&batches), "seed {seed}");
            let rows: usize = result.iter().map(ChangeBatch::num_rows).sum();
            assert_eq!(rows, summed(&result).len(), "seed {seed}: a row occurs twice");
            assert!(result.iter().all(|batch| (1..=BATCH_MAX).contains(&batch.num_rows())));
        }
    }

    #[test]
    fn inserts_of_distinct_rows_stay_ones() {
        let mut random = Random::new(1);
        let row = random_rows(&mut random, 1, 50);
        let other = random_rows(&mut random, 1, 50);
        let result = consolidate(&[ChangeBatch::inserts(row.clone()), ChangeBatch::inserts(other)]).unwrap();
        assert_eq!(result[0].weights(), &Weights::Ones);
        let result = consolidate(&[ChangeBatch::inserts(row.clone()), ChangeBatch::deletes(row)]).unwrap();
        assert!(result.is_empty());
    }

    #[test]
    fn rows_without_columns_are_one_row() {
        let rows = record_batch(Arc::new(Schema::empty()), vec![], 3).unwrap();
        let result = consolidate(&[ChangeBatch::inserts(rows.clone()), ChangeBatch::inserts(rows)]).unwrap();
        assert_eq!((result.len(), result[0].num_rows(), result[0].weights().get(0)), (1, 1, 6));
    }

    #[test]
    fn overflow_is_an_error() {
        let row: RecordBatch = random_rows(&mut Random::new(1), 1, 3);
        let huge = ChangeBatch::try_new(row, Weights::Signed(vec![i64::MAX].into())).unwrap();
        assert!(consolidate(&[huge.clone(), huge]).is_err());
    }
}
