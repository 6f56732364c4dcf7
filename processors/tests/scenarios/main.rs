//! What becomes of a sale, case by case: each scenario tells what came in and, literally, what it
//! must come to; the rules have to agree, in whatever order its records are processed and however
//! often each is repeated. `docs/scenarios.md` is written from the same values, and compared here.
//!
//! `UPDATE_SCENARIOS=1 cargo test -p processors --test scenarios` writes it.

mod amounts;
mod attribution;
mod bad_input;
mod click;
mod document;
mod fraud;
mod ledger;
mod life;
mod locked_books;
mod moment;
mod money;
mod operators;
mod orders;
mod outcome;
mod rates;
mod record;
mod report;
mod rules;
mod sales;
mod scenario;
mod terms;
mod velocity;
mod window;
mod world;

use self::document::Group;

/// All of them, in the order of the document.
fn groups() -> Vec<Group> {
    vec![
        attribution::group(),
        window::group(),
        amounts::group(),
        sales::group(),
        orders::group(),
        life::group(),
        operators::group(),
        locked_books::group(),
        fraud::group(),
        velocity::group(),
        terms::group(),
        rates::group(),
        rules::group(),
        money::group(),
        bad_input::group(),
    ]
}

#[test]
fn every_scenario_ends_as_it_is_written() {
    let mut failures = Vec::new();
    for group in groups() {
        for scenario in &group.scenarios {
            if let Err(failure) = scenario.check() {
                failures.push(format!("{}: {failure}", scenario.title()));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} scenarios end otherwise:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

#[test]
fn titles_tell_scenarios_apart() {
    let mut titles: Vec<_> = groups()
        .iter()
        .flat_map(|group| group.scenarios.iter().map(scenario::Scenario::title))
        .collect();
    let count = titles.len();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles.len(), count, "two scenarios have one title");
}

#[test]
fn the_document_is_what_the_rules_do() {
    document::compare(&groups());
}
