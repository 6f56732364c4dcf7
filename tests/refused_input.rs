//! The scenarios say which queries are ignored, and why; the crate that they belong to can't name
//! the parser. Here it reads them.

use std::fs;

use ingest::{parameters::Parameters, reason_name, trackier};

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scenarios.md");

/// The query that a row of the document shows, and the reason for which it is ignored.
fn ignored(row: &str) -> Option<(&str, &str)> {
    let query = row.split('`').nth(1)?;
    let (_, after) = row.split_once(": ignored, ")?;
    Some((query, after.split_whitespace().next()?))
}

#[test]
fn what_the_scenarios_show_as_ignored_is_refused_by_the_parser() {
    let document = fs::read_to_string(SCENARIOS).expect("the document is there");
    let mut count = 0;
    for (query, reason) in document.lines().filter_map(ignored) {
        let mut parameters = Parameters::default();
        parameters
            .insert_pairs(query.as_bytes())
            .expect("a query that can be taken apart");
        let read = trackier::read(&parameters, 0);
        assert_eq!(read.map_err(reason_name), Err(reason), "{query}");
        count += 1;
    }
    assert!(count > 12, "only {count} rows were found");
}
