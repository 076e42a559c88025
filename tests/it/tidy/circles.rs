//! Files that import each other in a circle cannot be read one at a time: none may, but a module and what is in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Source, report, sources};

/// A module: the names on the way to it from the crate's root.
type Module = Vec<String>;

/// Which modules a module names.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    let text = |circle: &Vec<Module>| {
        let names: Vec<String> = circle.iter().chain(circle.first()).map(|module| module.join("::")).collect();
        names.join(" -> ")
    };
    let violations: Vec<String> = circles(&imports(&sources())).iter().map(text).collect();
    report("no circles between files", &violations);
}

#[test]
fn circles_are_found() {
    let source = |path: &str, code: &str| Source {
        path: path.to_string(),
        text: String::new(),
        code: code.lines().map(str::to_string).collect(),
    };
    let found = circles(&imports(&[
        source("lib.rs", "mod a; mod b;"),
        // A parent and its child may name each other.
        source("a/mod.rs", "pub use one::{One, Uno as Eins};"),
        source("a/one.rs", "use super::two::{self, Two}; use crate::b::B;"),
        // A path in a body counts, and a re-export is what it names.
        source("a/two.rs", "fn f() -> crate::a::Eins { x.one::<u8>() }"),
        source("b.rs", "use std::a::One; struct B;"),
    ]));
    let module = |path: &str| path.split("::").map(str::to_string).collect::<Module>();
    assert_eq!(found, [[module("a::one"), module("a::two")]]);
}

/// A shortest circle for each set of modules that reach each other, no module in two.
fn circles(imports: &Imports) -> Vec<Vec<Module>> {
    let mut found: Vec<Vec<Module>> = Vec::new();
    for start in imports.keys() {
        let is_new = !found.iter().flatten().any(|module| module == start);
        found.extend(way_back(start, imports).filter(|_| is_new));
    }
    found
}

/// The shortest way from a module to itself.
fn way_back(start: &Module, imports: &Imports) -> Option<Vec<Module>> {
    let mut reached_from: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(module) = open.pop_front() {
        for next in imports.get(module).into_iter().flatten() {
            if next == start {
                let mut way = vec![module.clone()];
                while let Some(&before) = reached_from.get(&way[way.len() - 1]) {
                    way.push(before.clone());
                }
                way.reverse();
                return Some(way);
            }
            if !reached_from.contains_key(next) {
                reached_from.insert(next, module);
                open.push_back(next);
            }
        }
    }
    None
}

/// What every file names of other files, a module and those inside of it left out.
fn imports(sources: &[Source]) -> Imports {
    let mut paths: BTreeMap<Module, Vec<Path>> = BTreeMap::new();
    let modules: BTreeSet<Module> = sources.iter().map(module_of).collect();
    for source in sources.iter().filter(|source| source.module() != Some("bin")) {
        let module = module_of(source);
        let found = paths_in(&source.code.join("\n"), &module, &modules);
        paths.insert(module, found);
    }
    let mut imports = Imports::new();
    for (module, named) in &paths {
        let targets = named.iter().filter_map(|path| target(&path.names, &paths));
        let is_other = |target: &Module| !target.starts_with(module) && !module.starts_with(target);
        imports.insert(module.clone(), targets.filter(is_other).collect());
    }
    imports
}

fn module_of(source: &Source) -> Module {
    let path = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_string).collect() }
}

/// The module in which an absolute path ends, through what modules on the way export of others.
fn target(names: &[String], paths: &BTreeMap<Module, Vec<Path>>) -> Option<Module> {
    let length = (0..=names.len()).rev().find(|&length| paths.contains_key(&names[..length]))?;
    let (module, rest) = names.split_at(length);
    let exported = rest.first().and_then(|name| paths[module].iter().find(|path| path.export.as_ref() == Some(name)));
    match exported {
        Some(path) if path.names != names => target(&[&path.names, &rest[1..]].concat(), paths),
        _ => Some(module.to_vec()),
    }
}

/// A path that a file names.
struct Path {
    /// From the crate's root.
    names: Vec<String>,
    /// The name under which the file exports it, if it does.
    export: Option<String>,
}

/// The paths of the crate in the code of a file, in imports and bodies.
fn paths_in(code: &str, module: &Module, modules: &BTreeSet<Module>) -> Vec<Path> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let start = code[..at].rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |before| before + 1);
        let before = code[..start].trim_end();
        if before.ends_with(['.', ':', '$']) {
            continue;
        }
        let child = [module.as_slice(), &[code[start..at].to_string()]].concat();
        let starts = ["crate", "super", "self"].contains(&&code[start..at]) || modules.contains(&child);
        if !starts || code[start..at].is_empty() {
            continue;
        }
        let is_export = before.strip_suffix("use").is_some_and(|before| before.trim_end().ends_with(['b', ')']));
        for (names, name) in branches(&mut code[start..].chars().peekable()) {
            let name = is_export.then_some(name);
            found.extend(absolute(names, module).map(|names| Path { names, export: name }));
        }
    }
    found
}

/// A path from the crate's root.
fn absolute(mut names: Vec<String>, module: &Module) -> Option<Vec<String>> {
    names.retain(|name| !name.is_empty());
    if names.last().is_some_and(|last| last == "self") && names.len() > 1 {
        names.pop();
    }
    match names.first()?.as_str() {
        "crate" => Some(names.split_off(1)),
        "super" => {
            let ups = names.iter().take_while(|name| *name == "super").count();
            let base = module.get(..module.len().checked_sub(ups)?)?;
            Some([base, &names[ups..]].concat())
        }
        "self" => Some([module.as_slice(), &names[1..]].concat()),
        _ => Some([module.as_slice(), &names].concat()),
    }
}

/// The branches of `a::b::{c, d as e}` as `[a, b, c]` and `[a, b, d]`, each with its last name.
fn branches(code: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Vec<(Vec<String>, String)> {
    let mut names = vec![String::new()];
    while let Some(&c) = code.peek() {
        if c.is_alphanumeric() || c == '_' {
            names.last_mut().expect("there is always one").push(c);
            code.next();
        } else if c == ':' {
            code.next();
            if code.next_if_eq(&':').is_none() {
                break;
            }
            names.push(String::new());
        } else if c == '{' && names.last().is_some_and(String::is_empty) {
            code.next();
            return group(code, &names);
        } else {
            break;
        }
    }
    let mut name = names.last().cloned().unwrap_or_default();
    let rest: String = code.clone().take(80).collect();
    if let Some(renamed) = rest.strip_prefix(" as ") {
        name = renamed.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    }
    vec![(names, name)]
}

/// The branches in braces, to the closing one.
fn group(code: &mut std::iter::Peekable<std::str::Chars<'_>>, before: &[String]) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    loop {
        while code.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
        match code.peek() {
            None => return found,
            Some('}') => {
                code.next();
                return found;
            }
            Some(_) => {
                for (names, name) in branches(code) {
                    let before = &before[..before.len() - 1];
                    found.push(([before, &names].concat(), name));
                }
                // The rest of the item: `as name`, or what is no path.
                while code.next_if(|c| !matches!(c, ',' | '}')).is_some() {}
            }
        }
    }
}
