//! The `restart` mode: a file runs as it stands, and between its statements the database is closed, or loses power, and
//! is opened again; sometimes from a checkpoint.
//! What follows runs while views are filled again, before that, or when all are.
//!
//! What a session knows is gone then, and so is the history of versions: nothing is opened again once a connection has
//! settings, prepared statements, a subscription or a transaction, and files that read past epochs run in `batch` only.

use crate::arguments::Arguments;
use crate::batch;
use crate::engine::{Disk, Views};
use crate::random::Random;
use crate::record::Script;
use crate::report::FileReport;
use crate::session::Session;

/// How many statements there are to a restart, about.
const STATEMENTS: usize = 4;

/// Runs `script` on a fresh database.
pub fn run(script: &Script, arguments: &Arguments, report: &mut FileReport) {
    let reads_the_past = |sql: &str| sql.to_ascii_lowercase().contains("as of") || sql.starts_with('@');
    if script.records.iter().any(|record| reads_the_past(&record.sql)) {
        return;
    }
    let mut random = Random::new(arguments.seed, script.records.first().map_or("", |record| &record.sql));
    let session = Session::on(Disk::new(random.next()), script.printing);
    batch::run_on(session, script, arguments, report, &mut |session| match random.one_in(STATEMENTS) {
        true => session
            .restart(random.one_in(2), random.one_in(2), [Views::Soon, Views::Waited, Views::Held][random.below(3)])
            .map_err(|message| format!("before it, the database was opened again: {message}")),
        false => Ok(()),
    });
}
