//! What a circuit is made of, as plain data.
//!
//! A [`CircuitSpec`] lists operators with their inputs by position; lowering makes it, [`super::circuit::Circuit`]
//! runs it, [`CircuitSpec::explain`] shows it. It holds no state, so it can be kept with the view and run again.
//! Invariant: the inputs of a node stand before it, so positions are a topological order.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::base::types::is_nested_deeper;
use crate::catalog::layout::{ColumnId, Layout};
use crate::catalog::relation::{RelationId, RelationKind};
use crate::operator::accumulator::{AggregateFunction, Fraction};
use crate::operator::join::{Alone, JoinKind, SideColumn};
use crate::operator::unnest::EmptyLists;
use crate::plan::functions::clock::with_now;

/// A continuous query, ready to run.
#[derive(Debug, Clone)]
pub struct CircuitSpec {
    /// The nodes, inputs before consumers.
    pub nodes: Vec<NodeSpec>,
    /// The node whose output is the result.
    pub root: usize,
    /// The columns of the result, in canonical types.
    pub schema: SchemaRef,
}

/// Operators that call one another on any stack.
const LIGHT_NODES: usize = 64;
/// Levels of lists and structs whose values are handled on any stack: comparing and hashing them recurses.
pub const LIGHT_NESTING: usize = 16;

/// One node of a circuit.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// What it does.
    pub operator: OperatorSpec,
    /// The nodes it reads, by port.
    pub inputs: Vec<usize>,
    /// The columns of those, under the names its expressions use.
    pub input_schemas: Vec<DFSchemaRef>,
    /// The columns of its output.
    pub schema: DFSchemaRef,
    /// Whether its output only ever inserts.
    pub append_only: bool,
    /// Whether its output of a step holds every row at most once.
    pub consolidated: bool,
    /// Columns of the output whose values are unique at the end of every step.
    pub unique_key: Option<Vec<usize>>,
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum OperatorSpec {
    /// One occurrence of a relation.
    Scan {
        /// The relation.
        relation: RelationId,
        /// Its name, for people.
        name: String,
        /// Its kind, for people.
        kind: RelationKind,
        /// The columns the query sees of it.
        layout: Layout,
    },
    /// Keeps the rows of all predicates, then computes the projection.
    FilterProject {
        /// The predicates over the input.
        predicates: Vec<Expr>,
        /// The columns of the output over the input; the input's where `None`.
        projection: Option<Vec<Expr>>,
    },
    /// Groups and aggregates.
    Aggregate {
        /// The keys over the input.
        keys: Vec<Expr>,
        /// The calls.
        calls: Vec<CallSpec>,
    },
    /// Joins two inputs.
    Join(Box<JoinNode>),
    /// All rows of all inputs.
    Union,
    /// Lists to rows, structs to columns.
    Unnest {
        /// The list columns, by position in the input.
        lists: Vec<usize>,
        /// The struct columns, by position in the input.
        structs: Vec<usize>,
        /// How lists without elements are treated.
        empty: EmptyLists,
    },
    /// The first rows of an order.
    TopK(TopKNode),
    /// Window functions over partitions.
    Window {
        /// The partitions' keys over the input.
        keys: Vec<Expr>,
        /// The functions.
        functions: Vec<Expr>,
    },
    /// Aggregates computed from the rows of the touched groups.
    RowAggregate {
        /// The keys over the input.
        keys: Vec<Expr>,
        /// The calls.
        calls: Vec<Expr>,
    },
    /// Constant rows.
    Values(RecordBatch),
    /// Runs the plan again when one of its relations changes, and emits the difference.
    Recompute {
        /// The plan.
        plan: LogicalPlan,
        /// The relations it reads.
        relations: BTreeSet<RelationId>,
        /// Whether it depends on the time of the step.
        uses_now: bool,
        /// Why it has no operator, for people.
        reason: String,
    },
}

/// One aggregate call.
#[derive(Debug, Clone)]
pub struct CallSpec {
    /// The function.
    pub function: AggregateFunction,
    /// Whether equal arguments count once.
    pub distinct: bool,
    /// The arguments over the input.
    pub arguments: Vec<Expr>,
    /// `FILTER (WHERE ..)`.
    pub filter: Option<Expr>,
    /// Whether it counts rows, whatever they hold.
    pub counts_rows: bool,
    /// The fraction of a percentile.
    pub fraction: Option<Fraction>,
    /// The call as text.
    pub text: String,
}

/// ORDER BY with LIMIT and OFFSET.
#[derive(Debug, Clone)]
pub struct TopKNode {
    /// The sort keys over the input.
    pub keys: Vec<(Expr, SortOptions)>,
    /// How many rows are passed over.
    pub skip: u64,
    /// How many rows are shown; all where `None`.
    pub fetch: Option<u64>,
}

/// A join of two inputs.
#[derive(Debug, Clone)]
pub struct JoinNode {
    /// What it emits.
    pub kind: JoinKind,
    /// Pairs of key expressions, over the left and the right input, of equal types.
    pub on: Vec<(Expr, Expr)>,
    /// Whether a NULL key equals a NULL key.
    pub null_equals_null: bool,
    /// A predicate on pairs, with the columns it reads and their schema.
    pub residual: Option<(Expr, Vec<SideColumn>, DFSchemaRef)>,
    /// The columns of the output.
    pub output: Vec<SideColumn>,
}

/// What a node has done and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Rows pushed into it.
    pub rows_in: u64,
    /// Rows it emitted.
    pub rows_out: u64,
    /// Rows or groups it holds.
    pub state_rows: usize,
    /// Bytes it holds.
    pub state_bytes: usize,
}

impl CircuitSpec {
    /// Whether nothing in the query is incremental.
    pub fn is_recomputed_whole(&self) -> bool {
        let mut node = &self.nodes[self.root];
        while let (OperatorSpec::FilterProject { .. }, [input]) = (&node.operator, node.inputs.as_slice()) {
            node = &self.nodes[*input];
        }
        matches!(node.operator, OperatorSpec::Recompute { .. })
    }

    /// Whether a step is done in moments on a small stack: no long chain of operators, none that plans a query.
    pub fn is_light(&self) -> bool {
        let plans = |node: &NodeSpec| {
            matches!(
                node.operator,
                OperatorSpec::Recompute { .. } | OperatorSpec::Window { .. } | OperatorSpec::RowAggregate { .. }
            )
        };
        let deep = |node: &NodeSpec| {
            node.schema.fields().iter().any(|field| is_nested_deeper(field.data_type(), LIGHT_NESTING))
        };
        self.nodes.len() <= LIGHT_NODES && !self.nodes.iter().any(|node| plans(node) || deep(node))
    }

    #[cfg(test)]
    /// Whether any part is recomputed.
    pub fn recomputes(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.operator, OperatorSpec::Recompute { .. }))
    }

    /// Whether the result depends on the time of the step.
    pub fn uses_now(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.operator, OperatorSpec::Recompute { uses_now: true, .. }))
    }

    /// Whether a row may meet many others.
    pub fn joins(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.operator, OperatorSpec::Join(_)))
    }

    /// The columns of a relation that the scans of it see, needed or not.
    pub fn columns_of(&self, wanted: RelationId) -> impl Iterator<Item = ColumnId> {
        self.nodes.iter().flat_map(move |node| match &node.operator {
            OperatorSpec::Scan { relation, layout, .. } if *relation == wanted => layout.ids.to_vec(),
            _ => Vec::new(),
        })
    }

    /// The relations read, each once.
    pub fn inputs(&self) -> Vec<RelationId> {
        let mut inputs = BTreeSet::new();
        for node in &self.nodes {
            match &node.operator {
                OperatorSpec::Scan { relation, .. } => {
                    inputs.insert(*relation);
                }
                OperatorSpec::Recompute { relations, .. } => inputs.extend(relations),
                _ => {}
            }
        }
        inputs.into_iter().collect()
    }

    /// Whether the result only ever grows.
    pub fn append_only(&self) -> bool {
        self.nodes[self.root].append_only
    }

    /// Whether the result's change of a step holds every row at most once.
    pub fn consolidated(&self) -> bool {
        self.nodes[self.root].consolidated
    }

    /// Columns of the result whose values are unique, where some are known to be.
    pub fn unique_key(&self) -> Option<&[usize]> {
        self.nodes[self.root].unique_key.as_deref()
    }

    /// The operators as an indented tree, one a line, the result first; what several read is written out once.
    pub fn explain(&self) -> String {
        self.explain_tree(None)
    }

    /// As [`CircuitSpec::explain`], with what a running circuit reports of its nodes.
    pub fn explain_with(&self, stats: &[NodeStats]) -> String {
        self.explain_tree(Some(stats))
    }

    fn explain_tree(&self, stats: Option<&[NodeStats]>) -> String {
        let mut readers = vec![0; self.nodes.len()];
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|&input| readers[input] += 1);
        let mut shared: Vec<usize> = Vec::new();
        let mut text = String::new();
        let mut open = vec![(self.root, 0)];
        while let Some((index, depth)) = open.pop() {
            let node = &self.nodes[index];
            let _ = write!(text, "{}{}", "  ".repeat(depth), self.describe(node));
            if readers[index] > 1 {
                let known = shared.iter().position(|&known| known == index);
                let number = known.unwrap_or(shared.len()) + 1;
                if known.is_some() {
                    let _ = writeln!(text, "  [as #{number} above]");
                    continue;
                }
                shared.push(index);
                let _ = write!(text, " #{number}");
            }
            let _ = writeln!(text, "  [{}]", self.note(index, stats));
            open.extend(node.inputs.iter().rev().map(|&input| (input, depth + 1)));
        }
        with_now(&text)
    }

    fn note(&self, index: usize, stats: Option<&[NodeStats]>) -> String {
        let node = &self.nodes[index];
        let mut note = (if node.append_only { "append-only" } else { "retracting" }).to_string();
        if let Some(state) = self.state(node) {
            let _ = write!(note, "; state: {state}");
        }
        if let Some(stats) = stats.and_then(|stats| stats.get(index)) {
            let _ = write!(note, "; {} rows in, {} out", stats.rows_in, stats.rows_out);
            if stats.state_bytes > 0 {
                let _ = write!(note, "; holds {} rows, {} bytes", stats.state_rows, stats.state_bytes);
            }
        }
        note
    }

    /// The operator and its arguments, as one line.
    pub fn describe(&self, node: &NodeSpec) -> String {
        match &node.operator {
            OperatorSpec::Scan { name, kind, .. } => format!("Scan {} {name}", kind.name()),
            OperatorSpec::FilterProject { predicates, projection } => {
                describe_filter(predicates, projection.as_deref())
            }
            OperatorSpec::Aggregate { keys, calls } if calls.is_empty() => format!("Distinct {}", texts(keys)),
            OperatorSpec::Aggregate { keys, calls } => {
                let calls = calls.iter().map(|call| call.text.as_str()).collect::<Vec<_>>().join(", ");
                match keys.is_empty() {
                    true => format!("Aggregate {calls}"),
                    false => format!("Aggregate {calls} by {}", texts(keys)),
                }
            }
            OperatorSpec::Join(join) => describe_join(join),
            OperatorSpec::Union => "Union".to_string(),
            OperatorSpec::Unnest { lists, structs, .. } => {
                let input = node.input_schemas.first();
                let name = |column: &usize| input.map_or(String::new(), |schema| schema.field(*column).name().clone());
                format!("Unnest {}", lists.iter().chain(structs).map(name).collect::<Vec<_>>().join(", "))
            }
            OperatorSpec::TopK(top) => describe_top_k(top),
            OperatorSpec::Window { keys, functions } if keys.is_empty() => format!("Window {}", texts(functions)),
            OperatorSpec::Window { keys, functions } => format!("Window {} by {}", texts(functions), texts(keys)),
            OperatorSpec::RowAggregate { keys, calls } if keys.is_empty() => format!("Aggregate {}", texts(calls)),
            OperatorSpec::RowAggregate { keys, calls } => format!("Aggregate {} by {}", texts(calls), texts(keys)),
            OperatorSpec::Values(rows) => format!("Values {} rows", rows.num_rows()),
            OperatorSpec::Recompute { plan, reason, .. } => {
                let plan = format!("{}", plan.display());
                format!("Recompute {} ({reason})", plan.lines().next().unwrap_or_default())
            }
        }
    }

    fn state(&self, node: &NodeSpec) -> Option<String> {
        match &node.operator {
            OperatorSpec::Aggregate { keys, .. } if keys.is_empty() => Some("one group".to_string()),
            OperatorSpec::Aggregate { .. } => Some("one entry a group".to_string()),
            OperatorSpec::Join(join) => Some(match (join.kind.pairs, join.kind.alone) {
                (true, _) => "the rows of both sides".to_string(),
                (false, [Alone::Never, _]) => "the rows of the right side, the keys of the left".to_string(),
                (false, _) => "the rows of the left side, the keys of the right".to_string(),
            }),
            OperatorSpec::TopK(_) => Some("all rows, in order".to_string()),
            OperatorSpec::Window { .. } | OperatorSpec::RowAggregate { .. } => {
                Some("all rows; a touched group is computed anew".to_string())
            }
            OperatorSpec::Recompute { .. } => Some("the last result".to_string()),
            _ => None,
        }
    }
}

fn describe_filter(predicates: &[Expr], projection: Option<&[Expr]>) -> String {
    let predicate = predicates.iter().map(text).collect::<Vec<_>>().join(" AND ");
    match (predicates.is_empty(), projection) {
        (true, projection) => format!("Project {}", texts(projection.unwrap_or_default())),
        (false, None) => format!("Filter {predicate}"),
        (false, Some(projection)) => format!("Filter {predicate}, project {}", texts(projection)),
    }
}

fn describe_top_k(top: &TopKNode) -> String {
    let keys = top.keys.iter().map(|(key, options)| {
        let nulls = if options.nulls_first == options.descending { "" } else { " NULLS FIRST" };
        let nulls = if options.descending && !options.nulls_first { " NULLS LAST" } else { nulls };
        format!("{}{}{nulls}", text(key), if options.descending { " DESC" } else { "" })
    });
    let mut line = format!("Top {}", top.fetch.map_or("all".to_string(), |fetch| fetch.to_string()));
    if top.skip > 0 {
        let _ = write!(line, " after {}", top.skip);
    }
    let keys: Vec<String> = keys.collect();
    if !keys.is_empty() {
        let _ = write!(line, " by {}", keys.join(", "));
    }
    line
}

fn describe_join(join: &JoinNode) -> String {
    let name = match (join.kind.pairs, join.kind.alone) {
        (true, [Alone::Never, Alone::Never]) if join.on.is_empty() => "Cross join",
        (true, [Alone::Never, Alone::Never]) => "Inner join",
        (true, [_, Alone::Never]) => "Left join",
        (true, [Alone::Never, _]) => "Right join",
        (true, _) => "Full join",
        (false, [Alone::Marked, _]) => "Mark join",
        (false, [_, Alone::Marked]) => "Mark join",
        (false, [Alone::Matched, _]) => "Left semi join",
        (false, [_, Alone::Matched]) => "Right semi join",
        (false, [Alone::Unmatched, _]) => "Left anti join",
        (false, _) => "Right anti join",
    };
    let equal = if join.null_equals_null { "IS NOT DISTINCT FROM" } else { "=" };
    let mut conditions: Vec<String> =
        join.on.iter().map(|(left, right)| format!("{} {equal} {}", text(left), text(right))).collect();
    conditions.extend(join.residual.iter().map(|(predicate, _, _)| text(predicate)));
    match conditions.is_empty() {
        true => name.to_string(),
        false => format!("{name} on {}", conditions.join(" AND ")),
    }
}

/// The expression as a person reads it.
pub fn text(expression: &Expr) -> String {
    expression.human_display().to_string()
}

fn texts(expressions: &[Expr]) -> String {
    expressions.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The Arrow schema of a node's batches. Every column may be NULL: what the planner derives about NULL is no
/// promise that a batch should be refused for.
pub fn arrow_schema(schema: &DFSchema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
