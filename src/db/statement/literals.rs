//! The literals of INSERT .. VALUES: in the types of their columns, and in errors with the column that they are for.

use arrow::datatypes::DataType;
use sqlparser::ast;

use crate::base::error::Error;
use crate::base::types::sql_type_name;
use crate::catalog::relation::Relation;
use crate::db::read::Reader;
use crate::sql;
use crate::sql::error::{located, position};

/// How many literals are tried by themselves to find the one that an error is about.
const TRIED_MAX: usize = 1_000;

/// The literals of a column of VALUES, each as `data_type`, where the values are of several kinds: the type that holds
/// them all may not say what each says, as a DOUBLE `1e0` beside the exact `2.5`, or the text `'NaN'` beside a number.
pub(super) fn type_column(values: &mut ast::Values, position: usize, data_type: &DataType) {
    let mut kinds = values.rows.iter().filter_map(|row| row.content.get(position)).filter_map(kind_of);
    let first = kinds.next();
    let is_one_kind = kinds.all(|kind| Some(kind) == first);
    // A DOUBLE may be written in more digits than a DECIMAL has.
    let may_be_long = || values.rows.iter().filter_map(|row| row.content.get(position)).any(is_long_number);
    if is_one_kind && !(data_type.is_floating() && may_be_long()) {
        return;
    }
    // A struct may have a field whose name is no word; no literal is one.
    let Ok(named) = sql::parse_type(&sql_type_name(data_type)) else { return };
    for cell in values.rows.iter_mut().filter_map(|row| row.content.get_mut(position)) {
        if kind_of(cell).is_some_and(|kind| kind != Kind::Computed) {
            let literal = std::mem::replace(cell, ast::Expr::Value(ast::Value::Null.into()));
            *cell = ast::Expr::Cast {
                kind: ast::CastKind::Cast,
                expr: Box::new(literal),
                data_type: named.clone(),
                array: false,
                format: None,
            };
        }
    }
}

/// What a value in VALUES says of its type.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Bytes,
    Boolean,
    Exact,
    /// A number with an exponent.
    Double,
    /// No literal.
    Computed,
}

/// The kind of a value; NULL is of any.
fn kind_of(cell: &ast::Expr) -> Option<Kind> {
    match cell {
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus | ast::UnaryOperator::Plus, expr } => kind_of(expr),
        ast::Expr::Value(value) => Some(match &value.value {
            ast::Value::Null => return None,
            ast::Value::SingleQuotedString(_) => Kind::Text,
            ast::Value::HexStringLiteral(_) => Kind::Bytes,
            ast::Value::Boolean(_) => Kind::Boolean,
            ast::Value::Number(digits, _) if digits.contains(['e', 'E']) => Kind::Double,
            ast::Value::Number(..) => Kind::Exact,
            _ => Kind::Computed,
        }),
        _ => Some(Kind::Computed),
    }
}

fn is_long_number(cell: &ast::Expr) -> bool {
    match cell {
        ast::Expr::UnaryOp { expr, .. } => is_long_number(expr),
        ast::Expr::Value(value) => matches!(&value.value, ast::Value::Number(digits, _) if digits.len() > 38),
        _ => false,
    }
}

/// The error of a query with typed literals, with the column and the place of the literal that it is about.
pub(super) fn of_column(
    error: Error,
    query: &ast::Query,
    columns: &[String],
    relation: &Relation,
    reader: &Reader<'_>,
) -> Error {
    let ast::SetExpr::Values(values) = query.body.as_ref() else { return error };
    let literals = || values.rows.iter().flat_map(|row| row.content.iter().enumerate()).filter_map(typed_literal);
    // Most errors show the value.
    let is_shown = |literal: &ast::ValueWithSpan| match &literal.value {
        ast::Value::SingleQuotedString(text) | ast::Value::Number(text, _) => error.message().contains(text.as_str()),
        _ => false,
    };
    let shown = literals().filter(|(.., literal)| is_shown(literal));
    let fails = |cell: &ast::Expr| {
        let alone = reader.constant_expression(cell.clone());
        alone.is_err_and(|alone| alone.message() == error.message())
    };
    let found = shown.chain(literals()).take(TRIED_MAX).find(|(_, cell, _)| fails(cell));
    let Some((place, _, literal)) = found else { return error };
    let name = match columns.get(place) {
        Some(name) => Some(name.as_str()),
        None => relation.schema.fields().get(place).map(|field| field.name().as_str()),
    };
    let at = position(literal.span.start).filter(|_| error.position().is_none());
    let error = match name {
        Some(name) => error.context(format!("column \"{name}\"")),
        None => error,
    };
    located(error, at)
}

/// The place in its row, the cell and the literal in it, if [`type_column`] gave it a type.
fn typed_literal((place, cell): (usize, &ast::Expr)) -> Option<(usize, &ast::Expr, &ast::ValueWithSpan)> {
    let ast::Expr::Cast { expr, .. } = cell else { return None };
    let mut literal = expr.as_ref();
    while let ast::Expr::UnaryOp { expr, .. } = literal {
        literal = expr;
    }
    match literal {
        ast::Expr::Value(value) => Some((place, cell, value)),
        _ => None,
    }
}
