//! One run of a file: a fresh database, its named connections and subscriptions, and the execution of single records.
//!
//! Texts that start with `@` are commands to the runner, not SQL; `sql-tests/README.md` lists them.

use std::collections::{BTreeMap, BTreeSet};

use sqllogictest::StatementExpect;

use crate::arguments::Printing;
use crate::compare;
use crate::engine::{Answer, Connection, Disk, Engine, Event, Failure, Subscription, Table, Views};
use crate::printing::{self, Rows};
use crate::record::{ColumnType, Kind, Record, Sort};

/// What is said of a `query` that is none.
const NO_ROWS: &str = "the statement gives no rows";

/// A database with its connections.
pub struct Session {
    engine: Engine,
    connections: BTreeMap<String, Connection>,
    subscriptions: BTreeMap<String, Subscription>,
    busy: BTreeSet<String>,
    directory: tempfile::TempDir,
    printing: Printing,
    /// Where the database lies, if it lies anywhere.
    disk: Option<Disk>,
    /// Whether some connection knows more than a new one would.
    has_state: bool,
}

impl Session {
    /// A fresh, empty database.
    pub fn new(printing: Printing) -> Result<Session, String> {
        Self::with(Engine::open(), None, printing)
    }

    /// A fresh database on a disk.
    pub fn on(disk: Disk, printing: Printing) -> Result<Session, String> {
        Self::with(Engine::open_on(&disk, Views::Soon), Some(disk), printing)
    }

    fn with(engine: Result<Engine, Failure>, disk: Option<Disk>, printing: Printing) -> Result<Session, String> {
        let engine = engine.map_err(|failure| failure.text)?;
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Session {
            engine,
            connections: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            busy: BTreeSet::new(),
            directory,
            printing,
            disk,
            has_state: false,
        })
    }

    /// Closes the database, or lets its disk lose power, and opens it again, unless a connection would notice; before
    /// that perhaps a checkpoint is made. When views are filled again is said by `views`.
    pub fn restart(&mut self, by_power_loss: bool, checkpoint: bool, views: Views) -> Result<(), String> {
        let Some(disk) = self.disk.as_ref().filter(|_| !self.has_state && self.busy.is_empty()) else { return Ok(()) };
        if checkpoint {
            self.engine.checkpoint().map_err(|failure| failure.text)?;
        }
        if by_power_loss {
            disk.lose_power();
        }
        self.connections.clear();
        self.engine = Engine::open().map_err(|failure| failure.text)?;
        self.engine = Engine::open_on(disk, views).map_err(|failure| failure.text)?;
        Ok(())
    }

    /// Whether the connection has a transaction open.
    pub fn in_transaction(&self, connection: &str) -> bool {
        self.busy.contains(connection)
    }

    /// Runs a text on a connection, which is made if it is new.
    pub fn run(&mut self, connection: &str, sql: &str) -> Result<Answer, Failure> {
        let sql = sql.replace("$__TEST_DIR__", &self.directory.path().display().to_string());
        if !self.connections.contains_key(connection) {
            self.connections.insert(connection.to_string(), self.engine.connect()?);
        }
        let answer = self.connections[connection].run(&sql)?;
        match crate::scan::scan(&sql).first().map(|token| token.text.to_ascii_lowercase()).as_deref() {
            Some("begin" | "start") => drop(self.busy.insert(connection.to_string())),
            Some("commit" | "rollback" | "end" | "abort") => drop(self.busy.remove(connection)),
            Some("set" | "reset" | "prepare" | "subscribe" | "deallocate") => self.has_state = true,
            _ => {}
        }
        Ok(answer)
    }

    /// The rows of a query.
    pub fn query(&mut self, connection: &str, sql: &str) -> Result<Table, Failure> {
        match self.run(connection, sql)? {
            Answer::Rows(table) => Ok(table),
            _ => Err(Failure::of(NO_ROWS)),
        }
    }

    /// The printed rows of a query.
    pub fn rows(&mut self, connection: &str, sql: &str, types: &[ColumnType]) -> Result<Rows, Failure> {
        let table = match self.run(connection, sql)? {
            Answer::Rows(table) => table,
            // DataFusion answers a change with a row that counts, a definition with no rows, and files say `query`.
            Answer::Changed(count) if self.printing == Printing::Native => return Ok(vec![vec![count.to_string()]]),
            Answer::Done if self.printing == Printing::Native => return Ok(Rows::new()),
            _ => return Err(Failure::of(NO_ROWS)),
        };
        printing::print(&table.batches, types, self.printing).map_err(|reason| Failure::of(&reason))
    }

    /// Runs a record as it stands and says what is wrong, if anything is.
    pub fn execute(&mut self, record: &Record) -> Result<(), String> {
        match &record.kind {
            Kind::Sleep(duration) => {
                std::thread::sleep(*duration);
                Ok(())
            }
            Kind::Statement(StatementExpect::Error(pattern)) | Kind::QueryError(pattern) => {
                match self.run(&record.connection, &record.sql).and_then(Answer::finish) {
                    Ok(_) => Err("expected an error, but it succeeded".to_string()),
                    Err(failure) if pattern.is_match(&failure.text, Some(&failure.sqlstate)) => Ok(()),
                    Err(failure) => Err(format!("expected error {pattern}\nfound {}", failure.text)),
                }
            }
            Kind::Statement(expected) => {
                let resumed = self.resumed(&record.sql)?;
                let sql = resumed.as_deref().unwrap_or(&record.sql);
                let answer = self.run(&record.connection, sql).map_err(|failure| failure.text)?;
                self.finish_statement(record, answer, expected)
            }
            Kind::Query { types, sort, expected } => {
                let rows = if record.sql.starts_with('@') {
                    self.command(record, types, expected.is_empty())?
                } else {
                    self.rows(&record.connection, &record.sql, types).map_err(|failure| failure.text)?
                };
                compare::check(rows, types.len(), expected, *sort)
            }
        }
    }

    /// The SQL of `@resume NAME SQL`: the text with the last epoch that the subscription has seen behind it.
    fn resumed(&self, sql: &str) -> Result<Option<String>, String> {
        let Some(rest) = sql.strip_prefix("@resume ") else { return Ok(None) };
        let (name, sql) = rest.split_once(' ').ok_or("@resume needs a name and a statement")?;
        let subscription = self.subscriptions.get(name).ok_or(format!("no subscription {name:?}"))?;
        Ok(Some(format!("{sql} {}", subscription.epoch())))
    }

    fn finish_statement(&mut self, record: &Record, answer: Answer, expected: &StatementExpect) -> Result<(), String> {
        let changed = match answer {
            Answer::Subscription(subscription) => {
                let name = record.subscription.clone().unwrap_or_else(|| "default".to_string());
                self.subscriptions.insert(name, subscription);
                0
            }
            answer => answer.finish().map_err(|failure| failure.text)?,
        };
        match expected {
            StatementExpect::Count(count) if *count != changed => {
                Err(format!("expected {count} rows changed, found {changed}"))
            }
            _ => Ok(()),
        }
    }

    /// Runs a text that starts with `@`.
    fn command(&mut self, record: &Record, types: &[ColumnType], quiet: bool) -> Result<Rows, String> {
        let (command, rest) = record.sql.split_once(char::is_whitespace).unwrap_or((&record.sql, ""));
        let (first, sql) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        let name = if first.is_empty() { "default" } else { first };
        match command {
            "@notices" => {
                let connection = self.connections.get(&record.connection).ok_or("no such connection")?;
                Ok(connection.notices().into_iter().map(|notice| vec![notice]).collect())
            }
            "@column" | "@columns" => self.columns(record, first, sql, types),
            "@count" | "@has" => {
                let lines = self.rows(&record.connection, sql, &[]).map_err(|failure| failure.text)?;
                let count = lines.iter().filter(|line| line.join(" ").contains(first)).count();
                Ok(vec![vec![if command == "@has" { (count > 0).to_string() } else { count.to_string() }]])
            }
            "@changes" | "@commits" => self.changes(name, command == "@commits", types, quiet),
            "@cancel" => {
                self.subscriptions.remove(name).ok_or(format!("no subscription {name:?}"))?;
                Ok(Rows::new())
            }
            other => Err(format!("unknown runner command {other}")),
        }
    }

    /// Some columns, by name, of a statement that cannot stand in a FROM.
    fn columns(&mut self, record: &Record, names: &str, sql: &str, types: &[ColumnType]) -> Result<Rows, String> {
        let mut table = self.query(&record.connection, sql).map_err(|failure| failure.text)?;
        let place = |name| table.columns.iter().position(|column| column == name);
        let places = names.split(',').map(|name| place(name).ok_or(format!("no column {name} in {:?}", table.columns)));
        let places: Vec<usize> = places.collect::<Result<_, _>>()?;
        for batch in &mut table.batches {
            *batch = batch.project(&places).map_err(|error| error.to_string())?;
        }
        printing::print(&table.batches, types, self.printing)
    }

    /// What a subscription has received since the last look.
    fn changes(&mut self, name: &str, numbered: bool, types: &[ColumnType], quiet: bool) -> Result<Rows, String> {
        let subscription = self.subscriptions.get_mut(name).ok_or(format!("no subscription {name:?}"))?;
        let types = if numbered { &types[1.min(types.len())..] } else { types };
        let mut rows = Rows::new();
        for event in subscription.take(quiet).map_err(|failure| failure.text)? {
            match event {
                Event::Failed => rows.push(vec!["failed".to_string()]),
                Event::Changes(number, batch) => {
                    for mut row in printing::print(&[batch], types, self.printing)? {
                        if numbered {
                            row.insert(0, number.to_string());
                        }
                        rows.push(row);
                    }
                }
            }
        }
        Ok(rows)
    }

    /// The sort mode that makes two readings of a relation comparable.
    pub const UNORDERED: Sort = Sort::RowSort;
}
