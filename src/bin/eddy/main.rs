//! The shell `eddy`: SQL at a prompt, from files and from pipes.
//!
//! Follows the habits of psql and DuckDB's shell: data on standard output, messages on standard error, exit code 0
//! when all went well, 1 when a statement failed, 2 for wrong usage, 130 when interrupted. Without a terminal there
//! is no colour, no prompt and no progress.
//!
//! - `arguments`: the command line
//! - `shell`: runs statements and dot commands; `command`, `watch`, `catalog` and `interrupt`
//!   are its parts
//! - `input`, `lexer`: from text to statements
//! - `interactive`, `editor`: the prompt
//! - `print`: results as text
//! - `demo`: views over real flights

#![forbid(unsafe_code)]

mod arguments;
mod catalog;
mod command;
mod demo;
mod editor;
mod input;
mod interactive;
mod interrupt;
mod lexer;
mod print;
mod shell;
mod watch;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use eddydb::{Connection, Database};

use crate::arguments::{Arguments, Work};
use crate::interrupt::{EXIT_INTERRUPTED, Interrupts};
use crate::print::{Format, Style};
use crate::shell::{Flow, Settings, Shell, Stop};

fn main() -> ExitCode {
    let arguments = Arguments::from_process();
    let connection = match connect(&arguments) {
        Ok(connection) => connection,
        Err(error) => {
            eprintln!("{}", error.render(""));
            return ExitCode::from(1);
        }
    };
    let terminal = io::stdout().is_terminal();
    let format = arguments.format.unwrap_or(if terminal { Format::Box } else { Format::Csv });
    let Arguments { safe, keep_going, readonly, .. } = arguments;
    let settings = Settings { format, timer: false, safe, keep_going, readonly };
    let mut shell = Shell::new(connection, settings, style(terminal), Interrupts::listen());
    let flow = run(&mut shell, &arguments);
    exit_code(&mut shell, flow)
}

fn connect(arguments: &Arguments) -> eddydb::Result<Connection> {
    let builder = Database::builder().read_only(arguments.readonly);
    let builder = if arguments.safe { builder.no_file_access() } else { builder };
    let database = match arguments.database.as_deref() {
        Some(directory) if arguments.salvage => builder.open(salvage(directory)?)?,
        Some(directory) if !arguments.in_memory() => builder.open(directory)?,
        _ => builder.build()?,
    };
    database.notices().iter().for_each(|notice| eprintln!("notice: {notice}"));
    database.connect()
}

/// Makes a new database of what can be read of a damaged one; its directory.
fn salvage(directory: &str) -> eddydb::Result<String> {
    let salvaged = format!("{}.salvaged", directory.trim_end_matches('/'));
    if Path::new(&salvaged).exists() {
        let error = eddydb::Error::new(eddydb::ErrorKind::AlreadyExists, format!("\"{salvaged}\" exists already"));
        return Err(error.with_hint("it may be what was salvaged before: open it, or move it away to salvage again"));
    }
    let lost = Database::salvage(directory, &salvaged)?;
    match lost.is_empty() {
        true => eprintln!("notice: nothing is lost"),
        false => lost.iter().for_each(|lost| eprintln!("lost: {lost}")),
    }
    eprintln!("notice: \"{salvaged}\" has what could be read of \"{directory}\", which is as it was");
    Ok(salvaged)
}

/// Does what the command line asks for; only without any work is there a prompt, or standard input to read.
fn run(shell: &mut Shell, arguments: &Arguments) -> Flow {
    let interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
    if arguments.demo {
        demo::run(shell)?;
    }
    for work in arguments.work() {
        match work {
            Work::Text(text) => shell.run_text(text)?,
            Work::File(path) => shell.run_file(path)?,
        }
    }
    match (arguments.work().is_empty(), arguments.demo, interactive) {
        (false, _, _) | (true, true, false) => Ok(()),
        (true, true, true) => interactive::run(shell),
        (true, false, true) => {
            interactive::greet(arguments.in_memory());
            interactive::run(shell)
        }
        (true, false, false) => shell.run_reader(&mut io::stdin(), None),
    }
}

/// What the terminal can show; `NO_COLOR` is heeded (<https://no-color.org>).
fn style(terminal: bool) -> Style {
    if !terminal {
        return Style::default();
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let colour = set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb");
    Style { colour, width: editor::terminal_width() }
}

fn exit_code(shell: &mut Shell, flow: Flow) -> ExitCode {
    match flow {
        Err(Stop::Interrupted) => ExitCode::from(EXIT_INTERRUPTED),
        Err(Stop::Failed) => ExitCode::from(1),
        // Whoever closed the pipe has read enough (`eddy .. | head`).
        Err(Stop::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Stop::Io(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
        // At a prompt a failure was seen and answered; it says nothing about the session.
        Ok(()) | Err(Stop::Quit) => ExitCode::from(u8::from(shell.has_failed() && !shell.is_interactive())),
    }
}
