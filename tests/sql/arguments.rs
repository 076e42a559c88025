//! The command line of the runner.
//!
//! An argument that names no file or directory is a name filter, because `cargo test NAME` hands NAME to every test
//! binary of the package. The flags of libtest are accepted and mean nothing here.

/// The line printed after a usage error.
pub const USAGE: &str = "usage: cargo test --test sql -- [--mode batch|continuous|late|restart|all] [--seed N] [--keep-going] \
                         [--printing classic|native] [--without WORDS] [--replace TEXT=TEXT] \
                         [--any-error] [--any-order] [--differing FILE] [FILE|DIR|NAME ...]";

/// The ways to run a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// As it stands.
    Batch,
    /// Each query a materialized view, created before the data.
    Continuous,
    /// Each query a materialized view, created where the query stands.
    Late,
    /// As it stands, in a directory that is closed, or loses power, and is opened again between statements.
    Restart,
}

impl Mode {
    /// The name used on the command line and in `# mode:` lines.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Batch => "batch",
            Mode::Continuous => "continuous",
            Mode::Late => "late",
            Mode::Restart => "restart",
        }
    }

    /// The modes that `name` stands for.
    pub fn parse(name: &str) -> Result<Vec<Mode>, String> {
        match name {
            "batch" => Ok(vec![Mode::Batch]),
            "continuous" => Ok(vec![Mode::Continuous]),
            "late" => Ok(vec![Mode::Late]),
            "restart" => Ok(vec![Mode::Restart]),
            "all" => Ok(vec![Mode::Batch, Mode::Continuous, Mode::Late, Mode::Restart]),
            other => Err(format!("unknown mode {other:?}")),
        }
    }
}

/// How values are printed before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printing {
    /// As SQLite's corpus has it: R is `%.3f`, the empty string `(empty)`.
    Classic,
    /// As DataFusion's files have it: numbers in full, timestamps with a `T`.
    Native,
}

impl Printing {
    /// The printing called `name`.
    pub fn parse(name: &str) -> Result<Printing, String> {
        match name {
            "classic" => Ok(Printing::Classic),
            "native" => Ok(Printing::Native),
            other => Err(format!("unknown printing {other:?}")),
        }
    }
}

/// What the command line asks for.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// The modes to run, each once.
    pub modes: Vec<Mode>,
    /// Where the random splits start.
    pub seed: u64,
    /// Whether a file goes on after its first failed record.
    pub keep_going: bool,
    /// The printing of files that do not name their own.
    pub printing: Printing,
    /// Records whose SQL begins with one of these, in any case, count as skipped.
    pub without: Vec<String>,
    /// Texts to put in the place of others in every SQL: where files of data are.
    pub replace: Vec<(String, String)>,
    /// Whether an expected error may have any text: another engine's files name that engine's texts.
    pub any_error: bool,
    /// Whether the rows of a query without ORDER BY are compared as a set.
    pub any_order: bool,
    /// Places of records that fail, `FILE:LINE`, because they differ on purpose; they count as skipped.
    pub differing: Vec<String>,
    /// Files, directories and name filters.
    pub selection: Vec<String>,
}

/// libtest's flags that take a value of their own.
const FOREIGN_WITH_VALUE: [&str; 8] =
    ["--test-threads", "--format", "--color", "--skip", "--logfile", "-Z", "--shuffle-seed", "--report-time-format"];

/// libtest's other flags.
const FOREIGN: [&str; 15] = [
    "--nocapture",
    "--no-capture",
    "--show-output",
    "-q",
    "--quiet",
    "--exact",
    "--list",
    "--ignored",
    "--include-ignored",
    "--report-time",
    "--ensure-time",
    "--shuffle",
    "--test",
    "--bench",
    "--force-run-in-process",
];

impl Arguments {
    /// Reads the command line; the error is a sentence for the user.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments {
            modes: Mode::parse("all")?,
            seed: seed_of_the_day(),
            keep_going: false,
            printing: Printing::Classic,
            without: Vec::new(),
            replace: Vec::new(),
            any_error: false,
            any_order: false,
            differing: Vec::new(),
            selection: Vec::new(),
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let (name, mut given) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_string(), Some(value.to_string())),
                _ => (word.clone(), None),
            };
            let mut value = || given.take().or_else(|| words.next()).ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--mode" => arguments.modes = Mode::parse(&value()?)?,
                "--seed" => arguments.seed = value()?.parse().map_err(|_| "--seed needs a number".to_string())?,
                "--printing" => arguments.printing = Printing::parse(&value()?)?,
                "--without" => arguments.without.push(value()?),
                "--replace" => {
                    let pair = value()?;
                    let (from, to) = pair.split_once('=').ok_or("--replace needs TEXT=TEXT")?;
                    arguments.replace.push((from.to_string(), to.to_string()));
                }
                "--keep-going" => arguments.keep_going = true,
                "--any-error" => arguments.any_error = true,
                "--any-order" => arguments.any_order = true,
                "--differing" => arguments.differing.extend(read_places(&value()?)?),
                flag if FOREIGN_WITH_VALUE.contains(&flag) => drop(value()?),
                flag if FOREIGN.contains(&flag) => {}
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
                _ => arguments.selection.push(word),
            }
        }
        Ok(arguments)
    }
}

/// The places in a file of lines `FILE LINE LINE ..`; other lines begin with `#`.
fn read_places(path: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let mut places = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        if let Some(file) = words.next() {
            places.extend(words.map(|line| format!("{file}:{line}")));
        }
    }
    Ok(places)
}

/// A seed that differs from run to run; it is printed, so that a run can be repeated.
fn seed_of_the_day() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |elapsed| elapsed.as_millis() as u64 % 1_000_000)
}
