//! Schemas evolve backward-compatibly: every version reads every payload of the versions before
//! it, by our codec and by the rules of Avro; and a change that breaks this is refused.

use std::{collections::BTreeMap, fs, path::Path};

use apache_avro::{
    Schema,
    schema_compatibility::{Compatibility, SchemaCompatibility},
};
use schemas::{
    Topic,
    codec::{self, CodecError, REGISTRY, SchemaVersion},
    events::{
        ClickRecorded, Command, ConversionReported, Decision, LedgerChanged, PayoutRequested,
        PayoutResult,
    },
};
use serde_json::{Value, json};

/// A payload that was once written: `golden/{topic}[.{case}].v{version}.avro`.
struct Golden {
    name: String,
    topic: Topic,
    /// The version of the topic's schema, from 1.
    version: usize,
    bytes: Vec<u8>,
}

fn golden() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let files = fs::read_dir(folder).expect("a folder");
    let payloads = files.map(|file| {
        let path = file.expect("a file").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let stem = name.strip_suffix(".avro").expect("an Avro payload");
        let (case, version) = stem.rsplit_once(".v").expect("a version");
        let topic = case.split('.').next().expect("a topic");
        Golden {
            topic: topic.parse().expect("a topic"),
            version: version.parse().expect("a version"),
            bytes: fs::read(&path).expect("readable"),
            name,
        }
    });
    payloads.collect()
}

/// The versions of each topic's schema, in order.
fn versions() -> BTreeMap<Topic, Vec<SchemaVersion>> {
    let mut versions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for version in REGISTRY {
        versions.entry(version.topic).or_default().push(*version);
    }
    versions
}

fn parsed(json: &str) -> Schema {
    Schema::parse_str(json).expect("a schema")
}

/// Whether `newer` reads whatever was written with `older`. A partial compatibility, where it
/// depends on the datum, is none.
fn reads(older: &Schema, newer: &Schema) -> bool {
    matches!(
        SchemaCompatibility::can_read(older, newer),
        Ok(Compatibility::Full)
    )
}

fn decoded(topic: Topic, bytes: &[u8]) -> Result<(), CodecError> {
    match topic {
        Topic::Clicks => codec::decode::<ClickRecorded>(bytes).map(drop),
        Topic::Conversions => codec::decode::<ConversionReported>(bytes).map(drop),
        Topic::Decisions => codec::decode::<Decision>(bytes).map(drop),
        Topic::Commands => codec::decode::<Command>(bytes).map(drop),
        Topic::Ledger => codec::decode::<LedgerChanged>(bytes).map(drop),
        Topic::Payouts => codec::decode::<PayoutRequested>(bytes).map(drop),
        Topic::PayoutResults => codec::decode::<PayoutResult>(bytes).map(drop),
        Topic::DeadLetters => panic!("dead letters have no schema"),
    }
}

#[test]
fn every_version_has_a_golden_payload_with_its_id() {
    let golden = golden();
    for (topic, versions) in versions() {
        for (number, version) in (1..).zip(versions) {
            let payloads: Vec<_> = golden
                .iter()
                .filter(|payload| payload.topic == topic && payload.version == number)
                .collect();
            assert!(!payloads.is_empty(), "{topic} has none of version {number}");
            for payload in payloads {
                let header = [&[0], version.id.to_be_bytes().as_slice()].concat();
                assert_eq!(payload.bytes[..5], header, "{}", payload.name);
            }
        }
    }
}

#[test]
fn every_payload_ever_written_is_read_today() {
    for payload in golden() {
        decoded(payload.topic, &payload.bytes)
            .unwrap_or_else(|error| panic!("{}: {error}", payload.name));
    }
}

#[test]
fn every_version_reads_all_before_it() {
    for (topic, versions) in versions() {
        for (index, newer) in versions.iter().enumerate() {
            for older in &versions[..=index] {
                assert!(
                    reads(&parsed(older.json), &parsed(newer.json)),
                    "{topic}: schema {} does not read {}",
                    newer.id,
                    older.id
                );
            }
        }
    }
}

#[test]
fn a_change_that_breaks_readers_is_told_from_one_that_does_not() {
    let newest = codec::newest(Topic::PayoutResults).expect("a schema");
    let changed = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut schema: Value = serde_json::from_str(newest.json).expect("json");
        change(schema["fields"].as_array_mut().expect("fields"));
        reads(&parsed(newest.json), &parsed(&schema.to_string()))
    };
    // Fields: payout_id, step, at, attempt, detail, card_id.
    assert!(changed(&|_| {}));
    assert!(changed(&|fields| drop(fields.pop())));
    assert!(changed(&|fields| fields.push(
        json!({"name": "added", "type": ["null", "long"], "default": null})
    )));
    assert!(changed(&|fields| fields[3]["type"] = json!("long")));

    assert!(!changed(
        &|fields| fields.push(json!({"name": "added", "type": "long"}))
    ));
    assert!(!changed(&|fields| fields[3]["name"] = json!("tries")));
    assert!(!changed(&|fields| fields[3]["type"] = json!("string")));
    assert!(!changed(&|fields| fields[2]["type"] = json!("int")));
    assert!(!changed(
        &|fields| fields[5] = json!({"name": "card_id", "type": "string"})
    ));
    assert!(!changed(&|fields| {
        let symbols = fields[1]["type"]["symbols"].as_array_mut();
        symbols.expect("symbols").pop();
    }));
}
