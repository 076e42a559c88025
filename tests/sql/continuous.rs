//! The `continuous` and `late` modes: every query is kept as a materialized view.
//!
//! In `continuous`, CREATE TABLE moves to the front of the file (behind a DROP of the same name, never above a SET),
//! each query becomes a view at the earliest place where its relations exist, and only then the data comes, the rows of
//! successive INSERTs in steps of 1, 7, 1000 or all, sometimes all of them in one transaction. In `late`, everything
//! stays and the view is created where its query stands, over filled relations; later changes flow into it all the
//! same.
//!
//! At each query's place the view must hold the expected rows. In between, views are compared with their own text run
//! in batch as long as the file's budget of time lasts, because a final check hides wrong intermediate states.
//!
//! The queries of a file are spread over several replays of its statements, [`GROUP`] views to a replay. Records that
//! expect errors are left out: they must change nothing, which the `batch` mode tests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sqllogictest::StatementExpect;

use crate::arguments::{Arguments, Mode, Printing};
use crate::compare;
use crate::printing;
use crate::random::Random;
use crate::record::{ColumnType, Kind, Record, Script, Sort};
use crate::report::FileReport;
use crate::session::Session;
use crate::transform::{self, Effect, Verdict, ViewPlan};

/// How many views share a replay.
const GROUP: usize = 100;

/// How many steps of one or seven rows a run of INSERTs begins with.
const SMALL_STEPS: usize = 40;

/// The time a file may spend on comparing views between its queries.
const BUDGET: Duration = Duration::from_secs(3);

/// Runs `script` with its queries as views.
pub fn run(script: &Script, mode: Mode, arguments: &Arguments, report: &mut FileReport) {
    let outline = Outline::of(script, mode);
    let mut outcome: Vec<Outcome> = vec![Outcome::Unseen; script.records.len()];
    let mut budget = BUDGET;
    for range in outline.groups() {
        let random = Random::new(arguments.seed, &format!("{} {} {}", script.path, mode.name(), range.start));
        let session = match Session::new(script.printing) {
            Ok(session) => session,
            Err(reason) => return report.refuse(reason),
        };
        let mut replay = Replay {
            script,
            outline: &outline,
            mode,
            range,
            session,
            random,
            views: BTreeMap::new(),
            outcome: &mut outcome,
            keep_going: arguments.keep_going,
            failures: 0,
            wrapped: false,
            turn: 0,
            budget,
        };
        replay.run();
        budget = replay.budget;
        if replay.failures > 0 {
            report.note(format!("seed {}", arguments.seed));
            if !arguments.keep_going {
                skip_rest(&script.records, &mut outcome);
                break;
            }
        }
    }
    outline.report(&outcome, script, report);
}

/// What came of one record over all replays.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Unseen,
    Passed,
    Skipped,
    Failed(String),
}

/// What is known about a file before it runs.
struct Outline {
    /// Per record, what its statement does to relations.
    effects: Vec<Effect>,
    /// Per record, the view its query becomes.
    verdicts: Vec<Option<Verdict>>,
    /// Per record, the place it moves to (itself where it stays); for queries the place of their view.
    slots: Vec<usize>,
    /// Per record, the relations it reads, through views.
    reads: Vec<BTreeSet<String>>,
}

impl Outline {
    fn of(script: &Script, mode: Mode) -> Outline {
        let count = script.records.len();
        let mut outline = Outline {
            effects: Vec::with_capacity(count),
            verdicts: Vec::with_capacity(count),
            slots: (0..count).collect(),
            reads: vec![BTreeSet::new(); count],
        };
        for record in &script.records {
            let statement = matches!(record.kind, Kind::Statement(StatementExpect::Ok | StatementExpect::Count(_)));
            outline.effects.push(match statement && !record.skipped {
                true => transform::effect(&record.sql),
                false => Effect::Other,
            });
            outline.verdicts.push(verdict(record));
        }
        outline.place(script, mode);
        outline
    }

    /// Finds where statements and views go.
    fn place(&mut self, script: &Script, mode: Mode) {
        let known: BTreeSet<String> = self.effects.iter().filter_map(created_name).collect();
        // Where each relation that exists was made, and what it reads; where each name was last changed.
        let mut alive: BTreeMap<String, (usize, BTreeSet<String>)> = BTreeMap::new();
        let mut changed: BTreeMap<String, usize> = BTreeMap::new();
        let mut barrier = 0;
        for (at, record) in script.records.iter().enumerate() {
            let reads_relations = matches!(self.effects[at], Effect::View(_) | Effect::Fill(_));
            if reads_relations || self.verdicts[at].is_some() {
                let names: BTreeSet<String> = crate::scan::names(&record.sql).into_iter().collect();
                let direct = names.intersection(&known).filter(|name| alive.contains_key(*name));
                let mut reads = BTreeSet::new();
                for name in direct {
                    reads.insert(name.clone());
                    reads.extend(alive[name].1.iter().cloned());
                }
                self.reads[at] = reads;
            }
            let reads = &self.reads[at];
            let made = reads.iter().filter_map(|name| alive.get(name).map(|(slot, _)| *slot)).max().unwrap_or(0);
            let touched = reads.iter().filter_map(|name| changed.get(name).copied()).max().unwrap_or(0);
            let latest = made.max(touched).max(barrier);
            match &self.effects[at] {
                Effect::Create(name) => {
                    let slot = changed.get(name).copied().unwrap_or(0).max(barrier);
                    self.slots[at] = if mode == Mode::Late { at } else { slot };
                    alive.insert(name.clone(), (self.slots[at], BTreeSet::new()));
                }
                Effect::View(name) => {
                    let slot = latest.max(changed.get(name).copied().unwrap_or(0));
                    self.slots[at] = if mode == Mode::Late { at } else { slot };
                    alive.insert(name.clone(), (self.slots[at], self.reads[at].clone()));
                }
                Effect::Fill(name) => {
                    alive.insert(name.clone(), (at + 1, self.reads[at].clone()));
                    changed.insert(name.clone(), at + 1);
                }
                Effect::Change(names) => {
                    let drops = record.sql.trim_start().get(..4).is_some_and(|word| word.eq_ignore_ascii_case("drop"));
                    for name in names.iter().filter(|name| known.contains(*name)) {
                        changed.insert(name.clone(), at + 1);
                        if drops {
                            alive.remove(name);
                        }
                    }
                }
                Effect::Barrier => barrier = at + 1,
                Effect::Insert | Effect::Other => {}
            }
            if self.verdicts[at].is_some() {
                self.slots[at] = if mode == Mode::Late { at } else { latest };
            }
        }
    }

    /// Whether the statement runs at its slot, before the views that go there.
    fn moves(&self, at: usize) -> bool {
        matches!(self.effects[at], Effect::Create(_) | Effect::View(_))
    }

    /// Ranges of records with at most [`GROUP`] views each, covering the file.
    fn groups(&self) -> Vec<std::ops::Range<usize>> {
        let mut groups = Vec::new();
        let (mut start, mut views) = (0, 0);
        for (at, verdict) in self.verdicts.iter().enumerate() {
            if matches!(verdict, Some(Verdict::View(_))) {
                if views == GROUP {
                    groups.push(start..at);
                    (start, views) = (at, 0);
                }
                views += 1;
            }
        }
        groups.push(start..self.verdicts.len());
        groups
    }

    fn report(&self, outcome: &[Outcome], script: &Script, report: &mut FileReport) {
        for ((record, outcome), verdict) in script.records.iter().zip(outcome).zip(&self.verdicts) {
            match outcome {
                Outcome::Unseen => continue,
                Outcome::Passed => report.pass(),
                Outcome::Skipped => report.skip(),
                Outcome::Failed(message) => report.fail(&record.place, &record.sql, message),
            }
            match verdict {
                Some(Verdict::View(_)) if *outcome != Outcome::Skipped => report.view(),
                Some(Verdict::Plain(reason)) => report.plain(reason),
                _ => {}
            }
        }
    }
}

/// What becomes of a record that is a query; None for all others.
fn verdict(record: &Record) -> Option<Verdict> {
    let Kind::Query { sort, expected, .. } = &record.kind else { return None };
    if record.skipped {
        return None;
    }
    if let Some(reason) = &record.plain {
        return Some(Verdict::Plain(reason.clone()));
    }
    let hashed = matches!(expected.as_slice(), [line] if line.contains(" values hashing to "));
    Some(transform::plan(&record.sql, *sort, hashed))
}

fn created_name(effect: &Effect) -> Option<String> {
    match effect {
        Effect::Create(name) | Effect::View(name) | Effect::Fill(name) => Some(name.clone()),
        _ => None,
    }
}

/// A live view.
struct View {
    name: String,
    /// Its column names, hidden ones included.
    columns: Vec<String>,
    /// Whether its answer is known to come and go with the clock.
    record: usize,
}

/// One run over the file's statements with a part of its queries as views.
struct Replay<'a> {
    script: &'a Script,
    outline: &'a Outline,
    mode: Mode,
    range: std::ops::Range<usize>,
    session: Session,
    random: Random,
    /// Live views by the record of their query.
    views: BTreeMap<usize, View>,
    outcome: &'a mut Vec<Outcome>,
    keep_going: bool,
    failures: usize,
    /// Whether a transaction of the runner is open around a run of inserts.
    wrapped: bool,
    turn: usize,
    budget: Duration,
}

impl<'a> Replay<'a> {
    fn run(&mut self) {
        let mut moved: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in 0..self.range.end {
            let view = self.plan(at).is_some() && self.mode == Mode::Continuous && self.range.contains(&at);
            if view || self.outline.moves(at) {
                moved.entry(self.outline.slots[at]).or_default().push(at);
            }
        }
        let mut at = 0;
        while at < self.range.end {
            for &early in moved.get(&at).into_iter().flatten() {
                self.unwrap_transaction();
                self.early(early);
            }
            let run = self.insert_run(at, &moved);
            if run > 1 {
                let result = self.insert(at..at + run);
                (at..at + run).for_each(|at| self.note(at, result.clone()));
                self.compare_views(usize::MAX);
            } else {
                self.record(at);
            }
            at += run.max(1);
            if !self.keep_going && self.failures > 0 {
                return;
            }
        }
        self.unwrap_transaction();
    }

    fn plan(&self, at: usize) -> Option<&'a ViewPlan> {
        let outline: &'a Outline = self.outline;
        match &outline.verdicts[at] {
            Some(Verdict::View(plan)) => Some(plan),
            _ => None,
        }
    }

    /// Notes what came of a record; the first failure over all replays stays.
    fn note(&mut self, at: usize, result: Result<(), String>) {
        match (result, &self.outcome[at]) {
            (_, Outcome::Failed(_)) => {}
            (Ok(()), _) => self.outcome[at] = Outcome::Passed,
            (Err(message), _) => {
                self.failures += 1;
                self.outcome[at] = Outcome::Failed(message);
            }
        }
    }

    /// Runs what moved up: a CREATE statement, or the view of a later query.
    fn early(&mut self, at: usize) {
        if self.plan(at).is_some() {
            if let Err(message) = self.create_view(at) {
                self.note(at, Err(message));
            }
        } else {
            let record = &self.script.records[at];
            let result = self.session.execute(record);
            self.note(at, result);
        }
    }

    fn record(&mut self, at: usize) {
        let record = &self.script.records[at];
        if expects_error(record) {
            return;
        }
        if record.skipped {
            self.outcome[at] = Outcome::Skipped;
            return;
        }
        match (&record.kind, &self.outline.effects[at]) {
            (Kind::Query { types, sort, expected }, _) => {
                if !self.range.contains(&at) {
                    return;
                }
                self.unwrap_transaction();
                let result = if self.plan(at).is_some() {
                    self.check(at, types, *sort, expected)
                } else {
                    self.session.execute(record)
                };
                self.note(at, result);
            }
            (_, Effect::Insert) => {
                let result = self.insert(at..at + 1);
                self.note(at, result);
                self.compare_views(usize::MAX);
            }
            // It ran where it moved to.
            _ if self.outline.moves(at) => {}
            (_, effect) => {
                self.unwrap_transaction();
                if let Effect::Change(_) | Effect::Fill(_) = effect {
                    self.drop_views(&effect.clone());
                }
                let result = self.session.execute(record);
                self.note(at, result);
                self.compare_views(usize::MAX);
            }
        }
    }

    /// Creates the view of the query at `at` and learns its columns.
    fn create_view(&mut self, at: usize) -> Result<(), String> {
        let Some(plan) = self.plan(at) else { return Ok(()) };
        let record = &self.script.records[at];
        let name = format!("mv_{at}");
        let create = format!("CREATE MATERIALIZED VIEW {name}{} AS {}", plan.column_list(), plan.query);
        let connection = self.free_connection(&record.connection);
        let context = |text: String| format!("{text}\n  in {create}");
        self.session
            .run(&connection, &create)
            .and_then(|answer| answer.finish())
            .map_err(|failure| context(failure.text))?;
        // DESCRIBE also tells the columns of a view that has no answer over the empty relations and recovers later.
        let described = self.session.rows(&connection, &format!("DESCRIBE {name}"), &[]);
        let described = described.map_err(|failure| context(failure.text))?;
        let columns = described.into_iter().filter_map(|row| row.into_iter().next()).collect();
        self.views.insert(at, View { name, columns, record: at });
        Ok(())
    }

    /// A connection without a transaction: DDL is its own commit, and views are read as committed.
    fn free_connection(&self, connection: &str) -> String {
        if self.session.in_transaction(connection) { "runner".to_string() } else { connection.to_string() }
    }

    /// Compares a view with the rows its query expects.
    fn check(&mut self, at: usize, types: &[ColumnType], sort: Sort, expected: &[String]) -> Result<(), String> {
        let record = &self.script.records[at];
        if self.session.in_transaction(&record.connection) {
            // Inside a transaction the query sees its own writes, the view what is committed.
            return self.session.execute(record);
        }
        if self.mode == Mode::Late && !self.views.contains_key(&at) {
            self.create_view(at)?;
        }
        let Some(view) = self.views.get(&at) else {
            return Err("the view could not be created".to_string());
        };
        let Some(plan) = self.plan(at) else { return Ok(()) };
        let (sql, ordered) = plan.reading(&view.name, &view.columns);
        let sort = if sort == Sort::NoSort && !ordered { Session::UNORDERED } else { sort };
        let rows = self.session.rows(&record.connection, &sql, types).map_err(|failure| failure.text)?;
        compare::check(rows, types.len(), expected, sort).map_err(|text| format!("{text}\n  in the view: {sql}"))
    }

    /// How many records from `at` on are INSERTs into one relation that may be taken together.
    fn insert_run(&self, at: usize, moved: &BTreeMap<usize, Vec<usize>>) -> usize {
        let records = &self.script.records;
        let head = |at: usize| {
            let record = records.get(at).filter(|record| !record.skipped)?;
            let insert = self.outline.effects[at] == Effect::Insert && at < self.range.end;
            let (head, rows) = transform::insert_pieces(&record.sql).filter(|_| insert)?;
            // The rows of one VALUES share their types: only rows that spell their values alike go together.
            Some((head, rows.first().map(|row| transform::literal_kinds(row)), record.connection.as_str()))
        };
        let Some(first) = head(at) else { return 0 };
        (at + 1..).take_while(|next| head(*next).as_ref() == Some(&first) && !moved.contains_key(next)).count() + 1
    }

    /// Runs the INSERTs of these records, their rows in steps of a random size.
    fn insert(&mut self, records: std::ops::Range<usize>) -> Result<(), String> {
        let script = self.script;
        let records = &script.records[records];
        let Some(first) = records.first() else { return Ok(()) };
        let Some((head, _)) = transform::insert_pieces(&first.sql) else { return Ok(()) };
        let pieces = records.iter().filter_map(|record| transform::insert_pieces(&record.sql));
        let rows: Vec<&str> = pieces.flat_map(|(_, rows)| rows).collect();
        let connection = first.connection.as_str();
        let own = self.session.in_transaction(connection) && !self.wrapped;
        if !own && !self.wrapped && connection == "default" && self.random.one_in(4) {
            self.session.run("default", "BEGIN").map_err(|failure| failure.text)?;
            self.wrapped = true;
        }
        let size = [1, 7, 1000, usize::MAX][self.random.below(4)];
        // Long runs would take one step per row and view: only their beginning is cut small.
        let (small, rest) = rows.split_at(rows.len().min(SMALL_STEPS.saturating_mul(size)));
        let mut changed = 0;
        for piece in small.chunks(size.min(rows.len().max(1))).chain(rest.chunks(1000)) {
            let sql = format!("{head} {}", piece.join(", "));
            let answer = self.session.run(connection, &sql).map_err(|failure| failure.text)?;
            changed += answer.finish().map_err(|failure| failure.text)?;
            if piece.len() < rows.len() {
                self.compare_views(2);
            }
        }
        let expected = records.iter().map(|record| match &record.kind {
            Kind::Statement(StatementExpect::Count(count)) => Some(*count),
            _ => None,
        });
        match expected.sum::<Option<u64>>() {
            Some(count) if count != changed => Err(format!("expected {count} rows changed, found {changed}")),
            _ => Ok(()),
        }
    }

    /// Ends the runner's own transaction around a run of inserts.
    fn unwrap_transaction(&mut self) {
        if std::mem::take(&mut self.wrapped)
            && let Err(failure) = self.session.run("default", "COMMIT")
        {
            let message = format!("COMMIT of a run of inserts failed: {}", failure.text);
            let last = (0..self.range.end).rev().find(|at| self.outcome[*at] == Outcome::Passed).unwrap_or(0);
            self.note(last, Err(message));
        }
    }

    /// Drops the runner's views that read what is about to change.
    fn drop_views(&mut self, effect: &Effect) {
        let names: Vec<String> = match effect {
            Effect::Change(names) => names.clone(),
            Effect::Fill(name) => vec![name.clone()],
            _ => return,
        };
        let hit = |at: &usize| names.iter().any(|name| self.outline.reads[*at].contains(name));
        let gone: Vec<usize> = self.views.keys().copied().filter(hit).collect();
        for at in gone {
            if let Some(view) = self.views.remove(&at) {
                let connection = self.free_connection("default");
                let drop = format!("DROP MATERIALIZED VIEW {}", view.name);
                if let Err(failure) = self.session.run(&connection, &drop) {
                    self.note(at, Err(format!("{drop}: {}", failure.text)));
                }
            }
        }
    }

    /// Compares up to `limit` live views with their text run in batch, taking turns, while the budget lasts.
    fn compare_views(&mut self, limit: usize) {
        if self.wrapped || self.session.in_transaction("default") || self.budget.is_zero() {
            return;
        }
        let start = Instant::now();
        let all: Vec<usize> = self.views.values().map(|view| view.record).collect();
        for _ in 0..limit.min(all.len()) {
            let at = all[self.turn % all.len()];
            self.turn += 1;
            if let Err(message) = self.compare_view(at) {
                self.note(at, Err(message));
            }
            if start.elapsed() > self.budget {
                break;
            }
        }
        self.budget = self.budget.saturating_sub(start.elapsed());
    }

    fn compare_view(&mut self, at: usize) -> Result<(), String> {
        let (Some(plan), Some(view)) = (self.plan(at), self.views.get(&at)) else { return Ok(()) };
        let text = plan.query.clone();
        let read = format!("SELECT * FROM {}", view.name);
        // A query that fails has no rows to compare; whether the view fails too is its own business.
        let (Ok(left), Ok(right)) = (self.session.query("runner", &read), self.session.query("runner", &text)) else {
            return Ok(());
        };
        let print = |batches: &[_]| printing::print(batches, &[], Printing::Native);
        compare::same_rows(print(&left.batches)?, print(&right.batches)?)
            .map_err(|text| format!("view and batch differ between queries\n{text}\n  view of: {}", plan.query))
    }
}

/// After a failure the records that had no turn count as skipped.
fn skip_rest(records: &[Record], outcome: &mut [Outcome]) {
    for (record, outcome) in records.iter().zip(outcome) {
        if *outcome == Outcome::Unseen && !expects_error(record) {
            *outcome = Outcome::Skipped;
        }
    }
}

fn expects_error(record: &Record) -> bool {
    matches!(record.kind, Kind::QueryError(_) | Kind::Statement(StatementExpect::Error(_)))
}
