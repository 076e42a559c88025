//! Syntax of time as what the binder knows.
//!
//! - `ts AT TIME ZONE z` is `timezone(z, ts)`, whose type follows from that of `ts`; DataFusion would cast.
//! - An interval literal is read by our parser and handed on in one form, so that every spelling means the same here,
//!   in window frames and in arguments of table functions. An interval of an expression is a product.
//! - `(a, b) OVERLAPS (c, d)` is `overlaps(a, b, c, d)`; `age(t)` counts to today.

use std::ops::ControlFlow;

use sqlparser::ast::{self, BinaryOperator, DateTimeField, Expr, UnaryOperator, Value, VisitorMut};

use super::build::{self, argument, call};
use super::result;
use crate::base::error::{Error, Position, Result};
use crate::base::time::interval::{self, Interval, Unit};
use crate::base::time::zone::Zone;
use crate::sql::walk::walk_mut;

/// Rewrites a query in place; what cannot be read is an error with its place.
pub(super) fn rewrite(query: &mut ast::Query) -> Result<()> {
    result(walk_mut(query, &mut Rewrite))
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<Error> {
        for definition in &mut select.named_window {
            if let ast::NamedWindowExpr::WindowSpec(window) = &mut definition.1 {
                count_rows(window);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match rewritten(expr) {
            Ok(Some(new)) => *expr = new,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// `ROWS '1' PRECEDING` is a number of rows; the parser takes the text for an interval, as RANGE does.
fn count_rows(window: &mut ast::WindowSpec) {
    use ast::WindowFrameBound::{Following, Preceding};
    let Some(frame) = window.window_frame.as_mut().filter(|frame| frame.units != ast::WindowFrameUnits::Range) else {
        return;
    };
    for bound in std::iter::once(&mut frame.start_bound).chain(&mut frame.end_bound) {
        let (Preceding(Some(count)) | Following(Some(count))) = bound else { continue };
        if let Expr::Interval(interval) = count.as_ref()
            && interval.leading_field.is_none()
            && let Some((digits, _)) = literal(&interval.value)
            && digits.parse::<u64>().is_ok()
        {
            **count = Expr::Value(Value::Number(digits.to_string(), false).into());
        }
    }
}

fn rewritten(expr: &mut Expr) -> Result<Option<Expr>> {
    if let Expr::Function(ast::Function { over: Some(ast::WindowType::WindowSpec(window)), .. }) = expr {
        count_rows(window);
    }
    Ok(match expr {
        Expr::AtTimeZone { timestamp, time_zone } => {
            if let Some((name, position)) = literal(time_zone) {
                Zone::parse(name).map_err(|error| error.at(position))?;
            }
            Some(call("timezone", vec![time_zone.as_ref().clone(), timestamp.as_ref().clone()]))
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Interval(interval) => match constant(interval)? {
                Some(value) => Some(canonical(value.negated()?)),
                None => None,
            },
            _ => None,
        },
        Expr::Interval(interval) => match constant(interval)? {
            Some(value) => Some(canonical(value)),
            None => product(interval),
        },
        Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } => match (left.as_ref(), right.as_ref()) {
            (Expr::Tuple(left), Expr::Tuple(right)) if left.len() == 2 && right.len() == 2 => {
                Some(call("overlaps", [left.as_slice(), right.as_slice()].concat()))
            }
            _ => None,
        },
        Expr::Extract { field: DateTimeField::Custom(name), .. } => {
            // `extract('year' FROM t)` and `extract("year" FROM t)` are spellings of it.
            name.quote_style = None;
            None
        }
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("make_interval") => {
            if let ast::FunctionArguments::List(list) = &mut function.args {
                by_position(&mut list.args);
            }
            None
        }
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("age") => {
            if let ast::FunctionArguments::List(list) = &mut function.args
                && list.args.len() == 1
            {
                list.args.insert(0, argument(call("current_date", vec![])));
            }
            None
        }
        _ => None,
    })
}

/// The named arguments of make_interval in their places; those that are not given are zero.
fn by_position(arguments: &mut Vec<ast::FunctionArg>) {
    const NAMES: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    let place = |argument: &ast::FunctionArg| match argument {
        ast::FunctionArg::Named { name, .. } => NAMES.iter().position(|known| name.value.eq_ignore_ascii_case(known)),
        _ => None,
    };
    let first = arguments.iter().position(|argument| !matches!(argument, ast::FunctionArg::Unnamed(_)));
    let Some(first) = first.filter(|&first| arguments[first..].iter().all(|argument| place(argument).is_some())) else {
        return;
    };
    let mut placed = vec![argument(build::number(0)); NAMES.len()];
    for (at, argument) in arguments.drain(..).enumerate() {
        let at = if at < first { at } else { place(&argument).unwrap_or(at) };
        placed[at] = match argument {
            ast::FunctionArg::Named { arg, .. } => ast::FunctionArg::Unnamed(arg),
            other => other,
        };
    }
    *arguments = placed;
}

/// The text of a string literal and its place.
fn literal(expr: &Expr) -> Option<(&str, Position)> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => {
                let start = value.span.start;
                Some((text, Position { line: start.line, column: start.column }))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The interval of a literal, if it is one of a constant.
fn constant(interval: &ast::Interval) -> Result<Option<Interval>> {
    let first = interval.leading_field.as_ref().map(unit).transpose()?;
    let last = interval.last_field.as_ref().map(unit).transpose()?.or(first);
    let mut negative = false;
    let mut value = interval.value.as_ref();
    while let Expr::UnaryOp { op: UnaryOperator::Minus, expr } = value {
        (negative, value) = (!negative, expr);
    }
    let (text, position) = match value {
        Expr::Value(number) => match &number.value {
            Value::Number(digits, _) => (digits.as_str(), None),
            _ => match literal(value) {
                Some((text, position)) => (text, Some(position)),
                None => return Ok(None),
            },
        },
        _ => return Ok(None),
    };
    let at = |error: Error| match position {
        Some(position) if position.line > 0 => error.at(position),
        _ => error,
    };
    let default = last.unwrap_or(Unit::Second);
    let read = interval::parse_between(text, first.unwrap_or(default), default).map_err(at)?;
    let read = last.map_or(read, |last| cut(read, last));
    if negative { read.negated().map(Some) } else { Ok(Some(read)) }
}

fn unit(field: &DateTimeField) -> Result<Unit> {
    let name = field.to_string();
    Unit::named(&name)
        .ok_or_else(|| Error::invalid(format!("{name} is not a unit of intervals")).with_sqlstate("22023"))
}

/// The interval without what is smaller than a unit.
fn cut(value: Interval, last: Unit) -> Interval {
    match last {
        Unit::Month | Unit::Quarter => Interval { days: 0, micros: 0, ..value },
        Unit::Year | Unit::Decade | Unit::Century | Unit::Millennium => {
            Interval { months: value.months / 12 * 12, ..Default::default() }
        }
        Unit::Day | Unit::Week => Interval { micros: 0, ..value },
        unit => {
            let length = unit.micros().unwrap_or(1);
            // Fractions of a second are no field of their own.
            let length = if unit == Unit::Second { 1 } else { length };
            Interval { micros: value.micros / length * length, ..value }
        }
    }
}

/// A literal that DataFusion reads as the same interval.
fn canonical(value: Interval) -> Expr {
    let text = format!("{} months {} days {} microseconds", value.months, value.days, value.micros);
    Expr::Interval(ast::Interval {
        value: Box::new(build::text(text)),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}

/// `INTERVAL (x) DAY` as `x * INTERVAL '1 day'`.
fn product(interval: &ast::Interval) -> Option<Expr> {
    let unit = Unit::named(&interval.leading_field.as_ref()?.to_string())?;
    let one = match (unit.months(), unit.micros(), unit) {
        (Some(months), ..) => Interval { months: months as i32, ..Default::default() },
        (_, Some(micros), _) => Interval { micros, ..Default::default() },
        (.., Unit::Week) => Interval { days: 7, ..Default::default() },
        _ => Interval { days: 1, ..Default::default() },
    };
    Some(Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(Expr::Nested(interval.value.clone())),
        op: BinaryOperator::Multiply,
        right: Box::new(canonical(one)),
    })))
}
