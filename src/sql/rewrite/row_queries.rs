//! Rows in parentheses beside a query: `(a, b) IN (SELECT x, y ..)`, `(a, b) = (SELECT x, y ..)`, ANY and ALL.
//!
//! The binder takes one column of a query for a value. So the query is put into FROM, its columns get names that no
//! text has, and the row is compared with these value by value ([`super::row_values`]):
//!
//! - `(a, b) IN (query)` is `CASE WHEN EXISTS (.. WHERE a = x AND b = y) THEN TRUE WHEN EXISTS (.. WHERE (a = x AND b = y)
//!   IS NULL) THEN NULL ELSE FALSE END`; as a condition, where NULL keeps no more rows than FALSE, the first EXISTS alone.
//! - `(a, b) = (query)` is `a = s.x AND b = s.y`, where `s` is the query's row as a struct: NULL where it has no row, an
//!   error where it has several.
//!
//! `x IN (VALUES (1), (y))` is a list: VALUES that computes from the row around it is no relation to the binder.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    Array, BinaryOperator, CaseWhen, Expr, Ident, Parens, Query, Select, SelectItem, SetExpr, TableAlias,
    TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator, Value, Values,
};

use super::build::{and, call, select_star_from, take, text};
use super::clauses::output_columns;
use super::contents::contents;
use super::row_values::{all, check_size, compared, nested, row};
use crate::base::error::{Error, Result};
use crate::sql::error::{located, place};

/// Rewrites the conditions of a SELECT.
pub(super) fn select(select: &mut Select) -> Result<()> {
    [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten().try_for_each(condition)
}

/// Rewrites what must be true for a row to be kept.
fn condition(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Nested(inner) => return condition(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            condition(left)?;
            return condition(right);
        }
        _ => {}
    }
    list_values(expr);
    let Some(comparison) = Comparison::of(expr)? else { return Ok(()) };
    if comparison.is_aggregated() {
        if let Some(new) = comparison.of_structs()? {
            *expr = new;
        }
        return Ok(());
    }
    *expr = match comparison.is_all {
        false => comparison.exists(comparison.compared()?)?,
        true => not(comparison.exists(Expr::IsNotTrue(Box::new(nested(comparison.compared()?))))?),
    };
    Ok(())
}

/// Rewrites an expression whose parts are rewritten.
pub(super) fn expression(expr: &mut Expr) -> Result<()> {
    if let Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } = expr
        && let Some(query) = query_of(right)
    {
        **right = Expr::Subquery(Box::new(query.clone()));
    }
    list_values(expr);
    let new = match &*expr {
        Expr::BinaryOp { left, op, right } => match (row(left), query_of(left), row(right), query_of(right)) {
            (Some(values), _, _, Some(query)) => one_row(&values, op, query, false)?,
            (_, Some(query), Some(values), _) => one_row(&values, op, query, true)?,
            _ => None,
        },
        _ => Comparison::of(expr)?.map(|comparison| comparison.valued()).transpose()?,
    };
    if let Some(new) = new {
        check_size(&new)?;
        *expr = new;
    }
    Ok(())
}

/// A row compared with the rows of a query, any or all of them.
struct Comparison<'a> {
    values: Vec<Expr>,
    op: BinaryOperator,
    query: &'a Query,
    is_all: bool,
}

impl<'a> Comparison<'a> {
    fn of(expr: &'a Expr) -> Result<Option<Self>> {
        let (values, op, query, is_all) = match expr {
            Expr::InSubquery { expr, subquery, negated: false } => {
                (row(expr), BinaryOperator::Eq, Some(subquery.as_ref()), false)
            }
            Expr::InSubquery { expr, subquery, negated: true } => {
                (row(expr), BinaryOperator::NotEq, Some(subquery.as_ref()), true)
            }
            Expr::AnyOp { left, compare_op, right, .. } => (row(left), compare_op.clone(), query_of(right), false),
            Expr::AllOp { left, compare_op, right } => (row(left), compare_op.clone(), query_of(right), true),
            _ => return Ok(None),
        };
        let (Some(values), Some(query)) = (values, query) else { return Ok(None) };
        check_width(values.len(), query)?;
        Ok(Some(Comparison { values, op, query, is_all }))
    }

    /// The row compared with one of the query.
    fn compared(&self) -> Result<Expr> {
        let columns: Vec<Expr> = (1..=self.values.len()).map(column).collect();
        compared(&self.values, &self.op, &columns)?.ok_or_else(|| no_order(&self.op))
    }

    /// Whether the row holds what cannot be computed within the query.
    fn is_aggregated(&self) -> bool {
        self.values.iter().map(contents).any(|held| held.aggregate || held.window)
    }

    /// `a IS NOT NULL AND .. AND struct(a, ..) IN (SELECT struct(..) ..)`: as a condition the same as a row among the
    /// rows of the query.
    fn of_structs(&self) -> Result<Option<Expr>> {
        if self.is_all || self.op != BinaryOperator::Eq {
            return Ok(None);
        }
        let known = all(self.values.iter().map(|value| Expr::IsNotNull(Box::new(nested(value.clone())))));
        let mut subquery = rows_of(self.query, self.values.len())?;
        if let SetExpr::Select(select) = subquery.body.as_mut() {
            let columns = (1..=self.values.len()).map(column).collect();
            let alias = Ident::with_quote('"', "__row");
            select.projection = vec![SelectItem::ExprWithAlias { expr: call("struct", columns), alias }];
        }
        let expr = Box::new(call("struct", self.values.clone()));
        Ok(Some(nested(and(known, Expr::InSubquery { expr, subquery, negated: false }))))
    }

    /// Whether the query has a row of which this holds.
    fn exists(&self, condition: Expr) -> Result<Expr> {
        let mut subquery = rows_of(self.query, self.values.len())?;
        if let SetExpr::Select(select) = subquery.body.as_mut() {
            select.selection = Some(condition);
        }
        Ok(Expr::Exists { subquery, negated: false })
    }

    /// The comparison as a value.
    fn valued(&self) -> Result<Expr> {
        if self.is_aggregated() {
            let error = Error::unsupported("an aggregate or window function in a row beside a query is not supported");
            let error = error.with_hint("compute it in a query in FROM, and compare around it");
            return Err(located(error, self.values.first().and_then(place)));
        }
        let compared = nested(self.compared()?);
        let decides = if self.is_all { not(compared.clone()) } else { compared.clone() };
        let when = |condition, result| CaseWhen { condition, result };
        Ok(Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![
                when(self.exists(decides)?, value(Value::Boolean(!self.is_all))),
                when(self.exists(Expr::IsNull(Box::new(compared)))?, value(Value::Null)),
            ],
            else_result: Some(Box::new(value(Value::Boolean(self.is_all)))),
        })
    }
}

/// `values op (query)`, or `(query) op values`.
fn one_row(values: &[Expr], op: &BinaryOperator, query: &Query, is_left: bool) -> Result<Option<Expr>> {
    check_width(values.len(), query)?;
    let fields = fields_of(query, values.len())?;
    let (left, right) = if is_left { (fields.as_slice(), values) } else { (values, fields.as_slice()) };
    compared(left, op, right)
}

/// The columns of the one row of a query, each a value: the fields of a struct that is read once for each, so that all
/// are of one row, also where LIMIT chooses it.
pub(in crate::sql) fn fields_of(query: &Query, width: usize) -> Result<Vec<Expr>> {
    check_width(width, query)?;
    let mut subquery = rows_of(query, width)?;
    if let SetExpr::Select(select) = subquery.body.as_mut() {
        let fields = (1..=width).flat_map(|number| [text(field_name(number)), column(number)]).collect();
        let alias = Ident::with_quote('"', "__row");
        select.projection = vec![SelectItem::ExprWithAlias { expr: call("named_struct", fields), alias }];
    }
    let field = |number| call("get_field", vec![Expr::Subquery(subquery.clone()), text(field_name(number))]);
    Ok((1..=width).map(field).collect())
}

/// `SELECT * FROM (query) AS __row (__row_1, ..)`.
fn rows_of(query: &Query, width: usize) -> Result<Box<Query>> {
    let name = |number| TableAliasColumnDef { name: Ident::with_quote('"', field_name(number)), data_type: None };
    let columns = (1..=width).map(name).collect();
    let alias = TableAlias { explicit: true, name: Ident::with_quote('"', "__row"), columns, at: None };
    let subquery = Box::new(query.clone());
    select_star_from(TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None })
}

fn column(number: usize) -> Expr {
    Expr::Identifier(Ident::with_quote('"', field_name(number)))
}

fn field_name(number: usize) -> String {
    format!("__row_{number}")
}

fn check_width(wanted: usize, query: &Query) -> Result<()> {
    let given = output_columns(&query.body).unwrap_or(wanted);
    if wanted == given {
        return Ok(());
    }
    let how = if given < wanted { "few" } else { "many" };
    Err(located(
        Error::invalid(format!("the subquery has too {how} columns"))
            .with_sqlstate("42601")
            .with_hint(format!("it has {given} where {wanted} are compared")),
        place(query),
    ))
}

fn no_order(op: &BinaryOperator) -> Error {
    Error::unsupported(format!("the operator {op} does not compare rows"))
}

/// Makes a list of the VALUES in `x IN (VALUES ..)`, ANY and ALL, where one of them is computed from a row around.
fn list_values(expr: &mut Expr) {
    match expr {
        Expr::InSubquery { expr: operand, subquery, negated } => {
            if let Some(list) = computed_values(subquery) {
                *expr = Expr::InList { expr: Box::new(take(operand)), list, negated: *negated };
            }
        }
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
            // Rows are compared value by value, which no list is.
            if let Expr::Subquery(subquery) = right.as_mut()
                && values_of(subquery).is_some_and(|values| values.rows.iter().all(|row| row.len() == 1))
                && let Some(elem) = computed_values(subquery)
            {
                **right = Expr::Array(Array { elem, named: true });
            }
        }
        _ => {}
    }
}

/// Takes the rows out of a query that is VALUES alone, if there is a column in one of them.
fn computed_values(query: &mut Query) -> Option<Vec<Expr>> {
    let rows = &mut values_of(query)?.rows;
    let width = rows.first().map_or(0, |row| row.len());
    let is_computed = rows.iter().flat_map(|row| &row.content).any(|cell| contents(cell).column);
    if !is_computed || width == 0 || rows.iter().any(|row| row.len() != width) {
        return None;
    }
    let one = |row: &mut Parens<Vec<Expr>>| match row.content.as_mut_slice() {
        [value] => take(value),
        _ => Expr::Tuple(std::mem::take(&mut row.content)),
    };
    Some(rows.iter_mut().map(one).collect())
}

/// The VALUES of `SELECT * FROM (VALUES ..)`, as which an operand is read.
pub(super) fn values_of(query: &mut Query) -> Option<&mut Values> {
    let is_whole = |query: &Query| {
        query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none()
    };
    if !is_whole(query) {
        return None;
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let is_star = matches!(select.projection.as_slice(), [SelectItem::Wildcard(_)]);
    let is_plain = select.selection.is_none() && select.distinct.is_none() && select.having.is_none();
    let [TableWithJoins { relation, joins }] = select.from.as_mut_slice() else { return None };
    match relation {
        TableFactor::Derived { subquery, alias: None, .. } if is_star && is_plain && joins.is_empty() => match subquery
            .body
            .as_mut()
        {
            SetExpr::Values(values) if subquery.order_by.is_none() && subquery.limit_clause.is_none() => Some(values),
            _ => None,
        },
        _ => None,
    }
}

/// The query that an expression is.
fn query_of(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Subquery(query) => Some(query),
        Expr::Nested(inner) => query_of(inner),
        _ => None,
    }
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(nested(expr)) }
}

fn value(value: Value) -> Expr {
    Expr::Value(value.into())
}
