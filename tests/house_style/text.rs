//! What may stand in a source file.

use super::sources::{Source, code, expect_none, files};

const WIDTH_MAX: usize = 100;

/// Pieces of code that have no place here, and why. Spelled in two parts, so that this file
/// doesn't hold them.
const BANNED: [(&str, &str); 5] = [
    (
        concat!("#[al", "low("),
        "say what is expected, and why: #[expect(…, reason = …)]",
    ),
    (
        concat!("#![al", "low("),
        "say what is expected, and why: #![expect(…, reason = …)]",
    ),
    (concat!("to", "do!("), "nothing is left half done"),
    (concat!("unimple", "mented!("), "nothing is left half done"),
    (concat!("db", "g!("), "logs are written with tracing"),
];

/// What a pure module has no use for.
const IMPURE: [&str; 9] = [
    "async ",
    ".await",
    "tokio::",
    "SystemTime",
    "Instant",
    "Utc::now",
    "rand::",
    "new_v4",
    "std::env",
];

/// What goes round the compiler's guarantees, again in two parts.
const UNSAFE: [&str; 2] = [concat!("uns", "afe "), concat!("uns", "afe_code")];
/// The only files that may: what loads chDB, what sets up a child process, and what calls a
/// function of librdkafka that rdkafka has no name for.
const UNSAFE_FILES: [&str; 3] = [
    "src/embedded/child_process.rs",
    "src/embedded/clickhouse/engine/ffi.rs",
    "stream/src/kafka/stranded.rs",
];

fn place(source: &Source, number: usize) -> String {
    format!("{}:{number}", source.path)
}

#[test]
fn lines_are_at_most_100_characters_wide() {
    let mut findings = Vec::new();
    for source in files(".rs") {
        for (number, line) in source.lines() {
            // Texts, tables and diagrams can't be broken; other comments and all code can.
            let width = line.chars().count();
            let comment = line.trim_start().starts_with("//");
            let drawn = comment && line.contains(['|', '─']);
            let counted = match (comment, drawn) {
                (true, true) => 0,
                (true, false) => width,
                (false, _) => code(line).chars().count(),
            };
            if width > WIDTH_MAX && counted > WIDTH_MAX {
                findings.push(format!("{} is {width} wide", place(&source, number)));
            }
        }
    }
    expect_none("lines are at most 100 characters wide", &findings);
}

#[test]
fn nothing_is_left_half_done_or_allowed_without_a_reason() {
    let mut findings = Vec::new();
    for source in files(".rs") {
        for (number, line) in source.lines() {
            let code = code(line);
            for (piece, why) in BANNED {
                if code.contains(piece) {
                    findings.push(format!("{}: {piece}: {why}", place(&source, number)));
                }
            }
        }
    }
    expect_none("these have no place here", &findings);
}

#[test]
fn every_expected_lint_has_a_reason() {
    let mut findings = Vec::new();
    for source in files(".rs") {
        for (attribute, _) in source.text.match_indices("[expect(") {
            let rest = &source.text[attribute..];
            let whole = &rest[..rest.find(")]").unwrap_or(rest.len())];
            let number = source.text[..attribute].lines().count();
            let line = source
                .text
                .lines()
                .nth(number.saturating_sub(1))
                .unwrap_or_default();
            let attribute = line.trim_start().starts_with('#');
            if attribute && !whole.contains("reason = ") {
                findings.push(place(&source, number));
            }
        }
    }
    expect_none("an expected lint says why", &findings);
}

#[test]
fn three_files_only_go_round_the_compilers_guarantees() {
    let mut findings = Vec::new();
    for source in files(".rs") {
        let granted = UNSAFE_FILES.contains(&source.path.as_str());
        for (number, line) in source.lines() {
            let code = code(line);
            if !granted && UNSAFE.iter().any(|piece| code.contains(piece)) {
                findings.push(place(&source, number));
            }
        }
    }
    expect_none(
        "three files go round the compiler's guarantees, and no others",
        &findings,
    );
}

/// The rules have a check of their own, in `processors/tests`.
#[test]
fn the_contracts_neither_wait_nor_read_a_clock_nor_draw_at_random() {
    let mut findings = Vec::new();
    let mut modules = 0;
    for source in files(".rs") {
        if !source.path.starts_with("schemas/src/") {
            continue;
        }
        modules += 1;
        // What follows stands for tests only.
        let shipped = source
            .text
            .lines()
            .take_while(|line| *line != "#[cfg(test)]");
        for (number, line) in (1..).zip(shipped) {
            let code = code(line);
            for word in IMPURE {
                if code.contains(word) {
                    findings.push(format!("{}: {word}", place(&source, number)));
                }
            }
        }
    }
    assert!(modules > 10, "only {modules} modules were looked at");
    expect_none("schemas is pure", &findings);
}
