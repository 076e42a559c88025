//! A name for every column of a SELECT.
//!
//! A column that has none is called by its text; where a name is taken, `_1`, `_2` follow it. This comes before any
//! other pass, because the text is the one that was written.

use std::collections::HashMap;
use std::fmt::Write;

use sqlparser::ast::{
    AccessExpr, ExcludeSelectItem, Expr, Ident, ObjectNamePart, Select, SelectItem, Subscript, Value,
    WildcardAdditionalOptions,
};

use super::build::take;
use crate::base::error::Result;
use crate::sql::name::normal;

/// The longest name that an unnamed column gets, in bytes.
const NAME_BYTES_MAX: usize = 250;

/// Gives every output column a name of its own.
pub(super) fn select(select: &mut Select) -> Result<()> {
    // Per name, the number that the next column of that name tries first.
    let mut taken: HashMap<String, usize> = HashMap::new();
    let is_single = select.projection.len() == 1;
    for item in &mut select.projection {
        if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item {
            fold_behind_star(options);
        }
        if let SelectItem::UnnamedExpr(expr) = item
            && column_name(expr).is_none()
        {
            let alias = Ident::with_quote('"', field_name(expr).unwrap_or_else(|| text(expr)));
            *item = SelectItem::ExprWithAlias { expr: take(expr), alias };
        }
        let name = match item {
            SelectItem::UnnamedExpr(expr) => column_name(expr),
            SelectItem::ExprWithAlias { alias, .. } => Some(normal(alias)),
            _ => None,
        };
        let Some(name) = name.filter(|_| !is_single) else { continue };
        let Some(first) = taken.get(&name).copied() else {
            taken.insert(name, 1);
            continue;
        };
        let mut number = first;
        while taken.contains_key(&format!("{name}_{number}")) {
            number += 1;
        }
        let fresh = format!("{name}_{number}");
        taken.insert(name, number + 1);
        taken.insert(fresh.clone(), 1);
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let alias = Ident::with_quote('"', fresh);
                *item = SelectItem::ExprWithAlias { expr: take(expr), alias };
            }
            SelectItem::ExprWithAlias { alias, .. } => *alias = Ident::with_quote_and_span('"', alias.span, fresh),
            _ => {}
        }
    }
    Ok(())
}

/// The columns named behind a star as they are called: the binder takes these names as they are written.
fn fold_behind_star(options: &mut WildcardAdditionalOptions) {
    let fold = |name: &mut Ident| *name = Ident::with_quote_and_span('"', name.span, normal(name));
    let excluded = match &mut options.opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => std::slice::from_mut(name),
        Some(ExcludeSelectItem::Multiple(names)) => names.as_mut_slice(),
        None => &mut [],
    };
    for part in excluded.iter_mut().flat_map(|name| &mut name.0) {
        if let ObjectNamePart::Identifier(name) = part {
            fold(name);
        }
    }
    let replaced = options.opt_replace.iter_mut().flat_map(|replace| &mut replace.items);
    replaced.for_each(|item| fold(&mut item.column_name));
}

/// The text of an expression as sqlparser writes it, so that spaces do not matter; cut where it grows too long.
fn text(expr: &Expr) -> String {
    let mut text = Cut(String::new());
    if write!(text, "{expr}").is_err() {
        text.0.push_str("...");
    }
    text.0
}

/// Refuses to grow beyond a length, which ends the writing: a name must not cost as much as the query below it.
struct Cut(String);

impl Write for Cut {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        if self.0.len() + piece.len() > NAME_BYTES_MAX {
            return Err(std::fmt::Error);
        }
        self.0.push_str(piece);
        Ok(())
    }
}

/// The name of an expression that is only a column.
pub(super) fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(normal(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(normal),
        Expr::Nested(expr) => column_name(expr),
        _ => None,
    }
}

/// The name of an expression that takes a field out of a struct: `(r).b`, `r['b']`.
fn field_name(expr: &Expr) -> Option<String> {
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return None };
    match access_chain.last()? {
        AccessExpr::Dot(Expr::Identifier(field)) => Some(normal(field)),
        AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) }) => match &value.value {
            Value::SingleQuotedString(field) => Some(field.clone()),
            _ => None,
        },
        _ => None,
    }
}
