//! The one error type of the crate.
//!
//! An [`Error`] says three things: its [`ErrorKind`] (what the caller can do next), a message that names the
//! object, and, where they are known, the place in the SQL text, a hint and the underlying cause. It promises
//! a SQLSTATE for every error. It does not carry stack traces and never holds secrets or whole rows of data.

use std::fmt;

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in classes a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The SQL text could not be parsed (42601): correct the text.
    Syntax,
    /// A relation, column, function or option does not exist (42P01, 42703, 42883): correct the name.
    NotFound,
    /// An object of that name exists already (42P07): choose another name, or `IF NOT EXISTS`.
    AlreadyExists,
    /// The statement is well formed but means nothing valid (42000): rewrite it.
    Invalid,
    /// A value or expression has the wrong type (42804): cast it.
    Type,
    /// The statement is valid SQL that this version does not do (0A000).
    Unsupported,
    /// A constraint of the relation refused a row (23000, 23502, 23505): correct the data.
    Constraint,
    /// Another commit changed what this transaction read (40001): run the transaction again.
    Conflict,
    /// Evaluating a row failed: overflow, division by zero, failed cast (22000): correct the data or the query.
    Data,
    /// A transaction command in the wrong state (25000, 25001, 25P02).
    Transaction,
    /// Another object depends on this one (2BP01): drop it first, or use CASCADE.
    Dependency,
    /// A memory, size or depth limit was reached (53200, 54001): raise the limit or ask for less.
    Resource,
    /// The statement ran past its deadline (57014).
    Timeout,
    /// The statement was cancelled by its user (57014).
    Cancelled,
    /// The view has no answer: rows it depends on cannot be evaluated, or it was detached (55000).
    ViewFailed,
    /// Reading or writing a file failed (58030), or the access policy forbids it (42501).
    Io,
    /// A defect in this crate (XX000): please report it.
    Internal,
}

impl ErrorKind {
    /// The SQLSTATE used where nothing more precise was given.
    pub fn sqlstate(self) -> &'static str {
        match self {
            ErrorKind::Syntax => "42601",
            ErrorKind::NotFound => "42P01",
            ErrorKind::AlreadyExists => "42P07",
            ErrorKind::Invalid => "42000",
            ErrorKind::Type => "42804",
            ErrorKind::Unsupported => "0A000",
            ErrorKind::Constraint => "23000",
            ErrorKind::Conflict => "40001",
            ErrorKind::Data => "22000",
            ErrorKind::Transaction => "25000",
            ErrorKind::Dependency => "2BP01",
            ErrorKind::Resource => "53200",
            ErrorKind::Timeout | ErrorKind::Cancelled => "57014",
            ErrorKind::ViewFailed => "55000",
            ErrorKind::Io => "58030",
            ErrorKind::Internal => "XX000",
        }
    }
}

/// A place in a SQL text; both numbers count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The character within the line.
    pub column: u64,
}

/// An error: kind, message, and where known position, hint and cause.
///
/// `Display` prints the message alone; [`Error::render`] adds the line of SQL with a caret and the hint.
#[derive(Debug)]
pub struct Error(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: ErrorKind,
    sqlstate: &'static str,
    message: String,
    position: Option<Position>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; messages are lower case and name the object.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Parts {
            kind,
            sqlstate: kind.sqlstate(),
            message: message.into(),
            position: None,
            hint: None,
            source: None,
        }))
    }

    /// A feature that does not exist yet.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// A statement that means nothing valid.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// A row that could not be evaluated.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// A defect in this crate.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The same error with a more precise SQLSTATE (five characters).
    pub fn with_sqlstate(mut self, sqlstate: &'static str) -> Self {
        self.0.sqlstate = sqlstate;
        self
    }

    /// The same error, pointing at a place in the SQL text.
    pub fn at(mut self, position: Position) -> Self {
        self.0.position = Some(position);
        self
    }

    /// The same error with advice on what to do instead.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error with the error that caused it.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error with `context` (for example an object's name) before its message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The five-character SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        self.0.sqlstate
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The place in the SQL text, where it is known.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }

    /// Advice on what to do instead, where there is any.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The error as a person reads it: message, the line of `sql` with a caret, hint.
    ///
    /// ```
    /// use eddydb::{Error, ErrorKind, Position};
    /// let error = Error::new(ErrorKind::NotFound, "no column \"nam\"")
    ///     .at(Position { line: 1, column: 8 })
    ///     .with_hint("did you mean \"name\"?");
    /// assert_eq!(
    ///     error.render("SELECT nam FROM t"),
    ///     "error: no column \"nam\"\nLINE 1: SELECT nam FROM t\n               ^\nhint: did you mean \"name\"?"
    /// );
    /// ```
    pub fn render(&self, sql: &str) -> String {
        let mut text = format!("error: {}", self.0.message);
        if let Some(Position { line, column }) = self.0.position
            && let Some(source) = sql.lines().nth(line.saturating_sub(1) as usize)
        {
            let label = format!("LINE {line}: ");
            let before: String = source.chars().take(column.saturating_sub(1) as usize).collect();
            let pad: usize = label.len() + before.chars().map(|c| if c == '\t' { 8 } else { 1 }).sum::<usize>();
            text.push_str(&format!("\n{label}{}\n{}^", source.replace('\t', "        "), " ".repeat(pad)));
        }
        if let Some(hint) = &self.0.hint {
            text.push_str(&format!("\nhint: {hint}"));
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::new(ErrorKind::Io, error.to_string()).with_source(error)
    }
}
