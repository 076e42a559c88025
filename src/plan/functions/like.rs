//! `like_escape`: a pattern of LIKE with another escape than `\`, as one with `\`.
//!
//! `a LIKE p ESCAPE e` is `a LIKE like_escape(p, e)`, as in PostgreSQL. An empty escape is none: then `\` stands for
//! itself too.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::base::error::{Error, Result};
use crate::operator::error::to_datafusion;
use crate::sql::rewrite::LIKE_ESCAPE;

/// `like_escape(pattern, escape)`.
pub(super) fn function() -> ScalarUDF {
    let texts = vec![DataType::Utf8View, DataType::Utf8View];
    ScalarUDF::from(LikeEscape { signature: Signature::exact(texts, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LikeEscape {
    signature: Signature,
}

impl ScalarUDFImpl for LikeEscape {
    fn name(&self) -> &str {
        LIKE_ESCAPE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Utf8View)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let texts = args.args.iter().map(|argument| cast(&argument.to_array(args.number_rows)?, &DataType::Utf8View));
        let texts = texts.collect::<std::result::Result<Vec<_>, _>>()?;
        let texts: Vec<&StringViewArray> = texts.iter().map(|text| text.as_string_view()).collect();
        let value = |row: usize| match texts.as_slice() {
            [pattern, escape] if pattern.is_valid(row) && escape.is_valid(row) => {
                with_backslash(pattern.value(row), escape.value(row)).map(Some)
            }
            _ => Ok(None),
        };
        let values = (0..args.number_rows).map(value).collect::<Result<Vec<_>>>().map_err(to_datafusion)?;
        let values: ArrayRef = Arc::new(StringViewArray::from_iter(values));
        Ok(ColumnarValue::Array(values))
    }
}

/// The pattern with `\` for its escape.
fn with_backslash(pattern: &str, escape: &str) -> Result<String> {
    let mut escapes = escape.chars();
    let escape = escapes.next();
    if escapes.next().is_some() {
        let error = Error::data("invalid escape string").with_sqlstate("22025");
        return Err(error.with_hint("it is one character, or empty for none"));
    }
    let mut written = String::new();
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            _ if Some(character) == escape => match rest.next() {
                Some(next) => written.extend(['\\', next]),
                None => {
                    let error = Error::data("the pattern ends with its escape character").with_sqlstate("22025");
                    return Err(error.with_hint("write the character twice for itself"));
                }
            },
            '\\' => written.push_str("\\\\"),
            other => written.push(other),
        }
    }
    Ok(written)
}
