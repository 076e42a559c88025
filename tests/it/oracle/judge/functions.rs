//! Scalar functions, arithmetic and casts, as PostgreSQL defines them.

use chrono::{DateTime, Datelike, Months};

use super::evaluate::{Answer, Fault};
use super::tree::{Function, Interval};
use super::value::{DAY, Row, Type, Value, date, day_number, power_of_ten};

const OUT_OF_RANGE: Fault = Fault::Sql("22003");

/// `- value`.
pub fn negate(value: Value) -> Answer<Value> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Int(n) => n.checked_neg().map(Value::Int).ok_or(OUT_OF_RANGE),
        Value::Decimal(mantissa, scale) => Ok(Value::Decimal(-mantissa, scale)),
        Value::Double(d) => Ok(Value::Double(-d)),
        other => Err(Fault::Invalid(format!("minus {other}"))),
    }
}

/// Arithmetic on two numbers; the result has the type.
pub fn arithmetic(operator: char, l: &Value, r: &Value, ty: Type) -> Answer<Value> {
    match (l, r) {
        (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
        (Value::Int(l), Value::Int(r)) => integers(operator, *l, *r, ty),
        (Value::Double(_), _) | (_, Value::Double(_)) => {
            let (Some(l), Some(r)) = (l.double(), r.double()) else {
                return Err(Fault::Invalid(format!("{l} {operator} {r}")));
            };
            match operator {
                '+' => Ok(Value::Double(l + r)),
                '-' => Ok(Value::Double(l - r)),
                '*' => Ok(Value::Double(l * r)),
                _ => Err(Fault::Invalid(format!("{operator} of doubles"))),
            }
        }
        _ => {
            let (Some((l, l_scale)), Some((r, r_scale))) = (l.exact(), r.exact()) else {
                return Err(Fault::Invalid(format!("{l} {operator} {r}")));
            };
            let scale = l_scale.max(r_scale);
            let (left, right) = (l * power_of_ten(scale - l_scale), r * power_of_ten(scale - r_scale));
            match operator {
                '+' => Ok(Value::Decimal(left + right, scale)),
                '-' => Ok(Value::Decimal(left - right, scale)),
                '*' => Ok(Value::Decimal(l * r, l_scale + r_scale)),
                _ => Err(Fault::Invalid(format!("{operator} of decimals"))),
            }
        }
    }
}

fn integers(operator: char, l: i64, r: i64, ty: Type) -> Answer<Value> {
    if matches!(operator, '/' | '%') && r == 0 {
        return Err(Fault::Sql("22012"));
    }
    let result = match operator {
        '+' => l.checked_add(r),
        '-' => l.checked_sub(r),
        '*' => l.checked_mul(r),
        '/' => l.checked_div(r),
        _ => Some(l.checked_rem(r).unwrap_or(0)),
    };
    let result = result.ok_or(OUT_OF_RANGE)?;
    // Whether a literal makes a sum wider is not for this judge to say.
    match in_range(result, ty) {
        true => Ok(Value::Int(result)),
        false => Err(Fault::Open(format!("{result} may be out of range for {ty:?}"))),
    }
}

fn in_range(n: i64, ty: Type) -> bool {
    match ty {
        Type::Small => i16::try_from(n).is_ok(),
        Type::Int => i32::try_from(n).is_ok(),
        _ => true,
    }
}

/// A scalar function of values.
pub fn call(function: Function, values: &[Value]) -> Answer<Value> {
    let strict = !matches!(function, Function::Greatest | Function::Least | Function::Nullif);
    if strict && values.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    match (function, values) {
        (Function::Nullif, [a, b]) => Ok(if a.compare(b).is_some_and(|o| o.is_eq()) { Value::Null } else { a.clone() }),
        (Function::Greatest | Function::Least, values) => {
            let known = values.iter().filter(|value| !value.is_null());
            let order = |a: &&Value, b: &&Value| a.compare(b).unwrap_or(std::cmp::Ordering::Equal);
            let best = if function == Function::Greatest { known.max_by(order) } else { known.min_by(order) };
            Ok(best.cloned().unwrap_or(Value::Null))
        }
        (Function::Abs, [value]) => match value {
            Value::Int(n) => n.checked_abs().map(Value::Int).ok_or(OUT_OF_RANGE),
            Value::Decimal(mantissa, scale) => Ok(Value::Decimal(mantissa.abs(), *scale)),
            Value::Double(d) => Ok(Value::Double(d.abs())),
            other => Err(Fault::Invalid(format!("abs of {other}"))),
        },
        (Function::Round, [Value::Decimal(mantissa, scale)]) => Ok(Value::Decimal(rescale(*mantissa, *scale, 0), 0)),
        (Function::Round, [Value::Decimal(mantissa, scale), Value::Int(places)]) => {
            let places = u8::try_from(*places).unwrap_or(0).min(*scale);
            Ok(Value::Decimal(rescale(*mantissa, *scale, places), places))
        }
        (Function::Upper, [Value::Text(text)]) => Ok(Value::Text(text.to_uppercase())),
        (Function::Lower, [Value::Text(text)]) => Ok(Value::Text(text.to_lowercase())),
        (Function::Length, [Value::Text(text)]) => Ok(Value::Int(text.chars().count() as i64)),
        (Function::TruncateToDay, [Value::Timestamp(micros)]) => Ok(Value::Timestamp(micros - micros.rem_euclid(DAY))),
        (Function::TruncateToDay, [Value::Date(days)]) => Ok(Value::Timestamp(i64::from(*days) * DAY)),
        (Function::Day | Function::Month, [value]) => {
            let days = match value {
                Value::Date(days) => i64::from(*days),
                Value::Timestamp(micros) => micros.div_euclid(DAY),
                other => return Err(Fault::Invalid(format!("a part of {other}"))),
            };
            let date = date(days as i32).ok_or(Fault::Sql("22008"))?;
            Ok(Value::Int(i64::from(if function == Function::Day { date.day() } else { date.month() })))
        }
        _ => Err(Fault::Invalid(format!("{function:?} of {values:?}"))),
    }
}

/// Rounds half away from zero to fewer places, or appends zeros.
fn rescale(mantissa: i128, scale: u8, places: u8) -> i128 {
    if places >= scale {
        return mantissa * power_of_ten(places - scale);
    }
    let unit = power_of_ten(scale - places);
    let half = if mantissa < 0 { -unit / 2 } else { unit / 2 };
    (mantissa + half) / unit
}

/// A date or timestamp moved by an interval; PostgreSQL makes a date a timestamp.
pub fn shift(value: Value, plus: bool, interval: Interval) -> Answer<Value> {
    let micros = match value {
        Value::Null => return Ok(Value::Null),
        Value::Date(days) => i64::from(days) * DAY,
        Value::Timestamp(micros) => micros,
        other => return Err(Fault::Invalid(format!("{other} moved in time"))),
    };
    let sign = if plus { 1 } else { -1 };
    match interval {
        Interval::Hours(hours) => Ok(Value::Timestamp(micros + i64::from(sign * hours) * DAY / 24)),
        Interval::Days(days) => Ok(Value::Timestamp(micros + i64::from(sign * days) * DAY)),
        Interval::Months(months) => {
            let time = DateTime::from_timestamp_micros(micros).ok_or(Fault::Sql("22008"))?;
            let months = Months::new(months.unsigned_abs());
            let moved = if plus { time.checked_add_months(months) } else { time.checked_sub_months(months) };
            Ok(Value::Timestamp(moved.ok_or(Fault::Sql("22008"))?.timestamp_micros()))
        }
    }
}

/// CAST.
pub fn cast(value: Value, ty: Type) -> Answer<Value> {
    let fitting = |n: i128| match i64::try_from(n) {
        Ok(n) if in_range(n, ty) => Ok(Value::Int(n)),
        _ => Err(OUT_OF_RANGE),
    };
    match (value, ty) {
        (Value::Null, _) => Ok(Value::Null),
        (Value::Int(n), ty) if ty.is_integer() => fitting(i128::from(n)),
        (Value::Bool(b), ty) if ty.is_integer() => Ok(Value::Int(i64::from(b))),
        (Value::Decimal(mantissa, scale), ty) if ty.is_integer() => fitting(rescale(mantissa, scale, 0)),
        (Value::Text(text), ty) if ty.is_integer() => match text.trim().parse::<i128>() {
            Ok(n) => fitting(n),
            Err(_) => Err(Fault::Sql("22P02")),
        },
        (value, Type::Double) if value.double().is_some() => Ok(Value::Double(value.double().unwrap_or_default())),
        (value, Type::Decimal(precision, scale)) if value.exact().is_some() => {
            let (mantissa, own) = value.exact().unwrap_or_default();
            let mantissa = rescale(mantissa, own, scale);
            if mantissa.abs() >= power_of_ten(precision) {
                Err(OUT_OF_RANGE)
            } else {
                Ok(Value::Decimal(mantissa, scale))
            }
        }
        (
            value @ (Value::Int(_) | Value::Bool(_) | Value::Text(_) | Value::Decimal(..) | Value::Date(_)),
            Type::Text,
        ) => Ok(Value::Text(value.to_string())),
        (value @ Value::Bool(_), Type::Bool) => Ok(value),
        (value @ Value::Date(_), Type::Date) | (value @ Value::Timestamp(_), Type::Timestamp) => Ok(value),
        (Value::Date(days), Type::Timestamp) => Ok(Value::Timestamp(i64::from(days) * DAY)),
        (Value::Timestamp(micros), Type::Date) => Ok(Value::Date(micros.div_euclid(DAY) as i32)),
        (value, ty) => Err(Fault::Invalid(format!("{value} as {ty:?}"))),
    }
}

/// LIKE without an escape.
pub fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    matches(&text, &pattern)
}

fn matches(text: &[char], pattern: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%', rest)) => (0..=text.len()).any(|at| matches(&text[at..], rest)),
        Some((first, rest)) => match text.split_first() {
            Some((own, others)) => (*first == '_' || first == own) && matches(others, rest),
            None => false,
        },
    }
}

/// What a column of the type holds when the value is assigned to it.
pub fn assign(row: Row, types: &[Type]) -> Answer<Row> {
    let fits = |(value, ty): (Value, &Type)| match (&value, ty) {
        (Value::List(_) | Value::Struct(_), _) => Ok(value),
        _ => cast(value, *ty),
    };
    row.into_iter().zip(types).map(fits).collect()
}

/// The day number of a date of 2024.
pub fn day_of_2024(ordinal: u32) -> i32 {
    chrono::NaiveDate::from_yo_opt(2024, ordinal).map_or(0, day_number)
}
