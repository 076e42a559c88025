//! The columns that joins with USING share.
//!
//! The column of `RIGHT` or `FULL JOIN .. USING (k)` is the one that is not NULL, not always the left one, as it would
//! be to DataFusion's binder; of inner and left joins it is the left one, wherever it stands. A join whose side has
//! merged the column in such a way compares by what it is there, so its USING becomes a condition.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, BinaryOperator, Expr, Ident, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Visitor, VisitorMut,
};

use super::Binder;
use super::columns::{ColumnsOf, columns_in, constraint, is_plain, joined_columns, known_columns, with_columns};
use crate::base::error::{Error, Result};
use crate::sql::name::normal;
use crate::sql::rewrite::build::{and, call, relation_name, using_columns};
use crate::sql::walk::{expressions_mut, walk, walk_mut};

/// Replaces such columns in the query by what they mean.
pub(super) fn merge(query: &mut Query, binder: &Binder<'_>) -> Result<()> {
    let columns_of = &known_columns(query, binder);
    match walk_mut(query, &mut Merge { columns_of }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Merge<'a> {
    columns_of: ColumnsOf<'a>,
}

impl VisitorMut for Merge<'_> {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match joins(select, self.columns_of) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        if let Some(ast::OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order_by| &mut order_by.kind)
            && !keys.is_empty()
        {
            if let Err(error) = name_all_natural(select, self.columns_of) {
                return ControlFlow::Break(error);
            }
            for Key { name, value: merged, .. } in keys_of(select, self.columns_of) {
                // A key that names an output column means that one; it is merged already.
                if !names_output(select, &name) {
                    keys.iter_mut().for_each(|key| replace(&mut key.expr, &name, &merged, self.columns_of));
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn joins(select: &mut Select, columns_of: ColumnsOf<'_>) -> Result<()> {
    name_all_natural(select, columns_of)?;
    select.from.iter_mut().for_each(|table| name_in_joins(table, columns_of));
    let keys = keys_of(select, columns_of);
    if let Some(columns) = all_columns(select, columns_of).filter(|_| !keys.is_empty()) {
        expand_wildcards(select, &columns);
    }
    let mut compared = false;
    for table in &mut select.from {
        compared |= compare(table, columns_of)?;
    }
    if compared && select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_))) {
        return Err(
            Error::unsupported("this * over outer joins with USING is not supported").with_hint("name the columns")
        );
    }
    for Key { name, value, .. } in keys {
        replace_in_select(select, &name, &value, columns_of);
    }
    Ok(())
}

/// A column that joins merge.
#[derive(Clone)]
struct Key {
    name: Ident,
    /// What it is, of the relations that have it.
    value: Expr,
    /// Whether it may be another than that of the first relation, for which DataFusion takes it.
    is_of_outer: bool,
}

/// The columns that the joins of a SELECT merge.
fn keys_of(select: &Select, columns_of: ColumnsOf<'_>) -> Vec<Key> {
    select.from.iter().flat_map(|table| Side::of_table(table, columns_of).keys).collect()
}

/// A side of a join.
struct Side<'a> {
    relations: Vec<&'a TableFactor>,
    keys: Vec<Key>,
}

impl<'a> Side<'a> {
    fn of(factor: &'a TableFactor, columns_of: ColumnsOf<'_>) -> Side<'a> {
        match nested(factor) {
            Some(table) => Side::of_table(table, columns_of),
            None => Side { relations: vec![factor], keys: vec![] },
        }
    }

    fn of_table(table: &'a TableWithJoins, columns_of: ColumnsOf<'_>) -> Side<'a> {
        let first = Side::of(&table.relation, columns_of);
        table.joins.iter().fold(first, |left, join| {
            left.joined(Side::of(&join.relation, columns_of), &join.join_operator, columns_of)
        })
    }

    /// What a column of USING is on this side, if that can be told.
    fn key(&self, name: &Ident, columns_of: ColumnsOf<'_>) -> Option<Key> {
        self.keys.iter().find(|key| same(&key.name, name)).cloned().or_else(|| {
            let owner = owner(&self.relations, name, columns_of)?;
            let value = Expr::CompoundIdentifier(vec![owner, name.clone()]);
            Some(Key { name: name.clone(), value, is_of_outer: false })
        })
    }

    fn joined(mut self, right: Side<'a>, operator: &JoinOperator, columns_of: ColumnsOf<'_>) -> Side<'a> {
        match kept(operator) {
            Kept::Left => return self,
            Kept::Right => return right,
            Kept::Both => {}
        }
        let merged = using(operator).into_iter().filter_map(|name| {
            let left = self.key(&name, columns_of);
            let is_of_outer = is_right_or_full(operator);
            match (left, right.key(&name, columns_of)) {
                (Some(left), Some(right)) => {
                    let is_of_outer = is_of_outer || left.is_of_outer || right.is_of_outer;
                    Some(Key { name, value: merged(operator, left.value, right.value), is_of_outer })
                }
                (left, _) => left.filter(|left| !is_of_outer && !left.is_of_outer),
            }
        });
        let mut keys: Vec<Key> = merged.collect();
        for key in self.keys.into_iter().chain(right.keys) {
            if !keys.iter().any(|known| same(&known.name, &key.name)) {
                keys.push(key);
            }
        }
        self.relations.extend(right.relations);
        Side { relations: self.relations, keys }
    }
}

/// What a join makes of a column of both sides.
fn merged(operator: &JoinOperator, left: Expr, right: Expr) -> Expr {
    match operator {
        JoinOperator::FullOuter(_) => call("coalesce", vec![left, right]),
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => right,
        _ => left,
    }
}

/// The sides of a join whose columns it has.
enum Kept {
    Left,
    Right,
    Both,
}

fn kept(operator: &JoinOperator) -> Kept {
    match operator {
        JoinOperator::Semi(_) | JoinOperator::LeftSemi(_) | JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) => {
            Kept::Left
        }
        JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => Kept::Right,
        _ => Kept::Both,
    }
}

fn using(operator: &JoinOperator) -> Vec<Ident> {
    match constraint(operator) {
        Some(JoinConstraint::Using(names)) => using_columns(names),
        _ => vec![],
    }
}

/// Writes USING as a condition where a side has a column that an outer join in it merged; tells whether any is.
fn compare(table: &mut TableWithJoins, columns_of: ColumnsOf<'_>) -> Result<bool> {
    let mut conditions = vec![];
    let mut left = Side::of(&table.relation, columns_of);
    for join in &table.joins {
        let right = Side::of(&join.relation, columns_of);
        let mut pairs = vec![];
        let mut is_needed = false;
        for name in using(&join.join_operator) {
            let keys = [left.key(&name, columns_of), right.key(&name, columns_of)];
            let is_of_outer = keys.iter().flatten().any(|key| key.is_of_outer);
            let [Some(own), Some(other)] = keys else {
                if is_of_outer || is_right_or_full(&join.join_operator) {
                    let message = format!("USING ({name}) with this outer join is not supported");
                    return Err(Error::unsupported(message).with_hint("write the condition with ON"));
                }
                continue;
            };
            is_needed |= is_of_outer;
            pairs.push(equal(own.value, other.value));
        }
        conditions.push(pairs.into_iter().reduce(and).filter(|_| is_needed));
        left = left.joined(right, &join.join_operator, columns_of);
    }
    let mut compared = conditions.iter().any(Option::is_some);
    for (join, condition) in table.joins.iter_mut().zip(conditions) {
        if let (Some(condition), Some(constraint)) = (condition, constraint_mut(&mut join.join_operator)) {
            *constraint = JoinConstraint::On(condition);
        }
    }
    for factor in std::iter::once(&mut table.relation).chain(table.joins.iter_mut().map(|join| &mut join.relation)) {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            compared |= compare(table_with_joins, columns_of)?;
        }
    }
    Ok(compared)
}

fn equal(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Eq, right: Box::new(right) }
}

/// The joins in parentheses, whose relations keep their names outside.
fn nested(factor: &TableFactor) -> Option<&TableWithJoins> {
    match factor {
        TableFactor::NestedJoin { table_with_joins, alias: None } => Some(table_with_joins),
        _ => None,
    }
}

/// Names the relation of such columns in the conditions of later joins, and in LATERAL.
fn name_in_joins(table: &mut TableWithJoins, columns_of: ColumnsOf<'_>) {
    if let TableFactor::NestedJoin { table_with_joins, .. } = &mut table.relation {
        name_in_joins(table_with_joins, columns_of);
    }
    for at in 0..table.joins.len() {
        if let TableFactor::NestedJoin { table_with_joins, .. } = &mut table.joins[at].relation {
            name_in_joins(table_with_joins, columns_of);
        }
        let mut before = TableWithJoins { relation: table.relation.clone(), joins: table.joins[..at].to_vec() };
        let keys = Side::of_table(&before, columns_of).keys;
        if let TableFactor::Derived { lateral: true, subquery, .. } = &mut table.joins[at].relation {
            for Key { name, value, .. } in &keys {
                if !hides(subquery, name, columns_of) {
                    replace_everywhere(subquery, name, value);
                }
            }
        }
        before.joins.extend(nested(&table.joins[at].relation).map(|_| ast::Join {
            join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
            ..table.joins[at].clone()
        }));
        if let Some(JoinConstraint::On(condition)) = constraint_mut(&mut table.joins[at].join_operator) {
            for Key { name, value, .. } in Side::of_table(&before, columns_of).keys {
                replace(condition, &name, &value, columns_of);
            }
        }
    }
}

/// What `*` means where the columns of all relations are known: the columns of USING once, where the leftmost relation
/// has them.
fn all_columns(select: &Select, columns_of: ColumnsOf<'_>) -> Option<Vec<SelectItem>> {
    let mut items = vec![];
    for table in &select.from {
        // Without an alias a column keeps its relation, so that two of one name may stand in one list.
        items.extend(columns_of_table(table, columns_of)?.into_iter().map(|(alias, expr)| match expr {
            Expr::CompoundIdentifier(_) => SelectItem::UnnamedExpr(expr),
            expr => SelectItem::ExprWithAlias { expr, alias },
        }));
    }
    Some(items)
}

fn columns_of_table(table: &TableWithJoins, columns_of: ColumnsOf<'_>) -> Option<Vec<(Ident, Expr)>> {
    let mut columns = columns_of_factor(&table.relation, columns_of)?;
    for join in &table.joins {
        let mut right = match kept(&join.join_operator) {
            Kept::Left => continue,
            Kept::Right => {
                columns = columns_of_factor(&join.relation, columns_of)?;
                continue;
            }
            Kept::Both => columns_of_factor(&join.relation, columns_of)?,
        };
        if matches!(constraint(&join.join_operator), Some(JoinConstraint::Natural)) {
            return None;
        }
        for name in using(&join.join_operator) {
            let at = |side: &[(Ident, Expr)]| side.iter().position(|(column, _)| same(column, &name));
            let own = at(&columns)?;
            let (_, value) = right.remove(at(&right)?);
            columns[own].1 = merged(&join.join_operator, columns[own].1.clone(), value);
        }
        columns.extend(right);
    }
    Some(columns)
}

fn columns_of_factor(factor: &TableFactor, columns_of: ColumnsOf<'_>) -> Option<Vec<(Ident, Expr)>> {
    if let Some(table) = nested(factor) {
        return columns_of_table(table, columns_of);
    }
    let owner = relation_name(factor)?;
    let columns = columns_in(factor, columns_of)?.into_iter().map(|column| {
        let name = Ident::with_quote('"', column);
        (name.clone(), Expr::CompoundIdentifier(vec![owner.clone(), name]))
    });
    Some(columns.collect())
}

/// Puts the columns in place of every `*` that takes them as they are.
fn expand_wildcards(select: &mut Select, columns: &[SelectItem]) {
    let items = std::mem::take(&mut select.projection);
    for item in items {
        match item {
            SelectItem::Wildcard(options) if is_plain(&options) => select.projection.extend(columns.iter().cloned()),
            item => select.projection.push(item),
        }
    }
}

/// Which of these relations has the column, if that can be told.
fn owner(relations: &[&TableFactor], column: &Ident, columns_of: ColumnsOf<'_>) -> Option<Ident> {
    if let [only] = relations {
        return relation_name(only);
    }
    let mut owners = relations.iter().filter(|relation| {
        let columns = columns_in(relation, columns_of).unwrap_or_default();
        columns.into_iter().any(|name| same(&Ident::with_quote('"', name), column))
    });
    match (owners.next(), owners.next()) {
        (Some(owner), None) => relation_name(owner),
        _ => None,
    }
}

/// Names the columns of all NATURAL joins, where they are known.
fn name_all_natural(select: &mut Select, columns_of: ColumnsOf<'_>) -> Result<()> {
    select.from.iter_mut().try_for_each(|table| name_natural_in(table, columns_of))
}

fn name_natural_in(table: &mut TableWithJoins, columns_of: ColumnsOf<'_>) -> Result<()> {
    let joined = table.joins.iter_mut().map(|join| &mut join.relation);
    for factor in std::iter::once(&mut table.relation).chain(joined) {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            name_natural_in(table_with_joins, columns_of)?;
        }
    }
    let mut left = joined_columns(&table.relation, columns_of);
    for join in &mut table.joins {
        let joined = joined_columns(&join.relation, columns_of);
        if matches!(constraint(&join.join_operator), Some(JoinConstraint::Natural)) {
            name_natural(left.as_deref(), joined.as_deref(), &mut join.join_operator);
        }
        left = with_columns(left, joined, &join.join_operator);
        if matches!(constraint(&join.join_operator), Some(JoinConstraint::Natural))
            && is_right_or_full(&join.join_operator)
        {
            return Err(Error::unsupported("NATURAL RIGHT and FULL JOIN are not supported")
                .with_hint("name the columns with USING"));
        }
    }
    Ok(())
}

/// NATURAL as USING, where the columns of both sides are known, and those that they share stand once in each.
fn name_natural(left: Option<&[String]>, right: Option<&[String]>, operator: &mut JoinOperator) {
    let (Some(left), Some(right)) = (left, right) else { return };
    let common = left.iter().filter(|column| right.contains(column));
    let times = |side: &[String], column: &String| side.iter().filter(|other| *other == column).count();
    if common.clone().any(|column| times(left, column) + times(right, column) > 2) {
        return;
    }
    let names: Vec<ast::ObjectName> = common.map(|column| vec![Ident::with_quote('"', column)].into()).collect();
    if let JoinOperator::Join(constraint)
    | JoinOperator::Inner(constraint)
    | JoinOperator::Left(constraint)
    | JoinOperator::LeftOuter(constraint)
    | JoinOperator::Right(constraint)
    | JoinOperator::RightOuter(constraint)
    | JoinOperator::FullOuter(constraint) = operator
        && !names.is_empty()
    {
        *constraint = JoinConstraint::Using(names);
    }
}

fn is_right_or_full(operator: &JoinOperator) -> bool {
    matches!(operator, JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_))
}

fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

fn same(left: &Ident, right: &Ident) -> bool {
    normal(left) == normal(right)
}

fn names_output(select: &Select, name: &Ident) -> bool {
    select.projection.iter().any(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => same(alias, name),
        SelectItem::UnnamedExpr(Expr::Identifier(column)) => same(column, name),
        SelectItem::Wildcard(_) => true,
        _ => false,
    })
}

fn replace_in_select(select: &mut Select, name: &Ident, merged: &Expr, columns_of: ColumnsOf<'_>) {
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                if matches!(expr, Expr::Identifier(column) if same(column, name)) {
                    *item = SelectItem::ExprWithAlias { expr: merged.clone(), alias: name.clone() };
                } else {
                    replace(expr, name, merged, columns_of);
                }
            }
            SelectItem::ExprWithAlias { expr, .. } => replace(expr, name, merged, columns_of),
            SelectItem::Wildcard(options) => replace_in_wildcard(options, name, merged),
            _ => {}
        }
    }
    if let Some(selection) = &mut select.selection {
        replace(selection, name, merged, columns_of);
    }
    if let Some(ast::Distinct::On(keys)) = &mut select.distinct {
        keys.iter_mut().for_each(|key| replace(key, name, merged, columns_of));
    }
    if let ast::GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.iter_mut().for_each(|key| replace(key, name, merged, columns_of));
    }
    for condition in [&mut select.having, &mut select.qualify].into_iter().flatten() {
        replace(condition, name, merged, columns_of);
    }
}

/// `*` as `* REPLACE (merged AS name)`, unless the user replaces the column.
fn replace_in_wildcard(options: &mut ast::WildcardAdditionalOptions, name: &Ident, merged: &Expr) {
    let items = &mut options.opt_replace.get_or_insert(ast::ReplaceSelectItem { items: vec![] }).items;
    if !items.iter().any(|item| same(&item.column_name, name)) {
        let column_name = name.clone();
        items.push(Box::new(ast::ReplaceSelectElement { expr: merged.clone(), column_name, as_keyword: true }));
    }
}

/// Replaces the bare column `name` in an expression, in its subqueries where none of their own columns may be meant.
fn replace(expr: &mut Expr, name: &Ident, merged: &Expr, columns_of: ColumnsOf<'_>) {
    struct Replace<'a> {
        name: &'a Ident,
        merged: &'a Expr,
        columns_of: ColumnsOf<'a>,
        hidden: usize,
    }
    impl VisitorMut for Replace<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            if self.hidden > 0 || hides(query, self.name, self.columns_of) {
                self.hidden += 1;
            }
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.hidden = self.hidden.saturating_sub(1);
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if self.hidden == 0 && matches!(expr, Expr::Identifier(column) if same(column, self.name)) {
                *expr = self.merged.clone();
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(expr, &mut Replace { name, merged, columns_of, hidden: 0 });
}

fn replace_everywhere(query: &mut Query, name: &Ident, merged: &Expr) {
    expressions_mut(query, |expr| {
        if matches!(expr, Expr::Identifier(column) if same(column, name)) {
            *expr = merged.clone();
        }
    });
}

/// Whether the bare name may mean something in a query: a column of a relation in it, or an item.
pub(super) fn hides(query: &Query, name: &Ident, columns_of: ColumnsOf<'_>) -> bool {
    struct Seek<'a> {
        name: &'a Ident,
        columns_of: ColumnsOf<'a>,
    }
    impl Visitor for Seek<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            let found = match (factor, columns_in(factor, self.columns_of)) {
                (TableFactor::NestedJoin { alias: None, .. }, _) => false,
                (_, Some(columns)) => columns.contains(&normal(self.name)),
                (_, None) => true,
            };
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }

        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            if names_output(select, self.name) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    walk(query, &mut Seek { name, columns_of }).is_break()
}
