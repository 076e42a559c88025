//! Types of values that are computed with, compared with or stand for each other.
//!
//! Values stand for each other in the branches of CASE, the inputs of UNION, the default of `lag`. DataFusion takes the
//! type of the first until its analyzer brings the others to a common one. What is computed with such a value would go
//! by the type of the first by then: `CASE WHEN c THEN 1 ELSE 2.25 END + 1` added whole numbers. So where numbers are
//! among them, also inside lists and structs, the common type is settled at once.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, JoinType, NullEquality, Result, ScalarValue};
use datafusion::logical_expr::binary::type_union_coercion;
use datafusion::logical_expr::type_coercion::other::get_coerce_type_for_case_expression;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Union, cast};

use super::arithmetic::DecimalArithmetic;
use super::cast::{ValueCast, cast_to, cast_to_domain, is_binary};
use crate::base::decimal::DecimalType;
use crate::base::domain::Domain;
use crate::plan::source::domain_of;

/// Operands that are computed or compared with each other: where floats and decimals mix, all are DOUBLE.
pub(super) fn unified(operands: Vec<Expr>, schema: &DFSchema, compares: bool) -> Transformed<Vec<Expr>> {
    let types: Vec<Option<DataType>> = operands.iter().map(|operand| type_of(operand, schema)).collect();
    let known = || types.iter().flatten();
    if compares && known().any(is_binary) {
        let bytes = |operand: Expr| match text_literal(&operand) {
            Some(_) => cast_to(operand, DataType::BinaryView),
            None => operand,
        };
        return Transformed::yes(operands.into_iter().map(bytes).collect());
    }
    if compares && let Some(domain) = operands.iter().find_map(|operand| spelled_once(operand, schema)) {
        let spelled = |operand: Expr| match text_literal(&operand) {
            Some(_) => cast_to_domain(operand, domain),
            None => operand,
        };
        return Transformed::yes(operands.into_iter().map(spelled).collect());
    }
    if compares && mixes_real(&types) {
        return Transformed::yes(doubles(operands, &types));
    }
    if !known().any(DataType::is_decimal) {
        return Transformed::no(operands);
    }
    let mixed = known().any(DataType::is_floating);
    let common = known().filter_map(DecimalType::of).map(Some).reduce(|left, right| left?.common(right?));
    let wide = compares && common.is_some_and(|common| common.is_none());
    let settled = operands.into_iter().zip(&types).map(|(operand, data_type)| match data_type {
        Some(data_type) if mixed && (data_type.is_decimal() || *data_type == DataType::Float32) => {
            cast_to(operand, DataType::Float64)
        }
        Some(data_type) if wide && !mixed => match DecimalType::of(data_type) {
            Some(decimal) => widest(operand, decimal),
            None => operand,
        },
        Some(data_type) if data_type.is_integer() && !mixed => narrow(operand),
        _ => operand,
    });
    Transformed::yes(settled.collect())
}

/// Whether a REAL meets other numbers, which it holds only in part: both are DOUBLE then, as in PostgreSQL.
pub(super) fn mixes_real(types: &[Option<DataType>]) -> bool {
    let mut known = types.iter().flatten().filter(|data_type| data_type.is_numeric());
    let is_real = |data_type: &DataType| data_type == &DataType::Float32;
    known.clone().any(is_real) && !known.all(is_real)
}

/// The operands with all numbers as DOUBLE.
pub(super) fn doubles(operands: Vec<Expr>, types: &[Option<DataType>]) -> Vec<Expr> {
    let doubled = operands.into_iter().zip(types).map(|(operand, data_type)| match data_type {
        Some(data_type) if data_type.is_numeric() && *data_type != DataType::Float64 => {
            cast_to(operand, DataType::Float64)
        }
        _ => operand,
    });
    doubled.collect()
}

/// The domain of a column whose values have one spelling, so that a literal must be brought to it.
fn spelled_once(expr: &Expr, schema: &DFSchema) -> Option<Domain> {
    let Expr::Column(column) = expr else { return None };
    let (_, field) = schema.qualified_field_from_column(column).ok()?;
    domain_of(field).filter(|domain| matches!(domain, Domain::Uuid | Domain::Char(_)))
}

/// A decimal with room for 38 digits on both sides of the point.
fn widest(operand: Expr, decimal: DecimalType) -> Expr {
    let scale = arrow::datatypes::DECIMAL128_MAX_SCALE;
    let digits = arrow::datatypes::DECIMAL256_MAX_PRECISION;
    let exact = cast(operand, decimal.arrow());
    cast(exact, DataType::Decimal256(digits, scale))
}

/// An integer literal as a decimal of its own digits.
fn narrow(operand: Expr) -> Expr {
    let Expr::Literal(value, metadata) = &operand else { return operand };
    let digits = match value {
        ScalarValue::Int64(Some(value)) => i128::from(*value),
        ScalarValue::UInt64(Some(value)) => i128::from(*value),
        ScalarValue::Int32(Some(value)) => i128::from(*value),
        _ => return operand,
    };
    let precision = digits.unsigned_abs().checked_ilog10().map_or(1, |log| log as u8 + 1);
    Expr::Literal(ScalarValue::Decimal128(Some(digits), precision, 0), metadata.clone())
}

/// The operands, all of one type where numbers are among them.
pub(super) fn of_one_type(operands: Vec<Expr>, schema: &DFSchema) -> Transformed<Vec<Expr>> {
    let operands = unified(operands, schema, false);
    let types: Option<Vec<DataType>> = operands.data.iter().map(|operand| type_of(operand, schema)).collect();
    let Some(common) = types.as_deref().and_then(common_type) else { return operands };
    let to_common = |(operand, data_type): (Expr, DataType)| match data_type == common || data_type.is_null() {
        true => operand,
        false => cast(operand, common.clone()),
    };
    let types = types.unwrap_or_default();
    Transformed::yes(operands.data.into_iter().zip(types).map(to_common).collect())
}

/// The type of values of these types, if it must be settled: if numbers are among them and not all are the same.
fn common_type(types: &[DataType]) -> Option<DataType> {
    let known: Vec<DataType> = types.iter().filter(|data_type| !data_type.is_null()).cloned().collect();
    let (first, others) = known.split_first()?;
    if others.iter().all(|other| other == first)
        || !known.iter().any(holds_number)
        || known.iter().any(DataType::is_string)
    {
        return None;
    }
    let decimals: Option<Vec<DecimalType>> = known.iter().map(DecimalType::of).collect();
    let decimals = decimals.filter(|_| known.iter().any(DataType::is_decimal));
    let common = |all: Vec<DecimalType>| all.into_iter().map(Some).reduce(|left, right| left?.common(right?)).flatten();
    decimals.and_then(common).map(DecimalType::arrow).or_else(|| get_coerce_type_for_case_expression(&known, None))
}

fn holds_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| holds_number(field.data_type())),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => holds_number(item.data_type()),
        other => other.is_numeric(),
    }
}

/// A union whose columns have one type in all inputs: DOUBLE where decimals meet floats.
pub(crate) fn of_union(union: Union) -> Result<Transformed<LogicalPlan>> {
    let schemas: Vec<&DFSchema> = union.inputs.iter().map(|input| input.schema().as_ref()).collect();
    let common: Vec<Option<DataType>> = (0..union.schema.fields().len())
        .map(|column| {
            let types = types_at(&schemas, column);
            common_of_inputs(&types).or_else(|| only_type(&types))
        })
        .collect();
    if common.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let inputs = union.inputs.iter().map(|input| in_types(input, &common).map(Arc::new));
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    Union::try_new_with_loose_types(inputs).map(LogicalPlan::Union).map(Transformed::yes)
}

/// EXCEPT and INTERSECT, which the binder makes a join of, with one type for each column on both sides: their rows are
/// the left side's, but have the type of both.
pub(crate) fn of_set_operation(join: Join) -> Result<Transformed<LogicalPlan>> {
    let is_set_operation = matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none();
    let LogicalPlan::Distinct(Distinct::All(rows)) = join.left.as_ref() else {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    };
    let schemas = [rows.schema().as_ref(), join.right.schema().as_ref()];
    let width = rows.schema().fields().len();
    if !is_set_operation || join.on.len() != width || schemas[1].fields().len() != width {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let common: Vec<Option<DataType>> = (0..width)
        .map(|column| {
            let types = types_at(&schemas, column);
            common_of_inputs(&types).or_else(|| only_type(&types)).or_else(|| of_two(&types))
        })
        .collect();
    if common.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    // Distinct as what they become: two numbers may become one DOUBLE.
    let left = LogicalPlan::Distinct(Distinct::All(Arc::new(in_types(rows, &common)?)));
    let right = in_types(&join.right, &common)?;
    let joined = Join { left: Arc::new(left), right: Arc::new(right), ..join };
    LogicalPlan::Join(joined).recompute_schema().map(Transformed::yes)
}

fn types_at(schemas: &[&DFSchema], column: usize) -> Vec<DataType> {
    let fields = schemas.iter().filter_map(|schema| schema.fields().get(column));
    fields.map(|field| field.data_type().clone()).collect()
}

/// The type of a column in which values of these types meet, if numbers are among them.
fn common_of_inputs(types: &[DataType]) -> Option<DataType> {
    let mixes = types.iter().any(DataType::is_decimal) && types.iter().any(DataType::is_floating);
    if mixes { Some(DataType::Float64) } else { common_type(types) }
}

/// The one type there is beside that of NULL.
fn only_type(types: &[DataType]) -> Option<DataType> {
    let mut known = types.iter().filter(|data_type| !data_type.is_null());
    let first = known.next().filter(|_| types.iter().any(DataType::is_null))?;
    known.all(|other| other == first).then(|| first.clone())
}

/// The type of two that are not the same: of a date and a time, say.
fn of_two(types: &[DataType]) -> Option<DataType> {
    match types {
        [left, right] if left != right && !left.is_string() && !right.is_string() => type_union_coercion(left, right),
        _ => None,
    }
}

/// The plan with its columns in these types.
pub(super) fn in_types(plan: &LogicalPlan, common: &[Option<DataType>]) -> Result<LogicalPlan> {
    let list = plan.schema().iter().zip(common).map(|((qualifier, field), common)| {
        let column = Expr::from((qualifier, field));
        match common {
            Some(common) if field.data_type() != common => {
                let cast = if common == &DataType::Float64 { cast_to } else { cast };
                cast(column, common.clone()).alias_qualified(qualifier.cloned(), field.name())
            }
            _ => column,
        }
    });
    let list: Vec<Expr> = list.collect();
    LogicalPlanBuilder::from(plan.clone()).project(list)?.build()
}

/// The expression's type; none where it is not known yet.
pub(super) fn type_of(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    if let Expr::ScalarFunction(call) = expr {
        // Known without looking further down: chains of a thousand terms stay linear.
        if let Some(arithmetic) = call.func.inner().downcast_ref::<DecimalArithmetic>() {
            return Some(arithmetic.result());
        }
        if let Some(cast) = call.func.inner().downcast_ref::<ValueCast>() {
            return Some(cast.to().clone());
        }
    }
    expr.get_type(schema).ok()
}

pub(super) fn text_literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}
