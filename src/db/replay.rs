//! Replay: the log of one database applied to another.
//!
//! A record holds what the door decided, so nothing is asked again: rows and definitions are put in place as they are,
//! epochs keep their numbers, and every view and subscriber gets the changes it got the first time. What a definition
//! needs beside the record (a view's circuit, a key's index) is made as it was made then: from the version before.

use std::iter::Peekable;
use std::slice::Iter;
use std::sync::Arc;

use arrow::buffer::Buffer;

use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::catalog::delta::{CatalogChange, CatalogDelta};
use crate::catalog::relation::Relation;
use crate::db::database::Database;
use crate::db::sequencer::door::Replayed;
use crate::db::statement::ddl::{Views, realize_logged};
use crate::db::version::Version;
use crate::storage::log::{self, LogRecord};
use crate::storage::segment::SegmentFiles;

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
            let group = epoch_of(epoch, &mut records);
            self.replay_epoch(epoch, group, Views::Kept)?;
            if self.epoch() != epoch {
                let now = self.epoch();
                return Err(Error::internal(format!("the log's record of epoch {epoch} made epoch {now}")));
            }
        }
        Ok(())
    }

    /// The records of a group of a directory's log, whose rows have the columns that the catalog gives them by now.
    pub(super) fn records_of(&self, epoch: u64, group: &Buffer, files: &Arc<SegmentFiles>) -> Result<Vec<LogRecord>> {
        let catalog = self.shared.version().catalog.clone();
        let columns = |id| catalog.by_id(id).map(|known| (known.columns.clone(), known.schema.clone()));
        log::decode(epoch, group, &columns, files)
    }

    /// Publishes the records of one epoch. Unless views are kept, nobody is there to read past versions: none is kept.
    pub(super) fn replay_epoch(&self, epoch: u64, records: Vec<LogRecord>, views: Views) -> Result<()> {
        let (mut commits, mut time_us) = (Vec::new(), 0);
        let mut failed = None;
        for record in records {
            time_us = record.time_us();
            if let LogRecord::Commit { catalog, writes, positions, .. } = record {
                let ddl = match catalog.is_empty() {
                    true => None,
                    false => {
                        let version = self.shared.version();
                        let realized = match realize_logged(&self.shared, &version, &catalog, views) {
                            Err(error) if views == Views::There => {
                                failed = Some((made_again(&catalog, &version), error));
                                realize_logged(&self.shared, &version, &catalog, Views::Left)?
                            }
                            realized => realized?,
                        };
                        Some(Box::new(realized))
                    }
                };
                commits.push(Replayed { writes, ddl, positions });
            }
        }
        self.sequencer.task(&Interrupt::default(), move |sequencer| {
            sequencer.replay(epoch, time_us, commits)?;
            if let Some((views, error)) = failed {
                views.into_iter().for_each(|view| sequencer.restore_failed(view, &error));
            }
            if views != Views::Kept {
                sequencer.forget_history();
            }
            Ok(())
        })
    }
}

fn epoch_of(epoch: u64, records: &mut Peekable<Iter<'_, LogRecord>>) -> Vec<LogRecord> {
    std::iter::from_fn(|| records.next_if(|record| record.epoch() == epoch).cloned()).collect()
}

/// The views that a change of the catalog makes again, of those that are there.
fn made_again(delta: &CatalogDelta, version: &Version) -> Vec<Arc<Relation>> {
    let views = delta.changes.iter().filter_map(|change| match change {
        CatalogChange::Maintain { view, .. } if version.entries.contains_key(&view.id) => Some(view.clone()),
        _ => None,
    });
    views.collect()
}
