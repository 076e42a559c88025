//! What came of the records: counts, failures and the reasons why queries did not become views.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::arguments::Mode;

/// What came of one file in one mode.
#[derive(Debug)]
pub struct FileReport<'a> {
    path: String,
    /// Places of records that are to fail, `FILE:LINE`.
    differing: &'a [String],
    /// Those of them that did.
    differed: BTreeSet<&'a str>,
    mode: Mode,
    passed: usize,
    failed: usize,
    skipped: usize,
    views: usize,
    plain: BTreeMap<String, usize>,
    failures: Vec<String>,
    notes: Vec<String>,
}

impl<'a> FileReport<'a> {
    /// An empty report.
    pub fn new(path: &Path, mode: Mode, differing: &'a [String]) -> FileReport<'a> {
        FileReport {
            path: path.display().to_string(),
            differing,
            differed: BTreeSet::new(),
            mode,
            passed: 0,
            failed: 0,
            skipped: 0,
            views: 0,
            plain: BTreeMap::new(),
            failures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Counts a record that did as it should.
    pub fn pass(&mut self) {
        self.passed += 1;
    }

    /// Counts a record that a condition, or an earlier failure, took away.
    pub fn skip(&mut self) {
        self.skipped += 1;
    }

    /// Counts a failed record.
    pub fn fail(&mut self, place: &str, sql: &str, message: &str) {
        let differing = self.differing;
        if let Some(listed) = differing.iter().find(|listed| is_in(place, listed)) {
            self.differed.insert(listed);
            return self.skip();
        }
        self.failed += 1;
        let sql: String = if sql.len() > 600 {
            format!("{} ...", sql.chars().take(600).collect::<String>())
        } else {
            sql.to_string()
        };
        self.failures.push(format!("FAILED {place} ({})\n{sql}\n{message}\n", self.mode.name()));
    }

    /// Counts the records of this file that are listed as differing but did not fail: the list would hide them if they
    /// did one day. Asked in `batch` only, the one mode in which every record runs as it stands.
    pub fn find_stale(&mut self) {
        if self.mode != Mode::Batch {
            return;
        }
        let in_file = |listed: &&String| {
            let file = listed.rsplit_once(':').map_or(listed.as_str(), |(file, _)| file);
            is_in(&self.path, file) && !self.differed.contains(listed.as_str())
        };
        let stale: Vec<&String> = self.differing.iter().filter(in_file).collect();
        for listed in stale {
            self.failed += 1;
            self.failures
                .push(format!("STALE  {listed} ({}): listed as differing, but it does not fail\n", self.mode.name()));
        }
    }

    /// Counts a file that cannot run at all.
    pub fn refuse(&mut self, reason: String) {
        self.failed += 1;
        self.failures.push(format!("REFUSED {} ({}): {reason}\n", self.path, self.mode.name()));
    }

    /// Counts a query that became a view.
    pub fn view(&mut self) {
        self.views += 1;
    }

    /// Counts a query that stayed a query.
    pub fn plain(&mut self, reason: &str) {
        *self.plain.entry(reason.to_string()).or_default() += 1;
    }

    /// Keeps a line for the reader.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// How many records failed so far.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Prints the file's line and its failures; a file that did not run prints nothing.
    pub fn print(&self) {
        if self.passed + self.failed + self.skipped == 0 {
            return;
        }
        let mut text = String::new();
        for failure in &self.failures {
            text.push_str(failure);
            text.push('\n');
        }
        let verdict = if self.failed == 0 { "ok    " } else { "FAILED" };
        let (mode, passed, failed, skipped) = (self.mode.name(), self.passed, self.failed, self.skipped);
        text.push_str(&format!("{verdict} {} {mode}: {passed} passed, {failed} failed, {skipped} skipped", self.path));
        let plain: usize = self.plain.values().sum();
        if self.views + plain > 0 {
            text.push_str(&format!(
                "; {} of {} queries as views{}",
                self.views,
                self.views + plain,
                reasons(&self.plain)
            ));
        }
        for note in &self.notes {
            text.push_str(&format!("\n       {note}"));
        }
        println!("{text}");
    }
}

/// What came of all files.
#[derive(Debug, Default)]
pub struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
    records: BTreeMap<Mode, usize>,
    views: usize,
    plain: BTreeMap<String, usize>,
}

impl Report {
    /// Adds a file.
    pub fn add(&mut self, file: FileReport<'_>) {
        self.passed += file.passed;
        self.failed += file.failed;
        self.skipped += file.skipped;
        self.views += file.views;
        *self.records.entry(file.mode).or_default() += file.passed + file.failed + file.skipped;
        for (reason, count) in file.plain {
            *self.plain.entry(reason).or_default() += count;
        }
    }

    /// How many records failed.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Prints the closing lines.
    pub fn print(&self) {
        let records: Vec<String> =
            self.records.iter().map(|(mode, count)| format!("{} {count}", mode.name())).collect();
        println!("\nrecords: {}", records.join(", "));
        let queries = self.views + self.plain.values().sum::<usize>();
        if queries > 0 {
            let share = 100.0 * self.views as f64 / queries as f64;
            println!("views: {} of {queries} queries ({share:.1} %){}", self.views, reasons(&self.plain));
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
    }
}

/// Whether a path, with or without a line, is the listed one in some folder.
fn is_in(place: &str, listed: &str) -> bool {
    place.strip_suffix(listed).is_some_and(|head| head.ends_with('/'))
}

fn reasons(plain: &BTreeMap<String, usize>) -> String {
    if plain.is_empty() {
        return String::new();
    }
    let reasons: Vec<String> = plain.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    format!(" (plain: {})", reasons.join(", "))
}
