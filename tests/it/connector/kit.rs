//! What every source must stand: one set of trials that each of them goes through.
//!
//! A [`Rig`] is a source with its other side in the hands of the test. What was sent must be there once each in the end,
//! wherever the disk of the database was killed, whatever came late, half, or not at all for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddydb::{Database, Fault, Result, SimulatedVfs};

use super::{PATIENCE, lines};
use crate::random::Random;

/// The other side of a source.
pub trait Rig {
    /// The statement that creates the source `s` with a column `n BIGINT`.
    fn create(&self) -> String;
    /// Sends a record for each number: of ten, one is no row if the source can have such.
    fn send(&mut self, numbers: std::ops::Range<i64>);
    /// How many records of these are no rows.
    fn bad(&self, numbers: std::ops::Range<i64>) -> i64;
    /// Something happens on the other side that must not matter: a rotation, a rebalance.
    fn disturb(&mut self);
    /// The other side cannot be reached, or can be again.
    fn reach(&mut self, reachable: bool);
}

/// Records of one trial, in three parts.
const PARTS: [std::ops::Range<i64>; 3] = [0..40, 40..100, 100..130];

/// How many points a trial is killed at: `EDDY_KILLS` if that is said.
pub fn kills() -> u64 {
    std::env::var("EDDY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// Goes through all trials with new rigs.
pub fn conforms<R: Rig>(name: &str, rig: impl Fn() -> R) -> Result<()> {
    let operations = undisturbed(name, rig())?;
    let mut random = Random::new(1, name);
    for kill in 0..kills() {
        let (at, again) = (random.next() % operations.max(1), random.next() % 40);
        killed(&format!("{name}: kill {kill} at operation {at}, then {again}"), rig(), kill, at, again)?;
    }
    out_of_reach(name, rig())
}

fn open(disk: &SimulatedVfs) -> Result<Database> {
    Database::builder().target_partitions(1).open_in(Arc::new(disk.clone()))
}

/// Everything arrives; how many operations on the disk that took.
fn undisturbed<R: Rig>(name: &str, mut rig: R) -> Result<u64> {
    let disk = SimulatedVfs::new(7);
    let database = open(&disk)?;
    database.connect()?.execute_batch(&rig.create())?;
    for part in PARTS {
        rig.send(part.clone());
        settle(&rig, &database, part.end, name)?;
        rig.disturb();
    }
    Ok(disk.operations())
}

/// The disk dies in the middle, and again when the database goes on.
fn killed<R: Rig>(what: &str, mut rig: R, seed: u64, at: u64, again: u64) -> Result<()> {
    let disk = SimulatedVfs::new(seed);
    disk.fail_at(at, Fault::Crash);
    let created = run_until_down(&disk, &mut rig, &PARTS[..2]);
    disk.restart();
    // What the first life did not send is sent while the second one runs.
    rig.disturb();
    disk.fail_at(disk.operations() + again, Fault::Crash);
    for part in &PARTS[created.unwrap_or(0)..2] {
        rig.send(part.clone());
    }
    run_until_down(&disk, &mut rig, &[]);
    disk.restart();
    let database = open(&disk)?;
    let connection = database.connect()?;
    if connection.query_row("SELECT count(*) FROM eddy.sources", (), |row| row.get::<i64>(0))? == 0 {
        connection.execute_batch(&rig.create())?;
    }
    rig.send(PARTS[2].clone());
    settle(&rig, &database, PARTS[2].end, what)
}

/// Sends parts to a database until its disk is down; how many were sent.
fn run_until_down<R: Rig>(disk: &SimulatedVfs, rig: &mut R, parts: &[std::ops::Range<i64>]) -> Option<usize> {
    let database = open(disk).ok()?;
    let connection = database.connect().ok()?;
    let count = |query: &str| connection.query_row(query, (), |row| row.get::<i64>(0)).ok();
    if count("SELECT count(*) FROM eddy.sources")? == 0 {
        connection.execute_batch(&rig.create()).ok()?;
    }
    for (sent, part) in parts.iter().enumerate() {
        if disk.is_down() {
            return Some(sent);
        }
        rig.send(part.clone());
        rig.disturb();
        wait(|| disk.is_down() || count("SELECT count(*) FROM s") >= Some(part.end - rig.bad(0..part.end)));
    }
    if parts.is_empty() {
        let begun = Instant::now();
        wait(|| disk.is_down() || begun.elapsed() > Duration::from_millis(50));
    }
    Some(parts.len())
}

/// The other side is away for a while, and comes back as it was.
fn out_of_reach<R: Rig>(name: &str, mut rig: R) -> Result<()> {
    let disk = SimulatedVfs::new(3);
    let database = open(&disk)?;
    let connection = database.connect()?;
    connection.execute_batch(&rig.create())?;
    rig.send(PARTS[0].clone());
    settle(&rig, &database, PARTS[0].end, name)?;
    for turn in 0..2 {
        rig.reach(false);
        std::thread::sleep(Duration::from_millis(60));
        rig.reach(true);
        let part = PARTS[turn + 1].clone();
        rig.send(part.clone());
        settle(&rig, &database, part.end, &format!("{name} out of reach"))?;
    }
    drop((connection, database));
    // And while the database is opened.
    rig.reach(false);
    let database = open(&disk)?;
    std::thread::sleep(Duration::from_millis(60));
    rig.reach(true);
    rig.send(130..140);
    settle(&rig, &database, 140, &format!("{name} out of reach at opening"))
}

/// Waits until everything up to `sent` is there, and looks that it is there once.
fn settle<R: Rig>(rig: &R, database: &Database, sent: i64, what: &str) -> Result<()> {
    let connection = database.connect()?;
    let count = |query: &str| connection.query_row(query, (), |row| row.get::<i64>(0));
    let bad = rig.bad(0..sent);
    let arrived =
        || Ok::<_, eddydb::Error>((count("SELECT count(*) FROM s")?, count("SELECT count(*) FROM eddy.dead_letters")?));
    let begun = Instant::now();
    while arrived()? != (sent - bad, bad) && begun.elapsed() < PATIENCE {
        let (rows, letters) = arrived()?;
        if rows > sent - bad || letters > bad {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let shown = || lines(&connection, "SELECT name, state, rows, bad_records, last_error FROM eddy.sources");
    assert_eq!(arrived()?, (sent - bad, bad), "{what}: rows and bad records\n{}", shown()?);
    assert_eq!(count("SELECT count(DISTINCT n) FROM s")?, sent - bad, "{what}: each once");
    assert_eq!(count("SELECT coalesce(max(bad_records), 0) FROM eddy.sources")?, bad, "{what}: counted");
    Ok(())
}

/// Waits until something is done.
pub fn wait(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
}
