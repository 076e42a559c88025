//! Errors as people read them: every message is in the words of SQL, says where, and carries its SQLSTATE.
//!
//! Hundreds of statements that are wrong in every way we know. None may succeed, none may speak of what lies beneath
//! (types of Arrow, names of plans and of our own helpers, other projects), and each must begin in lower case. Where
//! a statement has a `§`, the error must point at the character behind it; where it ends with ` -- 42703`, that is its
//! SQLSTATE.

use eddydb::{Connection, Database, Error, ErrorKind};

/// What no message, hint or failure may contain.
const FORBIDDEN: &[&str] = &[
    "Utf8",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Float32",
    "Float64",
    "Decimal128",
    "Decimal256",
    "Date32",
    "Time64",
    "Timestamp(",
    "MonthDayNano",
    "BinaryView",
    "List(",
    "Struct(",
    "Struct {",
    "Ident {",
    "Some(",
    "None",
    "$__",
    "__",
    "eddy_",
    "DataFusion",
    "datafusion",
    "Arrow",
    "TableScan",
    "Expr",
    "LogicalPlan",
    "Plan(",
    "caused by",
    "External error",
    "Execution error",
    "Error during",
    "ptimizer",
    "panicked",
    "nternal error",
    "sqlparser",
    "Box",
    "UDF",
    "udf",
    "User-defined",
    "user-defined",
    "physical",
    "{:?}",
    "CAST(NULL AS",
    "\n",
    "RecordBatch",
    "coerc",
    "TypeSignature",
    "Signature",
    "Field {",
    "DFSchema",
    "ObjectName",
    "Schema error",
    "not yet implemented: ",
];

const SETUP: &str = "
    CREATE TABLE t (a INT, b TEXT, c DOUBLE, d DECIMAL(12,2), e DATE, f TIMESTAMP, g TIMESTAMPTZ, h BOOLEAN,
                    l INT[], s STRUCT(x INT, y TEXT), i INTERVAL, big BIGINT, bytes BYTEA);
    CREATE TABLE u (a INT, z INT NOT NULL, UNIQUE (a));
    CREATE TABLE k (id INT PRIMARY KEY, v TEXT NOT NULL);
    CREATE STREAM st (id INT, ts TIMESTAMP);
    CREATE VIEW v AS SELECT a, b FROM t;
    CREATE MATERIALIZED VIEW mv AS SELECT a, count(*) AS n FROM t GROUP BY a;
    INSERT INTO t (a, b, c, d, big) VALUES (1, 'x', 1.5, 2.5, 9223372036854775807), (2, 'y', NULL, 0, -1);
    INSERT INTO u VALUES (1, 1), (2, 2);
    INSERT INTO k VALUES (1, 'one');
";

const NAMES: &str = "
    SELECT * FROM §nowhere -- 42P01
    SELECT * FROM t, §nowhere -- 42P01
    SELECT * FROM t JOIN §nowhere n ON n.a = t.a -- 42P01
    SELECT (SELECT max(a) FROM §nowhere) FROM t -- 42P01
    SELECT * FROM §staging.t -- 3F000
    SELECT §nothing FROM t -- 42703
    SELECT a, §nothing FROM t -- 42703
    SELECT §t.nothing FROM t
    SELECT §x.a FROM t
    SELECT a FROM t WHERE §nothing = 1 -- 42703
    SELECT a FROM t GROUP BY §nothing -- 42703
    SELECT a FROM t ORDER BY §nothing -- 42703
    SELECT count(*) FROM t HAVING §nothing > 1 -- 42703
    SELECT a + §nothing FROM t -- 42703
    SELECT upper(§nothing) FROM t -- 42703
    SELECT sum(§nothing) FROM t -- 42703
    SELECT sum(a) OVER (ORDER BY §nothing) FROM t -- 42703
    SELECT * FROM t JOIN u ON t.a = §u.nothing -- 42703
    SELECT * FROM t JOIN u USING (nothing) -- 42703
    SELECT §a FROM t, u -- 42702
    SELECT t.a FROM t JOIN u ON §a = 1 -- 42702
    SELECT * EXCLUDE (nothing) FROM t
    SELECT x.* FROM t
    SELECT §nosuch(1) -- 42883
    SELECT a, §nosuch(b) FROM t -- 42883
    SELECT §uper(b) FROM t -- 42883
    SELECT * FROM nosuch(1) -- 42883
    SELECT main.nosuch(1)
    SELECT s.nothing FROM t
    SELECT s['nothing'] FROM t
    SELECT a.x FROM t
    SELECT 1 FROM t AS x(p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd, ee)
    SELECT * FROM t a, u a
    WITH w AS (SELECT 1 AS p) SELECT §q FROM w -- 42703
    WITH w(p, q) AS (SELECT 1) SELECT * FROM w
    WITH w AS (SELECT 1), w AS (SELECT 2) SELECT * FROM w
    INSERT INTO nowhere VALUES (1) -- 42P01
    INSERT INTO t (nothing) VALUES (1) -- 42703
    INSERT INTO t (a, a) VALUES (1, 2)
    INSERT INTO t (a) VALUES (§nothing) -- 42703
    INSERT INTO t BY NAME SELECT 1 AS nothing -- 42703
    UPDATE nowhere SET a = 1 -- 42P01
    UPDATE t SET nothing = 1 -- 42703
    UPDATE t SET a = §nothing -- 42703
    UPDATE t SET a = 1 WHERE §nothing = 1 -- 42703
    UPDATE t SET a = 1, a = 2 -- 42701
    DELETE FROM nowhere -- 42P01
    DELETE FROM t WHERE §nothing = 1 -- 42703
    TRUNCATE nowhere -- 42P01
    DROP TABLE nowhere -- 42P01
    DROP VIEW nowhere -- 42P01
    DROP INDEX nowhere -- 42704
    DROP VIEW t -- 42809
    DROP TABLE v -- 42809
    ALTER TABLE nowhere ADD COLUMN x INT -- 42P01
    ALTER TABLE t ADD COLUMN a INT -- 42701
    CREATE TABLE t (a INT) -- 42P07
    CREATE TABLE n (a INT, a INT) -- 42701
    CREATE TABLE n (a INT, PRIMARY KEY (b)) -- 42703
    CREATE TABLE n (a nosuchtype)
    CREATE VIEW t AS SELECT 1 -- 42P07
    CREATE VIEW nv AS SELECT §nothing FROM t -- 42703
    CREATE VIEW nv (p, q, r) AS SELECT 1 -- 42601
    CREATE MATERIALIZED VIEW nm AS SELECT * FROM §nowhere -- 42P01
    CREATE MATERIALIZED VIEW nm AS SELECT random()
    CREATE MATERIALIZED VIEW nm AS SELECT $1
    CREATE INDEX i ON nowhere (a) -- 42P01
    CREATE INDEX i ON t (nothing) -- 42703
    VERIFY MATERIALIZED VIEW nowhere -- 42P01
    VERIFY MATERIALIZED VIEW t
    REFRESH MATERIALIZED VIEW v -- 42809
    DESCRIBE nowhere -- 42P01
    SUMMARIZE nowhere -- 42P01
    SHOW nosuchsetting -- 42704
    SET nosuchsetting = 1 -- 42704
    SET memory_limt = '1 GB' -- 42704
    EXECUTE nosuch -- 26000
    DEALLOCATE nosuch -- 26000
    SUBSCRIBE nowhere -- 42P01
    COPY nowhere TO '/tmp/x.csv' -- 42P01
    SELECT * FROM TUMBLE(nowhere, f, INTERVAL '1 minute') -- 42P01
    SELECT * FROM TUMBLE(t, nothing, INTERVAL '1 minute') -- 42703
    SELECT * FROM generate_series('a', 'b')
    SELECT CAST(1 AS nosuchtype)
    SELECT 1::nosuchtype
    SELECT * FROM eddy.nosuch -- 42P01
    SELECT row_number() OVER w FROM t
";

const TYPES: &str = "
    SELECT a + b FROM t
    SELECT b + 1 FROM t
    SELECT b * c FROM t
    SELECT -b FROM t
    SELECT NOT a FROM t
    SELECT a AND h FROM t
    SELECT e + e FROM t
    SELECT e * 2 FROM t
    SELECT f + f FROM t
    SELECT f + 1 FROM t
    SELECT h + 1 FROM t
    SELECT l + 1 FROM t
    SELECT s + 1 FROM t
    SELECT i * i FROM t
    SELECT a || l FROM t WHERE l = 3
    SELECT bytes + 1 FROM t
    SELECT a LIKE 'x' FROM t WHERE a LIKE e
    SELECT h > 1 FROM t
    SELECT s > 1 FROM t
    SELECT l = 'x' FROM t
    SELECT a FROM t WHERE a
    SELECT a FROM t WHERE b
    SELECT a FROM t WHERE c + 1
    SELECT a FROM t HAVING 1
    SELECT CASE WHEN h THEN l ELSE 1 END FROM t
    SELECT coalesce(l, 1) FROM t
    SELECT a IN ('x', e) FROM t
    SELECT a IN (SELECT l FROM t) FROM t
    SELECT a FROM t UNION SELECT l FROM t
    SELECT a, b FROM t UNION SELECT a FROM t -- 42601
    SELECT a FROM t EXCEPT ALL SELECT a, b FROM t -- 42601
    SELECT a FROM t INTERSECT SELECT a, b FROM t -- 42601
    SELECT sum(b) FROM t
    SELECT sum(h) FROM t
    SELECT sum(l) FROM t
    SELECT sum(e) FROM t
    SELECT avg(b) FROM t
    SELECT avg(f) FROM t
    SELECT stddev(b) FROM t
    SELECT bool_and(a) FROM t
    SELECT upper(l) FROM t
    SELECT abs(b) FROM t
    SELECT abs(l) FROM t
    SELECT sqrt(e) FROM t
    SELECT round(b) FROM t
    SELECT substr(l, 1) FROM t
    SELECT date_trunc('day', a) FROM t
    SELECT date_trunc('day', b) FROM t
    SELECT extract(year FROM a) FROM t
    SELECT extract(nonsense FROM f) FROM t
    SELECT upper() FROM t
    SELECT upper(b, b) FROM t
    SELECT sqrt() FROM t
    SELECT sqrt(1, 2) FROM t
    SELECT count(a, b, *) FROM t
    SELECT sum() FROM t
    SELECT sum(a, b) FROM t
    SELECT min() FROM t
    SELECT max(a, a) FROM t
    SELECT avg(*) FROM t
    SELECT substr() FROM t
    SELECT replace(b) FROM t
    SELECT lag() OVER (ORDER BY a) FROM t
    SELECT lag(a, 'x') OVER (ORDER BY a) FROM t
    SELECT ntile('x') OVER (ORDER BY a) FROM t
    SELECT nth_value(a) OVER (ORDER BY a) FROM t
    SELECT date_trunc('day') FROM t
    SELECT power(1) FROM t
    SELECT round(1.5, 'x') FROM t
    SELECT CAST(l AS INT) FROM t
    SELECT CAST(s AS INT) FROM t
    SELECT CAST(e AS BOOLEAN) FROM t
    SELECT CAST(b AS INT[]) FROM t
    SELECT CAST(h AS DATE) FROM t
    SELECT CAST(1 AS DECIMAL(3, 5))
    SELECT [1, [2]]
    SELECT {'a': 1} = 1
    SELECT INTERVAL '1 day' + 1
    SELECT DATE '2024-01-01' + TIMESTAMP '2024-01-01 00:00:00'
    SELECT a FROM t LIMIT 'x'
    SELECT a FROM t LIMIT -1
    SELECT a FROM t LIMIT a
    SELECT a FROM t OFFSET -1
    SELECT a FROM t OFFSET b
    SELECT * FROM TUMBLE(t, a, INTERVAL '1 minute')
    SELECT * FROM TUMBLE(t, f, INTERVAL '0 minutes')
    SELECT * FROM TUMBLE(t, f, 5)
    SELECT * FROM TUMBLE(t, f)
    SELECT * FROM TUMBLE(t, f, INTERVAL '1 minute', nonsense => 1)
    SELECT * FROM HOP(t, f, INTERVAL '1 minute')
    SELECT * FROM HOP(t, f, a, INTERVAL '1 minute')
    SELECT * FROM generate_series(1, 2, 0)
    SELECT unnest(a) FROM t
    SELECT * FROM unnest(5)
    SELECT a FROM t WHERE (SELECT a, b FROM t) = 1
    SELECT (SELECT a, b FROM t)
    SELECT a FROM t WHERE a = (SELECT a FROM t)
    SELECT a FROM t WHERE a IN (SELECT a, b FROM t)
    UPDATE t SET a = l
    INSERT INTO t (a) VALUES ([1])
    INSERT INTO t (a) SELECT l FROM t
    INSERT INTO t (a) VALUES (1, 2) -- 42601
    INSERT INTO t (a, b) VALUES (1) -- 42601
    INSERT INTO t (a) SELECT a, b FROM t -- 42601
    INSERT INTO k VALUES (1, 'x'), (2)
    SELECT a FROM t JOIN u ON t.b = u.z AND t.l = u.a
    SELECT a FROM t WHERE b BETWEEN 1 AND DATE '2024-01-01'
    SELECT a FROM t WHERE e > 'not a date'
    SELECT sum(DISTINCT *) FROM t
    SELECT array_agg() FROM t
    SELECT string_agg(a) FROM t
    SELECT percentile_cont(2) WITHIN GROUP (ORDER BY c) FROM t
    SELECT percentile_cont('x') WITHIN GROUP (ORDER BY c) FROM t
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY b) FROM t
    SELECT arg_min(a) FROM t
";

const PLACES: &str = "
    SELECT a FROM t WHERE sum(a) > 1
    SELECT a FROM t WHERE count(*) = 1
    SELECT sum(sum(a)) FROM t
    SELECT sum(a) FROM t GROUP BY sum(a)
    SELECT a FROM t WHERE row_number() OVER () = 1
    SELECT a FROM t GROUP BY row_number() OVER ()
    SELECT a FROM t HAVING row_number() OVER () = 1
    SELECT sum(row_number() OVER ()) FROM t
    SELECT row_number() FROM t
    SELECT rank() FROM t
    SELECT row_number() OVER (ORDER BY row_number() OVER ()) FROM t
    SELECT b, count(*) FROM t -- 42803
    SELECT b, count(*) FROM t GROUP BY a -- 42803
    SELECT a FROM t GROUP BY b -- 42803
    SELECT count(*) FROM t ORDER BY a
    SELECT a FROM t GROUP BY 5
    SELECT a FROM t ORDER BY 5
    SELECT a FROM t GROUP BY 0
    SELECT DISTINCT a FROM t ORDER BY b
    SELECT DISTINCT ON (a) b FROM t ORDER BY b
    SELECT a FROM t QUALIFY a > 1
    SELECT * FROM t JOIN u ON sum(t.a) > 1
    SELECT upper(b) OVER () FROM t
    SELECT upper(b) FILTER (WHERE a > 1) FROM t
    SELECT sum(a) OVER (ROWS BETWEEN 1 FOLLOWING AND 1 PRECEDING) FROM t
    SELECT sum(a) OVER (ROWS BETWEEN UNBOUNDED FOLLOWING AND CURRENT ROW) FROM t
    SELECT sum(a) OVER (RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t
    SELECT sum(a) OVER (ROWS BETWEEN -1 PRECEDING AND CURRENT ROW) FROM t
    SELECT *
    SELECT * FROM t GROUP BY a
    SELECT excluded.a FROM t
    SELECT grouping(a) FROM t
    UPDATE t SET a = sum(a)
    UPDATE t SET a = count(*)
    DELETE FROM t WHERE sum(a) > 1
    INSERT INTO t (a) VALUES (sum(1))
    INSERT INTO t (a) VALUES (a)
    INSERT INTO t (a) VALUES (t.a)
    UPDATE u SET a = t.a FROM t WHERE t.a > 0
    UPDATE st SET id = 1
    DELETE FROM st
    TRUNCATE st
    INSERT INTO v VALUES (1, 'x') -- 42809
    INSERT INTO mv VALUES (1, 1) -- 42809
    UPDATE mv SET n = 1 -- 42809
    DROP TABLE t -- 2BP01
    SELECT a FROM t FOR UPDATE -- 0A000
    SELECT a FROM t TABLESAMPLE BERNOULLI (10) -- 0A000
    SELECT * FROM t PIVOT (sum(a) FOR b IN ('x')) -- 0A000
    SELECT a INTO n FROM t -- 0A000
    SELECT a FROM t WHERE b SIMILAR TO 1 -- 42883
    SELECT * FROM t ASOF JOIN u ON t.a = u.a
    SELECT * FROM t ASOF JOIN u ON t.a >= u.a AND t.big >= u.z
    SELECT * FROM SESSION(t, f, INTERVAL '1 minute') -- 0A000
    WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1, 2 FROM r) SELECT * FROM r
    WITH RECURSIVE r AS (SELECT n FROM r) SELECT * FROM r
    SELECT (SELECT t.a + u.a FROM u LIMIT 1 OFFSET t.a) FROM t
    SELECT $1
    SELECT $name + 1
    SELECT ? + 1
    PREPARE p AS SELECT nothing FROM nowhere; EXECUTE p
    CREATE TABLE n (a INT PRIMARY KEY, b INT PRIMARY KEY)
    CREATE TABLE n (a INT CHECK (a > 0)) -- 0A000
    CREATE TABLE n (a INT REFERENCES t) -- 0A000
    CREATE TABLE n (a INT GENERATED ALWAYS AS IDENTITY) -- 0A000
    CREATE STREAM n (a INT PRIMARY KEY)
    CREATE STREAM n (a INT, WATERMARK FOR a AS a)
    CREATE STREAM nw (a TIMESTAMP, WATERMARK FOR b AS b) -- 42703
    CREATE SOURCE n (a INT) WITH (connector = 'kafka') -- 42704
    CREATE SINK n FROM t WITH (connector = 'file') -- 22023
    CREATE MATERIALIZED VIEW nm AS SELECT * FROM 'nothing.csv'
    CREATE MATERIALIZED VIEW nm AS SELECT a FROM t EMIT ON WINDOW CLOSE -- 0A000
    ADVANCE WATERMARK OF st TO TIMESTAMP '2024-01-01' -- 0A000
    COMMIT PREPARED 'x' -- 0A000
    SAVEPOINT x -- 0A000
";

const OPTIONS: &str = "
    CREATE STREAM n (a INT) WITH (§nonsense = 1) -- 42704
    CREATE STREAM n (a INT) WITH (§retenton = '1 hour') -- 42704
    CREATE STREAM n (a INT) WITH (§retention = 'for ever') -- 22023
    CREATE STREAM n (a INT) WITH (§idle_timeout = soon) -- 22023
    CREATE TABLE n (a INT) WITH (§fillfactor = 70) -- 42704
    CREATE VIEW n WITH (§security_barrier = true) AS SELECT 1 AS a -- 42704
    CREATE MATERIALIZED VIEW n WITH (§nonsense = 1) AS SELECT a FROM t -- 42704
    EXPLAIN (§nonsense) SELECT 1 -- 42704
    EXPLAIN (§analyze maybe) SELECT 1 -- 22023
    EXPLAIN (§format json) SELECT 1 -- 0A000
    SUBSCRIBE t WITH (§snapshots = true) -- 42704
    SUBSCRIBE t WITH (§snapshot = 7) -- 22023
    SET statement_timeout = 'soon'
    SET memory_limit = 'lots'
    SET LOCAL statement_timeout = '1 s' -- 0A000
    COPY t TO '/tmp/eddy_never.csv' (§nonsense true) -- 42704
    COPY t TO '/tmp/eddy_never.csv' (§header perhaps) -- 22023
    COPY t TO '/tmp/eddy_never.parquet' (delimiter ';') -- 22023
    COPY t TO '/tmp/eddy_never.csv' (compression snappy)
    COPY t TO '/tmp/eddy_never.xyz'
    COPY t TO '/tmp/eddy_never.csv' (§format parket)
    COPY t FROM '/tmp/eddy_never.csv' (§nonsense true) -- 42704
    COPY t FROM '/tmp/eddy_never.csv'
    SELECT * FROM read_csv('/tmp/eddy_never.csv', nonsense => 1) -- 42704
    SELECT * FROM read_csv('/tmp/eddy_never.csv', header => 'perhaps') -- 22023
    SELECT * FROM read_csv('/tmp/eddy_never.csv')
    SELECT * FROM read_csv()
    SELECT * FROM read_csv(5)
    SELECT * FROM read_parquet('/tmp/eddy_never.parquet')
    SELECT * FROM '/tmp/eddy_never.csv'
    CREATE INDEX i ON t USING gin (a) -- 0A000
";

const SYNTAX: &str = "
    §SELCT 1 -- 42601
    SELECT 1 FORM §t -- 42601
    SELECT a FROM t WHERE§ -- 42601
    SELECT a FROM t §GROUP a -- 42601
    SELECT a, FROM t WHERE ORDER §BY a
    SELECT (a FROM t
    SELECT a FROM t)
    SELECT 'abc
    SELECT a FROM t ORDER BY
    SELECT CASE a END FROM t
    SELECT a FROM t LIMIT
    INSERT INTO t
    INSERT t VALUES (1)
    UPDATE t a = 1
    DELETE t
    CREATE TABLE
    CREATE TABLE n
    CREATE TABLE n ()
    CREATE TABLE n (a)
    CREATE VIEW n
    CREATE NONSENSE n
    DROP t
    ALTER TABLE t
    EXPLAIN
    SET x
    COPY t
    SUBSCRIBE
    SELECT 1 1
    SELECT a b c FROM t
    SELECT 1 +
    SELECT @
    SELECT a FROM t WHERE a = = 1
    VALUES (1), (2, 3)
    SELECT 5 // 2
";

const VALUES: &str = "
    SELECT 1 / 0 -- 22012
    SELECT a / 0 FROM t -- 22012
    SELECT a % 0 FROM t -- 22012
    SELECT 'x'::INT -- 22P02
    SELECT b::INT FROM t -- 22P02
    SELECT 'x'::DOUBLE
    SELECT 'x'::DECIMAL(5,2)
    SELECT 'x'::DATE
    SELECT 'x'::TIMESTAMP
    SELECT 'x'::TIMESTAMPTZ
    SELECT 'x'::INTERVAL
    SELECT 'x'::BOOLEAN
    SELECT '2024-13-01'::DATE
    SELECT '2024-02-30'::DATE
    SELECT '25:00:00'::TIME
    SELECT DATE '2024-13-01'
    SELECT TIMESTAMP 'nonsense'
    SELECT INTERVAL 'nonsense'
    SELECT 300::TINYINT -- 22003
    SELECT 3000000000::INT -- 22003
    SELECT big::INT FROM t -- 22003
    SELECT 1e300::REAL::INT
    SELECT 'NaN'::DOUBLE::INT
    SELECT 12345.678::DECIMAL(5,2) -- 22003
    SELECT big + 1 FROM t -- 22003
    SELECT big * 2 FROM t -- 22003
    SELECT -(-9223372036854775807 - 1) -- 22003
    SELECT sum(big) + sum(big) FROM t WHERE a = 1 -- 22003
    SELECT 2147483647::INT + 1::INT -- 22003
    SELECT sqrt(-1)
    SELECT power(0, -1)
    SELECT factorial(100)
    SELECT chr(-1)
    SELECT date_trunc('nonsense', TIMESTAMP '2024-01-01 00:00:00')
    SELECT make_date(2024, 13, 1)
    SELECT to_timestamp('nonsense')
    SELECT regexp_replace('x', '(', '')
    SELECT 'x' ~ '('
    SELECT decode('zz', 'hex')
    SELECT encode('a'::BYTEA, 'nonsense')
    SELECT substr('abc', 1, -1)
    INSERT INTO t (a) VALUES ('x') -- 22P02
    INSERT INTO t (a) VALUES (3000000000) -- 22003
    INSERT INTO t (e) VALUES ('x')
    INSERT INTO t (f) VALUES ('x')
    INSERT INTO t (h) VALUES ('perhaps')
    INSERT INTO t (d) VALUES (99999999999) -- 22003
    INSERT INTO t (a) SELECT b FROM t
    UPDATE t SET a = b
    INSERT INTO k VALUES (1, 'again') -- 23505
    INSERT INTO k VALUES (2, NULL) -- 23502
    INSERT INTO k (id) VALUES (3) -- 23502
    INSERT INTO u VALUES (1, 5) -- 23505
    UPDATE k SET v = NULL -- 23502
    ALTER TABLE t ADD COLUMN n INT NOT NULL -- 23502
    CREATE UNIQUE INDEX i ON st (id); INSERT INTO st VALUES (1, NULL), (1, NULL)
";

fn database() -> Connection {
    let connection = Database::in_memory().and_then(|database| database.connect()).expect("opens");
    connection.execute_batch(SETUP).expect("the set-up runs");
    // A statement that should fail at once and instead runs for long is a fault too.
    connection.execute_batch("SET statement_timeout = '5 s'").expect("is a setting");
    connection
}

/// Runs all statements of a text and reads their rows; the first error.
fn run(connection: &Connection, text: &str) -> Result<(), Error> {
    connection.execute_batch(text)
}

fn faults_of(text: &str, error: &Error) -> Vec<String> {
    let mut faults = Vec::new();
    let said = format!("{} {}", error.message(), error.hint().unwrap_or_default());
    // What the statement itself says may be repeated.
    for word in FORBIDDEN.iter().filter(|word| said.contains(*word) && !text.contains(*word)) {
        faults.push(format!("says {word:?}"));
    }
    let first: Vec<char> = error.message().chars().take(2).collect();
    if first.first().is_none_or(|first| first.is_uppercase()) && first.get(1).is_none_or(|second| second.is_lowercase())
    {
        faults.push("begins in upper case".to_string());
    }
    if error.kind() == ErrorKind::Internal {
        faults.push("is internal".to_string());
    }
    faults
}

/// Runs one line of the lists above; what is wrong with its error.
fn check(connection: &Connection, line: &str) -> Vec<String> {
    let (text, sqlstate) = match line.rsplit_once(" -- ") {
        Some((text, sqlstate)) => (text, Some(sqlstate)),
        None => (line, None),
    };
    let place = text.split('§').next().filter(|_| text.contains('§')).map(|before| before.chars().count() as u64 + 1);
    let text = text.replace('§', "");
    let Err(error) = run(connection, &text) else { return vec![format!("succeeds: {text}")] };
    let mut faults = faults_of(&text, &error);
    if sqlstate.is_some_and(|sqlstate| sqlstate != error.sqlstate()) {
        faults.push(format!("is {}, not {}", error.sqlstate(), sqlstate.unwrap_or_default()));
    }
    if place.is_some() && error.position().map(|at| at.column) != place {
        faults.push(format!("points at {:?}, not {place:?}", error.position().map(|at| at.column)));
    }
    let said = format!("{} [{}] {:?}", error.message(), error.sqlstate(), error.hint());
    faults.into_iter().map(|fault| format!("{text}\n    {said}\n    {fault}")).collect()
}

#[test]
fn messages_speak_sql() {
    let connection = database();
    let mut faults = Vec::new();
    for line in [NAMES, TYPES, PLACES, OPTIONS, SYNTAX, VALUES].iter().flat_map(|list| list.lines()) {
        let line = line.trim();
        if !line.is_empty() {
            faults.extend(check(&connection, line));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
