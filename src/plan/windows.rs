//! Time windows: TUMBLE, HOP and CUMULATE as ordinary expressions over the event time.
//!
//! A window function in FROM adds the columns `window_start` and `window_end`; windows are [start, end), aligned to
//! 1970-01-01 00:00:00 and exact for earlier times. TUMBLE is a projection; HOP and CUMULATE list the windows of each
//! row and unnest them, so that both drivers need nothing new. A row without event time gets a window of NULLs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, PrimitiveArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast, lit,
};

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::suggest::nearest;
use crate::operator::error::{from_datafusion, to_datafusion};

/// The first moment of a row's window.
pub const WINDOW_START: &str = "window_start";
/// The first moment after a row's window.
pub const WINDOW_END: &str = "window_end";

/// A way to cut time into windows; all lengths are in microseconds and positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Windows of `size` one after the other, shifted by `offset` from 1970.
    Tumble {
        /// Their length.
        size: i64,
        /// Where they begin.
        offset: i64,
    },
    /// A window of `size` every `slide`.
    Hop {
        /// From start to start.
        slide: i64,
        /// Their length.
        size: i64,
        /// Where they begin.
        offset: i64,
    },
    /// Windows that begin every `size` and grow by `step` up to `size`.
    Cumulate {
        /// From end to end.
        step: i64,
        /// The longest one.
        size: i64,
        /// Where they begin.
        offset: i64,
    },
}

/// The most windows one row may belong to.
const WINDOWS_MAX: i64 = 100_000;

impl Window {
    /// The rows of `input` with their windows by the column `time`.
    pub fn apply(self, input: LogicalPlan, time: &str) -> Result<LogicalPlan> {
        self.check()?;
        let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let time = event_time(input.schema(), time)?;
        let builder = LogicalPlanBuilder::from(input);
        let with = |mut list: Vec<Expr>, more: Vec<Expr>| {
            list.extend(more);
            list
        };
        let plan = match self {
            Window::Tumble { size, offset } => {
                let start = call(Function::Start, vec![time.clone(), lit(size), lit(offset)]).alias(WINDOW_START);
                let end = call(Function::End, vec![time, lit(size), lit(offset)]).alias(WINDOW_END);
                builder.project(with(columns, vec![start, end]))
            }
            Window::Hop { slide, size, offset } => {
                let starts =
                    call(Function::HopStarts, vec![time, lit(slide), lit(size), lit(offset)]).alias(WINDOW_START);
                let end = call(Function::Shift, vec![bare(WINDOW_START), lit(size)]).alias(WINDOW_END);
                builder
                    .project(with(columns.clone(), vec![starts]))
                    .and_then(|plan| plan.unnest_column(Column::new_unqualified(WINDOW_START)))
                    .and_then(|plan| plan.project(with(columns, vec![bare(WINDOW_START), end])))
            }
            Window::Cumulate { step, size, offset } => {
                let start = call(Function::Start, vec![time.clone(), lit(size), lit(offset)]).alias(WINDOW_START);
                let ends =
                    call(Function::CumulateEnds, vec![time, lit(step), lit(size), lit(offset)]).alias(WINDOW_END);
                builder
                    .project(with(columns, vec![start, ends]))
                    .and_then(|plan| plan.unnest_column(Column::new_unqualified(WINDOW_END)))
            }
        };
        plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
    }

    fn check(self) -> Result<()> {
        let (short, long) = match self {
            Window::Tumble { size, .. } => (size, size),
            Window::Hop { slide, size, .. } => (slide, size),
            Window::Cumulate { step, size, .. } => (step, size),
        };
        if short <= 0 || long <= 0 {
            return Err(Error::invalid("the length of a window must be positive"));
        }
        if long / short > WINDOWS_MAX {
            return Err(Error::invalid(format!("a row would belong to more than {WINDOWS_MAX} windows")));
        }
        if let Window::Cumulate { step, size, .. } = self
            && size % step != 0
        {
            return Err(Error::invalid("the size of a CUMULATE window must be a multiple of its step"));
        }
        Ok(())
    }
}

fn bare(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The event-time column in microseconds.
fn event_time(schema: &DFSchema, name: &str) -> Result<Expr> {
    let found: Vec<_> = schema.iter().filter(|(_, field)| field.name() == name).collect();
    let (qualifier, field) = match found.as_slice() {
        [one] => *one,
        [] => {
            let error = Error::new(ErrorKind::NotFound, format!("column \"{name}\" does not exist"));
            let error = error.with_sqlstate("42703");
            return Err(match nearest(name, schema.fields().iter().map(|field| field.name().as_str())) {
                Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
                None => error,
            });
        }
        _ => return Err(Error::invalid(format!("column reference \"{name}\" is ambiguous")).with_sqlstate("42702")),
    };
    let column = Expr::Column(Column::from((qualifier, field)));
    match field.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(column),
        DataType::Timestamp(_, zone) => Ok(cast(column, DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))),
        DataType::Date32 | DataType::Date64 => Ok(cast(column, DataType::Timestamp(TimeUnit::Microsecond, None))),
        other => {
            let name = crate::base::types::sql_type_name(other);
            let message = format!("the event time of a window must be a timestamp, not {name}");
            Err(Error::new(ErrorKind::Type, message))
        }
    }
}

/// A constant length of time in microseconds; months have no fixed length and are refused.
pub fn length_us(value: &ScalarValue) -> Result<i64> {
    let nanos = match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            i128::from(interval.days) * 86_400_000_000_000 + i128::from(interval.nanoseconds)
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            i128::from(interval.days) * 86_400_000_000_000 + i128::from(interval.milliseconds) * 1_000_000
        }
        ScalarValue::DurationSecond(Some(n)) => i128::from(*n) * 1_000_000_000,
        ScalarValue::DurationMillisecond(Some(n)) => i128::from(*n) * 1_000_000,
        ScalarValue::DurationMicrosecond(Some(n)) => i128::from(*n) * 1_000,
        ScalarValue::DurationNanosecond(Some(n)) => i128::from(*n),
        ScalarValue::IntervalMonthDayNano(Some(_)) | ScalarValue::IntervalYearMonth(Some(_)) => {
            let error = Error::unsupported("windows of months or years are not supported");
            return Err(error.with_hint("use days, for example INTERVAL '30 days'"));
        }
        other => {
            let error = Error::new(ErrorKind::Type, format!("the length of a window must be an INTERVAL, not {other}"));
            return Err(error.with_hint("write it as INTERVAL '1 minute'"));
        }
    };
    match i64::try_from(nanos / 1_000) {
        Ok(us) if nanos % 1_000 == 0 => Ok(us),
        Ok(_) => Err(Error::invalid("the length of a window must be whole microseconds")),
        Err(_) => Err(Error::invalid("the length of a window is out of range")),
    }
}

/// The scalar functions that window expressions are made of.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    [Function::Start, Function::End, Function::Shift, Function::HopStarts, Function::CumulateEnds]
        .into_iter()
        .map(|function| Arc::new(ScalarUDF::from(WindowFunction::new(function))))
        .collect()
}

fn call(function: Function, arguments: Vec<Expr>) -> Expr {
    ScalarUDF::from(WindowFunction::new(function)).call(arguments)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Function {
    /// (time, size, offset): the start of the window that holds time.
    Start,
    /// (time, size, offset): its end.
    End,
    /// (time, by): time + by.
    Shift,
    /// (time, slide, size, offset): the starts of all windows that hold time, ascending.
    HopStarts,
    /// (time, step, size, offset): the ends of all windows that hold time, ascending.
    CumulateEnds,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowFunction {
    function: Function,
    signature: Signature,
}

impl WindowFunction {
    fn new(function: Function) -> Self {
        WindowFunction { function, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn is_list(&self) -> bool {
        matches!(self.function, Function::HopStarts | Function::CumulateEnds)
    }
}

impl ScalarUDFImpl for WindowFunction {
    fn name(&self) -> &str {
        match self.function {
            Function::Start => "eddy_window_start",
            Function::End => "eddy_window_end",
            Function::Shift => "eddy_window_shift",
            Function::HopStarts => "eddy_hop_starts",
            Function::CumulateEnds => "eddy_cumulate_ends",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> datafusion::common::Result<Vec<DataType>> {
        let time = match types.first() {
            Some(DataType::Timestamp(_, zone)) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            _ => DataType::Timestamp(TimeUnit::Microsecond, None),
        };
        Ok(std::iter::once(time).chain(types.iter().skip(1).map(|_| DataType::Int64)).collect())
    }

    fn return_type(&self, types: &[DataType]) -> datafusion::common::Result<DataType> {
        let time = types.first().cloned().unwrap_or(DataType::Null);
        Ok(if self.is_list() { DataType::List(item(time)) } else { time })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>, _>>();
        let result = evaluate(self.function, &arrays?).map_err(to_datafusion)?;
        Ok(ColumnarValue::Array(result))
    }
}

fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, true))
}

fn evaluate(function: Function, arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let mismatch = || Error::internal(format!("{function:?} was called with wrong arguments"));
    let (time, lengths) = arguments.split_first().ok_or_else(mismatch)?;
    let times = time.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(mismatch)?;
    let length = |index: usize| -> Result<&Int64Array> {
        lengths.get(index).and_then(|array| array.as_primitive_opt()).ok_or_else(mismatch)
    };
    let zoned = |values: PrimitiveArray<TimestampMicrosecondType>| values.with_data_type(time.data_type().clone());
    match function {
        Function::Shift => {
            let by = length(0)?;
            let map = |row: usize, time: i64| time.checked_add(by.value(row)).ok_or_else(out_of_range);
            Ok(Arc::new(zoned(map_times(times, map)?)))
        }
        Function::Start | Function::End => {
            let (size, offset) = (length(0)?, length(1)?);
            let map = |row: usize, time: i64| {
                let start = floor(time, size.value(row), offset.value(row))?;
                match function {
                    Function::Start => Ok(start),
                    _ => start.checked_add(size.value(row)).ok_or_else(out_of_range),
                }
            };
            Ok(Arc::new(zoned(map_times(times, map)?)))
        }
        Function::HopStarts => {
            let (slide, size, offset) = (length(0)?, length(1)?, length(2)?);
            list(times, |row, time, starts| {
                let (slide, size) = (slide.value(row), size.value(row));
                let last = floor(time, slide, offset.value(row))?;
                let count = time.checked_sub(last).and_then(|rest| size.checked_sub(rest)).ok_or_else(out_of_range)?;
                // A window that starts k slides before the last one holds time while k * slide < size - rest.
                for back in (0..count.div_euclid(slide) + i64::from(count % slide > 0)).rev() {
                    let start = back.checked_mul(slide).and_then(|by| last.checked_sub(by)).ok_or_else(out_of_range)?;
                    starts.push(start);
                }
                Ok(())
            })
        }
        Function::CumulateEnds => {
            let (step, size, offset) = (length(0)?, length(1)?, length(2)?);
            list(times, |row, time, ends| {
                let (step, size) = (step.value(row), size.value(row));
                let start = floor(time, size, offset.value(row))?;
                let last = start.checked_add(size).ok_or_else(out_of_range)?;
                let mut end = floor(time, step, start)?.checked_add(step).ok_or_else(out_of_range)?;
                while end <= last {
                    ends.push(end);
                    end = end.checked_add(step).ok_or_else(out_of_range)?;
                }
                Ok(())
            })
        }
    }
}

/// The last multiple of `step` (plus `offset`) that is not after `time`.
fn floor(time: i64, step: i64, offset: i64) -> Result<i64> {
    if step <= 0 {
        return Err(Error::data("the length of a window must be positive"));
    }
    let shifted = time.checked_sub(offset).ok_or_else(out_of_range)?;
    time.checked_sub(shifted.rem_euclid(step)).ok_or_else(out_of_range)
}

fn out_of_range() -> Error {
    Error::data("window is out of the range of timestamps").with_sqlstate("22008")
}

fn map_times(
    times: &PrimitiveArray<TimestampMicrosecondType>,
    map: impl Fn(usize, i64) -> Result<i64>,
) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    let values = (0..times.len())
        .map(|row| if times.is_null(row) { Ok(0) } else { map(row, times.value(row)) })
        .collect::<Result<ScalarBuffer<i64>>>()?;
    Ok(PrimitiveArray::new(values, times.nulls().cloned()))
}

fn list(
    times: &PrimitiveArray<TimestampMicrosecondType>,
    fill: impl Fn(usize, i64, &mut Vec<i64>) -> Result<()>,
) -> Result<ArrayRef> {
    let mut values = Vec::new();
    let mut lengths = Vec::with_capacity(times.len());
    for row in 0..times.len() {
        let before = values.len();
        if times.is_valid(row) {
            fill(row, times.value(row), &mut values)?;
        }
        lengths.push(values.len() - before);
    }
    if values.len() > i32::MAX as usize {
        return Err(Error::new(ErrorKind::Resource, "too many windows for one batch"));
    }
    let values = PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(values);
    let values = values.with_data_type(times.data_type().clone());
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(
        item(times.data_type().clone()),
        offsets,
        Arc::new(values),
        times.nulls().cloned(),
    )?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(values: &[i64]) -> ArrayRef {
        Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(values.iter().copied()))
    }

    fn lengths(value: i64, rows: usize) -> ArrayRef {
        Arc::new(Int64Array::from(vec![value; rows]))
    }

    fn windows(function: Function, time: i64, a: i64, b: i64) -> Vec<i64> {
        let result = evaluate(function, &[times(&[time]), lengths(a, 1), lengths(b, 1), lengths(0, 1)])
            .expect("valid arguments");
        match result.data_type() {
            DataType::List(_) => {
                result.as_list::<i32>().value(0).as_primitive::<TimestampMicrosecondType>().values().to_vec()
            }
            _ => result.as_primitive::<TimestampMicrosecondType>().values().to_vec(),
        }
    }

    #[test]
    fn tumbling_windows_are_aligned_also_before_1970() {
        for (time, start) in [(0, 0), (9, 0), (10, 10), (-1, -10), (-10, -10), (-11, -20)] {
            assert_eq!(windows(Function::Start, time, 10, 0), vec![start]);
            assert_eq!(windows(Function::End, time, 10, 0), vec![start + 10]);
        }
        assert_eq!(windows(Function::Start, 12, 10, 3), vec![3]);
    }

    #[test]
    fn hopping_windows_hold_their_row() {
        assert_eq!(windows(Function::HopStarts, 7, 5, 10), vec![0, 5]);
        assert_eq!(windows(Function::HopStarts, -1, 5, 10), vec![-10, -5]);
        assert_eq!(windows(Function::HopStarts, 10, 4, 10), vec![4, 8]);
        assert_eq!(windows(Function::HopStarts, 12, 4, 10), vec![4, 8, 12]);
        // Windows with gaps between them: some rows belong to none.
        assert_eq!(windows(Function::HopStarts, 7, 10, 5), Vec::<i64>::new());
    }

    #[test]
    fn cumulating_windows_grow() {
        assert_eq!(windows(Function::CumulateEnds, 3, 5, 15), vec![5, 10, 15]);
        assert_eq!(windows(Function::CumulateEnds, 12, 5, 15), vec![15]);
        assert_eq!(windows(Function::CumulateEnds, -1, 5, 15), vec![0]);
    }
}
