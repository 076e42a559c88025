//! The passes that make the shared plan of a bound one, in their order.
//!
//! - `shared` takes out what is read in several places and must be one set of rows; it goes through the other passes
//!   alone.
//! - `with_ties` makes ranks of the limits that keep ties.
//! - Subqueries are brought into forms that become joins, while their correlation still stands as it was written.
//! - `grouping` resolves grouping(x) before keys get types, because it compares them as they were written.
//! - `time_operators` comes once parameters have values; `numbers` settles the types of numbers, `settled_types` all
//!   others; what depends on types comes after: casts, arithmetic, canonical values, as-of joins. `time_zone` comes
//!   once all casts are there, those of `root` too.
//! - `guards` ties what can fail to what stands before it, so that everything may be moved after.
//! - `root` fixes the result's columns, so that the optimiser can prune what they do not need.
//! - `optimize` decorrelates, pushes down and prunes; what is still a subquery is refused.
//! - `ties` come last but one, because they are broken by all columns that are left; then `order` puts conditions above
//!   those that guard them.
//!
//! Every pass takes any plan that the passes before it make and keeps names and types of its output.

use datafusion::logical_expr::LogicalPlan;

use crate::base::error::{ErrorKind, Result};
use crate::plan::diagnostic::plan_error;
use crate::plan::rewrite::context::PassContext;
use crate::plan::rewrite::root::Target;
use crate::plan::rewrite::subquery::{
    existence, join_condition, lifted_condition, one_row, outer_reference, parted_names, scalar, skipped_level,
    unequal_correlation, value,
};
use crate::plan::rewrite::{
    asof, canonical_values, checked_arithmetic, guards, parameters, root, settled_types, shared, sorts, ties, with_ties,
};
use crate::plan::time;
use crate::plan::values::{cast, settle};
use crate::plan::{optimizer, refusals};

/// One step from a bound plan to the shared plan.
pub(crate) struct Pass {
    pub(crate) name: &'static str,
    run: fn(LogicalPlan, &PassContext<'_>) -> Result<LogicalPlan>,
}

/// All passes.
pub(crate) const PASSES: [Pass; 29] = [
    Pass { name: "outer_reference", run: |plan, _| outer_reference::resolve(plan) },
    Pass { name: "prepare", run: |plan, context| parameters::prepare(plan, context.parameters) },
    Pass { name: SHARED, run: shared::settle },
    Pass { name: "with_ties", run: |plan, context| with_ties::build(plan, context.functions) },
    Pass { name: "time_operators", run: |plan, _| time::settle::plan_operators(plan) },
    Pass { name: "sorts", run: |plan, _| sorts::drop_useless(plan) },
    Pass { name: "join_condition", run: |plan, _| join_condition::part(plan) },
    Pass { name: "existence", run: |plan, context| existence::decide(plan, context.functions) },
    Pass { name: "one_row", run: |plan, _| one_row::tell_by_values(plan) },
    Pass { name: "value", run: value::count_where_valued },
    Pass { name: "skipped_level", run: skipped_level::bring_near },
    Pass { name: "scalar", run: |plan, context| scalar::make_single_row(plan, context.functions) },
    Pass { name: "unequal_correlation", run: unequal_correlation::make_equal },
    Pass {
        name: "lifted_condition",
        run: |plan, context| lifted_condition::lift(plan, context.functions, context.aliases),
    },
    Pass { name: "grouping", run: grouping },
    Pass { name: "numbers", run: |plan, _| settle::settle(plan) },
    Pass { name: "settled_types", run: |plan, context| settled_types::settle(plan, context.functions) },
    Pass { name: "casts", run: |plan, _| refusals::refuse_casts(&plan).map(|()| plan) },
    Pass { name: "checked_arithmetic", run: |plan, _| checked_arithmetic::check_arithmetic(plan) },
    Pass { name: "canonical_values", run: |plan, _| canonical_values::make_canonical(plan) },
    Pass { name: "asof", run: |plan, context| asof::lower_joins(plan, context.functions) },
    Pass { name: "guards", run: |plan, _| guards::guard(plan) },
    Pass { name: "parted_names", run: |plan, context| parted_names::part(plan, context.aliases) },
    Pass { name: "root", run: |plan, context| root::project(plan, context.target) },
    Pass { name: "time_zone", run: |plan, context| time::settle::settle(plan, context.zone) },
    Pass { name: "own_casts", run: |plan, _| cast::own_casts(plan) },
    Pass { name: "optimize", run: optimize },
    Pass { name: "ties", run: |plan, _| ties::break_ties(plan) },
    Pass { name: "order", run: |plan, _| guards::order(plan) },
];

/// The pass that decides which rows are shared; their plans go through the passes after it by themselves.
const SHARED: &str = "shared";

fn grouping(plan: LogicalPlan, context: &PassContext<'_>) -> Result<LogicalPlan> {
    optimizer::resolve_grouping(plan, context.functions).map_err(|error| plan_error(error, context.functions))
}

/// Applies all passes; `observe` sees the plan after each.
pub(crate) fn run(
    plan: LogicalPlan,
    context: &PassContext<'_>,
    observe: &mut dyn FnMut(&'static str, &LogicalPlan),
) -> Result<LogicalPlan> {
    PASSES.iter().try_fold(plan, |plan, pass| {
        let plan = (pass.run)(plan, context)?;
        observe(pass.name, &plan);
        Ok(plan)
    })
}

/// Takes a part of a query through the passes by itself: shared rows.
pub(crate) fn run_part(plan: LogicalPlan, context: &PassContext<'_>) -> Result<LogicalPlan> {
    let context = PassContext { target: Target::AsIs, ..*context };
    let passes = PASSES.iter().skip_while(|pass| pass.name != SHARED).skip(1);
    passes.into_iter().try_fold(plan, |plan, pass| (pass.run)(plan, &context))
}

fn optimize(plan: LogicalPlan, context: &PassContext<'_>) -> Result<LogicalPlan> {
    let optimized = optimizer::optimize(plan, context.functions, context.aliases).map_err(|error| {
        // All names were found by the binder, so the optimiser lost one where it took a subquery apart.
        let error = plan_error(error, context.functions);
        if error.kind() == ErrorKind::NotFound { refusals::not_decorrelated() } else { error }
    })?;
    refusals::refuse_subqueries(&optimized)?;
    Ok(optimized)
}
