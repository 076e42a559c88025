//! Equal values compare as equal: floats and intervals in one form before they are compared or become keys.
//!
//! Columns hold canonical floats (one zero, one NaN), but `-x`, `x * y` and functions make negative zeros and other
//! NaNs, which DataFusion tells apart. So a computed float is made canonical where it becomes a column, is compared,
//! or orders or groups rows. Intervals are compared by DataFusion field by field, so that 2400 hours are less than one
//! day, and lists and structs by an order of NULLs inside them that is not SQL's; here they are compared by what
//! [`comparable`](crate::plan::values::comparable) makes of them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, DFSchemaRef, JoinConstraint, Result as DataFusionResult, internal_err};
use datafusion::logical_expr::expr::{Between, InList, InSubquery, ScalarFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, ColumnarValue, Distinct, Expr, ExprSchemable, LogicalPlan, Operator, Projection,
    ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Subquery, Volatility,
};

use crate::base::error::Result;
use crate::base::time::kind::INTERVAL;
use crate::base::types::{canonical_floats, has_float};
use crate::operator::accumulator::aggregate_functions;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::functions::one_argument;
use crate::plan::properties::{has_distance, is_order_sensitive};
use crate::plan::values::choice::Choice;
use crate::plan::values::comparable::{
    INTERVAL_LENGTH, KEY, has_interval, has_key, interval_lengths, is_interval, keys,
};
use crate::plan::walk::{WalkDeep, rewrite_node};

/// Makes values canonical where a typed plan compares them or makes columns and keys of them.
pub(crate) fn make_canonical(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| {
        let schema = merge_schema(&node.inputs());
        let node = rewrite_node(node, &mut |expr| compared(expr, &schema))?;
        node.transform_data(|node| outputs(node, &schema))
    })
    .data()
    .map_err(from_datafusion)
}

/// What rows are sorted by to be in the order of an expression's values.
pub(crate) fn order_key(expr: Expr, schema: &DFSchema) -> Expr {
    canonical(expr, schema, Purpose::Order).data
}

/// The operands of comparisons, and the keys inside window functions and ordered aggregates.
fn compared(expr: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            let purpose = if is_equality(op) { Purpose::Equality } else { Purpose::Order };
            let (operands, changed) = operands(vec![*left, *right], schema, purpose);
            let expr = match <[Expr; 2]>::try_from(operands) {
                Ok([left, right]) => Expr::BinaryExpr(BinaryExpr::new(left.into(), op, right.into())),
                Err(_) => return internal_err!("a comparison has two operands"),
            };
            Ok(Transformed::new_transformed(expr, changed))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let (operands, changed) = operands(vec![*expr, *low, *high], schema, Purpose::Order);
            let expr = match <[Expr; 3]>::try_from(operands) {
                Ok([expr, low, high]) => Expr::Between(Between::new(expr.into(), negated, low.into(), high.into())),
                Err(_) => return internal_err!("BETWEEN has three operands"),
            };
            Ok(Transformed::new_transformed(expr, changed))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let all = std::iter::once(*expr).chain(list).collect();
            let (mut list, changed) = operands(all, schema, Purpose::Equality);
            let expr = list.remove(0);
            Ok(Transformed::new_transformed(Expr::InList(InList { expr: Box::new(expr), list, negated }), changed))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let (subquery, purpose) = with_canonical_column(subquery, &expr, schema)?;
            let expr = canonical(*expr, schema, purpose);
            let changed = expr.transformed;
            let expr = InSubquery { expr: Box::new(expr.data), subquery, negated };
            Ok(Transformed::new_transformed(Expr::InSubquery(expr), changed))
        }
        Expr::ScalarFunction(call) => Ok(chosen(call, schema).update_data(Expr::ScalarFunction)),
        Expr::WindowFunction(mut function) => {
            // What a frame counts its distance in stays an interval.
            let order = if has_distance(&function.params.window_frame) { Purpose::Value } else { Purpose::Order };
            let parts = function.params.partition_by.iter_mut().map(|key| (key, Purpose::Equality));
            let keys = parts.chain(function.params.order_by.iter_mut().map(|sort| (&mut sort.expr, order)));
            let changed = make_keys_canonical(keys, schema);
            Ok(Transformed::new_transformed(Expr::WindowFunction(function), changed))
        }
        // Of equal values DISTINCT keeps one, which its order must be of.
        Expr::AggregateFunction(mut call) if is_order_sensitive(call.func.name()) && !call.params.distinct => {
            let keys = call.params.order_by.iter_mut().map(|sort| (&mut sort.expr, Purpose::Order));
            let changed = make_keys_canonical(keys, schema);
            Ok(Transformed::new_transformed(Expr::AggregateFunction(call), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The query of `x IN (query)`, with its column in the form in which it equals `x`, and what `x` is made canonical for.
/// Floats in columns are canonical already.
fn with_canonical_column(subquery: Subquery, expr: &Expr, schema: &DFSchema) -> DataFusionResult<(Subquery, Purpose)> {
    let output = subquery.subquery.schema().clone();
    let of_expr = expr.get_type(schema)?;
    let column = match output.columns().as_slice() {
        [column] if has_interval(&of_expr) && *output.field(0).data_type() == of_expr => column.clone(),
        _ => return Ok((subquery, Purpose::Value)),
    };
    let key = canonical(Expr::Column(column.clone()), &output, Purpose::Equality).data;
    let key = key.alias_qualified(column.relation, column.name);
    let plan = LogicalPlan::Projection(Projection::try_new(vec![key], subquery.subquery.clone())?);
    Ok((subquery.with_plan(Arc::new(plan)), Purpose::Equality))
}

/// What is compared with each other; values of several types are not brought to keys.
fn operands(operands: Vec<Expr>, schema: &DFSchema, purpose: Purpose) -> (Vec<Expr>, bool) {
    let mut types = operands.iter().map(|operand| operand.get_type(schema).ok());
    let first = types.next().flatten();
    let purpose = match types.all(|other| other == first) {
        true => purpose,
        false if first.is_some_and(|data_type| data_type.is_nested()) => Purpose::Value,
        false => purpose,
    };
    let mut changed = false;
    let operands = operands.into_iter().map(|operand| {
        let operand = canonical(operand, schema, purpose);
        changed |= operand.transformed;
        operand.data
    });
    (operands.collect(), changed)
}

/// A call of what compares its arguments; DataFusion's functions are for numbers and texts.
fn chosen(mut call: ScalarFunction, schema: &DFSchema) -> Transformed<ScalarFunction> {
    let Some(choice) = Choice::named(call.func.name()) else { return Transformed::no(call) };
    let mut changed = call.args.iter().any(|arg| arg.get_type(schema).is_ok_and(|of| Choice::is_for(&of)));
    if changed {
        call.func = Arc::new(ScalarUDF::from(choice));
    }
    changed |= make_keys_canonical(call.args.iter_mut().map(|arg| (arg, Purpose::Value)), schema);
    Transformed::new_transformed(call, changed)
}

/// Makes expressions canonical in their places; whether one changed.
fn make_keys_canonical<'a>(keys: impl Iterator<Item = (&'a mut Expr, Purpose)>, schema: &DFSchema) -> bool {
    let mut changed = false;
    for (key, purpose) in keys {
        let wrapped = canonical(std::mem::take(key), schema, purpose);
        changed |= wrapped.transformed;
        *key = wrapped.data;
    }
    changed
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_equality(operator: Operator) -> bool {
    use Operator::{Eq, IsDistinctFrom, IsNotDistinctFrom, NotEq};
    matches!(operator, Eq | NotEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Columns and keys that a node makes of computed floats; sort keys of intervals, lists and structs. Names stay.
fn outputs(node: LogicalPlan, schema: &DFSchema) -> DataFusionResult<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Projection(Projection { expr, input, schema: output, .. }) => {
            let list: Vec<_> = expr.into_iter().map(|expr| named(expr, schema)).collect();
            let changed = list.iter().any(|item| item.transformed);
            let list = list.into_iter().map(|item| item.data).collect();
            let projection = Projection::try_new_with_schema(list, input, output)?;
            Ok(Transformed::new_transformed(LogicalPlan::Projection(projection), changed))
        }
        LogicalPlan::Aggregate(aggregate) if !matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) => {
            groups(aggregate, schema)
        }
        LogicalPlan::Distinct(Distinct::All(input))
            if input.schema().fields().iter().any(|f| is_interval(f.data_type())) =>
        {
            let keys = input.schema().columns().into_iter().map(Expr::Column).collect();
            let schema = input.schema().clone();
            groups(Aggregate::try_new(input, keys, vec![])?, &schema)
        }
        LogicalPlan::Join(mut join) => {
            let keys = join.on.iter_mut().flat_map(|(left, right)| [left, right]);
            let changed = make_keys_canonical(keys.map(|key| (key, Purpose::Equality)), schema);
            if changed {
                // The keys of USING are columns; that they were written so means nothing more.
                join.join_constraint = JoinConstraint::On;
            }
            Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
        }
        LogicalPlan::Sort(mut sort) => {
            let keys = sort.expr.iter_mut().map(|key| (&mut key.expr, Purpose::Order));
            let changed = make_keys_canonical(keys, schema);
            Ok(Transformed::new_transformed(LogicalPlan::Sort(sort), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// An output column in canonical form, under its name.
fn named(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::Alias(mut alias) => {
            let inner = canonical(*alias.expr, schema, Purpose::Value);
            alias.expr = Box::new(inner.data);
            Transformed::new_transformed(Expr::Alias(alias), inner.transformed)
        }
        other => {
            let (qualifier, name) = other.qualified_name();
            let value = canonical(other, schema, Purpose::Value);
            match value.transformed {
                true => Transformed::yes(value.data.alias_qualified(qualifier, name)),
                false => value,
            }
        }
    }
}

/// Computed keys become columns of a projection below, so that the aggregate's output keeps their names. Intervals are
/// grouped by length, and a group shows the least of its intervals.
fn groups(mut aggregate: Aggregate, schema: &DFSchema) -> DataFusionResult<Transformed<LogicalPlan>> {
    let output = aggregate.schema.clone();
    let mut computed = vec![];
    let mut shown = vec![];
    for (position, key) in aggregate.group_expr.iter_mut().enumerate() {
        if key.get_type(schema).is_ok_and(|data_type| is_interval(&data_type)) {
            let (length, least) = (format!("__interval_length_{position}"), format!("__interval_{position}"));
            computed.push(canonical(key.clone(), schema, Purpose::Equality).data.alias(length.clone()));
            let interval = std::mem::replace(key, Expr::Column(Column::from_name(length)));
            shown.push((position, least, interval));
            continue;
        }
        let (qualifier, name) = key.qualified_name();
        let value = canonical(key.clone(), schema, Purpose::Value);
        if value.transformed {
            computed.push(value.data.alias_qualified(qualifier.clone(), name.clone()));
            *key = Expr::Column(Column::new(qualifier, name));
        }
    }
    if computed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let keep = aggregate.input.schema().columns().into_iter().map(Expr::Column);
    let list: Vec<Expr> = keep.chain(computed).collect();
    let input = Projection::try_new(list, aggregate.input.clone())?;
    let input = Arc::new(LogicalPlan::Projection(input));
    if shown.is_empty() {
        let Aggregate { group_expr, aggr_expr, .. } = aggregate;
        let aggregate = Aggregate::try_new_with_schema(input, group_expr, aggr_expr, output)?;
        return Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)));
    }
    show_intervals(input, aggregate, shown, output)
}

/// The aggregate with the least interval of every group in place of each key at a position that is a length.
fn show_intervals(
    input: Arc<LogicalPlan>,
    aggregate: Aggregate,
    shown: Vec<(usize, String, Expr)>,
    output: DFSchemaRef,
) -> DataFusionResult<Transformed<LogicalPlan>> {
    let min = aggregate_functions().into_iter().find(|function| function.name() == "min");
    let Some(min) = min else { return internal_err!("no aggregate min") };
    let positions: Vec<usize> = shown.iter().map(|(position, ..)| *position).collect();
    let names: Vec<String> = shown.iter().map(|(_, name, _)| name.clone()).collect();
    let least = shown.into_iter().map(|(_, name, interval)| min.call(vec![interval]).alias(name));
    let aggr_expr = aggregate.aggr_expr.into_iter().chain(least).collect();
    let grouped = Aggregate::try_new(input, aggregate.group_expr, aggr_expr)?;
    let made = grouped.schema.columns();
    let list = output.iter().zip(made).enumerate().map(|(position, ((qualifier, field), column))| {
        let shown = positions.iter().position(|shown| *shown == position).map(|at| Column::from_name(&names[at]));
        Expr::Column(shown.unwrap_or(column)).alias_qualified(qualifier.cloned(), field.name())
    });
    let list = list.collect();
    let projection = Projection::try_new_with_schema(list, Arc::new(LogicalPlan::Aggregate(grouped)), output)?;
    Ok(Transformed::yes(LogicalPlan::Projection(projection)))
}

/// What a value is made canonical for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be a value still.
    Value,
    /// To be asked whether it equals another.
    Equality,
    /// To be ordered.
    Order,
}

/// The expression with its value in canonical form, if it is of a type and kind that needs it.
fn canonical(expr: Expr, schema: &DFSchema, purpose: Purpose) -> Transformed<Expr> {
    let Ok(data_type) = expr.get_type(schema) else { return Transformed::no(expr) };
    let form = match purpose {
        Purpose::Equality | Purpose::Order if is_interval(&data_type) => Form::IntervalLength,
        Purpose::Order if has_key(&data_type) => Form::Key,
        Purpose::Equality if has_key(&data_type) && has_interval(&data_type) => Form::Key,
        _ if has_float(&data_type) && !is_canonical(&expr) => Form::Float,
        _ => return Transformed::no(expr),
    };
    Transformed::yes(ScalarUDF::from(CanonicalForm::new(form)).call(vec![expr]))
}

/// Whether a float expression cannot give another zero or NaN than the canonical one.
fn is_canonical(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::AggregateFunction(_) => true,
        Expr::Literal(value, _) => match value {
            datafusion::scalar::ScalarValue::Float64(Some(value)) => !value.is_nan() && value.to_bits() != 1 << 63,
            datafusion::scalar::ScalarValue::Float32(Some(value)) => !value.is_nan() && value.to_bits() != 1 << 31,
            value => value.is_null(),
        },
        Expr::Alias(alias) => is_canonical(&alias.expr),
        Expr::ScalarFunction(call) => call.func.inner().downcast_ref::<CanonicalForm>().is_some(),
        _ => false,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    Float,
    IntervalLength,
    /// Of a list or struct.
    Key,
}

/// A value in the form in which equal values are equal.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CanonicalForm {
    form: Form,
    signature: Signature,
}

impl CanonicalForm {
    fn new(form: Form) -> Self {
        let signature = match form {
            Form::Float | Form::Key => Signature::any(1, Volatility::Immutable),
            Form::IntervalLength => Signature::exact(vec![INTERVAL], Volatility::Immutable),
        };
        CanonicalForm { form, signature }
    }
}

impl ScalarUDFImpl for CanonicalForm {
    fn name(&self) -> &str {
        match self.form {
            Form::Float => "eddy_canonical",
            Form::IntervalLength => "eddy_interval_length",
            Form::Key => "eddy_order_key",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(match self.form {
            Form::Float => types.first().cloned().unwrap_or(DataType::Float64),
            Form::IntervalLength => INTERVAL_LENGTH,
            Form::Key => KEY,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let array = one_argument(self.name(), &args)?;
        Ok(ColumnarValue::Array(match self.form {
            Form::Float => canonical_floats(array),
            Form::IntervalLength => interval_lengths(&array).map_err(to_datafusion)?,
            Form::Key => keys(&array).map_err(to_datafusion)?,
        }))
    }
}
