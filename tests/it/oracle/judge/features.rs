//! What the generator may use, one switch a feature, so that a known mistake does not hide the others.
//!
//! `EDDY_ORACLE_WITHOUT=lateral,cube` leaves features out. [`RED`] names those that are out because a mistake in the
//! engine is known and not yet mended; `EDDY_ORACLE_WITH=..` puts them back, `EDDY_ORACLE_WITH=all` all of them.

/// A part of SQL that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature(usize);

macro_rules! features {
    ($($name:ident = $text:literal),* $(,)?) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Number { $($name),* }
        impl Feature {
            $(#[doc = $text] pub const $name: Feature = Feature(Number::$name as usize);)*
        }
        /// The names by which features are switched.
        const NAMES: &[&str] = &[$($text),*];
    };
}

features! {
    JOIN = "join",
    OUTER = "outer",
    FULL = "full",
    NON_EQUI = "non-equi",
    USING = "using",
    NATURAL = "natural",
    LATERAL = "lateral",
    DERIVED = "derived",
    SET = "set",
    SET_ALL = "set-all",
    VALUES = "values",
    WITH = "with",
    WITH_TWICE = "with-twice",
    GROUP = "group",
    ROLLUP = "rollup",
    GROUPING = "grouping",
    HAVING = "having",
    AGGREGATE_DISTINCT = "aggregate-distinct",
    AGGREGATE_FILTER = "aggregate-filter",
    STRING_AGG = "string-agg",
    AVERAGE = "average",
    WINDOW = "window",
    WINDOW_ORDERED = "window-ordered",
    WINDOW_OVER_GROUPS = "window-over-groups",
    FRAME_RANGE = "frame-range",
    FRAME_GROUPS = "frame-groups",
    FRAME_ROWS = "frame-rows",
    IGNORE_NULLS = "ignore-nulls",
    LIMIT = "limit",
    LIMIT_HIDDEN = "limit-hidden",
    LIMIT_HIDDEN_NAMED = "limit-hidden-named",
    TIES = "ties",
    TIES_INSIDE = "ties-inside",
    DISTINCT = "distinct",
    DISTINCT_CONSTANT = "distinct-constant",
    DISTINCT_ON = "distinct-on",
    DISTINCT_ON_NUMBER = "distinct-on-number",
    UNNEST = "unnest",
    UNNEST_RENAMED = "unnest-renamed",
    UNNEST_GROUPS = "unnest-groups",
    ON_QUERY = "on-query",
    GROUP_TWICE = "group-twice",
    EXISTS = "exists",
    EXISTS_CUT = "exists-cut",
    IN_QUERY = "in-query",
    QUANTIFIED = "quantified",
    QUANTIFIED_VALUES = "quantified-values",
    ROUND_JOIN = "round-join",
    NULL_SAFE_JOIN = "null-safe-join",
    LATERAL_QUERY = "lateral-query",
    NATURAL_BARE = "natural-bare",
    FILTER_TWICE = "filter-twice",
    GROUP_CONSTANT = "group-constant",
    NOT_IN_TWICE = "not-in-twice",
    SCALAR = "scalar",
    CORRELATED = "correlated",
    CORRELATED_DEEP = "correlated-deep",
    CASE = "case",
    DIVISION = "division",
    GUARDED = "guarded",
    CONSTANT = "constant",
    CAST = "cast",
    NARROWING = "narrowing",
    FRACTION_TO_INTEGER = "fraction-to-integer",
    TRY_CAST = "try-cast",
    TEXT_TO_INTEGER = "text-to-integer",
    DECIMAL = "decimal",
    ROUND = "round",
    DOUBLE = "double",
    TIME = "time",
    DATE_PLUS = "date-plus",
    STRUCT = "struct",
    FAVOURITE = "favourite",
    LIST = "list",
    EXTREMES = "extremes",
    RENAMED = "renamed",
    BARE = "bare",
    SHADOW = "shadow",
    UPDATE = "update",
    DELETE = "delete",
    UPDATE_FROM = "update-from",
    DELETE_USING = "delete-using",
    INSERT_SELECT = "insert-select",
    TRANSACTION = "transaction",
    ERROR = "error",
    ERROR_STATE = "error-state",
}

/// Features that are left out until a known mistake is mended: the feature, and what is wrong.
pub const RED: &[(Feature, &str)] = &[];

/// Errors that valid queries meet because of known mistakes: what their message says, and when it does. They count as
/// refused, unless `EDDY_ORACLE_STRICT` is set.
pub const KNOWN_REFUSALS: &[(&str, &str)] = &[];

/// The features of a run.
#[derive(Debug, Clone)]
pub struct Features(Vec<bool>);

impl Features {
    /// What the environment asks for.
    pub fn from_environment() -> Features {
        let mut features = Features(vec![true; NAMES.len()]);
        for (feature, _) in RED {
            features.0[feature.0] = false;
        }
        for (variable, on) in [("EDDY_ORACLE_WITH", true), ("EDDY_ORACLE_WITHOUT", false)] {
            if std::env::var(variable).is_ok_and(|words| words == "all") {
                features.0.fill(on);
                continue;
            }
            for word in std::env::var(variable).unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
                match NAMES.iter().position(|name| *name == word) {
                    Some(at) => features.0[at] = on,
                    None => panic!("{variable}: there is no feature {word}; there are {}", NAMES.join(", ")),
                }
            }
        }
        features
    }

    /// Whether a feature may be used.
    pub fn has(&self, feature: Feature) -> bool {
        self.0[feature.0]
    }
}
