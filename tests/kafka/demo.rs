//! The demo, with its own verdict.

use serde_json::Value;

use crate::installation::{hissaback, shared_broker, shared_registry, succeeded};

#[test]
fn the_demo_comes_out_on_brokers_as_the_generator_says_it_must() {
    let output = hissaback(&["demo", "--conversions", "600", "--seed", "11", "--json"])
        .args(["--kafka", &shared_broker()])
        .env("SCHEMA_REGISTRY_URL", shared_registry())
        .output()
        .expect("it runs");
    let json: Value = serde_json::from_str(&succeeded(&output)).expect("JSON");
    assert_eq!(json["accepted"], 600, "{json:#}");
    assert_eq!(json["differences"], Value::Array(Vec::new()), "{json:#}");
    assert_eq!(json["audit"], "ok", "{json:#}");
    assert_eq!(json["postings_sum"], 0, "{json:#}");
    assert!(json["gift_cards"].as_u64() > Some(0), "{json:#}");
}
