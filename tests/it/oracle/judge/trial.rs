//! A trial: a history is run, and after every epoch each query is judged three ways.

use std::collections::{BTreeMap, BTreeSet};

use eddydb::{Connection, Database, ErrorKind, Outcome};

use super::decode;
use super::evaluate::{Evaluator, Fault, Relation, Sorted};
use super::features::KNOWN_REFUSALS;
use super::functions::assign;
use super::generate::History;
use super::partition;
use super::tree::*;
use super::value::{Row, Type, bag, row_key, surplus};

/// How many ways to choose among tied rows are tried.
const CHOICES: usize = 300;

/// What a trial came to, so that a green run can be told from an empty one.
#[derive(Debug, Default)]
pub struct Tally {
    /// Queries that became views.
    pub views: usize,
    /// Queries that were refused.
    pub refused: usize,
    /// Answers that were compared with the reference.
    pub compared: usize,
    /// Rows of these answers.
    pub rows: usize,
    /// Answers whose meaning is an error, and that were one.
    pub errors: usize,
    /// Queries that the definition leaves open, or that cost the reference too much.
    pub open: usize,
    /// Why queries were refused.
    pub reasons: BTreeMap<String, usize>,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Tally) {
        self.views += other.views;
        self.refused += other.refused;
        self.compared += other.compared;
        self.rows += other.rows;
        self.errors += other.errors;
        self.open += other.open;
        for (reason, count) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What sort of thing, by which a smaller history is known to fail in the same way.
    pub kind: String,
    /// The number of the query, if it is one's.
    pub query: Option<usize>,
    /// All about it.
    pub text: String,
}

/// An error as the engine gives it.
#[derive(Debug, Clone)]
pub struct EngineError {
    /// The SQLSTATE.
    pub sqlstate: String,
    /// The message.
    pub message: String,
    unsupported: bool,
}

/// A database, and the same tables for the reference.
struct Trial<'a> {
    history: &'a History,
    connection: Connection,
    tables: BTreeMap<String, Relation>,
    types: BTreeMap<String, Vec<Type>>,
    live: BTreeSet<usize>,
    tally: Tally,
}

/// Runs a history on a fresh database.
pub fn run(history: &History) -> Result<Tally, Failure> {
    let run = std::panic::AssertUnwindSafe(|| run_here(history));
    std::panic::catch_unwind(run).unwrap_or_else(|_| Err(failure("panic", None, "a panic reached the caller".into())))
}

fn run_here(history: &History) -> Result<Tally, Failure> {
    let broken = |error: eddydb::Error| failure("setup", None, error.to_string());
    let database = Database::builder().target_partitions(2).build().map_err(broken)?;
    let mut trial = Trial {
        history,
        connection: database.connect().map_err(broken)?,
        tables: BTreeMap::new(),
        types: BTreeMap::new(),
        live: BTreeSet::new(),
        tally: Tally::default(),
    };
    trial.run()?;
    Ok(trial.tally)
}

impl Trial<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        for table in &self.history.tables {
            execute(&self.connection, &table.create()).map_err(|error| failure("setup", None, error.text()))?;
            let names = table.columns.iter().map(|(name, _)| name.clone()).collect();
            self.tables.insert(table.name.clone(), Relation { names, rows: Vec::new() });
            self.types.insert(table.name.clone(), table.columns.iter().map(|(_, ty)| *ty).collect());
        }
        for (number, query) in self.history.queries.iter().enumerate() {
            if self.create(number, &format!("v{number}"), query)? {
                self.live.insert(number);
            }
        }
        for (at, epoch) in self.history.epochs.iter().enumerate() {
            self.apply(epoch)?;
            self.judge(&format!("after epoch {at}"), "v")?;
        }
        for (number, query) in self.history.queries.iter().enumerate() {
            if self.live.contains(&number) && !self.create(number, &format!("late{number}"), query)? {
                return Err(failure("late view refused", Some(number), query.to_string()));
            }
        }
        self.judge("at the end", "late")?;
        if let Some(partition) = &self.history.partition {
            partition::check(&self.connection, partition)?;
        }
        Ok(())
    }

    /// Creates the view of a query; false if the query is refused as unsupported.
    fn create(&mut self, number: usize, name: &str, query: &Query) -> Result<bool, Failure> {
        match execute(&self.connection, &format!("CREATE MATERIALIZED VIEW {name} AS {query}")) {
            Ok(()) => {
                self.tally.views += 1;
                Ok(true)
            }
            Err(error) if error.unsupported => {
                self.tally.refused += 1;
                *self.tally.reasons.entry(format!("{}\n  in {query}", error.message)).or_default() += 1;
                Ok(false)
            }
            Err(error) => match Evaluator::check(&self.tables, query) {
                // A constant that fails may do so when it is planned.
                Some(Fault::Sql(state)) if self.history.is_meant(state, &error) => Ok(false),
                Some(Fault::Invalid(reason)) => {
                    Err(failure("invalid", Some(number), format!("{reason}\n  in {query}")))
                }
                _ => {
                    let kind = format!("create fails {}", error.sort());
                    Err(failure(&kind, Some(number), format!("{}\n  in {query}", error.text())))
                }
            },
        }
    }

    /// Applies a commit to both sides, unless its meaning is open.
    fn apply(&mut self, epoch: &[Statement]) -> Result<(), Failure> {
        let before = self.tables.clone();
        let mut meanings = Vec::new();
        let mut risks = Vec::new();
        for statement in epoch {
            let evaluator = Evaluator::new(&self.tables);
            risks.push(evaluator.statement_may_fail(statement));
            let changed = evaluator.statement(statement).and_then(|(table, rows)| {
                let types = &self.types[&table];
                let rows = rows.into_iter().map(|row| assign(row, types)).collect::<Result<Vec<_>, _>>()?;
                Ok((table, rows))
            });
            match changed {
                Ok((table, rows)) => {
                    if let Some(relation) = self.tables.get_mut(&table) {
                        relation.rows = rows;
                    }
                    meanings.push(Ok(()));
                }
                Err(Fault::Sql(state)) => {
                    meanings.push(Err(state));
                    break;
                }
                Err(Fault::Open(_)) => {
                    self.tables = before;
                    return Ok(());
                }
                Err(Fault::Invalid(reason)) => {
                    return Err(failure("invalid", None, format!("{reason}\n  in {statement}")));
                }
            }
        }
        if meanings.iter().any(Result::is_err) {
            self.tables = before.clone();
        }
        // What is refused or fails leaves no trace.
        if !self.apply_to_engine(epoch, &meanings, &risks)? {
            self.tables = before;
        }
        for (name, relation) in &self.tables {
            let found = select(&self.connection, &format!("SELECT * FROM {name}"));
            let found = found.map_err(|error| failure("table unreadable", None, error.text()))?;
            if bag(&found) != bag(&relation.rows) {
                let statements: Vec<String> = epoch.iter().map(Statement::to_string).collect();
                let text = format!(
                    "{}\n  in table {name} after {}",
                    difference(&found, &relation.rows),
                    statements.join("; ")
                );
                return Err(failure("table differs", None, text));
            }
        }
        Ok(())
    }

    /// Takes over the engine's rows.
    fn adopt(&mut self) -> Result<(), Failure> {
        for (name, relation) in &mut self.tables {
            let rows = select(&self.connection, &format!("SELECT * FROM {name}"));
            relation.rows = rows.map_err(|error| failure("table unreadable", None, error.text()))?;
        }
        Ok(())
    }

    /// Whether the engine took the commit; it may refuse a statement as unsupported, or must because of its meaning.
    fn apply_to_engine(
        &mut self,
        epoch: &[Statement],
        meanings: &[Result<(), &'static str>],
        risks: &[Option<&'static str>],
    ) -> Result<bool, Failure> {
        let transaction = epoch.len() != 1;
        let run = |sql: &str| execute(&self.connection, sql);
        if transaction {
            run("BEGIN").map_err(|error| failure("begin fails", None, error.text()))?;
        }
        for ((statement, meaning), risk) in epoch.iter().zip(meanings).zip(risks) {
            match (run(&statement.to_string()), meaning) {
                (Ok(()), Ok(())) => {}
                (Err(error), Ok(())) if risk.is_some_and(|state| self.history.is_meant(state, &error)) => {
                    self.tally.open += 1;
                    if transaction {
                        run("ROLLBACK").map_err(|error| failure("rollback fails", None, error.text()))?;
                    }
                    return Ok(false);
                }
                (Err(error), _) if error.unsupported => {
                    self.tally.refused += 1;
                    *self.tally.reasons.entry(format!("{}\n  in {statement}", error.message)).or_default() += 1;
                    if transaction {
                        run("ROLLBACK").map_err(|error| failure("rollback fails", None, error.text()))?;
                    }
                    return Ok(false);
                }
                (Err(error), Err(state)) if self.history.is_meant(state, &error) => {
                    if transaction {
                        run("ROLLBACK").map_err(|error| failure("rollback fails", None, error.text()))?;
                    }
                    return Ok(false);
                }
                // Which of two errors comes first is open.
                (Err(error), Err(_)) if error.sqlstate == "21000" && joins(statement) => {
                    if transaction {
                        run("ROLLBACK").map_err(|error| failure("rollback fails", None, error.text()))?;
                    }
                    return Ok(false);
                }
                (Err(error), meaning) => {
                    let kind = format!("statement fails {}", error.sort());
                    return Err(failure(
                        &kind,
                        None,
                        format!("{}\n  in {statement}, which means {meaning:?}", error.text()),
                    ));
                }
                // A value that nobody asks for need not be computed; then the rows are what the engine made of them.
                (Ok(()), Err(_)) => {
                    self.tally.open += 1;
                    if transaction {
                        run("ROLLBACK").map_err(|error| failure("rollback fails", None, error.text()))?;
                        return Ok(false);
                    }
                    return self.adopt().map(|()| true);
                }
            }
        }
        if transaction {
            run("COMMIT").map_err(|error| failure("commit fails", None, error.text()))?;
        }
        Ok(true)
    }

    fn judge(&mut self, when: &str, prefix: &str) -> Result<(), Failure> {
        let Trial { history, connection, tables, live, tally, .. } = self;
        for (number, query) in history.queries.iter().enumerate().filter(|(number, _)| live.contains(number)) {
            let batch = select(connection, &query.to_string());
            let meaning = meaning_of(tables, query, &batch);
            let view = select(connection, &format!("SELECT * FROM {prefix}{number}"));
            let context = |failure: Failure| Failure { text: format!("{when}: {}", failure.text), ..failure };
            if let (Ok(batch), Ok(view)) = (&batch, &view)
                && bag(batch) != bag(view)
            {
                let text = format!("view and batch differ:\n{}\n  in {query}", difference(view, batch));
                return Err(context(failure("view differs from batch", Some(number), text)));
            }
            for (name, answer, ordered) in [("batch", batch, true), ("view", view, false)] {
                let judged = judge_one((history, number), name, &meaning, answer.clone(), ordered, tally);
                match (judged, &meaning, answer) {
                    (Err(_), Ok(_), Err(error))
                        if Evaluator::may_fail(tables, query).is_some_and(|state| history.is_meant(state, &error)) =>
                    {
                        tally.open += 1;
                    }
                    (judged, ..) => judged.map_err(context)?,
                }
            }
        }
        Ok(())
    }
}

/// Whether a statement may meet a row of its table twice.
fn joins(statement: &Statement) -> bool {
    matches!(statement, Statement::Update { from: Some(_), .. })
}

/// What a query means: of several meanings, because SQL leaves a choice, the one that batch has chosen if it is legal.
fn meaning_of(
    tables: &BTreeMap<String, Relation>,
    query: &Query,
    batch: &Result<Vec<Row>, EngineError>,
) -> Result<Sorted, Fault> {
    let evaluator = Evaluator::new(tables);
    let first = evaluator.query(query);
    let mut meaning = first.clone();
    let Ok(rows) = batch else {
        // Another choice may be one that fails.
        for _ in 0..CHOICES {
            if matches!(meaning, Err(Fault::Sql(_))) || !evaluator.choose_otherwise() {
                break;
            }
            meaning = evaluator.query(query);
        }
        return if matches!(meaning, Err(Fault::Sql(_))) { meaning } else { first };
    };
    for _ in 0..CHOICES {
        match meaning {
            Ok(sorted) if compare(query, &sorted, rows, true).is_some() => {}
            Err(Fault::Sql(_)) => {}
            meaning => return meaning,
        }
        if !evaluator.choose_otherwise() {
            return first;
        }
        meaning = evaluator.query(query);
    }
    Err(Fault::Open("too many choices".into()))
}

fn judge_one(
    (history, number): (&History, usize),
    name: &str,
    meaning: &Result<Sorted, Fault>,
    answer: Result<Vec<Row>, EngineError>,
    ordered: bool,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let query = &history.queries[number];
    let failed = |kind: String, text: String| Err(failure(&kind, Some(number), format!("{text}\n  in {query}")));
    match (meaning, answer) {
        (Err(Fault::Invalid(reason)), _) => failed("invalid".into(), reason.clone()),
        (_, Err(error)) if error.unsupported => {
            tally.refused += 1;
            *tally.reasons.entry(format!("{}\n  in {query}", error.message)).or_default() += 1;
            Ok(())
        }
        (_, Err(error)) if error.sqlstate == "XX000" => failed(format!("{name} fails XX000"), error.text()),
        (Err(Fault::Open(_)), _) => {
            tally.open += 1;
            Ok(())
        }
        (Err(Fault::Sql(state)), Err(error)) if history.is_meant(state, &error) => {
            tally.errors += 1;
            Ok(())
        }
        (Err(Fault::Sql(state)), Err(error)) => {
            failed(format!("{name} fails {}", error.sort()), format!("means error {state}, got {}", error.text()))
        }
        (Err(Fault::Sql(state)), Ok(rows)) if must_fail(query) => {
            failed(format!("{name} succeeds"), format!("means error {state}, got {} rows", rows.len()))
        }
        // A value that nobody asks for need not be computed, so an error may stay away.
        (Err(Fault::Sql(_)), Ok(_)) => {
            tally.open += 1;
            Ok(())
        }
        (Ok(_), Err(error)) => failed(format!("{name} fails {}", error.sort()), error.text()),
        (Ok(sorted), Ok(rows)) => {
            tally.compared += 1;
            tally.rows += rows.len();
            match compare(query, sorted, &rows, ordered) {
                None => Ok(()),
                Some(text) => failed(format!("{name} differs"), format!("{name} differs from the reference:\n{text}")),
            }
        }
    }
}

/// Whether nothing of the query may be left out or looked at in another order, so that an error must show.
fn must_fail(query: &Query) -> bool {
    let Body::Select(select) = &query.body else { return false };
    let lazy = |expr: &Expr| {
        expr.any(&|e| {
            let query = matches!(e, Expr::Scalar(_) | Expr::Exists(..) | Expr::InQuery(..) | Expr::Quantified(..));
            query || matches!(e, Expr::And(..) | Expr::Or(..) | Expr::Case(..) | Expr::Aggregate(_) | Expr::Window(_))
        })
    };
    matches!(select.from, Some(From::Relation { .. }))
        && query.with.is_empty()
        && query.limit.is_none()
        && query.offset.is_none()
        && select.distinct == Distinct::All
        && select.group.is_none()
        && select.having.is_none()
        && !select.items.iter().map(|(item, _)| item).chain(&select.filter).any(lazy)
}

/// What is wrong with the rows, if something is. Every legal choice among tied rows is right.
fn compare(query: &Query, sorted: &Sorted, rows: &[Row], ordered: bool) -> Option<String> {
    let wanted: Vec<Row> = sorted.cut().map(|(_, row)| row.clone()).collect();
    let right = if query.limit.is_some() || query.offset.is_some() {
        let all: Vec<Row> = sorted.rows.iter().map(|(_, row)| row.clone()).collect();
        let legal = rows.len() == wanted.len() && surplus(&bag(rows), &bag(&all)).is_empty();
        legal && bag(&keys(query, rows)) == bag(&keys(query, &wanted))
    } else {
        bag(rows) == bag(&wanted)
    };
    if !right {
        return Some(difference(rows, &wanted));
    }
    let (found, keyed) = (keys(query, rows), keys(query, &wanted));
    let in_order = found.iter().zip(&keyed).all(|(found, wanted)| row_key(found) == row_key(wanted));
    if ordered && !in_order {
        return Some(format!("  in the wrong order:\n{}", list(rows.iter().map(|row| row_key(row)))));
    }
    None
}

/// The values of the columns by which a query sorts its result.
fn keys(query: &Query, rows: &[Row]) -> Vec<Row> {
    let numbers: Vec<usize> = query
        .order
        .iter()
        .filter_map(|order| match order.by {
            Expr::Ordinal(number) => Some(number - 1),
            _ => None,
        })
        .collect();
    rows.iter().map(|row| numbers.iter().filter_map(|at| row.get(*at).cloned()).collect()).collect()
}

/// What only one side has.
pub fn difference(found: &[Row], wanted: &[Row]) -> String {
    let (found, wanted) = (bag(found), bag(wanted));
    format!(
        "  only found:\n{}\n  only wanted:\n{}",
        list(surplus(&found, &wanted).into_iter()),
        list(surplus(&wanted, &found).into_iter())
    )
}

fn list(rows: impl Iterator<Item = String>) -> String {
    rows.take(10).map(|row| format!("    {row}")).collect::<Vec<_>>().join("\n")
}

/// A failure.
pub fn failure(kind: &str, query: Option<usize>, text: String) -> Failure {
    Failure { kind: kind.to_string(), query, text }
}

impl EngineError {
    /// SQLSTATE and message without names and numbers: what shrinking must not change.
    pub fn sort(&self) -> String {
        let words = self.message.split_whitespace().filter(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        format!("{} {}", self.sqlstate, words.take(8).collect::<Vec<_>>().join(" "))
    }

    /// Both parts.
    pub fn text(&self) -> String {
        format!("[{}] {}", self.sqlstate, self.message)
    }
}

impl History {
    /// Whether an error is the one that the meaning asks for.
    fn is_meant(&self, state: &str, error: &EngineError) -> bool {
        let data_error = |state: &str| state.starts_with("22") && state != "22012";
        error.sqlstate == state || (!self.exact_states && data_error(state) && data_error(&error.sqlstate))
    }
}

fn engine_error(error: eddydb::Error) -> EngineError {
    let message = error.to_string();
    let panicked = message.contains("panicked");
    let sqlstate = if panicked { "XX000".to_string() } else { error.sqlstate().to_string() };
    let known = KNOWN_REFUSALS.iter().any(|(text, _)| message.contains(text));
    let lenient = sqlstate != "XX000" && std::env::var_os("EDDY_ORACLE_STRICT").is_none();
    let unsupported = error.kind() == ErrorKind::Unsupported || (known && lenient);
    EngineError { sqlstate, message, unsupported }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), EngineError> {
    connection.run(sql).map(drop).map_err(engine_error)
}

/// The rows of a query.
pub fn select(connection: &Connection, sql: &str) -> Result<Vec<Row>, EngineError> {
    let rows = match connection.run(sql).map_err(engine_error)? {
        Outcome::Rows(rows) => rows,
        _ => return Err(EngineError { sqlstate: "XX000".into(), message: "no rows".into(), unsupported: false }),
    };
    let batches = rows.collect::<eddydb::Result<Vec<_>>>().map_err(engine_error)?;
    let undecoded = |message| EngineError { sqlstate: "XX000".into(), message, unsupported: false };
    decode::rows(&batches).map_err(undecoded)
}
