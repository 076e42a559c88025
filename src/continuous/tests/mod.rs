//! Circuits against recomputation: whatever the history and however it is cut into steps, the changes a circuit
//! emits sum to what the query gives over the contents.

mod behaviour;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use sqlparser::ast;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::base::change::{ChangeBatch, Weights};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::base::types::canonical_schema;
use crate::batch::engine::{Binding, Engine, EngineOptions};
use crate::batch::scan::{Relations, ScanInput};
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::continuous::circuit::Circuit;
use crate::continuous::lower::lower;
use crate::continuous::spec::CircuitSpec;
use crate::continuous::step::{StepContext, StepOutput};
use crate::operator::expression::row_text;
use crate::plan::context::{Parameters, PlanContext};
use crate::plan::functions::FunctionRegistry;
use crate::plan::query::{Query, plan_query};
use crate::state::row_arena::RowArena;

/// A row of a test relation: `id BIGINT, k BIGINT, v BIGINT, s TEXT, f DOUBLE`, all nullable but the first.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    id: i64,
    k: Option<i64>,
    v: Option<i64>,
    s: Option<&'static str>,
    f: Option<f64>,
}

fn row(id: i64, k: impl Into<Option<i64>>, v: impl Into<Option<i64>>) -> Row {
    Row { id, k: k.into(), v: v.into(), s: Some("x"), f: Some(id as f64 / 2.0) }
}

fn row_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
        Field::new("s", DataType::Utf8View, true),
        Field::new("f", DataType::Float64, true),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.id)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.k).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.v).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.s).collect::<StringViewArray>()),
        Arc::new(rows.iter().map(|row| row.f).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(row_schema(), columns).expect("columns of the schema")
}

const NAMES: [&str; 3] = ["t", "u", "p"];

/// A change of one relation, by its position in [`NAMES`].
type Change = (usize, Row, i64);

/// The relations `t` and `u`, and the append-only `p`, with their contents.
struct World {
    contents: [Vec<Row>; 3],
    catalog: Catalog,
    functions: FunctionRegistry,
    engine: Engine,
    now_us: i64,
}

struct Contents(Vec<ScanInput>);

impl Relations for Contents {
    fn scan(&self, id: RelationId) -> Result<ScanInput> {
        Ok(self.0[id.0 as usize].clone())
    }
}

impl World {
    fn new() -> Self {
        let mut catalog = Catalog::default();
        for index in 0..NAMES.len() {
            catalog.insert(relation(index)).expect("a new name");
        }
        let options = EngineOptions { target_partitions: 1, ..EngineOptions::default() };
        World {
            contents: Default::default(),
            catalog,
            functions: FunctionRegistry::new(),
            engine: Engine::new(options).expect("valid options"),
            now_us: 0,
        }
    }

    fn plan(&self, sql: &str) -> Query {
        let context = PlanContext { parse: &parse, ..PlanContext::new(&self.catalog, &self.functions) };
        plan_query(&parse(sql).expect("a query"), &context).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn run(&self, query: &Query) -> Result<Vec<RecordBatch>> {
        let scan = |rows: &Vec<Row>| {
            let mut arena = RowArena::new(row_schema());
            arena.append(batch(rows), &Weights::Ones).expect("rows of the schema");
            ScanInput::of(arena.snapshot(0))
        };
        let relations = Arc::new(Contents(self.contents.iter().map(scan).collect()));
        let binding = Binding { now_us: self.now_us, parameters: Parameters::default() };
        self.engine.collect(query, relations, &binding, &Interrupt::default())
    }

    /// Runs part of a plan over the contents as they are now.
    fn recompute(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>> {
        self.run(&Query {
            schema: canonical_schema(plan.schema().as_arrow()),
            plan: plan.clone(),
            domains: vec![],
            relations: BTreeSet::new(),
            uses_now: true,
            volatile: None,
            external: false,
            parameters: BTreeMap::new(),
        })
    }

    fn answer(&self, sql: &str) -> Result<BTreeMap<String, i64>> {
        let mut rows = BTreeMap::new();
        for batch in self.run(&self.plan(sql))? {
            add(&mut rows, &ChangeBatch::inserts(batch));
        }
        Ok(rows)
    }

    fn apply(&mut self, change: &Change) {
        let rows = &mut self.contents[change.0];
        if change.2 > 0 {
            rows.push(change.1.clone());
        } else {
            let at = rows.iter().position(|row| *row == change.1).expect("deleted rows exist");
            rows.swap_remove(at);
        }
    }
}

fn relation(index: usize) -> Arc<Relation> {
    let kind = if index == 2 { RelationKind::Stream } else { RelationKind::Table };
    Arc::new(Relation::new(RelationId(index as u64), NAMES[index], kind, row_schema()))
}

fn parse(sql: &str) -> Result<ast::Query> {
    let syntax = |error: sqlparser::parser::ParserError| Error::new(ErrorKind::Syntax, error.to_string());
    Ok(*Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_query())
        .map_err(syntax)?)
}

fn add(rows: &mut BTreeMap<String, i64>, change: &ChangeBatch) {
    for row in 0..change.num_rows() {
        *rows.entry(row_text(change.rows(), row)).or_default() += change.weights().get(row);
    }
}

/// A circuit with the sum of what it emitted.
struct Running {
    spec: CircuitSpec,
    circuit: Circuit,
    result: BTreeMap<String, i64>,
}

impl Running {
    fn new(world: &World, sql: &str) -> Self {
        let query = world.plan(sql);
        let spec = lower(&query).expect("a spec");
        let circuit = Circuit::new(&spec).expect("a circuit");
        Running { spec, circuit, result: BTreeMap::new() }
    }

    /// The first step over what the relations hold.
    fn build(&mut self, world: &World) -> Result<StepOutput> {
        let recompute = |plan: &LogicalPlan| world.recompute(plan);
        let context = StepContext { now_us: world.now_us, interrupt: &Default::default(), recompute: &recompute };
        let snapshots = world.contents.iter().enumerate().map(|(index, rows)| {
            let mut arena = RowArena::new(row_schema());
            arena.append(batch(rows), &Weights::Ones).expect("rows of the schema");
            (RelationId(index as u64), arena.snapshot(0))
        });
        let output = self.circuit.build(&snapshots.collect::<Vec<_>>(), &context, &|_, _| Ok(()))?;
        output.changes.iter().for_each(|change| add(&mut self.result, change));
        self.result.retain(|_, weight| *weight != 0);
        Ok(output)
    }

    /// One step of the given changes.
    fn step(&mut self, world: &World, changes: &[Change]) -> Result<StepOutput> {
        let mut inputs = Vec::new();
        for index in 0..3 {
            let of_relation: Vec<&Change> = changes.iter().filter(|change| change.0 == index).collect();
            let rows: Vec<Row> = of_relation.iter().map(|change| change.1.clone()).collect();
            let weights: Vec<i64> = of_relation.iter().map(|change| change.2).collect();
            let change = match weights.iter().all(|&weight| weight == 1) {
                true => ChangeBatch::inserts(batch(&rows)),
                false => ChangeBatch::try_new(batch(&rows), Weights::Signed(weights.into()))?,
            };
            inputs.push((RelationId(index as u64), vec![change]));
        }
        let recompute = |plan: &LogicalPlan| world.recompute(plan);
        let output = self.circuit.step(
            &inputs,
            &StepContext { now_us: world.now_us, interrupt: &Default::default(), recompute: &recompute },
        )?;
        for change in &output.changes {
            assert!(change.num_rows() <= 16 * 1024 || changes.len() > 16 * 1024);
            add(&mut self.result, change);
        }
        if output.consolidated {
            let mut seen = BTreeMap::new();
            for change in &output.changes {
                for row in 0..change.num_rows() {
                    *seen.entry(row_text(change.rows(), row)).or_insert(0) += 1;
                }
            }
            assert!(seen.values().all(|&count| count == 1), "not consolidated: {seen:?}");
        }
        self.result.retain(|_, weight| *weight != 0);
        Ok(output)
    }
}

/// Runs `changes` through the query in steps of `size`, comparing with recomputation after every `every` steps.
fn check(sql: &str, changes: &[Change], size: usize, every: usize, label: &str) -> CircuitSpec {
    let mut world = World::new();
    let mut running = Running::new(&world, sql);
    running.step(&world, &[]).expect("the first step");
    let steps = changes.len().div_ceil(size);
    for (index, step) in changes.chunks(size).enumerate() {
        step.iter().for_each(|change| world.apply(change));
        running.step(&world, step).unwrap_or_else(|error| panic!("{label}: {sql}: step {index}: {error}"));
        if (index + 1) % every == 0 || index + 1 == steps {
            let expected = world.answer(sql).expect("an answer");
            assert_eq!(running.result, expected, "{label}: {sql}: after step {index}\n{}", running.spec.explain());
            assert_eq!(running.circuit.error_total(), 0, "{label}: {sql}");
        }
    }
    running.spec
}
