//! Where a database is: under other names of its directory, behind a process that died, at paths that are no text.

use std::path::{Path, PathBuf};

use eddydb::{Database, Result};

fn count(path: &Path) -> Result<i64> {
    Database::open(path)?.connect()?.query_row("SELECT count(*) FROM t", (), |row| row.get(0))
}

fn make(path: &Path) -> Result<()> {
    Database::open(path)?.connect()?.execute_batch("CREATE TABLE t (k BIGINT); INSERT INTO t VALUES (1), (2)")
}

#[test]
fn a_lock_file_that_a_dead_process_left_holds_nobody_up() -> Result<()> {
    let directory = tempfile::tempdir()?;
    make(directory.path())?;
    for text in ["1", "4294967295", "99999999999999999999", "not a number", ""] {
        std::fs::write(directory.path().join("LOCK"), text)?;
        assert_eq!(count(directory.path())?, 2, "{text}");
    }
    std::fs::remove_file(directory.path().join("LOCK"))?;
    assert_eq!(count(directory.path())?, 2);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_directory_is_one_database_under_whatever_name() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (path, link) = (directory.path().join("db"), directory.path().join("link"));
    std::os::unix::fs::symlink(&path, &link)?;
    make(&path)?;
    let names = [path.clone(), link, directory.path().join("db/../db"), directory.path().join("./db/")];
    for one in &names {
        let held = Database::open(one)?;
        for other in &names {
            let refused = Database::open(other).expect_err("it is open already");
            assert_eq!(refused.sqlstate(), "55006", "{} and {}: {refused}", one.display(), other.display());
        }
        held.connect()?.execute_batch("INSERT INTO t VALUES (3); DELETE FROM t WHERE k = 3")?;
        drop(held);
        assert_eq!(count(one)?, 2);
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_need_not_be_text() -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir()?;
    let name = |bytes: &[u8]| -> PathBuf { directory.path().join(std::ffi::OsStr::from_bytes(bytes)) };
    let (path, other) = (name(b"shop\xff"), name(b"shop\xfe"));
    make(&path)?;
    // They are shown alike, and are not the same.
    Database::open(&other)?.checkpoint()?;
    assert_eq!(count(&path)?, 2);
    std::fs::write(path.join(std::ffi::OsStr::from_bytes(b"wal/\xff")), "a stranger's")?;
    Database::open(&path)?.checkpoint()?;
    assert_eq!(count(&path)?, 2);
    let refused = Database::salvage(&path, name(b"saved\xff")).expect_err("a backup's path is text");
    assert!(refused.message().contains("UTF-8"), "{refused}");
    assert_eq!(std::fs::read_dir(directory.path())?.count(), 2, "nothing was made elsewhere");
    Ok(())
}
