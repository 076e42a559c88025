//! `EXCEPT ALL` and `INTERSECT ALL` as table functions over two subqueries: DataFusion gets their multiplicities wrong.
//!
//! [`Marker::ExceptAll`] and [`Marker::IntersectAll`] name them; the planner makes counts of them.

use sqlparser::ast::{self, Expr, Query, SetExpr, SetOperator, SetQuantifier};

use super::build::{argument, query_of, select_star_from};
use super::marker::Marker;
use crate::base::error::Result;

/// Rewrites the set operations of a query's body.
pub(super) fn query(query: &mut Query) -> Result<()> {
    body(&mut query.body)
}

fn body(body: &mut Box<SetExpr>) -> Result<()> {
    let SetExpr::SetOperation { left, op, set_quantifier, right } = body.as_mut() else { return Ok(()) };
    if *op == SetOperator::Minus {
        *op = SetOperator::Except;
    }
    let function = match (*op, *set_quantifier) {
        (SetOperator::Except, SetQuantifier::All) => Marker::ExceptAll,
        (SetOperator::Intersect, SetQuantifier::All) => Marker::IntersectAll,
        _ => {
            self::body(left)?;
            return self::body(right);
        }
    };
    let empty =
        || Box::new(SetExpr::Values(ast::Values { explicit_row: false, value_keyword: false, rows: Vec::new() }));
    let (left, right) = (std::mem::replace(left, empty()), std::mem::replace(right, empty()));
    let arguments = vec![argument(Expr::Subquery(query_of(left)?)), argument(Expr::Subquery(query_of(right)?))];
    *body = select_star_from(function.relation(arguments, None))?.body;
    Ok(())
}
