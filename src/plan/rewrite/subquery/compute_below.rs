//! Parts of a node's expressions, computed in a projection below the node.
//!
//! DataFusion decorrelates subqueries in filters and projections only, and not inside each other's operands. What
//! stands elsewhere is moved to a projection of its own; the node's output keeps its columns and their names.

use crate::plan::walk::{Walk, keys_of};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

/// The expressions to compute below a node.
pub(crate) struct Below {
    first: usize,
    computed: Vec<Expr>,
}

impl Below {
    /// The column that holds `expr` above the new projection: one for each that is equal.
    pub(crate) fn column(&mut self, expr: Expr) -> Expr {
        let known = self.computed.iter().position(|known| *known == expr);
        let index = known.unwrap_or_else(|| {
            self.computed.push(expr);
            self.computed.len() - 1
        });
        Expr::Column(Column::new_unqualified(self.name(index)))
    }

    fn name(&self, index: usize) -> String {
        format!("__below_{}", self.first + index)
    }
}

/// Applies `replace` to all expressions of a node with one input, from the outside in; what it puts into [`Below`] is
/// computed below the node.
pub(crate) fn compute_below(
    node: LogicalPlan,
    replace: &mut dyn FnMut(Expr, &mut Below) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let inputs = node.inputs();
    let [input] = inputs.as_slice() else { return Ok(Transformed::no(node)) };
    let input = (*input).clone();
    let taken = input.schema().fields().iter().filter(|field| field.name().starts_with("__below_")).count();
    let mut below = Below { first: taken, computed: vec![] };
    let mut expressions = vec![];
    node.apply_expressions(|expr| {
        expressions.push(expr.clone());
        Ok(TreeNodeRecursion::Continue)
    })?;
    let named = matches!(node, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_));
    let mut replaced = |expr: Expr| {
        let (qualifier, name) = expr.qualified_name();
        let replaced = expr.transform_down(|expr| replace(expr, &mut below))?;
        Ok(match replaced.transformed && named {
            // DataFusion knows a window function below one name, not below two.
            true => Transformed::yes(replaced.data.unalias().alias_qualified(qualifier, name)),
            false => replaced,
        })
    };
    let expressions = expressions
        .into_iter()
        .map(|expr| match expr {
            Expr::GroupingSet(set) => Ok(keys_of(set, &mut replaced)?.data),
            expr => Ok(replaced(expr)?.data),
        })
        .collect::<Result<Vec<_>>>()?;
    if below.computed.is_empty() {
        return Ok(Transformed::no(node));
    }
    let keep = input.schema().columns().into_iter().map(Expr::Column);
    let computed = below.computed.iter().enumerate().map(|(index, expr)| expr.clone().alias(below.name(index)));
    let list: Vec<Expr> = keep.chain(computed).collect();
    let projection = LogicalPlanBuilder::from(input).project(list)?.build()?;
    let outputs: Vec<Expr> = node.schema().columns().into_iter().map(Expr::Column).collect();
    let passes_on = matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_));
    let above = node.with_new_exprs(expressions, vec![projection])?;
    match passes_on {
        // The new columns come through such a node, so they are cut off again.
        true => LogicalPlanBuilder::from(above).project(outputs)?.build().map(Transformed::yes),
        false => Ok(Transformed::yes(above)),
    }
}
