//! Functional dependencies are not believed.
//!
//! DataFusion says of an aggregate's rows that its keys determine the rest, and goes on saying so where it is no longer
//! true: above `unnest`, which copies rows with different elements, above a recursive query, of whose rows it knows
//! the first only, and above an aggregate by more than the known key. A plan that leaves out a sort key or a group's
//! key for it is wrong. So sort keys are compared by themselves alone ([`KeysOnce`]), grouping keys are hidden from
//! the rule that would leave them out ([`Projections`]), and while names are bound, a relation in FROM that could tell
//! such a lie tells nothing ([`forget`]).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, FunctionalDependencies, Result, get_required_group_by_exprs_indices, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, Projection, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Sort, SortExpr, Volatility,
};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::plan::walk::{Walk, WalkDeep, rewrite_node};

/// The plan without the functional dependencies of its rows, if they may be wrong.
pub(crate) fn forget(plan: LogicalPlan) -> Result<LogicalPlan> {
    if plan.schema().functional_dependencies().is_empty() || !may_be_wrong(&plan) {
        return Ok(plan);
    }
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let schema = plan.schema().as_ref().clone().with_functional_dependencies(FunctionalDependencies::empty())?;
    Projection::try_new_with_schema(columns, Arc::new(plan), Arc::new(schema)).map(LogicalPlan::Projection)
}

fn may_be_wrong(plan: &LogicalPlan) -> bool {
    plan.exists(|node| {
        Ok(match node {
            LogicalPlan::Unnest(_) | LogicalPlan::RecursiveQuery(_) => true,
            LogicalPlan::Aggregate(aggregate) => !aggregate.input.schema().functional_dependencies().is_empty(),
            _ => false,
        })
    })
    .unwrap_or(true)
}

/// A sort, and groups, by a key once.
#[derive(Debug)]
pub(crate) struct KeysOnce;

impl OptimizerRule for KeysOnce {
    fn name(&self) -> &str {
        "keys_once"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Sort(Sort { expr, input, fetch }) => {
                let given = expr.len();
                let mut expr: Vec<SortExpr> = expr;
                let mut known: Vec<Expr> = vec![];
                expr.retain(|key| is_new(&mut known, &key.expr));
                let changed = expr.len() < given;
                Ok(Transformed::new_transformed(LogicalPlan::Sort(Sort { expr, input, fetch }), changed))
            }
            LogicalPlan::Aggregate(mut aggregate) => {
                let given = aggregate.group_expr.len();
                let mut known: Vec<Expr> = vec![];
                aggregate.group_expr.retain(|key| is_new(&mut known, key));
                if aggregate.group_expr.len() == given {
                    return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
                }
                let aggregate = Aggregate::try_new(aggregate.input, aggregate.group_expr, aggregate.aggr_expr)?;
                Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// Whether the key is not known yet; from now on it is.
pub(crate) fn is_new(known: &mut Vec<Expr>, key: &Expr) -> bool {
    let is_new = !known.contains(key);
    if is_new {
        known.push(key.clone());
    }
    is_new
}

/// DataFusion's pruning of columns, which keeps every key of a group.
#[derive(Debug, Default)]
pub(crate) struct Projections(OptimizeProjections);

impl OptimizerRule for Projections {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let hidden = plan.transform_up_deep(hide_keys)?;
        let pruned = self.0.rewrite(hidden.data, config)?;
        if !hidden.transformed {
            return Ok(pruned);
        }
        let shown = pruned.data.transform_up_deep(show_keys)?;
        Ok(Transformed::new_transformed(shown.data, pruned.transformed))
    }
}

/// Below an aggregate that would lose a key, all columns are computed by a function that nobody can look through.
fn hide_keys(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = node else { return Ok(Transformed::no(node)) };
    let names: Vec<String> = aggregate.group_expr.iter().map(|key| key.schema_name().to_string()).collect();
    let required = get_required_group_by_exprs_indices(aggregate.input.schema(), &names);
    if required.is_none_or(|required| required.len() >= names.len()) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let hidden = Arc::new(ScalarUDF::from(Hidden { signature: Signature::any(1, Volatility::Immutable) }));
    let columns = aggregate.input.schema().columns().into_iter().map(|column| {
        let value = Expr::ScalarFunction(ScalarFunction::new_udf(hidden.clone(), vec![Expr::Column(column.clone())]));
        value.alias_qualified(column.relation, column.name)
    });
    let columns: Vec<Expr> = columns.collect();
    let input = LogicalPlanBuilder::from(aggregate.input.as_ref().clone()).project(columns)?.build()?;
    let aggregate = Aggregate::try_new(Arc::new(input), aggregate.group_expr, aggregate.aggr_expr)?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
}

fn show_keys(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let shown = rewrite_node(node, &mut |expr| match expr {
        Expr::ScalarFunction(mut call) if call.func.inner().downcast_ref::<Hidden>().is_some() => {
            Ok(call.args.pop().map_or_else(|| Transformed::no(Expr::ScalarFunction(call)), Transformed::yes))
        }
        other => Ok(Transformed::no(other)),
    })?;
    shown.transform_data(|node| match node {
        LogicalPlan::Projection(projection) if is_identity(&projection) => {
            Ok(Transformed::yes(Arc::unwrap_or_clone(projection.input)))
        }
        other => Ok(Transformed::no(other)),
    })
}

fn is_identity(projection: &Projection) -> bool {
    let (given, made): (&DFSchema, &DFSchema) = (projection.input.schema(), &projection.schema);
    let same = |(expr, column): (&Expr, _)| matches!(expr.clone().unalias(), Expr::Column(own) if own == column);
    given.columns() == made.columns() && projection.expr.iter().zip(given.columns()).all(same)
}

/// Its argument, and nothing known about it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Hidden {
    signature: Signature,
}

impl ScalarUDFImpl for Hidden {
    fn name(&self) -> &str {
        "eddy_hidden"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a hidden key was not shown again")
    }
}
