//! No text overflows a stack or runs long: everything here runs on a thread of 2 MiB.

use std::time::Instant;

use super::super::parse;
use crate::base::error::{ErrorKind, Result};

/// Parses on a small stack and drops the result there; the kind of the error, and the seconds it took.
fn on_small_stack(text: String) -> (Option<ErrorKind>, f64) {
    let run = move || {
        let start = Instant::now();
        let result: Result<Vec<_>> = parse(&text);
        let kind = result.as_ref().err().map(|error| error.kind());
        if kind == Some(ErrorKind::Resource) {
            let error = result.as_ref().expect_err("it failed");
            assert_eq!(error.sqlstate(), "54001");
            assert!(error.hint().is_some());
        }
        drop(result);
        (kind, start.elapsed().as_secs_f64())
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).expect("starts").join().expect("does not panic")
}

/// Without optimisation everything takes some ten times as long.
const SECONDS_MAX: f64 = if cfg!(debug_assertions) { 30.0 } else { 1.0 };

#[track_caller]
fn refused(text: String) {
    let (kind, seconds) = on_small_stack(text);
    assert_eq!(kind, Some(ErrorKind::Resource));
    assert!(seconds < SECONDS_MAX, "{seconds} s");
}

#[track_caller]
fn accepted(text: String) {
    let (kind, seconds) = on_small_stack(text);
    assert_eq!(kind, None);
    assert!(seconds < SECONDS_MAX, "{seconds} s");
}

#[test]
fn chains() {
    refused(format!("SELECT {}1", "1+".repeat(2_000)));
    refused(format!("SELECT {}1", "- ".repeat(2_000)));
    refused(format!("SELECT {}true", "NOT ".repeat(2_000)));
    refused(format!("SELECT a{} FROM t", "::int".repeat(2_000)));
    refused(format!("SELECT a{} FROM t", "[1]".repeat(2_000)));
    refused(format!("SELECT a{} FROM t", " IS NULL".repeat(2_000)));
    refused(format!("SELECT {}a", "INTERVAL ".repeat(2_000)));
    refused(format!("CREATE TABLE t (a INT{})", "[]".repeat(2_000)));
    refused(format!("SELECT 1 WHERE {} true", "a = 1 OR ".repeat(2_000)));
    accepted(format!("SELECT {}1", "1+".repeat(999)));
    accepted(format!("SELECT 1 WHERE {} true", "a = 1 OR ".repeat(1_000)));
    accepted(format!("SELECT a FROM t WHERE a IN ({}1)", "1,".repeat(20_000)));
}

#[test]
fn nesting() {
    for (open, close) in [("(", ")"), ("[", "]"), ("CASE WHEN ", " THEN 1 END"), ("f(", ")"), ("(SELECT ", ")")] {
        refused(format!("SELECT {}1{}", open.repeat(10_000), close.repeat(10_000)));
        refused(format!("SELECT {}", open.repeat(10_000)));
        accepted(format!("SELECT {}1{}", open.repeat(120), close.repeat(120)));
    }
    refused(format!("{}SELECT 1{}", "SELECT * FROM (".repeat(1_000), ")".repeat(1_000)));
    accepted(format!("{}SELECT 1{}", "SELECT * FROM (".repeat(120), ") AS x".repeat(120)));
}

#[test]
fn nested_chains_add_up() {
    let chain = "+1".repeat(900);
    let mut text = "1".to_string();
    for _ in 0..20 {
        text = format!("({text}){chain}");
    }
    refused(format!("SELECT {text}"));
}

#[test]
fn branches() {
    refused(format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_000)));
    refused(format!("SELECT 1 FROM a{}", " JOIN b ON true".repeat(1_000)));
    refused(format!("SELECT 1 FROM a{}", ", b".repeat(1_000)));
    accepted(format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(499)));
    accepted(format!("SELECT 1{}", " EXCEPT ALL SELECT 1".repeat(100)));
}

#[test]
fn nested_joins_do_not_explode() {
    let mut text = "SELECT 1".to_string();
    for _ in 0..40 {
        text = format!("SELECT * FROM (({text}) t CROSS JOIN u)");
    }
    let (_, seconds) = on_small_stack(text.clone());
    assert!(seconds < SECONDS_MAX, "{seconds} s");
    // Without any expression, and with an error at the bottom.
    for bottom in ["TABLE t", "SELECT ))"] {
        let (kind, seconds) = on_small_stack(text.replace("SELECT 1", bottom));
        assert!(kind.is_some() && seconds < SECONDS_MAX, "{seconds} s");
    }
}

#[test]
fn large_texts() {
    let start = Instant::now();
    let rows = vec!["(1, 'some text', 2.5, NULL, TIMESTAMP '2026-01-01 00:00:00')"; 10_000].join(", ");
    let parsed = parse(&format!("INSERT INTO t VALUES {rows}")).expect("parses");
    assert_eq!(parsed.len(), 1);
    assert!(start.elapsed().as_secs_f64() < SECONDS_MAX, "{:?}", start.elapsed());
    let (kind, seconds) = on_small_stack(" ".repeat(5_000_001) + "SELECT 1");
    assert!(kind.is_none() && seconds < SECONDS_MAX, "{seconds} s");
    refused(format!("SELECT 1{}", " ".repeat(6_000_000)) + "+ 1");
    refused("x".repeat((64 << 20) + 1));
    let (kind, seconds) = on_small_stack("(".repeat(4_000_000));
    assert!(kind == Some(ErrorKind::Resource), "{seconds} s");
    let (_, seconds) = on_small_stack("SELECT 1;".repeat(100_000));
    assert!(seconds < 10.0 * SECONDS_MAX, "{seconds} s");
}

#[test]
fn wide_texts() {
    refused(format!("SELECT {}b", "a, ".repeat(100_000)));
    refused(format!("SELECT a IN ({}?)", "?, ".repeat(100_000)));
    refused(format!("CREATE TABLE t ({}z INT)", (0..20_000).map(|n| format!("c{n} INT, ")).collect::<String>()));
    accepted(format!("SELECT {}b", "a, ".repeat(9_000)));
    // Nothing here may cost more than a walk over the text.
    for text in
        ["AS FROM ".repeat(50_000), "SELECT 1 / / 1 ".repeat(50_000), "é'".repeat(100_000), "$a$".repeat(99_999)]
    {
        let (_, seconds) = on_small_stack(text);
        assert!(seconds < SECONDS_MAX, "{seconds} s");
    }
    let mut nested = format!("SELECT a IN ({}2) AS x", "1, ".repeat(100_000));
    for _ in 0..100 {
        nested = format!("SELECT ({nested})");
    }
    accepted(nested);
}

#[test]
fn no_text_panics() {
    let pieces = [
        "SELECT",
        "FROM",
        "(",
        ")",
        "t",
        ",",
        "1",
        "'x'",
        "TABLE",
        "ASOF",
        "JOIN",
        "ON",
        "TUMBLE",
        "[",
        "]",
        "WITH",
        "AS",
        "INSERT INTO",
        "EMIT",
        "CREATE",
        "VIEW",
        "STRUCT",
        "CASE",
        "END",
        "?",
        "$1",
        "//",
        "EXPLAIN",
        "SET",
        "=",
        "SHOW",
        "UNION",
        "EXCEPT",
        "ALL",
        "VALUES",
        "COPY",
        "TO",
        "SUBSCRIBE",
        ".",
        "::",
        "*",
        "WATERMARK FOR",
        "DEFAULT",
        "LEFT",
        "GROUP BY ALL",
        "ORDER BY ALL",
        "count",
        "now",
        "INTERVAL",
        "NOT",
        "NULL",
        "=>",
        "PREPARE",
        "EXECUTE",
        "TRIM",
    ];
    let mut seed = 1_u64;
    for _ in 0..4_000 {
        let mut text = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            text.push(' ');
        }
        let _ = parse(&text);
    }
}
