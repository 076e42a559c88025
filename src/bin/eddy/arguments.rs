//! The command line: what may be said, and in which order `-c` and `-f` were said.
//!
//! Promises: statements and files are kept in the order given, however they are mixed. Wrong usage ends the process
//! with exit code 2 and a message that says what is right; nothing is opened before that.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};

use crate::print::Format;

const AFTER_HELP: &str = "\
Without -c, -f and --demo, statements are read from standard input: at a prompt on a terminal, else each as soon as
its `;` arrives. Rows go to standard output, messages to standard error.

Exit codes: 0 all went well, 1 a statement failed, 2 wrong usage, 130 interrupted.";

/// A SQL shell for Eddy: one SQL, one answer, in batch and kept current.
#[derive(Debug, Parser)]
#[command(name = "eddy", version, after_help = AFTER_HELP)]
pub struct Arguments {
    /// Directory of the database; without one, or with `:memory:`, nothing is kept
    #[arg(value_name = "DIR")]
    pub database: Option<String>,

    /// Run these statements, then leave; may repeat and mix with -f
    #[arg(short = 'c', long = "command", value_name = "SQL", allow_hyphen_values = true)]
    commands: Vec<String>,

    /// Run the statements of this file, then leave; may repeat and mix with -c
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Watch views over real flights change, then check them against batch
    #[arg(long)]
    pub demo: bool,

    /// How rows are printed; box on a terminal and csv elsewhere if not given
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Open the directory for reading only, beside a process that writes it
    #[arg(long)]
    pub readonly: bool,

    /// Let no statement read or write files
    #[arg(long)]
    pub safe: bool,

    /// Go on after a statement that failed; the exit code is still 1
    #[arg(long)]
    pub keep_going: bool,

    /// Make a new database in DIR.salvaged of what can be read of a damaged one, and open that
    #[arg(long)]
    pub salvage: bool,

    #[arg(skip)]
    work: Vec<Work>,
}

/// One `-c` or `-f`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Statements given on the command line.
    Text(String),
    /// A file of statements.
    File(PathBuf),
}

impl Arguments {
    /// The process's own arguments; ends the process when they are wrong, or ask for help or the version.
    pub fn from_process() -> Self {
        Self::from_iterator(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// What the command line asks to be run, in the order given.
    pub fn work(&self) -> &[Work] {
        &self.work
    }

    /// Whether nothing is to be kept: no directory was named.
    pub fn in_memory(&self) -> bool {
        matches!(self.database.as_deref(), None | Some(":memory:"))
    }

    fn from_iterator<T: Into<std::ffi::OsString> + Clone>(
        arguments: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        let mut parsed = Self::from_arg_matches(&matches)?;
        parsed.work = work_in_order(&matches, &parsed);
        parsed.check()?;
        Ok(parsed)
    }

    fn check(&self) -> Result<(), clap::Error> {
        let wrong = |message: &str| Err(Self::command().error(ErrorKind::ValueValidation, message));
        if self.salvage && self.readonly {
            return wrong("--salvage makes a new database and opens it for writing: leave --readonly out");
        }
        if self.salvage && self.in_memory() {
            return wrong("--salvage needs the directory of a damaged database, of which it makes a new one");
        }
        if self.readonly && self.in_memory() {
            return wrong("--readonly needs the directory of a database");
        }
        Ok(())
    }
}

/// clap gathers each option apart; its indices put them back into one order.
fn work_in_order(matches: &ArgMatches, parsed: &Arguments) -> Vec<Work> {
    let indices = |id: &str| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
    let texts = indices("commands").into_iter().zip(parsed.commands.iter().cloned().map(Work::Text));
    let files = indices("files").into_iter().zip(parsed.files.iter().cloned().map(Work::File));
    let mut work: Vec<_> = texts.chain(files).collect();
    work.sort_by_key(|(index, _)| *index);
    work.into_iter().map(|(_, work)| work).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::from_iterator(std::iter::once("eddy").chain(arguments.iter().copied()))
    }

    #[test]
    fn mixed_work_keeps_its_order() {
        let parsed = parse(&["-c", "a", "-f", "b.sql", "-c", "c", "--file=d.sql", "--command", "-- e"]).unwrap();
        let text = |text: &str| Work::Text(text.into());
        let file = |path: &str| Work::File(path.into());
        assert_eq!(parsed.work(), [text("a"), file("b.sql"), text("c"), file("d.sql"), text("-- e")]);
    }

    #[test]
    fn wrong_usage_is_exit_code_2() {
        for arguments in [
            &["--format", "xml"][..],
            &["--salvage"],
            &["--readonly"],
            &["--salvage", "--readonly", "a"],
            &["--nonsense"],
            &["a", "b"],
        ] {
            assert_eq!(parse(arguments).unwrap_err().exit_code(), 2, "{arguments:?}");
        }
        assert_eq!(parse(&["--version"]).unwrap_err().exit_code(), 0);
    }

    #[test]
    fn no_directory_means_memory() {
        assert!(parse(&[]).unwrap().in_memory());
        assert!(parse(&[":memory:"]).unwrap().in_memory());
        assert!(!parse(&["some.eddy"]).unwrap().in_memory());
    }
}
