//! Checks of batch that need no reference: ternary logic partitioning (Rigger and Su, "Finding Bugs in Database Systems
//! via Query Partitioning", 2020) and NoREC ("Detecting Optimization Bugs in Database Engines via Non-Optimizing
//! Reference Engine Construction", 2020).
//!
//! Every row makes a condition true, false or unknown; so the rows of a query are those of its three parts, its count
//! and sums are theirs added up, its extremes the extremes of theirs. And a condition selects as many rows as it is
//! true for when it stands in the select list, where no optimizer uses it.

use eddydb::Connection;

use super::generate::Partition;
use super::tree::*;
use super::trial::{Failure, difference, failure, select};
use super::value::{Row, Value, bag};

/// Checks all of it.
pub fn check(connection: &Connection, partition: &Partition) -> Result<(), Failure> {
    let condition = &partition.condition;
    let parts =
        [condition.clone(), Expr::Not(Box::new(condition.clone())), Expr::IsNull(Box::new(condition.clone()), false)];
    let query = |items: Vec<Expr>, filter: Option<Expr>| {
        let items = items.into_iter().enumerate().map(|(at, item)| (item, format!("o{at}"))).collect();
        let mut select = Select::new(items, Some(partition.from.clone()));
        select.filter = filter;
        Query::of(select)
    };
    // What fails is the business of the other checks.
    let rows = |query: Query| select(connection, &query.to_string()).ok();
    let columns = || partition.columns.iter().cloned().chain([Expr::int(1)]).collect::<Vec<_>>();
    let Some(whole) = rows(query(columns(), None)) else { return Ok(()) };
    let mut pieces = Vec::new();
    for part in &parts {
        let Some(rows) = rows(query(columns(), Some(part.clone()))) else { return Ok(()) };
        pieces.extend(rows);
    }
    let describe = |query: &Query| format!("{query}\n  condition: {condition}");
    if bag(&whole) != bag(&pieces) {
        let text = format!("{}\n  in {}", difference(&pieces, &whole), describe(&query(columns(), None)));
        return Err(failure("partition differs", None, text));
    }
    let aggregates = || aggregates(&partition.columns);
    if let Some(whole) = rows(query(aggregates(), None)) {
        let mut pieces = Vec::new();
        for part in &parts {
            let Some(rows) = rows(query(aggregates(), Some(part.clone()))) else { return Ok(()) };
            pieces.extend(rows);
        }
        let sum = combine(&pieces);
        if bag(&whole) != bag([&sum]) {
            let text = format!("{}\n  in {}", difference(&[sum], &whole), describe(&query(aggregates(), None)));
            return Err(failure("partition of aggregates differs", None, text));
        }
    }
    let count = rows(query(vec![count(None)], Some(condition.clone())));
    let flag = Expr::Case(None, vec![(condition.clone(), Expr::int(1))], Some(Box::new(Expr::int(0))));
    let flags = rows(query(vec![flag], None));
    if let (Some(count), Some(flags)) = (count, flags) {
        let set = flags.iter().filter(|row| row[0].same(&Value::Int(1))).count();
        if !count[0][0].same(&Value::Int(set as i64)) {
            let filtered = query(vec![super::partition::count(None)], Some(condition.clone()));
            let text = format!("WHERE counts {}, CASE {set}\n  in {filtered}", count[0][0]);
            return Err(failure("WHERE and CASE differ", None, text));
        }
    }
    Ok(())
}

/// count(*), and sum, min and max of each column.
fn aggregates(columns: &[Expr]) -> Vec<Expr> {
    let mut items = vec![count(None)];
    for column in columns {
        for function in [AggregateFunction::Sum, AggregateFunction::Min, AggregateFunction::Max] {
            let argument = Some(Box::new(column.clone()));
            items.push(Expr::Aggregate(Aggregate { function, argument, distinct: false, filter: None }));
        }
    }
    items
}

fn count(argument: Option<Box<Expr>>) -> Expr {
    Expr::Aggregate(Aggregate { function: AggregateFunction::Count, argument, distinct: false, filter: None })
}

/// The aggregates of all rows from those of their parts.
fn combine(pieces: &[Row]) -> Row {
    let width = pieces.first().map_or(0, Vec::len);
    (0..width)
        .map(|at| {
            let values = pieces.iter().map(|row| &row[at]).filter(|value| !value.is_null());
            let order = |a: &&Value, b: &&Value| a.compare(b).unwrap_or(std::cmp::Ordering::Equal);
            let best = match at {
                0 => None,
                at if at % 3 == 2 => Some(values.clone().min_by(order)),
                at if at % 3 == 0 => Some(values.clone().max_by(order)),
                _ => None,
            };
            match best {
                Some(best) => best.cloned().unwrap_or(Value::Null),
                None => {
                    let numbers: Vec<i64> =
                        values.filter_map(|v| if let Value::Int(n) = v { Some(*n) } else { None }).collect();
                    if numbers.is_empty() {
                        Value::Null
                    } else {
                        Value::Int(numbers.iter().fold(0, |a, b| a.wrapping_add(*b)))
                    }
                }
            }
        })
        .collect()
}
