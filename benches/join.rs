//! An inner equi-join followed change by change, against DataFusion's hash join over the same batches.
//! Rows are output pairs; filling both sides is part of what is measured.

mod common;

use std::sync::Arc;

use common::{Arguments, Random, batch, batches, column_list, cpu_seconds, database, datafusion_seconds, drain};
use datafusion::arrow::array::{Int64Array, RecordBatch};

const SQL: &str = "SELECT d.id, d.x, f.v FROM f JOIN d ON f.k = d.id";

/// Odd, so that products stay distinct.
const SCATTER: i64 = 0x2545_f491_4f6c_dd1d;

/// A relation and its batches.
type Side<'a> = (&'a str, &'a [RecordBatch]);

fn main() -> eddydb::Result<()> {
    let arguments = Arguments::parse();
    let keys = arguments.rows(1_000_000);
    // Fan-out 1: each fact finds one row. Fan-out 10: each row of the small side finds ten facts. Ids are numbered
    // through, or scattered over all numbers.
    let cases = [
        ("fan_out_1", false, 1),
        ("fan_out_10", true, 1),
        ("scattered_1", false, SCATTER),
        ("scattered_10", true, SCATTER),
    ];
    for (case, facts_first, factor) in cases {
        if !arguments.wants(case) {
            continue;
        }
        let (dimension, facts) = tables(keys, factor);
        let mut sides: [Side; 2] = [("d", &dimension), ("f", &facts)];
        if facts_first {
            sides.reverse();
        }
        let baseline = datafusion_seconds(&[("d", dimension.clone()), ("f", facts.clone())], SQL);
        let (seconds, pairs) = run(&sides)?;
        assert_eq!(pairs, keys * 10, "every fact has exactly one partner");
        arguments.report("join", case, pairs, seconds, Some(baseline));
    }
    Ok(())
}

/// `keys` rows of the small side and ten times as many facts, with ids that are multiples of `factor`.
fn tables(keys: usize, factor: i64) -> (Vec<RecordBatch>, Vec<RecordBatch>) {
    let mut random = Random::new(3);
    let mut next = 0;
    let dimension = batches(keys, 64 << 10, |rows| {
        let id = Int64Array::from_iter_values((next..next + rows as i64).map(|id| id.wrapping_mul(factor)));
        next += rows as i64;
        let x: Int64Array = (0..rows).map(|_| random.below(1000) as i64).collect();
        batch(vec![("id", Arc::new(id)), ("x", Arc::new(x))])
    });
    let facts = batches(keys * 10, 64 << 10, |rows| {
        let k: Int64Array = (0..rows).map(|_| (random.below(keys as u64) as i64).wrapping_mul(factor)).collect();
        let v: Int64Array = (0..rows).map(|_| random.below(1_000_000) as i64).collect();
        batch(vec![("k", Arc::new(k)), ("v", Arc::new(v))])
    });
    (dimension, facts)
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
