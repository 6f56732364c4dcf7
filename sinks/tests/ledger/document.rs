//! Figures that tests measure stand in docs/reliability.md, between marks, and are checked for
//! drift. `UPDATE_RELIABILITY=1` writes them.

use std::fs;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reliability.md");
const UPDATE: &str = "UPDATE_RELIABILITY";

/// Compares what stands between the marks of this name with `text`, or replaces it.
pub fn holds(name: &str, text: &str) {
    let (begin, end) = (
        format!("<!-- {name}: begin (generated) -->\n"),
        format!("<!-- {name}: end -->\n"),
    );
    let document = fs::read_to_string(DOCUMENT).expect("docs/reliability.md");
    let (before, rest) = document.split_once(&begin).expect("the mark of the begin");
    let (committed, after) = rest.split_once(&end).expect("the mark of the end");
    if std::env::var_os(UPDATE).is_some() {
        let updated = [before, &begin, text, &end, after].concat();
        fs::write(DOCUMENT, updated).expect("written");
        return;
    }
    assert_eq!(
        committed, text,
        "docs/reliability.md isn't what was measured: run\n  \
         {UPDATE}=1 cargo test -p sinks --test ledger"
    );
}
