//! Comparisons with a decimal literal, said in the type of what is compared.
//!
//! `amount > 9.999` would cast every DECIMAL(12,2) to three digits behind the point, and `count > 9.5` every BIGINT to
//! a decimal. Nothing lies between two neighbours of a type, so `amount > 9.99` and `count > 9` say the same.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

use crate::base::cast::{OnFailure, cast_values};
use crate::base::decimal::power_of_ten;

/// `x operator value` for an `x` of type `data_type`, with the value in that type; `None` where it has none there.
pub(super) fn in_type(
    data_type: &DataType,
    operator: Operator,
    value: i128,
    scale: i8,
) -> Option<(Operator, ScalarValue)> {
    let target = match data_type {
        DataType::Decimal128(_, scale) => *scale,
        integer if integer.is_integer() => 0,
        _ => return None,
    };
    let drop = u32::from(scale.checked_sub(target).filter(|drop| *drop > 0)?.unsigned_abs());
    let unit = i128::try_from(power_of_ten(drop)).ok()?;
    let (below, rest) = (value.div_euclid(unit), value.rem_euclid(unit));
    let operator = match operator {
        operator if rest == 0 => operator,
        Operator::Gt | Operator::GtEq => Operator::Gt,
        Operator::Lt | Operator::LtEq => Operator::LtEq,
        // Nothing is equal to it, but NULL is not unequal either.
        _ => return None,
    };
    let target = u8::try_from(target).ok()?;
    let decimal = ScalarValue::Decimal128(Some(below), crate::base::decimal::DIGITS_MAX, target as i8);
    let typed = cast_values(&decimal.to_array().ok()?, data_type, OnFailure::Error).ok()?;
    Some((operator, ScalarValue::try_from_array(&typed, 0).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_between_two_values_is_the_lower_one() {
        let money = DataType::Decimal128(12, 2);
        let cents = |value| ScalarValue::Decimal128(Some(value), 12, 2);
        assert_eq!(in_type(&money, Operator::Gt, 9999, 3), Some((Operator::Gt, cents(999))));
        assert_eq!(in_type(&money, Operator::GtEq, 9999, 3), Some((Operator::Gt, cents(999))));
        assert_eq!(in_type(&money, Operator::Lt, -9999, 3), Some((Operator::LtEq, cents(-1000))));
        assert_eq!(in_type(&money, Operator::Eq, 9990, 3), Some((Operator::Eq, cents(999))));
        assert_eq!(in_type(&money, Operator::Eq, 9999, 3), None);
        assert_eq!(in_type(&money, Operator::Gt, 999, 2), None, "it is in the type already");
        assert_eq!(in_type(&DataType::Int64, Operator::Gt, 95, 1), Some((Operator::Gt, ScalarValue::Int64(Some(9)))));
        assert_eq!(in_type(&DataType::Int8, Operator::Gt, 9995, 1), None, "no TINYINT is so great");
    }
}
