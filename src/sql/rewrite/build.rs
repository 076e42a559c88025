//! Pieces of syntax trees, built and taken apart.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    self, BinaryOperator, CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, Query, SetExpr, TableAlias, TableFactor, TableFunctionArgs, Value,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Span;

use crate::base::error::Result;

// ---- expressions ----

/// A call by name.
pub(crate) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    call_of(Ident::new(name), arguments)
}

/// A call by name that stands at a place of the text.
pub(crate) fn call_at(name: &str, span: Span, arguments: Vec<Expr>) -> Expr {
    call_of(Ident::with_span(span, name), arguments)
}

/// A call of what an identifier names.
pub(crate) fn call_of(name: Ident, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(argument).collect();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] };
    Expr::Function(Function {
        name: vec![name].into(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// An unnamed argument.
pub(crate) fn argument(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

/// The arguments of a plain call of `name`.
pub(crate) fn arguments_of(call: &Function, name: &str) -> Option<Vec<Expr>> {
    let [ast::ObjectNamePart::Identifier(called)] = call.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &call.args else { return None };
    if called.quote_style.is_some() || !called.value.eq_ignore_ascii_case(name) || call.over.is_some() {
        return None;
    }
    let value = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    };
    list.args.iter().map(value).collect()
}

/// `CAST(expr AS data_type)`.
pub(crate) fn cast(expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast { kind: ast::CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// `left AND right`.
pub(crate) fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) }
}

/// A number.
pub(crate) fn number(number: usize) -> Expr {
    Expr::Value(Value::Number(number.to_string(), false).into())
}

/// A text.
pub(crate) fn text(text: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.into()).into())
}

/// Takes an expression out of its place.
pub(crate) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

// ---- relations ----

/// A relation by name.
pub(crate) fn relation(name: ObjectName) -> TableFactor {
    factor(name, None, None)
}

/// A call of a table function in FROM.
pub(crate) fn table_function(name: ObjectName, args: Vec<FunctionArg>, alias: Option<TableAlias>) -> TableFactor {
    factor(name, alias, Some(TableFunctionArgs { args, settings: None }))
}

fn factor(name: ObjectName, alias: Option<TableAlias>, args: Option<TableFunctionArgs>) -> TableFactor {
    TableFactor::Table {
        name,
        alias,
        args,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

/// `AS name`.
pub(crate) fn alias(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: vec![], at: None }
}

/// What a relation in FROM is called.
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

/// The columns of USING.
pub(crate) fn using_columns(names: &[ObjectName]) -> Vec<Ident> {
    names.iter().filter_map(|name| name.0.last().and_then(|part| part.as_ident()).cloned()).collect()
}

// ---- queries ----

/// `SELECT * FROM factor`.
pub(crate) fn select_star_from(factor: TableFactor) -> Result<Box<Query>> {
    let mut query = template()?;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(from) = select.from.first_mut()
    {
        from.relation = factor;
    }
    Ok(query)
}

/// A query that is only a body.
pub(crate) fn query_of(body: Box<SetExpr>) -> Result<Box<Query>> {
    if let SetExpr::Query(query) = *body {
        return Ok(query);
    }
    let mut query = template()?;
    query.body = body;
    Ok(query)
}

/// `SELECT * FROM t`: queries have many fields; filling in a parsed one outlives new fields.
pub(crate) fn template() -> Result<Box<Query>> {
    Ok(Parser::new(&GenericDialect).try_with_sql("SELECT * FROM t")?.parse_query()?)
}

/// The value as a computation that is no column, no name and no number.
pub(crate) fn when_true(value: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition: Expr::Value(Value::Boolean(true).into()), result: value }],
        else_result: None,
    }
}
