//! The rules are values in, values out: no input or output, clock or randomness (design section 1,
//! rule 3).

use std::{fs, path::Path};

/// What a pure module has no use for, and what it would be doing with it.
const BANNED: [(&str, &str); 10] = [
    ("async ", "waiting"),
    (".await", "waiting"),
    ("tokio", "waiting"),
    ("SystemTime", "reading a clock"),
    ("Instant", "reading a clock"),
    ("Utc::now", "reading a clock"),
    ("Clock", "reading a clock"),
    ("rand::", "drawing at random"),
    ("Uuid::new_v4", "drawing at random"),
    ("std::env", "reading its surroundings"),
];

#[test]
fn the_rules_neither_wait_nor_read_a_clock_nor_draw_at_random() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules");
    let declared = fs::read_to_string(rules.join("mod.rs")).expect("the list of modules");
    let mut modules = 0;
    // What stands without `pub` is a test's.
    for name in declared
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
    {
        let path = rules.join(name.trim_end_matches(';')).with_extension("rs");
        let text = fs::read_to_string(&path).expect("a module");
        modules += 1;
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for (word, doing) in BANNED {
                let place = format!("{}:{}", path.display(), number + 1);
                assert!(!code.contains(word), "{place}: a rule is {doing}: {line}");
            }
        }
    }
    assert!(modules >= 5, "only {modules} modules were looked at");
}
