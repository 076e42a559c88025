//! Walks over plans and expressions.
//!
//! DataFusion's walks are generic in the closure, and each compiles the taking apart of every kind of node again:
//! with a hundred closures that was a sixth of this crate's code. [`Walk`] has them under the same names for a closure
//! behind a pointer, so that there is one of each; bring it into scope instead of `TreeNode`.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;

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
