//! The floor under every query: run it again and emit the difference.
//!
//! [`Recompute`] holds a plan and its last result. When one of its relations changed in a step it asks the database
//! to run the plan over the step's new contents. It promises that the emitted differences sum to the result. While
//! the plan fails on the data, the last result stands and the failure is reported.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::relation::RelationId;
use crate::continuous::step::StepContext;
use crate::operator::expression::assemble;
use crate::operator::{CHUNK_ROWS, Output, error};
use crate::state::consolidate::consolidate;

/// A plan that is run again when what it reads has changed.
pub struct Recompute {
    plan: LogicalPlan,
    relations: BTreeSet<RelationId>,
    uses_now: bool,
    schema: SchemaRef,
    last: Vec<ChangeBatch>,
    last_now_us: Option<i64>,
    failure: Option<Error>,
    dirty: bool,
}

impl Recompute {
    /// `schema` is that of the output.
    pub fn new(plan: LogicalPlan, relations: BTreeSet<RelationId>, uses_now: bool, schema: SchemaRef) -> Self {
        Recompute { plan, relations, uses_now, schema, last: vec![], last_now_us: None, failure: None, dirty: true }
    }

    /// Tells that `relation` changed in this step.
    pub fn mark_changed(&mut self, relation: RelationId) {
        self.dirty |= self.relations.contains(&relation);
    }

    /// Ends the step.
    pub fn finish(&mut self, cx: &StepContext, out: &mut dyn Output) -> Result<()> {
        if self.uses_now && self.last_now_us != Some(cx.now_us) {
            self.dirty = true;
        }
        if !self.dirty {
            return Ok(());
        }
        let result = (cx.recompute)(&self.plan);
        if let Some(failure) = self.failure.take() {
            out.fail(failure, String::new(), -1);
        }
        let batches = match result {
            Ok(batches) => batches,
            Err(failure) if is_about_data(&failure) => {
                out.fail(error::copy(&failure), String::new(), 1);
                self.failure = Some(failure);
                return self.finished(cx);
            }
            Err(failure) => return Err(failure),
        };
        let mut new = Vec::with_capacity(batches.len());
        for batch in batches {
            new.push(ChangeBatch::inserts(assemble(&self.schema, batch.columns().to_vec(), batch.num_rows())?));
        }
        let mut difference = new.clone();
        for batch in &self.last {
            difference.push(batch.negate()?);
        }
        self.last = new;
        for batch in consolidate(&difference)? {
            for start in (0..batch.num_rows()).step_by(CHUNK_ROWS) {
                out.emit(batch.slice(start, CHUNK_ROWS.min(batch.num_rows() - start)))?;
            }
        }
        self.finished(cx)
    }

    fn finished(&mut self, cx: &StepContext) -> Result<()> {
        self.dirty = false;
        self.last_now_us = Some(cx.now_us);
        Ok(())
    }

    /// Bytes of the last result.
    pub fn size(&self) -> usize {
        self.last.iter().map(|batch| batch.rows().get_array_memory_size()).sum()
    }

    /// Rows of the last result.
    pub fn state_rows(&self) -> usize {
        self.last.iter().map(ChangeBatch::num_rows).sum()
    }
}

fn is_about_data(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Data | ErrorKind::ViewFailed)
}
