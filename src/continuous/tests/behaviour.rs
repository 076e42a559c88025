//! What single steps do: life and death of groups, errors as data, fan-out, properties, EXPLAIN.

use std::collections::BTreeMap;

use super::{Change, Row, Running, World, batch, check, row};
use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, ErrorKind, Result};
use crate::continuous::step::StepOutput;
use crate::operator::expression::Expression;
use crate::operator::join::{JoinKind, JoinOperator, JoinSpec};
use crate::operator::{CHUNK_ROWS, Operator, Output};

/// Steps of the given changes; the outputs of all.
fn run(sql: &str, steps: &[&[Change]]) -> (Vec<Result<StepOutput>>, Running) {
    let mut world = World::new();
    let mut running = Running::new(&world, sql);
    let mut outputs = Vec::new();
    for step in steps {
        for change in *step {
            match change.2 {
                1 => world.contents[change.0].push(change.1.clone()),
                _ => world.contents[change.0].retain(|row| *row != change.1),
            }
        }
        outputs.push(running.step(&world, step));
    }
    (outputs, running)
}

fn rows(result: &BTreeMap<String, i64>) -> Vec<&str> {
    assert!(result.values().all(|&weight| weight == 1), "{result:?}");
    result.keys().map(String::as_str).collect()
}

#[test]
fn an_emptied_group_comes_back() {
    let sql = "SELECT k, count(*) AS n, sum(v) AS s, min(v) AS lo FROM t GROUP BY k";
    let insert = (0, row(1, 7, 5), 1);
    let delete = (0, row(1, 7, 5), -1);
    let again = (0, row(1, 7, 6), 1);
    for size in [1, 2, 3] {
        check(sql, &[insert.clone(), delete.clone(), again.clone()], size, 1, "insert, delete, insert");
    }
}

#[test]
fn an_unchanged_group_emits_nothing() {
    let sql = "SELECT k, max(v) AS hi FROM t GROUP BY k";
    let (outputs, _) = run(sql, &[&[(0, row(1, 1, 9), 1)], &[(0, row(2, 1, 3), 1)], &[(0, row(2, 1, 3), -1)]]);
    let counts: Vec<usize> = outputs.iter().map(|output| output.as_ref().expect("a step").changes.len()).collect();
    assert_eq!(counts, [1, 0, 0]);
}

#[test]
fn an_aggregate_without_keys_has_a_row_before_any_input() {
    let (_, running) = run("SELECT count(*) AS n, sum(v) AS s FROM t", &[&[]]);
    assert_eq!(rows(&running.result), ["n = 0, s = NULL"]);
}

#[test]
fn overflow_depends_on_the_rows_not_on_their_order() {
    let sql = "SELECT k, sum(v) AS s FROM t GROUP BY k";
    let big = (0, row(1, 1, i64::MAX), 1);
    let one = (0, row(2, 1, 1), 1);
    let minus = (0, row(3, 1, -1), 1);
    let orders = [[&big, &one, &minus], [&one, &minus, &big], [&minus, &big, &one]];
    for order in orders {
        let steps: Vec<&[Change]> = order.iter().map(|change| std::slice::from_ref(*change)).collect();
        let (outputs, running) = run(sql, &steps);
        assert!(outputs.iter().all(Result::is_ok));
        assert_eq!(running.circuit.error_total(), 0);
        assert_eq!(rows(&running.result), [format!("k = 1, s = {}", i64::MAX)]);
    }
}

#[test]
fn a_group_that_overflows_is_withheld_until_it_recovers() {
    let sql = "SELECT k, sum(v) AS s FROM t GROUP BY k";
    let (outputs, running) = run(
        sql,
        &[&[(0, row(1, 1, i64::MAX), 1), (0, row(9, 2, 4), 1)], &[(0, row(2, 1, 1), 1)], &[(0, row(2, 1, 1), -1)]],
    );
    let errors: Vec<Vec<(i64, &str)>> = outputs
        .iter()
        .map(|output| output.as_ref().expect("a step").errors.iter().map(|e| (e.weight, e.row.as_str())).collect())
        .collect();
    assert_eq!(errors, [vec![], vec![(1, "k = 1")], vec![(-1, "k = 1")]]);
    assert_eq!(running.circuit.error_total(), 0);
    assert_eq!(rows(&running.result), ["k = 1, s = 9223372036854775807", "k = 2, s = 4"]);
}

#[test]
fn a_failing_row_is_reported_and_the_rest_goes_on() {
    let sql = "SELECT id, 10 / v AS q FROM t WHERE k = 1";
    let bad = (0, row(2, 1, 0), 1);
    let steps: [&[Change]; 2] =
        [&[(0, row(1, 1, 5), 1), bad.clone(), (0, row(3, 2, 0), 1), (0, row(4, 1, 2), 1)], &[(0, row(2, 1, 0), -1)]];
    let (outputs, running) = run(sql, &steps[..1]);
    let first = outputs[0].as_ref().expect("a step");
    assert_eq!(first.errors.len(), 1);
    assert_eq!((first.errors[0].error.sqlstate(), first.errors[0].weight), ("22012", 1));
    assert_eq!(rows(&running.result), ["id = 1, q = 2", "id = 4, q = 5"]);
    let (error, text) = running.circuit.first_error().expect("a failing row");
    assert_eq!((error.message(), text.contains("id = 2")), ("division by zero", true));
    let (_, running) = run(sql, &steps);
    assert_eq!(running.circuit.error_total(), 0);
    assert!(running.circuit.first_error().is_none());
}

#[test]
fn a_deleted_row_that_was_never_inserted_is_an_error() {
    let (outputs, _) = run("SELECT k, count(*) AS n FROM t GROUP BY k", &[&[(0, row(1, 1, 1), -1)]]);
    assert_eq!(outputs[0].as_ref().expect_err("an error").kind(), ErrorKind::Internal);
    let (outputs, _) = run("SELECT t.id FROM t LEFT JOIN u ON t.k = u.k", &[&[(1, row(1, 1, 1), -1)]]);
    assert_eq!(outputs[0].as_ref().expect_err("an error").kind(), ErrorKind::Internal);
    let (outputs, _) = run("SELECT id FROM p", &[&[(2, row(1, 1, 1), -1)]]);
    assert_eq!(outputs[0].as_ref().expect_err("an error").kind(), ErrorKind::Internal);
}

#[test]
fn duplicates_on_both_sides_of_an_outer_join_in_one_step() {
    let sql = "SELECT t.id, u.id AS uid FROM t FULL JOIN u ON t.k = u.k";
    let (left, right) = (row(1, 1, 1), row(2, 1, 1));
    let history: Vec<Change> = vec![
        (0, left.clone(), 1),
        (0, left.clone(), 1),
        (1, right.clone(), 1),
        (1, right.clone(), 1),
        (0, left.clone(), -1),
        (1, right.clone(), -1),
        (1, right.clone(), -1),
        (1, right, 1),
        (0, left, -1),
    ];
    for size in [1, 2, 4, 5, 9] {
        check(sql, &history, size, 1, "full join");
    }
}

#[test]
fn what_has_no_operator_is_recomputed() {
    let sql = "WITH RECURSIVE r AS (SELECT id AS n, 0 AS d FROM t UNION ALL SELECT n, d + 1 FROM r WHERE d < 2) \
               SELECT n, d FROM r";
    let history: Vec<Change> = (0..20).map(|i| (0, row(i, i % 3, i), 1)).collect();
    let history: Vec<Change> =
        history.iter().cloned().chain(history.iter().take(8).map(|c| (0, c.1.clone(), -1))).collect();
    let spec = check(sql, &history, 5, 1, "recompute");
    assert!(spec.is_recomputed_whole(), "{}", spec.explain());
    assert!(spec.explain().contains("Recompute"), "{}", spec.explain());
}

#[test]
fn what_depends_on_the_time_is_recomputed_when_time_moves() {
    let mut world = World::new();
    let mut running = Running::new(&world, "SELECT id FROM t WHERE id <= date_part('second', now())");
    assert!(running.spec.uses_now(), "{}", running.spec.explain());
    for id in [1, 2, 3] {
        world.contents[0].push(row(id, 1, 1));
    }
    let inserts: Vec<Change> = [1, 2, 3].map(|id| (0, row(id, 1, 1), 1)).to_vec();
    world.now_us = 1_000_000;
    running.step(&world, &inserts).expect("a step");
    assert_eq!(rows(&running.result), ["id = 1"]);
    world.now_us = 2_000_000;
    running.step(&world, &[]).expect("a step");
    assert_eq!(rows(&running.result), ["id = 1", "id = 2"]);
}

#[test]
fn a_limit_of_zero_shows_nothing() {
    let (outputs, running) = run("SELECT id FROM t LIMIT 0", &[&[(0, row(1, 1, 1), 1)], &[(0, row(1, 1, 1), -1)]]);
    assert!(outputs.iter().all(Result::is_ok));
    assert!(running.result.is_empty());
}

#[test]
fn constants_and_lists() {
    let history: Vec<Change> = (0..20).map(|i| (0, row(i % 7, i % 3, (i % 4 > 0).then_some(i)), 1)).collect();
    let history: Vec<Change> =
        history.iter().cloned().chain(history.iter().skip(5).map(|change| (0, change.1.clone(), -1))).collect();
    for sql in [
        "SELECT x.a, t.id FROM (VALUES (0, 'no'), (1, 'yes'), (1, 'also')) x (b, a) JOIN t ON t.k = x.b",
        "SELECT id, unnest(make_array(k, v, 3)) AS e FROM t",
        "SELECT id, unnest(make_array(k, v)) AS e, unnest(make_array(id)) AS d FROM t",
        "SELECT 1 AS a UNION ALL SELECT id FROM t",
        "SELECT count(*) AS n FROM (SELECT 1 AS a UNION ALL SELECT k FROM t) x",
        "SELECT id FROM t ORDER BY id",
    ] {
        for size in [1, 7, 35] {
            let spec = check(sql, &history, size, 3, "constants and lists");
            assert!(!spec.recomputes(), "{}", spec.explain());
        }
    }
}

#[test]
fn explain_names_operators_state_and_changes() {
    let world = World::new();
    let sql = "SELECT u.s, count(*) AS n FROM p JOIN u ON p.k = u.k WHERE p.v > 1 GROUP BY u.s";
    let running = Running::new(&world, sql);
    let text = running.spec.explain();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.iter().any(|line| line.trim_start().starts_with("Aggregate") && line.contains("retracting")),
        "{text}"
    );
    assert!(lines.iter().any(|line| line.trim_start().starts_with("Inner join on p.k = u.k")), "{text}");
    assert!(lines.iter().any(|line| line.trim_start().starts_with("Scan stream p  [append-only")), "{text}");
    assert!(!text.contains("Recompute"), "{text}");
    assert_eq!(running.spec.unique_key(), Some(&[0][..]));
    assert!(!running.spec.append_only());
    let filtered = Running::new(&world, "SELECT DISTINCT id FROM p WHERE v > 1");
    assert!(filtered.spec.append_only());
}

/// Counts what an operator emits and keeps nothing.
#[derive(Default)]
struct Counter {
    rows: usize,
    largest: usize,
    weight: i64,
}

impl Output for Counter {
    fn emit(&mut self, batch: ChangeBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.largest = self.largest.max(batch.num_rows());
        self.weight += (0..batch.num_rows()).map(|row| batch.weights().get(row)).sum::<i64>();
        Ok(())
    }

    fn fail(&mut self, error: Error, row: String, _weight: i64) {
        panic!("{row}: {error}");
    }
}

fn join_on_k() -> JoinOperator {
    let schema = super::row_schema();
    let key = || vec![Expression::column("k", 1, arrow::datatypes::DataType::Int64)];
    JoinOperator::new(JoinSpec {
        kind: JoinKind::INNER,
        keys: [key(), key()],
        inputs: [schema.clone(), schema.clone()],
        append_only: [false, false],
        null_equals_null: false,
        residual: None,
        output: vec![(0, 0), (1, 0)],
        schema: std::sync::Arc::new(schema.project(&[0, 0]).expect("columns")),
    })
    .expect("a join")
}

#[test]
fn a_large_fan_out_is_never_one_batch() {
    let mut join = join_on_k();
    let mut out = Counter::default();
    let many: Vec<Row> = (0..50_000).map(|i| row(i, 1, i)).collect();
    join.push(0, ChangeBatch::inserts(batch(&many)), &mut out).expect("a push");
    join.push(1, ChangeBatch::inserts(batch(&[row(1, 1, 1), row(2, 1, 1), row(3, 2, 1)])), &mut out).expect("a push");
    join.finish(&mut out).expect("the end of the step");
    assert_eq!((out.rows, out.largest, out.weight), (100_000, CHUNK_ROWS, 100_000));
    assert_eq!(join.state_rows(), 50_003);
}

#[test]
fn weight_products_are_checked() {
    let mut join = join_on_k();
    let mut out = Counter::default();
    let heavy = |id| ChangeBatch::try_new(batch(&[row(id, 1, 1)]), Weights::Signed(vec![1 << 40].into()));
    join.push(0, heavy(1).expect("a batch"), &mut out).expect("a push");
    let error = join.push(1, heavy(2).expect("a batch"), &mut out).expect_err("an overflow");
    assert_eq!(error.sqlstate(), "22003");
}

#[test]
fn a_circuit_built_over_contents_goes_on_from_there() {
    for sql in [
        "SELECT k, count(*) AS n, sum(v) AS s, max(s) AS m FROM t GROUP BY k",
        "SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON t.k = u.k",
        "SELECT count(*) AS n FROM t",
        "SELECT id, v FROM t ORDER BY v DESC, id LIMIT 3",
        "SELECT id, rank() OVER (PARTITION BY k ORDER BY v) AS r FROM t",
    ] {
        let mut world = World::new();
        for id in 0..30 {
            world.contents[(id % 2) as usize].push(row(id, id % 5, id % 7));
        }
        let mut running = Running::new(&world, sql);
        running.build(&world).expect("a build");
        assert_eq!(running.result, world.answer(sql).expect("an answer"), "{sql}");
        for change in [(0, row(4, 4, 4), -1), (1, row(31, 2, 1), 1), (0, row(32, 9, 1), 1)] {
            world.apply(&change);
            running.step(&world, std::slice::from_ref(&change)).expect("a step");
            assert_eq!(running.result, world.answer(sql).expect("an answer"), "{sql}");
        }
    }
}

#[test]
fn windows_of_time() {
    let history: Vec<Change> = (0..40).map(|i| (0, row(i % 23, i % 3, i % 5), 1)).collect();
    let history: Vec<Change> =
        history.iter().cloned().chain(history.iter().skip(9).map(|change| (0, change.1.clone(), -1))).collect();
    let events = "(SELECT v, to_timestamp_micros(id * 250000)::TIMESTAMP AS ts FROM t)";
    for sql in [
        format!(
            "SELECT window_start, count(*) AS n, sum(v) AS s FROM TUMBLE({events}, ts, INTERVAL '1 second') GROUP BY window_start"
        ),
        format!(
            "SELECT window_start, window_end, sum(v) AS s FROM HOP({events}, ts, INTERVAL '1 second', INTERVAL '3 seconds') GROUP BY window_start, window_end"
        ),
    ] {
        for size in [1, 7, 71] {
            let spec = check(&sql, &history, size, 5, "windows of time");
            assert!(!spec.recomputes(), "{}", spec.explain());
        }
    }
}
