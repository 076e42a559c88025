//! From a parsed query to the shared plan.
//!
//! Names are bound ([`crate::plan::bind`]), and the passes make the shared plan of what is bound
//! ([`crate::plan::rewrite::passes`]).
//!
//! A plan that comes out holds only nodes that batch can run; its scans read [`RelationSource`],
//! [`crate::plan::source::ExternalSource`] or DataFusion's own sources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use sqlparser::ast;

use crate::base::domain::Domain;
use crate::base::error::Result;
use crate::catalog::relation::RelationId;
use crate::plan::bind::{self, Binder};
use crate::plan::context::PlanContext;
use crate::plan::functions::clock::is_now;
#[cfg(test)]
use crate::plan::rewrite::passes;
use crate::plan::rewrite::root::Target;
use crate::plan::rewrite::shared::dissolve_single;
use crate::plan::shared;
use crate::plan::source::{RelationSource, domain_of};
use crate::plan::walk::Walk;

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
        let plan = bind::shared_plan(query, &binder, target)?;
        Ok(describe(dissolve_single(plan)?, binder.external.get()))
    })
}

/// The plan after each pass, as text.
#[cfg(test)]
pub(crate) fn trace(query: &ast::Query, context: &PlanContext<'_>) -> Result<Vec<(&'static str, String)>> {
    let binder = Binder::new(context, false);
    let mut trace = vec![];
    let bound = bind::bind(query, &binder)?;
    trace.push(("bound", bound.display_indent().to_string()));
    passes::run(bound, &bind::pass_context(&binder, Target::Own), &mut |pass, plan| {
        trace.push((pass, plan.display_indent().to_string()));
    })?;
    Ok(trace)
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
                    expr if is_now(expr) => query.uses_now = true,
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
