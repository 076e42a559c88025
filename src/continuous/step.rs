//! What goes into a step of a circuit and what comes out.

use arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;

/// What a step may ask of the database.
pub struct StepContext<'a> {
    /// The time of the step, in microseconds since 1970 UTC.
    pub now_us: i64,
    /// Calls the work off: a build for its user; a step is never called off.
    pub interrupt: &'a Interrupt,
    /// Runs a plan in batch over the contents as they are at the end of this step.
    pub recompute: &'a dyn Fn(&LogicalPlan) -> Result<Vec<RecordBatch>>,
}

/// A row that started (positive weight) or ceased (negative weight) to fail.
#[derive(Debug)]
pub struct ErrorChange {
    /// Why it fails.
    pub error: Error,
    /// The row as text.
    pub row: String,
    /// How often.
    pub weight: i64,
}

/// What a step changed.
#[derive(Debug, Default)]
pub struct StepOutput {
    /// The change of the result.
    pub changes: Vec<ChangeBatch>,
    /// Whether every row occurs at most once in `changes`.
    pub consolidated: bool,
    /// The change of the failing rows.
    pub errors: Vec<ErrorChange>,
}
