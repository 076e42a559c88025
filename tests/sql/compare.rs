//! Rows against the lines a file expects, and rows against rows.
//!
//! A file may give a value a line, a row a line, or one line `N values hashing to MD5`. A result is right if it reads
//! the same in one of these ways: no result reads right in two of them while being wrong.

use md5::{Digest, Md5};

use crate::printing::Rows;
use crate::record::Sort;

/// Whether `rows` are what `expected` says; the error shows both.
pub fn check(mut rows: Rows, columns: usize, expected: &[String], sort: Sort) -> Result<(), String> {
    if let Some(row) = rows.iter().find(|row| row.len() != columns) {
        return Err(format!("the result has {} columns, the record declares {columns}", row.len()));
    }
    if sort == Sort::RowSort {
        rows.sort_unstable();
    }
    if let [line] = expected
        && let Some((count, digest)) = line.split_once(" values hashing to ")
    {
        let found = hash(&rows, sort);
        let wanted = (count.trim().parse().unwrap_or(0), digest.trim().to_string());
        return if found == wanted {
            Ok(())
        } else {
            Err(format!("expected {line}\nfound    {} values hashing to {}\n{}", found.0, found.1, preview(&rows)))
        };
    }
    let right = match sort {
        Sort::NoSort => lines(&rows) == normal(expected) || values(&rows) == normal(expected),
        Sort::ValueSort => sorted(values(&rows)) == sorted(normal(expected)) || lines(&rows) == normal(expected),
        Sort::RowSort => {
            sorted(lines(&rows)) == sorted(normal(expected)) || chunks_equal(&rows, &normal(expected), columns)
        }
    };
    if right || ignoring(&lines(&rows), expected) { Ok(()) } else { Err(difference(&rows, expected, columns, sort)) }
}

/// Whether two results hold the same rows, in any order; floats may differ in the last digits.
pub fn same_rows(mut left: Rows, mut right: Rows) -> Result<(), String> {
    left.sort_unstable();
    right.sort_unstable();
    let same = left.len() == right.len()
        && left.iter().zip(&right).all(|(l, r)| l.len() == r.len() && l.iter().zip(r).all(|(l, r)| same_value(l, r)));
    if same {
        return Ok(());
    }
    let only = |these: &Rows, those: &Rows| -> Rows {
        let mut rest = those.clone();
        let mut only = Rows::new();
        for row in these {
            match rest.iter().position(|other| other == row) {
                Some(at) => drop(rest.swap_remove(at)),
                None => only.push(row.clone()),
            }
        }
        only
    };
    if left.len().max(right.len()) > 5000 {
        return Err(format!("{} rows in the view, {} in batch", left.len(), right.len()));
    }
    let (view, batch) = (only(&left, &right), only(&right, &left));
    Err(format!("only in the view:\n{}\nonly in batch:\n{}", preview(&view), preview(&batch)))
}

fn same_value(left: &str, right: &str) -> bool {
    if left == right {
        return true;
    }
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(l), Ok(r)) if left.contains(['.', 'e']) => (l - r).abs() <= 1e-9 * l.abs().max(r.abs()).max(1e-300),
        _ => false,
    }
}

/// SQLite's digest of a result: every value and a line feed.
fn hash(rows: &Rows, sort: Sort) -> (usize, String) {
    let mut values: Vec<&String> = rows.iter().flatten().collect();
    if sort == Sort::ValueSort {
        values.sort_unstable();
    }
    let mut digest = Md5::new();
    for value in &values {
        digest.update(value.as_bytes());
        digest.update(b"\n");
    }
    let text = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    (values.len(), text)
}

fn lines(rows: &Rows) -> Vec<String> {
    rows.iter().flat_map(|row| row.join(" ").lines().map(spaced).collect::<Vec<_>>()).collect()
}

fn values(rows: &Rows) -> Vec<String> {
    rows.iter().flatten().map(|value| spaced(value)).collect()
}

fn normal(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| spaced(line)).collect()
}

/// The line with each run of blanks as one, and none at the ends: files align their columns.
fn spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

/// Rowsort of a file with a value a line: its values are taken by rows, and both sides sorted.
fn chunks_equal(rows: &Rows, expected: &[String], columns: usize) -> bool {
    if columns == 0 || expected.len() != rows.len() * columns {
        return false;
    }
    let mut wanted: Vec<Vec<String>> = expected.chunks(columns).map(<[String]>::to_vec).collect();
    wanted.sort_unstable();
    let mut found: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|value| spaced(value)).collect()).collect();
    found.sort_unstable();
    wanted == found
}

/// DataFusion's marker for parts of a line that vary.
fn ignoring(found: &[String], expected: &[String]) -> bool {
    const MARKER: &str = "<slt:ignore>";
    if found.len() != expected.len() || !expected.iter().any(|line| line.contains(MARKER)) {
        return false;
    }
    found.iter().zip(normal(expected)).all(|(found, expected)| {
        let mut rest = found.as_str();
        expected.split(MARKER).all(|part| match rest.find(part.trim()) {
            Some(at) => {
                rest = &rest[at + part.trim().len()..];
                true
            }
            None => false,
        })
    })
}

fn difference(rows: &Rows, expected: &[String], columns: usize, sort: Sort) -> String {
    let by_value = columns > 1 && expected.len() == rows.len() * columns && expected.len() != rows.len();
    let mut expected =
        if by_value { expected.chunks(columns).map(|chunk| chunk.join(" ")).collect() } else { normal(expected) };
    if sort == Sort::RowSort {
        expected.sort_unstable();
    }
    format!("expected:\n{}\nfound:\n{}", indent(&expected), preview(rows))
}

fn preview(rows: &Rows) -> String {
    indent(&lines(rows))
}

fn indent(lines: &[String]) -> String {
    let mut text: Vec<String> = lines.iter().take(20).map(|line| format!("    {line}")).collect();
    if lines.len() > 20 {
        text.push(format!("    ... {} lines in all", lines.len()));
    }
    if text.is_empty() {
        text.push("    (no rows)".to_string());
    }
    text.join("\n")
}
