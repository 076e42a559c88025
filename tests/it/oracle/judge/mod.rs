//! The judge: every query's meaning from a reference that shares no plan with the engine.
//!
//! Batch and view are lowered from one plan, so comparing them shows nothing about that plan. Here the generator makes
//! trees ([`tree`]); a tree prints as SQL for the engine ([`print`]) and is evaluated row by row from SQL's definition
//! ([`evaluate`]). After every epoch of a history batch, a view made before the data and the reference must agree, and
//! at the end a view made late; batch must also pass the checks of [`partition`] that need no reference.
//!
//! `EDDY_ORACLE_HISTORIES` sets the number of histories (300; a campaign takes 20000), `EDDY_ORACLE_SEED` the first
//! seed (1, so that a green tree stays green; a campaign takes others). `EDDY_ORACLE_KEEP_GOING=1` shows all failures
//! instead of the first. [`features`] says how parts of SQL are left out. A failing history is made smaller before it
//! is shown, as SQL that can be run.

mod decode;
mod evaluate;
mod features;
mod functions;
mod generate;
mod partition;
mod print;
mod shrink;
mod tree;
mod trial;
mod value;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use features::Features;
use generate::History;
use trial::{Failure, Tally};

use super::number;

/// How many histories run where the environment does not say.
const HISTORIES: u64 = 300;

/// The first seed where the environment does not say.
const SEED: u64 = 1;

#[test]
fn batch_and_views_equal_the_reference() {
    let first = number("EDDY_ORACLE_SEED").unwrap_or(SEED);
    let histories = number("EDDY_ORACLE_HISTORIES").unwrap_or(HISTORIES);
    let keep_going = number("EDDY_ORACLE_KEEP_GOING").is_some();
    println!("judge: {histories} histories from seed {first}");
    let features = Features::from_environment();
    let next = AtomicU64::new(0);
    let failures: Mutex<Vec<(History, Failure)>> = Mutex::new(Vec::new());
    let tally = Mutex::new(Tally::default());
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let failed = !failures.lock().expect("no panic inside").is_empty();
                    if index >= histories || (failed && !keep_going) {
                        return;
                    }
                    let history = History::new(first + index, &features);
                    match trial::run(&history) {
                        Ok(found) => tally.lock().expect("no panic inside").add(&found),
                        Err(failure) => {
                            if keep_going {
                                println!("{}", shrunken(history.clone(), failure.clone()));
                            }
                            failures.lock().expect("no panic inside").push((history, failure));
                        }
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().expect("all workers have ended");
    println!("judge: {tally:#?}");
    let failures = failures.into_inner().expect("all workers have ended");
    let count = failures.len();
    if let Some((history, failure)) = failures.into_iter().next() {
        panic!("{count} failures, the first: {}", shrunken(history, failure));
    }
    assert!(tally.compared > 0, "nothing was compared");
    assert!(tally.refused * 10 <= tally.views, "more than one query in ten was refused: {:#?}", tally.reasons);
    assert!(tally.open * 10 <= tally.compared, "the meaning of too many queries is open: {tally:?}");
}

/// A failure after making its history smaller.
fn shrunken(history: History, failure: Failure) -> String {
    let seed = history.seed;
    let (history, failure) = shrink::shrink(history, failure);
    format!("seed {seed}: {}\n{}\n{}\n", failure.kind, history.script(), failure.text)
}
