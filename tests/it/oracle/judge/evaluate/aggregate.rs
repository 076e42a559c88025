//! Aggregates over bags of values.

use super::{Answer, Context, Evaluator, Fault, Scope, distinct};
use crate::oracle::judge::tree::{Aggregate, AggregateFunction};
use crate::oracle::judge::value::{Value, power_of_ten};

impl Evaluator<'_> {
    /// An aggregate over rows of the SELECT of `scope`, each given as a context.
    pub(super) fn aggregate<'a>(
        &self,
        aggregate: &Aggregate,
        scopes: impl Iterator<Item = Answer<Scope<'a>>>,
    ) -> Answer<Value> {
        let mut values = Vec::new();
        for scope in scopes {
            let scope = scope?;
            if let Some(filter) = &aggregate.filter
                && self.truth(filter, &scope)? != Some(true)
            {
                continue;
            }
            match &aggregate.argument {
                None => values.push(Value::Bool(true)),
                Some(argument) => match self.value(argument, &scope)? {
                    Value::Null => {}
                    value => values.push(value),
                },
            }
        }
        if aggregate.distinct {
            let rows = values.into_iter().map(|value| vec![value]).collect();
            values = distinct(rows).into_iter().flatten().collect();
        }
        finish(aggregate.function, values)
    }

    /// An aggregate of the group that `scope` stands on.
    pub(super) fn group_aggregate(&self, aggregate: &Aggregate, scope: &Scope) -> Answer<Value> {
        let Some(Context::Group { rows, .. }) = scope.contexts.get(scope.at) else {
            return Err(Fault::Invalid("an aggregate where rows are not grouped".into()));
        };
        let contexts: Vec<Context> = rows.iter().cloned().map(Context::Row).collect();
        let scopes = (0..contexts.len()).map(|at| {
            Ok(Scope {
                parent: scope.parent,
                with: scope.with.clone(),
                names: scope.names,
                keys: &[],
                contexts: &contexts,
                at,
            })
        });
        self.aggregate(aggregate, scopes)
    }
}

/// The result of an aggregate over values that are not NULL.
fn finish(function: AggregateFunction, mut values: Vec<Value>) -> Answer<Value> {
    if function == AggregateFunction::Count {
        return Ok(Value::Int(values.len() as i64));
    }
    if values.is_empty() {
        return Ok(Value::Null);
    }
    let truths = || values.iter().map(|value| matches!(value, Value::Bool(true)));
    Ok(match function {
        AggregateFunction::BoolAnd => Value::Bool(truths().all(|truth| truth)),
        AggregateFunction::BoolOr => Value::Bool(truths().any(|truth| truth)),
        AggregateFunction::Sum => sum(&values)?,
        AggregateFunction::Average => {
            let count = values.len() as f64;
            match sum_exactly(&values)? {
                Some((mantissa, 0)) => Value::Double(mantissa as f64 / count),
                Some(_) => return Err(Fault::Invalid("avg of decimals".into())),
                None => Value::Double(sum(&values)?.double().unwrap_or(f64::NAN) / count),
            }
        }
        _ => {
            values.sort_by(|a, b| a.compare(b).unwrap_or(std::cmp::Ordering::Equal));
            match function {
                AggregateFunction::Min => values.swap_remove(0),
                AggregateFunction::Max => values.pop().unwrap_or(Value::Null),
                _ => Value::Text(values.iter().map(Value::to_string).collect::<Vec<_>>().join(",")),
            }
        }
    })
}

/// The sum of integers or decimals; None if there are doubles.
fn sum_exactly(values: &[Value]) -> Answer<Option<(i128, u8)>> {
    let Some(numbers) = values.iter().map(Value::exact).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let scale = numbers.iter().map(|(_, scale)| *scale).max().unwrap_or(0);
    let mut sum = 0_i128;
    for (mantissa, own) in numbers {
        let term = mantissa.checked_mul(power_of_ten(scale - own));
        sum = term.and_then(|term| sum.checked_add(term)).ok_or(Fault::Sql("22003"))?;
    }
    Ok(Some((sum, scale)))
}

fn sum(values: &[Value]) -> Answer<Value> {
    match sum_exactly(values)? {
        Some((sum, 0)) => i64::try_from(sum).map(Value::Int).map_err(|_| Fault::Sql("22003")),
        Some((sum, scale)) => Ok(Value::Decimal(sum, scale)),
        // The generator's doubles are few and dyadic, so that no order of adding them rounds.
        None => Ok(Value::Double(values.iter().filter_map(Value::double).sum())),
    }
}
