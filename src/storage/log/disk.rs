//! The log on disk: groups of records, framed, one file after the other.
//!
//! ```text
//! stage(record)   encoded behind the group so far; blocks for it are allocated: the last point where it may be refused
//! write()         the group's frames, in one write where they fit one; a ticket
//! Ticket::wait    until they are safe (`sync`)
//! ```
//!
//! A file is made when its first record comes, so that reading a database writes nothing. It gets its name when its
//! header is safe: a file that is there has a good header, or is damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::limits::CEILING;
use crate::base::vfs::{Vfs, VfsFile, VfsLock, is_full};
use crate::storage::log::codec::Encoder;
use crate::storage::log::frame::{
    CLOSE, CONFIRM, FILE_HEADER, FRAME_HEADER, FileHeader, FrameHeader, GROUP, Group, NEXT, PAYLOAD_MAX, checksum,
    moved,
};
use crate::storage::log::reserve::{self, Reserve};
use crate::storage::log::sync::{Syncer, Ticket};
use crate::storage::log::{Log, LogRecord, Need, Place};

/// The directory of the log's files.
pub const DIRECTORY: &str = "wal";
/// What a file is called while it is made.
const UNFINISHED: &str = "wal/next.tmp";

/// The most bytes allocated ahead.
const AHEAD: u64 = 8 << 20;
/// The least bytes allocated ahead.
const AHEAD_MIN: u64 = 64 << 10;

/// When a commit is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When the disk has it: power may fail.
    Full,
    /// When the system has it; the disk gets it this much later. The process may be killed, power may take the last
    /// commits away, never one from the middle.
    Interval(Duration),
    /// When the system has it; the disk gets it when the system likes, and when the database is closed.
    Off,
}

/// How the log is written.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// When a commit is answered.
    pub durability: Durability,
    /// The most bytes that a frame carries, a multiple of 8; at most [`PAYLOAD_MAX`].
    pub frame_bytes: usize,
    /// A file beyond this length is the last one's predecessor.
    pub file_bytes: u64,
    /// Epochs that a file may have: after a loss, numbering goes on above them.
    pub file_epochs: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        let durability = Durability::Full;
        LogOptions { durability, frame_bytes: PAYLOAD_MAX, file_bytes: 64 << 20, file_epochs: 1 << 17 }
    }
}

/// What the next file follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// The number of the file before; 0 where there is none.
    pub number: u64,
    /// Up to where it counts.
    pub cut: u64,
    /// The checksum of the frame that ends there.
    pub check: u32,
}

/// The log on disk.
pub struct DiskLog {
    vfs: Arc<dyn Vfs>,
    database: [u8; 16],
    options: LogOptions,
    encoder: Encoder,
    /// The epoch of the records staged.
    epoch: u64,
    syncer: Arc<Syncer>,
    thread: Option<JoinHandle<()>>,
    /// The file that takes groups, from the first one on.
    file: Option<LogFile>,
    chain: Chain,
    /// Bytes in files before this one, as the syncer counts.
    base: u64,
    reserve: Reserve,
    /// The bytes of the longest group so far.
    longest: u64,
    /// How much room the disk had when blocks were allocated last.
    room: Option<u64>,
    /// What the next file must take over before anything else goes to it.
    owed: Option<Owed>,
    /// The directory is ours until the log is closed.
    lock: Option<Box<dyn VfsLock>>,
}

/// Groups that were read behind what is known to be safe, and have no file yet for want of room.
struct Owed {
    groups: Vec<Group>,
    ceiling: u64,
}

/// A file that takes groups.
struct LogFile {
    file: Arc<dyn VfsFile>,
    header: FileHeader,
    end: u64,
    /// The checksum of the last frame.
    previous: u32,
    allocated: u64,
    frame_bytes: usize,
    is_confirmed: bool,
}

impl DiskLog {
    /// A log that goes on behind `chain`.
    pub fn new(vfs: Arc<dyn Vfs>, database: [u8; 16], options: LogOptions, chain: Chain) -> Result<Self> {
        let syncer = Arc::new(Syncer::default());
        let served = syncer.clone();
        let interval = match options.durability {
            Durability::Interval(interval) => Some(interval),
            Durability::Full | Durability::Off => None,
        };
        let thread = std::thread::Builder::new().name("eddy-log".into()).spawn(move || served.serve(interval))?;
        Ok(DiskLog {
            reserve: Reserve::new(vfs.clone()),
            longest: 0,
            room: None,
            owed: None,
            vfs,
            database,
            options,
            encoder: Encoder::default(),
            epoch: 0,
            syncer,
            thread: Some(thread),
            file: None,
            chain,
            base: 0,
            lock: None,
        })
    }

    /// Keeps the lock of the directory until the log is closed.
    pub fn hold(&mut self, lock: Box<dyn VfsLock>) {
        self.lock = Some(lock);
    }

    /// Writes `groups`, which were read behind what is known to be safe, to the next file; false where the disk has no
    /// room for them. Nothing else is written then until it has.
    ///
    /// # Errors
    /// The disk failed.
    pub fn take_over(&mut self, groups: Vec<Group>, ceiling: u64) -> Result<bool> {
        let Some(first) = groups.first().map(|group| group.epoch) else { return Ok(true) };
        let mut made = self.begin_file(first, ceiling, &groups);
        if made.as_ref().is_err_and(is_full) && self.reserve.release() {
            made = self.begin_file(first, ceiling, &groups);
        }
        match made {
            Err(error) if is_full(&error) => {
                // They are shown all the same: what a sync can do for them is done where they are.
                self.vfs.open(&name(self.chain.number))?.sync()?;
                self.owed = Some(Owed { groups, ceiling });
                Ok(false)
            }
            made => made.map(|()| true),
        }
    }

    /// Makes the next file, with `groups` in it that were read from the one before.
    pub fn begin_file(&mut self, epoch: u64, ceiling: u64, groups: &[Group]) -> Result<()> {
        if let Some(file) = self.file.take_if(|file| file.end > FILE_HEADER as u64 || file.header.ceiling <= epoch) {
            let whole = self.syncer.wait(self.base + file.end);
            if let Err(error) = whole {
                self.file = Some(file);
                return Err(error);
            }
            self.base += file.end;
            self.chain = Chain { number: file.header.number, cut: file.end, check: file.previous };
        }
        let before = self.predecessor()?;
        let Chain { number, cut, check } = self.chain;
        let number = number + 1;
        let header =
            FileHeader { database: self.database, number, salt: self.vfs.random() as u32, cut, check, epoch, ceiling };
        let path = Path::new(UNFINISHED);
        if self.vfs.exists(path)? {
            self.vfs.remove(path)?;
        }
        let made = self.vfs.create(path).and_then(|file| {
            let mut file = LogFile::new(file.into(), header, self.options.frame_bytes)?;
            for group in groups {
                file.reserve(group.payload.len() as u64, false)?;
                let mut bytes = vec![0; FRAME_HEADER];
                bytes.extend_from_slice(&group.payload);
                file.put_group(group.epoch, FILE_HEADER as u64, &mut bytes)?;
            }
            file.file.sync()?;
            self.vfs.rename(path, &name(number))?;
            self.vfs.sync_directory(Path::new(DIRECTORY))?;
            Ok(file)
        });
        let file = made.inspect_err(|_| drop(self.vfs.remove(path)))?;
        if let Some((file, salt)) = before {
            self.point_at_next(file.as_ref(), salt)?;
        }
        self.syncer.begin(file.file.clone(), self.base + file.end);
        self.file = Some(file);
        Ok(())
    }

    /// The file before the next one, with its salt. It is looked for under its name: a file that is made where the
    /// directory was would be one of another database, or of none.
    fn predecessor(&self) -> Result<Option<(Box<dyn VfsFile>, u32)>> {
        let number = self.chain.number;
        if number == 0 {
            return Ok(None);
        }
        let path = name(number);
        if !self.vfs.exists(&path)? {
            return Err(moved());
        }
        let file = self.vfs.open(&path)?;
        let mut header = [0; FILE_HEADER];
        file.read_at(0, &mut header)?;
        let header = FileHeader::decode(&header)?;
        match header.database == self.database {
            true => Ok(Some((file, header.salt))),
            false => Err(moved()),
        }
    }

    /// Says in the file before that it has a successor, which is safe by now.
    fn point_at_next(&self, file: &dyn VfsFile, salt: u32) -> Result<()> {
        let Chain { cut, check, .. } = self.chain;
        file.write_at(cut, &FrameHeader::empty(NEXT, cut, check, salt).encode(salt).0)?;
        file.sync()
    }

    /// The file for a group of `epoch`; another one where this is full.
    fn file_for(&mut self, epoch: u64) -> Result<()> {
        if let Some(owed) = self.owed.take() {
            let first = owed.groups.first().map_or(epoch, |group| group.epoch);
            if let Err(error) = self.begin_file(first, owed.ceiling, &owed.groups) {
                self.owed = Some(owed);
                return Err(error);
            }
        }
        match &self.file {
            Some(file) if file.end < self.options.file_bytes && epoch < file.header.ceiling => Ok(()),
            _ => self.begin_file(epoch, self.ceiling_of(epoch), &[]),
        }
    }

    /// Every epoch in a file that begins with this one is below.
    pub fn ceiling_of(&self, epoch: u64) -> u64 {
        epoch.saturating_add(self.options.file_epochs).min(CEILING - 1)
    }

    /// Room in the file for the group so far and `more` bytes.
    fn allocate(&mut self, epoch: u64, more: u64) -> Result<()> {
        if self.encoder.is_empty() {
            self.file_for(epoch)?;
        }
        let file = self.file.as_mut().ok_or_else(|| Error::internal("a group without a file"))?;
        // What is kept for a full disk is for small things, and not to be taken as a stock.
        let stock = !self.reserve.is_missing();
        if file.reserve(self.encoder.len() as u64 + more, stock)? {
            self.room = self.vfs.free_space();
            if self.options.durability == Durability::Off {
                self.syncer.want(self.base + file.end);
            }
        }
        Ok(())
    }
}

impl Log for DiskLog {
    fn make_room(&mut self, epoch: u64, bytes: u64, unsaved: u64, need: Need) -> Result<()> {
        self.syncer.check()?;
        if need == Need::Adds {
            let end = self.base + self.file.as_ref().map_or(0, |file| file.end);
            self.reserve.keep(end.saturating_sub(self.syncer.safe()) + bytes.max(self.longest))?;
            reserve::check(self.vfs.as_ref(), unsaved.saturating_add(bytes))?;
        }
        match self.allocate(epoch, bytes) {
            Err(error) if need == Need::Frees && is_full(&error) && self.reserve.release() => {
                self.allocate(epoch, bytes)
            }
            done => done,
        }
    }

    fn stage(&mut self, record: &LogRecord) -> Result<()> {
        self.syncer.check()?;
        if self.encoder.is_empty() {
            self.epoch = record.epoch();
            self.file_for(self.epoch)?;
        }
        let before = self.encoder.mark();
        self.encoder.add(record)?;
        self.allocate(self.epoch, 0).inspect_err(|_| self.encoder.back_to(before))
    }

    fn write(&mut self) -> Result<Ticket> {
        let Some(file) = self.file.as_mut().filter(|_| !self.encoder.is_empty()) else {
            return Ok(Ticket::default());
        };
        let safe = self.syncer.safe().saturating_sub(self.base);
        file.put_group(self.epoch, safe, self.encoder.framed()).inspect_err(|error| self.syncer.fail(error))?;
        self.longest = self.longest.max(self.encoder.len() as u64);
        self.encoder.clear();
        let end = self.base + file.end;
        self.syncer.wrote(end);
        Ok(Ticket::new(self.syncer.clone(), end, self.options.durability == Durability::Full))
    }

    fn place(&self) -> Place {
        let (file, end) = match &self.file {
            Some(file) => (file.header.number, file.end),
            None => (self.chain.number, 0),
        };
        Place { file, bytes: self.base + end, room: self.room, is_short: self.reserve.is_missing() }
    }

    fn free_space(&self) -> Option<u64> {
        self.vfs.free_space()
    }

    fn turn(&mut self, epoch: u64) -> Result<()> {
        match &self.file {
            Some(file) if file.end >= AHEAD_MIN.min(self.options.file_bytes) => {
                self.begin_file(epoch, self.ceiling_of(epoch), &[])
            }
            _ => Ok(()),
        }
    }

    fn release(&mut self) -> bool {
        self.reserve.release()
    }

    fn keep(&mut self) {
        self.reserve.keep_some();
    }

    fn confirm(&mut self) -> Result<()> {
        let is_open = |file: &&mut LogFile| !file.is_confirmed && file.end > FILE_HEADER as u64;
        let Some(file) = self.file.as_mut().filter(is_open) else { return Ok(()) };
        self.syncer.wait(self.base + file.end)?;
        file.put_mark(CONFIRM)?;
        file.is_confirmed = true;
        self.syncer.wrote(self.base + file.end);
        self.syncer.wait(self.base + file.end)
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure here; the next open finds out what is there.
        if self.confirm().is_ok()
            && let Some(file) = self.file.as_mut()
        {
            // Neither need be safe: without the mark, numbering goes on higher up.
            let marked = if file.is_confirmed { file.put_mark(CLOSE) } else { Ok(()) };
            let _ = marked.and_then(|()| file.file.set_len(file.end));
        }
        self.syncer.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.lock = None;
    }
}

impl LogFile {
    /// A file with a header and nothing else.
    fn new(file: Arc<dyn VfsFile>, header: FileHeader, frame_bytes: usize) -> Result<Self> {
        file.allocate(AHEAD_MIN)?;
        file.write_at(0, &header.encode())?;
        let end = FILE_HEADER as u64;
        Ok(LogFile { file, header, end, previous: 0, allocated: AHEAD_MIN, frame_bytes, is_confirmed: false })
    }

    /// Allocates blocks for a group of so many bytes and two frames of other kinds behind it, and a stock of them, if
    /// there may be one; whether any were missing.
    fn reserve(&mut self, payload: u64, stock: bool) -> Result<bool> {
        let frames = payload.div_ceil(self.frame_bytes as u64) + 2;
        let need = self.end + payload + frames * FRAME_HEADER as u64;
        if need <= self.allocated {
            return Ok(false);
        }
        let ahead = if stock { need + self.allocated.clamp(AHEAD_MIN, AHEAD) } else { need };
        let allocated = match self.file.allocate(ahead) {
            Ok(()) => ahead,
            Err(_) => self.file.allocate(need).map(|()| need)?,
        };
        self.allocated = allocated;
        Ok(true)
    }

    /// Writes a group, whose payload stands in `bytes` behind room for the header of a frame.
    fn put_group(&mut self, epoch: u64, safe: u64, bytes: &mut [u8]) -> Result<()> {
        let count = (bytes.len() - FRAME_HEADER).div_ceil(self.frame_bytes).max(1);
        let mut start = 0;
        for number in 0..count {
            // The header goes where the end of the frame before was, which is written already.
            let end = (start + FRAME_HEADER + self.frame_bytes).min(bytes.len());
            let payload = &bytes[start + FRAME_HEADER..end];
            let header = FrameHeader {
                position: self.end,
                length: payload.len() as u32,
                payload: checksum(self.header.salt, payload),
                previous: self.previous,
                epoch,
                safe,
                kind: GROUP,
                last: number + 1 == count,
            };
            let (header, check) = header.encode(self.header.salt);
            bytes[start..start + FRAME_HEADER].copy_from_slice(&header);
            self.file.write_at(self.end, &bytes[start..end])?;
            self.end += (end - start) as u64;
            self.previous = check;
            start = end - FRAME_HEADER;
        }
        self.is_confirmed = false;
        Ok(())
    }

    /// Writes a frame without payload, which says that all before it is safe.
    fn put_mark(&mut self, kind: u8) -> Result<()> {
        let salt = self.header.salt;
        let (bytes, check) = FrameHeader::empty(kind, self.end, self.previous, salt).encode(salt);
        self.file.write_at(self.end, &bytes)?;
        self.end += bytes.len() as u64;
        self.previous = check;
        Ok(())
    }
}

/// Makes the first file of a new database's log, whose first epoch is `epoch`. No group goes into it: that it is there
/// says that the log is.
pub fn create(vfs: Arc<dyn Vfs>, database: [u8; 16], epoch: u64) -> Result<()> {
    vfs.create_directory(Path::new(DIRECTORY))?;
    let mut log = DiskLog::new(vfs, database, LogOptions::default(), Chain { number: 0, cut: 0, check: 0 })?;
    // Its name is made durable with FORMAT's.
    log.reserve.keep(0)?;
    log.begin_file(epoch, epoch, &[])
}

/// The path of a file by its number.
pub fn name(number: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{number:016}.wal"))
}
