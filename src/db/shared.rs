//! What the threads of a database share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::base::access::FileAccess;
use crate::base::clock::Clock;
use crate::base::limits::MemoryBudget;
use crate::base::vfs::Vfs;
use crate::batch::engine::Engine;
use crate::catalog::relation::{Relation, RelationId};
use crate::db::awaited::Awaited;
use crate::db::connectors::Connectors;
use crate::db::follower::Followers;
use crate::db::log_space::LogSpace;
use crate::db::version::Version;
use crate::plan::functions::FunctionRegistry;
use crate::storage::segment::SegmentFiles;
use crate::storage::spool::{Spool, SpoolSizes};

/// Bytes of rows from files that are kept in memory where nothing is limited.
const CACHE_BYTES: u64 = 1 << 30;

/// What the threads of a database share.
pub struct Shared {
    pub current: RwLock<Arc<Version>>,
    pub engine: Engine,
    pub functions: RwLock<Arc<FunctionRegistry>>,
    pub clock: Arc<dyn Clock>,
    /// Which files SQL may touch.
    pub access: FileAccess,
    pub budget: MemoryBudget,
    /// Views that are being filled again.
    pub awaited: Awaited,
    /// Who is given changes until they are acknowledged.
    pub followers: Followers,
    /// How long the log is and may be.
    pub log_space: LogSpace,
    /// Past versions, oldest first, the current one last.
    pub history: Mutex<VecDeque<Arc<Version>>>,
    /// How long a past version is kept, in microseconds.
    pub history_us: i64,
    /// The number of the next relation; numbers given to statements that failed are not given again.
    pub next_relation: AtomicU64,
    /// How it goes with sources.
    pub connectors: Connectors,
    /// The directory that is only read, and its identity.
    pub followed: OnceLock<Followed>,
    /// The segment files of the directory; none for a database in memory.
    pub files: OnceLock<Arc<SegmentFiles>>,
    /// How the rows of large commits are divided.
    pub spool_sizes: SpoolSizes,
}

/// A directory that another process may write, and its identity.
pub type Followed = (Arc<dyn Vfs>, [u8; 16]);

impl Shared {
    /// The version as of now.
    pub fn version(&self) -> Arc<Version> {
        self.current.read().clone()
    }

    /// The time of a statement that begins now: the clock's, but never less than that of the last epoch.
    pub fn now_us(&self) -> i64 {
        self.clock.now_us().max(self.version().time_us)
    }

    /// Bytes of rows that may be kept in memory of those that are in files.
    pub fn cache_bytes(&self) -> u64 {
        self.budget.limit().map_or(CACHE_BYTES, |limit| limit as u64 / 4)
    }

    /// Takes the rows that a commit inserts into a relation.
    pub fn spool(&self, relation: &Relation) -> Spool {
        let (columns, schema) = (relation.columns.clone(), relation.schema.clone());
        Spool::new(self.files.get().cloned(), self.spool_sizes, relation.id, columns, schema)
    }

    /// A number no relation had before.
    pub fn new_relation_id(&self) -> RelationId {
        RelationId(self.next_relation.fetch_add(1, Ordering::Relaxed))
    }

    /// The number that the next relation gets.
    pub fn next_relation(&self) -> u64 {
        self.next_relation.load(Ordering::Relaxed)
    }

    /// No new relation gets `id` or a smaller number: a replay brings its own.
    pub fn take_relation_id(&self, id: RelationId) {
        self.next_relation.fetch_max(id.0 + 1, Ordering::Relaxed);
    }
}
