//! Equal values compare as equal: floats and intervals in one form before they are compared or become keys.
//!
//! Columns hold canonical floats (one zero, one NaN), but `-x`, `x * y` and functions make negative zeros and other
//! NaNs, which DataFusion tells apart. So a computed float is made canonical where it becomes a column, is compared,
//! or orders or groups rows. Intervals are compared by DataFusion field by field, so that 2400 hours are less than one
//! day; here they are compared by length, a month being 30 days and a day 24 hours, as PostgreSQL does.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, DFSchemaRef, JoinConstraint, Result as DataFusionResult, internal_err};
use datafusion::logical_expr::expr::{Between, InList, InSubquery, Sort};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, ColumnarValue, Distinct, Expr, ExprSchemable, LogicalPlan, Operator, Projection,
    ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, WindowFrame,
    WindowFrameBound, WindowFrameUnits,
};

use crate::base::error::Result;
use crate::base::types::{canonical_floats, has_float};
use crate::operator::accumulator::aggregate_functions;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::functions::one_argument;
use crate::plan::time::choice::IntervalChoice;
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

/// The operands of comparisons, and the keys inside window functions.
fn compared(expr: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    let wrap = |expr: Expr| canonical(expr, schema, true);
    let boxed = |expr: Box<Expr>| wrap(*expr).update_data(Box::new);
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            let (left, right) = (boxed(left), boxed(right));
            let changed = left.transformed || right.transformed;
            let expr = Expr::BinaryExpr(BinaryExpr { left: left.data, op, right: right.data });
            Ok(Transformed::new_transformed(expr, changed))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let (expr, low, high) = (boxed(expr), boxed(low), boxed(high));
            let changed = expr.transformed || low.transformed || high.transformed;
            let expr = Between { expr: expr.data, negated, low: low.data, high: high.data };
            Ok(Transformed::new_transformed(Expr::Between(expr), changed))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let expr = boxed(expr);
            let list: Vec<_> = list.into_iter().map(wrap).collect();
            let changed = expr.transformed || list.iter().any(|item| item.transformed);
            let list = list.into_iter().map(|item| item.data).collect();
            Ok(Transformed::new_transformed(Expr::InList(InList { expr: expr.data, list, negated }), changed))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let expr = canonical(*expr, schema, false);
            let changed = expr.transformed;
            let expr = InSubquery { expr: Box::new(expr.data), subquery, negated };
            Ok(Transformed::new_transformed(Expr::InSubquery(expr), changed))
        }
        Expr::ScalarFunction(mut call) => {
            // What compares its arguments; DataFusion's are for numbers and texts.
            let Some(choice) = IntervalChoice::named(call.func.name()) else {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            };
            let mut changed = call.args.iter().any(|arg| arg.get_type(schema).is_ok_and(|of| is_interval(&of)));
            if changed {
                call.func = Arc::new(ScalarUDF::from(choice));
            }
            for arg in &mut call.args {
                let wrapped = canonical(std::mem::take(arg), schema, false);
                changed |= wrapped.transformed;
                *arg = wrapped.data;
            }
            Ok(Transformed::new_transformed(Expr::ScalarFunction(call), changed))
        }
        Expr::WindowFunction(mut function) => {
            let mut changed = false;
            // What a frame counts its distance in stays an interval.
            let lengths = !has_distance(&function.params.window_frame);
            let keys = function.params.partition_by.iter_mut().map(|key| (key, true));
            for (key, lengths) in keys.chain(function.params.order_by.iter_mut().map(|sort| (&mut sort.expr, lengths)))
            {
                let wrapped = canonical(std::mem::take(key), schema, lengths);
                changed |= wrapped.transformed;
                *key = wrapped.data;
            }
            Ok(Transformed::new_transformed(Expr::WindowFunction(function), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether a frame ends so far before or behind a row.
fn has_distance(frame: &WindowFrame) -> bool {
    let is_distance = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(distance) | WindowFrameBound::Following(distance) => !distance.is_null(),
        WindowFrameBound::CurrentRow => false,
    };
    frame.units != WindowFrameUnits::Rows && (is_distance(&frame.start_bound) || is_distance(&frame.end_bound))
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Columns and keys that a node makes of computed floats; sort keys of intervals. Names stay.
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
            let mut changed = false;
            for key in join.on.iter_mut().flat_map(|(left, right)| [left, right]) {
                let wrapped = canonical(std::mem::take(key), schema, true);
                changed |= wrapped.transformed;
                *key = wrapped.data;
            }
            if changed {
                // The keys of USING are columns; that they were written so means nothing more.
                join.join_constraint = JoinConstraint::On;
            }
            Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
        }
        LogicalPlan::Sort(mut sort) => {
            let keys: Vec<_> = sort
                .expr
                .into_iter()
                .map(|key| canonical(key.expr.clone(), schema, true).update_data(|expr| Sort { expr, ..key }))
                .collect();
            let changed = keys.iter().any(|key| key.transformed);
            sort.expr = keys.into_iter().map(|key| key.data).collect();
            Ok(Transformed::new_transformed(LogicalPlan::Sort(sort), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// An output column in canonical form, under its name.
fn named(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::Alias(mut alias) => {
            let inner = canonical(*alias.expr, schema, false);
            alias.expr = Box::new(inner.data);
            Transformed::new_transformed(Expr::Alias(alias), inner.transformed)
        }
        other => {
            let (qualifier, name) = other.qualified_name();
            let value = canonical(other, schema, false);
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
            computed.push(canonical(key.clone(), schema, true).data.alias(length.clone()));
            let interval = std::mem::replace(key, Expr::Column(Column::from_name(length)));
            shown.push((position, least, interval));
            continue;
        }
        let (qualifier, name) = key.qualified_name();
        let value = canonical(key.clone(), schema, false);
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

fn is_interval(data_type: &DataType) -> bool {
    *data_type == DataType::Interval(IntervalUnit::MonthDayNano)
}

/// The expression with its value in canonical form, if it is of a type and kind that needs it.
fn canonical(expr: Expr, schema: &DFSchema, intervals: bool) -> Transformed<Expr> {
    let form = match expr.get_type(schema) {
        Ok(data_type) if has_float(&data_type) && !is_canonical(&expr) => Form::Float,
        Ok(DataType::Interval(IntervalUnit::MonthDayNano)) if intervals => Form::IntervalLength,
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
            Form::Float => Signature::any(1, Volatility::Immutable),
            Form::IntervalLength => {
                Signature::exact(vec![DataType::Interval(IntervalUnit::MonthDayNano)], Volatility::Immutable)
            }
        };
        CanonicalForm { form, signature }
    }
}

impl ScalarUDFImpl for CanonicalForm {
    fn name(&self) -> &str {
        match self.form {
            Form::Float => "eddy_canonical",
            Form::IntervalLength => "eddy_interval_length",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(match self.form {
            Form::Float => types.first().cloned().unwrap_or(DataType::Float64),
            Form::IntervalLength => DataType::Decimal128(38, 0),
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
        }))
    }
}

/// Lengths in nanoseconds.
fn interval_lengths(array: &ArrayRef) -> Result<ArrayRef> {
    const DAY: i128 = 86_400_000_000_000;
    let intervals = array
        .as_primitive_opt::<IntervalMonthDayNanoType>()
        .ok_or_else(|| crate::base::error::Error::internal("an interval was expected"))?;
    let lengths: Decimal128Array = intervals
        .iter()
        .map(|interval| {
            interval.map(|interval| {
                (i128::from(interval.months) * 30 + i128::from(interval.days)) * DAY + i128::from(interval.nanoseconds)
            })
        })
        .collect();
    debug_assert_eq!(lengths.len(), array.len());
    Ok(Arc::new(lengths.with_precision_and_scale(38, 0)?))
}
