//! The document: a table of each group.

use std::{collections::BTreeSet, fmt::Write, fs};

use crate::scenario::{Row, Scenario};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenarios.md");
const UPDATE: &str = "UPDATE_SCENARIOS";

const PREFACE: &str = "\
# Scenarios

What becomes of a sale, case by case. [Semantics](semantics.md) states the rules; here they are at
work. The tables are made by tests that assert every line of them, in every order in which the
records can be processed (200 drawn ones, where there are more than five records), and with every
record repeated. Change a scenario under
[processors/tests/scenarios](../processors/tests/scenarios), then run

    UPDATE_SCENARIOS=1 cargo test -p processors --test scenarios

How to read them:

- Times count from the scenario's beginning, 2026-09-01T00:00:00.000Z: *+30d − 1ms* is a
  millisecond before the end of its thirtieth day.
- Clicks are called A, B, C; records are numbered in the order in which they come in. Unless a line
  without a number says otherwise, click A was made at the beginning by shopper 1, B by shopper 2,
  and so on, on creator 1's links to offer 1.
- Unless *given* says otherwise, offer 1 pays 8% of the sale in rupees, the shopper gets 60% of
  that, the attribution window and the cool-off are 30 days each, there is neither fee nor subsidy,
  and the fraud rules are the built-in ones. A postback comes an hour after the beginning, and tells
  that the sale was an hour after the click. A report's time ranks it; a CSV row's as-of time is the
  time at which it comes.
- The outcome names the ledger row's status and, where something stands in the books, the
  commission and who gets what of it, in rupees. Behind the semicolon: the fates of the claim's
  reports, in rank order, where it has several. *A claim 2* is the claim of click A that record 2
  names.
- *Why* gives each reason with its evidence, as an operator sees them, and, where rates are the
  matter, how the commission came about.
";

pub struct Group {
    pub title: &'static str,
    pub about: &'static str,
    pub scenarios: Vec<Scenario>,
}

/// Writes the document, or holds it against what the scenarios say.
pub fn compare(groups: &[Group]) {
    let rendered = render(groups);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(DOCUMENT, rendered).expect("the document can be written");
        return;
    }
    let committed = fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert!(
        committed == rendered,
        "docs/scenarios.md is not what the rules do: run\n  \
         {UPDATE}=1 cargo test -p processors --test scenarios\nlines that differ:\n{}",
        differing_lines(&committed, &rendered)
    );
}

fn render(groups: &[Group]) -> String {
    let mut text = PREFACE.to_owned();
    for Group {
        title,
        about,
        scenarios,
    } in groups
    {
        write!(
            text,
            "\n## {title}\n\n{about}\n\n\
             | scenario | what came in | outcome | why |\n|---|---|---|---|\n"
        )
        .expect("a string takes everything");
        for scenario in scenarios {
            let Row {
                title,
                came_in,
                outcome,
                why,
            } = scenario.row();
            let [came_in, outcome, why] = [came_in, outcome, why].map(|lines| cell(&lines));
            writeln!(text, "| {title} | {came_in} | {outcome} | {why} |")
                .expect("a string takes everything");
        }
    }
    text
}

/// Lines in one cell. A bar would begin another one.
fn cell(lines: &[String]) -> String {
    lines.join("<br>").replace('|', "\\|")
}

fn differing_lines(committed: &str, rendered: &str) -> String {
    let before: BTreeSet<&str> = committed.lines().collect();
    let after: BTreeSet<&str> = rendered.lines().collect();
    let gone = before.difference(&after).map(|line| format!("- {line}\n"));
    let new = after.difference(&before).map(|line| format!("+ {line}\n"));
    gone.chain(new).collect()
}
