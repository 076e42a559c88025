//! What all benchmarks share: arguments, measuring, the JSON line, DataFusion's own plan as baseline.
//! No benchmark uses all of it.

#![allow(dead_code)]

use std::sync::Arc;

use cpu_time::ProcessTime;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::Schema;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use eddydb::{Connection, Database, Result, Subscription, Weights};
use futures::StreamExt;

/// The arguments of a benchmark: `--case NAME` (part of a name), `--json`, `--scale F`.
pub struct Arguments {
    case: Option<String>,
    json: bool,
    scale: f64,
}

impl Arguments {
    /// Reads the command line; cargo's own `--bench` is ignored.
    pub fn parse() -> Self {
        let mut arguments = Arguments { case: None, json: false, scale: 1.0 };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--case" => arguments.case = words.next(),
                "--json" => arguments.json = true,
                "--scale" => arguments.scale = words.next().and_then(|f| f.parse().ok()).unwrap_or(1.0),
                _ => {}
            }
        }
        arguments
    }

    /// Whether a case was asked for.
    pub fn wants(&self, case: &str) -> bool {
        self.case.as_ref().is_none_or(|wanted| case.contains(wanted.as_str()))
    }

    /// How much of the usual work is asked for.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// A number of rows, scaled.
    pub fn rows(&self, rows: usize) -> usize {
        ((rows as f64 * self.scale) as usize).max(1)
    }

    /// Prints one result.
    pub fn report(&self, bench: &str, case: &str, rows: usize, seconds: f64, baseline: Option<f64>) {
        let rate = rows as f64 / seconds;
        let rss = peak_rss_mb();
        if self.json {
            let baseline = baseline.map_or_else(String::new, |base| {
                format!(",\"baseline\":\"datafusion\",\"baseline_seconds\":{base:.6},\"ratio\":{:.3}", base / seconds)
            });
            println!(
                "{{\"bench\":\"{bench}\",\"case\":\"{case}\",\"rows\":{rows},\"seconds\":{seconds:.6},\
                 \"rows_per_s\":{rate:.0},\"peak_rss_mb\":{rss}{baseline}}}"
            );
        } else {
            let baseline = baseline
                .map_or_else(String::new, |base| format!("  DataFusion {base:.3} s, ratio {:.2}", base / seconds));
            println!("{bench:<10} {case:<16} {:>7.2} M rows/s  {seconds:.3} s{baseline}", rate / 1e6);
        }
    }
}

/// CPU seconds of the process while `work` runs, and what it returns.
pub fn cpu_seconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = ProcessTime::now();
    let result = work();
    (start.elapsed().as_secs_f64(), result)
}

/// The most memory that the process has held so far.
pub fn peak_rss_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// A database that runs one-shot queries on one thread.
pub fn database() -> Result<(Database, Connection)> {
    let database = Database::builder().target_partitions(1).build()?;
    let connection = database.connect()?;
    Ok((database, connection))
}

/// Takes all events that are there and folds every row into a sum, so that nothing is computed for nobody.
pub fn drain(subscription: &Subscription, checksum: &mut u64, rows: &mut usize) -> Result<()> {
    while let Some(event) = subscription.try_recv()? {
        *rows += event.changes.num_rows();
        *checksum = checksum.wrapping_add(sum_of(event.changes.rows(), event.changes.weights()));
    }
    Ok(())
}

fn sum_of(rows: &RecordBatch, weights: &Weights) -> u64 {
    let mut sum = 0u64;
    for column in rows.columns() {
        if let Some(values) = column.as_any().downcast_ref::<Int64Array>() {
            match weights {
                Weights::Ones => sum = values.values().iter().fold(sum, |sum, v| sum.wrapping_add(*v as u64)),
                Weights::Signed(weights) => {
                    sum = values
                        .values()
                        .iter()
                        .zip(weights.iter())
                        .fold(sum, |sum, (v, w)| sum.wrapping_add(v.wrapping_mul(*w) as u64));
                }
            }
        }
    }
    sum
}

/// DataFusion with its own functions, over the same batches, on one thread; CPU seconds of reading all of `sql`
/// and of folding every row into a sum, as [`drain`] does.
pub fn datafusion_seconds(tables: &[(&str, Vec<RecordBatch>)], sql: &str) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    for (name, batches) in tables {
        let table = MemTable::try_new(batches[0].schema(), vec![batches.clone()]).expect("one schema");
        context.register_table(*name, Arc::new(table)).expect("a free name");
    }
    let (seconds, rows) = cpu_seconds(|| {
        runtime.block_on(async {
            let mut stream =
                context.sql(sql).await.expect("valid SQL").execute_stream().await.expect("a plan that runs");
            let (mut rows, mut checksum) = (0, 0u64);
            while let Some(batch) = stream.next().await {
                let batch = batch.expect("a batch");
                rows += batch.num_rows();
                checksum = checksum.wrapping_add(sum_of(&batch, &Weights::Ones));
            }
            std::hint::black_box(checksum);
            rows
        })
    });
    assert!(rows > 0, "the baseline returned nothing");
    seconds
}

/// A small fast generator, the same numbers every time.
pub struct Random(u64);

impl Random {
    /// A generator started at `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * u128::from(bound)) >> 64) as u64
    }
}

/// A batch of these columns.
pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

/// Batches of `total` rows in pieces of `size`, each made by `make(rows)`.
pub fn batches(total: usize, size: usize, mut make: impl FnMut(usize) -> RecordBatch) -> Vec<RecordBatch> {
    let mut left = total;
    let mut batches = Vec::new();
    while left > 0 {
        let rows = left.min(size);
        batches.push(make(rows));
        left -= rows;
    }
    batches
}

/// The columns of a batch as a CREATE STREAM statement's.
pub fn column_list(schema: &Schema) -> String {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let name = match field.data_type() {
                datafusion::arrow::datatypes::DataType::Int64 => "BIGINT",
                datafusion::arrow::datatypes::DataType::Float64 => "DOUBLE",
                _ => "TEXT",
            };
            format!("{} {name}", field.name())
        })
        .collect();
    columns.join(", ")
}

/// Feeds `batches` into a new stream followed by `sql`, one step a batch; CPU seconds and rows of changes.
pub fn stream_seconds(batches: &[RecordBatch], sql: &str) -> Result<(f64, usize)> {
    let (_database, connection) = database()?;
    connection.execute_batch(&format!("CREATE STREAM t ({})", column_list(&batches[0].schema())))?;
    let subscription = connection.subscribe(sql)?;
    let mut appender = connection.appender("t")?;
    let (mut checksum, mut rows) = (0, 0);
    let (seconds, result) = cpu_seconds(|| -> Result<()> {
        for batch in batches {
            appender.append_record_batch(batch)?;
            appender.flush()?;
            drain(&subscription, &mut checksum, &mut rows)?;
        }
        Ok(())
    });
    result?;
    std::hint::black_box(checksum);
    Ok((seconds, rows))
}
