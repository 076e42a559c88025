//! The shell `eddy`.
fn main() {}
