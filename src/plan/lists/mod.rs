//! Functions of lists, over one idea of what equals what and what comes first: that of `=` and ORDER BY.
//!
//! DataFusion's functions compare items as Arrow does, find NULL where SQL's `=` would not, and sum in doubles.
//!
//! - [`items`]: a column of lists, item by item; the types that lists and items are brought to.
//! - [`operands`]: what operators and functions need before types are settled.
//! - [`function`]: the one shape of most of them.
//! - [`quantified`]: `x = ANY (list)` and its like, `list_contains`.
//! - [`sets`]: lists as sets: what two have in common, what is in one of them once.
//! - [`edit`]: a list without an item, with another in its place, sorted.
//! - [`find`]: where in a list an item stands.
//! - [`aggregate`]: aggregates over the items of a list.

mod aggregate;
mod edit;
mod find;
mod function;
mod items;
pub(crate) mod operands;
mod quantified;
mod sets;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let families =
        [quantified::functions(), sets::functions(), edit::functions(), find::functions(), aggregate::functions()];
    families.concat()
}
