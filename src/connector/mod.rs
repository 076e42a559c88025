//! Getting rows in and out: files today, brokers later.
