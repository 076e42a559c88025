//! Power is lost at every single operation on the disk, and again while what is left is opened.

use eddydb::{Fault, Result, SimulatedVfs};

use super::workloads::{self, Workload};
use super::{contents, seeds, step};
use crate::random::Random;

#[test]
fn what_was_answered_survives_a_power_cut_at_any_operation() -> Result<()> {
    let mut recoveries = 0;
    for (n, workload) in workloads::all()?.into_iter().enumerate() {
        for seed in 0..seeds() {
            let operations = run(&SimulatedVfs::new(seed), &workload).1;
            let step = step(operations, OPERATIONS);
            for operation in (n as u64 % step..operations).step_by(step as usize) {
                let disk = SimulatedVfs::new(seed << 32 | operation);
                disk.fail_at(operation, Fault::Crash);
                let (answered, _) = run(&disk, &workload);
                let mut luck = Random::new(seed << 32 | operation, workload.name);
                end(&disk, &mut luck);
                // What is left is opened, and that is cut short, twice.
                for _ in 0..2 {
                    disk.fail_at(disk.operations() + luck.next() % 40, Fault::Crash);
                    drop(workload.open(&disk));
                    end(&disk, &mut luck);
                }
                check(&disk, &workload, answered, &workload.what(seed, operation))?;
                recoveries += 3;
            }
        }
    }
    println!("{recoveries} recoveries");
    Ok(())
}

/// How many operations of a workload are struck, about, unless all are.
const OPERATIONS: u64 = 35;

/// Power is lost, or the process is killed alone and power is lost later.
fn end(disk: &SimulatedVfs, luck: &mut Random) {
    if luck.one_in(3) { disk.kill() } else { disk.restart() }
}

/// Runs a workload until the disk fails; how many statements were answered, and how many operations it took.
fn run(disk: &SimulatedVfs, workload: &Workload) -> (usize, u64) {
    let mut answered = 0;
    if let Ok(database) = workload.open(disk)
        && let Ok(connection) = database.connect()
    {
        for statement in &workload.statements {
            if connection.execute_batch(statement).is_err() {
                break;
            }
            answered += 1;
        }
    }
    (answered, disk.operations())
}

/// After a crash there is what was answered, or that and the statement that was being run; and one can go on.
fn check(disk: &SimulatedVfs, workload: &Workload, answered: usize, what: &str) -> Result<()> {
    let database = workload.open(disk).unwrap_or_else(|error| panic!("{what}: {}", error.render("")));
    let found = contents(&database)?;
    let place = (answered..workload.states.len().min(answered + 2)).find(|&place| workload.states[place] == found);
    let Some(place) = place else {
        panic!("{what}: after {answered} answers, expected\n{}\nfound\n{found}", workload.states[answered]);
    };
    let epoch = database.epoch();
    let connection = database.connect()?;
    for (n, statement) in workload.statements.iter().enumerate().skip(place) {
        let result = connection.execute_batch(statement);
        // Where the contents do not tell whether the last statement was there, it may find that it was.
        let is_told = workload.states[n] != workload.states[n + 1] || n > place;
        assert!(result.is_ok() || !is_told, "{what}: statement {n} after the crash: {result:?}");
    }
    assert!(database.epoch() >= epoch);
    drop((connection, database));
    assert_eq!(
        contents(&workload.open(disk)?)?,
        workload.states[workload.statements.len()],
        "{what}: opened once more"
    );
    Ok(())
}
