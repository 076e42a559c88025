//! From the shared plan to a circuit.
//!
//! [`lower`] walks the plan bottom-up. A node without an operator becomes a Recompute node over its whole sub-plan,
//! down to the relations; the nodes above stay incremental. Properties (append-only, consolidated, unique keys) are
//! derived on the way and choose operator variants. An expression that does not compile alone (a subquery, `now()`)
//! makes its node recomputed, so lowering fails only on a plan that batch could not run either.

mod aggregate;
mod join;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::concat;
use arrow::datatypes::Schema;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef, NullHandling};
use datafusion::logical_expr::{self as logical, Expr, LogicalPlan, TableScan};

use crate::base::error::{Error, Result};
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::continuous::spec::{CircuitSpec, NodeSpec, OperatorSpec, arrow_schema, text};
use crate::operator::error::from_datafusion;
use crate::operator::expression::{Expression, assemble};
use crate::operator::unnest::EmptyLists;
use crate::plan::functions::clock::is_now;
use crate::plan::query::Query;
use crate::plan::shared;
use crate::plan::source::RelationSource;
use crate::plan::walk::Walk;

/// The circuit of a query; of the relations only streams are taken to be append-only.
pub fn lower(query: &Query) -> Result<CircuitSpec> {
    lower_with(query, &|relation| relation.kind == RelationKind::Stream)
}

/// The circuit of a query; `append_only` says of a relation whether it only ever grows.
pub fn lower_with(query: &Query, append_only: &dyn Fn(&Relation) -> bool) -> Result<CircuitSpec> {
    let mut lowering = Lowering { nodes: Vec::new(), shared: BTreeMap::new(), append_only };
    let root = lowering.plan(&query.plan, None)?;
    Ok(CircuitSpec { nodes: lowering.nodes, root: root.node, schema: query.schema.clone() })
}

/// A lowered sub-plan: its node, and its columns under the names the plan above uses.
#[derive(Clone)]
struct Lowered {
    node: usize,
    schema: DFSchemaRef,
}

struct Lowering<'a> {
    nodes: Vec<NodeSpec>,
    /// The nodes of shared rows, which all their readers read.
    shared: BTreeMap<String, Lowered>,
    append_only: &'a dyn Fn(&Relation) -> bool,
}

/// Why a plan node has no operator: the reason is shown by EXPLAIN.
type Attempt<T> = std::result::Result<T, Refusal>;

enum Refusal {
    Recompute(String),
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Failed(error)
    }
}

fn recompute<T>(reason: impl Into<String>) -> Attempt<T> {
    Err(Refusal::Recompute(reason.into()))
}

impl Lowering<'_> {
    /// Lowers `plan`; `required` are the columns of its output the consumer reads, where it does not read all.
    fn plan(&mut self, plan: &LogicalPlan, required: Option<&BTreeSet<usize>>) -> Result<Lowered> {
        let before = self.nodes.len();
        match self.attempt(plan, required) {
            Ok(lowered) => Ok(lowered),
            Err(Refusal::Failed(error)) => Err(error),
            Err(Refusal::Recompute(reason)) => {
                self.nodes.truncate(before);
                self.shared.retain(|_, lowered| lowered.node < before);
                self.recompute(plan, reason)
            }
        }
    }

    fn attempt(&mut self, plan: &LogicalPlan, required: Option<&BTreeSet<usize>>) -> Attempt<Lowered> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Filter(filter) => self.filter_project(&filter.input, vec![filter.predicate.clone()], None),
            LogicalPlan::Projection(projection) => {
                let columns = Some((projection.expr.as_slice(), &projection.schema));
                match projection.input.as_ref() {
                    LogicalPlan::Filter(filter) => {
                        self.filter_project(&filter.input, vec![filter.predicate.clone()], columns)
                    }
                    _ => self.filter_project(&projection.input, Vec::new(), columns),
                }
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.plan(&alias.input, required)?;
                if input.schema.fields().len() != alias.schema.fields().len() {
                    let schema = input.schema.as_ref().clone().replace_qualifier(alias.alias.clone());
                    return Ok(Lowered { schema: Arc::new(schema), ..input });
                }
                Ok(Lowered { schema: alias.schema.clone(), ..input })
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => Ok(self.plan(&sort.input, required)?),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Distinct(logical::Distinct::All(input)) => self.distinct(input),
            LogicalPlan::Join(join) => self.join(join, required),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(empty) => {
                let rows = usize::from(empty.produce_one_row);
                let schema = arrow_schema(&empty.schema);
                let columns = schema.fields().iter().map(|field| arrow::array::new_null_array(field.data_type(), rows));
                let rows = assemble(&schema, columns.collect(), rows)?;
                Ok(self.constant(rows, &empty.schema))
            }
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Extension(_) => self.shared(plan),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Sort(sort) => self.top_k(&sort.input, &sort.expr, 0, sort.fetch),
            LogicalPlan::Distinct(_) => recompute("DISTINCT ON"),
            LogicalPlan::RecursiveQuery(_) => recompute("WITH RECURSIVE"),
            other => recompute(format!("no operator for {}", first_word(other))),
        }
    }

    fn add(&mut self, node: NodeSpec) -> Lowered {
        let schema = node.schema.clone();
        self.nodes.push(node);
        Lowered { node: self.nodes.len() - 1, schema }
    }

    fn recompute(&mut self, plan: &LogicalPlan, reason: String) -> Result<Lowered> {
        let mut relations = BTreeSet::new();
        let mut uses_now = false;
        collect_relations(plan, &mut relations, &mut uses_now)?;
        Ok(self.add(NodeSpec {
            operator: OperatorSpec::Recompute { plan: plan.clone(), relations, uses_now, reason },
            inputs: vec![],
            input_schemas: vec![],
            schema: plan.schema().clone(),
            append_only: false,
            consolidated: true,
            unique_key: None,
        }))
    }

    /// Shared rows: one node for all their readers.
    fn shared(&mut self, plan: &LogicalPlan) -> Attempt<Lowered> {
        let Some(rows) = shared::of(plan) else { return recompute(format!("no operator for {}", first_word(plan))) };
        if let Some(known) = self.shared.get(rows.id()) {
            return Ok(known.clone());
        }
        let lowered = self.plan(rows.plan(), None)?;
        self.shared.insert(rows.id().to_string(), lowered.clone());
        Ok(lowered)
    }

    fn scan(&mut self, scan: &TableScan) -> Attempt<Lowered> {
        let Some(source) = scan.source.downcast_ref::<RelationSource>() else {
            return recompute("not a relation");
        };
        if source.row_ids || scan.fetch.is_some() {
            return recompute(if source.row_ids { "row ids" } else { "LIMIT" });
        }
        let relation = &source.relation;
        let schema = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &relation.schema);
        let lowered = self.add(NodeSpec {
            operator: OperatorSpec::Scan {
                relation: relation.id,
                name: relation.name.clone(),
                kind: relation.kind,
                layout: relation.layout(),
            },
            inputs: vec![],
            input_schemas: vec![],
            schema: Arc::new(schema.map_err(from_datafusion)?),
            append_only: (self.append_only)(relation),
            consolidated: false,
            unique_key: (!relation.primary_key.is_empty()).then(|| relation.primary_key.clone()),
        });
        let projection = scan.projection.as_ref().map(|columns| {
            let column = |&column: &usize| Expr::Column(lowered.schema.qualified_field(column).into());
            columns.iter().map(column).collect::<Vec<_>>()
        });
        if scan.filters.is_empty() && projection.is_none() {
            return Ok(lowered);
        }
        let projection = projection.as_deref().map(|projection| (projection, &scan.projected_schema));
        self.filter_project_over(lowered, scan.filters.clone(), projection)
    }

    fn filter_project(
        &mut self,
        input: &LogicalPlan,
        predicates: Vec<Expr>,
        projection: Option<(&[Expr], &DFSchemaRef)>,
    ) -> Attempt<Lowered> {
        let required = projection.map(|(columns, _)| used_columns(columns.iter().chain(&predicates), input.schema()));
        let input = self.plan(input, required.as_ref())?;
        self.filter_project_over(input, predicates, projection)
    }

    fn filter_project_over(
        &mut self,
        input: Lowered,
        predicates: Vec<Expr>,
        projection: Option<(&[Expr], &DFSchemaRef)>,
    ) -> Attempt<Lowered> {
        check_all(predicates.iter().chain(projection.iter().flat_map(|projection| projection.0)), &input.schema)?;
        let from = &self.nodes[input.node];
        let columns: Option<Vec<Option<usize>>> = projection
            .map(|(columns, _)| columns.iter().map(|column| column_position(column, &input.schema)).collect());
        let keeps_all = columns
            .as_ref()
            .is_none_or(|columns| (0..input.schema.fields().len()).all(|column| columns.contains(&Some(column))));
        let unique_key = match (&from.unique_key, &columns) {
            (Some(key), Some(columns)) => {
                key.iter().map(|column| columns.iter().position(|kept| *kept == Some(*column))).collect()
            }
            (key, _) => key.clone(),
        };
        let node = NodeSpec {
            append_only: from.append_only,
            consolidated: from.consolidated && keeps_all,
            unique_key,
            operator: OperatorSpec::FilterProject {
                predicates,
                projection: projection.map(|(columns, _)| columns.to_vec()),
            },
            inputs: vec![input.node],
            schema: projection.map_or(&input.schema, |(_, schema)| schema).clone(),
            input_schemas: vec![input.schema],
        };
        Ok(self.add(node))
    }

    fn distinct(&mut self, input: &LogicalPlan) -> Attempt<Lowered> {
        let input = self.plan(input, None)?;
        if input.schema.fields().is_empty() {
            return recompute("no columns");
        }
        Ok(self.distinct_over(input))
    }

    fn distinct_over(&mut self, input: Lowered) -> Lowered {
        let keys = all_columns(&input.schema);
        self.add(NodeSpec {
            append_only: self.nodes[input.node].append_only,
            consolidated: true,
            unique_key: Some((0..keys.len()).collect()),
            operator: OperatorSpec::Aggregate { keys, calls: vec![] },
            inputs: vec![input.node],
            schema: input.schema.clone(),
            input_schemas: vec![input.schema],
        })
    }

    fn union(&mut self, union: &logical::Union) -> Attempt<Lowered> {
        let inputs = union.inputs.iter().map(|input| self.plan(input, None)).collect::<Result<Vec<_>>>()?;
        Ok(self.union_over(inputs, union.schema.clone()))
    }

    fn union_over(&mut self, inputs: Vec<Lowered>, schema: DFSchemaRef) -> Lowered {
        self.add(NodeSpec {
            operator: OperatorSpec::Union,
            append_only: inputs.iter().all(|input| self.nodes[input.node].append_only),
            consolidated: false,
            unique_key: None,
            inputs: inputs.iter().map(|input| input.node).collect(),
            input_schemas: inputs.into_iter().map(|input| input.schema).collect(),
            schema,
        })
    }

    fn unnest(&mut self, unnest: &logical::Unnest) -> Attempt<Lowered> {
        let lists: Vec<usize> = unnest.list_type_columns.iter().map(|(column, _)| *column).collect();
        let distinct: BTreeSet<usize> = lists.iter().copied().collect();
        if distinct.len() < lists.len() || unnest.list_type_columns.iter().any(|(_, list)| list.depth != 1) {
            return recompute("nested unnest");
        }
        let input = self.plan(&unnest.input, None)?;
        let empty = EmptyLists {
            null_gives_row: unnest.options.null_handling != NullHandling::Drop,
            empty_gives_row: unnest.options.null_handling == NullHandling::PreserveAndExpandEmpty,
        };
        Ok(self.add(NodeSpec {
            operator: OperatorSpec::Unnest { lists, structs: unnest.struct_type_columns.clone(), empty },
            append_only: self.nodes[input.node].append_only,
            consolidated: false,
            unique_key: None,
            inputs: vec![input.node],
            input_schemas: vec![input.schema],
            schema: unnest.schema.clone(),
        }))
    }

    fn values(&mut self, values: &logical::Values) -> Attempt<Lowered> {
        let schema = arrow_schema(&values.schema);
        let none = DFSchema::empty();
        let one_row = RecordBatch::try_new_with_options(
            Arc::new(Schema::empty()),
            vec![],
            &RecordBatchOptions::new().with_row_count(Some(1)),
        );
        let one_row = one_row.map_err(Error::from)?;
        let mut rows = Vec::with_capacity(values.values.len());
        for row in &values.values {
            check_all(row, &none)?;
            let mut columns = Vec::with_capacity(row.len());
            for expression in row {
                columns.push(Expression::compile(expression, &none)?.evaluate(&one_row)?);
            }
            rows.push(assemble(&schema, columns, 1)?);
        }
        let mut columns = Vec::with_capacity(schema.fields().len());
        for column in 0..schema.fields().len() {
            let parts: Vec<&dyn Array> = rows.iter().map(|row| row.column(column).as_ref()).collect();
            columns.push(concat(&parts).map_err(Error::from)?);
        }
        Ok(self.constant(assemble(&schema, columns, values.values.len())?, &values.schema))
    }

    fn constant(&mut self, rows: RecordBatch, schema: &DFSchemaRef) -> Lowered {
        self.add(NodeSpec {
            operator: OperatorSpec::Values(rows),
            inputs: vec![],
            input_schemas: vec![],
            schema: schema.clone(),
            append_only: true,
            consolidated: false,
            unique_key: None,
        })
    }
}

/// Refuses expressions that do not compile on their own.
fn check_all<'e>(expressions: impl IntoIterator<Item = &'e Expr>, schema: &DFSchema) -> Attempt<()> {
    for expression in expressions {
        if let Err(error) = Expression::compile(expression, schema) {
            return recompute(format!("{}: {}", text(expression), error.message()));
        }
    }
    Ok(())
}

/// Every column of the schema.
fn all_columns(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(|(qualifier, field)| Expr::Column((qualifier, field).into())).collect()
}

/// The position of the column in the schema, if the expression is nothing but one.
fn column_position(expression: &Expr, schema: &DFSchema) -> Option<usize> {
    match expression {
        Expr::Alias(alias) => column_position(&alias.expr, schema),
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    }
}

/// The positions of the columns the expressions read.
fn used_columns<'e>(expressions: impl IntoIterator<Item = &'e Expr>, schema: &DFSchema) -> BTreeSet<usize> {
    let columns = expressions.into_iter().flat_map(|expression| expression.column_refs());
    columns.filter_map(|column| schema.maybe_index_of_column(column)).collect()
}

/// The schema of the columns at the given positions.
fn select(schema: &DFSchema, columns: &[usize]) -> Result<DFSchema> {
    let fields = columns.iter().map(|&column| {
        let (qualifier, field) = schema.qualified_field(column);
        (qualifier.cloned(), field.clone())
    });
    DFSchema::new_with_metadata(fields.collect(), Default::default()).map_err(from_datafusion)
}

fn collect_relations(plan: &LogicalPlan, relations: &mut BTreeSet<RelationId>, uses_now: &mut bool) -> Result<()> {
    shared::apply(plan, &mut |node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<RelationSource>()
        {
            relations.insert(source.relation.id);
        }
        let now = node.apply_expressions(|expression| {
            *uses_now |= expression.exists(|part| Ok(is_now(part)))?;
            Ok(TreeNodeRecursion::Continue)
        });
        now.map(|_| ())
    })
    .map_err(from_datafusion)?;
    Ok(())
}

fn first_word(plan: &LogicalPlan) -> String {
    let text = plan.display().to_string();
    text.split([' ', ':', '(']).next().unwrap_or_default().to_string()
}
