//! The final answer of a query from a plain DataFusion session with its own aggregates.
//!
//! It is asked only about queries whose meaning the two engines share: no LIMIT (ties), no ALL forms of EXCEPT and
//! INTERSECT (DataFusion loses copies), no floats that cancel. Floats may differ by 1e-9 of their size.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use eddydb::{Connection, Outcome};

use crate::oracle::generate::Table;
use crate::oracle::texts;

/// Compares `found`, the sorted rows of a view, with the other engine's answer over the same tables.
pub fn check(connection: &Connection, tables: &[Table], sql: &str, found: Vec<String>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    for table in tables {
        let Ok(Outcome::Rows(rows)) = connection.run(&format!("SELECT * FROM {}", table.name)) else {
            return Err(format!("{} cannot be read", table.name));
        };
        let schema = rows.schema();
        let batches = rows.collect::<eddydb::Result<Vec<_>>>().map_err(|error| error.to_string())?;
        let memory = MemTable::try_new(schema, vec![batches]).map_err(|error| error.to_string())?;
        session.register_table(table.name.as_str(), Arc::new(memory)).map_err(|error| error.to_string())?;
    }
    let answer = runtime.block_on(async { session.sql(sql).await?.collect().await });
    // What the other engine cannot plan says nothing about this one.
    let Ok(batches) = answer else { return Ok(()) };
    let mut wanted = texts(&batches)?;
    wanted.sort_unstable();
    if same(&found, &wanted) || same_unsorted(&found, &wanted) {
        return Ok(());
    }
    Err(format!("DataFusion disagrees on {sql}\n  view: {found:?}\n  DataFusion: {wanted:?}"))
}

fn same(left: &[String], right: &[String]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_row(left, right))
}

/// Rows that are equal but for the last digits of a float may sort differently as texts.
fn same_unsorted(left: &[String], right: &[String]) -> bool {
    let mut rest = right.to_vec();
    left.len() == right.len()
        && left.iter().all(|row| match rest.iter().position(|other| same_row(row, other)) {
            Some(at) => {
                rest.swap_remove(at);
                true
            }
            None => false,
        })
}

fn same_row(left: &str, right: &str) -> bool {
    let (left, right): (Vec<_>, Vec<_>) = (left.split(" | ").collect(), right.split(" | ").collect());
    left.len() == right.len() && left.iter().zip(&right).all(|(left, right)| same_value(left, right))
}

fn same_value(left: &str, right: &str) -> bool {
    if left == right {
        return true;
    }
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(l), Ok(r)) => (l - r).abs() <= 1e-9 * l.abs().max(r.abs()).max(1.0),
        _ => false,
    }
}
