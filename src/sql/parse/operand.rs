//! Operands that sqlparser by itself would read wrongly: queries in parentheses, the bounds of BETWEEN SYMMETRIC, and
//! what stands behind a prefix operator, of which PostgreSQL has two ranks: a sign binds tighter than `^`, all others
//! take in what is added and multiplied.
//!
//! To sqlparser a parenthesis is a query if SELECT or WITH follows at once; `((SELECT 1) UNION (SELECT 2))` it takes for
//! an expression, and `x IN ((SELECT 1), 2)` for a query. Here the tokens tell: a parenthesis that begins with a query in
//! parentheses is a query itself if what only a query has stands behind that. The tokens up to there are looked
//! through once for each level of nesting, which [`super::limits`] bounds.

use sqlparser::ast::{Expr, Ident, TrimWhereField, UnaryOperator};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::reserved::word;
use crate::sql::rewrite::SYMMETRIC;

/// What an operand that begins here is, if sqlparser would not see it.
pub(super) fn prefix(dialect: &impl Dialect, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    match &parser.peek_token_ref().token {
        Token::LParen => query(parser),
        Token::Word(_) => bound(dialect, parser).or_else(|| trimmed(parser)),
        token => {
            let (op, precedence) = prefix_operator(token)?;
            parser.advance_token();
            let operand = parser.parse_subexpr(dialect.prec_value(precedence));
            Some(operand.map(|operand| Expr::UnaryOp { op, expr: Box::new(operand) }))
        }
    }
}

/// The operator that a token is before its operand, and what that operand must bind tighter than.
fn prefix_operator(token: &Token) -> Option<(UnaryOperator, Precedence)> {
    Some(match token {
        Token::Minus => (UnaryOperator::Minus, Precedence::Caret),
        Token::Plus => (UnaryOperator::Plus, Precedence::Caret),
        Token::Tilde => (UnaryOperator::BitwiseNot, Precedence::PgOther),
        Token::AtSign => (UnaryOperator::PGAbs, Precedence::PgOther),
        Token::PGSquareRoot => (UnaryOperator::PGSquareRoot, Precedence::PgOther),
        Token::PGCubeRoot => (UnaryOperator::PGCubeRoot, Precedence::PgOther),
        _ => return None,
    })
}

/// What follows an operand here, if sqlparser would not see it: `[NOT] IN` a list that begins with a query.
pub(super) fn infix(parser: &mut Parser, operand: &Expr) -> Option<Result<Expr, ParserError>> {
    let here = parser.index();
    let negated = is_word(parser, here, "NOT");
    let open = here + 1 + usize::from(negated);
    if !is_word(parser, open - 1, "IN") || !opens(parser, open) || !begins_with_query(parser, open + 1) {
        return None;
    }
    if is_query_in(parser, open) {
        return None;
    }
    (here..=open).for_each(|_| parser.advance_token());
    Some(parser.parse_comma_separated(Parser::parse_expr).and_then(|list| {
        parser.expect_token(&Token::RParen)?;
        Ok(Expr::InList { expr: Box::new(operand.clone()), list, negated })
    }))
}

/// A query in parentheses whose first operand is in parentheses too.
fn query(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let here = parser.index();
    // sqlparser has read the parenthesis of ANY and ALL before it asks for what is in it.
    let quantifier = here.checked_sub(2).map(|at| word(parser.token_at(at))).unwrap_or_default();
    let is_quantified = ["ANY", "ALL", "SOME"].iter().any(|word| word.eq_ignore_ascii_case(quantifier));
    if is_quantified && opens(parser, here - 1) && is_query(parser, here - 1) {
        return Some(parser.parse_query().map(Expr::Subquery));
    }
    if !opens(parser, here + 1) || !is_query(parser, here) {
        return None;
    }
    parser.advance_token();
    Some(parser.parse_query().and_then(|query| {
        parser.expect_token(&Token::RParen)?;
        Ok(Expr::Subquery(query))
    }))
}

/// The lower bound behind BETWEEN SYMMETRIC, with that prefix, or behind ASYMMETRIC, which is what BETWEEN is anyway.
fn bound(dialect: &impl Dialect, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let here = parser.index();
    let is_symmetric = is_word(parser, here, SYMMETRIC);
    let is_between = here.checked_sub(1).is_some_and(|before| is_word(parser, before, "BETWEEN"));
    // Before AND they can only be the names of columns.
    let is_name = is_word(parser, here + 1, "AND");
    if !is_between || is_name || !(is_symmetric || is_word(parser, here, "ASYMMETRIC")) {
        return None;
    }
    let span = parser.peek_token_ref().span;
    parser.advance_token();
    let low = parser.parse_subexpr(dialect.prec_value(Precedence::Between));
    if !is_symmetric {
        return Some(low);
    }
    let prefix = Ident::with_span(span, SYMMETRIC);
    Some(low.map(|low| Expr::Prefixed { prefix, value: Box::new(low) }))
}

/// `trim(BOTH FROM text)` and `trim(LEADING text)`, where sqlparser asks for the characters that are trimmed.
fn trimmed(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let here = parser.index();
    if !is_word(parser, here, "TRIM") || !opens(parser, here + 1) {
        return None;
    }
    let side = match () {
        () if is_word(parser, here + 2, "BOTH") => Some(TrimWhereField::Both),
        () if is_word(parser, here + 2, "LEADING") => Some(TrimWhereField::Leading),
        () if is_word(parser, here + 2, "TRAILING") => Some(TrimWhereField::Trailing),
        () => None,
    };
    let behind = here + 2 + usize::from(side.is_some());
    if !is_word(parser, behind, "FROM") {
        return None;
    }
    (here..=behind).for_each(|_| parser.advance_token());
    Some(parser.parse_comma_separated(Parser::parse_expr).and_then(|mut operands| {
        parser.expect_token(&Token::RParen)?;
        let what = (operands.len() == 2).then(|| operands.pop()).flatten().map(Box::new);
        match (operands.pop(), operands.is_empty()) {
            (Some(expr), true) => {
                let (expr, trim_where) = (Box::new(expr), side.or(Some(TrimWhereField::Both)));
                Ok(Expr::Trim { expr, trim_where, trim_what: what, trim_characters: None })
            }
            _ => Err(ParserError::ParserError("trim() takes a text and the characters to trim".to_string())),
        }
    }))
}

fn is_word(parser: &Parser, at: usize, expected: &str) -> bool {
    word(parser.token_at(at)).eq_ignore_ascii_case(expected)
}

fn opens(parser: &Parser, at: usize) -> bool {
    parser.token_at(at).token == Token::LParen
}

/// Whether a query begins behind the parentheses that open at `at`.
fn begins_with_query(parser: &Parser, at: usize) -> bool {
    let first = (at..).find(|at| !opens(parser, *at)).unwrap_or(at);
    first > at && (is_word(parser, first, "SELECT") || is_word(parser, first, "WITH"))
}

/// Whether the parenthesis that opens at `at` holds a query, and not just one in further parentheses.
fn is_query(parser: &Parser, at: usize) -> bool {
    if !opens(parser, at + 1) {
        return is_word(parser, at + 1, "SELECT") || is_word(parser, at + 1, "WITH");
    }
    use Keyword as K;
    begins_with_query(parser, at)
        && matches!(
            behind(parser, at + 1),
            Some(Token::Word(word)) if word.quote_style.is_none() && matches!(
                word.keyword,
                K::UNION | K::EXCEPT | K::INTERSECT | K::MINUS | K::ORDER | K::LIMIT | K::OFFSET | K::FETCH
            )
        )
        && is_query_in(parser, at + 1)
}

/// Whether the parenthesis that opens at `at` holds a query, be it in further parentheses.
fn is_query_in(parser: &Parser, at: usize) -> bool {
    is_query(parser, at)
        || (opens(parser, at + 1) && behind(parser, at + 1) == Some(&Token::RParen) && is_query_in(parser, at + 1))
}

/// The token behind the parenthesis that opens at `open`.
fn behind<'p>(parser: &'p Parser, open: usize) -> Option<&'p Token> {
    let mut depth = 0_usize;
    for at in open.. {
        match &parser.token_at(at).token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::EOF => return None,
            _ => {}
        }
        if depth == 0 {
            return Some(&parser.token_at(at + 1).token);
        }
    }
    None
}
