//! The integration tests of the package, in one binary because linking is what they cost.

mod tidy;
