//! The embedding API: databases, connections, transactions, subscriptions.
