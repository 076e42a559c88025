//! Items that are computed by a query in FROM, under names of their own, and get theirs around it.
//!
//! - `SELECT a + 1 AS a, unnest(list) FROM t`: DataFusion computes the items together with the columns that they use,
//!   in one list, where `a` would be two things.
//! - `SELECT DISTINCT ON ((SELECT ..)) ..`: DataFusion does not see that a subquery is the same in ON and in ORDER BY,
//!   and takes none there.
//!
//! Keys of ORDER BY and ON that are no items come out of that query too.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, ObjectNamePart, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
    TableAlias, TableFactor, TableWithJoins, Value, Visit, VisitorMut,
};

use super::Binder;
use crate::base::error::Result;
use crate::sql::name::normal;
use crate::sql::walk::{expressions, own_expressions, walk_mut};

/// Parts every SELECT of the query where names are in each other's way.
pub(super) fn part(query: &mut Query, _binder: &Binder<'_>) -> Result<()> {
    let _ = walk_mut(query, &mut Part);
    Ok(())
}

struct Part;

impl VisitorMut for Part {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            let keys = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
                Some(OrderByKind::Expressions(keys)) => keys.as_mut_slice(),
                _ => &mut [],
            };
            part_select(select, keys);
        } else {
            part_branches(&mut query.body);
        }
        ControlFlow::Continue(())
    }
}

/// The branches of set operations, which have no order of their own.
fn part_branches(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => part_select(select, &mut []),
        SetExpr::SetOperation { left, right, .. } => {
            part_branches(left);
            part_branches(right);
        }
        _ => {}
    }
}

/// A query of nothing.
fn shell() -> Query {
    Query {
        with: None,
        body: Box::new(SetExpr::Values(sqlparser::ast::Values {
            explicit_row: false,
            value_keyword: false,
            rows: Vec::new(),
        })),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

fn part_select(select: &mut Select, order_by: &mut [OrderByExpr]) {
    if is_grouped(select) || !(names_collide(select) || chooses_by_query(select)) {
        return;
    }
    let mut inner = select.clone();
    inner.distinct = None;
    let mut parts = Parts { inner, computed: Vec::new(), items: Vec::new() };
    parts.inner.projection = Vec::new();
    let mut outer = Vec::new();
    for item in &select.projection {
        let (expr, name) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (expr, alias.clone()),
            SelectItem::UnnamedExpr(expr) => match column_name(expr) {
                Some(name) => (expr, name),
                None => return,
            },
            _ => return,
        };
        let computed = parts.compute(expr);
        parts.items.push((normal(&name), computed.clone()));
        outer.push(SelectItem::ExprWithAlias { expr: Expr::Identifier(computed), alias: name });
    }
    if let Some(Distinct::On(keys)) = &mut select.distinct {
        keys.iter_mut().for_each(|key| parts.key(key));
        // Outside, ORDER BY names what ON names.
        for key in order_by.iter_mut() {
            if let Some(item) = parts.item(&key.expr) {
                key.expr = Expr::Identifier(item);
            }
        }
        keys.iter_mut().for_each(|key| {
            if let Some(item) = parts.item(key) {
                *key = Expr::Identifier(item);
            }
        });
    }
    order_by.iter_mut().for_each(|key| parts.key(&mut key.expr));
    let subquery = Box::new(Query { body: Box::new(SetExpr::Select(Box::new(parts.inner))), ..shell() });
    let name = Ident::with_quote('"', "__items");
    let alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    let relation = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
    select.projection = outer;
    select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    select.selection = None;
    select.named_window = Vec::new();
}

/// The query below, and what it computes.
struct Parts {
    inner: Select,
    /// The expressions of its list.
    computed: Vec<Expr>,
    /// The names of the items, and what is computed for each.
    items: Vec<(String, Ident)>,
}

impl Parts {
    /// Adds an expression to the list of the query below, if it is not there, and gives its name.
    fn compute(&mut self, expr: &Expr) -> Ident {
        let known = self.computed.iter().position(|known| known == expr);
        let name = |number: usize| Ident::with_quote('"', format!("__item_{number}"));
        known.map(name).unwrap_or_else(|| {
            let alias = name(self.computed.len());
            self.inner.projection.push(SelectItem::ExprWithAlias { expr: expr.clone(), alias: alias.clone() });
            self.computed.push(expr.clone());
            alias
        })
    }

    /// Lets a key that is neither the name nor the number of an item be computed below.
    fn key(&mut self, key: &mut Expr) {
        let is_output = match &*key {
            Expr::Value(value) => matches!(value.value, Value::Number(..)),
            Expr::Identifier(name) => self.items.iter().any(|(known, _)| *known == normal(name)) || is_computed(name),
            _ => false,
        };
        if !is_output {
            *key = Expr::Identifier(self.compute(key));
        }
    }

    /// What is computed for the item that a key names or counts.
    fn item(&self, key: &Expr) -> Option<Ident> {
        let number = match key {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => number.parse::<usize>().ok()?.checked_sub(1)?,
                _ => return None,
            },
            Expr::Identifier(name) => self.items.iter().position(|(known, _)| *known == normal(name))?,
            _ => return None,
        };
        self.items.get(number).map(|(_, computed)| computed.clone())
    }
}

fn is_computed(name: &Ident) -> bool {
    name.value.starts_with("__item_")
}

/// Whether `unnest` is called in the list, and an item that is not just a column has the name of a column in use.
fn names_collide(select: &Select) -> bool {
    let plain = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if matches!(select.distinct, Some(Distinct::On(_))) || !select.projection.iter().all(plain) {
        return false;
    }
    let uses = Uses::of(&select.projection);
    uses.unnest
        && select.projection.iter().any(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } => {
                let name = normal(alias);
                uses.columns.contains(&name) && column_name(expr).is_none_or(|column| normal(&column) != name)
            }
            _ => false,
        })
}

/// Whether DISTINCT ON meets a subquery.
fn chooses_by_query(select: &Select) -> bool {
    let mut found = false;
    let mut look = |expr: &Expr| {
        found |= matches!(
            expr,
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. }
        );
        ControlFlow::<()>::Continue(())
    };
    let Some(Distinct::On(keys)) = &select.distinct else { return false };
    let _ = expressions(keys, &mut look);
    let _ = expressions(&select.projection, &mut look);
    found
}

fn is_grouped(select: &Select) -> bool {
    let keys = match &select.group_by {
        GroupByExpr::Expressions(keys, modifiers) => !keys.is_empty() || !modifiers.is_empty(),
        GroupByExpr::All(_) => true,
    };
    keys || select.having.is_some() || select.qualify.is_some()
}

fn column_name(expr: &Expr) -> Option<Ident> {
    match expr {
        Expr::Identifier(name) => Some(name.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().cloned(),
        Expr::Nested(inner) => column_name(inner),
        _ => None,
    }
}

/// What the items of a SELECT use, subqueries left out.
#[derive(Default)]
struct Uses {
    unnest: bool,
    columns: BTreeSet<String>,
}

impl Uses {
    fn of(items: &impl Visit) -> Self {
        let mut uses = Uses::default();
        own_expressions(items, |expr| match expr {
            Expr::Function(call) => {
                let name = match call.name.0.as_slice() {
                    [ObjectNamePart::Identifier(name)] => normal(name),
                    _ => String::new(),
                };
                uses.unnest |= name == "unnest";
            }
            Expr::Identifier(name) => {
                uses.columns.insert(normal(name));
            }
            Expr::CompoundIdentifier(parts) => uses.columns.extend(parts.iter().map(normal)),
            _ => {}
        });
        uses
    }
}
