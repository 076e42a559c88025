//! Changes: rows with weights, the only thing that flows between operators and out to subscribers.
//!
//! A row of weight +n was inserted n times, one of weight -n deleted n times. Weights live beside the Arrow batch
//! so that kernels stay untouched, and an append-only batch ([`Weights::Ones`]) pays nothing for them.
//! This file promises length equality of rows and weights. It does not consolidate: that is an operator.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::compute;
use arrow::datatypes::{Int64Type, SchemaRef, UInt32Type};

use super::error::{Error, Result};

/// How often each row of a batch was inserted (positive) or deleted (negative).
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// Every row was inserted once.
    Ones,
    /// One weight a row.
    Signed(ScalarBuffer<i64>),
}

impl Weights {
    /// The weight of row `row`.
    #[inline]
    pub fn get(&self, row: usize) -> i64 {
        match self {
            Weights::Ones => 1,
            Weights::Signed(weights) => weights[row],
        }
    }

    /// Whether no row is deleted.
    pub fn is_insert_only(&self) -> bool {
        match self {
            Weights::Ones => true,
            Weights::Signed(weights) => weights.iter().all(|&weight| weight >= 0),
        }
    }

    /// The weights of `length` rows from `offset`.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        match self {
            Weights::Ones => Weights::Ones,
            Weights::Signed(weights) => Weights::Signed(weights.slice(offset, length)),
        }
    }

    /// The weights of the rows that `mask` keeps (null counts as false).
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self> {
        self.map(|array| Ok(compute::filter(&array, mask)?))
    }

    /// The weights at `indices`, which must hold no nulls.
    pub fn take(&self, indices: &PrimitiveArray<UInt32Type>) -> Result<Self> {
        self.map(|array| Ok(compute::take(&array, indices, None)?))
    }

    /// All signs turned: what undoes the change.
    pub fn negate(&self, rows: usize) -> Result<Self> {
        match self {
            Weights::Ones => Ok(Weights::Signed(vec![-1; rows].into())),
            Weights::Signed(weights) => weights
                .iter()
                .map(|weight| weight.checked_neg().ok_or_else(overflow))
                .collect::<Result<Vec<_>>>()
                .map(|weights| Weights::Signed(weights.into())),
        }
    }

    fn map(&self, kernel: impl FnOnce(Int64Array) -> Result<ArrayRef>) -> Result<Self> {
        match self {
            Weights::Ones => Ok(Weights::Ones),
            Weights::Signed(weights) => {
                let array = kernel(Int64Array::new(weights.clone(), None))?;
                Ok(Weights::Signed(array.as_primitive::<Int64Type>().values().clone()))
            }
        }
    }
}

fn overflow() -> Error {
    Error::data("weight overflow").with_sqlstate("22003")
}

/// Rows with their weights.
///
/// # Contract
/// - As many weights as rows: checked on construction.
/// - Weights may be zero and a row may occur several times: a batch is not consolidated unless its producer says so
///   (not checkable here, because it would need a hash of every row).
#[derive(Debug, Clone)]
pub struct ChangeBatch {
    rows: RecordBatch,
    weights: Weights,
}

impl ChangeBatch {
    /// Rows with weights; an error if their lengths differ.
    pub fn try_new(rows: RecordBatch, weights: Weights) -> Result<Self> {
        if let Weights::Signed(weights) = &weights
            && weights.len() != rows.num_rows()
        {
            return Err(Error::internal(format!("{} weights for {} rows", weights.len(), rows.num_rows())));
        }
        Ok(ChangeBatch { rows, weights })
    }

    /// Every row inserted once.
    pub fn inserts(rows: RecordBatch) -> Self {
        ChangeBatch { rows, weights: Weights::Ones }
    }

    /// Every row deleted once.
    pub fn deletes(rows: RecordBatch) -> Self {
        let weights = Weights::Signed(vec![-1; rows.num_rows()].into());
        ChangeBatch { rows, weights }
    }

    /// No rows of the given columns.
    pub fn empty(schema: SchemaRef) -> Self {
        ChangeBatch::inserts(RecordBatch::new_empty(schema))
    }

    /// The rows, without their weights.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The weights, one a row.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// How many rows, whatever their weights.
    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.num_rows() == 0
    }

    /// Whether every row is inserted once, so that nothing in the batch can cancel.
    pub fn is_ones(&self) -> bool {
        self.weights == Weights::Ones
    }

    /// The rows and weights apart.
    pub fn into_parts(self) -> (RecordBatch, Weights) {
        (self.rows, self.weights)
    }

    /// The same weights on other rows; an error if the number of rows differs.
    pub fn with_rows(&self, rows: RecordBatch) -> Result<Self> {
        ChangeBatch::try_new(rows, self.weights.clone())
    }

    /// `length` rows from `offset`, without copying.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        ChangeBatch { rows: self.rows.slice(offset, length), weights: self.weights.slice(offset, length) }
    }

    /// The rows that `mask` keeps (null counts as false).
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self> {
        if mask.null_count() == 0 && mask.true_count() == mask.len() {
            return Ok(self.clone());
        }
        Ok(ChangeBatch { rows: compute::filter_record_batch(&self.rows, mask)?, weights: self.weights.filter(mask)? })
    }

    /// The rows at `indices`, which must hold no nulls.
    pub fn take(&self, indices: &PrimitiveArray<UInt32Type>) -> Result<Self> {
        Ok(ChangeBatch { rows: compute::take_record_batch(&self.rows, indices)?, weights: self.weights.take(indices)? })
    }

    /// The change that undoes this one.
    pub fn negate(&self) -> Result<Self> {
        Ok(ChangeBatch { rows: self.rows.clone(), weights: self.weights.negate(self.num_rows())? })
    }
}
