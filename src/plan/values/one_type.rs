//! Types of values that are computed with, compared with or stand for each other.
//!
//! Values stand for each other in the branches of CASE, the inputs of UNION, the default of `lag`. DataFusion takes the
//! type of the first until its analyzer brings the others to a common one. What is computed with such a value would go
//! by the type of the first by then: `CASE WHEN c THEN 1 ELSE 2.25 END + 1` added whole numbers. So where numbers are
//! among them, also inside lists and structs, the common type is settled at once.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::type_coercion::other::get_coerce_type_for_case_expression;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Union, cast};

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
pub(super) fn of_union(union: Union) -> Result<LogicalPlan> {
    let columns = union.schema.fields().len();
    let common_at = |column: usize| {
        let fields = union.inputs.iter().map(|input| input.schema().fields().get(column));
        let types: Vec<DataType> = fields.flatten().map(|field| field.data_type().clone()).collect();
        let mixes = types.iter().any(DataType::is_decimal) && types.iter().any(DataType::is_floating);
        let only = || {
            let mut known = types.iter().filter(|data_type| !data_type.is_null());
            let first = known.next().filter(|_| types.iter().any(DataType::is_null))?;
            known.all(|other| other == first).then(|| first.clone())
        };
        if mixes { Some(DataType::Float64) } else { common_type(&types).or_else(only) }
    };
    let common: Vec<Option<DataType>> = (0..columns).map(common_at).collect();
    if common.iter().all(Option::is_none) {
        return Ok(LogicalPlan::Union(union));
    }
    let inputs = union.inputs.iter().map(|input| {
        let list = input.schema().iter().zip(&common).map(|((qualifier, field), common)| {
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
        LogicalPlanBuilder::from(input.as_ref().clone()).project(list)?.build().map(Arc::new)
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    Union::try_new_with_loose_types(inputs).map(LogicalPlan::Union)
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
