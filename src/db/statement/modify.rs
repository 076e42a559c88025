//! Statements that change rows: into the open transaction, or through the door.

use std::sync::Arc;

use crate::base::error::{ErrorKind, Result};
use crate::db::commit::{Again, Commit};
use crate::db::outcome::Outcome;
use crate::db::session::Session;
use crate::db::statement::dml::{Dml, Modification, Modified};
use crate::db::table::prepare_keys;
use crate::db::transaction::{Overlays, decide_upsert};
use crate::db::version::Version;
use crate::db::write::Write;
use crate::plan::context::Parameters;

/// Runs a statement that changes rows.
pub fn modify(session: &mut Session, statement: Dml, parameters: &Parameters) -> Result<Outcome> {
    let modification = Modification {
        shared: session.shared.clone(),
        statement,
        parameters: parameters.clone(),
        interrupt: session.interrupt.clone(),
        time_us: session.time_us(),
    };
    match session.transaction.is_some() {
        true => add_to_transaction(session, &modification),
        false => commit(session, &modification),
    }
}

fn add_to_transaction(session: &mut Session, modification: &Modification) -> Result<Outcome> {
    let (version, overlays) = session.scope();
    let modified = modification.writes(&version, &overlays)?;
    let decided = modified.writes.into_iter().map(|write| decide_upsert(&version, &overlays, write));
    let writes = decided.collect::<Result<Vec<_>>>()?;
    let rows = modified.rows.unwrap_or_else(|| writes.iter().map(inserted_rows).sum());
    if let Some(open) = &mut session.transaction {
        open.reads.extend(modified.reads);
        open.add(&writes, &session.shared)?;
    }
    Ok(Outcome::Changed(rows))
}

/// Makes the statement a commit of its own. If what it read has changed when the door has it, it is computed again
/// there; a statement that read nothing and whose relation was altered is computed again here, where nobody waits.
fn commit(session: &mut Session, modification: &Modification) -> Result<Outcome> {
    let version = session.shared.version();
    let modified = modification.writes(&version, &Overlays::new())?;
    prepare_keys(&version.catalog, &modified.writes, &session.interrupt)?;
    let rows = modified.rows;
    let committed = match session.sequencer.commit(commit_of(modification, modified, &version)) {
        Err(error) if error.kind() == ErrorKind::Conflict && modification.can_run_again() => {
            let version = session.shared.version();
            let modified = modification.writes(&version, &Overlays::new())?;
            prepare_keys(&version.catalog, &modified.writes, &session.interrupt)?;
            session.sequencer.commit(commit_of(modification, modified, &version))?
        }
        committed => committed?,
    };
    session.tell_if_unpublished(committed);
    Ok(Outcome::Changed(rows.map_or(committed.inserted, |_| committed.inserted.max(committed.deleted))))
}

fn commit_of(modification: &Modification, modified: Modified, version: &Arc<Version>) -> Commit {
    let computed = modification.clone();
    let again: Again = Box::new(move |version| Ok(computed.writes(version, &Overlays::new())?.payload()));
    let again = (!modified.reads.is_empty()).then_some(again);
    let (read_epoch, reads, interrupt) = (version.epoch, modified.reads.clone(), modification.interrupt.clone());
    Commit { read_epoch, reads, payload: modified.payload(), again, interrupt }
}

fn inserted_rows(write: &Write) -> u64 {
    write.inserts.iter().map(|rows| rows.len() as u64).sum()
}
