//! Which crate may use which, and who may use what from outside.

use std::{collections::BTreeSet, fs};

use toml::Table;

use super::sources::{code, expect_none, files, root};

/// Each crate of ours, and which others it may import: the flow of the folders (see
/// docs/architecture.md). The root crate wires them up, and may import all.
const EDGES: [(&str, &[&str]); 8] = [
    ("schemas", &[]),
    ("stream", &["schemas"]),
    ("web", &["schemas"]),
    ("ingest", &["schemas", "stream", "web"]),
    ("processors", &["schemas", "stream"]),
    ("sinks", &["schemas", "stream", "processors"]),
    (
        "operations",
        &["schemas", "stream", "ingest", "processors", "sinks"],
    ),
    ("api", &["schemas", "stream", "web", "ingest", "operations"]),
];

/// What measures the product: no part of the flow, and nothing of the product imports it.
const MEASURING: [&str; 2] = ["benches/harness", "benches/instructions"];

/// Libraries that stand behind a port, and the crates that may name them.
const CONFINED: [(&str, &[&str]); 4] = [
    ("fjall", &["stream"]),
    ("rdkafka", &["stream"]),
    ("sqlx", &["sinks", "operations", "api", "hissaback"]),
    ("libloading", &["hissaback"]),
];

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).expect("a manifest");
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a crate depends on, for itself or for its tests.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|section| section.keys().cloned())
        .collect()
}

fn ours(name: &str) -> bool {
    EDGES.iter().any(|(folder, _)| *folder == name)
}

fn measures(name: &str) -> bool {
    MEASURING
        .iter()
        .any(|path| path.ends_with(&format!("/{name}")))
}

#[test]
fn a_folder_is_a_crate_of_the_same_name() {
    let workspace = manifest("");
    let members: BTreeSet<&str> = workspace["workspace"]["members"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|member| member.as_str())
        .collect();
    let mut expected: BTreeSet<&str> = EDGES.iter().map(|(folder, _)| *folder).collect();
    expected.extend(MEASURING);
    assert_eq!(members, expected);
    for path in members {
        let name = manifest(path)["package"]["name"]
            .as_str()
            .map(str::to_owned);
        let folder = path.rsplit('/').next();
        assert_eq!(name.as_deref(), folder);
    }
}

#[test]
fn a_crate_imports_only_what_its_place_in_the_flow_allows() {
    let mut findings = Vec::new();
    for (folder, allowed) in EDGES {
        for dependency in dependencies(&manifest(folder)) {
            // A crate may name itself for its tests, to switch a feature on.
            let permitted = dependency == folder || allowed.contains(&dependency.as_str());
            if (ours(&dependency) || measures(&dependency)) && !permitted {
                findings.push(format!("{folder} may not import {dependency}"));
            }
        }
    }
    expect_none("the crates' edges are the design's", &findings);
}

#[test]
fn what_stands_behind_a_port_is_named_there_only() {
    let folders = EDGES.iter().map(|(folder, _)| (*folder, *folder));
    let mut findings = Vec::new();
    for (folder, name) in folders.chain([("", "hissaback")]) {
        let dependencies = dependencies(&manifest(folder));
        for (library, granted) in CONFINED {
            if dependencies.contains(library) && !granted.contains(&name) {
                findings.push(format!("{name} depends on {library}"));
            }
        }
    }
    for source in files(".rs") {
        for (number, line) in source.lines() {
            let code = code(line);
            for (library, granted) in CONFINED {
                let named = code.contains(&format!("{library}::"));
                if named && !granted.contains(&source.crate_name()) {
                    findings.push(format!("{}:{number} names {library}", source.path));
                }
            }
        }
    }
    expect_none(
        "a library behind a port is named by its adapter only",
        &findings,
    );
}

#[test]
fn every_crate_takes_the_workspaces_lints() {
    let crates = EDGES.iter().map(|(folder, _)| *folder);
    for folder in crates.chain(MEASURING) {
        let lints = &manifest(folder)["lints"]["workspace"];
        assert_eq!(lints.as_bool(), Some(true), "{folder}");
    }
}
