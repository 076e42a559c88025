//! Windows by name: `OVER (w ORDER BY x)` says what `w` says and more, and becomes the whole of it.
//!
//! The binder below us knows `OVER w` alone, and passes over a name inside the parentheses.

use sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Query, Select, SetExpr, VisitMut, WindowSpec, WindowType,
};

use crate::base::error::{Error, ErrorKind, Position, Result};
use crate::sql::name::normal;
use crate::sql::walk::own_expressions_mut;

/// Writes out the windows of a SELECT's items and clauses.
pub(super) fn select(select: &mut Select) -> Result<()> {
    if select.named_window.is_empty() {
        return Ok(());
    }
    let windows = Windows::of(&select.named_window)?;
    for (definition, (_, spec)) in select.named_window.iter_mut().zip(&windows.0) {
        definition.1 = NamedWindowExpr::WindowSpec(spec.clone());
    }
    windows.write_out(&mut select.projection)?;
    windows.write_out(&mut select.qualify)
}

/// Writes out the windows of a query's ORDER BY, which sees those of its SELECT.
pub(super) fn query(query: &mut Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
    if select.named_window.is_empty() || query.order_by.is_none() {
        return Ok(());
    }
    Windows::of(&select.named_window)?.write_out(&mut query.order_by)
}

/// Refuses a window that nothing defines.
pub(super) fn expression(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Function(call) => match &call.over {
            Some(WindowType::WindowSpec(WindowSpec { window_name: Some(name), .. })) => Err(unknown(name)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The windows of a WINDOW clause, each written out.
struct Windows(Vec<(Ident, WindowSpec)>);

impl Windows {
    fn of(definitions: &[NamedWindowDefinition]) -> Result<Self> {
        let mut windows = Windows(Vec::new());
        for NamedWindowDefinition(name, definition) in definitions {
            let spec = match definition {
                NamedWindowExpr::NamedWindow(other) => windows.get(other)?.clone(),
                NamedWindowExpr::WindowSpec(spec) => windows.whole(spec)?,
            };
            windows.0.push((name.clone(), spec));
        }
        Ok(windows)
    }

    fn get(&self, name: &Ident) -> Result<&WindowSpec> {
        let found = self.0.iter().find(|(known, _)| normal(known) == normal(name));
        found.map(|(_, spec)| spec).ok_or_else(|| unknown(name))
    }

    /// What a specification says together with the window it extends.
    fn whole(&self, spec: &WindowSpec) -> Result<WindowSpec> {
        let Some(name) = &spec.window_name else { return Ok(spec.clone()) };
        let base = self.get(name)?;
        let refused = match () {
            () if !spec.partition_by.is_empty() => "the PARTITION BY of",
            () if !spec.order_by.is_empty() && !base.order_by.is_empty() => "the ORDER BY of",
            () if base.window_frame.is_some() => "the frame of",
            () => {
                return Ok(WindowSpec {
                    window_name: None,
                    partition_by: base.partition_by.clone(),
                    order_by: if spec.order_by.is_empty() { base.order_by.clone() } else { spec.order_by.clone() },
                    window_frame: spec.window_frame.clone(),
                });
            }
        };
        let error = Error::invalid(format!("{refused} window \"{}\" cannot be given again", name.value));
        Err(placed(error.with_sqlstate("42P20"), name))
    }

    /// Writes out the windows in `node`, not those of its subqueries, which have names of their own.
    fn write_out(&self, node: &mut impl VisitMut) -> Result<()> {
        let mut done = Ok(());
        own_expressions_mut(node, |expr| {
            if done.is_ok()
                && let Expr::Function(call) = expr
                && let Some(WindowType::WindowSpec(spec)) = &mut call.over
                && spec.window_name.is_some()
            {
                done = self.whole(spec).map(|whole| *spec = whole);
            }
        });
        done
    }
}

fn unknown(name: &Ident) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("window \"{}\" does not exist", name.value));
    placed(error.with_sqlstate("42704"), name)
}

fn placed(error: Error, name: &Ident) -> Error {
    let at = name.span.start;
    match at.line {
        0 => error,
        line => error.at(Position { line, column: at.column }),
    }
}
