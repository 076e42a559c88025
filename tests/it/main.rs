//! The integration tests of the package, in one binary because linking is what they cost.

mod api;
mod commits;
mod connector;
mod durable;
mod messages;
mod oracle;
#[path = "../sql/random.rs"]
mod random;
#[cfg(feature = "shell")]
mod shell;
mod tidy;
