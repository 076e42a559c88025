//! Compiled expressions, and rows that fail to evaluate.
//!
//! An [`Expression`] is DataFusion's physical form of a logical expression, so that both drivers compute a value by
//! the same code. [`evaluate_or_fail`] makes errors data: it halves a failing batch until the failing rows stand
//! alone, reports those and returns results for the rest. Placeholders (`$__now`, parameters) must be bound before;
//! an unbound one does not compile.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, prep_null_mask_filter};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::operator::Output;
use crate::operator::error::from_datafusion;

/// The stack on which deep expressions are evaluated, in bytes.
const STACK: usize = 64 << 20;
/// Expressions nested no deeper than this are evaluated on whatever stack there is.
const SHALLOW: usize = 50;

/// A compiled scalar expression over the columns of one schema.
#[derive(Clone)]
pub struct Expression {
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    /// Whether evaluation, which recurses, may need more stack than a thread has.
    deep: bool,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.physical)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.physical.eq(&other.physical) && self.data_type == other.data_type
    }
}

impl Expression {
    /// Compiles `expr` over the columns of `schema`; an error if it holds subqueries or unbound placeholders.
    pub fn compile(expr: &Expr, schema: &DFSchema) -> Result<Self> {
        let context = PhysicalPlanningContext::default();
        let physical = create_physical_expr(expr, schema, &ExecutionProps::new(), &context).map_err(from_datafusion)?;
        let data_type = physical.data_type(schema.as_arrow()).map_err(from_datafusion)?;
        let deep = is_deep(&physical);
        Ok(Expression { physical, data_type, deep })
    }

    #[cfg(test)]
    /// The column at `index`.
    pub fn column(name: &str, index: usize, data_type: DataType) -> Self {
        Expression { physical: Arc::new(Column::new(name, index)), data_type, deep: false }
    }

    /// The type of its values.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The position of the column, if the expression is nothing but one.
    pub fn as_column(&self) -> Option<usize> {
        self.physical.downcast_ref::<Column>().map(Column::index)
    }

    /// One value a row.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        if let Some(index) = self.as_column()
            && let Some(column) = batch.columns().get(index)
        {
            return Ok(column.clone());
        }
        let evaluate = || self.physical.evaluate(batch);
        let value = if self.deep { stacker::maybe_grow(STACK / 2, STACK, evaluate) } else { evaluate() };
        let value = value.map_err(from_datafusion)?;
        let array = value.into_array(batch.num_rows()).map_err(from_datafusion)?;
        if array.len() != batch.num_rows() {
            return Err(Error::internal(format!("{self:?} gave {} values for {}", array.len(), batch.num_rows())));
        }
        Ok(array)
    }

    /// Which rows the predicate keeps; null counts as false, and no value of the mask is null.
    pub fn evaluate_mask(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let values = self.evaluate(batch)?;
        match values.data_type() {
            DataType::Boolean if values.null_count() == 0 => Ok(values.as_boolean().clone()),
            DataType::Boolean => Ok(prep_null_mask_filter(values.as_boolean())),
            DataType::Null => Ok(BooleanArray::from(vec![false; values.len()])),
            other => Err(Error::internal(format!("predicate {self:?} is of type {other}"))),
        }
    }
}

fn is_deep(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let mut level = vec![expr];
    for _ in 0..SHALLOW {
        level = level.into_iter().flat_map(|expr| expr.children()).collect();
    }
    !level.is_empty()
}

/// Evaluates all `expressions` over a batch.
pub fn evaluate_all(expressions: &[Expression], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    expressions.iter().map(|expression| expression.evaluate(batch)).collect()
}

/// Part of a batch and what was evaluated over it.
pub struct Piece<T> {
    /// Where the part begins in the batch.
    pub offset: usize,
    /// The rows.
    pub batch: ChangeBatch,
    /// The values.
    pub values: T,
}

/// Evaluates over the batch; rows that fail are reported to `out` and left out, so that the pieces hold all others
/// in their order. Without a failing row there is one piece: the batch itself.
pub fn evaluate_or_fail<T>(
    batch: &ChangeBatch,
    out: &mut dyn Output,
    evaluate: &dyn Fn(&RecordBatch) -> Result<T>,
) -> Result<Vec<Piece<T>>> {
    let mut pieces = Vec::with_capacity(1);
    match evaluate(batch.rows()) {
        Ok(values) => pieces.push(Piece { offset: 0, batch: batch.clone(), values }),
        Err(error) => halve(batch, 0, error, out, evaluate, &mut pieces)?,
    }
    Ok(pieces)
}

fn halve<T>(
    batch: &ChangeBatch,
    offset: usize,
    error: Error,
    out: &mut dyn Output,
    evaluate: &dyn Fn(&RecordBatch) -> Result<T>,
    pieces: &mut Vec<Piece<T>>,
) -> Result<()> {
    if matches!(error.kind(), ErrorKind::Resource | ErrorKind::Cancelled | ErrorKind::Timeout) || batch.is_empty() {
        return Err(error);
    }
    if batch.num_rows() == 1 {
        out.fail(error, row_text(batch.rows(), 0), batch.weights().get(0));
        return Ok(());
    }
    let middle = batch.num_rows() / 2;
    for (start, length) in [(0, middle), (middle, batch.num_rows() - middle)] {
        let part = batch.slice(start, length);
        match evaluate(part.rows()) {
            Ok(values) => pieces.push(Piece { offset: offset + start, batch: part, values }),
            Err(error) => halve(&part, offset + start, error, out, evaluate, pieces)?,
        }
    }
    Ok(())
}

/// A batch of the given columns, each cast to the schema's type where it differs.
pub fn assemble(schema: &SchemaRef, mut columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    for (column, field) in columns.iter_mut().zip(schema.fields()) {
        if column.data_type() != field.data_type() {
            *column = cast(column, field.data_type())?;
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// One row as a person reads it: `id = 1, name = ann`.
pub fn row_text(batch: &RecordBatch, row: usize) -> String {
    let fields = batch.schema_ref().fields();
    let columns = batch.columns().iter().zip(fields);
    let values = columns.map(|(column, field)| format!("{} = {}", field.name(), value_text(column, row)));
    values.collect::<Vec<_>>().join(", ")
}

/// The values of one row: `1, ann`.
pub fn values_text(columns: &[ArrayRef], row: usize) -> String {
    columns.iter().map(|column| value_text(column, row)).collect::<Vec<_>>().join(", ")
}

fn value_text(column: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL");
    let value = ArrayFormatter::try_new(column.as_ref(), &options).and_then(|f| f.value(row).try_to_string());
    value.unwrap_or_else(|_| "?".to_string())
}
