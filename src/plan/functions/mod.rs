//! What may be called: the functions of this database, for every statement and both drivers.
//!
//! [`registry`] finds a function by its name; [`builtin`] says which there are, and is where one is added. Functions of
//! time are in [`crate::plan::time`], aggregates in [`crate::operator::accumulator`], the functions of time windows in
//! [`crate::plan::windows`]; here are the clock ([`clock`]), DataFusion's window functions as SQL wants them
//! ([`window`]), the patterns of LIKE and SIMILAR TO ([`like`], [`similar`]), what `regexp_replace` puts in their place
//! ([`replacement`]), the arguments of series ([`series`]), results of any length (`long_results`), `width_bucket`, the names of types
//! ([`type_name`]), the user's own ([`user`]) and those that only rewrites call ([`marker`]).

mod builtin;
pub(crate) mod clock;
mod domain;
mod like;
mod long_results;
pub(crate) mod marker;
mod options;
mod registry;
mod replacement;
mod series;
mod similar;
mod type_name;
mod user;
mod width_bucket;
mod window;

use arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::ScalarFunctionArgs;

pub(crate) use self::options::options;
pub use self::registry::FunctionRegistry;
pub use self::user::{ColumnFunction, UserFunction};

/// One argument of a call as an array of `rows` values.
pub(crate) fn one_argument(name: &str, args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let [argument] = take_function_args(name, args.args.clone())?;
    argument.to_array(args.number_rows)
}
