//! A running continuous query.
//!
//! A [`Circuit`] is built from a spec and takes one [`Circuit::step`] per epoch: the changes of the relations are
//! pushed to every scan of them, each batch travelling depth-first through all its consumers before the next is
//! made, then the nodes finish in topological order. The first step also brings what was there before any input:
//! constant rows and the one row of an aggregate without keys. A circuit knows no clock, no catalog and no files.
//! After an `Err` it must not be used again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::base::types::canonical_batch;
use crate::catalog::layout::{ColumnId, Layout};
use crate::catalog::relation::RelationId;
use crate::continuous::recompute::Recompute;
use crate::continuous::spec::{CallSpec, CircuitSpec, JoinNode, NodeSpec, NodeStats, OperatorSpec, arrow_schema};
use crate::continuous::step::{ErrorChange, StepContext, StepOutput};
use crate::operator::aggregate::{Call, aggregate_operator};
use crate::operator::evaluate::{RowAggregates, Windows};
use crate::operator::expression::Expression;
use crate::operator::filter_project::{FilterProjectOperator, UnionOperator, ValuesOperator};
use crate::operator::join::{JoinOperator, JoinSpec};
use crate::operator::partition::{Evaluate, PartitionOperator};
use crate::operator::top_k::TopKOperator;
use crate::operator::unnest::UnnestOperator;
use crate::operator::{CHUNK_ROWS, Operator, Output};
use crate::state::snapshot::Snapshot;

enum Node {
    Scan,
    /// `None` only while it runs.
    Operator(Option<Box<dyn Operator>>),
    Recompute(Option<Box<Recompute>>),
}

/// One occurrence of a relation in a query.
#[derive(Clone)]
struct Port {
    /// Its scan.
    node: usize,
    /// The columns the query sees.
    layout: Layout,
    /// Where they stand in the relation's changes; `None` where those have just these columns.
    places: Option<Vec<Option<usize>>>,
}

impl Port {
    /// A change of the relation with the columns that the query sees.
    fn seen(&self, batch: &ChangeBatch) -> Result<ChangeBatch> {
        let Some(places) = &self.places else { return Ok(batch.clone()) };
        batch.with_rows(self.layout.rows(batch.rows(), places)?)
    }
}

/// A continuous query and its state.
pub struct Circuit {
    nodes: Vec<Node>,
    /// Per node, who reads it: node and port.
    consumers: Vec<Vec<(usize, usize)>>,
    /// Per relation its scans; all of them get every change.
    scans: BTreeMap<RelationId, Vec<Port>>,
    append_only: Vec<bool>,
    root: usize,
    schema: SchemaRef,
    consolidated: bool,
    stats: Vec<NodeStats>,
    errors: BTreeMap<(String, String), (Error, i64)>,
}

/// Who is told while a circuit is filled: rows read since the last time, bytes held now. An error breaks it off.
pub type Progress<'a> = dyn Fn(u64, usize) -> Result<()> + 'a;

impl Circuit {
    /// A circuit without rows; its first step emits what is there without any.
    pub fn new(spec: &CircuitSpec) -> Result<Self> {
        let mut consumers = vec![Vec::new(); spec.nodes.len()];
        let mut scans: BTreeMap<RelationId, Vec<Port>> = BTreeMap::new();
        let mut nodes = Vec::with_capacity(spec.nodes.len());
        for (index, node) in spec.nodes.iter().enumerate() {
            for (port, &input) in node.inputs.iter().enumerate() {
                consumers[input].push((index, port));
            }
            if let OperatorSpec::Scan { relation, layout, .. } = &node.operator {
                scans.entry(*relation).or_default().push(Port { node: index, layout: layout.clone(), places: None });
            }
            nodes.push(build_node(spec, node)?);
        }
        Ok(Circuit {
            nodes,
            consumers,
            scans,
            append_only: spec.nodes.iter().map(|node| node.append_only).collect(),
            root: spec.root,
            schema: spec.schema.clone(),
            consolidated: spec.consolidated(),
            stats: vec![NodeStats::default(); spec.nodes.len()],
            errors: BTreeMap::new(),
        })
    }

    /// From here on the changes of `relation` have the columns `ids`: the scans go on seeing those they were made for.
    /// A column that is gone is read as its missing value, so nobody may drop one that the query needs.
    pub fn relayout(&mut self, relation: RelationId, ids: &Arc<[ColumnId]>) {
        for port in self.scans.get_mut(&relation).into_iter().flatten() {
            port.places = (!port.layout.is_of(ids)).then(|| port.layout.places(ids));
        }
    }

    /// Takes the changes of one epoch; a relation's batches may come in several entries.
    pub fn step(&mut self, inputs: &[(RelationId, Vec<ChangeBatch>)], cx: &StepContext) -> Result<StepOutput> {
        let mut output = StepOutput { consolidated: self.consolidated, ..StepOutput::default() };
        for (relation, batches) in inputs {
            if batches.iter().any(|batch| !batch.is_empty()) {
                self.mark_changed(*relation);
            }
            let scans = self.scans.get(relation).cloned().unwrap_or_default();
            for batch in batches.iter().filter(|batch| !batch.is_empty()) {
                for port in &scans {
                    self.feed(port.node, port.seen(batch)?, cx, &mut output)?;
                }
            }
        }
        self.finish(cx, &mut output)?;
        Ok(output)
    }

    /// The first step, over what the relations already hold. `progress` is asked at every chunk.
    pub fn build(
        &mut self,
        snapshots: &[(RelationId, Snapshot)],
        cx: &StepContext,
        progress: &Progress<'_>,
    ) -> Result<StepOutput> {
        let mut output = StepOutput { consolidated: self.consolidated, ..StepOutput::default() };
        for (relation, snapshot) in snapshots {
            self.mark_changed(*relation);
            let scans = self.scans.get(relation).cloned().unwrap_or_default();
            if scans.is_empty() {
                continue;
            }
            for port in &scans {
                let snapshot = snapshot.seen_as(port.layout.clone());
                for chunk in 0..snapshot.chunks() {
                    let Some(rows) = snapshot.read_chunk(chunk, None, false)? else { continue };
                    let read = rows.num_rows();
                    self.feed(port.node, ChangeBatch::inserts(rows), cx, &mut output)?;
                    progress(read as u64, self.size())?;
                }
            }
        }
        self.finish(cx, &mut output)?;
        Ok(output)
    }

    #[cfg(test)]
    /// How many rows fail now, counted with their weights.
    pub fn error_total(&self) -> i64 {
        self.errors.values().map(|(_, weight)| weight.max(&0)).sum()
    }

    /// One of the rows that fail now, with its error.
    pub fn first_error(&self) -> Option<(&Error, &str)> {
        self.errors.iter().next().map(|((_, row), (error, _))| (error, row.as_str()))
    }

    /// What every node has done and holds, by position in the spec.
    pub fn stats(&self) -> Vec<NodeStats> {
        let held = |node: &Node| match node {
            Node::Operator(Some(operator)) => (operator.state_rows(), operator.size()),
            Node::Recompute(Some(recompute)) => (recompute.state_rows(), recompute.size()),
            _ => (0, 0),
        };
        let stats = self.nodes.iter().map(held).zip(&self.stats);
        stats.map(|((state_rows, state_bytes), stats)| NodeStats { state_rows, state_bytes, ..*stats }).collect()
    }

    /// Bytes of state, as far as they are counted.
    pub fn size(&self) -> usize {
        self.stats().iter().map(|stats| stats.state_bytes).sum()
    }

    fn mark_changed(&mut self, relation: RelationId) {
        for node in &mut self.nodes {
            if let Node::Recompute(Some(recompute)) = node {
                recompute.mark_changed(relation);
            }
        }
    }

    fn feed(&mut self, scan: usize, batch: ChangeBatch, cx: &StepContext, output: &mut StepOutput) -> Result<()> {
        if self.append_only[scan] && !batch.weights().is_insert_only() {
            return Err(Error::internal("a row was deleted from an append-only relation"));
        }
        self.stats[scan].rows_in += batch.num_rows() as u64;
        let rows_max = batch.num_rows();
        Flow { circuit: self, output, node: scan, rows_max, interrupt: cx.interrupt }.emit(batch)
    }

    fn finish(&mut self, cx: &StepContext, output: &mut StepOutput) -> Result<()> {
        for index in 0..self.nodes.len() {
            match &mut self.nodes[index] {
                Node::Scan => {}
                Node::Operator(slot) => {
                    let Some(mut operator) = slot.take() else { return Err(reentered()) };
                    let (rows_max, interrupt) = (CHUNK_ROWS, cx.interrupt);
                    let result = operator.finish(&mut Flow { circuit: self, output, node: index, rows_max, interrupt });
                    self.nodes[index] = Node::Operator(Some(operator));
                    result?;
                }
                Node::Recompute(slot) => {
                    let Some(mut recompute) = slot.take() else { return Err(reentered()) };
                    let (rows_max, interrupt) = (CHUNK_ROWS, cx.interrupt);
                    let result =
                        recompute.finish(cx, &mut Flow { circuit: self, output, node: index, rows_max, interrupt });
                    self.nodes[index] = Node::Recompute(Some(recompute));
                    result?;
                }
            }
        }
        output.changes = coalesce(std::mem::take(&mut output.changes), &self.schema)?;
        for change in &output.errors {
            self.count_error(change);
        }
        Ok(())
    }

    fn count_error(&mut self, change: &ErrorChange) {
        let key = (change.error.message().to_string(), change.row.clone());
        let entry = self.errors.entry(key.clone()).or_insert_with(|| (crate::operator::error::copy(&change.error), 0));
        entry.1 = entry.1.saturating_add(change.weight);
        if entry.1 == 0 {
            self.errors.remove(&key);
        }
    }
}

/// Carries what one node emits to its consumers.
struct Flow<'a> {
    circuit: &'a mut Circuit,
    output: &'a mut StepOutput,
    node: usize,
    /// The most rows the node may emit at once: a chunk, or what it was given.
    rows_max: usize,
    interrupt: &'a Interrupt,
}

impl Output for Flow<'_> {
    fn emit(&mut self, batch: ChangeBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.check()?;
        debug_assert!(batch.num_rows() <= self.rows_max, "{} rows in one batch", batch.num_rows());
        let rows_max = batch.num_rows().max(CHUNK_ROWS);
        let circuit = &mut *self.circuit;
        circuit.stats[self.node].rows_out += batch.num_rows() as u64;
        if self.node == circuit.root {
            let rows = canonical_batch(batch.rows(), &circuit.schema)?;
            self.output.changes.push(batch.with_rows(rows)?);
        }
        for position in 0..circuit.consumers[self.node].len() {
            let (consumer, port) = self.circuit.consumers[self.node][position];
            self.circuit.stats[consumer].rows_in += batch.num_rows() as u64;
            let Node::Operator(slot) = &mut self.circuit.nodes[consumer] else { return Err(reentered()) };
            let Some(mut operator) = slot.take() else { return Err(reentered()) };
            let result = operator.push(
                port,
                batch.clone(),
                &mut Flow {
                    circuit: self.circuit,
                    output: self.output,
                    node: consumer,
                    rows_max,
                    interrupt: self.interrupt,
                },
            );
            self.circuit.nodes[consumer] = Node::Operator(Some(operator));
            result?;
        }
        Ok(())
    }

    fn fail(&mut self, error: Error, row: String, weight: i64) {
        if weight != 0 {
            self.output.errors.push(ErrorChange { error, row, weight });
        }
    }

    fn check(&self) -> Result<()> {
        self.interrupt.check()
    }
}

fn reentered() -> Error {
    Error::internal("a circuit node was used while it ran")
}

/// Merges runs of small insert batches, of which filters and joins leave many.
fn coalesce(batches: Vec<ChangeBatch>, schema: &SchemaRef) -> Result<Vec<ChangeBatch>> {
    let is_small = |batch: &ChangeBatch| {
        matches!(batch.weights(), crate::base::change::Weights::Ones) && batch.num_rows() < CHUNK_ROWS / 4
    };
    if batches.len() < 2 || schema.fields().is_empty() || !batches.windows(2).any(|pair| pair.iter().all(is_small)) {
        return Ok(batches);
    }
    let mut merged = Vec::new();
    let mut coalescer = BatchCoalescer::new(schema.clone(), CHUNK_ROWS);
    for batch in batches {
        if is_small(&batch) {
            coalescer.push_batch(batch.rows().clone())?;
        } else {
            merged.push(batch);
        }
        while let Some(rows) = coalescer.next_completed_batch() {
            merged.push(ChangeBatch::inserts(rows));
        }
    }
    coalescer.finish_buffered_batch()?;
    merged.extend(std::iter::from_fn(|| coalescer.next_completed_batch()).map(ChangeBatch::inserts));
    Ok(merged)
}

fn build_node(spec: &CircuitSpec, node: &NodeSpec) -> Result<Node> {
    let schema = arrow_schema(&node.schema);
    let input = |port: usize| &spec.nodes[node.inputs[port]];
    let from = |port: usize| &node.input_schemas[port];
    let operator: Box<dyn Operator> = match &node.operator {
        OperatorSpec::Scan { .. } => return Ok(Node::Scan),
        OperatorSpec::Recompute { plan, relations, uses_now, .. } => {
            let recompute = Recompute::new(plan.clone(), relations.clone(), *uses_now, schema);
            return Ok(Node::Recompute(Some(Box::new(recompute))));
        }
        OperatorSpec::FilterProject { predicates, projection } => {
            let predicate = predicates.iter().cloned().reduce(Expr::and);
            let predicate = predicate.map(|predicate| Expression::compile(&predicate, from(0))).transpose()?;
            let projection = projection.as_ref().map(|columns| compile_all(columns, from(0))).transpose()?;
            Box::new(FilterProjectOperator::new(predicate, projection, schema))
        }
        OperatorSpec::Aggregate { keys, calls } => {
            let keys = compile_all(keys, from(0))?;
            let calls = calls.iter().map(|call| compile_call(call, from(0))).collect::<Result<_>>()?;
            aggregate_operator(keys, calls, input(0).append_only, schema)?
        }
        OperatorSpec::Join(join) => Box::new(build_join(join, node, [input(0), input(1)], schema)?),
        OperatorSpec::Union => Box::new(UnionOperator::new(schema)),
        OperatorSpec::Unnest { lists, structs, empty } => {
            Box::new(UnnestOperator::new(lists.clone(), structs.clone(), *empty, schema))
        }
        OperatorSpec::TopK(top) => {
            let keys = top.keys.iter().map(|(key, options)| Ok((Expression::compile(key, from(0))?, *options)));
            Box::new(TopKOperator::new(keys.collect::<Result<_>>()?, top.skip, top.fetch, schema)?)
        }
        OperatorSpec::Window { keys, functions } => {
            let windows = Windows::compile(functions, from(0), schema)?;
            partition_operator(compile_all(keys, from(0))?, Box::new(windows), input(0))?
        }
        OperatorSpec::RowAggregate { keys, calls } => {
            let aggregates = RowAggregates::compile(calls, from(0), schema)?;
            partition_operator(compile_all(keys, from(0))?, Box::new(aggregates), input(0))?
        }
        OperatorSpec::Values(rows) => Box::new(ValuesOperator::new(rows.clone())),
    };
    Ok(Node::Operator(Some(operator)))
}

fn partition_operator(
    keys: Vec<Expression>,
    evaluate: Box<dyn Evaluate>,
    input: &NodeSpec,
) -> Result<Box<dyn Operator>> {
    Ok(Box::new(PartitionOperator::new(keys, evaluate, arrow_schema(&input.schema), input.append_only)?))
}

fn compile_all(expressions: &[Expr], input: &DFSchema) -> Result<Vec<Expression>> {
    expressions.iter().map(|expression| Expression::compile(expression, input)).collect()
}

fn compile_call(call: &CallSpec, input: &DFSchema) -> Result<Call> {
    Ok(Call {
        function: call.function,
        distinct: call.distinct,
        arguments: compile_all(&call.arguments, input)?,
        filter: call.filter.as_ref().map(|filter| Expression::compile(filter, input)).transpose()?,
        counts_rows: call.counts_rows,
        fraction: call.fraction,
    })
}

fn build_join(join: &JoinNode, node: &NodeSpec, inputs: [&NodeSpec; 2], schema: SchemaRef) -> Result<JoinOperator> {
    let keys = |side: usize| -> Result<Vec<Expression>> {
        let keys = join.on.iter().map(|pair| if side == 0 { &pair.0 } else { &pair.1 });
        keys.map(|key| Expression::compile(key, &node.input_schemas[side])).collect()
    };
    let residual = match &join.residual {
        None => None,
        Some((predicate, columns, schema)) => {
            Some((Expression::compile(predicate, schema)?, columns.clone(), arrow_schema(schema)))
        }
    };
    JoinOperator::new(JoinSpec {
        kind: join.kind,
        keys: [keys(0)?, keys(1)?],
        inputs: inputs.map(|input| arrow_schema(&input.schema)),
        append_only: inputs.map(|input| input.append_only),
        null_equals_null: join.null_equals_null,
        residual,
        output: join.output.clone(),
        schema,
    })
}
