//! Which rows are shared: markers become leaves, or parts of their one reader.
//!
//! What such rows are, and why a leaf, is told in [`crate::plan::shared`]. Here is decided which plans may give
//! different rows to different readers, and their plans are taken through the passes by themselves.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use crate::base::error::Result;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::properties::is_order_sensitive;
use crate::plan::rewrite::context::PassContext;
use crate::plan::shared::{self, SharedRows, State, apply, of};
use crate::plan::walk::{Walk, WalkDeep, any_expression, any_node, subquery_of};

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
            *readers.entry(shared.id().to_string()).or_default() += 1;
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
        if let Some(known) = leaves.get(shared.id()) {
            return Ok(Transformed::yes(known.clone()));
        }
        let inside = inline(shared.plan().clone(), readers, leaves)?;
        if readers.get(shared.id()) == Some(&1) {
            return Ok(Transformed::yes(inside));
        }
        let leaf = shared::leaf(shared.id().to_string(), Arc::new(inside));
        leaves.insert(shared.id().to_string(), leaf.clone());
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
            let readers = self.readers.entry(shared.id().to_string()).or_default();
            *readers += 1;
            Ok(if *readers == 1 { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Jump })
        })
        .map(|_| ())
    }

    fn settle(&mut self, plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        plan.transform_down_deep(|mut node| {
            let mut changed = false;
            while let Some(shared) = of(&node).filter(|shared| shared.state() != State::Settled) {
                let shared = shared.clone();
                changed = true;
                node = match self.becomes_leaf(&shared)? {
                    true => self.leaf(&shared)?,
                    false => shared.plan().clone(),
                };
            }
            Ok(Transformed::new_transformed(node, changed))
        })
        .data()
    }

    fn becomes_leaf(&self, shared: &SharedRows) -> DataFusionResult<bool> {
        if self.leaves.contains_key(shared.id()) {
            return Ok(true);
        }
        // A view may be read again by another view that this query reads, which calls it by the same name.
        let again = shared.state() == State::Planned && is_volatile(shared.plan())?;
        let readers = self.readers.get(shared.id()).copied().unwrap_or_default();
        Ok((again || readers > 1) && is_unsettled(shared.plan())? && is_closed(shared.plan())?)
    }

    fn leaf(&mut self, shared: &SharedRows) -> DataFusionResult<LogicalPlan> {
        if let Some(leaf) = self.leaves.get(shared.id()) {
            return Ok(leaf.clone());
        }
        let id = shared.id().to_string();
        let leaf = match shared.state() {
            State::Bound => leaf(id.clone(), self.settle(shared.plan().clone())?, self.context)?,
            _ => shared::leaf(id.clone(), Arc::new(shared.plan().clone())),
        };
        self.leaves.insert(id, leaf.clone());
        Ok(leaf)
    }
}

/// A leaf over a bound plan, which is taken through the passes.
fn leaf(id: String, plan: LogicalPlan, context: &PassContext<'_>) -> DataFusionResult<LogicalPlan> {
    let planned = (context.rest)(plan, context).map_err(to_datafusion)?;
    Ok(shared::leaf(id, Arc::new(planned)))
}

/// Whether two runs of the plan over the same contents, or two plans that use different columns of it, may see
/// different rows.
pub(crate) fn is_unsettled(plan: &LogicalPlan) -> DataFusionResult<bool> {
    any_node(plan, is_unsettled_node)
}

fn is_volatile(plan: &LogicalPlan) -> DataFusionResult<bool> {
    any_node(plan, calls_volatile)
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
    any_expression(node, Expr::is_volatile_node)
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
