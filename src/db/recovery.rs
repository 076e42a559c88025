//! Opening a directory: what its last checkpoint saved and the log behind it, read into an empty database, and the
//! views rebuilt.
//!
//! Tables and streams are replayed, with the definitions that were made on the way; views are not stepped meanwhile,
//! because what they hold at the end is their query over the tables at the end. They are filled then, each behind those
//! it reads. A view that cannot be is failed with its reason, and the database opens all the same.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::limits::Interrupt;
use crate::base::vfs::Vfs;
use crate::catalog::delta::CatalogChange;
use crate::catalog::relation::{RelationId, RelationKind};
use crate::db::database::Database;
use crate::db::statement::ddl::restore_view;
use crate::storage::directory::Directory;
use crate::storage::log::{self, LogOptions, LogRecord, Recovered, Start};
use crate::storage::store::Store;

impl Database {
    /// Fills this empty database from a directory, and writes there from then on.
    pub(super) fn recover(mut self, vfs: Arc<dyn Vfs>, options: LogOptions, checkpoint_every: u64) -> Result<Self> {
        let Directory { vfs, database, lock } = Directory::open(vfs)?;
        let (store, found) = Store::open(vfs.clone(), database, self.shared.cache_bytes())?;
        let mut kept = HashMap::new();
        let mut start = Start { file: 1, epoch: 0 };
        if let Some((manifest, rows)) = found {
            start = Start { file: manifest.first_log, epoch: manifest.epoch };
            kept.extend(manifest.kept.iter());
            self.sequencer.task(&Interrupt::default(), move |sequencer| sequencer.load(&manifest, rows))?;
        }
        let Recovered { mut log, next_epoch, mut notices } =
            log::recover(vfs, database, options, start, &mut |epoch, group| {
                let catalog = self.shared.version().catalog.clone();
                let columns = |id| catalog.by_id(id).map(|known| (known.columns.clone(), known.schema.clone()));
                let records = log::decode(epoch, group, &columns)?;
                kept.extend(records.iter().flat_map(maintained));
                self.replay_epoch(epoch, records, false)
            })?;
        log.hold(lock);
        self.restore_views(&kept)?;
        self.sequencer.task(&Interrupt::default(), move |sequencer| {
            sequencer.go_on(Box::new(log), next_epoch);
            Ok(())
        })?;
        self.sequencer.save_into(Arc::new(store), checkpoint_every)?;
        let (clock, last) = (self.shared.clock.now_us(), self.shared.version().time_us);
        if clock < last && self.epoch() > 0 {
            let behind = (last - clock) / 1_000_000;
            notices.push(format!(
                "the clock is {behind} s behind the last commit: until it has caught up, now() stands still"
            ));
        }
        self.notices = notices.into();
        Ok(self)
    }

    /// Gives the materialized views their contents, each behind those it reads.
    fn restore_views(&self, kept: &HashMap<RelationId, bool>) -> Result<()> {
        let catalog = self.shared.version().catalog.clone();
        let views = catalog.in_order().into_iter().filter_map(|id| catalog.by_id(id));
        for view in views.filter(|view| view.kind == RelationKind::MaterializedView) {
            let kept = kept.get(&view.id).copied().unwrap_or(true);
            let restored = restore_view(&self.shared, &self.shared.version(), view, kept);
            let view = view.clone();
            self.sequencer.task(&Interrupt::default(), move |sequencer| {
                match restored {
                    Ok(view) => sequencer.restore(view),
                    Err(error) => sequencer.restore_failed(view, &error),
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// The views that a record defines, and whether their rows are kept.
fn maintained(record: &LogRecord) -> Vec<(RelationId, bool)> {
    let LogRecord::Commit { catalog, .. } = record else { return Vec::new() };
    let views = catalog.changes.iter().filter_map(|change| match change {
        CatalogChange::Maintain { view, kept } => Some((view.id, *kept)),
        _ => None,
    });
    views.collect()
}
