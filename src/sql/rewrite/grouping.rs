//! Grouping sets: ROLLUP, CUBE and lists whose keys are numbers of items, and ROLLUP and CUBE within GROUPING SETS.
//!
//! The binder knows the number of an item as a whole key alone, and the sets of GROUPING SETS only as lists of keys.

use sqlparser::ast::{Distinct, Expr, GroupByExpr, Select, SelectItem, Value};

use super::build::{arguments_of, take, when_true};
use crate::base::error::{Error, Result};
use crate::sql::error::{located, place, too_complex};
use crate::sql::walk::own_expressions;

/// The most sets that ROLLUP and CUBE within GROUPING SETS may stand for, as in PostgreSQL.
const SETS_MAX: usize = 4096;

/// Rewrites the GROUP BY of a SELECT.
pub(super) fn select(select: &mut Select) -> Result<()> {
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return Ok(()) };
    part_equal_items(keys, &mut select.projection);
    for key in keys.iter_mut() {
        match key {
            Expr::GroupingSets(sets) => {
                let mut written_out = Vec::new();
                for set in std::mem::take(sets) {
                    written_out.extend(sets_of(set)?);
                    if written_out.len() > SETS_MAX {
                        let message = format!("more than {SETS_MAX} grouping sets");
                        return Err(too_complex(message, None, "group by fewer keys"));
                    }
                }
                *sets = written_out;
                sets.iter_mut().flatten().try_for_each(|key| item(key, &select.projection))?;
            }
            Expr::Rollup(sets) | Expr::Cube(sets) => {
                sets.iter_mut().flatten().try_for_each(|key| item(key, &select.projection))?;
            }
            Expr::Tuple(keys) => keys.iter_mut().try_for_each(|key| item(key, &select.projection))?,
            _ => {}
        }
    }
    // `GROUP BY (a, b), ..` groups by both; `GROUP BY ()` has one group, also of no rows.
    if keys.iter().any(|key| matches!(key, Expr::Tuple(_))) {
        let parted = std::mem::take(keys).into_iter().flat_map(|key| match key {
            Expr::Tuple(keys) => keys,
            key => vec![key],
        });
        *keys = parted.collect();
        if keys.is_empty() {
            keys.push(Expr::GroupingSets(vec![vec![]]));
        }
    }
    match &mut select.distinct {
        Some(Distinct::On(keys)) => keys.iter().try_for_each(|key| position(key, &select.projection)),
        _ => Ok(()),
    }
}

/// Makes two items that are counted in sets two keys, also where they are one expression: each is NULL by itself in a
/// set without it.
fn part_equal_items(keys: &[Expr], items: &mut [SelectItem]) {
    if !keys.iter().any(|key| matches!(key, Expr::GroupingSets(_) | Expr::Rollup(_) | Expr::Cube(_))) {
        return;
    }
    let mut counted: Vec<usize> = Vec::new();
    own_expressions(&keys.to_vec(), |key| counted.extend(index(key)));
    counted.sort_unstable();
    counted.dedup();
    let mut known: Vec<Expr> = Vec::new();
    for index in counted {
        let Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = items.get_mut(index) else {
            continue;
        };
        while known.contains(expr) {
            *expr = when_true(take(expr));
        }
        known.push(expr.clone());
    }
}

/// Which item a key counts.
fn index(key: &Expr) -> Option<usize> {
    match key {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse::<usize>().ok()?.checked_sub(1),
            _ => None,
        },
        _ => None,
    }
}

/// The item that a key counts, in its place.
fn item(key: &mut Expr, items: &[SelectItem]) -> Result<()> {
    let Some((number, index)) = counted(key) else { return Ok(()) };
    *key = match index.and_then(|index| Some((index, items.get(index)?))) {
        Some((index, _)) if wildcard(items).is_some_and(|wildcard| wildcard <= index) => {
            let error = Error::unsupported(format!("* hides what item {number} of the list is"));
            return Err(located(error.with_hint("name the columns"), place(&*key)));
        }
        Some((_, SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. })) => expr.clone(),
        _ => return Err(not_in_the_list(key, number, "GROUP BY")),
    };
    Ok(())
}

/// Refuses a key of DISTINCT ON that counts no item, as far as the list tells.
fn position(key: &Expr, items: &[SelectItem]) -> Result<()> {
    match counted(key) {
        // `1e0` and `1.0` are values.
        Some((number, _)) if !number.bytes().all(|digit| digit.is_ascii_digit()) => Ok(()),
        Some((number, index)) if wildcard(items).is_none() && index.is_none_or(|index| index >= items.len()) => {
            Err(not_in_the_list(key, number, "DISTINCT ON"))
        }
        _ => Ok(()),
    }
}

/// The number that a key is, and the index that it stands for.
fn counted(key: &Expr) -> Option<(&str, Option<usize>)> {
    let Expr::Value(value) = key else { return None };
    let Value::Number(number, _) = &value.value else { return None };
    Some((number, number.parse::<usize>().ok().and_then(|number| number.checked_sub(1))))
}

/// Where the list has its first `*`.
fn wildcard(items: &[SelectItem]) -> Option<usize> {
    items.iter().position(|item| {
        matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. })
    })
}

fn not_in_the_list(key: &Expr, number: &str, clause: &str) -> Error {
    let error = Error::invalid(format!("{clause} position {number} is not in the list"));
    located(error.with_sqlstate("42P10"), place(key))
}

/// The sets that an element of GROUPING SETS stands for.
fn sets_of(set: Vec<Expr>) -> Result<Vec<Vec<Expr>>> {
    let [Expr::Function(call)] = set.as_slice() else { return Ok(vec![set]) };
    let (is_rollup, arguments) = match (arguments_of(call, "rollup"), arguments_of(call, "cube")) {
        (Some(arguments), _) => (true, arguments),
        (_, Some(arguments)) => (false, arguments),
        _ => return Ok(vec![set]),
    };
    let parts: Vec<Vec<Expr>> = arguments
        .into_iter()
        .map(|argument| match argument {
            Expr::Tuple(keys) => keys,
            Expr::Nested(key) => vec![*key],
            key => vec![key],
        })
        .collect();
    if is_rollup {
        return Ok((0..=parts.len()).rev().map(|length| parts[..length].concat()).collect());
    }
    if parts.len() > SETS_MAX.ilog2() as usize {
        let message = format!("more than {SETS_MAX} grouping sets");
        return Err(too_complex(message, place(&Expr::Function(call.clone())), "group by fewer keys"));
    }
    let subset = |bits: usize| {
        let chosen = parts.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
        chosen.flat_map(|(_, part)| part).cloned().collect()
    };
    Ok((0..1_usize << parts.len()).rev().map(subset).collect())
}
