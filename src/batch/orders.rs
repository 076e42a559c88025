//! Aggregates of one node in several orders.
//!
//! DataFusion sorts the input of an aggregation once, and refuses `string_agg(a, ',' ORDER BY a), string_agg(b, ','
//! ORDER BY b)`. The first order is left to it; aggregates in another sort their rows themselves
//! ([`InOrder`]).

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment, Sort};
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, LogicalPlan};

use crate::base::error::Result;
use crate::operator::accumulator::{InOrder, Ordered};
use crate::operator::error::from_datafusion;
use crate::plan::properties;
use crate::plan::walk::{WalkDeep, rewrite_node};

/// The plan with one order of input at most for every aggregation.
pub(crate) fn part_orders(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_deep(part_aggregate).data().map_err(from_datafusion)
}

fn part_aggregate(node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
    let mut orders = aggregate.aggr_expr.iter().filter_map(order_of);
    let Some(first) = orders.next().map(<[Sort]>::to_vec) else { return Ok(Transformed::no(node)) };
    if orders.all(|order| order == first.as_slice()) {
        return Ok(Transformed::no(node));
    }
    let schema = aggregate.input.schema().clone();
    rewrite_node(node, &mut |expr| match expr {
        Expr::AggregateFunction(call) if call.params.order_by != first => in_order(call, &schema),
        other => Ok(Transformed::no(other)),
    })
}

/// The order in which an aggregate takes its rows, if it has one.
fn order_of(call: &Expr) -> Option<&[Sort]> {
    match call {
        Expr::Alias(alias) => order_of(&alias.expr),
        Expr::AggregateFunction(call) if properties::is_order_sensitive(call.func.name()) => {
            Some(call.params.order_by.as_slice()).filter(|order| !order.is_empty())
        }
        _ => None,
    }
}

/// The aggregate with its order as arguments.
fn in_order(mut call: AggregateFunction, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    let ordered = match (call.func.name(), call.params.args.get(1)) {
        ("array_agg", _) => Some(Ordered::List),
        ("string_agg", _) => Some(Ordered::Text),
        ("first_value", _) => Some(Ordered::First),
        ("last_value", _) => Some(Ordered::Last),
        ("nth_value", Some(Expr::Literal(n, _))) => match n.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(n)) => Some(Ordered::Nth(n)),
            _ => None,
        },
        _ => None,
    };
    let Some(ordered) = ordered else { return Ok(Transformed::no(Expr::AggregateFunction(call))) };
    let name = call.func.name().to_string();
    let fields = call.params.args.iter().map(|argument| Ok(argument.to_field(schema)?.1));
    let fields = fields.collect::<DataFusionResult<Vec<_>>>()?;
    let data_type = call.func.return_field(&fields)?.data_type().clone();
    let own = if ordered == Ordered::Text { call.params.args.len() } else { call.params.args.len().min(1) };
    call.params.args.truncate(own);
    let mut options = vec![];
    for key in std::mem::take(&mut call.params.order_by) {
        if RowConverter::supports_fields(&[SortField::new(key.expr.get_type(schema)?)]) {
            options.push(SortOptions { descending: !key.asc, nulls_first: key.nulls_first });
            call.params.args.push(key.expr);
        }
    }
    let ignore_nulls = call.params.null_treatment.take() == Some(NullTreatment::IgnoreNulls);
    let function = InOrder::new(&name, ordered, own, options, data_type);
    let function = function.ignoring_nulls(ignore_nulls).distinct(std::mem::take(&mut call.params.distinct));
    call.func = Arc::new(AggregateUDF::from(function));
    Ok(Transformed::yes(Expr::AggregateFunction(call)))
}
