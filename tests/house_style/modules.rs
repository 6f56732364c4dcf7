//! Names of modules, and files that nothing includes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::sources::{Source, expect_none, files};

/// Names that say nothing: what they hold belongs where it is used, under its own name.
const BANNED: [&str; 9] = [
    "util", "utils", "common", "helper", "helpers", "misc", "types", "shared", "stuff",
];

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let mut findings = Vec::new();
    for source in files(".rs") {
        let parts = source.path.trim_end_matches(".rs").split('/');
        findings.extend(
            parts
                .filter(|part| BANNED.contains(part))
                .map(|part| format!("{}: {part}", source.path)),
        );
        for (number, line) in source.lines() {
            if let Some(name) = inline_module(line).filter(|name| BANNED.contains(name)) {
                findings.push(format!("{}:{number}: {name}", source.path));
            }
        }
    }
    expect_none("a module is named after what it holds", &findings);
}

#[test]
fn every_file_belongs_to_a_crate() {
    let sources: BTreeMap<String, Source> = files(".rs")
        .into_iter()
        .map(|source| (source.path.clone(), source))
        .collect();
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<String> = sources
        .keys()
        .filter(|path| begins_crate(path))
        .cloned()
        .collect();
    assert!(
        waiting.len() > 8,
        "only {} crates were found",
        waiting.len()
    );
    while let Some(path) = waiting.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        for candidates in declared(&sources[&path]) {
            waiting.extend(
                candidates
                    .into_iter()
                    .filter(|file| sources.contains_key(file)),
            );
        }
    }
    let dead: Vec<String> = sources
        .into_keys()
        .filter(|path| !reached.contains(path))
        .collect();
    expect_none("no `mod` declaration leads to these files", &dead);
}

/// Whether the compiler starts at this source file: a library, a program, a test, a benchmark, an
/// example or a build script.
fn begins_crate(path: &str) -> bool {
    let inside = match path.split_once('/') {
        Some(("src" | "tests" | "benches" | "examples", _)) | None => path,
        Some((_, inside)) => inside,
    };
    let parts: Vec<_> = inside.split('/').collect();
    matches!(
        parts.as_slice(),
        ["src", "lib.rs" | "main.rs"]
            | ["build.rs"]
            | ["tests" | "benches", _, "main.rs"]
            | ["src", "bin", _]
            | ["tests" | "benches" | "examples", _]
            | ["benches", _, "src", "lib.rs" | "main.rs"]
    )
}

/// For each module that a file declares, the paths that it may have.
fn declared(source: &Source) -> Vec<Vec<String>> {
    let path = Path::new(&source.path);
    let beside = path.parent().unwrap_or(Path::new(""));
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let below = if begins_crate(&source.path) || stem == "mod" {
        beside.to_path_buf()
    } else {
        beside.join(stem)
    };
    let mut modules = Vec::new();
    let mut given: Option<&str> = None;
    for line in source.text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"") {
            given = path.split('"').next();
        } else if let Some(name) = module(line) {
            modules.push(match given.take() {
                Some(path) => vec![normal(&beside.join(path))],
                None => vec![
                    normal(&below.join(format!("{name}.rs"))),
                    normal(&below.join(name).join("mod.rs")),
                ],
            });
        }
    }
    modules
}

/// The name in `mod name;`, whoever may see it.
fn module(line: &str) -> Option<&str> {
    let rest = after_mod(line)?;
    rest.strip_suffix(';').filter(|name| identifier(name))
}

/// The name in `mod name {`.
fn inline_module(line: &str) -> Option<&str> {
    let rest = after_mod(line.trim())?;
    rest.strip_suffix(" {").filter(|name| identifier(name))
}

fn after_mod(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    line.strip_prefix("mod ")
}

fn identifier(name: &str) -> bool {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    !name.is_empty() && name.chars().all(word)
}

/// Without `..`, and with `/`.
fn normal(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.iter().filter_map(|part| part.to_str()) {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn declarations_are_understood() {
    assert_eq!(module("pub(crate) mod a_b;"), Some("a_b"));
    assert_eq!(module("pub mod c;"), Some("c"));
    assert_eq!(module("mod tests {"), None);
    assert_eq!(inline_module("    mod tests {"), Some("tests"));
    assert_eq!(normal(Path::new("a/b/../c.rs")), "a/c.rs");
}
