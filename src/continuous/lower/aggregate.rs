//! Aggregates, with grouping sets as a union of plain ones.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunctionParams;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{self as logical, Expr, ExprSchemable, GroupingSet, cast, lit};

use super::{Attempt, Lowered, Lowering, Refusal, all_columns, check_all, recompute, used_columns};
use crate::base::error::Result;
use crate::continuous::spec::{CallSpec, NodeSpec, OperatorSpec, arrow_schema, text};
use crate::operator::accumulator::{self, AggregateCall, AggregateFunction, Fraction};
use crate::operator::error::from_datafusion;
use crate::operator::evaluate::RowAggregates;
use crate::operator::expression::Expression;

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &logical::Aggregate) -> Attempt<Lowered> {
        let keys = grouping_set_to_exprlist(&aggregate.group_expr).map_err(from_datafusion)?;
        let keys: Vec<Expr> = keys.into_iter().cloned().collect();
        let required = used_columns(keys.iter().chain(&aggregate.aggr_expr), aggregate.input.schema());
        let input = self.plan(&aggregate.input, Some(&required))?;
        check_all(&keys, &input.schema)?;
        let append_only = self.nodes[input.node].append_only;
        let calls = aggregate.aggr_expr.iter().map(|call| lower_call(call, &input.schema, append_only));
        let calls = match calls.collect::<Attempt<Vec<_>>>() {
            Err(Refusal::Recompute(_)) if !has_grouping_sets(aggregate) => {
                return self.row_aggregate(input, keys, aggregate);
            }
            calls => calls?,
        };
        match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(sets)] => self.grouping_sets(aggregate, &keys, expand(sets), calls, input),
            _ => Ok(self.aggregate_over(input, keys, calls, aggregate.schema.clone())),
        }
    }

    pub(super) fn aggregate_over(
        &mut self,
        input: Lowered,
        keys: Vec<Expr>,
        calls: Vec<CallSpec>,
        schema: DFSchemaRef,
    ) -> Lowered {
        let key_columns = keys.len();
        self.add(NodeSpec {
            append_only: calls.is_empty() && key_columns > 0 && self.nodes[input.node].append_only,
            consolidated: true,
            unique_key: (key_columns > 0).then(|| (0..key_columns).collect()),
            operator: OperatorSpec::Aggregate { keys, calls },
            inputs: vec![input.node],
            input_schemas: vec![input.schema],
            schema,
        })
    }

    /// An aggregate whose calls have no running state: computed from the rows of the groups that a step touches.
    fn row_aggregate(&mut self, input: Lowered, keys: Vec<Expr>, aggregate: &logical::Aggregate) -> Attempt<Lowered> {
        let calls = aggregate.aggr_expr.clone();
        if let Err(error) = RowAggregates::compile(&calls, &input.schema, arrow_schema(&aggregate.schema)) {
            return recompute(format!("aggregates: {}", error.message()));
        }
        Ok(self.add(NodeSpec {
            append_only: false,
            consolidated: true,
            unique_key: (!keys.is_empty()).then(|| (0..keys.len()).collect()),
            operator: OperatorSpec::RowAggregate { keys, calls },
            inputs: vec![input.node],
            input_schemas: vec![input.schema],
            schema: aggregate.schema.clone(),
        }))
    }

    /// One aggregate a set, each followed by a projection that puts NULL for the keys it leaves out and the number
    /// of the set, which `grouping()` reads.
    fn grouping_sets(
        &mut self,
        aggregate: &logical::Aggregate,
        keys: &[Expr],
        sets: Vec<Vec<Expr>>,
        calls: Vec<CallSpec>,
        input: Lowered,
    ) -> Attempt<Lowered> {
        let mut occurrences: HashMap<u64, u64> = HashMap::new();
        let mut inputs = Vec::with_capacity(sets.len());
        for set in sets {
            let left_out = keys.iter().fold(0, |mask, key| (mask << 1) | u64::from(!set.contains(key)));
            let occurrence = occurrences.entry(left_out).or_default();
            let number = (*occurrence << keys.len()) | left_out;
            *occurrence += 1;
            let kept: Vec<Expr> = keys.iter().filter(|key| set.contains(key)).cloned().collect();
            let fields = (0..kept.len()).map(|key| (format!("key{key}"), kept[key].get_type(&input.schema)));
            let calls_from = keys.len() + 1;
            let mut columns = Vec::with_capacity(kept.len() + calls.len());
            for (name, data_type) in fields {
                columns.push((None, Arc::new(Field::new(name, data_type.map_err(from_datafusion)?, true))));
            }
            for call in 0..calls.len() {
                let data_type = aggregate.schema.field(calls_from + call).data_type().clone();
                columns.push((None, Arc::new(Field::new(format!("call{call}"), data_type, true))));
            }
            let schema = DFSchema::new_with_metadata(columns, HashMap::new()).map_err(from_datafusion)?;
            let own = self.aggregate_over(input.clone(), kept.clone(), calls.clone(), Arc::new(schema));
            let projection = set_projection(aggregate, keys, &kept, number, &own.schema)?;
            inputs.push(self.filter_project_over(own, vec![], Some((&projection, &aggregate.schema)))?);
        }
        Ok(self.union_over(inputs, aggregate.schema.clone()))
    }
}

fn has_grouping_sets(aggregate: &logical::Aggregate) -> bool {
    matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)])
}

/// The columns of the whole aggregate from those of one set.
fn set_projection(
    aggregate: &logical::Aggregate,
    keys: &[Expr],
    kept: &[Expr],
    number: u64,
    own: &DFSchemaRef,
) -> Attempt<Vec<Expr>> {
    let own = all_columns(own);
    let mut columns = Vec::with_capacity(aggregate.schema.fields().len());
    for (index, key) in keys.iter().enumerate() {
        let data_type = aggregate.schema.field(index).data_type();
        columns.push(match kept.iter().position(|kept| kept == key) {
            Some(position) => own[position].clone(),
            None => Expr::Literal(ScalarValue::try_from(data_type).map_err(from_datafusion)?, None),
        });
    }
    let number_type = aggregate.schema.field(keys.len()).data_type().clone();
    columns.push(if number_type == DataType::UInt64 { lit(number) } else { cast(lit(number), number_type) });
    columns.extend_from_slice(&own[kept.len()..]);
    Ok(columns)
}

fn expand(sets: &GroupingSet) -> Vec<Vec<Expr>> {
    match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(keys) => (0..=keys.len()).map(|length| keys[..length].to_vec()).collect(),
        GroupingSet::Cube(keys) => (0..1_u64 << keys.len().min(20))
            .map(|mask| {
                let kept = keys.iter().enumerate().filter(|(position, _)| mask & (1 << position) != 0);
                kept.map(|(_, key)| key.clone()).collect()
            })
            .collect(),
    }
}

pub(super) fn lower_call(call: &Expr, schema: &DFSchemaRef, append_only: bool) -> Attempt<CallSpec> {
    let function = match call {
        Expr::Alias(alias) => return lower_call(&alias.expr, schema, append_only),
        Expr::AggregateFunction(function) => function,
        other => return recompute(format!("{} is no aggregate", text(other))),
    };
    let Some(known) = accumulator::from_udf(&function.func) else {
        return recompute(format!("aggregate {}", function.func.name()));
    };
    let params = &function.params;
    if (!params.order_by.is_empty() && !known.is_ordered_set()) || params.null_treatment.is_some() {
        return recompute(format!("ORDER BY in {}", function.func.name()));
    }
    let fraction = fraction(known, params)?;
    check_all(params.args.iter().chain(params.filter.as_deref()), schema)?;
    let constant = params.args.iter().all(|arg| matches!(arg, Expr::Literal(value, _) if !value.is_null()));
    let counts_rows = known == AggregateFunction::Count && constant && !params.distinct && params.filter.is_none();
    let spec = CallSpec {
        counts_rows,
        function: known,
        distinct: params.distinct,
        arguments: params.args.clone(),
        filter: params.filter.as_deref().cloned(),
        fraction,
        text: if counts_rows { "count(*)".to_string() } else { text(call) },
    };
    let types = spec.arguments.iter().map(|argument| Ok(Expression::compile(argument, schema)?.data_type().clone()));
    let trial = AggregateCall {
        function: spec.function,
        distinct: spec.distinct,
        arguments: types.collect::<Result<_>>()?,
        append_only,
        fraction,
    };
    if !spec.counts_rows && accumulator::create(&trial).is_err() {
        return recompute(format!("aggregate {}", spec.text));
    }
    Ok(spec)
}

/// The constant fraction of a percentile, and the order of its values.
fn fraction(function: AggregateFunction, params: &AggregateFunctionParams) -> Attempt<Option<Fraction>> {
    if !function.is_ordered_set() {
        return Ok(None);
    }
    let descending = params.order_by.first().is_some_and(|key| !key.asc);
    let value = match function.fraction_argument().and_then(|index| params.args.get(index)) {
        None => None,
        Some(Expr::Literal(value, _)) => match value.cast_to(&DataType::Float64).map_err(from_datafusion)? {
            ScalarValue::Float64(value) => value,
            _ => None,
        },
        Some(_) => return recompute("a percentile whose fraction is computed"),
    };
    Ok(Some(Fraction::try_new(value, descending)?))
}
