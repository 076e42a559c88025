//! Line editing: when Enter runs what was typed, what Tab offers, and the colours of SQL.
//!
//! Several lines are edited as one text, and are one entry of the history.

use std::borrow::Cow;
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::{FileHistory, History, MemHistory};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::command;
use crate::input::is_complete;
use crate::lexer::{Kind, tokens};

/// The words offered and coloured; relations and columns come from the database.
const KEYWORDS: &str = "ADD ADVANCE ALL ALTER ANALYZE AND AS ASC ASOF BEGIN BETWEEN BIGINT BOOLEAN BY CASCADE CASE \
CAST CHECKPOINT CLOSE COLUMN COMMIT CONFLICT COPY CREATE CROSS CUMULATE DATE DECIMAL DEFAULT DELETE DESC DESCRIBE \
DISTINCT DO DOUBLE DROP ELSE EMIT END EXCEPT EXCLUDE EXECUTE EXISTS EXPLAIN EXTERNAL EXTRACT FALSE FILTER FLUSH \
FOLLOWING FOR FROM FULL GROUP HAVING HOP IF IN INDEX INNER INSERT INTEGER INTERSECT INTERVAL INTO IS JOIN KEY LATERAL \
LEFT LIKE LIMIT MATERIALIZED MERGE NAME NOT NOTHING NULL NULLS OFFSET ON OR ORDER OUTER OVER PARTITION PRECEDING \
PREPARE PRIMARY QUALIFY RANGE RECURSIVE REFRESH REPLACE RIGHT ROLLBACK ROW ROWS SELECT SEMI SESSION SET SHOW SINK \
SOURCE STREAM STREAMS SUBSCRIBE SUMMARIZE TABLE TABLES TEXT THEN TIMESTAMP TO TRUE TUMBLE UNBOUNDED UNION UNIQUE \
UNNEST UPDATE USING VALUES VERIFY VIEW VIEWS WATERMARK WHEN WHERE WINDOW WITH";

const PROMPT: &str = "eddy> ";

/// What came of one reading.
pub enum Typed {
    /// A complete text: statements or a dot command.
    Text(String),
    /// Ctrl-C: what was typed is thrown away.
    Cleared,
    /// Ctrl-D on an empty line.
    End,
}

/// Reads statements from a person.
pub struct LineEditor {
    editor: Editor<SqlHelper, FileHistory>,
    history: Option<PathBuf>,
    colour: bool,
}

impl LineEditor {
    /// An editor on the terminal, with the history of earlier sessions.
    pub fn open(colour: bool) -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .max_history_size(10_000)?
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .auto_add_history(false)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(SqlHelper { names: vec![], colour }));
        let history = history_file();
        if let Some(file) = &history {
            // The first session has none, and a broken one must not keep anybody from working.
            let _ = editor.load_history(file);
        }
        Ok(LineEditor { editor, history, colour })
    }

    /// The names of relations and columns that Tab offers from here on.
    pub fn set_names(&mut self, names: Vec<String>) {
        if let Some(helper) = self.editor.helper_mut() {
            helper.names = names;
        }
    }

    /// How many characters fit on a line of the terminal now.
    pub fn width(&mut self) -> Option<usize> {
        width_of(&mut self.editor)
    }

    /// The next complete text.
    pub fn read(&mut self) -> Result<Typed, ReadlineError> {
        let coloured = if self.colour { format!("\x1b[1;36m{PROMPT}\x1b[0m") } else { PROMPT.to_string() };
        match self.editor.readline(&(PROMPT, coloured.as_str())) {
            Ok(text) => {
                self.remember(text.trim());
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Cleared),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(error),
        }
    }

    fn remember(&mut self, text: &str) {
        // A history that cannot be written is not worth a message after every statement.
        if !text.is_empty()
            && self.editor.add_history_entry(text).unwrap_or(false)
            && let Some(file) = &self.history
        {
            if let Some(directory) = file.parent() {
                let _ = std::fs::create_dir_all(directory);
            }
            let _ = self.editor.append_history(file);
        }
    }
}

/// How many characters fit on a line of the terminal, where there is one.
pub fn terminal_width() -> Option<usize> {
    let mut editor: Editor<(), MemHistory> = Editor::with_history(Config::default(), MemHistory::new()).ok()?;
    width_of(&mut editor)
}

fn width_of<H: Helper, I: History>(editor: &mut Editor<H, I>) -> Option<usize> {
    editor.dimensions().map(|(columns, _)| usize::from(columns)).filter(|&columns| columns > 0)
}

/// `$XDG_STATE_HOME/eddy/history`, or `~/.local/state/eddy/history`.
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("eddy").join("history"))
}

struct SqlHelper {
    names: Vec<String>,
    colour: bool,
}

impl Helper for SqlHelper {}

impl Hinter for SqlHelper {
    type Hint = String;
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult, ReadlineError> {
        let text = context.input();
        let complete = bare_command(text).is_some() || is_complete(text);
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// What people type who come from other shells: these words alone are no statements.
pub fn bare_command(text: &str) -> Option<&'static str> {
    match text.trim().trim_end_matches(';').to_ascii_lowercase().as_str() {
        "exit" | "quit" => Some(".quit"),
        "help" => Some(".help"),
        _ => None,
    }
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> Result<(usize, Vec<String>), ReadlineError> {
        Ok(candidates(&line[..at], &self.names))
    }
}

/// Where the word before the cursor begins, and what it could become.
fn candidates(before: &str, names: &[String]) -> (usize, Vec<String>) {
    let trimmed = before.trim_start();
    if trimmed.starts_with(['.', '\\']) && !trimmed.contains(char::is_whitespace) {
        let fitting = command::names().filter(|name| name.starts_with(trimmed)).map(String::from).collect();
        return (before.len() - trimmed.len(), fitting);
    }
    let word = before
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let typed = &before[word..];
    let inside_text = tokens(before).last().is_some_and(|(kind, _)| matches!(kind, Kind::Text | Kind::Comment));
    if typed.is_empty() || inside_text {
        return (word, vec![]);
    }
    let fits = |candidate: &str| candidate.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed));
    // Keywords come in the case they are being typed in.
    let lower = typed.chars().any(char::is_lowercase);
    let keyword = |word: &str| if lower { word.to_ascii_lowercase() } else { word.to_string() };
    let mut fitting: Vec<_> = names.iter().filter(|name| fits(name)).cloned().collect();
    fitting.extend(KEYWORDS.split(' ').filter(|word| fits(word)).map(keyword));
    fitting.dedup();
    (word, fitting)
}

impl Highlighter for SqlHelper {
    fn highlight<'l>(&self, line: &'l str, _at: usize) -> Cow<'l, str> {
        if self.colour { Cow::Owned(coloured(line)) } else { Cow::Borrowed(line) }
    }

    fn highlight_char(&self, _line: &str, _at: usize, kind: CmdKind) -> bool {
        self.colour && kind != CmdKind::MoveCursor
    }
}

/// SQL with its keywords, texts, numbers and comments coloured; of the same width.
fn coloured(line: &str) -> String {
    if line.trim_start().starts_with(['.', '\\']) {
        return line.to_string();
    }
    let mut out = String::new();
    for (kind, range) in tokens(line) {
        let text = &line[range];
        let code = match kind {
            Kind::Word if is_keyword(text) => "1;34",
            Kind::Text => "32",
            Kind::Number => "36",
            Kind::Comment => "2",
            _ => "",
        };
        if code.is_empty() {
            out.push_str(text);
        } else {
            out.push_str(&format!("\x1b[{code}m{text}\x1b[0m"));
        }
    }
    out
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.split(' ').any(|keyword| keyword.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_offers_names_and_keywords_in_the_case_typed() {
        let names = ["selected".to_string(), "payments".to_string()];
        assert_eq!(candidates("sel", &names), (0, vec!["selected".into(), "select".into()]));
        assert_eq!(candidates("SELECT * FROM PAY", &names), (14, vec!["payments".into()]));
        assert_eq!(candidates("SELECT é, MATER", &[]), (11, vec!["MATERIALIZED".into()]));
        assert_eq!(candidates("SELECT 'sel", &names).1, Vec::<String>::new());
        assert_eq!(candidates("SELECT ", &names).1, Vec::<String>::new());
    }

    #[test]
    fn tab_offers_dot_commands() {
        assert_eq!(candidates(" .ti", &[]), (1, vec![".timer".into()]));
        assert!(candidates("\\d", &[]).1.contains(&"\\dt".to_string()));
        assert_eq!(candidates(".mode b", &[]).1, ["begin", "between", "bigint", "boolean", "by"]);
    }

    #[test]
    fn colours_change_no_character() {
        let line = "select 'a' -- é\n from \"t\" where x = 10";
        let mut plain = coloured(line);
        for code in ["\x1b[1;34m", "\x1b[32m", "\x1b[36m", "\x1b[2m", "\x1b[0m"] {
            assert!(plain.contains(code), "{code:?}");
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, line);
    }

    #[test]
    fn words_of_other_shells_are_understood() {
        assert_eq!(bare_command(" exit; "), Some(".quit"));
        assert_eq!(bare_command("HELP"), Some(".help"));
        assert_eq!(bare_command("SELECT 1"), None);
    }
}
