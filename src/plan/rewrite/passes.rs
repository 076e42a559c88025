//! The passes that make the shared plan of a bound one, in their order.
//!
//! - `shared` takes out what is read in several places and must be one set of rows; it goes through the other passes
//!   alone.
//! - `with_ties` makes ranks of the limits that keep ties.
//! - `grouping` resolves grouping(x) before keys get types, because it compares them as they were written, and before a
//!   pass lists the columns of an aggregate, among which is the number of the grouping set.
//! - `asked_rows` comes while subqueries still stand behind what guards them.
//! - Subqueries are brought into forms that become joins, while their correlation still stands as it was written.
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
use crate::plan::kinds::Kinds;
use crate::plan::rewrite::context::PassContext;
use crate::plan::rewrite::root::Target;
use crate::plan::rewrite::subquery::{
    asked_rows, existence, join_condition, lateral_row, lateral_unnest, lifted_condition, one_row, outer_reference,
    outer_values, parted_names, projected, scalar, skipped_level, unequal_correlation, unlike_sides, value,
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
    concerns: Concerns,
    run: Run,
}

/// What a pass changes, so that it may be left out; told from the plan that SHARED leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concerns {
    All,
    Joins,
    Subqueries,
}

impl Concerns {
    fn any_of(self, kinds: Kinds) -> bool {
        match self {
            Concerns::All => true,
            Concerns::Joins => kinds.joins,
            Concerns::Subqueries => kinds.subqueries,
        }
    }
}

/// All passes.
pub(crate) static PASSES: [Pass; 36] = [
    all("outer_reference", |plan, _| outer_reference::resolve(plan)),
    all("prepare", |plan, context| parameters::prepare(plan, context.parameters)),
    all(SHARED, shared::settle),
    all("with_ties", |plan, context| with_ties::build(plan, context.functions)),
    all("grouping", grouping),
    all("time_operators", |plan, _| time::settle::plan_operators(plan)),
    all("sorts", |plan, _| sorts::drop_useless(plan)),
    subqueries("outer_aggregates", |plan, _| refusals::refuse_outer_aggregates(&plan).map(|()| plan)),
    subqueries("lateral_unnest", |plan, context| lateral_unnest::carry(plan, context.aliases)),
    subqueries("asked_rows", |plan, _| asked_rows::guard(plan)),
    subqueries("outer_values", |plan, context| outer_values::choose(plan, context.aliases)),
    subqueries("projected", |plan, _| projected::move_down(plan)),
    subqueries("join_condition", |plan, _| join_condition::part(plan)),
    subqueries("existence", |plan, context| existence::decide(plan, context.functions)),
    subqueries("one_row", |plan, _| one_row::tell_by_values(plan)),
    subqueries("lateral_row", |plan, context| lateral_row::tell_above(plan, context.aliases)),
    subqueries("value", value::count_where_valued),
    subqueries("skipped_level", skipped_level::bring_near),
    subqueries("scalar", |plan, context| scalar::make_single_row(plan, context.functions)),
    subqueries("unequal_correlation", unequal_correlation::make_equal),
    subqueries("unlike_sides", unlike_sides::meet),
    subqueries("lifted_condition", |plan, context| lifted_condition::lift(plan, context.functions, context.aliases)),
    all("numbers", |plan, _| settle::settle(plan)),
    all("settled_types", |plan, context| settled_types::settle(plan, context.functions)),
    all("casts", |plan, _| refusals::refuse_casts(&plan).map(|()| plan)),
    all("checked_arithmetic", |plan, _| checked_arithmetic::check_arithmetic(plan)),
    all("canonical_values", |plan, _| canonical_values::make_canonical(plan)),
    joins("asof", |plan, context| asof::lower_joins(plan, context.functions)),
    all("guards", |plan, _| guards::guard(plan)),
    subqueries("parted_names", |plan, context| parted_names::part(plan, context.aliases)),
    all("root", |plan, context| root::project(plan, context.target)),
    all("time_zone", |plan, context| time::settle::settle(plan, context.zone)),
    all("own_casts", |plan, _| cast::own_casts(plan)),
    all("optimize", optimize),
    all("ties", |plan, _| ties::break_ties(plan)),
    all("order", |plan, _| guards::order(plan)),
];

type Run = fn(LogicalPlan, &PassContext<'_>) -> Result<LogicalPlan>;

const fn all(name: &'static str, run: Run) -> Pass {
    Pass { name, concerns: Concerns::All, run }
}

const fn joins(name: &'static str, run: Run) -> Pass {
    Pass { name, concerns: Concerns::Joins, run }
}

const fn subqueries(name: &'static str, run: Run) -> Pass {
    Pass { name, concerns: Concerns::Subqueries, run }
}

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
    let (before, after) = around_shared();
    let plan = apply(before, Kinds::ALL, plan, context, observe)?;
    apply(after, Kinds::of(&plan)?, plan, context, observe)
}

/// Takes a part of a query through the passes by itself: shared rows.
pub(crate) fn run_part(plan: LogicalPlan, context: &PassContext<'_>) -> Result<LogicalPlan> {
    let context = PassContext { target: Target::AsIs, ..*context };
    let (_, after) = around_shared();
    apply(after, Kinds::of(&plan)?, plan, &context, &mut |_, _| {})
}

/// The passes up to [`SHARED`], and those after it.
fn around_shared() -> (&'static [Pass], &'static [Pass]) {
    let after = PASSES.iter().position(|pass| pass.name == SHARED).map_or(0, |position| position + 1);
    PASSES.split_at(after)
}

fn apply(
    passes: &[Pass],
    kinds: Kinds,
    plan: LogicalPlan,
    context: &PassContext<'_>,
    observe: &mut dyn FnMut(&'static str, &LogicalPlan),
) -> Result<LogicalPlan> {
    passes.iter().try_fold(plan, |plan, pass| {
        let plan = if pass.concerns.any_of(kinds) { (pass.run)(plan, context)? } else { plan };
        observe(pass.name, &plan);
        Ok(plan)
    })
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
