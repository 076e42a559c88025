//! `count, sum, avg` by key, followed change by change with all changes taken, against DataFusion's batch plan.

mod common;

use std::sync::Arc;

use common::{Arguments, Random, batch, batches, datafusion_seconds, stream_seconds};
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray};

fn main() -> eddydb::Result<()> {
    let arguments = Arguments::parse();
    for (groups_name, groups) in [("1k", 1_000), ("1m", 1_000_000)] {
        for (size_name, size) in [("1k", 1 << 10), ("8k", 8 << 10), ("64k", 64 << 10)] {
            for kind in ["int", "str", "double"] {
                let case = format!("{kind}_{groups_name}_{size_name}");
                if !arguments.wants(&case) {
                    continue;
                }
                let rows = arguments.rows(if size == 1 << 10 { 2_000_000 } else { 10_000_000 });
                let mut random = Random::new(11);
                let input = batches(rows, size, |rows| rows_of(kind, rows, groups, &mut random));
                let sql = "SELECT k, count(*) AS n, sum(v) AS s, avg(v) AS a FROM t GROUP BY k";
                let baseline = datafusion_seconds(&[("t", input.clone())], sql);
                let (seconds, _) = stream_seconds(&input, sql)?;
                arguments.report("aggregate", &case, rows, seconds, Some(baseline));
            }
        }
    }
    Ok(())
}

fn rows_of(kind: &str, rows: usize, groups: u64, random: &mut Random) -> RecordBatch {
    let keys: Vec<u64> = (0..rows).map(|_| random.below(groups)).collect();
    let k: ArrayRef = match kind {
        "str" => Arc::new(StringViewArray::from_iter_values(keys.iter().map(|key| format!("key number {key}")))),
        _ => Arc::new(Int64Array::from_iter_values(keys.iter().map(|&key| key as i64))),
    };
    let v: ArrayRef = match kind {
        "double" => Arc::new(Float64Array::from_iter_values((0..rows).map(|_| random.below(1 << 40) as f64 / 1024.0))),
        _ => Arc::new(Int64Array::from_iter_values((0..rows).map(|_| random.below(1_000_000) as i64))),
    };
    batch(vec![("k", k), ("v", v)])
}
