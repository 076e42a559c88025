//! Functions and fields under one spelling.
//!
//! All clock functions are `now()`, cast where they give less than a moment; `count()` is `count(*)`, `mod(a, b)` is
//! `a % b`, `list_first(l)` is `l[1]`, a field of an expression is taken by its text, and a slice has both bounds. A
//! number that an aggregate is ordered by is a constant.

use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    Spanned, Subscript, TimezoneInfo, UnaryOperator, Value,
};

use super::build::{call, call_at, cast, number, take};
use crate::base::error::Result;
use crate::sql::name::normal;

/// Rewrites an expression whose parts are rewritten.
pub(super) fn expression(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Function(call) => {
            constant_keys(&mut call.args);
            function(expr);
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            fields_by_text(root, access_chain);
            access_chain.iter_mut().for_each(bounds_of_slice);
        }
        _ => {}
    }
    Ok(())
}

/// A number in the ORDER BY of an aggregate is a constant; bare, the binder takes it for the place of a column.
fn constant_keys(args: &mut FunctionArguments) {
    let FunctionArguments::List(list) = args else { return };
    for clause in &mut list.clauses {
        let FunctionArgumentClause::OrderBy(keys) = clause else { continue };
        for key in keys.iter_mut().filter(|key| matches!(key.expr, Expr::Value(_))) {
            key.expr = Expr::Nested(Box::new(take(&mut key.expr)));
        }
    }
}

fn function(expr: &mut Expr) {
    let Expr::Function(function) = expr else { return };
    let [ast::ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return };
    if name.quote_style.is_some() {
        return;
    }
    let name = name.value.to_ascii_lowercase();
    if name == "mod" {
        if let FunctionArguments::List(list) = &mut function.args
            && let [
                FunctionArg::Unnamed(FunctionArgExpr::Expr(left)),
                FunctionArg::Unnamed(FunctionArgExpr::Expr(right)),
            ] = list.args.as_mut_slice()
        {
            let [left, right] = [left, right].map(|side| Box::new(Expr::Nested(Box::new(take(side)))));
            *expr = Expr::BinaryOp { left, op: BinaryOperator::Modulo, right };
        }
        return;
    }
    if name == "log" {
        return logarithm(function);
    }
    if name == "count" {
        if let FunctionArguments::List(list) = &mut function.args
            && list.args.is_empty()
        {
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
        }
        return;
    }
    if let "list_first" | "list_last" = name.as_str() {
        if let FunctionArguments::List(list) = &mut function.args
            && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(items))] = list.args.as_mut_slice()
        {
            let place = number(1);
            let place = match name.as_str() {
                "list_first" => place,
                _ => Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(place) },
            };
            *expr = call("array_element", vec![take(items), place]);
        }
        return;
    }
    let data_type = match name.as_str() {
        "now"
        | "current_timestamp"
        | "transaction_timestamp"
        | "statement_timestamp"
        | "clock_timestamp"
        | "get_current_timestamp" => None,
        "localtimestamp" => Some(ast::DataType::Timestamp(None, TimezoneInfo::None)),
        "current_date" | "today" => Some(ast::DataType::Date),
        "current_time" | "localtime" => Some(ast::DataType::Time(None, TimezoneInfo::None)),
        _ => return,
    };
    if !takes_precision_alone(&function.args) || function.over.is_some() {
        return;
    }
    let now = call_at("now", function.span(), vec![]);
    *expr = match data_type {
        None => now,
        Some(data_type) => cast(now, data_type),
    };
}

/// `log(x)` is `log10(x)`, which is exact for powers of ten.
fn logarithm(function: &mut ast::Function) {
    if let FunctionArguments::List(list) = &function.args
        && list.args.len() == 1
        && let [ast::ObjectNamePart::Identifier(name)] = function.name.0.as_mut_slice()
    {
        name.value = "log10".to_string();
    }
}

/// No arguments, or one number as in `current_timestamp(3)`.
fn takes_precision_alone(args: &FunctionArguments) -> bool {
    match args {
        FunctionArguments::None => true,
        FunctionArguments::Subquery(_) => false,
        FunctionArguments::List(list) => match list.args.as_slice() {
            [] => true,
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => {
                matches!(value.value, Value::Number(..))
            }
            _ => false,
        },
    }
}

/// `(r).b` as `(r)['b']`; dots behind a bare name may lead from a relation to its column and stay.
fn fields_by_text(root: &Expr, chain: &mut [AccessExpr]) {
    let dots = chain.iter().take_while(|access| matches!(access, AccessExpr::Dot(_))).count();
    let skipped = if matches!(root, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) { dots } else { 0 };
    for access in chain.iter_mut().skip(skipped) {
        if let AccessExpr::Dot(Expr::Identifier(field)) = access {
            let text = Value::SingleQuotedString(normal(field)).with_span(field.span);
            *access = AccessExpr::Subscript(Subscript::Index { index: Expr::Value(text) });
        }
    }
}

/// `l[:2]` as `l[1:2]`, `l[2:]` as `l[2:-1]`: a place from the end is a negative one.
fn bounds_of_slice(access: &mut AccessExpr) {
    let AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) = access else { return };
    lower_bound.get_or_insert_with(|| number(1));
    let last = || Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number(1)) };
    upper_bound.get_or_insert_with(last);
}
