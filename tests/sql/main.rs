//! The SQL test runner: `cargo test --test sql -- [options] [FILE|DIR|NAME ...]`.
//!
//! It runs the documents under `sql-tests/` (and any other sqllogictest file) three ways: `batch` as they stand,
//! `continuous` with every query as a materialized view that was there before the data, and `late` with the views
//! created over filled relations. One text, one expected answer, three ways to it. What the files may say is told in
//! `sql-tests/README.md`; what the modes do, in `continuous.rs`.
//!
//! It promises a closing line `N passed, N failed, N skipped` and exit code 1 exactly if something failed. It does
//! not run libtest: its flags are accepted and ignored, so that `cargo test -- --nocapture` works for the whole
//! package.

mod arguments;
mod batch;
mod compare;
mod continuous;
mod engine;
mod printing;
mod random;
mod record;
mod report;
mod restart;
mod scan;
mod session;
mod transform;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arguments::{Arguments, Mode};
use record::Script;
use report::{FileReport, Report};

/// The directory that a bare `cargo test` runs.
const HOME: &str = "sql-tests";

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    let files = match find_files(&arguments) {
        Ok(files) => files,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    println!("seed {}, {} files", arguments.seed, files.len());
    if !engine::AVAILABLE {
        println!("there is no engine to test yet\n0 passed, 0 failed, 0 skipped");
        return ExitCode::SUCCESS;
    }
    let report = run_all(&files, &arguments);
    report.print();
    if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The files the arguments ask for, in a stable order.
fn find_files(arguments: &Arguments) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut names = Vec::new();
    for argument in &arguments.selection {
        let path = Path::new(argument);
        if path.is_file() {
            files.push(path.to_path_buf());
        } else if path.is_dir() {
            collect(path, &mut files)?;
        } else {
            names.push(argument.as_str());
        }
    }
    if files.is_empty() {
        collect(Path::new(HOME), &mut files)?;
    }
    if !names.is_empty() {
        files.retain(|file| names.iter().any(|name| file.to_string_lossy().contains(name)));
    }
    Ok(files)
}

/// Adds every `.slt` and `.test` file under `directory`, sorted by path.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files)?;
        } else if matches!(path.extension().and_then(|e| e.to_str()), Some("slt" | "test")) {
            files.push(path);
        }
    }
    Ok(())
}

/// Runs every file in every mode, a file per worker at a time; reports appear in the order of completion.
fn run_all(files: &[PathBuf], arguments: &Arguments) -> Report {
    let jobs: Vec<(&PathBuf, Mode)> =
        files.iter().flat_map(|file| arguments.modes.iter().map(move |mode| (file, *mode))).collect();
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Report::default());
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(jobs.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            // Deep expressions are parsed and planned on this thread: the stack is a main thread's.
            let worker = std::thread::Builder::new().stack_size(8 << 20);
            worker
                .spawn_scoped(scope, || {
                    while let Some((file, mode)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let report = run_file(file, *mode, arguments);
                        report.print();
                        total.lock().expect("no worker panics while it adds").add(report);
                    }
                })
                .expect("the system has threads for the workers");
        }
    });
    total.into_inner().expect("all workers have ended")
}

/// Runs one file in one mode; a file that cannot be read or parsed counts as one failed record.
fn run_file<'a>(file: &Path, mode: Mode, arguments: &'a Arguments) -> FileReport<'a> {
    let mut report = FileReport::new(file, mode, &arguments.differing);
    match Script::read(file, arguments) {
        Err(reason) => report.refuse(reason),
        Ok(script) if !script.runs_in(mode) => {}
        Ok(script) => match mode {
            Mode::Restart => restart::run(&script, arguments, &mut report),
            Mode::Batch => batch::run(&script, arguments, &mut report),
            Mode::Continuous | Mode::Late => continuous::run(&script, mode, arguments, &mut report),
        },
    }
    report.find_stale();
    report
}
