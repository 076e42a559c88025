//! Errors: words, places and hints.

use super::super::parse;
use super::{error, hint};
use crate::base::error::ErrorKind;

#[track_caller]
fn fails(text: &str, message: &str, at: &str) {
    assert_eq!(error(text), (message.to_string(), at.to_string()), "{text}");
}

#[test]
fn places_count_from_the_start_of_the_script() {
    fails("SELECT 1;\n  SELECT a b c FROM t", "expected end of statement, found c", "2:14");
    fails("SELECT 1; SELECT (1 + ;", "expected an expression, found end of statement", "1:18");
    fails("SELECT", "expected an expression, found end of statement", "1:7");
    fails("SELECT 'é', FROM t WHERE", "expected an expression, found end of statement", "1:25");
    fails("CREATE TABLE t (a INT b)", "expected a column constraint, , or ), found b", "1:23");
    fails("COPY t FROM x", "expected a path in quotes, found x", "1:13");
}

#[test]
fn what_is_never_closed() {
    fails("SELECT 'abc", "unterminated string", "1:8");
    fails("SELECT 1;\nSELECT \"abc", "unterminated quoted identifier", "2:8");
    fails("SELECT 1 /* /* */", "unterminated comment", "1:10");
    fails("SELECT $a$ x", "unterminated dollar quote", "1:8");
    fails("SELECT (1 + (2)", "expected ), found end of statement", "1:8");
    assert_eq!(hint("SELECT (1 + (2)"), "this bracket is never closed");
}

#[test]
fn misspelt_keywords() {
    for (text, keyword) in [
        ("SELCT 1", "SELECT"),
        ("SELECT a FORM t", "FROM"),
        ("SELECT * FORM t", "FROM"),
        ("SELECT a FROM t WHER a > 1", "WHERE"),
        ("SELECT a FROM t GRUOP BY a", "GROUP"),
        ("SELECT a FROM t ODER BY a", "ORDER"),
        ("SELECT a FROM t LIMTI 1", "LIMIT"),
        ("SELECT a FROM t JION u ON t.a = u.a", "JOIN"),
        ("INSRT INTO t VALUES (1)", "INSERT"),
        ("CREATE TABEL t (a INT)", "TABLE"),
        ("CREATE MATERIALISED VIEW v AS SELECT 1", "MATERIALIZED"),
        ("INSERT INTO t VALEUS (1)", "VALUES"),
        ("SUBSRCIBE v", "SUBSCRIBE"),
        ("UPDTAE t SET a = 1", "UPDATE"),
    ] {
        assert_eq!(hint(text), format!("did you mean {keyword}?"), "{text}");
    }
    assert_eq!(hint("SELECT a b c"), "");
}

#[test]
fn kinds() {
    let kind = |text: &str| parse(text).expect_err(text).kind();
    assert_eq!(kind("SELEC"), ErrorKind::Syntax);
    for text in [
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "CREATE TABLE t (a INT CHECK (a > 0))",
        "CREATE TABLE t (a INT, CHECK (a > 0))",
        "CREATE TABLE t (a INT REFERENCES u (b))",
        "CREATE TEMP TABLE t (a INT)",
        "ALTER TABLE t DROP CONSTRAINT a",
        "INSERT INTO t VALUES (1) RETURNING a",
        "DELETE FROM t RETURNING a",
        "SAVEPOINT a",
        "ROLLBACK TO SAVEPOINT a",
        "GRANT SELECT ON t TO u",
        "CREATE INDEX i ON t (lower(a))",
        "DROP SCHEMA s",
    ] {
        assert_eq!(kind(text), ErrorKind::Unsupported, "{text}");
        assert!(parse(text).expect_err(text).position().is_some(), "{text}");
    }
    assert_eq!(kind("CREATE TABLE t (a INTT)"), ErrorKind::Type);
    assert_eq!(kind("CREATE TABLE t (a DECIMAL(40, 2))"), ErrorKind::Type);
    assert_eq!(hint("CREATE TABLE t (a DUOBLE)"), "did you mean DOUBLE?");
}

#[test]
fn parameters() {
    fails("SELECT ?, $1", "parameters are either all ? or all named and numbered", "1:11");
    fails("SELECT $__now", "no parameter may be called \"$__now\"", "1:8");
}

#[test]
fn small_mistakes() {
    fails("CREATE TABLE t (a INT, A TEXT)", "column \"a\" is declared twice", "1:24");
    fails("CREATE TABLE t (a INT PRIMARY KEY, b INT PRIMARY KEY)", "a relation has one primary key at most", "1:42");
    fails("CREATE TABLE t", "expected ( and columns, or AS and a query, found end of statement", "1:15");
    fails("UPDATE t SET (a, b) = (1, 2, 3)", "2 columns are assigned 3 values", "1:14");
    fails("SELECT 1 EMIT NEVER", "expected ON WINDOW CLOSE, FINAL or CHANGES after EMIT, found NEVER", "1:15");
    fails("SUBSCRIBE v WITH (snapshot = maybe)", "option \"snapshot\" is true or false, not 'maybe'", "1:19");
    fails("EXPLAIN EXPLAIN SELECT 1", "EXPLAIN cannot be explained", "1:9");
}
