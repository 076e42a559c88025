//! The file source: which files there are, and which of them is read now.
//!
//! A split is one file, called by the number that the file system gives it: a name means another file after a rotation.
//! The files of the path are looked for again and again; one that was renamed is followed under its new name, also where
//! the path does not mean that, until it has been gone for a while and has nothing more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use crossbeam_channel::Receiver;

use crate::base::access::{FileAccess, NOT_FOUND, PathKind};
use crate::base::error::{Error, Result};
use crate::connector::file::options::{FileSourceOptions, Format};
use crate::connector::file::records::Records;
use crate::connector::file::tail::{Offset, Tail};
use crate::connector::file::whole::{How, Whole};
use crate::connector::glob::{self, has_wildcard};
use crate::connector::source::{Conform, Polled, Source};

/// How often a file is looked for in vain before half a line of it is taken for a line.
const LOOKS: u32 = 5;

/// How long the offset of a file is kept that is gone: a directory may come back.
const MEMORY: Duration = Duration::from_secs(600);

/// The one split of the standard input.
const STDIN: &str = "stdin";

/// Files of a path, read for ever.
pub struct FileSource {
    options: FileSourceOptions,
    schema: SchemaRef,
    conform: Conform,
    access: FileAccess,
    records: Records,
    /// Whether files that are found now were there at the beginning.
    is_first_look: bool,
    /// The files that were found last, with their numbers.
    found: Vec<(String, PathBuf)>,
    files: Vec<Split>,
    next: usize,
    feed: Option<Receiver<Vec<u8>>>,
}

enum Split {
    Tail(Tail),
    Whole(Whole),
    /// A file of which only the offset is known, and how often it was looked for in vain.
    Gone {
        split: String,
        offset: Option<String>,
        missed: u32,
    },
}

impl FileSource {
    /// A source that has read nothing, or whose splits are to be opened at their offsets (then it is not `new`). `feed`
    /// gives the bytes of the standard input.
    pub fn new(
        options: FileSourceOptions,
        schema: SchemaRef,
        conform: Conform,
        access: FileAccess,
        new: bool,
        feed: Option<Receiver<Vec<u8>>>,
    ) -> Self {
        let records = Records::new(options.format, &options.read, &schema, conform.clone());
        let is_first_look = new;
        let (found, files, next) = (Vec::new(), Vec::new(), 0);
        FileSource { options, schema, conform, access, records, is_first_look, found, files, next, feed }
    }

    /// The files of the path, with their numbers.
    fn look(&self) -> Result<Vec<(String, PathBuf)>> {
        let paths = match glob::expand(&self.options.path, &self.access) {
            Ok(paths) => paths,
            // Files may be gone; a directory that is gone may come back with them.
            Err(error) if error.sqlstate() == NOT_FOUND && self.has_directory()? => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut found: Vec<(String, PathBuf)> = Vec::with_capacity(paths.len());
        for path in paths {
            if let Some(number) = self.access.identity(&path)? {
                let split = number.to_string();
                if !found.iter().any(|(other, _)| *other == split) {
                    found.push((split, path));
                }
            }
        }
        Ok(found)
    }

    /// Whether the directory is there in which files are looked for.
    fn has_directory(&self) -> Result<bool> {
        let is_plain = |ancestor: &&Path| !has_wildcard(&ancestor.to_string_lossy());
        let directory = Path::new(&self.options.path).ancestors().skip(1).find(is_plain).unwrap_or(Path::new(""));
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        Ok(self.access.kind(directory)? == PathKind::Directory)
    }

    /// Where the file of that number is now: under the path, or beside where it was.
    fn whereabouts(&self, split: &str, was: &Path) -> Result<Option<PathBuf>> {
        if let Some((_, path)) = self.found.iter().find(|(other, _)| other == split) {
            return Ok(Some(path.clone()));
        }
        let directory = match was.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let Ok(names) = self.access.list(directory) else { return Ok(None) };
        for (name, _) in names {
            let path = was.with_file_name(name);
            if self.access.identity(&path)?.is_some_and(|number| number.to_string() == split) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn open_tail(&self, split: &str, offset: Option<&str>) -> Result<Split> {
        let gone = || Split::Gone { split: split.to_string(), offset: offset.map(str::to_string), missed: 0 };
        let offset = offset.map(Offset::parse).transpose()?;
        let was = offset.as_ref().map(|offset| offset.path.clone()).unwrap_or_default();
        let Some(path) = self.whereabouts(split, &was)? else { return Ok(gone()) };
        let tail = match offset {
            Some(offset) => Tail::resume(split, &path, &offset, &self.access)?,
            None => Tail::begin(split, &path, self.is_first_look && self.options.from_end, &self.access)?,
        };
        Ok(Split::Tail(tail))
    }

    fn open_whole(&self, split: &str, offset: Option<&str>) -> Result<Split> {
        let passed = offset.is_none() && self.is_first_look && self.options.from_end;
        match self.found.iter().find(|(other, _)| other == split) {
            Some((_, path)) => Ok(Split::Whole(Whole::new(split, path, offset, passed)?)),
            None => Ok(Split::Gone { split: split.to_string(), offset: offset.map(str::to_string), missed: 0 }),
        }
    }

    fn open_file(&self, split: &str, offset: Option<&str>) -> Result<Split> {
        match self.options.format {
            Format::Whole(_) => self.open_whole(split, offset),
            _ => self.open_tail(split, offset),
        }
    }

    /// Notes what each file is called now, and which of them is gone.
    fn follow(&mut self) -> Result<()> {
        for at in 0..self.files.len() {
            let found =
                |split: &String| self.found.iter().find(|(other, _)| other == split).map(|(_, path)| path.clone());
            match &mut self.files[at] {
                Split::Tail(tail) => match found(&tail.split) {
                    Some(path) => (tail.path, tail.missed) = (path, 0),
                    None if tail.missed > LOOKS => tail.finish(),
                    None => tail.missed += 1,
                },
                Split::Whole(whole) => match found(&whole.split) {
                    Some(path) => (whole.path, whole.missed) = (path, 0),
                    None => whole.missed += 1,
                },
                Split::Gone { split, offset, missed } => match found(split) {
                    Some(_) => {
                        let (split, offset) = (split.clone(), offset.clone());
                        self.files[at] = self.open_file(&split, offset.as_deref())?;
                    }
                    None => *missed += 1,
                },
            }
        }
        Ok(())
    }

    /// Whether a file that was looked for in vain so often is forgotten.
    fn is_forgotten(&self, missed: u32) -> bool {
        missed > LOOKS && self.options.poll_interval.saturating_mul(missed) > MEMORY
    }

    fn poll_file(&mut self, at: usize, max: usize) -> Result<Option<Polled>> {
        let header = self.options.read.header;
        if let Split::Whole(Whole { split, missed, .. }) | Split::Gone { split, missed, .. } = &self.files[at]
            && self.is_forgotten(*missed)
        {
            return Ok(Some(Polled { split: split.clone(), ..Polled::default() }));
        }
        match &mut self.files[at] {
            Split::Tail(tail) => {
                let polled = tail.poll(&self.records, header, max)?;
                if polled.is_none() && tail.is_finished() && self.feed.is_none() {
                    let (split, offset, missed) = (tail.split.clone(), Some(tail.offset()), tail.missed);
                    self.files[at] = Split::Gone { split, offset, missed };
                }
                Ok(polled)
            }
            Split::Whole(whole) if whole.missed > 0 => Ok(None),
            Split::Whole(whole) => {
                let Format::Whole(format) = self.options.format else {
                    return Err(Error::internal("a file of lines was to be read as a whole"));
                };
                let (options, schema) = (&self.options.read, &self.schema);
                whole.poll(&How { format, options, schema, conform: &self.conform, access: &self.access }, max)
            }
            Split::Gone { .. } => Ok(None),
        }
    }
}

impl Source for FileSource {
    fn splits(&mut self) -> Result<Vec<String>> {
        if self.options.is_stdin() {
            return Ok(vec![STDIN.to_string()]);
        }
        self.found = self.look()?;
        self.follow()?;
        Ok(self.found.iter().map(|(split, _)| split.clone()).collect())
    }

    fn open(&mut self, split: &str, offset: Option<&str>) -> Result<()> {
        if split == STDIN {
            if let Some(feed) = &self.feed {
                self.files.push(Split::Tail(Tail::fed(split, feed.clone())));
            }
            return Ok(());
        }
        if self.found.is_empty() {
            self.found = self.look()?;
        }
        let file = self.open_file(split, offset)?;
        self.files.push(file);
        Ok(())
    }

    fn poll(&mut self, max: usize) -> Result<Option<Polled>> {
        self.is_first_look = false;
        for _ in 0..self.files.len() {
            let at = self.next % self.files.len();
            match self.poll_file(at, max)? {
                Some(polled) => {
                    if polled.offset.is_empty() {
                        self.files.remove(at);
                    }
                    return Ok(Some(polled));
                }
                None => self.next = at + 1,
            }
        }
        Ok(None)
    }

    fn is_finished(&self) -> bool {
        self.feed.is_some() && self.files.iter().all(|file| matches!(file, Split::Tail(tail) if tail.is_finished()))
    }
}
