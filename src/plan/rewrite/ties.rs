//! Ties: where order decides content, the order is made total.
//!
//! LIMIT, `row_number()`, `first_value(.. ORDER BY ..)`, `array_agg` and their like give different rows for different
//! arrival orders unless every two different rows are ordered. So all columns of the node's input that are not sort
//! keys yet are appended as trailing keys (ascending, NULLs last). This runs after column pruning, on the plan that
//! both drivers share; row ids and arrival never break a tie.
//!
//! A frame in RANGE or GROUPS is made of peers, which the query's own keys define: there no key may be appended. Rank
//! functions and aggregates that do not depend on order see peers together and need none; the others sort what is in
//! their frame themselves ([`InOrder`]).

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchemaRef, Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::logical_plan::FetchType;
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, EmptyRelation, Expr, ExprSchemable, Limit, LogicalPlan, Projection, Sort, SortExpr,
    Window, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};

use crate::base::error::Result;
use crate::operator::accumulator::{InOrder, Ordered};
use crate::operator::error::from_datafusion;
use crate::plan::properties::{is_order_sensitive, row_count_max};
use crate::plan::rewrite::canonical_values::order_key;
use crate::plan::rules::dependencies::is_new;
use crate::plan::values::comparable::{has_interval, has_key};
use crate::plan::walk::{Walk, rewrite_node};

/// Makes every order that decides content total.
pub(crate) fn break_ties(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up(|node| match node {
        LogicalPlan::Limit(limit) => break_limit(limit),
        LogicalPlan::Sort(sort) if sort.fetch.is_some() => {
            break_sort(sort).map(|sort| sort.update_data(LogicalPlan::Sort))
        }
        LogicalPlan::Window(window) => break_window(window),
        LogicalPlan::Aggregate(aggregate) => break_aggregate(aggregate),
        other => Ok(Transformed::no(other)),
    })
    .data()
    .map_err(from_datafusion)
}

fn break_limit(limit: Limit) -> DataFusionResult<Transformed<LogicalPlan>> {
    if matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0)))) {
        // No operator takes the first none of an order.
        let schema = limit.input.schema().clone();
        return Ok(Transformed::yes(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema })));
    }
    // One row has no order, and rows without columns are all the same.
    if row_count_max(&limit.input) == Some(1) || limit.input.schema().fields().is_empty() {
        return Ok(Transformed::no(LogicalPlan::Limit(limit)));
    }
    let input = Arc::unwrap_or_clone(limit.input);
    let sorted = sort_below(input)?;
    Ok(sorted.update_data(|input| LogicalPlan::Limit(Limit { input: Arc::new(input), ..limit })))
}

/// Completes the sort that a limit reads, through nodes that keep rows and their order; makes one if there is none.
fn sort_below(plan: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(sort) => Ok(break_sort(sort)?.update_data(LogicalPlan::Sort)),
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) if reaches_sort(&plan) => {
            plan.map_children(sort_below)
        }
        // A limit of a limit takes from rows that are ordered already.
        LogicalPlan::Limit(_) if reaches_sort(&plan) => Ok(Transformed::no(plan)),
        other => {
            let keys = completed(vec![], other.schema());
            let sort = Sort { expr: keys, input: Arc::new(other), fetch: None };
            Ok(Transformed::yes(LogicalPlan::Sort(sort)))
        }
    }
}

fn reaches_sort(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Limit(_) => {
            plan.inputs().first().is_some_and(|input| reaches_sort(input))
        }
        _ => false,
    }
}

fn break_sort(sort: Sort) -> DataFusionResult<Transformed<Sort>> {
    let before = sort.expr.len();
    let expr = completed(sort.expr, sort.input.schema());
    let changed = expr.len() != before;
    Ok(Transformed::new_transformed(Sort { expr, ..sort }, changed))
}

/// The keys, and after them all columns of the input that are not keys yet.
fn completed(mut keys: Vec<SortExpr>, schema: &DFSchemaRef) -> Vec<SortExpr> {
    for column in schema.columns() {
        if !keys.iter().any(|key| is_column(&key.expr, &column)) {
            keys.push(Expr::Column(column).sort(true, false));
        }
    }
    keys
}

fn is_column(expr: &Expr, column: &Column) -> bool {
    match expr {
        Expr::Column(other) => other == column,
        Expr::Alias(alias) => is_column(&alias.expr, column),
        _ => false,
    }
}

fn break_window(window: Window) -> DataFusionResult<Transformed<LogicalPlan>> {
    let schema = window.input.schema().clone();
    let rewritten = rewrite_node(LogicalPlan::Window(window), &mut |expr| match expr {
        Expr::WindowFunction(function) => {
            Ok(order_window(*function, &schema)?.update_data(|function| Expr::WindowFunction(Box::new(function))))
        }
        other => Ok(Transformed::no(other)),
    })?;
    match (rewritten.transformed, rewritten.data) {
        (true, LogicalPlan::Window(window)) => Ok(Transformed::yes(split_window(window)?)),
        (transformed, plan) => Ok(Transformed::new_transformed(plan, transformed)),
    }
}

/// One node for each order: DataFusion sorts once a node, and ties were broken for some of its functions only.
fn split_window(window: Window) -> DataFusionResult<LogicalPlan> {
    let mut nodes: Vec<(WindowOrder, Vec<Expr>)> = Vec::new();
    for function in &window.window_expr {
        let order = window_order(function);
        match nodes.iter_mut().find(|(known, _)| *known == order) {
            Some((_, functions)) => functions.push(function.clone()),
            None => nodes.push((order, vec![function.clone()])),
        }
    }
    if nodes.len() < 2 {
        return Ok(LogicalPlan::Window(window));
    }
    let mut plan = window.input.clone();
    for (_, functions) in nodes {
        plan = Arc::new(LogicalPlan::Window(Window::try_new(functions, plan)?));
    }
    let columns = window.schema.columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new_with_schema(columns, plan, window.schema)?))
}

/// The keys a window function partitions and sorts by.
type WindowOrder = Option<(Vec<Expr>, Vec<SortExpr>)>;

fn window_order(function: &Expr) -> WindowOrder {
    match function {
        Expr::Alias(alias) => window_order(&alias.expr),
        Expr::WindowFunction(function) => {
            Some((function.params.partition_by.clone(), function.params.order_by.clone()))
        }
        _ => None,
    }
}

fn order_window(function: WindowFunction, schema: &DFSchemaRef) -> DataFusionResult<Transformed<WindowFunction>> {
    let WindowFunction { fun, params } = function;
    let way = match &fun {
        WindowFunctionDefinition::WindowUDF(function) => way_of_window(&function.name().to_lowercase(), &params),
        WindowFunctionDefinition::AggregateUDF(function) => {
            let done = function.inner().downcast_ref::<InOrder>().is_some();
            if done { Way::Leave } else { way_of_aggregate(function.name(), &params) }
        }
    };
    match way {
        Way::Leave => Ok(Transformed::no(WindowFunction { fun, params })),
        Way::Complete => Ok(complete(fun, params, schema)),
        Way::LastOfPeers => Ok(Transformed::yes(last_of_peers(fun, params, schema))),
        Way::InOrder => in_order(fun, params, schema),
    }
}

/// How the order of a window function is made total.
enum Way {
    /// It does not depend on the order of peers.
    Leave,
    /// By further keys in OVER.
    Complete,
    /// As the last row of a partition of peers.
    LastOfPeers,
    /// By an order of the function's own, since further keys in OVER would part peers.
    InOrder,
}

fn way_of_window(name: &str, params: &WindowFunctionParams) -> Way {
    let frame = &params.window_frame;
    let first = is_unbounded(&frame.start_bound, true);
    let last = is_unbounded(&frame.end_bound, false);
    let whole = frame.units == WindowFrameUnits::Rows || (first && last);
    let to_peers = frame.end_bound == WindowFrameBound::CurrentRow;
    // With IGNORE NULLS the row that decides may be any of the frame.
    let nulls_count = params.null_treatment != Some(NullTreatment::IgnoreNulls);
    match name {
        "row_number" | "ntile" | "lag" | "lead" => Way::Complete,
        "first_value" | "last_value" | "nth_value" if whole => Way::Complete,
        "first_value" if first && to_peers && nulls_count => Way::Complete,
        "last_value" if to_peers && nulls_count => Way::LastOfPeers,
        "first_value" | "last_value" | "nth_value" => Way::InOrder,
        "rank" | "dense_rank" | "percent_rank" | "cume_dist" => Way::Leave,
        _ if frame.units == WindowFrameUnits::Rows => Way::Complete,
        _ => Way::Leave,
    }
}

fn way_of_aggregate(name: &str, params: &WindowFunctionParams) -> Way {
    let frame = &params.window_frame;
    let all = is_unbounded(&frame.start_bound, true) && is_unbounded(&frame.end_bound, false);
    let nulls_count = params.null_treatment != Some(NullTreatment::IgnoreNulls);
    match name {
        "array_agg" | "string_agg" if all && nulls_count && !params.distinct => Way::Complete,
        name if is_order_sensitive(name) => Way::InOrder,
        _ if frame.units == WindowFrameUnits::Rows && !all => Way::Complete,
        _ => Way::Leave,
    }
}

fn complete(
    fun: WindowFunctionDefinition,
    mut params: WindowFunctionParams,
    schema: &DFSchemaRef,
) -> Transformed<WindowFunction> {
    let before = params.order_by.len();
    params.order_by = completed_in_partition(params.order_by, &params.partition_by, schema);
    let changed = params.order_by.len() != before;
    Transformed::new_transformed(WindowFunction { fun, params }, changed)
}

/// The keys, and after them all columns of the input that are not keys yet and that may differ within a partition.
fn completed_in_partition(mut keys: Vec<SortExpr>, partition: &[Expr], schema: &DFSchemaRef) -> Vec<SortExpr> {
    for column in schema.columns() {
        let known = keys.iter().any(|key| is_column(&key.expr, &column));
        // Rows of one partition agree on its keys.
        if !known && !partition.iter().any(|key| is_column(key, &column)) {
            keys.push(tie_key(column, schema).sort(true, false));
        }
    }
    keys
}

/// A column as a key among those of a window, whose frames compare them one by one: a list or struct by its key, since
/// values with NULLs inside do not compare. Intervals of one length may differ, so what holds them is left as it is.
fn tie_key(column: Column, schema: &DFSchemaRef) -> Expr {
    let is_keyed = schema.qualified_field_from_column(&column).is_ok_and(|(_, field)| {
        let data_type = field.data_type();
        has_key(data_type) && !has_interval(data_type)
    });
    let column = Expr::Column(column);
    if is_keyed { order_key(column, schema) } else { column }
}

/// The function as an aggregate that sorts the rows of its frame itself. What is in the frame stays a matter of the
/// query's own keys, except for ROWS, which counts rows and so needs the complete order too.
fn in_order(
    fun: WindowFunctionDefinition,
    mut params: WindowFunctionParams,
    schema: &DFSchemaRef,
) -> DataFusionResult<Transformed<WindowFunction>> {
    let name = fun.name().to_lowercase();
    let ordered = match (name.as_str(), params.args.get(1)) {
        ("array_agg", _) => Ordered::List,
        ("string_agg", _) => Ordered::Text,
        ("first_value", _) => Ordered::First,
        ("last_value", _) => Ordered::Last,
        ("nth_value", Some(Expr::Literal(n, _))) => match n.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(n)) => Ordered::Nth(n),
            _ => return Ok(Transformed::no(WindowFunction { fun, params })),
        },
        _ => return Ok(Transformed::no(WindowFunction { fun, params })),
    };
    let own = if ordered == Ordered::Text { params.args.len() } else { params.args.len().min(1) };
    params.args.truncate(own);
    let fields = params.args.iter().map(|argument| Ok(argument.to_field(schema.as_ref())?.1));
    let fields = fields.collect::<DataFusionResult<Vec<_>>>()?;
    let data_type = match &fun {
        WindowFunctionDefinition::AggregateUDF(function) => function.return_field(&fields)?.data_type().clone(),
        WindowFunctionDefinition::WindowUDF(_) => match fields.first() {
            Some(field) => field.data_type().clone(),
            None => return Ok(Transformed::no(WindowFunction { fun, params })),
        },
    };
    let complete = completed_in_partition(params.order_by.clone(), &params.partition_by, schema);
    let keys = match params.distinct {
        // Of equal values one is kept, so the value alone must order them.
        true => params.args.first().map(|value| value.clone().sort(true, false)).into_iter().collect(),
        false => complete.clone(),
    };
    if params.window_frame.units == WindowFrameUnits::Rows {
        params.order_by = complete;
    }
    let mut options = vec![];
    for key in keys {
        let field = SortField::new(key.expr.get_type(schema.as_ref())?);
        if RowConverter::supports_fields(&[field]) {
            options.push(SortOptions { descending: !key.asc, nulls_first: key.nulls_first });
            params.args.push(key.expr);
        }
    }
    let ignore_nulls = params.null_treatment.take() == Some(NullTreatment::IgnoreNulls);
    let function = InOrder::new(&name, ordered, own, options, data_type);
    let function = function.ignoring_nulls(ignore_nulls).distinct(std::mem::take(&mut params.distinct));
    let fun = WindowFunctionDefinition::AggregateUDF(Arc::new(AggregateUDF::from(function)));
    Ok(Transformed::yes(WindowFunction { fun, params }))
}

/// `last_value(x) OVER (PARTITION BY p ORDER BY k RANGE .. CURRENT ROW)`: the last of the row's peers, which are the
/// rows that agree on p and k, by all remaining columns.
fn last_of_peers(fun: WindowFunctionDefinition, params: WindowFunctionParams, schema: &DFSchemaRef) -> WindowFunction {
    let mut partition_by = params.partition_by;
    partition_by.extend(params.order_by.into_iter().map(|key| key.expr));
    let mut order_by = completed(vec![], schema);
    order_by.retain(|key| !partition_by.contains(&key.expr));
    let window_frame = WindowFrame::new_bounds(
        WindowFrameUnits::Rows,
        WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
        WindowFrameBound::Following(ScalarValue::UInt64(None)),
    );
    WindowFunction { fun, params: WindowFunctionParams { partition_by, order_by, window_frame, ..params } }
}

fn is_unbounded(bound: &WindowFrameBound, preceding: bool) -> bool {
    match bound {
        WindowFrameBound::Preceding(value) => preceding && value.is_null(),
        WindowFrameBound::Following(value) => !preceding && value.is_null(),
        WindowFrameBound::CurrentRow => false,
    }
}

fn break_aggregate(aggregate: Aggregate) -> DataFusionResult<Transformed<LogicalPlan>> {
    let schema = aggregate.input.schema().clone();
    let groups = aggregate.group_expr.clone();
    rewrite_node(LogicalPlan::Aggregate(aggregate), &mut |expr| match expr {
        Expr::AggregateFunction(call) => {
            Ok(order_aggregate(call, &schema, &groups).update_data(Expr::AggregateFunction))
        }
        other => Ok(Transformed::no(other)),
    })
}

fn order_aggregate(call: AggregateFunction, schema: &DFSchemaRef, groups: &[Expr]) -> Transformed<AggregateFunction> {
    if !is_order_sensitive(call.func.name()) {
        return Transformed::no(call);
    }
    let AggregateFunction { func, mut params } = call;
    let given = params.order_by.len();
    // A constant orders nothing, and functions that find the first row take no key twice; folding makes such keys.
    let mut known: Vec<Expr> = vec![];
    params.order_by.retain(|key| {
        let expr = key.expr.clone().unalias_nested().data;
        !matches!(expr, Expr::Literal(..)) && is_new(&mut known, &expr)
    });
    let before = params.order_by.len();
    if params.distinct {
        // Of equal values one is kept, so the value alone must order them.
        let argument = params.args.first().cloned();
        let known = params.order_by.iter().any(|key| Some(&key.expr) == argument.as_ref());
        params.order_by.extend(argument.filter(|_| !known).map(|argument| argument.sort(true, false)));
    } else {
        for column in schema.columns() {
            let known = params.order_by.iter().any(|key| is_column(&key.expr, &column));
            // Rows of one group agree on its keys.
            if !known && !groups.iter().any(|group| is_column(group, &column)) {
                params.order_by.push(Expr::Column(column).sort(true, false));
            }
        }
    }
    let changed = before < given || params.order_by.len() > before;
    Transformed::new_transformed(AggregateFunction { func, params }, changed)
}
