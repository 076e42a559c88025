//! From text to the tokens that sqlparser reads.
//!
//! White space goes, places count from the start of the script, and what sqlparser has no grammar for is said in words
//! it has: `FROM t` and `TABLE t` become `SELECT * FROM t`, a `(VALUES ...)` that is an operand becomes `(SELECT * FROM
//! (VALUES ...))`, `STRUCT(...)` as a type becomes `STRUCT<...>`, Flink's `TUMBLE(TABLE t, ..)` loses its TABLE,
//! DuckDB's `ASOF JOIN .. ON` gets a MATCH_CONDITION (`rewrite::joins` fills it in), `* EXCEPT (a)` is `* EXCLUDE (a)`,
//! the `EXCLUDE NO OTHERS` of a frame goes, numbers are put together ([`super::numbers`]), and every `?` gets its number.
//! A token put in stands where the word it replaces stands, so places stay true.

use std::collections::BTreeSet;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::dialect::EddyDialect;
use super::numbers;
use super::reserved::{self, word};
use crate::base::error::{Error, Result};
use crate::sql::error::{located, position, syntax, too_complex, unsupported};
use crate::sql::rewrite::marker::Marker;

/// The most parameters of a statement, as in PostgreSQL.
const PARAMETERS_MAX: usize = 65_535;

/// The tokens of a statement, without white space and comments.
pub(super) fn tokenize(text: &str, start: Location, dialect: &EddyDialect) -> Result<Vec<TokenWithSpan>> {
    let mut tokens = Vec::new();
    Tokenizer::new(dialect, text)
        .tokenize_with_location_into_buf(&mut tokens)
        .map_err(|error| syntax(&error.message, position(shift(error.location, start))))?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    for token in &mut tokens {
        token.span = Span { start: shift(token.span.start, start), end: shift(token.span.end, start) };
    }
    numbers::join(&mut tokens)?;
    Ok(tokens)
}

/// A location within a statement that starts at `start`, as one within the script.
fn shift(location: Location, start: Location) -> Location {
    if location.line == 0 {
        return location;
    }
    let column = if location.line == 1 { location.column + start.column - 1 } else { location.column };
    Location { line: location.line + start.line - 1, column }
}

/// The tokens as sqlparser can read them, and the names of the parameters.
pub(super) fn prepare(tokens: Vec<TokenWithSpan>) -> Result<(Vec<TokenWithSpan>, Vec<String>)> {
    let end = tokens.last().map_or(Location { line: 0, column: 0 }, |token| token.span.end);
    let (mut output, parameters) = if tokens.iter().any(may_change) || tokens.windows(2).any(opens_values) {
        let mut rewriter = Rewriter::new(&tokens);
        (0..tokens.len()).try_for_each(|at| rewriter.step(at))?;
        (rewriter.output, rewriter.parameters)
    } else {
        // The rows of a large INSERT are not copied.
        (tokens, BTreeSet::new())
    };
    output.push(TokenWithSpan { token: Token::EOF, span: Span { start: end, end } });
    Ok((output, parameters.into_iter().map(|(_, name)| name).collect()))
}

/// Whether a token may be the start of a rewrite.
fn may_change(token: &TokenWithSpan) -> bool {
    match &token.token {
        Token::Placeholder(_) | Token::Div | Token::RArrow | Token::Assignment => true,
        Token::Word(word) => {
            matches!(
                word.keyword,
                Keyword::FROM | Keyword::TABLE | Keyword::ASOF | Keyword::STRUCT | Keyword::EXCEPT | Keyword::EXCLUDE
            ) || reserved::may_be_name(word.keyword)
        }
        _ => false,
    }
}

/// Whether two tokens are `(VALUES`.
fn opens_values(pair: &[TokenWithSpan]) -> bool {
    matches!(pair, [open, first] if open.token == Token::LParen && word(first).eq_ignore_ascii_case("VALUES"))
}

/// One bracket, or the statement itself.
#[derive(Default)]
struct Level {
    /// The next token may begin a query.
    query_may_start: bool,
    /// The level began with WITH, and its main query has not begun.
    after_with: bool,
    /// SELECT or VALUES was seen here.
    has_query: bool,
    /// These are the arguments of TUMBLE, HOP, CUMULATE or SESSION.
    is_window_call: bool,
    /// These are the fields of a STRUCT type.
    is_struct_type: bool,
    /// An ASOF JOIN waits for its condition; true for `ASOF LEFT JOIN`.
    asof: Option<bool>,
    /// A parenthesis that was put in is closed where this level is.
    closes_twice: bool,
}

struct Rewriter<'t> {
    tokens: &'t [TokenWithSpan],
    /// Per token: whether a query that begins there has its own SELECT.
    select_later: Vec<bool>,
    output: Vec<TokenWithSpan>,
    levels: Vec<Level>,
    parameters: BTreeSet<(u64, String)>,
    questions: usize,
    /// Where the words before a statement (EXPLAIN ANALYZE ..) or query (SUMMARIZE, SUBSCRIBE) end.
    prefix: usize,
    /// The parenthesis that closes the options of EXPLAIN.
    options_end: Option<usize>,
    is_insert: bool,
    is_ddl: bool,
    is_describe: bool,
    /// The statement is one that says `AS query`.
    takes_as: bool,
    /// Tokens before this one are left out.
    resume: usize,
}

impl<'t> Rewriter<'t> {
    fn new(tokens: &'t [TokenWithSpan]) -> Self {
        let among = |at: usize, words: &[&str]| {
            let here = tokens.get(at).map(word).unwrap_or_default();
            words.iter().any(|word| here.eq_ignore_ascii_case(word))
        };
        let explained = (0..).take_while(|at| among(*at, &["EXPLAIN", "ANALYZE", "VERBOSE"])).count();
        let prefix = explained + usize::from(among(explained, &["SUMMARIZE", "SUBSCRIBE", "DESCRIBE", "DESC"]));
        let is = |words: &[&str]| among(explained, words);
        Rewriter {
            tokens,
            select_later: select_later(tokens),
            output: Vec::with_capacity(tokens.len() + 4),
            levels: vec![Level { query_may_start: true, ..Level::default() }],
            parameters: BTreeSet::new(),
            questions: 0,
            prefix,
            options_end: closing(tokens, explained).filter(|_| explained > 0),
            is_insert: is(&["INSERT"]),
            is_ddl: is(&["CREATE", "ALTER"]),
            takes_as: is(&["CREATE", "PREPARE"]),
            is_describe: is(&["DESCRIBE", "DESC", "SUMMARIZE"]),
            resume: 0,
        }
    }

    fn step(&mut self, at: usize) -> Result<()> {
        let Some(token) = self.tokens.get(at).filter(|_| at >= self.resume) else { return Ok(()) };
        match &token.token {
            Token::LParen => self.open(at),
            Token::RParen => self.close(at),
            Token::Placeholder(name) => self.parameter(name, at)?,
            Token::Div if self.is_adjacent_div(at) => {
                let error = unsupported("the operator // is not supported", position(token.span.start));
                return Err(error.with_hint("use / between integers, or trunc(a / b)"));
            }
            Token::Word(found) if found.quote_style.is_none() => self.word(at, found.keyword)?,
            _ => {
                self.push(at);
                self.level().query_may_start = false;
            }
        }
        Ok(())
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn push(&mut self, at: usize) {
        self.output.extend(self.tokens.get(at).cloned());
    }

    /// Puts in a token at the place of the token `at`.
    fn insert(&mut self, token: Token, at: usize) {
        let span = self.tokens.get(at).map_or(Span::empty(), |token| token.span);
        self.output.push(TokenWithSpan { token, span });
    }

    fn peek(&self, at: usize) -> &str {
        self.tokens.get(at).map(word).unwrap_or_default()
    }

    fn is_adjacent_div(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.tokens.get(at));
        before
            .zip(self.tokens.get(at))
            .is_some_and(|(before, token)| before.token == Token::Div && before.span.end == token.span.start)
    }

    fn open(&mut self, at: usize) {
        let before = if at == 0 { "" } else { self.peek(at - 1) };
        let is_window_call =
            ["TUMBLE", "HOP", "CUMULATE", "SESSION"].iter().any(|name| name.eq_ignore_ascii_case(before));
        let is_struct_type = before.eq_ignore_ascii_case("STRUCT") && self.is_type_position(at - 1);
        if is_struct_type {
            self.insert(Token::Lt, at)
        } else {
            self.push(at)
        }
        self.level().query_may_start = false;
        self.levels.push(Level { query_may_start: true, is_window_call, is_struct_type, ..Level::default() });
    }

    /// Whether the word STRUCT at `at` names a type.
    fn is_type_position(&self, at: usize) -> bool {
        if self.levels.last().is_some_and(|level| level.is_struct_type) {
            return true;
        }
        let Some(before) = at.checked_sub(1).and_then(|at| self.tokens.get(at)) else { return false };
        match &before.token {
            Token::DoubleColon => true,
            Token::Word(found) if found.keyword == Keyword::AS => true,
            // A column definition: `(a STRUCT(..), b STRUCT(..))`, `ADD COLUMN a STRUCT(..)`.
            Token::Word(found) => {
                self.is_ddl
                    && !matches!(found.keyword, Keyword::SELECT | Keyword::DISTINCT | Keyword::NOT | Keyword::CASE)
                    && at.checked_sub(2).and_then(|at| self.tokens.get(at)).is_some_and(|token| match &token.token {
                        Token::LParen | Token::Comma => true,
                        Token::Word(word) => {
                            matches!(word.keyword, Keyword::ADD | Keyword::COLUMN | Keyword::EXISTS)
                        }
                        _ => false,
                    })
            }
            _ => false,
        }
    }

    /// Whether EXCEPT names columns that a star leaves out, `* EXCEPT (a, b)`, rather than taking rows away.
    fn is_star_except(&self, at: usize) -> bool {
        let token = |at: usize| self.tokens.get(at).map(|token| &token.token);
        let follows_star = at.checked_sub(1).and_then(token) == Some(&Token::Mul);
        let is_name = matches!(token(at + 2), Some(Token::Word(_)));
        follows_star
            && token(at + 1) == Some(&Token::LParen)
            && is_name
            && matches!(token(at + 3), Some(Token::Comma | Token::RParen))
    }

    /// Whether EXCLUDE says which rows of a window's frame do not count.
    fn ends_frame(&self, at: usize) -> bool {
        let is = |at: usize, words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(self.peek(at)));
        at > 0 && is(at - 1, &["ROW", "PRECEDING", "FOLLOWING"]) && is(at + 1, &["NO", "CURRENT", "GROUP", "TIES"])
    }

    /// `EXCLUDE NO OTHERS` is what a frame does anyway; sqlparser has no words for the others.
    fn frame_exclusion(&mut self, at: usize) -> Result<()> {
        if self.peek(at + 1).eq_ignore_ascii_case("NO") && self.peek(at + 2).eq_ignore_ascii_case("OTHERS") {
            self.resume = at + 3;
            return Ok(());
        }
        let excluded = self.peek(at + 1).to_ascii_uppercase();
        let (what, hint) = match excluded.as_str() {
            "CURRENT" => ("CURRENT ROW", "take the row's own value away: sum(x) OVER w - x"),
            _ => {
                (excluded.as_str(), "join the table with itself by a condition on the frame, or use EXCLUDE NO OTHERS")
            }
        };
        let place = self.tokens.get(at).and_then(|token| position(token.span.start));
        let error = unsupported(format!("EXCLUDE {what} in a window's frame is not supported"), place);
        Err(error.with_hint(hint))
    }

    fn close(&mut self, at: usize) {
        let closed = if self.levels.len() > 1 { self.levels.pop() } else { None };
        if closed.as_ref().is_some_and(|level| level.closes_twice) {
            self.insert(Token::RParen, at);
        }
        if closed.is_some_and(|level| level.is_struct_type) {
            self.insert(Token::Gt, at);
        } else {
            self.push(at);
        }
        let ends_options = self.options_end == Some(at);
        let level = self.level();
        level.query_may_start = level.after_with || ends_options;
    }

    fn parameter(&mut self, name: &str, at: usize) -> Result<()> {
        let place = self.tokens.get(at).and_then(|token| position(token.span.start));
        let name = if name == "?" {
            self.questions += 1;
            self.questions.to_string()
        } else {
            name.trim_start_matches(['$', '?']).to_string()
        };
        if self.questions > 0 && self.tokens.get(at).is_some_and(|token| token.token != Token::Placeholder("?".into()))
        {
            return Err(syntax("parameters are either all ? or all named and numbered", place));
        }
        if name.is_empty() || name.starts_with("__") {
            return Err(syntax(&format!("no parameter may be called \"${name}\""), place));
        }
        self.insert(Token::Placeholder(format!("${name}")), at);
        self.parameters.insert((name.parse().unwrap_or(u64::MAX), name));
        if self.parameters.len() > PARAMETERS_MAX {
            let message = format!("more than {PARAMETERS_MAX} parameters");
            return Err(too_complex(message, place, "load data with COPY or an appender"));
        }
        self.level().query_may_start = false;
        Ok(())
    }

    fn word(&mut self, at: usize, keyword: Keyword) -> Result<()> {
        let (may_start, is_top) = (self.level().query_may_start, self.levels.len() == 1);
        match keyword {
            _ if self.is_name(at, keyword) => self.name(at),
            Keyword::FROM if may_start || (self.is_insert && is_top && !self.level().has_query) => self.from(at),
            Keyword::TABLE if may_start && self.is_table_query(at) => {
                self.select_all(at);
                self.insert(Token::make_keyword("FROM"), at);
                self.began();
            }
            Keyword::TABLE if self.level().is_window_call && (may_start || self.follows(at, &Token::RArrow)) => {}
            Keyword::VALUES if may_start && self.is_operand(at) => {
                self.select_all(at);
                self.insert(Token::make_keyword("FROM"), at);
                self.insert(Token::LParen, at);
                self.push(at);
                self.began();
                self.level().closes_twice = true;
            }
            Keyword::SELECT | Keyword::VALUES => {
                self.push(at);
                self.began();
            }
            Keyword::JOIN if at > 0 && self.peek(at - 1).eq_ignore_ascii_case("POSITIONAL") => {
                let place = self.tokens.get(at - 1).and_then(|token| position(token.span.start));
                let error = unsupported("POSITIONAL JOIN is not supported: rows have no position", place);
                return Err(error.with_hint("number the rows of both sides by row_number() and join by the number"));
            }
            Keyword::EXCLUDE if self.ends_frame(at) => self.frame_exclusion(at)?,
            Keyword::EXCEPT if self.is_star_except(at) => self.insert(Token::make_keyword("EXCLUDE"), at),
            Keyword::WITH if may_start || (self.is_insert && is_top) => {
                self.push(at);
                self.level().after_with = true;
                self.level().query_may_start = false;
            }
            Keyword::ASOF
                if ["JOIN", "LEFT", "INNER", "OUTER"].iter().any(|w| w.eq_ignore_ascii_case(self.peek(at + 1))) =>
            {
                self.asof(at)
            }
            Keyword::LEFT | Keyword::INNER | Keyword::OUTER if self.follows_asof(at) => {}
            Keyword::ON | Keyword::USING | Keyword::MATCH_CONDITION => self.condition(at, keyword)?,
            _ => {
                self.push(at);
                self.level().query_may_start = match keyword {
                    // Behind AS they are the name of a column.
                    Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
                        at == 0 || !self.peek(at - 1).eq_ignore_ascii_case("AS")
                    }
                    // No engine knows MINUS before a query that begins with FROM: there it is a name.
                    Keyword::MINUS => !self.peek(at + 1).eq_ignore_ascii_case("FROM"),
                    Keyword::AS => is_top && self.takes_as && !self.level().has_query,
                    Keyword::ALL | Keyword::DISTINCT => may_start,
                    _ => at < self.prefix,
                };
            }
        }
        Ok(())
    }

    /// Whether a keyword of sqlparser is only a name here; in a definition INTERVAL is a type.
    fn is_name(&mut self, at: usize, keyword: Keyword) -> bool {
        let defines = (self.is_ddl || self.takes_as) && !self.levels.iter().any(|level| level.has_query);
        if keyword == Keyword::INTERVAL && (defines || self.level().is_struct_type) {
            return false;
        }
        let token = |at: usize| self.tokens.get(at).map(|token| &token.token);
        // An argument may have any name, `lead(x, offset => 2)`.
        let begins_argument = matches!(at.checked_sub(1).and_then(token), Some(Token::LParen | Token::Comma));
        if begins_argument && matches!(token(at + 1), Some(Token::RArrow | Token::Assignment)) {
            return true;
        }
        reserved::is_name(keyword, at.checked_sub(1).and_then(token), token(at + 1))
    }

    /// Hands a word on as one that sqlparser knows nothing of.
    fn name(&mut self, at: usize) {
        let Some(mut token) = self.tokens.get(at).cloned() else { return };
        if let Token::Word(word) = &mut token.token {
            word.keyword = Keyword::NoKeyword;
        }
        self.output.push(token);
        self.level().query_may_start = false;
    }

    /// A query has begun on this level.
    fn began(&mut self) {
        let level = self.level();
        (level.query_may_start, level.after_with, level.has_query) = (false, false, true);
    }

    /// FROM where a query may begin: sqlparser knows `FROM t SELECT ...`, but not `FROM t WHERE ...`.
    fn from(&mut self, at: usize) {
        if !self.select_later.get(at).is_some_and(|later| *later) {
            self.select_all(at);
        }
        self.push(at);
        self.began();
    }

    fn select_all(&mut self, at: usize) {
        self.insert(Token::make_keyword("SELECT"), at);
        self.insert(Token::Mul, at);
    }

    /// Whether TABLE at `at` is `TABLE name` as a query.
    fn is_table_query(&mut self, at: usize) -> bool {
        let named = matches!(self.tokens.get(at + 1).map(|token| &token.token), Some(Token::Word(_)));
        let is_top = self.levels.len() == 1;
        named && !self.level().is_window_call && !(is_top && self.is_describe)
    }

    /// Whether a query that begins at `at` is in a parenthesis where an expression may stand. It may look so in FROM
    /// behind a comma too, where the difference does not matter.
    fn is_operand(&self, at: usize) -> bool {
        let inserts = self.is_insert && self.levels.len() <= 2 && !self.levels.iter().any(|level| level.has_query);
        let before = at.checked_sub(2).map(|at| self.peek(at)).unwrap_or_default();
        let is_relation = ["FROM", "JOIN", "LATERAL", "AS"].iter().any(|word| word.eq_ignore_ascii_case(before));
        // Without rows behind it, it is the name of a column.
        let has_rows = self.tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
        has_rows && self.follows(at, &Token::LParen) && !inserts && !is_relation
    }

    fn asof(&mut self, at: usize) {
        self.push(at);
        let is_left = self.peek(at + 1).eq_ignore_ascii_case("LEFT");
        let level = self.level();
        level.query_may_start = false;
        level.asof = Some(is_left);
    }

    fn follows(&self, at: usize, token: &Token) -> bool {
        at.checked_sub(1).and_then(|at| self.tokens.get(at)).is_some_and(|before| before.token == *token)
    }

    fn follows_asof(&self, at: usize) -> bool {
        self.output.last().is_some_and(|last| word(last).eq_ignore_ascii_case("ASOF")) && at > 0
    }

    /// The condition of a join: one that ASOF JOIN waits for is put before ON and USING.
    fn condition(&mut self, at: usize, keyword: Keyword) -> Result<()> {
        let asof = self.level().asof.take();
        if let Some(is_left) = asof {
            if keyword != Keyword::MATCH_CONDITION {
                self.insert(Token::make_keyword("MATCH_CONDITION"), at);
                self.insert(Token::LParen, at);
                let marker = if is_left { Marker::LeftConditionInOn } else { Marker::ConditionInOn };
                self.insert(marker.token(), at);
                self.insert(Token::RParen, at);
            } else if is_left {
                let place = self.tokens.get(at).and_then(|token| position(token.span.start));
                let error = Error::unsupported("ASOF LEFT JOIN with MATCH_CONDITION is not supported")
                    .with_hint("write the whole condition after ON");
                return Err(located(error, place));
            }
        }
        self.push(at);
        self.level().query_may_start = false;
        Ok(())
    }
}

/// Where the parenthesis that opens at `open` is closed, if one opens there.
fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return (at > open).then_some(at);
        }
    }
    None
}

/// Per token, whether a SELECT follows on the same level before the query ends.
fn select_later(tokens: &[TokenWithSpan]) -> Vec<bool> {
    let mut later = vec![false; tokens.len()];
    let (mut outer, mut here) = (Vec::new(), false);
    for (token, later) in tokens.iter().zip(&mut later).rev() {
        match &token.token {
            Token::RParen => outer.push(std::mem::take(&mut here)),
            Token::LParen => here = outer.pop().unwrap_or_default(),
            Token::Word(word) => match word.keyword {
                Keyword::SELECT => here = true,
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => here = false,
                _ => {}
            },
            _ => {}
        }
        *later = here;
    }
    later
}
