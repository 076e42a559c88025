//! Messages of the libraries below, in the words of SQL.
//!
//! Arrow and DataFusion speak of `Utf8View`, `Int64(5)`, of themselves and of the functions and columns that plans are
//! made with. [`reword`] turns types into SQL's names, literals into SQL's literals, takes names that only plans know
//! back to what the user wrote, and drops the labels of error classes. It promises to end and to keep what it does not
//! know; it never looks into quoted text. Arrow's errors become ours here.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::error::{Error, ErrorKind};
use super::types::sql_type_name;

/// Labels that say which library an error went through.
const LABELS: &[&str] = &[
    "Arrow error: ",
    "External error: ",
    "Execution error: ",
    "Error during planning: ",
    "Optimizer error: ",
    "Schema error: ",
    "Internal error: ",
    "SQL error: ",
    "ParserError: ",
    "This feature is not implemented: ",
    "Not yet implemented: ",
    "Invalid or Unsupported Configuration: ",
    "Invalid argument error: ",
    "Arithmetic overflow: ",
    "Cast error: ",
    "Compute error: ",
    "Parser error: ",
    "Csv error: ",
    "Json error: ",
    "Parquet error: ",
    "Ipc error: ",
    "Resources exhausted: ",
    "Object Store error: ",
    "type_coercion\ncaused by\n",
    "caused by\n",
];

/// What follows these words speaks of the library, not of the statement.
const TAILS: &[&str] =
    &["This issue was likely caused by a bug", "This was likely caused by a bug", "\n\nbacktrace:", "Backtrace:"];

/// Arrow's types that need no look at what follows, and those that are also words of English.
const PLAIN: &[&str] = &[
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float16",
    "Float32",
    "Float64",
    "Utf8",
    "LargeUtf8",
    "Utf8View",
    "LargeBinary",
    "BinaryView",
    "Date32",
    "Date64",
    "Null",
    "Boolean",
    "Binary",
];

/// Arrow's types with arguments, and DataFusion's names of literals.
const WITH_ARGUMENTS: &[&str] = &[
    "FixedSizeBinary",
    "Time32",
    "Time64",
    "Timestamp",
    "Interval",
    "Duration",
    "List",
    "LargeList",
    "FixedSizeList",
    "ListView",
    "LargeListView",
    "Struct",
    "Map",
    "Decimal32",
    "Decimal64",
    "Decimal128",
    "Decimal256",
    "Dictionary",
    "TimestampSecond",
    "TimestampMillisecond",
    "TimestampMicrosecond",
    "TimestampNanosecond",
    "Time64Microsecond",
    "Time64Nanosecond",
    "IntervalMonthDayNano",
    "IntervalYearMonth",
    "IntervalDayTime",
    "DurationMicrosecond",
];

/// The message in the words of SQL, lower case at the start.
pub fn reword(message: &str) -> String {
    let mut text = message.to_string();
    for tail in TAILS {
        if let Some(at) = text.find(tail) {
            text.truncate(at);
        }
    }
    for label in LABELS {
        text = text.replace(label, "");
    }
    let text = words(text.trim_end_matches(['.', ' ', '\n']), 0);
    let text = text.replace(" a INTE", " an INTE");
    let text = lower_first(text.trim());
    bad_value(&text).unwrap_or(text)
}

/// Arrow's sentences about a value that does not fit its type, as PostgreSQL says them.
fn bad_value(text: &str) -> Option<String> {
    if text.contains("regex parse error:") {
        let reason = text.rsplit("error: ").next().and_then(|reason| reason.lines().next())?;
        return Some(format!("invalid regular expression: {reason}"));
    }
    let quoted = text.strip_prefix("cannot cast string '").or_else(|| text.strip_prefix("cannot cast value '"));
    if let Some(rest) = quoted {
        let (value, data_type) = rest.rsplit_once("' to value of ")?;
        let data_type = data_type.strip_suffix(" type")?;
        return Some(format!("invalid input syntax for type {data_type}: \"{value}\""));
    }
    if let Some(rest) = text.strip_prefix("can't cast value ") {
        let (value, data_type) = rest.rsplit_once(" to type ")?;
        return Some(format!("value {value} is out of range for type {data_type}"));
    }
    if let Some(rest) = text.strip_prefix("error parsing timestamp from '") {
        let (value, reason) = rest.rsplit_once("': ")?;
        return Some(format!("invalid input syntax for type TIMESTAMP: \"{value}\" ({reason})"));
    }
    None
}

/// The message with a lower-case first letter, unless the first word is an acronym or a name in capitals.
pub fn lower_first(message: &str) -> String {
    let mut letters = message.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => message.to_string(),
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        use ArrowError as A;
        let kind = match &error {
            A::DivideByZero | A::ArithmeticOverflow(_) | A::CastError(_) | A::ParseError(_) | A::ComputeError(_) => {
                ErrorKind::Data
            }
            A::CsvError(_) | A::JsonError(_) => ErrorKind::Data,
            // Arrow has no class of its own for a decimal that does not fit.
            A::InvalidArgumentError(text) if is_decimal_overflow(text) => ErrorKind::Data,
            A::IoError(_, _) | A::IpcError(_) | A::ParquetError(_) => ErrorKind::Io,
            A::MemoryError(_) => ErrorKind::Resource,
            A::NotYetImplemented(_) => ErrorKind::Unsupported,
            _ => ErrorKind::Internal,
        };
        let sqlstate = match &error {
            A::DivideByZero => "22012",
            A::ArithmeticOverflow(_) => "22003",
            A::InvalidArgumentError(text) if is_decimal_overflow(text) => "22003",
            A::CastError(text) if text.starts_with("Can't cast value") => "22003",
            A::CastError(_) | A::ParseError(_) => "22P02",
            _ => kind.sqlstate(),
        };
        let message = match &error {
            A::DivideByZero => "division by zero".to_string(),
            other => reword(&other.to_string()),
        };
        Error::new(kind, message).with_sqlstate(sqlstate).with_source(error)
    }
}

fn is_decimal_overflow(text: &str) -> bool {
    text.contains("to store in a Decimal")
}

/// How deep types and calls in one another are followed.
const DEPTH_MAX: usize = 32;

fn words(text: &str, depth: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        // Not the apostrophe of "can't".
        if first == '\'' && !is_word(before) {
            let end = rest[1..].find('\'').map_or(rest.len(), |at| at + 2);
            out.push_str(&rest[..end]);
            (rest, before) = (&rest[end..], '\'');
            continue;
        }
        let is_start = (first.is_alphabetic() || first == '_' || first == '$') && !is_word(before);
        if !is_start {
            out.push(first);
            (rest, before) = (&rest[first.len_utf8()..], first);
            continue;
        }
        let end = rest.char_indices().skip(1).find(|(_, ch)| !is_word(*ch)).map_or(rest.len(), |(at, _)| at);
        let (word, after) = rest.split_at(end);
        let arguments = arguments(after).filter(|_| depth < DEPTH_MAX);
        let (put, taken) = replaced(word, arguments, depth);
        out.push_str(&put);
        (rest, before) = (&after[taken..], 'a');
    }
    out
}

fn is_word(ch: char) -> bool {
    ch.is_alphanumeric() || ch == '_' || ch == '$'
}

/// What stands between the parenthesis that opens `text` and the one that closes it.
fn arguments(text: &str) -> Option<&str> {
    if !text.starts_with('(') {
        return None;
    }
    let (mut depth, mut quote) = (0_usize, None);
    for (at, ch) in text.char_indices() {
        match (quote, ch) {
            (Some(open), ch) if open == ch => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(ch),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return text.get(1..at);
        }
    }
    None
}

/// What a word becomes, and how much of the text behind it goes with it.
fn replaced(word: &str, arguments: Option<&str>, depth: usize) -> (String, usize) {
    let whole = arguments.map_or(0, |arguments| arguments.len() + 2);
    if word == "$__now" {
        return ("now()".to_string(), 0);
    }
    if let Some(column) = word.strip_prefix("__excluded_") {
        return (format!("excluded.{column}"), 0);
    }
    if let Some(function) = word.strip_prefix("eddy_") {
        return match (function, arguments) {
            ("canonical" | "cast" | "order_key", Some(arguments)) => (words(arguments, depth + 1), whole),
            ("except_all", _) => ("EXCEPT ALL".to_string(), 0),
            ("intersect_all", _) => ("INTERSECT ALL".to_string(), 0),
            _ => (function.to_string(), 0),
        };
    }
    let typed = |text: &str| text.parse::<DataType>().ok().map(|data_type| sql_type_name(&data_type));
    let with_arguments = PLAIN.contains(&word) || WITH_ARGUMENTS.contains(&word);
    if let (true, Some(arguments)) = (with_arguments, arguments) {
        let put = typed(&format!("{word}({arguments})")).unwrap_or_else(|| literal(word, arguments, depth));
        return (put, whole);
    }
    match word {
        "Timestamp" => ("TIMESTAMP".to_string(), 0),
        "Interval" => ("INTERVAL".to_string(), 0),
        "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => ("DECIMAL".to_string(), 0),
        _ if PLAIN.contains(&word) => (typed(word).unwrap_or_else(|| word.to_string()), 0),
        "DataFusion" => ("the engine".to_string(), 0),
        _ => (word.to_string(), 0),
    }
}

/// `Int64(5)` is 5, `Utf8("a")` is 'a', `Decimal128(Some(150),5,2)` is 1.50.
fn literal(word: &str, arguments: &str, depth: usize) -> String {
    if let Some(text) = arguments.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        return format!("'{text}'");
    }
    if arguments.starts_with("None") || arguments.starts_with("NULL") {
        return "NULL".to_string();
    }
    if word.starts_with("Decimal")
        && let Some(text) = decimal(arguments)
    {
        return text;
    }
    words(&arguments.replace("Some(", "").replace(')', ""), depth + 1)
}

fn decimal(arguments: &str) -> Option<String> {
    let (value, rest) = arguments.strip_prefix("Some(")?.split_once(')')?;
    let scale: usize = rest.rsplit(',').next()?.trim().parse().ok().filter(|scale| *scale <= 76)?;
    let (sign, digits) = value.strip_prefix('-').map_or(("", value), |digits| ("-", digits));
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Some(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_literals_are_sqls() {
        let cases = [
            (
                "Cast error: Cannot cast string 'Int64' to value of Int64 type",
                "invalid input syntax for type BIGINT: \"Int64\"",
            ),
            ("Cannot coerce Utf8View and List(Int32)", "cannot coerce TEXT and INTEGER[]"),
            (
                "Invalid argument error: 123.45 is too large to store in a Decimal128 of precision 4",
                "123.45 is too large to store in a DECIMAL of precision 4",
            ),
            ("x = Int64(5) AND y = Utf8(\"a b\")", "x = 5 AND y = 'a b'"),
            ("Decimal128(Some(-150),5,2) or Decimal128(10, 2)", "-1.50 or DECIMAL(10,2)"),
            ("eddy_canonical(t.a + Float64(1)) < $__now", "t.a + 1 < now()"),
            ("Timestamp(µs, \"UTC\") and Interval(MonthDayNano)", "TIMESTAMPTZ and INTERVAL"),
            ("Internal error: oops. This issue was likely caused by a bug in DataFusion's code.", "oops"),
            ("Expected a Int32 or a Interval(MonthDayNano)", "expected an INTEGER or an INTERVAL"),
            ("no column __excluded_b", "no column excluded.b"),
        ];
        for (given, expected) in cases {
            assert_eq!(reword(given), expected);
        }
    }

    #[test]
    fn any_text_ends() {
        for text in ["", "(((", "List(", "Int64(\"", "'", "Utf8(Utf8(Utf8(", "é$", "Decimal128(Some(", "eddy_"] {
            reword(text);
        }
    }
}
