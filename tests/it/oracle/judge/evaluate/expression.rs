//! Expressions on one row: three-valued logic, names looked up from the inside out, subqueries run anew each time.

use std::cmp::Ordering;

use super::{Answer, Context, Evaluator, Fault, Name, Scope};
use crate::oracle::judge::functions;
use crate::oracle::judge::shrink::Part;
use crate::oracle::judge::tree::*;
use crate::oracle::judge::value::{Row, Value};

impl Evaluator<'_> {
    /// A condition; None is unknown.
    pub(super) fn truth(&self, expr: &Expr, scope: &Scope) -> Answer<Option<bool>> {
        match self.value(expr, scope)? {
            Value::Bool(truth) => Ok(Some(truth)),
            Value::Null => Ok(None),
            other => Err(Fault::Invalid(format!("{other} is no condition"))),
        }
    }

    /// The value of an expression.
    pub(super) fn value(&self, expr: &Expr, scope: &Scope) -> Answer<Value> {
        self.spend()?;
        if let Some(value) = key_value(expr, scope) {
            return Ok(value);
        }
        match expr {
            Expr::Literal(value, _) => Ok(value.clone()),
            Expr::Column(qualifier, name) => column(qualifier.as_deref(), name, scope),
            Expr::Ordinal(_) => Err(Fault::Invalid("a number of a column that is no sort key".into())),
            Expr::Field(e, field) => match self.value(e, scope)? {
                Value::Struct(mut fields) if *field < fields.len() => Ok(fields.swap_remove(*field)),
                Value::Null => Ok(Value::Null),
                other => Err(Fault::Invalid(format!("{other} is no struct"))),
            },
            Expr::Not(e) => Ok(logical(self.truth(e, scope)?.map(|truth| !truth))),
            Expr::And(l, r) => self.connective(l, r, false, scope),
            Expr::Or(l, r) => self.connective(l, r, true, scope),
            Expr::Negate(e) => functions::negate(self.value(e, scope)?),
            Expr::Arithmetic(operator, l, r, ty) => {
                let (l, r) = (self.value(l, scope)?, self.value(r, scope)?);
                functions::arithmetic(*operator, &l, &r, *ty)
            }
            Expr::Concat(l, r) => match (self.value(l, scope)?, self.value(r, scope)?) {
                (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
                (l, r) => Ok(Value::Text(format!("{l}{r}"))),
            },
            Expr::Compare(comparison, l, r) => {
                Ok(logical(compare(*comparison, &self.value(l, scope)?, &self.value(r, scope)?)))
            }
            Expr::Distinct(l, r, negated) => {
                Ok(Value::Bool(self.value(l, scope)?.same(&self.value(r, scope)?) == *negated))
            }
            Expr::IsNull(e, negated) => Ok(Value::Bool(self.value(e, scope)?.is_null() != *negated)),
            Expr::IsTruth(e, truth, negated) => Ok(Value::Bool((self.truth(e, scope)? == Some(*truth)) != *negated)),
            Expr::Between(e, low, high, negated) => {
                let (e, low, high) = (self.value(e, scope)?, self.value(low, scope)?, self.value(high, scope)?);
                let above = compare(Comparison::GreaterEqual, &e, &low);
                let below = compare(Comparison::LessEqual, &e, &high);
                Ok(logical(and(above, below).map(|truth| truth != *negated)))
            }
            Expr::InList(e, list, negated) => {
                let e = self.value(e, scope)?;
                let list = list.iter().map(|item| self.value(item, scope)).collect::<Answer<Row>>()?;
                Ok(logical(any(Comparison::Equal, &e, &list).map(|truth| truth != *negated)))
            }
            Expr::Like(e, pattern, negated) => match self.value(e, scope)? {
                Value::Null => Ok(Value::Null),
                e => Ok(Value::Bool(functions::like(&e.to_string(), pattern) != *negated)),
            },
            Expr::Case(operand, whens, otherwise) => self.case(operand, whens, otherwise, scope),
            Expr::Call(function, arguments) => self.call(*function, arguments, scope),
            Expr::Shift(e, plus, interval) => functions::shift(self.value(e, scope)?, *plus, *interval),
            Expr::Cast(e, ty, attempt) => match functions::cast(self.value(e, scope)?, *ty) {
                Err(Fault::Sql(_)) if *attempt => Ok(Value::Null),
                value => value,
            },
            Expr::Scalar(_) | Expr::Exists(..) | Expr::InQuery(..) | Expr::Quantified(..) => self.asked(expr, scope),
            Expr::Aggregate(aggregate) => self.group_aggregate(aggregate, scope),
            Expr::Grouping(key) => match scope.contexts.get(scope.at) {
                Some(Context::Group { grouped, .. }) => match position(key, scope) {
                    Some(at) => Ok(Value::Int(i64::from(!grouped[at]))),
                    None => Err(Fault::Invalid("GROUPING of what is no key".into())),
                },
                _ => Err(Fault::Invalid("GROUPING where rows are not grouped".into())),
            },
            Expr::Window(window) => self.window(window, scope),
            Expr::Unnest(_) => Err(Fault::Invalid("UNNEST inside an expression".into())),
            Expr::List(items) => Ok(Value::List(items.iter().map(|e| self.value(e, scope)).collect::<Answer<Row>>()?)),
        }
    }

    /// What a subquery says of a row. Where it is looked at with rows that it may not have, an answer that these rows
    /// change is unknown.
    fn asked(&self, expr: &Expr, scope: &Scope) -> Answer<Value> {
        let value = self.answer(expr, scope)?;
        if !self.eager.replace(false) {
            return Ok(value);
        }
        let settled = self.answer(expr, scope);
        self.eager.set(true);
        match settled {
            Ok(settled) if settled.same(&value) => Ok(value),
            Ok(_) | Err(Fault::Sql(_)) => Ok(Value::Null),
            Err(other) => Err(other),
        }
    }

    fn answer(&self, expr: &Expr, scope: &Scope) -> Answer<Value> {
        match expr {
            Expr::Scalar(query) => {
                let column = self.column_of(query, scope)?;
                if column.len() > 1 && !self.eager.get() {
                    return Err(Fault::Sql("21000"));
                }
                Ok(column.into_iter().next().unwrap_or(Value::Null))
            }
            // It does not matter which of tied rows are taken.
            Expr::Exists(query, negated) => {
                Ok(Value::Bool(self.sorted(query, scope)?.cut().next().is_none() == *negated))
            }
            Expr::InQuery(e, query, negated) => {
                let (e, column) = (self.value(e, scope)?, self.column_of(query, scope)?);
                Ok(logical(any(Comparison::Equal, &e, &column).map(|truth| truth != *negated)))
            }
            Expr::Quantified(comparison, e, all, query) => {
                let (e, column) = (self.value(e, scope)?, self.column_of(query, scope)?);
                match all {
                    false => Ok(logical(any(*comparison, &e, &column))),
                    // All are so if none is otherwise.
                    true => Ok(logical(any(comparison.opposite(), &e, &column).map(|truth| !truth))),
                }
            }
            _ => Err(Fault::Invalid(format!("{expr} is no subquery"))),
        }
    }

    /// AND (`stop` is false) and OR (`stop` is true): the right side is looked at only if it matters.
    fn connective(&self, l: &Expr, r: &Expr, stop: bool, scope: &Scope) -> Answer<Value> {
        let left = self.truth(l, scope)?;
        if left == Some(stop) {
            return Ok(Value::Bool(stop));
        }
        Ok(match (left, self.truth(r, scope)?) {
            (_, Some(right)) if right == stop => Value::Bool(stop),
            (Some(_), Some(_)) => Value::Bool(!stop),
            _ => Value::Null,
        })
    }

    fn case(
        &self,
        operand: &Option<Box<Expr>>,
        whens: &[(Expr, Expr)],
        otherwise: &Option<Box<Expr>>,
        scope: &Scope,
    ) -> Answer<Value> {
        let operand = operand.as_ref().map(|operand| self.value(operand, scope)).transpose()?;
        for (when, then) in whens {
            let chosen = match &operand {
                Some(operand) => compare(Comparison::Equal, operand, &self.value(when, scope)?),
                None => self.truth(when, scope)?,
            };
            if chosen == Some(true) {
                return self.value(then, scope);
            }
        }
        otherwise.as_ref().map_or(Ok(Value::Null), |otherwise| self.value(otherwise, scope))
    }

    fn call(&self, function: Function, arguments: &[Expr], scope: &Scope) -> Answer<Value> {
        if function == Function::Coalesce {
            for argument in arguments {
                let value = self.value(argument, scope)?;
                if !value.is_null() {
                    return Ok(value);
                }
            }
            return Ok(Value::Null);
        }
        let values = arguments.iter().map(|argument| self.value(argument, scope)).collect::<Answer<Row>>()?;
        functions::call(function, &values)
    }

    /// The only column of a subquery.
    fn column_of(&self, query: &Query, scope: &Scope) -> Answer<Vec<Value>> {
        let relation = self.relation(query, scope)?;
        if relation.names.len() != 1 {
            return Err(Fault::Invalid("a subquery of more than one column".into()));
        }
        Ok(relation.rows.into_iter().flatten().collect())
    }
}

impl Comparison {
    /// The one that is true where this one is false.
    fn opposite(self) -> Comparison {
        match self {
            Comparison::Equal => Comparison::Unequal,
            Comparison::Unequal => Comparison::Equal,
            Comparison::Less => Comparison::GreaterEqual,
            Comparison::LessEqual => Comparison::Greater,
            Comparison::Greater => Comparison::LessEqual,
            Comparison::GreaterEqual => Comparison::Less,
        }
    }
}

fn logical(truth: Option<bool>) -> Value {
    truth.map_or(Value::Null, Value::Bool)
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn compare(comparison: Comparison, a: &Value, b: &Value) -> Option<bool> {
    let ordering = a.compare(b)?;
    Some(match comparison {
        Comparison::Equal => ordering == Ordering::Equal,
        Comparison::Unequal => ordering != Ordering::Equal,
        Comparison::Less => ordering == Ordering::Less,
        Comparison::LessEqual => ordering != Ordering::Greater,
        Comparison::Greater => ordering == Ordering::Greater,
        Comparison::GreaterEqual => ordering != Ordering::Less,
    })
}

/// Whether the comparison holds with one of the values: true beats unknown beats false.
fn any(comparison: Comparison, value: &Value, others: &[Value]) -> Option<bool> {
    let mut answer = Some(false);
    for other in others {
        match compare(comparison, value, other) {
            Some(true) => return Some(true),
            None => answer = None,
            Some(false) => {}
        }
    }
    answer
}

/// The value of a group's key, if the expression is one.
fn key_value(expr: &Expr, scope: &Scope) -> Option<Value> {
    let Context::Group { keys, .. } = scope.contexts.get(scope.at)? else { return None };
    Some(keys[position(expr, scope)?].clone())
}

/// Which key of the group an expression is.
fn position(expr: &Expr, scope: &Scope) -> Option<usize> {
    scope.keys.iter().position(|key| is_same_key(key, expr, scope.names))
}

/// Whether two keys are one, whose columns may be spelled in two ways.
pub(super) fn is_same_key(a: &Expr, b: &Expr, names: &[Name]) -> bool {
    let is_alike = std::mem::discriminant(a) == std::mem::discriminant(b);
    a == b || (is_alike && spelled_out(a.clone(), names) == spelled_out(b.clone(), names))
}

/// An expression with its columns under the names that they have in the relation they come from; subqueries, which have
/// names of their own, stay as they are.
fn spelled_out(mut expr: Expr, names: &[Name]) -> Expr {
    if let Expr::Column(qualifier, name) = &expr
        && let [at] = find(names, qualifier.as_deref(), name).as_slice()
    {
        let qualifier = names[*at].of.clone().or(names[*at].qualifier.clone());
        return Expr::Column(qualifier, name.clone());
    }
    for part in expr.parts_mut() {
        if let Part::Expr(part) = part {
            *part = spelled_out(std::mem::replace(part, Expr::Ordinal(0)), names);
        }
    }
    expr
}

/// The columns that a name can mean.
fn find(names: &[Name], qualifier: Option<&str>, name: &str) -> Vec<usize> {
    let fits = |candidate: &Name| {
        candidate.name == name
            && match qualifier {
                None => !candidate.merged,
                Some(qualifier) => candidate.qualifier.as_deref() == Some(qualifier),
            }
    };
    (0..names.len()).filter(|at| fits(&names[*at])).collect()
}

fn column(qualifier: Option<&str>, name: &str, scope: &Scope) -> Answer<Value> {
    let mut scope = Some(scope);
    while let Some(inner) = scope {
        match find(inner.names, qualifier, name).as_slice() {
            [] => scope = inner.parent,
            [at] => {
                return match inner.contexts.get(inner.at) {
                    Some(Context::Row(row)) => Ok(row[*at].clone()),
                    // Of a group only the keys can be named.
                    Some(Context::Group { .. }) => {
                        let expr = Expr::Column(qualifier.map(str::to_string), name.to_string());
                        key_value(&expr, inner).ok_or_else(|| Fault::Invalid(format!("{name} is not grouped")))
                    }
                    None => Err(Fault::Invalid(format!("{name} where there are no rows"))),
                };
            }
            _ => return Err(Fault::Invalid(format!("{name} is ambiguous"))),
        }
    }
    Err(Fault::Invalid(format!("no column {name}")))
}
