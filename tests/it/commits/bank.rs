//! The bank: money moves between accounts while views over it are made, refreshed, replaced and dropped, and nobody
//! ever sees a cent too much, neither in a read nor in a subscription.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use eddydb::{Connection, Database, ErrorKind, Result};

use super::{integers, rounds, weighted};
use crate::random::Random;

const ACCOUNTS: usize = 20;

#[test]
fn nobody_sees_money_that_is_not_there() -> Result<()> {
    let db = Database::in_memory()?;
    let connection = db.connect()?;
    connection.execute_batch(&format!(
        "CREATE TABLE acc (id BIGINT PRIMARY KEY, bal BIGINT); CREATE STREAM log (src BIGINT, dst BIGINT, amt BIGINT);
         CREATE MATERIALIZED VIEW total AS SELECT sum(bal) AS s, count(*) AS n FROM acc;
         CREATE MATERIALIZED VIEW credit AS SELECT dst AS id, sum(amt) AS c FROM log GROUP BY dst;
         CREATE MATERIALIZED VIEW debit AS SELECT src AS id, sum(amt) AS d FROM log GROUP BY src;
         CREATE MATERIALIZED VIEW net AS SELECT a.id, a.bal, coalesce(c.c, 0) - coalesce(d.d, 0) AS net
           FROM acc a LEFT JOIN credit c ON c.id = a.id LEFT JOIN debit d ON d.id = a.id;
         CREATE MATERIALIZED VIEW bad AS SELECT count(*) AS n FROM net WHERE bal <> net;
         INSERT INTO acc SELECT value, 0 FROM generate_series(0, {})",
        ACCOUNTS - 1
    ))?;
    let subscription = connection.subscribe("SELECT id, net FROM net")?;
    let stop = Arc::new(AtomicBool::new(false));
    let transfers = rounds(40);
    let writers: Vec<_> = (0..3)
        .map(|number| {
            let connection = db.connect()?;
            Ok(thread::spawn(move || transfer(&connection, &format!("writer {number}"), transfers)))
        })
        .collect::<Result<_>>()?;
    let definer = looped(&db, &stop, define)?;
    let reader = looped(&db, &stop, |connection, _| {
        assert_eq!(integers(connection, "SELECT s FROM total")?, [0]);
        assert_eq!(integers(connection, "SELECT n FROM bad")?, [0]);
        assert_eq!(integers(connection, "SELECT sum(bal) FROM acc")?, [0]);
        let apart = "SELECT count(*) FROM net JOIN acc USING (id) WHERE net.bal <> acc.bal OR net.net <> acc.bal";
        assert_eq!(integers(connection, apart)?, [0]);
        Ok(())
    })?;
    for writer in writers {
        writer.join().expect("no panic")?;
    }
    stop.store(true, Ordering::Relaxed);
    for thread in [definer, reader] {
        thread.join().expect("no panic")?;
    }
    let mut rows: BTreeMap<String, i64> = BTreeMap::new();
    while let Some(event) = subscription.recv_timeout(Duration::from_millis(50))? {
        for (row, weight) in weighted(&event.changes) {
            *rows.entry(row).or_insert(0) += weight;
        }
        rows.retain(|_, weight| *weight != 0);
        assert!(rows.len() == ACCOUNTS && rows.values().all(|&weight| weight == 1), "epoch {}: {rows:?}", event.epoch);
    }
    connection.execute_batch("VERIFY total; VERIFY credit; VERIFY debit; VERIFY net; VERIFY bad")
}

fn looped(
    db: &Database,
    stop: &Arc<AtomicBool>,
    work: impl Fn(&Connection, usize) -> Result<()> + Send + 'static,
) -> Result<thread::JoinHandle<Result<()>>> {
    let (connection, stop) = (db.connect()?, stop.clone());
    Ok(thread::spawn(move || {
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            work(&connection, round)?;
            round += 1;
        }
        Ok(())
    }))
}

/// Moves money until so many transfers have committed; conflicts are tried again.
fn transfer(connection: &Connection, name: &str, transfers: usize) -> Result<()> {
    let mut random = Random::new(7, name);
    let mut done = 0;
    while done < transfers {
        let (from, to, amount) = (random.below(ACCOUNTS), random.below(ACCOUNTS), random.below(100));
        let script = format!(
            "BEGIN; UPDATE acc SET bal = bal - {amount} WHERE id = {from};
             UPDATE acc SET bal = bal + {amount} WHERE id = {to}; INSERT INTO log VALUES ({from}, {to}, {amount}); COMMIT"
        );
        match connection.execute_batch(&script) {
            Ok(()) => done += 1,
            Err(error) if error.kind() == ErrorKind::Conflict => drop(connection.run("ROLLBACK")),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn define(connection: &Connection, round: usize) -> Result<()> {
    let view = format!("CREATE MATERIALIZED VIEW x{round} AS SELECT bal % 7 AS m, count(*) AS n FROM acc GROUP BY 1");
    for statement in [
        view.as_str(),
        &format!("VERIFY x{round}"),
        "REFRESH MATERIALIZED VIEW net",
        "VERIFY net",
        "VERIFY bad",
        "CREATE OR REPLACE MATERIALIZED VIEW credit AS SELECT dst AS id, sum(amt) AS c FROM log GROUP BY dst",
        "VERIFY credit",
        &format!("DROP MATERIALIZED VIEW x{round}"),
    ] {
        connection.execute_batch(statement)?;
    }
    Ok(())
}
