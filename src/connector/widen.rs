//! The type that holds the values of two.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};

/// The narrowest canonical type that holds the values of `left` and `right`; TEXT where nothing narrower does.
pub fn widen(left: &DataType, right: &DataType) -> DataType {
    use DataType::*;
    if left == right {
        return left.clone();
    }
    match (left, right) {
        (Null, other) | (other, Null) => other.clone(),
        (List(left), List(right)) => {
            let item = widen(left.data_type(), right.data_type());
            List(Arc::new(Field::new(left.name(), item, true)))
        }
        (Struct(left), Struct(right)) => Struct(widen_fields(left, right)),
        (Date32, Timestamp(_, None)) => right.clone(),
        (Timestamp(_, None), Date32) => left.clone(),
        _ => widen_numbers(left, right).unwrap_or(Utf8View),
    }
}

fn widen_fields(left: &Fields, right: &Fields) -> Fields {
    let mut fields: Vec<FieldRef> = left.iter().cloned().collect();
    for field in right {
        match fields.iter_mut().find(|known| known.name() == field.name()) {
            Some(known) => {
                let wide = widen(known.data_type(), field.data_type());
                *known = Arc::new(Field::new(field.name(), wide, true));
            }
            None => fields.push(field.clone()),
        }
    }
    fields.into()
}

fn widen_numbers(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::*;
    let is_number = |data_type: &DataType| data_type.is_numeric();
    if !is_number(left) || !is_number(right) {
        return None;
    }
    if left.is_floating() || right.is_floating() {
        return Some(Float64);
    }
    if let (Some((left_digits, left_scale)), Some((right_digits, right_scale))) = (digits(left), digits(right)) {
        if left.is_integer() && right.is_integer() {
            let signed = [Int8, Int16, Int32, Int64];
            let unsigned = [UInt8, UInt16, UInt32, UInt64];
            let (a, b) = (width(left)?, width(right)?);
            return Some(match (left.is_signed_integer(), right.is_signed_integer()) {
                (true, true) => signed.get(a.max(b))?.clone(),
                (false, false) => unsigned.get(a.max(b))?.clone(),
                (true, false) => signed.get(a.max(b + 1)).cloned().unwrap_or(Decimal128(20, 0)),
                (false, true) => signed.get(b.max(a + 1)).cloned().unwrap_or(Decimal128(20, 0)),
            });
        }
        let scale = left_scale.max(right_scale);
        let whole = (left_digits - left_scale).max(right_digits - right_scale);
        return match (u8::try_from(whole + scale), i8::try_from(scale)) {
            (Ok(precision @ 0..=38), Ok(scale)) => Some(Decimal128(precision, scale)),
            (Ok(precision @ 39..=76), Ok(scale)) => Some(Decimal256(precision, scale)),
            _ => Some(Float64),
        };
    }
    None
}

fn width(data_type: &DataType) -> Option<usize> {
    data_type.primitive_width().map(|bytes| bytes.trailing_zeros() as usize)
}

/// Digits in all and digits after the point.
fn digits(data_type: &DataType) -> Option<(i32, i32)> {
    use DataType::*;
    Some(match data_type {
        Int8 | UInt8 => (3, 0),
        Int16 | UInt16 => (5, 0),
        Int32 | UInt32 => (10, 0),
        Int64 => (19, 0),
        UInt64 => (20, 0),
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale)
        | Decimal256(precision, scale) => (i32::from(*precision), i32::from(*scale)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;

    #[test]
    fn widening() {
        use DataType::*;
        assert_eq!(widen(&Int64, &Float64), Float64);
        assert_eq!(widen(&Int32, &UInt32), Int64);
        assert_eq!(widen(&Int8, &UInt64), Decimal128(20, 0));
        assert_eq!(widen(&Decimal128(12, 2), &Int64), Decimal128(21, 2));
        assert_eq!(widen(&Date32, &Timestamp(TimeUnit::Microsecond, None)), Timestamp(TimeUnit::Microsecond, None));
        assert_eq!(widen(&Boolean, &Int64), Utf8View);
        assert_eq!(widen(&Null, &Date32), Date32);
    }
}
