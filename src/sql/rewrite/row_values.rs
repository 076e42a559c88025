//! Rows in parentheses and arrays in ANY and ALL are compared value by value, as SQL has it.
//!
//! `(a, b) = (c, d)` is `a = c AND b = d`, `(a, b) < (c, d)` is `a < c OR a = c AND b < d`, so that NULL is unknown and
//! a key can be looked up; `x > ANY (ARRAY[a, b])` is `x > a OR x > b`, and over a computed list a function. Below us a
//! row would be one value of a struct, in which NULL equals NULL. `x IN (SELECT unnest(l))` is `x = ANY (l)`: it needs
//! no join then, wherever `l` comes from.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, Query, SelectItem,
    SetExpr, Value,
};

use super::build::{and, take, text};
use super::marker::Marker;
use sqlparser::ast::helpers::attached_token::AttachedToken;

use crate::base::error::{Error, Result};

/// Rewrites an expression whose parts are rewritten.
pub(super) fn expression(expr: &mut Expr) -> Result<()> {
    let new = match expr {
        Expr::BinaryOp { left, op, right } => match (row(left), row(right)) {
            (Some(left), Some(right)) => compared(&left, op, &right)?,
            _ => None,
        },
        Expr::InList { expr, list, negated } => in_list(expr, list, *negated)?,
        Expr::Between { expr, negated, low, high } => match (row(expr), row(low), row(high)) {
            (Some(values), Some(low), Some(high)) => {
                let from = compared(&values, &BinaryOperator::GtEq, &low)?;
                let to = compared(&values, &BinaryOperator::LtEq, &high)?;
                from.zip(to).map(|(from, to)| signed(and(nested(from), nested(to)), *negated))
            }
            _ => None,
        },
        Expr::IsNull(inner) => row(inner).map(|values| all(values.into_iter().map(|v| Expr::IsNull(v.into())))),
        Expr::IsNotNull(inner) => row(inner).map(|values| all(values.into_iter().map(|v| Expr::IsNotNull(v.into())))),
        Expr::InSubquery { expr, subquery, negated } => {
            unnested(subquery).map(|list| signed(over_items(take(expr), &BinaryOperator::Eq, list, false), *negated))
        }
        Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => like_any(expr),
        Expr::AnyOp { left, compare_op, right, .. } => over_array(left, compare_op, right, false),
        Expr::AllOp { left, compare_op, right } => over_array(left, compare_op, right, true),
        _ => None,
    };
    if let Some(new) = new {
        *expr = nested(new);
    }
    Ok(())
}

/// The values of `(a, b)` and of `ROW(a, b)`.
fn row(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(values) => Some(values.clone()),
        Expr::Nested(inner) => row(inner),
        Expr::Function(call) => {
            let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
            let FunctionArguments::List(list) = &call.args else { return None };
            if name.quote_style.is_some() || !name.value.eq_ignore_ascii_case("row") || call.over.is_some() {
                return None;
            }
            let values = list.args.iter().map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
                _ => None,
            });
            values.collect()
        }
        _ => None,
    }
}

fn compared(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Option<Expr>> {
    use BinaryOperator::{Eq, Gt, Lt, LtEq, NotEq};
    if !is_comparison(op) {
        return Ok(None);
    }
    if left.len() != right.len() || left.is_empty() {
        let (left, right) = (left.len(), right.len());
        return Err(
            Error::invalid(format!("a row of {left} values is compared with one of {right}")).with_sqlstate("42601")
        );
    }
    let pairs = || left.iter().zip(right);
    let pair = |op: &BinaryOperator, (left, right): (&Expr, &Expr)| binary(left.clone(), op.clone(), right.clone());
    Ok(Some(match op {
        Eq => all(pairs().map(|values| pair(op, values))),
        NotEq => any(pairs().map(|values| pair(op, values)).collect()),
        _ => {
            let strict = if matches!(op, Lt | LtEq) { Lt } else { Gt };
            let mut from_last = pairs().rev();
            let last = from_last.next().map(|values| pair(op, values));
            from_last
                .fold(last, |rest, values| {
                    let here = pair(&strict, values);
                    let further = rest.map(|rest| and(pair(&Eq, values), nested(rest)));
                    further.map(|further| binary(here, BinaryOperator::Or, nested(further)))
                })
                .unwrap_or_else(|| Expr::Value(Value::Boolean(true).into()))
        }
    }))
}

fn in_list(expr: &Expr, list: &[Expr], negated: bool) -> Result<Option<Expr>> {
    let Some(values) = row(expr) else { return Ok(None) };
    let Some(rows) = list.iter().map(row).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let equal = rows.iter().map(|row| compared(&values, &BinaryOperator::Eq, row));
    let equal: Option<Vec<Expr>> = equal.collect::<Result<_>>()?;
    Ok(equal.map(|equal| signed(any(equal.into_iter().map(nested).collect()), negated)))
}

/// `left op ANY (ARRAY[..])`, and ALL.
fn over_array(left: &Expr, op: &BinaryOperator, right: &Expr, is_all: bool) -> Option<Expr> {
    let array = match right {
        Expr::Nested(inner) => inner.as_ref(),
        other => other,
    };
    let array = match array {
        Expr::Subquery(query) if is_comparison(op) => {
            return unnested(query).map(|list| over_items(left.clone(), op, list, is_all));
        }
        Expr::Subquery(_) => return None,
        Expr::Array(array) if !array.elem.is_empty() => array,
        list => return over_list(left, op, list, is_all),
    };
    if !is_all && *op == BinaryOperator::Eq {
        return Some(Expr::InList { expr: Box::new(left.clone()), list: array.elem.clone(), negated: false });
    }
    let compared = array.elem.iter().map(|value| binary(left.clone(), op.clone(), value.clone()));
    Some(if is_all { all(compared) } else { any(compared.collect()) })
}

/// `left op ANY (list)` for a list that is computed, and ALL.
fn over_list(left: &Expr, op: &BinaryOperator, list: &Expr, is_all: bool) -> Option<Expr> {
    let marker = if is_all { Marker::All } else { Marker::Any };
    is_comparison(op).then(|| marker.call(vec![left.clone(), list.clone(), text(op.to_string())]))
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// The list of `SELECT unnest(list)`.
fn unnested(query: &Query) -> Option<Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let is_bare = query.with.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let [SelectItem::UnnamedExpr(Expr::Function(call)) | SelectItem::ExprWithAlias { expr: Expr::Function(call), .. }] =
        select.projection.as_slice()
    else {
        return None;
    };
    let has_clause = !select.from.is_empty() || select.selection.is_some() || select.having.is_some();
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
    if !is_bare || has_clause || select.qualify.is_some() || !name.value.eq_ignore_ascii_case("unnest") {
        return None;
    }
    let FunctionArguments::List(list) = &call.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(list))] => Some(list.clone()),
        _ => None,
    }
}

/// `left op ANY (SELECT unnest(list))`, and ALL: NULL has no items there.
fn over_items(left: Expr, op: &BinaryOperator, list: Expr, is_all: bool) -> Expr {
    let condition = Expr::IsNull(Box::new(nested(list.clone())));
    let compared = over_list(&left, op, &list, is_all);
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result: Expr::Value(Value::Boolean(is_all).into()) }],
        else_result: compared.map(Box::new),
    }
}

/// `a LIKE ANY (ARRAY[p, q])` as `a LIKE p OR a LIKE q`.
fn like_any(like: &Expr) -> Option<Expr> {
    let (Expr::Like { pattern, .. } | Expr::ILike { pattern, .. }) = like else { return None };
    let mut patterns = pattern.as_ref();
    while let Expr::Nested(inner) = patterns {
        patterns = inner;
    }
    let patterns = match patterns {
        Expr::Array(array) if !array.elem.is_empty() => &array.elem,
        Expr::Tuple(patterns) => patterns,
        _ => return None,
    };
    let each = patterns.iter().map(|given| {
        let mut one = like.clone();
        if let Expr::Like { any, pattern, .. } | Expr::ILike { any, pattern, .. } = &mut one {
            *any = false;
            **pattern = nested(given.clone());
        }
        Expr::Nested(Box::new(one))
    });
    Some(any(each.collect()))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(nested(left)), op, right: Box::new(nested(right)) }
}

fn all(exprs: impl Iterator<Item = Expr>) -> Expr {
    let whole = exprs.reduce(and);
    whole.unwrap_or_else(|| Expr::Value(Value::Boolean(true).into()))
}

/// The disjunction, as shallow as can be.
fn any(mut exprs: Vec<Expr>) -> Expr {
    match exprs.len() {
        0 => Expr::Value(Value::Boolean(false).into()),
        1 => exprs.remove(0),
        count => {
            let right = exprs.split_off(count / 2);
            let [left, right] = [any(exprs), any(right)].map(|side| Box::new(nested(side)));
            Expr::BinaryOp { left, op: BinaryOperator::Or, right }
        }
    }
}

fn signed(expr: Expr, negated: bool) -> Expr {
    if !negated {
        return expr;
    }
    Expr::UnaryOp { op: sqlparser::ast::UnaryOperator::Not, expr: Box::new(nested(expr)) }
}

fn nested(expr: Expr) -> Expr {
    match expr {
        Expr::BinaryOp { .. } | Expr::UnaryOp { .. } | Expr::InList { .. } => Expr::Nested(Box::new(expr)),
        other => other,
    }
}
