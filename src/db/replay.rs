//! Replay: the log of one database applied to another.
//!
//! A record holds what the door decided, so nothing is asked again: rows and definitions are put in place as they are,
//! epochs keep their numbers, and every view and subscriber gets the changes it got the first time. What a definition
//! needs beside the record (a view's circuit, a key's index) is made as it was made then: from the version before.

use std::iter::Peekable;
use std::slice::Iter;

use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::db::database::Database;
use crate::db::statement::ddl::realize_logged;
use crate::storage::log::LogRecord;

impl Database {
    /// Applies records of another database's log to this one, which must be empty: equal contents and equal
    /// changes, epoch for epoch.
    pub fn replay(&self, records: &[LogRecord]) -> Result<()> {
        if self.epoch() != 0 {
            return Err(Error::invalid("only an empty database can take another's log"));
        }
        let mut records = records.iter().peekable();
        while let Some(first) = records.peek() {
            let epoch = first.epoch();
            replay_epoch(self, epoch, &mut records)?;
            if self.epoch() != epoch {
                let now = self.epoch();
                return Err(Error::internal(format!("the log's record of epoch {epoch} made epoch {now}")));
            }
        }
        Ok(())
    }
}

/// Publishes the records of one epoch.
fn replay_epoch(database: &Database, epoch: u64, records: &mut Peekable<Iter<'_, LogRecord>>) -> Result<()> {
    let (mut commits, mut time_us) = (Vec::new(), 0);
    while let Some(record) = records.next_if(|record| record.epoch() == epoch) {
        time_us = record.time_us();
        if let LogRecord::Commit { catalog, writes, .. } = record {
            let ddl = match catalog.is_empty() {
                true => None,
                false => Some(Box::new(realize_logged(&database.shared, &database.shared.version(), catalog)?)),
            };
            commits.push((writes.clone(), ddl));
        }
    }
    database.sequencer.task(&Interrupt::default(), move |sequencer| sequencer.replay(epoch, time_us, commits))
}
