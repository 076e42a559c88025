//! The integration tests of the package, in one binary because linking is what they cost.

#[cfg(feature = "shell")]
mod shell;
mod tidy;
