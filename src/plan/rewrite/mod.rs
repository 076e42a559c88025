//! The passes that make the shared plan of a bound one: what DataFusion does not do, or does differently.
//!
//! Each file states one meaning of the contract as a plan: checked integer arithmetic, subqueries, set operations with
//! multiplicities, as-of joins, ties. They keep names and types of every node's output. The list of them, in order, is
//! [`passes`]; what each may know besides the plan is [`context`].

pub mod asof;
pub mod canonical_values;
pub mod checked_arithmetic;
pub(crate) mod context;
pub mod guards;
pub mod parameters;
pub(crate) mod passes;
pub mod root;
pub mod set_operations;
pub mod settled_types;
pub(crate) mod shared;
pub mod sorts;
pub mod subquery;
pub mod ties;
pub mod with_ties;
