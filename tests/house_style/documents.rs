//! Documents against the code: links lead somewhere, and what is listed is complete.

use std::{collections::BTreeSet, fs};

use super::sources::{Source, expect_none, files, root};

/// Enums whose every value the semantics explain.
const EXPLAINED: [(&str, &str); 6] = [
    ("schemas/src/events/ledger.rs", "StatusReason"),
    ("schemas/src/events/ledger.rs", "ClaimStatus"),
    ("schemas/src/events/ledger.rs", "Account"),
    ("schemas/src/events/conversion.rs", "Malformed"),
    ("schemas/src/events/decision.rs", "UnmatchedReason"),
    ("schemas/src/events/decision.rs", "SignalCode"),
];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn links_between_documents_and_files_lead_somewhere() {
    let mut findings = Vec::new();
    let mut links = 0;
    for document in files(".md") {
        let folder = match document.path.rsplit_once('/') {
            Some((folder, _)) => root().join(folder),
            None => root().to_path_buf(),
        };
        for target in targets(&document).filter(|target| !target.contains("://")) {
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = folder.join(file);
            let leads = if heading.is_empty() {
                path.exists()
            } else if file.is_empty() {
                has_heading(&document.text, heading)
            } else {
                fs::read_to_string(&path).is_ok_and(|text| has_heading(&text, heading))
            };
            if !leads {
                findings.push(format!("{}: {target}", document.path));
            }
        }
    }
    assert!(links > 20, "only {links} links were looked at");
    expect_none("a link leads to a file, and to a heading of it", &findings);
}

/// Whether a document has a heading that is linked to by this name, as forges make names: lower
/// case, without punctuation, with hyphens for spaces.
fn has_heading(text: &str, wanted: &str) -> bool {
    let name = |heading: &str| -> String {
        let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
        heading
            .to_lowercase()
            .chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    };
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| name(line.trim_start_matches('#').trim_start()) == wanted)
}

/// What `[text](target)` points at.
fn targets(document: &Source) -> impl Iterator<Item = &str> {
    document
        .text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

#[test]
fn every_code_is_explained() {
    let semantics = read("docs/semantics.md");
    let mut findings = Vec::new();
    for (file, name) in EXPLAINED {
        let codes = codes(&read(file), name);
        assert!(codes.len() > 2, "{name} has {} values", codes.len());
        findings.extend(
            codes
                .into_iter()
                .filter(|code| !semantics.contains(&format!("`{code}`")))
                .map(|code| format!("{name}: {code}")),
        );
    }
    expect_none("docs/semantics.md explains every code", &findings);
}

/// The values of an enum as the contracts write them: in snake case.
fn codes(source: &str, name: &str) -> BTreeSet<String> {
    let (_, body) = source
        .split_once(&format!("pub enum {name} {{\n"))
        .unwrap_or_else(|| panic!("there is no enum {name}"));
    body.lines()
        .take_while(|line| *line != "}")
        .filter_map(|line| line.trim().strip_suffix(','))
        .filter(|variant| {
            variant
                .chars()
                .all(|character| character.is_ascii_alphanumeric())
        })
        .map(snake_case)
        .collect()
}

fn snake_case(variant: &str) -> String {
    let mut code = String::new();
    for character in variant.chars() {
        if character.is_ascii_uppercase() && !code.is_empty() {
            code.push('_');
        }
        code.push(character.to_ascii_lowercase());
    }
    code
}

#[test]
fn every_metric_is_described() {
    let operations = read("docs/operations.md");
    let mut metrics = BTreeSet::new();
    for source in files(".rs")
        .iter()
        .filter(|source| !source.path.contains("test"))
    {
        let names = source.text.split('"').filter(|text| metric(text));
        metrics.extend(names.map(str::to_owned));
    }
    assert!(
        metrics.len() > 15,
        "only {} metrics were found",
        metrics.len()
    );
    let missing: Vec<String> = metrics
        .into_iter()
        .filter(|name| !operations.contains(&format!("`{name}`")))
        .collect();
    expect_none("docs/operations.md describes every metric", &missing);
}

/// Whether a text literal is a metric's name: it ends in what it counts.
fn metric(text: &str) -> bool {
    let units = [
        "_total", "_seconds", "_records", "_rows", "_paused", "_bytes",
    ];
    let part = |character: char| character.is_ascii_lowercase() || character == '_';
    text.starts_with("hissaback_")
        && text.chars().all(part)
        && units.iter().any(|unit| text.ends_with(unit))
}

#[test]
fn every_configuration_key_is_documented() {
    let operations = read("docs/operations.md");
    let example = read("hissaback.example.toml");
    let missing: Vec<String> = example
        .lines()
        .filter_map(|line| Some(line.trim_start_matches("# ").split_once(" = ")?.0))
        .filter(|key| {
            key.chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_')
        })
        .filter(|key| !operations.contains(&format!("`{key}`")))
        .map(str::to_owned)
        .collect();
    expect_none(
        "docs/operations.md describes every key of the configuration",
        &missing,
    );
}
