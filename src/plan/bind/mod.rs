//! From a syntax tree to a bound plan: the tree is rewritten, then DataFusion's binder resolves its names.
//!
//! What the tree alone tells is changed by [`crate::sql::rewrite::before_binding`]; then come the passes over the tree
//! that must know the relations of the catalog. The binder asks [`Binder`] for what exists, and us again for relations
//! and operators that it does not know ([`relations`], [`types`]).

mod binder;
mod columns;
mod computed_items;
mod group_keys;
mod hidden_columns;
mod relations;
mod repeated_keys;
mod star_options;
mod types;
mod using;
mod with_query;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use sqlparser::ast::{Query, Statement};

pub(crate) use self::binder::Binder;
use crate::base::error::Result;
use crate::plan::context::PlanContext;
use crate::plan::diagnostic::{placed, plan_error};
use crate::plan::refusals;
use crate::plan::rewrite::context::PassContext;
use crate::plan::rewrite::passes;
use crate::plan::rewrite::root::Target;
use crate::sql::rewrite;

/// A pass over the tree: its name and what it does.
type Pass = (&'static str, fn(&mut Query, &Binder<'_>) -> Result<()>);

/// The passes over the tree that know the catalog.
const PASSES: [Pass; 6] = [
    ("star options", star_options::apply),
    ("group keys", group_keys::complete),
    ("using", using::merge),
    ("repeated keys", repeated_keys::once),
    ("computed items", computed_items::part),
    ("with queries", with_query::mark),
];

/// Resolves the names of a query.
pub(crate) fn bind(query: &Query, binder: &Binder<'_>) -> Result<LogicalPlan> {
    let functions = binder.context.functions;
    refusals::refuse_syntax(query)?;
    refusals::refuse_calls(query, functions)?;
    let mut rewritten = query.clone();
    rewrite::before_binding(&mut rewritten)?;
    PASSES.iter().try_for_each(|(_, pass)| pass(&mut rewritten, binder))?;
    let options = ParserOptions::new().with_collect_spans(true).with_parse_float_as_decimal(true);
    SqlToRel::new_with_options(binder, options)
        .sql_statement_to_plan(Statement::Query(Box::new(rewritten)))
        .map_err(|error| placed(plan_error(error, functions), query))
}

/// The shared plan of a query, or of a view where it is read: bound, and taken through the passes.
pub(crate) fn shared_plan(query: &Query, binder: &Binder<'_>, target: Target<'_>) -> Result<LogicalPlan> {
    bind(query, binder)
        .and_then(|plan| passes::run(plan, &pass_context(binder, target), &mut |_, _| {}))
        .map_err(|error| placed(error, query))
}

/// What the passes may know of a query that is bound by `binder`.
pub(crate) fn pass_context<'a>(binder: &'a Binder<'_>, target: Target<'a>) -> PassContext<'a> {
    let PlanContext { functions, parameters, .. } = *binder.context;
    PassContext { functions, parameters, zone: binder.zone(), aliases: &binder.aliases, target, rest: passes::run_part }
}
