//! What `generate_series` and `range` are given, as DataFusion's functions take it.
//!
//! Those take integers of 64 bits, moments in nanoseconds and NULL without a type, and step through the zone of the
//! first moment: that is the session's, where it is a TIMESTAMPTZ.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::kind::INTERVAL;
use crate::base::time::zone::Zone;
use crate::base::types::sql_type_name;
use crate::operator::error::from_datafusion;

/// Whether the table function is one of these.
pub(super) fn is_series(name: &str) -> bool {
    matches!(name, "generate_series" | "range")
}

/// The constants as DataFusion takes them, in the session's zone.
pub(super) fn arguments(name: &str, arguments: &[Expr], zone: Zone) -> Result<Vec<Expr>> {
    let values: Option<Vec<&ScalarValue>> = arguments.iter().map(constant).collect();
    // What is no constant is refused by DataFusion.
    let Some(values) = values else { return Ok(arguments.to_vec()) };
    let types: Vec<DataType> = values.iter().map(|value| value.data_type()).collect();
    let Some(series) = series_of(&types, zone) else {
        let types: Vec<String> = types.iter().map(sql_type_name).collect();
        let message = format!("function {name}({}) does not exist", types.join(", "));
        let error = Error::new(ErrorKind::Type, message).with_sqlstate("42883");
        return Err(error.with_hint("it takes integers, or two moments and an interval"));
    };
    let values = values.iter().enumerate().map(|(place, value)| in_type(value, series.argument(place)));
    let values = values.collect::<Result<Vec<_>>>()?;
    if let Some(zero) = values.get(2).filter(|_| values.len() == 3).filter(|step| is_zero(step)) {
        let error = Error::data(format!("the step of a series is not {zero}")).with_sqlstate("22023");
        return Err(error.with_hint("give a step that leads to the end"));
    }
    let some_null = values.iter().any(ScalarValue::is_null);
    let as_given = values.into_iter().enumerate().map(|(place, value)| match (some_null, place, &series) {
        // A series with NULL has no rows; what it would have is told by the first.
        (true, 0, Series::Moments(data_type)) => ScalarValue::try_new_null(data_type).unwrap_or(ScalarValue::Null),
        (true, ..) => ScalarValue::Null,
        (false, ..) => value,
    });
    Ok(as_given.map(|value| Expr::Literal(value, None)).collect())
}

enum Series {
    Integers,
    /// DATE or a timestamp.
    Moments(DataType),
}

impl Series {
    fn argument(&self, place: usize) -> &DataType {
        match self {
            Series::Integers => &DataType::Int64,
            Series::Moments(_) if place == 2 => &INTERVAL,
            Series::Moments(data_type) => data_type,
        }
    }
}

fn in_type(value: &ScalarValue, data_type: &DataType) -> Result<ScalarValue> {
    value.cast_to(data_type).map_err(|error| match (value, data_type) {
        (ScalarValue::TimestampMicrosecond(..), DataType::Timestamp(..)) => {
            let error = Error::data("timestamp out of range for a series").with_sqlstate("22008");
            error.with_hint("a series of timestamps lies between 1677 and 2262")
        }
        _ => from_datafusion(error),
    })
}

/// The kind of series of arguments of these types, if it is one.
fn series_of(types: &[DataType], zone: Zone) -> Option<Series> {
    if types.iter().all(|data_type| data_type.is_integer() || data_type.is_null()) {
        return Some(Series::Integers);
    }
    let ends = types.get(..2)?;
    let is_moment = |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(..));
    if !ends.iter().any(is_moment) || !ends.iter().all(|end| is_moment(end) || end.is_null() || end.is_string()) {
        return None;
    }
    let zoned = ends.iter().any(|end| matches!(end, DataType::Timestamp(_, Some(_))));
    let has_time = ends.iter().any(|end| matches!(end, DataType::Timestamp(..)));
    Some(Series::Moments(match (zoned, has_time) {
        (true, _) => DataType::Timestamp(TimeUnit::Nanosecond, Some(Arc::from(arrow_zone(zone)))),
        (false, true) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        (false, false) => DataType::Date32,
    }))
}

/// The zone as Arrow names it.
fn arrow_zone(zone: Zone) -> String {
    match zone {
        Zone::Fixed(seconds) => {
            let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
        named => named.to_string(),
    }
}

fn constant(argument: &Expr) -> Option<&ScalarValue> {
    match argument {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn is_zero(step: &ScalarValue) -> bool {
    match step {
        ScalarValue::Int64(step) => *step == Some(0),
        ScalarValue::IntervalMonthDayNano(Some(step)) => step.months == 0 && step.days == 0 && step.nanoseconds == 0,
        _ => false,
    }
}
