//! Sessions: what the statements of one user share beside the database.
//!
//! A [`Session`] holds the open transaction, prepared statements, settings, what is to be told to the user, and the
//! interrupt that calls the running statement off. Every statement (`statement/`) runs in one, one after another: who
//! owns the session sees to that ([`crate::db::connection::Connection`]).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::db::commit::Committed;
use crate::db::pump::Pumps;
use crate::db::read::Reader;
use crate::db::sequencer::SequencerHandle;
use crate::db::settings::Settings;
use crate::db::shared::Shared;
use crate::db::transaction::{OpenTransaction, Overlays};
use crate::db::version::Version;
use crate::plan::context::Parameters;
use crate::sql::statement::Statement;

/// One user's session.
pub struct Session {
    pub shared: Arc<Shared>,
    /// Dropped before the sequencer, which its threads hold.
    pub pumps: Arc<Pumps>,
    pub sequencer: SequencerHandle,
    /// Calls the running statement off.
    pub interrupt: Interrupt,
    pub settings: Settings,
    pub transaction: Option<OpenTransaction>,
    /// The statements that PREPARE gave a name.
    pub prepared: HashMap<String, Statement>,
    /// What is to be told to the user; not under the session's lock, which a running statement holds.
    notices: Arc<Mutex<Vec<String>>>,
}

impl Session {
    /// A session in which nothing has happened yet.
    pub fn new(
        shared: Arc<Shared>,
        (pumps, sequencer): (Arc<Pumps>, SequencerHandle),
        interrupt: Interrupt,
        notices: Arc<Mutex<Vec<String>>>,
    ) -> Self {
        Session {
            shared,
            pumps,
            sequencer,
            interrupt,
            settings: Settings::default(),
            transaction: None,
            prepared: HashMap::new(),
            notices,
        }
    }

    /// The version the next statement reads, and what the open transaction wrote on top.
    pub fn scope(&self) -> (Arc<Version>, Overlays) {
        match &self.transaction {
            Some(open) => (open.version.clone(), open.overlays.clone()),
            None => (self.shared.version(), Overlays::new()),
        }
    }

    /// The version the next statement reads: the transaction's, or the current one.
    pub fn version(&self) -> Arc<Version> {
        self.transaction.as_ref().map_or_else(|| self.shared.version(), |open| open.version.clone())
    }

    /// A reader of what the next statement sees, at the time of the transaction if there is one.
    pub fn reader<'a>(&'a self, parameters: &'a Parameters) -> Reader<'a> {
        let (version, overlays) = self.scope();
        let time_us = self.transaction.as_ref().map_or(version.time_us, |open| open.time_us);
        Reader::new(&self.shared, version, overlays, parameters, &self.interrupt).at(time_us)
    }

    /// A reader of a version alone.
    pub fn reader_of<'a>(&'a self, version: &Arc<Version>, parameters: &'a Parameters) -> Reader<'a> {
        Reader::new(&self.shared, version.clone(), Overlays::new(), parameters, &self.interrupt)
    }

    /// What a statement without parameters is planned with: the session's time zone.
    pub fn no_parameters(&self) -> Parameters {
        Parameters { zone: self.settings.zone, ..Parameters::default() }
    }

    /// The time of the statement that begins now, or of the open transaction.
    pub fn time_us(&self) -> i64 {
        self.transaction.as_ref().map_or_else(|| self.shared.now_us(), |open| open.time_us)
    }

    /// An error if a transaction is open.
    pub fn refuse_in_transaction(&self, what: &str) -> Result<()> {
        match self.transaction.is_some() {
            true => Err(Error::new(ErrorKind::Transaction, format!("{what} cannot run inside a transaction"))
                .with_sqlstate("25001")
                .with_hint("COMMIT or ROLLBACK first")),
            false => Ok(()),
        }
    }

    /// Keeps a message to the user that is no error.
    pub fn notice(&mut self, text: impl Into<String>) {
        self.notices.lock().push(text.into());
    }

    /// Says so where the wait was called off after the commit had passed the door.
    pub fn tell_if_unpublished(&mut self, committed: Committed) {
        if !committed.published {
            let epoch = committed.epoch;
            self.notice(format!(
                "the wait was called off, not the change: it is committed as epoch {epoch} and will be seen when the views are up to date"
            ));
        }
    }
}
