//! One plan for both drivers: catalog, functions, rewrites.

pub mod catalog;
