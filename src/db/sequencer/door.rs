//! The door: one commit, whole or not at all.
//!
//! Everything that can refuse a commit is asked here, before anything is changed: whether it still holds of the
//! version at hand (what it read, the columns its rows have, the definitions it names), the constraints of tables, the
//! memory it needs, the carrying over of what it brings ready-made. What is admitted is plain: a record for the log,
//! and state to be put in place. Putting it in place cannot fail; if it does all the same, that is a defect, and the
//! database is poisoned rather than half changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::change::ChangeBatch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::delta::{CatalogChange, CatalogDelta};
use crate::catalog::layout::Layout;
use crate::catalog::relation::{Relation, RelationId};
use crate::continuous::network::{Moment, Upkeep, ViewState, guarded};
use crate::db::commit::{Commit, Committed, Ddl, NewView, Payload, TableChange};
use crate::db::follower::Standing;
use crate::db::held::Waiting;
use crate::db::sequencer::{Group, Sequencer, poisoned};
use crate::db::table::TableState;
use crate::db::version::Version;
use crate::db::write::Write;
use crate::storage::log::{LogRecord, Position, RelationWrite};
use crate::storage::spool::Rows;

/// A commit that passed: nothing about it can be refused any more but for want of room in the log.
pub(super) struct Admitted {
    /// What it does to the catalog.
    delta: CatalogDelta,
    writes: Vec<RelationWrite>,
    positions: Vec<Position>,
    ddl: Option<Box<Ddl>>,
    /// How the contents of views that are made again differ from what was shown; `None` where nobody can be told.
    differences: Vec<(RelationId, Option<Vec<ChangeBatch>>)>,
}

/// A commit as a log has it.
pub struct Replayed {
    /// Its rows; those it deletes are read where they are not there.
    pub writes: Vec<RelationWrite>,
    /// Its definitions, with the state that goes with them.
    pub ddl: Option<Box<Ddl>>,
    /// How far sources, sinks and subscribers had come with it.
    pub positions: Vec<Position>,
}

impl Sequencer {
    /// Lets one commit through, or refuses it and leaves no trace of it.
    pub(super) fn pass(&mut self, commit: Commit, group: &mut Group) -> Result<Committed> {
        if let Some(reason) = &self.poisoned {
            return Err(poisoned(reason));
        }
        if self.is_read_only {
            return Err(read_only());
        }
        let admitted = guarded(|| {
            commit.interrupt.check()?;
            let interrupt = commit.interrupt.clone();
            let payload = self.current(commit, group)?;
            self.admit(payload, group, &interrupt)
        })?;
        let mut committed = Committed { epoch: group.epoch, inserted: 0, deleted: 0, published: true };
        for write in &admitted.writes {
            committed.deleted += write.deletes.len();
            committed.inserted += write.inserted() as u64;
        }
        if committed.deleted + committed.inserted > 0 || admitted.ddl.is_some() || !admitted.positions.is_empty() {
            self.enter(admitted, group)?;
        }
        Ok(committed)
    }

    /// Gives what was admitted to the log, which may have no room for it, and puts it in place.
    fn enter(&mut self, admitted: Admitted, group: &mut Group) -> Result<()> {
        let Admitted { delta: catalog, writes, positions, ddl, differences } = admitted;
        let record = LogRecord::Commit { epoch: group.epoch, time_us: group.time_us, catalog, writes, positions };
        self.stage(&record, group)?;
        let LogRecord::Commit { writes, mut positions, .. } = record else {
            return Err(Error::internal("a commit became something else"));
        };
        group.positions.append(&mut positions);
        guarded(|| self.put_in_place(&writes, ddl, differences, group))
            .inspect_err(|error| self.poison(error.message()))
    }

    /// Applies the records of an epoch of a log: what the door decided once, it does not decide again.
    pub fn replay(&mut self, epoch: u64, time_us: i64, records: Vec<Replayed>) -> Result<()> {
        let mut group = Group { is_replayed: true, ..Group::new(epoch, time_us) };
        if records.is_empty() {
            self.stage(&LogRecord::Tick { epoch, time_us }, &mut group)?;
        }
        for Replayed { mut writes, mut ddl, positions } in records {
            for write in writes.iter_mut().filter(|write| self.is_told(write)) {
                match self.tables.get(&RelationId(write.relation)) {
                    Some(table) => table.read_for(write)?,
                    None if write.deletes.is_empty() => {}
                    None => return Err(Error::internal("rows of a relation that is gone were deleted")),
                }
            }
            let differences = match &mut ddl {
                Some(ddl) => self.carry_over(&mut ddl.views, &group, &Interrupt::default())?,
                None => Vec::new(),
            };
            let delta = ddl.as_ref().map(|ddl| ddl.delta.clone()).unwrap_or_default();
            self.enter(Admitted { delta, writes, positions, ddl, differences }, &mut group)?;
        }
        self.replays = true;
        let closed = self.close(&mut group);
        self.replays = false;
        closed
    }

    /// The commit's payload, made again if it does not hold of the version at hand.
    fn current(&self, commit: Commit, group: &Group) -> Result<Payload> {
        let version = self.shared.version();
        match (self.stale(&commit, group, &version), commit.again) {
            (None, _) => Ok(commit.payload),
            (Some(_), Some(again)) => again(&version),
            (Some(reason), None) => Err(Error::new(ErrorKind::Conflict, reason).with_hint("run the transaction again")),
        }
    }

    /// Why the commit must be made again, if it must.
    fn stale(&self, commit: &Commit, group: &Group, version: &Version) -> Option<String> {
        let changed = |id: &&RelationId| version.changed(**id) > commit.read_epoch || group.changes.contains_key(id);
        if let Some(id) = commit.reads.iter().find(changed) {
            let name = version.name(*id);
            return Some(format!("\"{name}\" was changed by another commit since this transaction read it"));
        }
        let altered = |write: &&Write| {
            self.tables.get(&write.relation).is_some_and(|table| table.relation.columns != write.columns)
        };
        if let Some(write) = commit.payload.writes.iter().find(altered) {
            let name = version.name(write.relation);
            return Some(format!("the columns of \"{name}\" were changed by another commit since this one was made"));
        }
        let ddl = commit.payload.ddl.as_ref()?;
        let holds = version.catalog.still_takes(&ddl.delta, &ddl.base);
        (!holds).then(|| "a definition was changed by another commit meanwhile".to_string())
    }

    /// Asks everything that can refuse the payload. Changes nothing.
    fn admit(&self, payload: Payload, group: &Group, interrupt: &Interrupt) -> Result<Admitted> {
        let Payload { writes, mut ddl, mut positions } = payload;
        let mut admitted: BTreeMap<u64, RelationWrite> = BTreeMap::new();
        for write in writes {
            let table = self.table_of(write.relation, ddl.as_deref())?;
            assert_eq!(table.relation.columns, write.columns, "rows made for other columns passed the door");
            let write = table.admit(write)?;
            if admitted.insert(write.relation, write).is_some() {
                return Err(Error::internal("a commit writes one relation twice"));
            }
        }
        let mut writes: Vec<_> =
            admitted.into_values().filter(|w| !w.deletes.is_empty() || !w.inserts.is_empty()).collect();
        self.check_positions(&positions, ddl.as_deref())?;
        self.account(&writes, ddl.as_deref())?;
        for write in writes.iter_mut().filter(|write| self.is_told(write)) {
            self.table_of(RelationId(write.relation), ddl.as_deref())?.read_for(write)?;
        }
        let differences = match &mut ddl {
            Some(ddl) => self.carry_over(&mut ddl.views, group, interrupt)?,
            None => Vec::new(),
        };
        let delta = ddl.as_ref().map(|ddl| ddl.delta.clone()).unwrap_or_default();
        let new = self.new_followers(&delta);
        positions.extend(new.iter().map(|follower| Standing::new_at(group.epoch, follower).position(follower.id)));
        Ok(Admitted { delta, writes, positions, ddl, differences })
    }

    /// Refuses positions of what is not there any more.
    fn check_positions(&self, positions: &[Position], ddl: Option<&Ddl>) -> Result<()> {
        let Some(first) = positions.first() else { return Ok(()) };
        let version = self.shared.version();
        let is_new = |id| ddl.is_some_and(|ddl| ddl.delta.defined().any(|relation| relation.id == id));
        let is_there = |position: &Position| version.catalog.by_id(position.relation).is_some();
        match positions.iter().all(|position| is_there(position) || is_new(position.relation)) {
            true => Ok(()),
            false => {
                let what = format!("relation \"{}\" was dropped", version.name(first.relation));
                Err(Error::new(ErrorKind::NotFound, what).with_sqlstate("42P01"))
            }
        }
    }

    /// The table or stream as it is for a commit, which may make it.
    fn table_of<'a>(&'a self, id: RelationId, ddl: Option<&'a Ddl>) -> Result<&'a TableState> {
        let new = ddl.and_then(|ddl| {
            ddl.tables.iter().find_map(|change| match change {
                TableChange::New(table) if table.relation.id == id => Some(table),
                _ => None,
            })
        });
        new.or_else(|| self.tables.get(&id)).ok_or_else(|| {
            let name = self.shared.version().name(id);
            Error::new(ErrorKind::NotFound, format!("relation \"{name}\" was dropped")).with_sqlstate("42P01")
        })
    }

    /// Refuses a commit for which there is no memory.
    fn account(&self, writes: &[RelationWrite], ddl: Option<&Ddl>) -> Result<()> {
        let mut bytes: usize = writes.iter().flat_map(|write| &write.inserts).map(Rows::held_bytes).sum();
        for write in writes.iter().filter(|write| write.is_large() && self.is_told(write)) {
            bytes = bytes.saturating_add(self.table_of(RelationId(write.relation), ddl)?.asked_bytes(write));
        }
        let used = self.shared.budget.used();
        self.shared.budget.resize("the commit", used, used.saturating_add(bytes))?;
        self.shared.budget.resize("the commit", used.saturating_add(bytes), used)
    }

    /// Whether the rows of a write are at hand where it is applied, and told to who follows its relation.
    fn is_told(&self, write: &RelationWrite) -> bool {
        !write.is_large() || self.is_asked(RelationId(write.relation))
    }

    /// Brings new circuits from the version they were filled from to now.
    fn carry_over(
        &self,
        views: &mut [NewView],
        group: &Group,
        interrupt: &Interrupt,
    ) -> Result<Vec<(RelationId, Option<Vec<ChangeBatch>>)>> {
        let tables = || self.table_snapshots(group.epoch);
        let (engine, epoch, time_us) = (&self.shared.engine, group.epoch, group.time_us);
        let moment = Moment { engine, epoch, time_us, tables: &tables };
        let mut differences = Vec::new();
        for view in views {
            let id = view.relation.id;
            let difference = match &mut view.built {
                None => None,
                Some(built) => {
                    self.network.catch_up(&view.spec, built, &|id| self.layout(id), &moment, interrupt)?;
                    self.network.difference(id, &built.maintained, epoch)?
                }
            };
            differences.push((id, difference));
        }
        Ok(differences)
    }

    /// Whether a view or subscriber is told of the changes of a relation.
    fn is_asked(&self, id: RelationId) -> bool {
        let by_view = self.network.in_order().any(|view| view.spec.inputs().contains(&id));
        by_view || self.subscribers.iter().any(|subscriber| subscriber.target.reads_changes_of(id))
    }

    /// How the rows of a table or stream are laid out now.
    pub fn layout(&self, id: RelationId) -> Option<Layout> {
        self.tables.get(&id).map(|table| table.relation.layout())
    }

    /// Carries out what was admitted and adds its changes to the epoch. An error is a defect.
    fn put_in_place(
        &mut self,
        writes: &[RelationWrite],
        ddl: Option<Box<Ddl>>,
        differences: Vec<(RelationId, Option<Vec<ChangeBatch>>)>,
        group: &mut Group,
    ) -> Result<()> {
        if let Some(ddl) = ddl {
            self.change_catalog(*ddl, differences, group)?;
        }
        for write in writes {
            let id = RelationId(write.relation);
            let is_asked = self.is_told(write);
            let table = self.tables.get_mut(&id).ok_or_else(|| Error::internal("an admitted relation is gone"))?;
            if group.is_replayed && write.is_large() {
                table.forget_keys();
            }
            let changes = table.apply(write, group.epoch, is_asked)?;
            if !is_asked {
                self.unkept += write.deletes.len() + write.inserted() as u64;
            }
            group.changes.entry(id).or_default().extend(changes);
        }
        Ok(())
    }

    fn change_catalog(
        &mut self,
        ddl: Ddl,
        differences: Vec<(RelationId, Option<Vec<ChangeBatch>>)>,
        group: &mut Group,
    ) -> Result<()> {
        self.rows_at_hand = None;
        let catalog = self.shared.version().catalog.changed_by(&ddl.delta);
        for change in &ddl.delta.changes {
            match change {
                CatalogChange::Drop(id) => self.take_out(*id),
                CatalogChange::Define(relation) if self.network.contains(relation.id) => {
                    self.network.redefine(relation.clone());
                }
                CatalogChange::Define(relation) if relation.kind.is_view() => self.end_inlined(relation.id),
                _ => {}
            }
            if let CatalogChange::Define(relation) | CatalogChange::Maintain { view: relation, .. } = change {
                self.shared.take_relation_id(relation.id);
            }
        }
        for change in ddl.tables {
            self.change_table(change)?;
        }
        let mut differences: BTreeMap<_, _> = differences.into_iter().collect();
        for view in ddl.views {
            let difference = differences.remove(&view.relation.id).flatten();
            self.put_view(view, difference, group);
        }
        self.network.sort(&catalog);
        let new = if self.recovers || self.is_read_only { Vec::new() } else { self.new_followers(&ddl.delta) };
        for follower in new {
            self.attach_follower(&follower, &Standing::new_at(group.epoch, &follower), Waiting::default())?;
        }
        group.catalog = Some(Arc::new(catalog));
        Ok(())
    }

    /// The followers that a change of the catalog brings, but for those that it redefines.
    fn new_followers(&self, delta: &CatalogDelta) -> Vec<Arc<Relation>> {
        let version = self.shared.version();
        let is_new = |relation: &&Arc<Relation>| version.catalog.by_id(relation.id).is_none();
        delta.defined().filter(|relation| relation.kind.is_follower()).filter(is_new).cloned().collect()
    }

    fn change_table(&mut self, change: TableChange) -> Result<()> {
        let id = change.relation().id;
        match change {
            TableChange::New(mut table) => {
                table.spool_to(self.shared.spooling.get().cloned());
                self.tables.insert(id, table);
            }
            TableChange::Redefined { relation, arena, keys } => {
                let layout = relation.layout();
                let table = self.tables.get_mut(&id).ok_or_else(|| Error::internal("a redefined relation is gone"))?;
                table.redefine(relation, arena, keys);
                self.network.relayout(id, &layout);
                self.end_subscriptions("has other columns now", |target| !target.relayout(id, &layout), id);
                self.republish.insert(id);
            }
        }
        Ok(())
    }

    fn put_view(&mut self, view: NewView, difference: Option<Vec<ChangeBatch>>, group: &mut Group) {
        let id = view.relation.id;
        let existed = self.network.contains(id);
        let upkeep = match view.built {
            Some(built) => Upkeep::Maintained(Box::new(built.maintained)),
            None => Upkeep::Lazy,
        };
        match difference {
            Some(change) if !change.is_empty() => drop(group.changes.insert(id, change)),
            Some(_) => {}
            // Without a difference nobody can be told how the view changed.
            None if existed => self.end_subscriptions("was replaced", |target| target.follows(id), id),
            None => {}
        }
        // Who has the old query in its own circuit does not follow the new one.
        self.end_inlined(id);
        self.network.put(ViewState { relation: view.relation, spec: view.spec, upkeep });
        self.republish.insert(id);
    }

    /// Removes a relation and its state.
    fn take_out(&mut self, id: RelationId) {
        self.tables.remove(&id);
        self.network.remove(id);
        self.detach_follower(id);
        self.end_subscriptions("was dropped", |target| target.follows(id), id);
    }

    /// Ends the subscriptions that run the query of a view as a part of their own.
    fn end_inlined(&mut self, id: RelationId) {
        let inlined = |target: &mut super::Target| target.follows(id) && !target.reads_changes_of(id);
        self.end_subscriptions("was replaced", inlined, id);
    }

    fn end_subscriptions(&mut self, reason: &str, mut ends: impl FnMut(&mut super::Target) -> bool, id: RelationId) {
        let (name, epoch) = (self.shared.version().name(id), self.next_epoch());
        self.subscribers.retain_mut(|subscriber| {
            let ends = ends(&mut subscriber.target);
            if ends {
                subscriber.end(&format!("\"{name}\" {reason}"), epoch);
            }
            // An expiry is still to be written down.
            !ends || subscriber.follower.is_some()
        });
    }
}

/// The refusal of a commit where another process writes.
pub(super) fn read_only() -> Error {
    Error::new(ErrorKind::Transaction, "the database is open for reading only")
        .with_sqlstate("25006")
        .with_hint("open it for writing, when no other process has it so")
}
