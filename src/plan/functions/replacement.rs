//! `regexp_replace` with the replacements of PostgreSQL: `\1` to `\9` are groups of the match, `\&` is the match, `\\` a
//! backslash, and nothing else means anything. DataFusion reads those of Rust, where `$1` is a group too.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

const REGEXP_REPLACE: &str = "regexp_replace";

/// The function as it is registered.
pub(super) fn adapted(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    if function.name() != REGEXP_REPLACE {
        return function;
    }
    let texts = |count: usize| TypeSignature::Exact(vec![DataType::Utf8View; count]);
    let signature = Signature::one_of(vec![texts(3), texts(4)], Volatility::Immutable);
    Arc::new(ScalarUDF::from(RegexpReplace { function, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RegexpReplace {
    function: Arc<ScalarUDF>,
    signature: Signature,
}

impl ScalarUDFImpl for RegexpReplace {
    fn name(&self) -> &str {
        REGEXP_REPLACE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.inner().return_type(types)
    }

    fn is_strict(&self) -> bool {
        self.function.inner().is_strict()
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(replacement) = args.args.get_mut(2) {
            *replacement = match replacement {
                // One for all rows stays one: DataFusion is faster then.
                ColumnarValue::Scalar(value) => {
                    let written = value.try_as_str().flatten().map(in_rust);
                    ColumnarValue::Scalar(ScalarValue::Utf8View(written))
                }
                ColumnarValue::Array(values) => {
                    let values = cast(values, &DataType::Utf8View)?;
                    let written = values.as_string_view().iter().map(|value| value.map(in_rust));
                    let written: ArrayRef = Arc::new(written.collect::<StringViewArray>());
                    ColumnarValue::Array(written)
                }
            };
        }
        self.function.invoke_with_args(args)
    }
}

/// A replacement of PostgreSQL as DataFusion reads it.
fn in_rust(replacement: &str) -> String {
    let mut written = String::new();
    let mut rest = replacement.chars().peekable();
    while let Some(character) = rest.next() {
        let next = rest.peek().copied();
        match (character, next) {
            ('\\', Some('&')) => written.push_str("${0}"),
            ('\\', Some(group @ '0'..='9')) => written.extend(['$', '{', group, '}']),
            ('\\', _) => {
                written.push('\\');
                // DataFusion would take a digit that follows for a group: a name of no group is nothing.
                written.push_str("${none}");
            }
            ('$', _) => written.push_str("$$"),
            (other, _) => written.push(other),
        }
        if character == '\\' && matches!(next, Some('&' | '0'..='9' | '\\')) {
            rest.next();
        }
    }
    written
}
