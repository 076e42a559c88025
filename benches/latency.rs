//! How long one row takes to be seen: wall time from handing it over to the changed result.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Arguments, Random, batch, batches, database};
use datafusion::arrow::array::{Int64Array, StringViewArray};
use eddydb::params;

fn main() -> eddydb::Result<()> {
    let arguments = Arguments::parse();
    if arguments.wants("five_ops") {
        report(&arguments, "five_ops", five_ops(arguments.rows(20_000))?);
    }
    for (case, rows) in [("flat_10k", 10_000), ("flat_10m", 10_000_000)] {
        if arguments.wants(case) {
            report(&arguments, case, flat(arguments.rows(rows), 500)?);
        }
    }
    Ok(())
}

/// One row through filter, join, aggregate and a view on the view to a subscriber.
fn five_ops(count: usize) -> eddydb::Result<Vec<Duration>> {
    let (_database, connection) = database()?;
    connection.execute_batch(
        "CREATE TABLE merchants (id BIGINT PRIMARY KEY, name TEXT);
         CREATE STREAM payments (id BIGINT, merchant BIGINT, amount BIGINT);
         CREATE MATERIALIZED VIEW spend AS
           SELECT m.name, count(*) AS n, sum(p.amount) AS total
           FROM payments p JOIN merchants m ON m.id = p.merchant WHERE p.amount > 10 GROUP BY m.name;
         CREATE MATERIALIZED VIEW large AS SELECT name, total FROM spend WHERE total > 100;",
    )?;
    let mut merchants = connection.appender("merchants")?;
    for id in 0..1000i64 {
        merchants.append_row(params![id, format!("merchant {id}")])?;
    }
    merchants.flush()?;
    let subscription = connection.subscribe("large")?;
    subscription.recv()?;
    let mut payments = connection.appender("payments")?;
    let mut random = Random::new(5);
    let mut times = Vec::with_capacity(count);
    for id in 0..count {
        let (merchant, amount) = (random.below(1000) as i64, 200 + random.below(1000) as i64);
        let start = Instant::now();
        payments.append_row(params![id as i64, merchant, amount])?;
        payments.flush()?;
        subscription.recv()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// One row into a table of `rows` rows under a join and an aggregate, and the view read after it.
fn flat(rows: usize, count: usize) -> eddydb::Result<Vec<Duration>> {
    let (_database, connection) = database()?;
    connection.execute_batch(
        "CREATE TABLE d (id BIGINT PRIMARY KEY, name TEXT);
         CREATE TABLE f (k BIGINT, v BIGINT);
         CREATE MATERIALIZED VIEW totals AS
           SELECT d.name, count(*) AS n, sum(f.v) AS total FROM f JOIN d ON f.k = d.id GROUP BY d.name;",
    )?;
    let mut dimension = connection.appender("d")?;
    let names = StringViewArray::from_iter_values((0..100).map(|id| format!("name {id}")));
    dimension.append_record_batch(&batch(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..100))),
        ("name", Arc::new(names)),
    ]))?;
    dimension.flush()?;
    let mut random = Random::new(9);
    let mut facts = connection.appender("f")?;
    for input in batches(rows, 64 << 10, |rows| {
        let k: Int64Array = (0..rows).map(|_| random.below(100) as i64).collect();
        let v: Int64Array = (0..rows).map(|_| random.below(1_000_000) as i64).collect();
        batch(vec![("k", Arc::new(k)), ("v", Arc::new(v))])
    }) {
        facts.append_record_batch(&input)?;
        facts.flush()?;
    }
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let start = Instant::now();
        facts.append_row(params![(n % 100) as i64, 1i64])?;
        facts.flush()?;
        let read = connection.query_arrow("SELECT * FROM totals", ())?.collect_all()?;
        times.push(start.elapsed());
        assert_eq!(read.iter().map(|batch| batch.num_rows()).sum::<usize>(), 100);
    }
    Ok(times)
}

fn report(arguments: &Arguments, case: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    if std::env::args().any(|word| word == "--json") {
        let seconds: f64 = times.iter().map(Duration::as_secs_f64).sum();
        println!(
            "{{\"bench\":\"latency\",\"case\":\"{case}\",\"rows\":{},\"seconds\":{seconds:.6},\
             \"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\"p999_us\":{p999:.1}}}",
            times.len()
        );
    } else {
        let _ = arguments;
        println!("latency    {case:<16} p50 {p50:.0} us  p99 {p99:.0} us  p999 {p999:.0} us");
    }
}
