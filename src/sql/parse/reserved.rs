//! Which words may not be names, and where: PostgreSQL's lists, and the words of our own clauses.
//!
//! Only PostgreSQL's reserved words are reserved. The words of our own statements and clauses, and those of other
//! engines that sqlparser knows, are names unless what follows makes them a clause: `FROM t emit` is an alias,
//! `FROM t EMIT ON WINDOW CLOSE` is not. A word behind AS, behind a dot or in quotes is always a name.

use sqlparser::keywords::Keyword::{self as K};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Words that end a list of expressions, so that the comma before them was one too many.
const ENDS_LIST: &[K] = &[
    K::EXCEPT,
    K::FETCH,
    K::FOR,
    K::FROM,
    K::GROUP,
    K::HAVING,
    K::INTERSECT,
    K::INTO,
    K::LIMIT,
    K::OFFSET,
    K::ON,
    K::ORDER,
    K::RETURNING,
    K::SELECT,
    K::UNION,
    K::USING,
    K::WHERE,
    K::WINDOW,
    K::WITH,
    K::END,
];

/// Words that cannot be the name of an output column without AS before them.
const NO_BARE_LABEL: &[K] = &[
    K::ARRAY,
    K::AS,
    K::CREATE,
    K::EXCEPT,
    K::FETCH,
    K::FILTER,
    K::FOR,
    K::FROM,
    K::GRANT,
    K::GROUP,
    K::HAVING,
    K::INTERSECT,
    K::INTO,
    K::LIMIT,
    K::NOTNULL,
    K::OFFSET,
    K::ON,
    K::ORDER,
    K::OVER,
    K::OVERLAPS,
    K::RETURNING,
    K::TO,
    K::UNION,
    K::WHERE,
    K::WINDOW,
    K::WITH,
    K::WITHIN,
    K::END,
    K::LATERAL,
    K::SELECT,
    K::QUALIFY,
];

/// Words that cannot be the name of a relation in FROM without AS before them.
const NO_BARE_ALIAS: &[K] = &[
    K::ALL,
    K::ANALYZE,
    K::AND,
    K::ANY,
    K::ARRAY,
    K::AS,
    K::ASC,
    K::BOTH,
    K::CASE,
    K::CAST,
    K::CHECK,
    K::COLLATE,
    K::COLUMN,
    K::CONSTRAINT,
    K::CREATE,
    K::DEFAULT,
    K::DESC,
    K::DISTINCT,
    K::DO,
    K::ELSE,
    K::END,
    K::EXCEPT,
    K::FALSE,
    K::FETCH,
    K::FOR,
    K::FOREIGN,
    K::FROM,
    K::GRANT,
    K::GROUP,
    K::HAVING,
    K::IN,
    K::INTERSECT,
    K::INTO,
    K::LATERAL,
    K::LIMIT,
    K::NOT,
    K::NULL,
    K::OFFSET,
    K::ON,
    K::ONLY,
    K::OR,
    K::ORDER,
    K::PRIMARY,
    K::REFERENCES,
    K::RETURNING,
    K::SELECT,
    K::TABLE,
    K::THEN,
    K::TO,
    K::TRUE,
    K::UNION,
    K::UNIQUE,
    K::USING,
    K::WHEN,
    K::WHERE,
    K::WINDOW,
    K::WITH,
    K::CROSS,
    K::FULL,
    K::ILIKE,
    K::INNER,
    K::IS,
    K::JOIN,
    K::LEFT,
    K::LIKE,
    K::NATURAL,
    K::NOTNULL,
    K::OUTER,
    K::OVERLAPS,
    K::RIGHT,
    K::SIMILAR,
    K::TABLESAMPLE,
    K::QUALIFY,
];

/// Words that are values of their own, without parentheses.
const VALUES: &[K] = &[
    K::CURRENT_CATALOG,
    K::CURRENT_DATE,
    K::CURRENT_TIME,
    K::CURRENT_TIMESTAMP,
    K::CURRENT_USER,
    K::FALSE,
    K::LOCALTIME,
    K::LOCALTIMESTAMP,
    K::NULL,
    K::SESSION_USER,
    K::TRUE,
    K::USER,
];

/// Whether a keyword of sqlparser is only a name, between the tokens that stand before and behind it.
///
/// What other engines have as operators and clauses is always a name, what needs an argument behind it without one.
pub(super) fn is_name(keyword: K, before: Option<&Token>, next: Option<&Token>) -> bool {
    let opens = next == Some(&Token::LParen);
    match keyword {
        K::DIV | K::MATCH | K::MEMBER | K::REGEXP | K::RLIKE | K::XOR | K::TOP => true,
        // Behind a dot what is a value elsewhere is a name: `e.user.name`.
        _ if VALUES.contains(&keyword) => before == Some(&Token::Period),
        K::CUBE | K::ROLLUP | K::OPERATOR | K::UNNEST => !opens,
        K::INTERVAL => {
            let is_type = match before {
                Some(Token::DoubleColon) => true,
                Some(Token::Word(before)) => before.keyword == K::AS,
                _ => false,
            };
            let has_length = matches!(
                next,
                Some(
                    Token::LParen
                        | Token::Number(..)
                        | Token::SingleQuotedString(_)
                        | Token::EscapedStringLiteral(_)
                        | Token::DollarQuotedString(_)
                        | Token::Placeholder(_)
                )
            );
            !is_type && !has_length
        }
        _ => false,
    }
}

/// The keywords that [`is_name`] may take for names.
pub(super) fn may_be_name(keyword: K) -> bool {
    let has_rule = matches!(
        keyword,
        K::DIV
            | K::MATCH
            | K::MEMBER
            | K::REGEXP
            | K::RLIKE
            | K::XOR
            | K::TOP
            | K::CUBE
            | K::ROLLUP
            | K::OPERATOR
            | K::UNNEST
            | K::INTERVAL
    );
    has_rule || VALUES.contains(&keyword)
}

/// Whether a comma before this word is the end of a list.
pub(super) fn ends_list(keyword: &K) -> bool {
    ENDS_LIST.contains(keyword)
}

/// Whether the word just taken names the output column before it, without AS.
pub(super) fn is_bare_label(keyword: &K, parser: &Parser) -> bool {
    !NO_BARE_LABEL.contains(keyword) && !begins_clause(parser)
}

/// Whether the word just taken names the relation before it, without AS.
pub(super) fn is_bare_alias(keyword: &K, parser: &Parser) -> bool {
    !NO_BARE_ALIAS.contains(keyword) && !begins_clause(parser)
}

/// Whether the word the parser has just taken begins a clause together with what follows.
fn begins_clause(parser: &Parser) -> bool {
    let (taken, next) = (word(parser.get_current_token()), parser.peek_token_ref());
    let follows = |words: &[&str]| words.iter().any(|expected| word(next).eq_ignore_ascii_case(expected));
    let opens = next.token == Token::LParen;
    match taken.to_ascii_uppercase().as_str() {
        "EMIT" if follows(&["ON"]) => word(parser.peek_nth_token_ref(1)).eq_ignore_ascii_case("WINDOW"),
        "EMIT" => matches!(&next.token, Token::Word(next) if !NO_BARE_ALIAS.contains(&next.keyword)),
        "REFRESH" => follows(&["EVERY"]),
        "MINUS" => opens || follows(&["SELECT", "VALUES", "WITH", "TABLE", "ALL", "DISTINCT"]),
        "ASOF" => follows(&["JOIN", "LEFT", "INNER"]),
        "SEMI" | "ANTI" | "GLOBAL" => follows(&["JOIN"]),
        "CLUSTER" | "DISTRIBUTE" | "SORT" | "PARTITION" => follows(&["BY"]),
        "PIVOT" | "UNPIVOT" | "MATCH_RECOGNIZE" | "MATCH_CONDITION" | "SAMPLE" => opens,
        _ => false,
    }
}

/// The unquoted word of a token; empty for any other token.
pub(super) fn word(token: &TokenWithSpan) -> &str {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => &word.value,
        _ => "",
    }
}
