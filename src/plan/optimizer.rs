//! The one list of rules that makes a bound plan the shared plan.
//!
//! DataFusion's analyzer and its optimiser rules in their order, without those that are wrong for a standing query or
//! for our meanings: PushDownLimit and EliminateLimit (ties are settled on the whole limit), EliminateJoin (trusts
//! declared keys). SingleDistinctToGroupBy runs only where it does not add up partial sums, because those may
//! overflow or round where the sum does not. Clock functions are placeholders by now, so nothing folds the time.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::alias::AliasGenerator;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::execution::FunctionRegistry as DataFusionRegistry;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::optimizer::single_distinct_to_groupby::SingleDistinctToGroupBy;
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

use crate::base::error::Result;
use crate::operator::error::from_datafusion;
use crate::plan::functions::FunctionRegistry;
use crate::plan::rules::single_row_join::SingleRowJoin;

/// DataFusion's rules that are left out, by name.
const LEFT_OUT: [&str; 3] = ["push_down_limit", "eliminate_limit", "eliminate_join"];

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
    Optimizer::with_rules(rules()).optimize(plan, &config, |_, _| {})
}

fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let left_out: HashSet<&str> = LEFT_OUT.into_iter().collect();
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![];
    for rule in Optimizer::new().rules {
        let name = rule.name().to_string();
        match name.as_str() {
            name if left_out.contains(name) => {}
            "single_distinct_aggregation_to_group_by" => rules.push(Arc::new(SingleDistinct::default())),
            _ => rules.push(rule),
        }
        if name == "scalar_subquery_to_join" {
            rules.push(Arc::new(SingleRowJoin));
        }
    }
    rules
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

/// SingleDistinctToGroupBy where every aggregate is DISTINCT.
#[derive(Debug, Default)]
struct SingleDistinct(SingleDistinctToGroupBy);

impl OptimizerRule for SingleDistinct {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        let distinct = match &plan {
            LogicalPlan::Aggregate(aggregate) => aggregate.aggr_expr.iter().all(is_distinct),
            _ => false,
        };
        match distinct {
            true => self.0.rewrite(plan, config),
            false => Ok(Transformed::no(plan)),
        }
    }
}

fn is_distinct(expr: &Expr) -> bool {
    match expr {
        Expr::AggregateFunction(AggregateFunction { params, .. }) => params.distinct,
        Expr::Alias(alias) => is_distinct(&alias.expr),
        _ => false,
    }
}
