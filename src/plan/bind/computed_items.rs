//! Items that are computed by a query in FROM, under names of their own, and get theirs around it.
//!
//! - `SELECT a + 1 AS a, unnest(list) FROM t`: DataFusion computes the items together with the columns that they use,
//!   in one list, where `a` would be two things.
//! - `SELECT DISTINCT ON (a + 1) ..`: DataFusion does not see that all that is computed is the same in ON and in ORDER
//!   BY, and takes no subquery there.
//! - `SELECT a FROM t ORDER BY (SELECT .. WHERE u.b = t.b)`: DataFusion does not see that a subquery uses a column that
//!   is no item.
//! - `SELECT -a AS a FROM t ORDER BY t.a`: see [`hidden_columns`](super::hidden_columns).
//!
//! Keys of ORDER BY and ON that are no items come out of that query too.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, ObjectNamePart, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
    TableAlias, TableFactor, TableWithJoins, Value, Visit, VisitorMut,
};

use super::Binder;
use super::columns::{ColumnsOf, known_columns};
use super::hidden_columns::{asks_of_hidden, put_items};
use crate::base::error::Result;
use crate::plan::functions::FunctionRegistry;
use crate::sql::name::normal;
use crate::sql::walk::{expressions, own_expressions, walk_mut};

/// What the names of computed items begin with.
const COMPUTED: &str = "__item_";

/// Parts every SELECT of the query where names are in each other's way.
pub(super) fn part(query: &mut Query, binder: &Binder<'_>) -> Result<()> {
    let columns_of = &known_columns(query, binder);
    let _ = walk_mut(query, &mut Part { functions: binder.context.functions, columns_of });
    Ok(())
}

struct Part<'a> {
    functions: &'a FunctionRegistry,
    columns_of: ColumnsOf<'a>,
}

impl VisitorMut for Part<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            let keys = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
                Some(OrderByKind::Expressions(keys)) => keys.as_mut_slice(),
                _ => &mut [],
            };
            self.part_select(select, keys);
        } else {
            self.part_branches(&mut query.body);
        }
        ControlFlow::Continue(())
    }
}

impl Part<'_> {
    /// The branches of set operations, which have no order of their own.
    fn part_branches(&self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => self.part_select(select, &mut []),
            SetExpr::SetOperation { left, right, .. } => {
                self.part_branches(left);
                self.part_branches(right);
            }
            _ => {}
        }
    }

    fn part_select(&self, select: &mut Select, order_by: &mut [OrderByExpr]) {
        let collides = !is_grouped(select) && names_collide(select);
        if collides || chooses_by_computed(select) || self.asks_of_others(select, order_by) {
            put_items(select, order_by, self.columns_of);
            part_select(select, order_by);
        }
    }

    /// Whether ORDER BY must be computed beside the items. Of DISTINCT the keys are items, whatever columns there are.
    fn asks_of_others(&self, select: &Select, order_by: &[OrderByExpr]) -> bool {
        select.distinct != Some(Distinct::Distinct)
            && (order_by.iter().any(|key| holds_query(&key.expr))
                || asks_of_hidden(select, order_by, self.functions, self.columns_of))
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
    let mut inner = select.clone();
    inner.distinct = None;
    // GROUP BY and HAVING may name items and count them.
    let keeps_names = is_grouped(select);
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
        let computed = match (item, keeps_names) {
            (SelectItem::ExprWithAlias { .. }, true) => parts.add(expr, name.clone()),
            _ => parts.compute(expr),
        };
        parts.items.push((normal(&name), computed.clone()));
        outer.push(SelectItem::ExprWithAlias { expr: Expr::Identifier(computed), alias: name });
    }
    if let Some(Distinct::On(keys)) = &mut select.distinct {
        // A number is none of an item here: those have become items.
        for key in keys.iter_mut() {
            *key = Expr::Identifier(match &*key {
                Expr::Identifier(_) => parts.item(key).unwrap_or_else(|| parts.compute(key)),
                key => parts.compute(key),
            });
        }
        // Outside, ORDER BY names what ON names.
        for key in order_by.iter_mut() {
            if let Some(item) = parts.item(&key.expr) {
                key.expr = Expr::Identifier(item);
            }
        }
    }
    order_by.iter_mut().for_each(|key| parts.key(&mut key.expr));
    let subquery = Box::new(Query { body: Box::new(SetExpr::Select(Box::new(parts.inner))), ..shell() });
    let name = Ident::with_quote('"', "__items");
    let alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    let relation = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
    select.projection = outer;
    select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    select.selection = None;
    select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    select.having = None;
    select.qualify = None;
    select.named_window = Vec::new();
}

/// The query below, and what it computes.
struct Parts {
    inner: Select,
    /// The expressions of its list, and their names.
    computed: Vec<(Expr, Ident)>,
    /// The names of the items, and what is computed for each.
    items: Vec<(String, Ident)>,
}

impl Parts {
    /// Adds an expression to the list of the query below, if it is not there, and gives its name.
    fn compute(&mut self, expr: &Expr) -> Ident {
        match self.computed.iter().find(|(known, _)| known == expr) {
            Some((_, name)) => name.clone(),
            None => self.add(expr, Ident::with_quote('"', format!("{COMPUTED}{}", self.computed.len()))),
        }
    }

    fn add(&mut self, expr: &Expr, name: Ident) -> Ident {
        self.inner.projection.push(SelectItem::ExprWithAlias { expr: expr.clone(), alias: name.clone() });
        self.computed.push((expr.clone(), name.clone()));
        name
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
    name.value.starts_with(COMPUTED)
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

/// Whether DISTINCT ON meets more than columns: DataFusion finds the same window, subquery or number in ON and in ORDER
/// BY only where it is a column.
fn chooses_by_computed(select: &Select) -> bool {
    let is_column = |expr: &Expr| column_name(expr).is_some();
    let Some(Distinct::On(keys)) = &select.distinct else { return false };
    let is_plain = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => is_column(expr),
        _ => true,
    };
    !keys.iter().all(is_column) || !select.projection.iter().all(is_plain)
}

fn holds_query(node: &impl Visit) -> bool {
    expressions(node, |expr| match expr {
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. } => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
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
