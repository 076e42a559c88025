//! What [`super::partition::PartitionOperator`] computes: window functions, and aggregates over the rows themselves.
//!
//! Both use DataFusion's own evaluation over all rows of a group, so they cover every function that batch knows. They
//! keep no state between groups.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, filter_record_batch, lexsort_to_indices, take, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::aggregate::{LoweredAggregate, LoweredAggregateBuilder};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_planner::create_window_expr;

use crate::base::error::{Error, Result};
use crate::base::types::canonical_array;
use crate::operator::error::from_datafusion;
use crate::operator::expression::assemble;
use crate::operator::partition::Evaluate;

/// Window functions of one partitioning: the input's columns, then one a function.
pub struct Windows {
    functions: Vec<Arc<dyn WindowExpr>>,
    schema: SchemaRef,
}

impl Windows {
    /// Compiles the functions over the input's columns; `schema` is that of the output.
    pub fn compile(functions: &[Expr], input: &DFSchema, schema: SchemaRef) -> Result<Self> {
        let (properties, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let functions = functions.iter().map(|function| create_window_expr(function, input, &properties, &context));
        Ok(Windows { functions: functions.collect::<Result<_, _>>().map_err(from_datafusion)?, schema })
    }
}

impl Evaluate for Windows {
    fn evaluate(&self, _key: &[ArrayRef], rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        for function in &self.functions {
            let values = match sort_indices(function.order_by(), rows)? {
                None => function.evaluate(rows).map_err(from_datafusion)?,
                Some(order) => {
                    let sorted = take_record_batch(rows, &order)?;
                    let values = function.evaluate(&sorted).map_err(from_datafusion)?;
                    take(&values, &inverse(&order), None)?
                }
            };
            let field = self.schema.field(columns.len());
            columns.push(canonical_array(&values, field.data_type())?);
        }
        assemble(&self.schema, columns, rows.num_rows())
    }
}

/// Aggregate calls over the rows of a group: the keys, then one column a call.
pub struct RowAggregates {
    calls: Vec<LoweredAggregate>,
    schema: SchemaRef,
}

impl RowAggregates {
    /// Compiles the calls over the input's columns; `schema` is that of the output.
    pub fn compile(calls: &[Expr], input: &DFSchema, schema: SchemaRef) -> Result<Self> {
        let (properties, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let calls = calls
            .iter()
            .map(|call| LoweredAggregateBuilder::new(call, input, input.as_arrow(), &properties, &context).build());
        Ok(RowAggregates { calls: calls.collect::<Result<_, _>>().map_err(from_datafusion)?, schema })
    }

    fn call(&self, call: &LoweredAggregate, rows: &RecordBatch) -> Result<ArrayRef> {
        let mut rows = rows.clone();
        if let Some(filter) = &call.filter {
            let mask = filter.evaluate(&rows).and_then(|mask| mask.into_array(rows.num_rows()));
            let mask = mask.map_err(from_datafusion)?;
            let mask = mask.as_boolean_opt().ok_or_else(|| Error::internal("a filter that is not boolean"))?.clone();
            rows = filter_record_batch(&rows, &mask)?;
        }
        if let Some(order) = sort_indices(&call.order_bys, &rows)? {
            rows = take_record_batch(&rows, &order)?;
        }
        let mut arguments = Vec::new();
        // Order-sensitive accumulators take the sort keys after the arguments.
        let order = call.aggregate.order_bys().iter().map(|key| key.expr.clone());
        for argument in call.aggregate.expressions().into_iter().chain(order) {
            let values = argument.evaluate(&rows).and_then(|values| values.into_array(rows.num_rows()));
            arguments.push(values.map_err(from_datafusion)?);
        }
        let mut accumulator = call.aggregate.create_accumulator().map_err(from_datafusion)?;
        if rows.num_rows() > 0 {
            accumulator.update_batch(&arguments).map_err(from_datafusion)?;
        }
        accumulator.evaluate().and_then(|value| value.to_array()).map_err(from_datafusion)
    }
}

impl Evaluate for RowAggregates {
    fn evaluate(&self, key: &[ArrayRef], rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = key.to_vec();
        for call in &self.calls {
            let data_type: &DataType = self.schema.field(columns.len()).data_type();
            columns.push(canonical_array(&self.call(call, rows)?, data_type)?);
        }
        assemble(&self.schema, columns, 1)
    }

    fn is_total(&self) -> bool {
        true
    }
}

/// The order of the rows by the keys; `None` where there are none, or where constants are all there is to sort by.
fn sort_indices(keys: &[PhysicalSortExpr], rows: &RecordBatch) -> Result<Option<UInt32Array>> {
    if keys.is_empty() || rows.num_rows() == 0 || rows.num_columns() == 0 {
        return Ok(None);
    }
    let columns: Vec<SortColumn> =
        keys.iter().map(|key| key.evaluate_to_sort_column(rows)).collect::<Result<_, _>>().map_err(from_datafusion)?;
    Ok(Some(lexsort_to_indices(&columns, None)?))
}

/// Where each row went: takes sorted values back to the order of the rows.
fn inverse(order: &UInt32Array) -> UInt32Array {
    let mut places = vec![0; order.len()];
    for (place, &row) in order.values().iter().enumerate() {
        places[row as usize] = place as u32;
    }
    places.into()
}
