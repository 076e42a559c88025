//! Scripts whose every statement is one commit, and what is there after each.

use std::sync::Arc;

use eddydb::{Database, Result, SimulatedVfs};

use super::contents;

/// A script, and the contents after so many of its statements.
#[derive(Debug)]
pub struct Workload {
    pub name: &'static str,
    pub statements: Vec<String>,
    pub states: Vec<String>,
    pub is_checkpointed: bool,
    /// Whether its log has small frames and files, few epochs in each, and rows go to files of their own early.
    pub is_small: bool,
}

/// All scripts.
pub fn all() -> Result<Vec<Workload>> {
    let plain = scripts().into_iter().enumerate().map(|(n, (name, statements))| {
        let workload = Workload::new(name, statements)?;
        Ok(Workload { is_small: n % 2 == 1, ..workload })
    });
    plain.chain(scripts().into_iter().map(|(name, statements)| Workload::with_checkpoints(name, statements))).collect()
}

impl Workload {
    /// With a checkpoint behind every other statement.
    fn with_checkpoints(name: &'static str, statements: Vec<String>) -> Result<Self> {
        let pairs = statements.chunks(2).map(|pair| [pair, &["CHECKPOINT".to_string()]].concat());
        let workload = Self::new(name, pairs.collect::<Vec<_>>().concat())?;
        Ok(Workload { is_checkpointed: true, is_small: true, ..workload })
    }

    /// Opens its database on a disk.
    pub fn open(&self, disk: &SimulatedVfs) -> Result<Database> {
        let builder = Database::builder().target_partitions(1);
        let builder = if self.is_small { builder.log_sizes(512, 4096, 6).spool_sizes(200, 8, 2000) } else { builder };
        builder.open_in(Arc::new(disk.clone()))
    }

    /// What to call one of its runs.
    pub fn what(&self, seed: u64, operation: u64) -> String {
        let checkpoints = if self.is_checkpointed { " with checkpoints" } else { "" };
        let small = if self.is_small { " in small files" } else { "" };
        format!("{}{checkpoints}{small}, seed {seed}, operation {operation}", self.name)
    }

    fn new(name: &'static str, statements: Vec<String>) -> Result<Self> {
        let database = Database::builder().target_partitions(1).build()?;
        let connection = database.connect()?;
        let mut states = vec![contents(&database)?];
        for statement in &statements {
            connection.execute_batch(statement)?;
            states.push(contents(&database)?);
        }
        Ok(Workload { name, statements, states, is_checkpointed: false, is_small: false })
    }
}

fn script(text: &str) -> Vec<String> {
    text.split(";;").map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_string).collect()
}

fn scripts() -> Vec<(&'static str, Vec<String>)> {
    let mut rows = script("CREATE TABLE t (k BIGINT, v TEXT)");
    rows.extend((0..12).map(|n| format!("INSERT INTO t VALUES ({n}, 'value {n}')")));
    let large = "CREATE TABLE t (k BIGINT, v TEXT);; \
                 INSERT INTO t SELECT value, repeat('x', 100) || value FROM generate_series(1, 3000);; \
                 DELETE FROM t WHERE k % 3 = 0;; UPDATE t SET v = 'short' WHERE k % 2 = 0;; TRUNCATE t;; \
                 INSERT INTO t VALUES (1, 'again')";
    vec![
        ("rows", rows),
        ("large", script(large)),
        (
            "keys",
            script(
                "CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT, w TEXT);; INSERT INTO t VALUES (1, 1, 'a'), (2, 2, NULL);; \
                 INSERT INTO t VALUES (2, 5, 'b'), (3, 3, 'c') ON CONFLICT (k) DO UPDATE SET v = t.v + excluded.v;; \
                 DELETE FROM t WHERE k = 1;; INSERT INTO t VALUES (1, 10, 'again');; UPDATE t SET k = k + 10;; \
                 CREATE UNIQUE INDEX u ON t (v);; DROP INDEX u",
            ),
        ),
        (
            "views",
            script(
                "CREATE TABLE t (g BIGINT, x DOUBLE);; INSERT INTO t VALUES (1, 0.5), (2, 1.25), (1, NULL);; \
                 CREATE MATERIALIZED VIEW s AS SELECT g, count(*) AS n, sum(x) AS s FROM t GROUP BY g;; \
                 CREATE VIEW p AS SELECT * FROM s WHERE n > 1;; CREATE MATERIALIZED VIEW m AS SELECT max(s) AS m FROM p;; \
                 INSERT INTO t VALUES (2, 3.5), (3, 0);; DELETE FROM t WHERE g = 1;; \
                 CREATE OR REPLACE MATERIALIZED VIEW s AS SELECT g, count(*) AS n, min(x) AS s FROM t GROUP BY g;; \
                 REFRESH MATERIALIZED VIEW s;; DROP MATERIALIZED VIEW m;; DROP VIEW p;; INSERT INTO t VALUES (9, 9)",
            ),
        ),
        (
            "definitions",
            script(
                "CREATE TABLE t (a INT NOT NULL, b DECIMAL(8, 2) DEFAULT 1.5);; INSERT INTO t (a) VALUES (1), (2);; \
                 ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'new';; INSERT INTO t VALUES (3, 2, 'x');; \
                 ALTER TABLE t DROP COLUMN b;; ALTER TABLE t ADD COLUMN b BIGINT;; ALTER TABLE t RENAME COLUMN c TO d;; \
                 ALTER TABLE t RENAME TO u;; UPDATE u SET b = 7 WHERE a > 1;; ALTER TABLE u ALTER COLUMN b TYPE TEXT;; \
                 ALTER TABLE u ALTER COLUMN a DROP NOT NULL;; INSERT INTO u VALUES (NULL, 'y', 'z');; \
                 CREATE TABLE w AS SELECT d, count(*) AS n FROM u GROUP BY d;; DROP TABLE u",
            ),
        ),
        (
            "transactions",
            script(
                "CREATE TABLE a (x BIGINT);; CREATE STREAM b (x BIGINT, at TIMESTAMP);; \
                 BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1, '2024-01-01 00:00:00'); COMMIT;; \
                 BEGIN; UPDATE a SET x = 2; INSERT INTO b SELECT x, '2024-01-02 00:00:00' FROM a; COMMIT;; \
                 BEGIN; DELETE FROM a; INSERT INTO a VALUES (5), (6); COMMIT",
            ),
        ),
        (
            "types",
            script(
                "CREATE TABLE t (l INT[], s STRUCT(a INT, b TEXT), y BYTEA, d DATE, i INTERVAL, z TIMESTAMPTZ, h HUGEINT, \
                 o BOOLEAN, u UUID, j JSON, c VARCHAR(5));; \
                 INSERT INTO t VALUES ([1, NULL, 3], {'a': 1, 'b': 'x'}, '\\xff00', '2024-02-29', INTERVAL '1 day', \
                 '2024-01-01 00:00:00+02', 99999999999999999999999999999999999999, true, \
                 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": [1, 2]}', 'abcde');; \
                 INSERT INTO t (c) VALUES (NULL);; UPDATE t SET l = [7], s = NULL;; DELETE FROM t WHERE c IS NULL",
            ),
        ),
        (
            "upserts",
            script(
                "CREATE TABLE t (k BIGINT PRIMARY KEY, n BIGINT DEFAULT 1);; INSERT INTO t SELECT value, 0 FROM \
                 generate_series(1, 40);; INSERT INTO t SELECT value, 1 FROM generate_series(20, 60) ON CONFLICT \
                 (k) DO UPDATE SET n = t.n + excluded.n;; INSERT INTO t (k) VALUES (5), (100) ON CONFLICT (k) DO \
                 NOTHING;; DELETE FROM t WHERE k BETWEEN 10 AND 30;; INSERT INTO t (k) SELECT value FROM \
                 generate_series(1, 30) ON CONFLICT (k) DO UPDATE SET n = 7;; UPDATE t SET k = -k WHERE k % 2 = \
                 0",
            ),
        ),
        (
            "streams",
            script(
                "CREATE STREAM s (at TIMESTAMP, v DOUBLE, WATERMARK FOR at AS at - INTERVAL '5 seconds');; \
                 CREATE MATERIALIZED VIEW per_minute AS SELECT date_trunc('minute', at) AS minute, count(*) AS \
                 n, max(v) AS top FROM s GROUP BY 1;; INSERT INTO s VALUES ('2024-01-01 00:00:01', 'NaN'), \
                 ('2024-01-01 00:01:30', -0.0);; INSERT INTO s SELECT TIMESTAMP '2024-01-01' + value * INTERVAL \
                 '7 seconds', value / 3.0 FROM generate_series(1, 50);; INSERT INTO s VALUES ('2023-12-31 \
                 23:59:59', NULL);; CREATE VIEW late AS SELECT * FROM per_minute WHERE minute < TIMESTAMP \
                 '2024-01-01';; INSERT INTO s VALUES ('2024-01-01 00:10:00', 1e300)",
            ),
        ),
        (
            "views on views",
            script(
                "CREATE TABLE t (k BIGINT, g BIGINT);; CREATE MATERIALIZED VIEW a AS SELECT g, count(*) AS n \
                 FROM t GROUP BY g;; CREATE MATERIALIZED VIEW b AS SELECT n, count(*) AS m FROM a GROUP BY n;; \
                 CREATE VIEW c AS SELECT b.m, a.g FROM a JOIN b USING (n);; CREATE MATERIALIZED VIEW d AS SELECT \
                 max(m) AS m FROM c;; INSERT INTO t SELECT value, value % 5 FROM generate_series(1, 23);; DELETE \
                 FROM t WHERE k % 3 = 0;; UPDATE t SET g = g + 1 WHERE g < 2;; DROP MATERIALIZED VIEW d;; CREATE \
                 MATERIALIZED VIEW d AS SELECT min(m) AS m FROM c;; TRUNCATE t",
            ),
        ),
        (
            "big commits",
            script(
                "CREATE TABLE t (k BIGINT, v TEXT);; INSERT INTO t SELECT value, repeat('0123456789', 60) FROM \
                 generate_series(1, 60);; UPDATE t SET v = v || k;; CREATE TABLE u AS SELECT k, v || v AS v FROM \
                 t;; DELETE FROM t WHERE k > 10;; INSERT INTO u SELECT k + 1000, v FROM u WHERE k <= 20",
            ),
        ),
        (
            "many small commits",
            script(
                "CREATE TABLE t (k BIGINT);; INSERT INTO t VALUES (1);; INSERT INTO t VALUES (2);; INSERT INTO t \
                 VALUES (3);; INSERT INTO t VALUES (4);; INSERT INTO t VALUES (5);; INSERT INTO t VALUES (6);; \
                 INSERT INTO t VALUES (7);; INSERT INTO t VALUES (8);; INSERT INTO t VALUES (9);; INSERT INTO t \
                 VALUES (10);; INSERT INTO t VALUES (11);; INSERT INTO t VALUES (12);; INSERT INTO t VALUES \
                 (13);; INSERT INTO t VALUES (14);; INSERT INTO t VALUES (15);; DELETE FROM t WHERE k > 3",
            ),
        ),
        (
            "ticks",
            script(
                "CREATE TABLE t (k BIGINT);; SELECT now();; INSERT INTO t VALUES (1);; SELECT now();; SELECT \
                 now();; CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t WHERE now() > TIMESTAMPTZ \
                 '2000-01-01';; SELECT * FROM m;; INSERT INTO t VALUES (2), (3);; SELECT now()",
            ),
        ),
        (
            "types change",
            script(
                "CREATE TABLE t (a INT, b TEXT, c DOUBLE);; INSERT INTO t VALUES (1, '10', 1.5), (2, '20', \
                 NULL);; ALTER TABLE t ALTER COLUMN a TYPE BIGINT;; ALTER TABLE t ALTER COLUMN b TYPE INT;; \
                 INSERT INTO t VALUES (9999999999, 30, 2.5);; ALTER TABLE t ALTER COLUMN c TYPE TEXT;; ALTER \
                 TABLE t ALTER COLUMN c TYPE DECIMAL(10, 3);; UPDATE t SET c = c + 1;; ALTER TABLE t ALTER \
                 COLUMN b SET NOT NULL;; ALTER TABLE t ALTER COLUMN b TYPE VARCHAR(4)",
            ),
        ),
        (
            "columns come and go",
            script(
                "CREATE TABLE t (a INT, b INT);; INSERT INTO t VALUES (1, 2);; ALTER TABLE t DROP COLUMN b;; \
                 ALTER TABLE t ADD COLUMN b INT;; INSERT INTO t VALUES (3, 4);; ALTER TABLE t ADD COLUMN c INT \
                 DEFAULT 5;; ALTER TABLE t ALTER COLUMN c SET DEFAULT 6;; INSERT INTO t (a) VALUES (7);; ALTER \
                 TABLE t ALTER COLUMN c DROP DEFAULT;; INSERT INTO t (a) VALUES (8);; ALTER TABLE t DROP COLUMN \
                 a;; UPDATE t SET b = coalesce(b, 0) + 1",
            ),
        ),
        (
            "names come and go",
            script(
                "CREATE TABLE t (a INT);; INSERT INTO t VALUES (1);; ALTER TABLE t RENAME TO u;; CREATE TABLE t \
                 (a TEXT);; INSERT INTO t VALUES ('new');; DROP TABLE u;; ALTER TABLE t RENAME TO u;; CREATE \
                 TABLE IF NOT EXISTS u (z INT);; CREATE VIEW t AS SELECT a || '!' AS b FROM u;; CREATE OR \
                 REPLACE VIEW t AS SELECT a || '?' AS b FROM u;; DROP VIEW t;; DROP TABLE IF EXISTS t, u",
            ),
        ),
        (
            "tables of queries",
            script(
                "CREATE TABLE a AS SELECT value AS x, value * 2 AS y FROM generate_series(1, 20);; CREATE TABLE \
                 b AS SELECT a.x, c.y FROM a JOIN a AS c ON a.x = c.y;; CREATE TABLE c AS SELECT * FROM b WHERE \
                 false;; INSERT INTO c SELECT x, y FROM a UNION ALL SELECT x, y FROM b;; CREATE OR REPLACE TABLE \
                 b AS SELECT count(*) AS n FROM c;; DELETE FROM c WHERE x IN (SELECT x FROM a WHERE x > 10);; \
                 DROP TABLE a",
            ),
        ),
        (
            "transactions of many kinds",
            script(
                "CREATE TABLE a (k BIGINT PRIMARY KEY, v BIGINT);; CREATE TABLE b (k BIGINT);; CREATE \
                 MATERIALIZED VIEW m AS SELECT a.k, count(b.k) AS n FROM a LEFT JOIN b ON a.k = b.k GROUP BY \
                 a.k;; BEGIN; INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO b VALUES (1), (1); UPDATE a SET v \
                 = v + 1; COMMIT;; BEGIN; DELETE FROM a WHERE k = 1; INSERT INTO a VALUES (1, 100); DELETE FROM \
                 b; COMMIT;; BEGIN; INSERT INTO a VALUES (3, 3); DELETE FROM a WHERE k = 3; INSERT INTO b VALUES \
                 (9); COMMIT;; BEGIN; INSERT INTO a VALUES (4, 4); ROLLBACK;; INSERT INTO b VALUES (2)",
            ),
        ),
        (
            "keys and indexes",
            script(
                "CREATE TABLE t (a INT, b TEXT, c INT);; INSERT INTO t VALUES (1, 'x', NULL), (2, 'y', NULL), \
                 (3, NULL, 3);; CREATE UNIQUE INDEX ta ON t (a);; CREATE UNIQUE INDEX tb ON t (b);; CREATE INDEX \
                 tc ON t (c);; UPDATE t SET a = a + 1;; DELETE FROM t WHERE a = 2;; INSERT INTO t VALUES (2, \
                 'x', 1);; DROP INDEX tb;; INSERT INTO t VALUES (9, 'x', 1);; ALTER TABLE t DROP COLUMN b",
            ),
        ),
        (
            "nested values",
            script(
                "CREATE TABLE t (l TEXT[], m STRUCT(a INT[], b STRUCT(c DOUBLE)));; INSERT INTO t VALUES (['a', \
                 NULL, ''], {'a': [1, NULL], 'b': {'c': 'NaN'}}), (NULL, NULL), ([], {'a': NULL, 'b': NULL});; \
                 INSERT INTO t SELECT [repeat('z', value)], NULL FROM generate_series(1, 30);; DELETE FROM t \
                 WHERE l IS NULL;; UPDATE t SET m = {'a': [7], 'b': {'c': -0.0}} WHERE m IS NULL;; CREATE TABLE \
                 u AS SELECT [l] AS ll, {'t': m} AS tm FROM t;; TRUNCATE t",
            ),
        ),
    ]
}
