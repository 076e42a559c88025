//! Replay: the log of one database applied to another.
//!
//! A record holds what the door decided, so nothing is asked again: rows are applied as they are, epochs keep their
//! numbers, and every view and subscriber gets the changes it got the first time.

use crate::base::error::{Error, Result};
use crate::db::database::Database;
use crate::db::sequencer::Sequencer;
use crate::db::view::Changes;
use crate::storage::log::LogRecord;

/// Applies `records` in order to an empty database.
pub fn replay(database: &Database, records: &[LogRecord]) -> Result<()> {
    if database.epoch() != 0 {
        return Err(Error::invalid("only an empty database can take another's log"));
    }
    let connection = database.connect()?;
    let mut records = records.iter().peekable();
    while let Some(record) = records.next() {
        match record {
            LogRecord::Ddl { sql, writes, epoch, time_us } => {
                let (writes, time_us) = (writes.clone(), *time_us);
                database.sequencer.task(move |sequencer| sequencer.expect_rows(time_us, writes))?;
                connection.run(sql)?;
                expect_epoch(database, *epoch)?;
            }
            LogRecord::Tick { epoch, .. } => apply(database, *epoch, vec![record.clone()])?,
            LogRecord::Commit { epoch, .. } => {
                let mut commits = vec![record.clone()];
                while let Some(more) = records.next_if(|next| next.epoch() == *epoch) {
                    commits.push(more.clone());
                }
                apply(database, *epoch, commits)?;
            }
        }
    }
    database.sequencer.task(Sequencer::end_replay)
}

/// Publishes the records of one epoch.
fn apply(database: &Database, epoch: u64, records: Vec<LogRecord>) -> Result<()> {
    database.sequencer.task(move |sequencer| {
        let mut changes = Changes::new();
        let mut now_us = sequencer.time_us();
        for record in &records {
            if let LogRecord::Commit { writes, .. } = record {
                sequencer.apply(writes, epoch, &mut changes)?;
            }
            now_us = record.time_us();
            sequencer.record(record)?;
        }
        sequencer.finish(&mut changes, epoch, now_us, None)
    })?;
    expect_epoch(database, epoch)
}

fn expect_epoch(database: &Database, epoch: u64) -> Result<()> {
    match database.epoch() {
        now if now == epoch => Ok(()),
        now => Err(Error::internal(format!("the log's record of epoch {epoch} made epoch {now}"))),
    }
}
