//! `eddy --demo`: views over real flights change while the flights leave, then have to stand up to batch.
//!
//! It promises a run of seconds that ends with exit code 0 only if every view equals its query run once over
//! everything: compared here row by row, and by VERIFY. On a terminal the views are seen changing and the prompt
//! comes afterwards; elsewhere it prints plain lines, the same every time but for the times.
//!
//! - `data`: the flights, planes and airlines
//! - `screen`: the live display

mod data;
mod screen;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch};
use eddydb::{Connection, Error, Outcome, Result};

use self::screen::{Panel, Screen, bars};
use crate::print::value::{formatter, is_null, is_number};
use crate::shell::{Flow, Shell, Stop};

/// Flights a commit: small, so that there are many commits.
const FLIGHTS_A_COMMIT: usize = 20;

/// How long the flights take on a terminal, where somebody is to see them.
const SHOW_TIME: Duration = Duration::from_secs(10);

/// The time between two drawings.
const FRAME: Duration = Duration::from_millis(80);

const TABLES: &str = "\
CREATE TABLE airlines (carrier TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE planes (tailnum TEXT PRIMARY KEY, year INTEGER, manufacturer TEXT, model TEXT, seats INTEGER);
CREATE STREAM flights (sched_ts TIMESTAMP, dep_ts TIMESTAMP, carrier TEXT, flight INTEGER, tailnum TEXT, origin TEXT, \
dest TEXT, dep_delay INTEGER, arr_delay INTEGER, air_time INTEGER, distance INTEGER);";

/// The names of January 2013, and those that two of the airlines took later.
const OLD_NAMES: &str = "\
UPDATE airlines SET name = 'Pinnacle Airlines' WHERE carrier = '9E';
UPDATE airlines SET name = 'American Eagle' WHERE carrier = 'MQ';";
const NEW_NAMES: &str = "\
UPDATE airlines SET name = 'Endeavor Air Inc.' WHERE carrier = '9E';
UPDATE airlines SET name = 'Envoy Air' WHERE carrier = 'MQ';";

struct View {
    name: &'static str,
    about: &'static str,
    query: &'static str,
    /// What the columns on the screen are.
    title: &'static str,
    /// What of it is seen while it changes.
    shown: &'static str,
    height: usize,
}

const VIEWS: [View; 5] = [
    View {
        name: "delays",
        about: "delay by carrier, its name by a join",
        query: "SELECT a.name AS carrier, count(*) AS flights, avg(f.dep_delay) AS mean_delay, max(f.dep_delay) AS worst \
                FROM flights f JOIN airlines a ON a.carrier = f.carrier GROUP BY a.name",
        title: "flights, mean minutes late",
        shown: "SELECT carrier, flights, round(mean_delay, 1) AS mean_delay FROM delays \
                ORDER BY flights DESC, carrier LIMIT 6",
        height: 6,
    },
    View {
        name: "routes",
        about: "the busiest routes, from 200 flights on",
        query: "SELECT origin, dest, count(*) AS flights FROM flights GROUP BY origin, dest HAVING count(*) >= 200",
        title: "flights, from 200 on",
        shown: "SELECT origin, dest, flights FROM routes ORDER BY flights DESC, origin, dest LIMIT 6",
        height: 6,
    },
    View {
        name: "makers",
        about: "planes seen, by manufacturer",
        query: "SELECT p.manufacturer, count(DISTINCT f.tailnum) AS planes, count(*) AS flights \
                FROM flights f JOIN planes p ON p.tailnum = f.tailnum GROUP BY p.manufacturer",
        title: "planes, flights",
        shown: "SELECT manufacturer, planes, flights FROM makers ORDER BY planes DESC, manufacturer LIMIT 4",
        height: 4,
    },
    View {
        name: "hours",
        about: "flights by airport and hour (UTC)",
        query: "SELECT origin, extract(hour FROM sched_ts) AS hour, count(*) AS flights FROM flights \
                GROUP BY origin, extract(hour FROM sched_ts)",
        title: "flights by hour (UTC)",
        shown: "SELECT origin, CAST(hour AS BIGINT) AS hour, flights FROM hours ORDER BY origin, hour",
        height: 3,
    },
    View {
        name: "rush",
        about: "a view on a view: the busiest hour",
        query: "SELECT origin, max(flights) AS busiest, min(flights) AS quietest, count(*) AS hours \
                FROM hours GROUP BY origin",
        title: "busiest, quietest, hours",
        shown: "SELECT origin, busiest, quietest, hours FROM rush ORDER BY origin",
        height: 3,
    },
];

const TO_TRY: &str = "\
Every flight, plane and view is still there. Three things to try:

  SELECT * FROM delays ORDER BY mean_delay DESC;
  EXPLAIN MATERIALIZED VIEW rush;
  .watch delays
  UPDATE airlines SET name = 'Blue' WHERE carrier = 'B6';
";

/// Runs the demo from the empty database to the verdict.
pub fn run(shell: &mut Shell) -> Flow {
    shell.interrupts().start(|| ());
    let live = io::stdout().is_terminal() && shell.style.colour;
    let result = Demo { connection: shell.connection(), shell, live }.run();
    let pressed = shell.interrupts().pressed();
    shell.interrupts().finish();
    match result {
        _ if pressed => Err(Stop::Interrupted),
        Ok(true) => Ok(()),
        Ok(false) => shell.fail("a view is not what its query gives: please report it"),
        Err(Problem::Output(error)) => Err(Stop::Io(error)),
        Err(Problem::Sql(error)) => shell.fail(&error.to_string()),
    }
}

enum Problem {
    Sql(Error),
    Output(io::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem::Sql(error)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Problem::Output(error)
    }
}

struct Demo<'a> {
    connection: &'a Connection,
    shell: &'a Shell,
    live: bool,
}

impl Demo<'_> {
    /// Whether every view was what it should be.
    fn run(&self) -> Result<bool, Problem> {
        let mut out = io::stdout();
        let flights = data::flights()?;
        writeln!(out, "Flights from New York, 1 to 24 January 2013, and {} views that stay current:", VIEWS.len())?;
        for view in &VIEWS {
            writeln!(out, "  {:<8} {}", view.name, view.about)?;
        }
        writeln!(out)?;
        self.prepare()?;
        let spent = self.feed(&flights)?;
        if self.shell.interrupts().pressed() {
            return Ok(true);
        }
        let commits = flights.num_rows().div_ceil(FLIGHTS_A_COMMIT);
        writeln!(
            out,
            "{} flights in {commits} commits: {:.2} s, {:.0} flights/s with all views current after every commit.\n",
            flights.num_rows(),
            spent.as_secs_f64(),
            flights.num_rows() as f64 / spent.as_secs_f64().max(1e-9),
        )?;
        writeln!(out, "The same queries once in batch, and VERIFY, which recomputes a view from its inputs:")?;
        let mut same = true;
        for view in &VIEWS {
            same &= self.check(view, &mut out)?;
        }
        if same {
            writeln!(out, "\nOne SQL, one answer: every view equals its query.")?;
            if self.live {
                writeln!(out, "\n{TO_TRY}")?;
            }
        }
        Ok(same)
    }

    fn prepare(&self) -> Result<()> {
        for statement in TABLES.split_inclusive(';') {
            self.connection.run(statement)?;
        }
        self.append("airlines", &data::airlines()?)?;
        self.append("planes", &data::planes()?)?;
        for statement in OLD_NAMES.split_inclusive(';') {
            self.connection.run(statement)?;
        }
        for view in &VIEWS {
            self.connection.run(&format!("CREATE MATERIALIZED VIEW {} AS {}", view.name, view.query))?;
        }
        Ok(())
    }

    fn append(&self, relation: &str, rows: &RecordBatch) -> Result<()> {
        let mut appender = self.connection.appender(relation)?;
        appender.append_record_batch(rows)?;
        appender.flush().map(drop)
    }

    /// Lets the flights leave; how long the commits took.
    fn feed(&self, flights: &RecordBatch) -> Result<Duration, Problem> {
        let mut out = io::stdout();
        let mut screen = Screen::new(self.shell.style);
        let mut appender = self.connection.appender("flights")?;
        let (rows, begun, mut spent) = (flights.num_rows(), Instant::now(), Duration::ZERO);
        let (mut drawn, mut told, mut renamed) = (None::<Instant>, 0, false);
        for from in (0..rows).step_by(FLIGHTS_A_COMMIT) {
            if self.shell.interrupts().pressed() {
                break;
            }
            let to = rows.min(from + FLIGHTS_A_COMMIT);
            let started = Instant::now();
            appender.append_record_batch(&flights.slice(from, to - from))?;
            appender.flush()?;
            spent += started.elapsed();
            if !renamed && to * 2 >= rows {
                renamed = true;
                for statement in NEW_NAMES.split_inclusive(';') {
                    self.connection.run(statement)?;
                }
            }
            if self.live {
                if to == rows || drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
                    let note = if renamed { "; Pinnacle is Endeavor now, American Eagle is Envoy" } else { "" };
                    screen.draw(&format!("{to} of {rows} flights{note}"), self.panels()?, &mut out)?;
                    drawn = Some(Instant::now());
                }
                let due = SHOW_TIME.mul_f64(to as f64 / rows as f64);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            } else if to * 5 / rows > told {
                told = to * 5 / rows;
                let renames = if renamed && told == 3 { ", two airlines renamed on the way" } else { "" };
                writeln!(out, "{to} of {rows} flights have left{renames}")?;
            }
        }
        Ok(spent)
    }

    fn panels(&self) -> Result<Vec<Panel>> {
        VIEWS
            .iter()
            .map(|view| {
                let (right, rows) = self.cells(view.shown)?;
                let title = format!("{}: {}", view.name, view.title);
                if view.name == "hours" {
                    let rows = by_hour(&rows);
                    return Ok(Panel { title, rows, right: vec![false, false], height: view.height });
                }
                Ok(Panel { title, rows, right, height: view.height })
            })
            .collect()
    }

    /// Runs the view's query once, compares, and asks VERIFY.
    fn check(&self, view: &View, out: &mut dyn Write) -> Result<bool, Problem> {
        let started = Instant::now();
        let (_, mut expected) = self.cells(view.query)?;
        let took = started.elapsed();
        let (_, mut kept) = self.cells(&format!("SELECT * FROM {}", view.name))?;
        expected.sort_unstable();
        kept.sort_unstable();
        let equal = expected == kept;
        let verified = self.verify(view.name)?;
        writeln!(
            out,
            "  {:<8} {:>3} rows  batch {:>6.1} ms  {}  VERIFY: {}",
            view.name,
            kept.len(),
            took.as_secs_f64() * 1e3,
            if equal { "equal" } else { "DIFFERENT" },
            if verified == 0 { "no difference".to_string() } else { format!("{verified} ROWS DIFFER") },
        )?;
        Ok(equal && verified == 0)
    }

    fn verify(&self, view: &str) -> Result<i64> {
        let batches = self.batches(&format!("VERIFY MATERIALIZED VIEW {view}"))?;
        Ok(batches.iter().map(crate::shell::differing_rows).max().unwrap_or(0))
    }

    /// A result as text: which columns are numbers, and the rows.
    fn cells(&self, sql: &str) -> Result<(Vec<bool>, Vec<Vec<String>>)> {
        let batches = self.batches(sql)?;
        let numbers = batches
            .first()
            .map_or(vec![], |batch| batch.columns().iter().map(|column| is_number(column.data_type())).collect());
        let mut rows = vec![];
        for batch in &batches {
            let columns: Vec<_> = batch.columns().iter().map(|array| (array, formatter(array.as_ref()))).collect();
            for row in 0..batch.num_rows() {
                let cell = |(array, format): &(&arrow::array::ArrayRef, crate::print::value::Formatter<'_>)| {
                    let mut text = String::new();
                    if is_null(array.as_ref(), row) {
                        text.push_str("NULL")
                    } else {
                        format(row, &mut text)
                    }
                    text
                };
                rows.push(columns.iter().map(cell).collect());
            }
        }
        Ok((numbers, rows))
    }

    fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        match self.connection.run(sql)? {
            Outcome::Rows(rows) => rows.collect(),
            _ => Ok(vec![]),
        }
    }
}

/// One row of bars an airport, from rows of airport, hour and count.
fn by_hour(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut airports: BTreeMap<&str, [i64; 24]> = BTreeMap::new();
    for row in rows {
        if let [origin, hour, count] = row.as_slice()
            && let (Ok(hour), Ok(count)) = (hour.parse::<usize>(), count.parse::<i64>())
            && let Some(slot) = airports.entry(origin).or_insert([0; 24]).get_mut(hour)
        {
            *slot = count;
        }
    }
    airports.into_iter().map(|(origin, counts)| vec![origin.to_string(), bars(&counts)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_become_bars() {
        let row = |cells: [&str; 3]| cells.map(String::from).to_vec();
        let bars = by_hour(&[row(["EWR", "0", "8"]), row(["EWR", "23", "4"]), row(["JFK", "99", "1"])]);
        assert_eq!(bars[0], ["EWR".to_string(), format!("█{}▄", " ".repeat(22))]);
        assert_eq!(bars[1][1].trim(), "");
    }
}
