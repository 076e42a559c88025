//! `WITH (key = value, ...)` and its like: what was written, and where.
//!
//! The parser takes any key; whoever uses the options says which there are ([`Options::expect_known`]). An option that
//! nobody knows is an error with the nearest name, never passed over.

use std::collections::BTreeMap;
use std::ops::Index;

use super::error::located;
use crate::base::error::{Error, ErrorKind, Position, Result};
use crate::catalog::suggest::advice;

/// Options in the order of their keys; keys are lower case unless quoted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options(BTreeMap<String, Given>);

/// One option.
#[derive(Debug, Clone, PartialEq)]
struct Given {
    /// The value as text, without quotes.
    value: String,
    position: Option<Position>,
}

impl Options {
    /// Adds an option; false if the key was there already.
    pub(super) fn insert(&mut self, key: &str, value: String, position: Option<Position>) -> bool {
        self.0.insert(key.to_string(), Given { value, position }).is_none()
    }

    /// The value of an option.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|given| given.value.as_str())
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, given)| (key.as_str(), given.value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The error, at the place of the option.
    pub fn locate(&self, key: &str, error: Error) -> Error {
        match error.position() {
            Some(_) => error,
            None => located(error, self.0.get(key).and_then(|given| given.position)),
        }
    }

    /// An error for the first option that is none of `known`; `of` says whose options they are.
    pub fn expect_known(&self, of: &str, known: &[&str]) -> Result<()> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let error = Error::new(ErrorKind::NotFound, format!("{of} has no option \"{key}\""));
                let hint = match known {
                    [] => "it takes no options".to_string(),
                    known => advice(key, known),
                };
                Err(self.locate(key, error.with_sqlstate("42704").with_hint(hint)))
            }
        }
    }

    /// An option that is true or false.
    pub fn truth(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(Some(true)),
            "false" | "off" | "no" | "0" => Ok(Some(false)),
            _ => {
                let error = Error::invalid(format!("option \"{key}\" is true or false, not '{value}'"));
                Err(self.locate(key, error.with_sqlstate("22023")))
            }
        }
    }
}

impl Index<&str> for Options {
    type Output = String;

    fn index(&self, key: &str) -> &String {
        &self.0[key].value
    }
}
