//! The file source: logs that grow and are rotated, directories that are filled, records that are none.

use std::fs;
use std::path::Path;

use eddydb::{Connection, Database, Result};

use super::{append, expect, lines, open};

fn create(connection: &Connection, columns: &str, path: &Path, options: &str) -> Result<()> {
    connection.execute_batch(&format!(
        "CREATE SOURCE s {columns} WITH (connector = 'file', path = '{}', poll_interval = '2 ms' {options})",
        path.display()
    ))
}

const COUNT: &str = "SELECT count(*) FROM s";

#[test]
fn a_growing_log_is_followed_and_half_a_line_waits() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("app.log");
    append(&log, "one\ntwo\r\nth");
    let (database, connection) = open(&directory.path().join("db"))?;
    create(&connection, "", &log, "")?;
    expect(&connection, COUNT, 2)?;
    append(&log, "ree\n\nfive");
    expect(&connection, COUNT, 4)?;
    assert_eq!(lines(&connection, "SELECT line FROM s")?, "one\ntwo\nthree\n\n");
    drop((connection, database));
    append(&log, "\nsix\n");
    let (_database, connection) = open(&directory.path().join("db"))?;
    expect(&connection, COUNT, 6)?;
    assert_eq!(lines(&connection, "SELECT line FROM s")?, "one\ntwo\nthree\n\nfive\nsix\n");
    Ok(())
}

#[test]
fn a_log_that_is_rotated_is_read_on_under_every_name() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("logs/app.log");
    append(&log, "1\n2\n");
    for (turn, path) in ["logs/app.log", "logs/*.log*"].into_iter().enumerate() {
        let (database, connection) = open(&directory.path().join(format!("db{turn}")))?;
        create(&connection, "(n BIGINT)", &directory.path().join(path), ", format = 'csv'")?;
        expect(&connection, COUNT, 2 + 5 * turn as i64)?;
        let old = directory.path().join(format!("logs/app.log.{turn}"));
        append(&log, "30\n");
        fs::rename(&log, &old).unwrap();
        append(&old, "40\n");
        append(&log, "50\n");
        expect(&connection, "SELECT count(*) FROM s WHERE n IN (30, 40, 50)", 3 + 3 * turn as i64)?;
        drop((connection, database));
        // And again while nobody looks.
        let older = directory.path().join(format!("logs/older.log.{turn}"));
        append(&log, "60\n");
        fs::rename(&log, &older).unwrap();
        append(&log, &format!("{}\n", 6));
        let (_database, connection) = open(&directory.path().join(format!("db{turn}")))?;
        expect(&connection, "SELECT count(*) FROM s WHERE n = 6", 1 + turn as i64)?;
        expect(&connection, "SELECT count(*) FROM s WHERE n = 60", 1 + turn as i64)?;
        expect(&connection, "SELECT count(*) FROM eddy.dead_letters", 0)?;
    }
    Ok(())
}

#[test]
fn a_log_that_is_cut_and_begun_anew_is_read_from_its_beginning() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("app.log");
    append(&log, "a first line\n");
    let (database, connection) = open(&directory.path().join("db"))?;
    create(&connection, "", &log, "")?;
    expect(&connection, COUNT, 1)?;
    fs::write(&log, "short\n").unwrap();
    expect(&connection, COUNT, 2)?;
    fs::write(&log, "another that is longer than what was there before\n").unwrap();
    expect(&connection, COUNT, 3)?;
    drop((connection, database));
    fs::write(&log, "cut while nobody looked, and longer than it was before all the same\n").unwrap();
    let (_database, connection) = open(&directory.path().join("db"))?;
    expect(&connection, COUNT, 4)?;
    expect(&connection, "SELECT count(*) FROM s WHERE line LIKE 'cut %'", 1)
}

#[test]
fn only_what_comes_later_is_read_from_the_end() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    append(&directory.path().join("logs/a.log"), "old\n");
    let (database, connection) = open(&directory.path().join("db"))?;
    create(&connection, "", &directory.path().join("logs/*.log"), ", format = 'text', start = 'end'")?;
    expect(&connection, "SELECT count(*) FROM eddy.positions WHERE split <> ''", 1)?;
    append(&directory.path().join("logs/a.log"), "new\n");
    append(&directory.path().join("logs/b.log"), "newer\n");
    expect(&connection, COUNT, 2)?;
    drop((connection, database));
    append(&directory.path().join("logs/c.log"), "newest\n");
    let (_database, connection) = open(&directory.path().join("db"))?;
    expect(&connection, COUNT, 3)?;
    expect(&connection, "SELECT count(*) FROM s WHERE line = 'old'", 0)
}

#[test]
fn records_that_are_no_rows_are_kept_beside() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("in.ndjson");
    append(
        &file,
        "{\"a\": 1, \"b\": \"x\", \"more\": []}\n{\"a\": \"y\"}\n\n{\"a\": 2}\n{\"a\": 3, \"b\": \"z\"}\n{\"a\": 4, \"b\"\n",
    );
    let (database, connection) = open(&directory.path().join("db"))?;
    create(&connection, "(a INT, b VARCHAR(3) NOT NULL)", &file, "")?;
    expect(&connection, "SELECT count(*) FROM eddy.dead_letters", 3)?;
    append(&file, "{\"a\": 5, \"b\": \"long\"}\n{\"a\": 99999999999, \"b\": \"y\"}\n{\"a\": 6, \"b\": \"w\"}\n");
    expect(&connection, COUNT, 3)?;
    drop((connection, database));
    let (_database, connection) = open(&directory.path().join("db"))?;
    assert_eq!(lines(&connection, "SELECT a, b FROM s ORDER BY a")?, "1|x\n3|z\n6|w\n");
    let letters = lines(&connection, "SELECT source, reason, raw FROM eddy.dead_letters")?;
    let expected = [
        "s|column \"a\": invalid input syntax for type integer: \"y\"|{\"a\": \"y\"}",
        "s|null value in column \"b\" of \"s\" violates its NOT NULL|{\"a\": 2}",
        "s|",
        "s|column \"b\": value too long for type VARCHAR(3)|{\"a\": 5, \"b\": \"long\"}",
        "s|column \"a\": value \"99999999999\" is out of range for type integer|{\"a\": 99999999999, \"b\": \"y\"}",
    ];
    let found: Vec<&str> = letters.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(found.len(), expected.len(), "{letters}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    expect(&connection, "SELECT bad_records FROM eddy.sources", 5)?;
    let position = connection.query_row(
        "SELECT position FROM eddy.dead_letters WHERE raw LIKE '%\"y\"}%' AND raw LIKE '{\"a\": \"y%'",
        (),
        |row| row.get(0),
    );
    assert!(position.is_ok_and(|position: String| position.ends_with("in.ndjson:31")), "where it stands");
    Ok(())
}

#[test]
fn a_source_stops_where_it_was_told_to_and_goes_on_when_it_is_told_to() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("in.csv");
    append(&file, "n\n1\nx\ny\n");
    let (_database, connection) = open(&directory.path().join("db"))?;
    create(&connection, "(n INT)", &file, ", bad_record_limit = 1")?;
    expect(&connection, "SELECT state FROM eddy.sources", "failed".to_string())?;
    append(&file, "2\n");
    connection.execute_batch("ALTER SOURCE s RESUME")?;
    expect(&connection, "SELECT sum(n) FROM s", 3)?;
    connection.execute_batch("ALTER SOURCE s PAUSE")?;
    append(&file, "3\n");
    expect(&connection, "SELECT state FROM eddy.sources", "paused".to_string())?;
    std::thread::sleep(std::time::Duration::from_millis(50));
    expect(&connection, COUNT, 2)?;
    connection.execute_batch("ALTER SOURCE s RESUME")?;
    expect(&connection, COUNT, 3)?;
    connection.execute_batch("DROP SOURCE s")?;
    expect(&connection, "SELECT count(*) FROM eddy.sources", 0)?;
    expect(&connection, "SELECT count(*) FROM eddy.positions", 0)?;
    expect(&connection, "SELECT count(*) FROM eddy.dead_letters", 2)
}

#[test]
fn files_of_a_directory_are_read_as_a_whole_once() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let inbox = directory.path().join("in");
    fs::create_dir_all(&inbox).unwrap();
    let writer = Database::in_memory()?.connect()?;
    let put =
        |name: &str, query: &str| writer.execute_batch(&format!("COPY ({query}) TO '{}'", inbox.join(name).display()));
    put("a.parquet", "SELECT n, 'a' AS t FROM generate_series(1, 20000) AS g(n)")?;
    let (database, connection) = open(&directory.path().join("db"))?;
    create(&connection, "(n BIGINT, t TEXT)", &inbox.join("*.parquet"), "")?;
    expect(&connection, COUNT, 20000)?;
    put("b.parquet", "SELECT n, 'b' AS t FROM generate_series(1, 10) AS g(n)")?;
    fs::write(inbox.join("c.parquet"), "no parquet at all").unwrap();
    expect(&connection, COUNT, 20010)?;
    expect(&connection, "SELECT count(*) FROM eddy.dead_letters WHERE position LIKE '%c.parquet, row 1'", 1)?;
    drop((connection, database));
    let (_database, connection) = open(&directory.path().join("db"))?;
    put("d.parquet", "SELECT n, 'd' AS t FROM generate_series(1, 5) AS g(n)")?;
    expect(&connection, COUNT, 20015)?;
    expect(&connection, "SELECT count(DISTINCT t || n) FROM s", 20015)
}

#[test]
fn a_copy_of_a_database_reads_nothing_before_it_is_told_to() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("app.log");
    append(&log, "one\n");
    let (database, connection) = open(&directory.path().join("db"))?;
    create(&connection, "", &log, "")?;
    expect(&connection, COUNT, 1)?;
    drop((connection, database));
    append(&log, "two\n");
    let database = Database::builder().hold_connectors().open(directory.path().join("db"))?;
    let connection = database.connect()?;
    expect(&connection, "SELECT state FROM eddy.sources", "held".to_string())?;
    expect(&connection, COUNT, 1)?;
    connection.execute_batch("ALTER SOURCE s RESUME")?;
    expect(&connection, COUNT, 2)?;
    expect(&connection, "SELECT state FROM eddy.sources", "running".to_string())
}
