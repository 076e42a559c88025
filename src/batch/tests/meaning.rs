//! Multiplicities, NULLs, overflow, subqueries, ties, names: one answer, and the right one.

use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::{World, doubles, ints, parse, show, texts};
use crate::base::error::{ErrorKind, Position};
use crate::base::limits::Interrupt;
use crate::batch::engine::Binding;
use crate::plan::context::Parameters;
use crate::plan::query::plan_query;

#[test]
fn except_and_intersect_all_keep_multiplicities() {
    let world = World::usual();
    let except = "SELECT * FROM (SELECT a FROM t EXCEPT ALL SELECT a FROM u)";
    assert_eq!(world.sorted(except), ["1", "1", "2"]);
    let intersect = "SELECT * FROM (SELECT a FROM t INTERSECT ALL SELECT a FROM u)";
    assert_eq!(world.sorted(intersect), ["1", "NULL"]);
    let mixed = "SELECT * FROM (SELECT a FROM t EXCEPT ALL (SELECT 1.5 AS a UNION ALL SELECT 1))";
    assert_eq!(world.sorted(mixed).len(), 4);
    let count = "SELECT count(*) FROM (SELECT a FROM t EXCEPT ALL SELECT a FROM u) AS e";
    assert_eq!(world.rows(count), ["3"]);
    assert_eq!(world.error("SELECT * FROM (SELECT a, b FROM t EXCEPT ALL SELECT a FROM u)").sqlstate(), "42601");
}

#[test]
fn except_and_intersect_without_all_are_sets() {
    let world = World::usual();
    assert_eq!(world.sorted("SELECT a FROM t EXCEPT SELECT a FROM u"), ["2"]);
    assert_eq!(world.sorted("SELECT a FROM t INTERSECT SELECT a FROM u"), ["1", "NULL"]);
    assert_eq!(world.sorted("SELECT a FROM t UNION SELECT a FROM u"), ["1", "2", "3", "NULL"]);
}

#[test]
fn integers_never_wrap() {
    let mut world = World::new();
    world.add("big", &[("x", ints(&[Some(i64::MAX), Some(5), None]))]);
    for sql in [
        "SELECT 9223372036854775807 + 1",
        "SELECT x + 1 FROM big",
        "SELECT x + x FROM big",
        "SELECT -x - 2 FROM big",
        "SELECT x * 2 FROM big",
        "SELECT count(*) FROM big WHERE x + 1 > 0",
        "SELECT - (x - 9223372036854775807 - 9223372036854775807 - 2) FROM big WHERE x = 9223372036854775807",
        "SELECT CAST(2147483647 AS INT) + CAST(1 AS INT)",
        "SELECT sum(x) FROM big",
    ] {
        assert_eq!(world.error(sql).sqlstate(), "22003", "{sql}");
    }
    assert_eq!(world.rows("SELECT x + 1 FROM big WHERE x < 10"), ["6"]);
    assert_eq!(
        world.rows("SELECT x - 1, x * 1, -x FROM big ORDER BY x"),
        ["4 5 -5", "9223372036854775806 9223372036854775807 -9223372036854775807", "NULL NULL NULL"]
    );
    assert_eq!(world.error("SELECT 1 / 0").sqlstate(), "22012");
    assert_eq!(world.error("SELECT x % 0 FROM big").sqlstate(), "22012");
    assert_ne!(world.error("SELECT abs(-x - 1) FROM big").sqlstate(), "XX000");
}

#[test]
fn an_expression_that_is_not_evaluated_does_not_fail() {
    let world = World::usual();
    assert_eq!(world.rows("SELECT CASE WHEN true THEN 1 ELSE 9223372036854775807 + 1 END"), ["1"]);
}

#[test]
fn arithmetic_keeps_the_names_of_columns() {
    let world = World::usual();
    // As the binder names them: our own parser would give names.
    let sql = "SELECT a + 1, sum(a * 2) FROM t GROUP BY a + 1 ORDER BY a + 1";
    let parsed = Parser::new(&GenericDialect).try_with_sql(sql).and_then(|mut parser| parser.parse_query());
    let query = plan_query(&parsed.expect("valid"), &world.context(None)).expect("valid");
    let names: Vec<_> = query.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["t.a + Int64(1)", "sum(t.a * Int64(2))"]);
}

#[test]
fn a_scalar_subquery_of_two_rows_is_an_error() {
    let world = World::usual();
    assert_eq!(world.error("SELECT (SELECT a FROM t)").sqlstate(), "21000");
    assert_eq!(world.error("SELECT a, (SELECT b FROM t WHERE t.a = u.a) FROM u").sqlstate(), "21000");
    assert_eq!(world.rows("SELECT (SELECT a FROM t WHERE a = 2)"), ["2"]);
    assert_eq!(world.rows("SELECT (SELECT a FROM t WHERE a = 7)"), ["NULL"]);
    assert_eq!(world.sorted("SELECT a FROM u WHERE a < (SELECT max(a) FROM t)"), ["1"]);
    assert_eq!(world.sorted("SELECT a FROM t WHERE a = (SELECT max(a) - 1 FROM t) AND b = 'x'"), ["1", "1"]);
}

#[test]
fn scalar_subqueries_work_wherever_an_expression_does() {
    let world = World::usual();
    assert_eq!(world.rows("SELECT sum(a + (SELECT max(a) FROM u)) FROM t"), ["17"]);
    assert_eq!(world.sorted("SELECT a, count(*) FROM t GROUP BY a HAVING count(*) > (SELECT min(a) FROM u)"), ["1 3"]);
    assert_eq!(world.rows("SELECT b FROM t ORDER BY a = (SELECT max(a) FROM t) DESC NULLS LAST, b LIMIT 1"), ["z"]);
    assert_eq!(
        world.sorted("SELECT a, (SELECT b FROM t WHERE t.a = u.a ORDER BY b DESC LIMIT 1) FROM u"),
        ["1 y", "3 NULL", "NULL NULL"]
    );
    assert_eq!(
        world.sorted("SELECT CASE WHEN a > (SELECT min(a) FROM t) THEN 'more' ELSE 'not' END FROM u"),
        ["more", "not", "not"]
    );
}

#[test]
fn counting_in_a_correlated_subquery_gives_zero() {
    let world = World::usual();
    let sql = "SELECT u.a, (SELECT count(*) FROM t WHERE t.a = u.a) FROM u";
    assert_eq!(world.sorted(sql), ["1 3", "3 0", "NULL 0"]);
    let sql = "SELECT u.a FROM u WHERE (SELECT count(*) FROM t WHERE t.a = u.a) = 0";
    assert_eq!(world.sorted(sql), ["3", "NULL"]);
    let sql = "SELECT u.a, (SELECT count(*) + 1 FROM t WHERE t.a = u.a) FROM u";
    assert_eq!(world.sorted(sql), ["1 4", "3 1", "NULL 1"]);
    let sql = "SELECT u.a, (SELECT coalesce(sum(t.a), -1) FROM t WHERE t.a = u.a) FROM u";
    assert_eq!(world.sorted(sql), ["1 3", "3 -1", "NULL -1"]);
}

#[test]
fn in_and_exists_know_null() {
    let world = World::usual();
    assert!(world.rows("SELECT a FROM t WHERE a NOT IN (SELECT a FROM u)").is_empty());
    assert_eq!(world.sorted("SELECT a FROM t WHERE a NOT IN (SELECT a FROM u WHERE a IS NOT NULL)"), ["2"]);
    assert_eq!(world.sorted("SELECT a FROM t WHERE a NOT IN (SELECT a FROM u WHERE a > 99)").len(), 5);
    assert_eq!(world.sorted("SELECT a FROM u WHERE a IN (SELECT a FROM t)"), ["1"]);
    assert_eq!(world.sorted("SELECT a FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.a = u.a)"), ["1"]);
    assert_eq!(world.sorted("SELECT a FROM u WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.a = u.a)"), ["3", "NULL"]);
    assert_eq!(world.sorted("SELECT a FROM u WHERE a = 3 OR EXISTS (SELECT 1 FROM t WHERE t.a = u.a)"), ["1", "3"]);
}

#[test]
fn not_in_selected_as_a_value_knows_null() {
    let world = World::usual();
    assert_eq!(world.sorted("SELECT a FROM t WHERE a = 2 OR a NOT IN (SELECT a FROM u)"), ["2"]);
    assert!(world.sorted("SELECT a FROM t WHERE (a NOT IN (SELECT a FROM u)) IS TRUE").is_empty());
    assert_eq!(world.sorted("SELECT a FROM t WHERE NOT (a IN (SELECT a FROM u) AND b = 'x')"), ["1", "2", "NULL"]);
    assert_eq!(
        world.sorted("SELECT DISTINCT a, a IN (SELECT a FROM u), a NOT IN (SELECT a FROM u WHERE a > 0) FROM t"),
        ["1 true false", "2 NULL true", "NULL NULL NULL"]
    );
    assert_eq!(
        world.sorted("SELECT a, a IN (SELECT a FROM t WHERE false) FROM u"),
        ["1 false", "3 false", "NULL false"]
    );
    assert_eq!(
        world.sorted("SELECT a, EXISTS (SELECT 1 FROM t WHERE t.a = u.a), NOT EXISTS (SELECT 1 FROM t) FROM u"),
        ["1 true false", "3 false false", "NULL false false"]
    );
    assert_eq!(
        world.sorted("SELECT a, a IN (SELECT t.a FROM t WHERE t.a = u.a) FROM u"),
        ["1 true", "3 false", "NULL false"]
    );
    assert_eq!(world.rows("SELECT count(*) FILTER (WHERE a IN (SELECT a FROM u)) FROM t"), ["3"]);
    assert_eq!(
        world.rows("SELECT sum(CASE WHEN a NOT IN (SELECT a FROM u WHERE a = 1) THEN 1 ELSE 0 END) FROM t"),
        ["1"]
    );
}

#[test]
fn not_in_compares_constants_subqueries_and_correlated_rows() {
    let mut world = World::usual();
    world.add("e", &[("a", ints(&[]))]);
    assert!(world.rows("SELECT a FROM t WHERE (SELECT min(a) FROM e) NOT IN (SELECT a FROM u)").is_empty());
    assert_eq!(world.rows("SELECT a FROM t WHERE NULL NOT IN (SELECT a FROM e)").len(), 5);
    assert!(world.rows("SELECT a FROM t WHERE 7 NOT IN (SELECT a FROM u)").is_empty());
    assert_eq!(world.rows("SELECT a FROM t WHERE 7 NOT IN (SELECT a FROM u WHERE a > 0)").len(), 5);
    assert!(world.rows("SELECT a FROM t WHERE a = 2 AND a NOT IN (SELECT a FROM u)").is_empty());
    let correlated = "SELECT a, b FROM t WHERE a NOT IN (SELECT x.a FROM t AS x WHERE x.b < t.b)";
    assert_eq!(world.sorted(correlated), ["NULL n"], "only there is nothing to be in");
    let correlated = "SELECT a, b FROM t WHERE a NOT IN (SELECT x.a - 1 FROM t AS x WHERE x.b = t.b)";
    assert_eq!(world.sorted(correlated), ["1 x", "1 x", "1 y", "2 z"]);
}

#[test]
fn filters_above_outer_joins_stay_on_their_side() {
    let mut world = World::new();
    let rows: [(Option<i64>, Option<i64>); 8] = [
        (Some(3), Some(1)),
        (None, Some(5)),
        (Some(5), Some(0)),
        (Some(0), None),
        (Some(1), Some(5)),
        (Some(1), Some(2)),
        (Some(2), Some(0)),
        (Some(3), Some(0)),
    ];
    type Row = (Option<i64>, Option<i64>);
    let column = |get: fn(&Row) -> Option<i64>| ints(&rows.iter().map(get).collect::<Vec<_>>());
    world.add("r", &[("a", column(|row| row.0)), ("b", column(|row| row.1))]);
    let sql = "SELECT s.c0, count(*), max(s.c1) FROM (SELECT y.b AS c0, 1 - y.a AS c1 FROM r AS x \
               RIGHT JOIN r AS y ON y.a = x.b FULL JOIN r AS z ON z.a = y.a AND z.a > y.b \
               WHERE x.b = x.b OR x.b >= 3) AS s WHERE s.c0 IS NOT NULL OR s.c1 > 0 GROUP BY s.c0";
    assert_eq!(world.sorted(sql), ["0 3 -1", "2 1 0", "5 1 0", "NULL 3 1"]);
}

#[test]
fn limits_are_deterministic() {
    let mut world = World::new();
    let n = 40_000;
    let k: Vec<_> = (0..n).map(|i| Some(i % 3)).collect();
    let v: Vec<_> = (0..n).map(|i| Some((i * 7919) % n)).collect();
    world.add("r", &[("k", ints(&k)), ("v", ints(&v))]);
    let mut rows: Vec<(i64, i64)> = k.iter().zip(&v).filter_map(|(k, v)| Some(((*k)?, (*v)?))).collect();
    rows.sort();
    let expected = |rows: &[(i64, i64)]| rows.iter().map(|(k, v)| format!("{k} {v}")).collect::<Vec<_>>();
    assert_eq!(world.rows("SELECT k, v FROM r LIMIT 3"), expected(&rows[..3]));
    assert_eq!(world.rows("SELECT k, v FROM r ORDER BY k LIMIT 2 OFFSET 1"), expected(&rows[1..3]));
    rows.sort_by_key(|(k, v)| (-k, *v));
    assert_eq!(world.rows("SELECT k, v FROM r ORDER BY k DESC LIMIT 2"), expected(&rows[..2]));
    assert_eq!(world.rows("SELECT count(*) FROM (SELECT * FROM r LIMIT 7) AS l"), ["7"]);
    assert!(world.rows("SELECT * FROM r LIMIT 0").is_empty());
}

#[test]
fn order_sensitive_functions_are_deterministic() {
    let world = World::usual();
    assert_eq!(world.sorted("SELECT a, first_value(b ORDER BY a) FROM t GROUP BY a"), ["1 x", "2 z", "NULL n"]);
    assert_eq!(world.rows("SELECT array_agg(b) FROM t"), ["[n, x, x, y, z]"]);
    assert_eq!(world.rows("SELECT array_agg(b), sum(a) FROM t"), ["[x, x, y, z, n] 5"]);
    assert_eq!(world.rows("SELECT string_agg(b, ',') FROM t"), ["n,x,x,y,z"]);
    assert_eq!(
        world.sorted("SELECT b, row_number() OVER (PARTITION BY a ORDER BY a) FROM t WHERE a = 1"),
        ["x 1", "x 2", "y 3"]
    );
    assert_eq!(world.sorted("SELECT b, rank() OVER (ORDER BY a) FROM t WHERE a < 3"), ["x 1", "x 1", "y 1", "z 4"]);
    assert_eq!(world.sorted("SELECT b, sum(a) OVER (ORDER BY a) FROM t WHERE a < 3"), ["x 3", "x 3", "y 3", "z 5"]);
    assert_eq!(
        world.sorted("SELECT b, last_value(b) OVER (ORDER BY a) FROM t WHERE a < 3"),
        ["x y", "x y", "y y", "z z"]
    );
    assert_eq!(world.sorted("SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC"), ["1 y", "2 z", "NULL n"]);
    assert_eq!(world.sorted("SELECT DISTINCT ON (a) a, b FROM t"), ["1 x", "2 z", "NULL n"]);
}

#[test]
fn columns_get_unique_names() {
    let world = World::usual();
    let query = world.plan("SELECT t.a, u.a, b FROM t JOIN u ON t.a = u.a").expect("valid");
    let names: Vec<_> = query.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["a", "a_1", "b"]);
}

#[test]
fn names_in_group_by_and_order_by() {
    let world = World::usual();
    assert_eq!(
        world.rows("SELECT a AS k, count(*) AS n FROM t GROUP BY k ORDER BY n DESC, 1 NULLS FIRST"),
        ["1 3", "NULL 1", "2 1"]
    );
    assert_eq!(world.rows("SELECT b, a FROM t ORDER BY 2 DESC NULLS LAST, 1"), ["z 2", "x 1", "x 1", "y 1", "n NULL"]);
    assert_eq!(
        world.rows("SELECT a, count(*) FROM t GROUP BY ROLLUP (a) ORDER BY a, 2"),
        ["1 3", "2 1", "NULL 1", "NULL 5"]
    );
}

#[test]
fn errors_name_place_and_hint() {
    let world = World::usual();
    let error = world.error("SELECT a FROM tt");
    assert_eq!((error.kind(), error.hint()), (ErrorKind::NotFound, Some("did you mean \"t\"?")));
    assert_eq!(error.position(), Some(Position { line: 1, column: 15 }));
    let error = world.error("SELECT aa\nFROM t");
    assert_eq!((error.sqlstate(), error.hint()), ("42703", Some("did you mean \"a\"?")));
    assert_eq!(error.position(), Some(Position { line: 1, column: 8 }));
    let error = world.error("SELECT a,\n summ(a) FROM t");
    assert_eq!((error.sqlstate(), error.hint()), ("42883", Some("did you mean \"sum\"?")));
    assert_eq!(error.position(), Some(Position { line: 2, column: 2 }));
    let error = world.error("SELECT a FROM t, u");
    assert_eq!(error.sqlstate(), "42702");
    let error = world.error("SELECT b FROM t GROUP BY a");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[test]
fn what_datafusion_would_ignore_is_refused() {
    let world = World::usual();
    for sql in [
        "SELECT * FROM t TABLESAMPLE (10 PERCENT)",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM SESSION(t, a, INTERVAL '1 minute')",
    ] {
        let error = parse(sql).err().unwrap_or_else(|| world.error(sql));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}");
    }
}

#[test]
fn views_are_expanded() {
    let mut world = World::usual();
    world.view("v", "SELECT a, count(*) AS n FROM t GROUP BY a");
    world.view("w", "SELECT n, n AS n2 FROM v WHERE a IS NOT NULL");
    assert_eq!(world.sorted("SELECT n2 FROM w"), ["1", "3"]);
    assert_eq!(world.sorted("SELECT x.n FROM w AS x JOIN w ON x.n = w.n2"), ["1", "3"]);
    // The view's own columns break its ties, whichever of them are used.
    world.view("l", "SELECT a, b FROM t WHERE a = 1 ORDER BY a LIMIT 2");
    assert_eq!(world.sorted("SELECT b FROM l"), ["x", "x"]);
    let query = world.plan("SELECT * FROM w").expect("valid");
    assert_eq!(query.relations.len(), 1);
}

#[test]
fn parameters_are_bound_early_or_late() {
    let world = World::usual();
    let named = [("name".to_string(), texts(&[Some("x")]))].into();
    let parameters = Parameters { positional: vec![ints(&[Some(2)])], named, ..Parameters::default() };
    let sql = "SELECT b, $1 + 1 FROM t WHERE a = $1 OR b = $name ORDER BY b";
    let early = plan_query(&parse(sql).expect("valid"), &world.context(Some(&parameters))).expect("valid");
    assert!(early.parameters.is_empty());
    let late = world.plan(sql).expect("valid");
    assert_eq!(late.parameters.len(), 2);
    for query in [early, late] {
        let binding = Binding { now_us: 0, parameters: parameters.clone() };
        let batches = world.engine.collect(&query, world.relations(), &binding, &Interrupt::default());
        assert_eq!(show(&batches.expect("runs")), ["x 3", "x 3", "z 3"]);
    }
    let error = world.run("SELECT $1").expect_err("no value");
    assert_eq!(error.sqlstate(), "07002");
}

#[test]
fn functions_that_vary_are_named() {
    let world = World::usual();
    assert_eq!(world.plan("SELECT random()").expect("valid").volatile.as_deref(), Some("random"));
    assert_eq!(world.plan("SELECT a FROM t WHERE uuid() = b").expect("valid").volatile.as_deref(), Some("uuid"));
    assert_eq!(world.plan("SELECT a FROM t").expect("valid").volatile, None);
}

#[test]
fn deep_chains_of_constants() {
    let world = World::usual();
    let chain = vec!["1"; 300].join(" + ");
    assert_eq!(world.rows(&format!("SELECT {chain}")), ["300"]);
}

#[test]
fn deep_chains_of_columns() {
    let world = World::usual();
    let chain = vec!["a"; 300].join(" + ");
    assert_eq!(world.rows(&format!("SELECT {chain} FROM t WHERE a = 2")), ["600"]);
}

#[test]
fn wide_unions() {
    let world = World::usual();
    let union = vec!["SELECT a FROM u"; 100].join(" UNION ALL ");
    assert_eq!(world.rows(&format!("SELECT count(*) FROM ({union}) AS x")), ["300"]);
}

#[test]
fn recursion_runs() {
    let world = World::new();
    let sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) FROM r";
    assert_eq!(world.rows(sql), ["15"]);
}

#[test]
fn exact_sums_reach_batch() {
    let mut world = World::new();
    world.add("f", &[("x", doubles(&[Some(1e16), Some(1.0), Some(-1e16)]))]);
    assert_eq!(world.rows("SELECT sum(x) FROM f"), ["1.0"]);
    assert_eq!(world.rows("SELECT sum(x) FROM (SELECT * FROM f UNION ALL SELECT * FROM f) AS g"), ["2.0"]);
}

#[test]
fn any_and_all_are_three_valued() {
    let world = World::usual();
    let known = "(SELECT a FROM t WHERE a IS NOT NULL)";
    assert_eq!(world.sorted(&format!("SELECT DISTINCT a FROM t WHERE a >= ALL {known}")), ["2"]);
    assert_eq!(world.sorted(&format!("SELECT DISTINCT a FROM t WHERE a < ANY {known}")), ["1"]);
    assert_eq!(world.sorted("SELECT DISTINCT a FROM t WHERE a >= ALL (SELECT a FROM u)"), Vec::<String>::new());
    assert_eq!(world.sorted("SELECT DISTINCT a FROM t WHERE a < ANY (SELECT a FROM u)"), ["1", "2"]);
    assert_eq!(
        world.sorted("SELECT DISTINCT a FROM t WHERE a > ALL (SELECT a FROM u WHERE a > 9)"),
        ["1", "2", "NULL"]
    );
    assert_eq!(world.sorted("SELECT DISTINCT a FROM t WHERE a = ANY (SELECT a FROM u)"), ["1"]);
    assert_eq!(world.sorted("SELECT DISTINCT a FROM t WHERE a <> ALL (SELECT a FROM u WHERE a > 0)"), ["2"]);
    assert_eq!(world.sorted("SELECT DISTINCT a FROM t WHERE NOT a = ALL (SELECT a FROM u)"), ["1", "2"]);
    assert_eq!(world.sorted("SELECT a FROM u WHERE a <> ANY (SELECT 1)"), ["3"]);
}

#[test]
fn intervals_compare_by_length() {
    let world = World::new();
    assert_eq!(
        world.rows("SELECT INTERVAL '2400 hours' > INTERVAL '1 day', INTERVAL '24 hours' = INTERVAL '1 day'"),
        ["true true"]
    );
    let sql = "SELECT TIMESTAMP '2024-06-01 00:00:00' - TIMESTAMP '2024-01-01 00:00:00' > INTERVAL '100 days'";
    assert_eq!(world.rows(sql), ["true"]);
    let sql = "SELECT INTERVAL '30 hours' BETWEEN INTERVAL '1 day' AND INTERVAL '2 days'";
    assert_eq!(world.rows(sql), ["true"]);
}

#[test]
fn computed_floats_have_one_zero_and_one_nan() {
    let mut world = World::new();
    world.add("f", &[("x", doubles(&[Some(0.0), Some(f64::NAN), Some(1.0), None]))]);
    assert_eq!(world.sorted("SELECT x FROM f UNION SELECT -x FROM f"), ["-1.0", "0.0", "1.0", "NULL", "NaN"]);
    assert_eq!(world.rows("SELECT count(*) FROM f WHERE -x = 0.0"), ["1"]);
    assert_eq!(world.rows("SELECT count(*) FROM f AS a JOIN f AS b ON a.x = -b.x"), ["2"]);
    assert_eq!(
        world.rows("SELECT count(DISTINCT y) FROM (SELECT x AS y FROM f UNION ALL SELECT -x FROM f) AS g"),
        ["4"]
    );
    assert_eq!(world.rows("SELECT -x, count(*) FROM f GROUP BY -x ORDER BY -x DESC LIMIT 1 OFFSET 1").len(), 1);
    assert_eq!(world.rows("SELECT x FROM f WHERE -x IN (0.0)"), ["0.0"]);
}

#[test]
fn a_relation_may_be_called_like_a_column() {
    let mut world = World::usual();
    world.add("b", &[("id", ints(&[Some(1), Some(2)]))]);
    assert_eq!(world.sorted("SELECT id, (SELECT count(*) FROM t WHERE t.a = b.id) FROM b"), ["1 3", "2 1"]);
    assert_eq!(world.sorted("SELECT id FROM b WHERE EXISTS (SELECT 1 FROM t WHERE t.a = b.id AND b = 'z')"), ["2"]);
    let lateral = "SELECT id, n FROM b, LATERAL (SELECT count(*) AS n FROM t WHERE t.a = b.id) AS s";
    assert_eq!(world.sorted(lateral), ["1 3", "2 1"]);
    assert_eq!(world.error("SELECT b.id FROM t").sqlstate(), "42P01");
}

#[test]
fn outer_joins_with_using_have_the_column_that_is_not_null() {
    let world = World::usual();
    assert_eq!(
        world.sorted("SELECT a, b FROM t FULL JOIN u USING (a)"),
        ["1 x", "1 x", "1 y", "2 z", "3 NULL", "NULL NULL", "NULL n"]
    );
    assert_eq!(world.sorted("SELECT a, b FROM t RIGHT JOIN u USING (a)"), ["1 x", "1 x", "1 y", "3 NULL", "NULL NULL"]);
    assert_eq!(
        world.sorted("SELECT a, b FROM (SELECT * FROM t AS x RIGHT JOIN u USING (a) WHERE a = 3) AS s"),
        ["3 NULL"]
    );
    assert_eq!(
        world.rows("SELECT a, count(*) FROM t FULL JOIN u USING (a) GROUP BY a ORDER BY a"),
        ["1 3", "2 1", "3 1", "NULL 2"]
    );
    assert_eq!(
        world.sorted("SELECT * FROM t FULL JOIN u USING (a) JOIN u AS v USING (a)"),
        ["1 x", "1 x", "1 y", "3 NULL"]
    );
    assert_eq!(world.sorted("SELECT a FROM t LEFT JOIN u USING (a) WHERE a > 1"), ["2"]);
}

#[test]
fn natural_outer_joins() {
    let world = World::usual();
    assert_eq!(
        world.rows("SELECT a, count(*) FROM t NATURAL FULL JOIN u GROUP BY a ORDER BY a"),
        ["1 3", "2 1", "3 1", "NULL 2"]
    );
}

#[test]
fn one_column_in_two_types() {
    let world = World::usual();
    assert_eq!(world.rows("SELECT sum(CAST(a AS BIGINT)), sum(CAST(a AS DOUBLE)) FROM t"), ["5 5.0"]);
    assert_eq!(
        world.sorted("SELECT a, CAST(a AS DOUBLE) AS d, count(*) FROM u GROUP BY a, CAST(a AS DOUBLE)"),
        ["1 1.0 1", "3 3.0 1", "NULL NULL 1"]
    );
}

#[test]
fn long_integers_are_exact() {
    let world = World::new();
    assert_eq!(
        world.rows("SELECT 12345678901234567890123456789012345678, 18446744073709551615"),
        ["12345678901234567890123456789012345678 18446744073709551615"]
    );
}

#[test]
fn as_of_joins() {
    let mut world = World::new();
    let ts = |values: &[i64]| ints(&values.iter().map(|value| Some(*value)).collect::<Vec<_>>());
    world.add(
        "p",
        &[
            ("k", texts(&[Some("x"), Some("x"), Some("y"), None, Some("x")])),
            ("t", ints(&[Some(5), Some(2), Some(9), Some(5), None])),
            ("n", ts(&[1, 2, 3, 4, 5])),
        ],
    );
    world.add(
        "q",
        &[
            ("k", texts(&[Some("x"), Some("x"), Some("x"), Some("z"), None])),
            ("t", ts(&[1, 5, 5, 1, 1])),
            ("v", ts(&[10, 51, 50, 99, 98])),
        ],
    );
    let rows = |sql: &str| {
        let query = parse(&format!("SELECT n, v FROM p {sql}")).expect("valid");
        let planned = plan_query(&query, &world.context(None)).expect("can be planned");
        let batches = world.engine.collect(&planned, world.relations(), &Binding::default(), &Interrupt::default());
        let mut rows = show(&batches.expect("runs"));
        rows.sort();
        rows
    };
    assert_eq!(rows("ASOF JOIN q MATCH_CONDITION (p.t >= q.t) ON p.k = q.k"), ["1 50", "2 10"]);
    assert_eq!(rows("ASOF JOIN q MATCH_CONDITION (p.t > q.t) ON p.k = q.k"), ["1 10", "2 10"]);
    assert_eq!(rows("ASOF JOIN q MATCH_CONDITION (p.t <= q.t) ON p.k = q.k"), ["1 50", "2 50"]);
    assert_eq!(rows("ASOF JOIN q MATCH_CONDITION (q.t > p.t) ON p.k = q.k"), ["2 50"]);
    assert_eq!(rows("ASOF LEFT JOIN q ON p.k = q.k AND p.t >= q.t"), ["1 50", "2 10", "3 NULL", "4 NULL", "5 NULL"]);
    assert_eq!(rows("ASOF JOIN q MATCH_CONDITION (p.t >= q.t) USING (k) WHERE v > 20"), ["1 50"]);
}
