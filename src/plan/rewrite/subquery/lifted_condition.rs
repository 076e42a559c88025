//! Conditions on the outer row, lifted over what counts, orders or limits rows.
//!
//! DataFusion pulls `d.k = o.k` out of a subquery from wherever it stands, over windows, the inner side of outer joins
//! and sometimes limits, although each outer row asks for its own window and its own first rows. So below such a
//! node the condition is lifted here: the rows of all outer rows are computed at once, told apart by d.k, which windows
//! and limits (as row numbers) are partitioned by, and above the node the outer row picks those of its own. What
//! cannot be lifted is refused.

use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result as DataFusionResult};
use datafusion::logical_expr::expr::{Sort as SortKey, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::logical_plan::{FetchType, SkipType};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, Filter, Join, Limit, LogicalPlan, LogicalPlanBuilder, Operator, SubqueryAlias, Union,
    Window, WindowFrame, WindowFunctionDefinition, lit,
};

use crate::base::error::{Error, Result};
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::functions::FunctionRegistry;
use crate::plan::refusals::not_decorrelated;
use crate::plan::rewrite::subquery::references::{free_references, lateral_query};
use crate::plan::walk::{Walk, WalkDeep, rewrite_node};

/// Lifts conditions on outer rows over the nodes that they may not simply be pulled through.
pub(crate) fn lift(plan: LogicalPlan, functions: &FunctionRegistry, aliases: &AliasGenerator) -> Result<LogicalPlan> {
    let lifter = Lifter { functions, aliases };
    let lifted = plan.transform_up_deep(|node| match node {
        // LATERAL: here the subquery is a node.
        LogicalPlan::Subquery(subquery) => lifter.make_all_plain(LogicalPlan::Subquery(subquery)),
        node => node.map_subqueries(|plan| lifter.make_all_plain(plan)),
    });
    let lifted = lifted.data().map_err(from_datafusion)?;
    refuse_inner_aggregates(&lifted)?;
    Ok(lifted)
}

/// An aggregate without GROUP BY has a row also for outer rows that find nothing. DataFusion groups it by what it is
/// joined by, and makes up for the missing rows only where a scalar subquery is the aggregate alone.
fn refuse_inner_aggregates(plan: &LogicalPlan) -> Result<()> {
    let mut left = false;
    plan.apply_deep(|node| {
        if let LogicalPlan::Join(join) = node
            && let Some(query) = lateral_query(&join.right)
        {
            let known = aggregate_alone(&query.subquery);
            let is_of_left = |reference: &Expr| match reference {
                Expr::OuterReferenceColumn(_, column) => join.left.schema().has_column(column),
                _ => false,
            };
            query.subquery.apply(|node| {
                if let LogicalPlan::Aggregate(aggregate) = node
                    && aggregate.group_expr.is_empty()
                    && !std::ptr::eq(known, node)
                {
                    left |= free_references(&aggregate.input).iter().any(is_of_left);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let (plan, known) = match expr {
                    Expr::ScalarSubquery(subquery) => (&subquery.subquery, Some(aggregate_alone(&subquery.subquery))),
                    Expr::Exists(exists) => (&exists.subquery.subquery, None),
                    Expr::InSubquery(condition) => (&condition.subquery.subquery, None),
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                plan.apply(|node| {
                    if let LogicalPlan::Aggregate(aggregate) = node
                        && aggregate.group_expr.is_empty()
                        && !known.is_some_and(|known| std::ptr::eq(known, node))
                    {
                        left |= depends(&aggregate.input);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(from_datafusion)?;
    if left { Err(not_decorrelated()) } else { Ok(()) }
}

/// The plan below projections.
fn aggregate_alone(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Projection(projection) => aggregate_alone(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => aggregate_alone(&alias.input),
        other => other,
    }
}

/// Takes conditions on the outer row out of plans.
pub(super) struct Lifter<'a> {
    pub(super) functions: &'a FunctionRegistry,
    pub(super) aliases: &'a AliasGenerator,
}

/// A plan without its conditions on the outer row.
pub(super) struct Lifted {
    pub(super) plan: LogicalPlan,
    /// The columns of the plan that must equal something of the outer row, and that.
    pub(super) keys: Vec<(Column, Expr)>,
    /// Conditions on the outer row alone.
    pub(super) conditions: Vec<Expr>,
    /// The order of the plan's rows.
    pub(super) order: Vec<SortKey>,
}

impl Lifted {
    pub(super) fn plain(plan: LogicalPlan) -> Self {
        Lifted { plan, keys: vec![], conditions: vec![], order: vec![] }
    }

    pub(super) fn key_columns(&self) -> Vec<Expr> {
        self.keys.iter().map(|(column, _)| Expr::Column(column.clone())).collect()
    }
}

impl Lifter<'_> {
    /// All nodes of a plan with their conditions above them, if they are such that these may not be pulled through.
    /// What is below LATERAL is a subquery of its own, which has been looked at.
    fn make_all_plain(&self, plan: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
        plan.transform_down(|node| match self.make_plain(node)? {
            Transformed { data: LogicalPlan::Join(mut join), transformed, .. }
                if lateral_query(&join.right).is_some() =>
            {
                let left = self.make_all_plain(Arc::unwrap_or_clone(join.left))?;
                join.left = Arc::new(left.data);
                let changed = transformed || left.transformed;
                Ok(Transformed::new(LogicalPlan::Join(join), changed, TreeNodeRecursion::Jump))
            }
            other => Ok(other),
        })
    }

    /// A node of a subquery with its conditions above it, if it is one that they may not be pulled through.
    fn make_plain(&self, node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
        let must = is_barrier(&node);
        if !must && !hides_condition(&node) {
            return Ok(Transformed::no(node));
        }
        let outputs: Vec<Expr> = node.schema().columns().into_iter().map(Expr::Column).collect();
        let lifted = match self.lift(node.clone())? {
            Some(lifted) => lifted,
            None if must => return Err(to_datafusion(not_decorrelated())),
            None => return Ok(Transformed::no(node)),
        };
        let equalities = lifted.keys.into_iter().map(|(column, outer)| Expr::Column(column).eq(outer));
        let condition = conjunction(equalities.chain(lifted.conditions)).unwrap_or_else(|| lit(true));
        let filter = LogicalPlan::Filter(Filter::try_new(condition, Arc::new(lifted.plan))?);
        let plan = LogicalPlanBuilder::from(filter).project(outputs)?.build()?;
        // Below there is nothing left that depends on the outer row.
        Ok(Transformed::new(plan, true, TreeNodeRecursion::Jump))
    }

    /// The plan without its conditions on the outer row, if they can be taken out.
    pub(super) fn lift(&self, node: LogicalPlan) -> DataFusionResult<Option<Lifted>> {
        if !depends(&node) {
            return Ok(Some(match node {
                LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                    Lifted { order: sort.expr, ..Lifted::plain(Arc::unwrap_or_clone(sort.input)) }
                }
                other => Lifted::plain(other),
            }));
        }
        match node {
            LogicalPlan::Filter(filter) => self.lift_filter(filter),
            LogicalPlan::Projection(_) => self.lift_projection(node),
            LogicalPlan::SubqueryAlias(alias) => self.lift_alias(alias),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                let input = self.lift(Arc::unwrap_or_clone(sort.input))?;
                Ok(input.map(|input| Lifted { order: sort.expr, ..input }))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Some(input) = self.lift(Arc::unwrap_or_clone(input))? else { return Ok(None) };
                let plan = LogicalPlanBuilder::from(input.plan).distinct()?.build()?;
                Ok(Some(Lifted { plan, order: vec![], ..input }))
            }
            LogicalPlan::Aggregate(aggregate) => {
                let global = aggregate.group_expr.is_empty();
                let set = aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_)));
                if global || set || holds_outer(&aggregate.group_expr) || holds_outer(&aggregate.aggr_expr) {
                    return Ok(None);
                }
                let Some(input) = self.lift(Arc::unwrap_or_clone(aggregate.input))? else { return Ok(None) };
                let keys = aggregate.group_expr.into_iter().chain(input.key_columns()).collect::<Vec<_>>();
                let plan = LogicalPlanBuilder::from(input.plan).aggregate(keys, aggregate.aggr_expr)?.build()?;
                Ok(Some(Lifted { plan, order: vec![], ..input }))
            }
            LogicalPlan::Window(window) => self.lift_window(window),
            LogicalPlan::Limit(limit) => self.lift_limit(limit),
            LogicalPlan::Join(join) => self.lift_join(join),
            LogicalPlan::Union(union) => self.lift_union(union),
            LogicalPlan::Unnest(unnest) => {
                let Some(input) = self.lift(Arc::unwrap_or_clone(unnest.input))? else { return Ok(None) };
                let plan = LogicalPlanBuilder::from(input.plan);
                let plan = plan.unnest_columns_with_options(unnest.exec_columns, unnest.options)?.build()?;
                Ok(Some(Lifted { plan, order: vec![], ..input }))
            }
            _ => Ok(None),
        }
    }

    fn lift_filter(&self, filter: Filter) -> DataFusionResult<Option<Lifted>> {
        let Some(mut input) = self.lift(Arc::unwrap_or_clone(filter.input))? else { return Ok(None) };
        let mut staying = vec![];
        let mut found = vec![];
        for condition in split_conjunction_owned(filter.predicate) {
            if !condition.contains_outer() {
                staying.push(condition);
            } else if !condition.any_column_refs() {
                input.conditions.push(condition);
            } else {
                let Some(pair) = equality(condition) else { return Ok(None) };
                found.push(pair);
            }
        }
        let mut plan = LogicalPlanBuilder::from(input.plan);
        if let Some(condition) = conjunction(staying) {
            plan = plan.filter(condition)?;
        }
        let mut plan = plan.build()?;
        let mut outputs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let mut computed = false;
        for (inner, outer) in found {
            // A column keeps its name only up to the next projection, so it gets one of its own.
            let name = self.aliases.next("__lifted");
            outputs.push(inner.alias(&name));
            input.keys.push((Column::new_unqualified(name), outer));
            computed = true;
        }
        if computed {
            plan = LogicalPlanBuilder::from(plan).project(outputs)?.build()?;
        }
        Ok(Some(Lifted { plan, ..input }))
    }

    fn lift_projection(&self, node: LogicalPlan) -> DataFusionResult<Option<Lifted>> {
        let LogicalPlan::Projection(projection) = node else { return Ok(None) };
        if holds_outer(&projection.expr) {
            return Ok(None);
        }
        let Some(mut input) = self.lift(Arc::unwrap_or_clone(projection.input))? else { return Ok(None) };
        let mut list = projection.expr;
        list.extend(input.key_columns());
        for key in &mut input.order {
            let name = self.aliases.next("__order");
            list.push(std::mem::take(&mut key.expr).alias(&name));
            key.expr = Expr::Column(Column::new_unqualified(name));
        }
        let plan = LogicalPlanBuilder::from(input.plan).project(list)?.build()?;
        Ok(Some(Lifted { plan, ..input }))
    }

    fn lift_alias(&self, alias: SubqueryAlias) -> DataFusionResult<Option<Lifted>> {
        let Some(input) = self.lift(Arc::unwrap_or_clone(alias.input))? else { return Ok(None) };
        let plan = LogicalPlanBuilder::from(input.plan).alias(alias.alias.clone())?.build()?;
        let name = |column: Column| Column::new(Some(alias.alias.clone()), column.name);
        let keys = input.keys.into_iter().map(|(column, outer)| (name(column), outer)).collect();
        // The order may be by columns of tables below the alias; a relation in FROM has none.
        Ok(Some(Lifted { plan, keys, order: vec![], ..input }))
    }

    /// A window of each outer row.
    fn lift_window(&self, window: Window) -> DataFusionResult<Option<Lifted>> {
        if holds_outer(&window.window_expr) {
            return Ok(None);
        }
        let Some(input) = self.lift(window.input.as_ref().clone())? else { return Ok(None) };
        let keys = input.key_columns();
        let inner = LogicalPlan::Window(Window::try_new(window.window_expr, Arc::new(input.plan))?);
        let plan = rewrite_node(inner, &mut |expr| match expr {
            Expr::WindowFunction(mut function) => {
                function.params.partition_by.extend(keys.iter().cloned());
                Ok(Transformed::yes(Expr::WindowFunction(function)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(Some(Lifted { plan: plan.data, ..input }))
    }

    /// LIMIT and OFFSET as conditions on a row number of each outer row.
    fn lift_limit(&self, limit: Limit) -> DataFusionResult<Option<Lifted>> {
        let (skip, fetch) = match (limit.get_skip_type()?, limit.get_fetch_type()?) {
            (SkipType::Literal(skip), FetchType::Literal(fetch)) => (skip, fetch),
            _ => return Ok(None),
        };
        let Some(input) = self.lift(Arc::unwrap_or_clone(limit.input))? else { return Ok(None) };
        let function = self.functions.window("row_number").cloned();
        let function = function.ok_or_else(|| to_datafusion(Error::internal("no built-in function \"row_number\"")))?;
        let name = self.aliases.next("__row");
        let number = Expr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(function),
            params: WindowFunctionParams {
                args: vec![],
                partition_by: input.key_columns(),
                order_by: input.order.clone(),
                window_frame: WindowFrame::new(None),
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        }));
        let row = Expr::Column(Column::new_unqualified(&name));
        let bound = |rows: usize| lit(i64::try_from(rows).unwrap_or(i64::MAX));
        let last = fetch.map(|fetch| row.clone().lt_eq(bound(skip.saturating_add(fetch))));
        let condition = conjunction([row.gt(bound(skip))].into_iter().chain(last)).unwrap_or_else(|| lit(true));
        let plan = LogicalPlanBuilder::from(input.plan).window(vec![number.alias(name)])?.filter(condition)?.build()?;
        Ok(Some(Lifted { plan, ..input }))
    }

    /// A join of which only preserved sides depend on the outer row.
    fn lift_join(&self, mut join: Join) -> DataFusionResult<Option<Lifted>> {
        let is_inner = join.join_type == JoinType::Inner;
        if let Some(filter) = join.filter.take_if(|filter| is_inner && filter.contains_outer()) {
            return self.lift_filter(Filter::try_new(filter, Arc::new(LogicalPlan::Join(join)))?);
        }
        let (left_free, right_free) = match join.join_type {
            JoinType::Inner => (true, true),
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => (true, false),
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => (false, true),
            JoinType::Full => (false, false),
        };
        let (left_depends, right_depends) = depends_by_side(&join);
        let conditions = join.filter.as_ref().is_some_and(Expr::contains_outer);
        let of_keys = join.on.iter().any(|(left, right)| left.contains_outer() || right.contains_outer());
        let of_sides = left_depends && !left_free || right_depends && !right_free;
        if conditions || of_keys || of_sides || lateral_query(&join.right).is_some() && right_depends {
            return Ok(None);
        }
        let expressions = LogicalPlan::Join(join.clone()).expressions();
        let Some(left) = self.lift(join.left.as_ref().clone())? else { return Ok(None) };
        let right = match right_depends {
            true => self.lift(join.right.as_ref().clone())?,
            false => Some(Lifted::plain(join.right.as_ref().clone())),
        };
        let Some(right) = right else { return Ok(None) };
        let plan = LogicalPlan::Join(join).with_new_exprs(expressions, vec![left.plan, right.plan])?;
        let keys = left.keys.into_iter().chain(right.keys).collect();
        let conditions = left.conditions.into_iter().chain(right.conditions).collect();
        Ok(Some(Lifted { plan, keys, conditions, order: vec![] }))
    }

    /// Branches that depend on the outer row by the same keys.
    fn lift_union(&self, union: Union) -> DataFusionResult<Option<Lifted>> {
        let mut branches = vec![];
        for input in &union.inputs {
            let Some(branch) = self.lift(input.as_ref().clone())? else { return Ok(None) };
            branches.push((input.schema().columns(), branch));
        }
        self.unite(branches, &union)
    }

    /// The union of what its branches, which had these columns, were lifted to.
    pub(super) fn unite(
        &self,
        branches: Vec<(Vec<Column>, Lifted)>,
        union: &Union,
    ) -> DataFusionResult<Option<Lifted>> {
        let mut outers: Option<Vec<Expr>> = None;
        let mut keys: Vec<(Column, Expr)> = vec![];
        let mut inputs = vec![];
        let names: Vec<String> = union.schema.fields().iter().map(|field| field.name().clone()).collect();
        for (columns, branch) in branches {
            let outer: Vec<Expr> = branch.keys.iter().map(|(_, outer)| outer.clone()).collect();
            if !branch.conditions.is_empty() || *outers.get_or_insert_with(|| outer.clone()) != outer {
                return Ok(None);
            }
            if inputs.is_empty() {
                let named =
                    outer.into_iter().map(|outer| (Column::new_unqualified(self.aliases.next("__lifted")), outer));
                keys = named.collect();
            }
            let outputs = columns.into_iter().zip(&names).map(|(column, name)| Expr::Column(column).alias(name));
            let own = branch.keys.iter().zip(&keys);
            let own = own.map(|((column, _), (name, _))| Expr::Column(column.clone()).alias(&name.name));
            let list: Vec<Expr> = outputs.chain(own).collect();
            inputs.push(Arc::new(LogicalPlanBuilder::from(branch.plan).project(list)?.build()?));
        }
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
        Ok(Some(Lifted { plan, keys, conditions: vec![], order: vec![] }))
    }
}

/// Whether the node's rows are not those that satisfy the conditions below it, taken from the rows without them.
fn is_barrier(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Limit(limit) => depends(&limit.input),
        // DataFusion loses the name of the column that it joins by.
        LogicalPlan::SubqueryAlias(alias) => depends(&alias.input),
        LogicalPlan::Window(window) => depends(&window.input),
        LogicalPlan::Union(union) => union.inputs.iter().any(|input| depends(input)),
        LogicalPlan::Distinct(Distinct::On(distinct)) => depends(&distinct.input),
        LogicalPlan::Unnest(unnest) => depends(&unnest.input),
        LogicalPlan::RecursiveQuery(query) => depends(&query.static_term) || depends(&query.recursive_term),
        LogicalPlan::Sort(sort) => sort.fetch.is_some() && depends(&sort.input),
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))) && depends(&aggregate.input)
        }
        LogicalPlan::Join(join) => {
            let (left, right) = depends_by_side(join);
            match join.join_type {
                JoinType::Inner => false,
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => right,
                JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => left,
                JoinType::Full => left || right,
            }
        }
        _ => false,
    }
}

/// Whether a node is a join with a condition on the outer row further down a side than right below it. DataFusion lets
/// a list in between pass the columns that the condition needs, but does not tell the join that its side has them.
pub(super) fn hides_condition(node: &LogicalPlan) -> bool {
    fn is_hidden(side: &LogicalPlan) -> bool {
        match side {
            LogicalPlan::Filter(filter) => is_hidden(&filter.input),
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => hides_condition(side),
            other => depends(other),
        }
    }
    match node {
        LogicalPlan::Join(join) => {
            is_hidden(&join.left) || lateral_query(&join.right).is_none() && is_hidden(&join.right)
        }
        _ => false,
    }
}

/// Whether a plan refers to the outer row.
fn depends(plan: &LogicalPlan) -> bool {
    !free_references(plan).is_empty()
}

/// Which sides of a join refer to the outer row. LATERAL may refer to the left side, which is none.
fn depends_by_side(join: &Join) -> (bool, bool) {
    let is_outer = |reference: &Expr| match reference {
        Expr::OuterReferenceColumn(_, column) => !join.left.schema().has_column(column),
        _ => true,
    };
    let right = match lateral_query(&join.right) {
        Some(_) => free_references(&join.right).iter().any(is_outer),
        None => depends(&join.right),
    };
    (depends(&join.left), right)
}

fn holds_outer(exprs: &[Expr]) -> bool {
    exprs.iter().any(Expr::contains_outer)
}

/// `inner = outer` or `outer = inner`: the part over the subquery's own columns, and the part over the outer row's.
pub(super) fn equality(condition: Expr) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    let is_outer = |expr: &Expr| expr.contains_outer() && !expr.any_column_refs();
    match (is_outer(&left), is_outer(&right)) {
        (false, true) if !left.contains_outer() => Some((*left, *right)),
        (true, false) if !right.contains_outer() => Some((*right, *left)),
        _ => None,
    }
}
