//! References of a plan to what is outside it.
//!
//! A subquery in an expression refers to the rows below its node, LATERAL to the left side of its join. What neither
//! has is further out: free.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DFSchema, Result as DataFusionResult, Spans};
use datafusion::logical_expr::utils::{merge_schema, split_conjunction};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Subquery};

use crate::plan::walk::{Walk, subquery_of};

/// The query of LATERAL on the right of a join.
pub(crate) fn lateral_query(right: &LogicalPlan) -> Option<&Subquery> {
    match right {
        LogicalPlan::Subquery(subquery) => Some(subquery),
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::Subquery(subquery) => Some(subquery),
            _ => None,
        },
        _ => None,
    }
}

/// The references of a plan to what is outside it. Those of its subqueries in expressions are not looked at.
pub(crate) fn free_references(plan: &LogicalPlan) -> Vec<Expr> {
    match plan {
        LogicalPlan::Join(join) if lateral_query(&join.right).is_some() => {
            let (mut free, right) = (free_references(&join.left), free_references(&join.right));
            let is_free = |reference: &Expr| match reference {
                Expr::OuterReferenceColumn(_, column) => !join.left.schema().has_column(column),
                _ => true,
            };
            free.extend(right.into_iter().filter(is_free));
            free
        }
        plan if plan.inputs().is_empty() => plan.all_out_ref_exprs(),
        plan => {
            let mut free = own_references(plan);
            free.extend(plan.inputs().into_iter().flat_map(free_references));
            free
        }
    }
}

fn own_references(node: &LogicalPlan) -> Vec<Expr> {
    let mut found = vec![];
    let visited = node.apply_expressions(|expr| {
        expr.apply(|expr| {
            if matches!(expr, Expr::OuterReferenceColumn(..)) {
                found.push(expr.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    found
}

/// A query of LATERAL whose references to what is outside stand in its own subqueries alone, as a subquery: the binder
/// sees only the others.
pub(crate) fn as_lateral(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    if matches!(plan, LogicalPlan::Subquery(_)) || !plan.all_out_ref_exprs().is_empty() {
        return Ok(plan);
    }
    let mut references = References::default();
    references.collect_below(&plan)?;
    if references.far.is_empty() {
        return Ok(plan);
    }
    Ok(LogicalPlan::Subquery(Subquery { subquery: Arc::new(plan), outer_ref_columns: vec![], spans: Spans::new() }))
}

/// Whether a plan, or a subquery in its expressions, refers to what is outside it.
pub(super) fn is_correlated(plan: &LogicalPlan) -> DataFusionResult<bool> {
    if !free_references(plan).is_empty() {
        return Ok(true);
    }
    let mut references = References::default();
    references.collect_below(plan)?;
    Ok(!references.far.is_empty())
}

/// The outer references below a node.
#[derive(Default)]
pub(super) struct References {
    /// The inputs of the nodes around, from the node on.
    scopes: Vec<DFSchema>,
    /// Those that none of the scopes has.
    pub(super) far: Vec<Column>,
    /// Those that one of the scopes has.
    pub(super) near: Vec<Column>,
}

impl References {
    /// Those of the subqueries of a node.
    pub(super) fn collect_in_subqueries(&mut self, node: &LogicalPlan) -> DataFusionResult<()> {
        let mut scope = Some(merge_schema(&node.inputs()));
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Some(subquery) = subquery_of(expr) {
                    self.scopes.extend(scope.take());
                    self.collect_in(&subquery.subquery)?;
                    scope = self.scopes.pop();
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
        .map(|_| ())
    }

    /// Those of a node itself, but for conditions, which are pulled out of a subquery as they are; a condition that holds
    /// a subquery is not.
    pub(super) fn collect_computed(&mut self, node: &LogicalPlan) -> DataFusionResult<()> {
        let is_asking = |expr: &Expr| expr.exists(|expr| Ok(subquery_of(expr).is_some()));
        match node {
            LogicalPlan::Filter(filter) => {
                for condition in split_conjunction(&filter.predicate) {
                    if is_asking(condition)? {
                        self.collect_of(condition)?;
                    }
                }
                Ok(())
            }
            LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_) => {
                self.collect_here(node)
            }
            _ => Ok(()),
        }
    }

    /// The right side of a join with LATERAL.
    pub(super) fn collect_in_lateral(&mut self, join: &Join) -> DataFusionResult<()> {
        self.scopes.push(join.left.schema().as_ref().clone());
        self.collect_in(&join.right)?;
        self.scopes.pop();
        Ok(())
    }

    fn collect_in(&mut self, plan: &LogicalPlan) -> DataFusionResult<()> {
        self.collect_here(plan)?;
        self.collect_below(plan)
    }

    /// All of a plan but the references of its own nodes: those of its subqueries.
    fn collect_below(&mut self, plan: &LogicalPlan) -> DataFusionResult<()> {
        self.collect_in_subqueries(plan)?;
        match plan {
            LogicalPlan::Join(join) if lateral_query(&join.right).is_some() => {
                self.collect_in(&join.left)?;
                self.collect_in_lateral(join)
            }
            plan => plan.inputs().into_iter().try_for_each(|input| self.collect_in(input)),
        }
    }

    fn collect_here(&mut self, node: &LogicalPlan) -> DataFusionResult<()> {
        node.apply_expressions(|expr| self.collect_of(expr)).map(|_| ())
    }

    fn collect_of(&mut self, expr: &Expr) -> DataFusionResult<TreeNodeRecursion> {
        expr.apply(|expr| {
            if let Expr::OuterReferenceColumn(_, column) = expr {
                let is_near = self.scopes.iter().any(|scope| scope.has_column(column));
                let found = if is_near { &mut self.near } else { &mut self.far };
                if !found.contains(column) {
                    found.push(column.clone());
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })
    }
}
