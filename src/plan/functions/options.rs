//! DataFusion's settings, the same for planning and execution.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;

/// DataFusion's settings as every statement uses them.
pub(crate) fn options() -> Arc<ConfigOptions> {
    let mut options = ConfigOptions::default();
    // Every subquery becomes a join, so that it can be maintained; that it has one row is checked by `single_value`.
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    options.optimizer.skip_failed_rules = false;
    // Decorrelation makes columns nullable that are never NULL; the check would refuse such plans as defective.
    options.execution.skip_physical_aggregate_schema_check = true;
    // It knows DataFusion's own min and max, and fails on keys of floats.
    options.optimizer.enable_topk_aggregation = false;
    // A top-k filter shared between the branches of a union, each of which keeps other keys, loses rows.
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.sql_parser.collect_spans = true;
    // It drops a sort below LIMIT .. OFFSET; useless ones are dropped by a pass of ours.
    options.sql_parser.enable_subquery_sort_elimination = false;
    options.sql_parser.enable_ident_normalization = true;
    options.execution.time_zone = Some("UTC".to_string());
    Arc::new(options)
}
