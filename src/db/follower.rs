//! Followers: who is given the changes of a relation, epoch by epoch, and has them again until it acknowledges them.
//!
//! A follower is a subscription (or a sink) in the catalog. How far it has come is a position of it, moved by a commit
//! like any other, so an acknowledgement is durable when it is answered. What it has not acknowledged waits in its
//! queue; when the database is opened again the same epochs come with the same rows, because a checkpoint saves what
//! waits and the log is replayed through the followed relation behind it.
//!
//! ```text
//! position     {"epoch": 7, "snapshot": true}    made in epoch 7; the rows of then are the first event
//!              {"epoch": 9}                      acknowledged up to epoch 9
//!              {"epoch": 9, "expired": 40, ..}   given up in epoch 40: what came after 9 is gone
//! ```
//!
//! What waits is bounded. At the bound commits wait (`on_full = 'block'`), or the follower expires (`'expire'`): it gets
//! nothing more, and holds nothing up. It expires too when what waits is older than its `retention`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::relation::{Relation, RelationId};
use crate::db::subscription::{Backlog, QUEUE_BYTES, QUEUE_ROWS, Queue, Subscription};
use crate::storage::log::Position;

/// The option that says for how long changes wait.
pub const RETENTION: &str = "retention";
/// The option that says what becomes of a follower whose queue is full.
pub const ON_FULL: &str = "on_full";
/// The option that says whether the rows of the beginning are the first event.
pub const SNAPSHOT: &str = "snapshot";

/// How long a commit that waits for a follower goes without a look at its interrupt.
const LOOK: Duration = Duration::from_millis(20);

/// How far a follower has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Everything up to this epoch is acknowledged.
    pub epoch: u64,
    /// Whether the rows as of that epoch are still to be acknowledged.
    pub snapshot: bool,
    /// When and why it was given up, if it was.
    pub expired: Option<(u64, String)>,
}

impl Standing {
    /// Acknowledged up to `epoch`.
    pub fn at(epoch: u64) -> Self {
        Standing { epoch, snapshot: false, expired: None }
    }

    /// Where a new follower stands.
    pub fn new_at(epoch: u64, follower: &Relation) -> Self {
        let snapshot = follower.options.get(SNAPSHOT).is_none_or(|text| text == "true");
        Standing { snapshot, ..Standing::at(epoch) }
    }

    /// The last epoch that is acknowledged: the rows of the beginning are an event of theirs.
    pub fn acknowledged(&self) -> u64 {
        self.epoch - u64::from(self.snapshot)
    }

    /// As a position of the follower.
    pub fn position(&self, follower: RelationId) -> Position {
        let mut value = json!({ "epoch": self.epoch });
        if self.snapshot {
            value["snapshot"] = json!(true);
        }
        if let Some((epoch, reason)) = &self.expired {
            value["expired"] = json!(epoch);
            value["reason"] = json!(reason);
        }
        Position { relation: follower, split: String::new(), value: value.to_string() }
    }

    /// What a position says; `None` where there is none, or none of ours.
    pub fn read(value: Option<&str>) -> Option<Self> {
        let value: Value = serde_json::from_str(value?).ok()?;
        let expired = value.get("expired").and_then(Value::as_u64);
        let reason = || value.get("reason").and_then(Value::as_str).unwrap_or_default().to_string();
        Some(Standing {
            epoch: value.get("epoch")?.as_u64().filter(|&epoch| epoch > 0)?,
            snapshot: value.get("snapshot").and_then(Value::as_bool).unwrap_or(false),
            expired: expired.map(|epoch| (epoch, reason())),
        })
    }

    /// The error of who asks for the changes of a follower that expired.
    pub fn expired_error(&self, name: &str) -> Option<Error> {
        self.expired.as_ref().map(|(epoch, reason)| expired_error(name, self.acknowledged(), *epoch, reason))
    }
}

fn expired_error(name: &str, acknowledged: u64, epoch: u64, reason: &str) -> Error {
    let what = format!(
        "subscription \"{name}\" expired at epoch {epoch}, {reason}: the changes after epoch {acknowledged}, the last \
         acknowledged, are gone"
    );
    Error::invalid(what).with_sqlstate("72000").with_hint(
        "CREATE OR REPLACE SUBSCRIPTION begins again, with the rows of then; DROP SUBSCRIPTION ends it for good",
    )
}

/// What becomes of a follower whose queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnFull {
    /// Commits wait until it has acknowledged something.
    Block,
    /// It expires.
    Expire,
}

/// A follower while the database is open.
#[derive(Debug)]
pub struct Follower {
    /// Its identity: positions are its own.
    pub id: RelationId,
    /// Its name.
    pub name: String,
    /// What it follows.
    pub relation: RelationId,
    schema: SchemaRef,
    queue: Arc<Queue>,
    on_full: OnFull,
    retention_us: Option<i64>,
    acknowledged: AtomicU64,
    /// When and why it expired.
    expired: Mutex<Option<(u64, String)>>,
}

impl Follower {
    /// The follower that `relation` defines, with nothing in its queue; changes wait at most as long as `retention`.
    pub fn new(relation: &Relation, standing: &Standing, retention: Option<Duration>) -> Result<Self> {
        let followed = relation.dependencies.first().ok_or_else(|| Error::internal("a follower of nothing"))?;
        let on_full = match relation.options.get(ON_FULL).map(String::as_str) {
            Some("block") => OnFull::Block,
            _ => OnFull::Expire,
        };
        Ok(Follower {
            id: relation.id,
            name: relation.name.clone(),
            relation: *followed,
            schema: relation.schema.clone(),
            queue: Queue::kept(standing.epoch),
            on_full,
            retention_us: retention.map(|retention| i64::try_from(retention.as_micros()).unwrap_or(i64::MAX)),
            acknowledged: AtomicU64::new(standing.acknowledged()),
            expired: Mutex::new(None),
        })
    }

    /// Where its changes wait.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The columns of its changes.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The last epoch that it has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Begins to read at the first event that is not acknowledged.
    ///
    /// # Errors
    /// Somebody reads already (55006), or it has expired (72000).
    pub fn read(&self) -> Result<Subscription> {
        if let Some(error) = self.expired_error() {
            return Err(error);
        }
        match self.queue.begin_reading() {
            true => Ok(Subscription::new(self.queue.clone(), self.schema.clone())),
            false => Err(Error::invalid(format!("subscription \"{}\" is being read already", self.name))
                .with_sqlstate("55006")
                .with_hint("it has one reader at a time: end that one first")),
        }
    }

    /// Looks at an epoch whether what waits is too much or too old.
    pub fn judge(&self, epoch: u64, time_us: i64) {
        let waiting = self.queue.waiting();
        let is_old =
            |retention: i64| waiting.oldest_us.is_some_and(|oldest| oldest < time_us.saturating_sub(retention));
        if self.on_full == OnFull::Expire && is_full(&waiting) {
            self.expire(epoch, "when too many rows waited to be acknowledged");
        } else if self.retention_us.is_some_and(is_old) {
            self.expire(epoch, "when its retention had passed");
        }
    }

    /// For how long its changes wait.
    pub fn retention(&self) -> Option<Duration> {
        self.retention_us.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }

    /// Lets go what was acknowledged.
    pub fn acknowledge(&self, epoch: u64) {
        self.acknowledged.fetch_max(epoch, Ordering::AcqRel);
        self.queue.acknowledge(epoch);
    }

    /// Gives it up: what waits is gone, and its reader is told.
    pub fn expire(&self, epoch: u64, reason: &str) {
        self.expired.lock().get_or_insert_with(|| (epoch, reason.to_string()));
        if let Some(error) = self.expired_error() {
            self.queue.give_up(error);
        }
    }

    /// Where it stands, if it has expired.
    pub fn expired(&self) -> Option<Standing> {
        let expired = self.expired.lock().clone()?;
        Some(Standing { expired: Some(expired), ..Standing::at(self.acknowledged()) })
    }

    /// Whether commits must wait for it.
    pub fn holds_up(&self) -> bool {
        self.on_full == OnFull::Block && is_full(&self.queue.waiting())
    }

    fn expired_error(&self) -> Option<Error> {
        self.expired()?.expired_error(&self.name)
    }
}

/// Whether no more may wait.
fn is_full(waiting: &Backlog) -> bool {
    waiting.counted >= QUEUE_ROWS || waiting.counted_bytes >= QUEUE_BYTES
}

/// The followers of a database, and whether commits wait for one of them.
#[derive(Debug, Default)]
pub struct Followers {
    all: Mutex<BTreeMap<RelationId, Arc<Follower>>>,
    /// The name of one that commits wait for.
    full: Mutex<Option<String>>,
    changed: Condvar,
}

impl Followers {
    /// The follower of that identity, unless it has expired.
    pub fn get(&self, id: RelationId) -> Option<Arc<Follower>> {
        self.all.lock().get(&id).cloned()
    }

    /// Adds one.
    pub fn add(&self, follower: Arc<Follower>) {
        self.all.lock().insert(follower.id, follower);
    }

    /// Takes one out.
    pub fn remove(&self, id: RelationId) {
        self.all.lock().remove(&id);
    }

    /// Looks whether commits must wait from now on, or need not any more.
    pub fn press(&self) {
        let full = self.all.lock().values().find(|follower| follower.holds_up()).map(|follower| follower.name.clone());
        *self.full.lock() = full;
        self.changed.notify_all();
    }

    /// Whether these positions are those of a follower.
    pub fn are_acknowledged_by(&self, positions: &[Position]) -> bool {
        !positions.is_empty() && positions.iter().any(|position| self.get(position.relation).is_some())
    }

    /// Waits while a follower that commits wait for has a full queue.
    pub fn wait(&self, interrupt: &Interrupt) -> Result<()> {
        let mut full = self.full.lock();
        while let Some(name) = full.clone() {
            interrupt.check().map_err(|error| {
                let hint =
                    format!("ACKNOWLEDGE SUBSCRIPTION {name} UP TO .. lets commits go on, DROP SUBSCRIPTION too");
                Error::new(error.kind(), format!("{}, while subscription \"{name}\" was full", error.message()))
                    .with_hint(hint)
            })?;
            self.changed.wait_for(&mut full, LOOK);
        }
        Ok(())
    }
}

/// The error for a subscription of which there is no follower although the catalog has it.
pub fn not_followed(name: &str) -> Error {
    Error::new(ErrorKind::Transaction, format!("subscription \"{name}\" is not followed here"))
        .with_sqlstate("25006")
        .with_hint("the process that has the database open for writing reads it")
}

#[cfg(test)]
mod tests {
    use arrow::array::{RecordBatch, StringArray};

    use super::*;
    use crate::base::change::ChangeBatch;
    use crate::catalog::relation::RelationKind;
    use crate::db::subscription::{EventKind, SubscriptionEvent};

    #[test]
    fn few_wide_rows_fill_a_queue() {
        let text: arrow::array::ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(QUEUE_BYTES / 8)]));
        let rows = RecordBatch::try_from_iter([("s", text)]).unwrap();
        let mut relation = Relation::new(RelationId(2), "f", RelationKind::Subscription, rows.schema());
        relation.dependencies = [RelationId(1)].into();
        relation.options.insert(ON_FULL.to_string(), "block".to_string());
        let follower = Follower::new(&relation, &Standing::at(1), None).unwrap();
        let event = |epoch, kind| SubscriptionEvent { epoch, kind, changes: ChangeBatch::inserts(rows.clone()) };
        follower.queue().keep(event(1, EventKind::Snapshot), 0);
        for epoch in 2..9 {
            follower.queue().keep(event(epoch, EventKind::Change), 0);
            assert!(!follower.holds_up(), "{epoch}");
        }
        follower.queue().keep(event(9, EventKind::Change), 0);
        assert!(follower.holds_up());
        follower.acknowledge(2);
        assert!(!follower.holds_up());
    }
}
