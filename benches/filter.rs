//! Filter and project, followed change by change, against DataFusion's batch plan over the same batches.

mod common;

use std::sync::Arc;

use common::{Arguments, Random, batch, batches, datafusion_seconds, stream_seconds};
use datafusion::arrow::array::Int64Array;

fn main() -> eddydb::Result<()> {
    let arguments = Arguments::parse();
    for (case, size) in [("8k", 8 << 10), ("64k", 64 << 10)] {
        if !arguments.wants(case) {
            continue;
        }
        let mut random = Random::new(7);
        let rows = arguments.rows(20_000_000);
        let input = batches(rows, size, |rows| {
            let k: Int64Array = (0..rows).map(|_| random.below(1000) as i64).collect();
            let v: Int64Array = (0..rows).map(|_| random.below(1_000_000) as i64).collect();
            batch(vec![("k", Arc::new(k)), ("v", Arc::new(v))])
        });
        let sql = "SELECT k, v, k + v AS w FROM t WHERE v > 500000";
        let baseline = datafusion_seconds(&[("t", input.clone())], sql);
        let (seconds, _) = stream_seconds(&input, sql)?;
        arguments.report("filter", case, rows, seconds, Some(baseline));
    }
    Ok(())
}
