//! The shell itself: runs statements and dot commands one after the other and prints what comes of them.
//!
//! Data goes to standard output, flushed after every statement; messages go to standard error. It promises to stop
//! where it was told to (at the first error, at Ctrl-C, at a closed pipe) and to say so by [`Stop`]; what that means
//! for the process is main's business.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use eddydb::{ArrowRows, Connection, Database, Error, ErrorKind, EventKind, Outcome, Subscription, SubscriptionEvent};

use crate::command;
use crate::input::{Piece, Pieces, read_pieces};
use crate::interrupt::Interrupts;
use crate::lexer::first_word;
use crate::print::{Format, Style, printer, streaming};
use crate::watch::Watches;

/// How long a subscription may be silent before Ctrl-C is looked for.
const POLL: Duration = Duration::from_millis(100);

/// Files that read files that read files ..: deeper than this they go round in a circle.
const DEEPEST_FILE: usize = 16;

/// Why the shell does not go on.
#[derive(Debug)]
pub enum Stop {
    /// Somebody asked to leave.
    Quit,
    /// A statement failed, and was reported.
    Failed,
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads the output any more, or a file could not be read.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

/// Goes on, or says why not.
pub type Flow = Result<(), Stop>;

/// What the user set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How rows are printed.
    pub format: Format,
    /// Whether each statement's time is told.
    pub timer: bool,
    /// Whether files are off limits.
    pub safe: bool,
    /// Whether a failed statement ends a script.
    pub keep_going: bool,
    /// Whether directories are opened for reading only.
    pub readonly: bool,
}

/// A connection and how to talk about it.
pub struct Shell {
    /// What the user set.
    pub settings: Settings,
    /// What standard output can show.
    pub style: Style,
    /// The views whose changes are told after each statement.
    pub watches: Watches,
    connection: Connection,
    interrupts: Interrupts,
    interactive: bool,
    failed: bool,
    depth: usize,
    /// The file being read and the line in it where the current piece begins.
    origin: Option<(String, usize)>,
}

enum Problem {
    Sql(Error),
    /// Differences that VERIFY found; its rows have been printed.
    Differs(i64),
    Output(io::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem::Sql(error)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Problem::Output(error)
    }
}

impl Shell {
    /// A shell over a connection.
    pub fn new(connection: Connection, settings: Settings, style: Style, interrupts: Interrupts) -> Self {
        let watches = Watches::default();
        let (interactive, failed, depth, origin) = (false, false, 0, None);
        Shell { settings, style, watches, connection, interrupts, interactive, failed, depth, origin }
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Goes on with the database in a directory, or with a new one in memory. If it cannot be opened, with the one there is.
    pub fn open(&mut self, directory: &str) -> Flow {
        let is_kept = !matches!(directory, "" | ":memory:");
        let builder = Database::builder().read_only(self.settings.readonly && is_kept);
        let builder = if self.settings.safe { builder.no_file_access() } else { builder };
        let opened = match directory {
            directory if is_kept => builder.open(directory),
            _ => builder.build(),
        };
        match opened.and_then(|database| database.connect()) {
            Ok(connection) => {
                let notices = connection.database().notices();
                notices.iter().for_each(|notice| eprintln!("notice: {notice}"));
                self.watches = Watches::default();
                self.connection = connection;
                Ok(())
            }
            Err(error) => {
                self.report(&error.render(""));
                self.after_failure()
            }
        }
    }

    /// What Ctrl-C does.
    pub fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }

    /// Whether any statement failed so far.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether somebody sits at a prompt.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Somebody sits at a prompt from here on.
    pub fn set_interactive(&mut self) {
        self.interactive = true;
        self.interrupts.set_interactive(true);
    }

    /// Runs all statements and dot commands of a text.
    pub fn run_text(&mut self, text: &str) -> Flow {
        Pieces::of(text).into_iter().try_for_each(|piece| self.run_piece(piece))
    }

    /// Runs a file, statement by statement as it can be read.
    pub fn run_file(&mut self, path: &Path) -> Flow {
        let name = path.display().to_string();
        if self.depth == DEEPEST_FILE {
            return self.fail(&format!("{name}: files read each other more than {DEEPEST_FILE} deep"));
        }
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return self.fail(&format!("cannot read {name}: {error}")),
        };
        let outer = self.origin.take();
        self.depth += 1;
        let flow = self.run_reader(&mut file, Some(&name));
        self.depth -= 1;
        self.origin = outer;
        flow
    }

    /// Runs what a reader gives, each statement as soon as its `;` has arrived.
    pub fn run_reader(&mut self, reader: &mut dyn Read, name: Option<&str>) -> Flow {
        read_pieces(reader, |piece| {
            let line = match &piece {
                Piece::Statement { line, .. } | Piece::Command { line, .. } => *line,
            };
            self.origin = name.map(|name| (name.to_string(), line));
            self.run_piece(piece).map(|()| true)
        })
        .or_else(|stop| match stop {
            Stop::Io(error) if error.kind() == io::ErrorKind::InvalidData => self.fail(&error.to_string()),
            stop => Err(stop),
        })
    }

    /// Says what went wrong; the shell goes on only if it was told to.
    pub fn fail(&mut self, message: &str) -> Flow {
        self.report(&format!("error: {message}"));
        self.after_failure()
    }

    /// Runs one statement and prints what comes of it.
    pub fn run_statement(&mut self, sql: &str) -> Flow {
        let started = Instant::now();
        let handle = self.connection.interrupt_handle();
        self.interrupts.start(move || handle.interrupt());
        let result = self.execute(sql);
        self.interrupts.finish();
        let elapsed = started.elapsed();
        for notice in self.connection.take_notices() {
            eprintln!("notice: {notice}");
        }
        let flow = match result {
            Ok(()) => self.watches.print(&self.settings, self.style).map_err(Stop::from),
            Err(Problem::Output(error)) => Err(Stop::Io(error)),
            Err(Problem::Sql(error)) if self.interrupts.pressed() && error.kind() == ErrorKind::Cancelled => {
                Err(Stop::Interrupted)
            }
            Err(Problem::Sql(error)) => {
                self.report(&error.render(sql));
                self.after_failure()
            }
            Err(Problem::Differs(rows)) => {
                self.report(&format!("error: the view differs from its query in {rows} rows"));
                self.after_failure()
            }
        };
        if self.settings.timer {
            eprintln!("time: {:.3} ms", elapsed.as_secs_f64() * 1e3);
        }
        if matches!(flow, Ok(())) && self.interrupts.pressed() { Err(Stop::Interrupted) } else { flow }
    }

    fn run_piece(&mut self, piece: Piece) -> Flow {
        match piece {
            Piece::Statement { text, .. } => self.run_statement(&text),
            Piece::Command { text, .. } => command::run(self, &text),
        }
    }

    fn after_failure(&mut self) -> Flow {
        self.failed = true;
        if self.settings.keep_going { Ok(()) } else { Err(Stop::Failed) }
    }

    fn report(&self, text: &str) {
        let style = Style { colour: io::stderr().is_terminal() && self.style.colour, width: None };
        let text = match text.strip_prefix("error:") {
            Some(rest) => format!("{}{rest}", style.paint("1;31", "error:")),
            None => text.to_string(),
        };
        match &self.origin {
            Some((name, line)) => eprintln!("{name}:{line}: {text}"),
            None => eprintln!("{text}"),
        }
    }

    fn execute(&mut self, sql: &str) -> Result<(), Problem> {
        match self.connection.run(sql)? {
            Outcome::Rows(rows) => self.print_rows(rows, first_word(sql) == "VERIFY"),
            Outcome::Changed(rows) => {
                if self.interactive {
                    eprintln!("{rows} row{}", if rows == 1 { "" } else { "s" });
                }
                Ok(())
            }
            Outcome::Subscription(subscription) => self.print_subscription(subscription),
            _ => {
                if self.interactive {
                    eprintln!("ok");
                }
                Ok(())
            }
        }
    }

    fn print_rows(&mut self, rows: ArrowRows, verify: bool) -> Result<(), Problem> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut printer = printer(self.settings.format, rows.schema(), self.style);
        let mut differing = 0;
        for batch in rows {
            let batch = batch?;
            differing = if verify { differing.max(differing_rows(&batch)) } else { 0 };
            printer.batch(&batch, &mut out)?;
            if self.interrupts.pressed() {
                return Err(Error::new(ErrorKind::Cancelled, "statement cancelled").into());
            }
        }
        printer.end(&mut out)?;
        out.flush()?;
        if differing > 0 { Err(Problem::Differs(differing)) } else { Ok(()) }
    }

    /// Prints changes as they come, until Ctrl-C or until the subscription ends.
    fn print_subscription(&mut self, subscription: Subscription) -> Result<(), Problem> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut printer = streaming(self.settings.format, with_epoch(&subscription.schema()), self.style);
        let result = loop {
            if self.interrupts.pressed() {
                break Ok(());
            }
            match subscription.recv_timeout(POLL) {
                Ok(Some(event)) => {
                    tell(&event);
                    printer.batch(&event.as_record_batch()?, &mut out)?;
                    out.flush()?;
                }
                Ok(None) => {}
                Err(_) if self.interrupts.pressed() => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        printer.end(&mut out)?;
        out.flush()?;
        result
    }
}

/// Says on standard error what an event tells besides its rows.
pub fn tell(event: &SubscriptionEvent) {
    match &event.kind {
        EventKind::Failed(reason) => eprintln!("notice: no answer from epoch {} on: {reason}", event.epoch),
        EventKind::Progress => eprintln!("notice: nothing changed up to epoch {}", event.epoch),
        _ => {}
    }
}

/// The columns of a subscription's events: the query's behind `_epoch` and `_weight`.
pub fn with_epoch(schema: &Schema) -> SchemaRef {
    let added = [("_epoch", DataType::UInt64), ("_weight", DataType::Int64)];
    let added = added.into_iter().map(|(name, kind)| Arc::new(Field::new(name, kind, false)));
    Arc::new(Schema::new(added.chain(schema.fields().iter().cloned()).collect::<Vec<_>>()))
}

/// What VERIFY found to differ, by the column of that name.
pub fn differing_rows(batch: &RecordBatch) -> i64 {
    let Some(column) = batch.column_by_name("differing") else {
        return 0;
    };
    let counts = arrow::compute::cast(column, &DataType::Int64).ok();
    counts.and_then(|counts| arrow::compute::max(counts.as_primitive::<Int64Type>())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, UInt64Array};

    use super::*;

    #[test]
    fn verify_counts_what_differs() {
        let column = |name: &str| {
            let counts: ArrayRef = Arc::new(UInt64Array::from(vec![0, 3]));
            RecordBatch::try_from_iter([(name, counts)]).unwrap()
        };
        assert_eq!(differing_rows(&column("differing")), 3);
        assert_eq!(differing_rows(&column("rows")), 0);
    }
}
