//! The friendly rewrites: from the SQL people type to the SQL that is planned, on syntax trees alone.
//!
//! After [`rewrite`] a tree holds no GROUP BY ALL or ORDER BY ALL (unless a `*` beside it hides the columns; the
//! planner expands those), no `EXCEPT ALL` and `INTERSECT ALL` (they are calls of the table functions
//! `eddy_except_all` and `eddy_intersect_all`, whose arguments are subqueries), no `now()` (it is the parameter
//! `$__now`), one positional form of TUMBLE, HOP, CUMULATE and SESSION (see `window_call`), and a name for every
//! output column. Syntax that the planner would silently ignore is refused here.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    GroupByExpr, Ident, JoinConstraint, JoinOperator, LimitClause, Offset, OrderByExpr, OrderByKind, Query, Select,
    SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned, Subscript, TableFactor, TableFunctionArgs,
    TableWithJoins, TimezoneInfo, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Span;

use super::aggregates::{Contents, contents};
use super::error::{located, place, syntax, unsupported};
use super::name::normal;
use super::source::position;
use super::tokens::{ASOF_LEFT_ON, ASOF_ON, NOW};
use super::window_call;
use crate::base::error::{Error, Result};
use crate::sql::walk::walk_mut;

/// The table function that `EXCEPT ALL` becomes.
const EXCEPT_ALL: &str = "eddy_except_all";
/// The table function that `INTERSECT ALL` becomes.
const INTERSECT_ALL: &str = "eddy_intersect_all";
/// The function around the match condition of `ASOF LEFT JOIN`.
const ASOF_LEFT: &str = "eddy_asof_left";

/// The longest name that an unnamed column gets, in bytes.
const NAME_BYTES_MAX: usize = 250;

/// Rewrites a query or expression in place.
pub(super) fn rewrite(node: &mut impl VisitMut) -> Result<()> {
    match walk_mut(node, &mut Friendly) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Rewrites the FROM of an UPDATE or the USING of a DELETE.
pub(super) fn rewrite_from(from: &mut Vec<TableWithJoins>) -> Result<()> {
    joins(from)?;
    rewrite(from)
}

struct Friendly;

impl VisitorMut for Friendly {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        flow(query_clauses(query).and_then(|()| set_operations(&mut query.body)))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        flow(self::select(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        flow(table_factor(factor))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Function(_) => function(expr),
            Expr::CompoundFieldAccess { root, access_chain } => fields_by_text(root, access_chain),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

// ---- queries ----

fn query_clauses(query: &mut Query) -> Result<()> {
    if !query.locks.is_empty() || query.for_clause.is_some() {
        return Err(unsupported("FOR UPDATE and the like are not supported", place(query))
            .with_hint("every transaction is serializable: no row needs a lock"));
    }
    if let SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) = query.body.as_ref() {
        return Err(unsupported("a query cannot change data", place(query))
            .with_hint("write INSERT INTO ... WITH ... SELECT, and every change as its own statement"));
    }
    fetch_as_limit(query)?;
    order_by_all(query);
    order_by_numbers(query);
    order_by_distinct(query);
    Ok(())
}

/// `FETCH FIRST n ROWS ONLY` is LIMIT.
fn fetch_as_limit(query: &mut Query) -> Result<()> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.with_ties || fetch.percent {
        return Err(unsupported("FETCH with PERCENT or WITH TIES is not supported", place(query)));
    }
    let rows = fetch.quantity.unwrap_or_else(|| number(1));
    let offset: Option<Offset> = match query.limit_clause.take() {
        None => None,
        Some(LimitClause::LimitOffset { limit: None, offset, .. }) => offset,
        Some(_) => return Err(syntax("LIMIT and FETCH cannot be given together", place(query))),
    };
    query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(rows), offset, limit_by: Vec::new() });
    Ok(())
}

/// ORDER BY ALL: by every output column, from the left.
fn order_by_all(query: &mut Query) {
    let Some(order_by) = &mut query.order_by else { return };
    let OrderByKind::All(options) = &order_by.kind else { return };
    let Some(columns) = output_columns(&query.body) else { return };
    let options = *options;
    let by = (1..=columns).map(|column| OrderByExpr { expr: number(column), options, with_fill: None }).collect();
    order_by.kind = OrderByKind::Expressions(by);
}

/// `ORDER BY (2)` is `ORDER BY 2`.
fn order_by_numbers(query: &mut Query) {
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order_by| &mut order_by.kind) else {
        return;
    };
    for key in keys.iter_mut().filter(|key| is_literal(&key.expr)) {
        while let Expr::Nested(inner) = &mut key.expr {
            key.expr = take(inner);
        }
    }
}

/// `SELECT DISTINCT a + 1 .. ORDER BY a + 1`: by the position, because the planner no longer finds `a` there. A number
/// is a position already, also beside a column that is this number.
fn order_by_distinct(query: &mut Query) {
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order_by| &mut order_by.kind) else {
        return;
    };
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    if select.distinct != Some(ast::Distinct::Distinct) || has_wildcard(select) {
        return;
    }
    let is_computed = |key: &&mut OrderByExpr| column_name(&key.expr).is_none() && !is_literal(&key.expr);
    for key in keys.iter_mut().filter(is_computed) {
        let place = select.projection.iter().position(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => *expr == key.expr,
            _ => false,
        });
        if let Some(place) = place {
            key.expr = number(place + 1);
        }
    }
}

fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) => true,
        Expr::Nested(inner) => is_literal(inner),
        _ => false,
    }
}

/// How many columns a query has, if a `*` does not hide it.
fn output_columns(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) if has_wildcard(select) => None,
        SetExpr::Select(select) => Some(select.projection.len()),
        SetExpr::Query(query) => output_columns(&query.body),
        SetExpr::SetOperation { left, .. } => output_columns(left),
        SetExpr::Values(values) => values.rows.first().map(|row| row.len()),
        _ => None,
    }
}

fn has_wildcard(select: &Select) -> bool {
    select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)))
}

/// `EXCEPT ALL` and `INTERSECT ALL` as table functions: DataFusion gets their multiplicities wrong.
fn set_operations(body: &mut Box<SetExpr>) -> Result<()> {
    let SetExpr::SetOperation { left, op, set_quantifier, right } = body.as_mut() else { return Ok(()) };
    if *op == SetOperator::Minus {
        *op = SetOperator::Except;
    }
    let function = match (*op, *set_quantifier) {
        (SetOperator::Except, SetQuantifier::All) => EXCEPT_ALL,
        (SetOperator::Intersect, SetQuantifier::All) => INTERSECT_ALL,
        _ => {
            set_operations(left)?;
            return set_operations(right);
        }
    };
    let empty =
        || Box::new(SetExpr::Values(ast::Values { explicit_row: false, value_keyword: false, rows: Vec::new() }));
    let (left, right) = (std::mem::replace(left, empty()), std::mem::replace(right, empty()));
    let arguments = vec![argument(Expr::Subquery(query_of(left)?)), argument(Expr::Subquery(query_of(right)?))];
    *body = select_star_from(table_function(function, Span::empty(), arguments, None)?)?.body;
    Ok(())
}

/// A query that is only a body.
fn query_of(body: Box<SetExpr>) -> Result<Box<Query>> {
    if let SetExpr::Query(query) = *body {
        return Ok(query);
    }
    let mut query = template()?;
    query.body = body;
    Ok(query)
}

/// `SELECT * FROM factor`.
pub(super) fn select_star_from(factor: TableFactor) -> Result<Box<Query>> {
    let mut query = template()?;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(from) = select.from.first_mut()
    {
        from.relation = factor;
    }
    Ok(query)
}

/// A call of a table function in FROM.
pub(super) fn table_function(
    name: &str,
    span: Span,
    args: Vec<FunctionArg>,
    alias: Option<ast::TableAlias>,
) -> Result<TableFactor> {
    let query = template()?;
    let relation = match *query.body {
        SetExpr::Select(select) => select.from.into_iter().next().map(|from| from.relation),
        _ => None,
    };
    match relation {
        Some(TableFactor::Table {
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
            ..
        }) => Ok(TableFactor::Table {
            name: ast::ObjectName::from(vec![Ident::with_span(span, name)]),
            alias,
            args: Some(TableFunctionArgs { args, settings: None }),
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        }),
        _ => Err(Error::internal("the query template has no FROM")),
    }
}

/// sqlparser's trees have many fields; filling in a parsed one outlives new fields.
fn template() -> Result<Box<Query>> {
    Ok(Parser::new(&GenericDialect).try_with_sql("SELECT * FROM t")?.parse_query()?)
}

/// An unnamed argument.
pub(super) fn argument(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

fn number(number: usize) -> Expr {
    Expr::Value(Value::Number(number.to_string(), false).into())
}

// ---- SELECT ----

fn select(select: &mut Select) -> Result<()> {
    if let Some(into) = &select.into {
        return Err(
            unsupported("SELECT INTO is not supported", place(&into.name)).with_hint("use CREATE TABLE ... AS SELECT")
        );
    }
    if select.value_table_mode.is_some() {
        return Err(unsupported("SELECT AS VALUE and AS STRUCT are not supported", place(&*select)));
    }
    group_by_all(select);
    name_columns(select);
    joins(&mut select.from)
}

/// GROUP BY ALL: by the position of every output column that has a column in it, but no aggregate or window call.
fn group_by_all(select: &mut Select) {
    let GroupByExpr::All(modifiers) = &select.group_by else { return };
    if has_wildcard(select) {
        return;
    }
    let keys = select
        .projection
        .iter()
        .enumerate()
        .filter(|(_, item)| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                matches!(contents(expr), Contents { column: true, aggregate: false, window: false })
            }
            _ => false,
        })
        .map(|(at, _)| number(at + 1))
        .collect();
    select.group_by = GroupByExpr::Expressions(keys, modifiers.clone());
}

/// Gives every output column a name of its own: its text, and `_1`, `_2` where a name is taken.
fn name_columns(select: &mut Select) {
    // Per name, the number that the next column of that name tries first.
    let mut taken: HashMap<String, usize> = HashMap::new();
    let is_single = select.projection.len() == 1;
    for item in &mut select.projection {
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
fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(normal(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(normal),
        Expr::Nested(expr) => column_name(expr),
        _ => None,
    }
}

/// `(r).b` as `(r)['b']`; dots behind a bare name may lead from a relation to its column and stay.
fn fields_by_text(root: &Expr, chain: &mut [AccessExpr]) {
    let dots = chain.iter().take_while(|access| matches!(access, AccessExpr::Dot(_))).count();
    let skipped = if matches!(root, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) { dots } else { 0 };
    for access in chain.iter_mut().skip(skipped) {
        if let AccessExpr::Dot(Expr::Identifier(field)) = access {
            let text = Value::SingleQuotedString(normal(field)).with_span(field.span);
            *access = AccessExpr::Subscript(Subscript::Index { index: Expr::Value(text) });
        }
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

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

// ---- FROM ----

fn joins(from: &mut [TableWithJoins]) -> Result<()> {
    for join in from.iter_mut().flat_map(|table| table.joins.iter_mut()) {
        match &mut join.join_operator {
            JoinOperator::AsOf { match_condition, constraint } => {
                asof(match_condition, constraint).map_err(|error| located(error, place(&join.relation)))?;
            }
            JoinOperator::Semi(constraint) => {
                join.join_operator = JoinOperator::LeftSemi(std::mem::replace(constraint, JoinConstraint::None));
            }
            JoinOperator::Anti(constraint) => {
                join.join_operator = JoinOperator::LeftAnti(std::mem::replace(constraint, JoinConstraint::None));
            }
            _ => {}
        }
    }
    Ok(())
}

/// DuckDB's `ASOF JOIN .. ON a = b AND t >= u`: the one inequality is the match condition.
fn asof(match_condition: &mut Expr, constraint: &mut JoinConstraint) -> Result<()> {
    let Expr::Identifier(Ident { value: marker, .. }) = match_condition else { return Ok(()) };
    let is_left = marker == ASOF_LEFT_ON;
    if !is_left && marker != ASOF_ON {
        return Ok(());
    }
    let JoinConstraint::On(on) = std::mem::replace(constraint, JoinConstraint::None) else {
        return Err(
            Error::unsupported("ASOF JOIN with USING is not supported").with_hint("write the condition after ON")
        );
    };
    let (mut inequalities, mut others) = (Vec::new(), Vec::new());
    for part in conjunction(on) {
        if is_inequality(&part) { inequalities.push(part) } else { others.push(part) }
    }
    let (Some(inequality), true) = (inequalities.pop(), inequalities.is_empty()) else {
        let error = syntax("ASOF JOIN needs exactly one of <, <=, > and >= in its condition", None);
        return Err(error.with_hint("for example: ON l.key = r.key AND l.time >= r.time"));
    };
    *match_condition = if is_left { call(ASOF_LEFT, inequality) } else { inequality };
    let rest = others.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    });
    *constraint = rest.map_or(JoinConstraint::None, JoinConstraint::On);
    Ok(())
}

fn conjunction(expr: Expr) -> Vec<Expr> {
    let (mut parts, mut open) = (Vec::new(), vec![expr]);
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => open.extend([*right, *left]),
            Expr::Nested(inner) => open.push(*inner),
            other => parts.push(other),
        }
    }
    parts
}

fn is_inequality(expr: &Expr) -> bool {
    use BinaryOperator as B;
    matches!(expr, Expr::BinaryOp { op: B::Lt | B::LtEq | B::Gt | B::GtEq, .. })
}

fn call(name: &str, argument_of: Expr) -> Expr {
    Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(argument_of)],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn table_factor(factor: &mut TableFactor) -> Result<()> {
    if let Some(error) = refused(factor) {
        // Only now: to find the place means to walk all of a subquery.
        return Err(located(error, place(&*factor)));
    }
    match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => joins(std::slice::from_mut(table_with_joins.as_mut())),
        TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_ordinality: false, .. } => {
            name_unnested(alias, array_exprs.len());
            Ok(())
        }
        TableFactor::TableFunction { .. } | TableFactor::Table { args: Some(_), .. } => {
            window_call::rewrite(factor)?;
            named_arguments(factor);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `FROM unnest(list)` has a column `unnest`, and under an alias one that is called by it, as in PostgreSQL.
fn name_unnested(alias: &mut Option<ast::TableAlias>, lists: usize) {
    let alias = alias.get_or_insert_with(|| {
        let name = Ident::with_quote('"', "unnest");
        ast::TableAlias { explicit: true, name, columns: Vec::new(), at: None }
    });
    if alias.columns.is_empty() {
        let name = |number: usize| match number {
            0 => alias.name.clone(),
            number => Ident::with_quote('"', format!("{}_{number}", normal(&alias.name))),
        };
        let column = |name| ast::TableAliasColumnDef { name, data_type: None };
        alias.columns = (0..lists).map(name).map(column).collect();
    }
}

/// The error for a table factor that is not supported.
fn refused(factor: &TableFactor) -> Option<Error> {
    match factor {
        TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
            Some(Error::unsupported("TABLESAMPLE is not supported").with_hint("use WHERE random() < 0.1"))
        }
        TableFactor::Table { with_hints, version, .. } if !with_hints.is_empty() || version.is_some() => {
            Some(Error::unsupported("hints and versions of a table are not supported"))
        }
        TableFactor::Table { args: None, with_ordinality: true, .. } => {
            Some(syntax("WITH ORDINALITY belongs to a table function", None))
        }
        TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => Some(
            Error::unsupported("PIVOT and UNPIVOT are not supported")
                .with_hint("use aggregates with FILTER (WHERE ...), or UNION ALL"),
        ),
        TableFactor::MatchRecognize { .. } => Some(Error::unsupported("MATCH_RECOGNIZE is not supported")),
        _ => None,
    }
}

/// DuckDB's `read_csv('f', delim = ';')` names an argument: in a table function `name = value` is never a comparison.
fn named_arguments(factor: &mut TableFactor) {
    let TableFactor::Table { args: Some(args), .. } = factor else { return };
    for arg in &mut args.args {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op: BinaryOperator::Eq, right })) = arg
            && let Expr::Identifier(name) = left.as_ref()
        {
            let (name, value) = (name.clone(), take(right));
            let operator = ast::FunctionArgOperator::RightArrow;
            *arg = FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), operator };
        } else if let FunctionArg::Named { operator, .. } = arg {
            *operator = ast::FunctionArgOperator::RightArrow;
        }
    }
}

// ---- expressions ----

/// `now()` and its kin become the parameter `$__now`; `count()` becomes `count(*)`, `mod(a, b)` `a % b`.
fn function(expr: &mut Expr) {
    let Expr::Function(function) = expr else { return };
    let [ast::ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return };
    if name.quote_style.is_some() {
        return;
    }
    let name = name.value.to_ascii_lowercase();
    if name == "mod" {
        if let FunctionArguments::List(list) = &mut function.args
            && let [
                FunctionArg::Unnamed(FunctionArgExpr::Expr(left)),
                FunctionArg::Unnamed(FunctionArgExpr::Expr(right)),
            ] = list.args.as_mut_slice()
        {
            let [left, right] = [left, right].map(|side| Box::new(Expr::Nested(Box::new(take(side)))));
            *expr = Expr::BinaryOp { left, op: BinaryOperator::Modulo, right };
        }
        return;
    }
    if name == "count" {
        if let FunctionArguments::List(list) = &mut function.args
            && list.args.is_empty()
        {
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
        }
        return;
    }
    let cast = match name.as_str() {
        "now"
        | "current_timestamp"
        | "transaction_timestamp"
        | "statement_timestamp"
        | "clock_timestamp"
        | "get_current_timestamp" => None,
        "localtimestamp" => Some(ast::DataType::Timestamp(None, TimezoneInfo::None)),
        "current_date" | "today" => Some(ast::DataType::Date),
        "current_time" | "localtime" => Some(ast::DataType::Time(None, TimezoneInfo::None)),
        _ => return,
    };
    if !takes_precision_alone(&function.args) || function.over.is_some() {
        return;
    }
    let span = function.span();
    let now = Expr::Value(ValueWithSpan { value: Value::Placeholder(NOW.to_string()), span });
    *expr = match cast {
        None => now,
        Some(data_type) => {
            Expr::Cast { kind: ast::CastKind::Cast, expr: Box::new(now), data_type, array: false, format: None }
        }
    };
}

/// No arguments, or one number as in `current_timestamp(3)`.
fn takes_precision_alone(args: &FunctionArguments) -> bool {
    match args {
        FunctionArguments::None => true,
        FunctionArguments::Subquery(_) => false,
        FunctionArguments::List(list) => match list.args.as_slice() {
            [] => true,
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => {
                matches!(value.value, Value::Number(..))
            }
            _ => false,
        },
    }
}

/// Where a span begins.
pub(super) fn at(span: Span) -> Option<crate::base::error::Position> {
    position(span.start)
}
