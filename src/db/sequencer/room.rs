//! Room for a commit in the log, asked for before the commit is looked at: where there is none, it is given back to
//! its committer, who waits for a checkpoint without holding up the rest.

use super::{Group, Sequencer};
use crate::base::error::Result;
use crate::base::size::rows_bytes;
use crate::catalog::delta::CatalogChange;
use crate::continuous::network::guarded;
use crate::db::commit::Payload;
use crate::db::write::Write;
use crate::storage::log::Need;
use crate::storage::spool::Rows;

/// Bytes of a record beside its rows, about.
const BESIDE_ROWS: u64 = 4096;
/// Bytes of a deleted row's id in a list, at most, and how many ids are in one.
const ID: u64 = 10;
const LISTED: u64 = 1 << 16;

/// Whether a commit adds something: then it must wait where there is too much already.
pub fn adds(payload: &Payload) -> bool {
    let adds_rows = |write: &Write| !write.inserts.is_empty() || write.upsert.is_some();
    payload.writes.iter().any(adds_rows) || (payload.ddl.is_some() && !drops(payload))
}

fn drops(payload: &Payload) -> bool {
    let is_drop = |change: &CatalogChange| matches!(change, CatalogChange::Drop(_));
    payload.ddl.as_ref().is_some_and(|ddl| ddl.delta.changes.iter().all(is_drop))
}

/// About as many bytes as the record of the commit takes.
fn bytes(payload: &Payload) -> u64 {
    let of_write = |write: &Write| {
        let held = write.inserts.iter().filter_map(|rows| match rows {
            Rows::Held(rows) => Some(rows),
            // The log has its name alone.
            Rows::Spooled(_) => None,
        });
        let offered = write.upsert.as_ref().map(|upsert| &upsert.rows);
        let ids = match write.deletes.len() {
            count if count <= LISTED => count * ID,
            _ => write.deletes.serialized_size() as u64,
        };
        held.chain(offered).map(rows_bytes).sum::<usize>() as u64 + ids
    };
    payload.writes.iter().map(of_write).sum::<u64>() + BESIDE_ROWS
}

impl Sequencer {
    /// Sees to it that the log has room for a commit, about, or at least, where it `must` do, for a small one.
    pub(super) fn make_room(&mut self, payload: &Payload, group: &Group, must: bool) -> Result<()> {
        if self.poisoned.is_some() || self.is_read_only {
            return Ok(());
        }
        let deletes = payload.writes.iter().any(|write| !write.deletes.is_empty());
        let need = if !adds(payload) && (deletes || drops(payload)) { Need::Frees } else { Need::Adds };
        let bytes = if must { BESIDE_ROWS } else { bytes(payload) };
        let unsaved = self.shared.log_space.unsaved();
        guarded(|| self.log.make_room(group.epoch, bytes, unsaved, need))
    }
}
