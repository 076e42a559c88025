//! Random histories: every query in steps of 1, 7, 1000 and all at once.

use super::{Change, Row, check};

/// A small generator, so that a seed in a failure message is enough to run it again.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn row(&mut self) -> Row {
        let texts = ["", "a", "b", "a string that is longer than twelve bytes", "another one, also quite long"];
        let floats = [0.0, -0.0, 1e16, 1.0, -1e16, 0.1, 3.5];
        Row {
            id: self.next(40) as i64,
            k: (self.next(8) > 0).then(|| self.next(6) as i64),
            v: (self.next(6) > 0).then(|| self.next(10) as i64 - 3),
            s: (self.next(6) > 0).then(|| texts[self.next(5) as usize]),
            f: (self.next(6) > 0).then(|| floats[self.next(7) as usize] + 0.0),
        }
    }

    /// Inserts into and deletes from the relations; only inserts into the append-only one.
    fn history(&mut self, changes: usize, relations: u64) -> Vec<Change> {
        let mut live: [Vec<Row>; 3] = Default::default();
        let mut history = Vec::with_capacity(changes);
        // Phases of growth and of decline, so that groups die and come back.
        for position in 0..changes {
            let deleting = if (position / 40) % 2 == 0 { 2 } else { 7 };
            let relation = self.next(relations) as usize;
            let rows = &mut live[relation];
            if relation < 2 && !rows.is_empty() && self.next(10) < deleting {
                let at = self.next(rows.len() as u64) as usize;
                history.push((relation, rows.swap_remove(at), -1));
            } else {
                let row = self.row();
                rows.push(row.clone());
                history.push((relation, row, 1));
            }
        }
        history
    }
}

fn check_cuts(queries: &[&str]) {
    for (index, sql) in queries.iter().enumerate() {
        let seed = 0x9E37_79B9_7F4A_7C15 + index as u64 * 7919;
        let mut random = Random(seed);
        let history = random.history(240, 3);
        for (size, every) in [(1, 29), (7, 5), (1000, 1), (usize::MAX, 1)] {
            let spec =
                check(sql, &history, size.min(history.len()), every, &format!("seed {seed:#x}, steps of {size}"));
            assert!(!spec.recomputes(), "{sql} has no operator:\n{}", spec.explain());
        }
    }
}

#[test]
fn filters_and_projections() {
    check_cuts(&[
        "SELECT id, v + 1 AS w, upper(s) AS s FROM t WHERE v > 1",
        "SELECT id FROM t WHERE s LIKE 'a%' OR v IS NULL",
        "SELECT id, v FROM p WHERE k = 3",
        "SELECT x.a + 1 AS b FROM (SELECT v * 2 AS a, k FROM t WHERE k > 1) x WHERE x.a > 2",
        "SELECT 1 AS one FROM t",
    ]);
}

#[test]
fn aggregates_by_group() {
    check_cuts(&[
        "SELECT k, count(*) AS n, sum(v) AS s, avg(v) AS a FROM t GROUP BY k",
        "SELECT k, min(v) AS lo, max(v) AS hi, count(v) AS n FROM t GROUP BY k",
        "SELECT s, sum(f) AS f, min(s) AS m, max(f) AS mf FROM t GROUP BY s",
        "SELECT k, s, count(*) AS n FROM t GROUP BY k, s",
        "SELECT f, count(*) AS n FROM t GROUP BY f",
        "SELECT k % 2 AS odd, count(DISTINCT v) AS d, sum(DISTINCT v) AS sd, count(*) AS n FROM t GROUP BY k % 2",
        "SELECT k, count(*) FILTER (WHERE v > 2) AS n, sum(v) FILTER (WHERE s = 'a') AS s FROM t GROUP BY k",
        "SELECT k, sum(v) AS s FROM t GROUP BY k HAVING sum(v) > 4",
        "SELECT k, min(v) AS lo, max(s) AS hi, count(*) AS n FROM p GROUP BY k",
        "SELECT n, count(*) AS m FROM (SELECT k, count(*) AS n FROM t GROUP BY k) GROUP BY n",
        "SELECT stddev(v) AS d, var_pop(v) AS p, k FROM t GROUP BY k",
    ]);
}

#[test]
fn aggregates_of_everything_have_one_row() {
    check_cuts(&[
        "SELECT count(*) AS n, sum(v) AS s, min(v) AS lo, max(s) AS hi, avg(f) AS a FROM t",
        "SELECT count(*) AS n FROM t WHERE v > 100",
        "SELECT count(DISTINCT s) AS n, count(v) AS m FROM t WHERE k = 2",
    ]);
}

#[test]
fn grouping_sets() {
    check_cuts(&[
        "SELECT k, s, count(*) AS n, sum(v) AS v FROM t GROUP BY ROLLUP (k, s)",
        "SELECT k, s, count(*) AS n, grouping(k) AS g FROM t GROUP BY CUBE (k, s)",
        "SELECT k, s, min(v) AS m FROM t GROUP BY GROUPING SETS ((k), (s), (k), ())",
    ]);
}

#[test]
fn distinct_and_unions() {
    check_cuts(&[
        "SELECT DISTINCT k, s FROM t",
        "SELECT k FROM t UNION SELECT v FROM u",
        "SELECT k AS a FROM t UNION ALL SELECT v FROM u UNION ALL SELECT k FROM t",
        "SELECT k, s FROM t INTERSECT SELECT k, s FROM u",
        "SELECT k, s FROM t EXCEPT SELECT k, s FROM u",
        "SELECT k, s FROM t EXCEPT SELECT k, s FROM t",
        "SELECT k FROM t INTERSECT ALL SELECT k FROM u",
        "SELECT k FROM t EXCEPT ALL SELECT k FROM u",
        "SELECT DISTINCT s FROM p",
    ]);
}

#[test]
fn inner_joins() {
    check_cuts(&[
        "SELECT t.id, u.id AS uid, t.v, u.s FROM t JOIN u ON t.k = u.k",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON t.k = u.k AND t.v > u.v",
        "SELECT a.id, b.id AS bid FROM t a JOIN t b ON a.k = b.k",
        "SELECT a.id, b.id AS bid FROM t a JOIN t b ON a.k = b.v AND a.s = b.s",
        "SELECT t.id, u.id AS uid FROM t CROSS JOIN u WHERE t.v < u.v AND t.k > 3",
        "SELECT count(*) AS n FROM t CROSS JOIN u",
        "SELECT p.id, u.v FROM p JOIN u ON p.s = u.s WHERE p.v > 0",
        "SELECT p.k, sum(q.v) AS s FROM p JOIN p q ON p.id = q.id GROUP BY p.k",
        "SELECT t.s, count(*) AS n, sum(u.v) AS s2 FROM t, u, p WHERE t.k = u.k AND u.v = p.v GROUP BY t.s",
        "SELECT t.id FROM t JOIN u ON t.f = u.f",
        "SELECT t.id FROM t JOIN u ON t.k IS NOT DISTINCT FROM u.k",
    ]);
}

#[test]
fn outer_joins() {
    check_cuts(&[
        "SELECT t.id, t.k, u.id AS uid, u.v FROM t LEFT JOIN u ON t.k = u.k",
        "SELECT t.id, t.k, u.id AS uid, u.v FROM t RIGHT JOIN u ON t.k = u.k AND t.v > 1",
        "SELECT t.id, t.k, u.id AS uid, u.v FROM t FULL JOIN u ON t.k = u.k",
        "SELECT a.id, b.id AS bid FROM t a LEFT JOIN t b ON a.k = b.v",
        "SELECT t.k, count(u.id) AS n FROM t LEFT JOIN u ON t.k = u.k GROUP BY t.k",
        "SELECT p.id, u.id AS uid FROM p LEFT JOIN u ON p.k = u.k AND u.v > 0",
        "SELECT t.id, t.k, u.id AS uid, u.v FROM t LEFT JOIN u ON t.k = u.k AND t.v > u.v",
        "SELECT t.id, t.k, u.id AS uid, u.v FROM t RIGHT JOIN u ON t.k = u.k AND t.v > u.v",
        "SELECT t.id, t.k, u.id AS uid, u.v FROM t FULL JOIN u ON t.k = u.k AND t.v > u.v",
        "SELECT t.id, t.v, u.id AS uid, u.v FROM t LEFT JOIN u ON t.v > u.v + 3",
        "SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON t.k = u.k AND t.v > 1",
    ]);
}

#[test]
fn semi_and_anti_joins() {
    check_cuts(&[
        "SELECT id, s FROM t WHERE k IN (SELECT k FROM u)",
        "SELECT id, s FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k)",
        "SELECT id, s FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k)",
        "SELECT id FROM p WHERE EXISTS (SELECT 1 FROM p q WHERE q.k = p.v)",
        "SELECT id, s FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.v > t.v)",
        "SELECT id, s FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.v > t.v)",
        "SELECT id, s FROM t WHERE k IN (SELECT k FROM u) OR v > 3",
        "SELECT id, s FROM t WHERE k NOT IN (SELECT v FROM u)",
        "SELECT id, s FROM t WHERE k NOT IN (SELECT v FROM u WHERE v IS NOT NULL AND v > 1)",
        "SELECT id, (SELECT max(u.v) FROM u WHERE u.k = t.k) AS m FROM t",
        "SELECT id FROM t WHERE v > (SELECT avg(v) FROM u)",
        "SELECT id FROM t WHERE v > ALL (SELECT v FROM u)",
        "SELECT id FROM t WHERE v = ANY (SELECT v FROM u WHERE u.k = t.k)",
        "SELECT id FROM t WHERE (SELECT count(*) FROM u WHERE u.k = t.k) = 0",
        "SELECT t.id, x.v, x.n FROM t, LATERAL (SELECT max(v) AS v, count(*) AS n FROM u WHERE u.k = t.k) x",
    ]);
}

#[test]
fn limits() {
    check_cuts(&[
        "SELECT id, v FROM t ORDER BY v DESC, id LIMIT 5",
        "SELECT id, v, s FROM t ORDER BY s NULLS FIRST LIMIT 4 OFFSET 2",
        "SELECT id FROM t LIMIT 7",
        "SELECT id FROM t ORDER BY id OFFSET 10",
        "SELECT k, sum(v) AS s FROM t GROUP BY k ORDER BY s DESC LIMIT 2",
        "SELECT x.f, x.v, x.id FROM (SELECT f, v, id FROM t ORDER BY v, id LIMIT 6) x",
        "SELECT x.f FROM (SELECT f FROM t ORDER BY v, id LIMIT 6) x",
        "SELECT id FROM t ORDER BY f DESC LIMIT 3",
        "SELECT id FROM t LIMIT 0",
        "SELECT count(*) AS n, sum(x.f) AS f FROM (SELECT f FROM t ORDER BY v, id LIMIT 6) x",
        "SELECT count(*) AS n, sum(x.f) AS f FROM (SELECT f FROM t ORDER BY v, id OFFSET 6) x",
        "SELECT t.id FROM t LEFT JOIN (SELECT k, v FROM u ORDER BY v, k LIMIT 3) x ON t.k = x.k",
    ]);
}

#[test]
fn windows() {
    check_cuts(&[
        "SELECT id, row_number() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM t",
        "SELECT id, rank() OVER (ORDER BY v) AS r, dense_rank() OVER (ORDER BY v) AS d FROM t",
        "SELECT id, sum(v) OVER (PARTITION BY k) AS s, v FROM t",
        "SELECT id, sum(v) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS s FROM t",
        "SELECT id, lag(v) OVER (PARTITION BY s ORDER BY id) AS p, lead(v, 2) OVER (PARTITION BY s ORDER BY id) AS n FROM t",
        "SELECT id, v FROM (SELECT id, v, row_number() OVER (PARTITION BY k ORDER BY v) AS r FROM t) x WHERE r <= 2",
        "SELECT id, count(*) OVER (PARTITION BY k) AS n, sum(v) OVER (PARTITION BY s) AS m FROM t",
        "SELECT id, min(v) OVER w AS m, first_value(v) OVER w AS f FROM p WINDOW w AS (PARTITION BY k ORDER BY id)",
        "SELECT id, rank() OVER w AS r, row_number() OVER w AS n, last_value(s) OVER w AS l FROM t WINDOW w AS (PARTITION BY k ORDER BY v)",
        "SELECT id, min(v) OVER (PARTITION BY k ORDER BY id RANGE BETWEEN 2 PRECEDING AND 1 FOLLOWING) AS m FROM p",
    ]);
}

#[test]
fn aggregates_computed_from_rows() {
    check_cuts(&[
        "SELECT k, array_agg(v ORDER BY v) AS a FROM t GROUP BY k",
        "SELECT k, string_agg(s, ',' ORDER BY s DESC) AS a FROM t GROUP BY k",
        "SELECT k, median(v) AS m, count(*) AS n, sum(v) AS s FROM t GROUP BY k",
        "SELECT first_value(v ORDER BY id) AS f, last_value(v ORDER BY id) AS l FROM t",
        "SELECT DISTINCT ON (k) k, v FROM t ORDER BY k, v DESC",
        "SELECT bit_and(v) AS b, bit_xor(v) AS x FROM t WHERE v > 0",
        "SELECT k, array_agg(v) FILTER (WHERE v > 1) AS a FROM p GROUP BY k",
    ]);
}
