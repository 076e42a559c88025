//! Operators and literals in words that the binder knows, and those that nothing below binds, refused by their names.
//!
//! `~a` is an exclusive or, `|/ a`, `@ a`, `a ^@ b` and `l && m` are calls, `LIKE ANY (..)` is a chain of LIKE, `U&'..'`
//! is a text, `COLLATE "C"` is how texts compare anyway.

use sqlparser::ast::{
    BinaryOperator, CeilFloorKind, DateTimeField, Expr, ObjectName, UnaryOperator, Value, ValueWithSpan,
};

use super::build::{arguments_of, call, number, take};
use super::row_values::{SYMMETRIC, all, any, nested};
use crate::base::error::{Error, ErrorKind, Result};
use crate::sql::error::{located, place};

/// Rewrites an expression whose parts are rewritten.
pub(super) fn expression(expr: &mut Expr) -> Result<()> {
    if let Some(new) = plain(expr) {
        *expr = new;
    }
    if let Expr::Trim { trim_characters: Some(characters), .. } = expr
        && characters.len() > 1
    {
        // The binder would take the first alone.
        let error = Error::new(ErrorKind::Type, "trim() takes a text and the characters to trim, one text of them");
        return Err(located(error.with_sqlstate("42883"), place(&*expr)));
    }
    match refused(expr) {
        // Only now: to find the place means to walk all of the expression.
        Some((what, hint)) => {
            let error = Error::unsupported(format!("{what} is not supported"));
            let error = if hint.is_empty() { error } else { error.with_hint(hint) };
            Err(located(error, place(&*expr)))
        }
        None => Ok(()),
    }
}

/// The expression in other words, if there are any.
fn plain(expr: &mut Expr) -> Option<Expr> {
    match expr {
        // `-a ^ b` is `(-a) ^ b`; the parser takes the sign for that of the power.
        Expr::UnaryOp { op: op @ UnaryOperator::Minus, expr } if is_power(expr) => {
            let sign = *op;
            let mut power = take(expr);
            sign_base(&mut power, sign);
            Some(power)
        }
        Expr::UnaryOp { op, expr } => {
            let function = match op {
                UnaryOperator::PGAbs => "abs",
                UnaryOperator::PGSquareRoot => "sqrt",
                UnaryOperator::PGCubeRoot => "cbrt",
                UnaryOperator::PGPrefixFactorial | UnaryOperator::PGPostfixFactorial => "factorial",
                // All bits of -1 are set.
                UnaryOperator::BitwiseNot => {
                    let all_bits = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number(1)) };
                    let (left, right) = (Box::new(nested(take(expr))), Box::new(all_bits));
                    return Some(nested(Expr::BinaryOp { left, op: BinaryOperator::PGBitwiseXor, right }));
                }
                _ => return None,
            };
            Some(call(function, vec![take(expr)]))
        }
        Expr::BinaryOp { left, op, right } => {
            let (function, first, second) = match op {
                BinaryOperator::PGStartsWith => ("starts_with", left, right),
                BinaryOperator::PGOverlap => ("array_has_any", left, right),
                BinaryOperator::AtArrow => ("array_has_all", left, right),
                BinaryOperator::ArrowAt => ("array_has_all", right, left),
                BinaryOperator::PGCustomBinaryOperator(parts) => {
                    *op = named_operator(parts)?;
                    return None;
                }
                _ => return None,
            };
            Some(call(function, vec![take(first), take(second)]))
        }
        Expr::Like { .. } | Expr::ILike { .. } => quantified_like(expr),
        Expr::Value(ValueWithSpan {
            value: Value::UnicodeStringLiteral(text) | Value::NationalStringLiteral(text),
            span,
        }) => Some(Expr::Value(Value::SingleQuotedString(std::mem::take(text)).with_span(*span))),
        Expr::Collate { expr, collation } if is_bytewise(collation) => Some(take(expr)),
        _ => None,
    }
}

fn is_power(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::PGExp | BinaryOperator::BitwiseXor, .. })
}

/// Gives the sign to the first operand of a chain of powers.
fn sign_base(power: &mut Expr, sign: UnaryOperator) {
    match power {
        Expr::BinaryOp { left, .. } if is_power(left) => sign_base(left, sign),
        Expr::BinaryOp { left, .. } => {
            let expr = Box::new(take(left));
            **left = Expr::Nested(Box::new(Expr::UnaryOp { op: sign, expr }));
        }
        _ => {}
    }
}

/// The operator of `OPERATOR(pg_catalog.+)`.
fn named_operator(parts: &[String]) -> Option<BinaryOperator> {
    use BinaryOperator as B;
    let name = match parts {
        [name] => name,
        [schema, name] if schema.eq_ignore_ascii_case("pg_catalog") => name,
        _ => return None,
    };
    Some(match name.as_str() {
        "+" => B::Plus,
        "-" => B::Minus,
        "*" => B::Multiply,
        "/" => B::Divide,
        "%" => B::Modulo,
        "=" => B::Eq,
        "<>" | "!=" => B::NotEq,
        "<" => B::Lt,
        "<=" => B::LtEq,
        ">" => B::Gt,
        ">=" => B::GtEq,
        "||" => B::StringConcat,
        "~" => B::PGRegexMatch,
        "~~" => B::PGLikeMatch,
        _ => return None,
    })
}

/// Whether a collation orders texts by their bytes, as all texts are.
fn is_bytewise(collation: &ObjectName) -> bool {
    let name = collation.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_ascii_lowercase());
    name.is_some_and(|name| {
        ["c", "posix", "ucs_basic", "c.utf8", "c.utf-8", "default", "binary"].contains(&name.as_str())
    })
}

/// `x LIKE ANY ('a%', 'b%')`, `x LIKE ANY (ARRAY['a%', 'b%'])` and ALL, as a chain of LIKE.
fn quantified_like(expr: &Expr) -> Option<Expr> {
    let (is_any, pattern) = match expr {
        Expr::Like { any, pattern, .. } | Expr::ILike { any, pattern, .. } => (*any, pattern.as_ref()),
        _ => return None,
    };
    let all_of = match pattern {
        Expr::Function(function) if !is_any => Some(arguments_of(function, "all")?),
        _ => None,
    };
    let mut pattern = pattern;
    while let Expr::Nested(inner) = pattern
        && let Expr::Nested(_) = inner.as_ref()
    {
        pattern = inner;
    }
    let patterns = match (all_of, pattern) {
        (Some(arguments), _) => match arguments.as_slice() {
            [Expr::Array(array)] => array.elem.clone(),
            _ => arguments,
        },
        (None, Expr::Tuple(patterns)) if is_any => patterns.clone(),
        (None, Expr::Nested(inner)) if is_any => match inner.as_ref() {
            Expr::Array(array) => array.elem.clone(),
            Expr::Value(_) => vec![inner.as_ref().clone()],
            _ => return None,
        },
        _ => return None,
    };
    let one = |pattern: Expr| {
        let mut one = expr.clone();
        if let Expr::Like { any, pattern: place, .. } | Expr::ILike { any, pattern: place, .. } = &mut one {
            (*any, **place) = (false, pattern);
        }
        one
    };
    let patterns = patterns.into_iter().map(one);
    Some(Expr::Nested(Box::new(if is_any { any(patterns.collect()) } else { all(patterns) })))
}

type Refusal = Option<(String, &'static str)>;

fn refusal(what: impl Into<String>, hint: &'static str) -> Refusal {
    Some((what.into(), hint))
}

/// What an expression is called that nothing below binds, and what to write instead.
fn refused(expr: &Expr) -> Refusal {
    match expr {
        Expr::UnaryOp { op, .. } => refused_prefix(op),
        Expr::BinaryOp { op, .. } => refused_operator(op),
        Expr::JsonAccess { .. } => refusal("the path of a value behind a colon", "a field of a struct is s.field"),
        Expr::IsNormalized { .. } => refusal("IS NORMALIZED", ""),
        Expr::InUnnest { .. } => refusal("IN UNNEST (..)", "write x = ANY (list)"),
        Expr::RLike { .. } => refusal("RLIKE", "write text ~ pattern"),
        Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => {
            refusal("LIKE ANY of a computed list", "write EXISTS (SELECT * FROM patterns WHERE x LIKE pattern)")
        }
        Expr::Convert { .. } => refusal("CONVERT", "write CAST (x AS type)"),
        Expr::Cast { format: Some(_), .. } => refusal("CAST with FORMAT", "use to_char, to_date or to_timestamp"),
        Expr::Cast { array: true, .. } => refusal("CAST to ARRAY", "write CAST (x AS type[])"),
        Expr::Ceil { field, .. } | Expr::Floor { field, .. } if !is_plain(field) => {
            refusal("CEIL and FLOOR to a place", "use round, trunc or date_trunc")
        }
        Expr::Collate { collation, .. } => {
            refusal(format!("the collation {collation}"), "texts compare by their bytes, as under COLLATE \"C\"")
        }
        Expr::Prefixed { prefix, .. } if prefix.value == SYMMETRIC => None,
        Expr::Prefixed { .. } => refusal("a literal with a character set", "write the text alone"),
        Expr::Struct { fields, .. } if !fields.is_empty() => {
            refusal("STRUCT with types", "write {'name': value}, or cast it to a STRUCT type")
        }
        Expr::MatchAgainst { .. } => refusal("MATCH .. AGAINST", "use LIKE or ~"),
        Expr::OuterJoin(_) => refusal("the outer join mark (+)", "write LEFT JOIN .. ON .."),
        Expr::Prior(_) => refusal("PRIOR", "write WITH RECURSIVE"),
        Expr::MemberOf(_) => refusal("MEMBER OF", "write x = ANY (list)"),
        Expr::Value(value) => refused_literal(&value.value),
        _ => None,
    }
}

fn is_plain(field: &CeilFloorKind) -> bool {
    matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime))
}

fn refused_literal(value: &Value) -> Refusal {
    match value {
        Value::SingleQuotedByteStringLiteral(_)
        | Value::DoubleQuotedByteStringLiteral(_)
        | Value::TripleSingleQuotedByteStringLiteral(_)
        | Value::TripleDoubleQuotedByteStringLiteral(_) => refusal("a string of bits", "write bytes as x'1F'"),
        Value::SingleQuotedRawStringLiteral(_)
        | Value::DoubleQuotedRawStringLiteral(_)
        | Value::TripleSingleQuotedRawStringLiteral(_)
        | Value::TripleDoubleQuotedRawStringLiteral(_)
        | Value::TripleSingleQuotedString(_)
        | Value::TripleDoubleQuotedString(_)
        | Value::QuoteDelimitedStringLiteral(_)
        | Value::NationalQuoteDelimitedStringLiteral(_) => refusal("this kind of string", "write 'text' or $$text$$"),
        _ => None,
    }
}

fn refused_prefix(op: &UnaryOperator) -> Refusal {
    use UnaryOperator as U;
    match op {
        U::AtDashAt | U::DoubleAt | U::Hash | U::QuestionDash | U::QuestionPipe => {
            refusal(format!("the operator {op} of shapes"), "")
        }
        U::BangNot => refusal("the operator !", "write NOT"),
        _ => None,
    }
}

/// What to do without operators on JSON.
const NO_JSON: &str = "keep what is asked of in columns, structs or lists of their own: s.field, l[1]";

fn refused_operator(op: &BinaryOperator) -> Refusal {
    use BinaryOperator as B;
    match op {
        B::Arrow
        | B::LongArrow
        | B::HashArrow
        | B::HashLongArrow
        | B::HashMinus
        | B::AtQuestion
        | B::Question
        | B::QuestionAnd
        | B::QuestionPipe => refusal(format!("the operator {op} of JSON"), NO_JSON),
        B::AtAt => refusal("the operator @@ of text search", "use LIKE or ~"),
        B::DoubleHash
        | B::LtDashGt
        | B::AndLt
        | B::AndGt
        | B::LtLtPipe
        | B::PipeGtGt
        | B::AndLtPipe
        | B::PipeAndGt
        | B::LtCaret
        | B::GtCaret
        | B::QuestionHash
        | B::QuestionDash
        | B::QuestionDashPipe
        | B::QuestionDoublePipe
        | B::At
        | B::TildeEq => refusal(format!("the operator {op} of shapes"), ""),
        B::Xor => refusal("XOR", "write a <> b"),
        B::Match | B::Regexp => refusal(format!("the operator {op}"), "write text ~ pattern"),
        B::MyIntegerDivide | B::DuckIntegerDivide => {
            refusal(format!("the operator {op}"), "use / between integers, or trunc(a / b)")
        }
        B::Assignment => refusal("the operator :=", "write = to compare, => to name an argument"),
        B::Custom(name) => refusal(format!("the operator {name}"), ""),
        B::PGCustomBinaryOperator(_) => refusal(format!("{op}"), "write the operator alone"),
        _ => None,
    }
}
