//! TUMBLE, HOP, CUMULATE and SESSION: every spelling becomes one positional form.
//!
//! ```text
//! tumble((SELECT * FROM relation), 'time column', size [, offset])
//! hop((SELECT * FROM relation), 'time column', slide, size [, offset])
//! cumulate((SELECT * FROM relation), 'time column', step, size [, offset])
//! session((SELECT * FROM relation), 'time column', gap [, 'key column', ...])
//! ```
//!
//! Accepted are a relation's name, a file, a table function or a subquery in front; the time column as a name, a
//! string or Flink's `DESCRIPTOR(ts)`; named arguments with `=>`; and Flink's `TABLE(TUMBLE(...))` around it.

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Spanned, TableAlias, TableFactor, Value,
    ValueWithSpan,
};
use sqlparser::tokenizer::Span;

use super::build::{argument, relation as named, select_star_from, table_function};
use crate::base::error::Result;
use crate::sql::error::{position, syntax};
use crate::sql::name::normal;

/// A window function: its name and its parameters after relation and time column, `offset` and `key` being optional.
struct WindowFunction {
    name: &'static str,
    parameters: &'static [&'static str],
}

const FUNCTIONS: &[WindowFunction] = &[
    WindowFunction { name: "tumble", parameters: &["size", "offset"] },
    WindowFunction { name: "hop", parameters: &["slide", "size", "offset"] },
    WindowFunction { name: "cumulate", parameters: &["step", "size", "offset"] },
    WindowFunction { name: "session", parameters: &["gap", "key"] },
];

const RELATION: usize = 0;
const TIME: usize = 1;

/// Rewrites a call of a window function in FROM; leaves all else alone.
pub(super) fn relation(factor: &mut TableFactor) -> Result<()> {
    match factor {
        TableFactor::Table { name, args: Some(args), alias, .. } => {
            if let Some(function) = find(name) {
                *factor = call(function, std::mem::take(&mut args.args), name.span(), alias.take())?;
            }
        }
        TableFactor::TableFunction { expr: Expr::Function(inner), alias } => {
            if let Some(function) = find(&inner.name)
                && let FunctionArguments::List(list) = &mut inner.args
            {
                *factor = call(function, std::mem::take(&mut list.args), inner.name.span(), alias.take())?;
            } else if let FunctionArguments::List(list) = &mut inner.args {
                // `TABLE(f(...))` is `f(...)`.
                let args = std::mem::take(&mut list.args);
                *factor = table_function(inner.name.clone(), args, alias.take());
            }
        }
        _ => {}
    }
    Ok(())
}

fn find(name: &ObjectName) -> Option<&'static WindowFunction> {
    let [part] = name.0.as_slice() else { return None };
    let name = normal(part.as_ident()?);
    FUNCTIONS.iter().find(|function| function.name == name)
}

fn call(
    function: &WindowFunction,
    args: Vec<FunctionArg>,
    span: Span,
    alias: Option<TableAlias>,
) -> Result<TableFactor> {
    let mut slots: Vec<Option<Expr>> = vec![None; 2 + function.parameters.len()];
    for (place, arg) in args.into_iter().enumerate() {
        // To find the place of a subquery means to walk all of it.
        let is_subquery = matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Subquery(_))));
        let arg_at =
            if is_subquery { position(span.start) } else { position(arg.span().start).or(position(span.start)) };
        let (slot, value) = match arg {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                let name = normal(&name);
                let Some(slot) = slot(function, &name) else {
                    let error = syntax(&format!("{} has no argument \"{name}\"", shout(function)), arg_at);
                    return Err(error.with_hint(usage(function)));
                };
                (slot, value)
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (place, value),
            _ => {
                return Err(
                    syntax(&format!("not an argument of {}", shout(function)), arg_at).with_hint(usage(function))
                );
            }
        };
        match slots.get_mut(slot) {
            Some(empty @ None) => *empty = Some(value),
            Some(_) => {
                let error = syntax(&format!("an argument of {} is given twice", shout(function)), arg_at);
                return Err(error.with_hint(usage(function)));
            }
            None => {
                let error = syntax(&format!("too many arguments for {}", shout(function)), arg_at);
                return Err(error.with_hint(usage(function)));
            }
        }
    }
    let name = Ident::with_span(span, function.name);
    Ok(table_function(vec![name].into(), arguments(function, slots, span)?, alias))
}

/// The slot of a named argument.
fn slot(function: &WindowFunction, name: &str) -> Option<usize> {
    match name {
        "relation" | "rel" | "data" | "table" | "input" | "source" => Some(RELATION),
        "ts" | "time" | "timecol" | "time_column" | "timestamp" => Some(TIME),
        _ => function.parameters.iter().position(|parameter| *parameter == name).map(|at| at + 2),
    }
}

fn arguments(function: &WindowFunction, slots: Vec<Option<Expr>>, span: Span) -> Result<Vec<FunctionArg>> {
    let mut output = Vec::new();
    for (slot, value) in slots.into_iter().enumerate() {
        let parameter = slot.checked_sub(2).and_then(|at| function.parameters.get(at)).copied().unwrap_or_default();
        match (slot, parameter, value) {
            (RELATION, _, Some(value)) => output.push(argument(subquery(value)?)),
            (TIME, _, Some(value)) => output.push(argument(column(value)?)),
            (_, "key", Some(value)) => {
                for key in keys(value) {
                    output.push(argument(column(key)?));
                }
            }
            (_, _, Some(value)) => output.push(argument(value)),
            (_, "offset" | "key", None) => {}
            (_, _, None) => {
                let error = syntax(&format!("too few arguments for {}", shout(function)), position(span.start));
                return Err(error.with_hint(usage(function)));
            }
        }
    }
    Ok(output)
}

/// The relation as a subquery.
fn subquery(value: Expr) -> Result<Expr> {
    if matches!(value, Expr::Subquery(_)) {
        return Ok(value);
    }
    let span = value.span();
    let factor = match value {
        Expr::Nested(inner) => return subquery(*inner),
        Expr::Identifier(name) => named(vec![name].into()),
        Expr::CompoundIdentifier(parts) => named(parts.into()),
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(path), span }) => {
            named(vec![Ident::with_quote_and_span('\'', span, path)].into())
        }
        Expr::Function(function) => match function.args {
            FunctionArguments::List(list) => table_function(function.name, list.args, None),
            _ => return Err(syntax("expected a relation or a subquery", position(span.start))),
        },
        _ => return Err(syntax("expected a relation or a subquery", position(span.start))),
    };
    Ok(Expr::Subquery(select_star_from(factor)?))
}

/// A column's name as a string.
fn column(value: Expr) -> Result<Expr> {
    let span = value.span();
    let name = match value {
        Expr::Identifier(name) => normal(&name),
        Expr::CompoundIdentifier(parts) => parts.last().map(normal).unwrap_or_default(),
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(name), .. }) => name,
        Expr::Nested(inner) => return column(*inner),
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("descriptor") => {
            return match function.args {
                FunctionArguments::List(list) if list.args.len() == 1 => match list.args.into_iter().next() {
                    Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))) => column(inner),
                    _ => Err(syntax("DESCRIPTOR names one column", position(span.start))),
                },
                _ => Err(syntax("DESCRIPTOR names one column", position(span.start))),
            };
        }
        _ => return Err(syntax("expected the name of a column", position(span.start))),
    };
    Ok(Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(name), span }))
}

/// One key or several: `a`, `(a, b)`, `[a, b]`.
fn keys(value: Expr) -> Vec<Expr> {
    match value {
        Expr::Tuple(keys) => keys,
        Expr::Array(array) => array.elem,
        other => vec![other],
    }
}

fn shout(function: &WindowFunction) -> String {
    function.name.to_uppercase()
}

fn usage(function: &WindowFunction) -> String {
    let parameters: Vec<String> = function
        .parameters
        .iter()
        .map(|parameter| match *parameter {
            "offset" => "[offset]".to_string(),
            "key" => "[key => column]".to_string(),
            parameter => parameter.to_string(),
        })
        .collect();
    format!("write {}(relation, time column, {})", shout(function), parameters.join(", "))
}
