//! What stands behind a star: `* REPLACE (e AS a)` and `* RENAME (a AS b)` of columns that there are.
//!
//! DataFusion passes over a column that REPLACE names and nothing has; EXCLUDE it looks at itself. RENAME it does not
//! know at all: the star becomes the list of columns that it stands for, where FROM is one relation whose columns are
//! told by the text or the catalog.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Expr, Ident, Query, RenameSelectItem, Select, SelectItem, SelectItemQualifiedWildcardKind, TableFactor,
    VisitorMut, WildcardAdditionalOptions,
};

use super::Binder;
use super::columns::{ColumnsOf, columns_in, known_columns};
use super::hidden_columns::collect;
use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::suggest::nearest;
use crate::sql::error::{located, position};
use crate::sql::name::normal;
use crate::sql::rewrite::build::relation_name;
use crate::sql::walk::walk_mut;

/// Refuses columns behind stars that do not exist, and gives others their new names.
pub(super) fn apply(query: &mut Query, binder: &Binder<'_>) -> Result<()> {
    let columns_of = &known_columns(query, binder);
    match walk_mut(query, &mut Stars { columns_of, binder }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Stars<'a> {
    columns_of: ColumnsOf<'a>,
    binder: &'a Binder<'a>,
}

impl VisitorMut for Stars<'_> {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if !select.projection.iter().filter_map(options_of).any(names_columns) {
            return ControlFlow::Continue(());
        }
        match self.stars(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Stars<'_> {
    fn stars(&self, select: &mut Select) -> Result<()> {
        let mut items = vec![];
        for item in std::mem::take(&mut select.projection) {
            let Some(options) = options_of(&item).filter(|options| names_columns(options)) else {
                items.push(item);
                continue;
            };
            let mut factors = vec![];
            select.from.iter().for_each(|table| collect(table, &mut factors));
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = &item {
                let wanted = name.0.last().and_then(|part| part.as_ident()).map(normal);
                factors.retain(|factor| relation_name(factor).map(|name| normal(&name)) == wanted);
            }
            let columns = factors.iter().map(|factor| self.columns(factor)).collect::<Option<Vec<_>>>();
            if let Some(columns) = &columns {
                let columns: Vec<&str> = columns.iter().flatten().map(String::as_str).collect();
                named(options).try_for_each(|name| expect(name, &columns))?;
            }
            match (&options.opt_rename, columns.as_deref(), factors.as_slice()) {
                (None, ..) => items.push(item),
                (Some(renames), Some([columns]), [factor]) if options.opt_exclude.is_none() => {
                    items.extend(renamed(factor, columns, renames, options));
                }
                _ => {
                    let error = Error::unsupported("* RENAME is supported over one relation, without EXCLUDE");
                    return Err(error.with_hint("name the columns: SELECT a AS b, ..").with_sqlstate("0A000"));
                }
            }
        }
        select.projection = items;
        Ok(())
    }

    /// The columns of a relation in FROM, those of a file too.
    fn columns(&self, factor: &TableFactor) -> Option<Vec<String>> {
        let known = columns_in(factor, self.columns_of);
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return known };
        let path = name.0.first().and_then(|part| part.as_ident()).filter(|name| name.quote_style == Some('\''));
        let Some(path) = path.filter(|_| alias.as_ref().is_none_or(|alias| alias.columns.is_empty())) else {
            return known;
        };
        let file = self.binder.context.files.file(&path.value).ok()?;
        Some(file.schema().fields().iter().map(|field| field.name().clone()).collect())
    }
}

fn options_of(item: &SelectItem) -> Option<&WildcardAdditionalOptions> {
    match item {
        SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => Some(options),
        _ => None,
    }
}

fn names_columns(options: &WildcardAdditionalOptions) -> bool {
    options.opt_replace.is_some() || options.opt_rename.is_some()
}

/// The columns that REPLACE and RENAME name.
fn named(options: &WildcardAdditionalOptions) -> impl Iterator<Item = &Ident> {
    let replaced = options.opt_replace.iter().flat_map(|replace| &replace.items).map(|item| &item.column_name);
    replaced.chain(options.opt_rename.iter().flat_map(pairs).map(|pair| &pair.ident))
}

fn pairs(renames: &RenameSelectItem) -> &[ast::IdentWithAlias] {
    match renames {
        RenameSelectItem::Single(pair) => std::slice::from_ref(pair),
        RenameSelectItem::Multiple(pairs) => pairs,
    }
}

fn expect(name: &Ident, columns: &[&str]) -> Result<()> {
    let column = normal(name);
    if columns.contains(&column.as_str()) {
        return Ok(());
    }
    let error = Error::new(ErrorKind::NotFound, format!("column \"{column}\" does not exist")).with_sqlstate("42703");
    let error = located(error, position(name.span.start));
    Err(match nearest(&column, columns.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
        None => error,
    })
}

/// The columns of a relation, with what REPLACE says of them, under their new names.
fn renamed(
    factor: &TableFactor,
    columns: &[String],
    renames: &RenameSelectItem,
    options: &WildcardAdditionalOptions,
) -> Vec<SelectItem> {
    let owner = relation_name(factor);
    let item = |column: &String| {
        let bare = Ident::with_quote('"', column);
        let replaced = options.opt_replace.iter().flat_map(|replace| &replace.items);
        let replaced = replaced.into_iter().find(|item| normal(&item.column_name) == *column);
        let expr = match (replaced, &owner) {
            (Some(item), _) => item.expr.clone(),
            (None, Some(owner)) => Expr::CompoundIdentifier(vec![owner.clone(), bare.clone()]),
            (None, None) => Expr::Identifier(bare.clone()),
        };
        let new = pairs(renames).iter().find(|pair| normal(&pair.ident) == *column);
        SelectItem::ExprWithAlias { expr, alias: new.map_or(bare, |pair| pair.alias.clone()) }
    };
    columns.iter().map(item).collect()
}
