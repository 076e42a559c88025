//! The options of relations: which there are, and what their values mean.
//!
//! An option that does not exist is refused; one that is known and does nothing yet is kept, with a notice.

use std::collections::BTreeMap;

use crate::base::error::{Error, Result};
use crate::catalog::relation::RelationKind;
use crate::db::follower::{ON_FULL, RETENTION, SNAPSHOT};
use crate::db::settings::parse_duration;
use crate::sql::options::Options;

/// The options of a stream: how long it is kept, and how long it may be idle before time passes it by.
pub const STREAM: [&str; 2] = ["retention", "idle_timeout"];

/// Checks the options of CREATE; gives a notice for each that does nothing yet.
pub fn check(kind: RelationKind, name: &str, options: &Options) -> Result<Vec<String>> {
    let known: &[&str] = if kind == RelationKind::Stream { &STREAM } else { &[] };
    options.expect_known(&format!("a {}", kind.name()), known)?;
    let notice = |(key, value): (&str, &str)| {
        parse_duration(value)
            .map_err(|error| options.locate(key, error.context(format!("option \"{key}\"")).with_sqlstate("22023")))?;
        Ok(format!("the option {key} of \"{name}\" is kept but does nothing yet"))
    };
    options.iter().map(notice).collect()
}

/// The options of a subscription, checked: for how long changes wait, what becomes of it when too many do, and whether
/// it begins with the rows that are there.
pub fn of_subscription(options: &Options) -> Result<BTreeMap<String, String>> {
    options.expect_known("a subscription", &[RETENTION, ON_FULL, SNAPSHOT])?;
    let mut checked = BTreeMap::new();
    for (key, value) in options.iter() {
        let invalid =
            |error: Error| options.locate(key, error.context(format!("option \"{key}\"")).with_sqlstate("22023"));
        let value = match key {
            RETENTION => parse_duration(value).map(|_| value.to_string()).map_err(invalid)?,
            ON_FULL => match value.to_ascii_lowercase().as_str() {
                known @ ("block" | "expire") => known.to_string(),
                _ => return Err(invalid(Error::invalid(format!("'{value}' is neither 'block' nor 'expire'")))),
            },
            _ => options.truth(key)?.unwrap_or(true).to_string(),
        };
        checked.insert(key.to_string(), value);
    }
    Ok(checked)
}
