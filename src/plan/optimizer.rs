//! The one list of rules that makes a typed plan the optimised one.
//!
//! DataFusion's rules in their order, without those that are wrong for a standing query or for our meanings, and with
//! our own where a rule is wrong ([`crate::plan::rules`]). Left out are
//! - RewriteSetComparison: ANY and ALL are counts by then, and its ALL is wrong;
//! - EliminateJoin: trusts declared keys and functional dependencies;
//! - EliminateLimit and PushDownLimit: ties are settled on the whole limit, and they lose an OFFSET;
//! - ExtractLeafExpressions and PushDownLeafProjections: a struct's field is pulled through a projection that renames.
//!
//! SingleDistinctToGroupBy runs only where it does not add up partial sums, because those may overflow or round where
//! the sum does not. Clock functions are placeholders by now, so nothing folds the time.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::alias::AliasGenerator;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::execution::FunctionRegistry as DataFusionRegistry;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::{Analyzer, AnalyzerRule};
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_group_by_constant::EliminateGroupByConstant;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::filter_null_join_keys::FilterNullJoinKeys;
use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::optimizer::single_distinct_to_groupby::SingleDistinctToGroupBy;
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerRule};

use crate::base::error::Result;
use crate::operator::error::{from_datafusion, to_datafusion};
use crate::plan::functions::FunctionRegistry;
use crate::plan::kinds::Kinds;
use crate::plan::rules::adapted::{Adapted, extract_keys, order_joins, share_parts, split_distinct};
use crate::plan::rules::dependencies::{KeysOnce, Projections};
use crate::plan::rules::distinct::DistinctToAggregate;
use crate::plan::rules::empty_parts::drop_empty;
use crate::plan::rules::lateral::join_lateral;
use crate::plan::rules::push_down_filter::push_down;
use crate::plan::rules::simplify::Simplify;
use crate::plan::rules::single_row_join::SingleRowJoin;
use crate::plan::walk::{WalkDeep, any_expression, any_node};

/// Turns `grouping(x)` into a question to the number of the grouping set, while `x` still stands as it was written.
pub(crate) fn resolve_grouping(plan: LogicalPlan, functions: &FunctionRegistry) -> DataFusionResult<LogicalPlan> {
    let asks = |node: &LogicalPlan| match node {
        LogicalPlan::Aggregate(_) => any_expression(node, |expr| match expr {
            Expr::AggregateFunction(call) => call.func.name() == "grouping",
            _ => false,
        }),
        _ => Ok(false),
    };
    if !any_node(&plan, asks)? {
        return Ok(plan);
    }
    // A window keeps the columns of its input: also that number, which the rule takes from it.
    let plan = ResolveGroupingFunction::new().analyze(plan, functions.options())?;
    let resolved = plan.transform_up_deep(|node| match node {
        LogicalPlan::Window(_) => node.recompute_schema().map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    });
    resolved.data()
}

/// Settles types and grouping functions.
pub(crate) fn analyze(plan: LogicalPlan, functions: &FunctionRegistry) -> DataFusionResult<LogicalPlan> {
    Analyzer::new().execute_and_check(plan, functions.options(), |_, _| {})
}

/// Applies the rules until nothing changes.
pub(crate) fn optimize(
    plan: LogicalPlan,
    functions: &FunctionRegistry,
    aliases: &Arc<AliasGenerator>,
) -> DataFusionResult<LogicalPlan> {
    let config = Config { functions, aliases };
    let kinds = Kinds::of(&plan).map_err(to_datafusion)?;
    Optimizer::with_rules(rules(kinds)).optimize(plan, &config, |_, _| {})
}

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rules for a plan of these kinds: a rule may make what those after it change, but nothing of a kind that is not
/// there.
fn rules(kinds: Kinds) -> Vec<Rule> {
    let Kinds { subqueries, joins, groups, filters, unions } = kinds;
    let rules: [(bool, Rule); 19] = [
        (unions, Arc::new(OptimizeUnions::new())),
        (true, Arc::new(Simplify)),
        (groups, Arc::new(DistinctToAggregate)),
        (subqueries, Arc::new(DecorrelatePredicateSubquery::new())),
        (subqueries, Arc::new(ScalarSubqueryToJoin::new())),
        (joins, Arc::new(SingleRowJoin)),
        (subqueries, Arc::new(Adapted::new(DecorrelateLateralJoin::new(), join_lateral))),
        (joins, Arc::new(Adapted::new(ExtractEquijoinPredicate::new(), extract_keys))),
        (true, Arc::new(KeysOnce)),
        (filters, Arc::new(EliminateFilter::new())),
        (joins, Arc::new(Adapted::new(EliminateCrossJoin::new(), order_joins))),
        (filters || unions, Arc::new(Adapted::new(PropagateEmptyRelation::new(), drop_empty))),
        (joins, Arc::new(FilterNullJoinKeys::default())),
        (joins, Arc::new(EliminateOuterJoin::new())),
        (filters, Arc::new(Adapted::new(PushDownFilter::new(), push_down))),
        (groups, Arc::new(Adapted::new(SingleDistinctToGroupBy::new(), split_distinct))),
        (groups, Arc::new(EliminateGroupByConstant::new())),
        (true, Arc::new(Adapted::new(CommonSubexprEliminate::new(), share_parts))),
        (true, Arc::new(Projections::default())),
    ];
    rules.into_iter().filter_map(|(concerned, rule)| concerned.then_some(rule)).collect()
}

/// A constant expression's value as a literal, as far as it can be computed now.
pub(crate) fn fold_constant(expr: Expr) -> Result<Expr> {
    let schema = DFSchema::empty();
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().build());
    simplifier.coerce(expr, &schema).and_then(|expr| simplifier.simplify(expr)).map_err(from_datafusion)
}

struct Config<'a> {
    functions: &'a FunctionRegistry,
    aliases: &'a Arc<AliasGenerator>,
}

impl OptimizerConfig for Config<'_> {
    fn query_execution_start_time(&self) -> Option<DateTime<Utc>> {
        None
    }

    fn alias_generator(&self) -> &Arc<AliasGenerator> {
        self.aliases
    }

    fn options(&self) -> Arc<ConfigOptions> {
        self.functions.options().clone()
    }

    fn function_registry(&self) -> Option<&dyn DataFusionRegistry> {
        Some(self.functions.datafusion_registry())
    }
}
