//! Changes of the catalog: CREATE, ALTER, DROP, REFRESH.
//!
//! A statement is computed from a version into a [`Proposal`]: a catalog delta, rows that come with it, and what was
//! read on the way. [`Definer::realize`] then makes the state that goes with it, on the caller's thread while commits
//! go on: it runs long for a view that is filled or a column that is converted. Both are functions of the version
//! alone, so that the door can have them made again, and so that replay, which has the delta from the log, takes the
//! second step only.
//!
//! - [`create`]: tables, streams, indexes.
//! - [`source`], [`sink`]: streams that a connector feeds; followers that go elsewhere.
//! - [`view`]: views and materialized views, replaced and refreshed.
//! - [`alter`]: columns and names.
//! - [`subscription`]: followers of relations.
//! - [`drop`]: relations and indexes.
//! - [`options`]: which options relations have.
//! - [`realize`]: from a delta to state.

mod alter;
mod create;
mod drop;
mod options;
mod realize;
mod sink;
mod source;
mod subscription;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::delta::{CatalogChange, CatalogDelta};
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::continuous::network::Rebuild;
use crate::db::commit::{Again, Commit, Ddl, NewView, Payload};
use crate::db::read::Reader;
use crate::db::session::Session;
use crate::db::shared::Shared;
use crate::db::transaction::Overlays;
use crate::db::version::Version;
use crate::db::write::Write;
use crate::plan::context::Parameters;
use crate::sql::statement::{AlterAction, Emit, Statement};
use crate::storage::log::Position;

pub use view::{build, carry_on, dependencies, plan};

/// How often a statement is computed again on its own thread before it is computed at the door, where others wait.
const ATTEMPTS: usize = 4;

/// What a statement comes to, for one version.
#[derive(Default)]
pub struct Proposal {
    /// What becomes of definitions; nothing is done if it is empty.
    delta: CatalogDelta,
    /// Rows that come along.
    writes: Vec<Write>,
    /// The tables and streams whose rows were looked at.
    reads: BTreeSet<RelationId>,
    /// How far sources are to have come with it.
    positions: Vec<Position>,
    /// What the user is told.
    notices: Vec<String>,
}

/// Who computes and realizes definitions: everything but the version.
#[derive(Clone)]
pub struct Definer {
    shared: Arc<Shared>,
    interrupt: Interrupt,
    parameters: Parameters,
    /// The settings that views are bound under.
    settings: BTreeMap<String, String>,
    /// Who is told how far a view has come that is filled again.
    rebuild: Option<Arc<Rebuild>>,
}

/// Runs a DDL statement.
pub fn run(session: &mut Session, statement: &Statement) -> Result<()> {
    let definer = Definer {
        shared: session.shared.clone(),
        interrupt: session.interrupt.clone(),
        parameters: session.no_parameters(),
        settings: session.settings.binding(),
        rebuild: None,
    };
    let statement = Arc::new(statement.clone());
    let mut attempt = 0;
    loop {
        attempt += 1;
        let version = session.version();
        let mut proposal = definer.propose(&version, &statement)?;
        let notices = std::mem::take(&mut proposal.notices);
        if proposal.delta.is_empty() {
            notices.into_iter().for_each(|notice| session.notice(notice));
            return Ok(());
        }
        let awaited = awaited(&version, &proposal.delta);
        if !awaited.is_empty() {
            let shared = &session.shared;
            shared.awaited.wait(&awaited, &|| shared.version(), &session.interrupt)?;
            attempt -= 1;
            continue;
        }
        let (reads, read_epoch) = (proposal.reads.clone(), version.epoch);
        let payload = definer.payload(&version, proposal)?;
        let again: Again = {
            let (definer, statement) = (definer.clone(), statement.clone());
            Box::new(move |version| definer.payload(version, definer.propose(version, &statement)?))
        };
        let again = (attempt == ATTEMPTS).then_some(again);
        let interrupt = session.interrupt.clone();
        match session.sequencer.commit(Commit { read_epoch, reads, payload, again, interrupt }) {
            Err(error) if error.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => continue,
            Err(error) => return Err(error),
            Ok(_) => notices.into_iter().for_each(|notice| session.notice(notice)),
        }
        release(session, &statement);
        return session.pumps.follow(&session.shared, &session.sequencer);
    }
}

/// The views that must have their rows before a change of the catalog can be realized: those read by change by who is
/// filled or follows.
fn awaited(version: &Version, delta: &CatalogDelta) -> Vec<RelationId> {
    let reads = delta.changes.iter().filter_map(|change| match change {
        CatalogChange::Maintain { view, kept: true } => Some(&view.dependencies),
        CatalogChange::Define(relation) if relation.kind.is_follower() => Some(&relation.dependencies),
        _ => None,
    });
    version.awaited(reads.flatten().copied())
}

/// Lets a source begin that was held when the database was opened.
fn release(session: &Session, statement: &Statement) {
    let Statement::Alter(alter) = statement else { return };
    let version = session.shared.version();
    if alter.actions.contains(&AlterAction::Resume)
        && let Some(source) = alter.relation.in_main().ok().and_then(|name| version.catalog.get(name))
    {
        session.pumps.release(source.id);
    }
}

/// What becomes of the materialized views that a definition brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Views {
    /// They are left out.
    Left,
    /// Those that are there already are made again as they were, others are left out.
    There,
    /// They are computed when they are read.
    Read,
    /// They are kept change by change, where the definition says so.
    Kept,
}

/// The definitions of a log record, made into state as they were the first time.
pub fn realize_logged(shared: &Arc<Shared>, version: &Arc<Version>, delta: &CatalogDelta, views: Views) -> Result<Ddl> {
    Definer::of_log(shared).realize(version, delta.clone(), views)
}

/// A materialized view as it was logged, planned and filled from a version.
pub fn restore_view(shared: &Arc<Shared>, version: &Arc<Version>, view: &Arc<Relation>, kept: bool) -> Result<NewView> {
    Definer::of_log(shared).new_view(version, view, kept)
}

/// A materialized view of the catalog filled again, unless its rebuild is called off.
pub fn rebuild_view(
    shared: &Arc<Shared>,
    version: &Arc<Version>,
    view: &Arc<Relation>,
    rebuild: &Arc<Rebuild>,
) -> Result<NewView> {
    let interrupt = rebuild.interrupt.clone();
    Definer { interrupt, rebuild: Some(rebuild.clone()), ..Definer::of_log(shared) }.new_view(version, view, true)
}

impl Definer {
    /// Who makes state of what a log says.
    fn of_log(shared: &Arc<Shared>) -> Self {
        Definer {
            shared: shared.clone(),
            interrupt: Interrupt::default(),
            parameters: Parameters::default(),
            settings: BTreeMap::new(),
            rebuild: None,
        }
    }

    /// What `statement` comes to in a version.
    fn propose(&self, version: &Arc<Version>, statement: &Statement) -> Result<Proposal> {
        match statement {
            Statement::CreateRelation(create) => self.create_relation(version, create),
            Statement::CreateView(create) => self.create_view(version, create),
            Statement::CreateIndex(create) => self.create_index(version, create),
            Statement::CreateSubscription(create) => self.create_subscription(version, create),
            Statement::CreateSink(create) => self.create_sink(version, create),
            Statement::Drop(drop) => self.drop(version, drop),
            Statement::Alter(alter) => self.alter(version, alter),
            Statement::Refresh { name } => self.refresh(version, name),
            _ => Err(Error::unsupported("this statement does not run yet")),
        }
    }

    fn payload(&self, version: &Arc<Version>, proposal: Proposal) -> Result<Payload> {
        if proposal.delta.is_empty() {
            return Ok(Payload::default());
        }
        let Proposal { delta, writes, positions, .. } = proposal;
        let ddl = Some(Box::new(self.realize(version, delta, Views::Kept)?));
        Ok(Payload { writes, ddl, positions })
    }

    /// A reader of a version, for the queries of definitions.
    fn reader(&self, version: &Arc<Version>) -> Reader<'_> {
        Reader::new(&self.shared, version.clone(), Overlays::new(), &self.parameters, &self.interrupt)
    }
}

impl Proposal {
    /// Nothing but a word to the user.
    fn notice(text: impl Into<String>) -> Self {
        Proposal { notices: vec![text.into()], ..Proposal::default() }
    }

    /// A change of the catalog alone.
    fn of(changes: Vec<CatalogChange>) -> Self {
        Proposal { delta: CatalogDelta::from(changes), ..Proposal::default() }
    }
}

/// `EMIT ON WINDOW CLOSE` needs watermarks that move.
pub fn refuse_emit(emit: Option<Emit>) -> Result<()> {
    match emit {
        None => Ok(()),
        Some(_) => Err(Error::unsupported("EMIT ON WINDOW CLOSE does not exist yet: watermarks do not move")
            .with_hint("without EMIT the view is current after every commit")),
    }
}

fn expect_kind(relation: &Relation, kinds: &[RelationKind]) -> Result<()> {
    match kinds.contains(&relation.kind) {
        true => Ok(()),
        false => {
            Err(Error::invalid(format!("\"{}\" is a {}", relation.name, relation.kind.name())).with_sqlstate("42809"))
        }
    }
}
