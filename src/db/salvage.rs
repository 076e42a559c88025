//! A database made of what can be read of a damaged one.

use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::limits::Interrupt;
use crate::base::vfs::{RealVfs, Vfs};
use crate::catalog::relation::RelationId;
use crate::db::database::Database;
use crate::db::recovery::maintained;
use crate::db::resume::Resumed;
use crate::db::sequencer::Sequencer;
use crate::db::statement::ddl::Views;
use crate::storage::log::LogRecord;
use crate::storage::salvage::{Salvaged, salvage};
use crate::storage::segment::SegmentFiles;
use crate::storage::spool::Rows;

impl Database {
    /// Makes a new database in the directory `to` of what can be read of the damaged one in `from`, which stays as it
    /// is. What is lost is returned, a line each; nothing if everything was whole.
    ///
    /// Rows in damaged parts of segment files are left out, and the log ends where it is damaged: what was committed
    /// later is lost. Views are computed anew.
    ///
    /// # Errors
    /// There is no database in `from`, or nothing of it can be read; `to` is not empty or cannot be written.
    pub fn salvage(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Vec<String>> {
        let from = std::path::absolute(from.as_ref())?;
        let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new(&from));
        let to = to.as_ref();
        // Another path would look the same where it is shown.
        let shown = to.display();
        let to = to.to_str().ok_or_else(|| Error::invalid(format!("the path '{shown}' is not text in UTF-8")))?;
        let salvaged = salvage(&vfs).map_err(|error| error.context(format!("\"{}\"", from.display())))?;
        Self::make_of(salvaged, to)
    }

    /// As [`Database::salvage`], of a directory tree that need not be one of the machine.
    #[doc(hidden)]
    pub fn salvage_in(vfs: Arc<dyn Vfs>, to: &str) -> Result<Vec<String>> {
        Self::make_of(salvage(&vfs)?, to)
    }

    fn make_of(salvaged: Salvaged, to: &str) -> Result<Vec<String>> {
        let Salvaged { saved, groups, files, mut lost } = salvaged;
        let database = Self::builder().build()?;
        let mut resumed = Resumed::default();
        if let Some((manifest, rows)) = saved {
            resumed.kept.extend(manifest.kept.iter());
            database.sequencer.task(&Interrupt::default(), move |sequencer| sequencer.load(&manifest, rows))?;
        }
        for (epoch, group) in groups {
            if let Err(error) = database.apply_salvaged(epoch, &group, &files, &mut resumed, &mut lost) {
                lost.push(format!("what was committed from epoch {epoch} on: {}", error.message()));
                break;
            }
        }
        let catalog = database.shared.version().catalog.clone();
        for follower in catalog.relations().filter(|relation| relation.kind.is_follower()) {
            let kind = follower.kind.name();
            lost.push(format!("what waited for the {kind} \"{}\": drop it and create it again", follower.name));
        }
        database.fill(catalog.in_order(), &resumed)?;
        let to = to.replace('\'', "''");
        database.connect()?.execute_batch(&format!("BACKUP DATABASE TO '{to}'"))?;
        Ok(lost)
    }

    fn apply_salvaged(
        &self,
        epoch: u64,
        group: &arrow::buffer::Buffer,
        files: &Arc<SegmentFiles>,
        resumed: &mut Resumed,
        lost: &mut Vec<String>,
    ) -> Result<()> {
        let mut records = self.records_of(epoch, group, files)?;
        for record in &mut records {
            resumed.kept.extend(maintained(record));
            let LogRecord::Commit { writes, .. } = record else { continue };
            for write in writes.iter_mut() {
                for rows in &mut write.inserts {
                    let Rows::Spooled(spooled) = rows else { continue };
                    let (whole, damaged) = spooled.whole_blocks();
                    let name = self.shared.version().name(RelationId(write.relation));
                    lost.extend(damaged.iter().map(|error| format!("rows of \"{name}\": {}", error.message())));
                    *spooled = Arc::new(whole);
                }
            }
            for write in writes.iter_mut().filter(|write| !write.deletes.is_empty()) {
                let (relation, deletes) = (RelationId(write.relation), std::mem::take(&mut write.deletes));
                let count = deletes.len();
                let there = move |sequencer: &mut Sequencer| Ok(sequencer.living(relation, &deletes));
                write.deletes = self.sequencer.task(&Interrupt::default(), there)?;
                if write.deletes.len() < count {
                    let name = self.shared.version().name(relation);
                    lost.push(format!(
                        "{} rows of \"{name}\" that epoch {epoch} deleted or changed were lost before",
                        count - write.deletes.len()
                    ));
                }
            }
        }
        self.replay_epoch(epoch, records, Views::Left).map_err(|error| Error::data(error.message()))
    }
}
