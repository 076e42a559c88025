//! Races between connections; each round is another order of events.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use eddydb::{Database, ErrorKind, Result};

use super::{integers, lines, rounds};

#[test]
fn two_transactions_that_saw_nobody_do_not_both_commit() -> Result<()> {
    let db = Database::in_memory()?;
    let connection = db.connect()?;
    connection.execute_batch(
        "CREATE TABLE t (k BIGINT, who BIGINT);
         CREATE MATERIALIZED VIEW n AS SELECT k, count(*) AS n FROM t GROUP BY k; CREATE TABLE noise (a BIGINT)",
    )?;
    let stop = Arc::new(AtomicBool::new(false));
    // Keeps the sequencer busy, so that commits wait in its queue.
    let noise = thread::spawn({
        let (db, stop) = (db.clone(), stop.clone());
        move || -> Result<()> {
            let connection = db.connect()?;
            while !stop.load(Ordering::Relaxed) {
                connection.run("INSERT INTO noise SELECT value FROM generate_series(1, 2000)")?;
                connection.run("DELETE FROM noise")?;
            }
            Ok(())
        }
    });
    for round in 0..rounds(40) {
        let barrier = Arc::new(Barrier::new(2));
        let claim = |who: usize| {
            let (db, barrier) = (db.clone(), barrier.clone());
            thread::spawn(move || -> Result<bool> {
                let connection = db.connect()?;
                connection.run("BEGIN")?;
                let nobody = integers(&connection, &format!("SELECT n FROM n WHERE k = {round}"))?.is_empty();
                if nobody {
                    connection.run(&format!("INSERT INTO t VALUES ({round}, {who})"))?;
                }
                barrier.wait();
                match connection.run("COMMIT") {
                    Ok(_) => Ok(nobody),
                    Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
                    Err(error) => Err(error),
                }
            })
        };
        let claims = [claim(0), claim(1)].map(|claim| claim.join().expect("no panic"));
        let both = claims.into_iter().collect::<Result<Vec<_>>>()? == [true, true];
        assert!(!both, "round {round}: both saw nobody and both committed");
    }
    stop.store(true, Ordering::Relaxed);
    noise.join().expect("no panic")?;
    assert!(lines(&connection, "SELECT k FROM t GROUP BY k HAVING count(*) > 1")?.is_empty());
    Ok(())
}

#[test]
fn of_two_that_add_a_column_of_one_name_one_is_refused() -> Result<()> {
    for round in 0..rounds(40) {
        let db = Database::in_memory()?;
        let connection = db.connect()?;
        connection.execute_batch("CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)")?;
        let barrier = Arc::new(Barrier::new(2));
        let add = || {
            let (db, barrier) = (db.clone(), barrier.clone());
            thread::spawn(move || {
                let connection = db.connect()?;
                barrier.wait();
                connection.run("ALTER TABLE t ADD COLUMN z BIGINT").map(drop)
            })
        };
        let results = [add(), add()].map(|add| add.join().expect("no panic"));
        let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1, "round {round}");
        assert_eq!(refused[0].sqlstate(), "42701", "{}", refused[0]);
        assert_eq!(lines(&connection, "SELECT * FROM t")?, ["1,"]);
    }
    Ok(())
}

#[test]
fn a_view_that_is_filled_while_its_relation_is_altered_is_right() -> Result<()> {
    for round in 0..rounds(12) {
        for refresh in [false, true] {
            let db = Database::in_memory()?;
            let connection = db.connect()?;
            connection.execute_batch(
                "CREATE TABLE t (a BIGINT, s TEXT);
                 INSERT INTO t SELECT value, 'text number ' || value FROM generate_series(1, 20000);
                 DELETE FROM t WHERE a % 2 = 0",
            )?;
            let view = "CREATE MATERIALIZED VIEW v AS
                 SELECT s, sum(a) AS n, count(DISTINCT a) AS d, max(s) AS m FROM t GROUP BY s";
            if refresh {
                connection.run(view)?;
            }
            let fill = thread::spawn({
                let db = db.clone();
                move || db.connect()?.run(if refresh { "REFRESH MATERIALIZED VIEW v" } else { view }).map(drop)
            });
            thread::sleep(Duration::from_millis(round as u64 * 7));
            connection.run("ALTER TABLE t ADD COLUMN b BIGINT DEFAULT 1")?;
            connection.run("INSERT INTO t SELECT value, 'new', 2 FROM generate_series(1, 3000)")?;
            connection.run("DELETE FROM t WHERE a < 1000")?;
            fill.join().expect("no panic")?;
            connection.execute_batch("VERIFY v; INSERT INTO t VALUES (-1, 'late', 0); VERIFY v")?;
            assert_eq!(lines(&connection, "SELECT n FROM v WHERE s = 'late'")?, ["-1"]);
        }
    }
    Ok(())
}
