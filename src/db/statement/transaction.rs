//! BEGIN, COMMIT, ROLLBACK.

use crate::base::error::{Error, ErrorKind, Result};
use crate::db::session::Session;
use crate::db::table::prepare_keys;
use crate::db::transaction::OpenTransaction;

/// Opens a transaction over the current version.
pub fn begin(session: &mut Session, read_only: bool) -> Result<()> {
    if session.transaction.is_some() {
        return Err(Error::new(ErrorKind::Transaction, "there is a transaction already").with_sqlstate("25001"));
    }
    let (version, time_us) = (session.shared.version(), session.shared.now_us());
    session.transaction = Some(OpenTransaction::new(version, time_us, read_only));
    Ok(())
}

/// Makes what the transaction wrote one commit; the transaction is over whatever comes of it.
pub fn commit(session: &mut Session) -> Result<()> {
    let Some(open) = session.transaction.take() else {
        session.notice("there is no transaction to commit");
        return Ok(());
    };
    if open.failed.is_set() {
        return Err(
            Error::new(ErrorKind::Transaction, "the transaction had failed and was rolled back").with_sqlstate("25P02")
        );
    }
    let version = open.version.clone();
    if let Some(commit) = open.into_commit(&session.interrupt) {
        prepare_keys(&version.catalog, &commit.payload.writes, &session.interrupt)?;
        let committed = session.sequencer.commit(commit)?;
        session.tell_if_unpublished(committed);
    }
    Ok(())
}

/// Forgets what the transaction wrote.
pub fn rollback(session: &mut Session) {
    if session.transaction.take().is_none() {
        session.notice("there is no transaction to roll back");
    }
}
