//! Power is lost at every single operation on the disk, and again while what is left is opened.

use eddydb::{Fault, Result, SimulatedVfs};

use super::workloads::{self, Workload};
use super::{contents, open};

/// What survives a power cut is drawn anew for each of these seeds, `EDDY_CRASH_SEEDS` of them (1 if not said).
fn seeds() -> u64 {
    std::env::var("EDDY_CRASH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn what_was_answered_survives_a_power_cut_at_any_operation() -> Result<()> {
    let mut recoveries = 0;
    for workload in workloads::all()? {
        for seed in 0..seeds() {
            let operations = run(&SimulatedVfs::new(seed), &workload).1;
            let step = if workload.is_checkpointed && seeds() == 1 { 3 } else { 1 };
            for operation in (0..operations).step_by(step) {
                let disk = SimulatedVfs::new(seed << 32 | operation);
                disk.fail_at(operation, Fault::Crash);
                let (answered, _) = run(&disk, &workload);
                disk.restart();
                let kind = if workload.is_checkpointed { " with checkpoints" } else { "" };
                let what = format!("{}{kind} seed {seed} operation {operation}", workload.name);
                // Recovery is cut short once, at an operation that moves with the crash.
                disk.fail_at(disk.operations() + operation % 17, Fault::Crash);
                if let Ok(database) = open(&disk) {
                    drop(database);
                }
                disk.restart();
                check(&disk, &workload, answered, &what)?;
                recoveries += 1;
            }
        }
    }
    println!("{recoveries} recoveries");
    Ok(())
}

/// Runs a workload until the disk fails; how many statements were answered, and how many operations it took.
fn run(disk: &SimulatedVfs, workload: &Workload) -> (usize, u64) {
    let mut answered = 0;
    if let Ok(database) = open(disk)
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
    let database = open(disk).unwrap_or_else(|error| panic!("{what}: {}", error.render("")));
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
    assert_eq!(contents(&open(disk)?)?, workload.states[workload.statements.len()], "{what}: opened once more");
    Ok(())
}
