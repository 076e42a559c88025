//! What is computed from all rows of a group at once: window functions, and aggregates without a running state.
//!
//! [`PartitionOperator`] keeps the rows of its input by group. A group that is touched in a step is computed as it was
//! before, when it is first touched, and as it is at the end; the difference is emitted. So a step costs as much as
//! the groups it touches are large, and nothing for the others. What is computed is an [`Evaluate`].

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::canonical_array;
use crate::operator::error::copy;
use crate::operator::expression::{Expression, assemble, evaluate_or_fail, values_text};
use crate::operator::{CHUNK_ROWS, Operator, Output};
use crate::state::consolidate::consolidate;
use crate::state::key_table::KeyTable;
use crate::state::row_bag::RowBag;

/// A function from all rows of a group to rows.
pub trait Evaluate: Send {
    /// The output rows of one group; `key` has one value a key column, `rows` are in no order.
    fn evaluate(&self, key: &[ArrayRef], rows: &RecordBatch) -> Result<RecordBatch>;

    /// Whether a group without rows has output.
    fn is_total(&self) -> bool {
        false
    }
}

/// What groups gave: rows, and the groups that failed.
#[derive(Default)]
struct Results {
    rows: Vec<RecordBatch>,
    failures: Vec<(Error, String)>,
}

/// Computes the groups that a step touched again.
///
/// # Contract
/// - The output of a step is consolidated.
/// - A group that fails has no rows; it is reported by +1, and by -1 when that ends.
pub struct PartitionOperator {
    keys: Vec<Expression>,
    key_types: Vec<DataType>,
    evaluate: Box<dyn Evaluate>,
    input: SchemaRef,
    table: KeyTable,
    rows: RowBag,
    /// Per group, the step that last touched it.
    steps: Vec<u32>,
    step: u32,
    touched: Vec<u32>,
    before: Results,
    started: bool,
}

impl PartitionOperator {
    /// `input` is the schema of the input; `append_only` says that it never deletes.
    pub fn new(
        keys: Vec<Expression>,
        evaluate: Box<dyn Evaluate>,
        input: SchemaRef,
        append_only: bool,
    ) -> Result<Self> {
        let key_types: Vec<DataType> = keys.iter().map(|key| key.data_type().clone()).collect();
        let types: Vec<DataType> = input.fields().iter().map(|field| field.data_type().clone()).collect();
        Ok(PartitionOperator {
            table: KeyTable::new(&key_types)?,
            rows: RowBag::new(&types, !append_only)?,
            keys,
            key_types,
            evaluate,
            input,
            steps: Vec::new(),
            step: 1,
            touched: Vec::new(),
            before: Results::default(),
            started: false,
        })
    }

    fn add(&mut self, batch: &ChangeBatch, keys: &[ArrayRef]) -> Result<()> {
        let mut groups = Vec::new();
        self.table.intern(keys, batch.num_rows(), &mut groups)?;
        self.remember_before(&groups)?;
        let columns = batch.rows().columns().iter().zip(self.input.fields());
        let columns = columns.map(|(column, field)| canonical_array(column, field.data_type()));
        self.rows.apply(&columns.collect::<Result<Vec<_>>>()?, batch.weights(), &groups)?;
        self.rows.index();
        Ok(())
    }

    /// Computes the groups met for the first time in this step as they still are.
    fn remember_before(&mut self, groups: &[u32]) -> Result<()> {
        self.steps.resize(self.table.capacity().max(self.steps.len()), 0);
        for &group in groups {
            if self.steps[group as usize] == self.step {
                continue;
            }
            self.steps[group as usize] = self.step;
            self.touched.push(group);
            if self.has_output(group) && (self.started || !self.rows.postings(group).is_empty()) {
                let mut before = std::mem::take(&mut self.before);
                let result = self.compute(group, &mut before);
                self.before = before;
                result?;
            }
        }
        Ok(())
    }

    fn has_output(&self, group: u32) -> bool {
        !self.rows.postings(group).is_empty() || (self.evaluate.is_total() && self.keys.is_empty())
    }

    fn compute(&self, group: u32, results: &mut Results) -> Result<()> {
        let key = self.table.keys(&[group])?;
        let mut slots = Vec::new();
        for &slot in self.rows.postings(group) {
            let Ok(times) = usize::try_from(self.rows.weight(slot)) else {
                let key = values_text(&key, 0);
                return Err(Error::internal(format!("more rows deleted than inserted in the group {key}")));
            };
            slots.resize(slots.len() + times, slot);
        }
        let columns = (0..self.input.fields().len()).map(|column| self.rows.take(column, &slots));
        let rows = assemble(&self.input, columns.collect::<Result<_>>()?, slots.len())?;
        match self.evaluate.evaluate(&key, &rows) {
            Ok(rows) if rows.num_rows() > 0 => results.rows.push(rows),
            Ok(_) => {}
            Err(error) if is_fatal(&error) => return Err(error),
            Err(error) => results.failures.push((error, values_text(&key, 0))),
        }
        Ok(())
    }

    fn emit(&self, after: Results, before: Results, out: &mut dyn Output) -> Result<()> {
        for (error, key) in before.failures {
            out.fail(copy(&error), key, -1);
        }
        for (error, key) in after.failures {
            out.fail(copy(&error), key, 1);
        }
        let mut changes: Vec<ChangeBatch> = before.rows.into_iter().map(ChangeBatch::deletes).collect();
        changes.extend(after.rows.into_iter().map(ChangeBatch::inserts));
        for change in consolidate(&changes)? {
            for start in (0..change.num_rows()).step_by(CHUNK_ROWS) {
                out.emit(change.slice(start, CHUNK_ROWS.min(change.num_rows() - start)))?;
            }
        }
        Ok(())
    }
}

impl Operator for PartitionOperator {
    fn push(&mut self, _port: usize, batch: ChangeBatch, out: &mut dyn Output) -> Result<()> {
        let (keys, key_types) = (&self.keys, &self.key_types);
        let pieces = evaluate_or_fail(&batch, out, &|rows| {
            let keys = keys.iter().zip(key_types).map(|(key, data_type)| {
                let values = key.evaluate(rows)?;
                canonical_array(&values, data_type)
            });
            keys.collect::<Result<Vec<_>>>()
        })?;
        for piece in pieces {
            if !piece.batch.is_empty() {
                self.add(&piece.batch, &piece.values)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<()> {
        if !self.started && self.keys.is_empty() && self.evaluate.is_total() {
            let mut groups = Vec::new();
            self.table.intern(&[], 1, &mut groups)?;
            self.remember_before(&groups)?;
        }
        self.started = true;
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return Ok(());
        }
        let mut after = Results::default();
        for &group in &touched {
            if self.has_output(group) {
                self.compute(group, &mut after)?;
            }
        }
        let before = std::mem::take(&mut self.before);
        self.emit(after, before, out)?;
        let dead: Vec<u32> = touched
            .into_iter()
            .filter(|&group| self.rows.postings(group).is_empty() && !self.keys.is_empty())
            .collect();
        self.table.release(&dead);
        self.step = match self.step.checked_add(1) {
            Some(step) => step,
            None => {
                self.steps.fill(0);
                1
            }
        };
        Ok(())
    }

    fn size(&self) -> usize {
        self.table.size() + self.rows.size() + self.steps.capacity() * size_of::<u32>()
    }

    fn state_rows(&self) -> usize {
        self.rows.len()
    }
}

/// Whether the error is not about the values of the group.
fn is_fatal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Resource | ErrorKind::Cancelled | ErrorKind::Timeout)
}
