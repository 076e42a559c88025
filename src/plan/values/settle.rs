//! Numeric types, settled before DataFusion's analyzer settles all others.
//!
//! Bottom-up, so that the types below an expression are the final ones: see [`crate::plan::values`] for what is
//! decided. A comparison of decimals that no type of 38 digits holds both of goes by DECIMAL with 76. An integer
//! literal beside a decimal is a decimal of its own digits, so that results do not get wider than they must.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::utils::take_function_args;
use datafusion::common::{DFSchema, JoinConstraint, Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, Alias, Between, InList, InSubquery, ScalarFunction, SetComparison,
};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Case, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, ScalarUDF, Subquery,
    SubqueryAlias,
};

use super::arguments::{self, OF_ONE_TYPE};
use super::arithmetic::DecimalArithmetic;
use super::bounds;
use super::cast::{ValueCast, cast_to, is_binary, own_cast};
use super::float_places::FloatPlaces;
use super::length::{ItemCount, has_length};
use super::one_type::{doubles, mixes_real, of_one_type, of_set_operation, of_union, text_literal, type_of, unified};
use super::operand_types::{self, is_comparison};
use super::recursion;
use super::rounding::{DecimalRounding, FloatRounding, Places, Rounding};
use super::window_call;
use crate::base::decimal::{self, DecimalType, Parsed};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::lists::operands;
use crate::plan::time::function::TimeFunction;
use crate::plan::walk::{Walk, rewrite_node};
use crate::sql::types::expect_fields_once;

/// Functions of floats for which DataFusion has decimal variants with other results.
const OF_DOUBLES: [&str; 4] = ["power", "pow", "log", "nanvl"];

/// The function that is called `length`, `len` and `char_length`.
const LENGTH: &str = "character_length";

/// Binds arithmetic with decimals, whose types DataFusion may not find at all: it refuses scales of more than 38
/// digits.
#[derive(Debug)]
pub(crate) struct DecimalOperators;

impl ExprPlanner for DecimalOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> DataFusionResult<PlannerResult<RawBinaryExpr>> {
        use sqlparser::ast::BinaryOperator as Sql;
        let operator = match expr.op {
            Sql::Plus => Operator::Plus,
            Sql::Minus => Operator::Minus,
            Sql::Multiply => Operator::Multiply,
            Sql::Divide => Operator::Divide,
            Sql::Modulo => Operator::Modulo,
            Sql::StringConcat => return Ok(joined(expr, schema)),
            Sql::AtArrow | Sql::ArrowAt | Sql::PGOverlap => return Ok(of_sets(expr, schema)),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let [left, right] = numbers_of_texts(expr.left, expr.right, schema);
        if may_be_decimal(&left, schema) || may_be_decimal(&right, schema) {
            let bound = binary_of(BinaryExpr::new(left.into(), operator, right.into()), schema);
            return Ok(PlannerResult::Planned(bound.data));
        }
        Ok(PlannerResult::Original(RawBinaryExpr { op: expr.op, left, right }))
    }

    fn plan_array_literal(&self, items: Vec<Expr>, schema: &DFSchema) -> DataFusionResult<PlannerResult<Vec<Expr>>> {
        let items = typed_texts(items, schema).map_err(to_datafusion)?;
        Ok(PlannerResult::Original(unified(items, schema, false).data))
    }
}

/// `list || item` and `item || list` with decimals, by the functions that take them.
fn joined(expr: RawBinaryExpr, schema: &DFSchema) -> PlannerResult<RawBinaryExpr> {
    let types = (type_of(&expr.left, schema), type_of(&expr.right, schema));
    let (Some(left), Some(right)) = types else { return PlannerResult::Original(expr) };
    match arguments::joining(&left, &right) {
        Some(function) => PlannerResult::Planned(function.call(vec![expr.left, expr.right])),
        None => PlannerResult::Original(expr),
    }
}

/// An operator between lists as sets.
fn of_sets(expr: RawBinaryExpr, schema: &DFSchema) -> PlannerResult<RawBinaryExpr> {
    let types = type_of(&expr.left, schema).zip(type_of(&expr.right, schema));
    match types.and_then(|(left, right)| operands::of_sets(&expr.op, &left, &right)) {
        Some((function, false)) => PlannerResult::Planned(function.call(vec![expr.left, expr.right])),
        Some((function, true)) => PlannerResult::Planned(function.call(vec![expr.right, expr.left])),
        None => PlannerResult::Original(expr),
    }
}

/// A text literal beside a number is a number, as in PostgreSQL, where its type is unknown until then.
fn numbers_of_texts(left: Expr, right: Expr, schema: &DFSchema) -> [Expr; 2] {
    let is_text = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if value.data_type().is_string());
    let number = |text: Expr, other: &Expr| match other.get_type(schema) {
        Ok(DataType::Decimal128(_, _)) => match text_literal(&text).and_then(decimal::parse).and_then(Parsed::exact) {
            Some((value, decimal)) => {
                Expr::Literal(ScalarValue::Decimal128(Some(value), decimal.precision, decimal.scale), None)
            }
            None => text,
        },
        Ok(data_type) if data_type.is_numeric() => cast_to(text, data_type),
        _ => text,
    };
    match (is_text(&left), is_text(&right)) {
        (true, false) => [number(left, &right), right],
        (false, true) => {
            let right = number(right, &left);
            [left, right]
        }
        _ => [left, right],
    }
}

/// A text literal beside values of time or truth is one of them; what is a text already is no such value.
fn typed_texts(items: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    let types: Vec<Option<DataType>> = items.iter().map(|item| type_of(item, schema)).collect();
    let is_other = |data_type: &&DataType| {
        data_type.is_temporal() || matches!(data_type, DataType::Interval(_) | DataType::Boolean)
    };
    let Some(other) = types.iter().flatten().find(is_other) else { return Ok(items) };
    let typed = items.into_iter().zip(&types).map(|(item, data_type)| match data_type {
        Some(data_type) if data_type.is_string() && text_literal(&item).is_none() => {
            let name = sql_type_name(other);
            let error =
                Error::new(ErrorKind::Type, format!("values of type TEXT and {name} cannot stand for each other"));
            Err(error.with_hint(format!("cast the text to {name}")))
        }
        Some(data_type) if data_type.is_string() => Ok(datafusion::logical_expr::cast(item, other.clone())),
        _ => Ok(item),
    });
    typed.collect()
}

/// Settles the numeric types of a bound plan.
pub(crate) fn settle(plan: LogicalPlan) -> Result<LogicalPlan> {
    settle_below(plan, &mut vec![]).map_err(from_datafusion)
}

/// Settles a plan whose outer queries have these columns, the outermost first.
fn settle_below(plan: LogicalPlan, outer: &mut Vec<DFSchema>) -> DataFusionResult<LogicalPlan> {
    let bound = match &plan {
        LogicalPlan::RecursiveQuery(query) => Some(query.static_term.schema().clone()),
        _ => None,
    };
    let plan = match plan {
        LogicalPlan::Join(join) if is_lateral(&join.right) => lateral(join, outer)?,
        plan => plan.map_children(|child| settle_below(child, outer).map(Transformed::yes)).data()?,
    };
    let plan = match (plan, bound) {
        (LogicalPlan::RecursiveQuery(query), Some(bound)) => {
            LogicalPlan::RecursiveQuery(recursion::settle(query, &bound)?)
        }
        (plan, _) => plan,
    };
    let schema = merge_schema(&plan.inputs());
    outer.push(schema.clone());
    let plan = plan.map_subqueries(|plan| subquery(plan, outer).map(Transformed::yes)).data();
    outer.pop();
    let plan = match plan? {
        LogicalPlan::Values(values) => doubles_in_values(LogicalPlan::Values(values))?,
        LogicalPlan::Union(union) => of_union(union)?.data,
        LogicalPlan::Join(join) => match of_set_operation(join)?.data {
            LogicalPlan::Join(join) => keys_of(join)?,
            plan => plan,
        },
        plan => plan,
    };
    let plan = rewrite_node(plan, &mut |expr| settle_expr(expr, &schema, outer))?;
    match plan.data {
        LogicalPlan::Values(values) if plan.transformed => LogicalPlanBuilder::values(values.values)?.build(),
        plan => plan.recompute_schema(),
    }
}

/// Whether a side of a join sees the other.
fn is_lateral(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Subquery(_) => true,
        LogicalPlan::SubqueryAlias(alias) => is_lateral(&alias.input),
        _ => false,
    }
}

/// Settles a join whose right side sees the columns of the left one.
fn lateral(join: Join, outer: &mut Vec<DFSchema>) -> DataFusionResult<LogicalPlan> {
    let left = settle_below(Arc::unwrap_or_clone(join.left), outer)?;
    outer.push(left.schema().as_ref().clone());
    let right = lateral_side(Arc::unwrap_or_clone(join.right), outer);
    outer.pop();
    Ok(LogicalPlan::Join(Join { left: Arc::new(left), right: Arc::new(right?), ..join }))
}

fn lateral_side(plan: LogicalPlan, outer: &mut Vec<DFSchema>) -> DataFusionResult<LogicalPlan> {
    match plan {
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
            let input = lateral_side(Arc::unwrap_or_clone(input), outer)?;
            Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias)?))
        }
        plan => subquery(plan, outer),
    }
}

fn subquery(plan: LogicalPlan, outer: &mut Vec<DFSchema>) -> DataFusionResult<LogicalPlan> {
    let LogicalPlan::Subquery(Subquery { subquery, outer_ref_columns, spans }) = plan else {
        return settle_below(plan, outer);
    };
    let subquery = Arc::new(settle_below(Arc::unwrap_or_clone(subquery), outer)?);
    let outer_ref_columns = outer_ref_columns.into_iter().map(|column| outer_reference(column, outer)).collect();
    Ok(LogicalPlan::Subquery(Subquery { subquery, outer_ref_columns, spans }))
}

/// A reference to a column of an outer query, whose type may have been settled since it was bound.
fn outer_reference(expr: Expr, outer: &[DFSchema]) -> Expr {
    let Expr::OuterReferenceColumn(field, column) = expr else { return expr };
    let found = outer.iter().rev().find_map(|schema| schema.qualified_field_from_column(&column).ok());
    Expr::OuterReferenceColumn(found.map_or(field, |(_, field)| field.clone()), column)
}

// ---- expressions ----

fn settle_expr(expr: Expr, schema: &DFSchema, outer: &[DFSchema]) -> DataFusionResult<Transformed<Expr>> {
    operand_types::check(&expr, schema).map_err(to_datafusion)?;
    match expr {
        Expr::OuterReferenceColumn(..) => Ok(Transformed::yes(outer_reference(expr, outer))),
        Expr::Cast(_) | Expr::TryCast(_) => own_cast(expr, schema, true),
        Expr::BinaryExpr(binary) if may_be_decimal(&binary.left, schema) || may_be_decimal(&binary.right, schema) => {
            Ok(binary_of(binary, schema))
        }
        Expr::Between(between) if is_bounded(&between, schema) => {
            let Between { expr, negated, low, high } = between;
            let above = binary_of(BinaryExpr::new(expr.clone(), Operator::GtEq, low), schema).data;
            let within = above.and(binary_of(BinaryExpr::new(expr, Operator::LtEq, high), schema).data);
            Ok(Transformed::yes(if negated { Expr::Not(within.into()) } else { within }))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let operands = unified(vec![*expr, *low, *high], schema, true);
            Ok(operands.update_data(|operands| match <[Expr; 3]>::try_from(operands) {
                Ok([expr, low, high]) => Expr::Between(Between::new(expr.into(), negated, low.into(), high.into())),
                Err(_) => unreachable_operands(),
            }))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let operands = std::iter::once(*expr).chain(list).collect();
            Ok(unified(operands, schema, true).update_data(|mut operands| {
                let expr = operands.remove(0);
                Expr::InList(InList::new(expr.into(), operands, negated))
            }))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let (expr, subquery) = with_subquery(*expr, subquery, schema)?;
            Ok(Transformed::yes(Expr::InSubquery(InSubquery::new(expr.into(), subquery, negated))))
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
            let (expr, subquery) = with_subquery(*expr, subquery, schema)?;
            Ok(Transformed::yes(Expr::SetComparison(SetComparison::new(expr.into(), subquery, op, quantifier))))
        }
        Expr::Case(case) => {
            if case.expr.is_none() {
                let mut conditions = case.when_then_expr.iter().map(|(when, _)| when);
                conditions.try_for_each(|when| expect_condition(when, "CASE WHEN", schema))?;
            }
            Ok(case_of(case, schema))
        }
        Expr::ScalarFunction(call) => function(call, schema),
        Expr::WindowFunction(call) => {
            Ok(window_call::settled(*call, schema)?.update_data(|call| Expr::WindowFunction(Box::new(call))))
        }
        Expr::AggregateFunction(call) => {
            call.params.filter.iter().try_for_each(|filter| expect_condition(filter, "FILTER", schema))?;
            Ok(aggregate(call))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Three expressions went in, three come out.
fn unreachable_operands() -> Expr {
    debug_assert!(false, "the operands of BETWEEN got lost");
    Expr::Literal(ScalarValue::Null, None)
}

/// Whether an expression could be a decimal: a cheap question, so that long chains of integers cost nothing.
fn may_be_decimal(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, right, op }) => {
            op.is_numerical_operators() && (may_be_decimal_leaf(left, schema) || may_be_decimal_leaf(right, schema))
        }
        other => may_be_decimal_leaf(other, schema),
    }
}

fn may_be_decimal_leaf(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Literal(..) | Expr::Column(_) => type_of(expr, schema).is_some_and(|data_type| {
            data_type.is_decimal()
                || matches!(data_type, DataType::UInt64 | DataType::Float32)
                || is_binary(&data_type)
                || data_type.is_string()
        }),
        // Arithmetic of decimals is a function by now.
        Expr::BinaryExpr(_) | Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => false,
        _ => true,
    }
}

fn binary_of(binary: BinaryExpr, schema: &DFSchema) -> Transformed<Expr> {
    let BinaryExpr { left, op, right } = binary;
    if !op.is_numerical_operators() && !is_comparison(op) {
        return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }));
    }
    let compares = is_comparison(op);
    if compares && let Some(bounded) = bounded(&left, op, &right, schema) {
        return Transformed::yes(bounded);
    }
    let types = [type_of(&left, schema), type_of(&right, schema)];
    let operands = match mixes_real(&types) {
        true => Transformed::yes(doubles(vec![*left, *right], &types)),
        false => unified(vec![*left, *right], schema, compares),
    };
    let transformed = operands.transformed;
    let Ok([left, right]) = <[Expr; 2]>::try_from(operands.data) else {
        return Transformed::yes(unreachable_operands());
    };
    if !compares && let Some(call) = arithmetic(op, &left, &right, schema) {
        return Transformed::yes(call);
    }
    Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr::new(left.into(), op, right.into())), transformed)
}

/// Whether BETWEEN is two comparisons of a column that [`bounded`] says in its type, at least one of them.
fn is_bounded(between: &Between, schema: &DFSchema) -> bool {
    let column = &between.expr;
    matches!(column.as_ref(), Expr::Column(_))
        && (bounded(column, Operator::GtEq, &between.low, schema).is_some()
            || bounded(column, Operator::LtEq, &between.high, schema).is_some())
}

/// A comparison of a decimal literal with what has fewer digits behind the point.
fn bounded(left: &Expr, operator: Operator, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    let (value, operator, literal) = match (left, right) {
        (Expr::Literal(..), Expr::Literal(..)) => return None,
        (Expr::Literal(literal, _), value) => (value, operator.swap()?, literal),
        (value, Expr::Literal(literal, _)) => (value, operator, literal),
        _ => return None,
    };
    let ScalarValue::Decimal128(Some(digits), _, scale) = literal else { return None };
    let (operator, literal) = bounds::in_type(&type_of(value, schema)?, operator, *digits, *scale)?;
    Some(Expr::BinaryExpr(BinaryExpr::new(value.clone().into(), operator, Box::new(Expr::Literal(literal, None)))))
}

/// Arithmetic that is not one of integers or floats alone.
fn arithmetic(operator: Operator, left: &Expr, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    let (left_type, right_type) = (type_of(left, schema)?, type_of(right, schema)?);
    let mixes_signs = match (&left_type, &right_type) {
        (DataType::UInt64, other) | (other, DataType::UInt64) => other.is_signed_integer(),
        _ => false,
    };
    if !left_type.is_decimal() && !right_type.is_decimal() && !mixes_signs {
        return None;
    }
    let function = DecimalArithmetic::new(operator, DecimalType::of(&left_type)?, DecimalType::of(&right_type)?)?;
    Some(call(function, vec![left.clone(), right.clone()]))
}

fn call(function: impl datafusion::logical_expr::ScalarUDFImpl + 'static, arguments: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(function)), arguments))
}

/// A value and the column of a subquery that it is compared with: both DOUBLE where one is.
fn with_subquery(expr: Expr, subquery: Subquery, schema: &DFSchema) -> DataFusionResult<(Expr, Subquery)> {
    let columns = subquery.subquery.schema().columns();
    let (Some(left), [column]) = (type_of(&expr, schema), columns.as_slice()) else {
        return Ok((expr, subquery));
    };
    let right = subquery.subquery.schema().field(0).data_type().clone();
    let mixed = left.is_decimal() && right.is_floating() || left.is_floating() && right.is_decimal();
    if !mixed && !mixes_real(&[Some(left.clone()), Some(right.clone())]) {
        return Ok((expr, subquery));
    }
    let double = |expr: Expr, from: &DataType| match from {
        DataType::Float64 => expr,
        _ => cast_to(expr, DataType::Float64),
    };
    let value = double(Expr::Column(column.clone()), &right).alias_qualified(column.relation.clone(), &column.name);
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).project([value])?.build()?;
    Ok((double(expr, &left), subquery.with_plan(Arc::new(plan))))
}

/// Refuses what is no condition, where DataFusion would make one of any number.
fn expect_condition(condition: &Expr, clause: &str, schema: &DFSchema) -> DataFusionResult<()> {
    match type_of(condition, schema) {
        Some(DataType::Boolean | DataType::Null) | None => Ok(()),
        // A literal has no type yet.
        Some(_) if text_literal(condition).is_some() => Ok(()),
        Some(other) => {
            let message = format!("the condition of {clause} must be BOOLEAN, not {}", sql_type_name(&other));
            let error = Error::new(ErrorKind::Type, message).with_hint("compare the value with something");
            Err(to_datafusion(error))
        }
    }
}

fn case_of(case: Case, schema: &DFSchema) -> Transformed<Expr> {
    let Case { expr, when_then_expr, else_expr } = case;
    let (whens, thens): (Vec<Expr>, Vec<Expr>) = when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
    let branches = whens.len();
    let has_operand = expr.is_some();
    let compared = expr.into_iter().map(|expr| *expr).chain(whens).collect();
    let compared = if has_operand { unified(compared, schema, true) } else { Transformed::no(compared) };
    let results = thens.into_iter().chain(else_expr.map(|expr| *expr)).collect();
    let results = of_one_type(results, schema);
    let transformed = compared.transformed || results.transformed;
    let (mut compared, mut results) = (compared.data.into_iter(), results.data.into_iter());
    let expr = if has_operand { compared.next().map(Box::new) } else { None };
    let when_then_expr = compared.zip(results.by_ref().take(branches));
    let when_then_expr = when_then_expr.map(|(when, then)| (Box::new(when), Box::new(then))).collect();
    let else_expr = results.next().map(Box::new);
    Transformed::new_transformed(Expr::Case(Case::new(expr, when_then_expr, else_expr)), transformed)
}

// ---- functions ----

fn function(call: ScalarFunction, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    let ScalarFunction { func, args } = call;
    if let Some(arithmetic) = func.inner().downcast_ref::<DecimalArithmetic>() {
        // The types of its operands may have been settled since it was bound.
        let [left, right] = take_function_args(func.name(), args)?;
        return Ok(binary_of(BinaryExpr::new(left.into(), arithmetic.operator(), right.into()), schema));
    }
    let types: Vec<Option<DataType>> = args.iter().map(|argument| type_of(argument, schema)).collect();
    if let (LENGTH, [Some(data_type)]) = (func.name(), types.as_slice())
        && has_length(data_type)
    {
        return Ok(Transformed::yes(self::call(ItemCount::new(), args)));
    }
    if let ("encode", [_, Expr::Literal(encoding, metadata)]) = (func.name(), args.as_slice())
        && encoding.try_as_str().flatten().is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64"))
    {
        // DataFusion's base64 leaves out the padding that others need to read it.
        let padded = Expr::Literal(ScalarValue::Utf8(Some("base64pad".to_string())), metadata.clone());
        let args = args.into_iter().take(1).chain([padded]).collect();
        return Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })));
    }
    if func.name() == "named_struct" {
        expect_fields_once(args.iter().step_by(2).filter_map(text_literal)).map_err(to_datafusion)?;
    }
    let args = match func.name() {
        // The first argument of nvl2 is only asked whether it is NULL.
        "nvl2" => {
            let mut args = args.into_iter();
            let asked = args.next();
            asked.into_iter().chain(typed_texts(args.collect(), schema).map_err(to_datafusion)?).collect()
        }
        name if OF_ONE_TYPE.contains(&name) => typed_texts(args, schema).map_err(to_datafusion)?,
        name => operands::settled(name, args, &types),
    };
    if let ("round", [Some(DataType::Float32 | DataType::Float64)]) = (func.name(), types.as_slice()) {
        return Ok(Transformed::yes(self::call(FloatRounding::new(), args)));
    }
    if let Some(function) = FloatPlaces::of(func.name(), &types) {
        return Ok(Transformed::yes(self::call(function, args)));
    }
    let has_decimal = types.iter().flatten().any(DataType::is_decimal);
    // Functions of time take each argument as it is.
    let own = func.inner().is::<ValueCast>() || func.inner().is::<TimeFunction>();
    if !has_decimal || own {
        return Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })));
    }
    if let Some(rounded) = rounding(func.name(), &args, &types) {
        return Ok(Transformed::yes(rounded));
    }
    let args = match func.name() {
        name if OF_DOUBLES.contains(&name) => {
            args.into_iter().map(|argument| cast_to(argument, DataType::Float64)).collect()
        }
        name if OF_ONE_TYPE.contains(&name) => unified(args, schema, false).data,
        _ => args,
    };
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
}

/// A call of `round` and its like on a decimal.
fn rounding(name: &str, args: &[Expr], types: &[Option<DataType>]) -> Option<Expr> {
    let rounding = match name {
        "round" => Rounding::Nearest,
        "trunc" => Rounding::Zero,
        "ceil" => Rounding::Up,
        "floor" => Rounding::Down,
        "signum" => Rounding::Sign,
        _ => return None,
    };
    let from = DecimalType::of(types.first()?.as_ref().filter(|data_type| data_type.is_decimal())?)?;
    let takes_places = matches!(rounding, Rounding::Nearest | Rounding::Zero);
    match args {
        [value] => Some(call(DecimalRounding::new(name, rounding, Places::Fixed(0), from), vec![value.clone()])),
        [value, places] if takes_places => Some(match constant_places(places) {
            Some(fixed) => call(DecimalRounding::new(name, rounding, Places::Fixed(fixed), from), vec![value.clone()]),
            None => {
                let function = DecimalRounding::new(name, rounding, Places::Given, from);
                call(function, vec![value.clone(), places.clone()])
            }
        }),
        _ => None,
    }
}

fn constant_places(places: &Expr) -> Option<i64> {
    match places {
        Expr::Negative(places) => constant_places(places)?.checked_neg(),
        Expr::Literal(value, _) if value.data_type().is_integer() => match value.cast_to(&DataType::Int64).ok()? {
            ScalarValue::Int64(places) => places,
            _ => None,
        },
        _ => None,
    }
}

/// Fractions beside the argument of an aggregate, such as that of a percentile, are doubles.
fn aggregate(mut call: AggregateFunction) -> Transformed<Expr> {
    let mut changed = false;
    for argument in call.params.args.iter_mut().skip(1) {
        if let Expr::Literal(value, _) = argument
            && value.data_type().is_decimal()
        {
            *argument = cast_to(std::mem::take(argument), DataType::Float64);
            changed = true;
        }
    }
    Transformed::new_transformed(Expr::AggregateFunction(call), changed)
}

// ---- nodes ----

/// The keys of a join are compared with each other.
fn keys_of(mut join: Join) -> DataFusionResult<LogicalPlan> {
    let mut schema = join.left.schema().as_ref().clone();
    schema.merge(join.right.schema());
    let mut changed = false;
    for (left, right) in &mut join.on {
        operand_types::check_comparison(left, "=", right, &schema).map_err(to_datafusion)?;
        let keys = unified(vec![std::mem::take(left), std::mem::take(right)], &schema, true);
        changed |= keys.transformed;
        (*left, *right) = match <[Expr; 2]>::try_from(keys.data) {
            Ok([left, right]) => (left, right),
            Err(_) => (unreachable_operands(), unreachable_operands()),
        };
    }
    if changed {
        // The keys of USING are columns; that they were written so means nothing more.
        join.join_constraint = JoinConstraint::On;
    }
    Ok(LogicalPlan::Join(join))
}

/// VALUES has cast its rows to the decimal that DataFusion takes for a float: they are doubles then.
fn doubles_in_values(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let LogicalPlan::Values(mut values) = plan else { return Ok(plan) };
    let empty = DFSchema::empty();
    let mut changed = false;
    for column in 0..values.schema.fields().len() {
        let data_type = values.schema.field(column).data_type().clone();
        // Fifteen digits behind the point for a DOUBLE, seven for a REAL.
        if !matches!(data_type, DataType::Decimal128(_, 7 | 15)) {
            continue;
        }
        let was_float = |row: &Vec<Expr>| match row.get(column) {
            Some(Expr::Cast(cast)) => type_of(&cast.expr, &empty).is_some_and(|from| from.is_floating()),
            _ => false,
        };
        if !values.values.iter().any(was_float) {
            continue;
        }
        for cell in values.values.iter_mut().filter_map(|row| row.get_mut(column)) {
            let inner = match std::mem::take(cell) {
                Expr::Cast(cast) => *cast.expr,
                Expr::Alias(Alias { expr, .. }) => *expr,
                other => other,
            };
            *cell = cast_to(inner, DataType::Float64);
        }
        changed = true;
    }
    match changed {
        true => LogicalPlanBuilder::values(values.values)?.build(),
        false => Ok(LogicalPlan::Values(values)),
    }
}
