//! `+`, `-`, `*` and `/` with operands of time.
//!
//! A DATE plus an INTERVAL is a TIMESTAMP, a DATE plus an integer a DATE; dates differ by days, timestamps by an
//! INTERVAL of days and time. Months are added first and end where the month ends, then days, then time. In a
//! TIMESTAMPTZ months and days are those of the clocks of the session's zone, so that a day may have 23 hours; hours
//! are always hours.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{
    DataType, Date32Type, Int32Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, binary_expr, cast};
use sqlparser::ast::BinaryOperator;

use crate::base::error::Result;
use crate::base::time::DAY;
use crate::base::time::calendar::{add_months, split};
use crate::base::time::interval::Interval;
use crate::base::time::kind::{DATE, INTERVAL, Kind, TIME, TIMESTAMP, timestamptz, type_of};
use crate::base::time::out_of_range;
use crate::base::time::zone::Zone;
use crate::operator::error::to_datafusion;
use crate::plan::time::fields;
use crate::plan::time::function::{Call, Definition, Literals, TimeFunction, call, function, interval};

static PLUS: Definition =
    Definition { name: "+", aliases: &[], takes: plus_takes, gives: plus_gives, zoned: true, evaluate: plus };

static MINUS: Definition =
    Definition { name: "-", aliases: &[], takes: minus_takes, gives: minus_gives, zoned: true, evaluate: minus };

static TIMES: Definition =
    Definition { name: "*", aliases: &[], takes: times_takes, gives: gives_interval, zoned: false, evaluate: times };

static OVER: Definition =
    Definition { name: "/", aliases: &[], takes: over_takes, gives: gives_interval, zoned: false, evaluate: over };

/// The sign before an interval.
pub(crate) static NEGATED: Definition = Definition {
    name: "-",
    aliases: &[],
    takes: |types| (types.len() == 1).then(|| vec![INTERVAL]),
    gives: gives_interval,
    zoned: false,
    evaluate: |call| {
        let values = call.intervals(0)?;
        call.collect::<IntervalMonthDayNanoType>(|row| match values.is_valid(row) {
            true => interval(&values, row).negated()?.to_arrow().map(Some),
            false => Ok(None),
        })
    },
};

fn gives_interval(_types: &[DataType], _literals: Literals<'_>) -> DataType {
    INTERVAL
}

/// Plans operators of time and EXTRACT before DataFusion does.
#[derive(Debug)]
pub(crate) struct TimeOperators;

impl ExprPlanner for TimeOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> DataFusionResult<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        let operator = match op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Eq => return Ok(compared(Operator::Eq, op, left, right, schema)),
            BinaryOperator::NotEq => return Ok(compared(Operator::NotEq, op, left, right, schema)),
            BinaryOperator::Lt => return Ok(compared(Operator::Lt, op, left, right, schema)),
            BinaryOperator::LtEq => return Ok(compared(Operator::LtEq, op, left, right, schema)),
            BinaryOperator::Gt => return Ok(compared(Operator::Gt, op, left, right, schema)),
            BinaryOperator::GtEq => return Ok(compared(Operator::GtEq, op, left, right, schema)),
            _ => return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
        };
        Ok(match plan_operator(left, operator, right, schema)? {
            Ok(planned) => PlannerResult::Planned(planned),
            Err((left, right)) => PlannerResult::Original(RawBinaryExpr { op, left: *left, right: *right }),
        })
    }

    fn plan_extract(&self, args: Vec<Expr>) -> DataFusionResult<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call(fields::EXTRACT, args)))
    }
}

/// A comparison of an interval with a text literal, which DataFusion does not take for an interval.
fn compared(
    operator: Operator,
    op: BinaryOperator,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> PlannerResult<RawBinaryExpr> {
    let (left, right) = match (is_text(&left), is_text(&right)) {
        (true, false) if is_interval(&right, schema) => (cast(left, INTERVAL), right),
        (false, true) if is_interval(&left, schema) => (left, cast(right, INTERVAL)),
        _ => return PlannerResult::Original(RawBinaryExpr { op, left, right }),
    };
    PlannerResult::Planned(binary_expr(left, operator, right))
}

/// Whether an expression is a text literal.
pub(crate) fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.try_as_str().is_some())
}

/// Whether an expression is surely an interval.
pub(crate) fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    quick_kind(expr, schema) == Some(Kind::Interval)
}

/// The operands of an operator that is none of time.
pub(crate) type Operands = (Box<Expr>, Box<Expr>);

/// The call that an operator stands for where an operand is of time; else the operands as they were.
pub(crate) fn plan_operator(
    left: Expr,
    operator: Operator,
    right: Expr,
    schema: &DFSchema,
) -> DataFusionResult<std::result::Result<Expr, Operands>> {
    let definition = match operator {
        Operator::Plus => &PLUS,
        Operator::Minus => &MINUS,
        Operator::Multiply => &TIMES,
        Operator::Divide => &OVER,
        _ => return Ok(Err((Box::new(left), Box::new(right)))),
    };
    let (left_kind, right_kind) = (quick_kind(&left, schema), quick_kind(&right, schema));
    let is_time = |kind: Option<Kind>| kind.is_some_and(Kind::is_time);
    if !is_time(left_kind) && !is_time(right_kind) {
        return Ok(Err((Box::new(left), Box::new(right))));
    }
    // What is subtracted from a time may be a time or an interval, which is told when its value is known.
    if operator == Operator::Minus && (is_parameter(&left) || is_parameter(&right)) {
        return Ok(Err((Box::new(left), Box::new(right))));
    }
    let (left, right) = match (is_time(left_kind), is_time(right_kind)) {
        (true, false) => {
            let right = as_operand(right, definition.name, left_kind);
            (left, right)
        }
        (false, true) => (as_operand(left, definition.name, right_kind), right),
        _ => (left, right),
    };
    let types = [left.get_type(schema)?, right.get_type(schema)?];
    if (definition.takes)(&types).is_none() {
        // A column that is NULL in the first part of a union has a type once its other parts are known.
        if types.iter().any(DataType::is_null) {
            return Ok(Err((Box::new(left), Box::new(right))));
        }
        let operator = function(definition);
        if let Some(operator) = operator.inner().downcast_ref::<TimeFunction>() {
            return Err(to_datafusion(operator.not_taken(&types)));
        }
    }
    Ok(Ok(call(definition, vec![left, right])))
}

/// A literal text or NULL beside an operand of time, in the type that PostgreSQL takes it for: an interval, or what
/// the other operand is where that is subtracted.
fn as_operand(expr: Expr, operator: &str, other: Option<Kind>) -> Expr {
    let is_open = match &expr {
        Expr::Literal(value, _) => value.is_null() || value.try_as_str().is_some(),
        other => is_parameter(other),
    };
    let kind = match (operator, other) {
        (_, None) => return expr,
        ("+", Some(Kind::Date)) if is_parameter(&expr) => Kind::Integer,
        ("+", Some(_)) => Kind::Interval,
        ("-", Some(other)) => other,
        (_, Some(_)) => Kind::Double,
    };
    if is_open { cast(expr, type_of(kind)) } else { expr }
}

/// Whether an expression is a parameter whose type nothing tells yet.
fn is_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(placeholder) if placeholder.field.is_none())
}

/// The kind of an operand; none where it is surely no time, which is told without looking into long sums.
fn quick_kind(expr: &Expr, schema: &DFSchema) -> Option<Kind> {
    match expr {
        // What is of time has become a call.
        Expr::BinaryExpr(_) => None,
        Expr::Literal(value, _) => Some(Kind::of(&value.data_type())),
        other => other.get_type(schema).ok().map(|data_type| Kind::of(&data_type)),
    }
}

fn kinds(types: &[DataType]) -> Option<(Kind, Kind)> {
    match types {
        [left, right] => Some((Kind::of(left), Kind::of(right))),
        _ => None,
    }
}

fn plus_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    use Kind::{Date, Integer, Interval, Time, Timestamp, TimestampTz};
    let pair = |left: Kind, right: Kind| Some(vec![type_of(left), type_of(right)]);
    match kinds(types)? {
        (Date, Integer) | (Integer, Date) => Some(types.iter().map(|one| type_of(Kind::of(one))).collect()),
        (Date, right @ (Interval | Time)) => pair(Timestamp, right),
        (left @ (Interval | Time), Date) => pair(left, Timestamp),
        (left @ (Timestamp | TimestampTz), right @ (Interval | Time)) => pair(left, right),
        (left @ (Interval | Time), right @ (Timestamp | TimestampTz)) => pair(left, right),
        (Time, Interval) => pair(Time, Interval),
        (Interval, Time) => pair(Interval, Time),
        (Interval, Interval) => pair(Interval, Interval),
        _ => None,
    }
}

fn plus_gives(types: &[DataType], _literals: Literals<'_>) -> DataType {
    match kinds(types) {
        Some((Kind::Date, _) | (_, Kind::Date)) => DATE,
        Some((Kind::TimestampTz, _) | (_, Kind::TimestampTz)) => timestamptz(),
        Some((Kind::Timestamp, _) | (_, Kind::Timestamp)) => TIMESTAMP,
        Some((Kind::Time, _) | (_, Kind::Time)) => TIME,
        _ => INTERVAL,
    }
}

fn minus_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    use Kind::{Date, Integer, Interval, Time, Timestamp, TimestampTz};
    let pair = |left: Kind, right: Kind| Some(vec![type_of(left), type_of(right)]);
    match kinds(types)? {
        (Date, Integer) => pair(Date, Integer),
        (Date, Date) => pair(Date, Date),
        (Date, right @ (Interval | Time)) => pair(Timestamp, right),
        (Date | Timestamp | TimestampTz, TimestampTz) | (TimestampTz, Date | Timestamp) => {
            pair(TimestampTz, TimestampTz)
        }
        (Date | Timestamp, Timestamp) | (Timestamp, Date) => pair(Timestamp, Timestamp),
        (left @ (Timestamp | TimestampTz), right @ (Interval | Time)) => pair(left, right),
        (Time, Time) => pair(Time, Time),
        (Time, Interval) => pair(Time, Interval),
        (Interval, right @ (Interval | Time)) => pair(Interval, right),
        _ => None,
    }
}

fn minus_gives(types: &[DataType], _literals: Literals<'_>) -> DataType {
    match kinds(types) {
        Some((Kind::Date, Kind::Date)) => DataType::Int32,
        Some((left, right)) if left == right => INTERVAL,
        Some((Kind::Interval, _)) => INTERVAL,
        Some((left, _)) => type_of(left),
        None => INTERVAL,
    }
}

fn times_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    match kinds(types)? {
        (Kind::Interval, number) if number.is_number() => Some(vec![INTERVAL, DataType::Float64]),
        (number, Kind::Interval) if number.is_number() => Some(vec![DataType::Float64, INTERVAL]),
        _ => None,
    }
}

fn over_takes(types: &[DataType]) -> Option<Vec<DataType>> {
    match kinds(types)? {
        (Kind::Interval, number) if number.is_number() => Some(vec![INTERVAL, DataType::Float64]),
        _ => None,
    }
}

fn plus(call: &Call<'_>) -> Result<ArrayRef> {
    match (call.kind(0), call.kind(1)) {
        (Kind::Date, _) => add_days(call, 0, 1, 1),
        (_, Kind::Date) => add_days(call, 1, 0, 1),
        (Kind::Interval, Kind::Interval) => intervals(call, |left, right| left.plus(right)),
        // Of a time and a timestamp it is the time that is added.
        (Kind::Interval, _) | (Kind::Time, Kind::Timestamp | Kind::TimestampTz) => add_interval(call, 1, 0, false),
        _ => add_interval(call, 0, 1, false),
    }
}

fn minus(call: &Call<'_>) -> Result<ArrayRef> {
    match (call.kind(0), call.kind(1)) {
        (Kind::Date, Kind::Date) => {
            let (left, right) = (call.dates(0)?, call.dates(1)?);
            call.collect::<Int32Type>(|row| match left.is_valid(row) && right.is_valid(row) {
                true => left.value(row).checked_sub(right.value(row)).map(Some).ok_or_else(|| out_of_range("integer")),
                false => Ok(None),
            })
        }
        (Kind::Date, _) => add_days(call, 0, 1, -1),
        (Kind::Interval, _) => intervals(call, |left, right| left.plus(right.negated()?)),
        (Kind::Time, Kind::Time) => {
            let (left, right) = (call.times(0)?, call.times(1)?);
            call.collect::<IntervalMonthDayNanoType>(|row| match left.is_valid(row) && right.is_valid(row) {
                true => Interval::new(0, 0, i128::from(left.value(row) - right.value(row)))?.to_arrow().map(Some),
                false => Ok(None),
            })
        }
        (_, Kind::Interval | Kind::Time) => add_interval(call, 0, 1, true),
        _ => {
            let (left, right) = (call.timestamps(0)?, call.timestamps(1)?);
            call.collect::<IntervalMonthDayNanoType>(|row| match left.is_valid(row) && right.is_valid(row) {
                true => difference(left.value(row), right.value(row))?.to_arrow().map(Some),
                false => Ok(None),
            })
        }
    }
}

/// The interval between two timestamps: whole days of 24 hours, and time.
pub(crate) fn difference(left: i64, right: i64) -> Result<Interval> {
    let micros = i128::from(left) - i128::from(right);
    Interval::new(0, micros / i128::from(DAY), micros % i128::from(DAY))
}

fn times(call: &Call<'_>) -> Result<ArrayRef> {
    let (at, number) = if call.kind(0) == Kind::Interval { (0, 1) } else { (1, 0) };
    scaled(call, at, number, Interval::times)
}

fn over(call: &Call<'_>) -> Result<ArrayRef> {
    scaled(call, 0, 1, Interval::divided_by)
}

fn scaled(
    call: &Call<'_>,
    at: usize,
    number: usize,
    scale: impl Fn(Interval, f64) -> Result<Interval>,
) -> Result<ArrayRef> {
    let (values, numbers) = (call.intervals(at)?, call.doubles(number)?);
    call.collect::<IntervalMonthDayNanoType>(|row| match values.is_valid(row) && numbers.is_valid(row) {
        true => scale(interval(&values, row), numbers.value(row))?.to_arrow().map(Some),
        false => Ok(None),
    })
}

fn intervals(call: &Call<'_>, combine: impl Fn(Interval, Interval) -> Result<Interval>) -> Result<ArrayRef> {
    let (left, right) = (call.intervals(0)?, call.intervals(1)?);
    call.collect::<IntervalMonthDayNanoType>(|row| match left.is_valid(row) && right.is_valid(row) {
        true => combine(interval(&left, row), interval(&right, row))?.to_arrow().map(Some),
        false => Ok(None),
    })
}

fn add_days(call: &Call<'_>, date: usize, number: usize, sign: i64) -> Result<ArrayRef> {
    let (dates, numbers) = (call.dates(date)?, call.integers(number)?);
    call.collect::<Date32Type>(|row| {
        if dates.is_null(row) || numbers.is_null(row) {
            return Ok(None);
        }
        let days = numbers.value(row).checked_mul(sign).and_then(|days| days.checked_add(dates.value(row).into()));
        days.and_then(|days| i32::try_from(days).ok()).map(Some).ok_or_else(|| out_of_range("date"))
    })
}

/// A time of day, timestamp or instant moved by an interval.
fn add_interval(call: &Call<'_>, at: usize, by: usize, backwards: bool) -> Result<ArrayRef> {
    let values = call.intervals(by)?;
    let step = |row: usize| if backwards { interval(&values, row).negated() } else { Ok(interval(&values, row)) };
    if call.kind(at) == Kind::Time {
        let times = call.times(at)?;
        return call.collect::<Time64MicrosecondType>(|row| match times.is_valid(row) && values.is_valid(row) {
            true => Ok(Some((times.value(row) % DAY + step(row)?.micros % DAY).rem_euclid(DAY))),
            false => Ok(None),
        });
    }
    let zone = (call.kind(at) == Kind::TimestampTz).then_some(call.zone);
    let timestamps = call.timestamps(at)?;
    call.collect::<TimestampMicrosecondType>(|row| match timestamps.is_valid(row) && values.is_valid(row) {
        true => moved(timestamps.value(row), step(row)?, zone.as_ref()).map(Some),
        false => Ok(None),
    })
}

/// A timestamp moved by an interval; months and days on the clocks of a zone, where there is one.
pub(crate) fn moved(micros: i64, interval: Interval, zone: Option<&Zone>) -> Result<i64> {
    let shift = || {
        if interval.months == 0 && interval.days == 0 {
            return micros.checked_add(interval.micros);
        }
        let local = zone.map_or(Some(micros), |zone| zone.to_local(micros))?;
        let (mut day, time) = split(local);
        if interval.months != 0 {
            day = add_months(day, interval.months.into());
        }
        let local = day.checked_add(interval.days.into())?.checked_mul(DAY)?.checked_add(time)?;
        zone.map_or(Some(local), |zone| zone.to_utc(local))?.checked_add(interval.micros)
    };
    shift().ok_or_else(|| out_of_range("timestamp"))
}
