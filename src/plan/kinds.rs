//! Which kinds of nodes and expressions a plan holds.
//!
//! Most statements are small, and to plan one costs more than to run it: each pass and each rule takes the whole plan
//! apart and puts it together again. So those that change only what a plan does not hold are left out.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::walk::{WalkDeep, any_expression, subquery_of};

/// What a plan holds, as far as passes and rules are told apart by it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// Subqueries in expressions, and LATERAL.
    pub(crate) subqueries: bool,
    /// Joins, also those that subqueries become.
    pub(crate) joins: bool,
    /// Aggregates and DISTINCT, also those that subqueries become.
    pub(crate) groups: bool,
    /// Conditions on rows: filters and all that becomes one.
    pub(crate) filters: bool,
    /// Unions.
    pub(crate) unions: bool,
}

impl Kinds {
    /// Anything may be in the plan.
    pub(crate) const ALL: Kinds = Kinds { subqueries: true, joins: true, groups: true, filters: true, unions: true };

    /// The kinds in a plan. Of a node that is not known, anything may come.
    pub(crate) fn of(plan: &LogicalPlan) -> Result<Kinds> {
        let mut kinds = Kinds::default();
        plan.apply_deep(|node| {
            match node {
                LogicalPlan::Join(_) => (kinds.joins, kinds.filters) = (true, true),
                LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => kinds.groups = true,
                LogicalPlan::Filter(_) => kinds.filters = true,
                // As what a filter that is never true leaves.
                LogicalPlan::EmptyRelation(empty) => kinds.filters |= !empty.produce_one_row,
                LogicalPlan::Union(_) => kinds.unions = true,
                LogicalPlan::Projection(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Limit(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Values(_) => {}
                _ => kinds = Kinds::ALL,
            }
            if !kinds.subqueries && any_expression(node, |expr| subquery_of(expr).is_some())? {
                kinds = Kinds::ALL;
            }
            Ok(if kinds == Kinds::ALL { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
        .map_err(from_datafusion)?;
        Ok(kinds)
    }
}
