//! Dot commands, and psql's backslash commands for the same things.
//!
//! One table says what there is; help and suggestions are made from it. A command that is not there, or is used
//! wrongly, fails like a statement does.

use std::io::{self, Write};
use std::path::Path;

use clap::ValueEnum;

use crate::catalog;
use crate::print::Format;
use crate::shell::{Flow, Shell, Stop};

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Help,
    Tables,
    Views,
    Describe,
    Schema,
    Mode,
    Read,
    Timer,
    Watch,
    Open,
    Backup,
    Quit,
}

struct Command {
    names: &'static [&'static str],
    argument: &'static str,
    help: &'static str,
    action: Action,
}

impl Command {
    /// Its line in the list.
    fn line(&self) -> String {
        format!("{:<26} {}", format!("{} {}", self.names.join(" "), self.argument), self.help)
    }
}

const COMMANDS: &[Command] = &[
    Command {
        names: &[".help", "\\?"],
        argument: "[COMMAND]",
        help: "this list, or what COMMAND does",
        action: Action::Help,
    },
    Command { names: &[".tables", "\\dt"], argument: "", help: "tables, streams and views", action: Action::Tables },
    Command { names: &["\\dv"], argument: "", help: "views", action: Action::Views },
    Command {
        names: &["\\d"],
        argument: "[NAME]",
        help: "the columns of NAME, or all names",
        action: Action::Describe,
    },
    Command {
        names: &[".schema"],
        argument: "[NAME]",
        help: "the statements that made NAME, or everything",
        action: Action::Schema,
    },
    Command {
        names: &[".mode"],
        argument: "[FORMAT]",
        help: "how rows are printed: box table csv json ndjson markdown line",
        action: Action::Mode,
    },
    Command { names: &[".read", "\\i"], argument: "FILE", help: "run the statements of FILE", action: Action::Read },
    Command {
        names: &[".timer", "\\timing"],
        argument: "[on|off]",
        help: "tell how long each statement took",
        action: Action::Timer,
    },
    Command {
        names: &[".watch"],
        argument: "[VIEW|off]",
        help: "tell after each statement what it changed in VIEW",
        action: Action::Watch,
    },
    Command {
        names: &[".open"],
        argument: "[DIR]",
        help: "go on with the database in DIR, or with a new one in memory",
        action: Action::Open,
    },
    Command {
        names: &[".backup"],
        argument: "DIR",
        help: "copy the database to DIR, a new directory",
        action: Action::Backup,
    },
    Command { names: &[".quit", ".exit", "\\q"], argument: "", help: "leave (also Ctrl-D)", action: Action::Quit },
];

/// The names of all commands.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().flat_map(|command| command.names.iter().copied())
}

/// Runs one line that begins with a dot or a backslash.
pub fn run(shell: &mut Shell, line: &str) -> Flow {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = unquoted(rest.trim());
    let Some(command) = COMMANDS.iter().find(|command| command.names.contains(&name.to_ascii_lowercase().as_str()))
    else {
        return shell.fail(&unknown(name));
    };
    if command.argument.is_empty() && !argument.is_empty() {
        return shell.fail(&format!("{name} takes no argument"));
    }
    match command.action {
        Action::Help if argument.is_empty() => help(),
        Action::Help => help_of(shell, argument),
        Action::Tables => shell.run_statement("SHOW TABLES"),
        Action::Views => shell.run_statement("SHOW VIEWS"),
        Action::Describe if argument.is_empty() => shell.run_statement("SHOW TABLES"),
        Action::Describe => shell.run_statement(&format!("DESCRIBE {argument}")),
        Action::Schema => schema(shell, argument),
        Action::Mode => mode(shell, argument),
        Action::Read if argument.is_empty() => shell.fail(&format!("{name} needs the name of a file")),
        Action::Read if shell.settings.safe => shell.fail(".read is off: the shell was started with --safe"),
        Action::Read => shell.run_file(Path::new(path(argument))),
        Action::Timer => timer(shell, argument),
        Action::Watch => watch(shell, argument),
        Action::Open => shell.open(path(argument)),
        Action::Backup if argument.is_empty() => shell.fail(&format!("{name} needs a directory")),
        Action::Backup => shell.run_statement(&format!("BACKUP DATABASE TO '{}'", path(argument).replace('\'', "''"))),
        Action::Quit => Err(Stop::Quit),
    }
}

fn help() -> Flow {
    let mut out = io::stdout().lock();
    COMMANDS.iter().try_for_each(|command| writeln!(out, "{}", command.line()))?;
    writeln!(out, "\nA statement ends with `;`. Ctrl-C ends a statement, Ctrl-D the shell.")?;
    writeln!(out, "SHOW TABLES, SHOW FUNCTIONS and SHOW SETTINGS list what there is, DESCRIBE and EXPLAIN tell more.")?;
    Ok(())
}

/// What one command does; its dot may be left out.
fn help_of(shell: &mut Shell, name: &str) -> Flow {
    let name = name.to_ascii_lowercase();
    let is_meant = |known: &&str| *known == name || known.strip_prefix(['.', '\\']) == Some(name.as_str());
    let mut meant = COMMANDS.iter().filter(|command| command.names.iter().any(is_meant)).peekable();
    if meant.peek().is_none() {
        return shell.fail(&unknown(&name));
    }
    meant.try_for_each(|command| writeln!(io::stdout(), "{}", command.line()))?;
    Ok(())
}

fn schema(shell: &mut Shell, name: &str) -> Flow {
    match catalog::definitions(shell.connection(), name) {
        Ok(definitions) => {
            definitions.iter().try_for_each(|definition| writeln!(io::stdout(), "{definition}"))?;
            Ok(())
        }
        Err(error) => shell.fail(&error.to_string()),
    }
}

fn mode(shell: &mut Shell, name: &str) -> Flow {
    if name.is_empty() {
        writeln!(io::stdout(), "{}", shell.settings.format.name())?;
        return Ok(());
    }
    match Format::named(name) {
        Some(format) => {
            shell.settings.format = format;
            Ok(())
        }
        None => {
            let all: Vec<_> = Format::value_variants().iter().map(|format| format.name()).collect();
            shell.fail(&format!("there is no format \"{name}\"\nhint: one of {}", all.join(", ")))
        }
    }
}

fn timer(shell: &mut Shell, argument: &str) -> Flow {
    shell.settings.timer = match argument {
        "" => !shell.settings.timer,
        "on" => true,
        "off" => false,
        other => return shell.fail(&format!("the timer is on or off, not \"{other}\"")),
    };
    if shell.is_interactive() {
        eprintln!("timer {}", if shell.settings.timer { "on" } else { "off" });
    }
    Ok(())
}

fn watch(shell: &mut Shell, view: &str) -> Flow {
    match view {
        "" => {
            let names: Vec<_> = shell.watches.names().map(str::to_string).collect();
            for name in names {
                writeln!(io::stdout(), "{name}")?;
            }
            Ok(())
        }
        "off" => {
            shell.watches.clear();
            Ok(())
        }
        view => {
            let mut watches = std::mem::take(&mut shell.watches);
            let added = watches.add(shell.connection(), view);
            shell.watches = watches;
            match added {
                Ok(()) => {
                    if shell.is_interactive() {
                        eprintln!("watching {view}");
                    }
                    Ok(())
                }
                Err(error) => shell.fail(&error.to_string()),
            }
        }
    }
}

fn unknown(name: &str) -> String {
    let nearest = names()
        .map(|known| (strsim::osa_distance(&name.to_ascii_lowercase(), known), known))
        .min()
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len() - 1);
    let hint = nearest.map_or(".help lists all".to_string(), |(_, known)| format!("did you mean {known}?"));
    format!("there is no command {name}\nhint: {hint}")
}

/// A name may stand in quotes, as in SQL.
fn unquoted(text: &str) -> &str {
    inside(text, '\'').unwrap_or(text)
}

/// A file name may stand in quotes of either kind; to SQL double ones belong to a name.
fn path(text: &str) -> &str {
    inside(text, '\'').or_else(|| inside(text, '"')).unwrap_or(text)
}

fn inside(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_suggests_the_nearest() {
        assert!(unknown(".table").ends_with("did you mean .tables?"));
        assert!(unknown(".TIMR").ends_with("did you mean .timer?"));
        assert!(unknown(".wathc").ends_with("did you mean .watch?"));
        assert!(unknown(".frobnicate").ends_with(".help lists all"));
        assert!(unknown(".").ends_with(".help lists all"));
    }

    #[test]
    fn no_name_is_taken_twice() {
        let mut all: Vec<_> = names().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn file_names_may_be_quoted() {
        assert_eq!(path("'a b.sql'"), "a b.sql");
        assert_eq!(path("\"a b.sql\""), "a b.sql");
        assert_eq!(path("\"\""), "");
        assert_eq!(path("a.sql"), "a.sql");
        assert_eq!(path("'"), "'");
        assert_eq!(unquoted("\"A name\""), "\"A name\"");
    }
}
