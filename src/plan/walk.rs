//! Walks over plans and expressions.
//!
//! DataFusion's walks are generic in the closure, and each compiles the taking apart of every kind of node again:
//! with a hundred closures that was a sixth of this crate's code. [`Walk`] has them under the same names for a closure
//! behind a pointer, so that there is one of each; bring it into scope instead of `TreeNode`.
//! Below them is what several rewrites do on such a walk.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan, Subquery};

/// `TreeNode`'s walks, compiled once for each kind of tree.
pub(crate) trait Walk: TreeNode {
    /// Rewrites the tree, children before parents.
    fn transform_up(self, mut rewrite: impl FnMut(Self) -> Result<Transformed<Self>>) -> Result<Transformed<Self>> {
        TreeNode::transform_up(self, &mut rewrite as &mut dyn FnMut(Self) -> Result<Transformed<Self>>)
    }

    /// Rewrites the tree, parents before children.
    fn transform_down(self, mut rewrite: impl FnMut(Self) -> Result<Transformed<Self>>) -> Result<Transformed<Self>> {
        TreeNode::transform_down(self, &mut rewrite as &mut dyn FnMut(Self) -> Result<Transformed<Self>>)
    }

    /// Rewrites the children of the node.
    fn map_children(self, mut rewrite: impl FnMut(Self) -> Result<Transformed<Self>>) -> Result<Transformed<Self>> {
        TreeNode::map_children(self, &mut rewrite as &mut dyn FnMut(Self) -> Result<Transformed<Self>>)
    }

    /// Looks at every node, parents before children.
    fn apply<'n>(&'n self, mut look: impl FnMut(&'n Self) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        TreeNode::apply(self, &mut look as &mut dyn FnMut(&'n Self) -> Result<TreeNodeRecursion>)
    }

    /// Looks at the children of the node.
    fn apply_children<'n>(
        &'n self,
        mut look: impl FnMut(&'n Self) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        TreeNode::apply_children(self, &mut look as &mut dyn FnMut(&'n Self) -> Result<TreeNodeRecursion>)
    }

    /// Whether some node is what is asked for.
    fn exists(&self, mut is_it: impl FnMut(&Self) -> Result<bool>) -> Result<bool> {
        TreeNode::exists(self, &mut is_it as &mut dyn FnMut(&Self) -> Result<bool>)
    }
}

impl<T: TreeNode> Walk for T {}

/// The walks that go into the plans of subqueries too.
pub(crate) trait WalkDeep: Sized {
    /// Rewrites the plan and those of its subqueries, children before parents.
    fn transform_up_deep(self, rewrite: impl FnMut(Self) -> Result<Transformed<Self>>) -> Result<Transformed<Self>>;

    /// Rewrites the plan and those of its subqueries, parents before children.
    fn transform_down_deep(self, rewrite: impl FnMut(Self) -> Result<Transformed<Self>>) -> Result<Transformed<Self>>;

    /// Looks at every node of the plan and of its subqueries, parents before children.
    fn apply_deep(&self, look: impl FnMut(&Self) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion>;
}

impl WalkDeep for LogicalPlan {
    fn transform_up_deep(
        self,
        mut rewrite: impl FnMut(Self) -> Result<Transformed<Self>>,
    ) -> Result<Transformed<Self>> {
        self.transform_up_with_subqueries(&mut rewrite as &mut dyn FnMut(Self) -> Result<Transformed<Self>>)
    }

    fn transform_down_deep(
        self,
        mut rewrite: impl FnMut(Self) -> Result<Transformed<Self>>,
    ) -> Result<Transformed<Self>> {
        self.transform_down_with_subqueries(&mut rewrite as &mut dyn FnMut(Self) -> Result<Transformed<Self>>)
    }

    fn apply_deep(&self, mut look: impl FnMut(&Self) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.apply_with_subqueries(&mut look as &mut dyn FnMut(&Self) -> Result<TreeNodeRecursion>)
    }
}

/// Rewrites the expressions of every node bottom-up, subqueries included; outputs keep their names.
pub(crate) fn rewrite_expressions(
    plan: LogicalPlan,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    plan.transform_up_deep(|node| rewrite_node(node, rewrite)).data()
}

/// Rewrites the expressions of one node bottom-up; outputs keep their names.
pub(crate) fn rewrite_node(
    node: LogicalPlan,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    map_outputs(node, &mut |expr| Walk::transform_up(expr, &mut *rewrite))
}

/// Puts others in the place of the expressions of one node; outputs keep their names.
pub(crate) fn map_outputs(
    node: LogicalPlan,
    change: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&node);
    let mut named = |expr: Expr| {
        let name = names.save(&expr);
        Ok(change(expr)?.update_data(|expr| name.restore(expr)))
    };
    let node = node.map_expressions(|expr| match expr {
        // A grouping set has no name; the keys in it have.
        Expr::GroupingSet(set) => keys_of(set, &mut named),
        expr => named(expr),
    })?;
    match node.transformed {
        true => node.map_data(LogicalPlan::recompute_schema),
        false => Ok(node),
    }
}

/// Rewrites the keys of a grouping set one by one.
pub(crate) fn keys_of(
    set: GroupingSet,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<Expr>> {
    let mut changed = false;
    let mut all = |keys: Vec<Expr>| -> Result<Vec<Expr>> {
        let keys = keys.into_iter().map(|key| {
            let key = rewrite(key)?;
            changed |= key.transformed;
            Ok(key.data)
        });
        keys.collect()
    };
    let set = match set {
        GroupingSet::Rollup(keys) => GroupingSet::Rollup(all(keys)?),
        GroupingSet::Cube(keys) => GroupingSet::Cube(all(keys)?),
        GroupingSet::GroupingSets(sets) => {
            GroupingSet::GroupingSets(sets.into_iter().map(all).collect::<Result<Vec<_>>>()?)
        }
    };
    Ok(Transformed::new_transformed(Expr::GroupingSet(set), changed))
}

/// Whether a node of the plan, or of the subqueries in its expressions, passes the test.
pub(crate) fn any_node(plan: &LogicalPlan, test: impl Fn(&LogicalPlan) -> Result<bool>) -> Result<bool> {
    let mut found = false;
    plan.apply_deep(|node| {
        found = test(node)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether an expression of the node, or a part of one, passes the test.
pub(crate) fn any_expression(node: &LogicalPlan, test: impl Fn(&Expr) -> bool) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= Walk::exists(expr, |expr| Ok(test(expr)))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// The subquery of an expression that is one.
pub(crate) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(condition) => Some(&condition.subquery),
        Expr::SetComparison(comparison) => Some(&comparison.subquery),
        _ => None,
    }
}

/// Applies `change` to the subquery of an expression that is one.
pub(crate) fn map_subquery(
    expr: Expr,
    change: &mut dyn FnMut(Subquery) -> Result<Transformed<Subquery>>,
) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarSubquery(subquery) => Ok(change(subquery)?.update_data(Expr::ScalarSubquery)),
        Expr::Exists(mut exists) => {
            let subquery = change(exists.subquery)?;
            exists.subquery = subquery.data;
            Ok(Transformed::new_transformed(Expr::Exists(exists), subquery.transformed))
        }
        Expr::InSubquery(mut condition) => {
            let subquery = change(condition.subquery)?;
            condition.subquery = subquery.data;
            Ok(Transformed::new_transformed(Expr::InSubquery(condition), subquery.transformed))
        }
        Expr::SetComparison(mut comparison) => {
            let subquery = change(comparison.subquery)?;
            comparison.subquery = subquery.data;
            Ok(Transformed::new_transformed(Expr::SetComparison(comparison), subquery.transformed))
        }
        other => Ok(Transformed::no(other)),
    }
}
