//! Joins in the words that the binder knows: SEMI and ANTI JOIN, and ASOF JOIN as an ordinary join.
//!
//! DuckDB's `ASOF JOIN .. ON a = b AND t >= u` has its one inequality as match condition. Either way the match
//! condition becomes one of the conditions of an inner or left join, marked by [`Marker::AsOf`]; the planner builds the
//! join from there.

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, Select, TableFactor, TableWithJoins,
};

use super::build::{and, relation_name, take, using_columns};
use super::marker::Marker;
use crate::base::error::{Error, Result};
use crate::sql::error::{located, place, syntax};

/// Rewrites the joins of a SELECT.
pub(super) fn select(select: &mut Select) -> Result<()> {
    from(&mut select.from)
}

/// Rewrites joins in parentheses.
pub(super) fn relation(factor: &mut TableFactor) -> Result<()> {
    match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => joins(table_with_joins),
        _ => Ok(()),
    }
}

/// Rewrites the joins of a FROM.
pub(super) fn from(from: &mut [TableWithJoins]) -> Result<()> {
    from.iter_mut().try_for_each(joins)
}

fn joins(table: &mut TableWithJoins) -> Result<()> {
    let mut left = Some(&table.relation);
    for join in &mut table.joins {
        match &mut join.join_operator {
            JoinOperator::AsOf { match_condition, constraint } => {
                let names = (left.and_then(relation_name), relation_name(&join.relation));
                let asof = asof(match_condition, constraint, names);
                join.join_operator = asof.map_err(|error| located(error, place(&join.relation)))?;
            }
            JoinOperator::Semi(constraint) => {
                join.join_operator = JoinOperator::LeftSemi(std::mem::replace(constraint, JoinConstraint::None));
            }
            JoinOperator::Anti(constraint) => {
                join.join_operator = JoinOperator::LeftAnti(std::mem::replace(constraint, JoinConstraint::None));
            }
            _ => {}
        }
        check_condition(join)?;
        // Of more than one relation on the left, none is the one that USING means.
        left = None;
    }
    Ok(())
}

/// A join other than CROSS JOIN says what is joined by what: without it, it would pair every row with every row.
fn check_condition(join: &Join) -> Result<()> {
    match &join.join_operator {
        JoinOperator::Join(JoinConstraint::None)
        | JoinOperator::Inner(JoinConstraint::None)
        | JoinOperator::Left(JoinConstraint::None)
        | JoinOperator::LeftOuter(JoinConstraint::None)
        | JoinOperator::Right(JoinConstraint::None)
        | JoinOperator::RightOuter(JoinConstraint::None)
        | JoinOperator::FullOuter(JoinConstraint::None)
        | JoinOperator::LeftSemi(JoinConstraint::None)
        | JoinOperator::LeftAnti(JoinConstraint::None) => {
            let error = syntax("JOIN needs a condition: ON or USING", place(&join.relation));
            Err(error.with_hint("CROSS JOIN pairs every row with every row"))
        }
        _ => Ok(()),
    }
}

/// An as-of join between relations of these names as a join ON the marked match condition and the other conditions.
fn asof(
    match_condition: &mut Expr,
    constraint: &mut JoinConstraint,
    names: (Option<Ident>, Option<Ident>),
) -> Result<JoinOperator> {
    let is_left = condition_from_on(match_condition, constraint)?;
    let marked = Marker::AsOf.call(vec![take(match_condition)]);
    let on = match std::mem::replace(constraint, JoinConstraint::None) {
        JoinConstraint::None => marked,
        JoinConstraint::On(condition) => and(marked, Expr::Nested(Box::new(condition))),
        JoinConstraint::Using(columns) => {
            let (Some(left), Some(right)) = names else {
                return Err(Error::unsupported("ASOF JOIN with USING needs one named relation on each side")
                    .with_hint("write the conditions with ON"));
            };
            using_columns(&columns).into_iter().fold(marked, |on, name| {
                let of = |relation: &Ident| Box::new(Expr::CompoundIdentifier(vec![relation.clone(), name.clone()]));
                and(on, Expr::BinaryOp { left: of(&left), op: BinaryOperator::Eq, right: of(&right) })
            })
        }
        JoinConstraint::Natural => return Err(Error::unsupported("NATURAL ASOF JOIN is not supported")),
    };
    let on = JoinConstraint::On(on);
    Ok(if is_left { JoinOperator::LeftOuter(on) } else { JoinOperator::Inner(on) })
}

/// Takes the match condition out of ON where it stands there; tells whether it is an ASOF LEFT JOIN.
fn condition_from_on(match_condition: &mut Expr, constraint: &mut JoinConstraint) -> Result<bool> {
    let is_left = match match_condition {
        Expr::Identifier(ident) => match Marker::of(ident) {
            Some(Marker::ConditionInOn) => false,
            Some(Marker::LeftConditionInOn) => true,
            _ => return Ok(false),
        },
        _ => return Ok(false),
    };
    let JoinConstraint::On(on) = std::mem::replace(constraint, JoinConstraint::None) else {
        return Err(
            Error::unsupported("ASOF JOIN with USING is not supported").with_hint("write the condition after ON")
        );
    };
    let (mut inequalities, mut others) = (Vec::new(), Vec::new());
    for part in conjunction(on) {
        if is_inequality(&part) { inequalities.push(part) } else { others.push(part) }
    }
    let (Some(inequality), true) = (inequalities.pop(), inequalities.is_empty()) else {
        let error = syntax("ASOF JOIN needs exactly one of <, <=, > and >= in its condition", None);
        return Err(error.with_hint("for example: ON l.key = r.key AND l.time >= r.time"));
    };
    *match_condition = inequality;
    *constraint = others.into_iter().reduce(and).map_or(JoinConstraint::None, JoinConstraint::On);
    Ok(is_left)
}

fn conjunction(expr: Expr) -> Vec<Expr> {
    let (mut parts, mut open) = (Vec::new(), vec![expr]);
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => open.extend([*right, *left]),
            Expr::Nested(inner) => open.push(*inner),
            other => parts.push(other),
        }
    }
    parts
}

fn is_inequality(expr: &Expr) -> bool {
    use BinaryOperator as B;
    matches!(expr, Expr::BinaryOp { op: B::Lt | B::LtEq | B::Gt | B::GtEq, .. })
}
