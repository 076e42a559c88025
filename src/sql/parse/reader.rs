//! The hand that reads our own statements: words, names, lists and options over sqlparser's tokens.
//!
//! sqlparser reads queries, expressions and types; [`Reader`] reads what is ours around them. Words are compared
//! without regard to case and only when unquoted, so no keyword of ours is reserved.

use sqlparser::ast;
use sqlparser::parser::{Parser, ParserOptions};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect::EddyDialect;
use super::reserved::word;
use super::source::Source;
use crate::base::error::{Position, Result};
use crate::sql::error::{position, shortened, syntax, unsupported};
use crate::sql::name::Name;
use crate::sql::options::Options;
use crate::sql::rewrite;
use crate::sql::statement::{Emit, ExpressionText, RelationOrQuery};

/// Far more than `limits` lets through; sqlparser's own limit must not come first.
const RECURSION_MAX: usize = 20_000;

/// Reads one statement.
pub(super) struct Reader<'a> {
    /// sqlparser, at the place that is read next.
    pub parser: Parser<'a>,
    source: &'a Source<'a>,
    dialect: &'a EddyDialect,
}

impl<'a> Reader<'a> {
    pub(super) fn new(tokens: Vec<TokenWithSpan>, source: &'a Source<'a>, dialect: &'a EddyDialect) -> Self {
        Reader { parser: parser(dialect).with_tokens_with_locations(tokens), source, dialect }
    }

    /// Where the next token stands.
    pub(super) fn position(&self) -> Option<Position> {
        position(self.parser.peek_token_ref().span.start)
    }

    /// The unquoted word `ahead` tokens from here; empty for any other token.
    pub(super) fn peek(&self, ahead: usize) -> &str {
        word(self.parser.peek_nth_token_ref(ahead))
    }

    /// Whether these words come next.
    pub(super) fn at(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.peek(ahead).eq_ignore_ascii_case(word))
    }

    /// Whether one of these words comes next.
    pub(super) fn at_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.peek(0).eq_ignore_ascii_case(word))
    }

    /// Takes these words if they come next.
    pub(super) fn accept(&mut self, words: &[&str]) -> bool {
        let found = self.at(words);
        if found {
            words.iter().for_each(|_| self.parser.advance_token());
        }
        found
    }

    /// Takes one of these words if it comes next.
    pub(super) fn accept_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.accept(&[word]))
    }

    /// Takes the kind of a relation (TABLE, MATERIALIZED VIEW ..) before its name; a word alone is itself the name.
    pub(super) fn accept_kind(&mut self) {
        let names = |ahead: usize| {
            let token = &self.parser.peek_nth_token_ref(ahead).token;
            matches!(token, Token::Word(_) | Token::SingleQuotedString(_))
        };
        if self.at(&["MATERIALIZED", "VIEW"]) && names(2) {
            self.accept(&["MATERIALIZED", "VIEW"]);
        } else if names(1) {
            self.accept_any(&["TABLE", "STREAM", "VIEW", "SOURCE", "SINK", "INDEX", "SUBSCRIPTION"]);
        }
    }

    /// Takes these words; an error if others come.
    pub(super) fn expect(&mut self, words: &[&str]) -> Result<()> {
        words.iter().try_for_each(|word| if self.accept(&[word]) { Ok(()) } else { self.unexpected(word) })
    }

    /// Whether this token comes next.
    pub(super) fn at_token(&self, token: &Token) -> bool {
        self.parser.peek_token_ref().token == *token
    }

    /// Takes this token if it comes next.
    pub(super) fn accept_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Takes this token; an error if another comes.
    pub(super) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.accept_token(token) { Ok(()) } else { self.unexpected(&token.to_string()) }
    }

    /// Whether the statement ends here.
    pub(super) fn at_end(&self) -> bool {
        self.at_token(&Token::EOF)
    }

    /// An error if anything is left.
    pub(super) fn expect_end(&self) -> Result<()> {
        if self.at_end() { Ok(()) } else { self.unexpected("end of statement") }
    }

    /// The error for the next token.
    pub(super) fn unexpected<T>(&self, expected: &str) -> Result<T> {
        let found = match &self.parser.peek_token_ref().token {
            Token::EOF => "end of statement".to_string(),
            token => shortened(&token.to_string()),
        };
        Err(syntax(&format!("expected {expected}, found {found}"), self.position()))
    }

    /// One or more things between commas; a comma before a closing parenthesis or the end is forgiven.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.accept_token(&Token::Comma) {
            if self.at_token(&Token::RParen) || self.at_end() {
                break;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `( item, ... )`.
    pub(super) fn in_parentheses<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let items = self.list(item)?;
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    /// The name of a column or the like, normalised.
    pub(super) fn identifier(&mut self) -> Result<String> {
        match &self.parser.peek_token_ref().token {
            Token::Word(word) => {
                let name = if word.quote_style.is_none() { word.value.to_lowercase() } else { word.value.clone() };
                self.parser.advance_token();
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    /// The name of a relation, normalised, with what stands before it.
    pub(super) fn name(&mut self) -> Result<Name> {
        let at = self.position();
        let mut parts = vec![self.identifier()?];
        while self.accept_token(&Token::Period) {
            parts.push(self.identifier()?);
        }
        Ok(Name::new(parts, at))
    }

    /// A setting's name: words with dots, lower case.
    pub(super) fn dotted(&mut self) -> Result<String> {
        let mut name = self.identifier()?;
        while self.accept_token(&Token::Period) {
            name.push('.');
            name.push_str(&self.identifier()?);
        }
        Ok(name.to_lowercase())
    }

    /// A string literal.
    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        match self.string_here() {
            Some(text) => {
                self.parser.advance_token();
                Ok(text)
            }
            None => self.unexpected(what),
        }
    }

    /// Whether a string literal comes next.
    pub(super) fn at_string(&self) -> bool {
        self.string_here().is_some()
    }

    fn string_here(&self) -> Option<String> {
        match &self.parser.peek_token_ref().token {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text.clone()),
            Token::DollarQuotedString(quoted) => Some(quoted.value.clone()),
            _ => None,
        }
    }

    /// An expression, rewritten.
    pub(super) fn expression(&mut self) -> Result<ast::Expr> {
        let mut expression = self.parser.parse_expr()?;
        rewrite::on_reading(&mut expression)?;
        Ok(expression)
    }

    /// An expression, rewritten, with its text.
    pub(super) fn expression_text(&mut self) -> Result<ExpressionText> {
        let start = self.parser.index();
        let expression = self.expression()?;
        Ok(ExpressionText { expression, text: self.text_since(start) })
    }

    /// A query, rewritten.
    pub(super) fn query(&mut self) -> Result<Box<ast::Query>> {
        let mut query = self.parser.parse_query()?;
        rewrite::on_reading(query.as_mut())?;
        Ok(query)
    }

    /// A query and its EMIT clause.
    pub(super) fn query_with_emit(&mut self) -> Result<(Box<ast::Query>, Option<Emit>)> {
        let query = self.query()?;
        Ok((query, self.emit()?))
    }

    /// The name of a relation, or a query, with or without parentheses; the path of a file is a query of it.
    pub(super) fn relation_or_query(&mut self) -> Result<RelationOrQuery> {
        if self.at_query() {
            return Ok(RelationOrQuery::Query(self.query()?));
        }
        if self.at_string() {
            let start = self.parser.index();
            self.string("a path in quotes")?;
            return Ok(RelationOrQuery::Query(self.select_columns(start, &[])?));
        }
        Ok(RelationOrQuery::Relation(self.name()?))
    }

    /// A query, rewritten, with its text.
    pub(super) fn query_text(&mut self) -> Result<(Box<ast::Query>, String)> {
        let start = self.parser.index();
        let query = self.query()?;
        Ok((query, self.text_since(start)))
    }

    /// Whether a query comes next.
    pub(super) fn at_query(&self) -> bool {
        self.at_any(&["SELECT", "WITH", "FROM"])
            || (self.at_any(&["VALUES"]) && self.parser.peek_nth_token_ref(1).token == Token::LParen)
            || (self.at_any(&["TABLE"]) && matches!(self.parser.peek_nth_token_ref(1).token, Token::Word(_)))
            || self.at_parenthesized_query()
    }

    /// Whether a query in parentheses comes next.
    pub(super) fn at_parenthesized_query(&self) -> bool {
        let mut ahead = 0;
        while self.parser.peek_nth_token_ref(ahead).token == Token::LParen {
            ahead += 1;
        }
        let is = |word: &str| self.peek(ahead).eq_ignore_ascii_case(word);
        // A list of columns may begin with one that is called `values`.
        let rows = is("VALUES") && self.parser.peek_nth_token_ref(ahead + 1).token == Token::LParen;
        ahead > 0 && (is("SELECT") || is("WITH") || is("FROM") || rows)
    }

    /// `SELECT columns FROM name`, all columns where none are given; the name is read again at the token `start`.
    pub(super) fn select_columns(&self, start: usize, columns: &[String]) -> Result<Box<ast::Query>> {
        let mut tokens = vec![Token::make_keyword("SELECT")];
        if columns.is_empty() {
            tokens.push(Token::Mul);
        }
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                tokens.push(Token::Comma);
            }
            tokens.push(Token::make_word(column, Some('"')));
        }
        tokens.push(Token::make_keyword("FROM"));
        let span = self.parser.token_at(start).span;
        let mut tokens: Vec<_> = tokens.into_iter().map(|token| TokenWithSpan { token, span }).collect();
        let mut at = start;
        loop {
            tokens.push(self.parser.token_at(at).clone());
            if self.parser.token_at(at + 1).token != Token::Period {
                break;
            }
            tokens.push(self.parser.token_at(at + 1).clone());
            at += 2;
        }
        let mut query = parser(self.dialect).with_tokens_with_locations(tokens).parse_query()?;
        rewrite::on_reading(query.as_mut())?;
        Ok(query)
    }

    /// The text from the token at index `start` up to here.
    pub(super) fn text_since(&self, start: usize) -> String {
        let end = self.parser.index();
        if end <= start {
            return String::new();
        }
        let (first, last) = (self.parser.token_at(start), self.parser.token_at(end - 1));
        self.source.slice(first.span.start, last.span.end).to_string()
    }

    /// `EMIT ON WINDOW CLOSE`, `EMIT FINAL`, `EMIT CHANGES`, if it comes next.
    pub(super) fn emit(&mut self) -> Result<Option<Emit>> {
        if !self.accept(&["EMIT"]) {
            return Ok(None);
        }
        if self.accept(&["ON", "WINDOW", "CLOSE"]) || self.accept(&["FINAL"]) {
            return Ok(Some(Emit::OnWindowClose));
        }
        if self.accept(&["CHANGES"]) {
            return Ok(None);
        }
        self.unexpected("ON WINDOW CLOSE, FINAL or CHANGES after EMIT")
    }

    /// `IF NOT EXISTS`, if it comes next.
    pub(super) fn if_not_exists(&mut self) -> bool {
        self.accept(&["IF", "NOT", "EXISTS"])
    }

    /// `IF EXISTS`, if it comes next.
    pub(super) fn if_exists(&mut self) -> bool {
        self.accept(&["IF", "EXISTS"])
    }

    /// `WITH (...)`, if it comes next.
    pub(super) fn with_options(&mut self) -> Result<Options> {
        let open = self.parser.peek_nth_token_ref(1).token == Token::LParen;
        if open && self.accept(&["WITH"]) { self.options() } else { Ok(Options::default()) }
    }

    /// `( key = value, ... )`; also `key value` and `key` alone, as COPY writes them.
    pub(super) fn options(&mut self) -> Result<Options> {
        let mut options = Options::default();
        self.expect_token(&Token::LParen)?;
        while !self.accept_token(&Token::RParen) {
            let at = self.position();
            let key = self.option_key()?;
            let value = self.option_value()?;
            if !options.insert(&key, value, at) {
                return Err(syntax(&format!("option \"{key}\" is given twice"), at));
            }
            if !self.accept_token(&Token::Comma) && !self.at_token(&Token::RParen) {
                return self.unexpected(", or ) after an option");
            }
        }
        Ok(options)
    }

    fn option_key(&mut self) -> Result<String> {
        if let Some(key) = self.string_here() {
            self.parser.advance_token();
            return Ok(key);
        }
        if matches!(&self.parser.peek_token_ref().token, Token::Word(word) if word.quote_style.is_some()) {
            return self.identifier();
        }
        self.dotted()
    }

    fn option_value(&mut self) -> Result<String> {
        let has_sign = self.accept_token(&Token::Eq) || self.accept_token(&Token::RArrow);
        if !has_sign && (self.at_token(&Token::Comma) || self.at_token(&Token::RParen)) {
            return Ok("true".to_string());
        }
        if let Some(text) = self.string_here() {
            self.parser.advance_token();
            return Ok(text);
        }
        let start = self.parser.index();
        let mut depth = 0_usize;
        loop {
            match &self.parser.peek_token_ref().token {
                Token::Comma | Token::RParen if depth == 0 => break,
                Token::EOF => return self.unexpected(")"),
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.parser.advance_token();
        }
        if self.parser.index() == start {
            return self.unexpected("a value");
        }
        Ok(self.text_since(start))
    }

    /// The rest of the statement as text: a single string literal without its quotes, all else as typed.
    pub(super) fn rest(&mut self, what: &str) -> Result<String> {
        if let Some(text) = self.string_here()
            && self.parser.peek_nth_token_ref(1).token == Token::EOF
        {
            self.parser.advance_token();
            return Ok(text);
        }
        let start = self.parser.index();
        while !self.at_end() {
            self.parser.advance_token();
        }
        if self.parser.index() == start {
            return self.unexpected(what);
        }
        Ok(self.text_since(start))
    }

    /// An unsigned whole number.
    pub(super) fn unsigned(&mut self, what: &str) -> Result<u64> {
        let number = match &self.parser.peek_token_ref().token {
            Token::Number(digits, _) => digits.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => {
                self.parser.advance_token();
                Ok(number)
            }
            None => self.unexpected(what),
        }
    }

    /// Refuses RETURNING.
    pub(super) fn no_returning(&self) -> Result<()> {
        if self.at(&["RETURNING"]) {
            return Err(unsupported("RETURNING is not supported", self.position()).with_hint("run a SELECT afterwards"));
        }
        Ok(())
    }
}

fn parser(dialect: &EddyDialect) -> Parser<'_> {
    Parser::new(dialect)
        .with_recursion_limit(RECURSION_MAX)
        .with_options(ParserOptions::new().with_trailing_commas(true))
}
