//! Rows in parentheses and arrays in ANY and ALL are compared value by value, as SQL has it.
//!
//! `(a, b) = (c, d)` is `a = c AND b = d`, `(a, b) < (c, d)` is `a < c OR a = c AND b < d`, so that NULL is unknown and
//! a key can be looked up; `x > ANY (ARRAY[a, b])` is `x > a OR x > b`, and over a computed list a function. Below us a
//! row would be one value of a struct, in which NULL equals NULL. `x IN (SELECT unnest(l))` is `x = ANY (l)`: it needs
//! no join then, wherever `l` comes from.

use std::ops::ControlFlow;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, Query, SelectItem,
    SetExpr, Value,
};

use super::build::{and, arguments_of, call, take, text};
use super::marker::Marker;
use crate::base::error::{Error, Result};
use crate::sql::error::{place, too_complex};
use crate::sql::walk::{expressions, expressions_mut};

/// What stands before the lower bound of BETWEEN SYMMETRIC, as the prefix of its value: no text has prefixed values.
pub(in crate::sql) const SYMMETRIC: &str = "SYMMETRIC";

/// Rewrites an expression whose parts are rewritten.
pub(super) fn expression(expr: &mut Expr) -> Result<()> {
    let new = match expr {
        Expr::BinaryOp { left, op, right } => match (row(left), row(right)) {
            (Some(left), Some(right)) => compared(&left, op, &right)?,
            _ => None,
        },
        Expr::InList { expr, list, negated } => in_list(expr, list, *negated)?,
        Expr::Between { expr, negated, low, high } => match low.as_ref() {
            Expr::Prefixed { prefix, value: low } if prefix.value == SYMMETRIC => {
                let ways = [between(expr, low, high)?, between(expr, high, low)?];
                Some(signed(any(ways.into_iter().map(nested).collect()), *negated))
            }
            low if row(expr).is_some() && row(low).is_some() && row(high).is_some() => {
                Some(signed(between(expr, low, high)?, *negated))
            }
            _ => None,
        },
        Expr::IsNotDistinctFrom(left, right) => not_distinct(left, right)?,
        Expr::IsDistinctFrom(left, right) => not_distinct(left, right)?.map(|same| signed(same, true)),
        Expr::IsNull(inner) => row(inner).map(|values| all(values.into_iter().map(|v| Expr::IsNull(v.into())))),
        Expr::IsNotNull(inner) => row(inner).map(|values| all(values.into_iter().map(|v| Expr::IsNotNull(v.into())))),
        Expr::InSubquery { expr, subquery, negated } => {
            unnested(subquery).map(|list| signed(over_items(take(expr), &BinaryOperator::Eq, list, false), *negated))
        }
        Expr::AnyOp { left, compare_op, right, .. } => over_array(left, compare_op, right, false),
        Expr::AllOp { left, compare_op, right } => over_array(left, compare_op, right, true),
        _ => None,
    };
    if let Some(new) = new {
        // A list says every value once.
        if !matches!(expr, Expr::InList { .. }) {
            check_size(&new)?;
        }
        *expr = nested(new);
    }
    Ok(())
}

/// Rows that are compared with nothing are structs.
pub(super) fn as_structs(query: &mut Query) -> Result<()> {
    expressions_mut(query, |expr| {
        if let Expr::Tuple(values) = expr {
            *expr = call("struct", std::mem::take(values));
        }
    });
    Ok(())
}

/// Refuses what has grown beyond measure: values that are said twice and hold values that are said twice, and so on.
pub(super) fn check_size(expr: &Expr) -> Result<()> {
    const NODES_MAX: usize = 100_000;
    let mut nodes = 0;
    let grown = expressions(expr, |_| {
        nodes += 1;
        if nodes > NODES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match grown {
        ControlFlow::Break(()) => {
            let message = "comparisons of rows are nested too deeply";
            Err(too_complex(message, place(expr), "name the inner ones in a query in FROM"))
        }
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The values of `(a, b)` and of `ROW(a, b)`.
pub(super) fn row(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(values) => Some(values.clone()),
        Expr::Nested(inner) => row(inner),
        Expr::Function(call) => arguments_of(call, "row"),
        _ => None,
    }
}

/// `left op right`, value by value, if `op` compares.
pub(super) fn compared(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Option<Expr>> {
    use BinaryOperator::{Eq, Gt, Lt, LtEq, NotEq};
    if !is_comparison(op) {
        return Ok(None);
    }
    same_width(left, right)?;
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

/// `expr BETWEEN low AND high`, of rows too.
fn between(expr: &Expr, low: &Expr, high: &Expr) -> Result<Expr> {
    let (from, to) = (BinaryOperator::GtEq, BinaryOperator::LtEq);
    if let (Some(values), Some(low), Some(high)) = (row(expr), row(low), row(high)) {
        let bounds = compared(&values, &from, &low)?.zip(compared(&values, &to, &high)?);
        if let Some((from, to)) = bounds {
            return Ok(and(nested(from), nested(to)));
        }
    }
    let [expr, low, high] = [expr, low, high].map(|expr| Box::new(expr.clone()));
    Ok(Expr::Between { expr, negated: false, low, high })
}

/// `left IS NOT DISTINCT FROM right` of rows.
fn not_distinct(left: &Expr, right: &Expr) -> Result<Option<Expr>> {
    let (Some(left), Some(right)) = (row(left), row(right)) else { return Ok(None) };
    same_width(&left, &right)?;
    let boxed = |expr: &Expr| Box::new(nested(expr.clone()));
    let pairs = left.iter().zip(&right);
    Ok(Some(all(pairs.map(|(left, right)| Expr::IsNotDistinctFrom(boxed(left), boxed(right))))))
}

fn same_width(left: &[Expr], right: &[Expr]) -> Result<()> {
    if left.len() == right.len() && !left.is_empty() {
        return Ok(());
    }
    let (left, right) = (left.len(), right.len());
    Err(Error::invalid(format!("a row of {left} values is compared with one of {right}")).with_sqlstate("42601"))
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

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(nested(left)), op, right: Box::new(nested(right)) }
}

/// The conjunction.
pub(super) fn all(exprs: impl Iterator<Item = Expr>) -> Expr {
    let whole = exprs.reduce(and);
    whole.unwrap_or_else(|| Expr::Value(Value::Boolean(true).into()))
}

/// The disjunction, as shallow as can be.
pub(super) fn any(mut exprs: Vec<Expr>) -> Expr {
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

/// The expression in parentheses, where it needs them beside an operator.
pub(super) fn nested(expr: Expr) -> Expr {
    match expr {
        Expr::BinaryOp { .. } | Expr::UnaryOp { .. } | Expr::InList { .. } | Expr::Between { .. } => {
            Expr::Nested(Box::new(expr))
        }
        other => other,
    }
}
