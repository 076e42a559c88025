//! Connections: the face of a session to a program.
//!
//! A [`Connection`] owns one [`Session`] and lets one statement at a time use it. The life of a statement: parse
//! (`sql`), then what `statement` makes of it: a plan (`plan`) run in batch (`batch`), or a commit that is handed to
//! the sequencer. Everything here runs on the caller's thread.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::Interrupt;
use crate::db::appender::Appender;
use crate::db::database::Database;
use crate::db::outcome::Outcome;
use crate::db::rows::{ArrowRows, Row, Rows};
use crate::db::session::Session;
use crate::db::statement::dispatch;
use crate::db::subscription::Subscription;
use crate::db::value::{Params, Value};
use crate::plan::context::Parameters;
use crate::sql;
use crate::sql::statement::Statement;

/// How long one waits for another thread's statement before asking whether it was called off.
const PATIENCE: Duration = Duration::from_millis(10);

/// One user's session with a [`Database`]. It may move between threads; two threads take two connections, or wait for
/// each other. A function of the program's that runs statements takes a connection of its own.
pub struct Connection {
    database: Database,
    interrupt: Interrupt,
    notices: Arc<Mutex<Vec<String>>>,
    session: Mutex<Session>,
}

impl Database {
    /// A new session.
    pub fn connect(&self) -> Result<Connection> {
        let interrupt = Interrupt::default();
        let notices = Arc::default();
        let session = Session::new(
            self.shared.clone(),
            (self.pumps.clone(), self.sequencer.clone()),
            interrupt.clone(),
            Arc::clone(&notices),
        );
        Ok(Connection { database: self.clone(), interrupt, notices, session: Mutex::new(session) })
    }
}

impl Connection {
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
            (Some(parsed), true) => self.statement(&parsed.statement, &positional(params.values())?),
            (None, _) => Err(Error::new(ErrorKind::Syntax, "there is no statement")),
            _ => Err(Error::new(ErrorKind::Syntax, "more than one statement")
                .with_hint("execute_batch runs several statements")),
        }
    }

    /// Runs one statement and returns how many rows it inserted, updated or deleted; rows of a query are read and
    /// thrown away.
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<u64> {
        self.run_with(sql, params)?.into_changed()
    }

    /// Runs all statements of a script, and stops at the first error.
    pub fn execute_batch(&self, sql: &str) -> Result<()> {
        for parsed in sql::parse(sql)? {
            if let Outcome::Rows(rows) = self.statement(&parsed.statement, &Parameters::default())? {
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
        self.run_with(sql, params)?.into_rows()
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
            (Some(parsed), true) => Ok(PreparedStatement { connection: self, statement: parsed.statement }),
            _ => Err(Error::new(ErrorKind::Syntax, "prepare takes exactly one statement")),
        }
    }

    /// Opens a fast path for rows into a table or stream.
    pub fn appender(&self, relation: &str) -> Result<Appender> {
        self.session()?.refuse_in_transaction("an appender")?;
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
        std::mem::take(&mut *self.notices.lock())
    }

    /// The database this is a connection to.
    pub fn database(&self) -> &Database {
        &self.database
    }

    fn statement(&self, statement: &Statement, parameters: &Parameters) -> Result<Outcome> {
        dispatch::run(&mut *self.session()?, statement, parameters)
    }

    /// The session, once no other thread runs a statement in it. Who calls that statement off calls off what waits for
    /// it too: it may be waiting for this one itself, in a function of the user's that asks its own connection.
    fn session(&self) -> Result<MutexGuard<'_, Session>> {
        loop {
            match self.session.try_lock_for(PATIENCE) {
                Some(session) => return Ok(session),
                None => self.interrupt.check()?,
            }
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
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
}

impl PreparedStatement<'_> {
    /// Runs it; returns the rows inserted, updated or deleted.
    pub fn execute(&self, params: impl Params) -> Result<u64> {
        self.run(params)?.into_changed()
    }

    /// Runs it and reads its result row by row.
    pub fn query(&self, params: impl Params) -> Result<Rows> {
        self.query_arrow(params).map(Rows::new)
    }

    /// Runs it and reads its result as Arrow batches.
    pub fn query_arrow(&self, params: impl Params) -> Result<ArrowRows> {
        self.run(params)?.into_rows()
    }

    fn run(&self, params: impl Params) -> Result<Outcome> {
        self.connection.statement(&self.statement, &positional(params.values())?)
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
            // Also behind a statement that was called off: a wait that gives up would leave the transaction open.
            let _ = dispatch::run(&mut self.connection.session.lock(), &Statement::Rollback, &Parameters::default());
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
