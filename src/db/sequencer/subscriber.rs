//! Who follows a relation or query, as the sequencer sees them.
//!
//! A subscriber gets one net difference an epoch, in the columns it began with: columns that its relation gains are not
//! shown to it, and when one that it has goes away, it ends with a reason. While its target fails, changes are held
//! back; on recovery they come as one.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, Result};
use crate::catalog::layout::Layout;
use crate::catalog::relation::RelationId;
use crate::continuous::circuit::Circuit;
use crate::continuous::network::{Changes, Failures, Network, ViewFailure, circuit_failure, guarded, inputs_of};
use crate::continuous::spec::CircuitSpec;
use crate::continuous::step::StepContext;
use crate::db::follower::Follower;
use crate::db::subscription::{EventKind, Queue, SubscriptionEvent, concat_changes};
use crate::state::consolidate::consolidate;
use crate::state::snapshot::Snapshot;

/// The rows of a target, in the columns of a layout.
pub type Rows<'a> = dyn Fn(&Layout) -> Option<Snapshot> + 'a;

/// Who gets the changes of what.
pub struct Subscriber {
    pub queue: Arc<Queue>,
    pub target: Target,
    /// The follower whose queue it is, where events are kept until they are acknowledged.
    pub follower: Option<Arc<Follower>>,
    schema: SchemaRef,
    progress: bool,
    /// Changes held back while the target fails.
    held: Vec<ChangeBatch>,
    /// Whether nothing in what is held cancels.
    held_is_net: bool,
    failed: bool,
    /// Why nothing more will come: a step broke off, so what is held is not all there was.
    broken: Option<String>,
}

impl Subscriber {
    /// What it holds back while its target fails, with the rows of the target by now as it is shown them.
    pub fn held_back(&self, rows: &Rows<'_>) -> Option<(Vec<ChangeBatch>, Option<Snapshot>)> {
        let Target::Relation { layout, .. } = &self.target else { return None };
        (self.failed || !self.held.is_empty()).then(|| (self.held.clone(), rows(layout)))
    }

    /// Holds these changes back until its target, which fails, has recovered.
    pub fn hold_back(&mut self, changes: Vec<ChangeBatch>) {
        (self.held, self.held_is_net, self.failed) = (changes, false, true);
    }
}

/// What a subscriber follows.
pub enum Target {
    /// A relation's own changes.
    Relation {
        id: RelationId,
        /// The columns that are shown.
        layout: Layout,
        /// Where they stand in the relation's changes; `None` where those have just these columns.
        places: Option<Vec<usize>>,
    },
    /// A query of its own.
    Query {
        circuit: Box<Circuit>,
        spec: Arc<CircuitSpec>,
        /// What the query names, through views whose query it runs as a part of its own.
        named: BTreeSet<RelationId>,
    },
}

impl Target {
    /// The changes of a relation, as it is laid out now.
    pub fn relation(id: RelationId, layout: Layout) -> Self {
        Target::Relation { id, layout, places: None }
    }

    /// Whether it follows `id`, directly or as a part of its query.
    pub fn follows(&self, id: RelationId) -> bool {
        match self {
            Target::Relation { id: followed, .. } => *followed == id,
            Target::Query { spec, named, .. } => named.contains(&id) || spec.inputs().contains(&id),
        }
    }

    /// Whether it gets the changes of `id` itself, so that an exact difference keeps it right.
    pub fn reads_changes_of(&self, id: RelationId) -> bool {
        match self {
            Target::Relation { id: followed, .. } => *followed == id,
            Target::Query { spec, .. } => spec.inputs().contains(&id),
        }
    }

    /// Goes on seeing the same columns of a relation that is laid out anew; false if one of them is gone.
    pub fn relayout(&mut self, relation: RelationId, now: &Layout) -> bool {
        match self {
            Target::Relation { id, .. } if *id != relation => true,
            Target::Relation { layout, places, .. } => {
                let found: Option<Vec<usize>> = layout.places(&now.ids).into_iter().collect();
                *places = found.clone().filter(|_| !layout.is_of(&now.ids));
                found.is_some()
            }
            Target::Query { circuit, spec, .. } => {
                circuit.relayout(relation, &now.ids);
                spec.columns_of(relation).all(|id| now.ids.contains(&id))
            }
        }
    }
}

impl Subscriber {
    /// Somebody who reads `queue`, from the next epoch on.
    pub fn new(queue: Arc<Queue>, target: Target, schema: SchemaRef, progress: bool) -> Self {
        let follower = None;
        let (held, held_is_net) = (Vec::new(), true);
        Subscriber { queue, target, follower, schema, progress, held, held_is_net, failed: false, broken: None }
    }

    /// A follower of a relation that is laid out like `layout` to it.
    pub fn of_follower(follower: Arc<Follower>, layout: Layout) -> Self {
        let (queue, schema) = (follower.queue().clone(), follower.schema().clone());
        let target = Target::relation(follower.relation, layout);
        Subscriber { follower: Some(follower), ..Subscriber::new(queue, target, schema, false) }
    }

    /// Nothing more will come, and why.
    pub fn end(&self, reason: &str, epoch: u64) {
        match &self.follower {
            Some(follower) => follower.expire(epoch, &format!("because {reason}")),
            None => self.queue.end(reason),
        }
    }

    /// Whether it still wants to be told something.
    pub fn is_open(&self) -> bool {
        !self.queue.is_closed() && self.broken.is_none()
    }

    /// Hands over what is to be told of an epoch.
    pub fn deliver(&self, event: Option<SubscriptionEvent>, epoch: u64, time_us: i64) {
        self.queue.advance(epoch);
        if let (Some(_), Some(event)) = (&self.follower, &event) {
            self.queue.keep(event.clone(), time_us);
        } else if let Some(event) = event {
            self.queue.push(event);
        }
        if let Some(reason) = &self.broken {
            self.end(reason, epoch);
        }
    }

    /// What this subscriber is told about an epoch, if anything.
    pub fn event(
        &mut self,
        changes: &Changes,
        network: &Network,
        failures: &Failures,
        cx: &StepContext<'_>,
        epoch: u64,
    ) -> Option<SubscriptionEvent> {
        let event = |kind, changes| Some(SubscriptionEvent { epoch, kind, changes });
        let failure = match self.advance(changes, network, failures, cx) {
            Ok(failure) => failure,
            Err(error) => return self.breaks(&error, epoch),
        };
        if let Some(reason) = failure {
            let told = std::mem::replace(&mut self.failed, true);
            return (!told).then(|| event(EventKind::Failed(reason), ChangeBatch::empty(self.schema.clone())))?;
        }
        self.failed = false;
        match self.net().and_then(|batches| concat_changes(&self.schema, &batches)) {
            Ok(changes) if !changes.is_empty() => event(EventKind::Change, changes),
            Ok(changes) if self.progress => event(EventKind::Progress, changes),
            Ok(_) => None,
            Err(error) => self.breaks(&error, epoch),
        }
    }

    /// The last event: after a step that broke off, no difference can be told any more.
    fn breaks(&mut self, error: &Error, epoch: u64) -> Option<SubscriptionEvent> {
        self.broken = Some(error.message().to_string());
        let kind = EventKind::Failed(error.message().to_string());
        Some(SubscriptionEvent { epoch, kind, changes: ChangeBatch::empty(self.schema.clone()) })
    }

    /// What is held, with nothing in it that cancels; nothing is held afterwards.
    fn net(&mut self) -> Result<Vec<ChangeBatch>> {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.held_is_net, true) || held.iter().all(ChangeBatch::is_ones) {
            true => Ok(held),
            false => consolidate(&held),
        }
    }

    /// Adds the epoch's change of the target to what is held; says why the target has no answer, if it has none.
    fn advance(
        &mut self,
        changes: &Changes,
        network: &Network,
        failures: &Failures,
        cx: &StepContext<'_>,
    ) -> Result<Option<String>> {
        let message = |failure: &Arc<ViewFailure>| failure.message.clone();
        match &mut self.target {
            Target::Relation { id, layout, places } => {
                let change = changes.get(id).map(Vec::as_slice).unwrap_or_default();
                // A view's change is net; a table's may hold a row that went and came back.
                self.held_is_net &= change.is_empty() || (self.held.is_empty() && network.contains(*id));
                for batch in change {
                    self.held.push(shown(batch, places.as_deref(), &layout.schema)?);
                }
                Ok(failures.get(id).map(message))
            }
            Target::Query { circuit, spec, .. } => {
                let inputs = inputs_of(spec, changes);
                if !inputs.is_empty() || spec.uses_now() {
                    let output = guarded(|| circuit.step(&inputs, cx))?;
                    self.held_is_net &= output.consolidated && self.held.is_empty();
                    self.held.extend(output.changes);
                }
                let below = spec.inputs().iter().find_map(|id| failures.get(id)).map(message);
                Ok(circuit_failure(circuit, "subscription").map(|failure| failure.message).or(below))
            }
        }
    }
}

/// A change of a relation in the columns that a subscriber began with.
fn shown(batch: &ChangeBatch, places: Option<&[usize]>, schema: &SchemaRef) -> Result<ChangeBatch> {
    let rows = batch.rows();
    if places.is_none() && Arc::ptr_eq(rows.schema_ref(), schema) {
        return Ok(batch.clone());
    }
    let columns = match places {
        Some(places) => places.iter().map(|&place| rows.column(place).clone()).collect(),
        None => rows.columns().to_vec(),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    batch.with_rows(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
