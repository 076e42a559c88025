//! Opening a directory: what its last checkpoint saved and the log behind it, read into an empty database, and the
//! views put back.
//!
//! Tables and streams are replayed, with the definitions that were made on the way; views are not stepped meanwhile,
//! because what they hold at the end is their query over the tables at the end. They are awaited then, and filled in the
//! background ([`crate::db::rebuild`]): nobody waits for them. Only what a follower needs is filled on the way
//! ([`crate::db::resume`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::limits::Interrupt;
use crate::base::vfs::Vfs;
use crate::catalog::delta::CatalogChange;
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::db::database::Database;
use crate::db::resume::Resumed;
use crate::db::statement::ddl::Views;
use crate::storage::directory::Directory;
use crate::storage::log::{self, LogOptions, LogRecord, Recovered, Start};
use crate::storage::store::{Store, StoredRows, start_of};

impl Database {
    /// Fills this empty database from a directory, and writes there from then on.
    pub(super) fn recover(mut self, vfs: Arc<dyn Vfs>, options: LogOptions, checkpoint_every: u64) -> Result<Self> {
        let Directory { vfs, database, lock } = Directory::open(vfs)?;
        let (store, found) = Store::open(vfs.clone(), database, self.shared.cache_bytes())?;
        let files = store.files().clone();
        let mut resumed = Resumed::default();
        let mut start = Start { file: 1, epoch: 0 };
        self.sequencer.task(&Interrupt::default(), |sequencer| {
            sequencer.recovers = true;
            Ok(())
        })?;
        if let Some((manifest, rows)) = found {
            start = start_of(Some(&manifest));
            resumed.kept.extend(manifest.kept.iter());
            let followers = manifest.relations.iter().filter(|relation| relation.kind.is_follower());
            let followers: BTreeSet<RelationId> = followers.map(|relation| relation.id).collect();
            let (held, rows) = rows.into_iter().partition(|rows: &StoredRows| followers.contains(&rows.relation));
            resumed.held = Vec::into_iter(held).map(|rows| (rows.relation, rows)).collect();
            self.sequencer.task(&Interrupt::default(), move |sequencer| sequencer.load(&manifest, rows))?;
            self.resume_followers(&resumed)?;
        }
        let mut replayed = 0;
        let Recovered { mut log, next_epoch, mut notices } =
            log::recover(vfs, database, options, start, &mut |epoch, group| {
                replayed += group.len() as u64;
                self.go_through(epoch, self.records_of(epoch, group, &files)?, &mut resumed)
            })?;
        log.hold(lock);
        // That something is left over does no harm but on a full disk.
        let _ = store.remove_leftovers();
        self.restore_views(&resumed)?;
        self.sequencer.task(&Interrupt::default(), move |sequencer| {
            sequencer.go_on(Box::new(log), next_epoch);
            sequencer.look_after_followers();
            Ok(())
        })?;
        let _ = self.shared.files.set(store.files().clone());
        self.sequencer.save_into(Arc::new(store), checkpoint_every, replayed)?;
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

    /// Applies the records of an epoch of the log.
    fn go_through(&self, epoch: u64, records: Vec<LogRecord>, resumed: &mut Resumed) -> Result<()> {
        let mut changes_catalog = false;
        for record in &records {
            resumed.kept.extend(maintained(record));
            if let LogRecord::Commit { catalog, .. } = record
                && !catalog.is_empty()
            {
                changes_catalog = true;
                self.fill_for(catalog, resumed)?;
            }
        }
        self.replay_epoch(epoch, records, Views::There)?;
        if changes_catalog { self.resume_followers(resumed) } else { Ok(()) }
    }

    /// Puts back the materialized views that nobody has needed yet. Those whose rows are kept are awaited.
    fn restore_views(&self, resumed: &Resumed) -> Result<()> {
        let version = self.shared.version();
        let is_left = |view: &&Arc<Relation>| {
            view.kind == RelationKind::MaterializedView && !version.entries.contains_key(&view.id)
        };
        let left = version.catalog.relations().filter(is_left).cloned();
        let (kept, lazy): (Vec<_>, Vec<_>) = left.partition(|view| resumed.is_kept(view.id));
        self.sequencer.task(&Interrupt::default(), move |sequencer| {
            sequencer.await_views(kept);
            Ok(())
        })?;
        self.fill(lazy.into_iter().map(|view| view.id), resumed)
    }
}

/// The views that a record defines, and whether their rows are kept.
pub fn maintained(record: &LogRecord) -> Vec<(RelationId, bool)> {
    let LogRecord::Commit { catalog, .. } = record else { return Vec::new() };
    let views = catalog.changes.iter().filter_map(|change| match change {
        CatalogChange::Maintain { view, kept } => Some((view.id, *kept)),
        _ => None,
    });
    views.collect()
}
