//! The rewrites of trees that have just been read, each as text before and after.

use super::super::rewrite::marker::Marker;
use super::super::statement::Statement;
use super::{error, one, query};
use crate::base::wording::reword;

#[track_caller]
fn becomes(before: &str, after: &str) {
    assert_eq!(query(before), after, "{before}");
}

#[test]
fn from_first() {
    becomes("FROM t", "SELECT * FROM t");
    becomes("FROM t WHERE a > 1 ORDER BY a LIMIT 5", "SELECT * FROM t WHERE a > 1 ORDER BY a LIMIT 5");
    becomes("TABLE t", "SELECT * FROM t");
    becomes("FROM a UNION ALL FROM b", "SELECT * FROM a UNION ALL SELECT * FROM b");
    becomes("SELECT * FROM (FROM t LIMIT 1) x", "SELECT * FROM (SELECT * FROM t LIMIT 1) x");
    becomes(
        "WITH x AS (FROM t) FROM x JOIN t USING (a)",
        "WITH x AS (SELECT * FROM t) SELECT * FROM x JOIN t USING(a)",
    );
    becomes("SELECT a FROM t WHERE a IS DISTINCT FROM b", "SELECT a FROM t WHERE a IS DISTINCT FROM b");
    assert!(matches!(one("FROM t SELECT a, b WHERE c LIMIT 1"), Statement::Query { .. }));
    assert!(matches!(one("FROM 'file.csv' SELECT count(*)"), Statement::Query { .. }));
    assert!(matches!(one("SELECT extract(year FROM ts) AS y FROM t"), Statement::Query { .. }));
}

#[test]
fn all() {
    becomes(
        "SELECT a, b + 1 AS c, count(*) AS n, 'x' AS l, sum(d) / 2 AS h FROM t GROUP BY ALL ORDER BY ALL DESC",
        "SELECT a, b + 1 AS c, count(*) AS n, 'x' AS l, sum(d) / 2 AS h FROM t GROUP BY 1, 2 ORDER BY 1 DESC, 2 DESC, 3 DESC, 4 DESC, 5 DESC",
    );
    becomes("SELECT * FROM t ORDER BY ALL", "SELECT * FROM t ORDER BY ALL");
    becomes(
        "SELECT a, sum(b) OVER (PARTITION BY c) AS w, now() AS n FROM t GROUP BY ALL",
        "SELECT a, sum(b) OVER (PARTITION BY c) AS w, now() AS n FROM t GROUP BY 1",
    );
    becomes(
        "SELECT DISTINCT a + 1, b FROM t ORDER BY b, a + 1 DESC",
        "SELECT DISTINCT a + 1 AS \"a + 1\", b FROM t ORDER BY b, 1 DESC",
    );
    becomes("SELECT a FROM t UNION SELECT b FROM u ORDER BY ALL", "SELECT a FROM t UNION SELECT b FROM u ORDER BY 1");
    assert!(matches!(
        one("FROM payments SELECT merchant, sum(amount) AS total GROUP BY ALL ORDER BY ALL LIMIT 5"),
        Statement::Query { .. }
    ));
}

#[test]
fn unnamed_columns_are_named_by_their_text() {
    becomes("SELECT 1+1", "SELECT 1 + 1 AS \"1 + 1\"");
    becomes("SELECT count(*), a, t.b, (c) FROM t", "SELECT count(*) AS \"count(*)\", a, t.b, (c) FROM t");
    becomes("SELECT COUNT() FROM t", "SELECT COUNT(*) AS \"COUNT()\" FROM t");
    becomes("SELECT now()", "SELECT now() AS \"now()\"");
    becomes("SELECT a AS a_1, a, a, a FROM t", "SELECT a AS a_1, a, a AS \"a_2\", a AS \"a_3\" FROM t");
    let long = query(&format!("SELECT '{}'", "x".repeat(1_000)));
    assert!(long.ends_with("...\"") && long.len() < 1_400, "{long}");
    becomes("SELECT 1, 1, a, t.a, b AS a", "SELECT 1 AS \"1\", 1 AS \"1_1\", a, t.a AS \"a_1\", b AS \"a_2\"");
}

#[test]
fn clock_functions_are_now() {
    becomes("SELECT now() AS a", "SELECT now() AS a");
    becomes("SELECT current_timestamp AS a, CURRENT_TIMESTAMP(3) AS b", "SELECT now() AS a, now() AS b");
    becomes("SELECT current_date AS a", "SELECT CAST(now() AS DATE) AS a");
    becomes("SELECT localtimestamp AS a", "SELECT CAST(now() AS TIMESTAMP) AS a");
    becomes(
        "SELECT a FROM t WHERE ts > now() - INTERVAL '1 hour'",
        "SELECT a FROM t WHERE ts > now() - INTERVAL '1 hour'",
    );
}

#[test]
fn set_operations_all() {
    becomes(
        "SELECT a FROM t EXCEPT ALL SELECT a FROM u",
        "SELECT * FROM `eddy_except_all`((SELECT a FROM t), (SELECT a FROM u))",
    );
    becomes(
        "(FROM t ORDER BY a LIMIT 3) INTERSECT ALL SELECT 1+1 FROM u",
        "SELECT * FROM `eddy_intersect_all`((SELECT * FROM t ORDER BY a LIMIT 3), (SELECT 1 + 1 AS \"1 + 1\" FROM u))",
    );
    becomes("SELECT a FROM t EXCEPT SELECT a FROM u", "SELECT a FROM t EXCEPT SELECT a FROM u");
    becomes(
        "SELECT a FROM t UNION SELECT a FROM u EXCEPT ALL SELECT a FROM v ORDER BY a",
        "SELECT * FROM `eddy_except_all`((SELECT a FROM t UNION SELECT a FROM u), (SELECT a FROM v)) ORDER BY a",
    );
}

#[test]
fn window_functions_have_one_form() {
    let tumble = "SELECT * FROM tumble((SELECT * FROM payments), 'ts', INTERVAL '1 minute')";
    becomes("FROM TUMBLE(payments, ts, INTERVAL '1 minute')", tumble);
    becomes("FROM TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '1 minute')", tumble);
    becomes("SELECT * FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '1 minute'))", tumble);
    becomes("FROM tumble(size => INTERVAL '1 minute', rel => payments, ts => ts)", tumble);
    becomes("FROM TUMBLE(DATA => TABLE payments, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1 minute')", tumble);
    becomes("FROM TUMBLE((SELECT * FROM payments), 'ts', INTERVAL '1 minute')", tumble);
    becomes(
        "FROM HOP(s, TS, INTERVAL '1 minute', INTERVAL '5 minutes') AS h",
        "SELECT * FROM hop((SELECT * FROM s), 'ts', INTERVAL '1 minute', INTERVAL '5 minutes') AS h",
    );
    becomes(
        "FROM CUMULATE(s, ts, INTERVAL '1 minute', INTERVAL '1 hour')",
        "SELECT * FROM cumulate((SELECT * FROM s), 'ts', INTERVAL '1 minute', INTERVAL '1 hour')",
    );
    becomes(
        "FROM SESSION(s, ts, INTERVAL '5' MINUTE, key => (card, \"Shop\"))",
        "SELECT * FROM session((SELECT * FROM s), 'ts', INTERVAL '5' MINUTE, 'card', 'Shop')",
    );
    becomes("FROM SESSION('f.csv', ts, gap)", "SELECT * FROM session((SELECT * FROM 'f.csv'), 'ts', gap)");
    assert_eq!(error("FROM TUMBLE(s, ts)").0, "too few arguments for TUMBLE");
    assert_eq!(error("FROM TUMBLE(s, ts, a, b, c)").0, "too many arguments for TUMBLE");
    assert_eq!(error("FROM TUMBLE(s, ts, sise => a)").0, "TUMBLE has no argument \"sise\"");
}

#[test]
fn table_functions_take_named_arguments() {
    becomes("FROM read_csv('f', delim => ';')", "SELECT * FROM read_csv('f', delim => ';')");
    becomes(
        "FROM read_csv('f', delim = ';', header := true)",
        "SELECT * FROM read_csv('f', delim => ';', header => true)",
    );
}

#[test]
fn asof_joins() {
    let marked = "SELECT a FROM p INNER JOIN rates r ON `eddy_asof`(p.ts >= r.ts) AND (p.ccy = r.ccy)";
    becomes("SELECT a FROM p ASOF JOIN rates r ON p.ccy = r.ccy AND p.ts >= r.ts", marked);
    becomes("SELECT a FROM p ASOF JOIN rates r MATCH_CONDITION (p.ts >= r.ts) ON p.ccy = r.ccy", marked);
    becomes(
        "SELECT a FROM p ASOF LEFT JOIN r ON p.ts >= r.ts",
        "SELECT a FROM p LEFT OUTER JOIN r ON `eddy_asof`(p.ts >= r.ts)",
    );
    becomes(
        "SELECT a FROM p ASOF JOIN r MATCH_CONDITION (p.ts >= r.ts) USING (k)",
        "SELECT a FROM p INNER JOIN r ON `eddy_asof`(p.ts >= r.ts) AND p.k = r.k",
    );
    assert!(error("SELECT a FROM p ASOF JOIN r ON p.a = r.a").0.starts_with("ASOF JOIN needs exactly one"));
    // What the name of the marker is to a user: a column.
    becomes(
        "SELECT a FROM p ASOF JOIN r MATCH_CONDITION (eddy_asof_on) ON p.ts >= r.ts",
        "SELECT a FROM p INNER JOIN r ON `eddy_asof`(eddy_asof_on) AND (p.ts >= r.ts)",
    );
}

#[test]
fn limits_and_joins_in_other_words() {
    becomes("SELECT a FROM t LIMIT ALL", "SELECT a FROM t");
    becomes("SELECT a FROM t OFFSET 2 LIMIT 5", "SELECT a FROM t LIMIT 5 OFFSET 2");
    becomes("SELECT a FROM t OFFSET 2 ROWS FETCH FIRST 5 ROWS ONLY", "SELECT a FROM t LIMIT 5 OFFSET 2 ROWS");
    becomes("SELECT a FROM t SEMI JOIN u ON t.a = u.a", "SELECT a FROM t LEFT SEMI JOIN u ON t.a = u.a");
}

#[test]
fn what_is_passed_through() {
    for text in [
        "SELECT * EXCLUDE (id) FROM t",
        "SELECT * EXCLUDE id FROM t",
        "SELECT * REPLACE (a + 1 AS a) FROM t",
        "SELECT a FROM t QUALIFY row_number() OVER (ORDER BY a) = 1",
        "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b",
        "SELECT a FROM t WHERE a ILIKE 'x%' AND b IS NOT DISTINCT FROM c",
        "SELECT count(*) FILTER (WHERE a > 1) AS n FROM t",
        "SELECT [1, 2, 3] AS l, {'a': 1} AS s, ARRAY[1] AS r, MAP {'k': 1} AS m",
        "SELECT a::int, b::DECIMAL(10, 2), CAST(c AS TEXT), d::STRUCT(x INT), TRY_CAST(e AS DATE) FROM t",
        "SELECT E'a\\n', U&'d!0061t' , $$x$$, X'00', 1_000, 1e3, 'it''s', \"Q\" FROM t",
        "SELECT a, b, FROM t",
        "SELECT a /* x /* y */ z */ FROM t -- end",
        "SELECT first_value(a IGNORE NULLS) OVER w FROM t WINDOW w AS (PARTITION BY b ORDER BY c)",
        "SELECT a FROM t GROUP BY ROLLUP (a), GROUPING SETS ((a), ())",
        "SELECT INTERVAL '5' SECOND, INTERVAL '5 seconds', INTERVAL 5 MINUTES, DATE '2026-01-01', TIMESTAMP '2026-01-01 00:00:00'",
        "SELECT ts AT TIME ZONE 'UTC', x[1], x[1:2], s['f'], a ^ 2, a % 3, a || b FROM t",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) FROM r",
        "WITH m AS MATERIALIZED (SELECT 1) SELECT * FROM m",
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (x, y)",
        "SELECT * FROM t, LATERAL (SELECT t.a) x, UNNEST([1, 2]) AS u (v), generate_series(1, 3)",
        "SELECT CASE WHEN a THEN 1 ELSE 2 END, a NOT IN (1, 2), EXISTS (SELECT 1), a > ALL (SELECT b FROM u) FROM t",
        "SELECT string_agg(a, ',' ORDER BY b), array_agg(DISTINCT a), percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t",
        "SELECT a UNION ALL BY NAME SELECT b",
        "VALUES (1), (2)",
        "SELECT random(), uuid()",
        "SELECT * FROM eddy.views",
        "SELECT * FROM information_schema.tables",
        "(SELECT 1) UNION (SELECT 2) ORDER BY 1",
    ] {
        one(text);
    }
}

#[test]
fn what_would_be_ignored_is_refused() {
    assert_eq!(error("SELECT * FROM t TABLESAMPLE BERNOULLI (10)").0, "TABLESAMPLE is not supported");
    assert_eq!(error("SELECT * FROM t FOR UPDATE").0, "FOR UPDATE and the like are not supported");
    assert_eq!(error("SELECT a // b FROM t").0, "the operator // is not supported");
    assert_eq!(error("SELECT * INTO u FROM t").0, "SELECT INTO is not supported");
    assert_eq!(error("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x").0, "a query cannot change data");
}

#[test]
fn messages_do_not_show_markers() {
    for marker in Marker::ALL {
        let message = reword(&format!("cannot compare {}(t.a) with text", marker.name()));
        assert!(!message.contains("eddy_"), "{message}");
    }
}
