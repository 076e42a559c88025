//! `[a, b]` as a call, wherever something in it must be looked up.
//!
//! DataFusion binds the items of a list as if nothing stood around it: it knows neither columns of the query around, nor
//! names that WITH gives, nor the parameter of a lambda. Arguments of a call it binds as it should.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query};

use super::build::call;
use crate::base::error::Result;
use crate::sql::walk::{expressions, expressions_mut};

/// Rewrites all such lists of a query.
pub(super) fn call_constructors(query: &mut Query) -> Result<()> {
    expressions_mut(query, |expr| {
        if let Expr::Array(list) = expr
            && list.elem.iter().any(looks_up)
        {
            *expr = call("make_array", std::mem::take(&mut list.elem));
        }
    });
    Ok(())
}

/// Whether an expression holds more than constants.
fn looks_up(expr: &Expr) -> bool {
    let found = expressions(expr, |expr| match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) | Expr::Exists { .. } => {
            ControlFlow::Break(())
        }
        Expr::InSubquery { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
