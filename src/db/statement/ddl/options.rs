//! The options of relations: which there are, and what their values mean.
//!
//! An option that does not exist is refused; one that is known and does nothing yet is kept, with a notice.

use crate::base::error::Result;
use crate::catalog::relation::RelationKind;
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
