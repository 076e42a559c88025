//! Followers as the sequencer sees them: attached with the relation they follow, told of its changes, given up.

use std::sync::Arc;

use super::{Group, Sequencer};
use crate::base::change::ChangeBatch;
use crate::base::error::{Error, Result};
use crate::catalog::delta::CatalogDelta;
use crate::catalog::relation::{Relation, RelationId};
use crate::db::follower::{Follower, RETENTION, Standing};
use crate::db::sequencer::subscriber::Subscriber;
use crate::db::settings::parse_duration;
use crate::db::subscription::{EventKind, SubscriptionEvent, concat_changes};
use crate::db::version::Version;
use crate::state::consolidate::consolidate;
use crate::state::snapshot::Snapshot;
use crate::storage::log::{LogRecord, Position};

impl Sequencer {
    /// Lets `follower` get the changes of its relation from here on, behind `held` ones. Where it begins with the rows
    /// of now, they are its first event.
    pub fn attach_follower(
        &mut self,
        relation: &Relation,
        standing: &Standing,
        held: Vec<(SubscriptionEvent, i64)>,
    ) -> Result<()> {
        let retention = relation.options.get(RETENTION).map(|text| parse_duration(text)).transpose()?;
        let follower = Arc::new(Follower::new(relation, standing, retention)?);
        let is_first = held.is_empty() && standing.snapshot;
        for (event, time_us) in held {
            follower.queue().keep(event, time_us);
        }
        if is_first {
            let rows = self.rows_of(follower.relation, standing.epoch)?.seen_as(relation.layout());
            let changes = concat_changes(follower.schema(), &consolidate(&contents(&rows)?)?)?;
            let event = SubscriptionEvent { epoch: standing.epoch, kind: EventKind::Snapshot, changes };
            follower.queue().keep(event, self.time_us());
        }
        self.shared.followers.add(follower.clone());
        let followed = follower.relation;
        let mut subscriber = Subscriber::of_follower(follower, relation.layout());
        if let Some(layout) = self.layout(followed) {
            subscriber.target.relayout(followed, &layout);
        }
        self.subscribers.push(subscriber);
        self.rows_at_hand = None;
        Ok(())
    }

    /// A follower was dropped.
    pub(super) fn detach_follower(&mut self, id: RelationId) {
        if let Some(follower) = self.shared.followers.get(id) {
            follower.queue().end("it was dropped");
            self.forget_follower(id);
            self.shared.followers.press();
        }
    }

    /// Lets go what followers have acknowledged.
    pub(super) fn acknowledge(&self, positions: &[Position]) {
        for position in positions.iter().filter(|position| position.split.is_empty()) {
            let follower = self.shared.followers.get(position.relation);
            let standing = Standing::read(Some(&position.value));
            let Some((follower, standing)) = follower.zip(standing) else { continue };
            match &standing.expired {
                Some((epoch, reason)) => follower.expire(*epoch, reason),
                None if standing.snapshot => {}
                None => follower.acknowledge(standing.epoch),
            }
        }
    }

    /// After an epoch: writes down which followers have expired, and lets commits wait for those that are full.
    pub fn look_after_followers(&mut self) {
        let followers = self.subscribers.iter().filter_map(|subscriber| subscriber.follower.clone());
        let followers: Vec<Arc<Follower>> = followers.collect();
        if !self.replays && !followers.is_empty() {
            let version = self.shared.version();
            followers.iter().for_each(|follower| follower.judge(version.epoch, version.time_us.max(self.time_us())));
        }
        let followers = followers.iter();
        let expired = followers.filter_map(|follower| Some((follower.id, follower.expired()?)));
        let expired: Vec<(RelationId, Standing)> = expired.collect();
        if !expired.is_empty() {
            let version = self.shared.version();
            let is_written = |id| {
                let standing = Standing::read(version.positions.get(id, ""));
                standing.is_some_and(|standing| standing.expired.is_some())
            };
            // A log that is replayed says itself when that was; what it does not say is written down afterwards.
            let (written, new): (Vec<_>, Vec<_>) = expired.into_iter().partition(|(id, _)| is_written(*id));
            let new = if self.replays { Vec::new() } else { new };
            written.iter().chain(&new).for_each(|(id, _)| self.forget_follower(*id));
            if !new.is_empty() {
                // If it fails the database is poisoned, and the next open finds the follower as it was.
                let _ = self.record(new.iter().map(|(id, standing)| standing.position(*id)).collect());
            }
        }
        self.shared.followers.press();
    }

    fn forget_follower(&mut self, id: RelationId) {
        self.subscribers.retain(|subscriber| subscriber.follower.as_ref().is_none_or(|follower| follower.id != id));
        self.shared.followers.remove(id);
    }

    /// Makes an epoch that moves positions and nothing else.
    fn record(&mut self, positions: Vec<Position>) -> Result<()> {
        let (epoch, time_us) = (self.next_epoch(), self.time_us());
        let mut group = Group::new(epoch, time_us);
        group.positions = positions.clone();
        let record =
            LogRecord::Commit { epoch, time_us, catalog: CatalogDelta::default(), writes: Vec::new(), positions };
        self.stage(&record, &mut group)?;
        self.close(&mut group)
    }

    fn rows_of(&self, id: RelationId, epoch: u64) -> Result<Snapshot> {
        let table = self.tables.get(&id).map(|table| table.arena.snapshot(epoch));
        let view = || Some(self.network.get(id)?.contents()?.arena().snapshot(epoch));
        table.or_else(view).ok_or_else(|| Error::internal("what is followed has no rows"))
    }
}

/// The followers of a version, and where they stand.
pub fn followers(version: &Version) -> impl Iterator<Item = (&Arc<Relation>, Standing)> {
    let relations = version.catalog.relations().filter(|relation| relation.kind.is_follower());
    relations.filter_map(|relation| Some((relation, Standing::read(version.positions.get(relation.id, ""))?)))
}

/// The rows of a snapshot.
pub fn contents(snapshot: &Snapshot) -> Result<Vec<ChangeBatch>> {
    let mut batches = Vec::new();
    for chunk in 0..snapshot.chunks() {
        batches.extend(snapshot.read_chunk(chunk, None, false)?.map(ChangeBatch::inserts));
    }
    Ok(batches)
}
