//! The columns that joins with USING share.
//!
//! The column of `RIGHT` or `FULL JOIN .. USING (k)` is the one that is not NULL, not always the left one, as it would
//! be to DataFusion's binder; of inner and left joins it is the left one, wherever it stands.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Expr, Ident, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
    Visitor, VisitorMut,
};

use super::Binder;
use super::columns::{ColumnsOf, columns_in, constraint, is_plain, joined_columns, known_columns, with_columns};
use crate::base::error::{Error, Result};
use crate::sql::name::normal;
use crate::sql::rewrite::build::{call, relation_name, using_columns};
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
            let shared = shared_columns(select, self.columns_of);
            for (name, merged) in merged_columns(select).into_iter().chain(shared) {
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
    for table in &mut select.from {
        refuse(table, columns_of)?;
        name_in_joins(table, columns_of);
    }
    let (merged, shared) = (merged_columns(select), shared_columns(select, columns_of));
    match all_columns(select, &merged, &shared, columns_of) {
        Some(columns) => expand_wildcards(select, &columns),
        None => {
            for item in &mut select.projection {
                if let SelectItem::Wildcard(options) = item {
                    shared.iter().for_each(|(name, left)| replace_in_wildcard(options, name, left));
                }
            }
        }
    }
    for (name, merged) in merged {
        replace_in_select(select, &name, &merged, columns_of);
    }
    for (name, left) in shared {
        replace_in_select(select, &name, &left, columns_of);
    }
    Ok(())
}

/// The columns that inner and left joins with USING share, each as the left relation's: DataFusion finds them
/// ambiguous in WHERE, and in `*` it takes them from the relation that comes first in the alphabet.
fn shared_columns(select: &Select, columns_of: ColumnsOf<'_>) -> Vec<(Ident, Expr)> {
    let mut result = vec![];
    select.from.iter().for_each(|table| shared_in(table, columns_of, &mut result));
    result
}

fn shared_in(table: &TableWithJoins, columns_of: ColumnsOf<'_>, result: &mut Vec<(Ident, Expr)>) {
    let mut before = vec![];
    part_in(&table.relation, &mut before);
    nested(&table.relation).into_iter().for_each(|table| shared_in(table, columns_of, result));
    for join in &table.joins {
        if is_right_or_full(&join.join_operator) {
            break;
        }
        nested(&join.relation).into_iter().for_each(|table| shared_in(table, columns_of, result));
        let names = match constraint(&join.join_operator) {
            Some(JoinConstraint::Using(names)) => using_columns(names),
            _ => vec![],
        };
        for name in names {
            let known = result.iter().any(|(known, _)| same(known, &name));
            if let (false, Some(owner)) = (known, owner(&before, &name, columns_of)) {
                let left = Expr::CompoundIdentifier(vec![owner, name.clone()]);
                result.push((name, left));
            }
        }
        part_in(&join.relation, &mut before);
    }
}

/// The joins in parentheses, whose relations keep their names outside.
fn nested(factor: &TableFactor) -> Option<&TableWithJoins> {
    match factor {
        TableFactor::NestedJoin { table_with_joins, alias: None } => Some(table_with_joins),
        _ => None,
    }
}

/// The relations that a factor names.
fn part_in<'a>(factor: &'a TableFactor, relations: &mut Vec<&'a TableFactor>) {
    match nested(factor) {
        Some(table) => {
            part_in(&table.relation, relations);
            table.joins.iter().for_each(|join| part_in(&join.relation, relations));
        }
        None => relations.push(factor),
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
        let columns = merged_and_shared(&before, columns_of);
        if let TableFactor::Derived { lateral: true, subquery, .. } = &mut table.joins[at].relation {
            for (name, value) in &columns {
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
            for (name, value) in merged_and_shared(&before, columns_of) {
                replace(condition, &name, &value, columns_of);
            }
        }
    }
}

fn merged_and_shared(table: &TableWithJoins, columns_of: ColumnsOf<'_>) -> Vec<(Ident, Expr)> {
    let mut result = vec![];
    merged_in(table, &mut result);
    shared_in(table, columns_of, &mut result);
    result
}

/// What `*` means where joins have USING and the columns of all relations are known: the columns of USING once, where
/// the leftmost relation has them.
fn all_columns(
    select: &Select,
    merged: &[(Ident, Expr)],
    shared: &[(Ident, Expr)],
    columns_of: ColumnsOf<'_>,
) -> Option<Vec<SelectItem>> {
    let mut items = vec![];
    let mut uses_using = false;
    for table in &select.from {
        let mut given: Vec<Ident> = vec![];
        let joins = table.joins.iter().map(|join| (&join.relation, constraint(&join.join_operator)));
        for (relation, constraint) in std::iter::once((&table.relation, None)).chain(joins) {
            let using = match constraint {
                Some(JoinConstraint::Using(names)) => using_columns(names),
                Some(JoinConstraint::Natural) => return None,
                _ => vec![],
            };
            uses_using |= !using.is_empty();
            let owner = relation_name(relation)?;
            for column in columns_in(relation, columns_of)? {
                let alias = Ident::with_quote('"', column);
                if using.iter().any(|name| same(name, &alias)) {
                    continue;
                }
                let is_key = |(name, _): &&(Ident, Expr)| same(name, &alias);
                let key = merged.iter().find(is_key).or_else(|| shared.iter().find(is_key));
                let expr = match key {
                    Some((_, value)) if !given.iter().any(|given| same(given, &alias)) => {
                        given.push(alias.clone());
                        value.clone()
                    }
                    _ => Expr::CompoundIdentifier(vec![owner.clone(), alias.clone()]),
                };
                // Without an alias a column keeps its relation, so that two of one name may stand in one list.
                items.push(match expr {
                    Expr::CompoundIdentifier(_) => SelectItem::UnnamedExpr(expr),
                    expr => SelectItem::ExprWithAlias { expr, alias },
                });
            }
        }
    }
    uses_using.then_some(items)
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

/// Refuses outer joins whose merged columns cannot be told from the syntax alone.
fn refuse(table: &mut TableWithJoins, columns_of: ColumnsOf<'_>) -> Result<()> {
    let joined = table.joins.iter_mut().map(|join| &mut join.relation);
    for factor in std::iter::once(&mut table.relation).chain(joined) {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            refuse(table_with_joins, columns_of)?;
        }
    }
    let mut outer: Vec<Ident> = vec![];
    let mut before: Vec<Option<Ident>> = vec![relation_name(&table.relation)];
    let mut left = joined_columns(&table.relation, columns_of);
    let mut used: Vec<Ident> = vec![];
    for join in &mut table.joins {
        let right = relation_name(&join.relation);
        let is_outer = is_right_or_full(&join.join_operator);
        let joined = joined_columns(&join.relation, columns_of);
        if matches!(constraint(&join.join_operator), Some(JoinConstraint::Natural)) {
            name_natural(left.as_deref(), joined.as_deref(), &mut join.join_operator);
        }
        left = with_columns(left, joined, &join.join_operator);
        match constraint(&join.join_operator) {
            Some(JoinConstraint::Using(names)) => {
                for name in using_columns(names) {
                    let known = before.len() == 1 || used.iter().any(|used| same(used, &name));
                    let unnamed = right.is_none() || before.first().is_none_or(Option::is_none);
                    if outer.iter().any(|outer| same(outer, &name)) || is_outer && (!known || unnamed) {
                        return Err(Error::unsupported(format!(
                            "USING ({name}) with this outer join is not supported"
                        ))
                        .with_hint("write the condition with ON"));
                    }
                    if is_outer {
                        outer.push(name.clone());
                    }
                    used.push(name);
                }
            }
            Some(JoinConstraint::Natural) if is_outer => {
                return Err(Error::unsupported("NATURAL RIGHT and FULL JOIN are not supported")
                    .with_hint("name the columns with USING"));
            }
            _ => {}
        }
        before.push(right);
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

/// The columns that outer joins with USING merge, each with the expression that is its value.
fn merged_columns(select: &Select) -> Vec<(Ident, Expr)> {
    let mut result = vec![];
    select.from.iter().for_each(|table| merged_in(table, &mut result));
    result
}

fn merged_in(table: &TableWithJoins, result: &mut Vec<(Ident, Expr)>) {
    nested(&table.relation).into_iter().for_each(|table| merged_in(table, result));
    let first = relation_name(&table.relation);
    for join in &table.joins {
        nested(&join.relation).into_iter().for_each(|table| merged_in(table, result));
        let Some(JoinConstraint::Using(names)) = constraint(&join.join_operator) else { continue };
        let (Some(left), Some(right)) = (&first, relation_name(&join.relation)) else { continue };
        if !is_right_or_full(&join.join_operator) {
            continue;
        }
        for name in using_columns(names) {
            let of = |relation: &Ident| Expr::CompoundIdentifier(vec![relation.clone(), name.clone()]);
            let value = match &join.join_operator {
                JoinOperator::FullOuter(_) => call("coalesce", vec![of(left), of(&right)]),
                _ => of(&right),
            };
            result.push((name, value));
        }
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
