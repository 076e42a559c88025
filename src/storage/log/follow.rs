//! A log read while another process writes it: each group once it is known to be safe.
//!
//! The frames of the last file say up to where it was safe when they were made, and a log that rests says that all of
//! it is; a file that has a successor counts up to where that one says. So who follows sees what would survive a loss
//! of power and nothing else, a moment later than the writer.

use std::path::Path;

use arrow::buffer::Buffer;

use crate::base::error::Result;
use crate::base::vfs::{Vfs, VfsFile, read_whole};
use crate::storage::log::disk::name;
use crate::storage::log::frame::{
    CONFIRM, FILE_HEADER, FRAME_HEADER, FileHeader, FrameHeader, GROUP, PAYLOAD_MAX, checksum, damaged, scan,
};
use crate::storage::log::recovery::{Start, first_file, in_file};

/// An error if the log from `start` on is damaged; another process may write it meanwhile.
///
/// # Errors
/// A file is missing (XX001), damaged (XX001), of another database, or cannot be read.
pub fn check(vfs: &dyn Vfs, database: [u8; 16], start: Start) -> Result<()> {
    let mut follower = Follower::new(database, start);
    follower.look(vfs, &mut |_, _| Ok(()))?;
    follower.check(vfs)
}

/// Where who follows a log stands in it.
#[derive(Debug)]
pub struct Follower {
    database: [u8; 16],
    /// The file that is read.
    number: u64,
    file: Option<Followed>,
    /// The epoch of the last group that was handed out, or known before.
    epoch: u64,
}

/// How a look at the log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// All that is known to be safe was handed out.
    Current,
    /// What comes next is in a file that is gone: the manifest has it.
    Behind,
}

#[derive(Debug)]
struct Followed {
    file: Box<dyn VfsFile>,
    salt: u32,
    /// Up to where groups were handed out, and the checksum of the frame that ends there.
    position: u64,
    previous: u32,
}

impl Follower {
    /// Follows from `start` on.
    pub fn new(database: [u8; 16], start: Start) -> Self {
        Follower { database, number: start.file, file: None, epoch: start.epoch }
    }

    /// Hands out the groups that have become safe.
    ///
    /// # Errors
    /// A file is damaged or of another database, or `apply` gives one: the group is handed out again next time.
    pub fn look(&mut self, vfs: &dyn Vfs, apply: &mut dyn FnMut(u64, &Buffer) -> Result<()>) -> Result<Look> {
        loop {
            if self.file.is_none() {
                match self.open(vfs)? {
                    Some(file) => self.file = Some(file),
                    None if first_file(vfs)?.is_some_and(|first| first > self.number) => return Ok(Look::Behind),
                    None => return Ok(Look::Current),
                }
            }
            // A successor that is there was whole before it got its name.
            let cut = match vfs.exists(&name(self.number + 1))? {
                true => Some(header(vfs, self.database, self.number + 1)?.1.cut),
                false => None,
            };
            let Some(file) = &mut self.file else { return Ok(Look::Current) };
            file.read(&name(self.number), cut, &mut self.epoch, apply)?;
            match cut {
                Some(_) => (self.number, self.file) = (self.number + 1, None),
                // What is missing is in a file that was made and removed since.
                None if first_file(vfs)?.is_some_and(|first| first > self.number + 1) => return Ok(Look::Behind),
                None => return Ok(Look::Current),
            }
        }
    }

    /// An error if the file that was read last is not all that it should be: the frames that it has say up to where it
    /// was safe once, and whether it had a successor. Behind what is handed out a writer may have gone on, so what is
    /// missing at one look must still be missing at the next: by then it was safe.
    ///
    /// # Errors
    /// It is damaged, or a file is missing (XX001).
    pub fn check(&self, vfs: &dyn Vfs) -> Result<()> {
        let found = self.complaint(vfs)?;
        match found.is_some() && found == self.complaint(vfs)? {
            true => Err(in_file(&name(self.number), &damaged(&found.unwrap_or_default()))),
            false => Ok(()),
        }
    }

    /// What is wrong with the file at one look.
    fn complaint(&self, vfs: &dyn Vfs) -> Result<Option<String>> {
        let Some(followed) = &self.file else {
            // Its files may have been removed by a checkpoint; then there is a later one.
            let is_gone = first_file(vfs)?.is_none_or(|first| first < self.number);
            return Ok(is_gone.then(|| "it is missing".to_string()));
        };
        let bytes = read_whole(followed.file.as_ref(), &name(self.number), u64::MAX)?;
        let scan = scan(&bytes, followed.salt, None);
        if scan.end() < scan.safe {
            return Ok(Some(format!("it is damaged at byte {}, and was safe up to {}", scan.end(), scan.safe)));
        }
        let next = self.number + 1;
        let has_lost_next = scan.has_next && !vfs.exists(&name(next))? && first_file(vfs)? <= Some(self.number);
        Ok(has_lost_next.then(|| format!("\"{}\", which followed it, is missing", name(next).display())))
    }

    fn open(&self, vfs: &dyn Vfs) -> Result<Option<Followed>> {
        if !vfs.exists(&name(self.number))? {
            return Ok(None);
        }
        let (file, header) = header(vfs, self.database, self.number)?;
        Ok(Some(Followed { file, salt: header.salt, position: FILE_HEADER as u64, previous: 0 }))
    }
}

fn header(vfs: &dyn Vfs, database: [u8; 16], number: u64) -> Result<(Box<dyn VfsFile>, FileHeader)> {
    let path: &Path = &name(number);
    let file = vfs.open_to_read(path)?;
    let mut bytes = [0; FILE_HEADER];
    let length = file.read_at(0, &mut bytes)?;
    let header = FileHeader::decode(&bytes[..length]).map_err(|error| in_file(path, &error))?;
    match header.database == database && header.number == number {
        true => Ok((file, header)),
        false => Err(in_file(path, &damaged("it belongs to another database"))),
    }
}

impl Followed {
    /// Hands out the groups behind the position that end at or before `cut`, or else before what is known to be safe.
    fn read(
        &mut self,
        path: &Path,
        cut: Option<u64>,
        epoch: &mut u64,
        apply: &mut dyn FnMut(u64, &Buffer) -> Result<()>,
    ) -> Result<()> {
        let (mut position, mut previous, mut safe) = (self.position, self.previous, cut.unwrap_or(self.position));
        let (mut payload, mut waiting) = (Vec::new(), Vec::new());
        while cut.is_none_or(|cut| position < cut)
            && let Some((frame, check, bytes)) = self.frame(position, previous)?
        {
            (position, previous) = (position + (FRAME_HEADER + bytes.len()) as u64, check);
            if cut.is_none() {
                // A confirmation may yet be cut off itself: the successor of a file begins where it was safe.
                safe = safe.max(frame.safe);
            }
            if frame.kind != GROUP && frame.kind != CONFIRM {
                break;
            }
            payload.extend(bytes);
            if frame.last {
                waiting.push((frame, position, previous, std::mem::take(&mut payload)));
            }
        }
        for (frame, end, check, payload) in waiting.into_iter().take_while(|(_, end, ..)| *end <= safe) {
            if frame.kind == GROUP && frame.epoch > *epoch {
                apply(frame.epoch, &Buffer::from_vec(payload))?;
                *epoch = frame.epoch;
            }
            (self.position, self.previous) = (end, check);
        }
        match cut {
            Some(cut) if self.position != cut => {
                let what = format!("it is damaged at byte {}, and counts up to {cut}", self.position);
                Err(in_file(path, &damaged(&what)))
            }
            _ => Ok(()),
        }
    }

    /// The frame at a position, with its checksum and payload, if it is there as a whole.
    fn frame(&self, position: u64, previous: u32) -> Result<Option<(FrameHeader, u32, Vec<u8>)>> {
        let mut bytes = [0; FRAME_HEADER];
        if self.file.read_at(position, &mut bytes)? < FRAME_HEADER {
            return Ok(None);
        }
        let Some((frame, check)) = FrameHeader::decode_at(&bytes, position, self.salt) else { return Ok(None) };
        if frame.length as usize > PAYLOAD_MAX {
            return Ok(None);
        }
        let mut payload = vec![0; frame.length as usize];
        let read = self.file.read_at(position + FRAME_HEADER as u64, &mut payload)?;
        let is_whole = read == payload.len() && checksum(self.salt, &payload) == frame.payload;
        Ok((is_whole && frame.previous == previous).then_some((frame, check, payload)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::vfs::MemoryVfs;
    use crate::storage::log::disk::{Chain, DiskLog, LogOptions, create};
    use crate::storage::log::{Log, LogRecord, recover};

    /// The confirmation of a log that rests may be lost with its writer, and then the next one does not count it.
    #[test]
    fn a_writer_that_dies_after_a_rest_is_followed_by_the_next() {
        let vfs: Arc<dyn Vfs> = Arc::new(MemoryVfs::default());
        let (database, start) = ([7; 16], Start { file: 1, epoch: 0 });
        create(vfs.clone(), database, 1).unwrap();
        let write = |log: &mut DiskLog, epoch: u64| {
            log.stage(&LogRecord::Tick { epoch, time_us: 0 }).unwrap();
            log.write().unwrap().wait().unwrap();
        };
        let mut follower = Follower::new(database, start);
        let mut seen = Vec::new();
        let mut look = |seen: &mut Vec<u64>| {
            let apply = &mut |epoch: u64, _: &Buffer| {
                seen.push(epoch);
                Ok(())
            };
            assert_eq!(follower.look(vfs.as_ref(), apply).unwrap(), Look::Current);
        };
        let chain = Chain { number: 1, cut: FILE_HEADER as u64, check: 0 };
        let mut log = DiskLog::new(vfs.clone(), database, LogOptions::default(), chain).unwrap();
        write(&mut log, 1);
        log.confirm().unwrap();
        look(&mut seen);
        assert_eq!(seen, [1]);
        // It does not come to close its log.
        std::mem::forget(log);
        let recovered = recover(vfs.clone(), database, LogOptions::default(), start, &mut |_, _| Ok(())).unwrap();
        let mut log = recovered.log;
        write(&mut log, recovered.next_epoch);
        write(&mut log, recovered.next_epoch + 1);
        look(&mut seen);
        assert_eq!(seen, [1, recovered.next_epoch]);
        drop(log);
        look(&mut seen);
        assert_eq!(seen, [1, recovered.next_epoch, recovered.next_epoch + 1]);
    }
}
