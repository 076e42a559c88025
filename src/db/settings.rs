//! Settings: what SET changes.
//!
//! Most belong to the session; `max_wal_size` and `memory_limit` belong to the database. Every setting has a name, a value as text and
//! a sentence on what it does, shown by SHOW SETTINGS and `eddy.settings`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::time::zone::Zone;
use crate::catalog::relation::TIMEZONE;
use crate::catalog::suggest::advice;
use crate::db::log_space::MAX_WAL_SIZE;
use crate::db::shared::Shared;

/// The settings of a session.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How long a statement may run; no limit if `None`.
    pub statement_timeout: Option<Duration>,
    /// The time zone in which TIMESTAMPTZ is read and shown.
    pub zone: Zone,
    /// A name for the session.
    application_name: String,
}

/// Name and meaning of every setting.
const KNOWN: [(&str, &str); 5] = [
    ("application_name", "a name for the session, shown nowhere but here"),
    ("max_wal_size", "bytes that the log may grow to before commits wait for a checkpoint"),
    ("memory_limit", "bytes that relations, views and queries of the database may hold"),
    ("statement_timeout", "how long a statement may run; 0 means for ever"),
    ("timezone", "the time zone in which TIMESTAMPTZ is read and shown"),
];

impl Settings {
    /// Sets one setting, or resets it where there is no value.
    pub fn set(&mut self, shared: &Arc<Shared>, name: &str, value: Option<&str>) -> Result<()> {
        match name {
            "statement_timeout" => {
                let timeout = value.map(parse_duration).transpose()?;
                self.statement_timeout = timeout.filter(|timeout| !timeout.is_zero());
            }
            "memory_limit" => {
                let limit = value.map(parse_bytes).transpose()?.flatten();
                shared.budget.set_limit(limit);
                if let Some(spooling) = shared.spooling.get() {
                    spooling.files.resize_cache(shared.cache_bytes());
                }
                shared.engine.set_memory_limit(limit)?;
            }
            "max_wal_size" => {
                let limit = value.map_or(Ok(Some(MAX_WAL_SIZE as usize)), parse_bytes)?;
                shared.log_space.set_limit(limit.map(|bytes| bytes as u64))?;
            }
            "application_name" => self.application_name = value.unwrap_or_default().to_string(),
            "timezone" | "time zone" => {
                let local = value.is_some_and(|value| value.eq_ignore_ascii_case("local"));
                self.zone = value.filter(|_| !local).map(Zone::setting).transpose()?.unwrap_or_default();
            }
            unknown => {
                let error =
                    Error::new(ErrorKind::NotFound, format!("unknown setting \"{unknown}\"")).with_sqlstate("42704");
                return Err(error.with_hint(advice(unknown, &KNOWN.map(|(name, _)| name))));
            }
        }
        Ok(())
    }

    /// What the meaning of a query depends on: kept with a view, which is bound under it for ever.
    pub fn binding(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(TIMEZONE.to_string(), self.zone.to_string())])
    }

    /// Name, value and meaning of every setting.
    pub fn list(&self, shared: &Shared) -> Vec<(&'static str, String, &'static str)> {
        let value = |name: &str| match name {
            "application_name" => self.application_name.clone(),
            "max_wal_size" => shared.log_space.limit().map_or_else(|| "none".into(), |bytes| bytes.to_string()),
            "memory_limit" => shared.budget.limit().map_or_else(|| "none".into(), |bytes| bytes.to_string()),
            "statement_timeout" => {
                self.statement_timeout.map_or_else(|| "0".into(), |timeout| format!("{} ms", timeout.as_millis()))
            }
            _ => self.zone.to_string(),
        };
        KNOWN.iter().map(|(name, meaning)| (*name, value(name), *meaning)).collect()
    }
}

/// `'10 s'`, `'500 ms'`, `'1 minute'`; a bare number is milliseconds, as in PostgreSQL.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let (number, unit) = split_number(text)?;
    let ms = match unit.as_str() {
        "" | "ms" | "millisecond" | "milliseconds" => 1.0,
        "us" | "microseconds" => 0.001,
        "s" | "sec" | "second" | "seconds" => 1e3,
        "m" | "min" | "minute" | "minutes" => 60e3,
        "h" | "hour" | "hours" => 3_600e3,
        "d" | "day" | "days" => 86_400e3,
        _ => return Err(Error::invalid(format!("'{text}' is not a duration")).with_hint("for example '10 s'")),
    };
    Duration::try_from_secs_f64(number * ms / 1e3)
        .map_err(|_| Error::invalid(format!("'{text}' is not a duration")).with_hint("for example '10 s'"))
}

/// `'2 GB'`, `'512 MiB'`, `'none'`; a bare number is bytes.
pub fn parse_bytes(text: &str) -> Result<Option<usize>> {
    if text.eq_ignore_ascii_case("none") || text == "-1" {
        return Ok(None);
    }
    let (number, unit) = split_number(text)?;
    let scale = match unit.as_str() {
        "" | "b" | "bytes" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(Error::invalid(format!("'{text}' is not a size")).with_hint("for example '2 GB'")),
    };
    Ok(Some((number * scale) as usize))
}

fn split_number(text: &str) -> Result<(f64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().map_err(|_| Error::invalid(format!("'{text}' does not begin with a number")))?;
    Ok((number, text[end..].trim().to_lowercase()))
}
