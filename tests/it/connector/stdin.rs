//! The standard input as a source, in a process of its own: lines until it is closed, and then no more.

use std::io::Write;
use std::process::{Command, Stdio};

use eddydb::{Database, Result};

use super::{expect, lines};

/// Says that this process is the one that reads.
const READS: &str = "EDDY_READS_STDIN";

#[test]
fn what_is_piped_in_is_read_to_its_end() -> Result<()> {
    let mut process = Command::new(std::env::current_exe()?)
        .args(["connector::stdin::reads_what_is_piped_in", "--exact", "--nocapture"])
        .env(READS, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = process.stdin.take().expect("a pipe");
    for part in ["n,t\n1,a\n2,", "b\n\n", "x,c\n", "3,last without an end"] {
        input.write_all(part.as_bytes())?;
        input.flush()?;
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(input);
    let output = process.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("rows\n1|a\n2|b\n3|last without an end\nbad stdin|"), "{text}");
    Ok(())
}

/// Not a test of its own: does nothing unless it is told to.
#[test]
fn reads_what_is_piped_in() -> Result<()> {
    if std::env::var_os(READS).is_none() {
        return Ok(());
    }
    let database = Database::in_memory()?;
    let connection = database.connect()?;
    connection.execute_batch(
        "CREATE SOURCE stdin (n BIGINT, t TEXT) WITH (connector = 'stdin', format = 'csv', poll_interval = '1 ms')",
    )?;
    expect(&connection, "SELECT state FROM eddy.sources", "finished".to_string())?;
    println!("rows\n{}", lines(&connection, "SELECT n, t FROM stdin ORDER BY n")?.trim_end());
    println!("bad {}", lines(&connection, "SELECT source, raw FROM eddy.dead_letters")?);
    Ok(())
}
