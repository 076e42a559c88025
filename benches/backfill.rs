//! Creating a materialized view over ten million rows, against the same query in batch in the same database.

mod common;

use std::sync::Arc;

use common::{Arguments, Random, batch, batches, column_list, cpu_seconds, database};
use datafusion::arrow::array::Int64Array;

fn main() -> eddydb::Result<()> {
    let arguments = Arguments::parse();
    for (case, groups) in [("aggregate_1k", 1_000), ("aggregate_1m", 1_000_000)] {
        if !arguments.wants(case) {
            continue;
        }
        let rows = arguments.rows(10_000_000);
        let mut random = Random::new(13);
        let input = batches(rows, 64 << 10, |rows| {
            let k: Int64Array = (0..rows).map(|_| random.below(groups) as i64).collect();
            let v: Int64Array = (0..rows).map(|_| random.below(1_000_000) as i64).collect();
            batch(vec![("k", Arc::new(k)), ("v", Arc::new(v))])
        });
        let (_database, connection) = database()?;
        connection.execute_batch(&format!("CREATE STREAM t ({})", column_list(&input[0].schema())))?;
        let mut appender = connection.appender("t")?;
        for batch in &input {
            appender.append_record_batch(batch)?;
            appender.flush()?;
        }
        let query = "SELECT k, count(*) AS n, sum(v) AS s, avg(v) AS a FROM t GROUP BY k";
        let (baseline, result) = cpu_seconds(|| connection.query_arrow(query, ())?.collect_all());
        result?;
        let create = format!("CREATE MATERIALIZED VIEW v AS {query}");
        let (seconds, result) = cpu_seconds(|| connection.execute_batch(&create));
        result?;
        arguments.report("backfill", case, rows, seconds, Some(baseline));
    }
    Ok(())
}
