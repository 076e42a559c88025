//! A directory opened for reading while another process writes it, or none does.
//!
//! What its manifest names is loaded and the log behind it replayed, as when it is opened for writing; a thread looks
//! for more twice a second. Views run their queries. Nothing in the directory is written or locked: files that the
//! writer removes meanwhile stay readable to who has them open, and who is so far behind that the next log file is gone
//! begins again from the manifest.

use std::sync::Arc;
use std::time::Duration;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::base::vfs::Vfs;
use crate::catalog::relation::{Relation, RelationKind};
use crate::db::database::Database;
use crate::db::statement::ddl::Views;
use crate::storage::directory;
use crate::storage::log::{self, Follower, LogRecord, Look};
use crate::storage::manifest;
use crate::storage::segment::SegmentFiles;
use crate::storage::store::{Store, start_of};

/// How often the log is looked at.
const PERIOD: Duration = Duration::from_millis(250);
/// How often the manifest is read again where its files vanish meanwhile.
const ATTEMPTS: usize = 20;

/// Where a database that is only read stands.
struct Following {
    vfs: Arc<dyn Vfs>,
    database: [u8; 16],
    follower: Follower,
    /// The segment files that groups of the log name.
    files: Arc<SegmentFiles>,
}

impl Database {
    /// Fills this empty database from a directory and follows what is written to it.
    pub(super) fn follow(self, vfs: Arc<dyn Vfs>) -> Result<Self> {
        let database = directory::identity_of(vfs.as_ref())?;
        self.sequencer.task(&Interrupt::default(), |sequencer| {
            sequencer.refuse_commits();
            Ok(())
        })?;
        let mut following = self.load_newest(&vfs, database)?;
        let _ = self.shared.followed.set((vfs, database));
        let known = self.downgrade();
        let run = move || {
            while let Some(database) = known.upgrade() {
                // What is damaged now is so at the next look, too: the database stays at the last good epoch.
                let _ = database.look(&mut following);
                drop(database);
                std::thread::sleep(PERIOD);
            }
        };
        std::thread::Builder::new().name("eddy-follow".into()).stack_size(16 << 20).spawn(run)?;
        Ok(self)
    }

    /// Shows what has become safe since.
    fn look(&self, following: &mut Following) -> Result<()> {
        let (vfs, files) = (following.vfs.clone(), following.files.clone());
        let apply = &mut |epoch, group: &arrow::buffer::Buffer| self.show(epoch, group, &files);
        let look = match following.follower.look(vfs.as_ref(), apply) {
            // A checkpoint has removed what a group of the log named: the manifest has it, or has no need of it.
            Err(error) if error.sqlstate() == crate::base::access::NOT_FOUND => Look::Behind,
            look => look?,
        };
        if look == Look::Behind {
            *following = self.load_newest(&vfs, following.database)?;
        }
        Ok(())
    }

    /// Loads the manifest and the log behind it. The writer may replace both meanwhile: then it is tried again.
    fn load_newest(&self, vfs: &Arc<dyn Vfs>, database: [u8; 16]) -> Result<Following> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.load_once(vfs, database) {
                Ok(Some(following)) => return Ok(following),
                Ok(None) => {}
                Err(error) if error.sqlstate() == crate::base::access::NOT_FOUND => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        match last {
            Some(error) => Err(error),
            None => Err(behind(vfs.as_ref())?),
        }
    }

    fn load_once(&self, vfs: &Arc<dyn Vfs>, database: [u8; 16]) -> Result<Option<Following>> {
        let (store, found) = Store::open(vfs.clone(), database, self.shared.cache_bytes())?;
        let files = store.files().clone();
        let start = start_of(found.as_ref().map(|(manifest, _)| manifest));
        if let Some((manifest, rows)) = found {
            self.sequencer.task(&Interrupt::default(), move |sequencer| sequencer.load(&manifest, rows))?;
            let catalog = self.shared.version().catalog.clone();
            for view in catalog.in_order().into_iter().filter_map(|id| catalog.by_id(id)) {
                self.show_view(view)?;
            }
        }
        let mut follower = Follower::new(database, start);
        let look = follower.look(vfs.as_ref(), &mut |epoch, group| self.show(epoch, group, &files))?;
        if look == Look::Behind {
            return Ok(None);
        }
        follower.check(vfs.as_ref())?;
        Ok(Some(Following { vfs: vfs.clone(), database, follower, files }))
    }

    /// Applies one group of the log.
    fn show(&self, epoch: u64, group: &arrow::buffer::Buffer, files: &Arc<SegmentFiles>) -> Result<()> {
        let records = self.records_of(epoch, group, files)?;
        let defined: Vec<Arc<Relation>> = records.iter().flat_map(defined).collect();
        if self.replay_epoch(epoch, records.clone(), Views::Read).is_ok() {
            return Ok(());
        }
        // A view cannot be planned here: it fails alone.
        self.replay_epoch(epoch, records, Views::Left)?;
        defined.iter().try_for_each(|relation| self.show_view(relation))
    }

    /// Lets a materialized view be read: its query is run.
    fn show_view(&self, view: &Arc<Relation>) -> Result<()> {
        match view.kind {
            RelationKind::MaterializedView => self.put_back(&self.shared.version(), view, false),
            _ => Ok(()),
        }
    }
}

/// Why what the log begins with is never there.
fn behind(vfs: &dyn Vfs) -> Result<Error> {
    let Some(first) = log::first_file(vfs)?.filter(|first| *first > 1) else { return Ok(too_fast()) };
    if !manifest::numbers(vfs)?.is_empty() {
        return Ok(too_fast());
    }
    Ok(log::lost_manifest(first))
}

fn too_fast() -> Error {
    Error::new(ErrorKind::Io, "the database changes faster than it can be read").with_sqlstate("55006")
}

/// The definitions that a record brings.
fn defined(record: &LogRecord) -> Vec<Arc<Relation>> {
    match record {
        LogRecord::Commit { catalog, .. } => catalog.defined().cloned().collect(),
        LogRecord::Tick { .. } => Vec::new(),
    }
}
