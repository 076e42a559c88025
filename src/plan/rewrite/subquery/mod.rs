//! Subqueries, made ready to become joins.
//!
//! DataFusion decorrelates what is a condition of its own or an aggregate alone, correlated by equality with the query
//! right around it. Each file brings one other shape into that form.
//!
//! - [`outer_reference`]: `outer.column` beside a column called `outer`.
//! - [`asked_rows`]: what guards a subquery, said of the rows that it is computed for.
//! - [`outer_values`]: VALUES that name the outer row.
//! - [`projected`]: subqueries in aggregates, windows and sorts.
//! - [`join_condition`]: subqueries in ON.
//! - [`existence`]: EXISTS that its form decides, and EXISTS with a limit.
//! - [`one_row`]: aggregates without GROUP BY below HAVING, in IN, EXISTS, ANY and ALL.
//! - [`lateral_row`]: LATERAL over such an aggregate.
//! - [`lateral_unnest`]: LATERAL over `unnest` of the outer row.
//! - [`value`]: IN, EXISTS, ANY and ALL as values.
//! - [`references`]: what a plan refers to outside it.
//! - [`skipped_level`]: references past the query around, and in what a subquery computes.
//! - [`scalar`]: one row, by construction.
//! - [`unequal_correlation`]: correlation by more than equality.
//! - [`unlike_sides`]: set operations and outer joins whose sides depend on the outer row in different ways.
//! - [`lifted_condition`]: correlation below windows, limits, unions and outer joins.
//! - [`parted_names`]: names of correlated columns that the select list does not take.
//! - [`compute_below`]: parts of a node's expressions in a projection below it.

pub mod asked_rows;
pub mod compute_below;
pub mod existence;
pub mod join_condition;
pub mod lateral_row;
pub mod lateral_unnest;
pub mod lifted_condition;
pub mod one_row;
pub mod outer_reference;
pub mod outer_values;
pub mod parted_names;
pub mod projected;
pub mod references;
pub mod scalar;
pub mod skipped_level;
pub mod unequal_correlation;
pub mod unlike_sides;
pub mod value;
