//! Which format a file is in: by explicit name, by its first bytes, or by its extension.
//!
//! Bytes that identify a format (`PAR1`, `ARROW1`, gzip, zstd) win over the extension; text is told apart by extension
//! first, because a CSV file may well start with a brace.

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::catalog::suggest::advice;

/// The formats of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// Delimited text.
    Csv,
    /// One JSON array of objects, or objects one after another.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC, the file or the stream form.
    Arrow,
}

/// The compression of a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// None.
    #[default]
    None,
    /// gzip, `.gz`.
    Gzip,
    /// Zstandard, `.zst`.
    Zstd,
}

/// How many first bytes [`sniff`] and [`sniff_compression`] want to see.
pub const SNIFF_BYTES: usize = 4096;

impl FileFormat {
    /// The format of that name, as in `FORMAT parquet`; case does not matter.
    pub fn from_name(name: &str) -> Result<Self> {
        let known = by_word(&name.to_ascii_lowercase());
        known.ok_or_else(|| {
            let known = ["csv", "tsv", "json", "ndjson", "parquet", "arrow"];
            let error = Error::invalid(format!("unknown file format '{name}'"));
            error.with_hint(advice(name, &known))
        })
    }

    /// What it is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            FileFormat::Csv => "CSV",
            FileFormat::Json => "JSON",
            FileFormat::Ndjson => "NDJSON",
            FileFormat::Parquet => "Parquet",
            FileFormat::Arrow => "Arrow",
        }
    }

    /// The format and compression an extension stands for: `a.csv`, `a.ndjson.gz`.
    pub fn from_extension(path: &Path) -> (Option<Self>, Compression) {
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let (stem, compression) = if let Some(stem) = name.strip_suffix(".gz") {
            (stem, Compression::Gzip)
        } else if let Some(stem) = name.strip_suffix(".zst") {
            (stem, Compression::Zstd)
        } else {
            (name.as_str(), Compression::None)
        };
        let format = stem.rsplit_once('.').and_then(|(_, extension)| by_word(extension));
        (format, compression)
    }
}

fn by_word(word: &str) -> Option<FileFormat> {
    Some(match word {
        "csv" | "tsv" | "tab" | "psv" | "txt" => FileFormat::Csv,
        "json" | "geojson" => FileFormat::Json,
        "ndjson" | "jsonl" | "jsonlines" => FileFormat::Ndjson,
        "parquet" | "parq" | "pq" => FileFormat::Parquet,
        "arrow" | "arrows" | "feather" | "ipc" => FileFormat::Arrow,
        _ => return None,
    })
}

/// The compression the first bytes of a file show.
pub fn sniff_compression(first: &[u8]) -> Compression {
    match first {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// The format of a file by its first (decompressed) bytes and, for text, its extension.
///
/// Text of no known extension counts as CSV only if it looks like text.
pub fn sniff(first: &[u8], path: &Path) -> Result<FileFormat> {
    if first.starts_with(b"PAR1") {
        return Ok(FileFormat::Parquet);
    }
    if first.starts_with(b"ARROW1") || first.starts_with(&[0xff, 0xff, 0xff, 0xff]) {
        return Ok(FileFormat::Arrow);
    }
    if let (Some(format), _) = FileFormat::from_extension(path) {
        return Ok(format);
    }
    let text = first.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(first);
    let start = text.iter().position(|byte| !byte.is_ascii_whitespace());
    match start.and_then(|start| text.get(start..)) {
        Some([b'{', ..]) => Ok(FileFormat::Json),
        Some([b'[', rest @ ..]) if rest.iter().find(|b| !b.is_ascii_whitespace()).is_some_and(|&b| b == b'{') => {
            Ok(FileFormat::Json)
        }
        Some(text) if !text.contains(&0) => Ok(FileFormat::Csv),
        _ => Err(Error::invalid(format!("cannot tell the format of '{}'", path.display()))
            .with_hint("name it: read_csv('...'), read_json, read_parquet, or COPY ... (FORMAT csv)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_and_names() {
        let of = |name: &str| FileFormat::from_extension(Path::new(name));
        assert_eq!(of("a/b.CSV"), (Some(FileFormat::Csv), Compression::None));
        assert_eq!(of("b.ndjson.gz"), (Some(FileFormat::Ndjson), Compression::Gzip));
        assert_eq!(of("b.csv.zst"), (Some(FileFormat::Csv), Compression::Zstd));
        assert_eq!(of("parquet"), (None, Compression::None));
        assert_eq!(FileFormat::from_name("PARQUET").unwrap(), FileFormat::Parquet);
        let error = FileFormat::from_name("parket").unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.starts_with("did you mean \"parquet\"? there are csv,")));
    }

    #[test]
    fn content_wins_where_it_is_unmistakable() {
        let path = Path::new("data.csv");
        assert_eq!(sniff(b"PAR1....", path).unwrap(), FileFormat::Parquet);
        assert_eq!(sniff(b"ARROW1\0\0", path).unwrap(), FileFormat::Arrow);
        assert_eq!(sniff(b"{not json", path).unwrap(), FileFormat::Csv);
        assert_eq!(sniff(b" [ {\"a\":1}]", Path::new("data")).unwrap(), FileFormat::Json);
        assert_eq!(sniff(b"a,b\n1,2", Path::new("data")).unwrap(), FileFormat::Csv);
        assert!(sniff(b"\x7fELF\0\0", Path::new("data")).is_err());
    }
}
