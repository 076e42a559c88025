//! SUBSCRIBE: attaching a reader to the changes of a relation or query.
//!
//! A relation that is kept is followed as it is; any other query gets a circuit of its own, filled from a version on
//! the caller's thread and carried over on the sequencer's. `AS OF e` begins with the difference between now and the
//! version of epoch e, both computed in batch.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::relation::{Relation, RelationId, RelationKind};
use crate::continuous::lower::lower;
use crate::db::connection::Connection;
use crate::db::ddl::{Built, build, refuse_emit};
use crate::db::read::Reader;
use crate::db::sequencer::{Sequencer, Subscriber, Target};
use crate::db::subscription::{EventKind, Queue, Subscription, SubscriptionEvent, concat_changes};
use crate::db::transaction::Overlays;
use crate::db::version::{Contents, Version};
use crate::db::view::circuit_failure;
use crate::plan::context::Parameters;
use crate::sql::statement::Subscribe;
use crate::state::consolidate::consolidate;

/// Runs a SUBSCRIBE statement.
pub fn subscribe(connection: &Connection, clause: &Subscribe, parameters: &Parameters) -> Result<Subscription> {
    refuse_emit(clause.emit)?;
    let shared = &connection.database.shared;
    let version = shared.version();
    let reader = Reader::new(shared, version.clone(), Overlays::new(), parameters, &connection.interrupt).continuous();
    let planned = reader.plan(&clause.query)?;
    if let Some(function) = &planned.volatile {
        return Err(Error::invalid(format!("{function}() gives another value each time: it cannot be followed"))
            .with_sqlstate("0A000"));
    }
    let schema = planned.schema.clone();
    let first = match clause.as_of {
        Some(epoch) => First::Since(past_version(connection, epoch)?),
        None if clause.snapshot.unwrap_or(true) => First::Snapshot,
        None => First::Nothing,
    };
    let kept = clause.relation.as_ref().and_then(|name| version.catalog.get(name.in_main().ok()?)).filter(|relation| {
        version.entries.get(&relation.id).is_some_and(|entry| matches!(entry.contents, Contents::Kept(_)))
    });
    let plan = match kept {
        Some(relation) => Plan::Relation(relation.id),
        None => {
            let spec = Arc::new(lower(&planned)?);
            let built = build(connection, &version, &unnamed(&schema), &spec)?;
            Plan::Query(spec, Box::new(built))
        }
    };
    let since = match &first {
        First::Since(past) => Some(evaluate(connection, past, clause, parameters)?),
        _ => None,
    };
    let progress = clause.progress.unwrap_or(false);
    let with_snapshot = !matches!(first, First::Nothing);
    let (queue, schema_of) = (Queue::new(version.epoch), schema.clone());
    let handed = queue.clone();
    connection.database.sequencer.task(move |sequencer| {
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

/// What a subscription begins with.
enum First {
    Nothing,
    Snapshot,
    Since(Arc<Version>),
}

/// What is followed.
enum Plan {
    Relation(RelationId),
    Query(Arc<crate::continuous::spec::CircuitSpec>, Box<Built>),
}

impl Sequencer {
    /// Attaches a target and gives its rows as of now, if they are wanted.
    fn follow(&mut self, plan: Plan, rows: bool) -> Result<(Target, Vec<ChangeBatch>)> {
        let epoch = self.shared.version().epoch;
        match plan {
            Plan::Relation(id) => {
                let now = match self.snapshots(epoch).kept.get(&id) {
                    Some(snapshot) if rows => contents(snapshot)?,
                    Some(_) => Vec::new(),
                    None => return Err(Error::new(ErrorKind::NotFound, "the relation was dropped")),
                };
                if let Some(failure) = self.failures().get(&id) {
                    return Err(failure.to_error(&self.shared.version().name(id)));
                }
                Ok((Target::Relation(id), now))
            }
            Plan::Query(spec, mut built) => {
                self.catch_up(&mut built, epoch)?;
                let failures = self.failures();
                let below = spec.inputs().into_iter().find_map(|id| failures.get(&id).cloned());
                let own = circuit_failure(&built.maintained.circuit, "subscription").map(Arc::new);
                if let Some(failure) = below.or(own) {
                    return Err(failure.to_error("subscription"));
                }
                let snapshot = built.maintained.contents.arena().snapshot(epoch);
                let now = if rows { contents(&snapshot)? } else { Vec::new() };
                Ok((Target::Query { circuit: Box::new(built.maintained.circuit), spec }, now))
            }
        }
    }
}

fn contents(snapshot: &crate::state::snapshot::Snapshot) -> Result<Vec<ChangeBatch>> {
    let mut batches = Vec::new();
    for chunk in 0..snapshot.chunks() {
        batches.extend(snapshot.read_chunk(chunk, None, false)?.map(ChangeBatch::inserts));
    }
    Ok(batches)
}

fn reschema(batch: &ChangeBatch, schema: &SchemaRef) -> Result<ChangeBatch> {
    batch.with_rows(batch.rows().clone().with_schema(schema.clone())?)
}

/// The version of a past epoch, or an error that names the oldest there is.
fn past_version(connection: &Connection, epoch: u64) -> Result<Arc<Version>> {
    let shared = &connection.database.shared;
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
            .with_hint("SUBSCRIBE without AS OF begins with a snapshot")
    })
}

/// The rows of the query at a past version.
fn evaluate(
    connection: &Connection,
    version: &Arc<Version>,
    clause: &Subscribe,
    parameters: &Parameters,
) -> Result<Vec<ChangeBatch>> {
    let shared = &connection.database.shared;
    let reader = Reader::new(shared, version.clone(), Overlays::new(), parameters, &connection.interrupt);
    let planned = reader.plan(&clause.query)?;
    Ok(reader.collect(&planned)?.into_iter().map(ChangeBatch::inserts).collect())
}

/// The definition a subscription's circuit is built with.
fn unnamed(schema: &SchemaRef) -> Relation {
    Relation::new(RelationId(u64::MAX), "subscription", RelationKind::MaterializedView, schema.clone())
}
