//! A recursive query has the types of its first branch. A decimal literal there is a start, not a measure of what
//! comes: it gets as many digits as results of arithmetic keep.

use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, Query, SelectItem, SetExpr, Value, VisitorMut};

use super::build::{cast, take};
use super::numbers::is_double;
use crate::base::error::Result;
use crate::sql::walk::walk_mut;

/// Widens the literals in first branches.
pub(super) fn widen(query: &mut Query) -> Result<()> {
    struct Widen;
    impl VisitorMut for Widen {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            if let Some(with) = query.with.as_mut().filter(|with| with.recursive) {
                with.cte_tables.iter_mut().for_each(|table| widen_anchor(&mut table.query.body));
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(query, &mut Widen);
    Ok(())
}

fn widen_anchor(body: &mut SetExpr) {
    let SetExpr::SetOperation { op: ast::SetOperator::Union, left, .. } = body else { return };
    let SetExpr::Select(select) = left.as_mut() else { return widen_anchor(left) };
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let literal = match &*expr {
            Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => expr.as_ref(),
            other => other,
        };
        if let Expr::Value(value) = literal
            && let Value::Number(digits, _) = &value.value
            && digits.contains('.')
            && !is_double(digits)
        {
            let widest = ast::ExactNumberInfo::PrecisionAndScale(38, 18);
            *expr = cast(take(expr), ast::DataType::Decimal(widest));
        }
    }
}
