//! From a parsed query to the shared plan.
//!
//! 1. DataFusion's binder resolves names ([`crate::plan::context`]); what it would ignore is refused.
//! 2. Clock functions become placeholders, known parameters become literals.
//! 3. IN and EXISTS as values become counts; scalar subqueries are made to have one row.
//! 4. The analyzer settles types; then integer arithmetic is checked and compared values are made canonical.
//! 5. A root projection gives columns unique names and canonical types.
//! 6. The optimiser decorrelates, pushes down and prunes; what is still a subquery is refused.
//! 7. Ties are broken on what is left.
//!
//! A plan that comes out holds only nodes that batch can run; its scans read [`RelationSource`],
//! [`crate::plan::source::ExternalSource`] or DataFusion's own sources.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Volatility, cast};
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use sqlparser::ast::{self, Visit, Visitor};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::{canonical_type, sql_type_name};
use crate::catalog::relation::RelationId;
use crate::operator::error::from_datafusion;
use crate::plan::clock_functions::{self, NOW};
use crate::plan::context::{Binder, PlanContext};
use crate::plan::diagnostic::plan_error;
use crate::plan::optimizer;
use crate::plan::rewrite::{
    asof, bind, canonical_values, checked_arithmetic, one_row_subquery, outer_reference, scalar_subquery,
    skipped_level, subquery_value, ties, unequal_correlation,
};
use crate::plan::source::RelationSource;
use crate::plan::{names, syntax};

/// The stack that planning may use, in bytes: chains of a few thousand terms are legal and DataFusion recurses.
const STACK: usize = 64 << 20;

/// A query ready for either driver.
#[derive(Debug, Clone)]
pub struct Query {
    /// The shared plan: optimised, decorrelated, ties broken.
    pub plan: LogicalPlan,
    /// The result's columns: canonical types, unique names.
    pub schema: SchemaRef,
    /// The relations read.
    pub relations: BTreeSet<RelationId>,
    /// Whether the result depends on the epoch's time.
    pub uses_now: bool,
    /// The name of a function that may differ from call to call (`random`), if one is called.
    pub volatile: Option<String>,
    /// Whether files or system tables are read, whose contents no epoch pins.
    pub external: bool,
    /// The parameters still to be bound, with their types where they could be inferred.
    pub parameters: BTreeMap<String, Option<DataType>>,
}

/// A plan as both drivers take it; layers that may not name DataFusion hand it on under this name.
pub type SharedPlan = LogicalPlan;

impl Query {
    /// A part of a planned query, to be run by itself: a Recompute node.
    pub fn of_plan(plan: SharedPlan) -> Self {
        describe(plan, false)
    }
}

/// The query as its own columns.
pub fn plan_query(query: &ast::Query, context: &PlanContext<'_>) -> Result<Query> {
    plan_with(query, context, false, Target::Own)
}

/// The columns a plan is made to have.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// The query's own, with unique names and canonical types.
    Own,
    /// These, by position.
    Schema(&'a SchemaRef),
}

pub(crate) fn plan_with(
    query: &ast::Query,
    context: &PlanContext<'_>,
    row_ids: bool,
    target: Target<'_>,
) -> Result<Query> {
    stacker::grow(STACK, || {
        let binder = Binder::new(context, row_ids);
        let plan = shared_plan(query, &binder, target)?;
        Ok(describe(plan, binder.external.get()))
    })
}

/// The plan of a view where it is read: with the columns it was created with.
pub(crate) fn plan_view(query: &ast::Query, binder: &Binder<'_>, schema: &SchemaRef) -> Result<LogicalPlan> {
    shared_plan(query, binder, Target::Schema(schema))
}

fn shared_plan(query: &ast::Query, binder: &Binder<'_>, target: Target<'_>) -> Result<LogicalPlan> {
    let functions = binder.context.functions;
    let error = |error| plan_error(error, functions);
    refuse(query)?;
    let mut rewritten = query.clone();
    clock_functions::call_clock(&mut rewritten);
    names::resolve(&mut rewritten)?;
    syntax::rewrite(&mut rewritten, &|name| {
        let relation = binder.seen(name)?;
        Some(relation.schema.fields().iter().map(|field| field.name().clone()).collect())
    })?;
    let options = ParserOptions::new().with_collect_spans(true);
    let bound = SqlToRel::new_with_options(binder, options)
        .sql_statement_to_plan(ast::Statement::Query(Box::new(rewritten)))
        .map_err(|failure| names::placed(error(failure), query))?;
    let resolved = outer_reference::resolve(bound)?;
    let prepared = bind::prepare(resolved, binder.context.parameters)?;
    let told = one_row_subquery::tell_by_values(prepared)?;
    let valued = subquery_value::count_where_valued(told, functions)?;
    let near = skipped_level::bring_near(valued, &binder.aliases)?;
    let single = scalar_subquery::make_single_row(near, functions)?;
    let equal = unequal_correlation::make_equal(single, &binder.aliases)?;
    let analyzed = optimizer::analyze(equal, functions).map_err(error)?;
    refuse_casts(&analyzed)?;
    let checked = checked_arithmetic::check_arithmetic(analyzed)?;
    let canonical = canonical_values::make_canonical(checked)?;
    let joined = asof::lower_joins(canonical, functions)?;
    let rooted = root(joined, target)?;
    let optimized = optimizer::optimize(rooted, functions, &binder.aliases).map_err(|failure| {
        // All names were found by the binder, so the optimiser lost one where it took a subquery apart.
        let failure = error(failure);
        if failure.kind() == ErrorKind::NotFound { not_decorrelated() } else { failure }
    })?;
    refuse_subqueries(&optimized)?;
    ties::break_ties(optimized)
}

/// Refuses what DataFusion would answer with an error about its own inside, or not at all.
fn refuse(query: &ast::Query) -> Result<()> {
    struct Refuse;
    impl Visitor for Refuse {
        type Break = Error;

        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Error> {
            if !query.locks.is_empty() {
                return ControlFlow::Break(Error::unsupported("SELECT .. FOR UPDATE is not supported"));
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Error> {
            if let ast::Expr::SimilarTo { .. } = expr {
                // DataFusion would take the pattern for a regular expression that may match a part.
                let error = Error::unsupported("SIMILAR TO is not supported");
                return ControlFlow::Break(error.with_hint("use LIKE, or ~ with a regular expression"));
            }
            ControlFlow::Continue(())
        }
    }
    match query.visit(&mut Refuse) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Refuses casts that Arrow takes for something else: to it, text as a list is a list of that one text.
fn refuse_casts(plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let (inner, target) = match expr {
                    Expr::Cast(cast) => (&cast.expr, cast.field.data_type()),
                    Expr::TryCast(cast) => (&cast.expr, cast.field.data_type()),
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                if target.is_nested() && inner.get_type(&schema).is_ok_and(|from| from.is_string()) {
                    found = Some(target.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(from_datafusion)?;
    match found {
        Some(target) => Err(Error::new(ErrorKind::Type, format!("cannot cast TEXT to {}", sql_type_name(&target)))),
        None => Ok(()),
    }
}

/// Adds a projection that gives the result its names and types.
fn root(plan: LogicalPlan, target: Target<'_>) -> Result<LogicalPlan> {
    let schema = plan.schema().clone();
    let outputs: Vec<(String, DataType)> = match target {
        Target::Own => {
            let names = unique_names(schema.fields().iter().map(|field| field.name().as_str()));
            names
                .into_iter()
                .zip(schema.fields())
                .map(|(name, field)| (name, canonical_type(field.data_type())))
                .collect()
        }
        Target::Schema(target) => {
            let (given, wanted) = (schema.fields().len(), target.fields().len());
            if given != wanted {
                let message = format!("the query has {given} columns where {wanted} are expected");
                return Err(Error::invalid(message).with_sqlstate("42601"));
            }
            target.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        }
    };
    let list = schema.columns().into_iter().zip(outputs).map(|(column, (name, data_type))| {
        let column = Expr::Column(column);
        let same = column.get_type(schema.as_ref()).is_ok_and(|given| given == data_type);
        let value = if same { column } else { cast(column, data_type) };
        value.alias(name)
    });
    let list: Vec<Expr> = list.collect();
    LogicalPlanBuilder::from(plan).project(list).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// The names with `_1`, `_2` and so on behind those that occurred before.
pub fn unique_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let given: HashSet<&str> = names.clone().collect();
    let mut taken: HashSet<String> = HashSet::new();
    names
        .map(|name| {
            let mut unique = name.to_string();
            let mut number = 0;
            while taken.contains(&unique) || (number > 0 && given.contains(unique.as_str())) {
                number += 1;
                unique = format!("{name}_{number}");
            }
            taken.insert(unique.clone());
            unique
        })
        .collect()
}

/// A subquery that is left after decorrelation could only be run once for every row.
fn refuse_subqueries(plan: &LogicalPlan) -> Result<()> {
    let mut left = false;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            left |= expr.exists(|expr| Ok(is_subquery(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        left |= matches!(node, LogicalPlan::Subquery(_));
        Ok(if left { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(from_datafusion)?;
    match left {
        true => Err(not_decorrelated()),
        false => Ok(()),
    }
}

fn not_decorrelated() -> Error {
    Error::unsupported("this correlated subquery cannot be turned into a join")
        .with_hint("write it as a join or a window function")
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
    )
}

/// Collects what callers need to know of a finished plan.
fn describe(plan: LogicalPlan, external: bool) -> Query {
    let fields = plan
        .schema()
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut query = Query {
        plan: LogicalPlan::default(),
        schema,
        relations: BTreeSet::new(),
        uses_now: false,
        volatile: None,
        external,
        parameters: BTreeMap::new(),
    };
    let visited = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<RelationSource>()
        {
            query.relations.insert(source.relation.id);
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Placeholder(placeholder) if placeholder.id == NOW => query.uses_now = true,
                    Expr::Placeholder(placeholder) => {
                        let data_type = placeholder.field.as_ref().map(|field| field.data_type().clone());
                        let known = query.parameters.entry(placeholder.id.clone()).or_default();
                        *known = known.take().or(data_type);
                    }
                    Expr::ScalarFunction(call) if call.func.signature().volatility == Volatility::Volatile => {
                        query.volatile.get_or_insert_with(|| call.func.name().to_string());
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    query.plan = plan;
    query
}
