//! An inner equi-join followed change by change, against DataFusion's hash join over the same batches.
//! Rows are output pairs; filling both sides is part of what is measured.

mod common;

use std::sync::Arc;

use common::{Arguments, Random, batch, batches, column_list, cpu_seconds, database, datafusion_seconds, drain};
use datafusion::arrow::array::{Int64Array, RecordBatch};

const SQL: &str = "SELECT d.id, d.x, f.v FROM f JOIN d ON f.k = d.id";

/// A relation and its batches.
type Side<'a> = (&'a str, &'a [RecordBatch]);

fn main() -> eddydb::Result<()> {
    let arguments = Arguments::parse();
    let keys = arguments.rows(1_000_000);
    let mut random = Random::new(3);
    let mut next = 0;
    let dimension = batches(keys, 64 << 10, |rows| {
        let id = Int64Array::from_iter_values((next..next + rows).map(|id| id as i64));
        next += rows;
        let x: Int64Array = (0..rows).map(|_| random.below(1000) as i64).collect();
        batch(vec![("id", Arc::new(id)), ("x", Arc::new(x))])
    });
    let facts = batches(keys * 10, 64 << 10, |rows| {
        let k: Int64Array = (0..rows).map(|_| random.below(keys as u64) as i64).collect();
        let v: Int64Array = (0..rows).map(|_| random.below(1_000_000) as i64).collect();
        batch(vec![("k", Arc::new(k)), ("v", Arc::new(v))])
    });
    // Fan-out 1: each fact finds one row. Fan-out 10: each row of the small side finds ten facts.
    let order: [(&str, [Side; 2]); 2] =
        [("fan_out_1", [("d", &dimension), ("f", &facts)]), ("fan_out_10", [("f", &facts), ("d", &dimension)])];
    for (case, sides) in order {
        if !arguments.wants(case) {
            continue;
        }
        let baseline = datafusion_seconds(&[("d", dimension.clone()), ("f", facts.clone())], SQL);
        let (seconds, pairs) = run(&sides)?;
        assert_eq!(pairs, keys * 10, "every fact has exactly one partner");
        arguments.report("join", case, pairs, seconds, Some(baseline));
    }
    Ok(())
}

fn run(sides: &[Side; 2]) -> eddydb::Result<(f64, usize)> {
    let (_database, connection) = database()?;
    for (name, batches) in sides {
        connection.execute_batch(&format!("CREATE STREAM {name} ({})", column_list(&batches[0].schema())))?;
    }
    let subscription = connection.subscribe(SQL)?;
    let (mut checksum, mut pairs) = (0, 0);
    let (seconds, result) = cpu_seconds(|| -> eddydb::Result<()> {
        for (name, batches) in sides {
            let mut appender = connection.appender(name)?;
            for batch in *batches {
                appender.append_record_batch(batch)?;
                appender.flush()?;
                drain(&subscription, &mut checksum, &mut pairs)?;
            }
        }
        Ok(())
    });
    result?;
    std::hint::black_box(checksum);
    Ok((seconds, pairs))
}
