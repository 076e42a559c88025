//! What DataFusion says of a wrong statement, as PostgreSQL says it, with its SQLSTATE.
//!
//! Only sentences that would show the insides of the planner, or that have a SQLSTATE of their own, are here; all
//! others go through [`crate::base::wording`]. A sentence that DataFusion changes falls back to that.

use crate::base::error::{Error, ErrorKind};
use crate::base::wording::{lower_first, reword};

/// The error that a sentence stands for, if it is one of those here.
pub fn translate(message: &str) -> Option<Error> {
    subscript(message)
        .or_else(|| call(message))
        .or_else(|| misplaced(message))
        .or_else(|| operator(message))
        .or_else(|| shape(message))
        .or_else(|| argument(message))
}

fn error(kind: ErrorKind, sqlstate: &'static str, message: impl Into<String>) -> Option<Error> {
    Some(Error::new(kind, message).with_sqlstate(sqlstate))
}

/// What stands between two texts.
fn between<'a>(message: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// A function that takes other arguments.
fn call(message: &str) -> Option<Error> {
    let call = between(message, "No function matches the given name and argument types '", "'. You might")?;
    let error = error(ErrorKind::Type, "42883", format!("function {} does not exist", reword(call)))?;
    Some(error.with_hint("there is one of that name with other arguments: cast them, or give as many as it takes"))
}

/// What the call of a slice with wrong arguments is said to be.
const SLICE: &str = "No function matches the given name and argument types 'array_slice(";

/// A subscript that is no integer, or of what is no list; to DataFusion it is the argument of a function.
fn subscript(message: &str) -> Option<Error> {
    const CALL: &str = "No function matches the given name and argument types 'array_element(";
    if let Some(types) = between(message, CALL, ")'. You might").or_else(|| between(message, SLICE, ")'. You might"))
        && !types.starts_with("List(")
        && let Some((of, _)) = types.split_once(", ")
    {
        let error = error(ErrorKind::Type, "42804", format!("{} has no subscripts: it is no list", reword(of)))?;
        return Some(match of.starts_with("Utf8") {
            true => error.with_hint("substring(text, start, length) takes a part of a text"),
            false => error,
        });
    }
    let (_, subscript) = between(message, CALL, ")'. You might")?.split_once("), ")?;
    error(ErrorKind::Type, "42804", format!("the subscript of a list must be an integer, not {}", reword(subscript)))
}

/// An argument, operand or clause of a wrong type or out of range.
fn argument(message: &str) -> Option<Error> {
    if message.contains("Substring without for/from is not valid") {
        let error = error(ErrorKind::Type, "42883", "substring() takes a text and where it begins")?;
        return Some(error.with_hint("for example substring(text FROM 2 FOR 3)"));
    }
    if message.contains("Unary operator '-' only supports") {
        let error = error(ErrorKind::Type, "42883", "the operand of - must be a number or an interval")?;
        return Some(error.with_hint("cast it"));
    }
    if message.contains("unnest() can only be applied to") {
        return error(ErrorKind::Type, "42883", "unnest() takes a list");
    }
    if message.contains("only support Literal types for field at idx")
        || message.contains("xpected a signed integer literal")
    {
        let message = "the numbers given to a window function must be constants";
        return Some(error(ErrorKind::Unsupported, "0A000", message)?.with_hint("write the number out"));
    }
    if message.contains("frame offsets for ROWS / GROUPS must be") {
        let message = "the offset of a ROWS or GROUPS frame must be a number that is not negative, and written out";
        return error(ErrorKind::Unsupported, "0A000", message);
    }
    if message.contains("frame offsets for RANGE must be") {
        let message = "the offset of a RANGE frame must be a number or an interval that is written out";
        return error(ErrorKind::Unsupported, "0A000", message);
    }
    if let Some((_, data_type)) = message.split_once("Expected LIMIT to be an integer or null, but got ") {
        return error(ErrorKind::Type, "42804", format!("LIMIT must be an integer, not {}", reword(data_type)));
    }
    if let Some(place) = between(message, "Order by column out of bounds, specified: ", ", max") {
        return error(ErrorKind::Invalid, "42P10", format!("ORDER BY position {place} is not in the select list"));
    }
    if let Some(place) = between(message, "Cannot find column with position ", " in SELECT clause") {
        return error(ErrorKind::Invalid, "42P10", format!("GROUP BY position {place} is not in the select list"));
    }
    if let Some(name) = between(message, "satisfy a call to '", "' function: coercion from ")
        && let Some(types) = between(message, "function: coercion from ", " to the signature")
    {
        let types = reword(types.trim_start_matches('[').trim_end_matches(']'));
        let error = error(ErrorKind::Type, "42883", format!("function {name}({types}) does not exist"))?;
        return Some(error.with_hint("cast the arguments to types that it takes"));
    }
    if let Some(types) = between(message, "Incompatible inputs for Union: Previous inputs were of type ", " on column")
        && let Some((first, then)) = types.split_once(", but got incompatible type ")
    {
        let message = format!("the types {} and {} of UNION have none in common", reword(first), reword(then));
        return error(ErrorKind::Type, "42804", message);
    }
    overflow(message)
}

/// A function of integers whose result is none of its type.
fn overflow(message: &str) -> Option<Error> {
    let out_of_range = |what: &str| {
        let error = error(ErrorKind::Data, "22003", format!("{what} out of range"))?;
        Some(error.with_hint("cast the argument to a wider type, for example DECIMAL(38,0)"))
    };
    if message.contains("Overflow happened on FACTORIAL") {
        return error(ErrorKind::Data, "22003", "bigint out of range: factorial() goes to 20");
    }
    let names =
        [("Int64Array", "bigint"), ("Int32Array", "integer"), ("Int16Array", "smallint"), ("Int8Array", "tinyint")];
    let (_, name) = names.into_iter().find(|(array, _)| message.contains(&format!("{array} overflow on")))?;
    out_of_range(name)
}

/// Something where it may not stand.
fn misplaced(message: &str) -> Option<Error> {
    let invalid = |sqlstate, text: &str| error(ErrorKind::Invalid, sqlstate, text);
    if let Some((_, expression)) = message.split_once("hysical plan does not support logical expression ") {
        return match expression.split(['(', ' ', '{']).next() {
            Some("Wildcard") => invalid("42601", "* is no argument of this function"),
            Some("WindowFunction") => invalid("42P20", "window functions are not allowed here"),
            Some("AggregateFunction") => invalid("42803", "aggregate functions are not allowed here"),
            _ => error(ErrorKind::Unsupported, "0A000", "this expression is not supported here"),
        };
    }
    if message.contains("unnest on struct can only be applied at the root level") {
        let error = error(ErrorKind::Unsupported, "0A000", "unnest of structs must be alone in the select list")?;
        return Some(error.with_hint("unnest the list in a query in FROM, and its structs outside"));
    }
    if message.contains("Aggregate functions are not allowed in the WHERE clause") {
        let error = invalid("42803", "aggregate functions are not allowed in WHERE")?;
        return Some(error.with_hint("HAVING chooses among groups"));
    }
    if message.contains("must appear in the GROUP BY clause") && message.contains("_rowid\"") {
        return invalid("42803", "aggregate functions are not allowed in UPDATE and DELETE");
    }
    if message.contains("function calls cannot be nested") {
        let what = if message.contains("Aggregate") { "aggregate" } else { "window" };
        let sqlstate = if what == "aggregate" { "42803" } else { "42P20" };
        return invalid(sqlstate, &format!("{what} functions cannot be nested"));
    }
    if message.contains("cannot contain window function calls") {
        return invalid("42803", "an aggregate cannot contain a window function");
    }
    if let Some(condition) = between(message, "HAVING clause references: ", " must appear in the GROUP BY clause")
        && !message.contains(" BETWEEN ")
    {
        let message = format!("{} in HAVING must be in GROUP BY or inside an aggregate function", reword(condition));
        return Some(invalid("42803", &message)?.with_hint("WHERE chooses among rows"));
    }
    if message.contains("HAVING clause references:") && message.contains(" BETWEEN ") {
        return invalid("42P20", "window functions are not allowed in HAVING");
    }
    None
}

/// What is no condition where one was expected.
fn condition(message: &str) -> Option<Error> {
    const LOGICAL: &str = "Cannot infer common argument type for logical boolean operation ";
    let given = if let Some((_, operation)) = message.split_once(LOGICAL) {
        format!("the operands of AND and OR must be BOOLEAN, not {}", reword(operation))
    } else if let Some((_, data_type)) = message.split_once("Cannot create filter with non-boolean predicate ") {
        format!("a condition must be BOOLEAN, not {}", reword(data_type.rsplit_once(" returning ")?.1))
    } else if let Some((_, data_type)) = message.split_once("Join condition must be boolean type, but got ") {
        format!("the condition of a join must be BOOLEAN, not {}", reword(data_type))
    } else if let Some((_, data_type)) = message.split_once("Unary operator 'NOT' requires a boolean expression, got ")
    {
        format!("the operand of NOT must be BOOLEAN, not {}", reword(data_type))
    } else {
        return None;
    };
    error(ErrorKind::Type, "42804", given)
}

/// An operator without meaning for its operands.
fn operator(message: &str) -> Option<Error> {
    let operation = between(message, "Cannot coerce arithmetic expression ", " to valid types")
        .or_else(|| between(message, "Cannot get result type for temporal operation ", ": "))
        .or_else(|| message.split_once("Cannot infer common argument type for comparison operation ").map(|(_, o)| o))
        .map(str::to_string)
        .or_else(|| {
            let (left, right) =
                between(message, "There isn't a common type to coerce ", " expression")?.split_once(" and ")?;
            let (right, operator) = right.rsplit_once(" in ")?;
            Some(format!("{left} {operator} {right}"))
        });
    if let Some(operation) = operation {
        let error = error(ErrorKind::Type, "42883", format!("operator does not exist: {}", reword(&operation)))?;
        return Some(error.with_hint("cast an operand"));
    }
    if let Some(error) = condition(message) {
        return Some(error);
    }
    if let Some((_, types)) = message.split_once("Unsupported CAST from ") {
        return error(ErrorKind::Type, "42846", format!("cannot cast {}", reword(types)));
    }
    if let Some((_, types)) = message.split_once("Cannot automatically convert ") {
        return error(ErrorKind::Type, "42804", format!("cannot take {}", reword(types).replacen(" to ", " for ", 1)));
    }
    if let Some(types) = between(message, "Failed to coerce then ", " to common types") {
        let types = reword(types).replace(['(', ')'], "").replace(" and else ", " and ");
        return error(ErrorKind::Type, "42804", format!("the branches of CASE have no type in common: {types}"));
    }
    if message.contains("ail to find the coerced type") {
        return error(ErrorKind::Type, "42804", "the arguments have no type in common");
    }
    if let Some((_, types)) = message.split_once("Failed to unify argument types of make_array: ") {
        let types = reword(types.trim_start_matches('[').trim_end_matches(']')).trim_end_matches(']').to_string();
        return error(ErrorKind::Type, "42804", format!("the elements of a list have no type in common: {types}"));
    }
    None
}

/// Too many or too few of something, or none of that name.
fn shape(message: &str) -> Option<Error> {
    let invalid = |sqlstate, text: String| error(ErrorKind::Invalid, sqlstate, text);
    let missing = |sqlstate, text: String| error(ErrorKind::NotFound, sqlstate, text);
    if let Some(counts) = between(message, "Source table contains ", " names given as column alias") {
        let (columns, names) = counts.split_once(" columns but only ")?;
        return invalid("42P10", format!("{columns} columns are given {names} names"));
    }
    if message.contains("The subquery should only return one column")
        || message.contains("should only return one column")
    {
        return invalid("42601", "a subquery that is a value has one column".to_string());
    }
    if message.contains("nconsistent data length across values list") {
        return invalid("42601", "the rows of VALUES must have equally many values".to_string());
    }
    if message.contains("queries have different number of columns") {
        let operation = message.split_whitespace().find(|word| word.chars().all(|ch| ch.is_ascii_uppercase()))?;
        return invalid("42601", format!("the sides of {operation} have different numbers of columns"));
    }
    for (clause, sqlstate) in [("LIMIT", "2201W"), ("OFFSET", "2201X")] {
        if message.contains(&format!("{clause} must be >=")) {
            return invalid(sqlstate, format!("{clause} must not be negative"));
        }
    }
    if let Some(name) = message.split_once("nvalid qualifier ").map(|(_, name)| name.trim()) {
        return missing("42P01", format!("missing FROM-clause entry for table \"{name}\""));
    }
    if let Some(name) = between(message, "The window ", " is not defined") {
        return missing("42704", format!("window \"{name}\" does not exist"));
    }
    if let Some(name) = between(message, "Field ", " not found in struct") {
        return missing("42703", format!("field \"{name}\" does not exist"));
    }
    if let Some((_, name)) = message.split_once("Unsupported SQL type ") {
        return missing("42704", format!("type \"{}\" does not exist", name.trim()));
    }
    if message.contains("regex parse error:") {
        let reason = message.rsplit("error: ").next().unwrap_or_default().lines().next().unwrap_or_default();
        return error(ErrorKind::Data, "2201B", format!("invalid regular expression: {}", lower_first(reason)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_translated() {
        let cases = [
            (
                "Error during planning: Function 'upper' requires String, but received List(Int32). No function matches \
                 the given name and argument types 'upper(List(Int32))'. You might need to add explicit type casts.",
                "function upper(INTEGER[]) does not exist",
            ),
            (
                "Cannot coerce arithmetic expression Utf8View + Int64 to valid types",
                "operator does not exist: TEXT + BIGINT",
            ),
            (
                "There isn't a common type to coerce Int32 and Date32 in LIKE expression",
                "operator does not exist: INTEGER LIKE DATE",
            ),
            (
                "Physical plan does not support logical expression WindowFunction(WindowFunction {",
                "window functions are not allowed here",
            ),
            (
                "Cannot create filter with non-boolean predicate 't.a + Int64(1)' returning Float64",
                "a condition must be BOOLEAN, not DOUBLE",
            ),
            ("Int32Array overflow on abs(-2147483648)", "integer out of range"),
            (
                "Failed to coerce arguments to satisfy a call to 'array_append' function: coercion from List(Int32), \
                 Utf8View to the signature ArraySignature(array, element) failed",
                "function array_append(INTEGER[], TEXT) does not exist",
            ),
            ("Order by column out of bounds, specified: 5, max: 1", "ORDER BY position 5 is not in the select list"),
            ("regex parse error:\n    (\n    ^\nerror: unclosed group", "invalid regular expression: unclosed group"),
        ];
        for (given, expected) in cases {
            assert_eq!(translate(given).map(|error| error.message().to_string()).as_deref(), Some(expected), "{given}");
        }
        assert!(translate("anything else").is_none());
    }
}
