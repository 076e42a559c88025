//! Filter and projection in one pass; values, which change only once.
//!
//! [`FilterProjectOperator`] keeps no state: a change of the input is, row by row, a change of the output, and the
//! weights share the filter's selection. Nothing is copied where every row passes or only columns are chosen.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::base::change::ChangeBatch;
use crate::base::error::Result;
use crate::operator::expression::{Expression, assemble, evaluate_all, evaluate_or_fail};
use crate::operator::{CHUNK_ROWS, Operator, Output};

/// Keeps the rows of the predicate, then computes the projection.
///
/// # Contract
/// - A row fails in the projection only if the predicate kept it (checked by a test).
pub struct FilterProjectOperator {
    predicate: Option<Expression>,
    projection: Option<Vec<Expression>>,
    schema: SchemaRef,
}

impl FilterProjectOperator {
    /// `projection` of `None` keeps the columns as they are; `schema` is that of the output.
    pub fn new(predicate: Option<Expression>, projection: Option<Vec<Expression>>, schema: SchemaRef) -> Self {
        FilterProjectOperator { predicate, projection, schema }
    }

    fn filter(&self, batch: ChangeBatch, out: &mut dyn Output) -> Result<Vec<ChangeBatch>> {
        let Some(predicate) = &self.predicate else { return Ok(vec![batch]) };
        evaluate_or_fail(&batch, out, &|rows| predicate.evaluate_mask(rows))?
            .into_iter()
            .map(|piece| filter(&piece.batch, &piece.values))
            .collect()
    }

    fn project(&self, batch: ChangeBatch, out: &mut dyn Output) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let Some(projection) = &self.projection else {
            let rows = assemble(&self.schema, batch.rows().columns().to_vec(), batch.num_rows())?;
            return out.emit(batch.with_rows(rows)?);
        };
        for piece in evaluate_or_fail(&batch, out, &|rows| evaluate_all(projection, rows))? {
            let rows = assemble(&self.schema, piece.values, piece.batch.num_rows())?;
            out.emit(piece.batch.with_rows(rows)?)?;
        }
        Ok(())
    }
}

impl Operator for FilterProjectOperator {
    fn push(&mut self, _port: usize, batch: ChangeBatch, out: &mut dyn Output) -> Result<()> {
        // Never more rows come out than went in, so there is nothing to cut into chunks.
        for kept in self.filter(batch, out)? {
            self.project(kept, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut dyn Output) -> Result<()> {
        Ok(())
    }
}

fn filter(batch: &ChangeBatch, mask: &BooleanArray) -> Result<ChangeBatch> {
    let kept = mask.true_count();
    if kept == 0 {
        return Ok(batch.slice(0, 0));
    }
    if kept == mask.len() {
        return Ok(batch.clone());
    }
    batch.filter(mask)
}

/// Passes every port on as it comes, in the types of the output: UNION ALL.
pub struct UnionOperator {
    schema: SchemaRef,
}

impl UnionOperator {
    /// `schema` is that of the output.
    pub fn new(schema: SchemaRef) -> Self {
        UnionOperator { schema }
    }
}

impl Operator for UnionOperator {
    fn push(&mut self, _port: usize, batch: ChangeBatch, out: &mut dyn Output) -> Result<()> {
        for piece in
            evaluate_or_fail(&batch, out, &|rows| assemble(&self.schema, rows.columns().to_vec(), rows.num_rows()))?
        {
            out.emit(piece.batch.with_rows(piece.values)?)?;
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut dyn Output) -> Result<()> {
        Ok(())
    }
}

/// Rows that were always there: emitted in the first step, never again.
pub struct ValuesOperator {
    rows: Option<RecordBatch>,
}

impl ValuesOperator {
    /// The constant rows.
    pub fn new(rows: RecordBatch) -> Self {
        ValuesOperator { rows: Some(rows) }
    }
}

impl Operator for ValuesOperator {
    fn push(&mut self, _port: usize, _batch: ChangeBatch, _out: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<()> {
        let Some(rows) = self.rows.take() else { return Ok(()) };
        for start in (0..rows.num_rows()).step_by(CHUNK_ROWS) {
            out.emit(ChangeBatch::inserts(rows.slice(start, CHUNK_ROWS.min(rows.num_rows() - start))))?;
        }
        Ok(())
    }
}
