//! Every form of the dialect, parsed.

use arrow::datatypes::{DataType, TimeUnit};

use super::super::statement::*;
use super::super::{parse, parse_expression, parse_query};
use super::{one, parsed};

fn relation(text: &str) -> CreateRelation {
    match one(text) {
        Statement::CreateRelation(create) => *create,
        other => panic!("{other:?}"),
    }
}

fn view(text: &str) -> CreateView {
    match one(text) {
        Statement::CreateView(view) => view,
        other => panic!("{other:?}"),
    }
}

fn insert(text: &str) -> Insert {
    match one(text) {
        Statement::Insert(insert) => insert,
        other => panic!("{other:?}"),
    }
}

fn subscribe(text: &str) -> Subscribe {
    match one(text) {
        Statement::Subscribe(subscribe) => subscribe,
        other => panic!("{other:?}"),
    }
}

fn explain(text: &str) -> Explain {
    match one(text) {
        Statement::Explain(explain) => explain,
        other => panic!("{other:?}"),
    }
}

#[test]
fn create_table() {
    let table = relation("CREATE TABLE merchants (id BIGINT PRIMARY KEY, name TEXT NOT NULL, risk DOUBLE DEFAULT 0);");
    assert_eq!(table.kind, CreateKind::Table);
    assert_eq!(table.name.to_string(), "merchants");
    let columns: Vec<_> = table.columns.iter().map(|c| (c.name.as_str(), c.data_type.clone(), c.nullable)).collect();
    assert_eq!(
        columns,
        vec![("id", DataType::Int64, false), ("name", DataType::Utf8View, false), ("risk", DataType::Float64, true)]
    );
    assert_eq!(table.primary_key, ["id"]);
    assert_eq!(table.columns[2].default.as_ref().map(|d| d.text.as_str()), Some("0"));
}

#[test]
fn create_stream_with_watermark() {
    let stream = relation(
        "CREATE STREAM payments (
           id BIGINT, card TEXT, merchant BIGINT, amount DECIMAL(12,2), ts TIMESTAMP,
           WATERMARK FOR ts AS ts - INTERVAL '5 seconds'
         ) WITH (retention = '90 days', idle_timeout = '30 seconds');",
    );
    assert_eq!(stream.kind, CreateKind::Stream);
    assert_eq!(stream.columns[3].data_type, DataType::Decimal128(12, 2));
    assert_eq!(stream.columns[4].data_type, DataType::Timestamp(TimeUnit::Microsecond, None));
    let watermark = stream.watermark.expect("a watermark");
    assert_eq!(watermark.column, "ts");
    assert_eq!(watermark.expression.text, "ts - INTERVAL '5 seconds'");
    assert_eq!(parse_expression(&watermark.expression.text).expect("reads again"), watermark.expression.expression);
    assert_eq!(stream.options["retention"], "90 days");
    assert_eq!(stream.options["idle_timeout"], "30 seconds");
}

#[test]
fn create_source() {
    let source = relation(
        "CREATE SOURCE clicks (user_id BIGINT, url TEXT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '2 seconds')
         WITH (connector = 'kafka', 'bootstrap.servers' = 'localhost:9092', topic = 'clicks', start.at = earliest, n = -5);",
    );
    assert_eq!(source.kind, CreateKind::Source);
    assert_eq!(source.options["bootstrap.servers"], "localhost:9092");
    assert_eq!(source.options["start.at"], "earliest");
    assert_eq!(source.options["n"], "-5");
    assert!(relation("CREATE SOURCE s WITH (connector = 'nexmark')").columns.is_empty());
}

#[test]
fn constraints_and_defaults() {
    let table = relation(
        "CREATE OR REPLACE TABLE IF NOT EXISTS T (
            A INT DEFAULT 1 + 2 NOT NULL, \"B\" INT UNIQUE, c INT CONSTRAINT x NOT NULL, d TIMESTAMPTZ DEFAULT now(),
            PRIMARY KEY (a, \"B\"), CONSTRAINT u UNIQUE (c, d),
         )",
    );
    assert!(table.or_replace && table.if_not_exists);
    assert_eq!(table.primary_key, ["a", "B"]);
    assert_eq!(table.unique, [vec!["B".to_string()], vec!["c".to_string(), "d".to_string()]]);
    assert_eq!(table.columns[0].default.as_ref().map(|d| d.text.as_str()), Some("1 + 2"));
    assert!(!table.columns[1].nullable);
    let now = table.columns[3].default.clone().expect("a default");
    assert_eq!((now.text.as_str(), now.expression.to_string().as_str()), ("now()", "now()"));
}

#[test]
fn create_table_as() {
    let table = relation("CREATE TABLE t AS SELECT 1 AS a");
    assert!(table.columns.is_empty());
    assert_eq!(table.query.expect("a query").to_string(), "SELECT 1 AS a");
    assert!(relation("CREATE TABLE t AS FROM 'file.csv'").query.is_some());
    assert!(relation("CREATE STREAM s WITH (retention = '1 day') AS TABLE t WITH DATA").query.is_some());
}

#[test]
fn column_types() {
    let micros = TimeUnit::Microsecond;
    let utc = DataType::Timestamp(micros, Some("UTC".into()));
    let expected = [
        ("TEXT", DataType::Utf8View),
        ("VARCHAR(10)", DataType::Utf8View),
        ("STRING", DataType::Utf8View),
        ("UUID", DataType::Utf8View),
        ("TINYINT", DataType::Int8),
        ("SMALLINT", DataType::Int16),
        ("INT", DataType::Int32),
        ("INT4", DataType::Int32),
        ("INTEGER", DataType::Int32),
        ("INT8", DataType::Int64),
        ("BIGINT", DataType::Int64),
        ("UTINYINT", DataType::UInt8),
        ("USMALLINT", DataType::UInt16),
        ("UINTEGER", DataType::UInt32),
        ("UBIGINT", DataType::UInt64),
        ("REAL", DataType::Float32),
        ("FLOAT4", DataType::Float32),
        ("FLOAT", DataType::Float64),
        ("FLOAT8", DataType::Float64),
        ("DOUBLE", DataType::Float64),
        ("DOUBLE PRECISION", DataType::Float64),
        ("DECIMAL", DataType::Decimal128(38, 10)),
        ("NUMERIC(10)", DataType::Decimal128(10, 0)),
        ("DECIMAL(38, 10)", DataType::Decimal128(38, 10)),
        ("BOOLEAN", DataType::Boolean),
        ("BOOL", DataType::Boolean),
        ("DATE", DataType::Date32),
        ("TIME", DataType::Time64(micros)),
        ("TIMESTAMP", DataType::Timestamp(micros, None)),
        ("TIMESTAMP(3)", DataType::Timestamp(micros, None)),
        ("TIMESTAMP WITHOUT TIME ZONE", DataType::Timestamp(micros, None)),
        ("TIMESTAMPTZ", utc.clone()),
        ("TIMESTAMP WITH TIME ZONE", utc),
        ("BYTEA", DataType::BinaryView),
        ("BLOB", DataType::BinaryView),
        ("INTERVAL", DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano)),
    ];
    for (name, data_type) in expected {
        assert_eq!(relation(&format!("CREATE TABLE t (c {name})")).columns[0].data_type, data_type, "{name}");
    }
    let nested = relation("CREATE TABLE t (c STRUCT(a INT, b STRUCT(d TEXT)[]), e BIGINT[][])");
    assert_eq!(
        crate::base::types::sql_type_name(&nested.columns[0].data_type),
        "STRUCT(a INTEGER, b STRUCT(d TEXT)[])"
    );
    assert_eq!(crate::base::types::sql_type_name(&nested.columns[1].data_type), "BIGINT[][]");
}

#[test]
fn views() {
    let spend = view(
        "CREATE MATERIALIZED VIEW spend AS SELECT m.name, count(*) AS n, sum(p.amount) AS total
         FROM payments p LEFT JOIN merchants m ON m.id = p.merchant GROUP BY ALL;",
    );
    assert!(spend.materialized && spend.emit.is_none() && !spend.or_replace);
    assert!(spend.query.to_string().ends_with("GROUP BY 1"), "{}", spend.query);
    assert!(spend.query_text.starts_with("SELECT m.name") && spend.query_text.ends_with("GROUP BY ALL"));
    assert_eq!(parse_query(&spend.query_text).expect("reads again"), spend.query);

    let windows = view(
        "CREATE MATERIALIZED VIEW per_minute AS
         SELECT window_start, card, count(*) AS n FROM TUMBLE(payments, ts, INTERVAL '1 minute') GROUP BY ALL EMIT ON WINDOW CLOSE;",
    );
    assert_eq!(windows.emit, Some(Emit::OnWindowClose));
    assert!(windows.query_text.ends_with("GROUP BY ALL"));

    let replaced = view("CREATE OR REPLACE VIEW v (a, B) AS FROM t EMIT FINAL");
    assert!(replaced.or_replace && !replaced.materialized);
    assert_eq!((replaced.columns.len(), replaced.emit), (2, Some(Emit::OnWindowClose)));
    assert_eq!(replaced.query_text, "FROM t");

    let refreshed =
        view("CREATE MATERIALIZED VIEW v WITH (a = 1) AS SELECT * FROM t REFRESH EVERY INTERVAL '1 minute'");
    assert!(refreshed.refresh_every.is_some());
    assert_eq!(refreshed.query_text, "SELECT * FROM t");
    assert_eq!(refreshed.options["a"], "1");
}

#[test]
fn files_indexes_and_sinks() {
    let Statement::CreateExternalTable(lake) = one("CREATE EXTERNAL TABLE lake STORED AS PARQUET LOCATION 'dir/'")
    else {
        panic!()
    };
    assert_eq!((lake.format.as_deref(), lake.location.as_str()), (Some("parquet"), "dir/"));
    let Statement::CreateIndex(index) = one("CREATE UNIQUE INDEX i ON t (a, b DESC)") else { panic!() };
    assert!(index.unique && index.columns[1].descending && index.name.as_deref() == Some("i"));
    assert!(matches!(one("CREATE INDEX ON t (a)"), Statement::CreateIndex(CreateIndex { name: None, .. })));
    let Statement::CreateSink(sink) = one("CREATE SINK into_s INTO some_stream FROM per_minute") else { panic!() };
    assert_eq!(sink.into.map(|name| name.to_string()).as_deref(), Some("some_stream"));
    let text = "CREATE SINK s FROM per_minute WITH (connector = 'file', path = 'out/', format = 'parquet')";
    let Statement::CreateSink(sink) = one(text) else { panic!() };
    assert_eq!(sink.options["path"], "out/");
}

#[test]
fn drop_alter_truncate() {
    let Statement::Drop(drop) = one("DROP MATERIALIZED VIEW IF EXISTS a, main.b CASCADE") else { panic!() };
    assert_eq!(
        (drop.kind, drop.names.len(), drop.if_exists, drop.cascade),
        (DropKind::MaterializedView, 2, true, true)
    );
    for (text, kind) in [
        ("DROP TABLE t", DropKind::Table),
        ("DROP STREAM t", DropKind::Stream),
        ("DROP SOURCE t", DropKind::Source),
        ("DROP VIEW t RESTRICT", DropKind::View),
        ("DROP INDEX i", DropKind::Index),
        ("DROP SINK i", DropKind::Sink),
    ] {
        assert!(matches!(one(text), Statement::Drop(Drop { kind: found, .. }) if found == kind), "{text}");
    }
    let actions = |text: &str| match one(text) {
        Statement::Alter(alter) => alter.actions,
        other => panic!("{other:?}"),
    };
    let added = actions("ALTER STREAM s ADD COLUMN IF NOT EXISTS c STRUCT(a INT) DEFAULT NULL, ADD d TEXT");
    assert!(matches!(&added[0], AlterAction::AddColumn { if_not_exists: true, column } if column.name == "c"));
    assert!(matches!(&added[1], AlterAction::AddColumn { if_not_exists: false, column } if column.name == "d"));
    let dropped = actions("ALTER TABLE t DROP COLUMN IF EXISTS a, DROP b");
    assert!(matches!(&dropped[0], AlterAction::DropColumn { if_exists: true, column } if column.name == "a"));
    assert!(matches!(&actions("ALTER TABLE t RENAME a TO b")[0], AlterAction::RenameColumn { to, .. } if to == "b"));
    assert!(matches!(&actions("ALTER VIEW v RENAME TO w")[0], AlterAction::Rename { to } if to.own() == "w"));
    let set = actions("ALTER TABLE t ALTER a TYPE BIGINT, ALTER COLUMN a SET DEFAULT 1 + 1, ALTER a DROP NOT NULL");
    assert!(matches!(&set[0], AlterAction::SetType { data_type: arrow::datatypes::DataType::Int64, .. }));
    assert!(matches!(&set[1], AlterAction::SetDefault { default: Some(value), .. } if value.text == "1 + 1"));
    assert!(matches!(&set[2], AlterAction::SetNullable { nullable: true, .. }));
    assert!(matches!(one("TRUNCATE TABLE a, b"), Statement::Truncate { relations } if relations.len() == 2));
}

#[test]
fn inserts() {
    assert!(matches!(insert("INSERT INTO t VALUES (1, 'a'), (2, DEFAULT)").source, InsertSource::Query(_)));
    let by_name = insert("INSERT INTO t BY NAME SELECT 1 AS a");
    assert!(by_name.by_name);
    assert_eq!(insert("INSERT INTO t (A, \"B\") FROM s").columns, ["a", "B"]);
    assert_eq!(insert("INSERT INTO t (SELECT 1)").columns.len(), 0);
    assert!(matches!(insert("INSERT INTO t WITH x AS (SELECT 1) FROM x").source, InsertSource::Query(_)));
    assert_eq!(insert("INSERT INTO t DEFAULT VALUES").source, InsertSource::DefaultValues);
    let upsert = insert(
        "INSERT INTO t SELECT * FROM s ON CONFLICT (k) DO UPDATE SET v = excluded.v, (a, b) = (1, 2) WHERE t.v < excluded.v",
    );
    let conflict = upsert.on_conflict.expect("a conflict clause");
    assert_eq!(conflict.columns, ["k"]);
    let ConflictAction::Update { assignments, selection } = conflict.action else { panic!() };
    assert_eq!(assignments.iter().map(|a| a.column.as_str()).collect::<Vec<_>>(), ["v", "a", "b"]);
    assert!(selection.is_some());
    let nothing = insert("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING").on_conflict;
    assert_eq!(nothing.map(|conflict| conflict.action), Some(ConflictAction::Nothing));
    let InsertSource::Query(values) = insert("INSERT INTO t VALUES (DEFAULT)").source else { panic!() };
    let sqlparser::ast::SetExpr::Values(values) = *values.body else { panic!() };
    assert!(is_default(&values.rows[0][0]));
}

#[test]
fn updates_and_deletes() {
    let Statement::Update(update) = one("UPDATE t AS x SET a = x.a + 1, b = DEFAULT FROM s, u WHERE x.id = s.id")
    else {
        panic!()
    };
    assert_eq!((update.alias.as_deref(), update.assignments.len(), update.from.len()), (Some("x"), 2, 2));
    assert!(update.selection.is_some());
    let Statement::Delete(delete) = one("DELETE FROM t USING s WHERE t.id = s.id") else { panic!() };
    assert!(delete.alias.is_none() && delete.using.len() == 1 && delete.selection.is_some());
    let Statement::Delete(delete) = one("DELETE FROM t x") else { panic!() };
    assert_eq!(delete.alias.as_deref(), Some("x"));
}

#[test]
fn transactions() {
    for text in [
        "BEGIN",
        "BEGIN TRANSACTION",
        "BEGIN WORK",
        "START TRANSACTION",
        "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
    ] {
        assert_eq!(one(text), Statement::Begin { read_only: false }, "{text}");
    }
    assert_eq!(one("BEGIN READ ONLY"), Statement::Begin { read_only: true });
    for text in ["COMMIT", "END", "COMMIT WORK", "END TRANSACTION", "COMMIT AND NO CHAIN"] {
        assert_eq!(one(text), Statement::Commit, "{text}");
    }
    for text in ["ROLLBACK", "ABORT", "ROLLBACK TRANSACTION"] {
        assert_eq!(one(text), Statement::Rollback, "{text}");
    }
}

#[test]
fn copies() {
    let Statement::CopyFrom(from) = one("COPY payments FROM 'history/*.parquet'") else { panic!() };
    assert_eq!(from.path, "history/*.parquet");
    let Statement::CopyTo(to) = one("COPY (SELECT 1 AS a) TO 'out.parquet' (FORMAT parquet)") else { panic!() };
    assert!(matches!(to.source, RelationOrQuery::Query(_)) && to.options["format"] == "parquet");
    let Statement::CopyTo(to) = one("COPY t (a, \"B\") TO 'o.csv' WITH (FORMAT csv, HEADER, DELIMITER ';')") else {
        panic!()
    };
    let RelationOrQuery::Query(query) = to.source else { panic!() };
    assert_eq!(query.to_string(), "SELECT \"a\", \"B\" FROM t");
    assert_eq!((to.options["header"].as_str(), to.options["delimiter"].as_str()), ("true", ";"));
    let Statement::CopyTo(to) = one("COPY t TO 'o.csv' CSV HEADER") else { panic!() };
    assert!(matches!(to.source, RelationOrQuery::Relation(_)) && to.options.iter().count() == 2);
}

#[test]
fn subscriptions() {
    let named = subscribe("SUBSCRIBE spend");
    assert_eq!(named.relation.map(|name| name.to_string()).as_deref(), Some("spend"));
    assert_eq!(
        (named.query.to_string().as_str(), named.query_text.as_str()),
        ("SELECT * FROM spend", "SELECT * FROM spend")
    );
    let full = subscribe(
        "SUBSCRIBE (SELECT * FROM spend WHERE total > 10000) WITH (snapshot = true, progress = false) AS OF 4711;",
    );
    assert_eq!((full.snapshot, full.progress, full.as_of), (Some(true), Some(false), Some(4711)));
    assert_eq!(full.query_text, "SELECT * FROM spend WHERE total > 10000");
    assert_eq!(subscribe("SUBSCRIBE TO eddy.views AS OF 3").as_of, Some(3));
    let emitting = subscribe("SUBSCRIBE (FROM t EMIT ON WINDOW CLOSE) AS OF 7");
    assert_eq!((emitting.emit, emitting.query_text.as_str()), (Some(Emit::OnWindowClose), "FROM t"));
    assert!(subscribe("SUBSCRIBE SELECT count(*) FROM t").relation.is_none());
}

#[test]
fn time_control_and_verification() {
    let text = "ADVANCE WATERMARK OF payments TO TIMESTAMP '2026-01-01 00:10:00'";
    assert!(matches!(one(text), Statement::AdvanceWatermark { relation, .. } if relation.to_string() == "payments"));
    assert!(matches!(one("FLUSH payments"), Statement::Flush { .. }));
    assert!(matches!(one("VERIFY MATERIALIZED VIEW spend"), Statement::Verify { name } if name.to_string() == "spend"));
    assert!(matches!(one("REFRESH MATERIALIZED VIEW v"), Statement::Refresh { .. }));
    assert_eq!(one("CHECKPOINT"), Statement::Checkpoint);
}

#[test]
fn explains() {
    assert!(matches!(explain("EXPLAIN SELECT 1").target, ExplainTarget::Statement(_)));
    assert!(explain("EXPLAIN ANALYZE FROM t").analyze);
    assert!(explain("EXPLAIN (ANALYZE, VERBOSE) INSERT INTO t VALUES (1)").ignored == ["verbose"]);
    assert!(matches!(explain("EXPLAIN (SELECT 1)").target, ExplainTarget::Statement(_)));
    let view = explain("EXPLAIN ANALYZE MATERIALIZED VIEW spend");
    assert!(
        view.analyze && matches!(view.target, ExplainTarget::MaterializedView(name) if name.to_string() == "spend")
    );
    assert!(matches!(explain("EXPLAIN WINDOW per_minute").target, ExplainTarget::Window(_)));
}

#[test]
fn shows_and_descriptions() {
    let show = |text: &str| match one(text) {
        Statement::Show(show) => show.what,
        other => panic!("{other:?}"),
    };
    assert_eq!(show("SHOW TABLES"), ShowWhat::Tables);
    assert_eq!(show("SHOW STREAMS LIKE 'p%'"), ShowWhat::Streams);
    assert_eq!(show("SHOW VIEWS"), ShowWhat::Views);
    assert_eq!(show("SHOW MATERIALIZED VIEWS"), ShowWhat::MaterializedViews);
    assert_eq!(show("SHOW ALL"), ShowWhat::Settings);
    assert_eq!(show("SHOW memory_limit"), ShowWhat::Setting("memory_limit".into()));
    assert!(matches!(show("SHOW COLUMNS FROM t"), ShowWhat::Columns(_)));
    assert!(matches!(show("SHOW CREATE TABLE t"), ShowWhat::Create(_)));
    let relation = |target: RelationOrQuery| matches!(target, RelationOrQuery::Relation(_));
    assert!(matches!(one("DESCRIBE payments"), Statement::Describe { target } if relation(target.clone())));
    assert!(matches!(one("DESCRIBE TABLE payments"), Statement::Describe { target } if relation(target.clone())));
    assert!(matches!(one("DESC 'file.csv'"), Statement::Describe { target } if !relation(target.clone())));
    assert!(matches!(one("DESCRIBE SELECT 1"), Statement::Describe { target } if !relation(target.clone())));
    assert!(matches!(one("SUMMARIZE payments"), Statement::Summarize { target } if relation(target.clone())));
    assert!(
        matches!(one("SUMMARIZE FROM payments WHERE a > 1"), Statement::Summarize { target } if !relation(target.clone()))
    );
}

#[test]
fn settings() {
    let set = |name: &str, value: &str| Statement::Set { name: name.into(), value: value.into() };
    assert_eq!(one("SET memory_limit = '2 GB'"), set("memory_limit", "2 GB"));
    assert_eq!(one("SET statement_timeout TO 10"), set("statement_timeout", "10"));
    assert_eq!(one("SET SESSION a.B = true"), set("a.b", "true"));
    assert_eq!(one("SET search_path = a, 'b'"), set("search_path", "a, 'b'"));
    assert_eq!(one("SET TIME ZONE 'UTC'"), set("timezone", "UTC"));
    assert_eq!(one("SET a = DEFAULT"), Statement::Reset { name: Some("a".into()) });
    assert_eq!(one("RESET a"), Statement::Reset { name: Some("a".into()) });
    assert_eq!(one("RESET ALL"), Statement::Reset { name: None });
}

#[test]
fn prepared_statements() {
    let Statement::Prepare { name, types, statement, text } =
        one("PREPARE q (BIGINT, TEXT) AS SELECT * FROM t WHERE a = $1 AND b = $2")
    else {
        panic!()
    };
    assert_eq!((name.as_str(), types), ("q", vec![DataType::Int64, DataType::Utf8View]));
    assert!(matches!(*statement, Statement::Query { .. }));
    assert_eq!(text, "SELECT * FROM t WHERE a = $1 AND b = $2");
    let Statement::Execute { arguments, .. } = one("EXECUTE q(1, 'a')") else { panic!() };
    assert!(arguments.len() == 2 && arguments[0].name.is_none());
    let Statement::Execute { arguments, .. } = one("EXECUTE q(a => 1, $b := 2)") else { panic!() };
    assert_eq!(arguments.iter().filter_map(|a| a.name.as_deref()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(matches!(one("EXECUTE q"), Statement::Execute { arguments, .. } if arguments.is_empty()));
    assert_eq!(one("DEALLOCATE PREPARE q"), Statement::Deallocate { name: Some("q".into()) });
    assert_eq!(one("DEALLOCATE ALL"), Statement::Deallocate { name: None });
}

#[test]
fn parameters() {
    assert_eq!(parsed("SELECT ?, a FROM t WHERE b = ? AND c = '?'").parameters, ["1", "2"]);
    assert_eq!(parsed("SELECT $2, $1, $2").parameters, ["1", "2"]);
    assert_eq!(parsed("SELECT $name + 1").parameters, ["name"]);
    assert_eq!(super::query("SELECT ? AS a, ? AS b"), "SELECT $1 AS a, $2 AS b");
}

#[test]
fn scripts() {
    let script = "SELECT 1; -- one\n  INSERT INTO t VALUES (1);;\n/* x */ COMMIT";
    let statements = parse(script).expect("parses");
    assert_eq!(statements.len(), 3);
    for statement in &statements {
        assert!(script[statement.offset..].starts_with(&statement.text));
    }
    assert_eq!(statements[1].text, "INSERT INTO t VALUES (1)");
    assert!(parse(" -- nothing\n ;").expect("parses").is_empty());
}

#[test]
fn emit_is_never_an_alias() {
    for text in
        ["SELECT * FROM t EMIT FINAL", "SELECT a FROM t WHERE a > 1 EMIT ON WINDOW CLOSE", "FROM t x emit final"]
    {
        assert!(matches!(one(text), Statement::Query { emit: Some(Emit::OnWindowClose), .. }), "{text}");
    }
    assert!(matches!(one("SELECT 1 EMIT CHANGES"), Statement::Query { emit: None, .. }));
    assert!(matches!(one("SELECT emit FROM t AS emit"), Statement::Query { emit: None, .. }));
}
