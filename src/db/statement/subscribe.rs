//! SUBSCRIBE: attaching a reader to the changes of a relation or query.
//!
//! A relation that is kept is followed as it is; any other query gets a circuit of its own, filled from a version on
//! the caller's thread and carried over on the sequencer's. `AS OF e` begins with the difference between now and the
//! version of epoch e, both computed in batch. A subscription of the catalog goes on where it was acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::definitions::Catalog;
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::continuous::lower::lower;
use crate::continuous::network::{Built, Moment, circuit_failure, same_columns};
use crate::continuous::spec::CircuitSpec;
use crate::db::commit::{Commit, Payload};
use crate::db::follower::{Standing, not_followed};
use crate::db::names::resolve;
use crate::db::sequencer::Sequencer;
use crate::db::sequencer::followers::contents;
use crate::db::sequencer::subscriber::{Subscriber, Target};
use crate::db::session::Session;
use crate::db::shared::Shared;
use crate::db::statement::ddl::{build, dependencies, refuse_emit};
use crate::db::subscription::{EventKind, Queue, Subscription, SubscriptionEvent, concat_changes};
use crate::db::version::{Contents, Version};
use crate::plan::context::Parameters;
use crate::sql::name::Name;
use crate::sql::statement::Subscribe;
use crate::state::consolidate::consolidate;

/// Runs a SUBSCRIBE statement.
pub fn subscribe(session: &Session, clause: &Subscribe, parameters: &Parameters) -> Result<Subscription> {
    refuse_emit(clause.emit)?;
    let version = with_rows(session, clause, parameters)?;
    let reader = session.reader_of(&version, parameters).continuous();
    let planned = reader.plan(&clause.query)?;
    if let Some(function) = &planned.volatile {
        return Err(Error::invalid(format!("{function}() gives another value each time: it cannot be followed"))
            .with_sqlstate("0A000"));
    }
    let schema = planned.schema.clone();
    let first = match clause.as_of {
        Some(epoch) => First::Since(past_version(&session.shared, epoch)?),
        None if clause.snapshot.unwrap_or(true) => First::Snapshot,
        None => First::Nothing,
    };
    let kept = clause.relation.as_ref().and_then(|name| version.catalog.get(name.in_main().ok()?)).filter(|relation| {
        version.entries.get(&relation.id).is_some_and(|entry| matches!(entry.contents, Contents::Kept(_)))
    });
    let plan = match kept {
        Some(relation) => Plan::Relation(relation.clone()),
        None => {
            let spec = Arc::new(lower(&planned)?);
            let built = build(&session.shared, &session.interrupt, &version, &unnamed(&schema), &spec, None)?;
            let named = run_by(&version, dependencies(&reader, &clause.query, &planned));
            Plan::Query { spec, built: Box::new(built), named, base: version.catalog.clone() }
        }
    };
    let since = match &first {
        First::Since(past) => Some(evaluate(session, past, clause, parameters, &schema)?),
        _ => None,
    };
    let progress = clause.progress.unwrap_or(false);
    let with_snapshot = !matches!(first, First::Nothing);
    let (queue, schema_of) = (Queue::new(version.epoch), schema.clone());
    let handed = queue.clone();
    session.sequencer.task(&session.interrupt, move |sequencer| {
        let (target, now) = sequencer.follow(plan, with_snapshot)?;
        let epoch = sequencer.shared.version().epoch;
        let (kind, batches) = match since {
            None => (EventKind::Snapshot, now),
            Some(past) => {
                let past = past.iter().map(ChangeBatch::negate).collect::<Result<Vec<_>>>()?;
                (EventKind::Change, [now, past].concat())
            }
        };
        let rows: Vec<ChangeBatch> = batches.into_iter().map(|b| reschema(&b, &schema_of)).collect::<Result<_>>()?;
        let changes = concat_changes(&schema_of, &consolidate(&rows)?)?;
        if with_snapshot && (kind == EventKind::Snapshot || !changes.is_empty()) {
            handed.push(SubscriptionEvent { epoch, kind, changes });
        }
        handed.advance(epoch);
        sequencer.subscribers.push(Subscriber::new(handed, target, schema_of, progress));
        Ok(())
    })?;
    Ok(Subscription::new(queue, schema))
}

/// A version in which the rows are there of every kept view that the query reads: those that are being filled again
/// are waited for.
fn with_rows(session: &Session, clause: &Subscribe, parameters: &Parameters) -> Result<Arc<Version>> {
    loop {
        let version = session.shared.version();
        if !version.entries.values().any(|entry| matches!(entry.contents, Contents::Awaited { .. })) {
            return Ok(version);
        }
        let reader = session.reader_of(&version, parameters).continuous();
        let planned = reader.plan(&clause.query)?;
        let awaited = version.awaited(dependencies(&reader, &clause.query, &planned));
        if awaited.is_empty() {
            return Ok(version);
        }
        session.shared.awaited.wait(&awaited, &|| session.shared.version(), &session.interrupt)?;
    }
}

/// Runs SUBSCRIBE SUBSCRIPTION: reads from the first change on that is not acknowledged.
pub fn resume(session: &Session, name: &Name) -> Result<Subscription> {
    let version = session.shared.version();
    let (relation, standing) = standing_of(&version, name)?;
    match (standing.expired_error(&relation.name), session.shared.followers.get(relation.id)) {
        (Some(error), _) => Err(error),
        (None, Some(follower)) => follower.read(),
        (None, None) => Err(not_followed(&relation.name)),
    }
}

/// Runs ACKNOWLEDGE: returns when it is durable.
pub fn acknowledge(session: &mut Session, name: &Name, epoch: u64) -> Result<()> {
    let version = session.shared.version();
    let (relation, standing) = standing_of(&version, name)?;
    if let Some(error) = standing.expired_error(&relation.name) {
        return Err(error);
    }
    if epoch > version.epoch {
        return Err(Error::invalid(format!("epoch {epoch} has not happened yet: the last one is {}", version.epoch)));
    }
    let acknowledged = standing.acknowledged();
    if epoch <= acknowledged {
        session
            .notice(format!("subscription \"{}\" is acknowledged up to epoch {acknowledged} already", relation.name));
        return Ok(());
    }
    let payload = Payload { positions: vec![Standing::at(epoch).position(relation.id)], ..Payload::default() };
    let (reads, interrupt) = (BTreeSet::new(), session.interrupt.clone());
    let commit = Commit { read_epoch: version.epoch, reads, payload, again: None, interrupt };
    let committed = session.sequencer.commit(commit)?;
    session.tell_if_unpublished(committed);
    Ok(())
}

/// A subscription by name, and how far it has come.
fn standing_of(version: &Version, name: &Name) -> Result<(Arc<Relation>, Standing)> {
    let relation = resolve(&version.catalog, name)?;
    if relation.kind != RelationKind::Subscription {
        return Err(Error::invalid(format!("\"{}\" is a {}", relation.name, relation.kind.name()))
            .with_sqlstate("42809")
            .with_hint(format!("CREATE SUBSCRIPTION .. ON {} makes a subscription that lasts", relation.name)));
    }
    let standing = Standing::read(version.positions.get(relation.id, ""));
    let standing = standing.ok_or_else(|| Error::internal("a subscription that stands nowhere"))?;
    Ok((relation, standing))
}

/// What a subscription begins with.
enum First {
    Nothing,
    Snapshot,
    Since(Arc<Version>),
}

/// What is followed.
enum Plan {
    Relation(Arc<Relation>),
    Query {
        spec: Arc<CircuitSpec>,
        built: Box<Built>,
        /// What the query names, through views whose query it runs as a part of its own.
        named: BTreeSet<RelationId>,
        /// The catalog it was planned with.
        base: Arc<Catalog>,
    },
}

impl Sequencer {
    /// Attaches a target and gives its rows as of now, if they are wanted.
    fn follow(&mut self, plan: Plan, rows: bool) -> Result<(Target, Vec<ChangeBatch>)> {
        let epoch = self.shared.version().epoch;
        match plan {
            Plan::Relation(relation) => {
                let (id, version) = (relation.id, self.shared.version());
                if version.catalog.by_id(id).is_none_or(|now| !Arc::ptr_eq(now, &relation)) {
                    return Err(changed_meanwhile(&relation.name));
                }
                if let Some(failure) = self.network.failures().get(&id) {
                    return Err(failure.to_error(&relation.name));
                }
                let now = match &version.entry(id)?.contents {
                    Contents::Kept(snapshot) if rows => contents(snapshot)?,
                    _ => Vec::new(),
                };
                Ok((Target::relation(id, relation.layout()), now))
            }
            Plan::Query { spec, mut built, named, base } => {
                let catalog = self.shared.version().catalog.clone();
                if let Some(id) = named.iter().find(|id| !catalog.has_same(**id, &base)) {
                    return Err(changed_meanwhile(&base.by_id(*id).map(|r| r.name.clone()).unwrap_or_default()));
                }
                let (time_us, tables) = (self.time_us(), || self.table_snapshots(epoch));
                let moment = Moment { engine: &self.shared.engine, epoch, time_us, tables: &tables };
                self.network.catch_up(&spec, &mut built, &|id| self.layout(id), &moment, &Interrupt::default())?;
                let failures = self.network.failures();
                let below = spec.inputs().into_iter().find_map(|id| failures.get(&id).cloned());
                let own = circuit_failure(&built.maintained.circuit, "subscription").map(Arc::new);
                if let Some(failure) = below.or(own) {
                    return Err(failure.to_error("subscription"));
                }
                let snapshot = built.maintained.contents.arena().snapshot(epoch);
                let now = if rows { contents(&snapshot)? } else { Vec::new() };
                Ok((Target::Query { circuit: Box::new(built.maintained.circuit), spec, named }, now))
            }
        }
    }
}

/// The relations that a query names, and those named by the views among them that are not kept: their query is a part
/// of its own, while of a view that is kept it gets the changes.
fn run_by(version: &Version, names: Vec<RelationId>) -> BTreeSet<RelationId> {
    let (mut found, mut open) = (BTreeSet::new(), names);
    while let Some(id) = open.pop() {
        let kept = version.entries.get(&id).is_some_and(|entry| matches!(entry.contents, Contents::Kept(_)));
        if found.insert(id) && !kept {
            open.extend(version.catalog.by_id(id).into_iter().flat_map(|relation| &relation.dependencies));
        }
    }
    found
}

/// The refusal of a subscription whose query was overtaken by a change of the catalog.
fn changed_meanwhile(name: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("the definition of \"{name}\" was changed meanwhile"))
        .with_hint("subscribe again")
}

fn reschema(batch: &ChangeBatch, schema: &SchemaRef) -> Result<ChangeBatch> {
    batch.with_rows(batch.rows().clone().with_schema(schema.clone())?)
}

/// The version of a past epoch, or an error that names the oldest there is.
fn past_version(shared: &Shared, epoch: u64) -> Result<Arc<Version>> {
    let history = shared.history.lock();
    let current = shared.version().epoch;
    if epoch > current {
        return Err(Error::invalid(format!("epoch {epoch} has not happened yet: the last one is {current}")));
    }
    let oldest = history.front().map_or(current, |version| version.epoch);
    // Epochs are published one by one, so the version of an epoch is there or too old.
    history.iter().rev().find(|version| version.epoch == epoch).cloned().ok_or_else(|| {
        Error::invalid(format!("epoch {epoch} is no longer kept: the oldest is {oldest}"))
            .with_sqlstate("72000")
            .with_hint(
                "SUBSCRIBE without AS OF begins with a snapshot; past versions go when the database is closed, while \
                 CREATE SUBSCRIPTION makes changes wait until they are acknowledged",
            )
    })
}

/// The rows of the query at a past version.
fn evaluate(
    session: &Session,
    version: &Arc<Version>,
    clause: &Subscribe,
    parameters: &Parameters,
    schema: &SchemaRef,
) -> Result<Vec<ChangeBatch>> {
    let reader = session.reader_of(version, parameters);
    let planned = reader.plan(&clause.query)?;
    if !same_columns(&planned.schema, schema) {
        let message = format!("the query had other columns at epoch {}", version.epoch);
        return Err(Error::invalid(message).with_hint("SUBSCRIBE without AS OF begins with a snapshot"));
    }
    Ok(reader.collect(&planned)?.into_iter().map(ChangeBatch::inserts).collect())
}

/// The definition a subscription's circuit is built with.
fn unnamed(schema: &SchemaRef) -> Relation {
    Relation::new(RelationId(u64::MAX), "subscription", RelationKind::MaterializedView, schema.clone())
}
