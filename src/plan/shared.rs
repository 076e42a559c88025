//! Rows that a query reads in several places and that are one set wherever they are read.
//!
//! `WITH o AS (SELECT id, x FROM a LIMIT 1)` read twice is two plans to DataFusion's binder. Each is pruned and has its
//! ties broken by itself, so one may keep row 1 and the other row 2, and `random()` is called twice. So a WITH query or
//! view whose rows are not settled by what it reads alone ([`is_unsettled`]: LIMIT, OFFSET, window functions,
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
//! Between binder and [`settle`] the node is a marker around its plan; from then on a leaf without inputs. Identity is
//! a name that is unique over the statement and all views in it. Walkers that must see every scan go through
//! [`apply`] or [`in_order`].

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef, Result as DataFusionResult};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Distinct, Expr, Extension, LogicalPlan, Subquery, UserDefinedLogicalNodeCore};

use crate::base::error::Result;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::passes::{self, PassContext};
use crate::plan::rewrite::ties::is_order_sensitive;
use crate::plan::walk::{Walk, WalkDeep};

/// One set of rows with any number of readers.
#[derive(Clone)]
pub struct SharedRows {
    id: String,
    plan: Arc<LogicalPlan>,
    state: State,
}

/// How far the plan of shared rows has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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
}

/// Marks a bound plan that may be read in several places.
pub(crate) fn mark(id: String, plan: LogicalPlan) -> LogicalPlan {
    node(SharedRows { id, plan: Arc::new(plan), state: State::Bound })
}

/// Marks a view's plan, which has been through all passes.
pub(crate) fn mark_planned(id: String, plan: LogicalPlan) -> LogicalPlan {
    node(SharedRows { id, plan: Arc::new(plan), state: State::Planned })
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

/// Decides what becomes of every marker: a leaf, planned once, or a part of its one reader.
pub(crate) fn settle(plan: LogicalPlan, context: &PassContext<'_>) -> Result<LogicalPlan> {
    let mut settling = Settling { readers: HashMap::new(), leaves: HashMap::new(), context };
    settling.count(&plan).and_then(|()| settling.settle(plan)).map_err(from_datafusion)
}

/// The plan with every part that its readers could see differently, were the plan copied, as a leaf.
pub(crate) fn pin(plan: LogicalPlan, context: &PassContext<'_>) -> DataFusionResult<LogicalPlan> {
    plan.transform_down(|node| {
        if of(&node).is_some() || !is_unsettled_node(&node)? || !is_closed(&node)? {
            return Ok(Transformed::no(node));
        }
        leaf(context.aliases.next("rows"), node, context).map(Transformed::yes)
    })
    .data()
}

/// The finished plan without leaves that have one reader after all.
pub(crate) fn dissolve_single(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut readers: HashMap<String, usize> = HashMap::new();
    let counted = apply(&plan, &mut |node| {
        if let Some(shared) = of(node) {
            *readers.entry(shared.id.clone()).or_default() += 1;
        }
        Ok(())
    });
    counted.and_then(|()| inline(plan, &readers, &mut HashMap::new())).map_err(from_datafusion)
}

fn inline(
    plan: LogicalPlan,
    readers: &HashMap<String, usize>,
    leaves: &mut HashMap<String, LogicalPlan>,
) -> DataFusionResult<LogicalPlan> {
    plan.transform_up(|node| {
        let Some(shared) = of(&node) else { return Ok(Transformed::no(node)) };
        if let Some(known) = leaves.get(&shared.id) {
            return Ok(Transformed::yes(known.clone()));
        }
        let inside = inline(shared.plan.as_ref().clone(), readers, leaves)?;
        if readers.get(&shared.id) == Some(&1) {
            return Ok(Transformed::yes(inside));
        }
        let id = shared.id.clone();
        let leaf = self::node(SharedRows { id: id.clone(), plan: Arc::new(inside), state: State::Settled });
        leaves.insert(id, leaf.clone());
        Ok(Transformed::yes(leaf))
    })
    .data()
}

struct Settling<'a> {
    readers: HashMap<String, usize>,
    leaves: HashMap<String, LogicalPlan>,
    context: &'a PassContext<'a>,
}

impl Settling<'_> {
    /// Counts the readers of every marker; what stands in a marker is read once, however often that is read.
    fn count(&mut self, plan: &LogicalPlan) -> DataFusionResult<()> {
        plan.apply_deep(|node| {
            let Some(shared) = of(node) else { return Ok(TreeNodeRecursion::Continue) };
            let readers = self.readers.entry(shared.id.clone()).or_default();
            *readers += 1;
            Ok(if *readers == 1 { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Jump })
        })
        .map(|_| ())
    }

    fn settle(&mut self, plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        plan.transform_down_deep(|mut node| {
            let mut changed = false;
            while let Some(shared) = of(&node).filter(|shared| shared.state != State::Settled) {
                let shared = shared.clone();
                changed = true;
                node = match self.becomes_leaf(&shared)? {
                    true => self.leaf(shared)?,
                    false => Arc::unwrap_or_clone(shared.plan),
                };
            }
            Ok(Transformed::new_transformed(node, changed))
        })
        .data()
    }

    fn becomes_leaf(&self, shared: &SharedRows) -> DataFusionResult<bool> {
        if self.leaves.contains_key(&shared.id) {
            return Ok(true);
        }
        // A view may be read again by another view that this query reads, which calls it by the same name.
        let again = shared.state == State::Planned && is_volatile(&shared.plan)?;
        let readers = self.readers.get(&shared.id).copied().unwrap_or_default();
        Ok((again || readers > 1) && is_unsettled(&shared.plan)? && is_closed(&shared.plan)?)
    }

    fn leaf(&mut self, shared: SharedRows) -> DataFusionResult<LogicalPlan> {
        if let Some(leaf) = self.leaves.get(&shared.id) {
            return Ok(leaf.clone());
        }
        let leaf = match shared.state {
            State::Bound => {
                let plan = self.settle(Arc::unwrap_or_clone(shared.plan))?;
                leaf(shared.id.clone(), plan, self.context)?
            }
            _ => node(SharedRows { state: State::Settled, ..shared.clone() }),
        };
        self.leaves.insert(shared.id, leaf.clone());
        Ok(leaf)
    }
}

/// A leaf over a bound plan, which is taken through the passes.
fn leaf(id: String, plan: LogicalPlan, context: &PassContext<'_>) -> DataFusionResult<LogicalPlan> {
    let planned = passes::run_part(plan, context).map_err(to_datafusion)?;
    Ok(node(SharedRows { id, plan: Arc::new(planned), state: State::Settled }))
}

fn node(rows: SharedRows) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(rows) })
}

/// Whether two runs of the plan over the same contents, or two plans that use different columns of it, may see
/// different rows.
pub(crate) fn is_unsettled(plan: &LogicalPlan) -> DataFusionResult<bool> {
    any_node(plan, is_unsettled_node)
}

fn is_volatile(plan: &LogicalPlan) -> DataFusionResult<bool> {
    any_node(plan, calls_volatile)
}

/// Whether a node of the plan, or of the subqueries in its expressions, passes the test.
fn any_node(plan: &LogicalPlan, test: impl Fn(&LogicalPlan) -> DataFusionResult<bool>) -> DataFusionResult<bool> {
    let mut found = false;
    plan.apply_deep(|node| {
        found = test(node)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn is_unsettled_node(node: &LogicalPlan) -> DataFusionResult<bool> {
    Ok(match node {
        LogicalPlan::Limit(_) | LogicalPlan::Window(_) | LogicalPlan::Distinct(Distinct::On(_)) => true,
        LogicalPlan::Sort(sort) if sort.fetch.is_some() => true,
        LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(depends_on_order) => true,
        node => calls_volatile(node)?,
    })
}

fn depends_on_order(call: &Expr) -> bool {
    match call {
        Expr::Alias(alias) => depends_on_order(&alias.expr),
        Expr::AggregateFunction(call) => is_order_sensitive(call.func.name()),
        _ => false,
    }
}

fn calls_volatile(node: &LogicalPlan) -> DataFusionResult<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= expr.is_volatile();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether the plan refers to nothing around it: neither columns of outer queries nor the rows of a recursion.
fn is_closed(plan: &LogicalPlan) -> DataFusionResult<bool> {
    fn holds(plan: &LogicalPlan, scopes: &mut Vec<DFSchema>, recursions: &mut Vec<String>) -> DataFusionResult<bool> {
        let (outer, around) = (scopes.len(), recursions.len());
        plan.apply(|node| {
            match node {
                // LATERAL: the subquery on the right sees the left side.
                LogicalPlan::Join(join) => scopes.push(join.left.schema().as_ref().clone()),
                LogicalPlan::RecursiveQuery(recursive) => recursions.push(recursive.name.clone()),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut closed = true;
        plan.apply(|node| {
            closed &= !is_foreign_work_table(node, recursions);
            let schema = merge_schema(&node.inputs());
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    match expr {
                        Expr::OuterReferenceColumn(_, column) => {
                            closed &= scopes.iter().any(|scope| scope.has_column(column));
                        }
                        _ => {
                            if let Some(subquery) = subquery_of(expr) {
                                scopes.push(schema.clone());
                                closed &= holds(&subquery.subquery, scopes, recursions)?;
                                scopes.pop();
                            }
                        }
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })?;
            Ok(if closed { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })?;
        scopes.truncate(outer);
        recursions.truncate(around);
        Ok(closed)
    }
    holds(plan, &mut vec![], &mut vec![])
}

fn is_foreign_work_table(node: &LogicalPlan, recursions: &[String]) -> bool {
    let LogicalPlan::TableScan(scan) = node else { return false };
    let Ok(provider) = source_as_provider(&scan.source) else { return false };
    provider.downcast_ref::<CteWorkTable>().is_some_and(|table| !recursions.iter().any(|name| name == table.name()))
}

fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(condition) => Some(&condition.subquery),
        Expr::SetComparison(comparison) => Some(&comparison.subquery),
        _ => None,
    }
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
