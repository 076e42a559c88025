//! The shell as other programs meet it: exit codes, streams, order, interruption.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn eddy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    eddy(arguments).output().expect("the shell starts")
}

fn piped(arguments: &[&str], input: &str) -> Output {
    let mut child = eddy(arguments).stdin(Stdio::piped()).spawn().expect("the shell starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // The shell may end before it has read all: that is its right.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the shell ends")
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), out.as_str()), (Some(code), stdout), "stderr: {err}");
    assert!(err.contains(stderr) && (!stderr.is_empty() || err.is_empty()), "stderr: {err}");
}

/// Waits for a child, but not for ever.
fn ends(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return status.code();
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("the shell did not end");
}

#[test]
fn statements_and_files_run_in_the_order_given() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("two words.sql");
    std::fs::write(&file, "INSERT INTO t VALUES (2); -- no more\nSELECT count(*) AS n FROM t").expect("a file");
    let file = file.to_str().expect("a name");
    let output =
        run(&["-c", "CREATE TABLE t (a BIGINT)", "-f", file, "-c", "SELECT a FROM t; SELECT 'x' AS b", "-f", file]);
    check(&output, 0, "n\n1\na\n2\nb\nx\nn\n2\n", "");
}

#[test]
fn errors_are_exit_code_1_and_stop_the_script() {
    check(&run(&["-c", "SELECT 1 AS a; SELEC 2; SELECT 3"]), 1, "a\n1\n", "error: ");
    check(&run(&["--keep-going", "-c", "SELECT 1 AS a; SELEC 2; SELECT 3 AS c"]), 1, "a\n1\nc\n3\n", "error: ");
    check(&piped(&[], "SELECT nothing FROM nowhere;\nSELECT 1;\n"), 1, "", "error: ");
    check(&run(&["-f", "no such file"]), 1, "", "cannot read no such file");
    check(&piped(&[], ".tabels\n"), 1, "", "did you mean .tables?");
}

#[test]
fn an_error_names_the_file_and_the_line() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("inner.sql"), "\n\nSELECT 1 +;\n").expect("a file");
    std::fs::write(directory.path().join("outer.sql"), ".read inner.sql\n").expect("a file");
    let output = eddy(&["-f", "outer.sql"]).current_dir(directory.path()).output().expect("the shell starts");
    check(&output, 1, "", "inner.sql:3: error: ");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    check(&run(&["--format", "xml"]), 2, "", "ndjson");
    check(&run(&["--readonly"]), 2, "", "--readonly");
    check(&run(&["nowhere.eddy", "--readonly"]), 1, "", "there is no database");
    check(&run(&["--salvage"]), 2, "", "--salvage");
}

#[test]
fn a_directory_keeps_what_was_done() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("shop.eddy");
    let path = path.to_str().expect("a path");
    check(&run(&[path, "-c", "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)"]), 0, "", "");
    check(&run(&[path, "-c", "SELECT sum(a) AS s FROM t"]), 0, "s\n3\n", "");
}

#[test]
fn safe_mode_reads_no_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.csv");
    std::fs::write(&file, "a\n1\n").expect("a file");
    let query = format!("SELECT a FROM '{}'", file.display());
    check(&run(&["-c", &query]), 0, "a\n1\n", "");
    check(&run(&["--safe", "-c", &query]), 1, "", "error: ");
}

#[test]
fn a_statement_runs_as_soon_as_its_semicolon_arrives() {
    let mut child = eddy(&[]).stdin(Stdio::piped()).spawn().expect("the shell starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    for number in ["1", "2"] {
        write!(stdin, "SELECT {number} AS n;").expect("it reads");
        stdin.flush().expect("it reads");
        for expected in ["n", number] {
            let mut line = String::new();
            stdout.read_line(&mut line).expect("it writes");
            assert_eq!(line.trim_end(), expected);
        }
    }
    drop(stdin);
    assert_eq!(ends(&mut child), Some(0));
}

#[test]
fn each_format_says_the_same() {
    let query = "SELECT 1 AS a, NULL AS b, 'x' AS c";
    let of = |format| String::from_utf8(run(&["--format", format, "-c", query]).stdout).expect("text");
    assert_eq!(of("csv"), "a,b,c\n1,,x\n");
    assert_eq!(of("ndjson"), "{\"a\":1,\"b\":null,\"c\":\"x\"}\n");
    assert_eq!(of("json"), "[{\"a\":1,\"b\":null,\"c\":\"x\"}]\n");
    assert_eq!(of("line"), "a = 1\nb = NULL\nc = x\n");
    assert_eq!(
        of("table"),
        "+---+------+---+\n| a | b    | c |\n+---+------+---+\n| 1 | NULL | x |\n+---+------+---+\n"
    );
    assert_eq!(of("markdown"), "|   a | b    | c   |\n|----:|------|-----|\n|   1 | NULL | x   |\n");
    assert!(of("box").contains("│ BIGINT │ NULL │ TEXT │"), "{}", of("box"));
}

#[test]
fn watched_views_tell_what_a_statement_changed() {
    let script = "CREATE TABLE t (k TEXT, v BIGINT);\n\
                  CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS total FROM t GROUP BY k;\n\
                  .mode ndjson\n.watch sums\n\
                  INSERT INTO t VALUES ('a', 1), ('a', 2);\nDELETE FROM t WHERE v = 2;\n.watch off\nDELETE FROM t;\n";
    let output = piped(&[], script);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let mut seen: Vec<String> =
        text.lines().map(|line| line.split_once(',').map_or("", |(_, rest)| rest).to_string()).collect();
    seen[1..].sort();
    let expected = [
        "\"_weight\":1,\"k\":\"a\",\"total\":3}",
        "\"_weight\":-1,\"k\":\"a\",\"total\":3}",
        "\"_weight\":1,\"k\":\"a\",\"total\":1}",
    ];
    assert_eq!(seen, expected, "{text}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_subscription_with_exit_code_130() {
    let statements = "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (7); SUBSCRIBE t";
    let mut child = eddy(&["--format", "ndjson", "-c", statements]).spawn().expect("the shell starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it is flushed before the end");
    assert!(line.starts_with("{\"_epoch\":") && line.ends_with("\"_weight\":1,\"a\":7}\n"), "{line}");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(kill.success());
    assert_eq!(ends(&mut child), Some(130));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("it ends");
    assert_eq!(rest, "");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = eddy(&["-c", "SELECT * FROM generate_series(1, 1000000)"]).spawn().expect("the shell starts");
    let mut first = [0; 6];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("it writes");
    assert_eq!(ends(&mut child), Some(0));
    let mut errors = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("it ends");
    assert_eq!(errors, "");
}

#[test]
fn the_demo_ends_well() {
    let output = run(&["--demo"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("20938 flights in 1047 commits"), "{text}");
    assert_eq!(text.matches("VERIFY: no difference").count(), 5, "{text}");
    assert!(!text.contains('\u{1b}'), "no terminal, no colours");
}

#[test]
fn a_session_moves_between_directories_and_survives() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let (shop, copy) = (at("shop.eddy"), at("it's a copy.eddy"));
    let script = format!(
        "CREATE TABLE t (k INT); INSERT INTO t VALUES (1), (2);\n.backup {copy}\nINSERT INTO t VALUES (3);\n\
         .open {copy}\nSELECT count(*) AS copied FROM t;\n.open {shop}\n.open\nSHOW TABLES;\n"
    );
    check(&piped(&[&shop, "--format", "csv"], &script), 0, "copied\n2\nname,kind,rows,columns\n", "");
    check(&run(&[&shop, "--format", "csv", "-c", "SELECT count(*) AS n FROM t"]), 0, "n\n3\n", "");
    let both = ["--readonly", &copy, "--format", "csv", "-c", "SELECT count(*) AS n FROM t", "-c", "DELETE FROM t"];
    check(&run(&both), 1, "n\n2\n", "reading only");
    check(&piped(&[&shop], ".open /dev/null/x\n"), 1, "", "/dev/null/x");
    check(
        &run(&["--salvage", &copy, "--format", "csv", "-c", "SELECT count(*) AS n FROM t"]),
        0,
        "n\n2\n",
        "nothing is lost",
    );
    check(&run(&["--salvage", &copy]), 1, "", "exists already");
    check(&run(&["--salvage", &at("nowhere.eddy")]), 1, "", "nowhere.eddy\": there is no database");
}

#[test]
fn a_shell_that_only_reads_opens_others_for_reading_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let (one, other) = (at("one.eddy"), at("two words.eddy"));
    for path in [&one, &other] {
        check(&run(&[path, "-c", "CREATE TABLE t (k INT)"]), 0, "", "");
    }
    let script = format!(".open \"{other}\"\nSELECT count(*) AS n FROM t;\nINSERT INTO t VALUES (1);\n");
    check(&piped(&["--readonly", &one], &script), 1, "n\n0\n", "reading only");
}

#[test]
fn a_directory_that_cannot_be_opened_comes_with_a_hint() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("thesis.txt"), "years of work").expect("a file");
    let path = directory.path().display().to_string();
    check(&piped(&[], &format!(".open {path}\n")), 1, "", "hint: a new database needs a directory of its own");
    check(&run(&[&format!("{path}/thesis.txt")]), 1, "", "thesis.txt/': not a directory");
}

#[test]
fn help_tells_of_one_command_too() {
    let line = ".watch [VIEW|off]          tell after each statement what it changed in VIEW\n";
    check(&piped(&[], ".help watch\n.help .watch\n"), 0, &format!("{line}{line}"), "");
    check(&piped(&[], ".help .wathc\n"), 1, "", "did you mean .watch?");
}
