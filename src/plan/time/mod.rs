//! What SQL does with time: casts, operators and functions, with the meanings of PostgreSQL.
//!
//! The values and their text are those of [`crate::base::time`]; here they become expressions. What depends on the
//! time zone of the session (text to TIMESTAMPTZ, TIMESTAMPTZ to DATE, `date_trunc` ..) is bound without one and
//! gets it by [`settle`], once types are known: so a plan carries its zone, and a view keeps the one it was made
//! under.
//!
//! - [`function`]: the one shape of all functions.
//! - [`operators`]: `+`, `-`, `*` and `/`.
//! - [`cast`]: from and to every type of time.
//! - [`settle`]: the zone of a plan.
//! - [`fields`], [`make`], [`truncate`], [`shift`], [`difference`], [`format`]: the functions by what they do.

pub(crate) mod cast;
mod difference;
mod fields;
mod format;
pub(crate) mod function;
mod make;
pub(crate) mod operators;
pub(crate) mod settle;
mod shift;
mod truncate;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

/// All functions of time that SQL may call by name.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let definitions = [
        fields::FUNCTIONS,
        make::FUNCTIONS,
        truncate::FUNCTIONS,
        shift::FUNCTIONS,
        difference::FUNCTIONS,
        format::FUNCTIONS,
    ];
    definitions.into_iter().flatten().map(|definition| Arc::new(function::function(definition))).collect()
}
