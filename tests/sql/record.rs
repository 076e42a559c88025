//! A test file as a list of records.
//!
//! The `sqllogictest` crate reads the records; a pass before it turns what the crate does not know (comments behind
//! directives, a conditional `halt`) into what it does, line for line, so that places stay true. Directives that
//! neither knows make the whole file an error.

use std::path::Path;
use std::time::Duration;

use sqllogictest::{Condition, Control, DefaultColumnType, QueryExpect, StatementExpect};

use crate::arguments::{Arguments, Mode, Printing};
use crate::transform;

/// The label under which files address this engine in `onlyif` and `skipif`.
pub const LABEL: &str = "eddy";

/// How the rows of a query are ordered before they are compared.
pub use sqllogictest::SortMode as Sort;

/// What a query's column is declared as.
pub type ColumnType = DefaultColumnType;

/// What a record asks for.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A statement and what shall come of it.
    Statement(StatementExpect),
    /// A query with its rows.
    Query {
        /// One per column.
        types: Vec<ColumnType>,
        /// The order of comparison.
        sort: Sort,
        /// The lines below `----`.
        expected: Vec<String>,
    },
    /// A query that shall fail.
    QueryError(sqllogictest::ExpectedError),
    /// A pause.
    Sleep(Duration),
}

/// One record of a file.
#[derive(Debug, Clone)]
pub struct Record {
    /// `file:line`.
    pub place: String,
    /// The connection it runs on.
    pub connection: String,
    /// The SQL text.
    pub sql: String,
    /// What it asks for.
    pub kind: Kind,
    /// Whether a condition takes it away from this engine.
    pub skipped: bool,
    /// The reason from a `# plain:` line: the query is not made a view.
    pub plain: Option<String>,
    /// The name from a `# subscription:` line.
    pub subscription: Option<String>,
}

/// A file ready to run.
#[derive(Debug, Clone)]
pub struct Script {
    /// The file's path as given.
    pub path: String,
    /// The records in order.
    pub records: Vec<Record>,
    /// The modes it may run in.
    pub modes: Vec<Mode>,
    /// How its expected values are printed.
    pub printing: Printing,
}

impl Script {
    /// Reads a file; the printing of `arguments` holds unless the file names its own.
    pub fn read(path: &Path, arguments: &Arguments) -> Result<Script, String> {
        let name = path.display().to_string();
        let printing = arguments.printing;
        let mut script = Script { path: name, records: Vec::new(), modes: Mode::parse("all")?, printing };
        let mut reader = Reader { script: &mut script, arguments, sort: Sort::NoSort, depth: 0 };
        reader.file(path)?;
        Ok(script)
    }

    /// Whether it may run in `mode`; what runs as it stands can be restarted.
    pub fn runs_in(&self, mode: Mode) -> bool {
        self.modes.contains(&if mode == Mode::Restart { Mode::Batch } else { mode })
    }
}

/// Builds a script out of a file and what it includes.
struct Reader<'a> {
    script: &'a mut Script,
    arguments: &'a Arguments,
    sort: Sort,
    depth: usize,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) -> Result<(), String> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let text = prepare(&text);
        let parsed = sqllogictest::parse_with_name::<ColumnType>(&text, name.as_str())
            .map_err(|error| format!("{name}: {error}"))?;
        let mut notes = Notes::default();
        for record in parsed {
            self.record(record, path, &mut notes)?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        record: sqllogictest::Record<ColumnType>,
        path: &Path,
        notes: &mut Notes,
    ) -> Result<(), String> {
        use sqllogictest::Record as R;
        match record {
            R::Comment(lines) => lines.iter().try_for_each(|line| notes.read(line, self.script))?,
            R::Newline | R::Condition(_) | R::Connection(_) | R::HashThreshold { .. } | R::Subtest { .. } => {}
            R::Control(Control::SortMode(sort)) => self.sort = sort,
            R::Control(_) => {}
            R::Statement { loc, conditions, connection, sql, expected, .. } => {
                self.push(loc.to_string(), &conditions, &connection, sql, Kind::Statement(expected), notes);
            }
            R::Query { loc, conditions, connection, sql, expected, .. } => {
                let kind = match expected {
                    QueryExpect::Error(error) => Kind::QueryError(error),
                    QueryExpect::Results { types, sort_mode, results, .. } => {
                        Kind::Query { types, sort: sort_mode.unwrap_or(self.sort), expected: results }
                    }
                };
                self.push(loc.to_string(), &conditions, &connection, sql, kind, notes);
            }
            R::Sleep { loc, duration } => {
                let connection = sqllogictest::Connection::Default;
                self.push(loc.to_string(), &[], &connection, String::new(), Kind::Sleep(duration), notes);
            }
            R::Include { filename, loc } if self.depth < 8 => {
                let included = path.parent().unwrap_or(Path::new("")).join(&filename);
                self.depth += 1;
                self.file(&included).map_err(|error| format!("{loc}: {error}"))?;
                self.depth -= 1;
            }
            other => return Err(format!("{}: directive not supported: {other}", path.display())),
        }
        Ok(())
    }

    fn push(
        &mut self,
        place: String,
        conditions: &[Condition],
        connection: &sqllogictest::Connection,
        mut sql: String,
        kind: Kind,
        notes: &mut Notes,
    ) {
        for (from, to) in &self.arguments.replace {
            sql = sql.replace(from, to);
        }
        let notes = std::mem::take(notes);
        let connection = match connection {
            sqllogictest::Connection::Default => "default".to_string(),
            sqllogictest::Connection::Named(name) => name.clone(),
        };
        let skipped = conditions.iter().any(|condition| match condition {
            Condition::OnlyIf { label } => label != LABEL,
            Condition::SkipIf { label } => label == LABEL,
        });
        let skipped = skipped || self.arguments.without.iter().any(|words| begins_with(&sql, words));
        let kind = match kind {
            Kind::QueryError(_) | Kind::Statement(StatementExpect::Error(_)) if self.arguments.any_error => {
                Kind::QueryError(sqllogictest::ExpectedError::Empty)
            }
            Kind::Query { types, sort: Sort::NoSort, expected } if self.arguments.any_order && !is_ordered(&sql) => {
                Kind::Query { types, sort: Sort::RowSort, expected }
            }
            kind => kind,
        };
        let parts = match (self.script.printing, &kind) {
            (Printing::Native, Kind::Statement(StatementExpect::Ok | StatementExpect::Count(0))) if !skipped => {
                transform::define_and_fill(&sql)
            }
            _ => None,
        };
        let mut record =
            Record { place, connection, sql, kind, skipped, plain: notes.plain, subscription: notes.subscription };
        if let Some([create, fill]) = parts {
            record.kind = Kind::Statement(StatementExpect::Ok);
            self.script.records.push(Record { sql: create, ..record.clone() });
            record.sql = fill;
        }
        self.script.records.push(record);
    }
}

/// Whether the text begins with these words, in any case and behind any comments.
fn begins_with(sql: &str, words: &str) -> bool {
    let tokens = crate::scan::scan(sql);
    let words: Vec<&str> = words.split_whitespace().collect();
    words.len() <= tokens.len() && words.iter().zip(&tokens).all(|(word, t)| t.text.eq_ignore_ascii_case(word))
}

/// Whether the query says in which order its rows come.
fn is_ordered(sql: &str) -> bool {
    crate::scan::scan(sql).iter().any(|token| token.depth == 0 && token.is("order"))
}

/// The control lines seen since the last record.
#[derive(Debug, Default)]
struct Notes {
    plain: Option<String>,
    subscription: Option<String>,
}

impl Notes {
    /// Reads one comment; ordinary prose is no control line.
    fn read(&mut self, comment: &str, script: &mut Script) -> Result<(), String> {
        let Some((key, value)) = comment.trim().split_once(':') else { return Ok(()) };
        let value = value.trim();
        match key {
            "mode" => {
                script.modes.clear();
                for name in value.split(',') {
                    script.modes.extend(Mode::parse(name.trim()).map_err(|e| format!("{}: {e}", script.path))?);
                }
            }
            "printing" => script.printing = Printing::parse(value).map_err(|e| format!("{}: {e}", script.path))?,
            "plain" => self.plain = Some(value.to_string()),
            "subscription" => self.subscription = Some(value.to_string()),
            _ => {}
        }
        Ok(())
    }
}

/// The text as the crate can read it, with every line in its place.
///
/// Comments behind a directive go, and a `halt` ends the text if its conditions hold and vanishes with them if not:
/// the crate would hand the conditions on to the next record.
fn prepare(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut conditions: Vec<usize> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        if inside {
            inside = !line.is_empty();
            lines.push(line.to_string());
            continue;
        }
        let directive = without_comment(line);
        let mut words = directive.split_whitespace();
        match words.next() {
            Some("onlyif" | "skipif") => conditions.push(lines.len()),
            Some("halt" | "hash-threshold") => {
                let holds = conditions.iter().all(|&at| condition_holds(&lines[at]));
                conditions.drain(..).for_each(|at| lines[at].clear());
                if holds && directive.trim() == "halt" {
                    break;
                }
                lines.push(String::new());
                continue;
            }
            Some("statement" | "query" | "system" | "let") => {
                inside = true;
                conditions.clear();
            }
            _ => {}
        }
        lines.push(directive.to_string());
    }
    lines.join("\n") + "\n"
}

/// The line without a trailing ` # comment`; whole-line comments and error patterns stay as they are.
fn without_comment(line: &str) -> &str {
    let error = line.starts_with("statement error") || line.starts_with("query error");
    if line.starts_with('#') || error {
        return line;
    }
    line.split_once(" #").map_or(line, |(before, _)| before.trim_end())
}

fn condition_holds(line: &str) -> bool {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("onlyif"), Some(label)) => label == LABEL,
        (Some("skipif"), Some(label)) => label != LABEL,
        _ => true,
    }
}
