//! `similar_to_escape`: a pattern of SIMILAR TO as a regular expression.
//!
//! `a SIMILAR TO p ESCAPE e` is `a ~ similar_to_escape(p, e)`, as in PostgreSQL: the expression is one for the whole
//! text. In such a pattern `%` stands for any text and `_` for any character; `| * + ? {m,n} ( ) [ ]` mean what they
//! mean in regular expressions, and everything else stands for itself. A character behind the escape, `\` unless
//! another is given, stands for itself too, except for `\d`, `\s` and `\w`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::types::sql_type_name;
use crate::operator::error::to_datafusion;
use crate::sql::rewrite::SIMILAR_TO_ESCAPE;

/// `similar_to_escape(pattern [, escape])`.
pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(SimilarToEscape { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SimilarToEscape {
    signature: Signature,
}

impl ScalarUDFImpl for SimilarToEscape {
    fn name(&self) -> &str {
        SIMILAR_TO_ESCAPE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        let is_text = |data_type: &DataType| data_type.is_string() || data_type.is_null();
        if !(1..=2).contains(&types.len()) || !types.iter().all(is_text) {
            let types: Vec<String> = types.iter().map(sql_type_name).collect();
            let message = format!("function {SIMILAR_TO_ESCAPE}({}) does not exist", types.join(", "));
            let error = Error::new(ErrorKind::Type, message).with_sqlstate("42883");
            return Err(to_datafusion(error.with_hint("a pattern of SIMILAR TO is a text")));
        }
        Ok(vec![DataType::Utf8View; types.len()])
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Utf8View)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let texts = args.args.iter().map(|argument| cast_to_text(&argument.to_array(args.number_rows)?));
        let texts = texts.collect::<DataFusionResult<Vec<_>>>()?;
        let value = |row: usize| match texts.as_slice() {
            [pattern] if pattern.is_valid(row) => regular_expression(pattern.value(row), "\\").map(Some),
            [pattern, escape] if pattern.is_valid(row) && escape.is_valid(row) => {
                regular_expression(pattern.value(row), escape.value(row)).map(Some)
            }
            _ => Ok(None),
        };
        let values = (0..args.number_rows).map(value).collect::<Result<Vec<_>>>().map_err(to_datafusion)?;
        let values: ArrayRef = Arc::new(StringViewArray::from_iter(values));
        Ok(ColumnarValue::Array(values))
    }
}

fn cast_to_text(array: &ArrayRef) -> DataFusionResult<StringViewArray> {
    Ok(cast(array, &DataType::Utf8View)?.as_string_view().clone())
}

/// The pattern as a regular expression for the whole text.
fn regular_expression(pattern: &str, escape: &str) -> Result<String> {
    let mut escapes = escape.chars();
    let escape = escapes.next();
    if escapes.next().is_some() {
        let error = Error::data("invalid escape string").with_sqlstate("22025");
        return Err(error.with_hint("it is one character, or empty for none"));
    }
    let mut regular = String::from("(?s)^(?:");
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            _ if Some(character) == escape => escaped(rest.next(), &mut regular)?,
            '%' => regular.push_str(".*"),
            '_' => regular.push('.'),
            '(' => regular.push_str("(?:"),
            '|' | '*' | '+' | '?' | '{' | '}' | ')' | ',' => regular.push(character),
            '[' => class(&mut rest, escape, &mut regular)?,
            other => literal(other, &mut regular),
        }
    }
    regular.push_str(")$");
    Ok(regular)
}

/// What stands between brackets, the first of which has been read.
fn class(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    escape: Option<char>,
    regular: &mut String,
) -> Result<()> {
    regular.push('[');
    if rest.next_if_eq(&'^').is_some() {
        regular.push('^');
    }
    let mut first = true;
    while let Some(character) = rest.next() {
        match character {
            // Only a bracket that comes first is none.
            ']' if !first => {
                regular.push(']');
                return Ok(());
            }
            _ if Some(character) == escape => escaped(rest.next(), regular)?,
            '[' if rest.peek() == Some(&':') => {
                regular.push('[');
                for character in rest.by_ref() {
                    regular.push(character);
                    if character == ']' {
                        break;
                    }
                }
            }
            '-' => regular.push('-'),
            other => literal(other, regular),
        }
        first = false;
    }
    Err(Error::data("invalid regular expression: brackets [] not balanced").with_sqlstate("2201B"))
}

/// The character behind an escape.
fn escaped(character: Option<char>, regular: &mut String) -> Result<()> {
    match character {
        Some(class @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => regular.extend(['\\', class]),
        Some(other) => literal(other, regular),
        None => {
            let error = Error::data("the pattern ends with its escape character").with_sqlstate("22025");
            return Err(error.with_hint("write the character twice for itself"));
        }
    }
    Ok(())
}

/// A character that stands for itself.
fn literal(character: char, regular: &mut String) {
    if !character.is_alphanumeric() && character.is_ascii() && !character.is_ascii_control() && character != ' ' {
        regular.push('\\');
    }
    regular.push(character);
}
