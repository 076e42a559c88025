//! The engine itself: partitions, overlays, row ids, cancelling, foreign runtimes, memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlparser::ast;

use super::{World, ints, parse, show};
use crate::base::error::ErrorKind;
use crate::base::limits::Interrupt;
use crate::batch::engine::{Binding, EngineOptions};
use crate::plan::dml::{plan_delete, plan_update};

fn numbers(rows: i64) -> World {
    let mut world = World::new();
    world.add("n", &[("i", ints(&(0..rows).map(Some).collect::<Vec<_>>()))]);
    world
}

fn selection(sql: &str) -> Option<ast::Expr> {
    match *parse(&format!("SELECT 1 FROM t WHERE {sql}")).expect("valid").body {
        ast::SetExpr::Select(select) => select.selection,
        _ => None,
    }
}

#[test]
fn counts_and_sums_over_many_chunks() {
    let world = numbers(200_000);
    assert_eq!(world.rows("SELECT count(*), sum(i), min(i), max(i) FROM n"), ["200000 19999900000 0 199999"]);
    assert_eq!(world.rows("SELECT count(*) FROM n WHERE i % 2 = 0"), ["100000"]);
    assert_eq!(world.rows("SELECT count(*) FROM n AS a JOIN n AS b ON a.i = b.i"), ["200000"]);
}

#[test]
fn a_transaction_sees_its_own_changes() {
    let mut world = World::usual();
    let id = world.catalog.get("u").expect("exists").id;
    let input = world.input(id);
    let schema = input.snapshot.schema();
    input.deleted = Some(Arc::new([0u64].into()));
    let batch = arrow::array::RecordBatch::try_new(schema, vec![ints(&[Some(8), Some(9)])]).expect("one column");
    input.inserted = [batch.clone(), batch].map(crate::storage::spool::Rows::Held).into();
    assert_eq!(world.sorted("SELECT a FROM u"), ["3", "8", "8", "9", "9", "NULL"]);
    assert_eq!(world.rows("SELECT count(*) FROM u"), ["6"]);
    let relation = world.catalog.get("u").expect("exists").clone();
    let delete = plan_delete(&relation, None, &[], selection("a > 7").as_ref(), &world.context(None)).expect("valid");
    let rows = world.engine.collect(&delete, world.relations(), &Binding::default(), &Interrupt::default());
    let mut rows = show(&rows.expect("runs"));
    rows.sort();
    assert_eq!(rows, (0..4).map(|i: u64| ((1 << 63) + i).to_string()).collect::<Vec<_>>());
}

#[test]
fn update_and_delete_are_queries_over_row_ids() {
    let world = World::usual();
    let relation = world.catalog.get("t").expect("exists").clone();
    let run = |query: crate::plan::query::Query| {
        let rows = world.engine.collect(&query, world.relations(), &Binding::default(), &Interrupt::default());
        let mut rows = show(&rows.expect("runs"));
        rows.sort();
        rows
    };
    let context = world.context(None);
    let subquery = selection("a IN (SELECT a FROM u)");
    assert_eq!(run(plan_delete(&relation, None, &[], subquery.as_ref(), &context).expect("valid")), ["0", "1", "2"]);
    let not_in = selection("a NOT IN (SELECT a FROM u)");
    assert!(run(plan_delete(&relation, None, &[], not_in.as_ref(), &context).expect("valid")).is_empty());
    assert_eq!(run(plan_delete(&relation, None, &[], None, &context).expect("valid")).len(), 5);
    let value = selection("a + 10.0").expect("an expression");
    let assignments = [("a".to_string(), value)];
    let filter = selection("b = 'z'");
    let update = plan_update(&relation, None, &assignments, &[], filter.as_ref(), &context).expect("valid");
    assert_eq!(run(update), ["3 12.0 z"]);
    let own = [
        ("b".to_string(), selection("CAST(a AS TEXT)").expect("an expression")),
        ("a".to_string(), selection("a").expect("an expression")),
    ];
    let same = plan_update(&relation, None, &own, &[], filter.as_ref(), &context).expect("valid");
    assert_eq!(run(same), ["3 2 2"]);
    let missing = [("nope".to_string(), selection("1").expect("an expression"))];
    let error = plan_update(&relation, None, &missing, &[], None, &context).expect_err("no such column");
    assert_eq!(error.sqlstate(), "42703");
    assert_eq!(world.error("SELECT _rowid FROM t").sqlstate(), "42703");
}

#[test]
fn a_cancelled_query_returns_at_once() {
    let world = Arc::new(numbers(60_000));
    let query =
        world.plan("SELECT count(*) FROM n AS a, n AS b WHERE a.i + b.i > 5 AND a.i * b.i < -1").expect("valid");
    let interrupt = Interrupt::default();
    let stop = interrupt.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        stop.cancel();
    });
    let start = Instant::now();
    let result = world.engine.collect(&query, world.relations(), &Binding::default(), &interrupt);
    assert_eq!(result.expect_err("cancelled").kind(), ErrorKind::Cancelled);
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    canceller.join().expect("the canceller ends");
    interrupt.start(Some(Duration::from_millis(100)));
    let result = world.engine.collect(&query, world.relations(), &Binding::default(), &interrupt);
    assert_eq!(result.expect_err("timed out").kind(), ErrorKind::Timeout);
    // The next query has threads of its own, whatever the last one still does with its.
    assert_eq!(world.rows("SELECT count(*) FROM n"), ["60000"]);
}

#[test]
fn an_engine_works_inside_a_foreign_runtime() {
    let world = numbers(1000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let rows = runtime.block_on(async { world.rows("SELECT sum(i) FROM n") });
    assert_eq!(rows, ["499500"]);
    runtime.block_on(async move { drop(world) });
}

#[test]
fn a_stream_may_be_dropped_early() {
    let world = numbers(300_000);
    let query = world.plan("SELECT i FROM n").expect("valid");
    let run = || world.engine.run(&query, world.relations(), &Binding::default(), &Interrupt::default());
    let mut streams: Vec<_> = (0..8).map(|_| run().expect("starts")).collect();
    // Many open results do not block one another.
    for stream in &mut streams {
        assert!(stream.next().expect("a batch").expect("no error").num_rows() > 0);
    }
    drop(streams);
    assert_eq!(run().expect("starts").map(|batch| batch.expect("no error").num_rows()).sum::<usize>(), 300_000);
}

#[test]
fn memory_is_limited() {
    let mut world =
        World::with(EngineOptions { memory_limit: Some(4 << 20), target_partitions: 2, ..EngineOptions::default() });
    world.add("n", &[("i", ints(&(0..1_000_000).map(Some).collect::<Vec<_>>()))]);
    let error = world.error("SELECT count(*) FROM n AS a JOIN n AS b ON a.i = b.i");
    assert_eq!(error.kind(), ErrorKind::Resource, "{error}");
    world.engine.set_memory_limit(None).expect("a valid limit");
    assert_eq!(world.rows("SELECT count(*) FROM n AS a JOIN n AS b ON a.i = b.i"), ["1000000"]);
}

#[test]
fn plans_can_be_explained() {
    let world = numbers(10);
    let query = world.plan("SELECT i FROM n ORDER BY i DESC LIMIT 3").expect("valid");
    let explain = |analyze| {
        let binding = Binding::default();
        world.engine.explain(&query, world.relations(), &binding, analyze, &Interrupt::default()).expect("explains")
    };
    assert!(explain(false).contains("Scan: n, columns=[i]"), "{}", explain(false));
    assert!(explain(false).contains("TopK(fetch=3)"), "{}", explain(false));
    assert!(explain(true).contains("output_rows=3"), "{}", explain(true));
}
