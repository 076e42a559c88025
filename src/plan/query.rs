//! From a parsed query to the shared plan.
//!
//! The syntax tree is rewritten ([`crate::plan::syntax`]), DataFusion's binder resolves its names
//! ([`crate::plan::context`]), and the passes make the shared plan of what is bound ([`crate::plan::passes`]).
//!
//! A plan that comes out holds only nodes that batch can run; its scans read [`RelationSource`],
//! [`crate::plan::source::ExternalSource`] or DataFusion's own sources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use sqlparser::ast;

use crate::base::domain::Domain;
use crate::base::error::Result;
use crate::catalog::relation::RelationId;
use crate::plan::clock_functions::{self, NOW};
use crate::plan::context::{Binder, PlanContext};
use crate::plan::diagnostic::plan_error;
use crate::plan::group_keys;
use crate::plan::passes::{self, PassContext};
use crate::plan::refusals;
use crate::plan::rewrite::root::Target;
use crate::plan::source::{RelationSource, domain_of};
use crate::plan::walk::Walk;
use crate::plan::{names, shared, similar, syntax, time, with_query};

/// The stack that planning may use, in bytes: chains of a few thousand terms are legal and DataFusion recurses.
const STACK: usize = 64 << 20;

/// A query ready for either driver.
#[derive(Debug, Clone)]
pub struct Query {
    /// The shared plan: optimised, decorrelated, ties broken.
    pub plan: LogicalPlan,
    /// The result's columns: canonical types, unique names.
    pub schema: SchemaRef,
    /// Per column of the result, the rule that its texts keep, where it is a column of a relation.
    pub domains: Vec<Option<Domain>>,
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
    /// The plan with the columns and types of every node: two queries of the same text mean the same.
    pub fn text(&self) -> String {
        self.plan.display_indent_schema().to_string()
    }

    /// A part of a planned query, to be run by itself: a Recompute node.
    pub fn of_plan(plan: SharedPlan) -> Self {
        describe(plan, false)
    }
}

/// The query as its own columns.
pub fn plan_query(query: &ast::Query, context: &PlanContext<'_>) -> Result<Query> {
    plan_with(query, context, false, Target::Own)
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
        Ok(describe(shared::dissolve_single(plan)?, binder.external.get()))
    })
}

/// The plan of a view where it is read: with the columns it was created with.
pub(crate) fn plan_view(query: &ast::Query, binder: &Binder<'_>, schema: &SchemaRef) -> Result<LogicalPlan> {
    shared_plan(query, binder, Target::Schema(schema))
}

/// The plan after each pass, as text.
#[cfg(test)]
pub(crate) fn trace(query: &ast::Query, context: &PlanContext<'_>) -> Result<Vec<(&'static str, String)>> {
    let binder = Binder::new(context, false);
    let mut trace = vec![];
    let bound = bind_names(query, &binder)?;
    trace.push(("bound", bound.display_indent().to_string()));
    passes::run(bound, &pass_context(&binder, Target::Own), &mut |pass, plan| {
        trace.push((pass, plan.display_indent().to_string()));
    })?;
    Ok(trace)
}

fn shared_plan(query: &ast::Query, binder: &Binder<'_>, target: Target<'_>) -> Result<LogicalPlan> {
    let bound = bind_names(query, binder)?;
    passes::run(bound, &pass_context(binder, target), &mut |_, _| {})
}

fn pass_context<'a>(binder: &'a Binder<'_>, target: Target<'a>) -> PassContext<'a> {
    let PlanContext { functions, parameters, .. } = *binder.context;
    PassContext { functions, parameters, zone: binder.zone(), aliases: &binder.aliases, target }
}

fn bind_names(query: &ast::Query, binder: &Binder<'_>) -> Result<LogicalPlan> {
    refusals::refuse_syntax(query)?;
    refusals::refuse_calls(query, binder.context.functions)?;
    let mut rewritten = query.clone();
    clock_functions::call_clock(&mut rewritten);
    time::syntax::rewrite(&mut rewritten)?;
    similar::rewrite(&mut rewritten);
    names::resolve(&mut rewritten)?;
    group_keys::complete(&mut rewritten, &|name| binder.seen(name));
    syntax::rewrite(&mut rewritten, &|name| {
        let relation = binder.seen(name)?;
        Some(relation.schema.fields().iter().map(|field| field.name().clone()).collect())
    })?;
    with_query::mark(&mut rewritten, &binder.aliases)?;
    let options = ParserOptions::new().with_collect_spans(true).with_parse_float_as_decimal(true);
    SqlToRel::new_with_options(binder, options)
        .sql_statement_to_plan(ast::Statement::Query(Box::new(rewritten)))
        .map_err(|error| names::placed(plan_error(error, binder.context.functions), query))
}

/// Collects what callers need to know of a finished plan.
fn describe(plan: LogicalPlan, external: bool) -> Query {
    let fields = plan
        .schema()
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let domains = plan.schema().fields().iter().map(|field| domain_of(field)).collect();
    let mut query = Query {
        plan: LogicalPlan::default(),
        schema,
        domains,
        relations: BTreeSet::new(),
        uses_now: false,
        volatile: None,
        external,
        parameters: BTreeMap::new(),
    };
    let visited = shared::apply(&plan, &mut |node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<RelationSource>()
        {
            query.relations.insert(source.relation.id);
        }
        let described = node.apply_expressions(|expr| {
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
        });
        described.map(|_| ())
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    query.plan = plan;
    query
}
