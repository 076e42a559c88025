//! From a path, a pattern or a directory to the files it means.
//!
//! `*` and `?` match within a name, `[a-z]` and `[!a-z]` one character, `**` any number of directories. Names that
//! begin with `.` or `_` (unfinished files, markers) are passed over unless the pattern spells them. The result is
//! sorted.

use std::path::{Component, Path, PathBuf};

use crate::base::access::{FileAccess, NOT_FOUND, PathKind};
use crate::base::error::{Error, ErrorKind, Result};

/// The files `pattern` means, sorted; an error if there are none.
pub fn expand(pattern: &str, access: &FileAccess) -> Result<Vec<PathBuf>> {
    let path = Path::new(pattern);
    match access.kind(path)? {
        // A name that exists is meant literally, whatever characters it holds.
        PathKind::File | PathKind::Stream => return Ok(vec![path.to_path_buf()]),
        PathKind::Directory => {
            let mut files = Vec::new();
            walk(path, &mut files, access, 0)?;
            return found(files, format!("no files in directory '{pattern}'"));
        }
        PathKind::Missing if !has_wildcard(pattern) => {
            return Err(Error::new(ErrorKind::Io, format!("no such file: '{pattern}'"))
                .with_sqlstate(NOT_FOUND)
                .with_hint(neighbour(path, access)));
        }
        PathKind::Missing => {}
    }
    let mut files = Vec::new();
    let parts: Vec<Component<'_>> = path.components().collect();
    descend(PathBuf::new(), &parts, access, &mut files, 0)?;
    files.sort();
    files.dedup();
    found(files, format!("no file matches '{pattern}'"))
}

/// Whether `text` has characters that make it a pattern.
pub fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether `name` matches `pattern`, one path component each.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // The classic two-pointer walk: after a mismatch the last star takes one character more.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(_) => {
                if let Some(length) = one(&pattern[p..], name[n]) {
                    p += length;
                    n += 1;
                    continue;
                }
            }
            None => {}
        }
        let Some((at, taken)) = star else { return false };
        star = Some((at, taken + 1));
        (p, n) = (at + 1, taken + 1);
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// How many pattern characters match the single character `c`.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => {
            let close = pattern.iter().skip(2).position(|&c| c == ']').map(|at| at + 2);
            let Some(close) = close else { return (c == '[').then_some(1) };
            let (negated, set) = match pattern.get(1) {
                Some('!' | '^') => (true, &pattern[2..close]),
                _ => (false, &pattern[1..close]),
            };
            let mut inside = false;
            let mut at = 0;
            while let Some(&low) = set.get(at) {
                match (set.get(at + 1), set.get(at + 2)) {
                    (Some('-'), Some(&high)) => {
                        inside |= (low..=high).contains(&c);
                        at += 3;
                    }
                    _ => {
                        inside |= low == c;
                        at += 1;
                    }
                }
            }
            (inside != negated).then_some(close + 1)
        }
        &literal => (literal == c).then_some(1),
    }
}

/// Directories deeper than this are taken for a loop of links.
const DEPTH_MAX: usize = 64;

fn descend(
    base: PathBuf,
    parts: &[Component<'_>],
    access: &FileAccess,
    files: &mut Vec<PathBuf>,
    depth: usize,
) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        match access.kind(&base)? {
            PathKind::File | PathKind::Stream => files.push(base),
            PathKind::Directory | PathKind::Missing => {}
        }
        return Ok(());
    };
    let text = part.as_os_str().to_string_lossy();
    if !matches!(part, Component::Normal(_)) || !has_wildcard(&text) {
        return descend(base.join(part), rest, access, files, depth);
    }
    let directory = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base.clone() };
    if depth > DEPTH_MAX || access.kind(&directory)? != PathKind::Directory {
        return Ok(());
    }
    if text == "**" {
        descend(base.clone(), rest, access, files, depth + 1)?;
    }
    for (name, is_directory) in access.list(&directory)? {
        if is_hidden(&name) && !text.starts_with(['.', '_']) {
            continue;
        }
        if text == "**" {
            if is_directory {
                descend(base.join(&name), parts, access, files, depth + 1)?;
            }
        } else if matches(&text, &name) && (is_directory || rest.is_empty()) {
            descend(base.join(&name), rest, access, files, depth + 1)?;
        }
    }
    Ok(())
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>, access: &FileAccess, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Ok(());
    }
    for (name, is_directory) in access.list(directory)? {
        if is_hidden(&name) {
            continue;
        }
        match is_directory {
            true => walk(&directory.join(name), files, access, depth + 1)?,
            false => files.push(directory.join(name)),
        }
    }
    Ok(())
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn found(files: Vec<PathBuf>, message: String) -> Result<Vec<PathBuf>> {
    if files.is_empty() {
        return Err(Error::new(ErrorKind::Io, message).with_sqlstate(NOT_FOUND));
    }
    Ok(files)
}

/// Advice for a file that is missing: a similar name beside it, or which directory was looked in.
fn neighbour(path: &Path, access: &FileAccess) -> String {
    let wanted = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = access.list(parent).unwrap_or_default();
    let best = names.iter().map(|(name, _)| (strsim::damerau_levenshtein(&wanted, name), name)).min();
    match best {
        Some((distance, name)) if distance <= 3 => format!("did you mean '{}'?", path.with_file_name(name).display()),
        _ => "relative paths start at the working directory of the program".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("*.csv", "a.csv"));
        assert!(matches("a*b*c", "axxbyybzc"));
        assert!(!matches("a*b*c", "axxbyybz"));
        assert!(matches("2026-[01][0-9]-??.parquet", "2026-11-23.parquet"));
        assert!(matches("[!a]x", "bx") && !matches("[!a]x", "ax"));
        assert!(matches("[", "[") && matches("**", "anything") && !matches("", "a"));
    }

    #[test]
    fn files_are_found_sorted_and_hidden_ones_passed_over() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", ".b.csv.tmp", "_SUCCESS", "c.txt", "x/d.csv", "x/y/e.csv"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let access = FileAccess::unrestricted();
        let names = |pattern: &str| {
            let files = expand(root.path().join(pattern).to_str().unwrap(), &access).unwrap();
            let names = files.iter().map(|path| path.strip_prefix(root.path()).unwrap().display().to_string());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("*.csv"), "a.csv b.csv");
        assert_eq!(names("**/*.csv"), "a.csv b.csv x/d.csv x/y/e.csv");
        assert_eq!(names("x/*.csv"), "x/d.csv");
        assert_eq!(names("*/*/e.csv"), "x/y/e.csv");
        assert_eq!(names("x"), "x/d.csv x/y/e.csv");
        assert_eq!(names("b.csv"), "b.csv");
        let missing = expand(root.path().join("bb.csv").to_str().unwrap(), &access).unwrap_err();
        assert_eq!(missing.sqlstate(), NOT_FOUND);
        assert!(missing.hint().unwrap().contains("did you mean"), "{missing:?}");
        assert_eq!(expand(root.path().join("*.json").to_str().unwrap(), &access).unwrap_err().sqlstate(), NOT_FOUND);
    }
}
