//! Words as names: whatever PostgreSQL takes for a name is a name here, whichever engine else has it for a keyword.
//!
//! Each template is read twice, once with the word and once with a name that nobody knows; both trees must be the same
//! but for the name.

use sqlparser::keywords::ALL_KEYWORDS;

use super::super::parse;

/// Words of our own statements that sqlparser does not know or that people are most likely to use.
const OURS: &[&str] = &[
    "advance",
    "changes",
    "cumulate",
    "emit",
    "epoch",
    "every",
    "flush",
    "hop",
    "late",
    "progress",
    "sink",
    "source",
    "stream",
    "subscribe",
    "summarize",
    "tumble",
    "verify",
    "watermark",
    "streams",
    "sinks",
    "indexes",
    "descriptor",
];

/// PostgreSQL's reserved words, and those that may only name functions and types.
const RESERVED: &str = "all analyse analyze and any array as asc asymmetric both case cast check collate column \
    constraint create current_catalog current_date current_role current_time current_timestamp current_user default \
    deferrable desc distinct do else end except false fetch for foreign from grant group having in initially intersect \
    into lateral leading limit localtime localtimestamp not null offset on only or order placing primary references \
    returning select session_user some symmetric system_user table then to trailing true union unique user using \
    variadic when where window with authorization binary collation concurrently cross current_schema freeze full ilike \
    inner is isnull join left like natural notnull outer overlaps right similar tablesample verbose";

/// Words that PostgreSQL wants AS before, as the name of an output column.
const AFTER_AS_ONLY: &str = "between char character day filter hour minute month over precision second varying within without \
    year";

/// Where any word that is not reserved is a name; `@` stands for it.
const TEMPLATES: &[&str] = &[
    "CREATE TABLE t (@ INT, other INT, PRIMARY KEY (@))",
    "CREATE TABLE t (other INT, @ INT NOT NULL)",
    "CREATE TABLE @ (a INT)",
    "CREATE VIEW @ AS SELECT @ FROM t",
    "CREATE MATERIALIZED VIEW v AS SELECT other, @ FROM t",
    "CREATE INDEX i ON t (@)",
    "ALTER TABLE t ADD COLUMN @ INT",
    "DROP TABLE @",
    "INSERT INTO t (@, other) VALUES (1, 2)",
    "INSERT INTO t (other, @) SELECT 1, 2",
    "INSERT INTO @ VALUES (1)",
    "UPDATE t SET @ = @ + 1, other = @ WHERE @ = 1",
    "UPDATE @ SET a = 1",
    "DELETE FROM t WHERE @ = 1",
    "DELETE FROM @",
    "TRUNCATE @",
    "COPY t (@) FROM 'x.csv'",
    "COPY @ TO 'x.csv'",
    "DESCRIBE @",
    "SUMMARIZE @",
    "SUBSCRIBE @",
    "SELECT @ FROM t",
    "SELECT other, @ FROM t",
    "SELECT @, other FROM t",
    "SELECT other, @, FROM t",
    "SELECT t.@, t.@ + 1 FROM t",
    "SELECT -@, (@), @ + 1 FROM t WHERE @ = 1 AND @ IS NULL AND other IN (@, 1)",
    "SELECT @ FROM t GROUP BY @ HAVING @ > 1 ORDER BY @",
    "SELECT other FROM t GROUP BY other, @ ORDER BY other, @ DESC",
    "SELECT sum(@), f(other, @), count(DISTINCT @) FROM t",
    "SELECT count(*) OVER (PARTITION BY @ ORDER BY @ DESC) FROM t",
    "SELECT @::INT, CAST(@ AS INT), CASE @ WHEN 1 THEN @ ELSE @ END FROM t",
    "SELECT @ AS a, other AS b FROM t",
    "FROM t SELECT @",
    "FROM t SELECT other, @",
    "FROM t WHERE @ = 1",
    "SELECT * FROM @",
    "SELECT * FROM @ WHERE a = 1",
    "SELECT * FROM u, @",
    "SELECT @.x FROM @ JOIN u ON true",
    "SELECT @.x FROM t AS @",
    "SELECT * FROM t @",
    "SELECT * FROM t @ WHERE x = 1",
    "SELECT * FROM t @ JOIN u ON true",
    "SELECT * FROM (SELECT 1) @",
    "SELECT * FROM (SELECT 1) AS q(@)",
    "SELECT * FROM t JOIN u USING (@)",
    "SELECT * EXCLUDE (@) FROM t",
    "WITH @ AS (SELECT 1) SELECT * FROM @",
    "WITH q(@) AS (SELECT 1) SELECT @ FROM q",
    "SELECT @ FROM t UNION SELECT @ FROM u",
    "SELECT @ FROM t WHERE x IN (SELECT @ FROM u)",
    "SELECT @ FROM t JOIN u ON t.a = u.a",
    "SELECT @ FROM t EMIT CHANGES",
    "SELECT @ FROM t LIMIT 1",
];

/// Where every word is a name.
const AFTER_AS: &[&str] = &[
    "SELECT 1 AS @",
    "SELECT x AS @ FROM t",
    "SELECT x AS @, y FROM t",
    "SELECT x AS @ FROM t ORDER BY 1",
    "CREATE VIEW v AS SELECT x AS @ FROM t",
    "SELECT \"@\" FROM t",
    "SELECT 1 AS \"@\"",
    "CREATE TABLE \"@\" (\"@\" INT)",
    "INSERT INTO t (\"@\") VALUES (1)",
    "SELECT * FROM t AS \"@\"",
];

const BARE: &[&str] = &["SELECT 1 @", "SELECT x @ FROM t", "SELECT x @, y FROM t"];

fn check(word: &str, templates: &[&str], failures: &mut Vec<String>) {
    // As long as the word, so that places are the same.
    let nobodys = "q".repeat(word.len().saturating_sub(1)) + "z";
    for template in templates {
        let read = |name: &str| match parse(&template.replace('@', name)) {
            Ok(statements) => format!("{:?}", statements.into_iter().map(|s| s.statement).collect::<Vec<_>>()),
            Err(error) => error.to_string(),
        };
        let (given, expected) = (read(word), read(&nobodys).replace(&nobodys, word));
        if given != expected {
            failures.push(format!("{}: {}", template.replace('@', word), given.chars().take(150).collect::<String>()));
        }
    }
}

#[test]
fn words_that_postgres_does_not_reserve_are_names() {
    let has = |list: &str, word: &str| list.split_whitespace().any(|other| other == word);
    let mut failures = Vec::new();
    let known = ALL_KEYWORDS.iter().map(|word| word.to_lowercase());
    for word in known.chain(OURS.iter().map(|word| word.to_string())) {
        if word == "end-exec" || word == "other" {
            // No word of SQL, and one that the templates use.
            continue;
        }
        check(&word, AFTER_AS, &mut failures);
        if word == "qualify" || has(RESERVED, &word) {
            continue;
        }
        // What is a word of a clause where it stands so: WITH RECURSIVE, ANTI JOIN.
        let clause = |template: &&&str| match word.as_str() {
            "recursive" => template.starts_with("WITH @ "),
            "anti" | "semi" | "global" | "asof" => template.contains("@ JOIN"),
            _ => false,
        };
        let templates: Vec<&str> = TEMPLATES.iter().filter(|template| !clause(template)).copied().collect();
        check(&word, &templates, &mut failures);
        if !has(AFTER_AS_ONLY, &word) {
            check(&word, BARE, &mut failures);
        }
    }
    assert!(failures.is_empty(), "{} places:\n{}", failures.len(), failures.join("\n"));
}
