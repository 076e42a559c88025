//! Subqueries that refer past the query around them.
//!
//! In `.. FROM o WHERE EXISTS (SELECT .. FROM c WHERE EXISTS (SELECT .. WHERE b.c = c.id AND b.o = o.id))` the
//! innermost query uses a column of the outermost. DataFusion turns the inner EXISTS into a join with `c`, where `o.id`
//! does not exist. So the column is brought there: the middle query reads, beside `c`, the distinct values of `o.id`,
//! of which only the one equal to the outer row's counts, and the inner query refers to that. A reference past two
//! queries is brought near twice. LATERAL is such a query too: it lies over the left side of its join, and what its own
//! subqueries and laterals use of that is brought into it.
//!
//! # Why the answer is the same
//!
//! For a row `o` of the outer query the middle query is a function of the value `v = o.id` alone: `M(v)`. Over the
//! distinct values `D` of `o.id` it becomes `{(d, m) : d in D, m in M(d)}`, of which `d = v` is kept. `D` holds `v`,
//! and holds it once, so what is kept is `M(v)` with every row as often as before. Three things make it so:
//!
//! ```text
//! D holds every v of an outer row    it is read from what lies below the outer node; conditions left out, because they
//!                                    refer further out, only make it larger, and a value too many meets no outer row
//! D holds each v once                DISTINCT, and NULL is a value: it is found by `n = (v IS NULL)` and `k = v or a
//!                                    default`, since only equalities can be pulled out of an aggregate later on
//! both readings are the same rows    what may differ from reading to reading (a LIMIT, a window, random()) is pinned
//!                                    first: computed once, read by the outer query and by D
//! ```
//!
//! What the middle query computes from the outer row and can fail is computed for all of `D`, so its own conditions on
//! the outer row are said of `d` as well: where they are false of `v`, nothing is computed for it.
//!
//! The set of outer values is the domain of Neumann and Kemper (Unnesting Arbitrary Queries, BTW 2015), who push it
//! down to where it is used; here it goes no deeper than the query that skips a level, and DataFusion decorrelates the
//! rest.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, Subquery, SubqueryAlias, lit, when};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::fallible;
use crate::plan::rewrite::context::PassContext;
use crate::plan::rewrite::shared;
use crate::plan::rewrite::subquery::references::{References, free_references, lateral_query};
use crate::plan::walk::{Walk, WalkDeep, any_expression, map_subquery, rewrite_node, subquery_of};

/// Makes every reference of a subquery one to the query right around it.
pub(crate) fn bring_near(plan: LogicalPlan, context: &PassContext<'_>) -> Result<LogicalPlan> {
    plan.transform_down_deep(|node| match node {
        LogicalPlan::Join(join) => {
            map_lateral_nodes(join, context, &|node, outer| middle(node, outer, context.aliases))
        }
        node => {
            let wanted = |expr: &Expr| subquery_of(expr).is_some();
            map_inner_nodes(node, context, &wanted, &|node, outer| middle(node, outer, context.aliases))
        }
    })
    .data()
    .map_err(from_datafusion)
}

/// Applies `change` to every node of a query of LATERAL on the right of a join, with the left side.
pub(super) fn map_lateral_nodes(
    join: Join,
    context: &PassContext<'_>,
    change: Change<'_>,
) -> DataFusionResult<Transformed<LogicalPlan>> {
    let no = |join: Join| Ok(Transformed::no(LogicalPlan::Join(join)));
    if lateral_query(&join.right).is_none() {
        return no(join);
    }
    let changed_over = |left: &LogicalPlan| -> DataFusionResult<Option<LogicalPlan>> {
        let Some(outer) = without_outer(left)? else { return Ok(None) };
        let right = map_lateral(join.right.as_ref().clone(), &mut |subquery| {
            let plan = subquery.subquery.as_ref().clone();
            let plan = plan.transform_up(|node| change(node, &outer))?;
            let outer_ref_columns = free_references(&plan.data);
            let changed = Subquery { subquery: Arc::new(plan.data), outer_ref_columns, spans: subquery.spans };
            Ok(Transformed::new_transformed(changed, plan.transformed))
        })?;
        Ok(right.transformed.then_some(right.data))
    };
    let Some(right) = changed_over(&join.left)? else { return no(join) };
    let (left, right) = match shared::is_unsettled(&join.left)? {
        false => (join.left.as_ref().clone(), right),
        true => {
            let left = shared::pin(join.left.as_ref().clone(), context)?;
            let Some(right) = changed_over(&left)? else { return no(join) };
            (left, right)
        }
    };
    let node = LogicalPlan::Join(join);
    let expressions = node.expressions();
    node.with_new_exprs(expressions, vec![left, right]).map(Transformed::yes)
}

/// Applies `change` to the query of LATERAL on the right of a join.
fn map_lateral(
    right: LogicalPlan,
    change: &mut dyn FnMut(Subquery) -> DataFusionResult<Transformed<Subquery>>,
) -> DataFusionResult<Transformed<LogicalPlan>> {
    match right {
        LogicalPlan::Subquery(subquery) => Ok(change(subquery)?.update_data(LogicalPlan::Subquery)),
        LogicalPlan::SubqueryAlias(alias) => map_lateral(Arc::unwrap_or_clone(alias.input), change)?
            .map_data(|input| SubqueryAlias::try_new(Arc::new(input), alias.alias).map(LogicalPlan::SubqueryAlias)),
        other => Ok(Transformed::no(other)),
    }
}

/// Applies `change` to every node of the subqueries of `node` that are `wanted`, with the plan they lie over. What
/// comes into the subqueries of that plan is the same rows as below `node`, so what is not settled becomes shared rows.
pub(super) fn map_inner_nodes(
    node: LogicalPlan,
    context: &PassContext<'_>,
    wanted: &dyn Fn(&Expr) -> bool,
    change: Change<'_>,
) -> DataFusionResult<Transformed<LogicalPlan>> {
    let inputs = node.inputs();
    let [input] = inputs.as_slice() else { return Ok(Transformed::no(node)) };
    if !any_expression(&node, |expr| subquery_of(expr).is_some())? {
        return Ok(Transformed::no(node));
    }
    let unsettled = shared::is_unsettled(input)?;
    let Some(outer) = without_outer(input)? else { return Ok(Transformed::no(node)) };
    if !unsettled {
        return map_subqueries(node, &outer, wanted, change);
    }
    if !map_subqueries(node.clone(), &outer, wanted, change)?.transformed {
        return Ok(Transformed::no(node));
    }
    let pinned = shared::pin((*input).clone(), context)?;
    let Some(outer) = without_outer(&pinned)? else { return Ok(Transformed::no(node)) };
    let node = node.with_new_exprs(node.expressions(), vec![pinned])?;
    map_subqueries(node, &outer, wanted, change)
}

/// A change of a node of a subquery, given the plan that the subquery lies over.
type Change<'a> = &'a dyn Fn(LogicalPlan, &LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>>;

fn map_subqueries(
    node: LogicalPlan,
    input: &LogicalPlan,
    wanted: &dyn Fn(&Expr) -> bool,
    change: Change<'_>,
) -> DataFusionResult<Transformed<LogicalPlan>> {
    rewrite_node(node, &mut |expr| {
        if !wanted(&expr) {
            return Ok(Transformed::no(expr));
        }
        map_subquery(expr, &mut |subquery| {
            let plan = subquery.subquery.as_ref().clone().transform_up(|node| change(node, input))?;
            if !plan.transformed {
                return Ok(Transformed::no(subquery));
            }
            let outer_ref_columns = plan.data.all_out_ref_exprs();
            let spans = subquery.spans;
            Ok(Transformed::yes(Subquery { subquery: Arc::new(plan.data), outer_ref_columns, spans }))
        })
    })
}

/// A plan with at least the rows of `plan` that refers to nothing outside, if there is an easy one.
fn without_outer(plan: &LogicalPlan) -> DataFusionResult<Option<LogicalPlan>> {
    if free_references(plan).is_empty() {
        return Ok(Some(plan.clone()));
    }
    match plan {
        LogicalPlan::Filter(filter) => {
            let input = match filter.input.as_ref() {
                // DataFusion's decorrelation remembers plans by their content: no copy may look like the original.
                LogicalPlan::Join(join) if join.on.is_empty() && join.filter.is_none() => {
                    let right = LogicalPlanBuilder::from(join.right.as_ref().clone());
                    right.cross_join(join.left.as_ref().clone())?.build()?
                }
                _ => return Ok(None),
            };
            let Some(input) = without_outer(&input)? else { return Ok(None) };
            let conditions = split_conjunction(&filter.predicate).into_iter();
            match conjunction(conditions.filter(|condition| !condition.contains_outer()).cloned()) {
                Some(condition) => LogicalPlanBuilder::from(input).filter(condition)?.build().map(Some),
                None => Ok(Some(input)),
            }
        }
        LogicalPlan::Join(join) if join.join_type != JoinType::Inner => Ok(None),
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Join(_) => {
            if plan.contains_outer_reference() {
                return Ok(None);
            }
            let inputs = plan.inputs().into_iter().map(without_outer).collect::<DataFusionResult<Option<Vec<_>>>>()?;
            inputs.map(|inputs| plan.with_new_exprs(plan.expressions(), inputs)).transpose()
        }
        _ => Ok(None),
    }
}

/// A node of a subquery of `outer`: brings near what its own subqueries, or what it computes, use of `outer`.
fn middle(
    node: LogicalPlan,
    outer: &LogicalPlan,
    aliases: &AliasGenerator,
) -> DataFusionResult<Transformed<LogicalPlan>> {
    let mut references = References::default();
    let inputs = node.inputs();
    let input = match (&node, inputs.as_slice()) {
        (LogicalPlan::Join(join), _) if lateral_query(&join.right).is_some() => {
            references.collect_in_lateral(join)?;
            join.left.as_ref()
        }
        (_, [input]) => {
            references.collect_computed(&node)?;
            references.collect_in_subqueries(&node)?;
            *input
        }
        _ => return Ok(Transformed::no(node)),
    };
    let References { mut far, near, .. } = references;
    far.retain(|column| outer.schema().has_column(column));
    if far.is_empty() || far.iter().any(|column| near.contains(column)) {
        return Ok(Transformed::no(node));
    }
    let guarded = guarded_by(&node, input, outer)?;
    let is_guarded = !guarded.is_empty();
    far.extend(guarded.into_iter().filter(|column| !near.contains(column)));
    let mut known = HashSet::new();
    far.retain(|column| known.insert(column.clone()));
    let alias = aliases.next("__outer");
    let (values, equalities) = distinct_values(&far, outer, &alias)?;
    let joined = joined_with(input, values, equalities, &|condition| match is_guarded {
        true => said_near(condition, &far, &alias),
        false => Ok(None),
    })?;
    let outputs = node.schema().columns();
    let inputs = match &node {
        LogicalPlan::Join(join) => vec![joined, join.right.as_ref().clone()],
        _ => vec![joined],
    };
    let node = refer_to(node.with_new_exprs(node.expressions(), inputs)?, &far, &alias)?;
    if node.schema().fields().len() == outputs.len() {
        return Ok(Transformed::yes(node));
    }
    // The new columns come through such a node, so they are cut off again.
    let outputs: Vec<Expr> = outputs.into_iter().map(Expr::Column).collect();
    LogicalPlanBuilder::from(node).project(outputs)?.build().map(Transformed::yes)
}

/// The columns of the outer query in the conditions below a node that computes what can fail from such columns: what is
/// computed for all outer values at once is computed only where those conditions, said of the values, hold.
fn guarded_by(node: &LogicalPlan, input: &LogicalPlan, outer: &LogicalPlan) -> DataFusionResult<Vec<Column>> {
    let mut can_fail = false;
    node.apply_expressions(|expr| {
        can_fail |= expr.contains_outer() && fallible::can_fail(expr, &merge_schema(&[input, outer]));
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut columns = vec![];
    let mut below = input;
    while let LogicalPlan::Filter(filter) = below
        && can_fail
    {
        filter.predicate.apply(|expr| {
            if let Expr::OuterReferenceColumn(_, column) = expr {
                columns.push(column.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        below = &filter.input;
    }
    // Where something is further out, its conditions cannot be said of the values.
    columns.retain(|column| outer.schema().has_column(column));
    Ok(columns)
}

/// A condition on the outer row as one on the values, if it uses no other columns of the outer row.
fn said_near(condition: &Expr, far: &[Column], alias: &str) -> DataFusionResult<Option<Expr>> {
    if !condition.contains_outer() || condition.exists(|expr| Ok(subquery_of(expr).is_some()))? {
        return Ok(None);
    }
    let near = condition.clone().transform_up(|expr| match &expr {
        Expr::OuterReferenceColumn(_, column) => Ok(match far.iter().position(|far| far == column) {
            Some(index) => Transformed::yes(Expr::Column(brought(alias, index))),
            None => Transformed::no(expr),
        }),
        _ => Ok(Transformed::no(expr)),
    });
    Ok(Some(near.data()?).filter(|near| !near.contains_outer()))
}

/// A plan beside the values that satisfy the conditions. They join below conditions of the plan, because DataFusion does
/// not tell a join that a side of it gains columns, by which a condition is pulled out.
fn joined_with(
    plan: &LogicalPlan,
    values: LogicalPlan,
    mut conditions: Vec<Expr>,
    said_near: &dyn Fn(&Expr) -> DataFusionResult<Option<Expr>>,
) -> DataFusionResult<LogicalPlan> {
    let mut below = plan;
    while let LogicalPlan::Filter(filter) = below {
        for condition in split_conjunction(&filter.predicate) {
            conditions.push(said_near(condition)?.unwrap_or_else(|| condition.clone()));
        }
        below = &filter.input;
    }
    let joined = LogicalPlanBuilder::from(below.clone()).cross_join(values)?;
    match conjunction(conditions) {
        Some(condition) => joined.filter(condition)?.build(),
        None => joined.build(),
    }
}

/// Lets a node, its subqueries, and the query of LATERAL use what was brought near instead of the `far` columns.
fn refer_to(node: LogicalPlan, far: &[Column], alias: &str) -> DataFusionResult<LogicalPlan> {
    let near = |column: &Column| far.iter().position(|far| far == column).map(|index| brought(alias, index));
    let mut refer = |expr: Expr| match expr {
        Expr::OuterReferenceColumn(field, column) => match near(&column) {
            Some(brought) => {
                let field = Arc::new(field.as_ref().clone().with_name(brought.name.clone()));
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, brought)))
            }
            None => Ok(Transformed::no(Expr::OuterReferenceColumn(field, column))),
        },
        other => Ok(Transformed::no(other)),
    };
    let mut inside = |subquery: Subquery| {
        let plan = subquery.subquery.as_ref().clone();
        let plan = plan.transform_up_deep(|node| rewrite_node(node, &mut refer)).data()?;
        let references = subquery.outer_ref_columns.into_iter().map(|expr| refer(expr).data());
        let outer_ref_columns = references.collect::<DataFusionResult<_>>()?;
        Ok(Transformed::yes(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans }))
    };
    match node {
        LogicalPlan::Join(mut join) => {
            join.right = Arc::new(map_lateral(Arc::unwrap_or_clone(join.right), &mut inside)?.data);
            Ok(LogicalPlan::Join(join))
        }
        node => rewrite_node(node, &mut |expr| match expr {
            Expr::OuterReferenceColumn(field, column) => Ok(match near(&column) {
                Some(brought) => Transformed::yes(Expr::Column(brought)),
                None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
            }),
            expr => map_subquery(expr, &mut inside),
        })
        .data(),
    }
}

/// The distinct values of columns of the outer query, as `alias`, and what tells those of the outer row.
pub(super) fn distinct_values(
    columns: &[Column],
    outer: &LogicalPlan,
    alias: &str,
) -> DataFusionResult<(LogicalPlan, Vec<Expr>)> {
    let (mut values, mut equalities) = (vec![], vec![]);
    for (index, column) in columns.iter().enumerate() {
        let field = outer.schema().qualified_field_from_column(column)?.1;
        let value = Expr::Column(column.clone());
        let reference = Expr::OuterReferenceColumn(field.clone(), column.clone());
        let brought = brought(alias, index);
        values.push(value.clone().alias(&brought.name));
        if !field.is_nullable() {
            equalities.push(Expr::Column(brought).eq(reference));
            continue;
        }
        // NULL finds NULL by two equalities, because only equalities can be pulled out of an aggregate. What has no type
        // has no value but NULL.
        let default = lit(ScalarValue::new_default(field.data_type())?);
        let or_default = |expr: Expr| when(expr.clone().is_null(), default.clone()).otherwise(expr);
        let mut pairs = vec![(format!("{alias}_n{index}"), value.clone().is_null(), reference.clone().is_null())];
        if !field.data_type().is_null() {
            pairs.insert(0, (format!("{alias}_k{index}"), or_default(value)?, or_default(reference)?));
        }
        for (name, key, other) in pairs {
            values.push(key.alias(name.clone()));
            equalities.push(Expr::Column(Column::new(Some(alias), name)).eq(other));
        }
    }
    let values = LogicalPlanBuilder::from(outer.clone()).project(values)?.distinct()?.alias(alias)?.build()?;
    Ok((values, equalities))
}

/// What the `index`-th column brought from the outer query is called.
pub(super) fn brought(alias: &str, index: usize) -> Column {
    Column::new(Some(alias), format!("{alias}_c{index}"))
}
