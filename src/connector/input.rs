//! One file as bytes that can be read several times: opened under the access policy, decompressed, pipes buffered.
//!
//! A regular file is opened anew for every reading, so that a glob over many files holds no descriptors; readings see
//! the length it had at first, and a file that shrank or was replaced meanwhile is an error where that would matter.

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::access::{FileAccess, Fingerprint, PathKind, UserFile, io_error};
use crate::base::error::{Error, ErrorKind, Result};
use crate::connector::format::{Compression, SNIFF_BYTES, sniff_compression};

/// A file to read.
#[derive(Debug, Clone)]
pub struct Input {
    path: PathBuf,
    access: FileAccess,
    compression: Compression,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    File(Fingerprint),
    /// A pipe can be read once only, so its bytes are kept.
    Buffered(Arc<[u8]>),
}

/// Bytes of a file, decompressed.
pub type Bytes = Box<dyn Read + Send>;

impl Input {
    /// The file at `path`; its compression is found by its first bytes unless given.
    pub fn open(path: &Path, compression: Option<Compression>, access: &FileAccess) -> Result<Self> {
        let mut file = access.open(path)?;
        let content = match access.kind(path)? {
            PathKind::Stream => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(|error| io_error("read", path, error))?;
                Content::Buffered(bytes.into())
            }
            _ => Content::File(Fingerprint::of(&file, path)?),
        };
        let mut input =
            Input { path: path.to_path_buf(), access: access.clone(), compression: Compression::None, content };
        input.compression = match compression {
            Some(compression) => compression,
            None => sniff_compression(&input.first(4)?),
        };
        Ok(input)
    }

    /// Bytes that were read already, said to be of `path`.
    pub fn of_bytes(path: &Path, bytes: Arc<[u8]>) -> Self {
        let (path, content) = (path.to_path_buf(), Content::Buffered(bytes));
        Input { path, access: FileAccess::off(), compression: Compression::None, content }
    }

    /// The path as the user wrote it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first `length` decompressed bytes, or all if there are fewer.
    pub fn first(&self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length.min(SNIFF_BYTES));
        let mut reader = self.read()?.take(length as u64);
        reader.read_to_end(&mut bytes).map_err(|error| self.io_error(error))?;
        Ok(bytes)
    }

    /// All bytes from the start, decompressed.
    pub fn read(&self) -> Result<Bytes> {
        let raw: Bytes = match &self.content {
            Content::File(at_first) => Box::new(self.access.open(&self.path)?.take(at_first.len)),
            Content::Buffered(bytes) => Box::new(Cursor::new(bytes.clone())),
        };
        Ok(match self.compression {
            Compression::None => raw,
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(raw)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(raw).map_err(|error| self.io_error(error))?),
        })
    }

    /// The file itself, for formats that seek.
    pub fn file(&self) -> Result<UserFile> {
        let Content::File(at_first) = &self.content else {
            return Err(self.refuse("cannot be read from a pipe: its format needs a file"));
        };
        if self.compression != Compression::None {
            return Err(self.refuse("is compressed as a whole: its format needs a plain file"));
        }
        let mut file = self.access.open(&self.path)?;
        if Fingerprint::of(&file, &self.path)? != *at_first {
            return Err(self.refuse("changed while it was being read").with_hint("run the statement again"));
        }
        file.seek(SeekFrom::Start(0)).map_err(|error| self.io_error(error))?;
        Ok(file)
    }

    /// The error of a failed read, naming the file.
    pub fn io_error(&self, error: std::io::Error) -> Error {
        io_error("read", &self.path, error)
    }

    fn refuse(&self, why: &str) -> Error {
        Error::new(ErrorKind::Io, format!("'{}' {why}", self.path.display()))
    }
}
