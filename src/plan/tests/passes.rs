//! The plan after each pass, for a handful of characteristic queries.
//!
//! `passes.golden` holds the queries (lines that start with `> `) and, below each, the plan as it was bound and after
//! every pass that changed it. `EDDY_GOLDEN=1 cargo test --lib passes` writes the file anew from its queries.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use sqlparser::ast;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::plan::context::PlanContext;
use crate::plan::functions::FunctionRegistry;
use crate::plan::query::trace;

#[test]
fn plans_after_each_pass_are_as_recorded() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/plan/tests/passes.golden");
    let recorded = std::fs::read_to_string(&path).expect("the golden file");
    let (catalog, functions) = (catalog(), FunctionRegistry::new());
    let context = PlanContext { parse: &parse, ..PlanContext::new(&catalog, &functions) };
    let queries = recorded.lines().filter_map(|line| line.strip_prefix("> "));
    let sections: Vec<String> = queries.map(|sql| section(sql, &context)).collect();
    let now = sections.join("\n");
    if std::env::var_os("EDDY_GOLDEN").is_some() {
        std::fs::write(&path, now).expect("a file that can be written");
        return;
    }
    let differing = recorded.lines().zip(now.lines()).position(|(was, is)| was != is);
    let line = differing.unwrap_or(recorded.lines().count().min(now.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_string();
    assert!(
        recorded == now,
        "passes.golden, line {}: recorded\n{}\nnow\n{}\nEDDY_GOLDEN=1 writes it anew",
        line + 1,
        at(&recorded),
        at(&now)
    );
}

/// A query and its plans.
fn section(sql: &str, context: &PlanContext<'_>) -> String {
    let trace = parse(sql).and_then(|query| trace(&query, context));
    let trace = trace.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut text = format!("> {sql}\n");
    let mut before = String::new();
    for (pass, plan) in trace {
        if plan != before {
            text.push_str(&format!("{pass}\n{}\n", indented(&plan)));
            before = plan;
        }
    }
    text
}

fn indented(plan: &str) -> String {
    plan.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn parse(sql: &str) -> Result<ast::Query> {
    let query = Parser::new(&GenericDialect {}).try_with_sql(sql).and_then(|mut parser| parser.parse_query());
    query.map(|query| *query).map_err(|error| Error::new(ErrorKind::Syntax, error.to_string()))
}

/// t(a, b, c) and u(a, d) of BIGINT, e(k, ts) with a time, s(a, r) with a struct.
fn catalog() -> Catalog {
    let part = Field::new("b", DataType::Utf8View, true);
    let relations: [(&str, Vec<(&str, DataType)>); 4] = [
        ("t", vec![("a", DataType::Int64), ("b", DataType::Int64), ("c", DataType::Int64)]),
        ("u", vec![("a", DataType::Int64), ("d", DataType::Int64)]),
        ("e", vec![("k", DataType::Int64), ("ts", DataType::Timestamp(TimeUnit::Microsecond, None))]),
        ("s", vec![("a", DataType::Int64), ("r", DataType::Struct(Fields::from(vec![part])))]),
    ];
    let mut catalog = Catalog::default();
    for (id, (name, columns)) in relations.into_iter().enumerate() {
        let fields = columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let relation = Relation::new(RelationId(id as u64), name, RelationKind::Table, schema);
        catalog.insert(Arc::new(relation)).expect("a new name");
    }
    catalog
}
