//! SELECT and FROM: the clauses in the order of SQL's definition.

use std::collections::BTreeMap;

use super::expression::is_same_key;
use super::{Answer, Context, Evaluator, Fault, Name, Scope, compare_keys, names_of};
use crate::oracle::judge::tree::*;
use crate::oracle::judge::value::{Row, Value, row_key};

/// Result rows, each behind its sort keys.
type Keyed = Vec<(Row, Row)>;

impl Evaluator<'_> {
    /// The names of a SELECT's result, and its rows with the keys they are to be sorted by.
    pub(super) fn select(&self, select: &Select, order: &[Order], scope: &Scope) -> Answer<(Vec<String>, Keyed)> {
        let (names, rows) = match &select.from {
            Some(from) => self.from(from, scope)?,
            None => (Vec::new(), vec![Vec::new()]),
        };
        if self.eager.get() {
            select.filter.iter().chain(&select.having).try_for_each(|expr| self.look_at_queries(expr, scope))?;
        }
        let mut kept = Vec::new();
        for row in rows {
            let contexts = [Context::Row(row)];
            if self.holds(&select.filter, &self.inner(scope, &names, &[], &contexts, 0))? {
                let [context] = contexts;
                kept.push(context);
            }
        }
        let aggregates = |expr: &Expr| expr.any(&|e| matches!(e, Expr::Aggregate(_)));
        let items = select.items.iter().map(|(expr, _)| expr);
        let grouped = select.group.is_some()
            || select.having.is_some()
            || items.chain(order.iter().map(|order| &order.by)).any(aggregates);
        let keys = select.group.as_ref().map_or(&[] as &[Expr], |group| &group.keys);
        let mut contexts = kept;
        if grouped {
            contexts = self.groups(select, keys, contexts, scope, &names)?;
            if self.eager.get() {
                let exprs = select.having.iter().chain(select.items.iter().map(|(expr, _)| expr));
                let exprs: Vec<&Expr> = exprs.chain(order.iter().map(|order| &order.by)).collect();
                for at in 0..contexts.len() {
                    let inner = self.inner(scope, &names, keys, &contexts, at);
                    exprs.iter().try_for_each(|expr| self.look_at_aggregates(expr, &inner))?;
                }
            }
            let mut kept = Vec::new();
            for at in 0..contexts.len() {
                kept.push(self.holds(&select.having, &self.inner(scope, &names, keys, &contexts, at))?);
            }
            let mut kept = kept.into_iter();
            contexts.retain(|_| kept.next() == Some(true));
        }
        let exprs: Vec<&Expr> =
            select.items.iter().map(|(expr, _)| expr).chain(order.iter().map(|order| &order.by)).collect();
        refuse_open_numbers(&exprs, &contexts)?;
        if self.eager.get() {
            exprs.iter().try_for_each(|expr| self.look_at_queries(expr, scope))?;
        }
        let mut rows = Vec::new();
        for at in 0..contexts.len() {
            let inner = self.inner(scope, &names, keys, &contexts, at);
            if self.eager.get() {
                exprs.iter().try_for_each(|expr| self.look_at_windows(expr, &inner))?;
            }
            for row in self.items(&select.items, &inner)? {
                let key = |order: &Order| match order.by {
                    Expr::Ordinal(number) if number <= row.len() => Ok(row[number - 1].clone()),
                    ref expr => self.value(expr, &inner),
                };
                rows.push((order.iter().map(key).collect::<Answer<Row>>()?, row));
            }
        }
        let names = select.items.iter().map(|(_, name)| name.clone()).collect();
        Ok((names, self.distinct(&select.distinct, order, rows)?))
    }

    fn look_at_aggregates(&self, expr: &Expr, scope: &Scope) -> Answer<()> {
        if matches!(expr, Expr::Aggregate(_)) {
            return self.value(expr, scope).map(drop);
        }
        expr.children().into_iter().try_for_each(|child| self.look_at_aggregates(child, scope))
    }

    /// Evaluates the subqueries that depend on no row of the SELECT, as a view does also while it has no row.
    fn look_at_queries(&self, expr: &Expr, scope: &Scope) -> Answer<()> {
        if let Expr::Scalar(query) | Expr::Exists(query, _) | Expr::InQuery(_, query, _) | Expr::Quantified(.., query) =
            expr
            && let Err(Fault::Sql(state)) = self.relation(query, scope)
        {
            return Err(Fault::Sql(state));
        }
        expr.children().into_iter().try_for_each(|child| self.look_at_queries(child, scope))
    }

    /// Evaluates the arguments of window functions on a row.
    fn look_at_windows(&self, expr: &Expr, scope: &Scope) -> Answer<()> {
        if let Expr::Window(window) = expr {
            match &window.function {
                WindowFunction::Aggregate(aggregate) => {
                    let counts = match &aggregate.filter {
                        Some(filter) => self.truth(filter, scope)? == Some(true),
                        None => true,
                    };
                    if counts && let Some(argument) = &aggregate.argument {
                        self.value(argument, scope)?;
                    }
                }
                WindowFunction::Shift(argument, ..)
                | WindowFunction::First(argument, _)
                | WindowFunction::Last(argument, _)
                | WindowFunction::Nth(argument, ..) => {
                    self.value(argument, scope)?;
                }
                _ => {}
            }
        }
        expr.children().into_iter().try_for_each(|child| self.look_at_windows(child, scope))
    }

    fn inner<'a>(
        &self,
        scope: &'a Scope<'a>,
        names: &'a [Name],
        keys: &'a [Expr],
        contexts: &'a [Context],
        at: usize,
    ) -> Scope<'a> {
        Scope { parent: Some(scope), with: scope.with.clone(), names, keys, contexts, at }
    }

    /// The groups of all grouping sets.
    fn groups(
        &self,
        select: &Select,
        keys: &[Expr],
        rows: Vec<Context>,
        scope: &Scope,
        names: &[Name],
    ) -> Answer<Vec<Context>> {
        let sets = select.group.as_ref().map_or(vec![Vec::new()], Group::sets);
        let mut keyed = Vec::new();
        for at in 0..rows.len() {
            let inner = self.inner(scope, names, &[], &rows, at);
            let values = keys.iter().map(|key| self.value(key, &inner)).collect::<Answer<Row>>()?;
            keyed.push(values);
        }
        let mut contexts = Vec::new();
        let same = |a: usize, b: usize| is_same_key(&keys[a], &keys[b], names);
        for set in sets {
            // A key that stands twice is one key.
            let grouped: Vec<bool> = (0..keys.len()).map(|at| set.iter().any(|of_set| same(*of_set, at))).collect();
            let mut groups: BTreeMap<String, (Row, Vec<Row>)> = BTreeMap::new();
            if set.is_empty() {
                // The set without keys has its one group even without rows.
                let nulls = vec![Value::Null; keys.len()];
                groups.insert(row_key(&nulls), (nulls, Vec::new()));
            }
            for (values, row) in keyed.iter().zip(&rows) {
                let Context::Row(row) = row else { continue };
                let values: Row =
                    values.iter().zip(&grouped).map(|(v, g)| if *g { v.clone() } else { Value::Null }).collect();
                groups.entry(row_key(&values)).or_insert((values, Vec::new())).1.push(row.clone());
            }
            let group = |(keys, rows)| Context::Group { keys, grouped: grouped.clone(), rows };
            contexts.extend(groups.into_values().map(group));
        }
        Ok(contexts)
    }

    /// The result rows of one context: one, or as many as UNNEST makes.
    fn items(&self, items: &[(Expr, String)], scope: &Scope) -> Answer<Vec<Row>> {
        let mut rows = vec![Vec::new()];
        for (item, _) in items {
            let Expr::Unnest(list) = item else {
                let value = self.value(item, scope)?;
                rows.iter_mut().for_each(|row: &mut Row| row.push(value.clone()));
                continue;
            };
            let values = match self.value(list, scope)? {
                Value::List(values) => values,
                Value::Null => Vec::new(),
                other => return Err(Fault::Invalid(format!("UNNEST of {other}"))),
            };
            let longer = |value: &Value| {
                rows.iter().map(|row| row.iter().cloned().chain([value.clone()]).collect::<Row>()).collect::<Vec<_>>()
            };
            rows = values.iter().flat_map(longer).collect();
        }
        Ok(rows)
    }

    fn distinct(&self, distinct: &Distinct, order: &[Order], rows: Keyed) -> Answer<Keyed> {
        let width = match distinct {
            Distinct::All => return Ok(rows),
            Distinct::Whole => usize::MAX,
            Distinct::On(width) => *width,
        };
        let mut groups: BTreeMap<String, Keyed> = BTreeMap::new();
        for (key, row) in rows {
            groups.entry(row_key(&row[..width.min(row.len())])).or_default().push((key, row));
        }
        let beyond = |order: &Order| matches!(order.by, Expr::Ordinal(number) if number > width);
        if width != usize::MAX && (order.len() < width || order[..width].iter().any(beyond)) {
            return Err(Fault::Invalid("DISTINCT ON keys do not lead ORDER BY".into()));
        }
        let mut kept = Vec::new();
        for mut group in groups.into_values() {
            group.sort_by(|(a, _), (b, _)| compare_keys(order, a, b));
            let tied = group.iter().take_while(|(key, _)| compare_keys(order, key, &group[0].0).is_eq()).count();
            // Rows that DISTINCT takes for one need no choice.
            let chosen = if tied > 1 && width != usize::MAX { self.choice(tied) } else { 0 };
            kept.extend(group.into_iter().skip(chosen).take(1));
        }
        Ok(kept)
    }

    /// The columns and rows of a FROM item.
    pub(super) fn from(&self, from: &From, scope: &Scope) -> Answer<(Vec<Name>, Vec<Row>)> {
        match from {
            From::Relation { name, alias } => match scope.with_query(name) {
                Some(relation) => Ok((names_of(alias, &relation.names), relation.rows.clone())),
                None => {
                    let relation = self.table(name)?;
                    Ok((names_of(alias, &relation.names), relation.rows.clone()))
                }
            },
            From::Query { query, alias, .. } => {
                let relation = self.relation(query, scope)?;
                Ok((names_of(alias, &relation.names), relation.rows))
            }
            From::Join { kind, left, right, on } => self.join(*kind, left, right, on, scope),
        }
    }

    fn join(&self, kind: JoinKind, left: &From, right: &From, on: &On, scope: &Scope) -> Answer<(Vec<Name>, Vec<Row>)> {
        let (left_names, left_rows) = self.from(left, scope)?;
        let left_contexts: Vec<Context> = left_rows.into_iter().map(Context::Row).collect();
        let lateral = matches!(right, From::Query { lateral: true, .. });
        let fixed = if lateral { None } else { Some(self.from(right, scope)?) };
        // Without a row on the left, a lateral query shows its columns to a row of NULLs.
        let right_names = match &fixed {
            Some((names, _)) => names.clone(),
            None => {
                let nulls = [Context::Row(vec![Value::Null; left_names.len()])];
                self.from(right, &self.inner(scope, &left_names, &[], &nulls, 0))?.0
            }
        };
        let merge = merged(on, &left_names, &right_names)?;
        let names: Vec<Name> = left_names.iter().chain(&right_names).cloned().collect();
        if let (true, On::Condition(condition), Some((_, right_rows))) = (self.eager.get(), on, &fixed) {
            self.look_at_sides(condition, &left_contexts, right_rows, &names, scope)?;
        }
        let mut pairs: Vec<(Option<usize>, Row)> = Vec::new();
        let mut right_matched = vec![false; fixed.as_ref().map_or(0, |(_, rows)| rows.len())];
        for (at, context) in left_contexts.iter().enumerate() {
            let Context::Row(row) = context else { continue };
            let computed;
            let right_rows = match &fixed {
                Some((_, rows)) => rows,
                None => {
                    computed = self.from(right, &self.inner(scope, &left_names, &[], &left_contexts, at))?.1;
                    &computed
                }
            };
            let mut found = false;
            for (number, other) in right_rows.iter().enumerate() {
                let both = [Context::Row(row.iter().chain(other).cloned().collect())];
                let matched = self.checks_only;
                let matched = match on {
                    On::Condition(condition) => {
                        self.truth(condition, &self.inner(scope, &names, &[], &both, 0))? == Some(true) || matched
                    }
                    _ if matched => true,
                    _ => merge.iter().all(|(l, r)| row[*l].compare(&other[*r]) == Some(std::cmp::Ordering::Equal)),
                };
                self.spend()?;
                if matched {
                    found = true;
                    if let Some(matched) = right_matched.get_mut(number) {
                        *matched = true;
                    }
                    let [Context::Row(both)] = both else { continue };
                    pairs.push((Some(at), both));
                }
            }
            if !found && matches!(kind, JoinKind::Left | JoinKind::Full) {
                let nulls = vec![Value::Null; right_names.len()];
                pairs.push((Some(at), row.iter().cloned().chain(nulls).collect()));
            }
        }
        if matches!(kind, JoinKind::Right | JoinKind::Full) {
            let Some((_, rows)) = &fixed else {
                return Err(Fault::Invalid("a lateral query on the side that is kept".into()));
            };
            for (row, _) in rows.iter().zip(&right_matched).filter(|(_, matched)| !**matched) {
                let nulls = vec![Value::Null; left_names.len()];
                pairs.push((None, nulls.into_iter().chain(row.iter().cloned()).collect()));
            }
        }
        if self.eager.get() {
            // What looks at one side alone may be computed before it is known whether its rows meet any.
            let nulls = |count: usize| vec![Value::Null; count];
            for context in &left_contexts {
                let Context::Row(row) = context else { continue };
                pairs.push((None, row.iter().cloned().chain(nulls(right_names.len())).collect()));
            }
            for row in fixed.iter().flat_map(|(_, rows)| rows) {
                pairs.push((None, nulls(left_names.len()).into_iter().chain(row.iter().cloned()).collect()));
            }
        }
        let rows = pairs.into_iter().map(|(_, row)| row).collect();
        Ok(merge_columns(kind, names, rows, &merge, left_names.len()))
    }
}

impl Evaluator<'_> {
    /// Evaluates a join's condition for every row of one side alone: what an equality compares may be computed before it
    /// is known which rows meet.
    fn look_at_sides(
        &self,
        condition: &Expr,
        left: &[Context],
        right: &[Row],
        names: &[Name],
        scope: &Scope,
    ) -> Answer<()> {
        let width = right.first().map_or(0, Vec::len);
        let before = vec![Value::Null; names.len() - width];
        let lefts = left.iter().filter_map(|context| match context {
            Context::Row(row) => {
                Some(row.iter().cloned().chain(std::iter::repeat(Value::Null)).take(names.len()).collect())
            }
            Context::Group { .. } => None,
        });
        let rights = right.iter().map(|row| before.iter().chain(row).cloned().collect());
        for row in lefts.chain(rights) {
            let contexts = [Context::Row(row)];
            self.truth(condition, &self.inner(scope, names, &[], &contexts, 0))?;
        }
        Ok(())
    }
}

/// Which of equal rows comes first is open, and two window functions with orders of their own may take them in turn.
fn refuse_open_numbers(exprs: &[&Expr], contexts: &[Context]) -> Answer<()> {
    fn collect<'a>(expr: &'a Expr, windows: &mut Vec<&'a Window>) {
        if let Expr::Window(window) = expr
            && !windows.iter().any(|known| known.partition == window.partition && known.order == window.order)
        {
            windows.push(window);
        }
        expr.children().into_iter().for_each(|child| collect(child, windows));
    }
    let mut windows = Vec::new();
    exprs.iter().for_each(|expr| collect(expr, &mut windows));
    if windows.len() < 2 {
        return Ok(());
    }
    let mut seen = std::collections::BTreeSet::new();
    let twice = contexts.iter().any(|context| match context {
        Context::Row(row) => !seen.insert(row_key(row)),
        Context::Group { keys, .. } => !seen.insert(row_key(keys)),
    });
    if twice { Err(Fault::Open("two orders of equal rows".into())) } else { Ok(()) }
}

/// The pairs of columns that USING or NATURAL merges.
fn merged(on: &On, left: &[Name], right: &[Name]) -> Answer<Vec<(usize, usize)>> {
    let find = |names: &[Name], name: &str| -> Answer<usize> {
        let fitting: Vec<usize> = (0..names.len()).filter(|at| !names[*at].merged && names[*at].name == name).collect();
        match fitting.as_slice() {
            [at] => Ok(*at),
            _ => Err(Fault::Invalid(format!("USING {name} finds {} columns", fitting.len()))),
        }
    };
    let names: Vec<String> = match on {
        On::Using(names) => names.clone(),
        On::Natural => {
            let common =
                |name: &&Name| !name.merged && right.iter().any(|other| !other.merged && other.name == name.name);
            left.iter().filter(common).map(|name| name.name.clone()).collect()
        }
        On::Cross | On::Condition(_) => Vec::new(),
    };
    names.iter().map(|name| Ok((find(left, name)?, find(right, name)?))).collect()
}

/// Puts the merged columns in front and leaves the originals to their qualifiers.
fn merge_columns(
    kind: JoinKind,
    names: Vec<Name>,
    rows: Vec<Row>,
    merge: &[(usize, usize)],
    width: usize,
) -> (Vec<Name>, Vec<Row>) {
    let front = |(l, r): &(usize, usize)| {
        let is = match kind {
            JoinKind::Inner | JoinKind::Left => Some(&names[*l]),
            JoinKind::Right => Some(&names[width + *r]),
            JoinKind::Full => None,
        };
        let of = is.and_then(|is| is.of.clone().or(is.qualifier.clone()));
        Name { qualifier: None, name: names[*l].name.clone(), merged: false, of }
    };
    let mut front: Vec<Name> = merge.iter().map(front).collect();
    let originals = names.into_iter().enumerate().map(|(at, name)| {
        let merged = merge.iter().any(|(l, r)| at == *l || at == width + *r);
        Name { merged: name.merged || merged, ..name }
    });
    front.extend(originals);
    let longer = |row: Row| {
        let value = |(l, r): &(usize, usize)| if row[*l].is_null() { row[width + *r].clone() } else { row[*l].clone() };
        merge.iter().map(value).chain(row.iter().cloned()).collect()
    };
    (front, rows.into_iter().map(longer).collect())
}
