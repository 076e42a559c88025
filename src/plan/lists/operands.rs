//! What operators and functions of lists need before types are settled.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, ScalarUDF, cast};
use sqlparser::ast::BinaryOperator;

use super::items::list_of;
use super::{quantified, sets};
use crate::plan::values::cast::cast_to;
use crate::plan::values::comparable::is_interval;

/// The function that an operator between lists as sets is, and whether its operands are turned round.
pub(crate) fn of_sets(operator: &BinaryOperator, left: &DataType, right: &DataType) -> Option<(Arc<ScalarUDF>, bool)> {
    let is_list = |data_type: &DataType| data_type.is_list() || data_type.is_null();
    if !is_list(left) || !is_list(right) {
        return None;
    }
    match operator {
        BinaryOperator::AtArrow => Some((sets::named(sets::HAS_ALL)?, false)),
        BinaryOperator::ArrowAt => Some((sets::named(sets::HAS_ALL)?, true)),
        BinaryOperator::PGOverlap => Some((sets::named(sets::HAS_ANY)?, false)),
        _ => None,
    }
}

/// The arguments of a function by its name: a text as the list that it says, items of times and floats as texts.
pub(crate) fn settled(name: &str, mut args: Vec<Expr>, types: &[Option<DataType>]) -> Vec<Expr> {
    let known = |index: usize| types.get(index).and_then(Option::as_ref);
    match args.as_mut_slice() {
        // `x = ANY ('{1,2}')`
        [_, list, _] if quantified::NAMES.contains(&name) => {
            if let (Some(left), Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)) = (known(0), known(1))
            {
                *list = cast_to(std::mem::take(list), list_of(left));
            }
        }
        // The items read as they do everywhere.
        [list, ..] if name == "array_to_string" => {
            if let Some(DataType::List(item)) = known(0)
                && let item = item.data_type()
                && (item.is_temporal() || item.is_floating() || is_interval(item))
            {
                *list = cast(std::mem::take(list), list_of(&DataType::Utf8View));
            }
        }
        _ => {}
    }
    args
}
