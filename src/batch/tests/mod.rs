//! What a statement means, from SQL text to rows: the traps of DataFusion that give silently wrong answers, each as a
//! test over a tiny world of relations in memory.

mod engine;
mod meaning;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use sqlparser::ast;

use crate::base::change::Weights;
use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::batch::engine::{Binding, Engine, EngineOptions};
use crate::batch::scan::{Relations, ScanInput};
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::plan::context::{Parameters, PlanContext};
use crate::plan::functions::FunctionRegistry;
use crate::plan::query::{Query, plan_query};
use crate::sql;
use crate::state::row_arena::RowArena;

/// A catalog with contents, and an engine over it.
pub(super) struct World {
    pub(super) catalog: Catalog,
    pub(super) functions: FunctionRegistry,
    contents: BTreeMap<RelationId, ScanInput>,
    pub(super) engine: Engine,
}

struct Contents(BTreeMap<RelationId, ScanInput>);

impl Relations for Contents {
    fn scan(&self, id: RelationId) -> Result<ScanInput> {
        self.0.get(&id).cloned().ok_or_else(|| Error::internal(format!("no contents of {id}")))
    }
}

pub(super) fn parse(sql: &str) -> Result<ast::Query> {
    sql::parse_query(sql).map(|query| *query)
}

pub(super) fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub(super) fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringViewArray::from_iter(values.iter().copied()))
}

pub(super) fn doubles(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

pub(super) fn times(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()))
}

impl World {
    pub(super) fn new() -> Self {
        World::with(EngineOptions { target_partitions: 2, ..EngineOptions::default() })
    }

    pub(super) fn with(options: EngineOptions) -> Self {
        World {
            catalog: Catalog::default(),
            functions: FunctionRegistry::new(),
            contents: BTreeMap::new(),
            engine: Engine::new(options).expect("valid options"),
        }
    }

    /// t(a, b), u(a), with NULLs and duplicates: what most tests need.
    pub(super) fn usual() -> Self {
        let mut world = World::new();
        let a = ints(&[Some(1), Some(1), Some(1), Some(2), None]);
        let b = texts(&[Some("x"), Some("y"), Some("x"), Some("z"), Some("n")]);
        world.add("t", &[("a", a), ("b", b)]);
        world.add("u", &[("a", ints(&[Some(1), Some(3), None]))]);
        world
    }

    pub(super) fn add(&mut self, name: &str, columns: &[(&str, ArrayRef)]) -> RelationId {
        let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema.clone(), columns.iter().map(|(_, array)| array.clone()).collect());
        let mut arena = RowArena::new(schema.clone());
        arena.append(batch.expect("columns of one length"), &Weights::Ones).expect("rows that fit");
        let id = self.define(name, RelationKind::Table, schema, None);
        self.contents.insert(id, ScanInput::of(arena.snapshot(0)));
        id
    }

    pub(super) fn view(&mut self, name: &str, sql: &str) -> RelationId {
        let query = self.plan(sql).expect("a view that can be planned");
        self.define(name, RelationKind::View, query.schema, Some(sql.to_string()))
    }

    fn define(
        &mut self,
        name: &str,
        kind: RelationKind,
        schema: arrow::datatypes::SchemaRef,
        query: Option<String>,
    ) -> RelationId {
        let id = RelationId(self.catalog.relations().count() as u64);
        let relation = Relation { query, ..Relation::new(id, name, kind, schema) };
        self.catalog.insert(Arc::new(relation)).expect("a new name");
        id
    }

    pub(super) fn input(&mut self, id: RelationId) -> &mut ScanInput {
        self.contents.get_mut(&id).expect("a relation with contents")
    }

    pub(super) fn relations(&self) -> Arc<dyn Relations> {
        Arc::new(Contents(self.contents.clone()))
    }

    pub(super) fn context<'a>(&'a self, parameters: Option<&'a Parameters>) -> PlanContext<'a> {
        PlanContext { parse: &parse, parameters, ..PlanContext::new(&self.catalog, &self.functions) }
    }

    pub(super) fn plan(&self, sql: &str) -> Result<Query> {
        plan_query(&parse(sql)?, &self.context(None))
    }

    pub(super) fn run(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let binding = Binding { now_us: 1_000_000, parameters: Parameters::default() };
        self.engine.collect(&self.plan(sql)?, self.relations(), &binding, &Interrupt::default())
    }

    /// The rows in the order they came, columns apart by spaces.
    pub(super) fn rows(&self, sql: &str) -> Vec<String> {
        match self.run(sql) {
            Ok(batches) => show(&batches),
            Err(error) => panic!("{sql}: {error} ({:?})", error.hint()),
        }
    }

    /// The rows in text order.
    pub(super) fn sorted(&self, sql: &str) -> Vec<String> {
        let mut rows = self.rows(sql);
        rows.sort();
        rows
    }

    pub(super) fn error(&self, sql: &str) -> Error {
        match self.run(sql) {
            Ok(batches) => panic!("{sql} gave {:?}", show(&batches)),
            Err(error) => error,
        }
    }
}

pub(super) fn show(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![];
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("a type that can be shown"))
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "));
        }
    }
    rows
}
