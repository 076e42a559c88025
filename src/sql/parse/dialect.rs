//! The dialect of Eddy as sqlparser sees it: PostgreSQL's words, precedence and literals, DuckDB's friendliness.
//!
//! It promises two things beyond a choice of features. Only PostgreSQL's reserved words are reserved (`reserved`), so
//! that no word of ours is lost as a name. And the work of the parser is bounded: sqlparser tries a parenthesis in FROM
//! first as a subquery, then as a join, which doubles the work at every level; [`EddyDialect`] counts expressions and
//! tables and stops the parser when there are many more than tokens.

use std::any::TypeId;
use std::cell::Cell;

use sqlparser::ast::Expr;
use sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::operand;
use super::reserved::{self, word};

/// The dialect; one value per parsed statement, because it holds the budget of that parse.
#[derive(Debug)]
pub(super) struct EddyDialect {
    /// How many expressions may still be begun.
    budget: Cell<u64>,
}

impl EddyDialect {
    /// A dialect for a statement of so many tokens.
    pub(super) fn new(tokens: usize) -> Self {
        EddyDialect { budget: Cell::new(2_000 + 10 * tokens as u64) }
    }

    /// Whether the parser was stopped because it did too much.
    pub(super) fn is_exhausted(&self) -> bool {
        self.budget.get() == 0
    }

    /// Takes one from the budget; false when it is used up.
    fn spend(&self) -> bool {
        self.budget.set(self.budget.get().saturating_sub(1));
        !self.is_exhausted()
    }
}

/// What sqlparser asks of a dialect and PostgreSQL's answer is also ours.
const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

impl Dialect for EddyDialect {
    /// Some of sqlparser's choices hang on the type of the dialect; there we are PostgreSQL.
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if !self.spend() {
            return Some(Err(ParserError::RecursionLimitExceeded));
        }
        if let Some(operand) = operand::prefix(self, parser) {
            return Some(operand);
        }
        // To sqlparser these words always begin what they begin before a parenthesis.
        let here = word(parser.peek_token_ref());
        let special = ["EXISTS", "STRUCT", "TRIM"].iter().any(|word| word.eq_ignore_ascii_case(here));
        let opens = matches!(parser.peek_nth_token_ref(1).token, Token::LParen | Token::Lt);
        (special && !opens).then(|| parser.parse_identifier().map(Expr::Identifier))
    }

    /// `a IS [NOT] DISTINCT FROM b AND c` ends its operand before AND; sqlparser by itself would take all that follows.
    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        use Keyword::{DISTINCT, FROM, IS, NOT};
        let negated = match () {
            () if parser.parse_keywords(&[IS, DISTINCT, FROM]) => false,
            () if parser.parse_keywords(&[IS, NOT, DISTINCT, FROM]) => true,
            () => return operand::infix(parser, expr),
        };
        let (left, right) = (Box::new(expr.clone()), parser.parse_subexpr(self.prec_value(Precedence::Is)));
        Some(right.map(Box::new).map(|right| match negated {
            true => Expr::IsNotDistinctFrom(left, right),
            false => Expr::IsDistinctFrom(left, right),
        }))
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        // Patterns are operators like any other.
        let is_pattern = matches!(
            parser.peek_token_ref().token,
            Token::Tilde
                | Token::TildeAsterisk
                | Token::ExclamationMarkTilde
                | Token::ExclamationMarkTildeAsterisk
                | Token::DoubleTilde
                | Token::DoubleTildeAsterisk
                | Token::ExclamationMarkDoubleTilde
                | Token::ExclamationMarkDoubleTildeAsterisk
        );
        match is_pattern {
            true => Some(Ok(self.prec_value(Precedence::PgOther))),
            false => POSTGRES.get_next_precedence(parser),
        }
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }

    fn is_select_item_alias(&self, explicit: bool, keyword: &Keyword, parser: &mut Parser) -> bool {
        explicit || reserved::is_bare_label(keyword, parser)
    }

    /// sqlparser asks this only of the word behind a comma: whether it may begin one more expression.
    fn is_column_alias(&self, keyword: &Keyword, _parser: &mut Parser) -> bool {
        !reserved::ends_list(keyword)
    }

    fn is_table_factor_alias(&self, explicit: bool, keyword: &Keyword, parser: &mut Parser) -> bool {
        if !self.spend() {
            // This hook cannot fail, but it can take the tokens away: then every attempt ends at once.
            *parser = Parser::new(&GenericDialect);
            (0..STEPS_BACK).for_each(|_| parser.advance_token());
            return true;
        }
        explicit || reserved::is_bare_alias(keyword, parser)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(keyword)
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('"')
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }

    /// `x -> x + 1` and `lambda x : x + 1`, for array_transform and the like.
    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn support_map_literal_syntax(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }

    fn supports_dictionary_syntax(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_from_first_select(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_interval_options(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_notnull_operator(&self) -> bool {
        true
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }

    fn supports_order_by_all(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_select_wildcard_rename(&self) -> bool {
        true
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    fn supports_trailing_commas(&self) -> bool {
        true
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }
}

/// How far a stopped parser can go back without meeting the start of its tokens, which it must not.
const STEPS_BACK: usize = 1_000;
