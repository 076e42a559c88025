//! The house rules that a machine can hold: layers, sizes, and what may be named where.
//!
//! Every rule prints all its violations at once. There is no list of exceptions: a rule that needs one is wrong, or
//! the code is. Product code is what stands before a file's tests; test code is free of these rules.

mod circles;

use std::fs;
use std::path::Path;

/// The layers from top to bottom; an import may only point to a later entry.
const LAYERS: [&[&str]; 10] = [
    &["bin"],
    &["db"],
    &["continuous"],
    &["batch"],
    &["plan"],
    &["sql", "operator"],
    &["state"],
    &["storage", "connector"],
    &["catalog"],
    &["base"],
];

/// Product lines a file may have.
const FILE_LINES: usize = 900;

/// Lines a function may have, signature and closing brace included.
const FUNCTION_LINES: usize = 70;

/// What may be named only in some places: the words, the places (prefixes of paths under `src/`), and the reason.
const RESERVED: [(&[&str], &[&str], &str); 7] = [
    (
        &["std::fs", "File::open", "File::create"],
        &["base/vfs", "base/access.rs", "bin/"],
        "files are reached through the Vfs",
    ),
    (
        &["SystemTime::now", "Instant::now"],
        &["base/clock.rs", "base/limits.rs", "bin/"],
        "time comes from the clock, so that a replay can give it again",
    ),
    (
        &["thread::spawn", "thread::Builder", "thread::scope"],
        &["db/sequencer/", "db/pump/", "db/rebuild.rs", "db/follow.rs", "batch/", "storage/log/", "bin/"],
        "threads belong to the sequencer, its log, who follows one, the connectors and the batch runtime",
    ),
    (
        &["rand::", "fastrand", "getrandom", "thread_rng", "RandomState"],
        &["base/vfs/real.rs", "bin/"],
        "nothing in the engine may differ between two runs; what must be new each time comes from the Vfs",
    ),
    (
        &["datafusion"],
        &["sql/", "plan/", "continuous/", "batch/", "operator/"],
        "the layers around the planner do not know it",
    ),
    (
        &["visit_expressions", "visit_relations", "visit_statements"],
        &["sql/walk.rs"],
        "the walk over the syntax tree is compiled once, in sql/walk.rs",
    ),
    (
        &["TreeNode;", "TreeNode,", "TreeNode}", "transform_up_with_subqueries", "apply_with_subqueries"],
        &["plan/walk.rs"],
        "walks over plans are compiled once, in plan/walk.rs",
    ),
];

/// One source file, comments and the contents of strings blanked out.
struct Source {
    /// The path under `src/`.
    path: String,
    /// The text as it is.
    text: String,
    /// The product lines, code only.
    code: Vec<String>,
}

impl Source {
    /// The top-level module it belongs to; None for the crate root.
    fn module(&self) -> Option<&str> {
        let first = self.path.split('/').next().unwrap_or_default();
        if first == self.path { None } else { Some(first) }
    }
}

#[test]
fn imports_point_down() {
    let mut violations = Vec::new();
    for source in sources() {
        let Some(module) = source.module() else { continue };
        let Some(own) = layer(module) else {
            violations.push(format!("{}: module {module} has no layer", source.path));
            continue;
        };
        for (line, target) in imports(&source) {
            let place = format!("src/{}:{line}", source.path);
            match layer(&target) {
                _ if target == module => {}
                Some(other) if other > own => {}
                Some(_) => violations.push(format!("{place}: {module} must not use {target}")),
                None if target.starts_with(char::is_uppercase) => {
                    violations.push(format!("{place}: crate::{target} is a re-export; name its module"));
                }
                None => {}
            }
        }
    }
    report("imports point down only", &violations);
}

#[test]
fn files_say_what_they_are() {
    let untitled = |source: &Source| !source.text.starts_with("//!");
    let violations: Vec<String> = sources().iter().filter(|source| untitled(source)).map(|s| s.path.clone()).collect();
    report("every file opens with //!", &violations);
}

#[test]
fn files_and_functions_are_short() {
    let mut violations = Vec::new();
    for source in sources() {
        if source.code.len() > FILE_LINES {
            violations.push(format!(
                "src/{} has {} product lines, {FILE_LINES} are allowed",
                source.path,
                source.code.len()
            ));
        }
        for (line, name, length) in functions(&source.code) {
            if length > FUNCTION_LINES {
                violations.push(format!("src/{}:{line}: fn {name} has {length} lines", source.path));
            }
        }
    }
    report("files and functions are short", &violations);
}

#[test]
fn product_code_neither_unwraps_nor_is_unsafe() {
    let mut violations = Vec::new();
    for source in sources() {
        for (number, line) in source.code.iter().enumerate() {
            let unsafe_code = words(line).any(|word| word == "unsafe");
            if line.contains(".unwrap()") || unsafe_code {
                violations.push(format!("src/{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    report("no unwrap, no unsafe", &violations);
}

#[test]
fn reserved_names_stay_in_their_places() {
    let mut violations = Vec::new();
    for source in sources() {
        for (names, places, reason) in RESERVED {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            for (number, line) in source.code.iter().enumerate() {
                if let Some(name) = names.iter().find(|name| mentions(line, name)) {
                    violations.push(format!("src/{}:{}: {name} ({reason})", source.path, number + 1));
                }
            }
        }
    }
    report("reserved names", &violations);
}

/// Whether `line` names `name`, at the start of a word.
fn mentions(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn report(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}: {} violations\n{}", violations.len(), violations.join("\n"));
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Every file under `src/`, modules of tests left out.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: &String| {
        let text = fs::read_to_string(root.join(path)).expect("a file that was just listed");
        let code = product_lines(&text);
        Source { path: path.clone(), text, code }
    };
    let all: Vec<Source> = paths.iter().map(read).collect();
    let tests: Vec<String> = all.iter().flat_map(test_modules).collect();
    let is_test =
        |path: &str| tests.iter().any(|test| path == format!("{test}.rs") || path.starts_with(&format!("{test}/")));
    all.into_iter().filter(|source| !is_test(&source.path)).collect()
}

/// The files that a file declares as `#[cfg(test)] mod name;`, without `.rs`.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = match source.path.strip_suffix("mod.rs") {
        Some(folder) => folder.to_string(),
        None if source.path == "lib.rs" => String::new(),
        None => format!("{}/", source.path.trim_end_matches(".rs")),
    };
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let declared = lines.windows(2).filter(|pair| pair[0].starts_with("#[cfg(test)]")).filter_map(|pair| {
        let declaration = pair[1].trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        declaration.strip_prefix("mod ")?.strip_suffix(';')
    });
    declared.map(|name| format!("{folder}{name}")).collect()
}

fn walk(directory: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("the source tree").flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
            let relative = path.strip_prefix(&root).expect("it was found there");
            paths.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
}

/// The code before `#[cfg(test)] mod tests {`, comments and strings blank.
fn product_lines(text: &str) -> Vec<String> {
    let code = blank(text);
    let lines: Vec<&str> = code.lines().collect();
    let is_test_module = |at: usize| {
        let next = lines.get(at + 1).map_or("", |line| line.trim());
        lines[at].starts_with("#[cfg(test)]") && next.starts_with("mod ") && next.ends_with('{')
    };
    let end = (0..lines.len()).find(|at| is_test_module(*at)).unwrap_or(lines.len());
    lines[..end].iter().map(|line| line.to_string()).collect()
}

/// The text with comments and the contents of strings and characters as blanks; line feeds stay.
fn blank(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = match characters[at] {
            '/' if characters.get(at + 1) == Some(&'/') => find(&characters, at, |c| c[0] == '\n'),
            '/' if characters.get(at + 1) == Some(&'*') => {
                find(&characters, at + 2, |c| c.starts_with(&['*', '/'])).saturating_add(2)
            }
            'r' if starts_raw_string(&characters, at) => end_of_raw_string(&characters, at),
            '"' => end_of_string(&characters, at),
            '\'' => end_of_character(&characters, at),
            _ => at,
        }
        .min(characters.len());
        if end == at {
            out.push(characters[at]);
            at += 1;
        } else {
            out.extend(characters[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

fn find(characters: &[char], from: usize, hit: impl Fn(&[char]) -> bool) -> usize {
    (from..characters.len()).find(|at| hit(&characters[*at..])).unwrap_or(characters.len())
}

fn starts_raw_string(characters: &[char], at: usize) -> bool {
    let inside_word =
        at > 0 && (characters[at - 1].is_alphanumeric() || characters[at - 1] == '_') && characters[at - 1] != 'b';
    let behind = find(characters, at + 1, |c| c[0] != '#');
    !inside_word && characters.get(behind) == Some(&'"')
}

fn end_of_raw_string(characters: &[char], at: usize) -> usize {
    let quote = find(characters, at + 1, |c| c[0] != '#');
    let hashes = quote - at - 1;
    let closes = |c: &[char]| c[0] == '"' && c.len() > hashes && c[1..=hashes].iter().all(|h| *h == '#');
    find(characters, quote + 1, closes) + 1 + hashes
}

fn end_of_string(characters: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < characters.len() && characters[at] != '"' {
        at += if characters[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The end of `'x'` or `'\n'`; a lifetime is no character and ends where it starts.
fn end_of_character(characters: &[char], at: usize) -> usize {
    match (characters.get(at + 1), characters.get(at + 2)) {
        (Some('\\'), _) => find(characters, at + 3, |c| c[0] == '\'') + 1,
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// The identifiers of a line.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The top-level modules a file names, with line numbers: `crate::x`, `crate::{x::.., y::..}` and `super::super::x`.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let text = source.code.join("\n");
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let targets = if rest.starts_with('{') { group(rest) } else { words(rest).take(1).map(String::from).collect() };
        found.extend(targets.into_iter().map(|target| (line_of(at), target)));
    }
    // A file's own path has one component per folder and one for itself, except in mod.rs.
    let depth = source.path.trim_end_matches("/mod.rs").trim_end_matches(".rs").split('/').count();
    let chain = "super::".repeat(depth);
    for (at, _) in text.match_indices(&chain) {
        if !text[..at].ends_with("super::") {
            let target = words(&text[at + chain.len()..]).next().unwrap_or_default();
            found.push((line_of(at), target.to_string()));
        }
    }
    found
}

/// The first word of each item of `{a::b, c::{d, e}}`.
fn group(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut items = vec![String::new()];
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => items.push(String::new()),
            c if depth == 1 => items.last_mut().expect("there is always one").push(c),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    items.iter().filter_map(|item| words(item).next().map(String::from)).collect()
}

/// Each function with its line, name and length; rustfmt puts the closing brace under the `fn`.
fn functions(code: &[String]) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    for (at, line) in code.iter().enumerate() {
        let mut before = words(line).take_while(|word| *word != "fn").peekable();
        let qualifiers = ["pub", "const", "async", "crate", "super", "in", "extern", "C"];
        let starts = words(line).any(|word| word == "fn") && before.all(|word| qualifiers.contains(&word));
        if !starts || line.trim_start().starts_with(|c: char| !c.is_alphabetic()) {
            continue;
        }
        let name = words(line).skip_while(|word| *word != "fn").nth(1).unwrap_or_default().to_string();
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let opens = code[at..].iter().position(|line| line.ends_with(['{', ';', '}'])).unwrap_or(0);
        if code[at + opens].ends_with('{') {
            let length =
                code[at..].iter().position(|line| line.starts_with(&closing)).map_or(code.len() - at, |n| n + 1);
            found.push((at + 1, name, length));
        }
    }
    found
}
