//! Run once, to the end: DataFusion over snapshots.
