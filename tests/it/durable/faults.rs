//! The disk fails, once or for good: an error, reads that go on, and a consistent database when it is opened again.

use std::sync::Arc;

use eddydb::{Connection, Database, Fault, Result, SimulatedVfs, Value};

use super::workloads::{self, Workload};
use super::{contents, step};

#[test]
fn a_failing_operation_is_an_error_and_nothing_that_was_answered_is_lost() -> Result<()> {
    for fault in [Fault::Error, Fault::Full, Fault::Late] {
        for (n, workload) in workloads::all()?.into_iter().enumerate() {
            let operations = {
                let disk = SimulatedVfs::new(1);
                run(&disk, &workload, "whole")?;
                disk.operations()
            };
            let step = step(operations, OPERATIONS);
            for operation in (n as u64 % step..operations).step_by(step as usize) {
                for sticky in [false, true] {
                    let disk = SimulatedVfs::new(operation);
                    disk.fail_at(operation, fault);
                    if sticky {
                        (operation..operations + 64).for_each(|later| disk.fail_at(later, fault));
                    }
                    let what = format!("{fault:?}, sticky {sticky}, {}", workload.what(operation, operation));
                    let (answered, unknown) = run(&disk, &workload, &what)?;
                    // What the system holds and the disk does not is gone.
                    disk.restart();
                    let database = workload.open(&disk).unwrap_or_else(|error| panic!("{what}: {}", error.render("")));
                    let found = contents(&database)?;
                    let last = answered + usize::from(unknown);
                    let fits = (answered..=last).any(|place| workload.states[place] == found);
                    assert!(fits, "{what}: {answered} answered, found\n{found}");
                }
            }
        }
    }
    Ok(())
}

/// How many operations of a workload are struck, about, unless all are.
const OPERATIONS: u64 = 9;

/// Runs a workload until the first error; how many statements were answered, and whether the last is unknown. Reads go
/// on, and show what was answered.
fn run(disk: &SimulatedVfs, workload: &Workload, what: &str) -> Result<(usize, bool)> {
    let Ok(database) = workload.open(disk) else { return Ok((0, false)) };
    let connection = database.connect()?;
    for (answered, statement) in workload.statements.iter().enumerate() {
        if let Err(error) = connection.execute_batch(statement) {
            let unknown = error.sqlstate() == "08007";
            assert!(unknown || ["58030", "53100"].contains(&error.sqlstate()), "{what}: {}", error.render(""));
            let _ = connection.execute_batch("ROLLBACK");
            match contents(&database) {
                Ok(found) => assert_eq!(found, workload.states[answered], "{what}: reads after the failure"),
                // Rows that are in files alone cannot be had of a disk that reads nothing.
                Err(error) => {
                    assert!(["58030", "53100"].contains(&error.sqlstate()), "{what}: reads after the failure: {error}")
                }
            }
            return Ok((answered, unknown));
        }
    }
    Ok((workload.statements.len(), false))
}

/// On a full disk commits are refused, whether their group or a new file has no room, and reads go on; they go on too
/// when there is space again, without opening anew.
#[test]
fn commits_go_on_when_a_full_disk_has_space_again() -> Result<()> {
    for small in [false, true] {
        for room in [0, 300, 5_000, 70_000] {
            let disk = SimulatedVfs::new(room as u64);
            let open = || {
                let builder = Database::builder().target_partitions(1);
                let builder = if small { builder.log_sizes(512, 4096, 6).spool_sizes(200, 8, 2000) } else { builder };
                builder.open_in(Arc::new(disk.clone()))
            };
            let database = open()?;
            let connection = database.connect()?;
            connection.execute_batch("CREATE TABLE t (k BIGINT, v TEXT)")?;
            let mut there = 0;
            for round in 0..3 {
                disk.limit_space(Some(disk.space_used() + room));
                let refused = (0..200).find_map(|_| {
                    let inserted = connection.execute_batch("INSERT INTO t SELECT 1, repeat('x', 2000)");
                    there += i64::from(inserted.is_ok());
                    inserted.err()
                });
                let what = format!("small {small}, room {room}, round {round}");
                let refused = refused.unwrap_or_else(|| panic!("{what}: the disk was never full"));
                assert_eq!(refused.sqlstate(), "53100", "{what}: {refused}");
                let count = |connection: &Connection| {
                    connection.query_row("SELECT count(*) FROM t", (), |row| row.get::<i64>(0))
                };
                assert_eq!(count(&connection)?, there, "{what}");
                connection.query_row("SELECT now()", (), |row| row.get::<Value>(0))?;
                disk.limit_space(None);
                connection.execute_batch("INSERT INTO t VALUES (2, 'again')")?;
                there += 1;
                assert_eq!(count(&connection)?, there, "{what}");
            }
            disk.restart();
            drop((connection, database));
            let found = open()?.connect()?.query_row("SELECT count(*) FROM t", (), |row| row.get::<i64>(0))?;
            assert_eq!(found, there, "small {small}, room {room}: opened again");
        }
    }
    Ok(())
}
