//! Connections: statements in, outcomes out.
//!
//! A [`Connection`] holds what belongs to one user: the open transaction, prepared statements, settings, the
//! interrupt. The life of a statement: parse (`sql`), plan against the current version (`plan`), run in batch
//! (`batch`) or hand writes and DDL to the sequencer. Everything here runs on the caller's thread.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::catalog::relation::RelationId;
use crate::continuous::network::guarded;
use crate::db::appender::Appender;
use crate::db::commit::{Again, Commit, Committed};
use crate::db::database::Database;
use crate::db::read::Reader;
use crate::db::rows::{ArrowRows, Row, Rows};
use crate::db::sequencer::Sequencer;
use crate::db::settings::Settings;
use crate::db::statement::dml::{Change, Modification, Modified, copy_target};
use crate::db::statement::{copy, ddl, explain, subscribe, system, verify};
use crate::db::subscription::Subscription;
use crate::db::transaction::{OpenTransaction, Overlays, decide_upsert};
use crate::db::value::{Params, Value};
use crate::db::version::Version;
use crate::db::write::Write;
use crate::plan::context::Parameters;
use crate::plan::query::Query;
use crate::sql;
use crate::sql::statement::{Argument, Statement};

/// What a statement came to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// A result.
    Rows(ArrowRows),
    /// Rows inserted, updated or deleted.
    Changed(u64),
    /// Something without rows: DDL, transaction control, settings.
    Done,
    /// Changes from now on.
    Subscription(Subscription),
}

/// One user's session with a [`Database`]. It may move between threads; two threads take two connections.
pub struct Connection {
    pub(super) database: Database,
    pub(super) interrupt: Interrupt,
    session: Arc<Mutex<Session>>,
}

struct Session {
    transaction: Option<OpenTransaction>,
    prepared: HashMap<String, Statement>,
    settings: Settings,
    notices: Vec<String>,
}

impl Connection {
    pub(super) fn new(database: Database) -> Self {
        let settings = Settings::default();
        let session = Session { transaction: None, prepared: HashMap::new(), settings, notices: Vec::new() };
        Connection { database, interrupt: Interrupt::default(), session: Arc::new(Mutex::new(session)) }
    }

    /// Runs one statement, whatever it is.
    ///
    /// # Errors
    /// Positions in the error count from the start of `sql`.
    pub fn run(&self, sql: &str) -> Result<Outcome> {
        self.run_with(sql, ())
    }

    /// Runs one statement with parameters.
    pub fn run_with(&self, sql: &str, params: impl Params) -> Result<Outcome> {
        let mut statements = sql::parse(sql)?;
        match (statements.pop(), statements.is_empty()) {
            (Some(parsed), true) => self.statement(&parsed.statement, &positional(params.values())?, &parsed.text),
            (None, _) => Err(Error::new(ErrorKind::Syntax, "there is no statement")),
            _ => Err(Error::new(ErrorKind::Syntax, "more than one statement")
                .with_hint("execute_batch runs several statements")),
        }
    }

    /// Runs one statement and returns how many rows it inserted, updated or deleted; rows of a query are read and
    /// thrown away.
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<u64> {
        match self.run_with(sql, params)? {
            Outcome::Changed(rows) => Ok(rows),
            Outcome::Rows(rows) => rows.map(|batch| batch.map(|_| 0)).sum(),
            _ => Ok(0),
        }
    }

    /// Runs all statements of a script, and stops at the first error.
    pub fn execute_batch(&self, sql: &str) -> Result<()> {
        for parsed in sql::parse(sql)? {
            if let Outcome::Rows(rows) = self.statement(&parsed.statement, &Parameters::default(), &parsed.text)? {
                rows.collect_all()?;
            }
        }
        Ok(())
    }

    /// Runs a query and reads its result row by row.
    pub fn query(&self, sql: &str, params: impl Params) -> Result<Rows> {
        self.query_arrow(sql, params).map(Rows::new)
    }

    /// Runs a query and reads its result as Arrow batches, while they are computed.
    pub fn query_arrow(&self, sql: &str, params: impl Params) -> Result<ArrowRows> {
        rows_of(self.run_with(sql, params)?)
    }

    /// The first row of a query, mapped; an error if there is none.
    pub fn query_row<T>(&self, sql: &str, params: impl Params, map: impl FnOnce(&Row) -> Result<T>) -> Result<T> {
        let row = self.query(sql, params)?.next();
        map(&row.unwrap_or_else(|| Err(Error::new(ErrorKind::NotFound, "the query returned no row")))?)
    }

    /// Prepares a statement to be run many times with other parameters.
    pub fn prepare(&self, sql: &str) -> Result<PreparedStatement<'_>> {
        let mut statements = sql::parse(sql)?;
        match (statements.pop(), statements.is_empty()) {
            (Some(parsed), true) => {
                Ok(PreparedStatement { connection: self, statement: parsed.statement, text: parsed.text })
            }
            _ => Err(Error::new(ErrorKind::Syntax, "prepare takes exactly one statement")),
        }
    }

    /// Opens a fast path for rows into a table or stream.
    pub fn appender(&self, relation: &str) -> Result<Appender> {
        self.refuse_in_transaction("an appender")?;
        Appender::open(&self.database, relation)
    }

    /// Follows a relation (`"spend"`), a query (`"SELECT ..."`), or runs a whole `SUBSCRIBE` statement.
    pub fn subscribe(&self, sql: &str) -> Result<Subscription> {
        let first = sql.split_whitespace().next().unwrap_or("");
        let text = match first.to_ascii_lowercase().as_str() {
            "subscribe" => sql.to_string(),
            "select" | "from" | "with" | "values" => format!("SUBSCRIBE ({sql})"),
            _ => format!("SUBSCRIBE {sql}"),
        };
        match self.run(&text)? {
            Outcome::Subscription(subscription) => Ok(subscription),
            _ => Err(Error::internal("a subscription without changes")),
        }
    }

    /// Begins a transaction; it rolls back unless [`Transaction::commit`] is called.
    pub fn begin(&self) -> Result<Transaction<'_>> {
        self.run("BEGIN")?;
        Ok(Transaction { connection: self, open: true })
    }

    /// A handle that ends this connection's running statement from another thread.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle(self.interrupt.clone())
    }

    /// Messages that are not errors, since the last call.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut self.session.lock().notices)
    }

    /// The database this is a connection to.
    pub fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn notice(&self, text: impl Into<String>) {
        self.session.lock().notices.push(text.into());
    }

    pub(super) fn settings(&self) -> Settings {
        self.session.lock().settings.clone()
    }

    /// Runs a parsed statement; a failure inside a transaction fails the transaction.
    pub(super) fn statement(&self, statement: &Statement, parameters: &Parameters, text: &str) -> Result<Outcome> {
        self.interrupt.start(self.session.lock().settings.statement_timeout);
        let control = matches!(statement, Statement::Rollback | Statement::Commit);
        if !control && self.session.lock().transaction.as_ref().is_some_and(|open| open.failed) {
            return Err(Error::new(ErrorKind::Transaction, "the transaction has failed: only ROLLBACK is possible")
                .with_sqlstate("25P02"));
        }
        // A defect in planning, or in a function that is called there, must not take the program down.
        let outcome = guarded(|| self.dispatch(statement, parameters, text));
        if outcome.is_err()
            && let Some(open) = self.session.lock().transaction.as_mut()
        {
            open.failed = true;
        }
        outcome
    }

    fn dispatch(&self, statement: &Statement, parameters: &Parameters, text: &str) -> Result<Outcome> {
        use Statement as S;
        match statement {
            S::Query { query, emit } => {
                ddl::refuse_emit(*emit)?;
                self.with_reader(parameters, |reader| {
                    let planned = reader.plan(query)?;
                    self.rows(reader, &planned)
                })
            }
            S::Insert(insert) => self.modify(Change::Insert(insert.clone()), parameters),
            S::Update(update) => self.modify(Change::Update(update.clone()), parameters),
            S::Delete(delete) => self.modify(Change::Delete(delete.clone()), parameters),
            S::Truncate { relations } => self.modify(Change::Truncate(relations.clone()), parameters),
            S::CopyFrom(from) => {
                let schema = copy_target(&self.version().catalog, from)?;
                let batches = copy::read_for(&self.database.shared, from, &schema, &self.interrupt)?;
                self.modify(Change::Copy(from.relation.clone(), from.columns.clone(), batches), parameters)
            }
            S::CopyTo(to) => self.with_reader(parameters, |reader| copy::copy_to(reader, to).map(Outcome::Changed)),
            S::Subscribe(clause) => {
                self.refuse_in_transaction("SUBSCRIBE")?;
                subscribe::subscribe(self, clause, parameters).map(Outcome::Subscription)
            }
            S::Show(_) | S::Describe { .. } | S::Summarize { .. } | S::Explain(_) | S::Verify { .. } => {
                self.look(statement, parameters)
            }
            S::CreateRelation(_)
            | S::CreateView(_)
            | S::CreateIndex(_)
            | S::Drop(_)
            | S::Alter(_)
            | S::Refresh { .. } => {
                self.refuse_in_transaction("a change of the catalog")?;
                ddl::run(self, statement).map(|()| Outcome::Done)
            }
            control => self.control(control, parameters, text),
        }
    }

    /// Statements that look at the database.
    fn look(&self, statement: &Statement, parameters: &Parameters) -> Result<Outcome> {
        use Statement as S;
        match statement {
            S::Show(show) => self.with_reader(parameters, |reader| {
                system::show(&self.database.shared, &reader.version, &self.settings(), show).map(rows_outcome)
            }),
            S::Describe { target } => {
                self.with_reader(parameters, |reader| system::describe(reader, target).map(rows_outcome))
            }
            S::Summarize { target } => self.with_reader(parameters, |reader| {
                let planned = reader.plan(&system::summarize(reader, target)?)?;
                self.rows(reader, &planned)
            }),
            S::Explain(explain) => explain::explain(self, explain, parameters).map(rows_outcome),
            S::Verify { name } => verify::verify(self, name).map(rows_outcome),
            _ => Err(Error::internal("a statement that does not look at anything")),
        }
    }

    /// Transactions, prepared statements, settings, and what does not exist yet.
    fn control(&self, statement: &Statement, parameters: &Parameters, text: &str) -> Result<Outcome> {
        use Statement as S;
        match statement {
            S::Begin { read_only } => self.begin_transaction(*read_only),
            S::Commit => self.commit_transaction(),
            S::Rollback => self.rollback_transaction(),
            S::Prepare { name, statement, .. } => self.prepare_named(name, statement),
            S::Execute { name, arguments } => self.execute_prepared(name, arguments, parameters, text),
            S::Deallocate { name } => self.deallocate(name.as_deref()),
            S::Set { name, value } => self.set(name, Some(value)),
            S::Reset { name: Some(name) } => self.set(name, None),
            S::Reset { name: None } => {
                self.session.lock().settings = Settings::default();
                Ok(Outcome::Done)
            }
            S::Checkpoint => {
                self.notice("this database is in memory: there is nothing to checkpoint");
                Ok(Outcome::Done)
            }
            S::AdvanceWatermark { .. } | S::Flush { .. } => Err(Error::unsupported(
                "watermarks are declared but do not move yet: nothing is ever late in this version",
            )),
            S::CreateSink(_) => Err(Error::unsupported("sinks do not exist yet")
                .with_hint("SUBSCRIBE hands the changes of a view to the program")),
            S::CreateExternalTable(_) => Err(Error::unsupported("external tables do not exist yet").with_hint(
                "read the file in place (FROM 'file.parquet') or CREATE TABLE .. AS SELECT * FROM 'file.parquet'",
            )),
            _ => Err(Error::unsupported("this statement does not run yet")),
        }
    }

    fn prepare_named(&self, name: &str, statement: &Statement) -> Result<Outcome> {
        let mut session = self.session.lock();
        if session.prepared.contains_key(name) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("prepared statement \"{name}\" exists"))
                .with_sqlstate("42P05")
                .with_hint(format!("DEALLOCATE {name} frees the name")));
        }
        session.prepared.insert(name.to_string(), statement.clone());
        Ok(Outcome::Done)
    }

    /// The version the next statement reads: the transaction's, or the current one.
    pub(super) fn version(&self) -> Arc<Version> {
        let session = self.session.lock();
        session.transaction.as_ref().map_or_else(|| self.database.shared.version(), |open| open.version.clone())
    }

    /// Runs `read` over the version and overlay the next statement sees.
    pub(super) fn with_reader<T>(
        &self,
        parameters: &Parameters,
        read: impl FnOnce(&Reader<'_>) -> Result<T>,
    ) -> Result<T> {
        let (version, overlays) = self.scope();
        let time_us = self.session.lock().transaction.as_ref().map_or(version.time_us, |open| open.time_us);
        read(&Reader::new(&self.database.shared, version, overlays, parameters, &self.interrupt).at(time_us))
    }

    fn scope(&self) -> (Arc<Version>, Overlays) {
        let session = self.session.lock();
        match &session.transaction {
            Some(open) => (open.version.clone(), open.overlays.clone()),
            None => (self.database.shared.version(), Overlays::new()),
        }
    }

    fn rows(&self, reader: &Reader<'_>, planned: &Query) -> Result<Outcome> {
        if let Some(open) = self.session.lock().transaction.as_mut() {
            open.reads.extend(open.version.catalog.bases(planned.relations.iter().copied()));
            let session = self.session.clone();
            let batches = reader.stream(planned)?.inspect(move |batch| {
                if batch.is_err()
                    && let Some(open) = session.lock().transaction.as_mut()
                {
                    open.failed = true;
                }
            });
            return Ok(Outcome::Rows(ArrowRows::new(planned.schema.clone(), batches)));
        }
        let timed = |id: &RelationId| reader.version.catalog.by_id(*id).is_some_and(|relation| relation.uses_now);
        if planned.uses_now || planned.relations.iter().any(timed) {
            // The clock is an input like any other: time moves by a commit that everybody sees.
            let version = self.database.sequencer.task(&self.interrupt, Sequencer::tick)?;
            let none = Overlays::new();
            let reader = Reader::new(&self.database.shared, version, none, reader.parameters(), &self.interrupt);
            return Ok(Outcome::Rows(ArrowRows::new(planned.schema.clone(), reader.stream(planned)?)));
        }
        Ok(Outcome::Rows(ArrowRows::new(planned.schema.clone(), reader.stream(planned)?)))
    }

    fn modify(&self, change: Change, parameters: &Parameters) -> Result<Outcome> {
        let modification = Modification {
            shared: self.database.shared.clone(),
            change,
            parameters: parameters.clone(),
            interrupt: self.interrupt.clone(),
            time_us: self.time_us(),
        };
        let (version, overlays) = self.scope();
        let modified = modification.writes(&version, &overlays)?;
        let mut session = self.session.lock();
        if let Some(open) = session.transaction.as_mut() {
            let settled = modified.writes.into_iter().map(|write| decide_upsert(&version, &overlays, write));
            let writes = settled.collect::<Result<Vec<_>>>()?;
            let rows = modified.rows.unwrap_or_else(|| writes.iter().map(inserted_rows).sum());
            open.reads.extend(modified.reads);
            open.add(&writes)?;
            return Ok(Outcome::Changed(rows));
        }
        drop(session);
        let rows = modified.rows;
        let commit = |modified: Modified, version: &Version| {
            let modification = modification.clone();
            let again: Again = Box::new(move |version| Ok(modification.writes(version, &Overlays::new())?.payload()));
            // Rows that depend on nothing that was read are made again only if their relation was altered.
            let again = (!modified.reads.is_empty()).then_some(again);
            let (read_epoch, reads, interrupt) = (version.epoch, modified.reads.clone(), self.interrupt.clone());
            Commit { read_epoch, reads, payload: modified.payload(), again, interrupt }
        };
        let committed = match self.database.sequencer.commit(commit(modified, &version)) {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let version = self.database.shared.version();
                let modified = modification.writes(&version, &Overlays::new())?;
                self.database.sequencer.commit(commit(modified, &version))?
            }
            committed => committed?,
        };
        self.tell_if_unpublished(committed);
        Ok(Outcome::Changed(rows.map_or(committed.inserted, |_| committed.inserted.max(committed.deleted))))
    }

    /// Says so where the wait was called off after the commit had passed the door.
    fn tell_if_unpublished(&self, committed: Committed) {
        if !committed.published {
            let epoch = committed.epoch;
            self.notice(format!(
                "the wait was called off, not the change: it is committed as epoch {epoch} and will be seen when the views are up to date"
            ));
        }
    }

    /// The time of the statement that begins now, or of the open transaction.
    fn time_us(&self) -> i64 {
        let begun = self.session.lock().transaction.as_ref().map(|open| open.time_us);
        begun.unwrap_or_else(|| self.database.shared.now_us())
    }

    fn begin_transaction(&self, read_only: bool) -> Result<Outcome> {
        let (version, time_us) = (self.database.shared.version(), self.database.shared.now_us());
        let mut session = self.session.lock();
        if session.transaction.is_some() {
            return Err(Error::new(ErrorKind::Transaction, "there is a transaction already").with_sqlstate("25001"));
        }
        session.transaction = Some(OpenTransaction::new(version, time_us, read_only));
        Ok(Outcome::Done)
    }

    fn commit_transaction(&self) -> Result<Outcome> {
        let Some(open) = self.session.lock().transaction.take() else {
            self.notice("there is no transaction to commit");
            return Ok(Outcome::Done);
        };
        if open.failed {
            return Err(Error::new(ErrorKind::Transaction, "the transaction had failed and was rolled back")
                .with_sqlstate("25P02"));
        }
        if let Some(commit) = open.into_commit(&self.interrupt) {
            self.tell_if_unpublished(self.database.sequencer.commit(commit)?);
        }
        Ok(Outcome::Done)
    }

    fn rollback_transaction(&self) -> Result<Outcome> {
        if self.session.lock().transaction.take().is_none() {
            self.notice("there is no transaction to roll back");
        }
        Ok(Outcome::Done)
    }

    fn refuse_in_transaction(&self, what: &str) -> Result<()> {
        match self.session.lock().transaction.is_some() {
            true => Err(Error::new(ErrorKind::Transaction, format!("{what} cannot run inside a transaction"))
                .with_sqlstate("25001")
                .with_hint("COMMIT or ROLLBACK first")),
            false => Ok(()),
        }
    }

    fn execute_prepared(
        &self,
        name: &str,
        arguments: &[Argument],
        parameters: &Parameters,
        text: &str,
    ) -> Result<Outcome> {
        let prepared = self.session.lock().prepared.get(name).cloned();
        let statement = prepared.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("prepared statement \"{name}\" does not exist"))
                .with_sqlstate("26000")
        })?;
        let mut bound = Parameters::default();
        self.with_reader(parameters, |reader| {
            for argument in arguments {
                let value = reader.constant_expression(argument.value.clone())?;
                match &argument.name {
                    Some(name) => drop(bound.named.insert(name.clone(), value)),
                    None => bound.positional.push(value),
                }
            }
            Ok(())
        })?;
        self.dispatch(&statement, &bound, text)
    }

    fn deallocate(&self, name: Option<&str>) -> Result<Outcome> {
        let mut session = self.session.lock();
        match name {
            None => session.prepared.clear(),
            Some(name) => {
                if session.prepared.remove(name).is_none() {
                    return Err(Error::new(
                        ErrorKind::NotFound,
                        format!("prepared statement \"{name}\" does not exist"),
                    )
                    .with_sqlstate("26000"));
                }
            }
        }
        Ok(Outcome::Done)
    }

    fn set(&self, name: &str, value: Option<&String>) -> Result<Outcome> {
        let shared = &self.database.shared;
        self.session.lock().settings.set(shared, name, value.map(String::as_str))?;
        Ok(Outcome::Done)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

fn inserted_rows(write: &Write) -> u64 {
    write.inserts.iter().map(|batch| batch.num_rows() as u64).sum()
}

fn rows_outcome(batch: arrow::array::RecordBatch) -> Outcome {
    Outcome::Rows(ArrowRows::one(batch))
}

fn rows_of(outcome: Outcome) -> Result<ArrowRows> {
    match outcome {
        Outcome::Rows(rows) => Ok(rows),
        _ => Err(Error::invalid("the statement returns no rows").with_hint("run it with execute")),
    }
}

fn positional(values: Vec<Value>) -> Result<Parameters> {
    let positional = values.iter().map(Value::to_array).collect::<Result<_>>()?;
    Ok(Parameters { positional, ..Parameters::default() })
}

/// A statement parsed once and run many times.
#[derive(Debug)]
pub struct PreparedStatement<'a> {
    connection: &'a Connection,
    statement: Statement,
    text: String,
}

impl PreparedStatement<'_> {
    /// Runs it; returns the rows inserted, updated or deleted.
    pub fn execute(&self, params: impl Params) -> Result<u64> {
        match self.run(params)? {
            Outcome::Changed(rows) => Ok(rows),
            Outcome::Rows(rows) => rows.map(|batch| batch.map(|_| 0)).sum(),
            _ => Ok(0),
        }
    }

    /// Runs it and reads its result row by row.
    pub fn query(&self, params: impl Params) -> Result<Rows> {
        self.query_arrow(params).map(Rows::new)
    }

    /// Runs it and reads its result as Arrow batches.
    pub fn query_arrow(&self, params: impl Params) -> Result<ArrowRows> {
        rows_of(self.run(params)?)
    }

    fn run(&self, params: impl Params) -> Result<Outcome> {
        self.connection.statement(&self.statement, &positional(params.values())?, &self.text)
    }
}

/// An open transaction of a connection; dropping it rolls back.
#[derive(Debug)]
pub struct Transaction<'a> {
    connection: &'a Connection,
    open: bool,
}

impl Transaction<'_> {
    /// Makes the transaction's writes one commit.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if another commit changed what was read: run the transaction again.
    pub fn commit(mut self) -> Result<()> {
        self.open = false;
        self.connection.run("COMMIT").map(drop)
    }

    /// Forgets the transaction's writes.
    pub fn rollback(mut self) -> Result<()> {
        self.open = false;
        self.connection.run("ROLLBACK").map(drop)
    }
}

impl std::ops::Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open {
            let _ = self.connection.run("ROLLBACK");
        }
    }
}

/// Ends the running statement of a [`Connection`] from another thread.
#[derive(Debug, Clone)]
pub struct InterruptHandle(Interrupt);

impl InterruptHandle {
    /// Ends the running statement; it returns [`ErrorKind::Cancelled`]. Without one, nothing happens.
    pub fn interrupt(&self) {
        self.0.cancel();
    }
}
