//! Rewrites of the syntax tree right before binding, for what DataFusion's binder would get wrong.
//!
//! - One column in two types has two names.
//! - Numbers with an exponent, or more digits than a decimal has, are doubles; all others are exact.
//! - The column of `RIGHT` or `FULL JOIN .. USING (k)` is the one that is not NULL, not always the left one.
//! - `ASOF JOIN` becomes an ordinary join with a marked condition ([`crate::plan::rewrite::asof`]).
//!
//! The tree stays valid SQL; places in the text are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Expr, Ident, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
    Value, VisitorMut,
};

use crate::base::decimal::{self, Parsed};
use crate::base::error::{Error, Result};
use crate::plan::rewrite::asof;
use crate::sql::walk::walk_mut;

/// The function around a cast that must not be called like its operand.
pub(crate) const NAMED_CAST: &str = "eddy_cast";

/// The function that the sql layer puts around the condition of ASOF LEFT JOIN.
const ASOF_LEFT: &str = "eddy_asof_left";

/// Gives the column names of a relation of the catalog.
pub(crate) type ColumnsOf<'a> = &'a dyn Fn(&str) -> Option<Vec<String>>;

/// Rewrites a query in place; `columns_of` knows the relations of the catalog.
pub(crate) fn rewrite(query: &mut Query, columns_of: ColumnsOf<'_>) -> Result<()> {
    let mut named = Named(BTreeMap::new());
    let _ = walk_mut(query, &mut named);
    let columns_of = &|name: &str| match named.0.get(name) {
        Some(columns) => columns.clone(),
        None => columns_of(name),
    };
    match walk_mut(query, &mut Rewrite { columns_of, named: Vec::new() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The names that WITH gives to queries, which hide relations of the catalog, with their columns where the text tells.
struct Named(BTreeMap<String, Option<Vec<String>>>);

impl VisitorMut for Named {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            let columns = aliased_columns(&table.query, Some(&table.alias));
            // One name for two queries: which is meant depends on the place.
            let columns = if self.0.contains_key(&normal(&table.alias.name)) { None } else { columns };
            self.0.insert(normal(&table.alias.name), columns);
        }
        ControlFlow::Continue(())
    }
}

struct Rewrite<'a> {
    columns_of: ColumnsOf<'a>,
    /// Per query that is being visited, whether the casts of its SELECT have names already.
    named: Vec<bool>,
}

impl VisitorMut for Rewrite<'_> {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if self.named.last() != Some(&true) {
            name_casts(select, &mut []);
        }
        match joins(select, self.columns_of) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if let Some(with) = query.with.as_mut().filter(|with| with.recursive) {
            with.cte_tables.iter_mut().for_each(|table| widen_anchor(&mut table.query.body));
        }
        self.named.push(matches!(query.body.as_ref(), SetExpr::Select(_)));
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        let keys = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
            Some(ast::OrderByKind::Expressions(keys)) => keys.as_mut_slice(),
            _ => &mut [],
        };
        name_casts(select, keys);
        if !keys.is_empty() {
            let shared = shared_columns(select, self.columns_of);
            for (name, merged) in merged_columns(select).into_iter().chain(shared) {
                // A key that names an output column means that one; it is merged already.
                if !names_output(select, &name) {
                    keys.iter_mut().for_each(|key| replace(&mut key.expr, &name, &merged));
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.named.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Value(value) = expr
            && let Value::Number(digits, _) = &value.value
            && is_double(digits)
        {
            let text = Value::SingleQuotedString(digits.replace('_', "")).with_span(value.span);
            *expr = Expr::Cast {
                kind: ast::CastKind::Cast,
                expr: Box::new(Expr::Value(text)),
                data_type: ast::DataType::DoublePrecision,
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    }
}

/// A recursive query has the types of its first branch. A decimal literal there is a start, not a measure of what comes:
/// it gets as many digits as results of arithmetic keep.
fn widen_anchor(body: &mut SetExpr) {
    let SetExpr::SetOperation { op: ast::SetOperator::Union, left, .. } = body else { return };
    let SetExpr::Select(select) = left.as_mut() else { return widen_anchor(left) };
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let literal = match &*expr {
            Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => expr.as_ref(),
            other => other,
        };
        if let Expr::Value(value) = literal
            && let Value::Number(digits, _) = &value.value
            && digits.contains('.')
            && !is_double(digits)
        {
            let start = std::mem::replace(expr, Expr::Value(Value::Null.into()));
            let widest = ast::ExactNumberInfo::PrecisionAndScale(38, 18);
            *expr = Expr::Cast {
                kind: ast::CastKind::Cast,
                expr: Box::new(start),
                data_type: ast::DataType::Decimal(widest),
                array: false,
                format: None,
            };
        }
    }
}

/// Whether a number is a DOUBLE: it has an exponent, or more digits than a DECIMAL. Others are exact.
fn is_double(digits: &str) -> bool {
    /// No number of so few characters has too many digits.
    const SHORT: usize = 38;
    digits.contains(['e', 'E'])
        || digits.len() > SHORT && decimal::parse(&digits.replace('_', "")).and_then(Parsed::exact).is_none()
}

// ---- names of casts ----

/// DataFusion calls `CAST(x AS T)` by the name of `x`, so that a SELECT cannot use `x` in two types. Where one does,
/// its casts of `x` get names of their own, in the keys it is ordered by too.
fn name_casts(select: &mut Select, order_by: &mut [ast::OrderByExpr]) {
    let mut uses = CastUses { of: BTreeMap::new(), depth: 0, name: None };
    visit_lists(select, order_by, &mut uses);
    let ambiguous: BTreeSet<String> =
        uses.of.into_iter().filter(|(_, types)| types.len() > 1).map(|(of, _)| of).collect();
    if !ambiguous.is_empty() {
        let mut uses = CastUses { of: BTreeMap::new(), depth: 0, name: Some(ambiguous) };
        visit_lists(select, order_by, &mut uses);
    }
}

/// Visits the expressions that name columns of a SELECT's result or groups.
fn visit_lists(select: &mut Select, order_by: &mut [ast::OrderByExpr], visitor: &mut CastUses) {
    if let Some(ast::Distinct::On(keys)) = &mut select.distinct {
        let _ = walk_mut(keys, visitor);
    }
    for key in order_by {
        let _ = walk_mut(key, visitor);
    }
    let _ = walk_mut(&mut select.projection, visitor);
    let _ = walk_mut(&mut select.group_by, visitor);
    let _ = walk_mut(&mut select.having, visitor);
    let _ = walk_mut(&mut select.qualify, visitor);
}

/// Collects in which types expressions are used, or wraps the casts of those in `name`.
struct CastUses {
    /// By expression, the types it is cast to; empty for its own, which the operand of a cast counts as too: the same
    /// column may stand elsewhere under another spelling.
    of: BTreeMap<String, BTreeSet<String>>,
    depth: usize,
    name: Option<BTreeSet<String>>,
}

impl VisitorMut for CastUses {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let (of, data_type) = match expr {
            Expr::Cast { expr, data_type, .. } => (expr.to_string(), data_type.to_string()),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => (expr.to_string(), String::new()),
            _ => return ControlFlow::Continue(()),
        };
        match &self.name {
            None => {
                self.of.entry(of).or_default().insert(data_type);
            }
            Some(ambiguous) if !data_type.is_empty() && ambiguous.contains(&of) => {
                let cast = std::mem::replace(expr, Expr::Value(Value::Null.into()));
                *expr = call(NAMED_CAST, vec![cast]);
            }
            Some(_) => {}
        }
        ControlFlow::Continue(())
    }
}

// ---- outer joins with USING ----

fn joins(select: &mut Select, columns_of: ColumnsOf<'_>) -> Result<()> {
    for table in &mut select.from {
        refuse_and_mark(table, columns_of)?;
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
        replace_in_select(select, &name, &merged);
    }
    for (name, left) in shared {
        replace_in_select(select, &name, &left);
    }
    Ok(())
}

/// The columns that inner and left joins with USING share, each as the left relation's: DataFusion finds them
/// ambiguous in WHERE, and in `*` it takes them from the relation that comes first in the alphabet.
fn shared_columns(select: &Select, columns_of: ColumnsOf<'_>) -> Vec<(Ident, Expr)> {
    let mut result: Vec<(Ident, Expr)> = vec![];
    for table in &select.from {
        let mut before = vec![&table.relation];
        for join in &table.joins {
            if is_right_or_full(&join.join_operator) {
                break;
            }
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
            before.push(&join.relation);
        }
    }
    result
}

/// What `*` means where joins have USING and the columns of all relations are known: the columns of USING once, where the
/// leftmost relation has them.
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
            SelectItem::Wildcard(options)
                if options.opt_exclude.is_none()
                    && options.opt_except.is_none()
                    && options.opt_replace.is_none()
                    && options.opt_ilike.is_none()
                    && options.opt_rename.is_none() =>
            {
                select.projection.extend(columns.iter().cloned());
            }
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

/// The columns of a query under an alias, where the text tells.
fn aliased_columns(query: &Query, alias: Option<&ast::TableAlias>) -> Option<Vec<String>> {
    let renamed = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
    if !renamed.is_empty() {
        return Some(renamed.iter().map(|column| normal(&column.name)).collect());
    }
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(query) => body = &query.body,
            SetExpr::Select(select) => {
                let names = select.projection.iter().map(|item| match item {
                    SelectItem::ExprWithAlias { alias, .. } => Some(normal(alias)),
                    SelectItem::UnnamedExpr(Expr::Identifier(column)) => Some(normal(column)),
                    SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(normal),
                    _ => None,
                });
                return names.collect();
            }
            _ => return None,
        }
    }
}

/// The columns of a relation of the catalog, or of a query whose text tells them.
pub(crate) fn columns_in(factor: &TableFactor, columns_of: ColumnsOf<'_>) -> Option<Vec<String>> {
    match factor {
        TableFactor::Table { alias: Some(alias), args: None, .. } if !alias.columns.is_empty() => {
            Some(alias.columns.iter().map(|column| normal(&column.name)).collect())
        }
        TableFactor::Table { name, args: None, .. } => match name.0.as_slice() {
            [only] => only.as_ident().and_then(|ident| columns_of(&normal(ident))),
            _ => None,
        },
        TableFactor::Derived { subquery, alias, .. } => aliased_columns(subquery, alias.as_ref()),
        _ => None,
    }
}

/// Marks as-of joins; refuses outer joins whose merged columns cannot be told from the syntax alone.
fn refuse_and_mark(table: &mut TableWithJoins, columns_of: ColumnsOf<'_>) -> Result<()> {
    let mut outer: Vec<Ident> = vec![];
    let mut before: Vec<Option<Ident>> = vec![relation_name(&table.relation)];
    let mut used: Vec<Ident> = vec![];
    for join in &mut table.joins {
        let right = relation_name(&join.relation);
        if let JoinOperator::AsOf { match_condition, constraint } = &mut join.join_operator {
            join.join_operator = as_of(match_condition, constraint, &before, &right)?;
        }
        let is_outer = is_right_or_full(&join.join_operator);
        if before.len() == 1 && matches!(constraint(&join.join_operator), Some(JoinConstraint::Natural)) {
            name_natural(&table.relation, &join.relation, &mut join.join_operator, columns_of);
        }
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

/// NATURAL as USING, where both sides are relations of the catalog.
fn name_natural(left: &TableFactor, right: &TableFactor, operator: &mut JoinOperator, columns_of: ColumnsOf<'_>) {
    let (Some(left), Some(right)) = (columns_in(left, columns_of), columns_in(right, columns_of)) else {
        return;
    };
    let common = left.into_iter().filter(|column| right.contains(column));
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
    for table in &select.from {
        let first = relation_name(&table.relation);
        for join in &table.joins {
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
    result
}

fn is_right_or_full(operator: &JoinOperator) -> bool {
    matches!(operator, JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_))
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
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

fn using_columns(names: &[ast::ObjectName]) -> Vec<Ident> {
    names.iter().filter_map(|name| name.0.last().and_then(|part| part.as_ident()).cloned()).collect()
}

pub(crate) fn relation_name(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, args: None, .. } => name.0.last().and_then(|part| part.as_ident()).cloned(),
        _ => None,
    }
}

fn same(left: &Ident, right: &Ident) -> bool {
    normal(left) == normal(right)
}

fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_none() { ident.value.to_lowercase() } else { ident.value.clone() }
}

fn names_output(select: &Select, name: &Ident) -> bool {
    select.projection.iter().any(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => same(alias, name),
        SelectItem::UnnamedExpr(Expr::Identifier(column)) => same(column, name),
        SelectItem::Wildcard(_) => true,
        _ => false,
    })
}

fn replace_in_select(select: &mut Select, name: &Ident, merged: &Expr) {
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                if matches!(expr, Expr::Identifier(column) if same(column, name)) {
                    *item = SelectItem::ExprWithAlias { expr: merged.clone(), alias: name.clone() };
                } else {
                    replace(expr, name, merged);
                }
            }
            SelectItem::ExprWithAlias { expr, .. } => replace(expr, name, merged),
            SelectItem::Wildcard(options) => replace_in_wildcard(options, name, merged),
            _ => {}
        }
    }
    if let Some(selection) = &mut select.selection {
        replace(selection, name, merged);
    }
    if let Some(ast::Distinct::On(keys)) = &mut select.distinct {
        keys.iter_mut().for_each(|key| replace(key, name, merged));
    }
    if let ast::GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.iter_mut().for_each(|key| replace(key, name, merged));
    }
    for condition in [&mut select.having, &mut select.qualify].into_iter().flatten() {
        replace(condition, name, merged);
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

/// Replaces the bare column `name` in an expression, not in its subqueries, which may have columns of that name.
fn replace(expr: &mut Expr, name: &Ident, merged: &Expr) {
    struct Replace<'a> {
        name: &'a Ident,
        merged: &'a Expr,
        depth: usize,
    }
    impl VisitorMut for Replace<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if self.depth == 0 && matches!(expr, Expr::Identifier(column) if same(column, self.name)) {
                *expr = self.merged.clone();
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(expr, &mut Replace { name, merged, depth: 0 });
}

fn call(function: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|argument| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument)));
    let list = ast::FunctionArgumentList { duplicate_treatment: None, args: args.collect(), clauses: vec![] };
    Expr::Function(ast::Function {
        name: vec![Ident::new(function)].into(),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

// ---- as-of joins ----

/// `ASOF JOIN` as a join ON the marked match condition and the other conditions.
fn as_of(
    match_condition: &Expr,
    constraint: &JoinConstraint,
    before: &[Option<Ident>],
    right: &Option<Ident>,
) -> Result<JoinOperator> {
    let (is_left, condition) = match match_condition {
        Expr::Function(function) if function.name.to_string() == ASOF_LEFT => match &function.args {
            ast::FunctionArguments::List(list) => match list.args.as_slice() {
                [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(condition))] => (true, condition.clone()),
                _ => return Err(Error::internal("the condition of ASOF LEFT JOIN is not one expression")),
            },
            _ => return Err(Error::internal("the condition of ASOF LEFT JOIN is not one expression")),
        },
        other => (false, other.clone()),
    };
    let marked = call(asof::MARK, vec![condition]);
    let and = |left: Expr, right: Expr| Expr::BinaryOp {
        left: Box::new(left),
        op: ast::BinaryOperator::And,
        right: Box::new(right),
    };
    let on = match constraint {
        JoinConstraint::None => marked,
        JoinConstraint::On(condition) => and(marked, Expr::Nested(Box::new(condition.clone()))),
        JoinConstraint::Using(names) => {
            let ([Some(left)], Some(right)) = (before, right) else {
                return Err(Error::unsupported("ASOF JOIN with USING needs one named relation on each side")
                    .with_hint("write the conditions with ON"));
            };
            using_columns(names).into_iter().fold(marked, |on, name| {
                let of = |relation: &Ident| Expr::CompoundIdentifier(vec![relation.clone(), name.clone()]);
                let equal = Expr::BinaryOp {
                    left: Box::new(of(left)),
                    op: ast::BinaryOperator::Eq,
                    right: Box::new(of(right)),
                };
                and(on, equal)
            })
        }
        JoinConstraint::Natural => return Err(Error::unsupported("NATURAL ASOF JOIN is not supported")),
    };
    let on = JoinConstraint::On(on);
    Ok(if is_left { JoinOperator::LeftOuter(on) } else { JoinOperator::Inner(on) })
}
