//! Limits on a text before a syntax tree exists.
//!
//! Parsers, planners and even dropping a tree recurse as deep as the tree, so depth is bounded here by one pass over
//! the tokens: nesting of brackets and CASE, length of operator chains (`1 + 1 + ...` is a tree leaning left), of set
//! operations and of joins, and the sum of all of these along one path. Whatever passes parses on the stack that
//! `parse` provides; whatever does not is refused with 54001 before it costs anything.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::base::error::{Position, Result};
use crate::sql::error::{position, too_complex};

/// The longest script, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 64 << 20;
/// The most tokens in a statement, white space included; a token takes some hundred bytes.
pub(super) const TOKENS_MAX: usize = 5_000_000;
/// The deepest nesting of brackets and CASE.
const NESTING_MAX: usize = 128;
/// The longest chain of operators without brackets.
const CHAIN_MAX: usize = 1_000;
/// The most set operations on one level, and the most joins in one FROM.
const BRANCHES_MAX: usize = 500;
/// The most columns in one SELECT, and in one relation.
pub(super) const COLUMNS_MAX: usize = 10_000;
/// The deepest syntax tree, as bounded from the tokens.
const DEPTH_MAX: usize = 2_500;

/// Checks the tokens of one statement (white space taken out); gives the innermost bracket left open.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<Option<Position>> {
    let mut levels = vec![Level::new(Opener::Statement, None)];
    for token in tokens {
        let at = position(token.span.start);
        match opener(token) {
            Some(opener) => {
                if levels.len() > NESTING_MAX {
                    return Err(too_complex(
                        format!("nesting is deeper than {NESTING_MAX} levels"),
                        at,
                        "name inner queries with WITH, or keep intermediate results in views",
                    ));
                }
                if token.token == Token::LBracket {
                    // `a[1][2]` and `INT[][]` nest without ever being inside each other.
                    operator(&mut levels, Class::Tight, at)?;
                }
                levels.push(Level::new(opener, at));
            }
            None => match closer(token) {
                Some(closes) => close(&mut levels, closes, at)?,
                None => count(&mut levels, token, at)?,
            },
        }
    }
    Ok(levels.iter().rev().find(|level| level.opener == Opener::Bracket).and_then(|level| level.at))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    Statement,
    Bracket,
    Case,
}

fn opener(token: &TokenWithSpan) -> Option<Opener> {
    match &token.token {
        Token::LParen | Token::LBracket | Token::LBrace => Some(Opener::Bracket),
        Token::Word(word) if word.keyword == Keyword::CASE => Some(Opener::Case),
        _ => None,
    }
}

fn closer(token: &TokenWithSpan) -> Option<Opener> {
    match &token.token {
        Token::RParen | Token::RBracket | Token::RBrace => Some(Opener::Bracket),
        Token::Word(word) if word.keyword == Keyword::END => Some(Opener::Case),
        _ => None,
    }
}

/// One bracket, CASE or the statement itself, with the chains begun in it.
struct Level {
    opener: Opener,
    at: Option<Position>,
    /// AND and OR in the expression at hand.
    loose: usize,
    /// Other operators since the last AND or OR, and the most of them so far.
    tight: usize,
    tight_max: usize,
    /// The deepest bracket within the expression at hand.
    inner: usize,
    /// The deepest expression finished on this level.
    finished: usize,
    set_operations: usize,
    /// Joins in the FROM at hand, and the most of them in one.
    joins: usize,
    joins_max: usize,
    /// Commas in FROM are joins.
    in_from: bool,
    /// Commas since SELECT, while its list lasts.
    columns: Option<usize>,
}

impl Level {
    fn new(opener: Opener, at: Option<Position>) -> Self {
        Level {
            opener,
            at,
            loose: 0,
            tight: 0,
            tight_max: 0,
            inner: 0,
            finished: 0,
            set_operations: 0,
            joins: 0,
            joins_max: 0,
            in_from: false,
            columns: None,
        }
    }

    /// How deep the expression at hand may be.
    fn expression(&self) -> usize {
        self.loose + self.tight_max + self.inner
    }

    /// How deep all of this level may be.
    fn depth(&self) -> usize {
        self.expression().max(self.finished) + self.set_operations + self.joins_max + 1
    }

    /// A comma or clause: the next expression begins.
    fn finish(&mut self) {
        self.finished = self.finished.max(self.expression());
        (self.loose, self.tight, self.tight_max, self.inner) = (0, 0, 0, 0);
    }
}

enum Class {
    Loose,
    Tight,
}

fn operator(levels: &mut [Level], class: Class, at: Option<Position>) -> Result<()> {
    let Some(level) = levels.last_mut() else { return Ok(()) };
    match class {
        Class::Loose => {
            level.loose += 1;
            level.tight = 0;
        }
        Class::Tight => {
            level.tight += 1;
            level.tight_max = level.tight_max.max(level.tight);
        }
    }
    if level.loose.max(level.tight) > CHAIN_MAX {
        return Err(too_complex(
            format!("more than {CHAIN_MAX} operators in one chain"),
            at,
            "use IN (...), VALUES or a table in place of a long chain",
        ));
    }
    check_depth(level, at)
}

fn check_depth(level: &Level, at: Option<Position>) -> Result<()> {
    if level.depth() > DEPTH_MAX {
        return Err(too_complex(
            "the statement is nested too deeply",
            at,
            "name inner queries with WITH, or keep intermediate results in views",
        ));
    }
    Ok(())
}

fn close(levels: &mut Vec<Level>, closes: Opener, at: Option<Position>) -> Result<()> {
    if closes == Opener::Case && levels.last().is_some_and(|level| level.opener != Opener::Case) {
        return Ok(()); // END as COMMIT, or a stray one that the parser will find.
    }
    // A CASE without END is closed by the bracket around it; the parser will complain.
    while levels.len() > 1 {
        let Some(level) = levels.pop() else { break };
        let depth = level.depth();
        if let Some(outer) = levels.last_mut() {
            outer.inner = outer.inner.max(depth);
            check_depth(outer, at)?;
        }
        if level.opener == closes {
            break;
        }
    }
    Ok(())
}

/// Counts a token that neither opens nor closes.
fn count(levels: &mut [Level], token: &TokenWithSpan, at: Option<Position>) -> Result<()> {
    match &token.token {
        Token::Comma => {
            let Some(level) = levels.last_mut() else { return Ok(()) };
            level.finish();
            if let Some(columns) = &mut level.columns {
                *columns += 1;
                if *columns >= COLUMNS_MAX {
                    let message = format!("more than {COLUMNS_MAX} columns in one SELECT");
                    return Err(too_complex(message, at, "choose fewer columns"));
                }
            }
            if level.in_from { branch(level, true, at) } else { Ok(()) }
        }
        Token::Word(word) if word.quote_style.is_none() => keyword(levels, word.keyword, at),
        Token::Word(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::Period
        | Token::SemiColon
        | Token::EOF => Ok(()),
        _ => operator(levels, Class::Tight, at),
    }
}

fn keyword(levels: &mut [Level], keyword: Keyword, at: Option<Position>) -> Result<()> {
    use Keyword as K;
    match keyword {
        K::AND | K::OR | K::XOR => operator(levels, Class::Loose, at),
        K::NOT
        | K::IS
        | K::IN
        | K::LIKE
        | K::ILIKE
        | K::SIMILAR
        | K::RLIKE
        | K::BETWEEN
        | K::NOTNULL
        | K::COLLATE
        | K::AT
        | K::INTERVAL
        | K::OVERLAPS
        | K::PRIOR
        | K::EXISTS
        | K::EXPLAIN
        | K::ANALYZE => operator(levels, Class::Tight, at),
        K::UNION | K::EXCEPT | K::INTERSECT | K::MINUS | K::JOIN | K::APPLY => {
            let Some(level) = levels.last_mut() else { return Ok(()) };
            level.finish();
            level.in_from = matches!(keyword, K::JOIN | K::APPLY) && level.in_from;
            branch(level, matches!(keyword, K::JOIN | K::APPLY), at)
        }
        K::SELECT
        | K::FROM
        | K::WHERE
        | K::GROUP
        | K::HAVING
        | K::QUALIFY
        | K::WINDOW
        | K::ORDER
        | K::LIMIT
        | K::OFFSET
        | K::VALUES
        | K::WHEN
        | K::THEN
        | K::ELSE
        | K::SET
        | K::ON
        | K::USING
        | K::WITH => {
            let Some(level) = levels.last_mut() else { return Ok(()) };
            level.finish();
            if !matches!(keyword, K::ON | K::USING | K::WHEN | K::THEN | K::ELSE) {
                level.in_from = keyword == K::FROM;
            }
            if matches!(keyword, K::FROM) {
                level.joins = 0;
            }
            level.columns = (keyword == K::SELECT).then_some(0);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn branch(level: &mut Level, is_join: bool, at: Option<Position>) -> Result<()> {
    let (count, what) = if is_join {
        (&mut level.joins, "joins in one FROM")
    } else {
        (&mut level.set_operations, "set operations in one query")
    };
    *count += 1;
    let count = *count;
    level.joins_max = level.joins_max.max(level.joins);
    if count > BRANCHES_MAX {
        let hint = "load the rows into a table and query that";
        return Err(too_complex(format!("more than {BRANCHES_MAX} {what}"), at, hint));
    }
    check_depth(level, at)
}
