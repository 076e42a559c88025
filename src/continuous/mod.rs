//! Run for ever, by change: circuits of operators.
