//! What depends on order: LIMIT and window functions.

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::{
    self as logical, Expr, FetchType, Limit, LogicalPlan, Projection, SkipType, SortExpr, SubqueryAlias,
};

use super::{Attempt, Lowered, Lowering, check_all, recompute};
use crate::continuous::spec::{NodeSpec, OperatorSpec, TopKNode, arrow_schema};
use crate::operator::error::from_datafusion;
use crate::operator::evaluate::Windows;

impl Lowering<'_> {
    /// A limit over a sort; projections between the two keep rows and order, so they move above.
    pub(super) fn limit(&mut self, limit: &Limit) -> Attempt<Lowered> {
        let below = |input: &Arc<LogicalPlan>| {
            let (skip, fetch) = (limit.skip.clone(), limit.fetch.clone());
            Arc::new(LogicalPlan::Limit(Limit { skip, fetch, input: input.clone() }))
        };
        let (skip, fetch) = match (limit.get_skip_type(), limit.get_fetch_type()) {
            (Ok(SkipType::Literal(skip)), Ok(FetchType::Literal(fetch))) => (skip, fetch),
            _ => return recompute("LIMIT that is not a number"),
        };
        match limit.input.as_ref() {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.top_k(&sort.input, &sort.expr, skip, fetch),
            LogicalPlan::Projection(projection) => {
                let (expr, schema) = (projection.expr.clone(), projection.schema.clone());
                let moved = Projection::try_new_with_schema(expr, below(&projection.input), schema);
                Ok(self.plan(&LogicalPlan::Projection(moved.map_err(from_datafusion)?), None)?)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let moved = SubqueryAlias::try_new(below(&alias.input), alias.alias.clone());
                Ok(self.plan(&LogicalPlan::SubqueryAlias(moved.map_err(from_datafusion)?), None)?)
            }
            LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => recompute("LIMIT of a LIMIT"),
            input => self.top_k(input, &[], skip, fetch),
        }
    }

    pub(super) fn top_k(
        &mut self,
        input: &LogicalPlan,
        keys: &[SortExpr],
        skip: usize,
        fetch: Option<usize>,
    ) -> Attempt<Lowered> {
        let input = self.plan(input, None)?;
        check_all(keys.iter().map(|key| &key.expr), &input.schema)?;
        let fields = arrow_schema(&input.schema);
        let is_ordered = |field: &Arc<arrow::datatypes::Field>| {
            arrow::row::RowConverter::supports_fields(&[arrow::row::SortField::new(field.data_type().clone())])
        };
        if fields.fields().is_empty() || !fields.fields().iter().all(is_ordered) {
            return recompute("LIMIT over columns without an order");
        }
        let keys = keys
            .iter()
            .map(|key| (key.expr.clone(), SortOptions { descending: !key.asc, nulls_first: key.nulls_first }));
        let node = TopKNode { keys: keys.collect(), skip: skip as u64, fetch: fetch.map(|fetch| fetch as u64) };
        Ok(self.add(NodeSpec {
            operator: OperatorSpec::TopK(node),
            append_only: false,
            consolidated: true,
            unique_key: self.nodes[input.node].unique_key.clone(),
            inputs: vec![input.node],
            schema: input.schema.clone(),
            input_schemas: vec![input.schema],
        }))
    }

    /// Window functions of one partitioning, computed again for the partitions that a step touches.
    pub(super) fn window(&mut self, window: &logical::Window) -> Attempt<Lowered> {
        let mut partitions = window.window_expr.iter().map(partition_by);
        let Some(Some(keys)) = partitions.next() else { return recompute("window functions") };
        if partitions.any(|other| other.as_ref() != Some(&keys)) {
            return recompute("window functions of several partitionings");
        }
        let input = self.plan(&window.input, None)?;
        check_all(&keys, &input.schema)?;
        let trial = Windows::compile(&window.window_expr, &input.schema, arrow_schema(&window.schema));
        if let Err(error) = trial {
            return recompute(format!("window functions: {}", error.message()));
        }
        Ok(self.add(NodeSpec {
            operator: OperatorSpec::Window { keys, functions: window.window_expr.clone() },
            append_only: false,
            consolidated: true,
            unique_key: self.nodes[input.node].unique_key.clone(),
            inputs: vec![input.node],
            input_schemas: vec![input.schema],
            schema: window.schema.clone(),
        }))
    }
}

fn partition_by(function: &Expr) -> Option<Vec<Expr>> {
    match function {
        Expr::Alias(alias) => partition_by(&alias.expr),
        Expr::WindowFunction(function) => {
            let WindowFunctionParams { partition_by, .. } = &function.params;
            Some(partition_by.clone())
        }
        _ => None,
    }
}
