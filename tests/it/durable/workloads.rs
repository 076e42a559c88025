//! Scripts whose every statement is one commit, and what is there after each.

use eddydb::{Database, Result};

use super::contents;

/// A script, and the contents after so many of its statements.
#[derive(Debug)]
pub struct Workload {
    pub name: &'static str,
    pub statements: Vec<String>,
    pub states: Vec<String>,
    pub is_checkpointed: bool,
}

/// All scripts.
pub fn all() -> Result<Vec<Workload>> {
    let plain = scripts().into_iter().map(|(name, statements)| Workload::new(name, statements));
    plain.chain(scripts().into_iter().map(|(name, statements)| Workload::with_checkpoints(name, statements))).collect()
}

impl Workload {
    /// With a checkpoint behind every other statement.
    fn with_checkpoints(name: &'static str, statements: Vec<String>) -> Result<Self> {
        let pairs = statements.chunks(2).map(|pair| [pair, &["CHECKPOINT".to_string()]].concat());
        let workload = Self::new(name, pairs.collect::<Vec<_>>().concat())?;
        Ok(Workload { is_checkpointed: true, ..workload })
    }

    fn new(name: &'static str, statements: Vec<String>) -> Result<Self> {
        let database = Database::builder().target_partitions(1).build()?;
        let connection = database.connect()?;
        let mut states = vec![contents(&database)?];
        for statement in &statements {
            connection.execute_batch(statement)?;
            states.push(contents(&database)?);
        }
        Ok(Workload { name, statements, states, is_checkpointed: false })
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
    ]
}
