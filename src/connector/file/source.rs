//! The file source: which files there are, and which of them is read now.
//!
//! A split is one file, called by the number that the file system gives it: a name means another file after a rotation.
//! The files of the path are looked for again and again; one that was renamed is followed under its new name, also where
//! the path does not mean that, until it has been gone for a while and has nothing more.

use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use crossbeam_channel::Receiver;

use crate::base::access::{FileAccess, NOT_FOUND};
use crate::base::error::{Error, Result};
use crate::connector::file::options::{FileSourceOptions, Format};
use crate::connector::file::records::Records;
use crate::connector::file::tail::{Offset, Tail};
use crate::connector::file::whole::{How, Whole};
use crate::connector::glob;
use crate::connector::source::{Conform, Polled, Source};

/// How often a file is looked for in vain before it is taken for gone.
const LOOKS: u32 = 5;

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
    /// A file of which only the offset is known.
    Gone(String),
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
            Err(error) if error.sqlstate() == NOT_FOUND => Vec::new(),
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
        let offset = offset.map(Offset::parse).transpose()?;
        let was = offset.as_ref().map(|offset| offset.path.clone()).unwrap_or_default();
        let Some(path) = self.whereabouts(split, &was)? else { return Ok(Split::Gone(split.to_string())) };
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
            None => Ok(Split::Gone(split.to_string())),
        }
    }

    /// Notes what each file is called now, and which of them is gone.
    fn follow(&mut self) {
        for file in &mut self.files {
            let (split, path, missed) = match file {
                Split::Tail(tail) => (&tail.split, &mut tail.path, &mut tail.missed),
                Split::Whole(whole) => (&whole.split, &mut whole.path, &mut whole.missed),
                Split::Gone(_) => continue,
            };
            match self.found.iter().find(|(other, _)| other == split) {
                Some((_, now)) => (*path, *missed) = (now.clone(), 0),
                None => *missed += 1,
            }
            if let Split::Tail(tail) = file
                && tail.missed > LOOKS
            {
                tail.finish();
            }
        }
    }

    fn poll_file(&mut self, at: usize, max: usize) -> Result<Option<Polled>> {
        let header = self.options.read.header;
        let forgotten = |split: &String| Some(Polled { split: split.clone(), ..Polled::default() });
        match &mut self.files[at] {
            Split::Tail(tail) => match tail.poll(&self.records, header, max)? {
                None if tail.is_finished() && self.feed.is_none() => Ok(forgotten(&tail.split)),
                polled => Ok(polled),
            },
            Split::Whole(whole) if whole.missed > LOOKS => Ok(forgotten(&whole.split)),
            Split::Whole(whole) if whole.missed > 0 => Ok(None),
            Split::Whole(whole) => {
                let Format::Whole(format) = self.options.format else {
                    return Err(Error::internal("a file of lines was to be read as a whole"));
                };
                let (options, schema) = (&self.options.read, &self.schema);
                whole.poll(&How { format, options, schema, conform: &self.conform, access: &self.access }, max)
            }
            Split::Gone(split) => Ok(forgotten(split)),
        }
    }
}

impl Source for FileSource {
    fn splits(&mut self) -> Result<Vec<String>> {
        if self.options.is_stdin() {
            return Ok(vec![STDIN.to_string()]);
        }
        self.found = self.look()?;
        self.follow();
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
        let file = match self.options.format {
            Format::Whole(_) => self.open_whole(split, offset)?,
            _ => self.open_tail(split, offset)?,
        };
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
