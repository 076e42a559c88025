//! Maintained views as the sequencer holds them: a circuit, its result, and how it fails.
//!
//! A view's contents at an epoch are its query over the relations at that epoch, because every step hands the circuit
//! exactly that epoch's changes. A view whose whole plan is recomputed keeps nothing and is computed when read.
//! A failing row fails the view until the row is gone; a failing step detaches it until REFRESH.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::relation::{Relation, RelationId};
use crate::continuous::circuit::{Circuit, StepContext};
use crate::continuous::spec::CircuitSpec;
use crate::db::version::ViewFailure;
use crate::state::consolidate::consolidate;
use crate::state::row_set::RowSet;
use crate::state::snapshot::Snapshot;

/// Changes of one step, by relation.
pub type Changes = HashMap<RelationId, Vec<ChangeBatch>>;

/// How a view is kept.
pub enum Upkeep {
    /// Change by change.
    Maintained(Box<Maintained>),
    /// Not at all: computed when first read in a version.
    Lazy,
    /// Not any more: a step failed.
    Detached(Arc<ViewFailure>),
}

/// A running circuit and its result.
pub struct Maintained {
    pub circuit: Circuit,
    pub contents: RowSet,
}

/// A materialized view.
pub struct ViewState {
    pub relation: Arc<Relation>,
    pub spec: Arc<CircuitSpec>,
    pub upkeep: Upkeep,
}

impl ViewState {
    /// The view's failure of its own, not of a view below it.
    pub fn own_failure(&self) -> Option<Arc<ViewFailure>> {
        match &self.upkeep {
            Upkeep::Maintained(maintained) => circuit_failure(&maintained.circuit, &self.relation.name).map(Arc::new),
            Upkeep::Lazy => None,
            Upkeep::Detached(failure) => Some(failure.clone()),
        }
    }

    /// The rows the view keeps, if it keeps any.
    pub fn contents(&self) -> Option<&RowSet> {
        match &self.upkeep {
            Upkeep::Maintained(maintained) => Some(&maintained.contents),
            _ => None,
        }
    }

    /// Carries one epoch's changes through the view; returns the view's own, consolidated.
    /// A failing step detaches the view and returns no change.
    pub fn step(&mut self, changes: &Changes, cx: &StepContext<'_>, epoch: u64) -> Vec<ChangeBatch> {
        let Upkeep::Maintained(maintained) = &mut self.upkeep else { return Vec::new() };
        let inputs = inputs_of(&self.spec, changes);
        if inputs.is_empty() {
            return Vec::new();
        }
        match guarded(|| maintained.step(&inputs, cx, epoch)) {
            Ok(changes) => changes,
            Err(error) => {
                self.upkeep = Upkeep::Detached(Arc::new(ViewFailure {
                    view: self.relation.name.clone(),
                    message: error.message().to_string(),
                    sqlstate: error.sqlstate(),
                    row: None,
                    detached: true,
                }));
                Vec::new()
            }
        }
    }
}

impl Maintained {
    /// A view over what `snapshots` hold; its rows carry `epoch`.
    pub fn build(
        spec: &CircuitSpec,
        relation: &Relation,
        snapshots: &[(RelationId, Snapshot)],
        cx: &StepContext<'_>,
        epoch: u64,
    ) -> Result<Self> {
        let mut circuit = Circuit::new(spec)?;
        let contents = RowSet::new(relation.schema.clone(), spec.unique_key().map(<[usize]>::to_vec))?;
        let output = guarded(|| circuit.build(snapshots, cx))?;
        let mut maintained = Maintained { circuit, contents };
        maintained.keep(output.changes, output.consolidated, epoch)?;
        Ok(maintained)
    }

    /// One step; returns the consolidated change.
    pub fn step(
        &mut self,
        inputs: &[(RelationId, Vec<ChangeBatch>)],
        cx: &StepContext<'_>,
        epoch: u64,
    ) -> Result<Vec<ChangeBatch>> {
        let output = self.circuit.step(inputs, cx)?;
        self.keep(output.changes, output.consolidated, epoch)
    }

    fn keep(&mut self, changes: Vec<ChangeBatch>, consolidated: bool, epoch: u64) -> Result<Vec<ChangeBatch>> {
        let net = consolidated || changes.iter().all(ChangeBatch::is_ones);
        let changes = if net { changes } else { consolidate(&changes)? };
        self.contents.apply_all(&changes, epoch)?;
        Ok(changes)
    }
}

/// The changes of the relations a circuit reads, in its order; none if nothing it reads has changed.
pub fn inputs_of(spec: &CircuitSpec, changes: &Changes) -> Vec<(RelationId, Vec<ChangeBatch>)> {
    spec.inputs().into_iter().filter_map(|id| changes.get(&id).map(|batches| (id, batches.clone()))).collect()
}

/// What fails a circuit now, if anything does.
pub fn circuit_failure(circuit: &Circuit, view: &str) -> Option<ViewFailure> {
    circuit.first_error().map(|(error, row)| ViewFailure {
        view: view.to_string(),
        message: error.message().to_string(),
        sqlstate: error.sqlstate(),
        row: Some(row.to_string()),
        detached: false,
    })
}

/// Runs a step; a panic in it becomes an error, for one view's defect must not take the database down.
pub fn guarded<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown".into());
        Err(Error::new(ErrorKind::Internal, format!("a step panicked: {text}"))
            .with_hint("this is a defect in eddydb: please report it"))
    })
}
