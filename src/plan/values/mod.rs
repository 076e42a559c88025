//! Values are what was written: exact decimals, one meaning of every cast, no silent change of type.
//!
//! DataFusion computes decimals in types of its own choosing (a quotient gets four digits and is cut there), compares
//! DOUBLE with DECIMAL as DECIMAL(30,15), rounds by types that change while constants are folded, and casts as Arrow
//! does. So before it settles types, [`settle`] decides: operands that mix DOUBLE and DECIMAL become DOUBLE, arithmetic
//! and rounding of decimals become functions whose types are fixed ([`arithmetic`], [`rounding`]; `float_places` is that
//! of floats), explicit casts
//! become [`cast`]s by our rules. What DataFusion's analyzer casts after that follows in [`cast::own_casts`]. Functions
//! whose meaning depends on the type of their argument are told apart there too ([`length`]); arguments that must be of
//! one type are brought to it ([`arguments`], `one_type`). How values are compared that Arrow compares otherwise is said
//! in [`comparable`], and [`choice`] chooses among such. What a recursive query may compute is in `recursion`, what a
//! window function may be given in `window_call`, what no operator takes in `operand_types`.

pub(crate) mod arguments;
pub mod arithmetic;
mod bounds;
pub mod cast;
pub(crate) mod choice;
pub(crate) mod comparable;
mod float_places;
pub mod length;
pub(crate) mod one_type;
mod operand_types;
mod recursion;
pub mod rounding;
pub mod settle;
mod window_call;
