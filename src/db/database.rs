//! Databases: opening them, and what all their connections share.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::base::access::{AccessPolicy, FileAccess};
use crate::base::clock::{Clock, SystemClock};
use crate::base::error::Result;
use crate::base::limits::{Interrupt, MemoryBudget};
use crate::base::vfs::{RealVfs, Vfs};
use crate::batch::engine::{Engine, EngineOptions};
use crate::db::awaited::Awaited;
use crate::db::connectors::Connectors;
use crate::db::follower::Followers;
use crate::db::log_space::LogSpace;
use crate::db::pump::{Pumps, connect};
use crate::db::rebuild::Rebuilder;
use crate::db::sequencer::{SequencerHandle, WeakSequencer};
use crate::db::shared::Shared;
use crate::db::version::Version;
use crate::plan::functions::{FunctionRegistry, UserFunction};
use crate::storage::log::{Durability, Log, LogOptions, MemoryLog, NullLog};
use crate::storage::spool::SpoolSizes;

/// How long past versions are kept for `AS OF` unless the builder says otherwise.
const HISTORY: Duration = Duration::from_secs(600);
/// How much log is written between two checkpoints.
const CHECKPOINT_EVERY: u64 = 64 << 20;

/// An embedded database: relations, maintained views, one sequencer.
///
/// Clones are handles to the same database; it closes when the last handle and connection is gone.
#[derive(Clone)]
pub struct Database {
    pub(super) shared: Arc<Shared>,
    /// Dropped before the sequencer, which its threads hold.
    pub(super) pumps: Arc<Pumps>,
    /// As the pumps.
    pub(super) rebuilder: Arc<Rebuilder>,
    pub(super) sequencer: SequencerHandle,
    pub(super) notices: Arc<[String]>,
}

impl Database {
    /// A database that lives in memory and is gone when it is closed.
    ///
    /// ```
    /// # fn main() -> eddydb::Result<()> {
    /// let connection = eddydb::Database::in_memory()?.connect()?;
    /// connection.execute_batch(
    ///     "CREATE TABLE t (k BIGINT, v BIGINT);
    ///      CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS total FROM t GROUP BY k;
    ///      INSERT INTO t VALUES (1, 10), (1, 20), (2, 5);",
    /// )?;
    /// let total: i64 = connection.query_row("SELECT total FROM sums WHERE k = 1", (), |row| row.get(0))?;
    /// assert_eq!(total, 30);
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_memory() -> Result<Self> {
        Self::builder().build()
    }

    /// Opens the database in the directory `path`, which is made if it does not exist.
    ///
    /// A commit that was answered is there again, whether the process was killed or power was lost.
    ///
    /// ```
    /// # fn main() -> eddydb::Result<()> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("shop.eddy");
    /// let database = eddydb::Database::open(&path)?;
    /// database.connect()?.execute_batch("CREATE TABLE t (k BIGINT); INSERT INTO t VALUES (1), (2)")?;
    /// drop(database);
    ///
    /// let connection = eddydb::Database::open(&path)?.connect()?;
    /// let count: i64 = connection.query_row("SELECT count(*) FROM t", (), |row| row.get(0))?;
    /// assert_eq!(count, 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Another process has it open for writing (55006); the directory holds something else (58P01); a file is damaged
    /// (XX001) or of a format that this version does not know (0A000).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path)
    }

    /// Makes sure that everything is safe, and closes this handle; when it was the last, the directory is free again.
    ///
    /// # Errors
    /// The disk failed: what was committed with less than full durability may be lost.
    pub fn close(self) -> Result<()> {
        self.sequencer.task(&Interrupt::default(), |sequencer| sequencer.rest())
    }

    /// Waits until every view whose rows are kept has them, after the database was opened. Until then reading one runs
    /// its query.
    ///
    /// # Errors
    /// One of them has failed.
    pub fn wait_for_views(&self) -> Result<()> {
        let version = self.shared.version();
        let awaited = version.entries.iter().filter(|(_, entry)| entry.contents.rebuild().is_some());
        let awaited: Vec<_> = awaited.map(|(id, _)| *id).collect();
        self.shared.awaited.wait(&awaited, &|| self.shared.version(), &Interrupt::default())
    }

    /// Saves what there is, so that the log is not replayed when the database is opened again; in memory, nothing.
    ///
    /// It is done now and then by itself, and when the database is closed.
    ///
    /// # Errors
    /// The disk failed or is full: nothing has happened then.
    pub fn checkpoint(&self) -> Result<()> {
        self.sequencer.checkpoint(&Interrupt::default())
    }

    /// What there was to say when the database was opened: parts of the log that were cut, a clock that runs behind.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Sets limits, clock and file access before opening.
    pub fn builder() -> DatabaseBuilder {
        DatabaseBuilder::default()
    }

    /// Registers a scalar function; queries, views and subscriptions made afterwards can call it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::AlreadyExists`] if a user function has that name already.
    pub fn register_scalar_function(&self, function: UserFunction) -> Result<()> {
        let mut functions = self.shared.functions.write();
        let mut changed = FunctionRegistry::clone(&functions);
        changed.register_scalar(function)?;
        *functions = Arc::new(changed);
        Ok(())
    }

    /// A handle that does not keep the database open.
    pub(super) fn downgrade(&self) -> WeakDatabase {
        let (shared, pumps, notices) = (self.shared.clone(), Arc::downgrade(&self.pumps), self.notices.clone());
        WeakDatabase {
            shared,
            pumps,
            rebuilder: Arc::downgrade(&self.rebuilder),
            sequencer: self.sequencer.downgrade(),
            notices,
        }
    }

    /// The last published epoch.
    pub fn epoch(&self) -> u64 {
        self.shared.version().epoch
    }
}

/// A handle to a database that may have been closed.
pub(super) struct WeakDatabase {
    shared: Arc<Shared>,
    pumps: Weak<Pumps>,
    rebuilder: Weak<Rebuilder>,
    sequencer: WeakSequencer,
    notices: Arc<[String]>,
}

impl WeakDatabase {
    /// A handle that keeps the database open, if it is.
    pub(super) fn upgrade(&self) -> Option<Database> {
        let (pumps, sequencer) = (self.pumps.upgrade()?, self.sequencer.upgrade()?);
        let rebuilder = self.rebuilder.upgrade()?;
        Some(Database { shared: self.shared.clone(), pumps, rebuilder, sequencer, notices: self.notices.clone() })
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

/// Options of a [`Database`].
#[derive(Debug)]
pub struct DatabaseBuilder {
    memory_limit: Option<usize>,
    target_partitions: usize,
    history: Duration,
    clock: Arc<dyn Clock>,
    access: FileAccess,
    record: Option<MemoryLog>,
    log: LogOptions,
    hold_views: bool,
    checkpoint_every: u64,
    is_read_only: bool,
    hold_connectors: bool,
    spool_sizes: SpoolSizes,
    functions: FunctionRegistry,
}

impl Default for DatabaseBuilder {
    fn default() -> Self {
        DatabaseBuilder {
            memory_limit: None,
            target_partitions: std::thread::available_parallelism().map_or(1, usize::from),
            history: HISTORY,
            clock: Arc::new(SystemClock),
            access: FileAccess::unrestricted(),
            record: None,
            log: LogOptions::default(),
            hold_views: false,
            checkpoint_every: CHECKPOINT_EVERY,
            is_read_only: false,
            hold_connectors: false,
            spool_sizes: SpoolSizes::default(),
            functions: FunctionRegistry::new(),
        }
    }
}

impl DatabaseBuilder {
    /// Limits the bytes held by relations, views and running queries; no limit by default.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// How many threads a one-shot query uses; by default as many as there are cores.
    pub fn target_partitions(mut self, partitions: usize) -> Self {
        self.target_partitions = partitions.max(1);
        self
    }

    /// How long past epochs stay readable for `AS OF`; ten minutes by default.
    pub fn history(mut self, history: Duration) -> Self {
        self.history = history;
        self
    }

    /// Where `now()` comes from; the machine's clock by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Forbids SQL to read or write files.
    pub fn no_file_access(mut self) -> Self {
        self.access = FileAccess::off();
        self
    }

    /// Lets SQL read and write files below these directories only.
    pub fn file_roots(mut self, roots: Vec<PathBuf>) -> Result<Self> {
        self.access = FileAccess::new(AccessPolicy { read: true, write: true, roots: Some(roots) })?;
        Ok(self)
    }

    /// Records every commit in `log`, from which another database can be made by [`Database::replay`].
    pub fn record(mut self, log: MemoryLog) -> Self {
        self.record = Some(log);
        self
    }

    /// When a commit to a directory is answered; by default when the disk has it.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.log.durability = durability;
        self
    }

    /// How the log is cut into frames and files: small ones, for tests.
    #[doc(hidden)]
    pub fn log_sizes(mut self, frame_bytes: usize, file_bytes: u64, file_epochs: u64) -> Self {
        let frame_bytes = frame_bytes.next_multiple_of(8).clamp(8, self.log.frame_bytes);
        self.log = LogOptions { frame_bytes, file_bytes, file_epochs: file_epochs.max(1), ..self.log };
        self
    }

    /// When and how rows of a commit go to files: few of them, for tests.
    #[doc(hidden)]
    pub fn spool_sizes(mut self, held_bytes: usize, block_rows: u64, file_bytes: u64) -> Self {
        let block_rows = block_rows.clamp(1, 1 << 16).next_power_of_two();
        self.spool_sizes = SpoolSizes { held_bytes, block_rows, file_bytes, ..self.spool_sizes };
        self
    }

    /// Makes a checkpoint whenever the log of a directory has grown by so many bytes; by default 64 MiB. What is saved
    /// need not be replayed when the database is opened again.
    pub fn checkpoint_every(mut self, bytes: u64) -> Self {
        self.checkpoint_every = bytes;
        self
    }

    /// Opens a directory for reading, beside the process that writes it or without one: commits show within a second.
    /// The directory need not be writable. Views run their queries.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.is_read_only = read_only;
        self
    }

    /// Lets no source of a directory begin before `ALTER SOURCE .. RESUME`: a copy of a database must not read what the
    /// original reads.
    pub fn hold_connectors(mut self) -> Self {
        self.hold_connectors = true;
        self
    }

    /// Registers a scalar function before anything is opened: views of a directory may call it.
    pub fn scalar_function(mut self, function: UserFunction) -> Result<Self> {
        self.functions.register_scalar(function)?;
        Ok(self)
    }

    /// Fills no view again until somebody waits for one.
    #[doc(hidden)]
    pub fn hold_views(mut self) -> Self {
        self.hold_views = true;
        self
    }

    /// Opens the database in a directory: see [`Database::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<Database> {
        let path = std::path::absolute(path.as_ref())?;
        let vfs = Arc::new(RealVfs::new(&path));
        self.open_in(vfs).map_err(|error| error.context(format!("\"{}\"", path.display())))
    }

    /// Opens the database in a directory tree that need not be one of the machine.
    #[doc(hidden)]
    pub fn open_in(self, vfs: Arc<dyn Vfs>) -> Result<Database> {
        if self.is_read_only {
            return self.build()?.follow(vfs);
        }
        let (options, checkpoint_every) = (self.log, self.checkpoint_every);
        let hold = self.hold_connectors;
        let hold_views = self.hold_views;
        let mut database = self.build()?.recover(vfs, options, checkpoint_every)?;
        if hold_views {
            database.shared.awaited.hold();
        }
        database.rebuilder = Arc::new(Rebuilder::start(&database.shared, &database.sequencer)?);
        // Who opens a database at a terminal still wants to type there.
        database.pumps.hold(&database.shared, |relation| hold || connect::reads_stdin(relation));
        database.pumps.follow(&database.shared, &database.sequencer)?;
        Ok(database)
    }

    /// Opens the database in memory.
    pub fn build(self) -> Result<Database> {
        let version = Arc::new(Version::empty(self.clock.now_us()));
        let engine = Engine::new(EngineOptions {
            target_partitions: self.target_partitions,
            memory_limit: self.memory_limit,
            ..EngineOptions::default()
        })?;
        let shared = Arc::new(Shared {
            current: RwLock::new(version.clone()),
            engine,
            functions: RwLock::new(Arc::new(self.functions)),
            clock: self.clock,
            access: self.access,
            budget: MemoryBudget::new(self.memory_limit),
            awaited: Awaited::default(),
            followers: Followers::default(),
            log_space: LogSpace::default(),
            history: Mutex::new(VecDeque::from([version])),
            next_relation: AtomicU64::new(1),
            connectors: Connectors::default(),
            followed: OnceLock::new(),
            files: OnceLock::new(),
            spool_sizes: self.spool_sizes,
            history_us: i64::try_from(self.history.as_micros()).unwrap_or(i64::MAX),
        });
        let log: Box<dyn Log> = match self.record {
            Some(log) => Box::new(log),
            None => Box::new(NullLog),
        };
        let sequencer = SequencerHandle::start(shared.clone(), log)?;
        let (pumps, rebuilder) = (Arc::default(), Arc::default());
        Ok(Database { shared, pumps, rebuilder, sequencer, notices: Arc::default() })
    }
}
