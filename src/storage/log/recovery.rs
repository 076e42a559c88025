//! What is read of the log when a database is opened: every whole group, in order, and where to go on.
//!
//! ```text
//! 0000000000000001.wal  0000000000000002.wal   0000000000000003.wal (the last)
//! ├──── good ────┤cut   ├── good ──┤cut        ├─ safe ─┤── good ──┤ torn
//!                                                       └─ tail ───┘ ─▶ the next file, before anybody sees it
//! ```
//!
//! Where a manifest counts, files before its first and epochs up to its own are passed over. Each file but the last must
//! be good up to where its successor says. The last is read frame by frame up to the first bad place. Where any frame
//! says that more than that was safe, the file is damaged, and is refused. What is good behind the last safe position
//! was perhaps never synced, or a sync of it failed and the system shows pages that the disk does not have: it is
//! written to the next file and synced. Files are read once: what is shown is what was written down.
//!
//! A log that was not closed may have lost groups whose epochs somebody has seen: commits that did not wait for the
//! disk, ticks. That it was confirmed says nothing of what came afterwards. So numbering goes on above all that the
//! last file could have.

use std::path::Path;
use std::sync::Arc;

use arrow::buffer::Buffer;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::CEILING;
use crate::base::vfs::{Vfs, read_whole};
use crate::storage::RESTORE;
use crate::storage::log::disk::{Chain, DIRECTORY, DiskLog, LogOptions, name};
use crate::storage::log::frame::{FILE_HEADER, FRAME_HEADER, FileHeader, Group, damaged, scan};

/// A log that was read and can go on.
pub struct Recovered {
    /// The log.
    pub log: DiskLog,
    /// The least epoch that no file has, nor had before a loss.
    pub next_epoch: u64,
    /// What a user should be told.
    pub notices: Vec<String>,
}

/// Where the log begins to matter.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// The first file that is needed.
    pub file: u64,
    /// The epoch whose contents are known: later ones are read.
    pub epoch: u64,
}

/// Reads the log in `vfs` from `start` on, giving `apply` every group in order, and makes it ready to go on.
///
/// # Errors
/// A file is missing, damaged or of another database, or `apply` gives one. Nothing has changed on the disk then.
pub fn recover(
    vfs: Arc<dyn Vfs>,
    database: [u8; 16],
    options: LogOptions,
    start: Start,
    apply: &mut dyn FnMut(u64, &Buffer) -> Result<()>,
) -> Result<Recovered> {
    let mut numbers = files(vfs.as_ref())?;
    numbers.retain(|&number| number >= start.file);
    let Some((&first, &last)) = numbers.first().zip(numbers.last()) else {
        let what = format!("\"{DIRECTORY}\" has no file: the log of the database is lost");
        return Err(damaged(&what).with_hint(RESTORE));
    };
    if start.epoch == 0 && first != start.file {
        // A checkpoint has removed the first files, so there was a manifest.
        return Err(lost_manifest(first));
    }
    let expected = std::iter::once(start.file).chain(first..=last);
    let is_there = |number: &u64| numbers.binary_search(number).is_ok();
    if let Some(gap) = expected.into_iter().find(|number| !is_there(number)) {
        return Err(damaged(&format!("\"{}\" is missing", name(gap).display())).with_hint(RESTORE));
    }
    let mut reader = Reader { vfs: vfs.as_ref(), database, known: start.epoch, epoch: 0 };
    let mut bytes = reader.read(first)?;
    for number in first..last {
        let next = reader.read(number + 1)?;
        reader.closed_file(number, &bytes, &next.header, apply)?;
        bytes = next;
    }
    let mut end = reader.last_file(last, &bytes, apply)?;
    end.next_epoch = end.next_epoch.max(start.epoch + 1);
    drop(bytes);
    let mut log = DiskLog::new(vfs, database, options, end.chain)?;
    let ceiling = log.ceiling_of(end.next_epoch);
    if !log.take_over(end.tail, ceiling)? {
        end.notices.push("the disk is full: commits are refused until there is room for the end of the log".into());
    }
    Ok(Recovered { log, next_epoch: end.next_epoch, notices: end.notices })
}

/// The number of the first file that is there.
pub fn first_file(vfs: &dyn Vfs) -> Result<Option<u64>> {
    Ok(files(vfs)?.first().copied())
}

/// Removes the files before `number`.
pub fn remove_before(vfs: &dyn Vfs, number: u64) -> Result<()> {
    let before = files(vfs)?.into_iter().filter(|&other| other < number);
    before.map(name).try_for_each(|path| vfs.remove(&path))
}

/// Groups of the log, each with its epoch.
pub type Groups = Vec<(u64, Buffer)>;

/// The groups from `start` on up to the first that is not whole, each with its epoch, and what is wrong behind them.
pub fn read_whole_groups(vfs: &dyn Vfs, database: [u8; 16], start: Start) -> Result<(Groups, Option<String>)> {
    let numbers = files(vfs)?;
    let last = numbers.last().copied().unwrap_or(0);
    let mut groups = Groups::new();
    let mut reader = Reader { vfs, database, known: start.epoch, epoch: 0 };
    let mut keep = |epoch: u64, group: &Buffer| {
        groups.push((epoch, group.clone()));
        Ok(())
    };
    let mut complaint = None;
    for number in start.file..=last.max(start.file) {
        let read = reader.read(number).and_then(|file| {
            let successor = if number < last { Some(reader.read(number + 1)?.header) } else { None };
            let scan = scan(&file.bytes, file.header.salt, successor.as_ref().map(|next| next.cut));
            reader.apply(number, &scan.groups, &mut keep)?;
            let (end, promised) = (scan.end(), successor.map_or(scan.safe, |next| next.cut));
            match end < promised {
                true => Err(in_file(
                    &name(number),
                    &damaged(&format!("it is damaged at byte {end}, and counts up to {promised}")),
                )),
                false => Ok(()),
            }
        });
        if let Err(error) = read {
            complaint =
                Some(format!("what was committed after epoch {}: {}", reader.epoch.max(start.epoch), error.message()));
            break;
        }
    }
    Ok((groups, complaint))
}

/// Whether the log has no group: what a creation leaves that was cut short.
pub fn is_unused(vfs: &dyn Vfs) -> Result<bool> {
    let numbers = files(vfs)?;
    if numbers.len() > 1 || numbers.first().is_some_and(|&number| number != 1) {
        return Ok(false);
    }
    for number in numbers {
        let file = vfs.open(&name(number))?;
        let mut bytes = vec![0; FILE_HEADER + FRAME_HEADER];
        let length = file.read_at(0, &mut bytes)?;
        let is_whole = FileHeader::decode(&bytes[..length]).is_ok();
        if !is_whole || bytes[FILE_HEADER..].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The numbers of the log's files; what was left unfinished is removed by whoever makes the next one.
fn files(vfs: &dyn Vfs) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    if !vfs.exists(Path::new(DIRECTORY))? {
        return Ok(numbers);
    }
    for file in vfs.list(Path::new(DIRECTORY))? {
        let path = Path::new(DIRECTORY).join(&file);
        // Systems and tools leave files of their own. One that was ours and has lost its name leaves a gap.
        let Some(digits) = file.strip_suffix(".wal") else { continue };
        let number = digits.parse().ok().filter(|&number| name(number) == path);
        numbers.push(number.ok_or_else(|| damaged(&format!("\"{}\" is no file of a log", path.display())))?);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

struct Reader<'a> {
    vfs: &'a dyn Vfs,
    database: [u8; 16],
    /// The epoch up to which groups are passed over.
    known: u64,
    /// The epoch of the last group.
    epoch: u64,
}

struct File {
    header: FileHeader,
    bytes: Vec<u8>,
}

/// How the last file ends.
struct End {
    chain: Chain,
    tail: Vec<Group>,
    next_epoch: u64,
    notices: Vec<String>,
}

impl Reader<'_> {
    fn read(&self, number: u64) -> Result<File> {
        let path = name(number);
        let file = self.vfs.open(&path)?;
        let bytes = read_whole(file.as_ref(), &path, u64::MAX).map_err(|error| in_file(&path, &error))?;
        let header = FileHeader::decode(&bytes).map_err(|error| in_file(&path, &error))?;
        if header.database != self.database {
            return Err(in_file(&path, &damaged("it belongs to another database")));
        }
        if header.number != number {
            return Err(in_file(&path, &damaged(&format!("it was made as file {}", header.number))));
        }
        Ok(File { header, bytes })
    }

    /// A file that has a successor.
    fn closed_file(
        &mut self,
        number: u64,
        file: &File,
        successor: &FileHeader,
        apply: &mut dyn FnMut(u64, &Buffer) -> Result<()>,
    ) -> Result<()> {
        let scan = scan(&file.bytes, file.header.salt, Some(successor.cut));
        if scan.end() != successor.cut || scan.check_at(successor.cut) != Some(successor.check) {
            let what = format!("it is damaged at byte {}, and counts up to {}", scan.end(), successor.cut);
            return Err(in_file(&name(number), &damaged(&what)));
        }
        self.apply(number, &scan.groups, apply)
    }

    fn last_file(
        &mut self,
        number: u64,
        file: &File,
        apply: &mut dyn FnMut(u64, &Buffer) -> Result<()>,
    ) -> Result<End> {
        let mut scan = scan(&file.bytes, file.header.salt, None);
        let end = scan.end();
        let check = scan.check_at(scan.safe).filter(|_| scan.safe <= end);
        let Some(check) = check else {
            let what = format!("it is damaged at byte {end}, and was safe up to {}", scan.safe);
            return Err(in_file(&name(number), &damaged(&what)));
        };
        if scan.has_next {
            let (next, number) = (name(number + 1), name(number));
            let what = format!("\"{}\", which followed \"{}\", is missing", next.display(), number.display());
            return Err(damaged(&what).with_hint(RESTORE));
        }
        self.apply(number, &scan.groups, apply)?;
        let mut notices = Vec::new();
        if scan.beyond > 0 || scan.is_torn {
            let path = name(number);
            notices
                .push(format!("the log was cut at byte {end} of \"{}\": what follows was not whole", path.display()));
        }
        let mut next_epoch = self.epoch + 1;
        if !scan.is_closed {
            next_epoch = next_epoch.max(file.header.ceiling);
        }
        scan.groups.retain(|group| group.start >= scan.safe);
        Ok(End { chain: Chain { number, cut: scan.safe, check }, tail: scan.groups, next_epoch, notices })
    }

    fn apply(
        &mut self,
        number: u64,
        groups: &[Group],
        apply: &mut dyn FnMut(u64, &Buffer) -> Result<()>,
    ) -> Result<()> {
        for group in groups {
            if group.epoch <= self.epoch || group.epoch >= CEILING {
                let what = format!("epoch {} follows epoch {}", group.epoch, self.epoch);
                return Err(in_file(&name(number), &damaged(&what)));
            }
            self.epoch = group.epoch;
            if group.epoch > self.known {
                apply(group.epoch, &group.payload)?;
            }
        }
        Ok(())
    }
}

/// The error where no manifest is there and the log does not begin with its first file.
pub fn lost_manifest(first: u64) -> Error {
    let what = format!("the manifest of the database is lost: its log begins with \"{}\"", name(first).display());
    damaged(&what).with_hint(RESTORE)
}

/// An error of a file, with its name and what can be done.
pub fn in_file(path: &Path, error: &Error) -> Error {
    let hint = match error.kind() {
        ErrorKind::Unsupported => "open it with the version that made it, or a later one",
        _ => RESTORE,
    };
    let message = format!("cannot read \"{}\": {}", path.display(), error.message());
    Error::new(error.kind(), message).with_sqlstate(error.sqlstate()).with_hint(hint)
}
