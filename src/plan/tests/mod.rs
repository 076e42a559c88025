//! Tests of the planner that need no engine.

mod functions;
mod passes;
