//! Keys of GROUP BY and DISTINCT ON that stand twice.
//!
//! PostgreSQL takes `GROUP BY ROLLUP (t.k, k)`. DataFusion refuses a key that stands twice in ROLLUP or CUBE, and takes
//! sets that have the same keys in another order, or one key twice, for one set, whose rows it then counts twice. So a
//! key is spelled in one way, a set has it once, and all sets have their keys in one order. ROLLUP and CUBE that hold
//! such keys, or several keys as one, are written as the sets that they stand for.
//!
//! Keys of DISTINCT ON may be numbers of items, may stand twice, and lead ORDER BY in any order; DataFusion wants the
//! same expressions there, once and in the same order.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Value, VisitorMut,
};

use super::Binder;
use super::columns::{ColumnsOf, columns_in, known_columns};
use crate::base::error::Result;
use crate::sql::name::normal;
use crate::sql::rewrite::build::relation_name;
use crate::sql::walk::{expressions_mut, own_expressions_mut, walk_mut};

/// The most grouping sets that are written out; DataFusion has a limit of its own below it.
const SETS_MAX: usize = 4096;

/// Gives every GROUP BY and DISTINCT ON of the query each key once.
pub(super) fn once(query: &mut Query, binder: &Binder<'_>) -> Result<()> {
    let columns_of = &known_columns(query, binder);
    let _ = walk_mut(query, &mut Once { columns_of });
    Ok(())
}

struct Once<'a> {
    columns_of: ColumnsOf<'a>,
}

impl VisitorMut for Once<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Some(Distinct::On(on)) = &select.distinct
        {
            let mut order = Vec::new();
            let order_by = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
                Some(OrderByKind::Expressions(keys)) => keys,
                _ => &mut order,
            };
            let on = choice_once(on, order_by, &Spelling::of(select, self.columns_of));
            select.distinct = Some(Distinct::On(on));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let GroupByExpr::Expressions(keys, modifiers) = &select.group_by else { return ControlFlow::Continue(()) };
        if keys.len() < 2 && keys.iter().all(|key| !is_set(key)) || !modifiers.is_empty() {
            return ControlFlow::Continue(());
        }
        let spelling = Spelling::of(select, self.columns_of);
        let keys = match keys.iter().any(is_set) {
            true => sets_once(keys, &spelling),
            false => keys_once(keys, &spelling),
        };
        if let (Some(new), GroupByExpr::Expressions(keys, _)) = (keys, &mut select.group_by) {
            *keys = new;
        }
        ControlFlow::Continue(())
    }
}

fn is_set(key: &Expr) -> bool {
    matches!(key, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_))
}

/// The keys without repetition, if one is repeated.
fn keys_once(keys: &[Expr], spelling: &Spelling) -> Option<Vec<Expr>> {
    let mut known = BTreeSet::new();
    let once: Vec<Expr> = keys.iter().filter(|key| known.insert(spelling.of_key(key))).cloned().collect();
    (once.len() < keys.len()).then_some(once)
}

/// The keys of DISTINCT ON, each once, as expressions and in the order in which they lead ORDER BY, which loses what it
/// repeats.
fn choice_once(on: &[Expr], order_by: &mut Vec<OrderByExpr>, spelling: &Spelling) -> Vec<Expr> {
    let mut known = BTreeSet::new();
    order_by.retain(|key| known.insert(spelling.of_output(&key.expr)));
    let order: Vec<String> = order_by.iter().map(|key| spelling.of_output(&key.expr)).collect();
    let mut known = BTreeSet::new();
    let keys = on.iter().map(|key| (spelling.of_output(key), spelling.numbered(key).unwrap_or(key).clone()));
    let mut keys: Vec<(String, Expr)> = keys.filter(|(spelled, _)| known.insert(spelled.clone())).collect();
    keys.sort_by_key(|(spelled, _)| order.iter().position(|key| key == spelled).unwrap_or(usize::MAX));
    keys.into_iter().map(|(_, key)| key).collect()
}

/// The grouping sets of all keys together, if they cannot stay as they are written.
fn sets_once(keys: &[Expr], spelling: &Spelling) -> Option<Vec<Expr>> {
    let mut known: Vec<(String, Expr)> = Vec::new();
    let mut repeated = false;
    let mut index = |key: &Expr| {
        let spelled = spelling.of_key(key);
        match known.iter().position(|(known, _)| *known == spelled) {
            Some(index) => (index, true),
            None => {
                known.push((spelled, key.clone()));
                (known.len() - 1, false)
            }
        }
    };
    let mut sets: Vec<Vec<usize>> = vec![vec![]];
    for key in keys {
        let mut indexes = |keys: &Vec<Expr>| keys.iter().map(&mut index).collect::<Vec<_>>();
        let parts: Vec<Vec<(usize, bool)>> = match key {
            Expr::Rollup(parts) | Expr::Cube(parts) | Expr::GroupingSets(parts) => parts.iter().map(indexes).collect(),
            Expr::Tuple(keys) => vec![indexes(keys)],
            key => vec![vec![index(key)]],
        };
        let again = parts.iter().flatten().any(|(_, known)| *known);
        repeated |= match key {
            Expr::Rollup(_) | Expr::Cube(_) => again || parts.iter().any(|part| part.len() != 1),
            // A set in which all keys are in their order stays so.
            Expr::GroupingSets(_) => again && keys.len() > 1 || !parts.iter().all(|part| part.is_sorted()),
            Expr::Tuple(_) => true,
            _ => again,
        };
        let parts: Vec<Vec<usize>> =
            parts.into_iter().map(|part| part.into_iter().map(|(index, _)| index).collect()).collect();
        let own = match key {
            Expr::Rollup(_) => (0..=parts.len()).rev().map(|length| parts[..length].concat()).collect(),
            Expr::Cube(_) if parts.len() < SETS_MAX.ilog2() as usize => cube(&parts),
            Expr::Cube(_) => return None,
            _ => parts,
        };
        if sets.len().saturating_mul(own.len()) > SETS_MAX {
            return None;
        }
        sets = sets.iter().flat_map(|set| own.iter().map(move |own| [set.as_slice(), own].concat())).collect();
    }
    repeated.then(|| {
        let set = |indexes: Vec<usize>| {
            let indexes: BTreeSet<usize> = indexes.into_iter().collect();
            indexes.into_iter().filter_map(|index| known.get(index)).map(|(_, key)| key.clone()).collect()
        };
        vec![Expr::GroupingSets(sets.into_iter().map(set).collect())]
    })
}

/// All subsets, the largest first.
fn cube(parts: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let subset = |bits: usize| {
        let chosen = parts.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
        chosen.flat_map(|(_, part)| part).copied().collect()
    };
    (0..1_usize << parts.len()).rev().map(subset).collect()
}

/// How the columns of a SELECT are spelled alike.
struct Spelling<'a> {
    /// Per relation in FROM its name and its columns, where the text tells.
    relations: Vec<(Ident, Option<Vec<String>>)>,
    items: &'a [SelectItem],
}

impl<'a> Spelling<'a> {
    fn of(select: &'a Select, columns_of: ColumnsOf<'_>) -> Self {
        let mut relations = Vec::new();
        let mut open: Vec<&TableWithJoins> = select.from.iter().collect();
        while let Some(table) = open.pop() {
            for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
                if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
                    open.push(table_with_joins);
                }
                if let Some(name) = relation_name(factor) {
                    relations.push((name, columns_in(factor, columns_of)));
                }
            }
        }
        Spelling { relations, items: &select.projection }
    }

    /// The same for a key that may be the name or the number of an item.
    fn of_output(&self, key: &Expr) -> String {
        match key {
            Expr::Nested(inner) => self.of_output(inner),
            Expr::Identifier(name) => self.spelled(self.named(name).unwrap_or(key)),
            key => self.spelled(self.numbered(key).unwrap_or(key)),
        }
    }

    /// The item whose number a key is.
    fn numbered(&self, key: &Expr) -> Option<&Expr> {
        let Expr::Value(value) = key else { return None };
        let Value::Number(number, _) = &value.value else { return None };
        // What stands behind `*` has another number.
        if self.items.iter().any(|item| !matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }))
        {
            return None;
        }
        match self.items.get(number.parse::<usize>().ok()?.checked_sub(1)?)? {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
            _ => None,
        }
    }

    /// The item that is called so.
    fn named(&self, name: &Ident) -> Option<&Expr> {
        self.items.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if normal(alias) == normal(name) => Some(expr),
            _ => None,
        })
    }

    /// The text that all spellings of a key have in common.
    fn of_key(&self, key: &Expr) -> String {
        match key {
            Expr::Nested(inner) => self.of_key(inner),
            Expr::Identifier(name) if self.owner(name).is_none() => match self.item(name) {
                Some(item) => self.spelled(item),
                None => normal(name),
            },
            key => self.spelled(key),
        }
    }

    /// The item that a name stands for, where it is certainly no column.
    fn item(&self, name: &Ident) -> Option<&Expr> {
        let known =
            |(_, columns): &(_, Option<Vec<String>>)| columns.as_ref().is_some_and(|of| !of.contains(&normal(name)));
        self.named(name).filter(|_| self.relations.iter().all(known))
    }

    fn spelled(&self, expr: &Expr) -> String {
        if let Expr::Nested(inner) = expr {
            return self.spelled(inner);
        }
        let spell = |name: &Ident| Ident::with_quote('"', normal(name));
        let mut spelled = expr.clone();
        expressions_mut(&mut spelled, |expr| {
            if let Expr::CompoundIdentifier(parts) = expr {
                parts.iter_mut().for_each(|part| *part = spell(part));
            }
        });
        // A bare name in a subquery may be a column of its own.
        own_expressions_mut(&mut spelled, |expr| {
            if let Expr::Identifier(name) = expr {
                *expr = match self.owner(name) {
                    Some(owner) => Expr::CompoundIdentifier(vec![spell(owner), spell(name)]),
                    None => Expr::Identifier(spell(name)),
                };
            }
        });
        spelled.to_string()
    }

    /// The one relation that has the column.
    fn owner(&self, column: &Ident) -> Option<&Ident> {
        let name = normal(column);
        if let [(only, columns)] = self.relations.as_slice() {
            let is_item = || {
                self.items
                    .iter()
                    .any(|item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if normal(alias) == name))
            };
            return match columns {
                Some(columns) => columns.contains(&name).then_some(only),
                None => (!is_item()).then_some(only),
            };
        }
        let mut owners =
            self.relations.iter().filter(|(_, columns)| columns.as_ref().is_some_and(|of| of.contains(&name)));
        match (owners.next(), owners.next()) {
            (Some((owner, _)), None) if self.relations.iter().all(|(_, columns)| columns.is_some()) => Some(owner),
            _ => None,
        }
    }
}
