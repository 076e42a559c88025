//! BACKUP DATABASE and PRAGMA integrity_check: the files of the database as a whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use crate::base::error::{Error, Result};
use crate::base::vfs::{RealVfs, Vfs};
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::db::checkpoint::{Checkpoint, Kept, manifest_at};
use crate::db::session::Session;
use crate::db::statement::verify::verify_relation;
use crate::db::system::Table;
use crate::db::table::{check_not_null, enforced};
use crate::db::unique_key::UniqueKey;
use crate::db::version::{Contents, Version};
use crate::storage::directory::{create_with, is_database};
use crate::storage::log;
use crate::storage::store::{self, Store};

/// Bytes of rows that stay in memory while they are written: a backup is not read again.
const CACHE_BYTES: u64 = 0;

/// Writes what there is at one epoch to a directory of its own, a database like any other. Commits go on meanwhile.
///
/// # Errors
/// The directory is not empty or may not be written, the disk failed or is full, or the statement was cancelled; what
/// was written so far is removed then.
pub fn backup(session: &Session, directory: &str) -> Result<()> {
    session.refuse_in_transaction("BACKUP DATABASE")?;
    let path = session.shared.access.writable(Path::new(directory))?;
    refuse_inside(&path)?;
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new(&path));
    // Between two epochs, so that what waits for followers is what they were told up to this one.
    let checkpoint = session.sequencer.task(&session.interrupt, |sequencer| {
        sequencer.refuse_to_copy()?;
        let shared = &sequencer.shared;
        Ok(checkpoint_of(&shared.version(), shared.next_relation(), sequencer.kept_for_followers()))
    })?;
    create_with(&vfs, &|database| {
        log::create(vfs.clone(), database, checkpoint.manifest.epoch + 1)?;
        let (store, _) = Store::open(vfs.clone(), database, CACHE_BYTES)?;
        let named = store.begin(Duration::ZERO);
        let mut named = named.ok_or_else(|| Error::internal("a new database is being saved already"))?;
        checkpoint.copy(&store, &mut named, &session.interrupt)
    })
    .map_err(|error| error.context(format!("\"{directory}\"")))
}

/// A copy in the directory of a database would go with it.
///
/// # Errors
/// The path lies in such a directory (58P01).
pub fn refuse_inside(path: &Path) -> Result<()> {
    match path.ancestors().skip(1).find(|directory| is_database(&RealVfs::new(*directory))) {
        None => Ok(()),
        Some(outer) => {
            let what = format!("'{}' lies in the directory of a database, '{}'", path.display(), outer.display());
            Err(Error::invalid(what).with_sqlstate("58P01").with_hint("give a directory outside of it"))
        }
    }
}

/// All that is there at a version.
fn checkpoint_of(version: &Version, next_relation: u64, held: BTreeMap<RelationId, Kept>) -> Checkpoint {
    let mut manifest = manifest_at(version, 1, next_relation);
    // A copy does not read what the original reads.
    manifest.relations.iter_mut().for_each(|relation| *relation = Arc::new(relation.at_rest()));
    let mut tables = BTreeMap::new();
    for relation in version.catalog.relations().filter(|relation| relation.kind.is_stored()) {
        if let Some(Contents::Kept(rows)) = version.entries.get(&relation.id).map(|entry| &entry.contents) {
            tables.insert(relation.id, rows.saving());
        }
    }
    Checkpoint { manifest, tables, held, written_before: 0 }
}

/// Looks at everything that could be wrong: the checksums of all files, keys, NOT NULL, views against their queries. A
/// row for each finding, or one that says `ok`.
pub fn integrity_check(session: &Session) -> Result<RecordBatch> {
    let version = session.shared.version();
    let mut found: Vec<(String, String)> = Vec::new();
    let mut note = |what: &str, result: Result<()>| match result {
        Err(error) if session.interrupt.is_cancelled() => Err(error),
        Err(error) => {
            found.push((what.to_string(), error.message().to_string()));
            Ok(())
        }
        Ok(()) => Ok(()),
    };
    let files = match (session.sequencer.store(), session.shared.followed.get()) {
        (Some(store), _) => Ok(store.check(&session.interrupt)),
        (None, Some((vfs, database))) => store::check(vfs, *database, &session.interrupt),
        (None, None) => Ok(Vec::new()),
    };
    match files {
        Ok(files) => files.into_iter().try_for_each(|(file, result)| note(&file, result))?,
        Err(error) => note("directory", Err(error))?,
    }
    for relation in version.catalog.relations() {
        session.interrupt.check()?;
        let result = match relation.kind {
            RelationKind::MaterializedView => verify_relation(session, &version, relation).map(drop),
            kind if !kind.is_stored() => Ok(()),
            _ => check_rows(session, &version, relation),
        };
        note(&format!("{} {}", relation.kind.name(), relation.name), result)?;
    }
    if found.is_empty() {
        found.push(("database".to_string(), "ok".to_string()));
    }
    Table::new()
        .text("object", found.iter().map(|(object, _)| Some(object)))
        .text("result", found.iter().map(|(_, result)| Some(result)))
        .build()
}

/// Reads all rows of a table or stream; an error if a value or key is there that may not be.
fn check_rows(session: &Session, version: &Version, relation: &Relation) -> Result<()> {
    let Contents::Kept(rows) = &version.entry(relation.id)?.contents else { return Ok(()) };
    for chunk in 0..rows.chunks() {
        session.interrupt.check()?;
        if let Some(batch) = rows.read_chunk(chunk, None, false)? {
            check_not_null(relation, &batch)?;
        }
    }
    enforced(relation).try_for_each(|(name, places)| UniqueKey::build(relation, name, &places, rows).map(drop))
}
