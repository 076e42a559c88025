//! Rows that a query reads in several places and that are one set wherever they are read.
//!
//! `WITH o AS (SELECT id, x FROM a LIMIT 1)` read twice is two plans to DataFusion's binder. Each is pruned and has its
//! ties broken by itself, so one may keep row 1 and the other row 2, and `random()` is called twice. So a WITH query or
//! view whose rows are not settled by what it reads alone (LIMIT, OFFSET, window functions,
//! DISTINCT ON, aggregates that depend on order, volatile calls) and that is read twice becomes a node of its own, and
//! so does such a part of an outer query of which decorrelation makes a copy. What is settled, or read once, goes on
//! being a part of its reader, so that filters are pushed into it.
//!
//! Two designs were weighed. *Number the rows where they arise and let every copy keep all columns*: the readers stay
//! ordinary plans that the optimiser sees through, but ties are numbered once a copy, `random()` needs something else,
//! and every rule that prunes would have to be told. *A leaf that holds a finished plan*, which is the one chosen:
//! the optimiser cannot reach into it, so no rule can make two readers differ, the plan is made once and run once, and
//! a leaf stands for itself wherever a plan is cut (Recompute). The price is that filters of the readers stay outside.
//!
//! Until the pass [`crate::plan::rewrite::shared`] decides, the node is a marker around its plan; from then on a leaf
//! without inputs. Identity is a name that is unique over the statement and all views in it. Walkers that must see
//! every scan go through [`apply`] or [`in_order`].

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::plan::walk::Walk;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

/// One set of rows with any number of readers.
#[derive(Clone)]
pub struct SharedRows {
    id: String,
    plan: Arc<LogicalPlan>,
    state: State,
}

/// How far the plan of shared rows has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A marker around a bound plan.
    Bound,
    /// A marker around a plan that has been through all passes: a view's.
    Planned,
    /// A leaf.
    Settled,
}

impl SharedRows {
    /// What tells these rows from others of the statement.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The plan that computes the rows.
    pub fn plan(&self) -> &LogicalPlan {
        &self.plan
    }

    /// How far that plan has come.
    pub(crate) fn state(&self) -> State {
        self.state
    }
}

/// Marks a bound plan that may be read in several places.
pub(crate) fn mark(id: String, plan: LogicalPlan) -> LogicalPlan {
    node(SharedRows { id, plan: Arc::new(plan), state: State::Bound })
}

/// Marks a view's plan, which has been through all passes.
pub(crate) fn mark_planned(id: String, plan: LogicalPlan) -> LogicalPlan {
    node(SharedRows { id, plan: Arc::new(plan), state: State::Planned })
}

/// The leaf of a finished plan.
pub(crate) fn leaf(id: String, plan: Arc<LogicalPlan>) -> LogicalPlan {
    node(SharedRows { id, plan, state: State::Settled })
}

fn node(rows: SharedRows) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(rows) })
}

/// The shared rows, if the node is that.
pub fn of(node: &LogicalPlan) -> Option<&SharedRows> {
    match node {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref::<SharedRows>(),
        _ => None,
    }
}

/// Visits every node of a plan, and of the plans of its shared rows once each; subqueries are gone by then.
pub fn apply(plan: &LogicalPlan, visit: &mut dyn FnMut(&LogicalPlan) -> DataFusionResult<()>) -> DataFusionResult<()> {
    for rows in in_order(plan)? {
        rows.plan.apply(|node| visit(node).map(|()| TreeNodeRecursion::Continue))?;
    }
    plan.apply(|node| visit(node).map(|()| TreeNodeRecursion::Continue)).map(|_| ())
}

/// The shared rows that a finished plan reads, each once and those that others read first.
pub fn in_order(plan: &LogicalPlan) -> DataFusionResult<Vec<SharedRows>> {
    fn collect(plan: &LogicalPlan, known: &mut HashSet<String>, rows: &mut Vec<SharedRows>) -> DataFusionResult<()> {
        plan.apply(|node| {
            if let Some(shared) = of(node)
                && known.insert(shared.id.clone())
            {
                collect(&shared.plan, known, rows)?;
                rows.push(shared.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map(|_| ())
    }
    let mut rows = vec![];
    collect(plan, &mut HashSet::new(), &mut rows)?;
    Ok(rows)
}

impl UserDefinedLogicalNodeCore for SharedRows {
    fn name(&self) -> &str {
        "Shared"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        match self.state {
            State::Settled => vec![],
            State::Bound | State::Planned => vec![&self.plan],
        }
    }

    fn schema(&self) -> &DFSchemaRef {
        self.plan.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Shared: {}", self.id)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        match inputs.into_iter().next() {
            Some(plan) => Ok(SharedRows { plan: Arc::new(plan), ..self.clone() }),
            None => Ok(self.clone()),
        }
    }
}

impl fmt::Debug for SharedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRows").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartialEq for SharedRows {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for SharedRows {}

impl PartialOrd for SharedRows {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.id.cmp(&other.id))
    }
}

impl Hash for SharedRows {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}
