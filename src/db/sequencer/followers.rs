//! Followers as the sequencer sees them: attached with the relation they follow, told of its changes, given up.

use std::sync::Arc;
use std::time::Duration;

use super::{Group, Sequencer};
use crate::base::change::ChangeBatch;
use crate::base::error::{Error, ErrorKind, Result};
use crate::catalog::delta::CatalogDelta;
use crate::catalog::relation::{Relation, RelationId};
use crate::continuous::network::Upkeep;
use crate::db::follower::{Follower, RETENTION, Standing};
use crate::db::held::Waiting;
use crate::db::sequencer::subscriber::Subscriber;
use crate::db::settings::parse_duration;
use crate::db::subscription::{EventKind, SubscriptionEvent, concat_changes};
use crate::db::version::Version;
use crate::state::consolidate::consolidate;
use crate::state::snapshot::Snapshot;
use crate::storage::log::{LogRecord, Position};

/// How often retentions are looked at while nothing happens, at the most and the least.
const RETENTION_LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Sequencer {
    /// Lets `follower` get the changes of its relation from here on, behind `held` ones. Where it begins with the rows
    /// of now, they are its first event.
    pub fn attach_follower(&mut self, relation: &Relation, standing: &Standing, waiting: Waiting) -> Result<()> {
        let retention = relation.options.get(RETENTION).map(|text| parse_duration(text)).transpose()?;
        let follower = Arc::new(Follower::new(relation, standing, retention)?);
        let Waiting { events, back } = waiting;
        let is_first = events.is_empty() && standing.snapshot;
        for (event, time_us) in events {
            follower.queue().keep(event, time_us);
        }
        let (mut begins, mut held) = (Ok(()), None);
        if is_first {
            let first = self.seen_by(&follower, relation, standing.epoch).map(|rows| {
                let event = SubscriptionEvent { epoch: standing.epoch, kind: EventKind::Snapshot, changes: rows };
                follower.queue().keep(event, self.time_us());
            });
            begins = first;
        }
        if let Some(back) = back {
            let now = self.shared.version().epoch;
            begins = begins.and(self.seen_by(&follower, relation, now).map(|rows| held = Some(vec![back, rows])));
        }
        self.shared.followers.add(follower.clone());
        let followed = follower.relation;
        if let Err(error) = &begins {
            // Where its rows are not to be had, it alone can go on no more.
            let epoch = self.shared.version().epoch;
            follower.expire(epoch, &format!("because what it follows cannot be filled: {}", error.message()));
        }
        let mut subscriber = Subscriber::of_follower(follower, relation.layout());
        if let Some(held) = held {
            subscriber.hold_back(held);
        }
        if let Some(layout) = self.layout(followed) {
            subscriber.target.relayout(followed, &layout);
        }
        self.subscribers.push(subscriber);
        self.rows_at_hand = None;
        Ok(())
    }

    /// The rows that a follower sees of its relation at an epoch, as one change.
    fn seen_by(&self, follower: &Follower, relation: &Relation, epoch: u64) -> Result<ChangeBatch> {
        if let Some(failure) = self.network.failures().get(&follower.relation).filter(|failure| failure.detached) {
            return Err(Error::new(ErrorKind::ViewFailed, failure.message.clone()));
        }
        let rows = self.rows_of(follower.relation, epoch)?.seen_as(relation.layout());
        concat_changes(follower.schema(), &consolidate(&contents(&rows)?)?)
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

    /// How long to wait for a request at most, before retentions are looked at again.
    pub(super) fn patience(&self) -> Option<Duration> {
        let goes_on = !self.recovers && !self.is_read_only && self.poisoned.is_none();
        let retentions = self.subscribers.iter().filter_map(|subscriber| subscriber.follower.as_ref()?.retention());
        let shortest = retentions.min().filter(|_| goes_on)?;
        Some((shortest / 4).clamp(RETENTION_LOOK.0, RETENTION_LOOK.1))
    }

    /// Where nothing happens: gives up what has waited for too long by the clock.
    pub(super) fn look_at_retention(&mut self) {
        if self.patience().is_some() {
            self.look_after_followers();
        }
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

    /// The rows of a table, stream or view that is kept; of one that is not any more, those it had last.
    pub(super) fn rows_of(&self, id: RelationId, epoch: u64) -> Result<Snapshot> {
        let table = self.tables.get(&id).map(|table| table.arena.snapshot(epoch));
        let view = || match &self.network.get(id)?.upkeep {
            Upkeep::Maintained(maintained) => Some(maintained.contents.arena().snapshot(epoch)),
            Upkeep::Detached { last, .. } => last.clone(),
            Upkeep::Lazy | Upkeep::Rebuilding(_) => None,
        };
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
