//! DataFusion's errors as ours.
//!
//! [`from_datafusion`] keeps what a person can use: the kind, the message without DataFusion's prefixes, the place
//! in the SQL text where a diagnostic names one, and one of our own errors that travelled through DataFusion
//! unchanged. It does not guess hints: whoever knows the catalog adds them.

use datafusion::common::{Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::base::error::{Error, ErrorKind, Position};
use crate::base::wording::reword;
use crate::operator::sentences::translate;

/// The same error in our terms.
pub fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::ArrowError(error, _) => from_arrow(*error),
        DataFusionError::IoError(error) => Error::from(error),
        DataFusionError::SQL(error, _) => Error::new(ErrorKind::Syntax, parser_message(*error)),
        DataFusionError::NotImplemented(message) => {
            translate(&message).unwrap_or_else(|| Error::unsupported(reword(&message)))
        }
        DataFusionError::Plan(message) => from_plan(&message),
        DataFusionError::Configuration(message) => Error::invalid(reword(&message)),
        DataFusionError::SchemaError(error, _) => from_schema(*error),
        DataFusionError::Execution(message) => from_execution(&message),
        DataFusionError::ExecutionJoin(error) => Error::internal(reword(&error.to_string())),
        DataFusionError::ResourcesExhausted(message) => Error::new(ErrorKind::Resource, reword(&message)),
        DataFusionError::External(error) => from_external(error),
        DataFusionError::Context(_, error) => from_datafusion(*error),
        DataFusionError::Diagnostic(diagnostic, error) => at_diagnostic(from_datafusion(*error), &diagnostic),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => from_datafusion(first),
            None => Error::internal("an error without content"),
        },
        DataFusionError::Shared(error) => match std::sync::Arc::try_unwrap(error) {
            Ok(error) => from_datafusion(error),
            Err(error) => from_shared(&error),
        },
        DataFusionError::ObjectStore(error) => {
            Error::new(ErrorKind::Io, reword(&error.to_string())).with_source(*error)
        }
        DataFusionError::Internal(message) => {
            translate(&message).unwrap_or_else(|| Error::internal(reword(first_line(&message))))
        }
        other => Error::internal(reword(&other.to_string())),
    }
}

/// Our error as one that can travel through DataFusion; [`from_datafusion`] gives it back unchanged.
pub fn to_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn from_arrow(error: arrow::error::ArrowError) -> Error {
    match error {
        arrow::error::ArrowError::ExternalError(error) => from_external(error),
        arrow::error::ArrowError::ComputeError(message) => match translate(&message) {
            Some(translated) => translated,
            None => Error::from(arrow::error::ArrowError::ComputeError(message)),
        },
        error => Error::from(error),
    }
}

fn from_external(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(own) => return *own,
        Err(error) => error,
    };
    match error.downcast::<DataFusionError>() {
        Ok(inner) => from_datafusion(*inner),
        Err(error) => match translate(&error.to_string()) {
            Some(translated) => translated,
            None => Error::new(ErrorKind::Io, reword(&error.to_string())).with_source(error),
        },
    }
}

/// A shared error cannot be taken apart, so kind, code and message of the innermost known error are copied.
fn from_shared(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::Shared(inner) => from_shared(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_shared(inner),
        DataFusionError::Execution(message) => from_execution(message),
        DataFusionError::NotImplemented(message) => Error::unsupported(reword(message)),
        DataFusionError::ResourcesExhausted(message) => Error::new(ErrorKind::Resource, reword(message)),
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(own) => copy(own),
            None => {
                translate(&inner.to_string()).unwrap_or_else(|| Error::new(ErrorKind::Io, reword(&inner.to_string())))
            }
        },
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            arrow::error::ArrowError::DivideByZero => Error::from(arrow::error::ArrowError::DivideByZero),
            arrow::error::ArrowError::ArithmeticOverflow(message) => {
                Error::from(arrow::error::ArrowError::ArithmeticOverflow(message.clone()))
            }
            arrow::error::ArrowError::CastError(message) => {
                Error::from(arrow::error::ArrowError::CastError(message.clone()))
            }
            arrow::error::ArrowError::ExternalError(inner) => match inner.downcast_ref::<Error>() {
                Some(own) => copy(own),
                None => Error::data(reword(&inner.to_string())),
            },
            other => Error::data(reword(&other.to_string())),
        },
        other => Error::internal(reword(&other.to_string())),
    }
}

/// The same error without its cause, which cannot be copied.
pub fn copy(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.message()).with_sqlstate(error.sqlstate());
    if let Some(position) = error.position() {
        copy = copy.at(position);
    }
    if let Some(hint) = error.hint() {
        copy = copy.with_hint(hint);
    }
    copy
}

/// What scalar functions raise while they run is about the data.
fn from_execution(message: &str) -> Error {
    if let Some(error) = refused_arguments(message).or_else(|| translate(message)) {
        return error;
    }
    let lower = message.to_lowercase();
    let sqlstate = if lower.contains("divide by zero") || lower.contains("division by zero") {
        return Error::from(arrow::error::ArrowError::DivideByZero);
    } else if lower.contains("overflow") {
        "22003"
    } else {
        "22000"
    };
    Error::data(reword(message)).with_sqlstate(sqlstate)
}

/// The message of a function that refused its argument types, without DataFusion's wrapping.
fn refused_arguments(message: &str) -> Option<Error> {
    let (_, reason) = message.split_once("user-defined coercion failed with: ")?;
    let reason = reason.split(" No function matches").next().unwrap_or(reason);
    let refused = || Error::new(ErrorKind::Type, reword(reason.trim())).with_sqlstate("42883");
    Some(translate(reason).unwrap_or_else(refused))
}

fn from_plan(message: &str) -> Error {
    if let Some(error) = refused_arguments(message).or_else(|| translate(message)) {
        return error;
    }
    let message = reword(first_line(message));
    if message.starts_with("table '") || message.starts_with("no table named") {
        Error::new(ErrorKind::NotFound, message)
    } else if message.starts_with("invalid function") {
        Error::new(ErrorKind::NotFound, message).with_sqlstate("42883")
    } else if message.contains("coerc") || message.contains("cannot infer common") {
        Error::new(ErrorKind::Type, message)
    } else {
        Error::invalid(message)
    }
}

fn from_schema(error: SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, .. } => {
            Error::new(ErrorKind::NotFound, format!("column \"{}\" does not exist", field.flat_name()))
                .with_sqlstate("42703")
        }
        SchemaError::AmbiguousReference { field } => {
            Error::invalid(format!("column reference \"{}\" is ambiguous", field.name())).with_sqlstate("42702")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::invalid(format!("column \"{name}\" is given more than once"))
                .with_sqlstate("42701")
                .with_hint("give one of them another name with AS")
        }
    }
}

fn parser_message(error: ParserError) -> String {
    match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => reword(&message),
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply".to_string(),
    }
}

fn at_diagnostic(error: Error, diagnostic: &Diagnostic) -> Error {
    match diagnostic.span {
        Some(span) if error.position().is_none() && span.start.line > 0 => {
            error.at(Position { line: span.start.line, column: span.start.column })
        }
        _ => error,
    }
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_errors_pass_through_datafusion_unchanged() {
        let error = Error::data("sum of bigint is out of range").with_sqlstate("22003").with_hint("cast it");
        let back = from_datafusion(DataFusionError::Context("where".into(), Box::new(to_datafusion(error))));
        assert_eq!(
            (back.kind(), back.sqlstate(), back.message(), back.hint()),
            (ErrorKind::Data, "22003", "sum of bigint is out of range", Some("cast it"))
        );
    }

    #[test]
    fn division_by_zero_has_its_code() {
        let error =
            from_datafusion(DataFusionError::ArrowError(Box::new(arrow::error::ArrowError::DivideByZero), None));
        assert_eq!((error.sqlstate(), error.message()), ("22012", "division by zero"));
    }
}
