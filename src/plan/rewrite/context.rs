//! What a pass may know besides the plan.

use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::logical_expr::LogicalPlan;

use crate::base::error::Result;
use crate::base::time::zone::Zone;
use crate::plan::context::Parameters;
use crate::plan::functions::FunctionRegistry;
use crate::plan::rewrite::root::Target;

/// What a pass may know besides the plan.
pub(crate) struct PassContext<'a> {
    pub(crate) functions: &'a FunctionRegistry,
    /// The values of parameters that are known.
    pub(crate) parameters: Option<&'a Parameters>,
    /// The time zone in which the query is.
    pub(crate) zone: Zone,
    /// Names for what is made on the way, unique over the statement.
    pub(crate) aliases: &'a Arc<AliasGenerator>,
    /// The columns of the result.
    pub(crate) target: Target<'a>,
    /// Takes a part of a query through the passes by itself: shared rows.
    pub(crate) rest: fn(LogicalPlan, &PassContext<'_>) -> Result<LogicalPlan>,
}
