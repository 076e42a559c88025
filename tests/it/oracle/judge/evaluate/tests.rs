//! What the reference itself got wrong once.

use std::collections::BTreeMap;

use super::*;
use crate::oracle::judge::value::Type;

/// t(k) with these values.
fn table(values: &[Value]) -> BTreeMap<String, Relation> {
    let rows = values.iter().map(|value| vec![value.clone()]).collect();
    BTreeMap::from([("t".to_string(), Relation { names: vec!["k".to_string()], rows })])
}

fn named(alias: &str) -> From {
    From::Relation { name: "t".to_string(), alias: alias.to_string() }
}

fn k() -> Expr {
    Expr::Column(None, "k".to_string())
}

/// The only column of `SELECT item FROM from GROUP BY GROUPING SETS (..)`.
fn grouped(item: Expr, from: From, keys: Vec<Expr>, sets: Vec<Vec<usize>>) -> Vec<Value> {
    let mut select = Select::new(vec![(item, "o".to_string())], Some(from));
    select.group = Some(Group { kind: GroupKind::Sets(sets), keys });
    let tables = table(&[Value::Int(4)]);
    let sorted = Evaluator::new(&tables).query(&Query::of(select)).expect("a query with a meaning");
    sorted.rows.into_iter().flat_map(|(_, row)| row).collect()
}

#[test]
fn a_merged_column_is_that_of_the_side_which_a_join_keeps() {
    let value = |kind: JoinKind, key: &str| {
        let on = On::Using(vec!["k".to_string()]);
        let from = From::Join { kind, left: Box::new(named("a")), right: Box::new(named("b")), on };
        grouped(k(), from, vec![k(), Expr::column(key, "k")], vec![vec![1]]).remove(0)
    };
    assert_eq!(value(JoinKind::Left, "a"), Value::Int(4));
    assert_eq!(value(JoinKind::Left, "b"), Value::Null);
    assert_eq!(value(JoinKind::Right, "b"), Value::Int(4));
    assert_eq!(value(JoinKind::Full, "a"), Value::Null);
}

#[test]
fn a_key_is_known_however_its_columns_are_spelled() {
    let negated = |column: Expr| Expr::Negate(Box::new(column));
    let keys = vec![k(), negated(k())];
    let values = grouped(negated(Expr::column("a", "k")), named("a"), keys, vec![vec![0], vec![1]]);
    assert_eq!(values, [Value::Null, Value::Int(-4)]);
}

#[test]
fn an_aggregate_that_a_condition_might_leave_out_may_fail() {
    // What EXISTS says depends on whether a comparison with NULL is looked at as if it held.
    let mut inner = Select::new(vec![(Expr::int(1), "o".to_string())], Some(named("b")));
    let equal = Expr::Compare(Comparison::Equal, Box::new(Expr::column("b", "k")), Box::new(Expr::int(1)));
    inner.filter = Some(equal);
    let sum = Aggregate {
        function: AggregateFunction::Sum,
        argument: Some(Box::new(Expr::Cast(Box::new(Expr::column("a", "k")), Type::Small, false))),
        distinct: false,
        filter: None,
    };
    let whens = vec![(Expr::truth(false), Expr::Aggregate(sum))];
    let item = Expr::Case(None, whens, Some(Box::new(Expr::int(0))));
    let mut select = Select::new(vec![(item, "o".to_string())], Some(named("a")));
    select.filter = Some(Expr::Exists(Box::new(Query::of(inner)), true));
    let tables = table(&[Value::Null, Value::Int(70_000)]);
    let query = Query::of(select);
    assert!(Evaluator::new(&tables).query(&query).is_ok());
    assert_eq!(Evaluator::may_fail(&tables, &query), Some("22003"));
}
